//! A request of AppendRows. It shares its rows with whoever may have to send them again, and writes them where they are sent
//! from; all else of it is prost's.

use std::sync::Arc;

use bytes::{BufMut, Bytes};
use prost::{
    Message,
    encoding::{WireType, encode_key, encode_varint, encoded_len_varint},
};

use super::WriterSchema;
use crate::gcp::{codec::Encode, proto::storage::AppendRowsRequest};

/// The fields on the way to a row; all of them have numbers below 16, so a key is one byte.
const PROTO_ROWS: u32 = 4;
const WRITER_SCHEMA: u32 = 1;
const ROWS: u32 = 2;
const SERIALIZED_ROWS: u32 = 1;

/// See the module.
pub struct Append {
    /// Without rows.
    pub head: AppendRowsRequest,
    /// Of the rows, on the first request of a connection.
    pub schema: Option<Arc<WriterSchema>>,
    /// Each encoded.
    pub rows: Arc<Vec<Bytes>>,
}

impl Append {
    /// Bytes of the message `ProtoRows`, and of `ProtoData` around it.
    fn lens(&self) -> (usize, usize) {
        let rows = self.rows.iter().map(|row| delimited(row.len())).sum();
        let schema = self.schema.as_ref().map_or(0, |schema| delimited(schema.len));
        (rows, schema + delimited(rows))
    }
}

impl Encode for Append {
    fn size(&self) -> usize {
        self.head.encoded_len() + delimited(self.lens().1)
    }

    fn write(&self, buffer: &mut impl BufMut) {
        let (rows, data) = self.lens();
        self.head.encode_raw(buffer);
        begin(PROTO_ROWS, data, buffer);
        if let Some(schema) = &self.schema {
            begin(WRITER_SCHEMA, schema.len, buffer);
            schema.proto.encode_raw(buffer);
        }
        begin(ROWS, rows, buffer);
        for row in self.rows.iter() {
            begin(SERIALIZED_ROWS, row.len(), buffer);
            buffer.put_slice(row);
        }
    }
}

/// Bytes of a field that has so many inside.
fn delimited(len: usize) -> usize {
    1 + encoded_len_varint(len as u64) + len
}

fn begin(field: u32, len: usize, buffer: &mut impl BufMut) {
    encode_key(field, WireType::LengthDelimited, buffer);
    encode_varint(len as u64, buffer);
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use prost_types::DescriptorProto;

    use super::*;
    use crate::gcp::proto::storage::{
        ProtoRows,
        append_rows_request::{ProtoData, Rows},
    };

    #[test]
    fn is_what_prost_reads() {
        let schema = Arc::new(WriterSchema::new(DescriptorProto { name: Some("R".into()), ..Default::default() }));
        let rows: Vec<Bytes> = [0, 1, 127, 128, 20_000].map(|len| vec![len as u8; len].into()).into();
        let first = AppendRowsRequest { write_stream: "s".into(), trace_id: "t".into(), ..Default::default() };
        let later = AppendRowsRequest { offset: Some(300), ..Default::default() };
        for (head, schema, rows) in [(first, Some(schema), rows.clone()), (later, None, rows), Default::default()] {
            let writer_schema = schema.as_ref().map(|schema| schema.proto.clone());
            let data = ProtoData { writer_schema, rows: Some(ProtoRows { serialized_rows: rows.clone() }) };
            let expected = AppendRowsRequest { rows: Some(Rows::ProtoRows(data)), ..head.clone() };
            let append = Append { head, schema, rows: Arc::new(rows) };
            let mut bytes = Vec::new();
            append.write(&mut bytes);
            assert_eq!(append.size(), bytes.len());
            assert_eq!(AppendRowsRequest::decode(&bytes[..]).unwrap(), expected);
        }
    }
}

//! The payload of a row's record.
//!
//! ```text
//! offset  bytes  field (little endian)
//!      0      4  date, in days since the Unix epoch
//!      4      4  length of the stream
//!      8      4  length of the id
//!     12         stream, id, encoded event
//! ```

use bytes::{Buf, Bytes};

use crate::schema::{Date, Row, StreamId};

/// Bytes of a payload before stream, id and event.
const FIELDS: usize = 12;

/// Bytes of the payload of `row`.
pub fn encoded_len(row: &Row) -> usize {
    FIELDS + row.stream.len() + row.record().len()
}

/// Appends the payload of `row`.
pub fn encode(row: &Row, out: &mut Vec<u8>) {
    out.extend_from_slice(&row.date.0.to_le_bytes());
    out.extend_from_slice(&(row.stream.len() as u32).to_le_bytes());
    out.extend_from_slice(&row.id_len().to_le_bytes());
    out.extend_from_slice(row.stream.as_bytes());
    out.extend_from_slice(row.record());
}

/// Whether these bytes can be a payload: as long as they say, and text where text belongs.
pub fn is_whole(payload: &[u8]) -> bool {
    fields(payload)
        .is_some_and(|Fields { stream, id, .. }| [stream, id].into_iter().all(|text| str::from_utf8(text).is_ok()))
}

/// The stream of a payload that [`step`](super::step) has checked.
pub fn stream(payload: &[u8]) -> &str {
    fields(payload).and_then(|fields| str::from_utf8(fields.stream).ok()).unwrap_or_default()
}

/// The row of a payload that [`step`](super::step) has checked; its bytes stay where they are. `share` gives streams, whose
/// bytes are text, one allocation.
pub fn decode(mut payload: Bytes, share: impl FnOnce(&[u8]) -> Option<StreamId>) -> Option<Row> {
    let Fields { date, stream, id } = fields(&payload)?;
    let (record, id_len) = (FIELDS + stream.len(), id.len() as u32);
    let stream = share(stream)?;
    payload.advance(record);
    Row::from_record(date, stream, id_len, payload)
}

struct Fields<'p> {
    date: Date,
    stream: &'p [u8],
    id: &'p [u8],
}

fn fields(payload: &[u8]) -> Option<Fields<'_>> {
    let (date, rest) = payload.split_first_chunk()?;
    let (stream_len, rest) = rest.split_first_chunk()?;
    let (id_len, rest) = rest.split_first_chunk()?;
    let (stream_len, id_len) = (u32::from_le_bytes(*stream_len) as usize, u32::from_le_bytes(*id_len) as usize);
    let (stream, rest) = rest.split_at_checked(stream_len)?;
    let (id, _) = rest.split_at_checked(id_len)?;
    let date = Date(i32::from_le_bytes(*date));
    Some(Fields { date, stream, id })
}

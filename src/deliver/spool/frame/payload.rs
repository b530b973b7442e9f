//! The payload of a row's record.
//!
//! ```text
//! offset  bytes  field (little endian)
//!      0      4  date, in days since the Unix epoch
//!      4      4  length of the stream
//!      8      4  length of the id
//!     12         stream, id, encoded event
//! ```

use bytes::Bytes;

use crate::schema::{Date, Row, StreamId};

/// Bytes of a payload before stream, id and event.
const FIELDS: usize = 12;

/// Bytes of the payload of `row`.
pub fn encoded_len(row: &Row) -> usize {
    FIELDS + row.stream.len() + row.id.len() + row.bytes().len()
}

/// Appends the payload of `row`.
pub fn encode(row: &Row, out: &mut Vec<u8>) {
    out.extend_from_slice(&row.date.0.to_le_bytes());
    out.extend_from_slice(&(row.stream.len() as u32).to_le_bytes());
    out.extend_from_slice(&(row.id.len() as u32).to_le_bytes());
    out.extend_from_slice(row.stream.as_bytes());
    out.extend_from_slice(row.id.as_bytes());
    out.extend_from_slice(row.bytes());
}

/// Whether these bytes can be a payload: as long as they say, and text where text belongs.
pub fn is_whole(payload: &[u8]) -> bool {
    fields(payload).is_some()
}

/// The stream of a payload that [`step`](super::step) has checked.
pub fn stream(payload: &[u8]) -> &str {
    fields(payload).map(|fields| fields.stream).unwrap_or_default()
}

/// The row of a payload that [`step`](super::step) has checked; the event's bytes stay where they are. `share` gives
/// streams one allocation.
pub fn decode(payload: &Bytes, share: impl FnOnce(&str) -> StreamId) -> Option<Row> {
    let Fields { date, stream, id } = fields(payload)?;
    let event = FIELDS + stream.len() + id.len();
    Some(Row::from_parts(date, share(stream), id.into(), payload.slice(event..)))
}

struct Fields<'p> {
    date: Date,
    stream: &'p str,
    id: &'p str,
}

fn fields(payload: &[u8]) -> Option<Fields<'_>> {
    let (date, rest) = payload.split_first_chunk()?;
    let (stream_len, rest) = rest.split_first_chunk()?;
    let (id_len, rest) = rest.split_first_chunk()?;
    let (stream_len, id_len) = (u32::from_le_bytes(*stream_len) as usize, u32::from_le_bytes(*id_len) as usize);
    let (stream, rest) = rest.split_at_checked(stream_len)?;
    let (id, _) = rest.split_at_checked(id_len)?;
    let date = Date(i32::from_le_bytes(*date));
    Some(Fields { date, stream: str::from_utf8(stream).ok()?, id: str::from_utf8(id).ok()? })
}

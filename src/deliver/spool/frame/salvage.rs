//! What can be had from a run of records in whatever state, with nothing else to go by.

use bytes::Bytes;

use super::{Key, Step, decode, next_marker, step};
use crate::{
    deliver::Position,
    schema::{Row, StreamId},
};

/// What [`recover`] found.
#[derive(Debug, Default, PartialEq)]
pub struct Recovered {
    /// The rows, in the order they stand.
    pub rows: Vec<(Position, Row)>,
    /// Records of unknown versions.
    pub unknown: u64,
    /// Places where something else than a record stands.
    pub damaged: u64,
    /// Bytes up to the end of the last whole record.
    pub whole: usize,
}

/// Every row that can be had from `bytes`, a run of records in whatever state.
pub fn recover(bytes: &[u8], key: Key) -> Recovered {
    let mut found = Recovered::default();
    let mut at = 0;
    let mut in_garbage = false;
    while at < bytes.len() {
        let step = step(bytes, at, key);
        let garbage = matches!(step, Step::Garbage { .. } | Step::Short { .. });
        found.damaged += u64::from(garbage && !in_garbage);
        in_garbage = garbage;
        at = match step {
            Step::Row { position, payload, .. } => {
                let next = payload.end;
                let payload = Bytes::copy_from_slice(&bytes[payload]);
                let row = decode(payload, |stream| str::from_utf8(stream).ok().map(StreamId::from));
                found.rows.extend(row.map(|row| (position, row)));
                found.whole = next;
                next
            }
            Step::Seal { next, .. } => {
                found.whole = next;
                next
            }
            Step::Unknown { next, .. } => {
                found.unknown += 1;
                found.whole = next;
                next
            }
            Step::Damaged { next, .. } => {
                found.damaged += 1;
                next
            }
            Step::Garbage { next } => next,
            // No more bytes will come: what looked like a long record may hide whole ones.
            Step::Short { .. } => next_marker(bytes, at + 1),
        };
    }
    found
}

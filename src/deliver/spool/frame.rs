//! The record: one row on disk. Pure, and total: any bytes may be fed to it.
//!
//! ```text
//! offset  bytes  field (little endian)
//!      0      4  marker, where a search for the next record lands
//!      4      4  crc32c of bytes 8 to 32
//!      8      1  version
//!      9      1  kind: row, or seal
//!     10      2  zero
//!     12      4  length of the payload
//!     16      8  position
//!     24      4  rows of the same write that precede this one
//!     28      4  crc32c of the payload
//!     32         the payload of a row (`payload`), or nothing
//! ```
//!
//! Header and payload have a checksum each. When only the payload is damaged, the header still says how far to step
//! and which position is lost; when the header is damaged, the next marker whose header checks out is where reading
//! goes on. Both checksums start from the spool's [`Key`], which no client knows: a record smuggled into an event's
//! text is not a record, nor is one that a file system left behind from another spool.
//!
//! The header, with both checksums, is the same in every version, so that an older binary can step over the records of
//! a newer one.

mod payload;
mod salvage;

use std::ops::Range;

use memchr::memmem;

pub use self::{
    payload::{decode, stream},
    salvage::{Recovered, recover},
};
use crate::{deliver::Position, schema::Row};

/// Bytes of a record before its payload.
pub const HEADER: usize = 32;
/// Positions count rows from 0: the last ones of 64 bits would overflow sums, and no spool gets there. Files that speak of
/// one are damaged.
pub const BEYOND: Position = 1 << 63;
/// Largest payload: far above what one event can be (bodies end at 1 MiB, decompressed), far below what hurts.
pub const MAX_PAYLOAD: usize = 64 << 20;

const MARKER: [u8; 4] = [0xd1, b'r', b's', 0x9e];
const VERSION: u8 = 1;
const ROW: u8 = 0;
const SEAL: u8 = 1;

/// What both checksums start from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Key(u32);

impl Key {
    /// The key of the spool with this identity.
    pub fn of(id: u64) -> Key {
        Key(crc32c::crc32c(&id.to_le_bytes()))
    }

    fn sum(self, bytes: &[u8]) -> u32 {
        crc32c::crc32c_append(self.0, bytes)
    }
}

/// Bytes that `row` takes on disk.
pub fn encoded_len(row: &Row) -> usize {
    HEADER + payload::encoded_len(row)
}

/// Appends the record of `row`. `preceding` is the number of rows before it in the same write: once this record is
/// read back, every position below `position - preceding` is known to have been durable before.
pub fn encode(row: &Row, position: Position, preceding: u32, key: Key, out: &mut Vec<u8>) {
    let start = out.len();
    out.extend_from_slice(&[0; HEADER]);
    payload::encode(row, out);
    finish(ROW, position, preceding, key, &mut out[start..]);
}

/// Appends a seal: everything in the segment before it, up to `end`, was durable when it was written.
pub fn encode_seal(end: Position, key: Key, out: &mut Vec<u8>) {
    let start = out.len();
    out.extend_from_slice(&[0; HEADER]);
    finish(SEAL, end, 0, key, &mut out[start..]);
}

fn finish(kind: u8, position: Position, preceding: u32, key: Key, record: &mut [u8]) {
    let (header, payload) = record.split_at_mut(HEADER);
    debug_assert!(payload.len() <= MAX_PAYLOAD, "appends are checked against `MAX_PAYLOAD`");
    header[..4].copy_from_slice(&MARKER);
    header[8] = VERSION;
    header[9] = kind;
    header[12..16].copy_from_slice(&(payload.len() as u32).to_le_bytes());
    header[16..24].copy_from_slice(&position.to_le_bytes());
    header[24..28].copy_from_slice(&preceding.to_le_bytes());
    header[28..32].copy_from_slice(&key.sum(payload).to_le_bytes());
    let sum = key.sum(&header[8..]);
    header[4..8].copy_from_slice(&sum.to_le_bytes());
}

/// What stands at one place of a segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// A row, its payload checked; the next record begins where the payload ends.
    Row {
        /// Its place in the spool.
        position: Position,
        /// Rows of the same write before it.
        preceding: u32,
        /// Where its payload lies.
        payload: Range<usize>,
    },
    /// A seal; everything below `end` had been durable.
    Seal {
        /// Position after the last row of the segment.
        end: Position,
        /// Where the next record would begin.
        next: usize,
    },
    /// A whole record of a version or kind this binary does not know.
    Unknown {
        /// Its place in the spool.
        position: Position,
        /// Where the next record begins.
        next: usize,
    },
    /// A record whose header is whole and whose payload is not.
    Damaged {
        /// Its place in the spool.
        position: Position,
        /// Where the next record begins.
        next: usize,
    },
    /// No record; the next place worth looking at.
    Garbage {
        /// Always greater than the place asked about.
        next: usize,
    },
    /// The record goes on behind the bytes at hand.
    Short {
        /// How many bytes it has, from the place asked about.
        needed: usize,
    },
}

/// Reads what stands at `at`. `Step::Short` asks for more bytes, and means a torn record when there are none.
pub fn step(bytes: &[u8], at: usize, key: Key) -> Step {
    let rest = bytes.get(at..).unwrap_or_default();
    let Some((header, body)) = rest.split_first_chunk::<HEADER>() else {
        return Step::Short { needed: HEADER };
    };
    let Some(header) = Header::read(header, key) else {
        return Step::Garbage { next: next_marker(bytes, at + 1) };
    };
    let Some(payload) = body.get(..header.len) else {
        return Step::Short { needed: HEADER + header.len };
    };
    let position = header.position;
    let next = at + HEADER + header.len;
    if key.sum(payload) != header.payload_sum {
        return Step::Damaged { position, next };
    }
    match (header.version, header.kind) {
        (VERSION, ROW) if payload::is_whole(payload) => {
            Step::Row { position, preceding: header.preceding, payload: at + HEADER..next }
        }
        (VERSION, ROW) => Step::Damaged { position, next },
        (VERSION, SEAL) => Step::Seal { end: position, next },
        _ => Step::Unknown { position, next },
    }
}

/// Where the next marker begins, or the first place where one may begin that is not wholly there yet.
fn next_marker(bytes: &[u8], from: usize) -> usize {
    let from = from.min(bytes.len());
    match memmem::find(&bytes[from..], &MARKER) {
        Some(found) => from + found,
        None => from.max(bytes.len().saturating_sub(MARKER.len() - 1)),
    }
}

struct Header {
    version: u8,
    kind: u8,
    len: usize,
    position: Position,
    preceding: u32,
    payload_sum: u32,
}

impl Header {
    fn read(bytes: &[u8; HEADER], key: Key) -> Option<Header> {
        let u32_at = |at: usize| u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
        if bytes[..4] != MARKER || key.sum(&bytes[8..]) != u32_at(4) {
            return None;
        }
        let header = Header {
            version: bytes[8],
            kind: bytes[9],
            len: u32_at(12) as usize,
            position: u64::from(u32_at(16)) | u64::from(u32_at(20)) << 32,
            preceding: u32_at(24),
            payload_sum: u32_at(28),
        };
        (header.len <= MAX_PAYLOAD && header.position < BEYOND).then_some(header)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;
    use crate::schema::Date;

    const KEY: Key = Key(7);

    fn row(n: u64, size: usize) -> Row {
        Row::from_parts(Date(n as i32), "shop".into(), &n.to_string(), &vec![n as u8; size])
    }

    fn records(sizes: &[usize]) -> (Vec<u8>, Vec<usize>) {
        let (mut bytes, mut starts) = (Vec::new(), Vec::new());
        for (n, &size) in sizes.iter().enumerate() {
            starts.push(bytes.len());
            encode(&row(n as u64, size), n as u64, n as u32, KEY, &mut bytes);
        }
        (bytes, starts)
    }

    fn positions(bytes: &[u8]) -> Vec<u64> {
        recover(bytes, KEY).rows.into_iter().map(|(position, _)| position).collect()
    }

    #[test]
    fn a_row_comes_back_as_it_was() {
        let mut bytes = Vec::new();
        let before = row(3, 800);
        encode(&before, 41, 2, KEY, &mut bytes);
        assert_eq!(bytes.len(), encoded_len(&before));
        let found = recover(&bytes, KEY);
        assert_eq!(found, Recovered { rows: vec![(41, before)], whole: bytes.len(), ..Recovered::default() });
    }

    #[test]
    fn a_damaged_payload_costs_its_own_record_only() {
        let (mut bytes, starts) = records(&[10, 20, 30]);
        bytes[starts[1] + HEADER + 3] ^= 1;
        assert_eq!(positions(&bytes), [0, 2]);
        assert_eq!(recover(&bytes, KEY).damaged, 1);
        assert_eq!(
            step(&bytes, starts[1], KEY),
            Step::Damaged { position: 1, next: starts[2] },
            "the header still says which"
        );
    }

    #[test]
    fn a_damaged_header_costs_its_own_record_only() {
        for byte in 0..HEADER {
            let (mut bytes, starts) = records(&[10, 20, 30]);
            bytes[starts[1] + byte] ^= 0x10;
            assert_eq!(positions(&bytes), [0, 2], "byte {byte} of the header");
            assert_eq!(recover(&bytes, KEY).damaged, 1);
        }
    }

    #[test]
    fn a_newer_version_is_stepped_over_and_counted() {
        let (mut bytes, starts) = records(&[10, 20, 30]);
        let header = &mut bytes[starts[1]..starts[1] + HEADER];
        header[8] = 2;
        let sum = KEY.sum(&header[8..]);
        header[4..8].copy_from_slice(&sum.to_le_bytes());
        let found = recover(&bytes, KEY);
        assert_eq!((found.rows.len(), found.unknown, found.damaged), (2, 1, 0));
    }

    #[test]
    fn a_record_inside_an_event_is_not_a_record() {
        let mut forged = Vec::new();
        encode(&row(9, 10), 9, 0, Key(8), &mut forged);
        let mut bytes = Vec::new();
        let carrier = Row::from_parts(Date(0), "shop".into(), "", &forged);
        encode(&carrier, 0, 0, KEY, &mut bytes);
        bytes[0] ^= 1;
        assert_eq!(positions(&bytes), [] as [u64; 0]);
    }

    #[test]
    fn records_of_another_spool_are_not_ours() {
        let (bytes, _) = records(&[10, 20]);
        assert!(recover(&bytes, Key(8)).rows.is_empty());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(512))]

        #[test]
        fn arbitrary_bytes_never_panic(bytes in vec(any::<u8>(), 0..2_000)) {
            recover(&bytes, KEY);
        }

        #[test]
        fn overwritten_bytes_lose_nothing_outside_the_records_they_hit(
            sizes in vec(0usize..200, 1..12), from in any::<prop::sample::Index>(), patch in vec(any::<u8>(), 1..80),
        ) {
            let (mut bytes, starts) = records(&sizes);
            let from = from.index(bytes.len());
            let to = (from + patch.len()).min(bytes.len());
            let before = bytes.clone();
            bytes[from..to].copy_from_slice(&patch[..to - from]);
            let ends = starts.iter().skip(1).copied().chain([bytes.len()]);
            let whole: Vec<u64> = starts.iter().zip(ends).enumerate()
                .filter(|(_, (start, end))| bytes[**start..*end] == before[**start..*end])
                .map(|(n, _)| n as u64).collect();
            prop_assert_eq!(positions(&bytes), whole);
        }

        #[test]
        fn a_torn_end_loses_the_torn_record_only(sizes in vec(0usize..200, 1..12), cut in any::<prop::sample::Index>()) {
            let (bytes, starts) = records(&sizes);
            let cut = cut.index(bytes.len());
            let whole = starts.iter().skip(1).filter(|end| **end <= cut).count() as u64;
            prop_assert_eq!(positions(&bytes[..cut]), (0..whole).collect::<Vec<_>>());
        }
    }
}

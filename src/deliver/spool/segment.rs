//! A segment: one file of the spool. It is named by the position of its first row, begins with a header that says so
//! again, and is written once, from front to end, by one process.

use super::frame::BEYOND;
use crate::deliver::Position;

/// Bytes of a segment before its first record.
pub const HEADER: u64 = 40;

const MAGIC: [u8; 8] = *b"rs-spool";
const VERSION: u32 = 1;
const ENDING: &str = ".segment";

/// A segment, as the running spool sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Segment {
    /// Position of its first row.
    pub first: Position,
    /// Position after its last durable row.
    pub end: Position,
    /// Bytes up to the end of its last durable row; what lies behind them was never acknowledged.
    pub len: u64,
}

/// The file that holds rows from `first` on. Names sort like positions.
pub fn name(first: Position) -> String {
    format!("{first:020}{ENDING}")
}

/// Reads a [`name`].
pub fn parse_name(name: &str) -> Option<Position> {
    let digits = name.strip_suffix(ENDING)?;
    let whole = digits.len() == 20 && digits.bytes().all(|b| b.is_ascii_digit());
    whole.then(|| digits.parse().ok())?.filter(|first| *first < BEYOND)
}

/// The first bytes of a segment. Below `assured`, every row of the segment before it had been synced when this one was
/// begun: what is missing there is damage. Positions from there up to `first` may have gone to rows that were refused.
pub fn header(id: u64, first: Position, assured: Position) -> [u8; HEADER as usize] {
    let mut bytes = [0; HEADER as usize];
    bytes[..8].copy_from_slice(&MAGIC);
    bytes[8..12].copy_from_slice(&VERSION.to_le_bytes());
    bytes[12..20].copy_from_slice(&id.to_le_bytes());
    bytes[20..28].copy_from_slice(&first.to_le_bytes());
    bytes[28..36].copy_from_slice(&assured.to_le_bytes());
    let sum = crc32c::crc32c(&bytes[..36]);
    bytes[36..].copy_from_slice(&sum.to_le_bytes());
    bytes
}

/// What a segment's first bytes say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Header {
    /// Records of this binary's format.
    Known {
        /// The spool's identity.
        id: u64,
        /// Position of the first row.
        first: Position,
        /// See [`header`].
        assured: Position,
    },
    /// Written by a newer binary, in a format that this one must not guess at.
    Newer(u32),
    /// Damaged. The records may well be whole: they say their positions themselves.
    Damaged,
}

/// Reads a [`header`].
pub fn parse_header(bytes: &[u8]) -> Header {
    let u32_at = |at: usize| bytes[at..].first_chunk().map_or(0, |b| u32::from_le_bytes(*b));
    let u64_at = |at: usize| bytes[at..].first_chunk().map_or(0, |b| u64::from_le_bytes(*b));
    if bytes.len() < HEADER as usize || bytes[..8] != MAGIC || crc32c::crc32c(&bytes[..36]) != u32_at(36) {
        return Header::Damaged;
    }
    let (version, id, first, assured) = (u32_at(8), u64_at(12), u64_at(20), u64_at(28));
    match version {
        // What was synced before the first row cannot lie behind it.
        VERSION if first >= BEYOND || assured > first => Header::Damaged,
        VERSION => Header::Known { id, first, assured },
        newer => Header::Newer(newer),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_back_and_foreign_names_are_not() {
        assert_eq!(parse_name(&name(0)), Some(0));
        assert_eq!(parse_name(&name(BEYOND - 1)), Some(BEYOND - 1));
        assert_eq!(parse_name(&name(BEYOND)), None);
        for foreign in ["", "1.segment", "00000000000000000001.segment.new", "+0000000000000000001.segment", "local"] {
            assert_eq!(parse_name(foreign), None, "{foreign}");
        }
    }

    #[test]
    fn headers_are_read_back_unless_damaged() {
        let bytes = header(0xfeed, 77, 70);
        assert_eq!(parse_header(&bytes), Header::Known { id: 0xfeed, first: 77, assured: 70 });
        for byte in 0..bytes.len() {
            let mut damaged = bytes;
            damaged[byte] ^= 4;
            assert_eq!(parse_header(&damaged), Header::Damaged, "byte {byte}");
        }
        assert_eq!(parse_header(&bytes[..39]), Header::Damaged);
        assert_eq!(parse_header(&header(0xfeed, BEYOND, 70)), Header::Damaged);
        assert_eq!(parse_header(&header(0xfeed, 77, 78)), Header::Damaged);
    }
}

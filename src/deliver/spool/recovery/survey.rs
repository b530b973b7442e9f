//! What one segment holds, and what it ought to hold: the judgement between a torn write and damage.

use std::io;

use super::contents::SegmentFile;
use crate::deliver::{
    Position,
    spool::{
        frame::{self, BEYOND},
        scan::{Found, Scan},
        segment::Header,
    },
};

/// What one segment holds.
#[derive(Debug, PartialEq)]
pub struct Survey {
    /// Position after the last row, or after the last one there ought to be.
    pub end: Position,
    /// Bytes up to the end of the last whole record.
    pub len: u64,
    pub sealed: bool,
    /// What lies below is known to have been synced.
    pub synced: Position,
    /// Rows are missing from a write that was cut short.
    pub unacknowledged_gaps: bool,
    /// Acknowledged rows that are not there, and unknown records.
    pub damaged: Vec<(Position, Position)>,
    /// Positions that hold no row.
    pub holes: Vec<(Position, Position)>,
}

impl Survey {
    /// Positions of one segment have no gaps when it is written: one found now is damage, unless it lies in a write that a
    /// crash or an error cut short. Each row tells how many rows of its write precede it, so all before those had been
    /// synced; the header of the following segment tells how far this one had been.
    pub fn of(
        mut scan: Scan,
        first: Position,
        following: Option<&SegmentFile>,
        mut row: impl FnMut(Position, &str),
    ) -> io::Result<Survey> {
        let (len, damaged, holes) = (scan.offset(), Vec::new(), Vec::new());
        let (sealed, unacknowledged_gaps) = (false, false);
        let mut survey = Survey { end: first, len, sealed, synced: first, unacknowledged_gaps, damaged, holes };
        let mut gaps: Vec<(Position, Position)> = Vec::new();
        let mut trailing = false;
        let limit = following.map_or(BEYOND, |following| following.first);
        while let Some(found) = scan.next()? {
            trailing = matches!(found, Found::Garbage | Found::Damaged { .. });
            let (from, to) = match found {
                Found::Garbage | Found::Damaged { .. } => continue,
                // A record that a file system put where it does not belong.
                Found::Row { position, .. } | Found::Unknown { position } if position >= limit => continue,
                Found::Seal { end } if end > limit => continue,
                Found::Row { position, .. } if position < survey.end => continue,
                Found::Row { position, preceding, payload } => {
                    survey.synced = survey.synced.max(position.saturating_sub(u64::from(preceding)));
                    row(position, frame::stream(&payload));
                    (position, position + 1)
                }
                Found::Seal { end } => {
                    survey.synced = survey.synced.max(end);
                    survey.sealed = true;
                    (end, end)
                }
                Found::Unknown { position } => {
                    survey.damaged.push((position, position + 1));
                    survey.holes.push((position, position + 1));
                    (position, position + 1)
                }
            };
            if survey.end < from {
                gaps.push((survey.end, from));
            }
            survey.end = survey.end.max(to);
            survey.len = scan.offset();
        }
        let assured = match following.map(|following| (following.header, following.first)) {
            Some((Header::Known { assured, .. }, _)) => assured,
            // The best guess: rows that are not there have been.
            Some((_, following)) if trailing => following,
            _ => first,
        };
        survey.synced = survey.synced.max(assured);
        if survey.end < assured {
            gaps.push((survey.end, assured));
            survey.end = assured;
        }
        let acknowledged = gaps.iter().filter(|(from, _)| *from < survey.synced);
        survey.damaged.extend(acknowledged.map(|&(from, to)| (from, to.min(survey.synced))));
        survey.unacknowledged_gaps = gaps.iter().any(|(_, to)| *to > survey.synced);
        survey.holes.extend(gaps);
        Ok(survey)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::{
        deliver::spool::{files::Input, frame::Key},
        schema::{Date, Row},
    };

    /// A file in memory.
    struct Bytes(Vec<u8>);

    impl Input for Bytes {
        fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
            let rest = &self.0[(offset as usize).min(self.0.len())..];
            let len = rest.len().min(bytes.len());
            bytes[..len].copy_from_slice(&rest[..len]);
            Ok(len)
        }
    }

    const KEY: fn() -> Key = || Key::of(1);
    /// Bytes of one record below.
    const RECORD: usize = 32 + 12 + 1 + 20;

    /// Rows from position 100 on, written in groups of these sizes.
    fn rows(groups: &[u32]) -> Vec<u8> {
        let (mut bytes, mut position) = (Vec::new(), 100);
        for &group in groups {
            for n in 0..group {
                let row = Row::from_parts(Date(0), "1".into(), "", &[7; 20]);
                frame::encode(&row, position, n, KEY(), &mut bytes);
                position += 1;
            }
        }
        bytes
    }

    fn seal(mut bytes: Vec<u8>, end: Position) -> Vec<u8> {
        frame::encode_seal(end, KEY(), &mut bytes);
        bytes
    }

    fn hit(mut bytes: Vec<u8>, record: usize) -> Vec<u8> {
        bytes[record * RECORD + 2] ^= 1;
        bytes
    }

    fn lost(survey: &Survey) -> u64 {
        survey.damaged.iter().map(|(from, to)| to - from).sum()
    }

    fn survey(bytes: Vec<u8>, following: Option<Position>) -> (Survey, u64) {
        survey_before(bytes, following.map(|first| Header::Known { id: 1, first, assured: first }))
    }

    fn survey_before(bytes: Vec<u8>, header: Option<Header>) -> (Survey, u64) {
        let following = header.map(|header| {
            let first = if let Header::Known { first, .. } = header { first } else { 106 };
            SegmentFile { first, len: 0, header }
        });
        let len = bytes.len() as u64;
        let mut rows = 0;
        let survey =
            Survey::of(Scan::new(Arc::new(Bytes(bytes)), KEY(), 0, len), 100, following.as_ref(), |_, stream| {
                assert_eq!(stream, "1");
                rows += 1;
            });
        (survey.expect("bytes can be read"), rows)
    }

    #[test]
    fn damage_before_the_last_write_is_damage() {
        let (survey, rows) = survey(hit(rows(&[2, 2, 2]), 1), None);
        assert_eq!((lost(&survey), rows, survey.end), (1, 5, 106));
        assert_eq!(survey.holes, [(101, 102)]);
    }

    #[test]
    fn a_hole_in_the_last_write_was_never_acknowledged() {
        let (survey, rows) = survey(hit(rows(&[2, 4]), 3), None);
        assert_eq!((lost(&survey), rows, survey.end), (0, 5, 106));
        assert_eq!(survey.holes, [(103, 104)]);
    }

    #[test]
    fn a_torn_end_was_never_acknowledged() {
        let bytes = rows(&[2, 4]);
        for cut in 2 * RECORD..bytes.len() {
            let (survey, rows) = survey(bytes[..cut].to_vec(), None);
            let whole = cut / RECORD;
            assert_eq!((lost(&survey), rows, survey.len), (0, whole as u64, (whole * RECORD) as u64));
        }
    }

    #[test]
    fn damage_anywhere_in_a_sealed_segment_is_damage() {
        for record in 0..6 {
            let (survey, rows) = survey(hit(seal(rows(&[2, 4]), 106), record), None);
            assert_eq!((lost(&survey), rows, survey.end, survey.sealed), (1, 5, 106, true), "record {record}");
        }
    }

    #[test]
    fn damage_at_the_end_of_a_segment_with_a_successor_is_damage() {
        let (survey, rows) = survey(hit(rows(&[2, 4]), 5), Some(106));
        assert_eq!((lost(&survey), rows, survey.end), (1, 5, 106));
    }

    #[test]
    fn damage_at_the_end_is_seen_without_the_next_header_too() {
        let (survey, rows) = survey_before(hit(rows(&[2, 4]), 5), Some(Header::Damaged));
        assert_eq!((lost(&survey), rows, survey.end), (1, 5, 106));
    }

    #[test]
    fn a_segment_that_lost_its_end_is_seen_to_have() {
        let mut bytes = rows(&[2, 4]);
        bytes.truncate(4 * RECORD);
        let (survey, rows) = survey(bytes, Some(106));
        assert_eq!((lost(&survey), rows, survey.end), (2, 4, 106));
    }

    #[test]
    fn what_a_failed_write_left_is_not_damage() {
        let header = Header::Known { id: 1, first: 106, assured: 102 };
        let (survey, rows) = survey_before(hit(rows(&[2, 4]), 5), Some(header));
        assert_eq!((lost(&survey), rows, survey.end), (0, 5, 105));
    }
}

//! What an earlier process left in the directory, and what can be had from it.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    io,
};

use super::{
    SpoolError, cursor,
    files::{Files, TEMPORARY},
    frame::{self, BEYOND, Key},
    identity,
    log::Consumer,
    scan::{Found, Scan},
    segment::{self, Header, Segment},
};
use crate::{deliver::Position, schema::StreamId};

/// What a spool held when it was opened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recovery {
    /// What waits, for each consumer, in the order they were given.
    pub consumers: Vec<Backlog>,
    /// Acknowledged rows that are lost to damage, and records of versions that this binary does not know.
    pub damaged: u64,
    /// Bytes cut from the end of the last segment: a write that a crash cut short, and that nobody was promised.
    pub torn: u64,
}

/// What waits for one consumer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Backlog {
    /// Its name.
    pub consumer: &'static str,
    /// Where it will go on reading.
    pub position: Position,
    /// Rows that wait for it, by stream.
    pub streams: BTreeMap<StreamId, u64>,
}

impl Backlog {
    /// Rows that wait for it.
    pub fn rows(&self) -> u64 {
        self.streams.values().sum()
    }
}

/// A directory, read.
pub struct Restored {
    pub id: u64,
    pub segments: VecDeque<Segment>,
    /// Position of the next row.
    pub next: Position,
    /// What the next segment's header is to say of the last one here.
    pub assured: Position,
    pub consumers: Vec<Consumer>,
    /// Positions that hold no row.
    pub holes: Vec<(Position, Position)>,
    pub recovery: Recovery,
}

/// Reads the directory; removes what is not needed; cuts off what was never acknowledged.
pub fn restore(files: &dyn Files, names: &[&'static str]) -> Result<Restored, SpoolError> {
    let contents = Contents::list(files)?;
    let id = contents.identity(files)?;
    let oldest = contents.segments.first().map_or(0, |file| file.first);
    let consumers = contents.consumers(files, names, id, oldest)?;
    let needed = consumers.iter().map(|consumer| consumer.committed).min().unwrap_or(Position::MAX);

    let mut counts: HashMap<StreamId, Vec<u64>> = HashMap::new();
    let mut segments = VecDeque::new();
    let mut holes = Vec::new();
    let mut recovery = Recovery::default();
    let mut assured = 0;
    let mut next = consumers.iter().map(|consumer| consumer.committed).max().unwrap_or(0);
    for (n, file) in contents.segments.iter().enumerate() {
        let name = segment::name(file.first);
        let following = contents.segments.get(n + 1);
        if following.is_some_and(|following| following.first <= needed) {
            files.remove(&name).map_err(SpoolError::io("remove", &name))?;
            continue;
        }
        let read_error = SpoolError::io("read", &name);
        let input = files.open(&name).map_err(&read_error)?;
        let scan = Scan::new(input, Key::of(id), segment::HEADER.min(file.len), file.len);
        let survey = Survey::of(scan, file.first, following, |position, stream| {
            let count = match counts.get_mut(stream) {
                Some(count) => count,
                None => counts.entry(stream.into()).or_insert_with(|| vec![0; names.len()]),
            };
            for (count, consumer) in count.iter_mut().zip(&consumers) {
                *count += u64::from(position >= consumer.committed);
            }
        });
        let survey = survey.map_err(&read_error)?;
        // What every consumer has does not matter any more.
        let damaged: u64 = survey.damaged.iter().map(|(from, to)| to.saturating_sub(*from.max(&needed))).sum();
        if damaged > 0 {
            tracing::error!(segment = name, rows = damaged, "spool segment is damaged, rows are lost");
        }
        if following.is_none() && !survey.sealed {
            // Also makes durable what a crash left in the page cache: it counts as durable from here on.
            files.truncate(&name, survey.len).map_err(SpoolError::io("truncate", &name))?;
            recovery.torn = file.len.saturating_sub(survey.len);
        }
        recovery.damaged += damaged;
        next = next.max(survey.end);
        segments.push_back(Segment { first: file.first, end: survey.end, len: survey.len });
        holes.extend(survey.holes);
        holes.extend(following.map(|following| (survey.end, following.first)));
        assured = match file.header {
            // The next segment takes this one's place, and must say of the one before what this one said.
            Header::Known { assured, .. } if survey.end == file.first => assured,
            // Synced above. Only where a write has come out patchy, its gaps must not count as damage later.
            _ if survey.unacknowledged_gaps => survey.synced,
            _ => survey.end,
        };
    }
    let ends = segments.back().map_or(next, |last: &Segment| last.end);
    holes.push((ends, next));

    recovery.consumers = backlogs(&consumers, counts);
    Ok(Restored { id, segments, next, assured, consumers, holes, recovery })
}

fn backlogs(consumers: &[Consumer], counts: HashMap<StreamId, Vec<u64>>) -> Vec<Backlog> {
    let backlog = |(index, consumer): (usize, &Consumer)| {
        let streams =
            counts.iter().map(|(stream, counts)| (stream.clone(), counts[index])).filter(|(_, rows)| *rows > 0);
        Backlog { consumer: consumer.name, position: consumer.committed, streams: streams.collect() }
    };
    consumers.iter().enumerate().map(backlog).collect()
}

struct SegmentFile {
    first: Position,
    len: u64,
    header: Header,
}

struct Contents {
    /// By first position.
    segments: Vec<SegmentFile>,
    /// Names of consumers with a cursor file.
    cursors: Vec<String>,
    has_identity: bool,
}

impl Contents {
    fn list(files: &dyn Files) -> Result<Contents, SpoolError> {
        let mut contents = Contents { segments: Vec::new(), cursors: Vec::new(), has_identity: false };
        for (name, len) in files.list().map_err(SpoolError::io("list", "the directory"))? {
            if name.ends_with(TEMPORARY) {
                files.remove(&name).map_err(SpoolError::io("remove", &name))?;
            } else if let Some(first) = segment::parse_name(&name) {
                let mut header = header(files, &name).map_err(SpoolError::io("read", &name))?;
                match header {
                    Header::Newer(version) => return Err(SpoolError::Newer { name, version }),
                    // What a file says under another's name is not to be trusted. Its records say their positions.
                    Header::Known { first: said, .. } if said != first => header = Header::Damaged,
                    Header::Known { .. } | Header::Damaged => {}
                }
                contents.segments.push(SegmentFile { first, len, header });
            } else if let Some(consumer) = cursor::parse_name(&name) {
                contents.cursors.push(consumer.to_owned());
            } else if name == identity::NAME {
                contents.has_identity = true;
            }
        }
        contents.segments.sort_by_key(|file| file.first);
        Ok(contents)
    }

    /// The identity, from its file; or else from a segment; or else a new one.
    fn identity(&self, files: &dyn Files) -> Result<u64, SpoolError> {
        let read_error = SpoolError::io("read", identity::NAME);
        if self.has_identity
            && let Some(id) = identity::read(files).map_err(read_error)?
        {
            return Ok(id);
        }
        let known = |file: &SegmentFile| if let Header::Known { id, .. } = file.header { Some(id) } else { None };
        let id = self.segments.iter().rev().find_map(known);
        if id.is_none() && !self.segments.is_empty() {
            tracing::error!("spool has lost its identity, and its rows with it: no file that knows it is whole");
        }
        let id = id.unwrap_or_else(identity::random);
        identity::write(files, id).map_err(SpoolError::io("write", identity::NAME))?;
        Ok(id)
    }

    /// Where each consumer stands. The cursor of a consumer that is not configured would hold the spool for ever.
    fn consumers(
        &self,
        files: &dyn Files,
        names: &[&'static str],
        id: u64,
        oldest: Position,
    ) -> Result<Vec<Consumer>, SpoolError> {
        for gone in self.cursors.iter().filter(|cursor| !names.contains(&cursor.as_str())) {
            tracing::warn!(consumer = gone, "spool forgets a consumer that is not configured any more");
            files.remove(&cursor::name(gone)).map_err(SpoolError::io("remove", gone))?;
        }
        let mut consumers = Vec::with_capacity(names.len());
        for &name in names {
            let known = self.cursors.iter().any(|cursor| cursor == name);
            let persisted =
                if known { cursor::read(files, name, id).map_err(SpoolError::io("read", name))? } else { None };
            if known && persisted.is_none() {
                tracing::warn!(consumer = name, "spool cursor is damaged, the consumer begins with the oldest row");
            }
            let committed = persisted.map_or(oldest, |position| position.max(oldest));
            consumers.push(Consumer { name, read: committed, committed, persisted });
        }
        Ok(consumers)
    }
}

fn header(files: &dyn Files, name: &str) -> io::Result<Header> {
    let input = files.open(name)?;
    let mut bytes = [0; segment::HEADER as usize];
    let mut len = 0;
    while len < bytes.len() {
        match input.read_at(&mut bytes[len..], len as u64) {
            Ok(0) => break,
            Ok(n) => len += n,
            Err(error) => {
                // Its records may be read all the same.
                tracing::warn!(%error, name, "header of a spool segment cannot be read");
                return Ok(Header::Damaged);
            }
        }
    }
    Ok(segment::parse_header(&bytes[..len]))
}

/// What one segment holds.
#[derive(Debug, PartialEq)]
struct Survey {
    /// Position after the last row, or after the last one there ought to be.
    end: Position,
    /// Bytes up to the end of the last whole record.
    len: u64,
    sealed: bool,
    /// What lies below is known to have been synced.
    synced: Position,
    /// Rows are missing from a write that was cut short.
    unacknowledged_gaps: bool,
    /// Acknowledged rows that are not there, and unknown records.
    damaged: Vec<(Position, Position)>,
    /// Positions that hold no row.
    holes: Vec<(Position, Position)>,
}

impl Survey {
    /// Positions of one segment have no gaps when it is written: one found now is damage, unless it lies in a write that a
    /// crash or an error cut short. Each row tells how many rows of its write precede it, so all before those had been
    /// synced; the header of the following segment tells how far this one had been.
    fn of(
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
        deliver::spool::files::Input,
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
                let row = Row::from_parts(Date(0), "1".into(), "".into(), vec![7; 20].into());
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

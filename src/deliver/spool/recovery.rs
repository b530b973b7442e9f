//! What an earlier process left in the directory, and what can be had from it.

mod contents;
mod survey;

use std::collections::{BTreeMap, HashMap, VecDeque};

use self::{contents::Contents, survey::Survey};
use super::{
    SpoolError,
    files::Files,
    frame::Key,
    log::Consumer,
    scan::Scan,
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

//! What the running spool knows: which rows are durable, which of them are still in memory, which files hold the
//! others, and how far each consumer is. Kept under one lock that is held for moments; no file is touched under it.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

use super::segment::Segment;
use crate::{deliver::Position, schema::Row};

/// Most bytes of rows kept in memory for readers that are close behind. Those further behind read files.
pub const MAX_TAIL: usize = 16 << 20;

/// Rows that became durable together.
pub struct Group {
    /// Position of the first row; the others follow without a gap.
    pub first: Position,
    /// The rows; never empty.
    pub rows: Vec<Row>,
    /// Bytes they take on disk.
    pub size: usize,
    /// Where the first row's record begins.
    pub place: Place,
}

impl Group {
    /// Position after the last row.
    pub fn end(&self) -> Position {
        self.first + self.rows.len() as u64
    }
}

/// Where a record begins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// First position of the segment.
    pub segment: Position,
    /// Bytes from the segment's start.
    pub offset: u64,
}

/// One consumer.
pub struct Consumer {
    /// Name of its cursor.
    pub name: &'static str,
    /// Its reader has everything below.
    pub read: Position,
    /// It is done with everything below.
    pub committed: Position,
    /// Its cursor file says this.
    pub persisted: Option<Position>,
}

/// Positions without a row: lost to damage, or given to rows that were refused after all.
#[derive(Clone, Copy, Debug)]
struct Hole {
    end: Position,
    /// Found while running: its rows were counted as pending before.
    late: bool,
}

/// Where the rows from a position on are to be had.
pub enum Rows {
    /// In memory.
    Tail(Vec<Arc<Group>>),
    /// In this file, up to its `len`.
    File(Segment),
    /// Nowhere yet.
    None,
}

/// See the module.
pub struct Log {
    end: Position,
    /// Nothing more will come.
    pub closed: bool,
    /// Newest groups, oldest first.
    tail: VecDeque<Arc<Group>>,
    tail_size: usize,
    /// Without files there is nothing behind the tail: it keeps every row that is not committed.
    tail_is_all: bool,
    /// Oldest first; the last one is being written.
    pub segments: VecDeque<Segment>,
    /// Positions without a row, by first position; they do not overlap.
    holes: BTreeMap<Position, Hole>,
    /// In the order of [`super::Spool::open`].
    pub consumers: Vec<Consumer>,
}

impl Log {
    /// A log whose next row is at `end`.
    pub fn new(end: Position, segments: VecDeque<Segment>, consumers: Vec<Consumer>, tail_is_all: bool) -> Log {
        let (tail, holes) = (VecDeque::new(), BTreeMap::new());
        Log { end, closed: false, tail, tail_size: 0, tail_is_all, segments, holes, consumers }
    }

    /// Position after the last durable row.
    pub fn end(&self) -> Position {
        self.end
    }

    /// Bytes of the files, or of the rows where there are no files.
    pub fn bytes(&self) -> u64 {
        if self.tail_is_all { self.tail_size as u64 } else { self.segments.iter().map(|segment| segment.len).sum() }
    }

    /// Goes on in another segment. One without a row has no position of its own: the new file has taken its name.
    pub fn begin_segment(&mut self, segment: Segment) {
        if self.segments.back().is_some_and(|last| last.first == segment.first) {
            self.segments.pop_back();
        }
        self.segments.push_back(segment);
    }

    /// Adds rows that are durable now. The positions between the end and `group.first` become a hole.
    pub fn push(&mut self, group: Group) {
        self.add_hole(self.end, group.first, false);
        self.end = group.end();
        self.tail_size += group.size;
        self.tail.push_back(Arc::new(group));
    }

    /// Takes out the rows that no reader will ask memory for. To be dropped when the lock is not held.
    #[must_use]
    pub fn trim(&mut self) -> Vec<Arc<Group>> {
        let needed = if self.tail_is_all { self.committed() } else { self.read() };
        let mut released = Vec::new();
        while let Some(oldest) = self.tail.front() {
            let over = !self.tail_is_all && self.tail_size > MAX_TAIL;
            if oldest.end() > needed && !over {
                break;
            }
            self.tail_size -= oldest.size;
            released.extend(self.tail.pop_front());
        }
        released
    }

    /// Everything below has been read by every consumer.
    fn read(&self) -> Position {
        self.consumers.iter().map(|consumer| consumer.read).min().unwrap_or(self.end)
    }

    /// Everything below has been committed by every consumer.
    pub fn committed(&self) -> Position {
        self.consumers.iter().map(|consumer| consumer.committed).min().unwrap_or(self.end)
    }

    /// The segment to read on in from `position`, when the rows there are not in memory any more.
    pub fn file_from(&self, position: Position) -> Option<&Segment> {
        let in_memory = self.tail.front().map_or(Position::MAX, |oldest| oldest.first);
        let file = self.segments.iter().find(|segment| segment.end > position);
        file.filter(|segment| position.max(segment.first) < in_memory)
    }

    /// Where to read on from `position`.
    pub fn rows_from(&self, position: Position) -> Rows {
        match self.file_from(position) {
            Some(segment) => Rows::File(segment.clone()),
            None => {
                let from = self.tail.partition_point(|group| group.end() <= position);
                if from == self.tail.len() {
                    Rows::None
                } else {
                    Rows::Tail(self.tail.range(from..).cloned().collect())
                }
            }
        }
    }

    /// Notes that `from..to` hold no rows, and tells how many of these positions had not been known to; `late` when
    /// they have been counted as pending.
    pub fn add_hole(&mut self, from: Position, to: Position, late: bool) -> u64 {
        let mut at = from;
        let mut added = 0;
        while at < to {
            if let Some((_, known)) = self.holes.range(..=at).next_back()
                && known.end > at
            {
                at = known.end;
                continue;
            }
            let end = self.holes.range(at..to).next().map_or(to, |(&first, _)| first);
            self.holes.insert(at, Hole { end, late });
            added += end - at;
            at = end;
        }
        added
    }

    /// How many rows of `from..to` were found lost while running.
    pub fn lost_late(&self, from: Position, to: Position) -> u64 {
        let within = |(&first, hole): (&Position, &Hole)| hole.end.min(to).saturating_sub(first.max(from));
        self.holes.range(..to).filter(|(_, hole)| hole.late).map(within).sum()
    }

    /// Rows that are durable and not committed by consumer `index`.
    pub fn pending(&self, index: usize) -> u64 {
        let committed = self.consumers[index].committed;
        let holes = self.holes.iter().map(|(&first, hole)| hole.end.min(self.end).saturating_sub(first.max(committed)));
        self.end.saturating_sub(committed).saturating_sub(holes.sum())
    }

    /// Takes out the segments that no consumer needs. The last one stays: it is being written, and it remembers the
    /// position when all others are gone.
    pub fn take_obsolete(&mut self) -> Vec<Segment> {
        let committed = self.committed();
        let mut obsolete = Vec::new();
        while self.segments.len() > 1 && self.segments[0].end <= committed {
            obsolete.extend(self.segments.pop_front());
        }
        // Those behind every consumer count for nobody.
        self.holes.retain(|_, hole| hole.end > committed);
        obsolete
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::Date;

    fn group(first: Position, rows: usize, size: usize) -> Group {
        let row = Row::from_parts(Date(0), "1".into(), "", b"");
        Group { first, rows: vec![row; rows], size, place: Place::default() }
    }

    fn log(tail_is_all: bool) -> Log {
        let consumer = |name| Consumer { name, read: 0, committed: 0, persisted: None };
        Log::new(0, VecDeque::new(), vec![consumer("a"), consumer("b")], tail_is_all)
    }

    #[test]
    fn pending_counts_rows_and_not_positions() {
        let mut log = log(false);
        log.push(group(0, 10, 1));
        log.push(group(15, 5, 1));
        assert_eq!((log.end(), log.pending(0)), (20, 15));
        log.consumers[0].committed = 12;
        assert_eq!((log.pending(0), log.pending(1)), (5, 15));
        log.consumers[0].committed = 18;
        assert_eq!(log.pending(0), 2);
    }

    #[test]
    fn holes_are_counted_once_however_often_they_are_met() {
        let mut log = log(false);
        log.push(group(0, 100, 1));
        assert_eq!(log.add_hole(10, 20, false), 10);
        assert_eq!(log.add_hole(40, 50, true), 10);
        assert_eq!(log.add_hole(5, 45, true), 5 + 20);
        assert_eq!(log.add_hole(5, 50, true), 0);
        assert_eq!(log.pending(0), 100 - 45);
        assert_eq!(log.lost_late(0, 100), 35);
        assert_eq!(log.lost_late(7, 42), 3 + 22);
    }

    #[test]
    fn memory_behind_slow_readers_is_bounded_when_there_are_files() {
        let mut log = log(false);
        for n in 0..10 {
            log.push(group(n, 1, MAX_TAIL / 4));
            drop(log.trim());
        }
        assert!(log.tail_size <= MAX_TAIL);
        let Rows::Tail(groups) = log.rows_from(9) else { panic!("the newest row is in memory") };
        assert_eq!(groups.len(), 1);
    }

    #[test]
    fn memory_without_files_keeps_what_is_not_committed() {
        let mut log = log(true);
        for n in 0..10 {
            log.push(group(n, 1, MAX_TAIL));
        }
        log.consumers[0].committed = 10;
        log.consumers[1].committed = 4;
        drop(log.trim());
        assert_eq!(log.bytes(), 6 * MAX_TAIL as u64);
    }

    #[test]
    fn rows_read_by_all_leave_memory() {
        let mut log = log(false);
        log.push(group(0, 4, 100));
        log.consumers[0].read = 4;
        drop(log.trim());
        assert_eq!(log.tail_size, 100);
        log.consumers[1].read = 4;
        drop(log.trim());
        assert_eq!(log.tail_size, 0);
    }
}

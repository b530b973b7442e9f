//! What a committed stream must not forget: which rows were to stand at which of its offsets.
//!
//! A file beside the sink's cursor in the spool's directory, of JSON lines. Before rows are sent, a line says where they
//! are to stand, and that line is synced. After a crash the number of rows in the stream then tells which of them are in
//! the table: the only question that a row sent twice leaves open.

use std::{
    io,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

pub use super::runs::Runs;
use crate::deliver::{
    Position,
    journal::{self, Journal},
};

/// A file of this size is written anew, without what is of no use any more.
const MAX_SIZE: u64 = 1 << 20;

/// See the module.
pub struct Memory {
    path: PathBuf,
    /// The spool that positions belong to.
    spool: u64,
    /// The file has been read.
    loaded: bool,
    /// None until the file is written anew, at the first change and after a failure.
    journal: Option<Journal>,
    /// Every row below is settled: stored or a dead letter.
    floor: Position,
    /// What the file says of that.
    written_floor: Position,
    /// Rows of former streams that are stored.
    stored: Vec<Runs>,
    /// No row above is known to be stored.
    highest: Position,
    stream: Option<Open>,
}

/// The stream that is written to.
struct Open {
    name: String,
    /// Offset of the next row.
    next: u64,
    /// By offset, without overlaps.
    plans: Vec<Plan>,
}

/// Rows that are to stand together in the stream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// Offset of the first one.
    pub at: u64,
    /// Which.
    pub rows: Runs,
    /// The server has said that they are stored.
    #[serde(skip)]
    acked: bool,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Line {
    Spool(u64),
    Floor(Position),
    Stored(Runs),
    Stream { name: String, next: u64 },
    Plan(Plan),
}

impl Plan {
    /// These rows, from this offset on.
    pub fn new(at: u64, rows: Runs) -> Plan {
        Plan { at, rows, acked: false }
    }

    fn end(&self) -> u64 {
        self.at.saturating_add(self.rows.len())
    }
}

impl Memory {
    /// Of nothing, until it is [loaded](Memory::load).
    pub fn new(path: &Path, spool: u64) -> Memory {
        Memory {
            path: path.to_owned(),
            spool,
            loaded: false,
            journal: None,
            floor: 0,
            written_floor: 0,
            stored: Vec::new(),
            highest: 0,
            stream: None,
        }
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Reads what an earlier process left in the file, if it was about this spool; only once.
    pub fn load(&mut self) -> io::Result<()> {
        if self.loaded {
            return Ok(());
        }
        let mut lines = journal::read(&self.path)?.into_iter();
        self.loaded = true;
        match lines.next() {
            Some(Line::Spool(of)) if of == self.spool => {}
            None => return Ok(()),
            Some(_) => {
                tracing::warn!(file = %self.path.display(), "offsets of another spool are of no use");
                return Ok(());
            }
        }
        for line in lines {
            match line {
                Line::Spool(_) => {}
                Line::Floor(floor) => self.floor = self.floor.max(floor),
                Line::Stored(rows) => self.note(rows),
                Line::Stream { name, next } => self.stream = Some(Open { name, next, plans: Vec::new() }),
                Line::Plan(plan) => {
                    if let Some(stream) = &mut self.stream {
                        stream.put(plan);
                    }
                }
            }
        }
        self.prune();
        Ok(())
    }

    /// The stream's name, and the offset of the next row.
    pub fn stream(&self) -> Option<(String, u64)> {
        self.stream.as_ref().map(|stream| (stream.name.clone(), stream.next))
    }

    /// Rows of which only the stream knows whether they are stored.
    pub fn doubtful(&self) -> u64 {
        let plans = self.stream.iter().flat_map(|stream| &stream.plans);
        plans.filter(|plan| !plan.acked).fold(0, |sum: u64, plan| sum.saturating_add(plan.rows.len()))
    }

    /// Whether the row needs no more sending.
    pub fn is_settled(&self, position: Position) -> bool {
        let acked = || self.stream.iter().flat_map(|stream| &stream.plans).filter(|plan| plan.acked);
        position < self.floor
            || position < self.highest
                && self.stored.iter().chain(acked().map(|plan| &plan.rows)).any(|rows| rows.contains(position))
    }

    /// Every row below is settled. Written down with the next change.
    pub fn settled_below(&mut self, floor: Position) {
        if floor > self.floor {
            self.floor = floor;
            self.prune();
        }
    }

    /// A new stream.
    pub fn begin(&mut self, name: &str) -> io::Result<()> {
        self.write(vec![Line::Stream { name: name.to_owned(), next: 0 }])?;
        self.stream = Some(Open { name: name.to_owned(), next: 0, plans: Vec::new() });
        Ok(())
    }

    /// Rows are about to be sent, in the order of their offsets. What stood at or behind the first of these is known not
    /// to be stored.
    pub fn plan(&mut self, plans: Vec<Plan>) -> io::Result<()> {
        self.write(plans.iter().cloned().map(Line::Plan).collect())?;
        if let Some(stream) = &mut self.stream {
            plans.into_iter().for_each(|plan| stream.put(plan));
        }
        Ok(())
    }

    /// The rows that stand at this offset are stored.
    pub fn acked(&mut self, at: u64) {
        let plans = self.stream.iter_mut().flat_map(|stream| &mut stream.plans);
        if let Some(plan) = plans.into_iter().find(|plan| plan.at == at) {
            plan.acked = true;
            self.highest = self.highest.max(plan.rows.end());
        }
    }

    /// The stream holds so many rows and will never hold more.
    pub fn counted(&mut self, rows: u64) -> io::Result<()> {
        if let Some(stream) = self.stream.take() {
            for plan in stream.plans {
                let held = rows.saturating_sub(plan.at);
                // An acknowledgement is never forgotten, whatever is counted.
                self.note(if plan.acked { plan.rows } else { plan.rows.prefix(held) });
            }
        }
        self.journal = None;
        self.write(Vec::new())
    }

    fn note(&mut self, rows: Runs) {
        if rows.len() > 0 {
            self.highest = self.highest.max(rows.end());
            self.stored.push(rows);
        }
    }

    fn prune(&mut self) {
        let floor = self.floor;
        self.stored.retain(|rows| rows.end() > floor);
        if let Some(stream) = &mut self.stream {
            stream.plans.retain(|plan| plan.rows.end() > floor);
        }
    }

    /// Adds lines to the file, durably, or writes it anew with them.
    fn write(&mut self, mut lines: Vec<Line>) -> io::Result<()> {
        // Until it is known that the file is whole, it is not.
        let journal = self.journal.take().filter(|journal| journal.size() < MAX_SIZE);
        let journal = match journal {
            Some(mut journal) => {
                if self.floor > self.written_floor {
                    lines.push(Line::Floor(self.floor));
                }
                journal.append(&text(&lines)?)?;
                journal
            }
            None => {
                // What is settled below the floor is in no other line any more.
                let mut all = vec![Line::Spool(self.spool), Line::Floor(self.floor)];
                all.extend(self.stored.iter().cloned().map(Line::Stored));
                if let Some(Open { name, next, plans }) = &self.stream {
                    all.push(Line::Stream { name: name.clone(), next: *next });
                    all.extend(plans.iter().cloned().map(Line::Plan));
                }
                all.append(&mut lines);
                journal::replace(&self.path, &text(&all)?)?
            }
        };
        self.journal = Some(journal);
        self.written_floor = self.floor;
        Ok(())
    }
}

impl Open {
    fn put(&mut self, plan: Plan) {
        self.plans.retain(|known| known.end() <= plan.at);
        self.next = plan.end();
        self.plans.push(plan);
    }
}

fn text(lines: &[Line]) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    for line in lines {
        serde_json::to_writer(&mut text, line)?;
        text.push(b'\n');
    }
    Ok(text)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn open(path: &Path, spool: u64) -> Memory {
        let mut memory = Memory::new(path, spool);
        memory.load().unwrap();
        memory
    }

    fn plan(at: u64, rows: &[Position]) -> Plan {
        Plan::new(at, Runs::of(rows.iter().copied()))
    }

    fn settled(memory: &Memory, upto: Position) -> Vec<Position> {
        (0..upto).filter(|position| memory.is_settled(*position)).collect()
    }

    #[test]
    fn the_count_of_a_stream_tells_which_rows_are_stored() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("direct.offsets");
        let mut memory = open(&path, 7);
        assert_eq!((memory.stream(), memory.doubtful()), (None, 0));
        memory.begin("s1").unwrap();
        memory.plan(vec![plan(0, &[0, 1, 2]), plan(3, &[3, 5])]).unwrap();
        memory.acked(0);
        assert_eq!(settled(&memory, 9), [0, 1, 2]);
        // Refused: the next ones stand in its place.
        memory.plan(vec![plan(3, &[5]), plan(4, &[4, 6])]).unwrap();
        drop(memory);

        let mut memory = open(&path, 7);
        assert_eq!((memory.stream(), memory.doubtful()), (Some(("s1".into(), 6)), 6));
        assert_eq!(settled(&memory, 9), [0; 0], "an acknowledgement is not written down");
        memory.counted(5).unwrap();
        assert_eq!(settled(&memory, 9), [0, 1, 2, 4, 5], "and the first row of what was stored in part");
        memory.begin("s2").unwrap();
        memory.settled_below(2);
        memory.plan(vec![plan(0, &[3])]).unwrap();
        drop(memory);

        let mut memory = open(&path, 7);
        assert_eq!((settled(&memory, 9), memory.doubtful()), (vec![0, 1, 2, 4, 5], 1));
        memory.settled_below(7);
        assert_eq!((memory.stream(), memory.doubtful()), (Some(("s2".into(), 1)), 0));
        memory.plan(vec![plan(1, &[8])]).unwrap();
        // The offset survives though the plans before it are gone.
        memory.settled_below(9);
        memory.journal = None;
        memory.plan(vec![plan(2, &[9])]).unwrap();
        drop(memory);
        assert_eq!(open(&path, 7).stream(), Some(("s2".into(), 3)));
        assert_eq!(open(&path, 8).stream(), None, "of another spool");
    }

    /// The process ends when a stream is counted and the next one is not created: of the old one nothing is asked again,
    /// and what it held is not sent again.
    #[test]
    fn what_was_counted_is_known_before_the_next_stream_is_begun() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("direct.offsets");
        let mut memory = open(&path, 7);
        memory.begin("s1").unwrap();
        memory.plan(vec![plan(0, &[0, 1, 2]), plan(3, &[3, 4])]).unwrap();
        memory.acked(0);
        memory.counted(4).unwrap();
        drop(memory);

        let mut memory = open(&path, 7);
        assert_eq!((memory.stream(), memory.doubtful()), (None, 0), "nobody is asked about `s1` again");
        assert_eq!(settled(&memory, 9), [0, 1, 2, 3]);
        // It is written anew with the first change.
        memory.begin("s2").unwrap();
        drop(memory);
        assert_eq!(settled(&open(&path, 7), 9), [0, 1, 2, 3]);
    }

    /// The spool's own position may be older than the file, when the process is killed.
    #[test]
    fn what_is_settled_stays_so_in_a_file_that_is_written_anew() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("direct.offsets");
        let mut memory = open(&path, 7);
        memory.begin("s1").unwrap();
        memory.plan(vec![plan(0, &[0, 1, 2])]).unwrap();
        memory.acked(0);
        memory.settled_below(3);
        memory.plan(vec![plan(3, &[3])]).unwrap();
        memory.counted(3).unwrap();
        drop(memory);
        assert_eq!(settled(&open(&path, 7), 9), [0, 1, 2]);
    }

    #[test]
    fn a_line_that_was_cut_off_was_never_sent() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("direct.offsets");
        let mut memory = open(&path, 7);
        memory.begin("s1").unwrap();
        memory.plan(vec![plan(0, &[0])]).unwrap();
        let whole = std::fs::metadata(&path).unwrap().len();
        memory.plan(vec![plan(1, &[1])]).unwrap();
        drop(memory);
        let file = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
        file.set_len(whole + 3).unwrap();
        assert_eq!(open(&path, 7).stream(), Some(("s1".into(), 1)));
    }

    #[test]
    fn the_file_stays_small() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("direct.offsets");
        let mut memory = open(&path, 7);
        memory.begin("s1").unwrap();
        let mut next = 0;
        for round in 0..300 {
            // No two next to each other: the longest form there is.
            let rows: Vec<_> = (0..1_000).map(|n| round * 10_000 + 2 * n).collect();
            memory.plan(vec![plan(next, &rows)]).unwrap();
            memory.acked(next);
            next += 1_000;
            memory.settled_below(round * 10_000);
        }
        assert!(std::fs::metadata(&path).unwrap().len() < 2 * MAX_SIZE);
        assert_eq!(open(&path, 7).stream(), Some(("s1".into(), next)));
    }
}

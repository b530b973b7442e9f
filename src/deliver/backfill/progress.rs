//! How many rows of a backfill are in its spool.

use std::{
    io,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use crate::deliver::{
    Position,
    journal::{self, Journal},
};

/// See the module.
pub struct Progress {
    pub path: PathBuf,
    journal: Journal,
    rows: u64,
    /// Where the spool ended then.
    end: Position,
    /// The rows after these were refused.
    failed: bool,
    done: Option<u64>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Line {
    /// So many rows are in the spool, which ends there.
    Read { rows: u64, end: Position },
    /// The rows after these are not.
    Failed,
    /// All of them are delivered.
    Done { rows: u64 },
}

impl Progress {
    pub fn open(path: &Path) -> io::Result<Progress> {
        let (mut at, mut failed, mut done) = ((0, 0), false, None);
        for line in journal::read(path)? {
            match line {
                Line::Read { rows, end } => (at, failed) = ((rows, end), false),
                Line::Failed => failed = true,
                Line::Done { rows } => done = Some(rows),
            }
        }
        let (rows, end) = at;
        Ok(Progress { path: path.to_owned(), journal: Journal::open(path)?, rows, end, failed, done })
    }

    /// All rows, when they are delivered.
    pub fn done(&self) -> Option<u64> {
        self.done
    }

    /// Rows in the spool, which ends at `end`. A process that died may have put more there than it wrote down.
    pub fn read(&mut self, end: Position) -> u64 {
        if !self.failed {
            self.rows += end.saturating_sub(self.end);
        }
        self.end = end.max(self.end);
        self.rows
    }

    /// Where the spool ends.
    pub fn end(&self) -> Position {
        self.end
    }

    /// More rows are in the spool, which ends at `end` now.
    pub fn add(&mut self, rows: u64, end: Position) -> io::Result<()> {
        self.rows += rows;
        self.end = end;
        self.write(&Line::Read { rows: self.rows, end })
    }

    /// The spool has refused the rows that followed.
    pub fn failed(&mut self) -> io::Result<()> {
        self.write(&Line::Failed)
    }

    pub fn finish(&mut self, rows: u64) -> io::Result<()> {
        self.write(&Line::Done { rows })
    }

    fn write(&mut self, line: &Line) -> io::Result<()> {
        let mut text = serde_json::to_vec(line)?;
        text.push(b'\n');
        self.journal.append(&text)
    }
}

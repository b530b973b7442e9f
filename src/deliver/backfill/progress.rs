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
    /// The file.
    pub path: PathBuf,
    journal: Journal,
    rows: u64,
    /// Where the spool ended then.
    end: Position,
    /// The rows after these were refused.
    failed: bool,
    done: Option<u64>,
}

/// The line that says that rows were refused, as a person may have to write it.
pub const FAILED: &str = r#""failed""#;

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
    /// Of what an earlier process left in the file.
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
    pub fn read(&mut self, end: Position) -> io::Result<u64> {
        if self.failed {
            // What comes from here on counts again, also when nobody lives to write it down.
            self.add(0, end.max(self.end))?;
            self.failed = false;
        } else {
            self.rows = self.rows.saturating_add(end.saturating_sub(self.end));
            self.end = end.max(self.end);
        }
        Ok(self.rows)
    }

    /// Where the spool ends.
    pub fn end(&self) -> Position {
        self.end
    }

    /// More rows are in the spool, which ends at `end` now.
    pub fn add(&mut self, rows: u64, end: Position) -> io::Result<()> {
        self.rows = self.rows.saturating_add(rows);
        self.end = end;
        self.write(&Line::Read { rows: self.rows, end })
    }

    /// The spool has refused the rows that followed.
    pub fn failed(&mut self) -> io::Result<()> {
        self.write(&Line::Failed)
    }

    /// All of them are delivered.
    pub fn finish(&mut self, rows: u64) -> io::Result<()> {
        self.write(&Line::Done { rows })
    }

    /// On a disk that takes nothing more.
    #[cfg(test)]
    pub fn on_a_full_disk(&mut self) {
        self.journal = Journal::full().expect("this system has `/dev/full`");
    }

    fn write(&mut self, line: &Line) -> io::Result<()> {
        let mut text = serde_json::to_vec(line)?;
        text.push(b'\n');
        self.journal.append(&text)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    /// A process begins, with the spool's end as it finds it; what it takes for read.
    fn begin(path: &Path, end: Position) -> (Progress, u64) {
        let mut progress = Progress::open(path).unwrap();
        let read = progress.read(end).unwrap();
        (progress, read)
    }

    #[test]
    fn what_a_killed_run_put_into_the_spool_counts() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("progress");
        let (mut progress, read) = begin(&path, 0);
        assert_eq!(read, 0);
        progress.add(10, 10).unwrap();
        assert_eq!(begin(&path, 30).1, 30);
        assert_eq!(begin(&path, 30).1, 30, "killed before it wrote anything");
    }

    #[test]
    fn positions_of_refused_rows_do_not_count_but_those_that_follow_do() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("progress");
        let (mut progress, _) = begin(&path, 0);
        progress.add(10, 10).unwrap();
        progress.failed().unwrap();
        drop(progress);
        assert_eq!(begin(&path, 15).1, 10, "five positions that no row has");
        // That one was killed when twenty rows were in the spool and not yet here.
        assert_eq!(begin(&path, 35).1, 30);
        assert_eq!(begin(&path, 35).1, 30);
    }
}

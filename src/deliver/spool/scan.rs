//! Walks the records of one segment file through a window, from any record's start to a given end.

use std::{io, sync::Arc};

use bytes::Bytes;

use super::{
    files::Input,
    frame::{self, Key, Step},
    windows::{WINDOW, Windows},
};
use crate::deliver::Position;

/// A disk that cannot read a sector fails the whole read; sectors are told apart at this size.
const SECTOR: usize = 4 << 10;

/// What a segment holds, one thing after the other.
#[derive(Debug, PartialEq)]
pub enum Found {
    /// A row.
    Row {
        /// Its place in the spool.
        position: Position,
        /// Rows of the same write before it.
        preceding: u32,
        /// Its payload, checked.
        payload: Bytes,
    },
    /// A seal.
    Seal {
        /// Position after the segment's last row.
        end: Position,
    },
    /// A whole record of an unknown version or kind.
    Unknown {
        /// Its place in the spool.
        position: Position,
    },
    /// A record with a damaged payload.
    Damaged {
        /// Its place in the spool.
        position: Position,
    },
    /// Bytes that are no record.
    Garbage,
}

/// The walk.
pub struct Scan {
    input: Arc<dyn Input>,
    key: Key,
    /// Bytes of the file from `base` on.
    window: Bytes,
    base: u64,
    at: usize,
    /// Where in the file reading ends.
    end: u64,
    windows: Windows,
}

impl Scan {
    /// Walks `input` from `offset`, where a record begins, to `end`.
    pub fn new(input: Arc<dyn Input>, key: Key, offset: u64, end: u64) -> Scan {
        Scan { input, key, window: Bytes::new(), base: offset, at: 0, end, windows: Windows::default() }
    }

    /// Reads into the memory of another walk.
    pub fn with(self, windows: Windows) -> Scan {
        Scan { windows, ..self }
    }

    /// Leaves the memory to another walk.
    pub fn into_windows(mut self) -> Windows {
        self.windows.lend(self.window);
        self.windows
    }

    /// Gives memory back that is not needed as long as nothing is read.
    pub fn rest(&mut self) {
        self.windows.release();
    }

    /// Walks further, in a file that has grown.
    pub fn extend(&mut self, end: u64) {
        self.end = self.end.max(end);
    }

    /// Where in the file the walk stands.
    pub fn offset(&self) -> u64 {
        self.base + self.at as u64
    }

    /// The next thing; nothing at the end. Consecutive garbage is one thing.
    pub fn next(&mut self) -> io::Result<Option<Found>> {
        let mut garbage = false;
        loop {
            let step = frame::step(&self.window, self.at, self.key);
            let at_end = self.base + self.window.len() as u64 >= self.end;
            let found = match step {
                Step::Short { needed } if !at_end => {
                    self.fill(needed)?;
                    continue;
                }
                // A record cut off by the end, or the last bytes behind the last record.
                Step::Short { .. } => {
                    garbage |= self.at < self.window.len();
                    self.at = self.window.len();
                    return Ok(garbage.then_some(Found::Garbage));
                }
                Step::Garbage { next } => {
                    garbage = true;
                    self.at = next;
                    continue;
                }
                _ if garbage => return Ok(Some(Found::Garbage)),
                Step::Row { position, preceding, payload } => {
                    self.at = payload.end;
                    Found::Row { position, preceding, payload: self.window.slice(payload) }
                }
                Step::Seal { end, next } => {
                    self.at = next;
                    Found::Seal { end }
                }
                Step::Unknown { position, next } => {
                    self.at = next;
                    Found::Unknown { position }
                }
                Step::Damaged { position, next } => {
                    self.at = next;
                    Found::Damaged { position }
                }
            };
            return Ok(Some(found));
        }
    }

    /// Moves the window up to where the walk stands, and reads at least `needed` bytes, if there are as many.
    fn fill(&mut self, needed: usize) -> io::Result<()> {
        let base = self.offset();
        let wanted = (needed.max(WINDOW) as u64).min(self.end - base) as usize;
        let mut bytes = self.windows.take(wanted);
        let kept = self.window.len() - self.at;
        bytes[..kept].copy_from_slice(&self.window[self.at..]);
        let mut filled = kept;
        while filled < wanted {
            match read(&*self.input, &mut bytes[filled..], base + filled as u64)? {
                // The file is shorter than it was: its end is here.
                0 => {
                    self.end = base + filled as u64;
                    break;
                }
                n => filled += n,
            }
        }
        bytes.truncate(filled);
        self.windows.lend(std::mem::replace(&mut self.window, bytes.freeze()));
        (self.base, self.at) = (base, 0);
        Ok(())
    }
}

/// Reads, and takes a sector that the disk cannot read for zeros: its records are found damaged, the others are not
/// lost with them.
fn read(input: &dyn Input, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
    loop {
        match input.read_at(bytes, offset) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.raw_os_error() == Some(EIO) => break,
            result => return result,
        }
    }
    let to_boundary = SECTOR - (offset % SECTOR as u64) as usize;
    let sector = to_boundary.min(bytes.len());
    match input.read_at(&mut bytes[..sector], offset) {
        Err(error) if error.raw_os_error() == Some(EIO) => {
            tracing::warn!(offset, "a sector of the spool cannot be read");
            bytes[..sector].fill(0);
            Ok(sector)
        }
        result => result,
    }
}

/// "input/output error", the same number on every Unix.
const EIO: i32 = 5;

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::schema::{Date, Row};

    struct Fragile(Vec<u8>, Option<u64>);

    impl Input for Fragile {
        fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
            let from = (offset as usize).min(self.0.len());
            // One odd number of bytes at a time, as a file may.
            let len = bytes.len().min(self.0.len() - from).min(70_001);
            if self.1.is_some_and(|bad| (offset..offset + len as u64).contains(&bad)) {
                return Err(io::Error::from_raw_os_error(EIO));
            }
            bytes[..len].copy_from_slice(&self.0[from..from + len]);
            Ok(len)
        }
    }

    fn walk(sizes: &[usize], bad: Option<u64>) -> Vec<Found> {
        let key = Key::of(1);
        let mut bytes = Vec::new();
        for (n, &size) in sizes.iter().enumerate() {
            let row = Row::from_parts(Date(0), "1".into(), "", &vec![7; size]);
            frame::encode(&row, n as u64, 0, key, &mut bytes);
        }
        let end = bytes.len() as u64;
        let mut scan = Scan::new(Arc::new(Fragile(bytes, bad)), key, 0, end);
        let mut found = Vec::new();
        while let Some(thing) = scan.next().unwrap() {
            found.push(thing);
        }
        assert_eq!(scan.offset(), end);
        found
    }

    fn positions(found: &[Found]) -> Vec<Position> {
        found.iter().filter_map(|f| if let Found::Row { position, .. } = f { Some(*position) } else { None }).collect()
    }

    #[test]
    fn records_longer_than_the_window_are_read() {
        let found = walk(&[10, 1_000_000, 10, 300_000, 0], None);
        assert_eq!(positions(&found), [0, 1, 2, 3, 4]);
        assert_eq!(found.len(), 5);
    }

    #[test]
    fn an_unreadable_sector_costs_only_the_records_in_it() {
        let found = walk(&[3_000; 200], Some(100_000));
        // Bytes 98304 to 102400 are gone; a record has 3045.
        let lost = [32, 33];
        assert_eq!(positions(&found), (0..200).filter(|p| !lost.contains(p)).collect::<Vec<_>>());
    }
}

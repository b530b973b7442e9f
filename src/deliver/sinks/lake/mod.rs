//! A folder of Parquet files that any engine can query while it grows.
//!
//! ```text
//! <directory>/events/day=2026-05-17/part-<spool>-<first>-<last>.parquet        as written
//! <directory>/events/day=2026-05-17/part-<spool>-<first>-<last>-m<n>.parquet   after the n-th merge
//! <directory>/.staging/                                                        everything unfinished
//! ```
//!
//! **What stands under `events` is complete and stands there once, at every moment**, also for a reader who looks while
//! we are down. Nothing is written there: files grow in `.staging`, which engines that ignore the leading dot (DuckDB,
//! Polars) never see because it lies beside `events`, are synced, and appear by one rename. Both folders must be on
//! one file system.
//!
//! **Exactly once.** A row is known by its spool and its position there. Rows of one day are written in the order of
//! their positions, so the highest `last` among a day's files is that day's watermark: after a crash the courier
//! brings rows again, and those at or below the watermark are skipped. The file name is the whole manifest; no other
//! state can be lost.
//!
//! **Merging.** Small files become few (`policy`), each sorted by `user_pseudo_id`, then `event_name`, nulls first
//! (`order`, `merge`). Many files cannot be replaced by one in a single rename, but a folder can be exchanged
//! for another: `swap` builds the day as it shall be, with hard links to the untouched files, and exchanges the two.
//! A mutex per day keeps a writer's rename and an exchange apart.
//!
//! A query that listed a day before an exchange and opens its files after it ends with "no such file" and has to be
//! run again; it never sees a row twice or misses one silently. The files replaced stay in `.staging` for a while, so
//! that a listing in progress still finishes.

mod columns;
mod compactor;
mod merge;
mod name;
mod order;
mod policy;
mod recovery;
mod swap;
#[cfg(test)]
mod tests;
mod writer;

use std::{
    collections::{BTreeSet, HashMap},
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    time::Instant,
};

use bytes::Bytes;
use parking_lot::Mutex;

pub use compactor::Compactor;
pub use merge::Merged;
pub use name::FileName;
pub use writer::Rejected;

use super::super::sink::Position;
use crate::schema::Date;

/// What can go wrong with files.
#[derive(Debug, thiserror::Error)]
pub enum LakeError {
    /// The file system.
    #[error("cannot {action} `{}`: {source}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On which file or folder.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// The Parquet or Arrow library.
    #[error("cannot {action} `{}`: {source}", path.display())]
    Parquet {
        /// What was tried.
        action: &'static str,
        /// On which file.
        path: PathBuf,
        /// Why it failed.
        source: ::parquet::errors::ParquetError,
    },
    /// A file that has not the columns of the others, because another version wrote it.
    #[error("`{}` has other columns than its neighbours", path.display())]
    OtherColumns {
        /// Which file.
        path: PathBuf,
    },
    /// The process is stopping.
    #[error("interrupted")]
    Interrupted,
}

impl LakeError {
    fn io<'a>(action: &'static str, path: &'a Path) -> impl FnOnce(io::Error) -> LakeError + use<'a> {
        move |source| LakeError::Io { action, path: path.into(), source }
    }

    fn is_about(&self, file: &Path) -> bool {
        match self {
            LakeError::Parquet { path, .. } | LakeError::OtherColumns { path } => path == file,
            LakeError::Io { .. } | LakeError::Interrupted => false,
        }
    }

    /// The cause, when it is the file system's; also when the Parquet library wraps it.
    pub fn io_error(&self) -> Option<&io::Error> {
        match self {
            LakeError::Io { source, .. } => Some(source),
            LakeError::Parquet { source: ::parquet::errors::ParquetError::External(cause), .. } => cause.downcast_ref(),
            _ => None,
        }
    }
}

/// One lake, written by one process and fed by one spool.
pub struct Lake {
    events: PathBuf,
    staging: PathBuf,
    spool: u64,
    /// End of the spool when it was opened: no position at or above it can be in the lake yet.
    spool_end: Position,
    /// Whether folders are exchanged in one step where the file system can.
    exchange: bool,
    days: Mutex<HashMap<Date, Arc<Mutex<Day>>>>,
    /// Days written to since the compactor looked.
    touched: Mutex<BTreeSet<Date>>,
    /// Whether [`prepare`](Lake::prepare) has ever succeeded.
    prepared: AtomicBool,
    /// Writes in progress; merging makes way for them.
    writing: AtomicUsize,
    /// Makes names in `.staging` unique within the process.
    staged: AtomicU64,
}

/// What the process remembers of a day. Its mutex is held by whoever changes the day's folder.
#[derive(Debug, Default)]
struct Day {
    /// Highest position of our spool in the day.
    watermark: Option<Position>,
    /// When a file was last added, if this process did.
    written: Option<Instant>,
}

impl Lake {
    /// The lake at `directory`, for rows of the spool with identity `spool`, which ended at `spool_end` when it was
    /// opened. Touches no disk: see [`prepare`](Lake::prepare).
    pub fn new(directory: &Path, spool: u64, spool_end: Position) -> Lake {
        Lake {
            events: directory.join("events"),
            staging: directory.join(".staging"),
            spool,
            spool_end,
            exchange: true,
            days: Mutex::default(),
            touched: Mutex::default(),
            prepared: AtomicBool::new(false),
            writing: AtomicUsize::new(0),
            staged: AtomicU64::new(0),
        }
    }

    /// Writes rows of one day, in spool order, and returns those which are no events. When it returns, the rows are
    /// on disk under their final name. Rows that are in the lake already are skipped.
    pub fn write(&self, date: Date, rows: &[(Position, Bytes)]) -> Result<Vec<Rejected>, LakeError> {
        let _busy = Busy::new(&self.writing);
        let day = self.day(date);
        let watermark = day.lock().watermark;
        let known = rows.partition_point(|(position, _)| watermark.is_some_and(|mark| *position <= mark));
        let fresh = &rows[known..];

        // The courier hears of a row that is no event after the batch was published; had the process died in between,
        // this is where it hears of it again. Such rows are dead letters by their position, so once is enough.
        let mut rejected = writer::unreadable(&rows[..known]);
        let mut staged = None;
        if let (Some((first, _)), Some((last, _))) = (fresh.first(), fresh.last()) {
            let path = self.staging_path("write", "tmp");
            let bytes: Vec<&[u8]> = fresh.iter().map(|(_, bytes)| bytes.as_ref()).collect();
            let written = Staged::new(path, |path| writer::write(path, &bytes))?;
            rejected.extend(written.value.rejected.iter().map(|r| Rejected { index: r.index + known, ..r.clone() }));
            step("written");
            if written.value.rows > 0 {
                staged = Some((written, FileName::fresh(self.spool, *first, *last), *last));
            }
        }

        let mut day = day.lock();
        let folder = self.folder(date);
        if let Some((written, name, last)) = staged {
            self.make_folder(&folder)?;
            let target = folder.join(name.to_string());
            step("folder made");
            written.publish(&target)?;
            step("published");
            day.watermark = Some(last);
            day.written = Some(Instant::now());
            self.touched.lock().insert(date);
        }
        // Also when every row was known: the crash that brought them again may have come before this sync.
        if folder.is_dir() {
            sync_folder(&folder)?;
        }
        Ok(rejected)
    }

    fn make_folder(&self, folder: &Path) -> Result<(), LakeError> {
        if folder.is_dir() {
            return Ok(());
        }
        // A day that a failed merge left aside is not new.
        swap::mend(folder, &self.staging)?;
        if !folder.is_dir() {
            fs::create_dir(folder).map_err(LakeError::io("create", folder))?;
            sync_folder(&self.events)?;
        }
        Ok(())
    }

    fn day(&self, date: Date) -> Arc<Mutex<Day>> {
        self.days.lock().entry(date).or_default().clone()
    }

    /// `events/day=…`.
    pub fn folder(&self, date: Date) -> PathBuf {
        self.events.join(format!("day={date}"))
    }

    /// The files of a day, in the order of their names, with their sizes in bytes.
    pub fn files(&self, date: Date) -> Result<Vec<(FileName, u64)>, LakeError> {
        let folder = self.folder(date);
        let mut files = Vec::new();
        for entry in read_folder(&folder)? {
            if let Some(name) = entry.file_name().to_str().and_then(FileName::parse) {
                let size = entry.metadata().map_err(LakeError::io("look at", &entry.path()))?.len();
                files.push((name, size));
            }
        }
        files.sort();
        Ok(files)
    }

    fn staging_path(&self, what: &str, extension: &str) -> PathBuf {
        let number = self.staged.fetch_add(1, Ordering::Relaxed);
        self.staging.join(format!("{what}-{number}.{extension}"))
    }

    /// Whether a writer waits for the disk or the processor.
    fn is_writing(&self) -> bool {
        self.writing.load(Ordering::Relaxed) > 0
    }
}

/// Counts a write in progress.
struct Busy<'a>(&'a AtomicUsize);

impl<'a> Busy<'a> {
    fn new(count: &'a AtomicUsize) -> Busy<'a> {
        count.fetch_add(1, Ordering::Relaxed);
        Busy(count)
    }
}

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A complete, synced file in `.staging`; removed unless it is published.
struct Staged<T> {
    path: PathBuf,
    value: T,
    published: bool,
}

impl<T> Staged<T> {
    /// Lets `write` make the file at `path`; a failure leaves nothing behind.
    fn new(path: PathBuf, write: impl FnOnce(&Path) -> Result<T, LakeError>) -> Result<Staged<T>, LakeError> {
        match write(&path) {
            Ok(value) => Ok(Staged { path, value, published: false }),
            Err(error) => {
                let _ = fs::remove_file(&path);
                Err(error)
            }
        }
    }

    /// Moves the file to its place.
    fn publish(mut self, target: &Path) -> Result<(), LakeError> {
        fs::rename(&self.path, target).map_err(LakeError::io("publish", target))?;
        self.published = true;
        Ok(())
    }
}

impl<T> Drop for Staged<T> {
    fn drop(&mut self) {
        if !self.published {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Makes the names in a folder durable.
fn sync_folder(folder: &Path) -> Result<(), LakeError> {
    File::open(folder).and_then(|file| file.sync_all()).map_err(LakeError::io("sync", folder))
}

/// The entries of a folder; none when it does not exist.
fn read_folder(folder: &Path) -> Result<Vec<fs::DirEntry>, LakeError> {
    match fs::read_dir(folder) {
        Ok(entries) => entries.collect::<Result<_, _>>().map_err(LakeError::io("list", folder)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(LakeError::io("list", folder)(error)),
    }
}

/// A moment at which a crash would leave the disk in a state of its own; tests look at each.
#[cfg(not(test))]
fn step(_name: &str) {}
#[cfg(test)]
use tests::step;

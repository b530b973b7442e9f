//! The spool: what stands between a 200 and data loss. A queue of rows on local disk, written by one thread, read by one
//! reader per sink.
//!
//! # What it promises
//!
//! - [`Spool::append`] returns `Ok` after the rows, and the name of the file that holds them, have been synced to disk.
//!   All rows of one call are kept, or none.
//! - Each consumer gets every acknowledged row, in order, at least once, from its last committed position on. After a
//!   crash, rows at the border may come again.
//! - A position is the sequence number of a row. It is never given to two acknowledged rows, in no two runs.
//! - Memory and disk are bounded: appends are refused, with the reason, rather than queued without end.
//! - Damage costs the records it hits, is counted, and stops nothing.
//!
//! # On disk
//!
//! ```text
//! spool/
//!   lock                            held while a process has the spool open
//!   identity                        random number, checksum
//!   00000000000000000000.segment    rows from position 0 on
//!   00000000000000081920.segment    rows from position 81920 on
//!   local.cursor                    consumer `local` has everything below this position
//! ```
//!
//! Files are for the owner's eyes only: they hold personal data.
//!
//! A segment is a header (`segment`: magic, format, identity, first position, checksum) and records (`frame`: marker,
//! version, length, position, two checksums, row). Within one segment positions have no gaps. The last segment is the
//! one being written; when it is full (64 MiB, or an eighth of `max_size`) the next one is begun, whose header says how
//! far the last one had been synced. An orderly end of the process leaves a seal record that says so. A segment that
//! every consumer is done with is removed; the last one never is, so that the position survives.
//!
//! A cursor (`cursor`) is written to a temporary name, synced and renamed, a few times a second at most. Losing the
//! newest one means re-delivery.
//!
//! # Writing
//!
//! `append` measures its rows, puts them into a bounded queue and waits. The writer (`writer`) takes all that wait,
//! encodes them into one buffer, writes once, syncs once, and wakes everyone (`bell`): while the disk syncs, and for
//! some milliseconds more, the next group gathers. A new segment's header is synced under a temporary name, renamed, and
//! the directory synced, before the first row goes in.
//!
//! When a write fails, for want of space say, the file is cut back and the group refused. When a sync fails, what the
//! kernel holds of the file is not to be trusted any more, and a second sync proves nothing: the file is never written
//! again, the group's positions are never given out again, and the next group begins a new segment. After either, all
//! appends are refused until a probe file could be written and synced; the keeper (`keeper`) tries twice a second.
//!
//! # Recovery
//!
//! Opening reads every segment that somebody still needs, from front to end (`recovery`), and begins a new one: no
//! process ever writes into a file that another one began. What a crash can leave behind:
//!
//! - *A cut-off or patchy write at the end of the last segment.* It was not acknowledged, since its sync had not
//!   returned. Whole records in it are kept (delivering an unacknowledged row is allowed), the rest is cut off. Every row
//!   says how many rows of its write come before it, so what lies before the last write is known to have been
//!   acknowledged: damage there is damage. (What no format can tell: whether a bad record of the very last write before a
//!   crash was torn or, acknowledged, was damaged in the moment since. An orderly end leaves a seal, and no such doubt.)
//! - *A segment without its name, a cursor without its name:* temporary names, removed.
//! - *A cursor older than the oldest segment,* because removals outlived it: it counts as the oldest segment's position.
//! - *A cursor newer than the last segment:* the next row's position is the highest that any file speaks of.
//! - *A segment that should have been removed:* removed now.
//!
//! Damage inside a segment (a flipped bit, a sector that cannot be read) costs the records it touches: the payload's
//! checksum fails and the header says where the next record begins, or the header's fails and the next marker with a
//! whole header is searched. Lost rows show as gaps between positions and are counted. Records of a version that this
//! binary does not know are skipped and counted likewise. A segment of a newer *format* is not opened at all.
//!
//! # Reading
//!
//! The newest rows, up to 16 MiB, stay in memory until every reader has them; a reader that is further behind reads
//! files (`reader`). With `durability: memory` there are no files, and memory keeps what is not committed.
//!
//! Model-checked against a `Vec`, with power cuts, full disks and bit flips between any two file operations: `model`.

mod bell;
mod config;
mod cursor;
mod error;
mod files;
pub mod frame;
mod identity;
mod keeper;
mod log;
mod queue;
mod reader;
mod recovery;
mod scan;
mod segment;
mod shared;
mod vigil;
mod walk;
mod windows;
mod writer;

#[cfg(test)]
mod model;
#[cfg(test)]
mod sim;
#[cfg(test)]
mod tests;

use std::{
    collections::VecDeque,
    fs::File,
    path::Path,
    sync::{Arc, atomic::Ordering},
    thread,
};

use bytesize::ByteSize;
use parking_lot::Mutex;

use self::{
    config::Limits,
    files::{Directory, Files},
    log::{Consumer, Log},
    recovery::Restored,
    shared::{Owner, Shared},
    writer::Writer,
};
pub use self::{
    config::{Config, Durability},
    error::{SpoolError, SpoolFull},
    reader::Reader,
    recovery::{Backlog, Recovery},
};
use crate::{
    deliver::{Position, lock},
    schema::Row,
};

/// Most bytes of rows without files, whatever `max_size` says: it was meant for a disk.
const MAX_IN_MEMORY: u64 = 256 << 20;

/// The spool; clones are the same one. Closed when the last clone and the last [`Reader`] are dropped, if not before.
#[derive(Clone)]
pub struct Spool(Arc<Owner>);

impl Spool {
    /// Opens the spool, with one reader per consumer, in the same order. Blocks while what an earlier process left is
    /// read. Consumers must have names that are good file names.
    pub fn open(config: &Config, consumers: &[&'static str]) -> Result<(Spool, Vec<Reader>, Recovery), SpoolError> {
        if config.durability == Durability::Memory {
            return Ok(Spool::in_memory(config.max_size.as_u64(), consumers));
        }
        let path = &config.directory;
        let what = path.to_string_lossy();
        let files = Directory::open(path).map_err(SpoolError::io("create", &what))?;
        let lock = lock(path)?;
        Spool::on(Arc::new(files), path, Some(lock), Limits::of(config.max_size.as_u64()), consumers)
    }

    fn in_memory(max_size: u64, names: &[&'static str]) -> (Spool, Vec<Reader>, Recovery) {
        let max_size = max_size.min(MAX_IN_MEMORY);
        tracing::warn!(
            max_size = %ByteSize(max_size),
            "spool is in memory: events that were answered and not yet delivered are lost when the process ends, \
             crashes or is killed; set `writers.spool.durability: disk` to keep them"
        );
        let consumer = |name: &&'static str| Consumer { name, read: 0, committed: 0, persisted: None };
        let log = Log::new(0, VecDeque::new(), names.iter().map(consumer).collect(), true);
        let limits = Limits { max_size, ..Limits::of(0) };
        let shared = Shared::new(identity::random(), Path::new(""), limits, log, Durability::Memory);
        let backlog = |consumer: &&'static str| Backlog { consumer, position: 0, streams: Default::default() };
        let recovery = Recovery { consumers: names.iter().map(backlog).collect(), ..Recovery::default() };
        let owner = Arc::new(Owner { shared: Arc::new(shared), threads: Mutex::default(), lock: Mutex::default() });
        let readers = (0..names.len()).map(|index| Reader::new(owner.clone(), index, 0, None)).collect();
        (Spool(owner), readers, recovery)
    }

    fn on(
        files: Arc<dyn Files>,
        directory: &Path,
        lock: Option<File>,
        limits: Limits,
        names: &[&'static str],
    ) -> Result<(Spool, Vec<Reader>, Recovery), SpoolError> {
        let Restored { id, segments, next, assured, consumers, holes, recovery } = recovery::restore(&*files, names)?;
        let positions: Vec<_> = consumers.iter().map(|consumer| consumer.committed).collect();
        let mut log = Log::new(next, segments, consumers, false);
        for (from, to) in holes {
            log.add_hole(from, to, false);
        }
        let shared = Arc::new(Shared::new(id, directory, limits, log, Durability::Disk));

        let mut writer = Writer::new(shared.clone(), files.clone(), assured);
        writer.begin().map_err(SpoolError::io("begin", "a segment"))?;
        let start = |name: &str, run: Box<dyn FnOnce() + Send>| {
            thread::Builder::new().name(name.to_owned()).spawn(run).map_err(SpoolError::io("start", name))
        };
        let writer = start("spool-writer", Box::new(move || writer.run()))?;
        let owner =
            Arc::new(Owner { shared: shared.clone(), threads: Mutex::new(vec![writer]), lock: Mutex::new(lock) });
        let kept = files.clone();
        let keeper = start("spool-keeper", Box::new(move || keeper::run(&shared, &*kept)))?;
        owner.threads.lock().push(keeper);
        // Cursors of new consumers, and segments that nobody needs.
        owner.shared.keeper.wake();

        let reader = |(index, position)| Reader::new(owner.clone(), index, position, Some(files.clone()));
        let readers = positions.into_iter().enumerate().map(reader).collect();
        Ok((Spool(owner), readers, recovery))
    }

    /// Keeps the rows. When this returns `Ok` they are as durable as configured; otherwise none of them is kept. Dropped
    /// before, it leaves open which. Returns a position above all of them, for [`Spool::done`].
    pub async fn append(&self, rows: Vec<Row>) -> Result<Position, SpoolFull> {
        if rows.is_empty() {
            return Ok(0);
        }
        let shared = &self.0.shared;
        let mut size = 0;
        for row in &rows {
            let len = frame::encoded_len(row);
            if len > frame::MAX_PAYLOAD {
                return Err(SpoolFull::TooLarge);
            }
            size += len;
        }
        if shared.durability == Durability::Memory {
            return shared.keep_in_memory(rows, size);
        }
        let waiting = shared.queue.push(rows, size, shared.room())?;
        // The writer answers everyone before it ends, unless it ends by a bug.
        waiting.await.unwrap_or(Err(SpoolFull::Closed))
    }

    /// Returns when every consumer has committed everything below `upto`. May be given up at any time.
    pub async fn done(&self, upto: Position) {
        let shared = &self.0.shared;
        let watch = shared.vigil.begin(upto, &shared.queue);
        if shared.log.lock().committed() >= upto {
            return;
        }
        watch.over().await;
    }

    /// Whether anybody waits by [`done`](Spool::done) for the row at this position, or for one behind it.
    pub fn awaits(&self, position: Position) -> bool {
        self.0.shared.vigil.awaits(position)
    }

    /// Whether so many wait for [`Spool::done`] that no more should.
    pub fn is_crowded(&self) -> bool {
        self.0.shared.vigil.is_crowded()
    }

    /// Random identity of this spool, made once. Positions are unique within it.
    pub fn id(&self) -> u64 {
        self.0.shared.id
    }

    /// Position after the last durable row.
    pub fn end(&self) -> Position {
        self.0.shared.log.lock().end()
    }

    /// Bytes it takes.
    pub fn bytes(&self) -> u64 {
        self.0.shared.bytes.load(Ordering::Relaxed)
    }

    /// Most bytes it may take.
    pub fn max_bytes(&self) -> u64 {
        self.0.shared.limits.max_size
    }

    /// Rows that `consumer` has not committed; 0 for a consumer that the spool was not opened with.
    pub fn pending(&self, consumer: &str) -> u64 {
        let log = self.0.shared.log.lock();
        let index = log.consumers.iter().position(|known| known.name == consumer);
        index.map_or(0, |index| log.pending(index))
    }

    /// Why an append of a request's usual size would be refused now; nothing when it would not.
    pub fn refusal(&self) -> Option<SpoolFull> {
        /// A request of the largest body there is.
        const USUAL: usize = 1 << 20;
        let shared = &self.0.shared;
        let usual = USUAL.min(shared.limits.max_size as usize / 16);
        if shared.durability == Durability::Memory {
            let log = shared.log.lock();
            return shared.refusal_in_memory(&log, usual);
        }
        shared.queue.refusal(usual, shared.room())
    }

    /// Ends the spool's intake: appends are refused from now on, those that wait are still made durable, cursors are
    /// written. Readers then read to the end, and may still commit.
    pub async fn close(&self) {
        let shared = &self.0.shared;
        shared.queue.close();
        if shared.durability == Durability::Memory {
            shared.finish();
        }
        loop {
            let finished = shared.durable.notified();
            let mut finished = std::pin::pin!(finished);
            finished.as_mut().enable();
            if shared.log.lock().closed {
                return;
            }
            finished.await;
        }
    }

    /// Lets another process have the directory, though clones of a closed spool may live on. Call when it is closed
    /// and every [`Reader`] is gone.
    pub fn release(&self) {
        self.0.lock.lock().take();
    }
}

fn lock(directory: &Path) -> Result<File, SpoolError> {
    let path = directory.join("lock");
    let file = lock::exclusive(&path).map_err(SpoolError::io("lock", &path.to_string_lossy()))?;
    file.ok_or_else(|| SpoolError::InUse(directory.to_owned()))
}

//! What the handles of a spool, its readers and its threads have in common.

use std::{
    fs::File,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread::JoinHandle,
};

use parking_lot::Mutex;
use tokio::sync::Notify;

use super::{
    SpoolFull,
    config::{Durability, Limits},
    frame::Key,
    keeper::Keeper,
    log::{Group, Log, Place},
    queue::Queue,
    vigil::Vigil,
};
use crate::{deliver::Position, schema::Row};

/// What handles and threads share.
pub(super) struct Shared {
    pub(super) id: u64,
    pub(super) key: Key,
    pub(super) directory: PathBuf,
    pub(super) limits: Limits,
    pub(super) durability: Durability,
    pub(super) queue: Queue,
    pub(super) log: Mutex<Log>,
    /// `Log::bytes`, for a look without the lock.
    pub(super) bytes: AtomicU64,
    /// Woken when rows became durable, and when the spool was closed.
    pub(super) durable: Notify,
    pub(super) vigil: Vigil,
    pub(super) keeper: Keeper,
}

impl Shared {
    pub(super) fn new(id: u64, directory: &Path, limits: Limits, log: Log, durability: Durability) -> Shared {
        let bytes = log.bytes().into();
        let (queue, durable, keeper) = (Queue::default(), Notify::new(), Keeper::default());
        let vigil = Vigil::default();
        let (key, directory, log) = (Key::of(id), directory.to_owned(), Mutex::new(log));
        Shared { id, key, directory, limits, durability, queue, log, bytes, durable, vigil, keeper }
    }

    /// To be called whenever the log's bytes have changed.
    pub(super) fn publish(&self, log: &Log) {
        self.bytes.store(log.bytes(), Ordering::Relaxed);
    }

    pub(super) fn room(&self) -> u64 {
        self.limits.max_size.saturating_sub(self.bytes.load(Ordering::Relaxed))
    }

    pub(super) fn refusal_in_memory(&self, log: &Log, size: usize) -> Option<SpoolFull> {
        if log.closed {
            return Some(SpoolFull::Closed);
        }
        (log.bytes() + size as u64 > self.limits.max_size).then_some(SpoolFull::Size)
    }

    pub(super) fn keep_in_memory(&self, rows: Vec<Row>, size: usize) -> Result<Position, SpoolFull> {
        let mut log = self.log.lock();
        if let Some(refusal) = self.refusal_in_memory(&log, size) {
            return Err(refusal);
        }
        let first = log.end();
        log.push(Group { first, rows, size, place: Place::default() });
        self.publish(&log);
        let end = log.end();
        drop(log);
        self.durable.notify_waiters();
        Ok(end)
    }

    /// Nothing more will come.
    pub(super) fn finish(&self) {
        self.log.lock().closed = true;
        self.durable.notify_waiters();
    }
}

/// Ends the threads when nobody is left who could use them.
pub(super) struct Owner {
    pub(super) shared: Arc<Shared>,
    /// The writer, then the keeper.
    pub(super) threads: Mutex<Vec<JoinHandle<()>>>,
    /// Held until the threads have ended.
    pub(super) lock: Mutex<Option<File>>,
}

impl Drop for Owner {
    fn drop(&mut self) {
        self.shared.queue.close();
        let mut threads = std::mem::take(self.threads.get_mut()).into_iter();
        for thread in threads.by_ref().take(1) {
            // A panic has been reported by the panic hook.
            let _ = thread.join();
        }
        self.shared.keeper.stop();
        for thread in threads {
            let _ = thread.join();
        }
    }
}

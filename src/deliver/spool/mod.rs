//! Stand-in with the spool's signatures: rows in memory, shared by everyone who opens the same directory in this
//! process.

use std::{
    collections::{BTreeMap, HashMap},
    path::PathBuf,
    sync::{Arc, LazyLock},
};

use bytesize::ByteSize;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;

use super::{Position, Spooled};
use crate::{
    problem::Problem,
    schema::{Row, StreamId},
};

/// Where and how rows wait.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Folder.
    pub directory: PathBuf,
    /// Promise behind a 200.
    pub durability: Durability,
    /// Most bytes.
    pub max_size: ByteSize,
}

impl Default for Config {
    fn default() -> Config {
        Config { directory: "data/spool".into(), durability: Durability::Disk, max_size: ByteSize::gb(10) }
    }
}

impl Config {
    /// What is wrong.
    pub fn check(&self, _path: &str, _problems: &mut Vec<Problem>) {}
}

/// Promise behind a 200.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Durability {
    /// Synced.
    Disk,
    /// Not.
    Memory,
}

/// No room.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SpoolFull {
    /// At its size.
    #[error("the spool has reached its size")]
    Size,
    /// Closed.
    #[error("the spool is closed")]
    Closed,
}

/// Cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum SpoolError {
    /// Someone else has it.
    #[error("spool `{0}` is in use by another process")]
    InUse(PathBuf),
}

/// What was there.
#[derive(Clone, Debug, Default)]
pub struct Recovery {
    /// What waits, per consumer.
    pub consumers: Vec<Backlog>,
    /// Damaged records skipped.
    pub damaged: u64,
}

/// What waits for one consumer.
#[derive(Clone, Debug)]
pub struct Backlog {
    /// Its name.
    pub consumer: &'static str,
    /// Where it goes on.
    pub position: Position,
    /// Rows by stream.
    pub streams: BTreeMap<StreamId, u64>,
}

#[derive(Default)]
struct State {
    id: u64,
    rows: Vec<Row>,
    bytes: u64,
    committed: HashMap<&'static str, Position>,
    open: bool,
}

struct Shared {
    state: Mutex<State>,
    changed: Notify,
    max: u64,
}

static ALL: LazyLock<Mutex<HashMap<PathBuf, State>>> = LazyLock::new(Mutex::default);

struct Handle {
    shared: Shared,
    directory: PathBuf,
}

impl Drop for Handle {
    fn drop(&mut self) {
        let state = std::mem::take(&mut *self.shared.state.lock());
        ALL.lock().insert(self.directory.clone(), State { open: false, ..state });
    }
}

/// The queue.
#[derive(Clone)]
pub struct Spool(Arc<Handle>);

/// One consumer's view.
pub struct Reader {
    spool: Spool,
    consumer: &'static str,
    at: Position,
}

impl Spool {
    /// Opens.
    pub fn open(config: &Config, consumers: &[&'static str]) -> Result<(Spool, Vec<Reader>, Recovery), SpoolError> {
        let mut all = ALL.lock();
        let state = all.entry(config.directory.clone()).or_default();
        if state.open {
            return Err(SpoolError::InUse(config.directory.clone()));
        }
        state.open = true;
        let mut state = State {
            id: if state.id == 0 { fastrand::u64(1..) } else { state.id },
            rows: std::mem::take(&mut state.rows),
            bytes: state.bytes,
            committed: std::mem::take(&mut state.committed),
            open: true,
        };
        let mut recovery = Recovery::default();
        for consumer in consumers {
            let from = *state.committed.entry(consumer).or_default();
            let mut streams = BTreeMap::<StreamId, u64>::new();
            for row in &state.rows[from as usize..] {
                *streams.entry(row.stream.clone()).or_default() += 1;
            }
            recovery.consumers.push(Backlog { consumer, position: from, streams });
        }
        let committed = state.committed.clone();
        let shared = Shared { state: Mutex::new(state), changed: Notify::new(), max: config.max_size.as_u64() };
        let spool = Spool(Arc::new(Handle { shared, directory: config.directory.clone() }));
        let reader = |consumer: &&'static str| Reader { spool: spool.clone(), consumer, at: committed[*consumer] };
        let readers = consumers.iter().map(reader).collect();
        Ok((spool, readers, recovery))
    }

    /// Appends.
    pub async fn append(&self, rows: Vec<Row>) -> Result<(), SpoolFull> {
        tokio::task::yield_now().await;
        let mut state = self.0.shared.state.lock();
        let size: u64 = rows.iter().map(|row| row.bytes().len() as u64).sum();
        if !state.open {
            return Err(SpoolFull::Closed);
        }
        if state.bytes + size > self.0.shared.max {
            return Err(SpoolFull::Size);
        }
        state.bytes += size;
        state.rows.extend(rows);
        drop(state);
        self.0.shared.changed.notify_waiters();
        Ok(())
    }

    /// Identity.
    pub fn id(&self) -> u64 {
        self.0.shared.state.lock().id
    }

    /// After the last row.
    pub fn end(&self) -> Position {
        self.0.shared.state.lock().rows.len() as u64
    }

    /// Size.
    pub fn bytes(&self) -> u64 {
        self.0.shared.state.lock().bytes
    }

    /// Why not.
    pub fn refusal(&self) -> Option<SpoolFull> {
        let state = self.0.shared.state.lock();
        (state.bytes >= self.0.shared.max).then_some(SpoolFull::Size)
    }

    /// Not committed.
    pub fn pending(&self, consumer: &str) -> u64 {
        let state = self.0.shared.state.lock();
        state.rows.len() as u64 - state.committed.get(consumer).copied().unwrap_or(0)
    }

    /// Closes.
    pub async fn close(&self) {
        self.0.shared.state.lock().open = false;
        self.0.shared.changed.notify_waiters();
    }
}

impl Reader {
    /// Next rows.
    pub async fn next(&mut self, max_rows: usize, max_bytes: usize) -> Vec<Spooled> {
        loop {
            let changed = self.spool.0.shared.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            {
                let state = self.spool.0.shared.state.lock();
                let mut found = Vec::new();
                let mut bytes = 0;
                for row in state.rows[self.at as usize..].iter().take(max_rows) {
                    bytes += row.bytes().len();
                    if bytes > max_bytes && !found.is_empty() {
                        break;
                    }
                    found.push(Spooled { position: self.at + found.len() as u64, row: row.clone() });
                }
                if !found.is_empty() || !state.open {
                    self.at += found.len() as u64;
                    return found;
                }
            }
            changed.await;
        }
    }

    /// Done below `upto`.
    pub fn commit(&mut self, upto: Position) {
        self.spool.0.shared.state.lock().committed.insert(self.consumer, upto);
    }

    /// Next row to read.
    pub fn position(&self) -> Position {
        self.at
    }

    /// Lost.
    pub fn skipped(&self) -> u64 {
        0
    }

    /// Reads again.
    pub fn rewind(&mut self, to: Position) {
        self.at = to;
    }
}

//! Where appends wait for the writer: bounded in bytes, emptied as a whole.

use std::{mem, thread, time::Duration};

use parking_lot::{Condvar, Mutex, MutexGuard};
use tokio::sync::oneshot;

use super::SpoolFull;
use crate::schema::Row;

/// Most bytes of records that wait for the disk: about a second of what a disk takes.
pub const MAX_QUEUED: usize = 64 << 20;

/// Rows that become durable together or not at all.
pub struct Append {
    /// The rows; never empty.
    pub rows: Vec<Row>,
    /// Bytes of their records.
    pub size: usize,
    /// Who waits. Gone when the client went away: the rows are written all the same.
    pub done: oneshot::Sender<Result<(), SpoolFull>>,
}

/// What the writer finds.
pub enum Work {
    /// The appends are to be written; there may be none.
    Write,
    /// The segment being written is to be ended, so that it can be removed.
    Roll,
    /// There is nothing left, and nothing more will come.
    Stop,
}

#[derive(Default)]
struct State {
    appends: Vec<Append>,
    /// Bytes of `appends`.
    queued: usize,
    /// Bytes the writer has taken and not yet made durable.
    in_flight: usize,
    roll: bool,
    closed: bool,
    /// The disk failed, and has not been seen to work again.
    failed: bool,
}

/// How long the writer lets more appends come when there is one.
///
/// Those it has just woken come back within moments, the first of them right away. Writing for that one alone would
/// let all others wait for two syncs, and make twice as many.
#[derive(Clone, Copy, Default)]
pub struct Gather {
    /// As many as are likely to come.
    pub likely: usize,
    /// What a sync takes.
    pub sync: Duration,
}

impl Gather {
    /// Looks every so many parts of a sync whether more have come.
    const STEPS: u32 = 16;
    /// And waits for this many at most.
    const MAX_STEPS: u32 = 4;
    /// Below this, sleeping costs more than it brings.
    const MIN_STEP: Duration = Duration::from_micros(50);

    fn wait(self, state: &mut MutexGuard<'_, State>) {
        let step = self.sync / Gather::STEPS;
        let enough = self.likely - self.likely / 8;
        let mut before = 0;
        for _ in 0..Gather::MAX_STEPS {
            let now = state.appends.len();
            if step < Gather::MIN_STEP || now >= enough || now == before || state.closed {
                return;
            }
            before = now;
            MutexGuard::unlocked(state, || thread::sleep(step));
        }
    }
}

/// See the module.
#[derive(Default)]
pub struct Queue {
    state: Mutex<State>,
    filled: Condvar,
}

impl Queue {
    /// Adds rows that take `size` bytes, when the disk works and `room` bytes hold them with all that is on its way.
    pub fn push(&self, rows: Vec<Row>, size: usize, room: u64) -> Result<Waiting, SpoolFull> {
        let (done, waiting) = oneshot::channel();
        let mut state = self.state.lock();
        self.admit(&state, size, room)?;
        state.appends.push(Append { rows, size, done });
        state.queued += size;
        drop(state);
        // Costs a load when the writer is at work, and one wake-up for all who come until it is.
        self.filled.notify_one();
        Ok(waiting)
    }

    fn admit(&self, state: &State, size: usize, room: u64) -> Result<(), SpoolFull> {
        let on_its_way = state.queued + state.in_flight;
        if state.closed {
            return Err(SpoolFull::Closed);
        }
        if state.failed {
            return Err(SpoolFull::Disk);
        }
        if (on_its_way + size) as u64 > room {
            return Err(SpoolFull::Size);
        }
        // A single append of any size passes when nothing waits.
        if on_its_way > 0 && on_its_way + size > MAX_QUEUED {
            return Err(SpoolFull::Busy);
        }
        Ok(())
    }

    /// Why an append of `size` bytes would be refused now.
    pub fn refusal(&self, size: usize, room: u64) -> Option<SpoolFull> {
        self.admit(&self.state.lock(), size, room).err()
    }

    /// Waits for work, and puts every append into `appends`, which is empty.
    pub fn take(&self, appends: &mut Vec<Append>, gather: Gather) -> Work {
        let mut state = self.state.lock();
        loop {
            if mem::take(&mut state.roll) {
                return Work::Roll;
            }
            if !state.appends.is_empty() {
                gather.wait(&mut state);
                mem::swap(&mut state.appends, appends);
                state.in_flight = mem::take(&mut state.queued);
                return Work::Write;
            }
            if state.closed {
                return Work::Stop;
            }
            self.filled.wait(&mut state);
        }
    }

    /// Says that `size` bytes the writer has taken are on disk, or refused.
    pub fn landed(&self, size: usize) {
        self.state.lock().in_flight -= size;
    }

    /// Asks for the segment being written to be ended.
    pub fn request_roll(&self) {
        self.state.lock().roll = true;
        self.filled.notify_one();
    }

    /// Refuses all further appends; those that wait are still written.
    pub fn close(&self) {
        self.state.lock().closed = true;
        self.filled.notify_one();
    }

    /// Closes, and lets go of what waits: nobody will write it.
    pub fn abandon(&self) {
        let mut state = self.state.lock();
        state.closed = true;
        state.queued = 0;
        state.appends.clear();
    }

    /// Whether the disk is known to fail.
    pub fn failed(&self) -> bool {
        self.state.lock().failed
    }

    /// Says whether the disk fails.
    pub fn set_failed(&self, failed: bool) {
        self.state.lock().failed = failed;
    }
}

/// Resolves when the rows are durable, or refused.
pub type Waiting = oneshot::Receiver<Result<(), SpoolFull>>;

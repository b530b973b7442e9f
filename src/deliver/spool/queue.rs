//! Where appends wait for the writer: bounded in bytes, emptied as a whole.

use std::mem;

use parking_lot::{Condvar, Mutex};

use super::{
    SpoolFull,
    bell::{Bells, Waiter, Waiting},
};
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
    pub waiter: Waiter,
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

/// See the module.
#[derive(Default)]
pub struct Queue {
    bells: Bells,
    state: Mutex<State>,
    filled: Condvar,
}

impl Queue {
    /// Someone on the current runtime who waits.
    pub fn waiter(&self) -> (Waiter, Waiting) {
        Waiter::new(self.bells.here())
    }

    /// Adds rows that take `size` bytes, when the disk works and `room` bytes hold them with all that is on its way.
    pub fn push(&self, rows: Vec<Row>, size: usize, room: u64) -> Result<Waiting, SpoolFull> {
        let (waiter, waiting) = self.waiter();
        let mut state = self.state.lock();
        self.admit(&state, size, room)?;
        state.appends.push(Append { rows, size, waiter });
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
    pub fn take(&self, appends: &mut Vec<Append>) -> Work {
        let mut state = self.state.lock();
        loop {
            if mem::take(&mut state.roll) {
                return Work::Roll;
            }
            if !state.appends.is_empty() {
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

//! The thread beside the writer, for all that may take its time: cursor files, removal of segments nobody needs, and
//! watching for a failed disk to work again.

use std::{
    io,
    sync::Arc,
    time::{Duration, Instant},
};

use parking_lot::{Condvar, Mutex};

use super::{Shared, cursor, files::Files, segment};

/// The disk works again when it takes this much: enough for the rows that come in until the next look.
const PROBE_SIZE: usize = 1 << 20;
const PROBE: &str = "probe.new";

/// How others reach the thread.
#[derive(Default)]
pub struct Keeper {
    state: Mutex<State>,
    woken: Condvar,
    /// Held while cursors are written, so that the writer's last act and the keeper do not write the same one.
    tidying: Mutex<()>,
}

#[derive(Default)]
struct State {
    wanted: bool,
    stop: bool,
}

impl Keeper {
    /// There is something to do.
    pub fn wake(&self) {
        let mut state = self.state.lock();
        if !state.wanted {
            state.wanted = true;
            self.woken.notify_one();
        }
    }

    /// Ends the thread, once everything is written.
    pub fn stop(&self) {
        self.state.lock().stop = true;
        self.woken.notify_one();
    }

    /// Waits until there is something to do, or `at_most`; true when it was the last time.
    fn wait(&self, at_most: Option<Duration>) -> bool {
        let deadline = at_most.map(|duration| Instant::now() + duration);
        let mut state = self.state.lock();
        while !state.wanted && !state.stop {
            match deadline {
                Some(deadline) if self.woken.wait_until(&mut state, deadline).timed_out() => break,
                Some(_) => {}
                None => self.woken.wait(&mut state),
            }
        }
        state.wanted = false;
        state.stop
    }

    /// Lets time pass, unless the thread is to end.
    fn pause(&self, pace: Duration) {
        let deadline = Instant::now() + pace;
        let mut state = self.state.lock();
        while !state.stop && !self.woken.wait_until(&mut state, deadline).timed_out() {}
    }
}

/// The thread.
pub fn run(shared: &Arc<Shared>, files: &dyn Files) {
    let mut unfinished = false;
    loop {
        let patience = (unfinished || shared.queue.failed()).then_some(shared.limits.probe_pace);
        let last = shared.keeper.wait(patience);
        unfinished = !tidy(shared, files);
        if last {
            return;
        }
        if shared.queue.failed() {
            watch(shared, files);
        }
        shared.keeper.pause(shared.limits.cursor_pace);
    }
}

/// Writes the cursors that have moved and removes what no consumer needs. False when something could not be written.
pub fn tidy(shared: &Shared, files: &dyn Files) -> bool {
    let _tidying = shared.keeper.tidying.lock();
    let moved: Vec<_> = {
        let log = shared.log.lock();
        let consumers = log.consumers.iter().enumerate();
        let moved = consumers.filter(|(_, consumer)| consumer.persisted != Some(consumer.committed));
        moved.map(|(index, consumer)| (index, consumer.name, consumer.committed)).collect()
    };
    let mut all_written = true;
    for (index, consumer, position) in moved {
        match cursor::write(files, consumer, shared.id, position) {
            Ok(()) => shared.log.lock().consumers[index].persisted = Some(position),
            Err(error) => {
                tracing::warn!(%error, consumer, "spool cursor could not be written, rows may be delivered again");
                all_written = false;
            }
        }
    }
    let (obsolete, roll) = {
        let mut log = shared.log.lock();
        let obsolete = log.take_obsolete();
        let all_consumed = log.committed() >= log.end();
        let large = log.segments.back().is_some_and(|s| s.end > s.first && s.len >= shared.limits.segment / 2);
        shared.publish(&log);
        (obsolete, all_consumed && large)
    };
    for segment in obsolete {
        let name = segment::name(segment.first);
        if let Err(error) = files.remove(&name) {
            tracing::warn!(%error, name, "spool segment could not be removed");
        }
    }
    if roll {
        shared.queue.request_roll();
    }
    all_written
}

/// Takes rows again once the disk does.
fn watch(shared: &Shared, files: &dyn Files) {
    let probe = || -> io::Result<()> {
        let size = PROBE_SIZE.min(shared.limits.segment as usize);
        let mut file = files.create(PROBE)?;
        file.write_at(&vec![0; size], 0)?;
        file.sync()
    };
    let result = probe();
    // The name marks it as not whole: one that stays is removed when the spool is opened.
    let _ = files.remove(PROBE);
    match result {
        Ok(()) => {
            shared.queue.set_failed(false);
            tracing::info!(directory = %shared.directory.display(), "spool works again");
        }
        Err(error) => tracing::debug!(%error, "spool still fails"),
    }
}

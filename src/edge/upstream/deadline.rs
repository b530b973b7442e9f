//! How long a request may take at the upstreams: until the first byte of an answer, and in all.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use tokio::{sync::Notify, task::AbortHandle, time::timeout_at};

use super::{super::upload::Upload, handle::Handle};

/// What a route allows; at least one of both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// From the end of the request, as the upstream gets it, to the head of the answer.
    pub first_byte: Option<Duration>,
    /// From the beginning of the request to the end of the answer.
    pub total: Option<Duration>,
}

/// Which time is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Passed {
    /// That until the first byte.
    FirstByte,
    /// That of all, while the answer was waited for or read.
    Total,
    /// That of all, while the client was still sending.
    Upload,
}

/// The deadlines of one request. When one passes, the connection to the upstream is shut down.
#[derive(Debug)]
pub struct Deadline {
    shared: Arc<Shared>,
    clock: Option<AbortHandle>,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    first_byte: Option<Duration>,
    changed: Notify,
}

#[derive(Debug)]
struct State {
    /// The connection in use.
    handle: Option<Arc<Handle>>,
    /// What takes the request, if that is long.
    upload: Option<Arc<Upload>>,
    /// Whether the request has been sent.
    asked: bool,
    /// Whether the head of the answer is there.
    answered: bool,
    first_byte: Option<Instant>,
    total: Option<Instant>,
    passed: Option<Passed>,
}

impl Deadline {
    /// Of a request that began then.
    pub fn new(patience: Patience, began: Instant) -> Deadline {
        let state = State {
            handle: None,
            upload: None,
            asked: false,
            answered: false,
            first_byte: None,
            total: patience.total.map(|total| began + total),
            passed: None,
        };
        let first_byte = patience.first_byte;
        let shared = Arc::new(Shared { state: Mutex::new(state), first_byte, changed: Notify::new() });
        Deadline { shared, clock: None }
    }

    /// What is left of the time of all, where that is bounded; zero when it is over.
    pub fn left(&self, now: Instant) -> Option<Duration> {
        Some(self.shared.state.lock().total?.saturating_duration_since(now))
    }

    /// There is a connection, perhaps after others, that can be ended by this, and that takes a long request by that. Call
    /// it within the runtime that the clock may run in.
    pub fn connected(&mut self, handle: Option<Arc<Handle>>, upload: Option<Arc<Upload>>) {
        {
            let mut state = self.shared.state.lock();
            let total = state.total;
            *state = State { handle, upload, asked: false, answered: false, first_byte: None, total, passed: None };
        }
        self.stop();
        let shared = self.shared.clone();
        self.clock = Some(tokio::spawn(async move { shared.run().await }).abort_handle());
    }

    /// The request has been sent.
    pub fn asked(&self, now: Instant) {
        let mut state = self.shared.state.lock();
        // Whatever follows on an upgraded connection is no request.
        if state.asked || state.answered {
            return;
        }
        state.asked = true;
        state.first_byte = self.shared.first_byte.map(|first_byte| now + first_byte);
        drop(state);
        self.shared.changed.notify_one();
    }

    /// The head of the answer is there; one that `goes_on` is a WebSocket or server-sent events, whose time is not
    /// bounded. Fails when it was too late.
    pub fn answered(&self, goes_on: bool) -> Result<(), Passed> {
        let mut state = self.shared.state.lock();
        state.answered = true;
        state.first_byte = None;
        if goes_on {
            state.total = None;
        }
        let passed = state.passed;
        drop(state);
        self.shared.changed.notify_one();
        passed.map_or(Ok(()), Err)
    }

    /// The connection is in use no more, and may be given to another request: nothing happens to it from now on.
    pub fn done(&mut self) {
        self.shared.state.lock().handle = None;
        self.stop();
    }

    /// The time that is over, if one is.
    pub fn passed(&self) -> Option<Passed> {
        self.shared.state.lock().passed
    }

    fn stop(&mut self) {
        if let Some(clock) = self.clock.take() {
            clock.abort();
        }
    }
}

impl Drop for Deadline {
    fn drop(&mut self) {
        self.done();
    }
}

impl Shared {
    async fn run(&self) {
        loop {
            let next = self.state.lock().next();
            match next {
                None => self.changed.notified().await,
                Some(at) => {
                    let changed = timeout_at(at.into(), self.changed.notified()).await;
                    if changed.is_err() && self.pass(Instant::now()) {
                        return;
                    }
                }
            }
        }
    }

    /// Ends the connection if a deadline has passed by `now`. A site that was still taking the request when its end had
    /// come here has its time from then on.
    fn pass(&self, now: Instant) -> bool {
        let mut state = self.state.lock();
        let given = state.upload.as_ref().and_then(|upload| upload.given());
        if let (Some(at), Some(patience), Some(given)) = (state.first_byte, self.first_byte, given) {
            state.first_byte = Some(at.max(given + patience));
        }
        state.pass(now)
    }
}

impl State {
    fn next(&self) -> Option<Instant> {
        self.first_byte.into_iter().chain(self.total).min()
    }

    /// Ends the connection if a deadline has passed by `now`.
    fn pass(&mut self, now: Instant) -> bool {
        let over = |at: Option<Instant>| at.is_some_and(|at| at <= now);
        let passed = match (over(self.total), over(self.first_byte)) {
            (true, _) if self.asked => Passed::Total,
            (true, _) => Passed::Upload,
            (false, true) => Passed::FirstByte,
            (false, false) => return false,
        };
        // Without a connection there is nobody to be late.
        if let Some(handle) = self.handle.take() {
            self.passed = Some(passed);
            handle.shut();
        }
        true
    }
}

impl Passed {
    /// For the log.
    pub fn about(self) -> &'static str {
        match self {
            Passed::FirstByte => "`first_byte` is over: no answer has begun",
            Passed::Total => "`total` is over",
            Passed::Upload => "`total` is over, and the client is still sending",
        }
    }
}

#[cfg(test)]
mod tests {
    use std::task::{Context, Waker};

    use super::*;
    use crate::edge::Tuning;

    const SECOND: Duration = Duration::from_secs(1);

    fn state(deadline: &Deadline) -> parking_lot::MutexGuard<'_, State> {
        deadline.shared.state.lock()
    }

    #[test]
    fn the_first_byte_is_waited_for_from_the_end_of_the_request_on() {
        let began = Instant::now();
        let deadline = Deadline::new(Patience { first_byte: Some(SECOND), total: Some(5 * SECOND) }, began);
        assert_eq!(state(&deadline).next(), Some(began + 5 * SECOND), "an upload may take long");
        deadline.asked(began + 2 * SECOND);
        assert_eq!(state(&deadline).next(), Some(began + 3 * SECOND));
        assert!(!state(&deadline).pass(began + 2 * SECOND));
        deadline.asked(began + 9 * SECOND);
        assert_eq!(state(&deadline).next(), Some(began + 3 * SECOND), "once");
        assert_eq!(deadline.answered(false), Ok(()));
        assert_eq!(state(&deadline).next(), Some(began + 5 * SECOND));
        assert_eq!(deadline.left(began + 2 * SECOND), Some(3 * SECOND));
        assert_eq!(deadline.left(began + 7 * SECOND), Some(Duration::ZERO));
    }

    #[test]
    fn a_site_that_is_still_taking_the_request_is_not_late() {
        let upload = Arc::new(Upload::new(&Tuning::default(), Arc::default()));
        let (near, _far) = tokio::io::duplex(100);
        upload.connected(near, None);
        assert!(upload.poll_write(&mut Context::from_waker(Waker::noop()), b"the last of it").is_ready());
        let (given, now) = (upload.given().expect("it was taken"), Instant::now());
        for (upload, late) in [(None, true), (Some(upload), false)] {
            let deadline = Deadline::new(Patience { first_byte: Some(SECOND), total: None }, now);
            state(&deadline).upload = upload;
            deadline.asked(now - 2 * SECOND);
            assert_eq!(deadline.shared.pass(now), late);
            assert!(deadline.shared.pass(given + SECOND), "not for ever");
        }
    }

    #[test]
    fn what_goes_on_has_no_end() {
        let deadline = Deadline::new(Patience { first_byte: Some(SECOND), total: Some(SECOND) }, Instant::now());
        deadline.asked(Instant::now());
        assert_eq!(deadline.answered(true), Ok(()));
        deadline.asked(Instant::now());
        assert_eq!(state(&deadline).next(), None);
        assert_eq!(deadline.left(Instant::now()), None);
    }
}

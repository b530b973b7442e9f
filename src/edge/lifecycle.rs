//! From bound listeners to the last request: what Pingora's own server does not do for us.
//!
//! Pingora binds late and retries for half a minute, then dies quietly; so listeners are bound here and handed over.
//! Its graceful stop is a fixed sleep; so requests are counted, and whoever waits leaves when the count is zero.

use std::{
    net::{SocketAddr, TcpListener},
    os::fd::IntoRawFd,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use async_trait::async_trait;
use parking_lot::Mutex;
use pingora::{
    server::{Fds, ListenFds, ShutdownSignal, ShutdownSignalWatch, ShutdownWatch},
    services::Service,
};
use tokio::sync::watch;

/// How the edge ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// Nobody goes on: the listeners close.
    Stop,
    /// Another process has the listeners.
    HandedOver {
        /// How long connections without a request stay. Until then one that comes is answered, and told to come by
        /// another connection next time: a connection that is closed in the moment of its next request loses it.
        linger: Duration,
    },
}

impl From<()> for Ending {
    fn from((): ()) -> Ending {
        Ending::Stop
    }
}

/// What everybody may ask about the state of the process.
#[derive(Debug, Default)]
pub struct Lifecycle {
    ending: AtomicBool,
    in_flight: AtomicUsize,
    /// Until when idle connections stay, once it ends.
    lingers_until: OnceLock<Instant>,
}

/// One request that is being served, for as long as it lives.
#[derive(Debug)]
pub struct InFlight(Arc<Lifecycle>);

impl Lifecycle {
    /// Counts one request until the guard is dropped.
    pub fn enter(self: &Arc<Lifecycle>) -> InFlight {
        self.in_flight.fetch_add(1, Ordering::AcqRel);
        InFlight(self.clone())
    }

    /// Requests being served.
    pub fn in_flight(&self) -> usize {
        self.in_flight.load(Ordering::Acquire)
    }

    /// From now on the process is ending.
    pub fn end(&self) {
        self.ending.store(true, Ordering::Release);
    }

    /// Whether the process is ending.
    pub fn is_ending(&self) -> bool {
        self.ending.load(Ordering::Acquire)
    }

    /// Idle connections are to stay for this long after the end has begun. Said before that.
    pub fn linger(&self, time: Duration) {
        let _ = self.lingers_until.set(Instant::now() + time);
    }

    /// How long they still stay.
    pub fn lingers(&self) -> Duration {
        self.lingers_until.get().map_or(Duration::ZERO, |until| until.saturating_duration_since(Instant::now()))
    }

    /// Waits until no request is being served. A request whose bytes had arrived when the listeners closed is counted
    /// a moment later, so that zero has to last.
    pub async fn idle(&self) {
        self.quiet(|| self.in_flight()).await;
    }

    /// The same for another count.
    pub async fn quiet(&self, count: impl Fn() -> usize) {
        const TICK: Duration = Duration::from_millis(5);
        const QUIET_TICKS: u32 = 4;
        let mut quiet = 0;
        while quiet < QUIET_TICKS {
            tokio::time::sleep(TICK).await;
            quiet = if count() == 0 { quiet + 1 } else { 0 };
        }
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::AcqRel);
    }
}

/// A Pingora service whose listeners are bound already.
pub struct PreBound<S> {
    inner: S,
    listeners: Vec<(SocketAddr, TcpListener)>,
    closed: watch::Sender<bool>,
}

impl<S> PreBound<S> {
    /// `inner` listens on the addresses of `listeners`; `closed` turns true when it accepts no more.
    pub fn new(inner: S, listeners: Vec<(SocketAddr, TcpListener)>, closed: watch::Sender<bool>) -> PreBound<S> {
        PreBound { inner, listeners, closed }
    }
}

#[async_trait]
impl<S: Service + 'static> Service for PreBound<S> {
    async fn start_service(&mut self, fds: Option<ListenFds>, shutdown: ShutdownWatch, listeners_per_fd: usize) {
        let table = fds.unwrap_or_else(|| Arc::new(Mutex::new(Fds::new())));
        for (address, listener) in self.listeners.drain(..) {
            table.lock().add(address.to_string(), listener.into_raw_fd());
        }
        self.inner.start_service(Some(table), shutdown, listeners_per_fd).await;
        // The accept loops have ended and idle connections have been told to go.
        self.closed.send_replace(true);
    }

    fn name(&self) -> &str {
        self.inner.name()
    }

    fn threads(&self) -> Option<usize> {
        self.inner.threads()
    }

    fn listen_addresses(&self) -> Option<Vec<String>> {
        self.inner.listen_addresses()
    }
}

/// Ends Pingora's server when the watched value turns true, or when its sender is gone.
pub struct StopSignal(pub watch::Receiver<bool>);

#[async_trait]
impl ShutdownSignalWatch for StopSignal {
    async fn recv(&self) -> ShutdownSignal {
        // An error means that the sender is gone: the owner of the server has left.
        let _ = self.0.clone().wait_for(|stop| *stop).await;
        ShutdownSignal::GracefulTerminate
    }
}

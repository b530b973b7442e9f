//! One address of a server, how it is, and who uses it.

use std::{
    fmt,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use super::{config::EjectionConfig, server::Server};

/// Health checks in a row that have to fail.
const FAILED_CHECKS: u32 = 2;

/// Where to connect to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum At {
    /// On the network.
    Tcp(SocketAddr),
    /// A socket on this machine.
    Unix(Box<str>),
}

impl fmt::Display for At {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            At::Tcp(address) => address.fmt(f),
            At::Unix(path) => write!(f, "unix:{path}"),
        }
    }
}

/// One address of a server.
#[derive(Debug)]
pub struct Address {
    /// Where.
    pub at: At,
    /// The same as text, for the line of each request.
    pub name: Box<str>,
    /// Milliseconds since some start; 0 is fit.
    rests_until: AtomicU64,
    /// When it was found, or found well again, likewise; 0 is from the beginning.
    known_since: AtomicU64,
    /// Requests in a row that were not answered.
    failures: AtomicU32,
    /// Health checks in a row that have failed.
    failed_checks: AtomicU32,
    ill: AtomicBool,
    /// Requests it is serving.
    in_flight: AtomicUsize,
}

impl Address {
    /// A fit one, known since then; 0 is from the beginning.
    pub fn new(at: At, known_since: u64) -> Arc<Address> {
        Arc::new(Address {
            name: at.to_string().into(),
            at,
            rests_until: AtomicU64::new(0),
            known_since: AtomicU64::new(known_since),
            failures: AtomicU32::new(0),
            failed_checks: AtomicU32::new(0),
            ill: AtomicBool::new(false),
            in_flight: AtomicUsize::new(0),
        })
    }

    /// Whether it neither rests nor fails its health checks. `now` is milliseconds since the same start as for
    /// [`rest`](Address::rest).
    pub fn is_fit(&self, now: u64) -> bool {
        !self.ill.load(Relaxed) && self.rests_until.load(Relaxed) <= now
    }

    /// Since when it has been there for requests; 0 is from the beginning. That of one that is not fit means nothing.
    pub fn fit_since(&self) -> u64 {
        self.rests_until.load(Relaxed).max(self.known_since.load(Relaxed))
    }

    /// Requests it is serving.
    pub fn in_flight(&self) -> usize {
        self.in_flight.load(Relaxed)
    }

    /// Leaves it alone for a while. Whether it was not resting already.
    pub fn rest(&self, now: u64, rest: Duration) -> bool {
        self.failures.store(0, Relaxed);
        self.rests_until.swap(now + rest.as_millis() as u64, Relaxed) <= now
    }

    /// A request was not answered. Whether that was one too many, so that it rests now.
    pub fn fail(&self, now: u64, ejection: &EjectionConfig) -> bool {
        let one_too_many = self.failures.fetch_add(1, Relaxed) + 1 >= ejection.failures;
        one_too_many && self.rest(now, *ejection.rest)
    }

    /// A request was answered.
    pub fn succeed(&self) {
        // Only a change is written: all threads look at this.
        if self.failures.load(Relaxed) != 0 {
            self.failures.store(0, Relaxed);
        }
    }

    /// What a health check has found. Whether that changed anything.
    pub fn checked(&self, healthy: bool, now: u64) -> bool {
        if healthy {
            self.failed_checks.store(0, Relaxed);
            if !self.ill.load(Relaxed) {
                return false;
            }
            self.known_since.store(now, Relaxed);
            return self.ill.swap(false, Relaxed);
        }
        let failed = self.failed_checks.fetch_add(1, Relaxed) + 1;
        failed >= FAILED_CHECKS && !self.ill.swap(true, Relaxed)
    }
}

/// A request that an address is serving; counted until this is dropped.
#[derive(Debug)]
pub struct Lease {
    /// Whose.
    pub server: Arc<Server>,
    /// Which.
    pub address: Arc<Address>,
}

impl Lease {
    /// Counts one more.
    pub fn new(server: &Arc<Server>, address: &Arc<Address>) -> Lease {
        address.in_flight.fetch_add(1, Relaxed);
        server.meter.active.inc();
        Lease { server: server.clone(), address: address.clone() }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.address.in_flight.fetch_sub(1, Relaxed);
        self.server.meter.active.dec();
    }
}

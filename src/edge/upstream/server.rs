//! One server of the site, its addresses, and how they are.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use arc_swap::ArcSwap;
use http::HeaderValue;
use pingora::upstreams::peer::HttpPeer;

use super::{
    config::{EjectionConfig, HealthConfig},
    url::UpstreamUrl,
};

/// Health checks in a row that have to fail.
const FAILED_CHECKS: u32 = 2;

/// One `upstreams` entry.
#[derive(Debug)]
pub struct Server {
    /// Where it is.
    pub url: UpstreamUrl,
    /// What the `Host` header says to a server that is reached over TLS: it chooses its certificate and its site by
    /// the name it is known under. Plain servers see the visitor's host.
    pub host: Option<HeaderValue>,
    /// When an address is left alone.
    pub ejection: EjectionConfig,
    /// Whether and how it is asked for its health.
    pub health: Option<HealthConfig>,
    /// As last resolved.
    pub addresses: ArcSwap<Vec<Arc<Address>>>,
    /// Whose turn it is among them.
    pub next: AtomicUsize,
}

/// One address of a server.
#[derive(Debug)]
pub struct Address {
    /// Where.
    pub at: SocketAddr,
    /// Milliseconds since some start; 0 is fit.
    rests_until: AtomicU64,
    /// Requests in a row that were not answered.
    failures: AtomicU32,
    /// Health checks in a row that have failed.
    failed_checks: AtomicU32,
    ill: AtomicBool,
    /// Requests it is serving.
    in_flight: AtomicUsize,
}

impl Server {
    /// Numeric addresses need no resolver.
    pub fn new(url: &UpstreamUrl, ejection: &EjectionConfig, health: Option<&HealthConfig>) -> Server {
        let host = url.tls.then(|| HeaderValue::try_from(url.authority()).ok()).flatten();
        let fixed = url.host.parse::<IpAddr>().ok().map(|ip| Address::new(SocketAddr::new(ip, url.port)));
        Server {
            url: url.clone(),
            host,
            ejection: ejection.clone(),
            health: health.cloned(),
            addresses: ArcSwap::from_pointee(fixed.into_iter().collect()),
            next: AtomicUsize::new(0),
        }
    }

    /// A connection to one of its addresses.
    pub fn peer(&self, at: SocketAddr) -> Box<HttpPeer> {
        let sni = if self.url.tls { self.url.host.to_string() } else { String::new() };
        // Given a socket address, nothing is resolved here.
        Box::new(HttpPeer::new(at, self.url.tls, sni))
    }

    /// Takes the resolver's answer, if there is one; addresses that stay keep what is known of them.
    pub fn learn(&self, answer: io::Result<Vec<SocketAddr>>) {
        let known = self.addresses.load();
        let mut found = match answer {
            Ok(found) if !found.is_empty() => found,
            answer => {
                let error = answer.err().map_or("no address".to_string(), |error| error.to_string());
                tracing::warn!(upstream = %self.url, known = known.len(), error, "cannot resolve an upstream's name");
                return;
            }
        };
        // Resolvers shuffle; without an order every answer would look new.
        found.sort_unstable();
        found.dedup();
        if known.iter().map(|address| address.at).ne(found.iter().copied()) {
            let keep = |at: SocketAddr| known.iter().find(|address| address.at == at).cloned();
            let addresses: Vec<_> = found.iter().map(|at| keep(*at).unwrap_or_else(|| Address::new(*at))).collect();
            tracing::info!(upstream = %self.url, addresses = ?found, "an upstream's name has been resolved");
            self.addresses.store(Arc::new(addresses));
        }
    }
}

impl Address {
    fn new(at: SocketAddr) -> Arc<Address> {
        Arc::new(Address {
            at,
            rests_until: AtomicU64::new(0),
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

    /// Requests it is serving.
    pub fn in_flight(&self) -> usize {
        self.in_flight.load(Relaxed)
    }

    /// Leaves it alone for a while.
    pub fn rest(&self, now: u64, rest: Duration) {
        self.failures.store(0, Relaxed);
        self.rests_until.store(now + rest.as_millis() as u64, Relaxed);
    }

    /// A request was not answered. Whether that was one too many, so that it rests now.
    pub fn fail(&self, now: u64, ejection: &EjectionConfig) -> bool {
        let one_too_many = self.failures.fetch_add(1, Relaxed) + 1 >= ejection.failures;
        if one_too_many {
            self.rest(now, *ejection.rest);
        }
        one_too_many
    }

    /// A request was answered.
    pub fn succeed(&self) {
        // Only a change is written: all threads look at this.
        if self.failures.load(Relaxed) != 0 {
            self.failures.store(0, Relaxed);
        }
    }

    /// What a health check has found. Whether that changed anything.
    pub fn checked(&self, healthy: bool) -> bool {
        if healthy {
            self.failed_checks.store(0, Relaxed);
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
        Lease { server: server.clone(), address: address.clone() }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.address.in_flight.fetch_sub(1, Relaxed);
    }
}

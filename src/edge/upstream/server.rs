//! One server of the site.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    sync::{
        Arc,
        atomic::{
            AtomicBool, AtomicU64, AtomicUsize,
            Ordering::{AcqRel, Acquire, Relaxed, Release},
        },
    },
    time::{Duration, Instant},
};

use arc_swap::ArcSwap;
use http::HeaderValue;
use pingora::{protocols::ALPN, upstreams::peer::HttpPeer};

use super::{
    address::{Address, At},
    config::{EjectionConfig, HealthConfig, Protocol, UpstreamConfig},
    identity::Identity,
    url::UpstreamUrl,
};
use crate::telemetry::proxying::UpstreamMeter;

/// Requests at once on one connection of HTTP/2; what servers commonly allow.
const MAX_STREAMS: usize = 100;
/// How often a connection of HTTP/2 is asked whether it still leads anywhere.
const PING: Duration = Duration::from_secs(30);

/// One `upstreams` entry.
#[derive(Debug)]
pub struct Server {
    /// Where it is.
    pub url: UpstreamUrl,
    /// What the `Host` header says to a server that is reached over TLS: it chooses its certificate and its site by
    /// the name it is known under. Plain servers see the visitor's host.
    pub host: Option<HeaderValue>,
    protocol: Protocol,
    identity: Identity,
    /// What is measured of it.
    pub meter: UpstreamMeter,
    /// When an address is left alone.
    pub ejection: EjectionConfig,
    /// Whether and how it is asked for its health.
    pub health: Option<HealthConfig>,
    /// As last resolved.
    pub addresses: ArcSwap<Vec<Arc<Address>>>,
    /// Whose turn it is among them.
    pub next: AtomicUsize,
    /// When its name was asked for last, in milliseconds of [`Server::now`] and one more; 0 is never.
    asked: AtomicU64,
    /// Whether it is being asked for.
    is_asked: AtomicBool,
    /// Whether it came to others that were there before, so that its share may have to grow.
    is_late: bool,
    started: Instant,
}

/// A look-up of a server's name; no other is made of it until this is dropped.
pub struct LookUp(Arc<Server>);

impl LookUp {
    /// Whose.
    pub fn server(&self) -> &Server {
        &self.0
    }
}

impl Drop for LookUp {
    fn drop(&mut self) {
        self.0.asked.store(self.0.now() + 1, Relaxed);
        self.0.is_asked.store(false, Release);
    }
}

impl Server {
    /// Numeric addresses and sockets need no resolver. One that `is_late` joins others that were there before.
    pub fn new(
        config: &UpstreamConfig,
        identity: Identity,
        ejection: &EjectionConfig,
        health: Option<&HealthConfig>,
        meter: UpstreamMeter,
        is_late: bool,
        started: Instant,
    ) -> Server {
        let url = &config.url;
        let authority = url.authority(config.tls.name.as_deref());
        let host = url.tls().then(|| HeaderValue::try_from(authority).ok()).flatten();
        let fixed = match url {
            UpstreamUrl::Tcp { host, port, .. } => {
                host.parse::<IpAddr>().ok().map(|ip| At::Tcp(SocketAddr::new(ip, *port)))
            }
            UpstreamUrl::Unix(path) => Some(At::Unix(path.clone())),
        };
        let since = if is_late { now(started).max(1) } else { 0 };
        Server {
            url: url.clone(),
            host,
            protocol: config.protocol,
            identity,
            meter,
            ejection: ejection.clone(),
            health: health.cloned(),
            addresses: ArcSwap::from_pointee(fixed.map(|at| Address::new(at, since)).into_iter().collect()),
            next: AtomicUsize::new(0),
            asked: AtomicU64::new(0),
            is_asked: AtomicBool::new(false),
            is_late,
            started,
        }
    }

    /// Milliseconds since the start that times of its addresses count from.
    pub fn now(&self) -> u64 {
        now(self.started)
    }

    /// Host and port to ask the resolver for, if it has to be.
    pub fn name(&self) -> Option<(&str, u16)> {
        match &self.url {
            UpstreamUrl::Tcp { host, port, .. } if host.parse::<IpAddr>().is_err() => Some((host, *port)),
            _ => None,
        }
    }

    /// The right to ask for its name, unless somebody is asking, or has asked less than `every` ago.
    pub fn look_up(self: &Arc<Server>, every: Duration) -> Option<LookUp> {
        let asked = self.asked.load(Relaxed);
        if asked != 0 && self.now() + 1 < asked + every.as_millis() as u64 || self.is_asked.load(Acquire) {
            return None;
        }
        let taken = self.is_asked.compare_exchange(false, true, AcqRel, Relaxed);
        taken.is_ok().then(|| LookUp(self.clone()))
    }

    /// A connection to one of its addresses.
    pub fn peer(&self, at: &At) -> Box<HttpPeer> {
        let mut peer = match at {
            // Given a socket address, nothing is resolved here.
            At::Tcp(address) => HttpPeer::new(address, self.url.tls(), self.identity.name.to_string()),
            At::Unix(path) => {
                HttpPeer::new_uds(path, false, String::new()).expect("paths are checked where they are parsed")
            }
        };
        self.identity.show(&mut peer);
        if self.protocol == Protocol::H2 {
            // Without TLS there is nothing to negotiate: it is known beforehand.
            peer.options.alpn = if self.url.tls() { ALPN::H2H1 } else { ALPN::H2 };
            peer.options.max_h2_streams = MAX_STREAMS;
            peer.options.h2_ping_interval = Some(PING);
        }
        Box::new(peer)
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
        let found: Vec<At> = found.into_iter().map(At::Tcp).collect();
        if !known.iter().map(|address| &address.at).eq(&found) {
            let keep = |at: &At| known.iter().find(|address| address.at == *at).cloned();
            // The first answer is as good as having known it from the beginning.
            let since = if known.is_empty() && !self.is_late { 0 } else { self.now().max(1) };
            let addresses: Vec<_> =
                found.iter().map(|at| keep(at).unwrap_or_else(|| Address::new(at.clone(), since))).collect();
            self.addresses.store(Arc::new(addresses));
            tracing::info!(upstream = %self.url, addresses = ?found, "an upstream's name has been resolved");
        }
    }
}

fn now(started: Instant) -> u64 {
    started.elapsed().as_millis() as u64
}

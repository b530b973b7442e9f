//! The servers behind the routes: where they are, whose turn it is, and what is tried when one fails.
//!
//! Names are resolved here, at start and then in the background, never while a request waits; the last good answer
//! stays when the resolver fails. An address that refused a connection, or left too many requests unanswered, rests a
//! while; one that fails its health checks is passed over until it passes one. Either is tried only when there is
//! nothing else.

mod address;
mod balance;
mod config;
mod deadline;
mod handle;
mod health;
mod identity;
mod joined;
mod pool;
mod server;
#[cfg(test)]
mod tests;
mod url;
mod watch;

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use pingora::{protocols::ALPN, upstreams::peer::HttpPeer};
use tokio::sync::Semaphore;

pub use self::joined::Purpose;
pub use self::{
    address::{Address, At, Lease},
    config::{
        Balance, EjectionConfig, HealthConfig, MAX_ATTEMPTS, Protocol, RetriesConfig, RetryOn, ServersConfig,
        UpstreamConfig, UpstreamTlsConfig,
    },
    deadline::{Deadline, Passed, Patience},
    handle::Handle,
    url::{UpstreamUrl, host_and_port},
    watch::{System, watch_latest},
};
use self::{balance::tag, identity::Identity, pool::Pool, server::Server};
use super::{
    Tuning,
    route::{RouteConfig, labels},
};
use crate::{
    problem::Problem,
    telemetry::proxying::{Proxying, RouteMeter},
};

/// An idle connection is dropped after this: servers commonly close theirs after 5 s (Node.js), and a request that
/// meets a closing connection is lost unless it may be repeated.
const POOL_IDLE: Duration = Duration::from_secs(4);
/// Pingora's name for the pool of connections that serve one request alone, in which there never is one.
const OWN: u64 = 1;
/// The pool of connections that can be ended from outside; see [`handle`].
const HELD: u64 = 2;
/// Patience with a connection that is quiet by nature: WebSocket, server-sent events.
pub const LONG_QUIET: Duration = Duration::from_secs(3600);

/// The servers of every route, in the routes' order.
#[derive(Debug)]
pub struct Upstreams {
    pools: Vec<Pool>,
    /// Every server, each once, by everything that is said of it.
    servers: HashMap<String, Arc<Server>>,
    started: Instant,
    /// Bounds how many names are being asked for.
    asking: Arc<Semaphore>,
    tuning: Tuning,
}

/// Who asks for a server.
#[derive(Clone, Debug)]
pub struct Seeker<'a> {
    /// Its address.
    pub client: IpAddr,
    /// The value of the cookie that [`Upstreams::cookie`] names.
    pub cookie: Option<&'a str>,
    /// Whether the connection may be silent for long.
    pub quiet: bool,
    /// Whether the connection is to become another protocol's.
    pub upgrade: bool,
    /// What it needs a connection of its own for.
    pub purpose: Option<Purpose>,
    /// What is left of the request's time, where that is bounded.
    pub left: Option<Duration>,
}

/// A server to connect to.
#[derive(Debug)]
pub struct Choice {
    /// For Pingora.
    pub peer: Box<HttpPeer>,
    /// Keep it for as long as the request lasts.
    pub lease: Lease,
    /// What the visitor's cookie should say from now on, if that is new.
    pub cookie: Option<String>,
    /// When it was chosen.
    pub at: Instant,
}

impl Upstreams {
    /// Knows the servers of `routes`; numeric addresses need no resolver. What was known `before` of servers that stay
    /// the same is known on.
    pub fn new(routes: &[RouteConfig], tuning: &Tuning, before: Option<&Upstreams>, measured: &Proxying) -> Upstreams {
        // Routes that share a server share what is known of it, unless they ask it for different signs of health.
        let mut servers: HashMap<String, Arc<Server>> = HashMap::new();
        let started = before.map_or_else(Instant::now, |before| before.started);
        let asking = before.map_or_else(|| Arc::new(Semaphore::new(watch::MAX_ASKING)), |before| before.asking.clone());
        let mut pools = Vec::new();
        for (route, label) in routes.iter().zip(labels(routes)) {
            let config = route.servers();
            let mut server = |upstream: &UpstreamConfig| {
                let UpstreamConfig { url, tls, protocol, weight } = upstream;
                let identity = Identity::load(url, tls).unwrap_or_else(|(key, why)| {
                    tracing::error!(upstream = %url, key, why, "an upstream cannot be told from others");
                    Identity::nobody(url)
                });
                let key =
                    format!("{url} {protocol:?} {} {:?} {:?}", identity.fingerprint, config.ejection, config.health);
                let known = before.and_then(|before| before.servers.get(&key)).cloned();
                let fresh = || {
                    let meter = measured.upstream(&url.to_string());
                    // One of which only something else is said now has been there all along.
                    let is_late = before.is_some_and(|before| before.servers.values().all(|known| known.url != *url));
                    let (ejection, health) = (config.ejection, config.health);
                    Arc::new(Server::new(upstream, identity, ejection, health, meter, is_late, started))
                };
                let server = servers.entry(key).or_insert_with(|| known.unwrap_or_else(fresh));
                (server.clone(), *weight)
            };
            let servers = config.upstreams.iter().map(&mut server).collect();
            pools.push(Pool::new(route, servers, measured.route(&label), tuning));
        }
        Upstreams { pools, servers, started, asking, tuning: tuning.clone() }
    }

    /// The next server of a route that is not among the `tried`, unfit ones last. `None` when there is none left, or
    /// none was ever resolved.
    pub fn choose(&self, route: usize, tried: &[At], seeker: &Seeker<'_>) -> Option<Choice> {
        let pool = self.pools.get(route)?;
        let at = Instant::now();
        let now = self.millis(at);
        let usable = |address: &Address| !tried.contains(&address.at);
        let fit = |address: &Address| usable(address) && address.is_fit(now);
        // A second attempt takes nobody's turn: a server that fails would else come first for every second request.
        let turn = match tried {
            [] => pool.next.fetch_add(1, Ordering::Relaxed),
            _ => pool.next.load(Ordering::Relaxed),
        };
        let (server, address) = pool.pick(turn, seeker, now, fit).or_else(|| pool.pick(turn, seeker, now, usable))?;
        let cookie = match &pool.balance {
            Balance::Cookie(_) => Some(tag(&address.at)).filter(|tag| seeker.cookie != Some(tag)),
            _ => None,
        };
        let mut peer = server.peer(&address.at);
        // All of these are unlimited by default; a server that never answers would hold its request for ever.
        let within = |time: Duration| Some(seeker.left.map_or(time, |left| time.min(left)));
        peer.options.connection_timeout = within(pool.connect);
        peer.options.total_connection_timeout = within(pool.connect * 2);
        peer.options.write_timeout = Some(self.tuning.upstream_write);
        peer.options.idle_timeout = Some(POOL_IDLE);
        // Over HTTP/2 nothing becomes a WebSocket, and requests have a flow of their own.
        let purpose = seeker.purpose.clone().filter(|_| peer.options.alpn == ALPN::H1);
        // A long request has a clock of its own, see there.
        let has_clock = matches!(purpose, Some(Purpose::Upload(_)));
        peer.options.read_timeout = Some(if has_clock { LONG_QUIET } else { pool.silence(seeker.quiet) });
        // Scar: Pingora issue 946. An answer of 101 that is there before Pingora has looked at the empty body of the
        // request is taken for the end of both. A server that waits on an idle connection is that fast, one that has yet
        // to take a new connection hardly ever. So these get connections of their own, never idle ones. Those that are
        // made for a purpose Pingora would not find again: it knows no descriptor of them.
        if seeker.upgrade || purpose.is_some() {
            peer.group_key ^= OWN;
            peer.options.idle_timeout = Some(Duration::ZERO);
        }
        let is_held = pool.patience.is_some();
        if let Some(purpose) = purpose {
            joined::join(&mut peer, purpose, within(pool.connect).unwrap_or(pool.connect), is_held);
        } else if is_held {
            handle::hold(&mut peer);
        }
        if is_held {
            peer.group_key ^= HELD;
            // Over HTTP/2 a connection would be ended under the requests beside this one, so each has its own.
            peer.options.max_h2_streams = 1;
        }
        Some(Choice { peer, lease: Lease::new(server, &address), cookie, at })
    }

    /// Whether a request that met this failure, and has `tried` these addresses, may try another connection.
    pub fn may_retry(&self, route: usize, tried: &[At], failure: RetryOn) -> bool {
        let Some(pool) = self.pools.get(route) else { return false };
        let another = |(server, _): &(Arc<Server>, u8)| {
            server.addresses.load().iter().any(|address| !tried.contains(&address.at))
        };
        self.retries_on(route, failure) && tried.len() < pool.retries.attempts && pool.servers.iter().any(another)
    }

    /// Whether that is a reason to try again on this route.
    pub fn retries_on(&self, route: usize, failure: RetryOn) -> bool {
        self.pools.get(route).is_some_and(|pool| pool.retries.on.contains(&failure))
    }

    /// How long a server may be silent. One that is `quiet` by nature may be so for long.
    pub fn silence(&self, route: usize, quiet: bool) -> Duration {
        self.pools.get(route).map_or(LONG_QUIET, |pool| pool.silence(quiet))
    }

    /// The deadlines of the route's requests, if it has any.
    pub fn patience(&self, route: usize) -> Option<Patience> {
        self.pools.get(route)?.patience
    }

    /// The name of the cookie that tells a visitor's server, if the route has one.
    pub fn cookie(&self, route: usize) -> Option<&str> {
        match &self.pools.get(route)?.balance {
            Balance::Cookie(name) => Some(name),
            _ => None,
        }
    }

    /// What is measured of a route.
    pub fn meter(&self, route: usize) -> Option<&RouteMeter> {
        Some(&self.pools.get(route)?.meter)
    }

    /// Forgets what was measured of routes and servers that stood `before` and stand here no more.
    pub fn forget(&self, before: &Upstreams, measured: &Proxying) {
        for pool in &before.pools {
            if self.pools.iter().all(|kept| kept.meter.label() != pool.meter.label()) {
                measured.forget_route(&pool.meter);
            }
        }
        for server in before.servers.values() {
            if self.servers.values().all(|kept| kept.meter.label() != server.meter.label()) {
                measured.forget_upstream(&server.meter);
            }
        }
    }

    /// There was no connection: the address rests.
    pub fn unreachable(&self, lease: &Lease) {
        lease.server.meter.unanswered();
        if lease.address.rest(self.now(), *lease.server.ejection.rest) {
            lease.server.meter.ejections.inc();
        }
    }

    /// A request was not answered.
    pub fn unanswered(&self, lease: &Lease) {
        if lease.address.fail(self.now(), &lease.server.ejection) {
            let Lease { server, address } = lease;
            server.meter.ejections.inc();
            tracing::warn!(upstream = %server.url, at = %address.at, rest = %server.ejection.rest, "an upstream rests");
        }
    }

    fn now(&self) -> u64 {
        self.millis(Instant::now())
    }

    fn millis(&self, now: Instant) -> u64 {
        (now - self.started).as_millis() as u64
    }
}

/// What is wrong with the files by which upstreams are known and know us.
pub fn unreadable(routes: &[RouteConfig], path: &str) -> Vec<Problem> {
    let mut problems = Vec::new();
    for (route, config) in routes.iter().enumerate() {
        for (index, upstream) in config.upstreams.iter().enumerate() {
            if let Err((key, why)) = Identity::load(&upstream.url, &upstream.tls) {
                problems.push(Problem::new(format!("{path}[{route}].upstreams[{index}].tls.{key}"), why));
            }
        }
    }
    problems
}

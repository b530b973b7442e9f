//! The servers behind the routes: where they are, whose turn it is, and what is tried when one fails.
//!
//! Names are resolved here, at start and then in the background, never while a request waits; the last good answer
//! stays when the resolver fails. An address that refused a connection, or left too many requests unanswered, rests a
//! while; one that fails its health checks is passed over until it passes one. Either is tried only when there is
//! nothing else.

mod balance;
mod config;
mod health;
mod server;
mod url;

use std::{
    collections::HashMap,
    net::{IpAddr, SocketAddr, ToSocketAddrs},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
    thread,
    time::{Duration, Instant},
};

use pingora::upstreams::peer::HttpPeer;
use tokio::{sync::watch, task::JoinSet};

use self::{
    balance::{bond, tag, turns},
    server::{Address, Server},
};
pub use self::{
    config::{
        Balance, EjectionConfig, HealthConfig, MAX_ATTEMPTS, RetriesConfig, RetryOn, ServersConfig, UpstreamConfig,
    },
    server::Lease,
    url::{UpstreamUrl, host_and_port},
};
use super::{Tuning, rate_limit::network, route::RouteConfig};

/// How often names are asked for again; Pingora's own pool and a usual TTL make shorter pointless.
const RESOLVE_EVERY: Duration = Duration::from_secs(30);
/// The same for names that have no answer yet.
const RETRY_EVERY: Duration = Duration::from_secs(1);
/// Longest wait for the first answers before we start without them.
const FIRST_ANSWER: Duration = Duration::from_secs(3);
/// An idle connection is dropped after this: servers commonly close theirs after 5 s (Node.js), and a request that
/// meets a closing connection is lost unless it may be repeated.
const POOL_IDLE: Duration = Duration::from_secs(4);
/// Pingora's name for the pool of connections that become other protocols', in which there never is one.
const UPGRADES: u64 = 1;
/// Patience with a connection that is quiet by nature: WebSocket, server-sent events.
pub const LONG_QUIET: Duration = Duration::from_secs(3600);

/// The servers of every route, in the routes' order.
#[derive(Debug)]
pub struct Upstreams {
    pools: Vec<Pool>,
    /// Every server, each once, by everything that is said of it.
    servers: HashMap<String, Arc<Server>>,
    started: Instant,
    tuning: Tuning,
}

/// The servers of one route.
#[derive(Debug)]
struct Pool {
    servers: Vec<(Arc<Server>, u8)>,
    balance: Balance,
    retries: RetriesConfig,
    /// Indices of servers, as often as their weights say.
    turns: Vec<usize>,
    next: AtomicUsize,
    /// To connect.
    connect: Duration,
    /// Of silence.
    idle: Duration,
}

/// Who asks for a server.
#[derive(Clone, Copy, Debug)]
pub struct Seeker<'a> {
    /// Its address.
    pub client: IpAddr,
    /// The value of the cookie that [`Upstreams::cookie`] names.
    pub cookie: Option<&'a str>,
    /// Whether the connection may be silent for long.
    pub quiet: bool,
    /// Whether the connection is to become another protocol's.
    pub upgrade: bool,
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
}

impl Upstreams {
    /// Knows the servers of `routes`; numeric addresses need no resolver. What was known `before` of servers that stay
    /// the same is known on.
    pub fn new(routes: &[RouteConfig], tuning: &Tuning, before: Option<&Upstreams>) -> Upstreams {
        // Routes that share a server share what is known of it, unless they ask it for different signs of health.
        let mut servers: HashMap<String, Arc<Server>> = HashMap::new();
        let mut pools = Vec::new();
        for route in routes {
            let config = route.servers();
            let mut server = |upstream: &UpstreamConfig| {
                let key = format!("{} {:?} {:?}", upstream.url, config.ejection, config.health);
                let known = before.and_then(|before| before.servers.get(&key)).cloned();
                let fresh = || Arc::new(Server::new(&upstream.url, config.ejection, config.health));
                let server = servers.entry(key).or_insert_with(|| known.unwrap_or_else(fresh));
                (server.clone(), upstream.weight)
            };
            let weights: Vec<u8> = config.upstreams.iter().map(|upstream| upstream.weight).collect();
            pools.push(Pool {
                servers: config.upstreams.iter().map(&mut server).collect(),
                balance: config.balance.clone(),
                retries: config.retries.clone(),
                turns: turns(&weights),
                next: AtomicUsize::new(0),
                connect: route.timeouts.connect.map_or(tuning.connect, |span| *span),
                idle: route.timeouts.idle.map_or(tuning.upstream_read, |span| *span),
            });
        }
        let started = before.map_or_else(Instant::now, |before| before.started);
        Upstreams { pools, servers, started, tuning: tuning.clone() }
    }

    /// The next server of a route that is not among the `tried`, unfit ones last. `None` when there is none left, or
    /// none was ever resolved.
    pub fn choose(&self, route: usize, tried: &[SocketAddr], seeker: &Seeker<'_>) -> Option<Choice> {
        let pool = self.pools.get(route)?;
        let now = self.now();
        let usable = |address: &Address| !tried.contains(&address.at);
        let fit = |address: &Address| usable(address) && address.is_fit(now);
        // A second attempt takes nobody's turn: a server that fails would else come first for every second request.
        let turn = match tried {
            [] => pool.next.fetch_add(1, Ordering::Relaxed),
            _ => pool.next.load(Ordering::Relaxed),
        };
        let (server, address) = pool.pick(turn, seeker, fit).or_else(|| pool.pick(turn, seeker, usable))?;
        let cookie = match &pool.balance {
            Balance::Cookie(_) => Some(tag(address.at)).filter(|tag| seeker.cookie != Some(tag)),
            _ => None,
        };
        let mut peer = server.peer(address.at);
        // All of these are unlimited by default; a server that never answers would hold its request for ever.
        peer.options.connection_timeout = Some(pool.connect);
        peer.options.total_connection_timeout = Some(pool.connect * 2);
        peer.options.read_timeout = Some(if seeker.quiet { LONG_QUIET } else { pool.idle });
        peer.options.write_timeout = Some(self.tuning.upstream_write);
        peer.options.idle_timeout = Some(POOL_IDLE);
        if seeker.upgrade {
            // Scar: Pingora issue 946. An answer of 101 that is there before Pingora has looked at the empty body of the
            // request is taken for the end of both. A server that waits on an idle connection is that fast, one that
            // has yet to take a new connection hardly ever. So these get connections of their own, never idle ones.
            peer.group_key = UPGRADES;
            peer.options.idle_timeout = Some(Duration::ZERO);
        }
        Some(Choice { peer, lease: Lease::new(server, &address), cookie })
    }

    /// Whether a request that met this failure, and has `tried` these addresses, may try another connection.
    pub fn may_retry(&self, route: usize, tried: &[SocketAddr], failure: RetryOn) -> bool {
        let Some(pool) = self.pools.get(route) else { return false };
        let another = |(server, _): &(Arc<Server>, u8)| {
            server.addresses.load().iter().any(|address| !tried.contains(&address.at))
        };
        pool.retries.on.contains(&failure) && tried.len() < pool.retries.attempts && pool.servers.iter().any(another)
    }

    /// The name of the cookie that tells a visitor's server, if the route has one.
    pub fn cookie(&self, route: usize) -> Option<&str> {
        match &self.pools.get(route)?.balance {
            Balance::Cookie(name) => Some(name),
            _ => None,
        }
    }

    /// There was no connection: the address rests.
    pub fn unreachable(&self, lease: &Lease) {
        lease.address.rest(self.now(), *lease.server.ejection.rest);
    }

    /// A request was not answered.
    pub fn unanswered(&self, lease: &Lease) {
        if lease.address.fail(self.now(), &lease.server.ejection) {
            let Lease { server, address } = lease;
            tracing::warn!(upstream = %server.url, at = %address.at, rest = %server.ejection.rest, "an upstream rests");
        }
    }

    /// Asks for every name without an answer once, in parallel, and waits a little for the answers.
    pub fn resolve_first(&self) {
        let (sender, answers) = mpsc::channel();
        let unknown: Vec<_> = self.named().filter(|server| server.addresses.load().is_empty()).collect();
        for server in &unknown {
            let (server, sender) = (Arc::clone(server), sender.clone());
            let ask = move || {
                let answer = (&*server.url.host, server.url.port).to_socket_addrs();
                server.learn(answer.map(Iterator::collect));
                // The receiver may have run out of patience.
                let _ = sender.send(());
            };
            if let Err(error) = thread::Builder::new().name("resolve".into()).spawn(ask) {
                tracing::warn!(%error, "cannot start a thread for the first look-up");
            }
        }
        let deadline = Instant::now() + FIRST_ANSWER;
        for _ in unknown {
            if answers.recv_timeout(deadline.saturating_duration_since(Instant::now())).is_err() {
                break;
            }
        }
    }

    /// Keeps every name fresh and asks for everyone's health, until it is dropped.
    async fn watch(&self) {
        let mut checks = JoinSet::new();
        for server in self.servers.values() {
            if let Some(health) = server.health.clone() {
                checks.spawn(health::watch(server.clone(), health));
            }
        }
        let named: Vec<_> = self.named().cloned().collect();
        let mut asked = Instant::now();
        while !named.is_empty() {
            tokio::time::sleep(RETRY_EVERY).await;
            let all = asked.elapsed() >= RESOLVE_EVERY;
            if all {
                asked = Instant::now();
            }
            for server in named.iter().filter(|server| all || server.addresses.load().is_empty()) {
                let answer = tokio::net::lookup_host((&*server.url.host, server.url.port)).await;
                server.learn(answer.map(Iterator::collect));
            }
        }
        std::future::pending().await
    }

    /// Servers that have to be resolved.
    fn named(&self) -> impl Iterator<Item = &Arc<Server>> {
        self.servers.values().filter(|server| server.url.host.parse::<IpAddr>().is_err())
    }

    fn now(&self) -> u64 {
        self.started.elapsed().as_millis() as u64
    }
}

/// Watches over the servers of the configuration in use, for ever.
pub async fn watch_latest(mut latest: watch::Receiver<Arc<Upstreams>>) {
    loop {
        let upstreams = latest.borrow_and_update().clone();
        tokio::select! {
            () = upstreams.watch() => {}
            changed = latest.changed() => {
                if changed.is_err() {
                    // There will be no other.
                    upstreams.watch().await;
                }
            }
        }
    }
}

impl Pool {
    /// The next one among those that will do.
    fn pick(
        &self,
        turn: usize,
        seeker: &Seeker<'_>,
        will_do: impl Fn(&Address) -> bool,
    ) -> Option<(&Arc<Server>, Arc<Address>)> {
        match &self.balance {
            Balance::RoundRobin => self.in_turn(turn, will_do),
            Balance::LeastConnections => {
                // Beginning at a turn, so that equals take turns.
                let load = |weight: u8, address: &Address| (address.in_flight() + 1) as f64 / f64::from(weight);
                self.best(turn, will_do, |weight, address| -load(weight, address))
            }
            Balance::IpHash => {
                let client = network(seeker.client);
                self.best(0, will_do, |weight, address| bond(client, address.at, weight))
            }
            Balance::Cookie(_) => {
                let own = seeker.cookie.and_then(|cookie| {
                    self.best(0, |address| will_do(address) && tag(address.at) == cookie, |_, _| 0.0)
                });
                own.or_else(|| self.in_turn(turn, will_do))
            }
        }
    }

    fn in_turn(&self, turn: usize, will_do: impl Fn(&Address) -> bool) -> Option<(&Arc<Server>, Arc<Address>)> {
        (0..self.turns.len()).find_map(|offset| {
            let (server, _) = &self.servers[self.turns[turn.wrapping_add(offset) % self.turns.len()]];
            let addresses = server.addresses.load();
            let first = server.next.fetch_add(1, Ordering::Relaxed);
            let address = |step: usize| &addresses[first.wrapping_add(step) % addresses.len()];
            let found = (0..addresses.len()).map(address).find(|address| will_do(address))?;
            Some((server, found.clone()))
        })
    }

    /// The one with the greatest mark; the first among equals.
    fn best(
        &self,
        first: usize,
        will_do: impl Fn(&Address) -> bool,
        mark: impl Fn(u8, &Address) -> f64,
    ) -> Option<(&Arc<Server>, Arc<Address>)> {
        let mut best: Option<(f64, &Arc<Server>, Arc<Address>)> = None;
        for offset in 0..self.servers.len() {
            let (server, weight) = &self.servers[first.wrapping_add(offset) % self.servers.len()];
            for address in server.addresses.load().iter().filter(|address| will_do(address)) {
                let mark = mark(*weight, address);
                if best.as_ref().is_none_or(|(best, ..)| mark > *best) {
                    best = Some((mark, server, address.clone()));
                }
            }
        }
        best.map(|(_, server, address)| (server, address))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::io;

    use super::*;

    const SEEKER: Seeker<'_> =
        Seeker { client: IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), cookie: None, quiet: false, upgrade: false };

    fn upstreams(urls: &[&str]) -> Upstreams {
        let upstreams = urls.iter().map(|url| url.parse().unwrap()).collect();
        Upstreams::new(&[RouteConfig { upstreams, ..RouteConfig::default() }], &Tuning::default(), None)
    }

    fn route(json: &str) -> Upstreams {
        Upstreams::new(&[serde_json::from_str(json).unwrap()], &Tuning::default(), None)
    }

    fn port(choice: Option<Choice>) -> Option<u16> {
        choice.map(|choice| choice.lease.address.at.port())
    }

    /// The address of this port cannot be reached.
    fn lose(pool: &Upstreams, port: u16) -> SocketAddr {
        let find = |server: &Arc<Server>| {
            let address = server.addresses.load().iter().find(|address| address.at.port() == port).cloned()?;
            Some(Lease::new(server, &address))
        };
        let lease = pool.servers.values().find_map(find).unwrap();
        pool.unreachable(&lease);
        lease.address.at
    }

    #[test]
    fn servers_take_turns_as_their_weights_say() {
        let pool = upstreams(&["http://127.0.0.1:1", "http://127.0.0.1:2", "http://127.0.0.1:3"]);
        let ports: Vec<_> = (0..6).map(|_| port(pool.choose(0, &[], &SEEKER)).unwrap()).collect();
        assert_eq!(ports, [1, 2, 3, 1, 2, 3]);
        let pool = route(r#"{"upstreams":["http://127.0.0.1:1",{"url":"http://127.0.0.1:2","weight":3}]}"#);
        let ports: Vec<_> = (0..8).map(|_| port(pool.choose(0, &[], &SEEKER)).unwrap()).collect();
        assert_eq!(ports, [2, 1, 2, 2, 2, 1, 2, 2]);
    }

    #[test]
    fn a_server_that_failed_is_passed_over_but_not_forgotten() {
        let pool = upstreams(&["http://127.0.0.1:1", "http://127.0.0.1:2"]);
        let first = lose(&pool, 1);
        assert!((0..4).all(|_| port(pool.choose(0, &[], &SEEKER)) == Some(2)));
        let second = lose(&pool, 2);
        assert!(pool.choose(0, &[], &SEEKER).is_some(), "all rest: any is better than none");
        assert_eq!(port(pool.choose(0, &[second], &SEEKER)), Some(1));
        assert!(pool.choose(0, &[first, second], &SEEKER).is_none());
        assert!(pool.may_retry(0, &[first], RetryOn::Connect));
        assert!(!pool.may_retry(0, &[first, second], RetryOn::Connect));
        assert!(!pool.may_retry(0, &[first], RetryOn::Failure), "only if told to");
    }

    #[test]
    fn too_many_failures_in_a_row_are_followed_by_a_rest() {
        let json = r#"{"upstreams":["http://127.0.0.1:1","http://127.0.0.1:2"],"ejection":{"failures":2,"rest":"1h"}}"#;
        let pool = route(json);
        let choice = pool.choose(0, &[], &SEEKER).unwrap();
        pool.unanswered(&choice.lease);
        choice.lease.address.succeed();
        pool.unanswered(&choice.lease);
        assert!((0..2).any(|_| port(pool.choose(0, &[], &SEEKER)) == Some(1)), "not in a row");
        pool.unanswered(&choice.lease);
        assert!((0..4).all(|_| port(pool.choose(0, &[], &SEEKER)) == Some(2)));
    }

    #[test]
    fn ill_servers_are_passed_over_until_they_are_well() {
        let pool = upstreams(&["http://127.0.0.1:1", "http://127.0.0.1:2"]);
        let first = pool.pools[0].servers[0].0.addresses.load()[0].clone();
        assert!(!first.checked(false), "once may happen");
        assert!(first.checked(false) && !first.checked(false));
        assert!((0..4).all(|_| port(pool.choose(0, &[], &SEEKER)) == Some(2)));
        assert!(first.checked(true));
        assert!((0..4).any(|_| port(pool.choose(0, &[], &SEEKER)) == Some(1)));
    }

    #[test]
    fn the_least_busy_server_is_next() {
        let json = r#"{"balance":"least_connections",
                       "upstreams":["http://127.0.0.1:1",{"url":"http://127.0.0.1:2","weight":2}]}"#;
        let pool = route(json);
        let held: Vec<_> = (0..6).map(|_| pool.choose(0, &[], &SEEKER).unwrap()).collect();
        let ports: Vec<_> = held.iter().map(|choice| choice.lease.address.at.port()).collect();
        assert_eq!(ports.iter().filter(|port| **port == 2).count(), 4, "{ports:?}");
        drop(held);
        assert!(pool.servers.values().all(|server| server.addresses.load()[0].in_flight() == 0));
    }

    #[test]
    fn a_client_keeps_its_server_by_address_or_by_cookie() {
        let upstreams = r#""upstreams":["http://127.0.0.1:1","http://127.0.0.1:2","http://127.0.0.1:3"]"#;
        let pool = route(&format!(r#"{{"balance":"ip_hash",{upstreams}}}"#));
        let own = |client: u8| {
            let seeker = Seeker { client: [192, 0, 2, client].into(), ..SEEKER };
            port(pool.choose(0, &[], &seeker)).unwrap()
        };
        let ports: Vec<_> = (0..50).map(own).collect();
        assert!(
            ports == (0..50).map(own).collect::<Vec<_>>() && (1..=3).all(|port| ports.contains(&port)),
            "{ports:?}"
        );
        lose(&pool, ports[0]);
        assert_ne!(own(0), ports[0]);

        let pool = route(&format!(r#"{{"balance":{{"cookie":"server"}},{upstreams}}}"#));
        assert_eq!(pool.cookie(0), Some("server"));
        let first = pool.choose(0, &[], &SEEKER).unwrap();
        let cookie = first.cookie.clone().unwrap();
        let seeker = Seeker { cookie: Some(&cookie), ..SEEKER };
        for _ in 0..4 {
            let again = pool.choose(0, &[], &seeker).unwrap();
            assert_eq!((again.lease.address.at, again.cookie), (first.lease.address.at, None));
        }
        lose(&pool, first.lease.address.at.port());
        let other = pool.choose(0, &[], &seeker).unwrap();
        assert!(other.lease.address.at != first.lease.address.at && other.cookie.is_some(), "moves and is told");
        assert!(pool.choose(0, &[], &Seeker { cookie: Some("forged"), ..SEEKER }).unwrap().cookie.is_some());
    }

    #[test]
    fn the_last_good_answer_stays() {
        let pool = upstreams(&["http://site.invalid:80"]);
        assert!(pool.choose(0, &[], &SEEKER).is_none());
        let server = &pool.pools[0].servers[0].0;
        let two = vec!["10.0.0.2:80".parse().unwrap(), "10.0.0.1:80".parse().unwrap()];
        server.learn(Ok(two.clone()));
        let second = server.addresses.load()[1].clone();
        assert_eq!(second.at, two[0]);
        pool.unreachable(&Lease::new(server, &second));
        server.learn(Err(io::Error::other("down")));
        server.learn(Ok(vec![]));
        server.learn(Ok(two));
        assert_eq!(server.addresses.load().len(), 2);
        for _ in 0..4 {
            let choice = pool.choose(0, &[], &SEEKER).unwrap();
            assert_eq!(choice.lease.address.at.to_string(), "10.0.0.1:80", "the rest is kept");
        }
    }

    #[test]
    fn tls_servers_are_asked_under_their_own_name() {
        let pool = upstreams(&["https://127.0.0.1:8443"]);
        assert_eq!(pool.choose(0, &[], &SEEKER).unwrap().lease.server.host.as_ref().unwrap(), "127.0.0.1:8443");
        assert_eq!(upstreams(&["http://127.0.0.1:1"]).choose(0, &[], &SEEKER).unwrap().lease.server.host, None);
        assert!(pool.choose(1, &[], &SEEKER).is_none());
    }
}

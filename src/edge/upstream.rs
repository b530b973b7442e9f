//! The servers behind the routes: where they are, whose turn it is, and what is tried when one fails.
//!
//! Names are resolved here, at start and then in the background, never while a request waits; the last good answer
//! stays when the resolver fails. An address that refused a connection rests a while: it is tried again only after
//! that, or when there is nothing else.

use std::{
    collections::HashMap,
    io,
    net::{IpAddr, SocketAddr, ToSocketAddrs},
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
        mpsc,
    },
    thread,
    time::{Duration, Instant},
};

use arc_swap::ArcSwap;
use http::HeaderValue;
use pingora::upstreams::peer::HttpPeer;

use super::{Tuning, route::RouteConfig, upstream_url::UpstreamUrl};

/// Most connections tried for one request.
pub const MAX_ATTEMPTS: usize = 4;
/// How long an address rests after it refused a connection.
const REST: Duration = Duration::from_secs(10);
/// How often names are asked for again; Pingora's own pool and a usual TTL make shorter pointless.
const RESOLVE_EVERY: Duration = Duration::from_secs(30);
/// The same for names that have no answer yet.
const RETRY_EVERY: Duration = Duration::from_secs(1);
/// Longest wait for the first answers before we start without them.
const FIRST_ANSWER: Duration = Duration::from_secs(3);
/// An idle connection is dropped after this: servers commonly close theirs after 5 s (Node.js), and a request that
/// meets a closing connection is lost unless it may be repeated.
const POOL_IDLE: Duration = Duration::from_secs(4);
/// Patience with a connection that is quiet by nature: WebSocket, server-sent events.
pub const LONG_QUIET: Duration = Duration::from_secs(3600);

/// The servers of every route, in the routes' order.
#[derive(Debug)]
pub struct Upstreams {
    pools: Vec<Pool>,
    /// Every server with a name, each once.
    named: Vec<Arc<Server>>,
    started: Instant,
    tuning: Tuning,
}

/// The servers of one route.
#[derive(Debug)]
struct Pool {
    servers: Vec<Arc<Server>>,
    next: AtomicUsize,
    /// To connect.
    connect: Duration,
    /// Of silence.
    idle: Duration,
}

/// One `upstreams` entry.
#[derive(Debug)]
struct Server {
    url: UpstreamUrl,
    /// What the `Host` header says to a server that is reached over TLS: it chooses its certificate and its site by
    /// the name it is known under. Plain servers see the visitor's host.
    host: Option<HeaderValue>,
    addresses: ArcSwap<Vec<Arc<Address>>>,
}

/// One address of a server.
#[derive(Debug)]
struct Address {
    at: SocketAddr,
    /// Milliseconds since `Upstreams::started`; 0 is fit.
    rests_until: AtomicU64,
}

/// A server to connect to.
#[derive(Debug)]
pub struct Choice {
    /// For Pingora.
    pub peer: Box<HttpPeer>,
    /// Its address.
    pub at: SocketAddr,
    /// What to send as `Host` in place of the visitor's.
    pub host: Option<HeaderValue>,
}

impl Upstreams {
    /// Knows the servers of `routes`; numeric addresses need no resolver.
    pub fn new(routes: &[RouteConfig], tuning: &Tuning) -> Upstreams {
        let mut known: HashMap<String, Arc<Server>> = HashMap::new();
        let mut named = Vec::new();
        let mut server = |url: &UpstreamUrl| {
            let server = known.entry(url.to_string()).or_insert_with(|| {
                let server = Arc::new(Server::new(url));
                if server.addresses.load().is_empty() {
                    named.push(server.clone());
                }
                server
            });
            server.clone()
        };
        let pools = routes
            .iter()
            .map(|route| Pool {
                servers: route.upstreams.iter().map(&mut server).collect(),
                next: AtomicUsize::new(0),
                connect: route.timeouts.connect.map_or(tuning.connect, |span| *span),
                idle: route.timeouts.idle.map_or(tuning.upstream_read, |span| *span),
            })
            .collect();
        Upstreams { pools, named, started: Instant::now(), tuning: tuning.clone() }
    }

    /// The next server of a route that is not among the `tried`: in turn, those that rest last. `None` when there is
    /// none left, or none was ever resolved. `quiet` is for connections that may be silent for long.
    pub fn choose(&self, route: usize, tried: &[SocketAddr], quiet: bool) -> Option<Choice> {
        let pool = self.pools.get(route)?;
        let turn = pool.next.fetch_add(1, Ordering::Relaxed);
        let now = self.now();
        let mut resting = None;
        for offset in 0..pool.servers.len() {
            let server = &pool.servers[turn.wrapping_add(offset) % pool.servers.len()];
            let addresses = server.addresses.load();
            for step in 0..addresses.len() {
                // The addresses of one name take turns as well, at the pool's pace.
                let address = &addresses[(turn / pool.servers.len()).wrapping_add(step) % addresses.len()];
                if tried.contains(&address.at) {
                    continue;
                }
                if address.rests_until.load(Ordering::Relaxed) <= now {
                    return Some(self.choice(pool, server, address.at, quiet));
                }
                resting = resting.or_else(|| Some((server.clone(), address.at)));
            }
        }
        resting.map(|(server, at)| self.choice(pool, &server, at, quiet))
    }

    /// Whether [`choose`](Upstreams::choose) would find one more, without taking a turn.
    pub fn has_another(&self, route: usize, tried: &[SocketAddr]) -> bool {
        let servers = self.pools.get(route).into_iter().flat_map(|pool| &pool.servers);
        servers.into_iter().any(|server| server.addresses.load().iter().any(|address| !tried.contains(&address.at)))
    }

    /// `at` could not be reached: it rests.
    pub fn rest(&self, route: usize, at: SocketAddr) {
        let until = self.now() + REST.as_millis() as u64;
        for server in self.pools.get(route).into_iter().flat_map(|pool| &pool.servers) {
            for address in server.addresses.load().iter().filter(|address| address.at == at) {
                address.rests_until.store(until, Ordering::Relaxed);
            }
        }
    }

    /// Asks for every name once, in parallel, and waits a little for the answers.
    pub fn resolve_first(&self) {
        let (sender, answers) = mpsc::channel();
        for server in &self.named {
            let (server, sender) = (server.clone(), sender.clone());
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
        for _ in &self.named {
            if answers.recv_timeout(deadline.saturating_duration_since(Instant::now())).is_err() {
                break;
            }
        }
    }

    /// Keeps every name fresh, for ever.
    pub async fn keep_resolved(self: Arc<Upstreams>) {
        let mut asked = Instant::now();
        while !self.named.is_empty() {
            tokio::time::sleep(RETRY_EVERY).await;
            let all = asked.elapsed() >= RESOLVE_EVERY;
            if all {
                asked = Instant::now();
            }
            for server in self.named.iter().filter(|server| all || server.addresses.load().is_empty()) {
                let answer = tokio::net::lookup_host((&*server.url.host, server.url.port)).await;
                server.learn(answer.map(Iterator::collect));
            }
        }
    }

    fn choice(&self, pool: &Pool, server: &Server, at: SocketAddr, quiet: bool) -> Choice {
        let sni = if server.url.tls { server.url.host.to_string() } else { String::new() };
        // Given a socket address, nothing is resolved here.
        let mut peer = Box::new(HttpPeer::new(at, server.url.tls, sni));
        // All of these are unlimited by default; a server that never answers would hold its request for ever.
        peer.options.connection_timeout = Some(pool.connect);
        peer.options.total_connection_timeout = Some(pool.connect * 2);
        peer.options.read_timeout = Some(if quiet { LONG_QUIET } else { pool.idle });
        peer.options.write_timeout = Some(self.tuning.upstream_write);
        peer.options.idle_timeout = Some(POOL_IDLE);
        Choice { peer, at, host: server.host.clone() }
    }

    fn now(&self) -> u64 {
        self.started.elapsed().as_millis() as u64
    }
}

impl Server {
    fn new(url: &UpstreamUrl) -> Server {
        let host = url.tls.then(|| HeaderValue::try_from(url.authority()).ok()).flatten();
        let fixed = url.host.parse::<IpAddr>().ok().map(|ip| Address::new(SocketAddr::new(ip, url.port)));
        Server { url: url.clone(), host, addresses: ArcSwap::from_pointee(fixed.into_iter().collect()) }
    }

    /// Takes the resolver's answer, if there is one; addresses that stay keep their rest.
    fn learn(&self, answer: io::Result<Vec<SocketAddr>>) {
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
            let addresses = found.into_iter().map(|at| keep(at).unwrap_or_else(|| Address::new(at))).collect();
            tracing::info!(upstream = %self.url, ?addresses, "an upstream's name has been resolved");
            self.addresses.store(Arc::new(addresses));
        }
    }
}

impl Address {
    fn new(at: SocketAddr) -> Arc<Address> {
        Arc::new(Address { at, rests_until: AtomicU64::new(0) })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn upstreams(urls: &[&str]) -> Upstreams {
        let upstreams = urls.iter().map(|url| url.parse().unwrap()).collect();
        Upstreams::new(&[RouteConfig { upstreams, ..RouteConfig::default() }], &Tuning::default())
    }

    fn port(choice: Option<Choice>) -> Option<u16> {
        choice.map(|choice| choice.at.port())
    }

    #[test]
    fn servers_take_turns() {
        let pool = upstreams(&["http://127.0.0.1:1", "http://127.0.0.1:2", "http://127.0.0.1:3"]);
        let ports: Vec<_> = (0..6).map(|_| port(pool.choose(0, &[], false)).unwrap()).collect();
        assert_eq!(ports, [1, 2, 3, 1, 2, 3]);
    }

    #[test]
    fn a_server_that_failed_is_passed_over_but_not_forgotten() {
        let pool = upstreams(&["http://127.0.0.1:1", "http://127.0.0.1:2"]);
        let first: SocketAddr = "127.0.0.1:1".parse().unwrap();
        let second: SocketAddr = "127.0.0.1:2".parse().unwrap();
        pool.rest(0, first);
        assert!((0..4).all(|_| port(pool.choose(0, &[], false)) == Some(2)));
        pool.rest(0, second);
        assert!(pool.choose(0, &[], false).is_some(), "all rest: any is better than none");
        assert_eq!(port(pool.choose(0, &[second], false)), Some(1));
        assert!(pool.choose(0, &[first, second], false).is_none());
        assert!(pool.has_another(0, &[first]) && !pool.has_another(0, &[first, second]));
    }

    #[test]
    fn the_last_good_answer_stays() {
        let pool = upstreams(&["http://site.invalid:80"]);
        assert!(pool.choose(0, &[], false).is_none());
        let server = &pool.named[0];
        let two = vec!["10.0.0.2:80".parse().unwrap(), "10.0.0.1:80".parse().unwrap()];
        server.learn(Ok(two.clone()));
        pool.rest(0, two[0]);
        server.learn(Err(io::Error::other("down")));
        server.learn(Ok(vec![]));
        server.learn(Ok(two));
        assert_eq!(server.addresses.load().len(), 2);
        for _ in 0..4 {
            assert_eq!(pool.choose(0, &[], false).unwrap().at.to_string(), "10.0.0.1:80", "the rest is kept");
        }
    }

    #[test]
    fn tls_servers_are_asked_under_their_own_name() {
        let pool = upstreams(&["https://127.0.0.1:8443"]);
        assert_eq!(pool.choose(0, &[], false).unwrap().host.unwrap(), "127.0.0.1:8443");
        assert_eq!(upstreams(&["http://127.0.0.1:1"]).choose(0, &[], false).unwrap().host, None);
        assert!(pool.choose(1, &[], false).is_none());
    }
}

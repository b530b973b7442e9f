//! The servers of one route, and which of them is next.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use super::{
    LONG_QUIET, Seeker,
    address::Address,
    balance::{bond, share, tag, takes, turns},
    config::{Balance, RetriesConfig},
    deadline::Patience,
    server::Server,
};
use crate::{
    edge::{Tuning, rate_limit::network, route::RouteConfig},
    telemetry::proxying::RouteMeter,
    units::Span,
};

/// The servers of one route.
#[derive(Debug)]
pub struct Pool {
    /// With their weights.
    pub servers: Vec<(Arc<Server>, u8)>,
    /// Which is next.
    pub balance: Balance,
    /// What is tried again.
    pub retries: RetriesConfig,
    /// Indices of servers, as often as their weights say.
    turns: Vec<usize>,
    /// Counts them.
    pub next: AtomicUsize,
    /// What is measured of the route.
    pub meter: RouteMeter,
    /// To connect.
    pub connect: Duration,
    /// Of silence.
    idle: Duration,
    /// Milliseconds over which the share of one that came back grows; 0 is at once.
    slow_start: u64,
    /// Deadlines, if there are any.
    pub patience: Option<Patience>,
}

impl Pool {
    /// Of a route with these servers, in the order of its configuration.
    pub fn new(route: &RouteConfig, servers: Vec<(Arc<Server>, u8)>, meter: RouteMeter, tuning: &Tuning) -> Pool {
        let weights: Vec<u8> = servers.iter().map(|(_, weight)| *weight).collect();
        let span = |span: Option<Span>| span.map(|span| *span);
        let patience = Patience { first_byte: span(route.timeouts.first_byte), total: span(route.timeouts.total) };
        let bounded = patience.first_byte.is_some() || patience.total.is_some();
        Pool {
            servers,
            meter,
            balance: route.balance.clone(),
            retries: route.retries.clone(),
            turns: turns(&weights),
            next: AtomicUsize::new(0),
            connect: span(route.timeouts.connect).unwrap_or(tuning.connect),
            idle: span(route.timeouts.idle).unwrap_or(tuning.upstream_read),
            slow_start: route.slow_start.as_millis() as u64,
            patience: bounded.then_some(patience),
        }
    }

    /// Patience with a read, where the connection is not `quiet` by nature. Pingora has one for the whole of an answer, so
    /// that a first byte that may take longer than later ones makes it longer for them, too.
    pub fn silence(&self, quiet: bool) -> Duration {
        if quiet {
            return LONG_QUIET;
        }
        let first_byte = self.patience.and_then(|patience| patience.first_byte);
        first_byte.map_or(self.idle, |first_byte| first_byte.max(self.idle))
    }

    /// The next one among those that will do. `now` is in milliseconds since the start of the addresses' times.
    pub fn pick(
        &self,
        turn: usize,
        seeker: &Seeker<'_>,
        now: u64,
        will_do: impl Fn(&Address) -> bool,
    ) -> Option<(&Arc<Server>, Arc<Address>)> {
        let weight = |weight: u8, address: &Address| f64::from(weight) * self.share(address, now);
        match &self.balance {
            Balance::RoundRobin => self.in_turn(turn, now, will_do),
            Balance::LeastConnections => {
                // Beginning at a turn, so that equals take turns.
                let load = |own: u8, address: &Address| (address.in_flight() + 1) as f64 / weight(own, address);
                self.best(turn, will_do, |own, address| -load(own, address))
            }
            Balance::IpHash => {
                let client = network(seeker.client);
                self.best(0, will_do, |own, address| bond(client, &address.at, weight(own, address)))
            }
            Balance::Cookie(_) => {
                let own = seeker.cookie.and_then(|cookie| {
                    self.best(0, |address| will_do(address) && tag(&address.at) == cookie, |_, _| 0.0)
                });
                own.or_else(|| self.in_turn(turn, now, will_do))
            }
        }
    }

    fn share(&self, address: &Address, now: u64) -> f64 {
        if self.slow_start == 0 { 1.0 } else { share(now, address.fit_since(), self.slow_start) }
    }

    fn in_turn(
        &self,
        turn: usize,
        now: u64,
        will_do: impl Fn(&Address) -> bool,
    ) -> Option<(&Arc<Server>, Arc<Address>)> {
        let takes = |address: &Address| will_do(address) && takes(turn, self.share(address, now));
        // Somebody has to take it.
        self.turn(turn, takes).or_else(|| self.turn(turn, &will_do).filter(|_| self.slow_start > 0))
    }

    fn turn(&self, turn: usize, will_do: impl Fn(&Address) -> bool) -> Option<(&Arc<Server>, Arc<Address>)> {
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

//! Keeps what is known of servers fresh: the addresses of their names, and their health.

use std::{
    future::pending,
    io,
    net::{SocketAddr, ToSocketAddrs},
    sync::{Arc, mpsc},
    thread,
    time::{Duration, Instant},
};

use tokio::{sync::watch, task::JoinSet};

use super::{Upstreams, health, server::Server};

/// How often names are asked for that have no answer yet.
const RETRY_EVERY: Duration = Duration::from_secs(1);
/// Names that are asked for at the same time. Each takes a thread, for many seconds when the name server is dead.
pub const MAX_ASKING: usize = 32;
/// Longest wait for the first answers before we start without them.
const FIRST_ANSWER: Duration = Duration::from_secs(3);

impl Upstreams {
    /// Asks for every name without an answer once, in parallel, and waits a little for the answers.
    pub fn resolve_first(&self) {
        let (sender, answers) = mpsc::channel();
        let unknown = self.named().filter(|server| server.addresses.load().is_empty());
        // Those that are being asked for already are not waited for again.
        let unknown: Vec<_> = unknown.filter_map(|server| server.look_up(Duration::ZERO)).collect();
        let asked = unknown.len();
        for look_up in unknown {
            let sender = sender.clone();
            let ask = move || {
                let server = look_up.server();
                if let Some(name) = server.name() {
                    server.learn(name.to_socket_addrs().map(Iterator::collect));
                }
                // The receiver may have run out of patience.
                let _ = sender.send(());
            };
            if let Err(error) = thread::Builder::new().name("resolve".into()).spawn(ask) {
                tracing::warn!(%error, "cannot start a thread for the first look-up");
            }
        }
        let deadline = Instant::now() + FIRST_ANSWER;
        for _ in 0..asked {
            if answers.recv_timeout(deadline.saturating_duration_since(Instant::now())).is_err() {
                break;
            }
        }
    }

    /// Keeps every name fresh and asks for everyone's health, until it is dropped.
    async fn watch<R: Resolver>(&self, resolver: &R) {
        let mut checks = JoinSet::new();
        for server in self.servers.values() {
            if let Some(health) = server.health.clone() {
                checks.spawn(health::watch(server.clone(), health));
            }
        }
        if self.named().next().is_none() {
            return pending().await;
        }
        let tick = RETRY_EVERY.min(self.tuning.resolve);
        loop {
            for server in self.named() {
                self.ask(server, resolver);
            }
            tokio::time::sleep(tick).await;
        }
    }

    /// Asks for a name if that is due. The asking goes on when this is replaced: what it finds is known of a server that
    /// may well stay, and one name that nobody answers for keeps none of the others waiting.
    fn ask<R: Resolver>(&self, server: &Arc<Server>, resolver: &R) {
        let is_unknown = server.addresses.load().is_empty();
        let every = if is_unknown { RETRY_EVERY.min(self.tuning.resolve) } else { self.tuning.resolve };
        let Some(look_up) = server.look_up(every) else { return };
        let (resolver, asking) = (resolver.clone(), self.asking.clone());
        tokio::spawn(async move {
            // It is never closed.
            let _permit = asking.acquire().await;
            let server = look_up.server();
            if let Some((host, port)) = server.name() {
                server.learn(resolver.ask(host, port).await);
            }
        });
    }

    /// Servers that have to be resolved.
    fn named(&self) -> impl Iterator<Item = &Arc<Server>> {
        self.servers.values().filter(|server| server.name().is_some())
    }
}

/// Knows the addresses of names.
pub trait Resolver: Clone + Send + Sync + 'static {
    /// Those of this host, with this port.
    fn ask(&self, host: &str, port: u16) -> impl Future<Output = io::Result<Vec<SocketAddr>>> + Send;
}

/// The system's.
#[derive(Clone)]
pub struct System;

impl Resolver for System {
    async fn ask(&self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        Ok(tokio::net::lookup_host((host, port)).await?.collect())
    }
}

/// Watches over the servers of the configuration in use, for ever.
pub async fn watch_latest(mut latest: watch::Receiver<Arc<Upstreams>>, resolver: impl Resolver) {
    loop {
        let upstreams = latest.borrow_and_update().clone();
        tokio::select! {
            () = upstreams.watch(&resolver) => {}
            changed = latest.changed() => {
                if changed.is_err() {
                    // There will be no other.
                    upstreams.watch(&resolver).await;
                }
            }
        }
    }
}

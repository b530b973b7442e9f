//! Keeps what is known of servers fresh: the addresses of their names, and their health.

use std::{
    future::pending,
    net::ToSocketAddrs,
    sync::{Arc, mpsc},
    thread,
    time::{Duration, Instant},
};

use tokio::{sync::watch, task::JoinSet};

use super::{Upstreams, health, server::Server};

/// How often names are asked for again; Pingora's own pool and a usual TTL make shorter pointless.
const RESOLVE_EVERY: Duration = Duration::from_secs(30);
/// The same for names that have no answer yet.
const RETRY_EVERY: Duration = Duration::from_secs(1);
/// Longest wait for the first answers before we start without them.
const FIRST_ANSWER: Duration = Duration::from_secs(3);

impl Upstreams {
    /// Asks for every name without an answer once, in parallel, and waits a little for the answers.
    pub fn resolve_first(&self) {
        let (sender, answers) = mpsc::channel();
        let unknown: Vec<_> = self.named().filter(|server| server.addresses.load().is_empty()).collect();
        for server in &unknown {
            let (server, sender) = (Arc::clone(server), sender.clone());
            let ask = move || {
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
                if let Some(name) = server.name() {
                    server.learn(tokio::net::lookup_host(name).await.map(Iterator::collect));
                }
            }
        }
        pending().await
    }

    /// Servers that have to be resolved.
    fn named(&self) -> impl Iterator<Item = &Arc<Server>> {
        self.servers.values().filter(|server| server.name().is_some())
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

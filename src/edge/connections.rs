//! How many connections there may be at once: in all, and of one client.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::AcqRel},
    },
};

use parking_lot::Mutex;

use super::{config::ConnectionsConfig, rate_limit::network};

/// Those that are there.
#[derive(Debug, Default)]
pub struct Connections {
    all: AtomicUsize,
    /// Only of clients that have any, and only while there is a limit for one: no more than there are connections.
    clients: Mutex<HashMap<IpAddr, usize>>,
}

/// A connection that is counted for as long as this lives.
#[derive(Debug)]
pub struct Place {
    connections: Arc<Connections>,
    client: Option<IpAddr>,
}

impl Connections {
    /// A place for a connection, or `None` when all are taken.
    pub fn enter(self: &Arc<Connections>, config: &ConnectionsConfig) -> Option<Place> {
        let place = Place { connections: self.clone(), client: None };
        let before = self.all.fetch_add(1, AcqRel);
        (config.total == 0 || before < config.total).then_some(place)
    }
}

impl Place {
    /// Counts it for its client, too. False when that one has all of its own.
    pub fn belongs(&mut self, client: IpAddr, config: &ConnectionsConfig) -> bool {
        if config.per_client == 0 {
            return true;
        }
        let client = network(client);
        let mut clients = self.connections.clients.lock();
        let count = clients.entry(client).or_default();
        // One that is refused has an entry already.
        if *count >= config.per_client {
            return false;
        }
        *count += 1;
        self.client = Some(client);
        true
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.connections.all.fetch_sub(1, AcqRel);
        let Some(client) = self.client else { return };
        let mut clients = self.connections.clients.lock();
        if let Some(count) = clients.get_mut(&client) {
            *count -= 1;
            if *count == 0 {
                clients.remove(&client);
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::sync::atomic::Ordering::Acquire;

    use super::*;

    #[test]
    fn places_are_counted_in_all_and_by_client_and_given_back() {
        let connections = Arc::new(Connections::default());
        let config = ConnectionsConfig { total: 3, per_client: 2 };
        let client = |text: &str| text.parse::<IpAddr>().unwrap();
        let enter = |who: &str| {
            let mut place = connections.enter(&config)?;
            place.belongs(client(who), &config).then_some(place)
        };
        let first = enter("2001:db8::1").unwrap();
        let second = enter("2001:db8::2").unwrap();
        assert!(enter("2001:db8::3").is_none(), "a network of 64 bits is one client");
        let third = enter("10.0.0.1").unwrap();
        assert!(enter("10.0.0.2").is_none());
        assert_eq!(connections.all.load(Acquire), 3, "who is refused takes no place");
        drop(first);
        assert!(enter("2001:db8::4").is_some());
        drop((second, third));
        assert_eq!(connections.all.load(Acquire), 0);
        assert!(connections.clients.lock().is_empty());
        let any = ConnectionsConfig { total: 0, per_client: 0 };
        let mut many: Vec<_> = (0..100).map(|_| connections.enter(&any).unwrap()).collect();
        assert!(many.iter_mut().all(|place| place.belongs(client("10.0.0.1"), &any)));
        assert!(connections.clients.lock().is_empty());
    }
}

//! How often a route may be asked.

use std::{
    hash::{BuildHasher, RandomState},
    net::IpAddr,
    time::{Duration, Instant},
};

use http::HeaderMap;
use serde::{Deserialize, Serialize};

use super::{config::Name, rate::Rate};
use crate::{
    edge::rate_limit::{Buckets, network},
    problem::Problem,
    units::Span,
};

/// Clients remembered; each takes about a hundred bytes.
const MAX_CLIENTS: usize = 65_536;
/// As many as come in this time may come at once, where nothing else is said and the rate is not told in minutes or
/// hours.
const BURST: Duration = Duration::from_secs(10);

/// `routes[].rate_limit:` - how often one client may ask; 429 above that.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LimitConfig {
    /// Requests a second (`20`), a minute (`5/m`) or an hour (`100/h`).
    pub rate: Rate,
    /// As many may come at once as the rate allows in this time; by default ten seconds, or the minute or hour of the
    /// rate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub burst: Option<Span>,
    /// The header that tells clients apart, such as an API key's. Without it, the client is an address (IPv4) or a
    /// network (IPv6, 64 bits); so are requests that lack the header.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub by_header: Option<Name>,
}

impl Default for LimitConfig {
    fn default() -> LimitConfig {
        LimitConfig { rate: Rate::NONE, burst: None, by_header: None }
    }
}

impl LimitConfig {
    /// Finds what parsing cannot see.
    pub fn check(&self, path: &str, problems: &mut Vec<Problem>) {
        if !self.rate.is_sound() {
            let problem = Problem::new(format!("{path}.rate"), format!("`{}` is no rate", self.rate));
            problems.push(problem.hint(Rate::hint()));
        }
        if let Some(burst) = self.burst.filter(|burst| **burst > Duration::from_secs(3600)) {
            let problem = Problem::new(format!("{path}.burst"), format!("`{burst}` is too long"));
            problems.push(problem.hint("such as `10s`; an hour at most"));
        }
    }

    fn burst(&self) -> Duration {
        self.burst.map_or(self.rate.per.time().max(BURST), |burst| *burst)
    }
}

/// The limit of one route.
pub struct Limit {
    /// By a keyed digest of who it is: whatever a client writes, it takes 16 bytes.
    buckets: Buckets<u128>,
    by_header: Option<Name>,
    key: RandomState,
    started: Instant,
}

impl std::fmt::Debug for Limit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Limit")
    }
}

impl Limit {
    /// None if the rate is 0.
    pub fn new(config: &LimitConfig) -> Option<Limit> {
        let buckets = Buckets::new(config.rate.times, config.rate.per.time(), config.burst(), MAX_CLIENTS)?;
        Some(Limit { buckets, by_header: config.by_header.clone(), key: RandomState::new(), started: Instant::now() })
    }

    /// Counts a request. The error says how long until the next one.
    pub fn count(&self, client: IpAddr, request: &HeaderMap) -> Result<(), Duration> {
        let named = self.by_header.as_ref().and_then(|name| request.get(&name.0));
        let half = |half: u8| match named {
            Some(value) => self.key.hash_one((half, value.as_bytes())),
            None => self.key.hash_one((half, network(client))),
        };
        let who = u128::from(half(0)) << 64 | u128::from(half(1));
        self.buckets.take(&who, self.started.elapsed())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn clients_are_told_apart_by_address_or_by_header() {
        let limit = |json: &str| Limit::new(&serde_json::from_str(json).unwrap()).unwrap();
        let (a, b) = (IpAddr::from([1, 1, 1, 1]), IpAddr::from([2, 2, 2, 2]));
        let key =
            |value: &'static str| HeaderMap::from_iter([("x-key".parse().unwrap(), HeaderValue::from_static(value))]);
        let by_address = limit(r#"{"rate":1,"burst":"2s"}"#);
        assert!(by_address.count(a, &key("1")).is_ok() && by_address.count(a, &key("2")).is_ok());
        assert!(by_address.count(a, &key("3")).is_err() && by_address.count(b, &key("3")).is_ok());
        let by_header = limit(r#"{"rate":1,"burst":"0s","by_header":"X-Key"}"#);
        assert!(by_header.count(a, &key("1")).is_ok() && by_header.count(a, &key("2")).is_ok());
        assert!(by_header.count(b, &key("1")).is_err());
        assert!(by_header.count(a, &HeaderMap::new()).is_ok() && by_header.count(a, &HeaderMap::new()).is_err());
    }

    #[test]
    fn five_a_minute_are_five_at_once_and_then_one_in_twelve_seconds() {
        let limit: LimitConfig = serde_json::from_str(r#"{"rate":"5/m"}"#).unwrap();
        let mut problems = Vec::new();
        limit.check("rate_limit", &mut problems);
        assert_eq!(problems, []);
        let limit = Limit::new(&limit).unwrap();
        let a = IpAddr::from([1, 1, 1, 1]);
        let waits: Vec<_> = (0..6).map(|_| limit.count(a, &HeaderMap::new()).err()).collect();
        assert!(waits[..5].iter().all(Option::is_none), "{waits:?}");
        let wait = waits[5].unwrap();
        assert!((Duration::from_secs(11)..=Duration::from_secs(12)).contains(&wait), "{wait:?}");
        for (wrong, key) in [(r#"{"rate":"0/m"}"#, "rate"), (r#"{"rate":"5/m","burst":"2h"}"#, "burst"), ("{}", "rate")]
        {
            let mut problems = Vec::new();
            serde_json::from_str::<LimitConfig>(wrong).unwrap().check("r", &mut problems);
            assert_eq!(problems.iter().map(|problem| &*problem.path).collect::<Vec<_>>(), [format!("r.{key}")]);
        }
    }
}

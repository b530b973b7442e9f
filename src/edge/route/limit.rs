//! How often a route may be asked.

use std::{
    hash::{BuildHasher, RandomState},
    net::IpAddr,
    time::{Duration, Instant},
};

use http::HeaderMap;
use serde::{Deserialize, Serialize};

use super::config::Name;
use crate::{
    edge::rate_limit::{Buckets, network},
    problem::Problem,
    units::Span,
};

/// Clients remembered; each takes about a hundred bytes.
const MAX_CLIENTS: usize = 65_536;
/// Highest rate, which is no limit any more.
const MAX_RATE: u32 = 1_000_000;

/// `routes[].rate_limit:` - how often one client may ask; 429 above that.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LimitConfig {
    /// Requests a second.
    pub rate: u32,
    /// As many may come at once as the rate allows in this time.
    pub burst: Span,
    /// The header that tells clients apart, such as an API key's. Without it, the client is an address (IPv4) or a
    /// network (IPv6, 64 bits); so are requests that lack the header.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub by_header: Option<Name>,
}

impl Default for LimitConfig {
    fn default() -> LimitConfig {
        LimitConfig { rate: 0, burst: Span::secs(10), by_header: None }
    }
}

impl LimitConfig {
    /// Finds what parsing cannot see.
    pub fn check(&self, path: &str, problems: &mut Vec<Problem>) {
        if self.rate == 0 || self.rate > MAX_RATE {
            let problem = Problem::new(format!("{path}.rate"), format!("`{}` is no rate", self.rate));
            problems.push(problem.hint(format!("requests a second, 1 to {MAX_RATE}")));
        }
        if *self.burst > Duration::from_secs(3600) {
            let problem = Problem::new(format!("{path}.burst"), format!("`{}` is too long", self.burst));
            problems.push(problem.hint("such as `10s`; an hour at most"));
        }
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
        let buckets = Buckets::new(config.rate, *config.burst, MAX_CLIENTS)?;
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
}

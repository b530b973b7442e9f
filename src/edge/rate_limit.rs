//! How many requests one client, and one stream, may send: token buckets, as many as a bounded table remembers.
//!
//! A bucket is one number, the time at which it will be full again (the generic cell rate algorithm). Whoever falls out
//! of the table begins with a full bucket; those who come often stay in it. Nothing is refused by mistake: no two
//! clients share a bucket, except that an IPv6 client is its network of 64 bits, within which it picks addresses freely.

use std::{
    borrow::Borrow,
    hash::Hash,
    net::{IpAddr, Ipv6Addr},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use quick_cache::sync::Cache;

use crate::collect::{Caller, RateLimitConfig, Refusal};

/// Clients remembered; each takes about a hundred bytes.
const MAX_CLIENTS: usize = 65_536;
/// Streams remembered. Without configured streams, clients invent their names.
const MAX_STREAMS: usize = 1_024;

/// In which the rates of `collect.rate_limit` are told.
const SECOND: Duration = Duration::from_secs(1);

/// The limits of `collect.rate_limit`.
pub struct RateLimits {
    clients: Option<Buckets<IpAddr>>,
    streams: Option<Buckets<String>>,
    started: Instant,
}

impl RateLimits {
    /// The limits of a configuration; a rate of 0 is none.
    pub fn new(config: &RateLimitConfig) -> RateLimits {
        RateLimits {
            clients: Buckets::new(config.per_ip, SECOND, *config.burst, MAX_CLIENTS),
            streams: Buckets::new(config.per_stream, SECOND, *config.burst, MAX_STREAMS),
            started: Instant::now(),
        }
    }

    /// Counts a request of which only the body has not been seen. A refused one, without `caller`, counts for its client
    /// alone; a trusted one for its stream alone, because its caller speaks for many visitors.
    pub fn count(&self, client: IpAddr, stream: &str, caller: Option<Caller>) -> Result<(), Refusal> {
        if self.clients.is_none() && self.streams.is_none() {
            return Ok(());
        }
        let now = self.started.elapsed();
        if let Some(clients) = self.clients.as_ref().filter(|_| caller != Some(Caller::Trusted)) {
            clients.take(&network(client), now).map_err(|retry_after| Refusal::RateLimited { retry_after })?;
        }
        if let Some(streams) = self.streams.as_ref().filter(|_| caller.is_some()) {
            streams.take(stream, now).map_err(|retry_after| Refusal::RateLimited { retry_after })?;
        }
        Ok(())
    }
}

/// Who is one client: an IPv4 address, or the network that an IPv6 customer is given.
pub fn network(client: IpAddr) -> IpAddr {
    match client.to_canonical() {
        IpAddr::V4(address) => address.into(),
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << 64)).into(),
    }
}

/// One bucket per key. Times are nanoseconds since some start.
pub struct Buckets<K> {
    full_at: Cache<K, Arc<AtomicU64>>,
    /// Time in which one token drips in.
    interval: u64,
    /// How far off being full may be for another token to be there.
    slack: u64,
}

impl<K: Eq + Hash> Buckets<K> {
    /// Buckets that fill at `rate` tokens in the time `per` and hold what drips in during `burst`, at least one.
    pub fn new(rate: u32, per: Duration, burst: Duration, capacity: usize) -> Option<Buckets<K>> {
        let interval = nanos(per) / u64::from((rate > 0).then_some(rate)?);
        let slack = nanos(burst).saturating_sub(interval);
        Some(Buckets { full_at: Cache::new(capacity), interval, slack })
    }

    /// Takes a token; when there is none, says how long until there is.
    pub fn take<Q>(&self, key: &Q, now: Duration) -> Result<(), Duration>
    where
        K: Borrow<Q>,
        Q: Eq + Hash + ToOwned<Owned = K> + ?Sized,
    {
        let bucket = self.full_at.get(key).unwrap_or_else(|| {
            let full = || Ok::<_, std::convert::Infallible>(Arc::default());
            self.full_at.get_or_insert_with(key, full).unwrap_or_else(|never| match never {})
        });
        let now = nanos(now);
        let taken = bucket.fetch_update(Relaxed, Relaxed, |full_at| {
            let full_at = full_at.max(now);
            (full_at - now <= self.slack).then(|| full_at + self.interval)
        });
        taken.map(drop).map_err(|full_at| Duration::from_nanos(full_at - now - self.slack))
    }
}

/// Enough for five hundred years.
fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX / 2)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::units::Span;

    const fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[test]
    fn a_bucket_holds_the_burst_and_fills_at_the_rate() {
        let buckets = Buckets::<String>::new(10, SECOND, ms(300), 8).unwrap();
        for (at, expected) in [
            (0, Ok(())),
            (0, Ok(())),
            (0, Ok(())),
            (0, Err(ms(100))),
            (60, Err(ms(40))),
            (100, Ok(())),
            (199, Err(ms(1))),
            (200, Ok(())),
            (60_000, Ok(())),
            (60_000, Ok(())),
            (60_000, Ok(())),
            (60_000, Err(ms(100))),
        ] {
            assert_eq!(buckets.take("a", ms(at)), expected, "at {at} ms");
        }
        assert_eq!(buckets.take("b", ms(60_000)), Ok(()), "another key has its own");
    }

    #[test]
    fn there_is_always_room_for_one() {
        let buckets = Buckets::<String>::new(1, SECOND, Duration::ZERO, 8).unwrap();
        assert_eq!(buckets.take("a", ms(5)), Ok(()));
        assert_eq!(buckets.take("a", ms(5)), Err(ms(1_000)));
        assert_eq!(buckets.take("a", ms(1_005)), Ok(()));
        assert!(Buckets::<String>::new(0, SECOND, ms(1), 8).is_none());
    }

    #[test]
    fn the_table_stays_small_and_keeps_those_who_come_often() {
        let buckets = Buckets::<IpAddr>::new(1, SECOND, Duration::ZERO, 64).unwrap();
        let loud = IpAddr::from([1, 1, 1, 1]);
        assert!(buckets.take(&loud, ms(0)).is_ok());
        for client in 0..10_000u32 {
            let _ = buckets.take(&IpAddr::from(client.to_be_bytes()), ms(1));
            assert!(buckets.take(&loud, ms(1)).is_err(), "forgotten after {client} others");
        }
        assert!(buckets.full_at.len() <= 64, "{}", buckets.full_at.len());
    }

    #[test]
    fn an_ipv6_client_is_its_network() {
        let network = |text: &str| super::network(text.parse().unwrap()).to_string();
        assert_eq!(network("2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::");
        assert_eq!(network("203.0.113.7"), "203.0.113.7");
        assert_eq!(network("::ffff:203.0.113.7"), "203.0.113.7");
    }

    #[test]
    fn clients_and_streams_are_counted_apart() {
        let limits =
            |per_ip, per_stream| RateLimits::new(&RateLimitConfig { per_ip, per_stream, burst: Span::secs(0) });
        let (a, b) = (IpAddr::from([1, 1, 1, 1]), IpAddr::from([2, 2, 2, 2]));
        let (ordinary, trusted, refused) = (Some(Caller::Ordinary), Some(Caller::Trusted), None);

        let by_client = limits(1, 0);
        assert!(by_client.count(a, "1", refused).is_ok());
        assert!(matches!(by_client.count(a, "2", ordinary), Err(Refusal::RateLimited { .. })));
        assert!(by_client.count(a, "1", trusted).is_ok() && by_client.count(b, "1", ordinary).is_ok());

        let by_stream = limits(0, 1);
        assert!(by_stream.count(a, "1", refused).is_ok() && by_stream.count(a, "1", ordinary).is_ok());
        assert!(matches!(by_stream.count(b, "1", trusted), Err(Refusal::RateLimited { .. })));
        assert!(by_stream.count(a, "2", ordinary).is_ok());
        assert!((0..100).all(|_| limits(0, 0).count(a, "1", ordinary).is_ok()));
    }
}

//! Bounds of the edge's patience that are no configuration.

use std::time::Duration;

/// How long and how much the edge bears with its two sides.
#[doc(hidden)]
#[derive(Clone, Debug)]
pub struct Tuning {
    /// For the whole body of an event. A phone on a bad network sends 64 KiB, the most a browser's beacon holds, in
    /// far less.
    pub body: Duration,
    /// For writing one of our own, small answers.
    pub answer: Duration,
    /// For a client that is still uploading to notice the answer: time,
    pub linger: Duration,
    /// and bytes.
    pub linger_bytes: usize,
    /// For writing one piece of the site's answer.
    pub downstream_write: Duration,
    /// For connecting to an upstream.
    pub connect: Duration,
    /// For silence of an upstream.
    pub upstream_read: Duration,
    /// For an upstream to take a piece of a request.
    pub upstream_write: Duration,
    /// Between two look-ups of an upstream's name; Pingora's own pool and a usual TTL make shorter pointless.
    pub resolve: Duration,
}

impl Default for Tuning {
    fn default() -> Tuning {
        Tuning {
            body: Duration::from_secs(10),
            answer: Duration::from_secs(10),
            linger: Duration::from_secs(3),
            linger_bytes: 4 << 20,
            downstream_write: Duration::from_secs(60),
            connect: Duration::from_secs(5),
            upstream_read: Duration::from_secs(60),
            upstream_write: Duration::from_secs(60),
            resolve: Duration::from_secs(30),
        }
    }
}

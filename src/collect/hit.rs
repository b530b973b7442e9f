//! One HTTP request on a collection path, freed of any server type.

use std::net::IpAddr;

use http::{HeaderMap, Method};

use super::Browser;

/// Microseconds since the Unix epoch, UTC.
pub type Micros = i64;

/// What the pipeline is given: everything about the request, the time it came in, and the randomness it may use.
///
/// The pipeline reads no clock and no generator: the same hit always gives the same rows.
#[derive(Clone, Debug)]
pub struct Hit<'a> {
    /// Request method.
    pub method: &'a Method,
    /// Path as sent, without the query.
    pub path: &'a str,
    /// The `{stream_id}` part of the path, as sent.
    pub stream: &'a str,
    /// Query without the question mark; empty when there is none.
    pub query: &'a str,
    /// Request host, lower case, without port; from `Host` or the HTTP/2 authority.
    pub host: &'a str,
    /// Request headers.
    pub headers: &'a HeaderMap,
    /// Body as received: any content encoding still has to be undone.
    pub body: &'a [u8],
    /// Address of the client, as far as the trusted proxies let us see.
    pub client_ip: IpAddr,
    /// Whether the TCP peer is one of `server.trusted_proxies`; only then do forwarding and geo headers count.
    pub from_trusted_proxy: bool,
    /// Whether the client spoke TLS to us or, on a trusted proxy's word, to the proxy.
    pub secure: bool,
    /// When the request came in.
    pub received_at: Micros,
    /// Fresh random bits of this request. Identifiers are derived from them.
    pub entropy: u128,
    /// Identifier of this request in logs and error bodies.
    pub request_id: &'a str,
    /// What a script in the page read off its browser, as the event at hand tells; none while the body is unread.
    pub browser: Option<&'a Browser<'a>>,
}

impl<'a> Hit<'a> {
    /// First value of a header as text; `None` when absent or not valid UTF-8.
    pub fn header(&self, name: &str) -> Option<&'a str> {
        self.headers.get(name).and_then(|value| std::str::from_utf8(value.as_bytes()).ok())
    }

    /// First value of a query parameter, not percent-decoded; `Some("")` when the key stands alone.
    pub fn query_param(&self, name: &str) -> Option<&'a str> {
        self.query.split('&').find_map(|pair| {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            (key == name).then_some(value)
        })
    }

    /// First cookie of that name, quotes kept, not decoded. Browsers send the most specific cookie first.
    pub fn cookie(&self, name: &str) -> Option<&'a str> {
        let headers: &'a HeaderMap = self.headers;
        headers.get_all("cookie").iter().find_map(|line| {
            let line: &'a str = std::str::from_utf8(line.as_bytes()).ok()?;
            line.split(';').find_map(|pair| {
                let (key, value) = pair.trim_ascii().split_once('=')?;
                (key == name).then_some(value)
            })
        })
    }

    /// 64 random bits for the `index`-th thing derived from this hit (SplitMix64 over the hit's entropy).
    pub fn random(&self, index: u64) -> u64 {
        let mut z =
            (self.entropy as u64).wrapping_add((self.entropy >> 64) as u64 ^ index.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

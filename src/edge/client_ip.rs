//! Who is calling: the TCP peer, or, on a trusted proxy's word, the client behind it. Pure.
//!
//! `X-Forwarded-For` is read from right to left. Each entry was written by the hop after it, so it is believed only as
//! long as that hop is trusted; the first address that is not a trusted proxy is the client. Anything unreadable ends
//! the walk at the last address believed. `Forwarded` (RFC 7239) counts when `X-Forwarded-For` is absent.

use std::{
    fmt,
    net::{IpAddr, Ipv6Addr, SocketAddr},
    str::FromStr,
};

use http::{HeaderMap, HeaderName, header};
use ipnet::IpNet;

/// `X-Forwarded-For`.
pub const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
/// `X-Forwarded-Proto`.
pub const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// Most hops walked. Real chains have fewer than ten; a longer list is somebody's game.
const MAX_HOPS: usize = 32;

/// The networks whose word counts.
#[derive(Debug, Default)]
pub struct Trust(Vec<IpNet>);

/// The other end of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Client {
    /// Its address as far as the trusted proxies let us see.
    pub ip: IpAddr,
    /// The TCP peer.
    pub peer: IpAddr,
    /// Whether the TCP peer is a trusted proxy.
    pub from_trusted_proxy: bool,
    /// Whether the client spoke TLS, on a trusted proxy's word; our own listeners are plain.
    pub secure: bool,
}

impl Trust {
    /// Trusts these networks.
    pub fn new(networks: &[Cidr]) -> Trust {
        Trust(networks.iter().map(|Cidr(network)| *network).collect())
    }

    /// Who sent these headers over a connection from `peer`.
    pub fn client(&self, peer: IpAddr, headers: &HeaderMap) -> Client {
        // A listener on `[::]` shows IPv4 clients as `::ffff:a.b.c.d`.
        let peer = peer.to_canonical();
        if !self.trusts(peer) {
            return Client { ip: peer, peer, from_trusted_proxy: false, secure: false };
        }
        let ip = if headers.contains_key(X_FORWARDED_FOR) {
            self.walk(peer, values(headers, &X_FORWARDED_FOR).map(hop))
        } else {
            self.walk(peer, values(headers, &header::FORWARDED).map(|element| parameter(element, "for").and_then(hop)))
        };
        let proto = match headers.get(X_FORWARDED_PROTO) {
            // The left-most entry is the client's own hop.
            Some(value) => value.to_str().ok().and_then(|list| list.split(',').next()).map(str::trim),
            None => values(headers, &header::FORWARDED).last().and_then(|element| parameter(element, "proto")),
        };
        let secure = proto.is_some_and(|proto| proto.eq_ignore_ascii_case("https"));
        Client { ip, peer, from_trusted_proxy: true, secure }
    }

    /// Whether what this peer says about others counts.
    pub fn trusts(&self, address: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(&address))
    }

    /// `hops` comes from the right; `None` is an entry nobody can read.
    fn walk(&self, peer: IpAddr, hops: impl Iterator<Item = Option<IpAddr>>) -> IpAddr {
        let mut believed = peer;
        for hop in hops.take(MAX_HOPS) {
            let Some(address) = hop else { break };
            believed = address;
            if !self.trusts(address) {
                break;
            }
        }
        believed
    }
}

/// A network such as `10.0.0.0/8`, or one address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cidr(pub IpNet);

impl FromStr for Cidr {
    type Err = String;
    fn from_str(text: &str) -> Result<Cidr, String> {
        let network = match text.parse::<IpAddr>() {
            Ok(address) => Ok(IpNet::from(address)),
            Err(_) => text.parse::<IpNet>(),
        };
        network.map(Cidr).map_err(|_| format!("`{text}` is not a network such as `10.0.0.0/8` or `2001:db8::/32`"))
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The comma-separated elements of all lines of a header, from the right; a line that is no ASCII is one empty element.
fn values<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a str> {
    let lines = headers.get_all(name).iter().rev();
    lines.flat_map(|line| line.to_str().unwrap_or("").rsplit(',')).map(str::trim)
}

/// An address in any of the forms proxies write: with or without port, brackets, quotes.
fn hop(text: &str) -> Option<IpAddr> {
    let text = text.trim().trim_matches('"');
    let address = if let Ok(address) = text.parse::<IpAddr>() {
        address
    } else if let Ok(address) = text.parse::<SocketAddr>() {
        address.ip()
    } else {
        let bracketed = text.strip_prefix('[')?.strip_suffix(']')?;
        IpAddr::V6(bracketed.parse::<Ipv6Addr>().ok()?)
    };
    Some(address.to_canonical())
}

/// One parameter of an element of `Forwarded`.
fn parameter<'a>(element: &'a str, name: &str) -> Option<&'a str> {
    element.split(';').find_map(|pair| {
        let (key, value) = pair.split_once('=')?;
        key.trim().eq_ignore_ascii_case(name).then(|| value.trim().trim_matches('"'))
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn client(trusted: &[&str], peer: &str, lines: &[(&HeaderName, &[u8])]) -> Client {
        let trust = Trust::new(&trusted.iter().map(|text| text.parse().unwrap()).collect::<Vec<_>>());
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, HeaderValue::from_bytes(value).unwrap());
        }
        trust.client(peer.parse().unwrap(), &headers)
    }

    #[test]
    fn the_walk_believes_only_trusted_hops() {
        let lb = &["10.0.0.0/8", "fd00::/8"][..];
        for (trusted, peer, forwarded, ip) in [
            (&[][..], "9.9.9.9", "1.1.1.1", "9.9.9.9"),
            (lb, "9.9.9.9", "1.1.1.1", "9.9.9.9"),
            (lb, "10.0.0.1", "1.1.1.1", "1.1.1.1"),
            (lb, "10.0.0.1", "6.6.6.6, 1.1.1.1", "1.1.1.1"),
            (lb, "10.0.0.1", "6.6.6.6, 1.1.1.1, 10.0.0.2", "1.1.1.1"),
            (lb, "10.0.0.1", "10.0.0.3,10.0.0.2", "10.0.0.3"),
            (lb, "10.0.0.1", "1.1.1.1:5050", "1.1.1.1"),
            (lb, "10.0.0.1", "[2001:db8::1]:443", "2001:db8::1"),
            (lb, "10.0.0.1", "[2001:db8::1]", "2001:db8::1"),
            (lb, "10.0.0.1", "2001:db8::1", "2001:db8::1"),
            (lb, "10.0.0.1", "\"1.1.1.1\"", "1.1.1.1"),
            (lb, "10.0.0.1", "::ffff:1.1.1.1", "1.1.1.1"),
            (lb, "::ffff:10.0.0.1", "1.1.1.1", "1.1.1.1"),
            (lb, "fd00::1", "1.1.1.1", "1.1.1.1"),
            (lb, "10.0.0.1", "1.1.1.1, unknown", "10.0.0.1"),
            (lb, "10.0.0.1", "1.1.1.1, garbage, 10.0.0.2", "10.0.0.2"),
            (lb, "10.0.0.1", "1.1.1.1,", "10.0.0.1"),
            (lb, "10.0.0.1", "", "10.0.0.1"),
        ] {
            let found = client(trusted, peer, &[(&X_FORWARDED_FOR, forwarded.as_bytes())]);
            assert_eq!(found.ip, ip.parse::<IpAddr>().unwrap(), "{peer} says {forwarded}");
        }
    }

    #[test]
    fn several_lines_are_one_list() {
        let lines: &[(&HeaderName, &[u8])] = &[(&X_FORWARDED_FOR, b"1.1.1.1"), (&X_FORWARDED_FOR, b"10.0.0.2")];
        assert_eq!(client(&["10.0.0.0/8"], "10.0.0.1", lines).ip, IpAddr::from([1, 1, 1, 1]));
        let lines: &[(&HeaderName, &[u8])] = &[(&X_FORWARDED_FOR, b"1.1.1.1"), (&X_FORWARDED_FOR, b"\xff")];
        assert_eq!(client(&["10.0.0.0/8"], "10.0.0.1", lines).ip, IpAddr::from([10, 0, 0, 1]));
    }

    #[test]
    fn the_number_of_hops_is_capped() {
        let long = format!("1.1.1.1{}", ",10.0.0.2".repeat(MAX_HOPS));
        let found = client(&["10.0.0.0/8"], "10.0.0.1", &[(&X_FORWARDED_FOR, long.as_bytes())]);
        assert_eq!(found.ip, IpAddr::from([10, 0, 0, 2]));
    }

    #[test]
    fn forwarded_counts_when_it_stands_alone() {
        let value = b"for=1.1.1.1;proto=https, For=\"[2001:db8::7]:4711\";proto=http";
        let found = client(&["10.0.0.0/8"], "10.0.0.1", &[(&header::FORWARDED, value)]);
        assert_eq!(found.ip, "2001:db8::7".parse::<IpAddr>().unwrap());
        assert!(found.secure);
        let found = client(&["10.0.0.0/8"], "10.0.0.1", &[(&header::FORWARDED, b"for=_hidden")]);
        assert_eq!(found.ip, IpAddr::from([10, 0, 0, 1]));
        let both: &[(&HeaderName, &[u8])] = &[(&header::FORWARDED, b"for=2.2.2.2"), (&X_FORWARDED_FOR, b"1.1.1.1")];
        assert_eq!(client(&["10.0.0.0/8"], "10.0.0.1", both).ip, IpAddr::from([1, 1, 1, 1]));
    }

    #[test]
    fn only_a_trusted_proxy_can_vouch_for_tls() {
        let https: &[(&HeaderName, &[u8])] = &[(&X_FORWARDED_PROTO, b"https")];
        assert!(client(&["10.0.0.0/8"], "10.0.0.1", https).secure);
        assert!(!client(&[], "10.0.0.1", https).secure);
        assert!(!client(&["10.0.0.0/8"], "10.0.0.1", &[(&X_FORWARDED_PROTO, b"http")]).secure);
        assert!(!client(&["10.0.0.0/8"], "10.0.0.1", &[]).secure);
    }
}

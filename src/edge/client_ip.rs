//! Who is calling: the TCP peer, or, on a trusted proxy's word, the client behind it. Pure.
//!
//! The hops of a request are walked from right to left. Each entry was written by the hop after it, so it is believed
//! only as long as that hop is trusted; the first address that is not a trusted proxy is the client. Anything unreadable
//! ends the walk at the last address believed. Two things cut the walk short: a header that only the provider at the
//! other end of the connection writes, and `server.trusted_hops`, which counts hops instead of judging them.

use std::net::IpAddr;

use http::HeaderMap;
use ipnet::IpNet;

use super::{
    hops::{claims_tls, hops, list},
    proxies::{Provider, TrustedProxy},
};

/// Most hops walked. Real chains have fewer than ten; a longer list is somebody's game.
pub const MAX_HOPS: usize = 32;

/// Whose word counts.
#[derive(Debug, Default)]
pub struct Trust {
    networks: Vec<IpNet>,
    /// Those named whole, with their networks.
    providers: Vec<(Provider, Vec<IpNet>)>,
    /// The client is the hop of this number, counted from the right; 0: the networks decide.
    hops: usize,
}

/// The other end of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Client {
    /// Its address as far as the trusted proxies let us see.
    pub ip: IpAddr,
    /// The TCP peer.
    pub peer: IpAddr,
    /// Whether the TCP peer is a trusted proxy.
    pub from_trusted_proxy: bool,
    /// Name of the header that the address stands in; none when it is the peer's own.
    pub named_in: Option<&'static str>,
    /// Whether the lists of hops lead elsewhere: the provider at the other end names the client in a header of its own.
    pub unlisted: bool,
    /// Whether the client spoke TLS, on a trusted proxy's word; what our own listeners know is added later.
    pub secure: bool,
}

impl Trust {
    /// Trusts these proxies, or as many hops as are said. With both, only these proxies may be the TCP peer, and the
    /// hops are counted; with hops alone, any peer may, so the port must be out of everybody else's reach.
    pub fn new(proxies: &[TrustedProxy], hops: usize) -> Trust {
        let networks = proxies.iter().flat_map(|proxy| proxy.networks()).collect();
        let providers = proxies.iter().filter_map(|proxy| match proxy {
            TrustedProxy::Provider(provider) => Some((*provider, provider.networks())),
            TrustedProxy::Network(_) => None,
        });
        Trust { networks, providers: providers.collect(), hops: hops.min(MAX_HOPS) }
    }

    /// Who sent these headers over a connection from `peer`.
    pub fn client(&self, peer: IpAddr, headers: &HeaderMap) -> Client {
        let peer = peer.to_canonical();
        let stranger =
            Client { ip: peer, peer, from_trusted_proxy: false, named_in: None, unlisted: false, secure: false };
        if !self.trusts(peer) {
            return stranger;
        }
        let listed = self.walk(peer, hops(headers)).0;
        let told = self.told(peer, headers);
        let ip = told.map_or(listed, |(ip, _)| ip);
        let named_in = told.map(|(_, header)| header).or_else(|| (listed != peer).then(|| list(headers)));
        // No proxy passed it on: somebody asks us directly, such as a health check.
        if self.networks.is_empty() && hops(headers).next().flatten().is_none() {
            return stranger;
        }
        let unlisted = ip != listed;
        Client { ip, peer, from_trusted_proxy: true, named_in, unlisted, secure: claims_tls(headers) }
    }

    /// Whether what this peer says about others counts.
    pub fn trusts(&self, peer: IpAddr) -> bool {
        // A listener on `[::]` shows IPv4 peers as `::ffff:a.b.c.d`.
        self.is_proxy(peer.to_canonical()) || self.hops > 0 && self.networks.is_empty()
    }

    fn is_proxy(&self, address: IpAddr) -> bool {
        contain(&self.networks, address)
    }

    /// What the provider at the other end says about the client in a header of its own. Counted hops outrank it: they
    /// may reach further than the provider's own client.
    fn told(&self, peer: IpAddr, headers: &HeaderMap) -> Option<(IpAddr, &'static str)> {
        let (provider, _) = self.providers.iter().find(|(_, networks)| contain(networks, peer))?;
        if self.hops > 0 { None } else { provider.client(headers) }
    }

    /// The last address believed and the number of hops looked at. `hops` comes from the right; `None` is an entry
    /// nobody can read. A list with fewer hops than are counted is believed to its end: our proxies wrote all of it.
    fn walk(&self, peer: IpAddr, hops: impl Iterator<Item = Option<IpAddr>>) -> (IpAddr, usize) {
        let most = if self.hops > 0 { self.hops } else { MAX_HOPS };
        let (mut believed, mut looked_at) = (peer, 0);
        for hop in hops.take(most) {
            looked_at += 1;
            let Some(address) = hop else { break };
            believed = address;
            if self.hops == 0 && !self.is_proxy(address) {
                break;
            }
        }
        (believed, looked_at)
    }
}

fn contain(networks: &[IpNet], address: IpAddr) -> bool {
    networks.iter().any(|network| network.contains(&address))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use http::{HeaderName, HeaderValue, header};

    use super::{
        super::hops::{X_FORWARDED_FOR, X_FORWARDED_PROTO},
        *,
    };

    fn trust(trusted: &[&str], hops: usize) -> Trust {
        Trust::new(&trusted.iter().map(|text| text.parse().unwrap()).collect::<Vec<_>>(), hops)
    }

    fn headers(lines: &[(&HeaderName, &[u8])]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, HeaderValue::from_bytes(value).unwrap());
        }
        headers
    }

    fn client(trusted: &[&str], peer: &str, lines: &[(&HeaderName, &[u8])]) -> Client {
        trust(trusted, 0).client(peer.parse().unwrap(), &headers(lines))
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
    fn a_proxy_is_known_however_a_listener_shows_it() {
        let trust = trust(&["10.0.0.0/8"], 0);
        assert!(trust.trusts("10.0.0.1".parse().unwrap()));
        assert!(trust.trusts("::ffff:10.0.0.1".parse().unwrap()));
        assert!(!trust.trusts("::ffff:11.0.0.1".parse().unwrap()));
    }

    #[test]
    fn only_a_trusted_proxy_can_vouch_for_tls() {
        let https: &[(&HeaderName, &[u8])] = &[(&X_FORWARDED_PROTO, b"https")];
        assert!(client(&["10.0.0.0/8"], "10.0.0.1", https).secure);
        assert!(!client(&[], "10.0.0.1", https).secure);
        assert!(!client(&["10.0.0.0/8"], "10.0.0.1", &[(&X_FORWARDED_PROTO, b"http")]).secure);
        assert!(!client(&["10.0.0.0/8"], "10.0.0.1", &[]).secure);
    }

    #[test]
    fn hops_are_counted_when_the_operator_says_how_many() {
        for (trusted, hops, peer, list, ip, believed) in [
            (&[][..], 1, "9.9.9.9", "6.6.6.6, 1.1.1.1", "1.1.1.1", true),
            (&[], 2, "9.9.9.9", "6.6.6.6, 1.1.1.1, 34.1.2.3", "1.1.1.1", true),
            (&[], 2, "9.9.9.9", "1.1.1.1", "1.1.1.1", true),
            (&[], 2, "9.9.9.9", "1.1.1.1, unknown", "9.9.9.9", false),
            (&[], 2, "9.9.9.9", "unknown, 34.1.2.3", "34.1.2.3", true),
            (&[], 1, "9.9.9.9", "", "9.9.9.9", false),
            (&["10.0.0.0/8"], 2, "10.0.0.1", "6.6.6.6, 1.1.1.1, 34.1.2.3", "1.1.1.1", true),
            (&["10.0.0.0/8"], 2, "9.9.9.9", "6.6.6.6, 1.1.1.1, 34.1.2.3", "9.9.9.9", false),
            // Counting does not look whether a hop is one of the networks.
            (&["10.0.0.0/8"], 1, "10.0.0.1", "1.1.1.1, 10.0.0.2", "10.0.0.2", true),
        ] {
            let list = headers(&[(&X_FORWARDED_FOR, list.as_bytes())]);
            let found = trust(trusted, hops).client(peer.parse().unwrap(), &list);
            assert_eq!((found.ip.to_string(), found.from_trusted_proxy), (ip.to_owned(), believed), "{hops} {list:?}");
        }
        let direct = trust(&[], 1).client([9, 9, 9, 9].into(), &HeaderMap::new());
        assert!(!direct.from_trusted_proxy, "no proxy passed it on");
    }

    #[test]
    fn a_header_of_a_provider_counts_on_its_own_connections_only() {
        let name = HeaderName::from_static;
        for (provider, peer, header, value, ip) in [
            ("cloudflare", "172.64.0.9", "cf-connecting-ip", "1.1.1.1", "1.1.1.1"),
            ("cloudflare", "2606:4700::9", "true-client-ip", "2001:db8::1", "2001:db8::1"),
            ("fastly", "151.101.0.9", "fastly-client-ip", "1.1.1.1", "1.1.1.1"),
            ("cloudfront", "15.158.0.9", "cloudfront-viewer-address", "1.1.1.1:46532", "1.1.1.1"),
            ("cloudfront", "15.158.0.9", "cloudfront-viewer-address", "2001:db8::1:443", "2001:db8::1"),
            // Unreadable: the walk decides.
            ("cloudflare", "172.64.0.9", "cf-connecting-ip", "unknown", "8.8.8.8"),
            ("cloudfront", "15.158.0.9", "cloudfront-viewer-address", "1.1.1.1", "8.8.8.8"),
            // Another provider's header, a provider that has none, and a trusted peer outside of the provider.
            ("fastly", "151.101.0.9", "cf-connecting-ip", "1.1.1.1", "8.8.8.8"),
            ("gcp", "35.191.0.9", "cf-connecting-ip", "1.1.1.1", "8.8.8.8"),
            ("cloudflare", "10.0.0.1", "cf-connecting-ip", "1.1.1.1", "8.8.8.8"),
        ] {
            let lines: &[(&HeaderName, &[u8])] =
                &[(&name(header), value.as_bytes()), (&X_FORWARDED_FOR, b"6.6.6.6, 8.8.8.8")];
            let found = client(&[provider, "10.0.0.0/8"], peer, lines);
            assert_eq!((found.ip.to_string(), found.from_trusted_proxy), (ip.to_owned(), true), "{header}: {value}");
            let stranger = client(&[provider], "203.0.113.9", lines);
            assert_eq!((stranger.ip.to_string(), stranger.from_trusted_proxy), ("203.0.113.9".to_owned(), false));
        }
        let both: &[(&HeaderName, &[u8])] =
            &[(&name("cf-connecting-ip"), b"8.8.8.8"), (&X_FORWARDED_FOR, b"1.1.1.1, 8.8.8.8")];
        let counted = trust(&["cloudflare"], 2).client([172, 64, 0, 9].into(), &headers(both));
        assert_eq!(counted.ip, IpAddr::from([1, 1, 1, 1]), "counted hops reach behind the provider's client");
    }

    #[test]
    fn the_work_is_bounded_by_the_hops_and_not_by_what_was_sent() {
        let peer = IpAddr::from([10, 0, 0, 1]);
        let entries = "10.0.0.2,".repeat(10_000) + "10.0.0.2";
        let forwarded = "for=\"10.0.0.2:80\", ".repeat(60_000) + "for=10.0.0.2";
        assert!(forwarded.len() > 1_000_000);
        let no_comma = "1".repeat(1_000_000);
        let quotes = "for=\"".repeat(200_000);
        for (name, value, hops, looked_at) in [
            (&X_FORWARDED_FOR, &entries, 0, MAX_HOPS),
            (&X_FORWARDED_FOR, &entries, 3, 3),
            (&X_FORWARDED_FOR, &no_comma, 0, 1),
            (&header::FORWARDED, &forwarded, 0, MAX_HOPS),
            (&header::FORWARDED, &quotes, 0, 1),
            (&header::FORWARDED, &no_comma, 0, 1),
        ] {
            let lines = headers(&[(name, value.as_bytes())]);
            let trust = trust(&["10.0.0.0/8"], hops);
            assert_eq!(trust.walk(peer, self::hops(&lines)).1, looked_at, "{name} of {} bytes", value.len());
            let found = trust.client(peer, &lines);
            assert_eq!(found.ip, if looked_at == 1 { peer } else { [10, 0, 0, 2].into() }, "{name}");
        }
        let mut lines = HeaderMap::new();
        for _ in 0..10_000 {
            lines.append(X_FORWARDED_FOR, HeaderValue::from_static("10.0.0.2"));
        }
        assert_eq!(trust(&["10.0.0.0/8"], 0).walk(peer, self::hops(&lines)).1, MAX_HOPS);
    }
}

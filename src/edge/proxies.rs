//! Who stands in front of us: networks, or a provider by name, whose networks are written down here.
//!
//! The providers publish these lists and change them rarely; a network missing here costs the right client address
//! until it is added, a network too many would let its owner claim any. Snapshot of 2026.

use std::{fmt, net::IpAddr, str::FromStr};

use http::{HeaderMap, HeaderName};
use ipnet::IpNet;

use super::hops;

/// One entry of `server.trusted_proxies`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TrustedProxy {
    /// A network such as `10.0.0.0/8`, or one address.
    Network(IpNet),
    /// All networks of a provider.
    Provider(Provider),
}

impl TrustedProxy {
    /// Its networks.
    pub fn networks(self) -> Vec<IpNet> {
        match self {
            TrustedProxy::Network(network) => vec![network],
            TrustedProxy::Provider(provider) => provider.networks().to_vec(),
        }
    }
}

impl FromStr for TrustedProxy {
    type Err = String;
    fn from_str(text: &str) -> Result<TrustedProxy, String> {
        if let Some(provider) = Provider::ALL.into_iter().find(|provider| provider.name() == text) {
            return Ok(TrustedProxy::Provider(provider));
        }
        let network = text.parse::<IpAddr>().map(IpNet::from).or_else(|_| text.parse::<IpNet>());
        let names = Provider::ALL.map(|provider| format!("`{}`", provider.name())).join(", ");
        network.map(TrustedProxy::Network).map_err(|_| {
            format!("`{text}` is not a network such as `10.0.0.0/8` or `2001:db8::/32`, nor one of {names}")
        })
    }
}

impl fmt::Display for TrustedProxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TrustedProxy::Network(network) => network.fmt(f),
            TrustedProxy::Provider(provider) => f.write_str(provider.name()),
        }
    }
}

/// A load balancer or content delivery network known by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Provider {
    /// Google Cloud's global load balancers. Their own public address stands in the list they send, too: name it beside.
    Gcp,
    /// Cloudflare.
    Cloudflare,
    /// Fastly.
    Fastly,
    /// Amazon CloudFront.
    CloudFront,
}

impl Provider {
    /// All of them.
    pub const ALL: [Provider; 4] = [Provider::Gcp, Provider::Cloudflare, Provider::Fastly, Provider::CloudFront];

    /// As the configuration spells it.
    pub fn name(self) -> &'static str {
        match self {
            Provider::Gcp => "gcp",
            Provider::Cloudflare => "cloudflare",
            Provider::Fastly => "fastly",
            Provider::CloudFront => "cloudfront",
        }
    }

    /// Where its servers speak to ours from.
    pub fn networks(self) -> Vec<IpNet> {
        let lists = match self {
            Provider::Gcp => GCP,
            Provider::Cloudflare => CLOUDFLARE,
            Provider::Fastly => FASTLY,
            Provider::CloudFront => CLOUDFRONT,
        };
        lists.split_ascii_whitespace().map(|network| network.parse().expect("our own lists are networks")).collect()
    }

    /// The client's address in the header that this provider alone writes, and that header's name. It counts on
    /// connections from the provider's own networks only.
    pub fn client(self, headers: &HeaderMap) -> Option<(IpAddr, &'static str)> {
        let told = |name, read: fn(&[u8]) -> Option<IpAddr>| {
            Some((read(headers.get(HeaderName::from_static(name))?.as_bytes())?, name))
        };
        match self {
            Provider::Gcp => None,
            Provider::Cloudflare => told(CLOUDFLARES, hops::address).or_else(|| told(CLOUDFLARES_OTHER, hops::address)),
            Provider::Fastly => told(FASTLYS, hops::address),
            Provider::CloudFront => told(CLOUDFRONTS, hops::address_before_port),
        }
    }
}

/// The headers in which providers tell of the client.
pub const CLIENTS: [&str; 4] = [CLOUDFLARES, CLOUDFLARES_OTHER, FASTLYS, CLOUDFRONTS];

const CLOUDFLARES: &str = "cf-connecting-ip";
/// Of its enterprise plans, as Akamai calls it.
const CLOUDFLARES_OTHER: &str = "true-client-ip";
const FASTLYS: &str = "fastly-client-ip";
const CLOUDFRONTS: &str = "cloudfront-viewer-address";

/// Google Cloud, "Firewall rules" of the external application load balancers: front ends and health checks.
const GCP: &str = "35.191.0.0/16 130.211.0.0/22 2600:2d00:1:1::/64 2600:2d00:1:b029::/64";

/// <https://www.cloudflare.com/ips-v4> and <https://www.cloudflare.com/ips-v6>.
const CLOUDFLARE: &str = "
    173.245.48.0/20 103.21.244.0/22 103.22.200.0/22 103.31.4.0/22 141.101.64.0/18 108.162.192.0/18 190.93.240.0/20
    188.114.96.0/20 197.234.240.0/22 198.41.128.0/17 162.158.0.0/15 104.16.0.0/13 104.24.0.0/14 172.64.0.0/13
    131.0.72.0/22
    2400:cb00::/32 2606:4700::/32 2803:f800::/32 2405:b500::/32 2405:8100::/32 2a06:98c0::/29 2c0f:f248::/32";

/// <https://api.fastly.com/public-ip-list>.
const FASTLY: &str = "
    23.235.32.0/20 43.249.72.0/22 103.244.50.0/24 103.245.222.0/23 103.245.224.0/24 104.156.80.0/20 140.248.64.0/18
    140.248.128.0/17 146.75.0.0/17 151.101.0.0/16 157.52.64.0/18 167.82.0.0/17 167.82.128.0/20 167.82.160.0/20
    167.82.224.0/20 172.111.64.0/18 185.31.16.0/22 199.27.72.0/21 199.232.0.0/16
    2a04:4e40::/32 2a04:4e42::/32";

/// Service `CLOUDFRONT_ORIGIN_FACING` of <https://ip-ranges.amazonaws.com/ip-ranges.json>: what speaks to origins, not
/// what visitors reach.
const CLOUDFRONT: &str = "
    3.29.57.0/26 3.172.0.0/18 3.172.64.0/18 13.124.199.0/24 15.158.0.0/16 18.68.0.0/16 24.110.128.0/17 52.46.0.0/18
    52.82.128.0/23 52.82.134.0/23 54.182.128.0/20 54.182.144.0/21 54.182.154.0/23 54.182.156.0/22 54.182.160.0/21
    54.182.172.0/22 54.182.176.0/21 54.182.184.0/22 54.182.188.0/23 54.182.224.0/21 54.182.240.0/21 54.182.248.0/22
    54.239.134.0/23 54.239.170.0/23 54.239.204.0/22 54.239.208.0/21 64.252.64.0/18 64.252.128.0/18 70.132.0.0/18
    130.176.0.0/18 130.176.64.0/21 130.176.72.0/22 130.176.76.0/24 130.176.78.0/23 130.176.80.0/22 130.176.86.0/23
    130.176.88.0/21 130.176.96.0/19 130.176.128.0/21 130.176.136.0/23 130.176.140.0/22 130.176.144.0/20
    130.176.160.0/19 130.176.192.0/19 204.246.166.0/24 205.251.218.0/24
    2600:9000:1000::/36 2600:9000:5200::/40 2600:9000:6000::/36";

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn every_list_is_one_of_networks_and_none_is_everybody() {
        for provider in Provider::ALL {
            let networks = provider.networks();
            assert!(networks.len() >= 4, "{provider:?}");
            for network in &networks {
                assert_eq!(network.trunc(), *network, "no bits beyond the mask");
                assert!(network.prefix_len() >= if network.addr().is_ipv4() { 12 } else { 29 }, "{network}");
            }
            assert!(networks.iter().any(|network| network.addr().is_ipv6()), "{provider:?}");
            assert_eq!(provider.name().parse(), Ok(TrustedProxy::Provider(provider)));
        }
    }

    #[test]
    fn what_is_neither_a_network_nor_a_name_is_told_both() {
        let problem = "akamai".parse::<TrustedProxy>().unwrap_err();
        assert!(problem.contains("`akamai` is not a network") && problem.contains("`cloudfront`"), "{problem}");
        assert_eq!("10.1.2.3".parse::<TrustedProxy>().unwrap().to_string(), "10.1.2.3/32");
        assert_eq!("fastly".parse::<TrustedProxy>().unwrap().to_string(), "fastly");
    }
}

//! What the operator may say about the listeners and CORS. Texts are parsed while they are read, so every
//! other file of this storey works with addresses, networks, patterns and origins.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use bytesize::ByteSize;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

use super::{
    access::AccessLogConfig, client_ip::MAX_HOPS, cors::AllowedOrigin, proxies::TrustedProxy, threads::Threads,
    tls::TlsConfig, upstream::UpstreamUrl, via::is_name,
};
use crate::{problem::Problem, units::Span};

/// `server:` - listeners, threads, trust, shutdown.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ServerConfig {
    /// Addresses of the public listener. Port 0 takes a free one.
    #[serde(with = "addresses")]
    pub listen: Vec<SocketAddr>,
    /// Address of the admin listener: `/healthz`, `/readyz`, `/metrics`, `/explain`. Keep it off
    /// the internet.
    #[serde(with = "address")]
    pub admin: SocketAddr,
    /// Worker threads: `auto` is one per available core.
    pub threads: Threads,
    /// The proxies in front of us: networks such as `10.0.0.0/8`, or `gcp`, `cloudflare`, `fastly` and `cloudfront` for
    /// the networks of these. Only their `X-Forwarded-*`, `Forwarded`, `X-Request-ID` and geo headers are believed.
    pub trusted_proxies: Vec<TrustedProxy>,
    /// The client is the entry of this number in the forwarding header, counted from the right; 0: the last one that is
    /// no trusted proxy. Without trusted proxies it counts on every connection.
    pub trusted_hops: usize,
    /// TLS, on listeners of its own.
    pub tls: TlsConfig,
    /// Whether the listeners without TLS take HTTP/2 from clients that begin with it (prior knowledge), such as a load
    /// balancer's.
    pub h2c: bool,
    /// Whether connections of trusted proxies begin with the PROXY protocol, on all listeners but the admin one.
    pub proxy_protocol: bool,
    /// How long clients may take.
    pub timeouts: TimeoutsConfig,
    /// Whether request headers with `_` in their name reach the site, but for those that servers take for another header
    /// which is ours to say.
    pub underscores_in_headers: bool,
    /// Whether clients say which trace a request belongs to, not only trusted proxies.
    pub client_traces: bool,
    /// Whether the site gets `Forwarded` beside `X-Forwarded-*`, where no proxy has begun it.
    pub forwarded: bool,
    /// The name by which we stand in `Via` towards the site; empty: none is sent.
    pub via: String,
    /// Most bytes of a request's header over HTTP/1; more are answered 431.
    pub max_header: ByteSize,
    /// How many connections there may be.
    pub connections: ConnectionsConfig,
    /// How the process ends.
    pub shutdown: ShutdownConfig,
    /// How another process takes over.
    pub upgrade: UpgradeConfig,
    /// One line for each request.
    pub access_log: AccessLogConfig,
}

impl Default for ServerConfig {
    fn default() -> ServerConfig {
        ServerConfig {
            listen: vec![SocketAddr::from(([0, 0, 0, 0], 8080))],
            admin: SocketAddr::from(([127, 0, 0, 1], 9090)),
            threads: Threads::Auto,
            trusted_proxies: Vec::new(),
            trusted_hops: 0,
            tls: TlsConfig::default(),
            h2c: false,
            proxy_protocol: false,
            timeouts: TimeoutsConfig::default(),
            underscores_in_headers: false,
            client_traces: false,
            forwarded: false,
            via: String::new(),
            max_header: ByteSize::kib(64),
            connections: ConnectionsConfig::default(),
            shutdown: ShutdownConfig::default(),
            upgrade: UpgradeConfig::default(),
            access_log: AccessLogConfig::default(),
        }
    }
}

impl ServerConfig {
    /// Finds what parsing cannot see.
    pub fn check(&self, path: &str, problems: &mut Vec<Problem>) {
        self.tls.check(&format!("{path}.tls"), problems);
        self.access_log.check(&format!("{path}.access_log"), problems);
        if self.listen.is_empty() && self.tls.listen.is_empty() {
            problems.push(
                Problem::new(format!("{path}.listen"), "no address to listen on").hint("say `[\"0.0.0.0:8080\"]`"),
            );
        }
        for (index, address) in self.listen.iter().enumerate() {
            let taken = address.port() != 0 && (*address == self.admin || self.listen[..index].contains(address));
            if taken {
                problems.push(Problem::new(
                    format!("{path}.listen[{index}]"),
                    format!("`{address}` is used by two listeners"),
                ));
            }
        }
        // With counted hops alone everybody would be trusted, whom the protocol names among them.
        if self.proxy_protocol && self.trusted_proxies.is_empty() {
            let problem = Problem::new(format!("{path}.proxy_protocol"), "nobody is trusted to speak it");
            problems.push(problem.hint("name the networks of your load balancer in `server.trusted_proxies`"));
        }
        if !self.via.is_empty() && !is_name(&self.via) {
            let problem = Problem::new(format!("{path}.via"), format!("`{}` is no name for `Via`", self.via));
            problems.push(problem.hint("letters, digits, `-` and `.`, such as `edge-1`"));
        }
        if !(ByteSize::kib(16)..=ByteSize::mib(1)).contains(&self.max_header) {
            let message = format!("`{}` is no size for headers", self.max_header);
            problems.push(Problem::new(format!("{path}.max_header"), message).hint("16KiB to 1MiB"));
        }
        for (key, time) in [("header", self.timeouts.header), ("idle", self.timeouts.idle)] {
            // Pingora counts idle time in whole seconds.
            if *time < Duration::from_secs(1) {
                let problem = Problem::new(format!("{path}.timeouts.{key}"), format!("`{time}` is too short"));
                problems.push(problem.hint("1s or more"));
            }
        }
        if self.trusted_hops > MAX_HOPS {
            let message = format!("{} proxies stand in front of nobody", self.trusted_hops);
            let problem = Problem::new(format!("{path}.trusted_hops"), message);
            problems.push(problem.hint(format!("count the proxies between the client and us; {MAX_HOPS} at most")));
        }
        for (index, proxy) in self.trusted_proxies.iter().enumerate() {
            if let TrustedProxy::Network(network) = proxy
                && network.prefix_len() == 0
            {
                let problem = Problem::new(
                    format!("{path}.trusted_proxies[{index}]"),
                    format!("`{network}` trusts everyone: any client could claim any address"),
                );
                problems.push(problem.hint("name the networks of your load balancer"));
            }
        }
    }
}

/// `server.timeouts:` - how long clients may take.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TimeoutsConfig {
    /// For a request's header over HTTP/1, from its first byte to its last; then 408.
    pub header: Span,
    /// For the next request on a connection. A trusted proxy's connections stay for 620 s, or it would meet closing ones.
    pub idle: Span,
}

impl Default for TimeoutsConfig {
    fn default() -> TimeoutsConfig {
        TimeoutsConfig { header: Span::secs(10), idle: Span::secs(60) }
    }
}

/// `server.connections:` - how many there may be at once; 0 is any number. What is above is closed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ConnectionsConfig {
    /// In all.
    pub total: usize,
    /// From one address, which is an IPv4 address or an IPv6 /64; trusted proxies may have as many as they like.
    pub per_client: usize,
}

impl Default for ConnectionsConfig {
    fn default() -> ConnectionsConfig {
        ConnectionsConfig { total: 20_000, per_client: 0 }
    }
}

/// `server.shutdown:` - the two bounded phases after SIGTERM.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ShutdownConfig {
    /// Longest wait for requests in flight.
    pub grace: Span,
    /// Longest wait, after that, for the spool and the sinks.
    pub drain: Span,
}

impl Default for ShutdownConfig {
    fn default() -> ShutdownConfig {
        ShutdownConfig { grace: Span::secs(2), drain: Span::secs(5) }
    }
}

/// `server.upgrade:` - how a process takes the place of another one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct UpgradeConfig {
    /// The socket over which they meet. None: `upgrade.sock` in the spool's folder.
    pub socket: PathBuf,
    /// How long the old one keeps connections on which no request comes.
    pub linger: Span,
    /// How long it then goes on with requests that were begun: downloads, streams of events, WebSockets.
    pub grace: Span,
}

impl Default for UpgradeConfig {
    fn default() -> UpgradeConfig {
        UpgradeConfig { socket: PathBuf::new(), linger: Span::secs(1), grace: Span::secs(60) }
    }
}

/// `cors:` - which other origins' pages may send events here.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CorsConfig {
    /// Origins such as `https://www.example.com`; `*` is any origin, without cookies. Pages of the very host that is
    /// asked need no entry.
    pub allowed_origins: Vec<AllowedOrigin>,
    /// Whether the pages of allowed origins may send and receive cookies.
    pub allow_credentials: bool,
}

impl Default for CorsConfig {
    fn default() -> CorsConfig {
        CorsConfig { allowed_origins: Vec::new(), allow_credentials: true }
    }
}

impl CorsConfig {
    /// Finds what parsing cannot see.
    pub fn check(&self, path: &str, problems: &mut Vec<Problem>) {
        if self.allow_credentials && self.allowed_origins.contains(&AllowedOrigin::Any) {
            let problem = Problem::new(
                format!("{path}.allowed_origins"),
                "`*` cannot be combined with `allow_credentials: true`: browsers refuse it",
            );
            problems.push(problem.hint("list the origins, or set `allow_credentials: false`"));
        }
    }
}

/// Types that are read with `FromStr` and written with `Display`.
macro_rules! as_text {
    ($($name:ty),*) => {$(
        impl serde::Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<$name, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
            }
        }
    )*};
}
pub(super) use as_text;

as_text!(TrustedProxy, UpstreamUrl, AllowedOrigin);

/// A socket address with an error that shows one.
mod address {
    use super::*;

    pub fn serialize<S: Serializer>(address: &SocketAddr, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(address)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<SocketAddr, D::Error> {
        let text = String::deserialize(deserializer)?;
        let example = "such as `0.0.0.0:8080` or `[::]:8080`";
        text.parse().map_err(|_| D::Error::custom(format!("`{text}` is not an address {example}")))
    }
}

/// Several of them, each an element of its own, so that an error names its place.
pub(super) mod addresses {
    use super::*;

    #[derive(Serialize, Deserialize)]
    #[serde(transparent)]
    struct Element(#[serde(with = "address")] SocketAddr);

    pub fn serialize<S: Serializer>(addresses: &[SocketAddr], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(addresses.iter().copied().map(Element))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<SocketAddr>, D::Error> {
        Ok(Vec::<Element>::deserialize(deserializer)?.into_iter().map(|Element(address)| address).collect())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn defaults_survive_a_round_trip() {
        let server = serde_json::to_value(ServerConfig::default()).unwrap();
        assert_eq!(server["threads"], "auto");
        assert_eq!(server["shutdown"]["grace"], "2s");
        assert_eq!(serde_json::from_value::<ServerConfig>(server).unwrap(), ServerConfig::default());
        let empty: CorsConfig = serde_json::from_str("{}").unwrap();
        assert_eq!(empty, CorsConfig::default());
    }

    #[test]
    fn wrong_texts_are_named() {
        let wrong = |json: &str| serde_json::from_str::<ServerConfig>(json).unwrap_err().to_string();
        assert!(wrong(r#"{"listen":["8080"]}"#).contains("`8080` is not an address"));
        assert!(wrong(r#"{"threads":0}"#).contains("`0` is neither `auto`"));
        assert!(wrong(r#"{"trusted_proxies":["10.0.0.0/99"]}"#).contains("not a network"));
        assert!(wrong(r#"{"unknown":1}"#).contains("unknown field"));
        let four: ServerConfig = serde_json::from_str(r#"{"threads":4,"trusted_proxies":["10.1.2.3"]}"#).unwrap();
        assert_eq!(four.threads.count(), 4);
        assert_eq!(four.trusted_proxies[0].to_string(), "10.1.2.3/32");
        let cloud: ServerConfig = serde_json::from_str(r#"{"trusted_proxies":["gcp"],"trusted_hops":2}"#).unwrap();
        assert_eq!(serde_json::to_value(cloud).unwrap()["trusted_proxies"][0], "gcp");
    }

    #[test]
    fn judgement_finds_what_parsing_cannot() {
        let mut problems = Vec::new();
        CorsConfig { allowed_origins: vec![AllowedOrigin::Any], allow_credentials: true }.check("cors", &mut problems);
        assert_eq!(problems.len(), 1);

        problems.clear();
        let twice = vec![SocketAddr::from(([0, 0, 0, 0], 80)); 2];
        let everyone = vec!["0.0.0.0/0".parse().unwrap()];
        ServerConfig { listen: twice, trusted_proxies: everyone, ..ServerConfig::default() }
            .check("server", &mut problems);
        assert_eq!(problems.len(), 2);

        problems.clear();
        ServerConfig { trusted_hops: MAX_HOPS + 1, ..ServerConfig::default() }.check("server", &mut problems);
        assert_eq!(problems.len(), 1);
    }
}

//! Settings of the edge.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use crate::{problem::Problem, units::Span};

/// Listeners and life of the process (`server:`).
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ServerConfig {
    /// Public addresses.
    pub listen: Vec<SocketAddr>,
    /// Address of health and metrics.
    pub admin: SocketAddr,
    /// Worker threads: `auto` or a number.
    pub threads: Threads,
    /// Networks whose forwarding headers are believed.
    pub trusted_proxies: Vec<String>,
    /// How to stop.
    pub shutdown: ShutdownConfig,
}

impl Default for ServerConfig {
    fn default() -> ServerConfig {
        ServerConfig {
            listen: vec![([0, 0, 0, 0], 8080).into()],
            admin: ([127, 0, 0, 1], 9090).into(),
            threads: Threads::Auto,
            trusted_proxies: Vec::new(),
            shutdown: ShutdownConfig::default(),
        }
    }
}

impl ServerConfig {
    /// Reports what cannot work.
    pub fn check(&self, path: &str, problems: &mut Vec<Problem>) {
        if self.listen.is_empty() {
            problems.push(Problem::new(format!("{path}.listen"), "names no address"));
        }
    }
}

/// How to stop (`server.shutdown:`).
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ShutdownConfig {
    /// Time for requests in flight.
    pub grace: Span,
    /// Time for the spool and the sinks.
    pub drain: Span,
}

impl Default for ShutdownConfig {
    fn default() -> ShutdownConfig {
        ShutdownConfig { grace: Span::secs(2), drain: Span::secs(5) }
    }
}

/// Who may send events from other origins (`cors:`).
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CorsConfig {
    /// Origins.
    pub allowed_origins: Vec<String>,
    /// Whether cookies travel along.
    pub allow_credentials: bool,
}

impl Default for CorsConfig {
    fn default() -> CorsConfig {
        CorsConfig { allowed_origins: Vec::new(), allow_credentials: true }
    }
}

impl CorsConfig {
    /// Reports what cannot work.
    pub fn check(&self, _path: &str, _problems: &mut Vec<Problem>) {}
}

/// Where requests go (`routes[]`).
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RouteConfig {
    /// Hosts.
    pub hosts: Vec<String>,
    /// Path prefix.
    pub path: String,
    /// Base URLs.
    pub upstreams: Vec<String>,
}

impl Default for RouteConfig {
    fn default() -> RouteConfig {
        RouteConfig { hosts: vec!["*".into()], path: "/".into(), upstreams: Vec::new() }
    }
}

impl RouteConfig {
    /// Reports what cannot work.
    pub fn check(&self, path: &str, problems: &mut Vec<Problem>) {
        if self.upstreams.is_empty() {
            problems.push(Problem::new(format!("{path}.upstreams"), "no upstream"));
        }
        for (index, upstream) in self.upstreams.iter().enumerate() {
            if !upstream.starts_with("http://") && !upstream.starts_with("https://") {
                let message = format!("`{upstream}` is not an `http://` or `https://` address");
                problems.push(Problem::new(format!("{path}.upstreams[{index}]"), message));
            }
        }
    }
}

/// Checks every route, and that no two claim the same requests.
pub fn check_routes(routes: &[RouteConfig], path: &str, problems: &mut Vec<Problem>) {
    for (index, route) in routes.iter().enumerate() {
        route.check(&format!("{path}[{index}]"), problems);
        if routes[..index].iter().any(|other| other.path == route.path && other.hosts == route.hosts) {
            problems.push(Problem::new(format!("{path}[{index}]"), "repeats another route"));
        }
    }
}

/// Worker threads.
#[derive(Clone, Copy, Debug)]
pub enum Threads {
    /// One per core.
    Auto,
    /// This many.
    Exactly(usize),
}

impl Serialize for Threads {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Threads::Auto => serializer.serialize_str("auto"),
            Threads::Exactly(count) => serializer.serialize_u64(*count as u64),
        }
    }
}

impl<'de> Deserialize<'de> for Threads {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Threads, D::Error> {
        let text = String::deserialize(deserializer)?;
        match text.parse() {
            _ if text == "auto" => Ok(Threads::Auto),
            Ok(count) => Ok(Threads::Exactly(count)),
            Err(_) => Err(serde::de::Error::custom(format!("`{text}` is neither `auto` nor a number"))),
        }
    }
}

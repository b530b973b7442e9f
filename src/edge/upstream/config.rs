//! What the operator may say about the servers behind a route.

use std::{fmt, path::PathBuf, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{identity::Identity, url::UpstreamUrl};
use crate::{
    edge::{
        number_or_text::{self, NumberOrText},
        route::Name,
    },
    problem::Problem,
    units::Span,
};

/// Greatest weight. Turns are laid out one by one.
const MAX_WEIGHT: u8 = 100;
/// Most connections tried for one request.
pub const MAX_ATTEMPTS: usize = 10;

/// One entry of `routes[].upstreams:` - a server of the site.
#[derive(Clone, Debug, PartialEq)]
pub struct UpstreamConfig {
    /// Where it is.
    pub url: UpstreamUrl,
    /// Its share of the requests, 1 to 100.
    pub weight: u8,
    /// What it speaks.
    pub protocol: Protocol,
    /// Who is who on the way there.
    pub tls: UpstreamTlsConfig,
}

impl UpstreamConfig {
    /// All that may be said of a server there, in its plainest form.
    pub fn at(url: UpstreamUrl) -> UpstreamConfig {
        UpstreamConfig { url, weight: 1, protocol: Protocol::default(), tls: UpstreamTlsConfig::default() }
    }
}

/// `routes[].upstreams[].protocol:` - the version of HTTP.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// HTTP/1.1.
    #[default]
    H1,
    /// HTTP/2: over TLS if the server agrees to it, else known beforehand ("h2c").
    H2,
}

/// `routes[].upstreams[].tls:` - who a server has to prove to be, and who we are to it. Files are PEM.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct UpstreamTlsConfig {
    /// Name to ask for and to find in its certificate, in place of the URL's host.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Authorities to believe, in place of the system's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca: Option<PathBuf>,
    /// Certificate to show, with the chain above it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cert: Option<PathBuf>,
    /// Its key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<PathBuf>,
    /// Whether anybody at all is believed.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub insecure: bool,
}

impl FromStr for UpstreamConfig {
    type Err = String;
    fn from_str(text: &str) -> Result<UpstreamConfig, String> {
        Ok(UpstreamConfig::at(text.parse()?))
    }
}

impl fmt::Display for UpstreamConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.url.fmt(f)
    }
}

/// `routes[].balance:` - which server is next.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Balance {
    /// In turn.
    #[default]
    RoundRobin,
    /// The one with the fewest requests, for its weight.
    LeastConnections,
    /// Always the same one for the same client address.
    IpHash,
    /// Always the same one for the same visitor, who is given a cookie of this name.
    Cookie(String),
}

/// `routes[].retries:` - what is tried again, with another server if there is one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RetriesConfig {
    /// Connections tried for one request, the first included.
    pub attempts: usize,
    /// After which failures.
    pub on: Vec<RetryOn>,
}

/// A failure after which a request may be tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RetryOn {
    /// There was no connection: the server knows nothing of the request.
    Connect,
    /// The server closed the connection or was silent for too long before it answered. Only requests that may be
    /// repeated (`GET`, `PUT`, ...) whose body is no longer than 64 KiB.
    Failure,
    /// The server answered with this status. Only requests that may be repeated, likewise; when there is nothing left to
    /// try, the answer stands.
    Status(u16),
}

impl NumberOrText for RetryOn {
    const EXPECTED: &str = "`connect`, `failure` or a status such as `503` (429, 500 to 599)";
}

impl FromStr for RetryOn {
    type Err = String;
    fn from_str(text: &str) -> Result<RetryOn, String> {
        match text {
            "connect" => Ok(RetryOn::Connect),
            "failure" => Ok(RetryOn::Failure),
            _ => match text.parse() {
                Ok(status @ (429 | 500..600)) => Ok(RetryOn::Status(status)),
                _ => Err(format!("`{text}` is nothing to try again after; hint: say {}", RetryOn::EXPECTED)),
            },
        }
    }
}

impl Serialize for RetryOn {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            RetryOn::Connect => serializer.serialize_str("connect"),
            RetryOn::Failure => serializer.serialize_str("failure"),
            RetryOn::Status(status) => serializer.serialize_u16(*status),
        }
    }
}

impl<'de> Deserialize<'de> for RetryOn {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<RetryOn, D::Error> {
        number_or_text::deserialize(deserializer)
    }
}

impl Default for RetriesConfig {
    fn default() -> RetriesConfig {
        RetriesConfig { attempts: 4, on: vec![RetryOn::Connect] }
    }
}

/// `routes[].ejection:` - when a server is left alone for a while. One that cannot be connected to always is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EjectionConfig {
    /// After this many requests in a row that it did not answer.
    pub failures: u32,
    /// For how long.
    pub rest: Span,
}

impl Default for EjectionConfig {
    fn default() -> EjectionConfig {
        EjectionConfig { failures: 5, rest: Span::secs(10) }
    }
}

/// `routes[].health:` - asks every server regularly, and passes over those that do not answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HealthConfig {
    /// What is asked for, by `GET`; any status below 400 is healthy.
    pub path: String,
    /// How often.
    pub every: Span,
    /// How long the answer may take.
    pub timeout: Span,
}

impl Default for HealthConfig {
    fn default() -> HealthConfig {
        HealthConfig { path: "/".into(), every: Span::secs(10), timeout: Span::secs(2) }
    }
}

/// Everything a route says about its servers.
#[derive(Clone, Copy, Debug)]
pub struct ServersConfig<'a> {
    /// The servers.
    pub upstreams: &'a [UpstreamConfig],
    /// Which is next.
    pub balance: &'a Balance,
    /// What is tried again.
    pub retries: &'a RetriesConfig,
    /// When one rests.
    pub ejection: &'a EjectionConfig,
    /// Asked regularly, or not.
    pub health: Option<&'a HealthConfig>,
}

impl ServersConfig<'_> {
    /// Finds what parsing cannot see.
    pub fn check(&self, path: &str, problems: &mut Vec<Problem>) {
        let mut wrong = |key: &str, message: String, hint: &str| {
            problems.push(Problem::new(format!("{path}.{key}"), message).hint(hint));
        };
        for (index, upstream) in self.upstreams.iter().enumerate() {
            if upstream.url == UpstreamUrl::nowhere() {
                wrong(&format!("upstreams[{index}]"), "`url` is missing".into(), "such as `http://127.0.0.1:3000`");
            } else if upstream.weight == 0 || upstream.weight > MAX_WEIGHT {
                wrong(&format!("upstreams[{index}].weight"), format!("`{}` is no weight", upstream.weight), "1 to 100");
            }
            let mut tls = |key: &str, message: &str, hint: &str| {
                wrong(&format!("upstreams[{index}].tls{key}"), message.to_owned(), hint);
            };
            let said = &upstream.tls;
            if *said != UpstreamTlsConfig::default() && !upstream.url.tls() {
                tls("", "there is no TLS on the way to this server", "say `https://`, or nothing of `tls`");
            } else if said.insecure && (said.ca.is_some() || said.name.is_some()) {
                tls(".insecure", "who believes anybody needs neither `ca` nor `name`", "leave one of them out");
            } else if said.cert.is_some() != said.key.is_some() {
                tls("", "a certificate needs its key, and a key its certificate", "say `cert` and `key`, or neither");
            } else if let Err((key, why)) = Identity::load(&upstream.url, said) {
                tls(&format!(".{key}"), &why, "files in PEM format");
            }
        }
        if let Balance::Cookie(name) = self.balance
            && name.parse::<Name>().is_err()
        {
            wrong("balance.cookie", format!("`{name}` is not the name of a cookie"), "such as `server`");
        }
        if self.retries.attempts == 0 || self.retries.attempts > MAX_ATTEMPTS {
            let message = format!("`{}` is no number of attempts", self.retries.attempts);
            wrong("retries.attempts", message, "1 tries once; 10 at most");
        }
        if self.ejection.failures == 0 {
            wrong("ejection.failures", "`0` would leave every server alone".into(), "such as `5`");
        }
        let day = |span: &Span| !span.is_zero() && span.as_secs() <= 24 * 3600;
        if !day(&self.ejection.rest) {
            wrong("ejection.rest", format!("`{}` is no time to rest", self.ejection.rest), "such as `10s`");
        }
        let Some(health) = self.health else { return };
        if !health.path.starts_with('/') || health.path.parse::<http::uri::PathAndQuery>().is_err() {
            wrong("health.path", format!("`{}` is not a path", health.path), "such as `/healthz`");
        }
        for (key, span) in [("health.every", &health.every), ("health.timeout", &health.timeout)] {
            if !day(span) || span.as_millis() < 100 {
                wrong(key, format!("`{span}` is no such time"), "100ms to a day");
            }
        }
    }
}

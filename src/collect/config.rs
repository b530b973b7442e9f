//! What can be configured about collection: YAML `collect` and `streams`.

use std::{fmt, time::Duration};

use jiff::tz::{TimeZone, TimeZoneDatabase};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::{ApiKey, RedactConfig, limits::LimitsConfig};
use crate::{problem::Problem, units::Span};

/// YAML `collect`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Path under which the streams lie: events are posted to `<path>/<stream id>`.
    pub path: String,
    /// Path of the tracker script.
    pub script: String,
    /// Whether the site's pages ask browsers for the client hints that tell devices apart. The tracker tells them, too.
    pub client_hints: bool,
    /// Whether the site's pages get the tracker script, on routes that do not say `inject` themselves.
    pub inject: bool,
    /// Refuse with 422 what is otherwise repaired and noted.
    pub strict: bool,
    /// What happens to events of users who denied analytics storage.
    pub consent_denied: ConsentDenied,
    /// What an answer of 200 means.
    pub ack: Ack,
    /// How long an answer waits for the destinations with `ack: delivered`.
    pub ack_deadline: Span,
    /// What is taken out of an event before anything else happens to it.
    pub redact: RedactConfig,
    /// How much an event may hold.
    pub limits: LimitsConfig,
    /// How many requests are taken.
    pub rate_limit: RateLimitConfig,
}

/// What becomes of an event whose user denied analytics storage.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ConsentDenied {
    /// A row without visitor and session, as in Google's export.
    #[default]
    Keep,
    /// No row.
    Drop,
}

/// What an answer of 200 means.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Ack {
    /// The events are in the spool, as durable as that is.
    #[default]
    Spooled,
    /// Every destination has the events.
    Delivered,
}

/// A client or a proxy before us has hung up by then.
const MAX_ACK_DEADLINE: Duration = Duration::from_secs(300);

impl Default for Config {
    fn default() -> Config {
        Config {
            path: "/api/v1/streaming".into(),
            script: "/static/v6.js".into(),
            client_hints: false,
            inject: false,
            strict: false,
            consent_denied: ConsentDenied::Keep,
            ack: Ack::Spooled,
            ack_deadline: Span::secs(20),
            redact: RedactConfig::default(),
            limits: LimitsConfig::default(),
            rate_limit: RateLimitConfig::default(),
        }
    }
}

impl Config {
    /// Reports what serde cannot see.
    pub fn check(&self, path: &str, problems: &mut Vec<Problem>) {
        for (name, value) in [("path", &self.path), ("script", &self.script)] {
            let wrong = if !value.starts_with('/') || value.len() < 2 {
                Some("must begin with `/` and name a path")
            } else if value.ends_with('/') {
                Some("must not end with `/`")
            } else if value.bytes().any(|byte| matches!(byte, b'?' | b'#' | b'%') || !byte.is_ascii_graphic()) {
                Some("must be plain ASCII without `?`, `#` or `%`")
            } else {
                None
            };
            if let Some(wrong) = wrong {
                problems.push(Problem::new(format!("{path}.{name}"), format!("`{value}` {wrong}")).hint(format!(
                    "for example `{}`",
                    if name == "path" { "/api/v1/streaming" } else { "/static/v6.js" }
                )));
            }
        }
        if self.script == self.path || self.script.strip_prefix(&self.path).is_some_and(|rest| rest.starts_with('/')) {
            problems.push(Problem::new(format!("{path}.script"), "must not lie below `collect.path`"));
        }
        if self.ack_deadline.is_zero() || *self.ack_deadline > MAX_ACK_DEADLINE {
            let message = format!("`{}` is no time to wait for a destination", self.ack_deadline);
            problems.push(Problem::new(format!("{path}.ack_deadline"), message).hint("between `1ms` and `5m`"));
        }
        self.redact.check(&format!("{path}.redact"), problems);
        self.limits.check(&format!("{path}.limits"), problems);
        self.rate_limit.check(&format!("{path}.rate_limit"), problems);
    }
}

/// YAML `collect.rate_limit`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RateLimitConfig {
    /// Requests a second of one client; 0 is any number.
    pub per_ip: u32,
    /// Requests a second to one stream; 0 is any number.
    pub per_stream: u32,
    /// As many requests may come at once as the rate allows in this time.
    pub burst: Span,
}

/// A higher rate is a slip of the finger, and no limit on any machine.
const MAX_RATE: u32 = 1_000_000;
/// Whoever may save up requests for longer is hardly limited.
const MAX_BURST: Duration = Duration::from_secs(3600);

impl Default for RateLimitConfig {
    fn default() -> RateLimitConfig {
        RateLimitConfig { per_ip: 0, per_stream: 0, burst: Span::secs(10) }
    }
}

impl RateLimitConfig {
    fn check(&self, path: &str, problems: &mut Vec<Problem>) {
        for (name, rate) in [("per_ip", self.per_ip), ("per_stream", self.per_stream)] {
            if rate > MAX_RATE {
                let message = format!("`{rate}` requests a second are no limit");
                problems.push(Problem::new(format!("{path}.{name}"), message).hint("0 switches it off"));
            }
        }
        if *self.burst > MAX_BURST {
            let message = format!("`{}` is too long", self.burst);
            problems.push(Problem::new(format!("{path}.burst"), message).hint("an hour at most; the default is `10s`"));
        }
    }
}

/// One entry of YAML `streams`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StreamConfig {
    /// Last part of the collection path, and column `stream_id`.
    pub id: String,
    /// The sites this stream serves, as `www.example.com` or `*.example.com`; none: any. Only on these does the
    /// visitor cookie span the whole registrable domain.
    #[serde(default)]
    pub hosts: Vec<String>,
    /// Where a day begins and ends: the time zone of `event_date` and `date`.
    #[serde(default)]
    pub reporting_timezone: Timezone,
    /// Keys of trusted callers, each as `sha256:` and 64 hexadecimal digits, or as it is.
    #[serde(default)]
    pub api_keys: Vec<ApiKey>,
}

impl StreamConfig {
    /// Reports what serde cannot see.
    pub fn check(&self, path: &str, problems: &mut Vec<Problem>) {
        if !is_stream_id(&self.id) {
            problems.push(
                Problem::new(format!("{path}.id"), format!("`{}` is not a stream id", self.id))
                    .hint("1 to 64 letters, digits, `_` or `-`"),
            );
        }
        for (index, host) in self.hosts.iter().enumerate() {
            let name = host.strip_prefix("*.").unwrap_or(host);
            let host_char =
                |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'[' | b']' | b':');
            if name.is_empty() || !name.bytes().all(host_char) {
                problems.push(
                    Problem::new(format!("{path}.hosts[{index}]"), format!("`{host}` is not a host name"))
                        .hint("without scheme, port and path; `*.example.com` stands for every subdomain"),
                );
            }
        }
    }

    /// Whether a request to `host` (lower case, no port) is one for this stream's sites.
    pub fn serves(&self, host: &str) -> bool {
        self.hosts.is_empty()
            || self.hosts.iter().any(|pattern| match pattern.strip_prefix("*.") {
                Some(domain) => {
                    let label = host.len().checked_sub(domain.len() + 1);
                    label.is_some_and(|dot| {
                        host.as_bytes()[dot] == b'.'
                            && host.as_bytes()[dot + 1..].eq_ignore_ascii_case(domain.as_bytes())
                    })
                }
                None => pattern.eq_ignore_ascii_case(host),
            })
    }
}

/// 1 to 64 of `[A-Za-z0-9_-]`.
pub fn is_stream_id(text: &str) -> bool {
    (1..=64).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'))
}

/// A time zone by its IANA name, `Europe/Zurich`. The rules are those compiled into the binary, so a day has the same
/// bounds on every machine.
#[derive(Clone, PartialEq, Eq)]
pub struct Timezone(pub TimeZone);

impl Default for Timezone {
    fn default() -> Timezone {
        Timezone(TimeZone::UTC)
    }
}

impl fmt::Debug for Timezone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.iana_name().unwrap_or("?"))
    }
}

impl Serialize for Timezone {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.0.iana_name().unwrap_or("UTC"))
    }
}

impl<'de> Deserialize<'de> for Timezone {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Timezone, D::Error> {
        let name = String::deserialize(deserializer)?;
        if name.eq_ignore_ascii_case("utc") {
            return Ok(Timezone::default());
        }
        TimeZoneDatabase::bundled().get(&name).map(Timezone).map_err(|_| {
            de::Error::custom(format!(
                "`{name}` is not a time zone, give its IANA name such as `UTC` or `Europe/Zurich`"
            ))
        })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn stream(json: &str) -> StreamConfig {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn the_defaults_have_no_problem() {
        let mut problems = vec![];
        Config::default().check("collect", &mut problems);
        stream(r#"{"id":"1"}"#).check("streams[0]", &mut problems);
        assert_eq!(problems, []);
    }

    #[test]
    fn wrong_paths_ids_and_hosts_are_reported_together() {
        let config = Config { path: "api/".into(), script: "/a?b".into(), ..Config::default() };
        let mut problems = vec![];
        config.check("collect", &mut problems);
        stream(r#"{"id":"a b","hosts":["https://x"]}"#).check("streams[0]", &mut problems);
        let paths: Vec<_> = problems.iter().map(|problem| problem.path.as_str()).collect();
        assert_eq!(paths, ["collect.path", "collect.script", "streams[0].id", "streams[0].hosts[0]"]);
    }

    #[test]
    fn hosts_match_exactly_or_below_a_star() {
        let stream = stream(r#"{"id":"1","hosts":["shop.example.com","*.Example.org"]}"#);
        for (host, served) in [
            ("shop.example.com", true),
            ("example.com", false),
            ("a.b.example.org", true),
            ("example.org", false),
            ("badexample.org", false),
            ("", false),
        ] {
            assert_eq!(stream.serves(host), served, "{host}");
        }
    }

    #[test]
    fn time_zones_are_known_by_their_iana_names() {
        let zurich = stream(r#"{"id":"1","reporting_timezone":"Europe/Zurich"}"#);
        assert_eq!(serde_json::to_value(&zurich).unwrap()["reporting_timezone"], "Europe/Zurich");
        let error = serde_json::from_str::<StreamConfig>(r#"{"id":"1","reporting_timezone":"Mars/Base"}"#).unwrap_err();
        assert!(error.to_string().contains("`Mars/Base` is not a time zone"), "{error}");
    }
}

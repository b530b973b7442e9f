//! The visitor cookie: YAML `cookie`, and the `Set-Cookie` line.

use std::{fmt::Write, time::Duration};

use http::HeaderValue;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::{problem::Problem, units::Span};

/// YAML `cookie`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CookieConfig {
    /// Name of the cookie.
    pub name: String,
    /// `auto`: shared by all subdomains of the registrable domain where there is one; or that domain itself.
    pub domain: Domain,
    /// `auto`: when the request came over TLS; or `true`, `false`.
    pub secure: Secure,
    /// Keep the cookie from scripts. The tracker does not need it.
    pub http_only: bool,
    /// Which cross-site requests carry it.
    pub same_site: SameSite,
    /// Life of the cookie, renewed with every event. Browsers cap it at 400 days.
    pub max_age: Span,
    /// Whether a visitor whom Google Analytics knows already keeps the client id of its `_ga` cookie, so that rows join
    /// with an export of the same site.
    pub adopt_ga: bool,
}

/// 400 days, the longest life browsers grant (RFC 6265bis).
const LONGEST_LIFE: Duration = Duration::from_secs(400 * 86_400);

impl Default for CookieConfig {
    fn default() -> CookieConfig {
        CookieConfig {
            name: "__uid__".into(),
            domain: Domain::Auto,
            secure: Secure::Auto,
            http_only: true,
            same_site: SameSite::Lax,
            max_age: Span(LONGEST_LIFE),
            adopt_ga: true,
        }
    }
}

/// Scope of the cookie.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Domain {
    /// The registrable domain of the request's host; the host alone when it has none.
    Auto,
    /// This domain, on its hosts.
    Of(String),
}

/// Whether the cookie travels over TLS only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Secure {
    /// As the request that sets it.
    Auto,
    /// Always.
    Yes,
    /// Never asked for.
    No,
}

/// The attribute of that name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub enum SameSite {
    #[serde(alias = "strict")]
    Strict,
    #[serde(alias = "lax")]
    Lax,
    #[serde(alias = "none")]
    None,
}

impl CookieConfig {
    /// Reports what serde cannot see.
    pub fn check(&self, path: &str, problems: &mut Vec<Problem>) {
        let token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
        if self.name.is_empty() || !self.name.bytes().all(token) {
            problems.push(
                Problem::new(format!("{path}.name"), format!("`{}` is not a cookie name", self.name))
                    .hint("letters, digits, `_` and `-`"),
            );
        }
        if self.name.starts_with("__Host-") && self.domain != Domain::Auto {
            problems.push(Problem::new(format!("{path}.domain"), "a `__Host-` cookie cannot have a domain"));
        }
        if let Domain::Of(domain) = &self.domain
            && (psl::suffix_str(domain).is_none_or(|suffix| suffix == domain) || !is_host_name(domain))
        {
            problems.push(
                Problem::new(format!("{path}.domain"), format!("browsers refuse cookies for `{domain}`"))
                    .hint("give a domain you own such as `example.com`, or `auto`"),
            );
        }
        if self.same_site == SameSite::None && self.secure == Secure::No {
            problems.push(
                Problem::new(format!("{path}.same_site"), "browsers refuse `None` on a cookie that is not secure")
                    .hint(format!("set `{path}.secure: true`")),
            );
        }
        if self.max_age.is_zero() || *self.max_age > LONGEST_LIFE {
            problems.push(
                Problem::new(format!("{path}.max_age"), format!("`{}` is not a useful life", self.max_age))
                    .hint("more than zero; browsers cap it at 400 days"),
            );
        }
    }

    /// The header that gives the client `value`, which is one of the identifiers `identity` lets pass. `spans` says
    /// whether the cookie may leave the host for its registrable domain.
    pub fn set(&self, value: &str, host: &str, spans: bool, over_tls: bool) -> Option<HeaderValue> {
        let mut line = String::with_capacity(128);
        let mut put = |parts: &[&str]| parts.iter().for_each(|part| line.push_str(part));
        put(&[&self.name, "=", value, "; "]);
        let domain = match &self.domain {
            _ if self.name.starts_with("__Host-") => None,
            Domain::Auto if spans => registrable_domain(host),
            Domain::Auto => None,
            Domain::Of(domain) => is_within(host, domain).then_some(domain.as_str()),
        };
        if let Some(domain) = domain {
            put(&["Domain=", domain, "; "]);
        }
        write!(line, "Path=/; Max-Age={}", self.max_age.as_secs()).ok()?;
        if self.secure == Secure::Yes || self.secure == Secure::Auto && over_tls {
            line.push_str("; Secure");
        }
        if self.http_only {
            line.push_str("; HttpOnly");
        }
        line.push_str(match self.same_site {
            SameSite::Strict => "; SameSite=Strict",
            SameSite::Lax => "; SameSite=Lax",
            SameSite::None => "; SameSite=None",
        });
        HeaderValue::try_from(line).ok()
    }
}

/// The domain one label below a public suffix of the list; `None` for addresses, `localhost`, names under a suffix
/// nobody registered, and public suffixes themselves.
fn registrable_domain(host: &str) -> Option<&str> {
    let host = host.strip_suffix('.').unwrap_or(host);
    // What ends with a digit is an address, or no name that anybody could register.
    if !is_host_name(host) || host.ends_with(|last: char| last.is_ascii_digit()) {
        return None;
    }
    if !psl::suffix(host.as_bytes())?.is_known() {
        return None;
    }
    psl::domain_str(host)
}

/// The host comes from a request header: nothing else may get into a `Set-Cookie` line.
fn is_host_name(host: &str) -> bool {
    !host.is_empty() && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_'))
}

fn is_within(host: &str, domain: &str) -> bool {
    host.strip_suffix(domain).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}

impl Serialize for Domain {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(match self {
            Domain::Auto => "auto",
            Domain::Of(domain) => domain,
        })
    }
}

impl<'de> Deserialize<'de> for Domain {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Domain, D::Error> {
        let text = String::deserialize(deserializer)?;
        Ok(match text.as_str() {
            "auto" => Domain::Auto,
            domain => Domain::Of(domain.trim_start_matches('.').to_ascii_lowercase()),
        })
    }
}

impl Serialize for Secure {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Secure::Auto => serializer.serialize_str("auto"),
            Secure::Yes => serializer.serialize_bool(true),
            Secure::No => serializer.serialize_bool(false),
        }
    }
}

impl<'de> Deserialize<'de> for Secure {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Secure, D::Error> {
        struct Visitor;
        impl de::Visitor<'_> for Visitor {
            type Value = Secure;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("`auto`, `true` or `false`")
            }
            fn visit_bool<E: de::Error>(self, yes: bool) -> Result<Secure, E> {
                Ok(if yes { Secure::Yes } else { Secure::No })
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Secure, E> {
                match text {
                    "auto" => Ok(Secure::Auto),
                    "true" => Ok(Secure::Yes),
                    "false" => Ok(Secure::No),
                    _ => Err(E::invalid_value(de::Unexpected::Str(text), &self)),
                }
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(config: &CookieConfig, host: &str, over_tls: bool, expected: &str) {
        assert_eq!(config.set("1.2", host, true, over_tls).unwrap(), expected);
    }

    #[test]
    fn the_cookie_is_shared_by_sibling_subdomains() {
        let config = CookieConfig::default();
        let expected = "__uid__=1.2; Domain=example.co.uk; Path=/; Max-Age=34560000; Secure; HttpOnly; SameSite=Lax";
        check(&config, "www.example.co.uk", true, expected);
        check(&config, "example.co.uk.", true, expected);
    }

    #[test]
    fn hosts_without_a_registrable_domain_keep_it_to_themselves() {
        let config = CookieConfig::default();
        for host in ["localhost", "127.0.0.1", "::1", "[::1]", "github.io", "com", "shop.internal", "", "a;b.com"] {
            check(&config, host, false, "__uid__=1.2; Path=/; Max-Age=34560000; HttpOnly; SameSite=Lax");
        }
        let line = config.set("1.2", "www.example.com", false, false).unwrap();
        assert!(!line.to_str().unwrap().contains("Domain"), "{line:?}");
    }

    #[test]
    fn every_attribute_is_configurable() {
        let config: CookieConfig = serde_json::from_str(
            r#"{"name":"id","domain":".Example.com","secure":true,"http_only":false,"same_site":"None","max_age":"1h"}"#,
        )
        .unwrap();
        check(
            &config,
            "a.example.com",
            false,
            "id=1.2; Domain=example.com; Path=/; Max-Age=3600; Secure; SameSite=None",
        );
        check(&config, "other.com", false, "id=1.2; Path=/; Max-Age=3600; Secure; SameSite=None");
        check(&config, "badexample.com", false, "id=1.2; Path=/; Max-Age=3600; Secure; SameSite=None");
    }

    #[test]
    fn what_browsers_refuse_is_reported() {
        let config: CookieConfig = serde_json::from_str(
            r#"{"name":"a b","domain":"co.uk","secure":"false","same_site":"None","max_age":"800d"}"#,
        )
        .unwrap();
        let mut problems = vec![];
        config.check("cookie", &mut problems);
        let paths: Vec<_> = problems.iter().map(|problem| problem.path.as_str()).collect();
        assert_eq!(paths, ["cookie.name", "cookie.domain", "cookie.same_site", "cookie.max_age"]);
        problems.clear();
        CookieConfig::default().check("cookie", &mut problems);
        assert_eq!(problems, []);
    }
}

//! Which pages may talk to the streams. Pure.
//!
//! A page of the very host that is asked always may, whatever its scheme and port; other origins as configured. The
//! answer names the exact origin, never a pattern, so that cookies work; with `*` they do not.

use std::{collections::HashSet, fmt, str::FromStr};

use http::{HeaderMap, HeaderName, HeaderValue, Uri, header};

use super::{config::CorsConfig, upstream::host_and_port};

/// How long a browser may remember a preflight: a day. Chromium caps it at two hours.
const PREFLIGHT_MAX_AGE: HeaderValue = HeaderValue::from_static("86400");
/// Longest list of headers a preflight may ask for; more is no browser.
const MAX_ASKED_HEADERS: usize = 1024;

/// The rules.
#[derive(Debug)]
pub struct Cors {
    origins: HashSet<Box<str>>,
    any: bool,
    credentials: bool,
}

/// What the rules say about one request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// No page asks: no `Origin`.
    NotAsked,
    /// This origin may, and its cookies count if `credentials`.
    Allowed {
        /// The origin as sent, or `*`.
        origin: HeaderValue,
        /// Whether cookies travel.
        credentials: bool,
    },
    /// It may not.
    Denied,
}

impl Cors {
    /// The rules of a configuration.
    pub fn new(config: &CorsConfig) -> Cors {
        let exact = |allowed: &AllowedOrigin| match allowed {
            AllowedOrigin::Exact(origin) => Some(origin.clone()),
            AllowedOrigin::Any => None,
        };
        Cors {
            origins: config.allowed_origins.iter().filter_map(exact).collect(),
            any: config.allowed_origins.contains(&AllowedOrigin::Any),
            credentials: config.allow_credentials,
        }
    }

    /// `host` is the request's, lower case, without port.
    pub fn verdict(&self, headers: &HeaderMap, host: &str) -> Verdict {
        let Some(origin) = headers.get(header::ORIGIN) else { return Verdict::NotAsked };
        let known = origin.to_str().is_ok_and(|text| self.knows(text, host));
        if known {
            Verdict::Allowed { origin: origin.clone(), credentials: self.credentials }
        } else if self.any {
            Verdict::Allowed { origin: HeaderValue::from_static("*"), credentials: false }
        } else {
            Verdict::Denied
        }
    }

    fn knows(&self, origin: &str, host: &str) -> bool {
        // What browsers send is in its one form already; the rest is worth the effort of parsing.
        if is_plainly_at(origin, host) || self.origins.contains(origin) {
            return true;
        }
        Origin::parse(origin).is_ok_and(|parsed| parsed.host == host || self.origins.contains(parsed.text.as_str()))
    }
}

/// `https://host` or `http://host`, without a port.
fn is_plainly_at(origin: &str, host: &str) -> bool {
    let name = origin.strip_prefix("https://").or_else(|| origin.strip_prefix("http://"));
    !host.is_empty() && name == Some(host)
}

impl Verdict {
    /// Adds what every answer to this request has to say, whatever its status.
    pub fn decorate(&self, headers: &mut Vec<(HeaderName, HeaderValue)>) {
        match self {
            Verdict::NotAsked => return,
            Verdict::Denied => {}
            Verdict::Allowed { origin, credentials } => {
                headers.push((header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone()));
                if *credentials {
                    headers.push((header::ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true")));
                }
            }
        }
        headers.push((header::VARY, HeaderValue::from_static("Origin")));
    }

    /// The headers of an answer to `OPTIONS`, [`decorate`](Verdict::decorate) aside. Any header may be sent by an
    /// allowed page: monitoring scripts add their own to every `fetch`, and one that is not allowed would cost the
    /// event.
    pub fn preflight(&self, asked: &HeaderMap) -> Vec<(HeaderName, HeaderValue)> {
        const METHODS: HeaderValue = HeaderValue::from_static("POST, OPTIONS");
        if !asked.contains_key(header::ACCESS_CONTROL_REQUEST_METHOD) {
            return vec![(header::ALLOW, METHODS)];
        }
        let mut headers =
            vec![(header::ACCESS_CONTROL_ALLOW_METHODS, METHODS), (header::ACCESS_CONTROL_MAX_AGE, PREFLIGHT_MAX_AGE)];
        let asked = asked.get(header::ACCESS_CONTROL_REQUEST_HEADERS);
        let sane = |names: &&HeaderValue| (1..=MAX_ASKED_HEADERS).contains(&names.len()) && names.to_str().is_ok();
        let names = asked.filter(sane).cloned();
        headers.push((
            header::ACCESS_CONTROL_ALLOW_HEADERS,
            names.unwrap_or(HeaderValue::from_static("content-type, content-encoding, authorization, x-api-key")),
        ));
        headers
    }
}

/// One entry of `cors.allowed_origins`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AllowedOrigin {
    /// `scheme://host[:port]`, lower case, without a default port.
    Exact(Box<str>),
    /// `*`
    Any,
}

impl FromStr for AllowedOrigin {
    type Err = String;
    fn from_str(text: &str) -> Result<AllowedOrigin, String> {
        if text == "*" {
            return Ok(AllowedOrigin::Any);
        }
        let why = match Origin::parse(text) {
            Ok(origin) if origin.host.contains('*') => "wildcards are not supported, list the origins",
            Ok(origin) => return Ok(AllowedOrigin::Exact(origin.text.into())),
            Err(why) => why,
        };
        Err(format!("`{text}` is not an origin such as `https://www.example.com`: {why}"))
    }
}

impl fmt::Display for AllowedOrigin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            AllowedOrigin::Exact(origin) => f.write_str(origin),
            AllowedOrigin::Any => f.write_str("*"),
        }
    }
}

/// An origin in the one form that can be compared.
struct Origin {
    text: String,
    host: String,
}

impl Origin {
    fn parse(text: &str) -> Result<Origin, &'static str> {
        // `Uri` would take `https://a/` for `https://a`.
        if text.ends_with('/') {
            return Err("an origin has no path, not even `/`");
        }
        let uri: Uri = text.parse().map_err(|_| "not a URL")?;
        let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
            return Err("it starts with `https://` or `http://`");
        };
        if uri.path() != "/" || uri.query().is_some() || authority.as_str().contains('@') {
            return Err("an origin is scheme, host and port only");
        }
        let (host, port) = host_and_port(authority)?;
        let host = host.to_ascii_lowercase();
        let port = port.filter(|port| !matches!((scheme, port), ("https", 443) | ("http", 80)));
        let text = match port {
            Some(port) => format!("{scheme}://{host}:{port}"),
            None => format!("{scheme}://{host}"),
        };
        Ok(Origin { text, host })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn verdict(allowed: &[&str], credentials: bool, origin: &[u8], host: &str) -> Verdict {
        let allowed_origins = allowed.iter().map(|text| text.parse().unwrap()).collect();
        let cors = Cors::new(&CorsConfig { allowed_origins, allow_credentials: credentials });
        let mut headers = HeaderMap::new();
        headers.insert(header::ORIGIN, HeaderValue::from_bytes(origin).unwrap());
        cors.verdict(&headers, host)
    }

    fn allowed(origin: &'static str, credentials: bool) -> Verdict {
        Verdict::Allowed { origin: HeaderValue::from_static(origin), credentials }
    }

    #[test]
    fn the_verdict_is_exact() {
        let list: &[&str] = &["https://www.example.com", "http://localhost:3000"];
        for (origin, host, expected) in [
            ("https://t.example.com", "t.example.com", allowed("https://t.example.com", true)),
            ("http://t.example.com:8080", "t.example.com", allowed("http://t.example.com:8080", true)),
            ("https://www.example.com", "t.example.com", allowed("https://www.example.com", true)),
            ("https://www.example.com:443", "t.example.com", allowed("https://www.example.com:443", true)),
            ("https://www.example.com:444", "t.example.com", Verdict::Denied),
            ("http://www.example.com", "t.example.com", Verdict::Denied),
            ("http://localhost:3000", "127.0.0.1", allowed("http://localhost:3000", true)),
            ("https://example.com", "t.example.com", Verdict::Denied),
            ("https://www.example.com.evil.org", "t.example.com", Verdict::Denied),
            ("null", "t.example.com", Verdict::Denied),
            ("", "", Verdict::Denied),
            ("http://[::1]:80", "[::1]", allowed("http://[::1]:80", true)),
        ] {
            assert_eq!(verdict(list, true, origin.as_bytes(), host), expected, "{origin} at {host}");
        }
        assert_eq!(verdict(list, true, b"https://\xff", "t"), Verdict::Denied);
    }

    #[test]
    fn a_star_never_carries_cookies() {
        assert_eq!(verdict(&["*"], false, b"https://a.example", "b.example"), allowed("*", false));
        assert_eq!(verdict(&["*"], false, b"null", "b.example"), allowed("*", false));
        assert_eq!(verdict(&["*"], false, b"https://b.example", "b.example"), allowed("https://b.example", false));
    }

    #[test]
    fn answers_say_what_browsers_need() {
        let names = |verdict: &Verdict| {
            let mut headers = Vec::new();
            verdict.decorate(&mut headers);
            headers.into_iter().map(|(name, _)| name.to_string()).collect::<Vec<_>>()
        };
        assert!(names(&Verdict::NotAsked).is_empty());
        assert_eq!(names(&Verdict::Denied), ["vary"]);
        let all = ["access-control-allow-origin", "access-control-allow-credentials", "vary"];
        assert_eq!(names(&allowed("https://a", true)), all);
        assert_eq!(names(&allowed("*", false)), [all[0], all[2]]);
    }

    #[test]
    fn a_preflight_allows_what_was_asked() {
        let mut asked = HeaderMap::new();
        assert_eq!(Verdict::NotAsked.preflight(&asked)[0].0, header::ALLOW);
        asked.insert(header::ACCESS_CONTROL_REQUEST_METHOD, HeaderValue::from_static("POST"));
        asked.insert(header::ACCESS_CONTROL_REQUEST_HEADERS, HeaderValue::from_static("content-type,traceparent"));
        let headers = Verdict::NotAsked.preflight(&asked);
        assert!(headers.contains(&(header::ACCESS_CONTROL_MAX_AGE, PREFLIGHT_MAX_AGE)));
        let names = HeaderValue::from_static("content-type,traceparent");
        assert!(headers.contains(&(header::ACCESS_CONTROL_ALLOW_HEADERS, names)));

        for keys in ["authorization,content-type", "x-api-key"] {
            asked.insert(header::ACCESS_CONTROL_REQUEST_HEADERS, HeaderValue::from_static(keys));
            let names = HeaderValue::from_static(keys);
            assert!(Verdict::NotAsked.preflight(&asked).contains(&(header::ACCESS_CONTROL_ALLOW_HEADERS, names)));
        }
        asked.remove(header::ACCESS_CONTROL_REQUEST_HEADERS);
        let known = HeaderValue::from_static("content-type, content-encoding, authorization, x-api-key");
        assert!(Verdict::NotAsked.preflight(&asked).contains(&(header::ACCESS_CONTROL_ALLOW_HEADERS, known)));
    }

    #[test]
    fn configured_origins_are_normalised() {
        for (text, printed) in [
            ("https://WWW.Example.com:443", Some("https://www.example.com")),
            ("http://a:80", Some("http://a")),
            ("*", Some("*")),
            ("https://a/", None),
            ("https://a/b", None),
            ("https://*.example.com", None),
            ("www.example.com", None),
            ("null", None),
            ("https://:443", None),
            ("https://a:99999", None),
        ] {
            let parsed = text.parse::<AllowedOrigin>();
            assert_eq!(parsed.as_ref().ok().map(ToString::to_string).as_deref(), printed, "{text}: {parsed:?}");
        }
    }
}

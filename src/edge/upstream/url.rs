//! Where one server of the site is, as the operator writes it: scheme, host and port, and nothing else.

use std::{fmt, str::FromStr};

use http::{Uri, uri::Authority};

/// Address of one server of the site: `http://host[:port]` or `https://host[:port]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpstreamUrl {
    /// Whether to speak TLS; the host is the server name then.
    pub tls: bool,
    /// Name or address, without brackets.
    pub host: Box<str>,
    /// Port.
    pub port: u16,
}

impl UpstreamUrl {
    fn default_port(tls: bool) -> u16 {
        if tls { 443 } else { 80 }
    }

    /// `host[:port]`, as a `Host` header has it.
    pub fn authority(&self) -> String {
        let host = if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.to_string() };
        if self.port == Self::default_port(self.tls) { host } else { format!("{host}:{}", self.port) }
    }
}

impl FromStr for UpstreamUrl {
    type Err = String;
    fn from_str(text: &str) -> Result<UpstreamUrl, String> {
        let wrong = |why: &str| format!("`{text}` is not an upstream such as `http://127.0.0.1:3000`: {why}");
        let uri: Uri = text.parse().map_err(|_| wrong("not a URL"))?;
        let tls = match uri.scheme_str() {
            Some("http") => false,
            Some("https") => true,
            _ => return Err(wrong("it has to start with `http://` or `https://`")),
        };
        let authority = uri.authority().ok_or_else(|| wrong("the host is missing"))?;
        if authority.as_str().contains('@') {
            return Err(wrong("user names are not supported"));
        }
        if uri.path_and_query().is_some_and(|rest| rest.as_str() != "/") {
            return Err(wrong("a path is not supported, requests keep their own"));
        }
        let (host, port) = host_and_port(authority).map_err(wrong)?;
        let port = port.unwrap_or(Self::default_port(tls));
        if port == 0 {
            return Err(wrong("the port is wrong"));
        }
        let host = host.trim_start_matches('[').trim_end_matches(']');
        Ok(UpstreamUrl { tls, host: host.to_ascii_lowercase().into(), port })
    }
}

impl fmt::Display for UpstreamUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", if self.tls { "https" } else { "http" }, self.authority())
    }
}

/// The two parts of an authority without a user. `Authority` itself passes over a port that is none, and takes what
/// stands before a bracket for a host.
pub fn host_and_port(authority: &Authority) -> Result<(&str, Option<u16>), &'static str> {
    let host = authority.host();
    if matches!(host, "" | "[]") {
        return Err("the host is missing");
    }
    if host.trim_start_matches('[').trim_end_matches(']').contains(['[', ']']) {
        return Err("the host is wrong");
    }
    match authority.as_str()[host.len()..].strip_prefix(':') {
        None => Ok((host, None)),
        Some(port) => port.parse().map(|port| (host, Some(port))).map_err(|_| "the port is wrong"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn upstreams_are_plain_urls() {
        for (text, printed) in [
            ("http://127.0.0.1:3000", Some("http://127.0.0.1:3000")),
            ("https://Site.Example/", Some("https://site.example")),
            ("https://site.example:443", Some("https://site.example")),
            ("http://[::1]:81", Some("http://[::1]:81")),
            ("http://[::1]", Some("http://[::1]")),
            ("localhost:3000", None),
            ("ftp://a", None),
            ("http://a/b", None),
            ("http://a:0", None),
            ("http://a:99999", None),
            ("http://p[::1]:80", None),
            ("http://:80", None),
            ("http://u@a", None),
            ("", None),
        ] {
            let parsed = text.parse::<UpstreamUrl>();
            assert_eq!(parsed.as_ref().ok().map(ToString::to_string).as_deref(), printed, "{text}: {parsed:?}");
        }
    }
}

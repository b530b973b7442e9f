//! Where one server of the site is, as the operator writes it: scheme, host and port, or a socket, and nothing else.

use std::{fmt, os::unix::net::SocketAddr, path::Path, str::FromStr};

use http::{Uri, uri::Authority};

/// Address of one server of the site: `http://host[:port]`, `https://host[:port]` or `unix:/path`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum UpstreamUrl {
    /// On the network.
    Tcp {
        /// Whether to speak TLS; the host is the server name then.
        tls: bool,
        /// Name or address, without brackets.
        host: Box<str>,
        /// Port.
        port: u16,
    },
    /// A socket on this machine; absolute, and short enough for the system.
    Unix(Box<str>),
}

impl UpstreamUrl {
    /// Not even an address: what stands for one that is missing.
    pub fn nowhere() -> UpstreamUrl {
        UpstreamUrl::Tcp { tls: false, host: "".into(), port: 0 }
    }

    /// Whether to speak TLS.
    pub fn tls(&self) -> bool {
        matches!(self, UpstreamUrl::Tcp { tls: true, .. })
    }

    /// `host[:port]`, as a `Host` header has it, the host under this other name if there is one.
    pub fn authority(&self, name: Option<&str>) -> String {
        let UpstreamUrl::Tcp { tls, host, port } = self else { return "localhost".to_owned() };
        let host = name.unwrap_or(host);
        let host = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
        if *port == default_port(*tls) { host } else { format!("{host}:{port}") }
    }
}

fn default_port(tls: bool) -> u16 {
    if tls { 443 } else { 80 }
}

impl FromStr for UpstreamUrl {
    type Err = String;
    fn from_str(text: &str) -> Result<UpstreamUrl, String> {
        let wrong = |why: &str| format!("`{text}` is not an upstream such as `http://127.0.0.1:3000`: {why}");
        if let Some(path) = text.strip_prefix("unix:") {
            if !Path::new(path).is_absolute() {
                return Err(wrong("the path of a socket begins with `/`, as in `unix:/run/site.sock`"));
            }
            SocketAddr::from_pathname(path).map_err(|_| wrong("the path is too long for a socket"))?;
            return Ok(UpstreamUrl::Unix(path.into()));
        }
        let uri: Uri = text.parse().map_err(|_| wrong("not a URL"))?;
        let tls = match uri.scheme_str() {
            Some("http") => false,
            Some("https") => true,
            _ => return Err(wrong("it has to start with `http://`, `https://` or `unix:/`")),
        };
        let authority = uri.authority().ok_or_else(|| wrong("the host is missing"))?;
        if authority.as_str().contains('@') {
            return Err(wrong("user names are not supported"));
        }
        if uri.path_and_query().is_some_and(|rest| rest.as_str() != "/") {
            return Err(wrong("a path is not supported, requests keep their own"));
        }
        let (host, port) = host_and_port(authority).map_err(wrong)?;
        let port = port.unwrap_or(default_port(tls));
        if port == 0 {
            return Err(wrong("the port is wrong"));
        }
        let host = host.trim_start_matches('[').trim_end_matches(']');
        Ok(UpstreamUrl::Tcp { tls, host: host.to_ascii_lowercase().into(), port })
    }
}

impl fmt::Display for UpstreamUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            UpstreamUrl::Tcp { tls, .. } => {
                write!(f, "{}://{}", if *tls { "https" } else { "http" }, self.authority(None))
            }
            UpstreamUrl::Unix(path) => write!(f, "unix:{path}"),
        }
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
            ("unix:/run/site.sock", Some("unix:/run/site.sock")),
            ("unix:site.sock", None),
            ("unix:/a\0b", None),
        ] {
            let parsed = text.parse::<UpstreamUrl>();
            assert_eq!(parsed.as_ref().ok().map(ToString::to_string).as_deref(), printed, "{text}: {parsed:?}");
        }
        assert!(format!("unix:/{}", "x".repeat(107)).parse::<UpstreamUrl>().is_err());
    }
}

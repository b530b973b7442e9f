//! Whose request is it? Pure: host and path in, action out.
//!
//! Ours are only the streams' path with everything below it, the script's path, and `/healthz`, on every host. The
//! rest is the site's and follows the routes. Among the routes that fit, the most specific one wins: an exact host
//! before `*.example.com`, a longer wildcard before a shorter one, any of them before `*`; for the same host the
//! longer path. Paths match on segment boundaries and are compared as sent, without decoding.

use std::{cmp::Reverse, fmt, str::FromStr};

use super::config::RouteConfig;

/// Path of the public health check.
pub const HEALTH_PATH: &str = "/healthz";

/// What to do with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action<'a> {
    /// An event for this stream; the id is as sent and may be anything.
    Collect {
        /// What follows the streams' path.
        stream: &'a str,
    },
    /// The tracking script.
    Script,
    /// Are we alive?
    Health,
    /// The site's: index of the route in the configuration.
    Proxy {
        /// Index of the route.
        route: usize,
    },
    /// No route fits.
    NotFound,
}

/// The table behind [`Router::action`].
#[derive(Debug)]
pub struct Router {
    streams: Box<str>,
    script: Box<str>,
    /// Most specific first.
    rules: Vec<Rule>,
}

#[derive(Debug)]
struct Rule {
    host: HostPattern,
    /// Without a slash at the end; empty is every path.
    prefix: Box<str>,
    route: usize,
}

impl Router {
    /// `streams` is the prefix above the stream ids, `script` the script's path.
    pub fn new(streams: &str, script: &str, routes: &[RouteConfig]) -> Router {
        let mut rules = Vec::new();
        for (route, config) in routes.iter().enumerate() {
            let prefix = config.path.trim_end_matches('/');
            rules.extend(config.hosts.iter().map(|host| Rule { host: host.clone(), prefix: prefix.into(), route }));
        }
        // Stable: among equals the first in the configuration wins.
        rules.sort_by_key(|rule| Reverse((rule.host.specificity(), rule.prefix.len())));
        Router { streams: streams.trim_end_matches('/').into(), script: script.into(), rules }
    }

    /// `host` is lower case and without port; `path` is without query.
    pub fn action<'a>(&self, host: &str, path: &'a str) -> Action<'a> {
        if let Some(stream) = below(&self.streams, path) {
            let stream = stream.strip_prefix('/').unwrap_or(stream);
            return Action::Collect { stream: stream.strip_suffix('/').unwrap_or(stream) };
        }
        if path == &*self.script {
            return Action::Script;
        }
        if path == HEALTH_PATH {
            return Action::Health;
        }
        let rule = self.rules.iter().find(|rule| rule.host.matches(host) && below(&rule.prefix, path).is_some());
        rule.map_or(Action::NotFound, |rule| Action::Proxy { route: rule.route })
    }
}

/// What follows `prefix` in `path`, when it ends at a segment's end: nothing, or something that starts with `/`.
fn below<'a>(prefix: &str, path: &'a str) -> Option<&'a str> {
    path.strip_prefix(prefix).filter(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Which hosts a route takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HostPattern {
    /// This one; lower case.
    Exact(Box<str>),
    /// Every host that ends with this, dot included: `.example.com`.
    Below(Box<str>),
    /// Every host, and requests without one.
    Any,
}

impl HostPattern {
    fn matches(&self, host: &str) -> bool {
        match self {
            HostPattern::Exact(name) => **name == *host,
            HostPattern::Below(suffix) => host.len() > suffix.len() && host.ends_with(&**suffix),
            HostPattern::Any => true,
        }
    }

    fn specificity(&self) -> (u8, usize) {
        match self {
            HostPattern::Exact(_) => (2, 0),
            HostPattern::Below(suffix) => (1, suffix.len()),
            HostPattern::Any => (0, 0),
        }
    }
}

impl FromStr for HostPattern {
    type Err = String;
    fn from_str(text: &str) -> Result<HostPattern, String> {
        let lower = text.to_ascii_lowercase();
        if lower == "*" {
            return Ok(HostPattern::Any);
        }
        let (name, wild) = lower.strip_prefix("*.").map_or((&*lower, false), |name| (name, true));
        let literal = name.starts_with('[') && name.ends_with(']');
        let wrong =
            |why| Err(format!("`{text}` is not a host such as `www.example.com`, `*.example.com` or `*`: {why}"));
        if name.is_empty() || name.starts_with('.') {
            return wrong("the name is empty");
        }
        if name.contains('*') {
            return wrong("a wildcard stands only in front, as `*.`");
        }
        if name.contains(['/', '@', '?', '#', ' ']) || !name.is_ascii() || (!literal && name.contains(':')) {
            return wrong("it is a name only, without scheme, port or path; international names in their `xn--` form");
        }
        Ok(if wild { HostPattern::Below(format!(".{name}").into()) } else { HostPattern::Exact(name.into()) })
    }
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            HostPattern::Exact(name) => f.write_str(name),
            HostPattern::Below(suffix) => write!(f, "*{suffix}"),
            HostPattern::Any => f.write_str("*"),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn router(routes: &[(&[&str], &str)]) -> Router {
        let route = |(hosts, path): &(&[&str], &str)| RouteConfig {
            hosts: hosts.iter().map(|host| host.parse().unwrap()).collect(),
            path: (*path).into(),
            ..RouteConfig::default()
        };
        Router::new("/api/v1/streaming", "/static/v6.js", &routes.iter().map(route).collect::<Vec<_>>())
    }

    #[test]
    fn three_paths_are_ours_on_every_host() {
        let router = router(&[(&["*"], "/")]);
        for (path, action) in [
            ("/api/v1/streaming/1", Action::Collect { stream: "1" }),
            ("/api/v1/streaming/1/", Action::Collect { stream: "1" }),
            ("/api/v1/streaming/a/b", Action::Collect { stream: "a/b" }),
            ("/api/v1/streaming/", Action::Collect { stream: "" }),
            ("/api/v1/streaming", Action::Collect { stream: "" }),
            ("/api/v1/streaming/%31", Action::Collect { stream: "%31" }),
            ("/api/v1/streamings", Action::Proxy { route: 0 }),
            ("/API/v1/streaming/1", Action::Proxy { route: 0 }),
            ("//api/v1/streaming/1", Action::Proxy { route: 0 }),
            ("/static/v6.js", Action::Script),
            ("/static/v6.js/", Action::Proxy { route: 0 }),
            ("/static/other.js", Action::Proxy { route: 0 }),
            ("/healthz", Action::Health),
            ("/healthz/", Action::Proxy { route: 0 }),
            ("/readyz", Action::Proxy { route: 0 }),
            ("/metrics", Action::Proxy { route: 0 }),
            ("/", Action::Proxy { route: 0 }),
            ("*", Action::NotFound),
        ] {
            assert_eq!(router.action("any.example", path), action, "{path}");
        }
    }

    #[test]
    fn the_most_specific_route_wins() {
        let router = router(&[
            (&["*"], "/"),
            (&["*"], "/shop/cart"),
            (&["*.example.com"], "/"),
            (&["www.example.com"], "/app/"),
            (&["*.eu.example.com"], "/"),
            (&["www.example.com"], "/app/deep"),
        ]);
        for (host, path, route) in [
            ("www.example.com", "/app", 3),
            ("www.example.com", "/app/x", 3),
            ("www.example.com", "/app/deep/x", 5),
            ("www.example.com", "/apple", 2),
            ("a.b.example.com", "/shop/cart", 2),
            ("a.eu.example.com", "/", 4),
            ("example.com", "/", 0),
            ("notexample.com", "/shop/cart/1", 1),
            ("", "/shop", 0),
        ] {
            assert_eq!(router.action(host, path), Action::Proxy { route }, "{host}{path}");
        }
    }

    #[test]
    fn without_a_fitting_route_there_is_nothing() {
        assert_eq!(router(&[(&["a.example"], "/")]).action("b.example", "/"), Action::NotFound);
        assert_eq!(router(&[]).action("", "/"), Action::NotFound);
    }

    #[test]
    fn host_patterns_are_checked() {
        for good in ["*", "*.example.com", "localhost", "[::1]"] {
            assert_eq!(good.parse::<HostPattern>().unwrap().to_string(), good);
        }
        for bad in ["", "*.", "a.*.b", "https://a", "a:80", "a/b", "münchen.de", "*a"] {
            assert!(bad.parse::<HostPattern>().is_err(), "{bad}");
        }
    }
}

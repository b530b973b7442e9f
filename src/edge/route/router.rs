//! Whose request is it? Pure: a request's head in, action out.
//!
//! Ours are only the streams' path with everything below it, the script's path, and `/healthz`, on every host. The
//! rest is the site's and follows the routes. Among the routes that fit, the most specific one wins: an exact host
//! before `*.example.com`, a longer wildcard before a shorter one, any of them before `*`; for the same host an exact
//! path before expressions, these before prefixes, a longer prefix before a shorter one; for the same host and path
//! the one with more conditions on method, headers and query; and if that is the same, too, the first one.
//!
//! Our own paths are compared as sent, the routes' with the [`canonical`] form.

use std::{borrow::Cow, cmp::Reverse};

use http::{HeaderMap, HeaderName, Method};
use percent_encoding::percent_decode_str;

use super::{
    canonical,
    config::RouteConfig,
    pattern::{HostPattern, MethodName, PathPattern, ValuePattern, below},
};

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
    Site {
        /// Index of the route.
        route: usize,
    },
    /// No route fits.
    NotFound,
}

/// What a request asks for.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// As sent.
    pub method: &'a Method,
    /// Lower case, without port.
    pub host: &'a str,
    /// As sent, without query.
    pub path: &'a str,
    /// As sent.
    pub query: Option<&'a str>,
    /// As sent.
    pub headers: &'a HeaderMap,
}

/// The table behind [`Router::action`].
#[derive(Debug)]
pub struct Router {
    streams: Box<str>,
    script: Box<str>,
    /// Most specific first.
    rules: Vec<Rule>,
    /// By route.
    conditions: Vec<Conditions>,
}

#[derive(Debug)]
struct Rule {
    host: HostPattern,
    path: PathPattern,
    route: usize,
}

/// What a route wants beside host and path.
#[derive(Debug)]
struct Conditions {
    methods: Vec<MethodName>,
    headers: Vec<(HeaderName, ValuePattern)>,
    query: Vec<(String, ValuePattern)>,
}

impl Router {
    /// `streams` is the prefix above the stream ids, `script` the script's path.
    pub fn new(streams: &str, script: &str, routes: &[RouteConfig]) -> Router {
        let mut rules = Vec::new();
        for (route, config) in routes.iter().enumerate() {
            let rule = |host: &HostPattern| Rule { host: host.clone(), path: config.path.clone(), route };
            rules.extend(config.hosts.iter().map(rule));
        }
        let conditions: Vec<Conditions> = routes.iter().map(Conditions::new).collect();
        // Stable: among equals the first in the configuration wins.
        rules.sort_by_key(|rule| {
            Reverse((rule.host.specificity(), rule.path.specificity(), conditions[rule.route].count()))
        });
        Router { streams: streams.trim_end_matches('/').into(), script: script.into(), rules, conditions }
    }

    /// The stream, if this is the path of one.
    pub fn stream<'a>(&self, path: &'a str) -> Option<&'a str> {
        let stream = below(&self.streams, path)?;
        let stream = stream.strip_prefix('/').unwrap_or(stream);
        Some(stream.strip_suffix('/').unwrap_or(stream))
    }

    /// What to do.
    pub fn action<'a>(&self, asked: &Asked<'a>) -> Action<'a> {
        if let Some(stream) = self.stream(asked.path) {
            return Action::Collect { stream };
        }
        if asked.path == &*self.script {
            return Action::Script;
        }
        if asked.path == HEALTH_PATH {
            return Action::Health;
        }
        let path = canonical(asked.path);
        let fits = |rule: &&Rule| {
            rule.host.matches(asked.host) && rule.path.matches(&path) && self.conditions[rule.route].fit(asked)
        };
        self.rules.iter().find(fits).map_or(Action::NotFound, |rule| Action::Site { route: rule.route })
    }
}

impl Conditions {
    fn new(route: &RouteConfig) -> Conditions {
        Conditions {
            methods: route.methods.clone(),
            headers: route.headers.iter().map(|(name, value)| (name.0.clone(), value.clone())).collect(),
            query: route.query.iter().map(|(name, value)| (name.clone(), value.clone())).collect(),
        }
    }

    fn count(&self) -> usize {
        usize::from(!self.methods.is_empty()) + self.headers.len() + self.query.len()
    }

    fn fit(&self, asked: &Asked<'_>) -> bool {
        let header = |(name, value): &(HeaderName, ValuePattern)| {
            value.matches(asked.headers.get_all(name).iter().map(|value| value.as_bytes()))
        };
        (self.methods.is_empty() || self.methods.iter().any(|method| method.matches(asked.method)))
            && self.headers.iter().all(header)
            && (self.query.is_empty() || self.fits_query(asked.query.unwrap_or_default()))
    }

    fn fits_query(&self, query: &str) -> bool {
        let parameters: Vec<_> = query.split('&').map(|pair| pair.split_once('=').unwrap_or((pair, ""))).collect();
        self.query.iter().all(|(name, value)| {
            let named = parameters.iter().filter(|(sent, _)| *form_decoded(sent) == *name.as_bytes());
            let values: Vec<Cow<'_, [u8]>> = named.map(|(_, value)| form_decoded(value)).collect();
            value.matches(values.iter().map(|value| &**value))
        })
    }
}

/// A name or value of a query, as forms write them: `+` is a space.
fn form_decoded(text: &str) -> Cow<'_, [u8]> {
    if text.contains('+') {
        return Cow::Owned(percent_decode_str(&text.replace('+', " ")).collect());
    }
    percent_decode_str(text).into()
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

    fn find<'a>(router: &Router, host: &str, path: &'a str) -> Action<'a> {
        let (path, query) = path.split_once('?').map_or((path, None), |(path, query)| (path, Some(query)));
        // The answer borrows from the path alone.
        match router.action(&Asked { method: &Method::GET, host, path, query, headers: &HeaderMap::new() }) {
            Action::Collect { .. } => Action::Collect { stream: router.stream(path).unwrap() },
            Action::Script => Action::Script,
            Action::Health => Action::Health,
            Action::Site { route } => Action::Site { route },
            Action::NotFound => Action::NotFound,
        }
    }

    /// The first of the routes, given as JSON, that takes a request; `None` is not found.
    fn chosen(routes: &str, method: Method, target: &str, headers: &[(&'static str, &str)]) -> Option<usize> {
        let routes: Vec<RouteConfig> = serde_json::from_str(routes).unwrap();
        let router = Router::new("/api/v1/streaming", "/static/v6.js", &routes);
        let (path, query) = target.split_once('?').map_or((target, None), |(path, query)| (path, Some(query)));
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, value.parse().unwrap());
        }
        match router.action(&Asked { method: &method, host: "a.example", path, query, headers: &map }) {
            Action::Site { route } => Some(route),
            _ => None,
        }
    }

    #[test]
    fn exact_paths_come_before_expressions_and_these_before_prefixes() {
        let routes = r#"[{"path":"/a/very/long/prefix"},{"path":{"regex":"^/a/v"}},{"path":{"regex":"^/a"}},
                         {"path":{"exact":"/a/very/long"}},{"hosts":["a.example"],"path":"/a/host"}]"#;
        for (path, expected) in [
            ("/a/very/long", Some(3)),
            ("/a/very/long/", Some(1)),
            ("/a/very/long/prefix", Some(1)),
            ("/a/x", Some(2)),
            ("/a/host", Some(4)),
            ("/b", None),
        ] {
            assert_eq!(chosen(routes, Method::GET, path, &[]), expected, "{path}");
        }
    }

    #[test]
    fn more_conditions_come_before_fewer() {
        let routes = r#"[{"path":"/"},{"methods":["GET"]},{"methods":["GET"],"headers":{"X-Beta":"1"}},
                         {"query":{"a b":{"regex":"^x"},"c":{"present":false}}},{"methods":["post"]}]"#;
        for (method, target, headers, expected) in [
            (Method::PUT, "/", &[][..], 0),
            (Method::GET, "/", &[], 1),
            (Method::HEAD, "/", &[], 1),
            (Method::GET, "/", &[("x-beta", "2"), ("x-beta", "1")], 2),
            (Method::GET, "/", &[("x-beta", "2")], 1),
            (Method::GET, "/?a+b=x%79", &[], 3),
            (Method::GET, "/?%61%20b=xy&a%20b=z", &[], 3),
            (Method::GET, "/?a+b=xy&c", &[], 1),
            (Method::PUT, "/?a+b=yx", &[], 0),
            (Method::POST, "/", &[], 4),
        ] {
            assert_eq!(chosen(routes, method.clone(), target, headers), Some(expected), "{method} {target}");
        }
    }

    #[test]
    fn no_way_to_write_a_path_leads_around_a_route() {
        let routes = r#"[{"path":"/"},{"path":"/admin"}]"#;
        for path in ["//admin", "/./admin", "/x/../admin/y", "/%61dmin", "/admin%2fx", "/x%2f..%2Fadmin"] {
            assert_eq!(chosen(routes, Method::GET, path, &[]), Some(1), "{path}");
        }
        assert_eq!(chosen(routes, Method::GET, "/administration", &[]), Some(0));
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
            ("/api/v1/streamings", Action::Site { route: 0 }),
            ("/API/v1/streaming/1", Action::Site { route: 0 }),
            ("//api/v1/streaming/1", Action::Site { route: 0 }),
            ("/static/v6.js", Action::Script),
            ("/static/v6.js/", Action::Site { route: 0 }),
            ("/static/other.js", Action::Site { route: 0 }),
            ("/healthz", Action::Health),
            ("/healthz/", Action::Site { route: 0 }),
            ("/readyz", Action::Site { route: 0 }),
            ("/metrics", Action::Site { route: 0 }),
            ("/", Action::Site { route: 0 }),
            ("*", Action::NotFound),
        ] {
            assert_eq!(find(&router, "any.example", path), action, "{path}");
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
            assert_eq!(find(&router, host, path), Action::Site { route }, "{host}{path}");
        }
    }

    #[test]
    fn without_a_fitting_route_there_is_nothing() {
        assert_eq!(find(&router(&[(&["a.example"], "/")]), "b.example", "/"), Action::NotFound);
        assert_eq!(find(&router(&[]), "", "/"), Action::NotFound);
    }
}

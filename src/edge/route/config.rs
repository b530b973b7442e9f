//! `routes:` - what the operator may say about the requests that are the site's.

use std::{collections::BTreeMap, fmt, path::PathBuf};

use bytesize::ByteSize;
use http::{HeaderName, StatusCode};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

use super::{
    access::{AccessConfig, Network},
    answers::{RedirectConfig, RespondConfig},
    error_pages,
    files::FilesConfig,
    header_changes::HeaderChanges,
    label,
    limit::LimitConfig,
    passwords::PasswordHash,
    pattern::{HostPattern, MethodName, PathPattern, Pattern, ValuePattern},
    rewrite::RewriteConfig,
    template::Template,
    timeouts::TimeoutsConfig,
};
use crate::{
    edge::{
        config::as_text,
        inject::Inject,
        upstream::{Balance, EjectionConfig, HealthConfig, RetriesConfig, ServersConfig, UpstreamConfig},
    },
    problem::Problem,
    units::Span,
};

/// One entry of `routes:` - which requests it takes, and where they go.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RouteConfig {
    /// What it is called in metrics and in the access log, in place of its hosts, path and conditions.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Hosts: exact, `*.example.com` (any depth below, not `example.com` itself), or `*`.
    pub hosts: Vec<HostPattern>,
    /// Path: a prefix (`/app` takes `/app` and `/app/...`, not `/apple`), `{exact: /app}` or `{regex: "^/a+$"}`.
    pub path: PathPattern,
    /// Methods; none is any. `GET` takes `HEAD` as well.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub methods: Vec<MethodName>,
    /// Headers by name: the value, `{regex: ...}` or `{present: true}`. All of them have to fit.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<Name, ValuePattern>,
    /// Query parameters by name, likewise.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub query: BTreeMap<String, ValuePattern>,
    /// What is changed about the path before it goes on, to upstreams or files.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rewrite: Option<RewriteConfig>,
    /// Servers of the site, such as `http://127.0.0.1:3000`, taken in turn; one that cannot be reached is passed over.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub upstreams: Vec<UpstreamConfig>,
    /// Whose turn it is: `round_robin`, `least_connections`, `ip_hash` or `{cookie: NAME}`.
    #[serde(skip_serializing_if = "is_default")]
    pub balance: Balance,
    /// What is tried again.
    #[serde(skip_serializing_if = "is_default")]
    pub retries: RetriesConfig,
    /// When an upstream is left alone for a while.
    #[serde(skip_serializing_if = "is_default")]
    pub ejection: EjectionConfig,
    /// Over how long the share of an upstream grows that came back, that its name has got as a new address, or that a
    /// running process is told of; 0 is at once.
    #[serde(skip_serializing_if = "is_at_once")]
    pub slow_start: Span,
    /// Asks upstreams for their health.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub health: Option<HealthConfig>,
    /// Or: a folder of files.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub files: Option<FilesConfig>,
    /// Or: sends the visitor elsewhere.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub redirect: Option<RedirectConfig>,
    /// Or: always the same answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub respond: Option<RespondConfig>,
    /// Who may use it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub access: Option<AccessConfig>,
    /// How often one client may.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rate_limit: Option<LimitConfig>,
    /// Most bytes of a request's body.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_body: Option<ByteSize>,
    /// Patience with the upstreams.
    #[serde(skip_serializing_if = "is_default")]
    pub timeouts: TimeoutsConfig,
    /// Whether pages get the tracking script, and for which stream; what is not said is `collect.inject`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub inject: Option<Inject>,
    /// Whether answers are compressed for those who can read that.
    #[serde(skip_serializing_if = "is_default")]
    pub compress: bool,
    /// Answers everything with 503 for as long as it is on.
    #[serde(skip_serializing_if = "is_default")]
    pub maintenance: bool,
    /// Whether the upstreams get our own cookies, too: the visitor's, and that of `balance`.
    #[serde(skip_serializing_if = "is_default")]
    pub our_cookies: bool,
    /// Headers of requests to the upstreams.
    #[serde(skip_serializing_if = "HeaderChanges::is_empty")]
    pub request_headers: HeaderChanges,
    /// Headers of every answer.
    #[serde(skip_serializing_if = "HeaderChanges::is_empty")]
    pub response_headers: HeaderChanges,
    /// Files with pages for errors that are ours, by status.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub error_pages: BTreeMap<Status, PathBuf>,
    /// Whether they stand in place of the bodies that the upstreams send with these statuses, too.
    #[serde(skip_serializing_if = "is_default")]
    pub intercept_errors: bool,
}

fn is_at_once(span: &Span) -> bool {
    span.is_zero()
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

impl Default for RouteConfig {
    fn default() -> RouteConfig {
        RouteConfig {
            name: None,
            hosts: vec![HostPattern::Any],
            path: "/".into(),
            methods: Vec::new(),
            headers: BTreeMap::new(),
            query: BTreeMap::new(),
            rewrite: None,
            upstreams: Vec::new(),
            balance: Balance::default(),
            retries: RetriesConfig::default(),
            ejection: EjectionConfig::default(),
            slow_start: Span::secs(0),
            health: None,
            files: None,
            redirect: None,
            respond: None,
            access: None,
            rate_limit: None,
            max_body: None,
            timeouts: TimeoutsConfig::default(),
            inject: None,
            compress: false,
            maintenance: false,
            our_cookies: false,
            request_headers: HeaderChanges::default(),
            response_headers: HeaderChanges::default(),
            error_pages: BTreeMap::new(),
            intercept_errors: false,
        }
    }
}

impl RouteConfig {
    /// Finds what parsing cannot see in this one route; [`check_routes`] looks at all of them.
    pub fn check(&self, path: &str, problems: &mut Vec<Problem>) {
        self.check_name(path, problems);
        if self.hosts.is_empty() {
            problems.push(Problem::new(format!("{path}.hosts"), "no host").hint("`*` is every host"));
        }
        match &self.path {
            PathPattern::Prefix(text) | PathPattern::Exact(text) => {
                if !text.starts_with('/') || text.contains(['?', '#', '*']) {
                    problems.push(
                        Problem::new(format!("{path}.path"), format!("`{text}` is not a path")).hint(
                            "start with `/`; a prefix needs no wildcard, and conditions on the query are `query`",
                        ),
                    );
                } else if *super::canonical(text) != **text {
                    let message = format!("no request has the path `{text}`: paths are compared without escapes");
                    let problem = Problem::new(format!("{path}.path"), message);
                    problems.push(problem.hint(format!("say `{}`", super::canonical(text))));
                }
            }
            PathPattern::Regex(_) => {}
        }
        let headers = self.headers.iter().map(|(name, value)| (format!("headers.{name}"), value));
        let query = self.query.iter().map(|(name, value)| (format!("query.{name}"), value));
        for (key, _) in headers.chain(query).filter(|(_, value)| **value == ValuePattern::Nothing) {
            let problem = Problem::new(format!("{path}.{key}"), "says nothing");
            problems.push(problem.hint("say a value, `{regex: \"^a\"}` or `{present: true}`"));
        }
        self.check_answer(path, problems);
        if let Some(access) = &self.access {
            access.check(&format!("{path}.access"), problems);
        }
        if let Some(limit) = &self.rate_limit {
            limit.check(&format!("{path}.rate_limit"), problems);
        }
        self.servers().check(path, problems);
        if self.slow_start.as_secs() > 24 * 3600 {
            let problem = Problem::new(format!("{path}.slow_start"), format!("`{}` is too slow", self.slow_start));
            problems.push(problem.hint("such as `30s`; a day at most"));
        }
        self.timeouts.check(&format!("{path}.timeouts"), problems);
        self.request_headers.check(&format!("{path}.request_headers"), problems);
        self.response_headers.check(&format!("{path}.response_headers"), problems);
        error_pages::check(&self.error_pages, &format!("{path}.error_pages"), problems);
        if self.intercept_errors && (self.error_pages.is_empty() || self.upstreams.is_empty()) {
            let problem = Problem::new(format!("{path}.intercept_errors"), "there is nothing to intercept");
            problems.push(problem.hint("it is about `upstreams`, and the statuses that have `error_pages`"));
        }
    }

    /// Every file that is read once and held: those by which its servers are known and know us, and error pages.
    pub fn files(&self) -> impl Iterator<Item = &PathBuf> {
        let tls = self.upstreams.iter().map(|upstream| &upstream.tls);
        tls.flat_map(|tls| [&tls.ca, &tls.cert, &tls.key]).flatten().chain(self.error_pages.values())
    }

    /// What it says about its servers.
    pub fn servers(&self) -> ServersConfig<'_> {
        ServersConfig {
            upstreams: &self.upstreams,
            balance: &self.balance,
            retries: &self.retries,
            ejection: &self.ejection,
            health: self.health.as_ref(),
        }
    }

    /// Who answers: upstreams or one of the others.
    fn check_answer(&self, path: &str, problems: &mut Vec<Problem>) {
        let others = [
            ("files", self.files.is_some()),
            ("redirect", self.redirect.is_some()),
            ("respond", self.respond.is_some()),
        ];
        let mut answers =
            [("upstreams", !self.upstreams.is_empty())].into_iter().chain(others).filter(|(_, said)| *said);
        match (answers.next(), answers.next()) {
            (None, _) => {
                let hint = "say `[\"http://127.0.0.1:3000\"]`; or `files`, `redirect` or `respond` in their place";
                problems.push(Problem::new(format!("{path}.upstreams"), "no upstream").hint(hint));
            }
            (Some((first, _)), Some((second, _))) => {
                let message = format!("a route has one answer, and this one has `{first}` too");
                problems.push(Problem::new(format!("{path}.{second}"), message).hint("make two routes of it"));
            }
            _ => {}
        }
        let captures = self.path.regex();
        if let Some(rewrite) = &self.rewrite {
            let path = format!("{path}.rewrite");
            if self.redirect.is_some() || self.respond.is_some() {
                let problem = Problem::new(path, "nobody sees the new path");
                problems.push(problem.hint("a rewrite belongs to `upstreams` or `files`"));
            } else {
                rewrite.check(&path, captures, problems);
            }
        }
        if let Some(files) = &self.files {
            files.check(&format!("{path}.files"), problems);
        }
        if let Some(redirect) = &self.redirect {
            redirect.check(&format!("{path}.redirect"), captures, problems);
        }
        if let Some(respond) = &self.respond {
            respond.check(&format!("{path}.respond"), problems);
        }
    }

    /// Whether both have the same conditions beside host and path.
    fn has_conditions_of(&self, other: &RouteConfig) -> bool {
        let same_methods = self.methods.len() == other.methods.len()
            && self.methods.iter().all(|method| other.methods.contains(method));
        same_methods && self.headers == other.headers && self.query == other.query
    }
}

/// Checks every route, and that no two claim the same requests.
pub fn check_routes(routes: &[RouteConfig], path: &str, problems: &mut Vec<Problem>) {
    let mut seen: Vec<(&HostPattern, usize)> = Vec::new();
    for (index, route) in routes.iter().enumerate() {
        route.check(&format!("{path}[{index}]"), problems);
        for host in &route.hosts {
            let repeats = |other: &RouteConfig| other.path.repeats(&route.path) && other.has_conditions_of(route);
            if let Some((_, first)) = seen.iter().find(|(h, other)| *h == host && repeats(&routes[*other])) {
                let same = if *first == index { "itself".into() } else { format!("`{path}[{first}]`") };
                problems.push(Problem::new(
                    format!("{path}[{index}]"),
                    format!("host `{host}` with path `{}` repeats {same}", route.path),
                ));
            }
            seen.push((host, index));
        }
    }
    label::check_labels(routes, path, problems);
}

/// The name of a header.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Name(pub HeaderName);

impl PartialOrd for Name {
    fn partial_cmp(&self, other: &Name) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Name {
    fn cmp(&self, other: &Name) -> std::cmp::Ordering {
        self.0.as_str().cmp(other.0.as_str())
    }
}

impl std::str::FromStr for Name {
    type Err = String;
    fn from_str(text: &str) -> Result<Name, String> {
        let name = HeaderName::from_bytes(text.as_bytes());
        name.map(Name).map_err(|_| format!("`{text}` is not the name of a header such as `X-My-Header`"))
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.as_str())
    }
}

/// The status of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Status(pub StatusCode);

impl std::str::FromStr for Status {
    type Err = String;
    fn from_str(text: &str) -> Result<Status, String> {
        text.parse().map(Status).map_err(|_| format!("`{text}` is not a status such as `404`"))
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.as_str())
    }
}

as_text!(HostPattern, MethodName, Pattern, Name, Status, Template, Network, PasswordHash);

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn judgement_finds_what_parsing_cannot() {
        let mut problems = Vec::new();
        let route = RouteConfig { upstreams: vec!["http://a:1".parse().unwrap()], ..RouteConfig::default() };
        check_routes(&[route.clone(), route.clone()], "routes", &mut problems);
        assert_eq!(problems.len(), 1);
        assert!(problems[0].message.contains("repeats `routes[0]`"), "{problems:?}");

        problems.clear();
        let posts = RouteConfig { methods: vec!["post".parse().unwrap()], ..route.clone() };
        let exact = RouteConfig { path: PathPattern::Exact("/".into()), ..route.clone() };
        check_routes(&[route, posts, exact], "routes", &mut problems);
        assert_eq!(problems, []);

        RouteConfig { hosts: vec![], path: "app".into(), ..RouteConfig::default() }.check("routes[3]", &mut problems);
        let paths: Vec<&str> = problems.iter().map(|problem| problem.path.as_str()).collect();
        assert_eq!(paths, ["routes[3].hosts", "routes[3].path", "routes[3].upstreams"]);
    }

    #[test]
    fn conditions_survive_a_round_trip() {
        let json = r#"{"hosts":["*"],"path":{"regex":"^/a"},"methods":["POST"],"headers":{"x-a":"1","x-b":{"present":false}},"query":{"q":{"regex":"b"}}}"#;
        let route: RouteConfig = serde_json::from_str(json).unwrap();
        assert_eq!(serde_json::to_string(&route).unwrap(), json);
    }
}

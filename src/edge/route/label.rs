//! What a route is called in metrics and in the access log.

use std::collections::{HashMap, HashSet};

use super::{
    config::RouteConfig,
    pattern::{MethodName, PathPattern},
};
use crate::problem::Problem;

/// Longest name that may be given, and longest one that is made up, in bytes.
const MAX_LABEL: usize = 160;
/// Room for a number behind it.
const NUMBER: usize = " #9999".len();

/// What each of these routes is called, so that no two share it: its name; or else its hosts, its path and its conditions,
/// with a number behind where several would be the same.
///
/// What headers and query parameters have to be may be a secret: only the names of these are told.
pub fn labels(routes: &[RouteConfig]) -> Vec<String> {
    let mut labels: Vec<String> = routes.iter().map(RouteConfig::label).collect();
    let taken: HashSet<String> = labels.iter().cloned().collect();
    let mut last: HashMap<String, usize> = HashMap::new();
    for (label, _) in labels.iter_mut().zip(routes).filter(|(_, route)| route.name.is_none()) {
        let Some(number) = last.get_mut(label) else {
            last.insert(label.clone(), 1);
            continue;
        };
        loop {
            *number += 1;
            let numbered = format!("{label} #{number}");
            if !taken.contains(&numbered) {
                *label = numbered;
                break;
            }
        }
    }
    labels
}

impl RouteConfig {
    /// What it is called if no other route is called the same.
    fn label(&self) -> String {
        if let Some(name) = &self.name {
            return name.clone();
        }
        let hosts: Vec<_> = self.hosts.iter().map(ToString::to_string).collect();
        let mut label = format!("{}{}", hosts.join(","), self.path);
        match self.path {
            PathPattern::Prefix(_) => {}
            PathPattern::Exact(_) => label += " exact",
            PathPattern::Regex(_) => label += " regex",
        }
        if !self.methods.is_empty() {
            let methods: Vec<_> = self.methods.iter().map(MethodName::to_string).collect();
            label += &format!(" {}", methods.join(","));
        }
        for name in self.headers.keys() {
            label += &format!(" {name}:");
        }
        for name in self.query.keys() {
            label += &format!(" ?{name}");
        }
        if label.len() > MAX_LABEL - NUMBER {
            label.truncate(label.floor_char_boundary(MAX_LABEL - NUMBER - "…".len()));
            label.push('…');
        }
        label
    }

    /// What is wrong with the name that it was given.
    pub(super) fn check_name(&self, path: &str, problems: &mut Vec<Problem>) {
        let Some(name) = &self.name else { return };
        if name.is_empty() || name.len() > MAX_LABEL || name.chars().any(char::is_control) {
            let problem = Problem::new(format!("{path}.name"), "is no name");
            problems.push(problem.hint(format!("1 to {MAX_LABEL} bytes without line breaks, such as `shop`")));
        }
    }
}

/// Names that two routes have.
pub(super) fn check_labels(routes: &[RouteConfig], path: &str, problems: &mut Vec<Problem>) {
    let labels = labels(routes);
    for (index, (route, label)) in routes.iter().zip(&labels).enumerate() {
        let taken = labels.iter().enumerate().find(|(other, known)| *other != index && *known == label);
        if let (Some(_), Some((other, _))) =
            (&route.name, taken.filter(|(other, _)| *other < index || routes[*other].name.is_none()))
        {
            let problem = Problem::new(
                format!("{path}[{index}].name"),
                format!("`{label}` is the name of `{path}[{other}]`, too"),
            );
            problems.push(problem.hint("metrics and the access log tell routes apart by it"));
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::edge::route::check_routes;

    #[test]
    fn no_two_routes_share_a_label_and_none_tells_a_secret() {
        let upstreams = r#""upstreams":["http://127.0.0.1:1"]"#;
        let route = |json: &str| -> RouteConfig { serde_json::from_str(&format!("{{{json}{upstreams}}}")).unwrap() };
        let hosts: Vec<_> = (0..100).map(|number| format!(r#""shop{number}.example""#)).collect();
        let many = |path: &str| format!(r#""hosts":[{}],"path":"{path}","#, hosts.join(","));
        let routes: Vec<_> = [
            "",
            r#""path":{"exact":"/"},"#,
            r#""path":{"regex":"/"},"#,
            r#""methods":["POST"],"#,
            r#""methods":["POST","PUT"],"#,
            r#""headers":{"X-Key":"open sesame"},"#,
            r#""headers":{"X-Key":"another"},"#,
            r#""name":"*/ x-key: #3","path":"/c","#,
            r#""headers":{"X-Key":"yet another"},"#,
            r#""query":{"preview":{"present":true}},"#,
            r#""query":{"preview":{"present":false}},"#,
            r#""name":"beta","headers":{"X-Beta":"1"},"#,
            &many("/a"),
            &many("/b"),
        ]
        .map(route)
        .to_vec();
        let mut problems = Vec::new();
        check_routes(&routes, "routes", &mut problems);
        assert_eq!(problems, []);
        let labels = labels(&routes);
        let mut different = labels.clone();
        different.sort();
        different.dedup();
        assert_eq!(different.len(), labels.len(), "{labels:?}");
        assert_eq!(labels[..5], ["*/", "*/ exact", "*/ regex", "*/ POST", "*/ POST,PUT"]);
        assert_eq!(labels[5..9], ["*/ x-key:", "*/ x-key: #2", "*/ x-key: #3", "*/ x-key: #4"]);
        assert_eq!(labels[9..12], ["*/ ?preview", "*/ ?preview #2", "beta"]);
        assert!(labels[12].ends_with('…') && labels[13] == format!("{} #2", labels[12]), "{labels:?}");
        assert!(labels.iter().all(|label| label.len() <= MAX_LABEL && !label.contains("sesame")), "{labels:?}");
    }

    #[test]
    fn names_are_taken_once() {
        let route = |json: &str| -> RouteConfig {
            serde_json::from_str(&format!(r#"{{{json},"upstreams":["http://127.0.0.1:1"]}}"#)).unwrap()
        };
        let long = "x".repeat(MAX_LABEL + 1);
        for (one, two, wrong) in [
            (r#""name":"a","path":"/a""#, r#""name":"a","path":"/b""#, vec!["routes[1].name"]),
            (r#""name":"*/b","path":"/a""#, r#""path":"/b""#, vec!["routes[0].name"]),
            (r#""path":"/b""#, r#""name":"*/b","path":"/a""#, vec!["routes[1].name"]),
            (r#""name":"a","path":"/a""#, r#""name":"b","path":"/b""#, vec![]),
            (r#""name":"","path":"/a""#, r#""name":"a\nb","path":"/b""#, vec!["routes[0].name", "routes[1].name"]),
            (&format!(r#""name":"{long}","path":"/a""#), r#""path":"/b""#, vec!["routes[0].name"]),
        ] {
            let mut problems = Vec::new();
            check_routes(&[route(one), route(two)], "routes", &mut problems);
            let paths: Vec<_> = problems.iter().map(|problem| &*problem.path).collect();
            assert_eq!(paths, wrong, "{one} {two}: {problems:?}");
        }
    }
}

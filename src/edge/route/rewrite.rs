//! Another path for the site than the visitor asked for.

use std::borrow::Cow;

use http::uri::PathAndQuery;
use regex::Captures;
use serde::{Deserialize, Serialize};

use super::{
    canonical,
    pattern::{Pattern, below},
    template::{Template, View, escaped},
};
use crate::problem::Problem;

/// `routes[].rewrite:` - in this order: take a prefix off, replace the path, put a prefix on.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RewriteConfig {
    /// Taken off the path, on a segment boundary: without `/app`, `/app/x` is `/x`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub strip_prefix: Option<String>,
    /// Only paths that this is found in are replaced by `to`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub regex: Option<Pattern>,
    /// The new path, a template; with a `?` also the new query.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<Template>,
    /// Put in front of the path.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub add_prefix: Option<String>,
}

impl RewriteConfig {
    /// Finds what parsing cannot see; `captures` is the expression of the route's path.
    pub fn check(&self, path: &str, captures: Option<&Pattern>, problems: &mut Vec<Problem>) {
        let mut wrong = |key: &str, message: String, hint: &str| {
            problems.push(Problem::new(format!("{path}.{key}"), message).hint(hint));
        };
        for (key, prefix) in [("strip_prefix", &self.strip_prefix), ("add_prefix", &self.add_prefix)] {
            let Some(prefix) = prefix else { continue };
            if !prefix.starts_with('/') || *canonical(prefix) != **prefix || *escaped(prefix) != **prefix {
                wrong(key, format!("`{prefix}` is not a prefix of paths"), "such as `/app`, without escapes");
            }
        }
        if let Some(to) = &self.to {
            let visible = to.literals().all(|text| text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#'));
            if !(to.beginning().starts_with('/') || to.begins_with_path()) || !visible {
                wrong("to", format!("`{to}` makes no path"), "start with `/` or `{path}`; escape what is not ASCII");
            } else if let Err(message) = to.check(self.regex.as_ref().or(captures)) {
                let (message, hint) = message.split_once("; hint: ").unwrap_or((&message, ""));
                wrong("to", message.to_owned(), hint);
            }
        }
        if self.regex.is_some() && self.to.is_none() {
            wrong("regex", "there is no `to` for the paths it is found in".into(), "say `to: \"/new/{1}\"`");
        }
        if *self == RewriteConfig::default() {
            problems.push(Problem::new(path, "changes nothing").hint("say `{strip_prefix: /app}`"));
        }
    }

    /// The target that the site is asked for; `captures` are those of the route's path. `None` if it would be none,
    /// which takes a template with an odd query.
    pub fn target(&self, view: &View<'_>, captures: Option<&Captures<'_>>) -> Option<PathAndQuery> {
        let mut path = Cow::Borrowed(view.asked.path);
        if let Some(prefix) = &self.strip_prefix {
            path = strip(prefix.trim_end_matches('/'), path);
        }
        if let Some(to) = &self.to {
            let plain = canonical(&path);
            let own = self.regex.as_ref().map(|pattern| pattern.captures(&plain));
            let filled = match &own {
                Some(own) => own.as_ref().map(|own| to.fill(view, Some(own))),
                None => Some(to.fill(view, captures)),
            };
            if let Some(filled) = filled {
                path = filled.into();
            }
        }
        let mut target = self.add_prefix.as_deref().unwrap_or_default().trim_end_matches('/').to_owned();
        target.push_str(&path);
        if let Some(query) = view.asked.query.filter(|_| !path.contains('?')) {
            target.push('?');
            target.push_str(query);
        }
        PathAndQuery::try_from(target).ok()
    }
}

/// The path without the prefix. It keeps its escapes, unless it was written so oddly that what follows the prefix does
/// not mean the same by itself.
fn strip<'a>(prefix: &str, path: Cow<'a, str>) -> Cow<'a, str> {
    let root = |rest: &str| if rest.is_empty() { "/".to_owned() } else { rest.to_owned() };
    let plain = canonical(&path);
    let Some(wanted) = below(prefix, &plain).map(root) else { return path };
    match below(prefix, &path).map(root) {
        Some(rest) if *canonical(&rest) == wanted => rest.into(),
        _ => escaped(&wanted).into_owned().into(),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::{super::template::view, *};

    #[track_caller]
    fn check(config: &str, cases: &[(&str, &str)]) {
        let config: RewriteConfig = serde_json::from_str(config).unwrap();
        let mut problems = Vec::new();
        config.check("r", None, &mut problems);
        assert_eq!(problems, []);
        for (path, expected) in cases {
            assert_eq!(config.target(&view(path), None).unwrap(), *expected, "{path}");
        }
    }

    #[test]
    fn a_prefix_is_taken_off_and_put_on() {
        check(
            r#"{"strip_prefix":"/app"}"#,
            &[
                ("/app", "/"),
                ("/app/", "/"),
                ("/app?q=/app", "/?q=/app"),
                ("/app/x%2Fy/z%20", "/x%2Fy/z%20"),
                ("/apple", "/apple"),
                ("/%61pp/x y".split(' ').next().unwrap(), "/x"),
                ("/app/../app/%3f", "/%3F"),
                ("/app/x/../../app/y", "/y"),
                ("//app//x", "/x"),
                ("/app//x", "//x"),
            ],
        );
        check(r#"{"strip_prefix":"/a","add_prefix":"/b/c/"}"#, &[("/a/x?q", "/b/c/x?q"), ("/a", "/b/c/")]);
    }

    #[test]
    fn a_path_is_replaced() {
        check(r#"{"to":"/fixed"}"#, &[("/x?q=1", "/fixed?q=1")]);
        check(r#"{"to":"/fixed?own=1"}"#, &[("/x?q=1", "/fixed?own=1")]);
        check(
            r#"{"regex":"^/old/([^/]*)$","to":"/new?name={1}"}"#,
            &[("/old/a%26b%3f", "/new?name=a%26b%3F"), ("/older", "/older"), ("/old/a?q", "/new?name=a")],
        );
    }

    #[test]
    fn what_changes_nothing_or_makes_no_path_is_a_problem() {
        for (config, key) in [
            ("{}", "r"),
            (r#"{"strip_prefix":"app"}"#, "r.strip_prefix"),
            (r#"{"add_prefix":"/a b"}"#, "r.add_prefix"),
            (r#"{"to":"new"}"#, "r.to"),
            (r#"{"to":"/a b"}"#, "r.to"),
            (r#"{"to":"/{1}"}"#, "r.to"),
            (r#"{"regex":"a"}"#, "r.regex"),
        ] {
            let mut problems = Vec::new();
            serde_json::from_str::<RewriteConfig>(config).unwrap().check("r", None, &mut problems);
            assert_eq!(problems.iter().map(|problem| &*problem.path).collect::<Vec<_>>(), [key], "{config}");
        }
    }
}

//! What a route says by itself: a redirect, or always the same.

use http::{HeaderName, HeaderValue, StatusCode, header};
use regex::Captures;
use serde::{Deserialize, Serialize};

use super::{
    config::Status,
    pattern::Pattern,
    template::{Template, View},
};
use crate::{collect::Reply, problem::Problem};

/// `routes[].redirect:` - sends the visitor elsewhere.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RedirectConfig {
    /// Where to: a template such as `https://www.example.com{uri}`.
    pub to: Template,
    /// 301, 302, 303, 307 or 308.
    pub status: Status,
}

impl Default for RedirectConfig {
    fn default() -> RedirectConfig {
        RedirectConfig { to: Template::default(), status: Status(StatusCode::FOUND) }
    }
}

impl RedirectConfig {
    /// Finds what parsing cannot see; `captures` is the expression of the route's path.
    pub fn check(&self, path: &str, captures: Option<&Pattern>, problems: &mut Vec<Problem>) {
        let mut wrong = |key: &str, message: &str, hint: &str| {
            problems.push(Problem::new(format!("{path}.{key}"), message).hint(hint));
        };
        let beginning = self.to.beginning();
        let absolute = ["/", "http://", "https://"].iter().any(|start| beginning.starts_with(start));
        let visible = self.to.literals().all(|text| text.bytes().all(|byte| byte.is_ascii_graphic()));
        if !(absolute || self.to.begins_with_path() || self.to.to_string().starts_with("{scheme}://")) || !visible {
            let message = format!("`{}` is not a place to go to", self.to);
            wrong("to", &message, "say `https://www.example.com{uri}`, or a path; escape what is not ASCII");
        } else if let Err(message) = self.to.check(captures) {
            let (message, hint) = message.split_once("; hint: ").unwrap_or((&message, ""));
            wrong("to", message, hint);
        }
        if !matches!(self.status.0.as_u16(), 301 | 302 | 303 | 307 | 308) {
            let message = format!("`{}` is not the status of a redirect", self.status);
            wrong(
                "status",
                &message,
                "301 and 308 are for good, 302, 303 and 307 for now; 307 and 308 keep the method",
            );
        }
    }

    /// The answer.
    pub fn reply(&self, view: &View<'_>, captures: Option<&Captures<'_>>) -> Reply {
        let mut to = self.to.fill(view, captures);
        // A visitor who was sent to `//evil.example/` here must not be sent there: to a browser that is another host,
        // and so it is with a backslash.
        let own = self.to.beginning().starts_with("//");
        if to.starts_with('/') && !own {
            to = format!("/{}", to.trim_start_matches(['/', '\\']));
        }
        let mut headers = Vec::with_capacity(4);
        // Nothing that a request can hold makes it none.
        headers.extend(HeaderValue::try_from(to).map(|to| (header::LOCATION, to)));
        Reply { status: self.status.0, headers, body: Default::default() }
    }
}

/// `routes[].respond:` - always the same answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RespondConfig {
    /// 200 to 599.
    pub status: Status,
    /// As it stands.
    pub body: String,
    /// `Content-Type`, when there is a body.
    pub content_type: String,
}

impl Default for RespondConfig {
    fn default() -> RespondConfig {
        RespondConfig {
            status: Status(StatusCode::OK),
            body: String::new(),
            content_type: "text/plain; charset=utf-8".into(),
        }
    }
}

impl RespondConfig {
    /// Finds what parsing cannot see.
    pub fn check(&self, path: &str, problems: &mut Vec<Problem>) {
        let status = self.status.0;
        if status.is_informational() || status.as_u16() > 599 {
            let problem = Problem::new(format!("{path}.status"), format!("`{status}` does not end a request"));
            problems.push(problem.hint("200 to 599"));
        }
        if matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED) && !self.body.is_empty() {
            problems.push(Problem::new(format!("{path}.body"), format!("an answer with `{status}` has no body")));
        }
        if self.content_type().is_none() {
            let message = format!("`{}` is not a content type", self.content_type);
            problems.push(Problem::new(format!("{path}.content_type"), message).hint("such as `text/plain`"));
        }
    }

    /// The answer.
    pub fn reply(&self) -> Reply {
        let content_type = self.content_type().filter(|_| !self.body.is_empty());
        Reply { status: self.status.0, headers: content_type.into_iter().collect(), body: self.body.clone().into() }
    }

    fn content_type(&self) -> Option<(HeaderName, HeaderValue)> {
        let value = HeaderValue::from_str(&self.content_type).ok()?;
        self.content_type.contains('/').then_some((header::CONTENT_TYPE, value))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::{super::template::view, *};

    #[test]
    fn nobody_is_sent_to_a_strangers_host() {
        for (to, path, expected) in [
            ("{uri}", "//evil.example/x?y", "/evil.example/x?y"),
            ("{path}", "/\\evil.example", "/evil.example"),
            ("/{path}", "/evil.example", "/evil.example"),
            ("https://{host}{uri}", "//evil.example", "https://www.example//evil.example"),
            ("//cdn.example{path}", "/x", "//cdn.example/x"),
            ("/new", "/x", "/new"),
        ] {
            let redirect: RedirectConfig = serde_json::from_value(serde_json::json!({ "to": to })).unwrap();
            let mut problems = Vec::new();
            redirect.check("r", None, &mut problems);
            assert_eq!(problems, [], "{to}");
            let reply = redirect.reply(&view(path), None);
            assert_eq!((reply.status.as_u16(), reply.headers[0].1.to_str().unwrap()), (302, expected), "{to}");
        }
    }

    #[test]
    fn what_is_no_redirect_is_a_problem() {
        for (redirect, key) in [
            (r#"{"to":"www.example"}"#, "r.to"),
            (r#"{"to":"javascript:alert(1)"}"#, "r.to"),
            (r#"{"to":"{host}"}"#, "r.to"),
            (r#"{"to":"/a b"}"#, "r.to"),
            (r#"{"to":"/{1}"}"#, "r.to"),
            (r#"{"to":"/","status":"200"}"#, "r.status"),
        ] {
            let mut problems = Vec::new();
            serde_json::from_str::<RedirectConfig>(redirect).unwrap().check("r", None, &mut problems);
            assert_eq!(problems.iter().map(|problem| &*problem.path).collect::<Vec<_>>(), [key], "{redirect}");
        }
    }
}

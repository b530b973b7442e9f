//! What routes compare requests with: hosts, methods, paths, and the values of headers and query parameters.

use std::{fmt, ops::Deref, str::FromStr};

use http::Method;
use regex::{Regex, RegexBuilder};

/// Most memory that a compiled expression may take. Matching is linear in the text whatever the expression.
const MAX_PATTERN: usize = 1 << 20;

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
    /// `host` is lower case and without port.
    pub fn matches(&self, host: &str) -> bool {
        match self {
            HostPattern::Exact(name) => **name == *host,
            HostPattern::Below(suffix) => host.len() > suffix.len() && host.ends_with(&**suffix),
            HostPattern::Any => true,
        }
    }

    /// Whether there is a host that both take.
    pub fn meets(&self, other: &HostPattern) -> bool {
        match (self, other) {
            (HostPattern::Any, _) | (_, HostPattern::Any) => true,
            (HostPattern::Exact(name), pattern) | (pattern, HostPattern::Exact(name)) => pattern.matches(name),
            (HostPattern::Below(one), HostPattern::Below(two)) => one.ends_with(&**two) || two.ends_with(&**one),
        }
    }

    /// Greater is more specific.
    pub fn specificity(&self) -> (u8, usize) {
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

/// A method, upper case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MethodName(pub Method);

impl MethodName {
    /// Whoever takes `GET` takes `HEAD`, which asks for the same without the body.
    pub fn matches(&self, method: &Method) -> bool {
        self.0 == method || self.0 == Method::GET && method == Method::HEAD
    }
}

impl FromStr for MethodName {
    type Err = String;
    fn from_str(text: &str) -> Result<MethodName, String> {
        let method = Method::from_bytes(text.to_ascii_uppercase().as_bytes());
        method.map(MethodName).map_err(|_| format!("`{text}` is not a method such as `GET`"))
    }
}

impl fmt::Display for MethodName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.as_str())
    }
}

/// A regular expression.
#[derive(Clone, Debug)]
pub struct Pattern(Regex);

impl PartialEq for Pattern {
    fn eq(&self, other: &Pattern) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Deref for Pattern {
    type Target = Regex;
    fn deref(&self) -> &Regex {
        &self.0
    }
}

impl FromStr for Pattern {
    type Err = String;
    fn from_str(text: &str) -> Result<Pattern, String> {
        // Whoever writes `.*` means everything, and a visitor may well send a line feed.
        let compiled = RegexBuilder::new(text).dot_matches_new_line(true).size_limit(MAX_PATTERN).build();
        compiled.map(Pattern).map_err(|error| {
            // The crate draws the place of the error over several lines; the last one says what it is.
            let message = error.to_string();
            let why = message.lines().last().unwrap_or_default().trim().trim_start_matches("error: ");
            format!("`{text}` is not a regular expression: {why}")
        })
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Which paths a route takes.
#[derive(Clone, Debug, PartialEq)]
pub enum PathPattern {
    /// This and everything below: `/app` takes `/app` and `/app/x`, not `/apple`.
    Prefix(Box<str>),
    /// This one.
    Exact(Box<str>),
    /// Those that the expression is found in.
    Regex(Pattern),
}

impl PathPattern {
    /// `path` is in its canonical form.
    pub fn matches(&self, path: &str) -> bool {
        match self {
            PathPattern::Prefix(prefix) => below(prefix.trim_end_matches('/'), path).is_some(),
            PathPattern::Exact(exact) => **exact == *path,
            PathPattern::Regex(pattern) => pattern.is_match(path),
        }
    }

    /// Greater is more specific. Expressions are all the same.
    pub fn specificity(&self) -> (u8, usize) {
        match self {
            PathPattern::Exact(_) => (2, 0),
            PathPattern::Regex(_) => (1, 0),
            PathPattern::Prefix(prefix) => (0, prefix.trim_end_matches('/').len()),
        }
    }

    /// The expression, if it is one.
    pub fn regex(&self) -> Option<&Pattern> {
        match self {
            PathPattern::Regex(pattern) => Some(pattern),
            _ => None,
        }
    }

    /// Whether both take the same, as far as that can be told.
    pub fn repeats(&self, other: &PathPattern) -> bool {
        match (self, other) {
            (PathPattern::Prefix(a), PathPattern::Prefix(b)) => a.trim_end_matches('/') == b.trim_end_matches('/'),
            _ => self == other,
        }
    }
}

impl From<&str> for PathPattern {
    fn from(prefix: &str) -> PathPattern {
        PathPattern::Prefix(prefix.into())
    }
}

impl fmt::Display for PathPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PathPattern::Prefix(text) | PathPattern::Exact(text) => f.write_str(text),
            PathPattern::Regex(pattern) => pattern.fmt(f),
        }
    }
}

/// What follows `prefix` in `path`, when it ends at a segment's end: nothing, or something that starts with `/`.
pub fn below<'a>(prefix: &str, path: &'a str) -> Option<&'a str> {
    path.strip_prefix(prefix).filter(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// What the value of a header or a query parameter has to be.
#[derive(Clone, Debug, PartialEq)]
pub enum ValuePattern {
    /// This text.
    Exact(String),
    /// A text that the expression is found in.
    Regex(Pattern),
    /// There, whatever it is; or not there.
    Present(bool),
    /// Cannot be: a condition that was left out.
    Nothing,
}

impl ValuePattern {
    /// Whether one of the values will do.
    pub fn matches<'a>(&self, mut values: impl Iterator<Item = &'a [u8]>) -> bool {
        match self {
            ValuePattern::Exact(text) => values.any(|value| value == text.as_bytes()),
            ValuePattern::Regex(pattern) => {
                values.any(|value| std::str::from_utf8(value).is_ok_and(|value| pattern.is_match(value)))
            }
            ValuePattern::Present(there) => values.next().is_some() == *there,
            ValuePattern::Nothing => false,
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn host_patterns_are_checked() {
        for good in ["*", "*.example.com", "localhost", "[::1]"] {
            assert_eq!(good.parse::<HostPattern>().unwrap().to_string(), good);
        }
        for bad in ["", "*.", "a.*.b", "https://a", "a:80", "a/b", "münchen.de", "*a"] {
            assert!(bad.parse::<HostPattern>().is_err(), "{bad}");
        }
    }

    #[test]
    fn an_expression_that_is_none_says_why_in_one_line() {
        let wrong = |text: &str| text.parse::<Pattern>().unwrap_err();
        assert_eq!(wrong("a("), "`a(` is not a regular expression: unclosed group");
        assert!(wrong("(a{1000}){1000}").contains("size limit"), "{}", wrong("(a{1000}){1000}"));
    }

    #[test]
    fn values_are_compared_one_by_one() {
        let matches = |pattern: &ValuePattern, values: &[&[u8]]| pattern.matches(values.iter().copied());
        let exact = ValuePattern::Exact("1".into());
        assert!(matches(&exact, &[b"2", b"1"]) && !matches(&exact, &[b"11"]) && !matches(&exact, &[]));
        let regex = ValuePattern::Regex("^a+$".parse().unwrap());
        assert!(matches(&regex, &[b"aa"]) && !matches(&regex, &[b"ab", b"\xff"]));
        assert!(matches(&ValuePattern::Present(true), &[b""]) && !matches(&ValuePattern::Present(true), &[]));
        assert!(matches(&ValuePattern::Present(false), &[]) && !matches(&ValuePattern::Present(false), &[b""]));
    }
}

//! Our cookies in requests on their way to the site, which never set them: the visitor's identity, and those that tell
//! a visitor's server. Pure, but that it changes the headers it is given.

use http::{HeaderMap, HeaderValue, header};

use super::{route::RouteConfig, upstream::Balance};

/// The names of those that one route takes out.
#[derive(Debug, Default)]
pub struct OwnCookies(Vec<Box<str>>);

impl OwnCookies {
    /// What the route at `index` takes out of its requests: the visitor's `identity`, its own, and those of routes for
    /// the same hosts, where browsers send them, too. Nothing if it is to leave them in.
    pub fn new(routes: &[RouteConfig], index: usize, identity: &str) -> OwnCookies {
        let Some(route) = routes.get(index).filter(|route| !route.our_cookies) else { return OwnCookies::default() };
        let shares_a_host = |other: &&RouteConfig| {
            let meets = |host| other.hosts.iter().any(|their| their.meets(host));
            route.hosts.iter().any(meets)
        };
        let mut names = vec![identity.into()];
        names.extend(routes.iter().filter(shares_a_host).filter_map(|route| match &route.balance {
            Balance::Cookie(name) => Some(name.as_str().into()),
            _ => None,
        }));
        OwnCookies(names)
    }

    /// Takes them out of the line that the cookies stand on. All other bytes stay as they are; when nothing is left, the
    /// line goes.
    pub fn take_out(&self, headers: &mut HeaderMap) {
        if let Some(left) = headers.get(header::COOKIE).and_then(|line| self.left(line.as_bytes())) {
            headers.remove(header::COOKIE);
            if !left.is_empty() {
                let line = HeaderValue::from_bytes(&left).expect("parts of header values are header values");
                headers.insert(header::COOKIE, line);
            }
        }
    }

    /// What is left of a line of cookies; `None` when none of them is ours.
    pub fn left(&self, line: &[u8]) -> Option<Vec<u8>> {
        let pieces = || line.split(|byte| *byte == b';');
        if !pieces().any(|piece| self.has(piece)) {
            return None;
        }
        // The space behind a semicolon belongs to the piece.
        let left = pieces().filter(|piece| !self.has(piece)).collect::<Vec<_>>().join(&b';');
        Some(left.trim_ascii_start().to_vec())
    }

    /// Whether it is one of them (RFC 6265, 5.4: a name, `=`, a value).
    fn has(&self, piece: &[u8]) -> bool {
        let name = piece.split(|byte| *byte == b'=').next().unwrap_or_default().trim_ascii();
        self.0.iter().any(|own| own.as_bytes() == name)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn left(line: &str) -> Option<String> {
        let own = OwnCookies(vec!["__uid__".into(), "srv".into()]);
        own.left(line.as_bytes()).map(|left| String::from_utf8(left).unwrap())
    }

    #[test]
    fn everything_else_stays_as_it_is() {
        for (line, expected) in [
            ("", None),
            ("a=b; c=d", None),
            ("x__uid__=1; __uid__x=2; SRV=3; a=__uid__=1", None),
            ("__uid__=1.2; a=b", Some("a=b")),
            ("a=b; __uid__=1.2", Some("a=b")),
            ("a=b; srv=1; c=\"d e\";f=%20;  g==h=; srv=2; i", Some("a=b; c=\"d e\";f=%20;  g==h=; i")),
            ("__uid__=1.2", Some("")),
            ("__uid__=1;srv=2", Some("")),
            ("a=1; __uid__=1; b=2; srv=3;c=4", Some("a=1; b=2;c=4")),
            ("__uid__;  srv = 1 ;a", Some("a")),
        ] {
            assert_eq!(left(line).as_deref(), expected, "{line:?}");
        }
    }

    #[test]
    fn a_route_knows_the_cookies_of_its_hosts() {
        let routes: Vec<RouteConfig> = serde_json::from_str(
            r#"[
                {"hosts": ["a.example"], "balance": {"cookie": "one"}},
                {"hosts": ["*.example"], "balance": {"cookie": "two"}, "path": "/x"},
                {"hosts": ["b.test"], "balance": {"cookie": "three"}},
                {"hosts": ["b.test"], "our_cookies": true, "path": "/y"}
            ]"#,
        )
        .unwrap();
        let names = |index| OwnCookies::new(&routes, index, "id").0.iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(names(0), ["id", "one", "two"]);
        assert_eq!(names(1), ["id", "one", "two"]);
        assert_eq!(names(2), ["id", "three"]);
        assert!(names(3).is_empty());
    }
}

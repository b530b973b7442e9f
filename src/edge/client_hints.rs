//! Asks browsers for the client hints that enrichment reads: `Accept-CH` and `Permissions-Policy` on the site's pages,
//! when `collect.client_hints` is on. Pure.
//!
//! Only what the site has not said itself is added, in header lines of our own: browsers read all lines of either header
//! as one list. What the site names stands, an `Accept-CH` that it leaves empty as well, which asks for nothing.
//!
//! No `Critical-CH`: it makes browsers ask for the page a second time, and the script tells the same hints anyway. No
//! `Vary`: the pages do not depend on them.

use http::{HeaderName, HeaderValue, StatusCode, header};
use pingora::http::ResponseHeader;

use super::list::members_of;

/// `Accept-CH` (RFC 8942).
const ACCEPT_CH: HeaderName = HeaderName::from_static("accept-ch");
/// `Permissions-Policy`.
const PERMISSIONS_POLICY: HeaderName = HeaderName::from_static("permissions-policy");

/// Every hint that is read and not sent unasked, and the policy that governs it: browsers send it to the page's own
/// origin, as without a policy, and to nobody else.
const HINTS: [(&str, &str); 4] = [
    ("Sec-CH-UA-Full-Version-List", "ch-ua-full-version-list"),
    ("Sec-CH-UA-Platform-Version", "ch-ua-platform-version"),
    ("Sec-CH-UA-Model", "ch-ua-model"),
    ("Sec-CH-UA-Form-Factors", "ch-ua-form-factors"),
];

/// Bytes looked at of what the site says in one of the headers; if it says more, nothing is added to it.
const MAX_LOOK: usize = 8 << 10;

/// Asks on an answer of the site, if that is a page. Browsers listen on secure connections only; whether this one is, a
/// proxy in front may know better than we do, so all are asked.
pub fn ask(response: &mut ResponseHeader) {
    if response.status != StatusCode::OK || !is_page(response) {
        return;
    }
    let accept = addition(response, &ACCEPT_CH, |(hint, _)| hint, |hint| hint.to_owned());
    let policy = addition(response, &PERMISSIONS_POLICY, |(_, policy)| policy, |policy| format!("{policy}=(self)"));
    for (name, line) in [(ACCEPT_CH, accept), (PERMISSIONS_POLICY, policy)] {
        let Some(line) = line else { continue };
        // Never fails: the line consists of the names above.
        let _ = response.append_header(name, line);
    }
}

fn is_page(response: &ResponseHeader) -> bool {
    let kind = response.headers.get(header::CONTENT_TYPE).map_or(&b""[..], HeaderValue::as_bytes);
    let essence = kind.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
    ["text/html", "application/xhtml+xml"].iter().any(|page| essence.eq_ignore_ascii_case(page.as_bytes()))
}

/// The members to add to the list in this header: those whose names the site does not mention.
fn addition(
    response: &ResponseHeader,
    header: &HeaderName,
    name: impl Fn(&(&'static str, &'static str)) -> &'static str,
    member: impl Fn(&'static str) -> String,
) -> Option<HeaderValue> {
    let lines: Vec<&[u8]> = response.headers.get_all(header).iter().map(HeaderValue::as_bytes).collect();
    let said: usize = lines.iter().map(|line| line.len()).sum();
    let is_emptied = !lines.is_empty() && lines.iter().all(|line| line.trim_ascii().is_empty());
    if is_emptied || said > MAX_LOOK {
        return None;
    }
    let named: Vec<&[u8]> = lines.iter().flat_map(|line| members_of(line)).map(key).collect();
    let missing =
        HINTS.iter().map(name).filter(|name| !named.iter().any(|it| it.eq_ignore_ascii_case(name.as_bytes())));
    let list = missing.map(member).collect::<Vec<_>>().join(", ");
    (!list.is_empty()).then(|| HeaderValue::try_from(list).expect("names of hints and policies are ASCII"))
}

/// What a member of either list is about: `ch-ua-model` of `ch-ua-model=(self)`.
fn key(member: &[u8]) -> &[u8] {
    let end = member.iter().position(|byte| matches!(byte, b'=' | b';')).unwrap_or(member.len());
    member[..end].trim_ascii()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    /// All lines of both headers on an answer that has these.
    fn asked(status: u16, headers: &[(&'static str, &str)]) -> (Vec<String>, Vec<String>) {
        let mut response = ResponseHeader::build(status, None).unwrap();
        for (name, value) in headers {
            response.append_header(*name, *value).unwrap();
        }
        ask(&mut response);
        let lines = |name| {
            let all = response.headers.get_all(name).iter();
            all.map(|line| line.to_str().unwrap().to_owned()).collect()
        };
        (lines(ACCEPT_CH), lines(PERMISSIONS_POLICY))
    }

    const ALL: &str =
        "Sec-CH-UA-Full-Version-List, Sec-CH-UA-Platform-Version, Sec-CH-UA-Model, Sec-CH-UA-Form-Factors";
    const POLICY: &str =
        "ch-ua-full-version-list=(self), ch-ua-platform-version=(self), ch-ua-model=(self), ch-ua-form-factors=(self)";

    #[test]
    fn pages_ask_and_nothing_else_does() {
        for kind in ["text/html", "Text/HTML; charset=utf-8", "application/xhtml+xml"] {
            let (accept, policy) = asked(200, &[("content-type", kind)]);
            assert_eq!((&*accept, &*policy), (&[ALL.to_owned()][..], &[POLICY.to_owned()][..]), "{kind}");
        }
        for (status, headers) in [
            (200, &[("content-type", "application/json")][..]),
            (200, &[("content-type", "text/html-sandboxed")]),
            (200, &[]),
            (304, &[("content-type", "text/html")]),
            (404, &[("content-type", "text/html")]),
            (206, &[("content-type", "text/html")]),
        ] {
            assert_eq!(asked(status, headers), (vec![], vec![]), "{status} {headers:?}");
        }
    }

    #[test]
    fn what_the_site_says_stands_and_only_the_rest_is_added() {
        let html = ("content-type", "text/html");
        let (accept, policy) = asked(
            200,
            &[
                html,
                ("accept-ch", "DPR, sec-ch-ua-model"),
                ("accept-ch", "Sec-CH-UA-Platform-Version"),
                ("permissions-policy", "geolocation=(), ch-ua-model=()"),
                ("permissions-policy", "ch-ua-form-factors=*;report-to=x"),
            ],
        );
        assert_eq!(accept[..2], ["DPR, sec-ch-ua-model", "Sec-CH-UA-Platform-Version"]);
        assert_eq!(accept[2..], ["Sec-CH-UA-Full-Version-List, Sec-CH-UA-Form-Factors"]);
        assert_eq!(policy[..2], ["geolocation=(), ch-ua-model=()", "ch-ua-form-factors=*;report-to=x"]);
        assert_eq!(policy[2..], ["ch-ua-full-version-list=(self), ch-ua-platform-version=(self)"]);

        assert_eq!(asked(200, &[html, ("accept-ch", ALL), ("permissions-policy", POLICY)]).0, [ALL]);
        let (accept, policy) = asked(200, &[html, ("accept-ch", "")]);
        assert_eq!((&*accept[0], accept.len(), &*policy), ("", 1, &[POLICY.to_owned()][..]));
    }

    #[test]
    fn a_site_that_says_too_much_is_left_alone() {
        let endless = "x, ".repeat(MAX_LOOK);
        let (accept, policy) = asked(200, &[("content-type", "text/html"), ("accept-ch", &endless)]);
        assert_eq!((accept.len(), policy.len()), (1, 1));
    }
}

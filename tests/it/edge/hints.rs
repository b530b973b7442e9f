//! Pages that ask browsers for client hints.

use real_streaming::{collect, edge::RouteConfig};

use super::{World, event, nobody};
use crate::{client::Answer, site::Site};

const HINTS: &str = "Sec-CH-UA-Full-Version-List, Sec-CH-UA-Platform-Version, Sec-CH-UA-Model, Sec-CH-UA-Form-Factors";
const POLICY: &str =
    "ch-ua-full-version-list=(self), ch-ua-platform-version=(self), ch-ua-model=(self), ch-ua-form-factors=(self)";

fn asking(upstream: &str) -> World {
    let routes = vec![RouteConfig { upstreams: vec![upstream.parse().unwrap()], ..RouteConfig::default() }];
    World::with(routes, |config| config.client_hints = true)
}

fn lines<'a>(answer: &'a Answer, name: &str) -> Vec<&'a str> {
    let lines = answer.head.lines().filter_map(|line| line.split_once(": "));
    lines.filter(|(header, _)| header.eq_ignore_ascii_case(name)).map(|(_, value)| value).collect()
}

#[test]
fn pages_of_the_site_ask_when_the_operator_says_so() {
    let site = Site::start();
    let world = asking(&site.url);
    for request in ["GET /html HTTP/1.1\r\nHost: a\r\n\r\n", "HEAD /html HTTP/1.1\r\nHost: a\r\n\r\n"] {
        let answer = world.ask(request);
        assert_eq!((lines(&answer, "accept-ch"), lines(&answer, "permissions-policy")), (vec![HINTS], vec![POLICY]));
        assert_eq!(lines(&answer, "vary"), [] as [&str; 0]);
    }
    let own = world.get("/html?text/html&Accept-CH:+DPR&Permissions-Policy:+ch-ua-model=()", "");
    assert_eq!(lines(&own, "accept-ch"), ["DPR", HINTS]);
    let policy = POLICY.replace("ch-ua-model=(self), ", "");
    assert_eq!(lines(&own, "permissions-policy"), ["ch-ua-model=()", &policy]);
}

#[test]
fn nothing_else_asks() {
    assert!(!collect::Config::default().client_hints, "the site's answers pass as they are unless the operator asks");
    let site = Site::start();
    let world = asking(&site.url);
    for (path, headers) in [("/html?application/json", ""), ("/page", ""), ("/static/v6.js", ""), ("/healthz", "")] {
        let answer = world.get(path, headers);
        assert_eq!((answer.status, lines(&answer, "accept-ch")), (200, vec![]), "{path}");
    }
    assert_eq!(lines(&world.ask(&event("")), "accept-ch"), [] as [&str; 0]);
    let plain = World::fronting(std::slice::from_ref(&site.url));
    let answer = plain.get("/html", "");
    assert_eq!((lines(&answer, "accept-ch"), lines(&answer, "permissions-policy")), (vec![], vec![]));
    let down = asking(&nobody()).get("/html", "Accept: text/html\r\n");
    assert_eq!((down.status, lines(&down, "accept-ch")), (502, vec![]));
}

//! What routes do by themselves, and what they change on the way to the site and back.

use serde_json::json;

use super::{World, event, nobody};
use crate::site::Site;

/// The only value of a header in a head as it came.
#[track_caller]
fn value(head: &str, name: &str) -> Option<String> {
    let lower = head.to_ascii_lowercase();
    let values: Vec<_> = lower.lines().filter_map(|line| line.strip_prefix(&format!("{name}: "))).collect();
    assert!(values.len() < 2, "one `{name}` only: {head}");
    values.first().map(|value| (*value).to_owned())
}

#[test]
fn conditions_choose_the_route() {
    let world = World::routing(json!([
        {"respond": {"body": "any"}},
        {"methods": ["POST"], "respond": {"body": "post"}},
        {"path": {"exact": "/a"}, "respond": {"body": "exact"}},
        {"path": {"regex": "^/a.*z$"}, "respond": {"body": "regex"}},
        {"headers": {"X-Beta": "1"}, "query": {"q": {"present": true}}, "respond": {"body": "beta"}},
        {"path": "/admin", "respond": {"status": "403", "body": "admin"}},
    ]));
    for (method, target, headers, expected) in [
        ("GET", "/", "", "any"),
        ("POST", "/", "Content-Length: 0\r\n", "post"),
        ("GET", "/a?x=1", "", "exact"),
        ("GET", "/abz", "", "regex"),
        ("GET", "/?q", "X-Beta: 1\r\n", "beta"),
        ("GET", "/?q", "X-Beta: 2\r\n", "any"),
        ("GET", "//admin", "", "admin"),
        ("GET", "/x/../%61dmin/y", "", "admin"),
        ("GET", "http://site.example/admin", "", "admin"),
    ] {
        let answer = world.ask(&format!("{method} {target} HTTP/1.1\r\nHost: site.example\r\n{headers}\r\n"));
        assert_eq!(answer.text(), expected, "{method} {target} {headers}");
        assert_eq!(answer.status, if expected == "admin" { 403 } else { 200 });
    }
    world.metric(r#"real_streaming_http_requests_total{handler="route",status="4xx"} 3"#);
}

#[test]
fn events_the_script_and_health_are_never_a_routes() {
    let world = World::routing(json!([
        {"path": {"regex": "."}, "maintenance": true, "respond": {"body": "route"}},
        {"path": {"exact": "/healthz"}, "respond": {"body": "route"}},
        {"path": "/api/v1/streaming", "methods": ["POST"], "respond": {"body": "route"}},
    ]));
    assert_eq!(world.ask(&event("")).text(), r#"{"status":"ok"}"#);
    assert_eq!(world.ask(&event("Upgrade: x\r\n")).text(), r#"{"status":"ok"}"#);
    assert_eq!(world.get("/healthz", "").text(), "ok");
    assert_eq!(world.get("/static/v6.js", "").header("content-type"), Some("text/javascript; charset=utf-8"));
    assert_eq!(world.get("/", "").status, 503);
}

#[test]
fn redirects_keep_what_they_are_told_to() {
    let world = World::routing(json!([
        {"hosts": ["example.test"], "redirect": {"to": "https://www.{host}{uri}", "status": "308"}},
        {"path": {"regex": "^/user/(?<id>[^/]+)/(.*)$"}, "redirect": {"to": "/u/{id}?page={2}"}},
        {"path": "/same", "redirect": {"to": "{path}"}},
    ]));
    let location = |target: &str, host: &str| {
        let answer = world.ask(&format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n"));
        assert_eq!(answer.header("content-length"), Some("0"));
        (answer.status, answer.header("location").unwrap_or("").to_owned())
    };
    assert_eq!(location("/a%20b?c=d", "EXAMPLE.test:80"), (308, "https://www.example.test/a%20b?c=d".into()));
    assert_eq!(location("/user/7%0d%0aX:y/a%26b", "a"), (302, "/u/7%0D%0AX:y?page=a%26b".into()));
    assert_eq!(location("//same", "a"), (302, "/same".into()), "not another host");
}

#[test]
fn maintenance_and_errors_have_the_operators_pages() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("down.html");
    std::fs::write(&file, "<p>{status} {request_id}</p>").unwrap();
    let pages = json!({"503": &file, "502": &file});
    let world = World::routing(json!([
        {"path": "/work", "maintenance": true, "upstreams": [nobody()], "error_pages": pages},
        {"path": "/down", "upstreams": [nobody()], "error_pages": pages,
         "response_headers": {"set": {"X-Who": "{host}"}, "remove": ["Cache-Control"]}},
    ]));
    let answer = world.get("/work", "");
    assert_eq!((answer.status, answer.header("retry-after")), (503, Some("60")));
    assert_eq!(answer.header("content-type"), Some("text/html; charset=utf-8"));
    assert!(answer.text().starts_with("<p>503 ") && answer.text().len() == "<p>503 </p>".len() + 32);
    let answer = world.get("/down", "");
    assert!(answer.status == 502 && answer.text().starts_with("<p>502 "));
    assert_eq!((answer.header("x-who"), answer.header("cache-control")), (Some("site.example"), None));
}

#[test]
fn the_site_is_asked_for_the_rewritten_path() {
    let site = Site::start();
    let world = World::routing(json!([
        {"path": "/app", "rewrite": {"strip_prefix": "/app"}, "upstreams": [site.url]},
        {"path": "/v1", "rewrite": {"strip_prefix": "/v1", "add_prefix": "/api"}, "upstreams": [site.url]},
        {"path": {"regex": "^/shop/([0-9]+)$"}, "rewrite": {"to": "/item/{1}"}, "upstreams": [site.url]},
        {"path": "/old", "rewrite": {"regex": "^/old/(.+)", "to": "/new/{1}?from=old"}, "upstreams": [site.url]},
    ]));
    for (target, seen) in [
        ("/app", "/"),
        ("/app/x%2Fy?q=1", "/x%2Fy?q=1"),
        ("/v1/users?q", "/api/users?q"),
        ("/shop/12?q", "/item/12?q"),
        ("/old/a%20%0ab?q", "/new/a%20%0Ab?from=old"),
        ("http://site.example/app/x", "/x"),
    ] {
        assert_eq!(world.get(target, "").status, 200, "{target}");
        let head = site.saw();
        assert!(head.starts_with(&format!("GET {seen} HTTP/1.1\r\n")), "{target}: {head}");
    }
}

#[test]
fn headers_change_on_the_way_there_and_back() {
    let site = Site::start();
    let world = World::routing(json!([{
        "upstreams": [site.url],
        "request_headers": {
            "set": {"X-Client": "{client_ip} {request_id}", "Host": "inner.example", "X-Path": "{path}"},
            "add": {"X-Tag": "a b"},
            "remove": ["Cookie", "X-Secret"],
        },
        "response_headers": {
            "set": {"Strict-Transport-Security": "max-age=60", "X-Id": "{request_id}"},
            "remove": ["Server"],
        },
    }]));
    let answer = world.get("/p%0d%0aX-Evil:1", "Cookie: a=b\r\nX-Secret: s\r\nX-Tag: first\r\nX-Client: me\r\n");
    let seen = site.saw();
    assert_eq!(value(&seen, "host").as_deref(), Some("inner.example"));
    assert_eq!(value(&seen, "x-path").as_deref(), Some("/p%0d%0ax-evil:1"));
    assert_eq!(value(&seen, "x-evil"), None);
    assert_eq!((value(&seen, "cookie"), value(&seen, "x-secret")), (None, None));
    let id = answer.header("x-id").unwrap();
    assert_eq!(value(&seen, "x-client"), Some(format!("127.0.0.1 {id}")));
    assert!(seen.contains("first") && seen.contains("a b"), "{seen}");
    assert_eq!((answer.header("strict-transport-security"), answer.header("server")), (Some("max-age=60"), None));
    assert_eq!(answer.header("x-saw"), Some("GET"), "the rest stays");
}

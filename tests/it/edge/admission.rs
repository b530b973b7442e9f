//! Who gets through a route to the site, and how much of it.

use std::time::{Duration, Instant};

use base64::{Engine, prelude::BASE64_STANDARD};
use serde_json::json;

use super::{EVENT, World, event};
use crate::site::Site;

/// `secret`, as `htpasswd -nbBC 4` hashes it.
const SECRET: &str = "$2y$04$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW";

fn basic(text: &str) -> String {
    format!("Authorization: Basic {}\r\n", BASE64_STANDARD.encode(text))
}

#[test]
fn networks_decide_who_gets_in() {
    let site = Site::start();
    let routes = json!([
        {"path": "/inside", "access": {"allow": ["127.0.0.0/8"]}, "upstreams": [site.url]},
        {"path": "/outside", "access": {"allow": ["10.0.0.0/8"]}, "upstreams": [site.url]},
        {"path": "/barred", "access": {"deny": ["127.0.0.1"]}, "files": {"root": "/"}},
    ]);
    let trusting = |config: &mut real_streaming::edge::Config| {
        config.server.trusted_proxies = vec!["127.0.0.1/32".parse().unwrap()];
    };
    let world = World::with(serde_json::from_value(routes.clone()).unwrap(), |_| {});
    assert_eq!(world.get("/inside", "").status, 200);
    let answer = world.get("/outside", "X-Forwarded-For: 10.1.1.1\r\n");
    assert_eq!(answer.status, 403, "a stranger's word does not count");
    assert!(answer.text().contains("not open to your network"), "{}", answer.text());
    assert_eq!(world.get("/%6futside/x", "").status, 403);
    assert_eq!(world.get("/barred/etc/passwd", "").status, 403);

    let world = World::with(serde_json::from_value(routes).unwrap(), trusting);
    assert_eq!(world.get("/outside", "X-Forwarded-For: 10.1.1.1\r\n").status, 200);
    assert_eq!(world.get("/inside", "X-Forwarded-For: 10.1.1.1\r\n").status, 403);
}

#[test]
fn a_password_opens_the_door() {
    let site = Site::start();
    let world = World::routing(json!([
        {"path": "/", "upstreams": [site.url]},
        {"path": "/admin", "access": {"basic_auth": {"realm": "the back", "users": {"alice": SECRET}}},
         "upstreams": [site.url]},
    ]));
    for headers in ["", &basic("alice:wrong"), &basic("bob:secret"), &basic("secret").repeat(2), "Authorization: x\r\n"]
    {
        let answer = world.get("/admin", headers);
        assert_eq!(answer.status, 401, "{headers}");
        assert_eq!(answer.header("www-authenticate"), Some("Basic realm=\"the back\", charset=\"UTF-8\""));
        assert_eq!(answer.header("cache-control"), Some("no-store"));
    }
    for path in ["/admin", "/admin/x", "//admin", "/x/..%2fadmin"] {
        assert_eq!(world.get(path, "").status, 401, "{path}");
        assert_eq!(world.get(path, &basic("alice:secret")).status, 200, "{path}");
    }
    assert_eq!(world.get("/", "").status, 200);
    // Who is still uploading hears it, too.
    let body = "x".repeat(2_000_000);
    let answer = world.ask(&format!("POST /admin HTTP/1.1\r\nHost: a\r\nContent-Length: 2000000\r\n\r\n{body}"));
    assert_eq!(answer.status, 401);
    assert_eq!(world.ask(&event("")).status, 200);
}

#[test]
fn who_asks_too_often_is_told_when_to_come_back() {
    let world = World::routing(json!([
        {"path": "/slow", "rate_limit": {"rate": 1, "burst": "3s"}, "respond": {"body": "ok"}},
        {"path": "/keyed", "rate_limit": {"rate": 1, "burst": "0s", "by_header": "X-Key"}, "respond": {"body": "ok"}},
        {"path": "/login", "rate_limit": {"rate": "5/m"}, "respond": {"body": "ok"}},
    ]));
    let mut client = world.connect();
    let mut ask = |path: &str, headers: &str| {
        client.send(format!("GET {path} HTTP/1.1\r\nHost: a\r\n{headers}\r\n"));
        client.answer(false)
    };
    let statuses: Vec<u16> = (0..5).map(|_| ask("/slow", "").status).collect();
    assert_eq!(statuses, [200, 200, 200, 429, 429]);
    let answer = ask("/slow", "");
    assert_eq!((answer.header("retry-after"), answer.header("connection")), (Some("1"), Some("keep-alive")));
    let logins: Vec<u16> = (0..6).map(|_| ask("/login", "").status).collect();
    assert_eq!(logins, [200, 200, 200, 200, 200, 429]);
    assert!(matches!(ask("/login", "").header("retry-after"), Some("11" | "12")), "one comes every twelve seconds");
    assert_eq!(ask("/keyed", "X-Key: a\r\n").status, 200);
    assert_eq!(ask("/keyed", "X-Key: b\r\n").status, 200);
    assert_eq!(ask("/keyed", "X-Key: a\r\n").status, 429);
    assert_eq!(world.ask(&event("")).status, 200, "events have limits of their own");
}

#[test]
fn a_body_that_is_too_large_is_refused_however_it_comes() {
    let site = Site::start();
    let world = World::routing(json!([{"max_body": "1000B", "upstreams": [site.url]}]));
    let sized =
        |size: usize| format!("POST /up HTTP/1.1\r\nHost: a\r\nContent-Length: {size}\r\n\r\n{}", "x".repeat(size));
    let chunked = |size: usize, times: usize| {
        let chunk = format!("{size:x}\r\n{}\r\n", "x".repeat(size));
        format!("POST /up HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{}0\r\n\r\n", chunk.repeat(times))
    };
    for (request, status) in [
        (sized(1000), 200),
        (sized(1001), 413),
        (sized(3_000_000), 413),
        (chunked(250, 4), 200),
        (chunked(251, 4), 413),
        (chunked(30_000, 100), 413),
    ] {
        let answer = world.ask(&request);
        assert_eq!(answer.status, status, "{}", &request[..80]);
        if status == 413 {
            assert!(answer.text().contains("the request is too large"), "{}", answer.text());
        }
    }
    assert_eq!(world.ask(&event("")).status, 200);
    assert!(EVENT.len() < 1000);
}

#[test]
fn a_routes_patience_is_its_own() {
    let site = Site::start();
    let world = World::routing(json!([
        {"timeouts": {"idle": "150ms"}, "upstreams": [site.url]},
        // Nobody answers there: the packets of this network are thrown away.
        {"path": "/far", "timeouts": {"connect": "150ms"}, "upstreams": ["http://192.0.2.1:9"]},
    ]));
    let started = Instant::now();
    assert_eq!(world.get("/silent", "").status, 504);
    let status = world.get("/far", "").status;
    assert!(status == 504 || status == 502, "{status}");
    assert!(started.elapsed() < Duration::from_secs(4), "{:?}", started.elapsed());
}

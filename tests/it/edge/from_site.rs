//! What of a site's answers is not for the visitor, byte by byte: what belongs to the site's own connection, and what no
//! answer may say.

use std::{io::Read, thread};

use serde_json::json;

use super::{World, listen, to_site::h2};
use crate::client::Client;

/// A site that answers each path with these bytes, and closes.
fn canned(answers: &'static [(&'static str, &'static str)]) -> String {
    let (listener, url) = listen();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let mut client = Client::on(stream).unwrap();
            thread::spawn(move || {
                let Ok(head) = client.try_head() else { return };
                let path = head.split(' ').nth(1).unwrap_or_default();
                let answer = answers.iter().find(|(known, _)| *known == path);
                let _ =
                    client.try_send(answer.map_or("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", |it| it.1));
            });
        }
    });
    url
}

fn fronting(answers: &'static [(&'static str, &'static str)]) -> World {
    let routes = serde_json::from_value(json!([{ "upstreams": [canned(answers)] }])).unwrap();
    World::with(routes, |config| config.server.h2c = true)
}

/// All bytes that come of a request, until the edge closes.
fn bytes(world: &World, path: &str, more: &str) -> String {
    let mut client = world.connect();
    client.send(format!("GET {path} HTTP/1.1\r\nHost: site.example\r\n{more}\r\n"));
    let mut all = Vec::new();
    client.0.read_to_end(&mut all).unwrap();
    String::from_utf8(all).unwrap()
}

const ANSWERS: &[(&str, &str)] = &[
    (
        "/hop",
        "HTTP/1.1 200 OK\r\nConnection: keep-alive, X-Hop ,x-other\r\nX-Hop: 1\r\nX-Other: 1\r\nX-Kept: 1\r\n\
         Keep-Alive: timeout=5\r\nProxy-Connection: keep-alive\r\nProxy-Authenticate: Basic\r\nUpgrade: h2c\r\nTE: x\r\n\
         Trailer: X-T\r\nContent-Length: 2\r\n\r\nok",
    ),
    ("/204", "HTTP/1.1 204 No Content\r\nContent-Length: 5\r\nX-Kept: 1\r\n\r\nhello"),
    ("/204-chunked", "HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\nX-Kept: 1\r\n\r\n0\r\n\r\n"),
    ("/101", "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nGET /smuggled"),
    (
        "/hints",
        "HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\nConnection: X-Hop\r\n\
         X-Hop: 1\r\nContent-Length: 3\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
    ),
    (
        "/long",
        "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nlong\r\n0\r\n\r\n",
    ),
    (
        "/trailers",
        "HTTP/1.1 200 OK\r\nTrailer: X-T\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nX-T: 1\r\n\r\n",
    ),
];

const NOT_FOR_VISITORS: [&str; 8] =
    ["x-hop", "x-other", "keep-alive", "proxy-connection", "proxy-authenticate", "upgrade", "te", "trailer"];

#[test]
fn what_is_for_the_sites_connection_stays_here() {
    let world = fronting(ANSWERS);
    let mut client = world.connect();
    client.send("GET /hop HTTP/1.1\r\nHost: a\r\n\r\n");
    let answer = client.answer(false);
    assert_eq!((answer.status, answer.text(), answer.header("x-kept")), (200, "ok", Some("1")));
    assert_eq!(answer.header("connection"), Some("keep-alive"), "that is ours");
    for name in NOT_FOR_VISITORS {
        assert_eq!(answer.header(name), None, "{name}: {}", answer.head);
    }
    let answer = h2(&world, "GET", "/hop", &[]);
    assert_eq!((answer.status().as_u16(), &answer.body()[..]), (200, &b"ok"[..]));
    assert!(answer.headers().contains_key("x-kept"));
    assert!(NOT_FOR_VISITORS.iter().all(|name| !answer.headers().contains_key(*name)), "{:?}", answer.headers());
}

#[test]
fn an_answer_without_content_has_no_length() {
    let world = fronting(ANSWERS);
    for path in ["/204", "/204-chunked"] {
        let all = bytes(&world, path, "Connection: close\r\n");
        assert!(all.starts_with("HTTP/1.1 204 ") && all.ends_with("\r\n\r\n"), "{all:?}");
        let low = all.to_ascii_lowercase();
        assert!(low.contains("x-kept: 1\r\n") && !low.contains("content-length") && !low.contains("chunked"), "{all}");
        let answer = h2(&world, "GET", path, &[]);
        assert_eq!((answer.status().as_u16(), answer.body().len()), (204, 0));
        assert!(answer.headers().contains_key("x-kept") && !answer.headers().contains_key("content-length"));
    }
}

#[test]
fn nobody_changes_protocols_without_being_asked() {
    let world = fronting(ANSWERS);
    for more in ["", "Connection: Upgrade\r\nUpgrade: foo/2\r\n", "Upgrade: websocket\r\n"] {
        let all = bytes(&world, "/101", more);
        assert!(all.starts_with("HTTP/1.1 502 ") && !all.contains("smuggled"), "{more:?}: {all}");
        assert!(all.contains("request "), "{all}");
    }
    assert_eq!(h2(&world, "GET", "/101", &[]).status(), 502);
    let asked = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                 Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    let all = bytes(&world, "/101", asked).to_ascii_lowercase();
    assert!(all.starts_with("http/1.1 101 ") && all.contains("upgrade: websocket\r\n"), "{all}");
    assert!(all.ends_with("\r\n\r\nget /smuggled"), "{all}");
}

#[test]
fn hints_come_before_the_answer_over_http_1() {
    let world = fronting(ANSWERS);
    let all = bytes(&world, "/hints", "Connection: close\r\n");
    let heads: Vec<_> = all.split("\r\n\r\n").collect();
    assert!(heads[0].starts_with("HTTP/1.1 102 ") && heads[1].starts_with("HTTP/1.1 103 "), "{all}");
    let hints = heads[1].to_ascii_lowercase();
    assert!(hints.contains("\r\nlink: </a.css>; rel=preload"), "{all}");
    assert!(!hints.contains("x-hop") && !hints.contains("content-length"), "{all}");
    assert!(heads[2].starts_with("HTTP/1.1 200 ") && heads[3] == "ok", "{all}");
    // Clients of HTTP/1.0 would take them for the answer; over HTTP/2 they cannot be sent.
    let mut old = world.connect();
    old.send("GET /hints HTTP/1.0\r\n\r\n");
    assert_eq!(old.answer(false).status, 200);
    assert_eq!(&h2(&world, "GET", "/hints", &[]).body()[..], b"ok");
}

#[test]
fn trailers_that_are_not_carried_are_not_announced() {
    let world = fronting(ANSWERS);
    let all = bytes(&world, "/trailers", "TE: trailers\r\nConnection: TE, close\r\n");
    assert!(all.ends_with("\r\n2\r\nok\r\n0\r\n\r\n") && !all.contains("X-T"), "{all}");
    let answer = h2(&world, "GET", "/trailers", &[("te", "trailers")]);
    assert_eq!(&answer.body()[..], b"ok");
    assert!(!answer.headers().contains_key("trailer"));
}

#[test]
fn head_says_what_get_depends_on() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("a.js"), "x".repeat(4000)).unwrap();
    let world = World::routing(json!([
        { "path": "/files", "compress": true, "rewrite": { "strip_prefix": "/files" }, "files": { "root": folder.path() } },
        { "compress": true, "upstreams": [canned(ANSWERS)] },
    ]));
    for path in ["/files/a.js", "/long"] {
        for method in ["GET", "HEAD"] {
            let mut client = world.connect();
            client.send(format!("{method} {path} HTTP/1.1\r\nHost: a\r\nAccept-Encoding: br\r\n\r\n"));
            let answer = client.answer(method == "HEAD");
            assert_eq!(answer.header("vary"), Some("Accept-Encoding"), "{method} {path}: {}", answer.head);
        }
    }
}

//! The site behind: what it is sent, and what becomes of its silence.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::thread;
use std::time::Duration;

use real_streaming::edge::RouteConfig;

use super::{World, event, nobody};
use crate::site::Site;

#[test]
fn every_method_reaches_the_site() {
    let site = Site::start();
    let world = World::fronting(std::slice::from_ref(&site.url));
    let answer = world.get("/page?q=1", "Cookie: __uid__=1.2; session=3\r\n");
    assert_eq!((answer.status, answer.header("x-saw"), answer.header("server")), (200, Some("GET"), Some("site")));
    let seen = site.saw();
    assert!(seen.starts_with("GET /page?q=1 HTTP/1.1\r\n"), "{seen}");
    assert!(seen.to_lowercase().contains("cookie: session=3\r\n"), "the site keeps its cookies, not ours: {seen}");

    let head = world.ask("HEAD /page HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!((head.header("x-saw"), head.header("content-length")), (Some("HEAD"), Some("4711")));

    for method in ["PUT", "POST", "PATCH", "DELETE"] {
        let body = "x".repeat(200_000);
        let answer = world.ask(&format!("{method} /up HTTP/1.1\r\nHost: a\r\nContent-Length: 200000\r\n\r\n{body}"));
        assert_eq!((answer.header("x-saw"), answer.body.len()), (Some(method), 200_000));
    }
    let answer = world.ask("PUT /up HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n");
    assert_eq!(answer.text(), "abc");
    world.metric(r#"real_streaming_http_requests_total{handler="proxy",status="2xx"} 7"#);
}

#[test]
fn the_site_is_told_the_truth_about_the_visitor() {
    let site = Site::start();
    let forged = "X-Forwarded-For: 6.6.6.6\r\nX-Forwarded-Proto: https\r\nX-Real-IP: 6.6.6.6\r\nX-Request-ID: mine\r\n\
                  Forwarded: for=6.6.6.6\r\n";
    let value = |head: &str, name: &str| {
        let lower = head.to_ascii_lowercase();
        let mut found = lower.lines().filter_map(|line| line.strip_prefix(&format!("{name}: ")).map(str::to_string));
        let first = found.next();
        assert_eq!(found.next(), None, "one `{name}` only: {head}");
        first
    };
    let world = World::fronting(std::slice::from_ref(&site.url));
    world.get("/", forged);
    let seen = site.saw();
    assert_eq!(value(&seen, "host").as_deref(), Some("site.example"));
    assert_eq!(value(&seen, "x-forwarded-for").as_deref(), Some("127.0.0.1"));
    assert_eq!(value(&seen, "x-forwarded-proto").as_deref(), Some("http"));
    assert_eq!(value(&seen, "x-forwarded-host").as_deref(), Some("site.example"));
    assert_eq!(value(&seen, "x-real-ip").as_deref(), Some("127.0.0.1"));
    assert_eq!(value(&seen, "x-request-id").unwrap().len(), 32);
    assert_eq!(value(&seen, "forwarded"), None);

    let routes = vec![RouteConfig { upstreams: vec![site.url.parse().unwrap()], ..RouteConfig::default() }];
    let world = World::with(routes, |config| config.server.trusted_proxies = vec!["127.0.0.0/8".parse().unwrap()]);
    world.get("/", forged);
    let seen = site.saw();
    assert_eq!(value(&seen, "x-forwarded-for").as_deref(), Some("6.6.6.6, 127.0.0.1"));
    assert_eq!(value(&seen, "x-forwarded-proto").as_deref(), Some("https"));
    assert_eq!(value(&seen, "x-real-ip").as_deref(), Some("6.6.6.6"));
    assert_eq!(value(&seen, "x-request-id").as_deref(), Some("mine"));
    assert_eq!(value(&seen, "forwarded").as_deref(), Some("for=6.6.6.6, for=127.0.0.1"));
}

#[test]
fn server_sent_events_pass_one_by_one() {
    let site = Site::start();
    let world = World::fronting(std::slice::from_ref(&site.url));
    let mut client = world.connect();
    client.send("GET /events HTTP/1.1\r\nHost: a\r\nAccept: text/event-stream\r\nAccept-Encoding: gzip, br\r\n\r\n");
    assert!(client.head().starts_with("HTTP/1.1 200 "));
    for number in 0..3 {
        // The site waits until we have seen this one.
        assert_eq!(client.chunk(), format!("data: {number}\n\n").as_bytes());
        site.more.send(()).unwrap();
    }
    assert!(client.chunk().is_empty());
}

#[test]
fn a_web_socket_passes_in_both_directions() {
    let site = Site::start();
    let world = World::fronting(std::slice::from_ref(&site.url));
    // Many times: the first bytes of the site race with the end of the handshake.
    for round in 0..50 {
        let mut client = world.connect();
        client.send(
            "GET /socket HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
        );
        let head = client.head();
        assert!(head.starts_with("HTTP/1.1 101 "), "round {round}: {head}");
        let mut greeting = [0; 5];
        client.0.read_exact(&mut greeting).unwrap();
        assert_eq!(&greeting, b"hello");
        for message in [&b"\x81\x05abcde"[..], &[0xff; 700]] {
            client.send(message);
            let mut echo = vec![0; message.len()];
            client.0.read_exact(&mut echo).unwrap();
            assert_eq!(echo, message);
        }
    }
}

#[test]
fn a_web_socket_gets_no_connection_that_was_waiting() {
    let site = Site::start();
    let world = World::fronting(std::slice::from_ref(&site.url));
    for round in 0..50 {
        // Leaves an idle connection to the site behind, whose server answers before anybody looks.
        assert_eq!(world.get("/page", "").status, 200);
        let mut client = world.connect();
        client.send(
            "GET /socket HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
        );
        assert!(client.head().starts_with("HTTP/1.1 101 "), "round {round}");
        let mut greeting = [0; 5];
        client.0.read_exact(&mut greeting).unwrap_or_else(|error| panic!("round {round}: {error}"));
        assert_eq!(&greeting, b"hello");
    }
}

#[test]
fn a_site_that_is_down_gives_a_page_with_the_request_id() {
    let world = World::fronting(&[nobody()]);
    let answer = world.get("/", "Accept: text/html\r\n");
    assert_eq!((answer.status, answer.header("server")), (502, None));
    assert!(answer.text().contains("request "), "{}", answer.text());
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    // Also for who is still uploading.
    let body = "x".repeat(1_000_000);
    let answer = world.ask(&format!("POST /up HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n{body}"));
    assert_eq!(answer.status, 502);
    assert_eq!(world.ask(&event("")).status, 200, "events do not need the site");
    world.metric(r#"real_streaming_http_requests_total{handler="proxy",status="5xx"} 2"#);
}

#[test]
fn a_site_that_does_not_speak_tls_as_promised_is_down() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n");
        }
    });
    let world = World::fronting(&[format!("https://{address}")]);
    assert_eq!(world.get("/", "").status, 502);
}

#[test]
fn a_name_without_an_address_is_no_reason_to_fall_over() {
    let world = World::fronting(&["http://site.invalid".into()]);
    assert_eq!(world.get("/", "").status, 502);
    assert_eq!(world.ask(&event("")).status, 200);
}

#[test]
fn a_name_is_resolved_at_the_start() {
    let site = Site::start();
    let world = World::fronting(&[site.url.replace("127.0.0.1", "localhost")]);
    for _ in 0..4 {
        assert_eq!(world.get("/", "").status, 200);
    }
}

#[test]
fn another_upstream_takes_over() {
    let site = Site::start();
    let world = World::fronting(&[nobody(), site.url.clone(), nobody()]);
    for _ in 0..6 {
        assert_eq!(world.get("/", "").status, 200);
        let answer = world.ask("POST /up HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc");
        assert_eq!((answer.status, answer.text()), (200, "abc"));
    }
}

#[test]
fn a_silent_site_is_given_up() {
    let site = Site::start();
    let routes = vec![RouteConfig { upstreams: vec![site.url.parse().unwrap()], ..RouteConfig::default() }];
    let world = World::with(routes, |config| config.tuning.upstream_read = Duration::from_millis(150));
    let answer = world.get("/silent", "");
    assert_eq!(answer.status, 504);
    assert!(answer.text().starts_with("504 Gateway Timeout: the site did not answer in time (request "));
}

#[test]
fn hosts_and_paths_choose_the_site() {
    let (blog, shop) = (Site::start(), Site::start());
    let route = |hosts: &[&str], path: &str, site: &Site| RouteConfig {
        hosts: hosts.iter().map(|host| host.parse().unwrap()).collect(),
        path: path.into(),
        upstreams: vec![site.url.parse().unwrap()],
        ..RouteConfig::default()
    };
    let world = World::with(vec![route(&["*.example"], "/", &blog), route(&["*.example"], "/shop", &shop)], |_| {});
    assert_eq!(world.get("/shop/1", "").status, 200);
    assert!(shop.saw().starts_with("GET /shop/1 "));
    assert_eq!(world.get("/shopping", "").status, 200);
    assert!(blog.saw().starts_with("GET /shopping "));
    assert_eq!(world.ask("GET /shop HTTP/1.1\r\nHost: other.test\r\n\r\n").status, 404);
}

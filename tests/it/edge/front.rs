//! What a connection meets before anybody reads its request: slow and endless headers, and crowds.

use std::{
    io::Write,
    thread,
    time::{Duration, Instant},
};

use real_streaming::units::Span;

use super::{EVENT, STREAM, World, event};
use crate::{client::Client, site::Site, world::until};

/// Headers have a second.
fn hurried() -> World {
    let upstreams = vec![Site::start().url.parse().unwrap()];
    let routes = vec![real_streaming::edge::RouteConfig { upstreams, ..Default::default() }];
    World::with(routes, |config| config.server.timeouts.header = Span::secs(1))
}

/// Sends a header that never ends, every byte in time for a timeout per read, until nobody takes it any more.
fn drip(client: &Client) -> thread::JoinHandle<Duration> {
    let mut feeder = client.0.get_ref().try_clone().unwrap();
    let begun = Instant::now();
    thread::spawn(move || {
        while begun.elapsed() < Duration::from_secs(15) && feeder.write_all(b"x").is_ok() {
            thread::sleep(Duration::from_millis(50));
        }
        begun.elapsed()
    })
}

#[test]
fn a_header_that_never_ends_is_given_up() {
    let world = hurried();
    for start in ["G", "GET / HTTP/1.1\r\nHost: a\r\nX-Long: ", "POST /api/v1/streaming/1 HTTP/1.1\r\nX-Long: "] {
        let mut client = world.connect();
        client.send(start);
        let feeding = drip(&client);
        let answer = client.answer(false);
        assert_eq!((answer.status, answer.header("connection")), (408, Some("close")), "{start}");
        assert!(client.is_closed());
        drop(client);
        assert!(feeding.join().unwrap() < Duration::from_secs(10), "{start}");
    }
    world.metric(r#"real_streaming_connections_refused_total{reason="slow_header"} 3"#);
    world.metric("real_streaming_connections 0");
}

#[test]
fn empty_lines_before_a_request_are_nothing() {
    let world = hurried();
    let mut client = world.connect();
    for lines in ["\r\n", "\n", "\r\n\r\n", "\n\r\n\n"] {
        for request in [event(""), "GET /page HTTP/1.1\r\nHost: a\r\n\r\n".into()] {
            client.send(format!("{lines}{request}"));
            assert_eq!(client.answer(false).status, 200, "{lines:?} before {request:?}");
            client.send(lines);
            thread::sleep(Duration::from_millis(20));
            client.send(request);
            assert_eq!(client.answer(false).status, 200, "{lines:?}, and then a request");
        }
    }
}

#[test]
fn a_second_header_that_never_ends_is_given_up_too() {
    let world = hurried();
    let chunked = format!(
        "POST {STREAM} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n{EVENT}\r\n0\r\n\r\n",
        EVENT.len()
    );
    for first in [event(""), "GET /page HTTP/1.1\r\nHost: a\r\n\r\n".into(), chunked] {
        let mut client = world.connect();
        client.send(&first);
        assert_eq!(client.answer(false).status, 200);
        client.send("GET / HTTP/1.1\r\nHost: a\r\nX-Long: ");
        let feeding = drip(&client);
        let begun = Instant::now();
        assert_eq!(client.answer(false).status, 408, "{first}");
        assert!(begun.elapsed() < Duration::from_secs(5), "{first}: {:?}", begun.elapsed());
        drop(client);
        feeding.join().unwrap();
    }
}

#[test]
fn every_request_line_is_judged_whatever_stands_before_it() {
    let world = hurried();
    let chunked = |more: &str| {
        format!(
            "POST /page HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nabc\r\n0\r\nT: x\r\n\r\n{more}"
        )
    };
    let get = |target: &str| format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n");
    let post = "POST /page HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc".to_owned();
    for first in [get("/page"), get("/a%20b"), chunked(""), post] {
        // In one piece, byte by byte, and behind several.
        for step in [10_000, 1] {
            let mut client = world.connect();
            let all = [&*first, &first, &get("/page"), &get("/pa ge"), &get("/never")].concat();
            for piece in all.as_bytes().chunks(step) {
                if client.try_send(piece).is_err() {
                    break;
                }
            }
            let statuses: Vec<u16> = (0..4).map(|_| client.answer(false).status).collect();
            assert_eq!(statuses, [200, 200, 200, 400], "{first:?} in pieces of {step}");
            assert!(client.try_head().is_err(), "nothing behind it is answered");
        }
    }
    // Long ones come through whole, and so does what follows.
    let mut client = world.connect();
    let body = "x".repeat(300_000);
    let long = format!(
        "POST /page HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n{body}\r\n0\r\n\r\n",
        body.len()
    );
    client.send([&*long, &event(""), &long, &get("/page")].concat());
    let lengths: Vec<usize> = (0..4).map(|_| client.answer(false).body.len()).collect();
    assert_eq!((lengths[0], lengths[2], lengths[3]), (body.len(), body.len(), 0));
}

#[test]
fn headers_may_come_in_pieces_and_after_a_while() {
    let world = hurried();
    let mut client = world.connect();
    for request in
        [event(""), "GET /page HTTP/1.1\r\nHost: a\r\n\r\n".into(), format!("\r\n{}", event("")), "\r\n".into()]
    {
        for piece in request.as_bytes().chunks(9) {
            client.send(piece);
            thread::sleep(Duration::from_millis(5));
        }
        if request.len() > 2 {
            assert_eq!(client.answer(false).status, 200, "{request}");
        }
        // Waiting between requests, and after an empty line, takes nobody's time.
        thread::sleep(Duration::from_millis(1300));
    }
    client.send(event(""));
    assert_eq!(client.answer(false).status, 200);
}

#[test]
fn a_header_may_have_this_size_and_no_more() {
    let world = hurried();
    let request = |size: usize| {
        let start = "GET /page HTTP/1.1\r\nHost: a\r\nX-Long: ";
        format!("{start}{}\r\n\r\n", "x".repeat(size - start.len() - 4))
    };
    assert_eq!(world.ask(&request(64 << 10)).status, 200);
    for size in [(64 << 10) + 1, 1_000_000] {
        let answer = world.ask(&request(size));
        assert_eq!((answer.status, answer.header("connection")), (431, Some("close")), "{size}");
    }
    world.metric(r#"real_streaming_connections_refused_total{reason="large_header"} 2"#);
}

#[test]
fn a_request_that_nobody_could_read_is_counted() {
    let world = hurried();
    let get = |lines: &str| world.ask(&format!("GET /page HTTP/1.1\r\n{lines}\r\n")).status;
    assert_eq!(get("Host: a\r\n"), 200);
    for (lines, count) in [("Host: a\r\nno colon\r\n", 1), ("Host: a\r\nX : a\r\n", 2)] {
        assert_eq!(get(lines), 400);
        world.metric(&format!(r#"real_streaming_connections_refused_total{{reason="header"}} {count}"#));
    }
    assert_eq!(get(""), 400);
    assert_eq!(get("Host: a\r\nHost: a\r\n"), 400);
    assert_eq!(world.ask("CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n").status, 405);
    world.metric(r#"real_streaming_connections_refused_total{reason="method"} 1"#);
    world.metric(r#"real_streaming_connections_refused_total{reason="header"} 4"#);
    world.metric(r#"real_streaming_http_requests_total{handler="route",status="4xx"} 5"#);
}

#[test]
fn there_are_as_many_connections_as_is_said() {
    let crowd = |total, per_client, trusted: bool| {
        World::with(Vec::new(), |config| {
            config.server.connections.total = total;
            config.server.connections.per_client = per_client;
            if trusted {
                config.server.trusted_proxies = vec!["127.0.0.1".parse().unwrap()];
            }
        })
    };
    let served = |client: &mut Client| {
        let _ = client.try_send(event(""));
        client.try_answer(false).is_ok_and(|answer| answer.status == 200)
    };
    for (world, reason) in [(crowd(2, 0, true), "total"), (crowd(0, 2, false), "per_client")] {
        let mut known = [world.connect(), world.connect()];
        assert!(known.iter_mut().all(served));
        assert!(!served(&mut world.connect()), "{reason}");
        world.metric(&format!(r#"real_streaming_connections_refused_total{{reason="{reason}"}} 1"#));
        world.metric("real_streaming_connections 2");
        assert!(known.iter_mut().all(served), "nobody who was there is bothered");
        drop(known);
        until("places are given back", || served(&mut world.connect()).then_some(()));
    }
    let world = crowd(0, 2, true);
    let mut many: Vec<_> = (0..5).map(|_| world.connect()).collect();
    assert!(many.iter_mut().all(served), "a load balancer is not one client");
}

/// A load balancer that speaks the PROXY protocol, at 127.0.0.1, before plain listeners and such with TLS.
fn behind_a_balancer(trusted: &[&str]) -> (World, Site) {
    let site = Site::start();
    let routes =
        vec![real_streaming::edge::RouteConfig { upstreams: vec![site.url.parse().unwrap()], ..Default::default() }];
    let world = World::with(routes, |config| {
        config.server.proxy_protocol = true;
        config.server.trusted_proxies = trusted.iter().map(|network| network.parse().unwrap()).collect();
        config.server.connections.per_client = 1;
    });
    (world, site)
}

fn told(seen: &str, name: &str) -> Option<String> {
    crate::client::headers(seen).get(name).cloned()
}

#[test]
fn the_client_is_whom_the_balancer_names() {
    let (world, site) = behind_a_balancer(&["127.0.0.1", "10.0.0.0/8"]);
    let two = |address: [u8; 4]| {
        let mut header = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x10".to_vec();
        header.extend(address);
        header.extend([2, 2, 2, 2, 0x10, 0x92, 1, 187, 4, 0, 1, 0]);
        header
    };
    let local = b"\r\n\r\n\0\r\nQUIT\n\x20\x00\x00\x00".to_vec();
    for (header, expected) in [
        (b"PROXY TCP4 1.1.1.1 2.2.2.2 4242 443\r\n".to_vec(), "1.1.1.1"),
        (b"PROXY TCP6 2001:db8::1 2001:db8::2 4242 443\r\n".to_vec(), "2001:db8::1"),
        (two([1, 1, 1, 1]), "1.1.1.1"),
        // One that is trusted itself may speak for others.
        (two([10, 1, 1, 1]), "6.6.6.6"),
        (b"PROXY UNKNOWN\r\n".to_vec(), "6.6.6.6"),
        (local, "6.6.6.6"),
    ] {
        let mut client = world.connect();
        for byte in &header {
            client.send([*byte]);
        }
        // Both lanes, and more than one request.
        for _ in 0..2 {
            client.send("GET /page HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 6.6.6.6\r\n\r\n");
            assert_eq!(client.answer(false).status, 200, "{}", header.escape_ascii());
            assert_eq!(told(&site.saw(), "x-real-ip").as_deref(), Some(expected), "{}", header.escape_ascii());
            client.send(event(""));
            assert_eq!(client.answer(false).status, 200);
        }
        drop(client);
        world.metric("real_streaming_connections 0");
    }
}

#[test]
fn a_balancer_that_does_not_name_anybody_is_not_listened_to() {
    let (world, _site) = behind_a_balancer(&["127.0.0.1"]);
    for start in
        ["GET /page HTTP/1.1\r\nHost: a\r\n\r\n", "PROXY TCP4 1.1.1.1 2.2.2.2 4242\r\n", "PROXY \r\n          "]
    {
        let mut client = world.connect();
        client.send(start);
        assert!(client.try_head().is_err(), "{start}");
    }
    world.metric(r#"real_streaming_connections_refused_total{reason="proxy_protocol"} 3"#);
    // Its clients are counted, not itself.
    let named = |address: &str| {
        let mut client = world.connect();
        client.send(format!("PROXY TCP4 {address} 2.2.2.2 1 2\r\n{}", event("")));
        let served = client.try_head().is_ok();
        (client, served)
    };
    let (first, second, third) = (named("1.1.1.1"), named("1.1.1.2"), named("1.1.1.1"));
    assert!(first.1 && second.1 && !third.1);
}

#[test]
fn nobody_else_names_clients() {
    let (world, site) = behind_a_balancer(&["10.0.0.0/8"]);
    let mut client = world.connect();
    client.send(format!("PROXY TCP4 1.1.1.1 2.2.2.2 4242 443\r\n{}", event("")));
    assert!(!client.try_head().is_ok_and(|head| head.starts_with("HTTP/1.1 2")));
    drop(client);
    world.metric("real_streaming_connections 0");
    assert_eq!(world.get("/page", "").status, 200);
    assert_eq!(told(&site.saw(), "x-real-ip").as_deref(), Some("127.0.0.1"));
}

/// Pingora itself would keep such a connection for ever once it has served a request.
#[test]
fn a_connection_that_idles_after_a_request_is_closed() {
    let site = Site::start();
    let routes =
        vec![real_streaming::edge::RouteConfig { upstreams: vec![site.url.parse().unwrap()], ..Default::default() }];
    let world = World::with(routes, |config| config.server.timeouts.idle = Span::secs(1));
    let page = || "GET /page HTTP/1.1\r\nHost: a.example\r\n\r\n".to_owned();
    // A request of each lane, and one behind the other.
    for requests in [vec![event("")], vec![page()], vec![page(), event("")], vec![event(""), page()]] {
        let mut client = world.connect();
        for request in &requests {
            client.send(request);
            assert_eq!(client.answer(false).status, 200, "{request}");
        }
        let began = Instant::now();
        assert!(client.is_closed(), "{requests:?}");
        let idle = began.elapsed();
        assert!((Duration::from_millis(500)..Duration::from_secs(10)).contains(&idle), "{requests:?}: {idle:?}");
    }
}

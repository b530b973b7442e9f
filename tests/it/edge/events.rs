//! Events: framing, limits, refusals.

use std::io::Write;
use std::net::Shutdown;
use std::thread;
use std::time::Duration;

use super::{EVENT, STREAM, World, event};
use crate::site::Site;

#[test]
fn an_event_is_answered_byte_for_byte() {
    let world = World::alone();
    let answer = world.ask(&event("Content-Type: application/json\r\n"));
    assert_eq!(answer.status, 200);
    assert_eq!(answer.text(), r#"{"status":"ok"}"#);
    assert_eq!(answer.header("content-type"), Some("application/json"));
    assert_eq!(answer.header("content-length"), Some("15"));
    assert_eq!(answer.header("connection"), Some("keep-alive"));
    assert!(answer.header("set-cookie").unwrap().starts_with("__uid__="), "{}", answer.head);
    assert_eq!(answer.header("server"), None);
    assert_eq!(answer.header("access-control-allow-origin"), None);
    world.metric(r#"real_streaming_http_requests_total{handler="collect",status="2xx"} 1"#);
}

#[test]
fn a_connection_serves_many_events_in_a_row() {
    let world = World::alone();
    let mut client = world.connect();
    for _ in 0..50 {
        client.send(event(""));
        assert_eq!(client.answer(false).status, 200);
    }
}

#[test]
fn pipelined_events_are_answered_in_order() {
    let world = World::fronting(&[Site::start().url]);
    let mut client = world.connect();
    client.send([event(""), "GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n".into(), event("")].concat());
    assert_eq!(client.answer(false).text(), r#"{"status":"ok"}"#);
    assert_eq!(client.answer(false).text(), "ok");
    assert_eq!(client.answer(false).text(), r#"{"status":"ok"}"#);
}

#[test]
fn who_wants_no_second_request_gets_its_connection_closed() {
    let world = World::alone();
    for request in [event("Connection: close\r\n"), event("").replace("HTTP/1.1", "HTTP/1.0")] {
        let mut client = world.connect();
        client.send(&request);
        let answer = client.answer(false);
        assert_eq!(answer.header("connection"), Some("close"), "{request}");
        assert!(client.is_closed(), "{request}");
    }
}

#[test]
fn a_client_that_waits_for_continue_is_told_to_go_on() {
    let world = World::alone();
    let mut client = world.connect();
    for _ in 0..2 {
        client.send(format!(
            "POST {STREAM} HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: {}\r\n\r\n",
            EVENT.len()
        ));
        assert!(client.head().starts_with("HTTP/1.1 100 "));
        client.send(EVENT);
        let answer = client.answer(false);
        assert_eq!((answer.status, answer.header("connection")), (200, Some("keep-alive")));
    }
}

#[test]
fn a_client_that_waits_for_continue_hears_a_refusal_at_once() {
    let world = World::alone();
    let mut client = world.connect();
    client
        .send(format!("POST {STREAM} HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 9999999\r\n\r\n"));
    assert_eq!(client.answer(false).status, 413);
}

#[test]
fn a_body_may_come_in_chunks_and_pieces() {
    let world = World::alone();
    let mut client = world.connect();
    client.send(format!("POST {STREAM} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"));
    for piece in EVENT.as_bytes().chunks(7) {
        client.send(format!("{:x}\r\n", piece.len()));
        client.send(piece);
        client.send("\r\n");
    }
    client.send("0\r\n\r\n");
    assert_eq!(client.answer(false).text(), r#"{"status":"ok"}"#);
    client.send(event(""));
    assert_eq!(client.answer(false).status, 200);
}

#[test]
fn a_broken_chunk_is_the_clients_fault() {
    let world = World::alone();
    let answer =
        world.ask(&format!("POST {STREAM} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nnonsense\r\n"));
    assert_eq!(answer.status, 400);
}

#[test]
fn a_slow_body_is_given_up() {
    let world = World::with(Vec::new(), |config| config.tuning.body = Duration::from_millis(150));
    let mut client = world.connect();
    client.send(format!("POST {STREAM} HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\n{{"));
    let mut feeder = client.0.get_ref().try_clone().unwrap();
    // Every byte in time for a timeout per read, the whole never.
    let feeding = thread::spawn(move || {
        while feeder.write_all(b" ").is_ok() {
            thread::sleep(Duration::from_millis(40))
        }
    });
    let answer = client.answer(false);
    assert_eq!((answer.status, answer.header("connection")), (408, Some("close")));
    drop(client);
    feeding.join().unwrap();
    world.metric(r#"real_streaming_refusals_total{code="slow_body"} 1"#);
}

#[test]
fn a_body_that_is_too_large_is_refused_while_it_still_comes() {
    let world = World::alone();
    for framing in ["Content-Length: 3000000", "Transfer-Encoding: chunked"] {
        let mut client = world.connect();
        client.send(format!("POST {STREAM} HTTP/1.1\r\nHost: a\r\n{framing}\r\n\r\n"));
        let chunked = framing.starts_with("Transfer");
        let piece = vec![b' '; 30_000];
        for _ in 0..100 {
            if chunked {
                client.send(format!("{:x}\r\n", piece.len()));
            }
            client.send(&piece);
            if chunked {
                client.send("\r\n");
            }
        }
        if chunked {
            client.send("0\r\n\r\n");
        }
        let answer = client.answer(false);
        assert_eq!((answer.status, answer.header("connection")), (413, Some("close")), "{framing}");
        assert!(client.is_closed());
    }
}

#[test]
fn a_client_that_leaves_in_the_middle_costs_nothing() {
    let world = World::alone();
    let mut client = world.connect();
    client.send(format!("POST {STREAM} HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\n{{"));
    client.0.get_ref().shutdown(Shutdown::Both).unwrap();
    world.metric(r#"real_streaming_http_requests_total{handler="collect",status="none"} 1"#);
    assert_eq!(world.ask(&event("")).status, 200);
    world.metric(r#"real_streaming_http_requests_total{handler="collect",status="5xx"} 0"#);
}

#[test]
fn the_wrong_method_and_the_wrong_stream_are_refused() {
    let world = World::alone();
    let answer = world.get(STREAM, "");
    assert_eq!(answer.status, 405);
    assert!(answer.header("allow").unwrap().contains("POST"));
    assert_eq!(world.ask(&event("").replace("streaming/1", "streaming/1/2")).status, 404);
    assert_eq!(world.ask(&event("").replace("streaming/1", "streaming")).status, 404);
}

#[test]
fn strange_requests_never_break_anything() {
    let world = World::fronting(&[Site::start().url]);
    let hostile: &[&[u8]] = &[
        b"Cookie: __uid__=\xff\xfe; \xe4=\xf6\r\n",
        b"Cookie: ;;;=;=\r\nCookie:\r\n",
        b"X-Forwarded-For: \xff, , ,\r\nForwarded: for=\r\n",
        b"Origin: \xff\r\n",
        b"Accept-Encoding: ;q=, br;q=99999999999999999\r\nIf-None-Match: ,\"\r\n",
        b"User-Agent: \r\nReferer: ://\r\nAccept-Language: \xff\r\n",
        b"X-Request-ID: \"><script>\r\n",
    ];
    for lines in hostile {
        for (method, path) in [("POST", STREAM), ("GET", "/static/v6.js"), ("GET", "/page?\u{e4}"), ("GET", "/healthz")]
        {
            let mut client = world.connect();
            client.send(format!("{method} {path} HTTP/1.1\r\nHost: a\r\n"));
            client.send(lines);
            client.send("Content-Length: 0\r\n\r\n");
            let answer = client.answer(false);
            assert!(answer.status < 500, "{method} {path} {lines:?}: {answer:?}");
        }
    }
    // Long lines: answered, or refused where they are too long for any server.
    let long = |name: &str, part: &str, size: usize| format!("{name}: {}\r\n", part.repeat(size / part.len()));
    for (name, part) in [
        ("X-Forwarded-For", "10.0.0.1, "),
        ("Forwarded", "for=\"\\\""),
        ("Cookie", "a=b; "),
        ("Accept-Language", "*;q=1,"),
        ("Sec-CH-UA-Full-Version-List", "\"a\";v=\"1\","),
        ("User-Agent", "("),
    ] {
        assert_eq!(world.ask(&event(&long(name, part, 60_000))).status, 200, "{name}");
        let mut client = world.connect();
        // It may be gone before it has heard all.
        let refused = client.try_send(event(&long(name, part, 2_000_000))).and_then(|()| client.try_head());
        assert!(refused.as_ref().map_or(true, |head| head.starts_with("HTTP/1.1 4")), "{name}: {refused:?}");
    }
    // Without a host, as HTTP/1.0 allows.
    assert_eq!(world.ask("GET /healthz HTTP/1.0\r\n\r\n").text(), "ok");
    let hostless = event("").replace("Host: site.example\r\n", "");
    assert_eq!(world.ask(&hostless.replace("HTTP/1.1", "HTTP/1.0")).status, 200);
    assert_eq!(world.ask(&hostless).status, 400);
    world.metric("real_streaming_panics_total 0");
}

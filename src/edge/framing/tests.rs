//! What is refused, what is not, and how far it reaches.

use super::*;

#[test]
fn what_parsers_disagree_over_is_a_fault() {
    let about = |head: &str| judge(head.as_bytes()).err().map(|fault| fault.about);
    let get = |lines: &str| about(&format!("GET / HTTP/1.1\r\n{lines}\r\n"));
    for fine in [
        "Host: a.example:8080\r\n",
        "host:[::1]:80\r\nX: a:b\r\nEmpty:\r\n",
        "Host:\r\n",
        "Host: a\r\nContent-Length: 1\r\n",
        "Host: a\r\nTransfer-Encoding: chunked\r\n",
        "Host: a\r\nX:\t\u{e4} \t\r\n",
    ] {
        assert_eq!(get(fine), None, "{fine:?}");
    }
    assert_eq!(about("GET / HTTP/1.0\r\n\r\n"), None);
    assert!(about("\r\nGET / HTTP/1.0\r\n\r\n").is_some());
    for faulty in [
        "",
        "Host: a\n",
        "Host: a\r\nX: a\rb\r\n",
        "Host: a\r\nX: a\r\n b\r\n",
        "Host: a\r\nX : a\r\n",
        "Host: a\r\nX\r\n",
        "Host: a\r\nX\0: a\r\n",
        "Host: a\r\nX: \x01\r\n",
        "Host: a\r\nX: a\x7f\r\n",
        "Host: a\r\nX: a\x0c\r\n",
        "Host: a\r\n: a\r\n",
        "Host: a\r\nHost: a\r\n",
        "Host: a b\r\n",
        "Host: user@a\r\n",
        "Host: a/b\r\n",
        "Host: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n",
        "Host: a\r\nContent-Length: 1\r\nContent-Length: 1\r\n",
        "Host: a\r\nContent-Length: 1, 1\r\n",
        "Host: a\r\nContent-Length:\r\n",
        "Host: a\r\nContent-Length: 99999999999999999999\r\n",
        "Host: a\r\nTransfer-Encoding: gzip, chunked\r\n",
        "Host: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
    ] {
        assert!(get(faulty).is_some(), "{faulty:?}");
    }
    assert!(about("GET / HTTP/1.0\nHost: a\r\n\r\n").is_some());
    assert!(about("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n").is_some());
}

#[test]
fn a_look_at_all_of_it_finds_what_a_look_at_each_line_finds() {
    let head = b"GET /a HTTP/1.1\r\nHost: a.example\r\nX-Y:\t b\r\nZ:\r\n\r\n";
    for at in 0..=head.len() {
        for byte in 0..=255 {
            let inserted = [&head[..at], &[byte], &head[at..]].concat();
            assert_eq!(judge(&inserted), judge_lines(&inserted, false), "{}", inserted.escape_ascii());
            if at < head.len() {
                let replaced = [&head[..at], &[byte], &head[at + 1..]].concat();
                assert_eq!(judge(&replaced), judge_lines(&replaced, false), "{}", replaced.escape_ascii());
            }
        }
    }
    assert!(is_tidy(head));
}

#[test]
fn a_header_says_how_far_its_request_reaches() {
    for (lines, expected) in [
        ("", Extent::Length(0)),
        ("content-length: 12 \r\n", Extent::Length(12)),
        ("Transfer-Encoding: Chunked\r\n", Extent::Chunked(Chunks::Begin)),
        ("Connection: Upgrade\r\nUpgrade: websocket\r\n", Extent::Open),
        ("Connection: Upgrade\r\nUpgrade: foo, WebSocket\r\nContent-Length: 1\r\n", Extent::Open),
        ("Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n", Extent::Length(0)),
        ("Upgrade-Insecure-Requests: 1\r\n", Extent::Length(0)),
    ] {
        let found = judge(format!("POST / HTTP/1.1\r\nHost: a\r\n{lines}\r\n").as_bytes());
        assert_eq!(found.map(|sound| sound.extent), Ok(expected), "{lines}");
    }
}

#[test]
fn the_first_line_has_three_parts() {
    let about = |line: &str| judge(format!("{line}\r\nHost: a.example\r\n\r\n").as_bytes()).err();
    for fine in [
        "GET /a|b^c{d}\"e?f=`[]| HTTP/1.1",
        "GET /\u{e4}#part HTTP/1.1",
        "OPTIONS * HTTP/1.1",
        "M-SEARCH! / HTTP/1.0",
        "GET http://A.example:80/x HTTP/1.1",
        "GET HTTPS://a.example:443 HTTP/1.1",
        "GET http://a.example?q HTTP/1.1",
    ] {
        assert_eq!(about(fine), None, "{fine}");
    }
    for faulty in [
        "GET  / HTTP/1.1",
        "GET / HTTP/1.1 ",
        "GET /",
        " / HTTP/1.1",
        "G@T / HTTP/1.1",
        "GET / HTTP/1.2",
        "GET / http/1.1",
        "GET /a<b HTTP/1.1",
        "GET /a\tb HTTP/1.1",
        "GET /a\x7f HTTP/1.1",
        "GET ftp://a.example/ HTTP/1.1",
        "GET http:///x HTTP/1.1",
        "GET http://u:p@a.example/ HTTP/1.1",
        "GET http://a.example\\b/ HTTP/1.1",
    ] {
        let found = about(faulty).map(|fault| (fault.status.as_u16(), fault.reason));
        assert_eq!(found, Some((400, "request_line")), "{faulty}");
    }
    for other in ["GET http://b.example/ HTTP/1.1", "GET http://a.example:443/ HTTP/1.1"] {
        assert_eq!(about(other).map(|fault| fault.reason), Some("header"), "{other}");
    }
    assert_eq!(about("CONNECT a.example:443 HTTP/1.1").map(|fault| fault.status.as_u16()), Some(405));
    let many = |count| judge(format!("GET / HTTP/1.0\r\n{}\r\n", "X: 1\r\n".repeat(count)).as_bytes()).err();
    assert_eq!((many(256), many(257).map(|fault| fault.status.as_u16())), (None, Some(431)));
}

#[test]
fn a_host_before_the_path_goes_where_hosts_stand() {
    for (head, expected) in [
        ("GET /http://a/ HTTP/1.1\r\nHost: a\r\n\r\n", None),
        ("GET http://a HTTP/1.1\r\nHost: a\r\n\r\n", Some("GET / HTTP/1.1\r\nHost: a\r\n\r\n")),
        ("GET http://a?b HTTP/1.0\r\nX: 1\r\n\r\n", Some("GET /?b HTTP/1.0\r\nHost: a\r\nX: 1\r\n\r\n")),
        ("GET http://a:80//b HTTP/1.1\r\nhost:A\r\n\r\n", Some("GET //b HTTP/1.1\r\nhost:A\r\n\r\n")),
        ("OPTIONS https://a HTTP/1.1\r\nHost: a\r\n\r\n", Some("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n")),
    ] {
        assert_eq!(judge(head.as_bytes()).map(|sound| sound.is_absolute), Ok(expected.is_some()), "{head}");
        let plain = without_host(head.as_bytes()).map(|plain| String::from_utf8_lossy(&plain).into_owned());
        assert_eq!(plain.as_deref(), expected);
    }
}

//! HTTP/1.1 messages section by section (RFC 9112, and 9110 for what is meant by them): what has to be taken, what may be
//! refused, and what must be.

use std::time::Duration;

use super::{STREAM, World};
use crate::{
    client::{Answer, Client},
    site::Site,
};

/// An edge and the site behind it, for many requests.
struct Wire {
    site: Site,
    world: World,
}

/// What came of one connection.
#[derive(Debug)]
struct Outcome {
    /// Until the edge closed, or as many as were asked for; the first that makes no sense ends them.
    answers: Vec<Answer>,
    /// The heads of the requests that the site saw whole.
    seen: Vec<String>,
}

impl Outcome {
    fn status(&self) -> u16 {
        self.answers.first().map_or(0, |answer| answer.status)
    }
}

impl Wire {
    fn new() -> Wire {
        let site = Site::start();
        let world = World::fronting(std::slice::from_ref(&site.url));
        Wire { site, world }
    }

    fn connect(&self) -> Client {
        let client = self.world.connect();
        client.0.get_ref().set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        client
    }

    /// Sends this on a connection of its own and reads up to `most` answers.
    fn send(&self, request: impl AsRef<[u8]>, most: usize) -> Outcome {
        let mut client = self.connect();
        // The edge may refuse, and close, before it has all of it.
        let _ = client.try_send(request);
        let answers = (0..most).map_while(|_| client.try_answer(false).ok()).collect();
        drop(client);
        assert_eq!(self.world.get("/after", "").status, 200);
        let mut seen = Vec::new();
        loop {
            let head = self.site.saw();
            if head.starts_with("GET /after ") {
                return Outcome { answers, seen };
            }
            seen.push(head);
        }
    }

    /// How these differ from what is expected: all at once.
    fn wrong<'a>(&self, cases: impl IntoIterator<Item = (String, &'a str)>) -> Vec<String> {
        let mut wrong = Vec::new();
        for (request, expected) in cases {
            let outcome = self.send(&request, 1);
            let shown: String = request.chars().take(160).collect();
            let fine = match expected.split_once(' ') {
                // Nothing got through, and whatever follows is nobody's request.
                None => outcome.seen.is_empty() && expected.split('|').any(|one| one == outcome.status().to_string()),
                Some(("200", body)) => {
                    outcome.seen.len() == 1 && outcome.status() == 200 && outcome.answers[0].text() == body
                }
                _ => false,
            };
            if !fine {
                wrong.push(format!(
                    "{shown:?}: {expected}, but {} {:?}, the site saw {:?}",
                    outcome.status(),
                    outcome.answers.first().map(|a| String::from_utf8_lossy(&a.body).into_owned()),
                    outcome.seen
                ));
            }
        }
        wrong
    }
}

fn chunked(path: &str, body: &str) -> String {
    format!("POST {path} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{body}")
}

#[test]
fn chunks_are_read_as_they_are_written() {
    let wire = Wire::new();
    let fine = [
        "5\r\nhello\r\n0\r\n\r\n",
        "2\r\nhe\r\n3\r\nllo\r\n000\r\n\r\n",
        "005\r\nhello\r\n0\r\n\r\n",
        // 7.1.1: extensions mean nothing here.
        "5;name=value\r\nhello\r\n0;last\r\n\r\n",
        "5;a=\"b;c\"\r\nhello\r\n0\r\n\r\n",
        // 7.1.2: trailers are no headers; least of all these. They are dropped, well-formed or not.
        "5\r\nhello\r\n0\r\nX-Sum: 1\r\n\r\n",
        "5\r\nhello\r\n0\r\nno colon\r\n\r\n",
        "5\r\nhello\r\n0\r\nContent-Length: 1\r\nTransfer-Encoding: gzip\r\nHost: b\r\nX-Forwarded-For: 1.2.3.4\r\n\r\n",
    ];
    let mut wrong = wire.wrong(fine.map(|body| (chunked("/page", body), "200 hello")));
    let ten = ["A\r\n0123456789\r\n0\r\n\r\n", "a\r\n0123456789\r\n0\r\n\r\n"];
    wrong.extend(wire.wrong(ten.map(|body| (chunked("/page", body), "200 0123456789"))));
    assert!(wrong.is_empty(), "{wrong:#?}");
    let outcome = wire.send(chunked("/page", fine[7]), 1);
    for trailer in ["content-length: 1", "gzip", "host: b", "1.2.3.4"] {
        assert!(!outcome.seen[0].to_lowercase().contains(trailer), "{trailer}: {}", outcome.seen[0]);
    }
}

#[test]
fn chunks_that_can_be_misread_are_refused() {
    let wire = Wire::new();
    let extension = format!("5;{}\r\nhello\r\n0\r\n\r\n", "x".repeat(300_000));
    let trailers = format!("5\r\nhello\r\n0\r\n{}\r\n", "X-Sum: 1\r\n".repeat(30_000));
    let bodies = [
        "ffffffffffffffff\r\nhello\r\n0\r\n\r\n",
        "10000000000000005\r\nhello\r\n0\r\n\r\n",
        "fffffffffffffffffffffffffffffffff5\r\nhello\r\n0\r\n\r\n",
        "-5\r\nhello\r\n0\r\n\r\n",
        "+5\r\nhello\r\n0\r\n\r\n",
        " 5\r\nhello\r\n0\r\n\r\n",
        "5 5\r\nhello\r\n0\r\n\r\n",
        "0x5\r\nhello\r\n0\r\n\r\n",
        "_5\r\nhello\r\n0\r\n\r\n",
        "g\r\nhello\r\n0\r\n\r\n",
        "\r\nhello\r\n0\r\n\r\n",
        ";a\r\nhello\r\n0\r\n\r\n",
        "5\nhello\r\n0\r\n\r\n",
        "5\rhello\r\n0\r\n\r\n",
        "5;a\nb\r\nhello\r\n0\r\n\r\n",
        "5\r\nhello\n0\r\n\r\n",
        "5\r\nhello0\r\n\r\n",
        "5\r\nhelloXX0\r\n\r\n",
        "4\r\nhello\r\n0\r\n\r\n",
        &extension,
        &trailers,
    ];
    let mut wrong = Vec::new();
    for path in ["/page", STREAM] {
        wrong.extend(wire.wrong(bodies.map(|body| (chunked(path, body), "400|413|431"))));
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// What is found out only when it comes is not the site's either; nor is what follows it.
#[test]
fn chunks_that_can_be_misread_are_noticed_later_too() {
    let wire = Wire::new();
    for (first, second) in
        [("5\r\nhello\r\n", "\r\n\r\n"), ("5\r\nhello\r\n", "5;a\nhello\r\n0\r\n\r\n"), ("5;", "\n\r\n")]
    {
        for path in ["/page", STREAM] {
            let mut client = wire.connect();
            client.send(chunked(path, first));
            std::thread::sleep(Duration::from_millis(100));
            client.send(second.to_owned() + "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n");
            let answer = client.try_answer(false);
            assert!(answer.as_ref().map_or(true, |answer| answer.status == 400), "{second:?}: {answer:?}");
            assert!(client.is_closed());
            assert_eq!(wire.world.get("/after", "").status, 200);
            assert!(wire.site.saw().starts_with("GET /after "), "{second:?}");
        }
    }
}

#[test]
fn a_body_has_one_length() {
    let wire = Wire::new();
    let mut wrong = Vec::new();
    for (lines, expected) in [
        ("Content-Length: 5\r\n", "200 hello"),
        ("content-length:5\r\n", "200 hello"),
        // 6.3: the same number over and over may be taken for one.
        ("Content-Length: 5, 5\r\n", "400"),
        ("Content-Length: 5\r\nContent-Length: 5\r\n", "400"),
        ("Content-Length: 5, 6\r\n", "400"),
        ("Content-Length: 5\r\nContent-Length: 6\r\n", "400"),
        ("Content-Length: 5 5\r\n", "400"),
        ("Content-Length: 5;a\r\n", "400"),
        ("Content-Length: -5\r\n", "400"),
        ("Content-Length: 5.0\r\n", "400"),
        ("Content-Length: 5e0\r\n", "400"),
        ("Content-Length: \r\n", "400"),
        ("Content-Length: ,5\r\n", "400"),
        ("Content-Length: \"5\"\r\n", "400"),
        ("Content-Length: 99999999999999999999999\r\n", "400|413"),
        ("Content-Length: 18446744073709551621\r\n", "400|413"),
        // 6.1, 6.3: `chunked` is the last coding, once, or the length is unknown; 501 for codings that nobody here knows.
        ("Transfer-Encoding: gzip, chunked\r\n", "400|501"),
        ("Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n", "400|501"),
        ("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", "400"),
        ("Transfer-Encoding: chunked, chunked\r\n", "400"),
        ("Transfer-Encoding: gzip\r\n", "400|501"),
        ("Transfer-Encoding: identity\r\n", "400|501"),
        ("Transfer-Encoding: chunked;a=b\r\n", "400|501"),
        ("Transfer-Encoding: \"chunked\"\r\n", "400|501"),
        ("Transfer-Encoding: \x0bchunked\r\n", "400|501"),
        ("Transfer-Encoding: \r\n", "400|501"),
        ("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", "400"),
        ("Content-Length: 5\r\nTransfer-Encoding: gzip\r\n", "400"),
    ] {
        for path in ["/page", STREAM] {
            if path == STREAM && expected.starts_with("200") {
                continue;
            }
            let body = if lines.contains("chunked") { "5\r\nhello\r\n0\r\n\r\n" } else { "hello" };
            wrong.extend(wire.wrong([(format!("POST {path} HTTP/1.1\r\nHost: a\r\n{lines}\r\n{body}"), expected)]));
        }
    }
    let body = "Transfer-Encoding: ChunKed\r\n\r\n5\r\nhello\r\n0\r\n\r\n";
    wrong.extend(wire.wrong([(format!("POST /page HTTP/1.1\r\nHost: a\r\n{body}"), "200 hello")]));
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn first_lines_and_fields_are_what_the_grammar_says() {
    let wire = Wire::new();
    let long = "X".repeat(10_000);
    let mut wrong = wire.wrong(
        [
            // 9110 9.1: methods are words with upper and lower case, and sites may have their own.
            ("get /page HTTP/1.1\r\nHost: a\r\n\r\n", "200 "),
            ("PROPFIND /page HTTP/1.1\r\nHost: a\r\n\r\n", "200 "),
            ("M-SEARCH! /page HTTP/1.1\r\nHost: a\r\n\r\n", "200 "),
            ("G@T /page HTTP/1.1\r\nHost: a\r\n\r\n", "400|501"),
            ("G{T /page HTTP/1.1\r\nHost: a\r\n\r\n", "400|501"),
            // As long as a header may be: no reason to refuse it.
            (&format!("{long} /page HTTP/1.1\r\nHost: a\r\n\r\n"), "200 "),
            // 3.2.3, 3.2.4
            ("CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n", "400|405|501"),
            ("CONNECT /page HTTP/1.1\r\nHost: a\r\n\r\n", "400|405|501"),
            ("GET * HTTP/1.1\r\nHost: a\r\n\r\n", "400|404"),
            // A part of a page is the browser's business: the site is not told.
            ("GET /page#part HTTP/1.1\r\nHost: a\r\n\r\n", "200 "),
            ("GET \\page HTTP/1.1\r\nHost: a\r\n\r\n", "400"),
            // 2.3, 2.6
            ("GET /page HTTP/2.0\r\nHost: a\r\n\r\n", "400|505"),
            ("GET /page HTTP/3\r\nHost: a\r\n\r\n", "400|505"),
            ("GET /page HTTP/1.10\r\nHost: a\r\n\r\n", "400|505"),
            ("GET /page HTTP/01.1\r\nHost: a\r\n\r\n", "400|505"),
            ("GET /page http/1.1\r\nHost: a\r\n\r\n", "400|505"),
            ("GET /page HTTP/1.1 \r\nHost: a\r\n\r\n", "400"),
            ("GET /page HTTPS/1.1\r\nHost: a\r\n\r\n", "400|505"),
            ("GET /page\r\n\r\n", "400"),
            ("GET\r\n\r\n", "400"),
            ("/page\r\n\r\n", "400"),
            // 2.2: one empty line before a request, or some, of clients that count their bodies wrongly.
            ("\r\nGET /page HTTP/1.1\r\nHost: a\r\n\r\n", "200 "),
            ("\r\n\r\n\r\nGET /page HTTP/1.1\r\nHost: a\r\n\r\n", "200 "),
            (" GET /page HTTP/1.1\r\nHost: a\r\n\r\n", "400"),
            // 5.1, 9110 5.5
            ("GET /page HTTP/1.1\r\nHost: a\r\nX:\r\n\r\n", "200 "),
            ("GET /page HTTP/1.1\r\nHost: a\r\nX:\t a \t\r\n\r\n", "200 "),
            ("GET /page HTTP/1.1\r\nHost: a\r\nX: gr\u{fc}\u{df}e\r\n\r\n", "200 "),
            ("GET /page HTTP/1.1\r\nHost: a\r\n!#$%&'*+-.^_`|~1aA: 1\r\n\r\n", "200 "),
            ("GET /page HTTP/1.1\r\nHost: a\r\n:\r\n\r\n", "400"),
            ("GET /page HTTP/1.1\r\nHost: a\r\nX(1): 1\r\n\r\n", "400"),
            ("GET /page HTTP/1.1\r\nHost: a\r\nX@: 1\r\n\r\n", "400"),
            ("GET /page HTTP/1.1\r\nHost: a\r\n\"X\": 1\r\n\r\n", "400"),
            ("GET /page HTTP/1.1\r\nHost: a\r\nX\u{fc}: 1\r\n\r\n", "400"),
            ("GET /page HTTP/1.1\r\nHost: a\r\nX\0: 1\r\n\r\n", "400"),
            ("GET /page HTTP/1.1\r\nHost: a\r\nX: \0\r\n\r\n", "400"),
            ("GET /page HTTP/1.1\r\nHost: a\r\nX: a\x01b\r\n\r\n", "400"),
            ("GET /page HTTP/1.1\r\nHost: a\r\nX: a\x7fb\r\n\r\n", "400"),
        ]
        .map(|(request, expected)| (request.to_owned(), expected)),
    );
    assert!(wire.send("GET /page#part HTTP/1.1\r\nHost: a\r\n\r\n", 1).seen[0].starts_with("GET /page HTTP/1.1\r\n"));
    assert_eq!(wire.send("get /page HTTP/1.1\r\nHost: a\r\n\r\n", 1).seen[0].split(' ').next(), Some("get"));
    // 3.2.2: the host of an absolute target counts, whatever `Host` says.
    let outcome = wire.send("GET http://b.example/page HTTP/1.1\r\nHost: a\r\n\r\n", 1);
    if !(outcome.status() == 400 && outcome.seen.is_empty()
        || outcome.seen.len() == 1 && outcome.seen[0].to_lowercase().contains("\r\nhost: b.example\r\n"))
    {
        wrong.push(format!("absolute target with another host: {outcome:?}"));
    }
    // 9110 9.3.7
    let outcome = wire.send("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", 1);
    if !matches!(outcome.status(), 200 | 204 | 400 | 404)
        || outcome.seen.iter().any(|head| !head.starts_with("OPTIONS * "))
    {
        wrong.push(format!("OPTIONS *: {outcome:?}"));
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn bytes_above_ascii_reach_the_site_as_they_are() {
    let wire = Wire::new();
    let outcome = wire.send(b"GET /page HTTP/1.1\r\nHost: a\r\nX: gr\xfc\xdfe\r\n\r\n", 1);
    assert_eq!(outcome.status(), 200);
    assert!(outcome.seen[0].to_lowercase().contains("\r\nx: gr\u{fffd}\u{fffd}e\r\n"), "{}", outcome.seen[0]);
}

#[test]
fn fifty_requests_at_once_are_answered_in_their_order() {
    let wire = Wire::new();
    let requests: String = (0..50)
        .map(|number| match number % 3 {
            0 => format!("GET /page?{number} HTTP/1.1\r\nHost: a\r\n\r\n"),
            1 => format!("POST /page?{number} HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n{number:02}"),
            _ => {
                let body = format!("1\r\n{}\r\n1\r\n{}\r\n0\r\n\r\n", number / 10, number % 10);
                chunked(&format!("/page?{number}"), &body)
            }
        })
        .collect();
    let outcome = wire.send(&requests, 50);
    assert_eq!(outcome.answers.len(), 50);
    for (number, answer) in outcome.answers.iter().enumerate() {
        let body = if number % 3 == 0 { String::new() } else { format!("{number:02}") };
        assert_eq!((answer.status, answer.text()), (200, body.as_str()), "{number}");
        assert!(outcome.seen[number].contains(&format!(" /page?{number} ")), "{number}: {}", outcome.seen[number]);
    }
    // One that is refused ends them.
    let outcome = wire.send(
        "GET /page HTTP/1.1\r\nHost: a\r\n\r\nGET /page HTTP/1.1\r\n\r\nGET /page HTTP/1.1\r\nHost: a\r\n\r\n",
        3,
    );
    assert_eq!(outcome.answers.iter().map(|answer| answer.status).collect::<Vec<_>>(), [200, 400]);
    assert_eq!(outcome.seen.len(), 1);
}

#[test]
fn http_1_0_closes_unless_asked_not_to() {
    let wire = Wire::new();
    let outcome = wire.send("GET /page HTTP/1.0\r\n\r\nGET /page HTTP/1.0\r\n\r\n", 2);
    assert_eq!((outcome.status(), outcome.answers.len(), outcome.seen.len()), (200, 1, 1));
    assert_eq!(outcome.answers[0].header("transfer-encoding"), None);
    // It stays, and says so, or closes.
    let request = "GET /page HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n";
    let outcome = wire.send([request, request].concat(), 2);
    let stays = outcome.answers[0].header("connection").is_some_and(|value| value.eq_ignore_ascii_case("keep-alive"));
    assert_eq!(outcome.answers.len(), if stays { 2 } else { 1 });
}

#[test]
fn expectations_are_met_or_refused() {
    let wire = Wire::new();
    let head = |version: &str, expect: &str| {
        format!("POST /page HTTP/{version}\r\nHost: a\r\nContent-Length: 5\r\nExpect: {expect}\r\n\r\n")
    };
    // 9110 10.1.1: who waits is told to go on.
    for expect in ["100-continue", "100-Continue"] {
        let mut client = wire.connect();
        client.send(head("1.1", expect));
        assert!(client.head().starts_with("HTTP/1.1 100 "), "{expect}");
        client.send("hello");
        let answer = client.answer(false);
        assert_eq!((answer.status, answer.text()), (200, "hello"), "{expect}");
        assert!(wire.site.saw().starts_with("POST /page "));
    }
    // Who does not wait gets the answer, with 100 before it or without.
    let outcome = wire.send(head("1.1", "100-continue") + "hello", 2);
    assert_eq!(outcome.answers.last().map(|answer| (answer.status, answer.text())), Some((200, "hello")));
    // Not over HTTP/1.0.
    let outcome = wire.send(head("1.0", "100-continue") + "hello", 1);
    assert_eq!(outcome.status(), 200);
    // Another may be ignored, or answered 417.
    let outcome = wire.send(head("1.1", "200-ok") + "hello", 1);
    assert!(matches!((outcome.status(), outcome.seen.len()), (200, 1) | (417, 0)), "{outcome:?}");
}

#[test]
fn unknown_protocols_are_no_upgrade() {
    let wire = Wire::new();
    for upgrade in [
        "Connection: Upgrade\r\nUpgrade: foo/2\r\n",
        "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n",
        "Upgrade: websocket\r\n",
        "Connection: Upgrade\r\n",
    ] {
        let request = format!("GET /page HTTP/1.1\r\nHost: a\r\n{upgrade}\r\nGET /next HTTP/1.1\r\nHost: a\r\n\r\n");
        let outcome = wire.send(&request, 2);
        assert_eq!(outcome.status(), 200, "{upgrade:?}");
        // What follows is a request like any other, or the connection is closed: never bytes of something else.
        assert_eq!(outcome.answers.len(), outcome.seen.len(), "{upgrade:?}: {outcome:?}");
        assert!(outcome.seen.iter().all(|head| head.starts_with("GET /page ") || head.starts_with("GET /next ")));
    }
}

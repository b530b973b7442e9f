//! Requests that two parsers could read in two ways, and answers that somebody tries to write himself: each is refused or
//! brought into a form that nobody misreads.

use serde_json::json;

use super::{STREAM, World};
use crate::{client::Answer, site::Site};

/// Everything that the site sees of a request, and what the client gets; `None` when it never saw it.
fn through(request: &str) -> (Answer, Option<String>) {
    let site = Site::start();
    let world = World::fronting(std::slice::from_ref(&site.url));
    let mut client = world.connect();
    client.send(request);
    let answer = client.answer(false);
    // Whatever is behind a refused request is nobody's request: the connection is over.
    if answer.status == 400 {
        assert!(client.is_closed(), "{request:?}");
    }
    drop(client);
    assert_eq!(world.get("/after", "").status, 200, "{request:?}");
    let seen = site.saw();
    (answer, (!seen.starts_with("GET /after ")).then_some(seen))
}

#[test]
fn what_parsers_disagree_over_never_reaches_the_site() {
    for lines in [
        "Host: a\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "Host: a\r\nTransfer-Encoding: chunked\r\ncontent-length: 0\r\n\r\n0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n",
        "Host: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        "Host: a\r\nContent-Length: 1, 2\r\n\r\nab",
        "Host: a\r\nContent-Length: +1\r\n\r\na",
        "Host: a\r\nContent-Length: 0x1\r\n\r\na",
        "Host: a\r\nTransfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n",
        "Host: a\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
        "Host: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n",
        "Host: a\nContent-Length: 0\n\n",
        "Host: a\r\nX: 1\nX-Smuggled: 2\r\nContent-Length: 0\r\n\r\n",
        "Host: a\r\nX: 1\r\n folded\r\nContent-Length: 0\r\n\r\n",
        "Host: a\r\nX: 1\r\n\tfolded\r\nContent-Length: 0\r\n\r\n",
        " Host: a\r\nContent-Length: 0\r\n\r\n",
        "Host: a\r\nHost: a\r\nContent-Length: 0\r\n\r\n",
        "Host: a\r\nhost: b\r\nContent-Length: 0\r\n\r\n",
        "Host: a b\r\nContent-Length: 0\r\n\r\n",
        "Host: a/../b\r\nContent-Length: 0\r\n\r\n",
        "Host: \"><script>\r\nContent-Length: 0\r\n\r\n",
        "Content-Length: 0\r\n\r\n",
        "Host: a\r\nContent-Length : 0\r\n\r\n",
        "Host: a\r\nContent-Length\t: 0\r\n\r\n",
        "Host: a\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
        "Host: a\r\nX: a\rb\r\nContent-Length: 0\r\n\r\n",
        "Host: a\r\nX: a\0b\r\nContent-Length: 0\r\n\r\n",
        "Host: a\r\nno colon\r\nContent-Length: 0\r\n\r\n",
        "Host: a\r\n: no name\r\nContent-Length: 0\r\n\r\n",
    ] {
        for path in ["/page", STREAM] {
            let request = format!("POST {path} HTTP/1.1\r\n{lines}");
            let (answer, seen) = through(&request);
            assert_eq!((answer.status, seen), (400, None), "{request:?}");
        }
    }
    for request in [
        "POST /page HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "GET  /page HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /pa ge HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /page\r\nHost: a\r\n\r\n",
        "GET /page HTTP/1.2\r\nHost: a\r\n\r\n",
        "G\0T /page HTTP/1.1\r\nHost: a\r\n\r\n",
    ] {
        let (answer, seen) = through(request);
        assert_eq!((answer.status / 100, seen), (4, None), "{request:?}");
    }
}

#[test]
fn a_target_may_have_a_host_and_must_have_a_path() {
    for (target, status) in [("http://b.example/page?q", 200), ("page", 400), ("b.example:443", 400), ("ftp://b/", 400)]
    {
        let (answer, seen) = through(&format!("GET {target} HTTP/1.1\r\nHost: b.example\r\n\r\n"));
        assert_eq!((answer.status, seen.is_some()), (status, status == 200), "{target}");
    }
}

#[test]
fn what_is_for_this_connection_stays_here() {
    let (answer, seen) = through(
        "GET /page HTTP/1.1\r\nHost: a\r\nConnection: close, X-Hop\r\nX-Hop: 1\r\nKeep-Alive: timeout=1\r\n\
         Proxy-Connection: keep-alive\r\nTE: gzip\r\nX-Kept: 1\r\n\r\n",
    );
    assert_eq!(answer.status, 200);
    let seen = seen.unwrap().to_lowercase();
    for gone in ["x-hop", "keep-alive:", "proxy-connection", "\r\nte:", "connection: close"] {
        assert!(!seen.contains(gone), "{gone}: {seen}");
    }
    assert!(seen.contains("\r\nx-kept: 1\r\n"));
    // Nor can a client take away what we tell the site.
    for nominated in ["X-Forwarded-For", "X-Forwarded-Proto", "X-Real-IP", "X-Request-ID", "Host"] {
        let request = format!("GET /page HTTP/1.1\r\nHost: a\r\nConnection: {nominated}\r\n\r\n");
        let (answer, seen) = through(&request);
        match seen {
            Some(seen) => {
                let line = format!("\r\n{}: ", nominated.to_lowercase());
                assert!(seen.to_lowercase().contains(&line), "{nominated}: {seen}");
            }
            None => assert_eq!(answer.status, 400, "{nominated}"),
        }
    }
}

#[test]
fn templates_write_no_lines() {
    let site = Site::start();
    let world = World::routing(json!([
        {"path": "/to", "redirect": {"to": "https://{host}{uri}"}},
        {"path": {"regex": "^/u/(?<id>.*)$"}, "redirect": {"to": "/user?id={id}"}},
        {"path": "/", "upstreams": [site.url],
         "request_headers": {"set": {"X-Path": "{path}"}}, "response_headers": {"set": {"X-Path": "{path}", "X-Host": "{host}"}}},
    ]));
    let tail = "%0d%0aSet-Cookie:%20a=b%0d%0a%0d%0aall-mine";
    for path in ["/to/", "/u/", "/page/"] {
        let answer = world.get(&format!("{path}{tail}"), "");
        assert!(answer.status == 200 || answer.status / 100 == 3, "{}", answer.head);
        assert_eq!(answer.header("set-cookie"), None, "{}", answer.head);
        assert!(!answer.text().starts_with("all-mine"), "{}", answer.text());
    }
    assert!(!site.saw().to_lowercase().contains("\r\nset-cookie"));
}

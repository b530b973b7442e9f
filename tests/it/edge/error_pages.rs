//! Pages of the operator's own in place of what the site says of its errors.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering::SeqCst},
};

use serde_json::json;

use super::{World, counting};

/// Answers by path, and counts its connections.
fn site() -> (String, Arc<AtomicUsize>) {
    counting(|mut client| {
        while let Ok(head) = client.try_head() {
            let answer = match head.split(' ').nth(1).unwrap() {
                "/full" => {
                    "HTTP/1.1 500 Oops\r\nContent-Length: 5\r\nContent-Encoding: gzip\r\nETag: \"a\"\r\n\
                             Last-Modified: Thu, 01 Jan 1970 00:00:00 GMT\r\nContent-Type: text/css\r\n\
                             Set-Cookie: a=b\r\nCache-Control: max-age=1\r\n\r\n"
                }
                "/chunks" => "HTTP/1.1 500 Oops\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nstack\r\n0\r\n\r\n",
                "/no_chunks" => "HTTP/1.1 500 Oops\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
                "/empty" => "HTTP/1.1 500 Oops\r\nContent-Length: 0\r\nSet-Cookie: a=b\r\n\r\n",
                "/other" => "HTTP/1.1 503 Oops\r\nContent-Length: 5\r\n\r\nstack",
                _ => "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
            };
            let body = if head.starts_with("GET /full ") { "stack" } else { "" };
            if client.try_send([answer, body].concat()).is_err() {
                return;
            }
        }
    })
}

#[test]
fn the_sites_errors_get_pages_where_that_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let page = folder.path().join("500.html");
    std::fs::write(&page, "<p>{status}, {request_id}</p>").unwrap();
    let (url, connections) = site();
    let world = World::routing(json!([
        {"upstreams": [url], "error_pages": {"500": page}, "intercept_errors": true},
        {"hosts": ["own.example"], "upstreams": [url], "error_pages": {"500": page}},
    ]));
    for path in ["/full", "/chunks", "/no_chunks", "/empty"] {
        let answer = world.get(path, "");
        assert_eq!(answer.status, 500, "{path}: {}", answer.head);
        assert!(answer.text().starts_with("<p>500, ") && answer.text().len() > 20, "{path}: {}", answer.text());
        assert_eq!(answer.header("content-type"), Some("text/html; charset=utf-8"), "{path}: {}", answer.head);
        for gone in ["content-encoding", "etag", "last-modified", "transfer-encoding"] {
            assert_eq!(answer.header(gone), None, "{path}: {}", answer.head);
        }
        let cookie = (path == "/full" || path == "/empty").then_some("a=b");
        assert_eq!(answer.header("set-cookie"), cookie, "{path}: {}", answer.head);
        let caches = if path == "/full" { "max-age=1" } else { "no-store" };
        assert_eq!(answer.header("cache-control"), Some(caches), "{path}: {}", answer.head);
    }
    let head = world.ask("HEAD /full HTTP/1.1\r\nHost: a.example\r\n\r\n");
    let length = head.header("content-length").unwrap().parse::<usize>().unwrap();
    assert!(head.status == 500 && length > 20 && head.header("etag").is_none(), "{}", head.head);

    // Other statuses, and routes where nothing is said, have the site's own.
    assert_eq!(world.get("/other", "").text(), "stack");
    assert_eq!(world.get("/", "").text(), "ok");
    let own = world.ask("GET /chunks HTTP/1.1\r\nHost: own.example\r\n\r\n");
    assert_eq!((own.status, own.text()), (500, "stack"));

    // Neither connection is lost over a page.
    let (before, mut client) = (connections.load(SeqCst), world.connect());
    for _ in 0..10 {
        client.send("GET /full HTTP/1.1\r\nHost: a.example\r\n\r\n");
        assert_eq!(client.answer(false).status, 500);
    }
    assert!(connections.load(SeqCst) < before + 10, "{before}");
}

//! Answers that are compressed on their way, and those that must not be.

use std::{
    io::Read,
    sync::mpsc::{Sender, channel},
    thread,
};

use serde_json::json;

use super::{World, listen};
use crate::{client::Client, site::Site};

/// A site with long and slow pages. `/slow` waits for a word between its two pieces.
fn site() -> (String, Sender<()>) {
    let (listener, url) = listen();
    let (go, gone) = channel::<()>();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let mut client = Client::on(stream).unwrap();
            while let Ok(head) = client.try_head() {
                let page = "<p>page</p>".repeat(500);
                let length = format!("Content-Length: {}\r\n", page.len());
                let begin = "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nETag: \"1\"\r\n";
                match head.split(' ').nth(1).unwrap() {
                    "/slow" => {
                        client.send(format!("{begin}Transfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n"));
                        gone.recv().unwrap();
                        client.send("6\r\nsecond\r\n0\r\n\r\n");
                    }
                    "/zipped" => client.send(format!("{begin}{length}Content-Encoding: gzip\r\n\r\n{page}")),
                    "/kept" => client.send(format!("{begin}{length}Cache-Control: no-transform\r\n\r\n{page}")),
                    "/closed" => {
                        client.send(format!("HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n{page}"));
                        break;
                    }
                    _ => {
                        client.send(format!("{begin}{length}\r\n{}", if head.starts_with("HEAD") { "" } else { &page }))
                    }
                }
            }
        }
    });
    (url, go)
}

fn gunzipped(body: &[u8]) -> String {
    let mut text = String::new();
    flate2::read::GzDecoder::new(body).read_to_string(&mut text).unwrap();
    text
}

#[test]
fn a_page_is_compressed_as_the_client_likes_it() {
    let (url, _go) = site();
    let world = World::routing(json!([{"compress": true, "upstreams": [url]}]));
    let page = "<p>page</p>".repeat(500);
    // The site closes the connection to end the last one, which chunks do for the client.
    for path in ["/page", "/closed"] {
        let answer = world.get(path, "Accept-Encoding: gzip\r\n");
        assert_eq!(answer.header("content-encoding"), Some("gzip"), "{path}");
        assert_eq!(answer.header("transfer-encoding"), Some("chunked"));
        assert_eq!((answer.header("vary"), answer.header("content-length")), (Some("Accept-Encoding"), None));
        assert_eq!(gunzipped(&answer.body), page);
        assert!(answer.body.len() < page.len() / 10);
    }
    assert_eq!(world.get("/page", "Accept-Encoding: gzip\r\n").header("etag"), Some("W/\"1\""));
    for (headers, coding) in [
        ("Accept-Encoding: gzip, deflate, br, zstd\r\n", Some("zstd")),
        ("Accept-Encoding: gzip;q=0.5, br\r\n", Some("br")),
        ("", None),
    ] {
        assert_eq!(world.get("/page", headers).header("content-encoding"), coding, "{headers}");
    }
    let plain = world.get("/page", "");
    assert_eq!((plain.text(), plain.header("etag")), (&*page, Some("\"1\"")));
    let head = world.ask("HEAD /page HTTP/1.1\r\nHost: a\r\nAccept-Encoding: gzip\r\n\r\n");
    assert_eq!(head.header("content-encoding"), None);
}

#[test]
fn what_is_compressed_already_or_must_stay_is_left_alone() {
    let (url, _go) = site();
    let world = World::routing(json!([
        {"compress": true, "upstreams": [url]},
        {"path": "/off", "upstreams": [url]},
    ]));
    let page = "<p>page</p>".repeat(500);
    for (path, coding) in [("/zipped", Some("gzip")), ("/kept", None), ("/off", None)] {
        let answer = world.get(path, "Accept-Encoding: gzip, br\r\n");
        assert_eq!((answer.header("content-encoding"), answer.text()), (coding, &*page), "{path}");
    }
    let old = world.ask("GET /page HTTP/1.0\r\nHost: a\r\nAccept-Encoding: gzip\r\n\r\n");
    assert_eq!((old.header("content-encoding"), old.text()), (None, &*page));
}

#[test]
fn nothing_is_held_back() {
    let (url, go) = site();
    let world = World::routing(json!([{"compress": true, "upstreams": [url]}]));
    let mut client = world.connect();
    client.send("GET /slow HTTP/1.1\r\nHost: a\r\nAccept-Encoding: gzip\r\n\r\n");
    assert!(client.head().to_lowercase().contains("content-encoding: gzip"));
    let mut wire = client.chunk();
    let mut first = [0; 5];
    flate2::read::GzDecoder::new(&wire[..]).read_exact(&mut first).unwrap();
    assert_eq!(&first, b"first", "read while the site still waits");
    go.send(()).unwrap();
    loop {
        let chunk = client.chunk();
        if chunk.is_empty() {
            break;
        }
        wire.extend(chunk);
    }
    assert_eq!(gunzipped(&wire), "firstsecond");
}

#[test]
fn events_and_web_sockets_pass_untouched() {
    let site = Site::start();
    let world = World::routing(json!([{"compress": true, "upstreams": [site.url]}]));
    let mut client = world.connect();
    client.send("GET /events HTTP/1.1\r\nHost: a\r\nAccept: text/event-stream\r\nAccept-Encoding: gzip\r\n\r\n");
    assert!(!client.head().to_lowercase().contains("content-encoding"));
    for number in 0..3 {
        assert_eq!(client.chunk(), format!("data: {number}\n\n").as_bytes());
        site.more.send(()).unwrap();
    }
    let mut client = world.connect();
    client.send(
        "GET /socket HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nAccept-Encoding: gzip\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
    );
    assert!(client.head().starts_with("HTTP/1.1 101 "));
    let mut greeting = [0; 5];
    client.0.read_exact(&mut greeting).unwrap();
    assert_eq!(&greeting, b"hello");
}

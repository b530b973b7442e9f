//! Pages that get the tracking script on their way, and those that do not.

use std::{fs, thread};

use serde_json::json;

use super::{World, listen};
use crate::client::Client;

const TAG: &str = r#"<script async src="/static/v6.js" data-stream="7"></script>"#;
const PAGE: &str =
    "<!doctype html><html><head><title>a</title><script src=/a.js></script></head><body>hello</body></html>";

/// A site that writes its page byte by byte where it is asked to, and says on which coding it was asked for.
fn site() -> String {
    let (listener, url) = listen();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            thread::spawn(move || {
                let mut client = Client::on(stream).unwrap();
                while let Ok(head) = client.try_head() {
                    let path = head.split(' ').nth(1).unwrap().to_owned();
                    let lines = head.lines().find_map(|line| {
                        line.to_ascii_lowercase().strip_prefix("accept-encoding: ").map(str::to_owned)
                    });
                    let begin = format!(
                        "HTTP/1.1 200 OK\r\nX-Asked: {}\r\nETag: \"1\"\r\n",
                        lines.unwrap_or_else(|| "-".into())
                    );
                    let length = format!("Content-Length: {}\r\n", PAGE.len());
                    match &*path {
                        "/bytes" => {
                            client.send(format!("{begin}Content-Type: text/html\r\nTransfer-Encoding: chunked\r\n\r\n"));
                            for byte in PAGE.bytes() {
                                client.send(format!("1\r\n{}\r\n", char::from(byte)));
                            }
                            client.send("0\r\n\r\n");
                        }
                        "/json" => client.send(format!("{begin}Content-Type: application/json\r\n{length}\r\n{PAGE}")),
                        "/strict" => client.send(format!(
                            "{begin}Content-Type: text/html\r\nContent-Security-Policy: default-src 'none'\r\n{length}\r\n{PAGE}"
                        )),
                        "/nonce" => client.send(format!(
                            "{begin}Content-Type: text/html\r\nContent-Security-Policy: script-src 'nonce-xyz'\r\n{length}\r\n{PAGE}"
                        )),
                        _ => {
                            let page = if head.starts_with("HEAD") { "" } else { PAGE };
                            client.send(format!("{begin}Content-Type: text/html\r\n{length}\r\n{page}"));
                        }
                    }
                }
            });
        }
    });
    url
}

fn injected(tag: &str) -> String {
    PAGE.replace("<script src=/a.js>", &format!("{tag}<script src=/a.js>"))
}

#[test]
fn pages_get_the_script_once_and_nothing_else_does() {
    let url = site();
    let world = World::routing(json!([
        {"inject": "7", "upstreams": [url]},
        {"path": "/plain", "upstreams": [url]},
        {"path": "/zipped", "inject": 7, "compress": true, "upstreams": [url]},
    ]));
    const BROWSER: &str = "Accept: text/html,*/*;q=0.8\r\nAccept-Encoding: gzip, br\r\n";
    let page = world.get("/", BROWSER);
    assert_eq!(page.text(), injected(TAG));
    assert_eq!((page.header("x-asked"), page.header("etag")), (Some("identity"), Some("W/\"1\"")));
    assert_eq!((page.header("content-length"), page.header("transfer-encoding")), (None, Some("chunked")));
    assert_eq!(world.get("/bytes", BROWSER).text(), injected(TAG));
    assert_eq!(world.get("/nonce", BROWSER).text(), injected(&TAG.replace("></", " nonce=\"xyz\"></")));
    for path in ["/plain", "/json", "/strict"] {
        let answer = world.get(path, "");
        assert_eq!((answer.text(), answer.header("etag")), (PAGE, Some("\"1\"")), "{path}");
    }
    assert_eq!(world.get("/", "Range: bytes=0-10000\r\n").text(), PAGE);
    assert_eq!(
        world.get("/style.css", "Accept: text/css,*/*\r\nAccept-Encoding: br\r\n").header("x-asked"),
        Some("br")
    );
    let head = world.ask("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(head.header("content-length"), Some(&*PAGE.len().to_string()));
    let old = world.ask("GET / HTTP/1.0\r\nHost: a\r\n\r\n");
    assert_eq!(old.text(), PAGE);

    let zipped = world.get("/zipped", BROWSER);
    assert_eq!(zipped.header("content-encoding"), None, "too short to gain anything: {}", zipped.head);
    assert_eq!(zipped.text(), injected(TAG));
}

#[test]
fn the_switch_above_all_routes_is_for_those_that_say_nothing() {
    let url = site();
    let routes = json!([{"upstreams": [url]}, {"path": "/off", "inject": false, "upstreams": [url]}]);
    let world = World::with(serde_json::from_value(routes).unwrap(), |config| config.inject = true);
    assert_eq!(world.get("/", "").text(), injected(&TAG.replace('7', "1")));
    assert_eq!(world.get("/off", "").text(), PAGE);
}

#[test]
fn pages_of_a_folder_get_it_too_and_are_compressed_after_that() {
    let folder = tempfile::tempdir().unwrap();
    let long = PAGE.replace("hello", &"hello ".repeat(50_000));
    for (name, text) in [("index.html", &*long), ("index.html.br", "br"), ("app.js", &long), ("a.png", &long)] {
        fs::write(folder.path().join(name), text).unwrap();
    }
    fs::write(folder.path().join("short.html"), PAGE).unwrap();
    let world = World::routing(json!([{"inject": true, "compress": true, "files": {"root": folder.path()}}]));
    let expected = long.replace("<script src=/a.js>", &format!("{}<script src=/a.js>", TAG.replace('7', "1")));
    assert_eq!(world.get("/", "").text(), expected);
    let page = world.get("/", "Accept-Encoding: gzip\r\n");
    assert_eq!(page.header("content-encoding"), Some("gzip"));
    let mut text = String::new();
    std::io::Read::read_to_string(&mut flate2::read::GzDecoder::new(&*page.body), &mut text).unwrap();
    assert_eq!(text, expected);
    let etag = page.header("etag").unwrap().to_owned();
    assert!(etag.starts_with("W/\""), "{etag}");
    assert_eq!(page.header("vary"), Some("Accept-Encoding"));
    assert_eq!(world.get("/", &format!("Accept-Encoding: gzip\r\nIf-None-Match: {etag}\r\n")).status, 304);

    let script = world.get("/app.js", "Accept-Encoding: gzip;q=0.5, zstd\r\n");
    assert_eq!(script.header("content-encoding"), Some("zstd"));
    assert_eq!(zstd::stream::decode_all(&*script.body).unwrap(), long.as_bytes());
    for (path, headers) in [
        ("/a.png", "Accept-Encoding: gzip\r\n"),
        ("/app.js", "Accept-Encoding: gzip;q=0\r\n"),
        ("/app.js", "Accept-Encoding: gzip\r\nRange: bytes=0-999\r\n"),
        ("/short.html", "Accept-Encoding: gzip\r\n"),
    ] {
        let answer = world.get(path, headers);
        assert_eq!(answer.header("content-encoding"), None, "{path} {headers}");
        assert!(answer.status == 206 || answer.text().starts_with("<!doctype"), "{path}");
    }
    let part = world.get("/app.js", &format!("If-Range: {etag}\r\nRange: bytes=0-9\r\n"));
    assert_eq!(part.status, 200, "a weak tag is not enough to put parts together");
    let head = world.ask("HEAD /app.js HTTP/1.1\r\nHost: a\r\nAccept-Encoding: gzip\r\n\r\n");
    assert_eq!((head.status, head.header("content-encoding")), (200, None));
}

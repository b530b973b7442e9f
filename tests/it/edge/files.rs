//! Files from a folder, on the wire.

use std::{
    fs,
    os::unix::fs::symlink,
    time::{Duration, UNIX_EPOCH},
};

use serde_json::json;
use tempfile::TempDir;

use super::World;

/// A folder with a secret beside it, and an edge before it.
fn world(more: serde_json::Value) -> (TempDir, World) {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("www");
    fs::create_dir_all(root.join("sub/deep")).unwrap();
    fs::create_dir_all(root.join(".well-known")).unwrap();
    fs::create_dir_all(root.join("empty")).unwrap();
    for (name, text) in [
        ("index.html", "<h1>home"),
        ("sub/index.html", "<h1>sub"),
        ("app.js", "let plain"),
        ("app.js.br", "br"),
        ("app.js.gz", "gz"),
        ("a b\u{e4}.txt", "blank"),
        (".env", "SECRET"),
        ("sub/.git", "SECRET"),
        (".well-known/security.txt", "Contact"),
        ("void.css", ""),
        ("../secret.txt", "SECRET"),
    ] {
        fs::write(root.join(name), text).unwrap();
    }
    let large: Vec<u8> = (0..300_000u32).map(|n| (n % 251) as u8).collect();
    fs::write(root.join("video.mp4"), large).unwrap();
    symlink("../secret.txt", root.join("link.txt")).unwrap();
    symlink("app.js", root.join("alias.js")).unwrap();
    let old = UNIX_EPOCH + Duration::from_secs(1_700_000_000);
    fs::File::options().write(true).open(root.join("app.js")).unwrap().set_modified(old).unwrap();

    let mut route = json!({"path": "/", "files": {"root": root}});
    for (key, value) in more.as_object().unwrap() {
        match value.as_object().filter(|_| key == "files") {
            Some(files) => route["files"].as_object_mut().unwrap().extend(files.clone()),
            None => route[key] = value.clone(),
        }
    }
    let world = World::routing(json!([route]));
    (folder, world)
}

#[test]
fn files_have_their_types_and_folders_their_index() {
    let (_folder, world) = world(json!({}));
    for (path, kind, text) in [
        ("/", "text/html; charset=utf-8", "<h1>home"),
        ("/?q=1", "text/html; charset=utf-8", "<h1>home"),
        ("/sub/", "text/html; charset=utf-8", "<h1>sub"),
        ("/sub/deep/../index.html", "text/html; charset=utf-8", "<h1>sub"),
        ("/app.js", "text/javascript; charset=utf-8", "let plain"),
        ("/alias.js", "text/javascript; charset=utf-8", "let plain"),
        ("/a%20b%C3%A4.txt", "text/plain; charset=utf-8", "blank"),
        ("/void.css", "text/css; charset=utf-8", ""),
        ("/.well-known/security.txt", "text/plain; charset=utf-8", "Contact"),
    ] {
        let answer = world.get(path, "");
        assert_eq!((answer.status, answer.text()), (200, text), "{path}");
        assert_eq!(answer.header("content-type"), Some(kind), "{path}");
        assert_eq!(answer.header("accept-ranges"), Some("bytes"), "{path}");
    }
    let answer = world.get("/sub?q=1", "");
    assert_eq!((answer.status, answer.header("location")), (308, Some("/sub/?q=1")));
    let head = world.ask("HEAD /app.js HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!((head.status, head.header("content-length")), (200, Some("9")));
    let post = world.ask("POST /app.js HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc");
    assert_eq!((post.status, post.header("allow")), (405, Some("GET, HEAD")));
}

#[test]
fn nothing_else_is_served() {
    let (_folder, world) = world(json!({}));
    for path in [
        "/../secret.txt",
        "/sub/../../secret.txt",
        "/%2e%2e/secret.txt",
        "/..%2fsecret.txt",
        "/sub/%2e%2e%2f%2e%2e%2fsecret.txt",
        "/..%5csecret.txt",
        "/%252e%252e/secret.txt",
        "/link.txt",
        "/.env",
        "/%2eenv",
        "/sub/.git",
        "/.well-known/.env",
        "/app.js%00.html",
        "/app.js/",
        "/app.js/x",
        "/empty/",
        "/empty",
        "/gone",
        "/%ff",
        &format!("/{}", "x".repeat(3000)),
        &"/x".repeat(3000),
    ] {
        let answer = world.get(path, "Accept: text/html\r\n");
        assert_eq!(answer.status, 404, "{path}: {}", answer.text());
        assert!(answer.text().contains("there is nothing here") && !answer.text().contains("SECRET"));
    }
}

#[test]
fn a_client_that_has_it_gets_nothing() {
    let (_folder, world) = world(json!({"response_headers": {"set": {"Cache-Control": "max-age=60"}}}));
    let answer = world.get("/app.js", "");
    let etag = answer.header("etag").unwrap().to_owned();
    assert_eq!(answer.header("last-modified"), Some("Tue, 14 Nov 2023 22:13:20 GMT"));
    for (condition, status) in [
        (format!("If-None-Match: {etag}"), 304),
        (format!("If-None-Match: W/\"x\", W/{etag}"), 304),
        ("If-None-Match: \"x\"\r\nIf-Modified-Since: Tue, 14 Nov 2023 22:13:20 GMT".into(), 200),
        ("If-Modified-Since: Tue, 14 Nov 2023 22:13:20 GMT".into(), 304),
        ("If-Modified-Since: Tue, 14 Nov 2023 22:13:19 GMT".into(), 200),
        ("If-Modified-Since: yesterday".into(), 200),
        ("If-Match: \"x\"".into(), 412),
        (format!("If-Match: {etag}"), 200),
        ("If-Unmodified-Since: Tue, 14 Nov 2023 22:13:19 GMT".into(), 412),
    ] {
        let answer = world.get("/app.js", &format!("{condition}\r\n"));
        assert_eq!(answer.status, status, "{condition}");
        if status == 304 {
            assert_eq!(answer.header("etag"), Some(&*etag));
            assert_eq!((answer.header("cache-control"), answer.header("content-length")), (Some("max-age=60"), None));
        }
    }
}

#[test]
fn parts_of_a_large_file_and_all_of_it() {
    let (folder, world) = world(json!({}));
    let all = fs::read(folder.path().join("www/video.mp4")).unwrap();
    let mut client = world.connect();
    // One connection: no answer may leave anything behind for the next.
    let mut get = |headers: &str| {
        client.send(format!("GET /video.mp4 HTTP/1.1\r\nHost: a\r\n{headers}\r\n"));
        client.answer(false)
    };
    let answer = get("");
    assert_eq!((answer.status, answer.header("content-type")), (200, Some("video/mp4")));
    assert!(answer.body == all);
    for (range, start, end) in
        [("0-0", 0, 1), ("100-299998", 100, 299_999), ("200000-", 200_000, 300_000), ("-5", 299_995, 300_000)]
    {
        let answer = get(&format!("Range: bytes={range}\r\n"));
        assert_eq!(answer.status, 206, "{range}");
        assert_eq!(answer.header("content-range"), Some(&*format!("bytes {start}-{}/300000", end - 1)));
        assert!(answer.body == all[start..end], "{range}");
    }
    let answer = get("Range: bytes=300000-\r\n");
    assert_eq!((answer.status, answer.header("content-range")), (416, Some("bytes */300000")));
    assert_eq!(get("Range: bytes=1-2\r\nIf-Range: \"other\"\r\n").status, 200);
    assert_eq!(get("Range: bytes=0-1,3-4\r\n").status, 200);
}

#[test]
fn the_compressed_file_goes_to_who_likes_it() {
    let (_folder, world) = world(json!({}));
    for (accept, coding, text) in [
        ("gzip, deflate, br, zstd", Some("br"), "br"),
        ("gzip;q=1, br;q=0.5", Some("gzip"), "gz"),
        ("zstd", None, "let plain"),
        ("br;q=0", None, "let plain"),
        ("identity, br;q=0.1", None, "let plain"),
    ] {
        let answer = world.get("/app.js", &format!("Accept-Encoding: {accept}\r\n"));
        assert_eq!((answer.header("content-encoding"), answer.text()), (coding, text), "{accept}");
        assert_eq!(answer.header("content-type"), Some("text/javascript; charset=utf-8"));
        assert_eq!(answer.header("vary"), Some("Accept-Encoding"));
    }
    let etags: Vec<_> = ["br", "gzip", "identity"]
        .map(|coding| world.get("/app.js", &format!("Accept-Encoding: {coding}\r\n")).headers["etag"].clone())
        .into();
    assert!(etags[0] != etags[1] && etags[1] != etags[2], "{etags:?}");
}

#[test]
fn a_fallback_and_a_prefix_serve_an_application() {
    let (_folder, world) = world(json!({
        "path": "/ui",
        "rewrite": {"strip_prefix": "/ui"},
        "files": {"fallback": "index.html", "precompressed": false},
    }));
    assert_eq!(world.get("/ui/some/view", "").text(), "<h1>home");
    assert_eq!(world.get("/ui/app.js", "Accept-Encoding: br\r\n").text(), "let plain");
    let answer = world.get("/ui/sub", "");
    assert_eq!((answer.status, answer.header("location")), (308, Some("/ui/sub/")));
    assert_eq!(world.get("/app.js", "").status, 404, "no route");
}

#[test]
fn the_operators_page_stands_for_what_is_missing() {
    let folder = tempfile::tempdir().unwrap();
    let page = folder.path().join("404.html");
    fs::write(&page, "<p>gone").unwrap();
    let (_folder, world) = world(json!({"error_pages": {"404": page}}));
    let answer = world.get("/gone", "");
    assert_eq!((answer.status, answer.text()), (404, "<p>gone"));
}

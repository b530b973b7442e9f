//! What each fuzz target does with its bytes. `cargo test` runs the same functions over the corpus (`tests/it/fuzz.rs`).
//!
//! The first bytes choose what a mutation cannot find by itself (headers, encodings); the rest is the foreign input.

use std::net::{IpAddr, Ipv4Addr};

use http::{HeaderMap, HeaderValue, Method};
use real_streaming::{
    collect::{Config, CookieConfig, Hit, StreamConfig},
    deliver::spool::frame,
    enrich,
    pipeline::Pipeline,
    schema::{arrow, json},
};

/// The key of a trusted caller.
const KEY: &str = "correct-horse-battery";

/// What a target does with an input.
pub type Entry = fn(&[u8]);

/// Every target, by name.
pub const TARGETS: &[(&str, Entry)] = &[
    ("body", body),
    ("headers", headers),
    ("page_url", page_url),
    ("spool_segment", spool_segment),
    ("row_bytes", row_bytes),
];

fn pipeline() -> Pipeline {
    let steps = enrich::standard(&enrich::Config::default());
    let streams: Vec<StreamConfig> = serde_json::from_value(serde_json::json!([{ "id": "1", "api_keys": [KEY] }]))
        .expect("a stream with a key is a configuration");
    Pipeline::new(&Config::default(), &streams, &CookieConfig::default(), steps)
}

fn collect(query: &str, headers: &HeaderMap, body: &[u8]) {
    let hit = Hit {
        method: &Method::POST,
        path: "/api/v1/streaming/1",
        stream: "1",
        query,
        host: "www.example.com",
        headers,
        body,
        client_ip: IpAddr::V4(Ipv4Addr::LOCALHOST),
        from_trusted_proxy: true,
        secure: true,
        received_at: 1_700_000_000_000_000,
        entropy: 0x0123_4567_89ab_cdef_0123_4567_89ab_cdef,
        request_id: "fuzz",
    };
    match pipeline().collect(&hit) {
        Ok(collected) => {
            assert!(collected.reply.status.is_success());
            for row in &collected.rows {
                json::row(row.bytes()).expect("our own rows can be read");
            }
            let rows = collected.rows.iter().map(|row| row.bytes().as_ref());
            let batch = arrow::record_batch(rows).expect("our own rows can be read");
            assert_eq!(batch.num_rows(), collected.rows.len());
        }
        Err(refusal) => {
            let status = refusal.reply("fuzz").status;
            assert!(status.is_client_error(), "input is never our fault: {status}");
        }
    }
}

/// A request body, plain or in one of the content encodings, as one of the media types, from a trusted caller or not.
pub fn body(data: &[u8]) {
    let Some((choice, body)) = data.split_first() else { return };
    let mut headers = HeaderMap::new();
    let media_type = ["application/json", "text/plain", "application/x-ndjson"][usize::from(choice & 3) % 3];
    headers.insert("content-type", HeaderValue::from_static(media_type));
    let encoding = ["identity", "gzip", "br", "deflate", "zstd"][usize::from(choice >> 2 & 7) % 5];
    headers.insert("content-encoding", HeaderValue::from_static(encoding));
    let query = ["", "debug=1", "atomic=1", "atomic=1&debug=1"][usize::from(choice >> 5 & 3)];
    if choice >> 7 == 1 {
        headers.insert("x-api-key", HeaderValue::from_static(KEY));
    }
    collect(query, &headers, body);
}

/// Header values, one a line, in the order of the list below.
pub fn headers(data: &[u8]) {
    const NAMES: [&str; 12] = [
        "cookie",
        "user-agent",
        "accept-language",
        "referer",
        "origin",
        "x-client-geo-country",
        "x-client-geo-region",
        "x-client-geo-city",
        "sec-ch-ua",
        "sec-ch-ua-platform",
        "sec-ch-ua-full-version-list",
        "content-encoding",
    ];
    let mut headers = HeaderMap::new();
    for (name, value) in NAMES.into_iter().zip(data.split(|byte| *byte == b'\n')) {
        if let Ok(value) = HeaderValue::from_bytes(value) {
            headers.insert(name, value);
        }
    }
    collect("", &headers, br#"{"event_name":"page_view","page":{"location":"https://example.com/"}}"#);
}

/// A page's address and its referrer, one a line.
pub fn page_url(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let (location, referrer) = text.split_once('\n').unwrap_or((&text, ""));
    let body = serde_json::json!({
        "event_name": "page_view",
        "params": { "page_location": location, "page_referrer": referrer },
    });
    collect("", &HeaderMap::new(), body.to_string().as_bytes());
}

/// A segment of the spool, as a disk may give it back.
pub fn spool_segment(data: &[u8]) {
    let recovered = frame::recover(data, frame::Key::of(7));
    drop(recovered);
}

/// An encoded row.
pub fn row_bytes(data: &[u8]) {
    let columns = arrow::record_batch([data]);
    let text = json::row(data);
    assert_eq!(columns.is_ok(), text.is_ok(), "the two readers agree on what a row is: {columns:?} {text:?}");
}

//! A hit like any other, and what must hold for whatever becomes of it.

use std::{
    net::{IpAddr, Ipv4Addr},
    sync::LazyLock,
};

use http::{HeaderMap, HeaderName, HeaderValue, Method};
use real_streaming::{
    collect::{Config, CookieConfig, Hit, StreamConfig},
    enrich::{self, Atlas},
    pipeline::Pipeline,
    schema::{arrow, json},
};
use serde_json::Value;

/// The key of a trusted caller.
pub const KEY: &str = "correct-horse-battery";
/// When every hit came in.
pub const NOW: i64 = 1_700_000_000_000_000;

/// One for all inputs: it starts a thread and compiles the patterns of user agents.
static PIPELINE: LazyLock<Pipeline> = LazyLock::new(|| pipeline(&enrich::Config::default()));

/// A pipeline with all steps.
pub fn pipeline(config: &enrich::Config) -> Pipeline {
    pipeline_of(enrich::standard(config))
}

/// The same, with a database of addresses.
pub fn pipeline_with(config: &enrich::Config, atlas: &Atlas) -> Pipeline {
    pipeline_of(enrich::standard_with(config, atlas))
}

/// A pipeline with these steps.
pub fn pipeline_of(steps: Vec<Box<dyn enrich::Enricher>>) -> Pipeline {
    let streams: Vec<StreamConfig> = serde_json::from_value(serde_json::json!([{ "id": "1", "api_keys": [KEY] }]))
        .expect("a stream with a key is a configuration");
    Pipeline::new(&Config::default(), &streams, &CookieConfig::default(), steps)
}

/// Headers of these names and values; what is no header value is left out.
pub fn headers<'a>(pairs: impl IntoIterator<Item = (&'static str, &'a [u8])>) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in pairs {
        if let Ok(value) = HeaderValue::from_bytes(value) {
            headers.append(HeaderName::from_static(name), value);
        }
    }
    headers
}

/// A hit on a stream.
pub fn hit<'a>(query: &'a str, headers: &'a HeaderMap, body: &'a [u8]) -> Hit<'a> {
    Hit {
        method: &Method::POST,
        path: "/api/v1/streaming/1",
        stream: "1",
        query,
        host: "www.example.com",
        headers,
        body,
        client_ip: IpAddr::V4(Ipv4Addr::LOCALHOST),
        client_named_in: None,
        from_trusted_proxy: true,
        secure: true,
        received_at: NOW,
        entropy: 0x0123_4567_89ab_cdef_0123_4567_89ab_cdef,
        browser: None,
    }
}

/// Collects a hit and returns its rows as JSON.
pub fn rows(hit: &Hit<'_>) -> Vec<Value> {
    rows_of(&PIPELINE, hit)
}

/// [`rows`], by a pipeline of one's own.
pub fn rows_of(pipeline: &Pipeline, hit: &Hit<'_>) -> Vec<Value> {
    let collected = match pipeline.collect(hit) {
        Ok(collected) => collected,
        Err(refusal) => {
            let reply = refusal.reply("fuzz");
            assert!(reply.status.is_client_error(), "input is never our fault: {}", reply.status);
            assert_eq!(pipeline.collect(hit).err(), Some(refusal), "the same hit is refused for the same reason");
            return Vec::new();
        }
    };
    assert!(collected.reply.status.is_success());
    serde_json::from_slice::<Value>(&collected.reply.body).expect("an answer is JSON");
    let again = pipeline.collect(hit).expect("the same hit is taken again");
    assert_eq!(collected.rows, again.rows, "the same hit gives the same rows");

    let batch = arrow::record_batch(collected.rows.iter().map(|row| row.bytes()));
    let batch = batch.expect("our own rows can be read");
    assert_eq!(batch.num_rows(), collected.rows.len());
    collected.rows.iter().map(|row| json::value(row.bytes()).expect("our own rows can be read")).collect()
}

/// The rows of a page view with these headers.
pub fn page_view(headers: &HeaderMap) -> Vec<Value> {
    rows(&hit("", headers, PAGE_VIEW))
}

/// The body of a page view.
pub const PAGE_VIEW: &[u8] = br#"{"event_name":"page_view","page":{"location":"https://example.com/"}}"#;

/// Every text in a value.
pub fn texts(value: &Value) -> Vec<&str> {
    match value {
        Value::String(text) => vec![text],
        Value::Array(items) => items.iter().flat_map(texts).collect(),
        Value::Object(members) => members.values().flat_map(texts).collect(),
        _ => Vec::new(),
    }
}

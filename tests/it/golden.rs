//! `tests/golden/hits/*.http`, raw requests, against `*.rows.json`, what becomes of them: answer, drops and rows.
//! `UPDATE=1 cargo test golden` rewrites the expectations; the diff is the review.
//!
//! A request file is a head, an empty line, and the body without its last line end. Headers the test itself obeys:
//! `X-Test-Config` (JSON with `collect`, `streams`, `cookie`), `X-Test-Compress` (codings to apply to the body),
//! `X-Test-Repeat` (times the body is sent), `X-Test-Plain` (not over TLS), `X-Test-Untrusted` (from no known proxy).

#![allow(clippy::unwrap_used)]

use std::{
    fmt::Write as _,
    fs,
    io::Write as _,
    path::{Path, PathBuf},
};

use http::{HeaderMap, HeaderName, HeaderValue, Method};
use prost_reflect::{DescriptorPool, DynamicMessage, ReflectMessage, Value};
use real_streaming::{
    collect::{Config, CookieConfig, Hit, Reply, StreamConfig},
    enrich,
    pipeline::Pipeline,
    schema::{Row, reference::DESCRIPTOR_SET},
};
use serde::Deserialize;
use serde_json::{Map, json};

/// 2025-06-15T15:06:40.123456Z.
const RECEIVED_AT: i64 = 1_750_000_000_123_456;
const ENTROPY: u128 = 0x0123_4567_89ab_cdef_0123_4567_89ab_cdef;

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Setup {
    collect: Config,
    streams: Vec<StreamConfig>,
    cookie: CookieConfig,
}

pub struct Request {
    method: Method,
    path: String,
    query: String,
    headers: HeaderMap,
    body: Vec<u8>,
    setup: Setup,
    secure: bool,
    trusted: bool,
}

impl Request {
    pub fn read(bytes: &[u8]) -> Request {
        let end = bytes.windows(2).position(|pair| pair == b"\n\n").expect("an empty line ends the head");
        let head = std::str::from_utf8(&bytes[..end]).expect("heads are text");
        let body = &bytes[end + 2..];
        let mut body = body.strip_suffix(b"\n").unwrap_or(body).to_vec();
        let mut lines = head.lines();
        let mut start = lines.next().expect("a request line").split(' ');
        let method = start.next().expect("a method").parse().expect("a method");
        let target = start.next().expect("a target");
        let (path, query) = target.split_once('?').unwrap_or((target, ""));

        let mut headers = HeaderMap::new();
        let (mut setup, mut secure, mut trusted) = (Setup::default(), true, true);
        for line in lines {
            let (name, value) = line.split_once(": ").expect("`name: value`");
            match name {
                "X-Test-Config" => setup = serde_json::from_str(value).expect("a setup"),
                "X-Test-Compress" => value.split(", ").for_each(|coding| body = compress(coding, &body)),
                "X-Test-Repeat" => body = body.repeat(value.parse().expect("a number")),
                "X-Test-Plain" => secure = false,
                "X-Test-Untrusted" => trusted = false,
                _ => {
                    let name: HeaderName = name.parse().expect("a header name");
                    headers.append(name, HeaderValue::from_str(value).expect("a header value"));
                }
            }
        }
        Request { method, path: path.into(), query: query.into(), headers, body, setup, secure, trusted }
    }

    fn send(&self) -> serde_json::Value {
        self.ask(|pipeline, hit| {
            match pipeline.admit(hit.method, hit.stream, hit.headers).and_then(|_| pipeline.collect(hit)) {
                Err(refusal) => json!({ "refusal": refusal.code(), "reply": reply(&refusal.reply("golden")) }),
                Ok(collected) => json!({
                    "reply": reply(&collected.reply),
                    "dropped": collected.dropped.iter().map(|(index, why)| json!([index, why.label()])).collect::<Vec<_>>(),
                    "rows": collected.rows.iter().map(row).collect::<Vec<_>>(),
                }),
            }
        })
    }

    /// Asks the pipeline of the request's configuration about it.
    pub fn ask<T>(&self, question: impl FnOnce(&Pipeline, &Hit<'_>) -> T) -> T {
        let Setup { collect, streams, cookie } = &self.setup;
        let pipeline = Pipeline::new(collect, streams, cookie, enrich::standard(&enrich::Config::default()));
        let stream = self.path.strip_prefix(&format!("{}/", collect.path)).expect("a collection path");
        let host = self.headers.get("host").map_or("", |host| host.to_str().expect("hosts are text"));
        let hit = Hit {
            method: &self.method,
            path: &self.path,
            stream,
            query: &self.query,
            host: host.split(':').next().unwrap_or_default(),
            headers: &self.headers,
            body: &self.body,
            client_ip: [203, 0, 113, 7].into(),
            client_named_in: None,
            from_trusted_proxy: self.trusted,
            secure: self.secure,
            received_at: RECEIVED_AT,
            entropy: ENTROPY,
            browser: None,
        };
        question(&pipeline, &hit)
    }
}

fn compress(coding: &str, body: &[u8]) -> Vec<u8> {
    use flate2::{Compression, write};
    let mut out = Vec::new();
    match coding {
        "gzip" => write::GzEncoder::new(&mut out, Compression::fast()).write_all(body),
        "deflate" => write::ZlibEncoder::new(&mut out, Compression::fast()).write_all(body),
        "raw-deflate" => write::DeflateEncoder::new(&mut out, Compression::fast()).write_all(body),
        "br" => brotli::CompressorWriter::new(&mut out, 4096, 5, 20).write_all(body),
        "zstd" => zstd::encode_all(body, 3).map(|bytes| out = bytes),
        other => panic!("unknown coding `{other}`"),
    }
    .expect("memory takes every write");
    out
}

fn reply(reply: &Reply) -> serde_json::Value {
    let header = |(name, value): &(HeaderName, HeaderValue)| format!("{name}: {}", value.to_str().expect("text"));
    json!({
        "status": reply.status.as_u16(),
        "headers": reply.headers.iter().map(header).collect::<Vec<_>>(),
        "body": String::from_utf8(reply.body.to_vec()).expect("answers are text"),
    })
}

/// A row as JSON, unset columns left out.
fn row(row: &Row) -> serde_json::Value {
    let pool = DescriptorPool::decode(DESCRIPTOR_SET).expect("the build wrote it");
    let descriptor = pool.get_message_by_name("real_streaming.Event").expect("the schema has it");
    let message = DynamicMessage::decode(descriptor, row.bytes()).expect("rows are events");
    let columns = members(&message);
    assert_eq!(columns["date"], row.date.0, "the row repeats its date");
    assert_eq!(columns["stream_id"], *row.stream, "the row repeats its stream");
    assert_eq!(columns["rs_info"]["event_id"], row.id(), "the row repeats its identifier");
    columns
}

fn members(message: &DynamicMessage) -> serde_json::Value {
    let mut members = Map::new();
    for field in message.descriptor().fields().filter(|field| message.has_field(field)) {
        members.insert(field.name().to_owned(), plain(&message.get_field(&field)));
    }
    members.into()
}

fn plain(value: &Value) -> serde_json::Value {
    match value {
        Value::Bool(bool) => json!(bool),
        Value::I32(int) => json!(int),
        Value::I64(int) => json!(int),
        Value::F64(number) => json!(number),
        Value::String(text) => json!(text),
        Value::List(list) => list.iter().map(plain).collect(),
        Value::Message(message) => members(message),
        other => panic!("the schema has no {other:?}"),
    }
}

/// JSON on as few lines as stay readable.
fn pretty(value: &serde_json::Value, indent: usize, out: &mut String) {
    const WIDTH: usize = 140;
    let compact = value.to_string();
    let (open, close, members): (_, _, Vec<(String, &serde_json::Value)>) = match value {
        serde_json::Value::Object(object) if indent + compact.len() > WIDTH => {
            ('{', '}', object.iter().map(|(key, member)| (format!("{}: ", json!(key)), member)).collect())
        }
        serde_json::Value::Array(array) if indent + compact.len() > WIDTH => {
            ('[', ']', array.iter().map(|element| (String::new(), element)).collect())
        }
        _ => return out.push_str(&compact),
    };
    out.push(open);
    for (index, (key, member)) in members.iter().enumerate() {
        let comma = if index == 0 { "" } else { "," };
        let _ = write!(out, "{comma}\n{:width$}{key}", "", width = indent + 2);
        pretty(member, indent + 2, out);
    }
    let _ = write!(out, "\n{:indent$}{close}", "");
}

/// The `.http` files of a folder in `tests/golden`.
pub fn requests(folder: &str) -> Vec<PathBuf> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(folder);
    let mut requests: Vec<_> = fs::read_dir(&directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    requests.retain(|path| path.extension().is_some_and(|extension| extension == "http"));
    requests.sort();
    requests
}

/// Compares what becomes of each request with the file beside it that has this ending; `UPDATE` writes it instead.
pub fn compare(requests: &[PathBuf], ending: &str, actual: impl Fn(&Path) -> String) {
    let update = std::env::var_os("UPDATE").is_some();
    let mut differing = Vec::new();
    for path in requests {
        let (golden, actual) = (path.with_extension(ending), actual(path));
        if update {
            fs::write(&golden, actual).unwrap();
        } else if fs::read_to_string(&golden).unwrap_or_default() != actual {
            differing.push(format!("{}: got\n{actual}", path.display()));
        }
    }
    assert!(differing.is_empty(), "{}\n`UPDATE=1 cargo test golden` rewrites", differing.join("\n"));
}

#[test]
fn every_hit_turns_into_its_rows() {
    let requests = requests("hits");
    compare(&requests, "rows.json", |path| {
        let mut actual = String::new();
        pretty(&Request::read(&fs::read(path).unwrap()).send(), 0, &mut actual);
        actual + "\n"
    });
    assert!(requests.len() >= 40, "only {} cases found", requests.len());
}

/// What a table may have as `REQUIRED`.
#[test]
fn every_row_has_the_columns_that_every_row_is_said_to_have() {
    fn has(record: &serde_json::Value, path: &str) -> bool {
        match (path.split_once('.'), record) {
            (_, serde_json::Value::Array(list)) => list.iter().all(|record| has(record, path)),
            // Members are those of a record that is there.
            (Some((name, rest)), _) => record.get(name).is_none_or(|record| has(record, rest)),
            (None, _) => record.get(path).is_some_and(|value| !value.is_null()),
        }
    }
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/hits");
    let mut rows = Vec::new();
    for file in fs::read_dir(folder).unwrap() {
        let path = file.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "json") {
            let answer: serde_json::Value = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
            rows.extend(answer["rows"].as_array().cloned().unwrap_or_default());
        }
    }
    assert!(rows.len() > 50, "{}", rows.len());
    for path in real_streaming::schema::bigquery::ALWAYS_FILLED {
        assert!(real_streaming::schema::flatten().iter().any(|(known, _)| known == path), "no column `{path}`");
        let lacking = rows.iter().find(|row| !has(row, path));
        assert_eq!(lacking, None, "{path}");
    }
}

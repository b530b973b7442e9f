//! One JSON object a line, as Cloud Logging's agents and Cloud Run read it: `severity`, `time`, `message` and
//! `logging.googleapis.com/…` become parts of the entry, all else its payload.

use std::fmt;

use jiff::Timestamp;
use serde_json::{Map, Value, json};
use tracing::{Level, Metadata};
use tracing_subscriber::fmt::format::Writer;

use super::{
    ACCESS,
    fields::Fields,
    line::{HTTP_REQUEST, Line},
};

/// Longest text of one field, in bytes. An entry may have 256 KiB (Cloud Logging's quota); a longer one is lost whole.
const MAX_TEXT: usize = 64 << 10;

/// Lines for Cloud Logging.
pub struct Json;

impl Line for Json {
    fn write(&self, metadata: &Metadata<'_>, fields: Fields, writer: &mut Writer<'_>) -> fmt::Result {
        let severity = match *metadata.level() {
            Level::ERROR => "ERROR",
            Level::WARN => "WARNING",
            Level::INFO => "INFO",
            Level::DEBUG | Level::TRACE => "DEBUG",
        };
        let mut entry = Map::new();
        entry.insert("severity".into(), severity.into());
        entry.insert("time".into(), format!("{:.6}", Timestamp::now()).into());
        entry.insert("message".into(), clipped(fields.message).into());
        entry.insert("module".into(), metadata.target().into());
        if let (Some(file), Some(line)) = (metadata.file(), metadata.line())
            && metadata.target() != ACCESS
        {
            // 64-bit integers are text in protobuf's JSON.
            let location = json!({ "file": file, "line": line.to_string(), "function": metadata.module_path() });
            entry.insert("logging.googleapis.com/sourceLocation".into(), location);
        }
        for (name, value) in fields.others {
            let value = match value {
                Value::String(text) => clipped(text).into(),
                other => other,
            };
            if let Some(name) = name.strip_prefix(HTTP_REQUEST) {
                let request = entry.entry("httpRequest").or_insert_with(|| Map::new().into());
                if let Some(request) = request.as_object_mut() {
                    request.insert(name.to_owned(), value);
                }
                continue;
            }
            let name = if entry.contains_key(&name) { format!("field_{name}") } else { name };
            entry.insert(name, value);
        }
        writeln!(writer, "{}", Value::Object(entry))
    }
}

fn clipped(mut text: String) -> String {
    if text.len() > MAX_TEXT {
        text.truncate(text.floor_char_boundary(MAX_TEXT));
        text.push('…');
    }
    text
}

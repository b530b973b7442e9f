//! One JSON object a line, as Cloud Logging's agents and Cloud Run read it: `severity`, `time`, `message`, `httpRequest`
//! and `logging.googleapis.com/…` become parts of the entry, all else its payload.

use std::{borrow::Cow, fmt};

use jiff::Timestamp;
use serde::{Serialize, Serializer, ser::SerializeMap};
use serde_json::{Value, json};
use tracing::{Level, Metadata};
use tracing_subscriber::fmt::format::Writer;

use super::{
    ACCESS,
    fields::Fields,
    line::{HTTP_REQUEST, Line},
};

/// Longest text of one field, in bytes. An entry may have 256 KiB (Cloud Logging's quota); a longer one is lost whole.
const MAX_TEXT: usize = 64 << 10;
const SOURCE_LOCATION: &str = "logging.googleapis.com/sourceLocation";
/// What no field of an event may be called.
const OURS: [&str; 6] = ["severity", "time", "message", "module", "httpRequest", SOURCE_LOCATION];

/// Lines for Cloud Logging.
pub struct Json;

impl Line for Json {
    fn write(&self, metadata: &Metadata<'_>, fields: Fields, writer: &mut Writer<'_>) -> fmt::Result {
        let mut line = Vec::with_capacity(1024);
        entry(metadata, &fields, &mut serde_json::Serializer::new(&mut line)).map_err(|_| fmt::Error)?;
        writeln!(writer, "{}", std::str::from_utf8(&line).map_err(|_| fmt::Error)?)
    }
}

/// Member by member, without a tree in between: there is a line for each request.
fn entry<S: Serializer>(metadata: &Metadata<'_>, fields: &Fields, serializer: S) -> Result<S::Ok, S::Error> {
    let severity = match *metadata.level() {
        Level::ERROR => "ERROR",
        Level::WARN => "WARNING",
        Level::INFO => "INFO",
        Level::DEBUG | Level::TRACE => "DEBUG",
    };
    let mut entry = serializer.serialize_map(None)?;
    entry.serialize_entry("severity", severity)?;
    entry.serialize_entry("time", &format_args!("{:.6}", Timestamp::now()))?;
    entry.serialize_entry("message", &clipped(&fields.message))?;
    entry.serialize_entry("module", metadata.target())?;
    if let (Some(file), Some(line)) = (metadata.file(), metadata.line())
        && metadata.target() != ACCESS
    {
        // 64-bit integers are text in protobuf's JSON.
        let location = json!({ "file": file, "line": line.to_string(), "function": metadata.module_path() });
        entry.serialize_entry(SOURCE_LOCATION, &location)?;
    }
    if fields.others.iter().any(|(name, _)| name.starts_with(HTTP_REQUEST)) {
        entry.serialize_entry("httpRequest", &HttpRequest(fields))?;
    }
    for (name, value) in fields.others.iter().filter(|(name, _)| !name.starts_with(HTTP_REQUEST)) {
        let value = Clipped(value);
        match OURS.contains(&&**name) {
            true => entry.serialize_entry(&format!("field_{name}"), &value)?,
            false => entry.serialize_entry(name, &value)?,
        }
    }
    entry.end()
}

/// The fields that make it.
struct HttpRequest<'a>(&'a Fields);

impl Serialize for HttpRequest<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut request = serializer.serialize_map(None)?;
        for (name, value) in &self.0.others {
            if let Some(name) = name.strip_prefix(HTTP_REQUEST) {
                request.serialize_entry(name, &Clipped(value))?;
            }
        }
        request.end()
    }
}

/// A value whose text is not too long.
struct Clipped<'a>(&'a Value);

impl Serialize for Clipped<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Value::String(text) => serializer.serialize_str(&clipped(text)),
            other => other.serialize(serializer),
        }
    }
}

fn clipped(text: &str) -> Cow<'_, str> {
    if text.len() <= MAX_TEXT {
        return Cow::Borrowed(text);
    }
    Cow::Owned(format!("{}…", &text[..text.floor_char_boundary(MAX_TEXT)]))
}

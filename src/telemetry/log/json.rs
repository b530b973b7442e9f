//! One JSON object a line, as Cloud Logging's agents and Cloud Run read it: `severity`, `time`, `message`, `httpRequest`
//! and `logging.googleapis.com/…` become parts of the entry, all else its payload.
//!
//! There is a line for each request, so that every value is written once, where it stays.

use std::{
    cell::Cell,
    fmt::{self, Write},
};

use jiff::{
    Timestamp,
    fmt::{StdFmtWrite, temporal::DateTimePrinter},
};
use serde_json::Value;
use tracing::{Level, Metadata};
use tracing_subscriber::fmt::format::Writer;

use super::{
    ACCESS,
    fields::{Fields, Given, MESSAGE},
    line::{HTTP_REQUEST, Line},
    text::{Bounded, escape},
};

/// Longest text of one field, in bytes. An entry may have 256 KiB (Cloud Logging's quota); a longer one is lost whole.
const MAX_TEXT: usize = 64 << 10;
/// To the microsecond.
const TIME: DateTimePrinter = DateTimePrinter::new().precision(Some(6));
/// Longest memory that a thread keeps for its next line, in bytes.
const MAX_KEPT: usize = 16 << 10;
const SOURCE_LOCATION: &str = "logging.googleapis.com/sourceLocation";
/// What no field of an event may be called.
const OURS: [&str; 6] = ["severity", "time", "message", "module", "httpRequest", SOURCE_LOCATION];

/// Lines for Cloud Logging.
pub struct Json;

impl Line for Json {
    fn write(&self, metadata: &Metadata<'_>, fields: &Fields<'_>, writer: &mut Writer<'_>) -> fmt::Result {
        // Not borrowed: a value that logs while it is shown finds empty ones.
        let mut parts = PARTS.take();
        let written = parts.fill(fields).and_then(|()| parts.write(metadata, writer));
        parts.clear();
        PARTS.set(parts);
        written
    }
}

thread_local! {
    static PARTS: Cell<Parts> = Cell::default();
}

/// The parts of one line whose order is not that of the fields.
#[derive(Default)]
struct Parts {
    /// What stands between quotes.
    message: String,
    /// Members of `httpRequest`, a comma before each.
    request: String,
    /// Members of the entry, likewise.
    others: String,
}

impl Parts {
    fn fill(&mut self, fields: &Fields<'_>) -> fmt::Result {
        let mut filled = Ok(());
        fields.each(|name, value| {
            let written = match name.strip_prefix(HTTP_REQUEST) {
                _ if name == MESSAGE => text(value, &mut self.message),
                Some(name) => member("", name, value, &mut self.request),
                None if OURS.contains(&name) => member("field_", name, value, &mut self.others),
                None => member("", name, value, &mut self.others),
            };
            filled = filled.and(written);
        });
        filled
    }

    fn write(&self, metadata: &Metadata<'_>, writer: &mut Writer<'_>) -> fmt::Result {
        let severity = match *metadata.level() {
            Level::ERROR => "ERROR",
            Level::WARN => "WARNING",
            Level::INFO => "INFO",
            Level::DEBUG | Level::TRACE => "DEBUG",
        };
        let now = Timestamp::now();
        for part in [r#"{"severity":""#, severity, r#"","time":""#] {
            writer.write_str(part)?;
        }
        TIME.print_timestamp(&now, StdFmtWrite(&mut *writer)).map_err(|_| fmt::Error)?;
        writer.write_str(r#"","message":""#)?;
        writer.write_str(&self.message)?;
        writer.write_str(r#"","module":""#)?;
        escape(metadata.target(), writer)?;
        writer.write_char('"')?;
        if let (Some(file), Some(line)) = (metadata.file(), metadata.line())
            && metadata.target() != ACCESS
        {
            write!(writer, r#","{SOURCE_LOCATION}":{{"file":""#)?;
            escape(file, writer)?;
            writer.write_str(r#"","function":"#)?;
            match metadata.module_path() {
                Some(path) => {
                    writer.write_char('"')?;
                    escape(path, writer)?;
                    writer.write_char('"')?;
                }
                None => writer.write_str("null")?,
            }
            // 64-bit integers are text in protobuf's JSON.
            write!(writer, r#","line":"{line}"}}"#)?;
        }
        if let Some(members) = self.request.strip_prefix(',') {
            writer.write_str(r#","httpRequest":{"#)?;
            writer.write_str(members)?;
            writer.write_char('}')?;
        }
        writer.write_str(&self.others)?;
        writer.write_str("}\n")
    }

    fn clear(&mut self) {
        for part in [&mut self.message, &mut self.request, &mut self.others] {
            part.clear();
            part.shrink_to(MAX_KEPT);
        }
    }
}

/// Adds a member, with a comma before it.
fn member(prefix: &str, name: &str, value: Given<'_>, out: &mut String) -> fmt::Result {
    out.push_str(",\"");
    out.push_str(prefix);
    escape(name, out)?;
    out.push_str("\":");
    match value {
        Given::U64(number) => out.write_str(itoa::Buffer::new().format(number)),
        Given::I64(_) | Given::Bool(_) => write!(out, "{value}"),
        Given::F64(number) if number.is_finite() => write!(out, "{value}"),
        Given::Kept(kept) if !kept.is_string() => write!(out, "{kept}"),
        _ => {
            out.push('"');
            text(value, out)?;
            out.push('"');
            Ok(())
        }
    }
}

/// Adds a value's text, as it stands between quotes.
fn text(value: Given<'_>, out: &mut String) -> fmt::Result {
    let mut bounded = Bounded::new(out, MAX_TEXT);
    match value {
        Given::Text(text) => bounded.write_str(text)?,
        Given::Kept(Value::String(text)) => bounded.write_str(text)?,
        value => write!(bounded, "{value}")?,
    }
    bounded.finish();
    Ok(())
}

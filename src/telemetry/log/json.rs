//! One JSON object a line, as Cloud Logging's agents and Cloud Run read it: `severity`, `time`, `message`, `httpRequest`
//! and `logging.googleapis.com/…` become parts of the entry, all else its payload.
//!
//! There is a line for each request, so that every value is written once, where it stays.

use std::{
    cell::Cell,
    fmt::{self, Write},
    ops::Range,
};

use itoa::Buffer;
use jiff::Timestamp;
use serde_json::Value;
use tracing::{Level, Metadata};
use tracing_subscriber::fmt::format::Writer;

use super::{
    ACCESS, MAX_KEPT,
    access::{About, Access, Part, Request},
    fields::{Fields, Given, MESSAGE},
    line::Line,
    text::{Bounded, escape},
};

/// Longest text of one field, in bytes. An entry may have 256 KiB (Cloud Logging's quota); a longer one is lost whole.
const MAX_TEXT: usize = 64 << 10;
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

    fn access(&self, level: Level, time: Timestamp, access: &Access<&str>, line: &mut String) -> fmt::Result {
        head(level, time, line)?;
        // An address is looked at once, though it stands there twice.
        let url = message(access, line);
        line.push_str(r#"","module":""#);
        line.push_str(ACCESS);
        // https://cloud.google.com/logging/docs/reference/v2/rest/v2/LogEntry#httprequest
        line.push_str(r#"","httpRequest":{"status":"#);
        line.push_str(Buffer::new().format(access.status));
        member_text(r#","remoteIp":""#, access.client, line);
        match &access.about {
            About::Unreadable(reason) => {
                line.push('}');
                member_text(r#","reason":""#, Some(reason), line);
            }
            About::Request(request) => about(request, url, line),
        }
        line.push_str(r#","handler":""#);
        line.push_str(access.handler);
        line.push('"');
        member_text(r#","client":""#, access.client, line);
        line.push_str("}\n");
        Ok(())
    }
}

/// What people read, and where the address stands in it, as it stands between quotes.
fn message(access: &Access<&str>, line: &mut String) -> Range<usize> {
    let mut url = 0..0;
    access.message(|part| match part {
        Part::Plain(text) => line.push_str(text),
        Part::Method(text) => plain(text, line),
        Part::Url(text) => {
            let begin = line.len();
            plain(text, line);
            url = begin..line.len();
        }
    });
    url
}

/// The rest of `httpRequest`, and what stands beside it.
fn about(request: &Request<&str>, url: Range<usize>, line: &mut String) {
    let mut number = Buffer::new();
    member_text(r#","requestMethod":""#, Some(request.method), line);
    line.push_str(r#","requestUrl":""#);
    line.extend_from_within(url);
    // 64-bit integers are text in protobuf's JSON.
    line.push_str(r#"","requestSize":""#);
    line.push_str(number.format(request.received));
    line.push_str(r#"","responseSize":""#);
    let bytes = number.format(request.bytes);
    line.push_str(bytes);
    line.push_str(r#"","latency":""#);
    request.latency(|part| line.push_str(part));
    line.push_str(r#"","protocol":""#);
    line.push_str(request.protocol);
    line.push('"');
    member_text(r#","userAgent":""#, request.agent, line);
    line.push_str(r#"},"bytes":"#);
    line.push_str(bytes);
    member_text(r#","logging.googleapis.com/trace":""#, request.trace, line);
    member_text(r#","logging.googleapis.com/spanId":""#, request.span, line);
    if let Some(sampled) = request.sampled {
        line.push_str(r#","logging.googleapis.com/trace_sampled":"#);
        line.push_str(if sampled { "true" } else { "false" });
    }
    member_text(r#","route":""#, request.route, line);
    member_text(r#","upstream":""#, request.upstream, line);
    if request.attempts > 0 {
        line.push_str(r#","attempts":"#);
        line.push_str(number.format(request.attempts));
    }
    if request.aborted {
        line.push_str(r#","aborted":true"#);
    }
    member_text(r#","request_id":""#, Some(request.id), line);
}

/// Adds a member whose value is text, if there is one. `begin` ends with the quote before the value.
fn member_text(begin: &str, value: Option<&str>, line: &mut String) {
    if let Some(value) = value {
        line.push_str(begin);
        plain(value, line);
        line.push('"');
    }
}

/// Adds text as it stands between quotes.
fn plain(text: &str, line: &mut String) {
    escape(text, line).expect("a String takes whatever is written");
}

/// Everything before the message.
fn head(level: Level, now: Timestamp, writer: &mut impl Write) -> fmt::Result {
    let severity = match level {
        Level::ERROR => "ERROR",
        Level::WARN => "WARNING",
        Level::INFO => "INFO",
        Level::DEBUG | Level::TRACE => "DEBUG",
    };
    for part in [r#"{"severity":""#, severity, r#"","time":""#] {
        writer.write_str(part)?;
    }
    time(now, writer)?;
    writer.write_str(r#"","message":""#)
}

/// To the microsecond. A thread formats all but the fraction once a second.
fn time(now: Timestamp, writer: &mut impl Write) -> fmt::Result {
    let mut second = SECOND.take();
    if second.as_ref().is_none_or(|(of, _)| *of != now.as_second()) {
        second = Some((now.as_second(), now.strftime("%Y-%m-%dT%H:%M:%S.").to_string()));
    }
    let written = second.as_ref().map_or(Ok(()), |(_, text)| writer.write_str(text));
    SECOND.set(second);
    written?;
    // With the zeros in front.
    let micros = 1_000_000 + now.subsec_microsecond();
    writer.write_str(&Buffer::new().format(micros)[1..])?;
    writer.write_char('Z')
}

thread_local! {
    static PARTS: Cell<Parts> = Cell::default();
    /// A second, and how it is written.
    static SECOND: Cell<Option<(i64, String)>> = const { Cell::new(None) };
}

/// The parts of one line whose order is not that of the fields.
#[derive(Default)]
struct Parts {
    /// What stands between quotes.
    message: String,
    /// Members of the entry, a comma before each.
    others: String,
}

impl Parts {
    fn fill(&mut self, fields: &Fields<'_>) -> fmt::Result {
        let mut filled = Ok(());
        fields.each(|name, value| {
            let written = match name {
                MESSAGE => text(value, &mut self.message),
                _ if OURS.contains(&name) => member("field_", name, value, &mut self.others),
                _ => member("", name, value, &mut self.others),
            };
            filled = filled.and(written);
        });
        filled
    }

    fn write(&self, metadata: &Metadata<'_>, writer: &mut Writer<'_>) -> fmt::Result {
        head(*metadata.level(), Timestamp::now(), writer)?;
        writer.write_str(&self.message)?;
        writer.write_str(r#"","module":""#)?;
        escape(metadata.target(), writer)?;
        writer.write_char('"')?;
        if let (Some(file), Some(line)) = (metadata.file(), metadata.line()) {
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
        writer.write_str(&self.others)?;
        writer.write_str("}\n")
    }

    fn clear(&mut self) {
        for part in [&mut self.message, &mut self.others] {
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

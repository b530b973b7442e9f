//! `INFO      2024-01-15 10:30:46.456 - module - message key=value - [src/module.rs:32]`

use std::fmt::{self, Write};

use itoa::Buffer;
use jiff::{Timestamp, tz::TimeZone};
use serde_json::Value;
use tracing::{Level, Metadata};
use tracing_subscriber::fmt::format::Writer;

use super::{
    ACCESS,
    access::{About, Access},
    fields::{Fields, Given, MESSAGE},
    line::Line,
};

/// Lines for people.
pub struct Human {
    /// Whether the level has a colour.
    pub colour: bool,
}

impl Line for Human {
    fn write(&self, metadata: &Metadata<'_>, fields: &Fields<'_>, writer: &mut Writer<'_>) -> fmt::Result {
        let target = metadata.target();
        self.head(*metadata.level(), Timestamp::now(), target, writer)?;
        let (mut message, mut others) = (String::new(), String::new());
        fields.each(|name, value| {
            // It cannot fail on a text, but for a value that fails itself, and then its beginning is shown.
            let _ = match name {
                MESSAGE => write!(message, "{value}"),
                _ => field(name, value, &mut others),
            };
        });
        write!(writer, "{message}{others}")?;
        // Of other crates it would be a path on the machine that built the binary.
        if let (Some(file), Some(line)) = (metadata.file(), metadata.line())
            && !file.starts_with('/')
        {
            write!(writer, " - [{file}:{line}]")?;
        }
        writeln!(writer)
    }

    fn access(&self, level: Level, time: Timestamp, access: &Access<&str>, line: &mut String) -> fmt::Result {
        self.head(level, time, ACCESS, line)?;
        access.message(|part| line.push_str(part.text()));
        // What only a program can use is left out; people read it in the message.
        let Access { client, handler, .. } = *access;
        let mut text = |name, value: Option<&str>| value.map_or(Ok(()), |value| field(name, Given::Text(value), line));
        match &access.about {
            About::Unreadable(reason) => {
                text("handler", Some(handler))?;
                text("reason", Some(reason))?;
                text("client", client)?;
            }
            About::Request(request) => {
                let mut number = Buffer::new();
                text("bytes", Some(number.format(request.bytes)))?;
                text("handler", Some(handler))?;
                text("route", request.route)?;
                text("upstream", request.upstream)?;
                text("attempts", (request.attempts > 0).then(|| number.format(request.attempts)))?;
                text("aborted", request.aborted.then_some("true"))?;
                text("client", client)?;
                text("request_id", Some(request.id))?;
            }
        }
        line.push('\n');
        Ok(())
    }
}

impl Human {
    /// Everything before the message.
    fn head(&self, level: Level, time: Timestamp, target: &str, writer: &mut impl Write) -> fmt::Result {
        let (level, colour) = match level {
            Level::ERROR => ("ERROR", 31),
            Level::WARN => ("WARNING", 33),
            Level::INFO => ("INFO", 32),
            Level::DEBUG => ("DEBUG", 36),
            Level::TRACE => ("TRACE", 35),
        };
        match self.colour {
            true => write!(writer, "\x1b[{colour}m{level:<10}\x1b[0m")?,
            false => write!(writer, "{level:<10}")?,
        }
        // Our own name on every line would say nothing.
        let module = target.strip_prefix(concat!(env!("CARGO_CRATE_NAME"), "::")).unwrap_or(target);
        let time = time.to_zoned_datetime(TimeZone::system());
        write!(writer, "{} - {module} - ", time.strftime("%Y-%m-%d %H:%M:%S%.3f"))
    }
}

fn field(name: &str, value: Given<'_>, line: &mut String) -> fmt::Result {
    write!(line, " {name}=")?;
    let begin = line.len();
    write!(line, "{value}")?;
    let is_text = matches!(value, Given::Text(_) | Given::Error(_) | Given::Debug(_) | Given::Kept(Value::String(_)));
    let text = &line[begin..];
    if is_text && (text.is_empty() || text.contains([' ', '=', '"', '\n', '\r'])) {
        let quoted = format!("{text:?}");
        line.replace_range(begin.., &quoted);
    }
    Ok(())
}

//! `INFO      2024-01-15 10:30:46.456 - module - message key=value - [src/module.rs:32]`

use std::fmt::{self, Write};

use jiff::ZonedDateTime;
use serde_json::Value;
use tracing::{Level, Metadata};
use tracing_subscriber::fmt::format::Writer;

use super::{
    ACCESS,
    fields::{Fields, Given, MESSAGE},
    line::{CLOUD_LOGGING, HTTP_REQUEST, Line},
};

/// Lines for people.
pub struct Human {
    /// Whether the level has a colour.
    pub colour: bool,
}

impl Line for Human {
    fn write(&self, metadata: &Metadata<'_>, fields: &Fields<'_>, writer: &mut Writer<'_>) -> fmt::Result {
        let (level, colour) = match *metadata.level() {
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
        let target = metadata.target();
        let module = target.strip_prefix(concat!(env!("CARGO_CRATE_NAME"), "::")).unwrap_or(target);
        let now = ZonedDateTime::now().strftime("%Y-%m-%d %H:%M:%S%.3f");
        write!(writer, "{now} - {module} - ")?;
        let (mut message, mut others) = (String::new(), String::new());
        fields.each(|name, value| {
            // It cannot fail on a text, but for a value that fails itself, and then its beginning is shown.
            let _ = match name {
                MESSAGE => write!(message, "{value}"),
                // What only a program can use; people read it in the message.
                _ if name.starts_with(HTTP_REQUEST) || name.starts_with(CLOUD_LOGGING) => Ok(()),
                _ => field(name, value, &mut others),
            };
        });
        write!(writer, "{message}{others}")?;
        // Of other crates it would be a path on the machine that built the binary.
        if let (Some(file), Some(line)) = (metadata.file(), metadata.line())
            && !file.starts_with('/')
            && target != ACCESS
        {
            write!(writer, " - [{file}:{line}]")?;
        }
        writeln!(writer)
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

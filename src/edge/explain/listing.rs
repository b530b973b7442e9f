//! Explanations for people: one line a value, with where it came from.

use std::fmt::{self, Display, Formatter, Write};

use serde_json::Value;

use super::{Explained, Fate, Outcome, json::cookie};
use crate::{
    collect::{DropReason, Refusal},
    pipeline::{self, Explanation},
};

/// Widest column of a listing; what is longer moves the rest of its own line.
const WIDEST: [usize; 2] = [48, 40];

impl Display for Explained {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let number = self.number;
        match &self.outcome {
            Outcome::Unreadable(why) => writeln!(f, "request {number} cannot be read: {}", plain(&why.to_string())),
            Outcome::Read { line, client, fate } => {
                let proxy = if client.from_trusted_proxy {
                    format!(", by trusted proxy {}", client.peer)
                } else {
                    String::new()
                };
                let tls = if client.secure { ", over TLS" } else { "" };
                writeln!(f, "request {number}: {}", plain(line))?;
                writeln!(f, "  from {}{proxy}{tls}", client.ip)?;
                match fate {
                    Fate::Elsewhere(whose) => writeln!(f, "  {whose}"),
                    Fate::Event(explanation) => explain(f, explanation),
                }
            }
        }
    }
}

fn explain(f: &mut Formatter<'_>, explanation: &Explanation) -> fmt::Result {
    let Explanation { refusal, reply, events, more } = explanation;
    writeln!(f, "  answered {}", reply.status)?;
    if let Some(refusal) = refusal {
        writeln!(f, "  refused: {}: {}", refusal.code(), plain(&refusal.message()))?;
        if let Refusal::InvalidEvent { details } = refusal {
            for detail in details {
                writeln!(f, "    {}: {}", plain(&detail.path), plain(&detail.message))?;
            }
        }
    }
    if let Some(cookie) = cookie(reply) {
        writeln!(f, "  set-cookie: {cookie}")?;
    }
    for (index, event) in events.iter().enumerate() {
        let fate =
            event.dropped.map_or_else(|| "kept".to_owned(), |why| format!("dropped: {}", DropReason::label(why)));
        writeln!(f, "\n  event {index}, {fate}")?;
        listing(f, event)?;
    }
    if *more > 0 {
        writeln!(f, "\n  {more} more events, not explained")?;
    }
    Ok(())
}

fn listing(f: &mut Formatter<'_>, event: &pipeline::Explained) -> fmt::Result {
    let lines: Vec<[String; 3]> =
        event.values.iter().map(|(leaf, origin)| [plain(&leaf.path), shown(&leaf.value), plain(origin)]).collect();
    let width = |column: usize| {
        let widths = lines.iter().map(|line| line[column].chars().count());
        widths.filter(|width| *width <= WIDEST[column]).max().unwrap_or(0)
    };
    let (paths, values) = (width(0), width(1));
    for [path, value, origin] in &lines {
        writeln!(f, "    {path:paths$}  {value:values$}  ← {origin}")?;
    }
    event.notes.iter().try_for_each(|note| writeln!(f, "    note: {}", plain(note)))
}

fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => plain(text),
        Value::Array(elements) => elements.iter().map(shown).collect::<Vec<_>>().join(", "),
        other => other.to_string(),
    }
}

/// What strangers wrote, without power over a terminal: no control characters, and none that turn the direction of
/// writing.
fn plain(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\u{200e}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => {
                out.extend(c.escape_unicode())
            }
            c if c.is_control() => out.extend(c.escape_default()),
            c => out.write_char(c).expect("a String takes all"),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_foreign_reaches_the_terminal() {
        assert_eq!(plain("a\u{1b}[31m\nb\u{202e}ü"), r"a\u{1b}[31m\nb\u{202e}ü");
    }
}

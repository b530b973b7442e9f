//! Reads `.env` files as python-dotenv does, so that the Python service's files keep working: an unquoted value goes to
//! the end of its line, inner quotes included, which JSON lists need.
//!
//! `KEY=value`, `export KEY=value`, `# comment`, `KEY="two\nlines"`, `KEY='as it is'`. Nothing is expanded.

use std::sync::Arc;

use super::{problems::Found, tree::Place};
use crate::problem::Problem;

/// One assignment.
#[derive(Debug, PartialEq, Eq)]
pub struct Assignment {
    /// Name as written.
    pub name: String,
    /// Value, quotes and escapes undone.
    pub value: String,
    /// Line of the name, from 1.
    pub line: usize,
}

/// Reads all assignments. Lines that are none are problems; the others are still read.
pub fn parse(file: &Arc<str>, bytes: &[u8], found: &mut Vec<Found>) -> Vec<Assignment> {
    let Ok(text) = std::str::from_utf8(bytes) else {
        let problem = Problem::new("", "is not valid UTF-8").hint("save the file in UTF-8");
        found.push(Found::new(Place::File(file.clone()), problem));
        return Vec::new();
    };
    let mut assignments = Vec::new();
    let mut rest = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut line = 1;
    while !rest.is_empty() {
        let (first, _) = rest.split_once('\n').unwrap_or((rest, ""));
        let taken = match assignment(first, rest, line) {
            Ok(Some((assignment, taken))) => {
                assignments.push(assignment);
                taken
            }
            Ok(None) => first.len(),
            Err(problem) => {
                found.push(Found::new(Place::Line(file.clone(), line), problem));
                first.len()
            }
        };
        // The rest of the last line is at most a comment.
        let end = rest[taken..].find('\n').map_or(rest.len(), |newline| taken + newline + 1);
        line += rest[..end].matches('\n').count();
        rest = &rest[end..];
    }
    assignments
}

/// The assignment that begins on this line, and how many bytes of `rest` it takes: a quoted value may go on over lines.
fn assignment(first: &str, rest: &str, line: usize) -> Result<Option<(Assignment, usize)>, Problem> {
    let trimmed = first.trim();
    if trimmed.is_empty() || trimmed.starts_with('#') {
        return Ok(None);
    }
    // The line is not repeated: it may be the rest of a secret that went on over lines.
    let not_one = || Problem::new("", "this line is not `NAME=value`").hint("quote a value that goes on over lines");
    let (left, right) = first.split_once('=').ok_or_else(not_one)?;
    let left = left.trim();
    let name = left.strip_prefix("export ").unwrap_or(left).trim();
    if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte)) {
        return Err(not_one());
    }
    let start = first.len() - right.len() + (right.len() - right.trim_start().len());
    let (value, taken) = match rest[start..].chars().next() {
        Some(quote @ ('"' | '\'')) => {
            let Some((value, length)) = quoted(&rest[start + 1..], quote) else {
                return Err(Problem::new("", format!("the value of `{name}` begins with {quote} and does not end")));
            };
            (value, start + 1 + length)
        }
        _ => (bare(right).to_owned(), first.len()),
    };
    Ok(Some((Assignment { name: name.to_owned(), value, line }, taken)))
}

/// Up to the closing quote: the value, and the length with the quote. Only double quotes know escapes beyond the quote
/// and the backslash.
fn quoted(text: &str, quote: char) -> Option<(String, usize)> {
    let mut value = String::new();
    let mut characters = text.char_indices();
    while let Some((index, character)) = characters.next() {
        match character {
            '\\' => match characters.next()?.1 {
                'n' if quote == '"' => value.push('\n'),
                't' if quote == '"' => value.push('\t'),
                'r' if quote == '"' => value.push('\r'),
                escaped if escaped == quote || escaped == '\\' => value.push(escaped),
                other => value.extend(['\\', other]),
            },
            end if end == quote => return Some((value, index + 1)),
            other => value.push(other),
        }
    }
    None
}

/// An unquoted value ends at its line's end, or where white space and `#` begin a comment.
fn bare(right: &str) -> &str {
    let comment = right.char_indices().zip(right.chars().skip(1)).find(|((_, a), b)| a.is_whitespace() && *b == '#');
    right[..comment.map_or(right.len(), |((index, _), _)| index)].trim()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> (Vec<(String, String, usize)>, Vec<String>) {
        let mut found = Vec::new();
        let assignments = parse(&".env".into(), text.as_bytes(), &mut found);
        (
            assignments.into_iter().map(|a| (a.name, a.value, a.line)).collect(),
            found.iter().map(ToString::to_string).collect(),
        )
    }

    #[test]
    fn values_are_read_as_the_python_service_read_them() {
        for (text, value) in [
            (r#"A=["https://a.example", "https://b.example"]"#, r#"["https://a.example", "https://b.example"]"#),
            (r#"A={"profile":"ga4"}"#, r#"{"profile":"ga4"}"#),
            ("A=plain text  # comment", "plain text"),
            ("A=a#b", "a#b"),
            ("A= #nothing", ""),
            ("A=", ""),
            ("export A = b ", "b"),
            ("A=b=c", "b=c"),
            ("A='it is # $HOME\\n'", "it is # $HOME\\n"),
            (r#"A="two\nlines \"q\"" # comment"#, "two\nlines \"q\""),
            ("A='over\ntwo'", "over\ntwo"),
            ("A=b\r", "b"),
        ] {
            assert_eq!(read(text), (vec![("A".to_owned(), value.to_owned(), 1)], vec![]), "{text}");
        }
    }

    #[test]
    fn lines_are_counted_and_bad_ones_reported() {
        let (assignments, found) = read("# head\n\nA=1\nB='x\ny'\nnonsense\nC=2\nD=\"open\nE=3");
        let names: Vec<_> = assignments.iter().map(|(name, _, line)| (name.as_str(), *line)).collect();
        assert_eq!(names, [("A", 3), ("B", 4), ("C", 7), ("E", 9)]);
        assert_eq!(
            found,
            [
                ".env:6: this line is not `NAME=value`\n  hint: quote a value that goes on over lines",
                ".env:8: the value of `D` begins with \" and does not end",
            ]
        );
    }
}

//! The YAML that a folder is written in: lists and maps of texts, read without their types.
//!
//! The files come from outside: size, depth and number of values are bounded, and anchors, which the format has no use
//! for, are refused together with everything that could be built from them.

use saphyr_parser::{Event, Parser, StrInput};

use super::Fault;

/// Largest file read; the largest one published has 1.3 MB.
pub const MAX_BYTES: usize = 8 << 20;
/// Deepest nesting; the format needs four levels.
const MAX_DEPTH: usize = 8;
/// Most values of a file.
const MAX_VALUES: usize = 500_000;

/// A value.
#[derive(Debug, PartialEq, Eq)]
pub enum Value {
    /// A word, number or text.
    Text(String),
    /// A list.
    List(Vec<Value>),
    /// Keys and values, in their order.
    Map(Vec<(String, Value)>),
}

impl Value {
    /// The text under a key of a map.
    pub fn text(&self, key: &str) -> Option<&str> {
        match self.get(key)? {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The value under a key of a map.
    pub fn get(&self, key: &str) -> Option<&Value> {
        match self {
            Value::Map(entries) => entries.iter().find(|(name, _)| name == key).map(|(_, value)| value),
            _ => None,
        }
    }
}

/// Reads one file, `name` in faults.
pub fn parse(name: &str, bytes: &[u8]) -> Result<Value, Fault> {
    if bytes.len() > MAX_BYTES {
        return Err(Fault::of_file(name, format!("is larger than {} MiB", MAX_BYTES >> 20)));
    }
    let text = str::from_utf8(bytes).map_err(|_| Fault::of_file(name, "is not valid UTF-8"))?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut reader = Reader { name, events: Parser::new_from_str(text), values: 0, line: 0 };
    loop {
        match reader.next()? {
            Event::StreamStart | Event::DocumentStart(_) => {}
            Event::StreamEnd | Event::DocumentEnd => return Err(Fault::of_file(name, "is empty")),
            event => return reader.value(event, 0),
        }
    }
}

struct Reader<'a> {
    name: &'a str,
    events: Parser<'a, StrInput<'a>>,
    values: usize,
    line: usize,
}

impl<'a> Reader<'a> {
    fn next(&mut self) -> Result<Event<'a>, Fault> {
        match self.events.next_event() {
            Some(Ok((event, span))) => {
                self.line = span.start.line();
                Ok(event)
            }
            Some(Err(error)) => {
                self.line = error.marker().line();
                Err(self.fault(format!("is not valid YAML: {}", error.info())))
            }
            None => Ok(Event::StreamEnd),
        }
    }

    fn fault(&self, message: impl Into<String>) -> Fault {
        Fault { file: self.name.to_owned(), line: Some(self.line), message: message.into() }
    }

    /// Reads the value that `event` begins. Recursion is bounded by [`MAX_DEPTH`].
    fn value(&mut self, event: Event<'a>, depth: usize) -> Result<Value, Fault> {
        self.values += 1;
        if self.values > MAX_VALUES {
            return Err(self.fault(format!("has more than {MAX_VALUES} values")));
        }
        if depth > MAX_DEPTH {
            return Err(self.fault(format!("is nested deeper than {MAX_DEPTH} levels")));
        }
        match event {
            Event::Scalar(_, _, 1.., _) | Event::SequenceStart(1.., _) | Event::MappingStart(1.., _) => {
                Err(self.fault("has an anchor, which these files do without"))
            }
            Event::Alias(_) => Err(self.fault("has an alias, which these files do without")),
            Event::Scalar(text, ..) => Ok(Value::Text(text.into_owned())),
            Event::SequenceStart(..) => {
                let mut items = Vec::new();
                loop {
                    match self.next()? {
                        Event::SequenceEnd => return Ok(Value::List(items)),
                        event => items.push(self.value(event, depth + 1)?),
                    }
                }
            }
            Event::MappingStart(..) => {
                let mut entries = Vec::new();
                loop {
                    let key = match self.next()? {
                        Event::MappingEnd => return Ok(Value::Map(entries)),
                        event => self.value(event, depth + 1)?,
                    };
                    let Value::Text(key) = key else { return Err(self.fault("has a key that is no plain word")) };
                    let event = self.next()?;
                    entries.push((key, self.value(event, depth + 1)?));
                }
            }
            _ => Err(self.fault("is not valid YAML: a value is missing")),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn lists_and_maps_are_read() {
        let value = parse("f.yml", b"# head\nMaker:\n  regex: 'A\\d'\n  models:\n    - model: x # why\n").unwrap();
        let maker = value.get("Maker").unwrap();
        assert_eq!(maker.text("regex"), Some(r"A\d"));
        assert_eq!(
            maker.get("models"),
            Some(&Value::List(vec![Value::Map(vec![("model".into(), Value::Text("x".into()))])]))
        );
    }

    #[test]
    fn hostile_files_end_in_one_clear_fault() {
        let many = "- a\n".repeat(MAX_VALUES + 1);
        let cases: &[(&[u8], &str)] = &[
            (b"", "`f.yml` is empty"),
            (b"a: \"\xff\"", "`f.yml` is not valid UTF-8"),
            (&b"a".repeat(MAX_BYTES + 1), "`f.yml` is larger than 8 MiB"),
            (b"a:\n  b: &x [*x]\n", "`f.yml`, line 2: has an anchor, which these files do without"),
            (b"a: *b\n", "`f.yml`, line 1: "),
            (&b"- ".repeat(100), "`f.yml`, line 1: is nested deeper than 8 levels"),
            (&b"[".repeat(100_000), "`f.yml`, line 1: is "),
            (&b"{a: ".repeat(100_000), "`f.yml`, line 1: is "),
            (b"- a\n- [b\n", "`f.yml`, line "),
            (b"? [a]\n: b\n", "`f.yml`, line 1: has a key that is no plain word"),
            (many.as_bytes(), "has more than 500000 values"),
        ];
        for (bytes, expected) in cases {
            let fault = parse("f.yml", bytes).unwrap_err().to_string();
            assert!(fault.contains(expected), "{expected}: {fault}");
        }
    }
}

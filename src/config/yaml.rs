//! From a YAML file to a tree. Bounded: size, depth, and what aliases unfold to; every fault has a line.

use std::{collections::HashMap, sync::Arc};

use saphyr_parser::{Event, Parser, ScalarStyle, Span, StrInput, Tag};

use super::{
    problems::Found,
    tree::{Node, Path, Place, Step, Value},
};
use crate::problem::Problem;

/// Largest file read. A configuration is a page or two; more is a mistake in the file's name.
const MAX_BYTES: usize = 1 << 20;
/// Deepest nesting. Ours needs five levels.
const MAX_DEPTH: usize = 32;
/// Most values in one tree, counted after aliases are unfolded.
const MAX_NODES: usize = 100_000;

/// Reads one document. An empty file is an empty map. When something is wrong, what could be read is still returned,
/// so that its problems are found in the same run.
pub fn parse(file: &Arc<str>, bytes: &[u8], found: &mut Vec<Found>) -> Node {
    let whole = Place::File(file.clone());
    if bytes.len() > MAX_BYTES {
        found.push(Found::new(whole.clone(), Problem::new("", format!("larger than {} KiB", MAX_BYTES >> 10))));
        return Node::empty(whole);
    }
    let text = match std::str::from_utf8(bytes) {
        Ok(text) => text.strip_prefix('\u{feff}').unwrap_or(text),
        Err(error) => {
            let line = 1 + bytes[..error.valid_up_to()].iter().filter(|byte| **byte == b'\n').count();
            let problem = Problem::new("", "is not valid UTF-8").hint("save the file in UTF-8");
            found.push(Found::new(Place::Line(file.clone(), line), problem));
            return Node::empty(whole);
        }
    };
    let mut reader = Reader { events: Parser::new_from_str(text), file, anchors: HashMap::new(), nodes: 0, found };
    match reader.document() {
        Ok(Some(node)) => node,
        Ok(None) => Node::empty(whole),
        Err(Stop(fault)) => {
            found.push(*fault);
            Node::empty(whole)
        }
    }
}

/// The rest of the file makes no sense.
struct Stop(Box<Found>);

struct Reader<'a> {
    events: Parser<'a, StrInput<'a>>,
    file: &'a Arc<str>,
    /// Finished values by anchor, and their number of nodes. An alias inside its own anchor finds nothing.
    anchors: HashMap<usize, (Value, usize)>,
    nodes: usize,
    found: &'a mut Vec<Found>,
}

impl<'a> Reader<'a> {
    fn next(&mut self) -> Result<(Event<'a>, Place), Stop> {
        match self.events.next_event() {
            Some(Ok((event, span))) => Ok((event, self.line(span))),
            Some(Err(error)) => {
                let place = Place::Column(self.file.clone(), error.marker().line(), error.marker().col() + 1);
                let problem = Problem::new("", format!("not valid YAML: {}", error.info()));
                let indented_by_tab = error.info().contains("tab");
                Err(Stop(Box::new(Found::new(
                    place,
                    if indented_by_tab { problem.hint("indent with spaces") } else { problem },
                ))))
            }
            None => Ok((Event::StreamEnd, Place::File(self.file.clone()))),
        }
    }

    fn line(&self, span: Span) -> Place {
        Place::Line(self.file.clone(), span.start.line())
    }

    fn stop(&self, place: &Place, path: &Path, message: impl Into<String>) -> Stop {
        Stop(Box::new(Found::new(place.clone(), Problem::new(path.to_string(), message))))
    }

    fn document(&mut self) -> Result<Option<Node>, Stop> {
        let mut root = None;
        loop {
            let (event, place) = self.next()?;
            match event {
                Event::StreamEnd => return Ok(root),
                Event::StreamStart | Event::DocumentStart(_) | Event::DocumentEnd | Event::Nothing => {}
                _ if root.is_some() => {
                    return Err(self.stop(&place, &Path::default(), "a second document; only one is read"));
                }
                event => {
                    let node = self.node(event, place, &Path::default())?;
                    root = match node.value {
                        Value::Map(_) => Some(node),
                        // Comments only, or `---` and nothing: the same as an empty file.
                        Value::Null => Some(Node::empty(node.place)),
                        _ => return Err(self.stop(&node.place, &Path::default(), "expected keys and values")),
                    };
                }
            }
        }
    }

    /// Reads the value that `event` begins. Recursion is bounded by [`MAX_DEPTH`].
    fn node(&mut self, event: Event<'a>, place: Place, path: &Path) -> Result<Node, Stop> {
        if path.0.len() > MAX_DEPTH {
            return Err(self.stop(&place, &Path::default(), format!("nested deeper than {MAX_DEPTH} levels")));
        }
        let before = self.nodes;
        self.count(1, &place, path)?;
        let (value, anchor) = match event {
            Event::Scalar(text, style, anchor, tag) => {
                self.tag(tag.as_deref(), &place, path);
                let as_text = tag.is_some_and(|tag| tag.is_yaml_core_schema() && tag.suffix == "str");
                let value = match (style, text.as_ref()) {
                    (ScalarStyle::Plain, "" | "~" | "null" | "Null" | "NULL") if !as_text => Value::Null,
                    (ScalarStyle::Plain, plain) if !as_text => Value::Plain(plain.to_owned()),
                    (_, quoted) => Value::Quoted(quoted.to_owned()),
                };
                (value, anchor)
            }
            Event::SequenceStart(anchor, tag) => {
                self.tag(tag.as_deref(), &place, path);
                (self.list(path)?, anchor)
            }
            Event::MappingStart(anchor, tag) => {
                self.tag(tag.as_deref(), &place, path);
                (self.map(path)?, anchor)
            }
            Event::Alias(anchor) => {
                let Some((value, nodes)) = self.anchors.get(&anchor).cloned() else {
                    return Err(self.stop(&place, path, "an alias inside the value it stands for"));
                };
                self.count(nodes, &place, path)?;
                return Ok(Node { value, place });
            }
            Event::StreamStart
            | Event::StreamEnd
            | Event::DocumentStart(_)
            | Event::DocumentEnd
            | Event::SequenceEnd
            | Event::MappingEnd
            | Event::Nothing => return Err(self.stop(&place, path, "not valid YAML: a value is missing")),
        };
        if anchor > 0 {
            self.anchors.insert(anchor, (value.clone(), self.nodes - before));
        }
        Ok(Node { value, place })
    }

    fn list(&mut self, path: &Path) -> Result<Value, Stop> {
        let mut items = Vec::new();
        loop {
            let (event, place) = self.next()?;
            if event == Event::SequenceEnd {
                return Ok(Value::List(items));
            }
            let path = path.join(Step::Index(items.len()));
            items.push(self.node(event, place, &path)?);
        }
    }

    fn map(&mut self, path: &Path) -> Result<Value, Stop> {
        let mut entries: Vec<(String, Node)> = Vec::new();
        loop {
            let (event, place) = self.next()?;
            let key = match event {
                Event::MappingEnd => return Ok(Value::Map(entries)),
                Event::Scalar(key, ..) => key.into_owned(),
                _ => return Err(self.stop(&place, path, "a key must be a plain word")),
            };
            let path = path.join(Step::Key(key.clone()));
            let (event, _) = self.next()?;
            let value = self.node(event, place.clone(), &path)?;
            match entries.iter_mut().find(|(name, _)| *name == key) {
                None => entries.push((key, value)),
                Some((_, first)) => {
                    let message = match &first.place {
                        Place::Line(_, line) => format!("written twice; the first is on line {line}"),
                        _ => "written twice".to_owned(),
                    };
                    self.found.push(Found::new(place, Problem::new(path.to_string(), message)));
                    *first = value;
                }
            }
        }
    }

    fn tag(&mut self, tag: Option<&Tag>, place: &Place, path: &Path) {
        if let Some(tag) = tag.filter(|tag| !tag.is_yaml_core_schema()) {
            let message = match path.is_secret() {
                true => "unknown YAML tag".to_owned(),
                false => format!("unknown YAML tag `{}{}`", tag.handle, tag.suffix),
            };
            let problem = Problem::new(path.to_string(), message).hint("put the value in quotes if it begins with `!`");
            self.found.push(Found::new(place.clone(), problem));
        }
    }

    fn count(&mut self, nodes: usize, place: &Place, path: &Path) -> Result<(), Stop> {
        self.nodes = self.nodes.saturating_add(nodes);
        if self.nodes > MAX_NODES {
            return Err(self.stop(place, path, format!("more than {MAX_NODES} values")));
        }
        Ok(())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn faults(bytes: &[u8]) -> Vec<String> {
        let mut found = Vec::new();
        parse(&"c.yaml".into(), bytes, &mut found);
        found.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn values_remember_the_line_of_their_key() {
        let mut found = Vec::new();
        let tree = parse(&"c.yaml".into(), b"# head\na:\n  b: 1\n  c:\n    - x\n    - y\n", &mut found);
        assert_eq!(found, []);
        for (path, line) in [("a", 2), ("a.b", 3), ("a.c", 4), ("a.c[1]", 6), ("a.b.gone", 3)] {
            assert_eq!(tree.place_of(&Path::parse(path)), Place::Line("c.yaml".into(), line), "{path}");
        }
    }

    #[test]
    fn empty_files_are_empty_maps() {
        for text in ["", "\n\n", "# only a comment\n", "---\n", "\u{feff}", "~", "{}"] {
            let mut found = Vec::new();
            let tree = parse(&"c.yaml".into(), text.as_bytes(), &mut found);
            assert_eq!((tree.value, found), (Value::Map(vec![]), vec![]), "{text:?}");
        }
    }

    #[test]
    fn hostile_files_end_in_one_clear_fault() {
        let billion = format!(
            "a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n{}",
            (1..10)
                .map(|i| format!("a{i}: &a{i} [{}]\n", vec![format!("*a{}", i - 1); 10].join(",")))
                .collect::<String>()
        );
        let cases: &[(&[u8], &str)] = &[
            (b"a: \"\xff\"", "c.yaml:1: is not valid UTF-8"),
            (b"ok: 1\nb: [1, 2\n", "c.yaml:"),
            (b"a:\n\tb: 2\n", "c.yaml:2:"),
            (&b"[".repeat(100_000), "c.yaml:1:256: not valid YAML: recursion limit exceeded"),
            (&b"[".repeat(100), "c.yaml:1: nested deeper than 32 levels"),
            (&b"- ".repeat(100_000), "c.yaml:1: nested deeper than 32 levels"),
            (&b"a".repeat(2 << 20), "c.yaml: larger than 1024 KiB"),
            (b"a: &a [*a]\n", "c.yaml:1: a[0]: an alias inside the value it stands for"),
            (b"a: *nowhere\n", "c.yaml:1:"),
            (billion.as_bytes(), "more than 100000 values"),
            (b"a: 1\n---\nb: 2\n", "c.yaml:3: a second document; only one is read"),
            (b"- a\n- b\n", "c.yaml:1: expected keys and values"),
            (b"just text", "c.yaml:1: expected keys and values"),
            (b"? [a, b]\n: c\n", "c.yaml:1: a key must be a plain word"),
            (b"a: !secret b\n", "c.yaml:1: a: unknown YAML tag `!secret`"),
            (b"a: 1\nb: 2\na: 3\n", "c.yaml:3: a: written twice; the first is on line 1"),
        ];
        for (bytes, expected) in cases {
            let faults = faults(bytes);
            assert_eq!(faults.len(), 1, "{expected}: {faults:?}");
            assert!(faults[0].contains(expected), "{expected}: {faults:?}");
        }
    }

    #[test]
    fn anchors_work_where_they_are_meant() {
        let mut found = Vec::new();
        let tree = parse(&"c.yaml".into(), b"a: &x [1, 2]\nb: *x\n", &mut found);
        assert_eq!(found, []);
        assert_eq!(tree.get("a").unwrap().value, tree.get("b").unwrap().value);
    }
}

//! A configuration before its types: keys and values as they were written, each remembering where.
//!
//! Scalars stay text until a type asks for them, so `project_id: 123` is text and `threads: 123` a number.

use std::{fmt, sync::Arc};

/// Where a value was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// The whole file: it cannot be read at all.
    File(Arc<str>),
    /// A line of a file, from 1.
    Line(Arc<str>, usize),
    /// A line and column of a file, from 1.
    Column(Arc<str>, usize, usize),
    /// A variable in a line of an environment file.
    FileVariable(Arc<str>, usize, Arc<str>),
    /// A variable of the process environment.
    Variable(Arc<str>),
    /// A command-line flag.
    Flag(&'static str),
    /// Nowhere: it is a default.
    Default,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::File(file) => write!(f, "{file}"),
            Place::Line(file, line) => write!(f, "{file}:{line}"),
            Place::Column(file, line, column) => write!(f, "{file}:{line}:{column}"),
            Place::FileVariable(file, line, name) => write!(f, "{file}:{line}: {name}"),
            Place::Variable(name) => write!(f, "{name}"),
            Place::Flag(name) => write!(f, "{name}"),
            Place::Default => Ok(()),
        }
    }
}

impl Place {
    /// The file, and the line in it; 0 is the whole file.
    pub fn line(&self) -> Option<(&str, usize)> {
        match self {
            Place::File(file) => Some((file, 0)),
            Place::Line(file, line) | Place::Column(file, line, _) | Place::FileVariable(file, line, _) => {
                Some((file, *line))
            }
            Place::Variable(_) | Place::Flag(_) | Place::Default => None,
        }
    }

    /// Whether it came through an environment variable, whose text has no YAML quotes.
    pub fn is_variable(&self) -> bool {
        matches!(self, Place::Variable(_) | Place::FileVariable(..))
    }
}

/// One step from a value to a value inside it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step {
    /// Into a map, by key.
    Key(String),
    /// Into a list, from 0.
    Index(usize),
}

/// Keys whose values are secrets.
const SECRET_KEYS: [&str; 2] = ["api_keys", "basic_auth"];

/// Way from the root to a value: `routes[2].upstreams[0]`.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Path(pub Vec<Step>);

impl Path {
    /// Reads the dotted form back.
    pub fn parse(text: &str) -> Path {
        let mut steps = Vec::new();
        for part in text.split(['.', '[']).filter(|part| !part.is_empty()) {
            match part.strip_suffix(']').map(str::parse) {
                Some(Ok(index)) => steps.push(Step::Index(index)),
                _ => steps.push(Step::Key(part.to_owned())),
            }
        }
        Path(steps)
    }

    /// The way to something directly inside.
    pub fn join(&self, step: Step) -> Path {
        let mut steps = self.0.clone();
        steps.push(step);
        Path(steps)
    }

    /// Whether what stands there may be a secret, which no message repeats.
    pub fn is_secret(&self) -> bool {
        self.0.iter().any(|step| matches!(step, Step::Key(key) if SECRET_KEYS.contains(&key.as_str())))
    }

    /// Whether the other is the same or lies inside.
    pub fn contains(&self, other: &Path) -> bool {
        other.0.starts_with(&self.0)
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (depth, step) in self.0.iter().enumerate() {
            match step {
                Step::Key(key) if depth == 0 => write!(f, "{key}")?,
                Step::Key(key) => write!(f, ".{key}")?,
                Step::Index(index) => write!(f, "[{index}]")?,
            }
        }
        Ok(())
    }
}

/// What was written.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// Nothing: `key:` or `null`.
    Null,
    /// A bare word or number; the type that reads it decides.
    Plain(String),
    /// Quoted: certainly text.
    Quoted(String),
    /// A list.
    List(Vec<Node>),
    /// A map, in the order written, keys unique.
    Map(Vec<(String, Node)>),
    /// A list element that was found wrong and taken out; the others keep their numbers.
    Removed,
}

/// A value and its place. The place of a map's value is that of its key.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// What.
    pub value: Value,
    /// Where.
    pub place: Place,
}

impl Node {
    /// A map without entries.
    pub fn empty(place: Place) -> Node {
        Node { value: Value::Map(Vec::new()), place }
    }

    /// The same shape from JSON; everything in it shares one place.
    pub fn from_json(json: serde_json::Value, place: &Place) -> Node {
        use serde_json::Value as Json;
        let value = match json {
            Json::Null => Value::Null,
            Json::Bool(flag) => Value::Plain(flag.to_string()),
            Json::Number(number) => Value::Plain(number.to_string()),
            Json::String(text) => Value::Quoted(text),
            Json::Array(items) => Value::List(items.into_iter().map(|item| Node::from_json(item, place)).collect()),
            Json::Object(entries) => {
                Value::Map(entries.into_iter().map(|(key, item)| (key, Node::from_json(item, place))).collect())
            }
        };
        Node { value, place: place.clone() }
    }

    /// The entry of a map.
    pub fn get(&self, key: &str) -> Option<&Node> {
        match &self.value {
            Value::Map(entries) => entries.iter().find(|(name, _)| name == key).map(|(_, node)| node),
            _ => None,
        }
    }

    /// The entry of a map, made when missing; what is no map becomes one.
    pub fn entry(&mut self, key: &str, place: &Place) -> &mut Node {
        if !matches!(self.value, Value::Map(_)) {
            self.value = Value::Map(Vec::new());
        }
        let Value::Map(entries) = &mut self.value else { unreachable!("it was just made a map") };
        let index = match entries.iter().position(|(name, _)| name == key) {
            Some(index) => index,
            None => {
                entries.push((key.to_owned(), Node { value: Value::Null, place: place.clone() }));
                entries.len() - 1
            }
        };
        &mut entries[index].1
    }

    /// Lays another value over this one: maps are merged key by key, everything else is replaced.
    pub fn overlay(&mut self, over: Node) {
        match (&mut self.value, over.value) {
            (Value::Map(_), Value::Map(entries)) => {
                for (key, node) in entries {
                    self.entry(&key, &node.place).overlay(node);
                }
            }
            (_, value) => *self = Node { value, place: over.place },
        }
    }

    /// Takes a value out. Returns whether there was one; the root cannot go.
    pub fn remove(&mut self, path: &Path) -> bool {
        let Some((last, parents)) = path.0.split_last() else { return false };
        let mut node = self;
        for step in parents {
            let next = match (&mut node.value, step) {
                (Value::Map(entries), Step::Key(key)) => entries.iter_mut().find(|(k, _)| k == key).map(|(_, n)| n),
                (Value::List(items), Step::Index(index)) => items.get_mut(*index),
                _ => None,
            };
            match next {
                Some(inner) => node = inner,
                None => return false,
            }
        }
        match (&mut node.value, last) {
            (Value::Map(entries), Step::Key(key)) => {
                let before = entries.len();
                entries.retain(|(name, _)| name != key);
                entries.len() < before
            }
            (Value::List(items), Step::Index(index)) => items
                .get_mut(*index)
                .is_some_and(|item| std::mem::replace(&mut item.value, Value::Removed) != Value::Removed),
            _ => false,
        }
    }

    /// The place of a value or, when it was not written, of the innermost written value around it.
    pub fn place_of(&self, path: &Path) -> Place {
        let mut node = self;
        let mut place = Place::Default;
        for step in &path.0 {
            let next = match (&node.value, step) {
                (Value::List(items), Step::Index(index)) => items.get(*index),
                (_, Step::Key(key)) => node.get(key),
                _ => None,
            };
            let Some(inner) = next else { break };
            place = inner.place.clone();
            node = inner;
        }
        place
    }

    /// Translates indices among the elements that are left into indices as written.
    pub fn as_written(&self, path: &Path) -> Path {
        let mut node = Some(self);
        let mut steps = Vec::with_capacity(path.0.len());
        for step in &path.0 {
            let step = match (node.map(|node| &node.value), step) {
                (Some(Value::List(items)), Step::Index(index)) => {
                    let mut left = items.iter().enumerate().filter(|(_, item)| item.value != Value::Removed);
                    Step::Index(left.nth(*index).map_or(*index, |(written, _)| written))
                }
                _ => step.clone(),
            };
            node = match (node.map(|node| &node.value), &step) {
                (Some(Value::List(items)), Step::Index(index)) => items.get(*index),
                (Some(Value::Map(_)), Step::Key(key)) => node.and_then(|node| node.get(key)),
                _ => None,
            };
            steps.push(step);
        }
        Path(steps)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn tree(json: &str) -> Node {
        Node::from_json(serde_json::from_str(json).unwrap(), &Place::Flag("test"))
    }

    #[test]
    fn paths_survive_printing() {
        for text in ["writers.strategy", "routes[2].upstreams[0]", "streams[0]", ""] {
            assert_eq!(Path::parse(text).to_string(), text);
        }
    }

    #[test]
    fn overlaying_merges_maps_and_replaces_the_rest() {
        let mut under = tree(r#"{"a":{"x":1,"y":[1,2]},"b":1}"#);
        under.overlay(tree(r#"{"a":{"y":[3],"z":4},"c":5}"#));
        assert_eq!(under, tree(r#"{"a":{"x":1,"y":[3],"z":4},"b":1,"c":5}"#));
    }

    #[test]
    fn elements_keep_their_numbers_when_one_is_taken_out() {
        let mut tree = tree(r#"{"routes":[{"a":1},{"a":2},{"a":3}]}"#);
        assert!(tree.remove(&Path::parse("routes[1]")));
        assert!(!tree.remove(&Path::parse("routes[1]")), "it is gone");
        assert_eq!(tree.as_written(&Path::parse("routes[1].a")), Path::parse("routes[2].a"));
        assert!(!tree.remove(&Path::default()), "the root stays");
    }
}

//! From a tree to types: a serde deserialiser that knows paths, and a loop that goes on after a fault.
//!
//! The type that reads a scalar decides what it is: `123` is text for a `String` and a number for a `u16`. A key
//! without a value counts as not written.

use std::fmt;

use serde::{
    Deserializer,
    de::{
        self, DeserializeOwned, DeserializeSeed, IntoDeserializer, Unexpected, Visitor, value::MapAccessDeserializer,
    },
    forward_to_deserialize_any,
};

use super::{
    problems::{Found, list, nearest},
    tree::{Node, Path, Step, Value},
};
use crate::problem::Problem;

/// Reads the tree as a `T` and finds every fault: each one is noted, taken out of the tree, and the reading starts
/// again without it. What was taken out has its default in the result. Returns the paths that are not as the user
/// meant them, so that later checks can leave them alone.
pub fn read<T: DeserializeOwned + Default>(tree: &mut Node, found: &mut Vec<Found>) -> (T, Vec<Path>) {
    let mut faulty = Vec::new();
    loop {
        let error = match T::deserialize(&*tree) {
            Ok(value) => return (value, faulty),
            Err(error) => error,
        };
        let path = Path(error.steps.iter().rev().cloned().collect());
        let (problem, meant) = error.fault.describe(&path, tree);
        found.push(Found::new(tree.place_of(&path), problem));
        faulty.extend(meant);
        // Every round takes out one value, so this ends; the root itself cannot be taken out.
        if !tree.remove(&path) {
            return (T::default(), vec![Path::default()]);
        }
    }
}

/// What serde found wrong, and where.
#[derive(Debug)]
pub struct ReadError {
    fault: Fault,
    /// Innermost first.
    steps: Vec<Step>,
}

#[derive(Debug)]
enum Fault {
    UnknownKey { known: &'static [&'static str] },
    UnknownWord { word: String, known: &'static [&'static str] },
    MissingKey(&'static str),
    WrongType { expected: String, got: String },
    Other(String),
}

impl Fault {
    /// The problem to show, and the paths whose values are not what the user meant.
    fn describe(&self, path: &Path, tree: &Node) -> (Problem, Vec<Path>) {
        let problem = |message: String| Problem::new(path.to_string(), message);
        match self {
            Fault::UnknownKey { known } => {
                let key = match path.0.last() {
                    Some(Step::Key(key)) => key.as_str(),
                    _ => "",
                };
                let problem = problem("unknown key".to_owned());
                match nearest(key, known) {
                    Some(near) => {
                        let mut meant = path.clone();
                        meant.0.pop();
                        let meant = meant.join(Step::Key(near.to_owned()));
                        (problem.hint(format!("did you mean `{near}`?")), vec![meant])
                    }
                    None => (problem.hint(format!("known keys here: {}", list(known))), vec![]),
                }
            }
            Fault::UnknownWord { word, known } => {
                let hint = match nearest(word, known) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => format!("one of {}", list(known)),
                };
                (problem(format!("unknown value `{word}`")).hint(hint), vec![path.clone()])
            }
            Fault::MissingKey(key) => (problem(format!("`{key}` is missing")), vec![path.clone()]),
            Fault::WrongType { expected, got } => {
                let place = tree.place_of(path);
                let is_broken_json = place.is_variable() && (got.starts_with("`[") || got.starts_with("`{"));
                let got = match got.as_str() {
                    _ if is_broken_json => "text that is not valid JSON",
                    got if got.starts_with('`') && path.is_secret() => "text",
                    got => got,
                };
                let problem = problem(format!("expected {expected}, found {got}"));
                let hint = match expected.as_str() {
                    "a list" if place.is_variable() => Some("write a list as JSON: `[\"a\", \"b\"]`"),
                    "a list" => Some("write a list in brackets: `[a, b]`"),
                    "keys and values" if place.is_variable() => {
                        Some("write it as JSON, `{\"key\": \"value\"}`, or add `__KEY` to the variable's name")
                    }
                    _ => None,
                };
                (Problem { hint: hint.map(str::to_owned), ..problem }, vec![path.clone()])
            }
            // Some types guess or hint too, behind a semicolon.
            Fault::Other(message) => {
                let guess = message.split_once("; did you mean ");
                let problem = if let Some((message, guess)) = guess {
                    problem(message.to_owned()).hint(format!("did you mean {guess}"))
                } else if let Some((message, hint)) = message.split_once("; hint: ") {
                    problem(message.to_owned()).hint(hint)
                } else {
                    problem(message.clone())
                };
                (problem, vec![path.clone()])
            }
        }
    }
}

impl ReadError {
    fn new(fault: Fault) -> ReadError {
        ReadError { fault, steps: Vec::new() }
    }

    fn inside(mut self, step: Step) -> ReadError {
        self.steps.push(step);
        self
    }
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.fault)
    }
}

impl std::error::Error for ReadError {}

impl de::Error for ReadError {
    fn custom<M: fmt::Display>(message: M) -> ReadError {
        ReadError::new(Fault::Other(message.to_string()))
    }

    fn invalid_type(got: Unexpected<'_>, expected: &dyn de::Expected) -> ReadError {
        ReadError::new(Fault::WrongType { expected: wanted(&expected.to_string()), got: seen(got) })
    }

    fn invalid_value(got: Unexpected<'_>, expected: &dyn de::Expected) -> ReadError {
        Self::invalid_type(got, expected)
    }

    fn unknown_variant(word: &str, known: &'static [&'static str]) -> ReadError {
        ReadError::new(Fault::UnknownWord { word: word.to_owned(), known })
    }

    fn unknown_field(_: &str, known: &'static [&'static str]) -> ReadError {
        ReadError::new(Fault::UnknownKey { known })
    }

    fn missing_field(key: &'static str) -> ReadError {
        ReadError::new(Fault::MissingKey(key))
    }
}

/// Serde's words for what a type wants, in ours. Types with their own words keep them.
fn wanted(expected: &str) -> String {
    let range = |low: &dyn fmt::Display, high: &dyn fmt::Display| format!("a whole number from {low} to {high}");
    match expected {
        "a sequence" => "a list".to_owned(),
        "a map" => "keys and values".to_owned(),
        "a boolean" => "`true` or `false`".to_owned(),
        "a string" | "a borrowed string" | "path string" => "text".to_owned(),
        "u8" => range(&u8::MIN, &u8::MAX),
        "u16" => range(&u16::MIN, &u16::MAX),
        "u32" => range(&u32::MIN, &u32::MAX),
        "u64" | "usize" => "a whole number, 0 or more".to_owned(),
        "i8" | "i16" | "i32" | "i64" | "isize" => "a whole number".to_owned(),
        "f32" | "f64" => "a number".to_owned(),
        // The two texts of `bytesize::ByteSize`.
        "parsable string" | "an integer or string" => "a size such as `10GB`".to_owned(),
        other if other.starts_with("struct ") => "keys and values".to_owned(),
        other if other.starts_with("enum ") => "one word".to_owned(),
        other => other.to_owned(),
    }
}

fn seen(got: Unexpected<'_>) -> String {
    match got {
        Unexpected::Bool(flag) => format!("`{flag}`"),
        Unexpected::Unsigned(number) => format!("`{number}`"),
        Unexpected::Signed(number) => format!("`{number}`"),
        Unexpected::Float(number) => format!("`{number}`"),
        Unexpected::Str(text) => format!("`{text}`"),
        Unexpected::Unit | Unexpected::Option => "nothing".to_owned(),
        Unexpected::Seq => "a list".to_owned(),
        Unexpected::Map => "keys and values".to_owned(),
        other => other.to_string(),
    }
}

impl Node {
    fn text(&self) -> Option<&str> {
        match &self.value {
            Value::Plain(text) | Value::Quoted(text) => Some(text),
            _ => None,
        }
    }

    fn unexpected(&self) -> Unexpected<'_> {
        match &self.value {
            Value::Null | Value::Removed => Unexpected::Unit,
            Value::Plain(text) | Value::Quoted(text) => Unexpected::Str(text),
            Value::List(_) => Unexpected::Seq,
            Value::Map(_) => Unexpected::Map,
        }
    }

    fn wrong<'de, V: Visitor<'de>>(&self, visitor: &V) -> ReadError {
        de::Error::invalid_type(self.unexpected(), visitor)
    }
}

/// Numbers read themselves from plain text.
macro_rules! number {
    ($($method:ident $visit:ident $type:ty,)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
            match &self.value {
                Value::Plain(text) => match text.parse::<$type>() {
                    Ok(number) => visitor.$visit(number),
                    Err(_) => Err(self.wrong(&visitor)),
                },
                _ => Err(self.wrong(&visitor)),
            }
        }
    )*};
}

impl<'de> Deserializer<'de> for &'de Node {
    type Error = ReadError;

    /// The type does not say what it wants: YAML's core schema decides.
    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        match &self.value {
            Value::Null | Value::Removed => visitor.visit_unit(),
            Value::Quoted(text) => visitor.visit_borrowed_str(text),
            Value::List(items) => visitor.visit_seq(Items { items: items.iter().enumerate(), left: items.len() }),
            Value::Map(entries) => visitor.visit_map(Entries::all(entries)),
            Value::Plain(text) => match text.as_str() {
                "true" | "True" | "TRUE" => visitor.visit_bool(true),
                "false" | "False" | "FALSE" => visitor.visit_bool(false),
                // A number in Rust's eyes only: YAML writes it with a dot in front.
                "inf" | "infinity" | "nan" | "NaN" => visitor.visit_borrowed_str(text),
                text => {
                    if let Ok(number) = text.parse() {
                        visitor.visit_u64(number)
                    } else if let Ok(number) = text.parse() {
                        visitor.visit_i64(number)
                    } else if let Ok(number) = text.parse() {
                        visitor.visit_f64(number)
                    } else {
                        visitor.visit_borrowed_str(text)
                    }
                }
            },
        }
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        match &self.value {
            // The spellings that the variables of the Python service had.
            Value::Plain(text) => match text.to_lowercase().as_str() {
                "true" | "yes" | "on" | "1" => visitor.visit_bool(true),
                "false" | "no" | "off" | "0" => visitor.visit_bool(false),
                _ => Err(self.wrong(&visitor)),
            },
            _ => Err(self.wrong(&visitor)),
        }
    }

    number! {
        deserialize_u8 visit_u8 u8, deserialize_u16 visit_u16 u16, deserialize_u32 visit_u32 u32,
        deserialize_u64 visit_u64 u64, deserialize_i8 visit_i8 i8, deserialize_i16 visit_i16 i16,
        deserialize_i32 visit_i32 i32, deserialize_i64 visit_i64 i64, deserialize_f32 visit_f32 f32,
        deserialize_f64 visit_f64 f64,
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        match self.text() {
            Some(text) => visitor.visit_borrowed_str(text),
            None => Err(self.wrong(&visitor)),
        }
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        self.deserialize_str(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        match &self.value {
            Value::Null => visitor.visit_none(),
            // An empty variable is the only way to say `nothing` in an environment file.
            Value::Plain(text) if text.is_empty() => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, ReadError> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        match &self.value {
            Value::List(_) => self.deserialize_any(visitor),
            _ => Err(self.wrong(&visitor)),
        }
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        match &self.value {
            Value::Map(_) => self.deserialize_any(visitor),
            _ => Err(self.wrong(&visitor)),
        }
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        keys: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, ReadError> {
        match &self.value {
            Value::Map(entries) => visitor.visit_map(Entries { keys: Some(keys), ..Entries::all(entries) }),
            _ => Err(self.wrong(&visitor)),
        }
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, ReadError> {
        match &self.value {
            Value::Plain(text) | Value::Quoted(text) => visitor.visit_enum(text.as_str().into_deserializer()),
            Value::Map(entries) => visitor.visit_enum(MapAccessDeserializer::new(Entries::all(entries))),
            _ => Err(self.wrong(&visitor)),
        }
    }

    fn deserialize_identifier<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        self.deserialize_str(visitor)
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        visitor.visit_unit()
    }

    forward_to_deserialize_any! { i128 u128 char bytes byte_buf unit unit_struct tuple tuple_struct }
}

/// The elements that are left of a list; faults carry the number as written.
struct Items<'de> {
    items: std::iter::Enumerate<std::slice::Iter<'de, Node>>,
    left: usize,
}

impl<'de> de::SeqAccess<'de> for Items<'de> {
    type Error = ReadError;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, ReadError> {
        match self.items.find(|(_, item)| item.value != Value::Removed) {
            Some((index, item)) => seed.deserialize(item).map(Some).map_err(|error| error.inside(Step::Index(index))),
            None => Ok(None),
        }
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.left)
    }
}

/// The entries of a map; those of known keys without a value are passed over.
struct Entries<'de> {
    entries: std::slice::Iter<'de, (String, Node)>,
    keys: Option<&'static [&'static str]>,
    current: Option<&'de (String, Node)>,
}

impl<'de> Entries<'de> {
    fn all(entries: &'de [(String, Node)]) -> Entries<'de> {
        Entries { entries: entries.iter(), keys: None, current: None }
    }
}

impl<'de> de::MapAccess<'de> for Entries<'de> {
    type Error = ReadError;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, ReadError> {
        let keys = self.keys;
        let unwritten = |(key, node): &(String, Node)| {
            node.value == Value::Null && keys.is_some_and(|keys| keys.contains(&key.as_str()))
        };
        self.current = self.entries.find(|entry| !unwritten(entry));
        let Some((key, _)) = self.current else { return Ok(None) };
        let name: de::value::BorrowedStrDeserializer<'_, ReadError> = de::value::BorrowedStrDeserializer::new(key);
        seed.deserialize(name).map(Some).map_err(|error| error.inside(Step::Key(key.clone())))
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, ReadError> {
        let (key, node) = self.current.take().expect("serde asks for a value only after its key");
        seed.deserialize(node).map_err(|error| error.inside(Step::Key(key.clone())))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::collections::BTreeMap;

    use bytesize::ByteSize;
    use serde::Deserialize;

    use super::*;
    use crate::{config::yaml, units::Span};

    #[derive(Debug, Default, PartialEq, Deserialize)]
    #[serde(rename_all = "lowercase")]
    enum Word {
        #[default]
        Red,
        Green,
    }

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Inner {
        name: String,
        #[serde(default)]
        port: u16,
    }

    #[derive(Debug, Default, PartialEq, Deserialize)]
    #[serde(default, deny_unknown_fields)]
    struct All {
        text: String,
        flag: bool,
        count: u16,
        ratio: f64,
        maybe: Option<u32>,
        word: Word,
        size: Option<ByteSize>,
        pause: Option<Span>,
        items: Vec<Inner>,
        free: BTreeMap<String, i64>,
    }

    fn all(text: &str) -> (All, Vec<String>) {
        let mut found = Vec::new();
        let mut tree = yaml::parse(&"c".into(), text.as_bytes(), &mut found);
        let (value, _) = read(&mut tree, &mut found);
        (value, found.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn the_target_type_decides_what_a_scalar_is() {
        let (value, found) = all("text: 123\nflag: yes\ncount: 7\nratio: 1\nmaybe: 4\nword: green\nsize: 10GB\n\
             pause: 2s\nitems: [{name: true, port: 9}, {name: \"x\"}]\nfree: {a: -1}");
        assert_eq!(found, [""; 0]);
        assert_eq!(
            value,
            All {
                text: "123".into(),
                flag: true,
                count: 7,
                ratio: 1.0,
                maybe: Some(4),
                word: Word::Green,
                size: Some(ByteSize::gb(10)),
                pause: Some(Span::secs(2)),
                items: vec![Inner { name: "true".into(), port: 9 }, Inner { name: "x".into(), port: 0 }],
                free: BTreeMap::from([("a".into(), -1)]),
            }
        );
    }

    #[test]
    fn a_key_without_a_value_keeps_its_default() {
        assert_eq!(all("text:\nflag: ~\nitems:\nword: null\nmaybe:"), (All::default(), vec![]));
        assert_eq!(all("nonsense:").1.len(), 1, "but must be known");
    }

    #[test]
    fn every_fault_is_found_in_one_run() {
        let (value, found) = all("txet: a\nflag: 2\ncount: 70000\nratio: much\nmaybe: \"4\"\nword: blue\nsize: big\n\
             pause: soon\nitems:\n- {name: a}\n- {port: 1}\n- {name: b, prot: 2}\n- name\nfree: [1]\nzzz: 1");
        assert_eq!(
            found,
            [
                "c:1: txet: unknown key\n  hint: did you mean `text`?",
                "c:2: flag: expected `true` or `false`, found `2`",
                "c:3: count: expected a whole number from 0 to 65535, found `70000`",
                "c:4: ratio: expected a number, found `much`",
                "c:5: maybe: expected a whole number from 0 to 4294967295, found `4`",
                "c:6: word: unknown value `blue`\n  hint: one of `red`, `green`",
                "c:7: size: expected a size such as `10GB`, found `big`",
                "c:8: pause: `soon` is not a duration such as `2s` or `5m`: expected number at 0",
                "c:11: items[1]: `name` is missing",
                "c:12: items[2].prot: unknown key\n  hint: did you mean `port`?",
                "c:13: items[3]: expected keys and values, found `name`",
                "c:14: free: expected keys and values, found a list",
                "c:15: zzz: unknown key\n  hint: known keys here: `text`, `flag`, `count`, `ratio`, `maybe`, `word`, \
                 `size`, `pause`, `items`, `free`",
            ]
        );
        assert_eq!(value.items.len(), 2, "the sound elements are kept for the checks");
    }
}

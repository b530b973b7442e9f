//! What serde finds wrong with a value, and how a person hears of it: in YAML's words, with a guess at what was meant.

use std::fmt;

use serde::de::{self, Unexpected};

use super::{
    problems::{list, nearest},
    tree::{Node, Path, Step},
};
use crate::problem::Problem;

/// What serde found wrong, and where.
#[derive(Debug)]
pub struct ReadError {
    fault: Fault,
    /// Innermost first.
    steps: Vec<Step>,
}

impl ReadError {
    /// The same, seen from one step further out.
    pub fn inside(mut self, step: Step) -> ReadError {
        self.steps.push(step);
        self
    }

    /// The way to the faulty value.
    pub fn path(&self) -> Path {
        Path(self.steps.iter().rev().cloned().collect())
    }

    /// The problem to show, and the paths whose values are not what the user meant.
    pub fn describe(&self, tree: &Node) -> (Problem, Vec<Path>) {
        self.fault.describe(&self.path(), tree)
    }

    fn new(fault: Fault) -> ReadError {
        ReadError { fault, steps: Vec::new() }
    }
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

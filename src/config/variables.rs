//! `APP_CONFIG__WRITERS__STRATEGY=local`: variables that lay themselves over the file. Names ignore case, a double
//! underscore goes one level down, a number picks a list's element; lists and maps are written as JSON.

use std::{ffi::OsString, sync::Arc};

use super::{
    dotenv,
    problems::Found,
    tree::{Node, Path, Place, Step, Value},
};
use crate::problem::Problem;

/// What every variable of ours begins with.
pub const PREFIX: &str = "APP_CONFIG__";

/// One variable and where it was set.
#[derive(Clone, Debug)]
pub struct Variable {
    name: String,
    value: Result<String, OsString>,
    place: Place,
}

/// The variables of the process. Names that are not text cannot be ours.
pub fn of_process(environment: impl IntoIterator<Item = (OsString, OsString)>) -> Vec<Variable> {
    let named = |(name, value): (OsString, OsString)| {
        let name = name.into_string().ok()?;
        let place = Place::Variable(name.as_str().into());
        Some(Variable { name, value: value.into_string(), place })
    };
    environment.into_iter().filter_map(named).collect()
}

/// The variables of an environment file.
pub fn of_file(file: &Arc<str>, bytes: &[u8], found: &mut Vec<Found>) -> Vec<Variable> {
    let placed = |assignment: dotenv::Assignment| {
        let place = Place::FileVariable(file.clone(), assignment.line, assignment.name.as_str().into());
        Variable { name: assignment.name, value: Ok(assignment.value), place }
    };
    dotenv::parse(file, bytes, found).into_iter().map(placed).collect()
}

/// A variable by its exact name; the last one set counts, an empty one does not.
pub fn get<'a>(variables: &'a [Variable], name: &str) -> Option<(&'a str, &'a Place)> {
    let variable = variables.iter().rev().find(|variable| variable.name == name)?;
    let value = variable.value.as_deref().ok()?;
    (!value.is_empty()).then_some((value, &variable.place))
}

/// Lays the variables that begin with [`PREFIX`] over a tree: the process over the file, and within each the
/// deeper names over the shorter ones. Returns the paths that could not be set.
pub fn overlay(tree: &mut Node, variables: &[Variable], found: &mut Vec<Found>) -> Vec<Path> {
    let mut faulty = Vec::new();
    let mut ours: Vec<(Vec<Step>, &Variable)> = variables.iter().filter_map(|v| Some((steps(&v.name)?, v))).collect();
    ours.sort_by_key(|(steps, variable)| (from_process(variable), steps.len(), steps.clone()));
    for (steps, variable) in ours {
        let path = Path(steps);
        let result = match &variable.value {
            Ok(text) => put(tree, &path, value(text, &variable.place)),
            Err(_) => Err(Problem::new("", "the value is not valid UTF-8")),
        };
        if let Err(problem) = result {
            let problem = Problem { path: path.to_string(), ..problem };
            found.push(Found::new(variable.place.clone(), problem));
            faulty.push(path);
        }
    }
    faulty
}

fn from_process(variable: &Variable) -> bool {
    matches!(variable.place, Place::Variable(_))
}

/// The path a name stands for; `None` when the variable is not ours.
fn steps(name: &str) -> Option<Vec<Step>> {
    let ours = name.get(..PREFIX.len()).is_some_and(|start| start.eq_ignore_ascii_case(PREFIX));
    let step = |part: &str| match part.parse() {
        Ok(index) => Step::Index(index),
        Err(_) => Step::Key(part.to_lowercase()),
    };
    ours.then(|| name[PREFIX.len()..].split("__").map(step).collect())
}

/// JSON for lists and maps. Everything else is plain text, such as the address `[::1]:8080`.
fn value(text: &str, place: &Place) -> Node {
    if text.trim_start().starts_with(['[', '{'])
        && let Ok(json) = serde_json::from_str(text)
    {
        return Node::from_json(json, place);
    }
    Node { value: Value::Plain(text.to_owned()), place: place.clone() }
}

fn put(tree: &mut Node, path: &Path, over: Node) -> Result<(), Problem> {
    let mut node = tree;
    for step in &path.0 {
        node = match step {
            Step::Key(_) if matches!(node.value, Value::List(_)) => {
                return Err(Problem::new("", "this is inside a list").hint("pick an element by number, from 0"));
            }
            Step::Key(key) => node.entry(key, &over.place),
            Step::Index(index) => {
                if !matches!(node.value, Value::List(_)) {
                    *node = Node { value: Value::List(Vec::new()), place: over.place.clone() };
                }
                let Value::List(items) = &mut node.value else { unreachable!("it was just made a list") };
                let length = items.len();
                if *index == length {
                    items.push(Node { value: Value::Null, place: over.place.clone() });
                }
                items.get_mut(*index).ok_or_else(|| {
                    Problem::new("", format!("the list has {length} elements"))
                        .hint(format!("the next one is number {length}; or write the whole list as JSON"))
                })?
            }
        };
    }
    node.overlay(over);
    Ok(())
}

//! The arrows of docs/architecture.md, checked: which storey may name which. A mirror, not a gate: when an arrow should
//! move, change the table in the same commit and say why.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

/// Each room and the rooms it names, itself apart; an arrow that nobody uses any more goes. `main.rs` and `lib.rs` stand
/// outside.
const ARROWS: &[(&str, &[&str])] = &[
    ("units", &[]),
    ("problem", &[]),
    ("telemetry", &[]),
    ("schema", &[]),
    ("collect", &["schema", "units", "problem"]),
    ("enrich", &["collect", "schema", "problem"]),
    ("gcp", &[]),
    ("acme", &["problem"]),
    ("pipeline", &["collect", "enrich", "schema"]),
    ("deliver", &["gcp", "schema", "telemetry", "units", "problem"]),
    // Of enrich, what is kept of an address: the log and the rows say it alike.
    ("edge", &["acme", "pipeline", "collect", "enrich", "deliver", "telemetry", "units", "problem"]),
    ("config", &["collect", "deliver", "edge", "enrich", "units", "problem"]),
    ("demo", &["config"]),
    ("app", &["acme", "config", "edge", "pipeline", "enrich", "deliver", "telemetry"]),
    ("cli", &["app", "config", "demo", "schema", "collect", "enrich", "deliver", "telemetry"]),
];

/// Crates that only some rooms may name.
const KEPT_CRATES: &[(&str, &[&str])] = &[
    ("pingora", &["edge"]),
    ("tokio", &["acme", "edge", "deliver", "gcp", "demo", "app", "cli"]),
    ("hyper", &["edge", "demo", "gcp"]),
    ("tonic", &["gcp", "deliver"]),
    ("gcp_auth", &["gcp"]),
    ("instant_acme", &["acme"]),
    ("parquet", &["deliver"]),
    ("saphyr_parser", &["config", "enrich"]),
    ("clap", &["cli"]),
];

fn source_files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            source_files(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// Rooms named by `crate::room`, alone or first in a `use crate::{…}` group.
fn rooms_named(source: &str) -> BTreeSet<String> {
    let mut rooms = BTreeSet::new();
    for (at, _) in source.match_indices("crate::") {
        let rest = &source[at + "crate::".len()..];
        if let Some(group) = rest.strip_prefix('{') {
            let mut depth = 0;
            let mut word = String::new();
            let mut first_segment = true;
            for c in group.chars() {
                match c {
                    '{' => depth += 1,
                    '}' if depth == 0 => break,
                    '}' => depth -= 1,
                    ',' if depth == 0 => first_segment = true,
                    ':' if depth == 0 => {
                        if first_segment && !word.is_empty() {
                            rooms.insert(word.clone());
                        }
                        first_segment = false;
                        word.clear();
                        continue;
                    }
                    c if depth == 0 && first_segment && (c.is_alphanumeric() || c == '_') => {
                        word.push(c);
                        continue;
                    }
                    _ => {}
                }
                if c == ',' && !word.is_empty() {
                    rooms.insert(word.clone());
                }
                word.clear();
            }
            if first_segment && !word.is_empty() {
                rooms.insert(word);
            }
        } else {
            rooms.insert(rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect());
        }
    }
    rooms
}

fn room_of(path: &Path) -> Option<String> {
    let inside = path.strip_prefix(Path::new(env!("CARGO_MANIFEST_DIR")).join("src")).unwrap();
    let first = inside.iter().next().unwrap().to_str().unwrap();
    let room = first.strip_suffix(".rs").unwrap_or(first);
    (room != "main" && room != "lib").then(|| room.to_owned())
}

#[test]
fn the_drawing_has_every_arrow_between_storeys_and_no_other() {
    let mut files = Vec::new();
    source_files(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut files);
    let mut wrong = Vec::new();
    let mut used = BTreeSet::new();
    for path in &files {
        let Some(room) = room_of(path) else { continue };
        let source = fs::read_to_string(path).unwrap();
        let Some((_, allowed)) = ARROWS.iter().find(|(name, _)| *name == room) else {
            wrong.push(format!("{}: room `{room}` is not in the drawing", path.display()));
            continue;
        };
        for named in rooms_named(&source) {
            let known = ARROWS.iter().any(|(name, _)| *name == named);
            if known && named != room && !allowed.contains(&named.as_str()) {
                wrong.push(format!("{}: `{room}` names `{named}`", path.display()));
            }
            used.insert((room.clone(), named));
        }
        for (kept, by) in KEPT_CRATES {
            let names_it = [format!("{kept}::"), format!("use {kept};")].iter().any(|needle| {
                source.match_indices(needle.as_str()).any(|(at, _)| {
                    let before = source[..at].chars().next_back();
                    !before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == ':')
                })
            });
            if names_it && !by.contains(&room.as_str()) {
                wrong.push(format!("{}: `{room}` names the crate `{kept}`", path.display()));
            }
            if names_it {
                used.insert((room.clone(), (*kept).to_owned()));
            }
        }
    }
    let arrows = ARROWS.iter().flat_map(|(from, allowed)| allowed.iter().map(move |to| (*from, *to)));
    let crates = KEPT_CRATES.iter().flat_map(|(kept, by)| by.iter().map(move |from| (*from, *kept)));
    for (from, to) in arrows.chain(crates) {
        if !used.contains(&(from.to_owned(), to.to_owned())) {
            wrong.push(format!("`{from}` may name `{to}`, and does not"));
        }
    }
    assert!(wrong.is_empty(), "the drawing and the code differ:\n{}", wrong.join("\n"));
}

#[test]
fn the_reader_of_use_lines_sees_groups_and_paths() {
    let named = rooms_named(
        "use crate::{app, deliver::{Delivery, Drained}, edge::{self, Edge}, units};\nlet x = crate::schema::Event;",
    );
    assert_eq!(named.into_iter().collect::<Vec<_>>(), ["app", "deliver", "edge", "schema", "units"]);
}

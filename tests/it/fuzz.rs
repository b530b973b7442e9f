//! The fuzz targets' corpora, replayed: what a fuzzer once found interesting stays interesting.

use std::{
    collections::BTreeSet,
    fs,
    panic::catch_unwind,
    path::{Path, PathBuf},
};

#[path = "../../fuzz/entries/mod.rs"]
mod entries;

/// Fewest inputs a target is born with.
const FEWEST: usize = 5;

fn room(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz").join(name)
}

/// Names in a folder, without their endings.
fn names(folder: &Path) -> BTreeSet<String> {
    let entries = fs::read_dir(folder).unwrap_or_else(|e| panic!("`{}`: {e}", folder.display()));
    entries.map(|entry| entry.unwrap().path().file_stem().unwrap().to_str().unwrap().to_owned()).collect()
}

#[test]
fn every_corpus_replays_without_a_panic() {
    let mut failed = Vec::new();
    for (name, _) in entries::TARGETS {
        let mut inputs = 0;
        for input in fs::read_dir(room("corpus").join(name)).unwrap_or_else(|e| panic!("the corpus of `{name}`: {e}")) {
            let path = input.unwrap().path();
            let data = fs::read(&path).unwrap();
            failed.extend(catch_unwind(|| entries::run(name, &data)).is_err().then_some(path));
            inputs += 1;
        }
        assert!(inputs >= FEWEST, "the corpus of `{name}` is too thin: {inputs}");
    }
    assert!(failed.is_empty(), "each of these panicked, see above: {failed:#?}");
}

#[test]
fn no_target_is_forgotten() {
    let replayed: BTreeSet<String> = entries::TARGETS.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(names(&room("fuzz_targets")), replayed, "each file of `fuzz_targets` is an entry that is replayed");
    assert_eq!(names(&room("corpus")), replayed, "each corpus belongs to a target that is replayed");

    let manifest = fs::read_to_string(room("Cargo.toml")).unwrap();
    for name in &replayed {
        let file = fs::read_to_string(room("fuzz_targets").join(format!("{name}.rs"))).unwrap();
        assert!(file.contains(&format!("entries::run(\"{name}\", data)")), "`{name}` runs its own entry");
        assert!(manifest.contains(&format!("path = \"fuzz_targets/{name}.rs\"")), "`{name}` is built by cargo fuzz");
    }
}

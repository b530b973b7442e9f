//! The fuzz targets' corpora, replayed: what a fuzzer once found interesting stays interesting.

use std::{fs, path::Path};

#[path = "../../fuzz/entries.rs"]
mod entries;

#[test]
fn every_corpus_replays_without_a_panic() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus");
    for (name, target) in entries::TARGETS {
        let mut inputs = 0;
        for input in fs::read_dir(corpus.join(name)).unwrap_or_else(|e| panic!("the corpus of `{name}`: {e}")) {
            target(&fs::read(input.unwrap().path()).unwrap());
            inputs += 1;
        }
        assert!(inputs >= 5, "the corpus of `{name}` is too thin: {inputs}");
    }
}

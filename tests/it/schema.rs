//! The forms of the schema agree: with each other for any event, with GA4's export column by column, and with the
//! goldens that a reviewer reads. `UPDATE=1 cargo test --test it schema` rewrites the goldens and `docs/schema.md`.

#![allow(clippy::unwrap_used)]

mod forms;
mod random;
mod robustness;
mod rules;

use std::{env, fs, path::Path};

use proptest::{prelude::*, test_runner::RngSeed};
use prost::Message;
use real_streaming::schema::{self, Date, Event, Format, Row, reference};
use serde_json::Value;

/// Runs that are the same everywhere, so that a failure is one for everybody.
fn repeatable(cases: u32) -> ProptestConfig {
    ProptestConfig { cases, rng_seed: RngSeed::Fixed(1), failure_persistence: None, ..ProptestConfig::default() }
}

/// Wire bytes of a random event, encoded as rows are, and what its JSON has to be.
fn random_row(seed: u64, density: u8) -> (Vec<u8>, Value) {
    let event = random::event(seed, density);
    let expected = forms::reference(&event);
    let decoded = reference::Event::decode(event.encode_to_vec().as_slice()).expect("both types come from one file");
    let row = Row::freeze(&Event::from(decoded.clone()), Date(0), "1".into());
    assert_eq!(row.bytes(), decoded.encode_to_vec(), "our encoder and prost's write the same bytes");
    (row.bytes().to_vec(), expected)
}

proptest! {
    #![proptest_config(repeatable(256))]

    #[test]
    fn every_form_of_a_row_says_the_same(rows in prop::collection::vec((any::<u64>(), 0..=100u8), 0..6)) {
        let (rows, expected): (Vec<_>, Vec<_>) = rows.into_iter().map(|(seed, density)| random_row(seed, density)).unzip();
        for (bytes, expected) in rows.iter().zip(&expected) {
            prop_assert_eq!(&schema::json::value(bytes).unwrap(), expected);
        }
        let batch = schema::arrow::record_batch(rows.iter().map(Vec::as_slice)).unwrap();
        prop_assert_eq!(batch.schema(), schema::arrow::schema());
        prop_assert_eq!(forms::from_arrow(&batch), expected);
        // And back, to the byte; also from a part of a batch.
        prop_assert_eq!(&schema::arrow::rows(&batch).unwrap(), &rows);
        if rows.len() > 2 {
            prop_assert_eq!(&schema::arrow::rows(&batch.slice(1, rows.len() - 2)).unwrap(), &rows[1..rows.len() - 1]);
        }
    }
}

#[test]
fn random_events_leave_no_column_untried() {
    let mut untried: Vec<String> = schema::flatten().into_iter().map(|(path, _)| path).collect();
    for seed in 0..50 {
        let (bytes, _) = random_row(seed, 60);
        let row = schema::json::value(&bytes).unwrap();
        untried.retain(|path| !forms::mentions(&row, path));
    }
    assert_eq!(untried, Vec::<String>::new());
}

#[test]
fn the_golden_schemas_are_current() {
    golden("tests/golden/schema/bigquery.json", &Format::Bigquery.render());
    golden("tests/golden/schema/arrow.txt", &Format::Arrow.render());
    golden("tests/golden/schema/descriptor.txt", &Format::Descriptor.render());
}

#[test]
fn the_documentation_page_is_current() {
    golden("docs/schema.md", &Format::Markdown.render());
}

#[test]
fn the_printed_proto_is_the_file() {
    let file = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("proto/event.proto")).unwrap();
    assert_eq!(Format::Proto.render(), file);
}

#[track_caller]
fn golden(path: &str, actual: &str) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    if env::var_os("UPDATE").is_some() {
        fs::write(&file, actual).unwrap();
        return;
    }
    let expected = fs::read_to_string(&file).unwrap_or_default();
    let differs = expected.lines().zip(actual.lines()).position(|(expected, actual)| expected != actual);
    let line = differs.unwrap_or(expected.lines().count().min(actual.lines().count())) + 1;
    assert!(
        expected == actual,
        "`{path}` is out of date from line {line} on\nhint: run with UPDATE=1 and review the diff"
    );
}

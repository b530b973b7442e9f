//! Crashes at every step, merges compared with what went in.
//!
//! A crash is a copy of the folder, taken in the middle of the work: the copy is then opened as a restarted process
//! would.

use std::{
    cell::RefCell,
    collections::BTreeMap,
    fs::{self, File},
    path::{Path, PathBuf},
};

use arrow_array::{Array, RecordBatch, StringArray, StructArray};
use arrow_ord::sort::{SortColumn, lexsort_to_indices};
use arrow_select::{concat::concat_batches, take::take_record_batch};
use bytes::Bytes;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use prost::Message;

use super::*;
use crate::schema::reference::{self, Event};

type Hook = Box<dyn FnMut(&str)>;

thread_local! {
    static HOOK: RefCell<Option<Hook>> = const { RefCell::new(None) };
}

pub fn step(name: &str) {
    HOOK.with_borrow_mut(|hook| {
        if let Some(hook) = hook {
            hook(name);
        }
    });
}

pub(super) const DAY: Date = Date(20_000);
pub(super) const SPOOL: u64 = 0xfeed;

fn event(position: Position) -> Bytes {
    let param = |key: &str, text: &str| reference::event::Param {
        key: Some(key.into()),
        value: Some(reference::event::Value { string_value: Some(text.into()), ..Default::default() }),
    };
    Event {
        event_name: (!position.is_multiple_of(5))
            .then(|| ["page_view", "scroll", "purchase"][position as usize % 3].into()),
        event_timestamp: Some(position as i64),
        event_params: (0..position % 4).map(|n| param(&format!("key_{n}"), &format!("value {position}"))).collect(),
        user_pseudo_id: (!position.is_multiple_of(7)).then(|| format!("{}.1700000000", position * 7919 % 13)),
        date: Some(DAY.0),
        synced_at_utc: Some(1_700_000_000_000_000 + position as i64),
        device: position.is_multiple_of(2).then(|| reference::event::Device {
            category: Some("mobile".into()),
            web_info: Some(reference::event::WebInfo { browser: Some("Chrome".into()), ..Default::default() }),
            ..Default::default()
        }),
        items: (0..position % 3)
            .map(|n| reference::event::Item {
                item_id: Some(format!("SKU{n}")),
                price: Some(n as f64 * 1.5),
                item_params: vec![param("colour", "red")],
                ..Default::default()
            })
            .collect(),
        rs_info: Some(reference::event::RsInfo {
            event_id: Some(position.to_string()),
            notes: vec!["a note".into(); position as usize % 2],
            ..Default::default()
        }),
        ..Default::default()
    }
    .encode_to_vec()
    .into()
}

pub(super) fn rows(positions: impl IntoIterator<Item = Position>) -> Vec<(Position, Bytes)> {
    positions.into_iter().map(|position| (position, event(position))).collect()
}

pub(super) fn lake(directory: &Path) -> Lake {
    let lake = Lake::new(directory, SPOOL, Position::MAX);
    lake.prepare().unwrap();
    lake
}

/// The files a query over `events` reads.
pub(super) fn visible(directory: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for day in fs::read_dir(directory.join("events")).into_iter().flatten() {
        for file in fs::read_dir(day.unwrap().path()).unwrap() {
            files.push(file.unwrap().path());
        }
    }
    files.sort();
    files
}

fn read_file(path: &Path) -> RecordBatch {
    let builder = ParquetRecordBatchReaderBuilder::try_new(File::open(path).unwrap()).unwrap();
    let schema = builder.schema().clone();
    let batches: Vec<_> = builder.build().unwrap().map(Result::unwrap).collect();
    concat_batches(&schema, &batches).unwrap()
}

fn ids(batch: &RecordBatch) -> Vec<Position> {
    let info: &StructArray = batch.column_by_name("rs_info").unwrap().as_any().downcast_ref().unwrap();
    let ids: &StringArray = info.column_by_name("event_id").unwrap().as_any().downcast_ref().unwrap();
    ids.iter().map(|id| id.unwrap().parse().unwrap()).collect()
}

/// How often each row is seen.
pub(super) fn seen(directory: &Path) -> BTreeMap<Position, usize> {
    let mut seen = BTreeMap::new();
    for id in visible(directory).iter().flat_map(|file| ids(&read_file(file))) {
        *seen.entry(id).or_default() += 1;
    }
    seen
}

pub(super) fn once(positions: impl IntoIterator<Item = Position>) -> BTreeMap<Position, usize> {
    positions.into_iter().map(|position| (position, 1)).collect()
}

/// Every row of the folder, in an order that does not depend on the files.
fn table(directory: &Path) -> RecordBatch {
    let batches: Vec<_> = visible(directory).iter().map(|file| read_file(file)).collect();
    let all = concat_batches(&batches[0].schema(), &batches).unwrap();
    let by_id = all.column_by_name("event_timestamp").unwrap().clone();
    let order = lexsort_to_indices(&[SortColumn { values: by_id, options: None }], None).unwrap();
    take_record_batch(&all, &order).unwrap()
}

pub(super) fn copy_tree(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy_tree(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// Copies of `directory` taken at each step of `work`.
pub(super) fn crashes(directory: &Path, work: impl FnOnce()) -> Vec<(String, tempfile::TempDir)> {
    let copies = std::rc::Rc::new(RefCell::new(Vec::new()));
    let (into, from) = (copies.clone(), directory.to_owned());
    HOOK.set(Some(Box::new(move |name| {
        let copy = tempfile::tempdir().unwrap();
        copy_tree(&from, copy.path());
        into.borrow_mut().push((name.to_owned(), copy));
    })));
    work();
    HOOK.set(None);
    copies.take()
}

/// Does something at one step of `work`, the first time it is reached.
pub(super) fn at_step<T>(step: &'static str, action: impl FnOnce() + 'static, work: impl FnOnce() -> T) -> T {
    let mut action = Some(action);
    HOOK.set(Some(Box::new(move |name| {
        if name == step
            && let Some(action) = action.take()
        {
            action();
        }
    })));
    let result = work();
    HOOK.set(None);
    result
}

/// A restarted process gets every row again, in other batches, and the lake holds each once.
pub(super) fn recovers(directory: &Path, all: Position) {
    let lake = lake(directory);
    assert_eq!(fs::read_dir(directory.join(".staging")).unwrap().count(), 0, "leftovers are cleared");
    let positions: Vec<Position> = (0..all).collect();
    for part in positions.chunks(9) {
        lake.write(DAY, &rows(part.iter().copied())).unwrap();
    }
    assert_eq!(seen(directory), once(0..all));
}

#[test]
fn rows_come_back_from_the_file_as_they_were() {
    let folder = tempfile::tempdir().unwrap();
    lake(folder.path()).write(DAY, &rows(0..100)).unwrap();
    let files = visible(folder.path());
    assert_eq!(files.len(), 1);
    assert!(
        files[0].ends_with("events/day=2024-10-04/part-000000000000feed-000000000000-000000000099.parquet"),
        "{files:?}"
    );
    let batch = read_file(&files[0]);
    assert!(order::is_sorted(&batch));

    let events: Vec<Bytes> = ids(&batch).into_iter().map(event).collect();
    let expected = crate::schema::arrow::record_batch(events.iter().map(|bytes| bytes.as_ref())).unwrap();
    assert_eq!(batch.columns(), expected.columns());
}

#[test]
fn rows_at_or_below_the_watermark_are_skipped() {
    let folder = tempfile::tempdir().unwrap();
    let lake = lake(folder.path());
    lake.write(DAY, &rows([0, 1, 4])).unwrap();
    lake.write(DAY, &rows([0, 1, 4])).unwrap();
    lake.write(DAY, &rows([4, 5])).unwrap();
    lake.write(Date(20_001), &rows([2, 3])).unwrap();
    assert_eq!(seen(folder.path()), once(0..=5));
    recovers(folder.path(), 6);
}

#[test]
fn a_row_that_is_no_event_is_rejected_and_its_neighbours_are_written() {
    let folder = tempfile::tempdir().unwrap();
    let lake = lake(folder.path());
    let mut batch = rows(0..10);
    batch[3].1 = Bytes::from_static(b"\x0a\xff");
    batch[7].1 = Bytes::from_static(b"\x1a\x02\xff\xff");
    let rejected: Vec<usize> = lake.write(DAY, &batch).unwrap().iter().map(|rejected| rejected.index).collect();
    assert_eq!(rejected, [3, 7]);
    assert_eq!(seen(folder.path()), once([0, 1, 2, 4, 5, 6, 8, 9]));

    let only_bad = vec![(10, Bytes::from_static(b"\xff"))];
    assert_eq!(lake.write(DAY, &only_bad).unwrap().len(), 1);
    assert_eq!(visible(folder.path()).len(), 1, "no file without rows");
}

#[test]
fn a_crash_while_writing_loses_and_doubles_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let lake = lake(folder.path());
    let copies = crashes(folder.path(), || {
        lake.write(DAY, &rows(0..20)).unwrap();
        lake.write(DAY, &rows(20..40)).unwrap();
    });
    assert_eq!(copies.len(), 6);
    for (step, copy) in &copies {
        let seen = seen(copy.path());
        assert!([once(0..0), once(0..20), once(0..40)].contains(&seen), "seen after {step}: {seen:?}");
        recovers(copy.path(), 40);
    }
}

#[test]
fn a_crash_while_merging_loses_and_doubles_nothing() {
    for exchange in [true, false] {
        let folder = tempfile::tempdir().unwrap();
        let mut lake = lake(folder.path());
        lake.exchange = exchange;
        for start in (0..60).step_by(10) {
            lake.write(DAY, &rows(start..start + 10)).unwrap();
        }
        let parts: Vec<_> = lake.files(DAY).unwrap().into_iter().take(4).map(|(name, _)| name).collect();
        let copies = crashes(folder.path(), || {
            let (merged, old) = lake.merge(DAY, &parts, &|| Ok(())).unwrap();
            assert_eq!(merged.rows, 40);
            assert_eq!(seen(folder.path()), once(0..60));
            swap::remove(&old).unwrap();
        });
        let steps: Vec<_> = copies.iter().map(|(step, _)| step.as_str()).collect();
        let swapping: &[&str] = if exchange { &["exchanged"] } else { &["moved aside", "moved in"] };
        assert_eq!(steps, [&["merged", "linking", "linking", "built"], swapping, &["replaced"]].concat());
        for (step, copy) in &copies {
            if step != "moved aside" {
                assert_eq!(seen(copy.path()), once(0..60), "seen while down after {step}");
            }
            let again = self::lake(copy.path());
            assert_eq!(seen(copy.path()), once(0..60), "seen again after {step}");
            drop(again);
            recovers(copy.path(), 60);
        }
        assert_eq!(visible(folder.path()).len(), 3);
        recovers(folder.path(), 70);
    }
}

#[test]
fn a_file_that_comes_during_a_merge_is_not_lost() {
    let folder = tempfile::tempdir().unwrap();
    let lake = lake(folder.path());
    lake.write(DAY, &rows(0..10)).unwrap();
    lake.write(DAY, &rows(10..20)).unwrap();
    let parts: Vec<_> = lake.files(DAY).unwrap().into_iter().map(|(name, _)| name).collect();
    let late = || {
        lake.write(DAY, &rows(20..30))?;
        Ok(())
    };
    lake.merge(DAY, &parts, &late).unwrap();
    assert_eq!(seen(folder.path()), once(0..30));
    assert_eq!(visible(folder.path()).len(), 2);
}

#[test]
fn an_interrupted_merge_leaves_no_trace() {
    let folder = tempfile::tempdir().unwrap();
    let lake = lake(folder.path());
    lake.write(DAY, &rows(0..10)).unwrap();
    lake.write(DAY, &rows(10..20)).unwrap();
    let parts: Vec<_> = lake.files(DAY).unwrap().into_iter().map(|(name, _)| name).collect();
    let before = visible(folder.path());
    let error = lake.merge(DAY, &parts, &|| Err(LakeError::Interrupted)).unwrap_err();
    assert!(matches!(error, LakeError::Interrupted));
    assert_eq!(visible(folder.path()), before);
    assert_eq!(fs::read_dir(folder.path().join(".staging")).unwrap().count(), 0);
}

#[test]
fn merging_keeps_every_value_of_every_row() {
    let folder = tempfile::tempdir().unwrap();
    let lake = lake(folder.path());
    let mut start = 0;
    for size in [1, 3000, 2, 700, 5, 1, 40, 1, 1, 900, 3, 3, 3, 3, 3, 3, 3, 3, 60, 2] {
        lake.write(DAY, &rows(start..start + size)).unwrap();
        start += size;
    }
    let before = table(folder.path());
    assert_eq!(before.num_rows() as u64, start);

    let parts: Vec<_> = lake.files(DAY).unwrap().into_iter().map(|(name, _)| name).step_by(3).collect();
    lake.merge(DAY, &parts, &|| Ok(())).unwrap();
    assert_eq!(visible(folder.path()).len(), 20 - parts.len() + 1);
    assert_eq!(table(folder.path()), before);

    assert!(lake.compact(DAY, true).unwrap() >= 1);
    let files = visible(folder.path());
    assert_eq!(files.len(), 1);
    assert_eq!(table(folder.path()), before);
    assert!(order::is_sorted(&read_file(&files[0])));
    recovers(folder.path(), start);
}

#[test]
fn files_with_other_columns_are_not_merged() {
    let folder = tempfile::tempdir().unwrap();
    let lake = lake(folder.path());
    lake.write(DAY, &rows(10..20)).unwrap();
    let other = arrow_schema::Schema::new(vec![
        arrow_schema::Field::new("user_pseudo_id", arrow_schema::DataType::Utf8, true),
        arrow_schema::Field::new("event_name", arrow_schema::DataType::Utf8, true),
    ]);
    let name = FileName::fresh(SPOOL, 0, 0);
    let path = lake.folder(DAY).join(name.to_string());
    let mut file = writer::ParquetFile::create(&path, other.clone().into(), &[]).unwrap();
    let column = || -> arrow_array::ArrayRef { std::sync::Arc::new(StringArray::from(vec!["a"])) };
    file.write(&RecordBatch::try_new(other.into(), vec![column(), column()]).unwrap()).unwrap();
    file.close().unwrap();

    let error = lake.compact(DAY, true).unwrap_err();
    assert!(error.is_about(&path) && matches!(error, LakeError::OtherColumns { .. }), "{error}");
    assert_eq!(visible(folder.path()).len(), 2);
}

#[test]
fn rows_of_a_spool_that_came_back_shorter_are_not_taken_for_known_ones() {
    let folder = tempfile::tempdir().unwrap();
    lake(folder.path()).write(DAY, &rows(0..30)).unwrap();
    // The spool now ends at 20: positions 20 to 29 will be given out again.
    let lake = Lake::new(folder.path(), SPOOL, 20);
    lake.prepare().unwrap();
    lake.write(DAY, &rows(20..35)).unwrap();
    let seen = seen(folder.path());
    assert!((0..35).all(|position| seen.contains_key(&position)), "{seen:?}");
    assert_eq!(visible(folder.path()).len(), 2);
}

#[test]
fn the_compactor_merges_by_itself_and_stops_when_dropped() {
    let folder = tempfile::tempdir().unwrap();
    let lake = Arc::new(lake(folder.path()));
    for start in 0..4 {
        lake.write(DAY, &rows([start])).unwrap();
    }
    let compactor = Compactor::start(lake.clone()).unwrap();
    let deadline = Instant::now() + std::time::Duration::from_secs(60);
    while visible(folder.path()).len() > 1 {
        assert!(Instant::now() < deadline, "four small files, and nothing was merged");
        std::thread::park_timeout(std::time::Duration::from_millis(10));
    }
    drop(compactor);
    assert_eq!(seen(folder.path()), once(0..4));
    recovers(folder.path(), 4);
}

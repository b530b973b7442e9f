//! What lies in the lake's folder: encoded rows on their way there, names, dead letters.

use std::{collections::HashSet, ffi::OsStr, fs, os::unix::ffi::OsStrExt, path::Path, sync::LazyLock};

use prost::Message;
use real_streaming::{
    deliver::{
        dead_letter::{self, DeadLetter, DeadLetters, Reason, Status},
        peek,
        sinks::lake::{FileName, Lake},
        spool::{Config, Durability, Reader, Spool},
    },
    schema::{Date, Row, arrow, flatten, json, narrow::Narrow, reference::Event},
};

use super::lines;

/// An encoded row.
pub fn row_bytes(data: &[u8]) {
    let columns = arrow::record_batch([data]);
    let text = json::row(data);
    assert_eq!(columns.is_ok(), text.is_ok(), "the two readers agree on what a row is: {columns:?} {text:?}");
    assert!(peek::fields(data).count() <= data.len() / 2, "a field takes two bytes or more");
    if let Ok(text) = text {
        let shown: serde_json::Value = serde_json::from_str(&text).expect("the writer writes JSON");
        let event = Event::decode(data).expect("what we read is protobuf");
        assert_eq!(json::value(&event.encode_to_vec()).as_ref().ok(), Some(&shown), "prost reads the same");
        without_some_columns(data, shown);
    }
}

/// A table without two of the columns gets the row without their values, and with all others.
fn without_some_columns(row: &[u8], mut shown: serde_json::Value) {
    static NARROW: LazyLock<Narrow> = LazyLock::new(|| {
        let table = flatten().into_iter().map(|(path, _)| path);
        let table = table.filter(|path| path != "user_id" && path != "device.category").collect();
        Narrow::to(&table).expect("two columns are missing")
    });
    shown.as_object_mut().expect("a row is a record").remove("user_id");
    if let Some(device) = shown.get_mut("device").and_then(serde_json::Value::as_object_mut) {
        device.remove("category");
    }
    let narrowed = NARROW.row(row).expect("what we read is protobuf");
    assert_eq!(json::value(&narrowed).ok(), Some(shown));
}

/// Identity of the spool that feeds every lake here, and where it ended.
const SPOOL: (u64, u64) = (0xabc, 50);

/// Names in a lake's folder, one a line: the first byte says where, and whether it is a folder.
pub fn folder(data: &[u8]) {
    let root = tempfile::tempdir().expect("there is a place for temporary files");
    let (events, staging) = (root.path().join("events"), root.path().join(".staging"));
    let mut day = events.clone();
    for line in lines(data).take(64) {
        let Some((kind, name)) = line.split_first() else { continue };
        let name = Path::new(OsStr::from_bytes(name));
        // What the file system would not take as one name.
        if name.file_name() != Some(name.as_os_str()) || name.as_os_str().len() > 255 || line.contains(&0) {
            continue;
        }
        check_name(name);
        let path = match kind % 3 {
            0 => &staging,
            1 => &events,
            _ => &day,
        };
        let path = path.join(name);
        if kind & 4 == 0 {
            let _ = fs::create_dir_all(&path);
        } else if path.parent().is_some_and(|parent| fs::create_dir_all(parent).is_ok()) && !path.exists() {
            let _ = fs::write(&path, b"");
        }
        if kind % 3 == 1 && path.is_dir() {
            day = path;
        }
    }

    let lake = Lake::new(root.path(), SPOOL.0, SPOOL.1);
    lake.prepare().expect("whatever lies there can be passed over");
    assert_eq!(fs::read_dir(&staging).map(Iterator::count).ok(), Some(0), "nothing unfinished stays");
    for date in lake.dates().expect("the folder can be read") {
        assert!(lake.folder(date).exists(), "a day that is listed is there: {date}");
        for (name, _) in lake.files(date).expect("the folder can be read") {
            assert!(lake.folder(date).join(name.to_string()).exists(), "a file that is listed is there: {name}");
            assert!(name.spool != SPOOL.0 || name.last < SPOOL.1, "positions that are not given out yet: {name}");
        }
    }
    lake.prepare().expect("once more changes nothing");
}

fn check_name(name: &Path) {
    let Some(name) = name.to_str() else { return };
    if let Some(file) = FileName::parse(name) {
        assert_eq!(file.to_string(), name, "a file has one name");
        let merged = FileName::merged(std::slice::from_ref(&file)).expect("one part can be merged");
        assert!(merged == file || FileName::parse(&merged.to_string()) == Some(merged), "{file}");
    }
    if let Some(date) = name.strip_prefix("day=").and_then(Date::parse) {
        assert_eq!(format!("day={date}"), name, "a day has one name");
        assert!(Date::RANGE.contains(&date.0));
    }
}

/// A spool that every replay is settled against.
static SETTLED: LazyLock<(Spool, Vec<Reader>)> = LazyLock::new(|| {
    let config = Config { durability: Durability::Memory, ..Config::default() };
    let (spool, readers, _) = Spool::open(&config, &["local"]).expect("memory can be opened");
    (spool, readers)
});

/// The journal of letters and, behind a byte that is in no text, that of replays.
pub fn dead_letters(data: &[u8]) {
    let folder = tempfile::tempdir().expect("there is a place for temporary files");
    let folder = folder.path();
    let mut parts = data.splitn(2, |byte| *byte == 0xff);
    fs::write(folder.join("letters-000001.jsonl"), parts.next().unwrap_or_default()).expect("it can be written");
    if let Some(replays) = parts.next() {
        fs::write(folder.join("replays.jsonl"), replays).expect("it can be written");
    }

    let before = dead_letter::list(folder).expect("damaged lines are passed over");
    let ids: HashSet<&str> = before.iter().map(|(letter, _)| letter.id.as_str()).collect();
    assert_eq!(ids.len(), before.len(), "a letter is there once");
    for (letter, _) in &before {
        let text = serde_json::to_vec(letter).expect("a letter can be written");
        assert_eq!(serde_json::from_slice::<DeadLetter>(&text).ok().as_ref(), Some(letter));
        if let Some(row) = letter.row() {
            assert_eq!((row.date.to_string(), row.bytes()), (letter.date.clone(), letter.row.as_slice()));
        }
    }

    let row = Row::from_parts(Date(0), "shop".into(), "e", b"row");
    let fresh = DeadLetter::new("local", 1, 1, &row, Reason::Refused, "too odd".into());
    let known = ids.contains(fresh.id.as_str());
    DeadLetters::open(folder).and_then(|letters| letters.add(std::slice::from_ref(&fresh))).expect("one more fits");
    dead_letter::settle(folder, &SETTLED.0).expect("a journal can be gone on with");
    let after = dead_letter::list(folder).expect("what was read can be read again");
    assert_eq!(after.len(), before.len() + usize::from(!known), "no letter is lost to what lies around it");
    assert!(after.iter().zip(&before).all(|((after, _), (before, _))| after == before));
    assert!(after.iter().all(|(_, status)| *status != Status::Unsettled), "every replay has come to its end");
    assert!(after.iter().any(|(letter, _)| letter.id == fresh.id));
}

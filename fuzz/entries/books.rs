//! Files in which delivery remembers how far it was, as a torn write, a failing disk or a hand may leave them.

use std::{collections::BTreeSet, fs, path::Path};

use real_streaming::deliver::{
    Position,
    backfill::progress::Progress,
    sinks::bigquery::memory::{Memory, Plan, Runs},
};

/// Identity of every spool here.
const SPOOL: u64 = 7;
/// Positions that are asked about: all small ones, and the ends.
const PROBES: std::ops::Range<Position> = 0..64;

/// `direct.offsets`: lines about spool 7.
pub fn offsets(data: &[u8]) {
    let folder = tempfile::tempdir().expect("there is a place for temporary files");
    let path = folder.path().join("direct.offsets");
    let whole = [&b"{\"spool\":7}\n"[..], data].concat();
    let opened = |bytes: &[u8]| {
        fs::write(&path, bytes).expect("the folder takes files");
        open(&path)
    };
    let after = settled(&opened(&whole));
    let torn = settled(&opened(&whole[..whole.len() - data.len() / 2]));
    assert!(torn.is_subset(&after), "half a file settles nothing that the whole one does not");

    // An unfinished stream is counted once, and a new one begun; whatever the file said, what follows is remembered.
    let mut memory = opened(&whole);
    if memory.stream().is_some() {
        memory.counted(2).expect("the folder takes files");
    }
    assert_eq!((memory.stream(), memory.doubtful()), (None, 0));
    let counted = settled(&memory);
    assert!(after.is_subset(&counted), "what was settled stays so");
    memory.begin("s").expect("the folder takes files");
    memory.plan(vec![Plan::new(0, Runs::of([3, 5]))]).expect("the folder takes files");
    let again = open(&path);
    assert_eq!((again.stream(), again.doubtful() <= 2), (Some(("s".to_owned(), 2)), true));
    assert_eq!(settled(&again), counted);
}

fn open(path: &Path) -> Memory {
    let mut memory = Memory::new(path, SPOOL);
    memory.load().expect("what is damaged is passed over");
    memory
}

fn settled(memory: &Memory) -> BTreeSet<Position> {
    let probes = PROBES.chain([Position::MAX - 1, Position::MAX]);
    probes.filter(|position| memory.is_settled(*position)).collect()
}

/// A backfill's progress: a byte says where its spool ends, the others are the file.
pub fn progress(data: &[u8]) {
    let Some((end, text)) = data.split_first() else { return };
    let end = Position::from(*end);
    let folder = tempfile::tempdir().expect("there is a place for temporary files");
    let path = folder.path().join("progress");
    fs::write(&path, text).expect("the folder takes files");
    let begin = || {
        let mut progress = Progress::open(&path).expect("what is damaged is passed over");
        let read = progress.read(end).expect("the folder takes files");
        assert!(progress.end() >= end);
        (progress, read)
    };
    let (first, read) = begin();
    let done = first.done();
    drop(first);
    let (mut second, again) = begin();
    assert_eq!((second.done(), again), (done, read), "a process that died at once changes nothing");
    let end = second.end().saturating_add(2);
    second.add(2, end).expect("the folder takes files");
    second.finish(9).expect("the folder takes files");
    let third = Progress::open(&path).expect("it was written");
    assert_eq!((third.end(), third.done()), (end, Some(9)));
}

//! What the model does not vary: settings, locks, waiting, memory, real files, and single faults looked at closely.

#![allow(clippy::unwrap_used)]

use std::{fs, os::unix::fs::PermissionsExt, sync::Arc, time::Duration};

use bytesize::ByteSize;

use super::{sim::Sim, *};
use crate::{
    deliver::Spooled,
    schema::{Date, StreamId},
};

const NAMES: [&str; 2] = ["local", "direct"];
const QUICK: Limits = Limits {
    max_size: 100_000,
    segment: 4_000,
    cursor_pace: Duration::from_millis(1),
    probe_pace: Duration::from_millis(1),
    sync_pause: Duration::ZERO,
};

fn rows(ids: std::ops::Range<u64>, size: usize) -> Vec<Row> {
    let row = |id: u64| Row::from_parts(Date(1), "shop".into(), &id.to_string(), &vec![id as u8; size]);
    ids.map(row).collect()
}

fn ids(rows: &[Spooled]) -> Vec<u64> {
    rows.iter().map(|spooled| spooled.row.id().parse().unwrap()).collect()
}

fn on(sim: &Sim, names: &[&'static str]) -> (Spool, Vec<Reader>, Recovery) {
    Spool::on(Arc::new(sim.clone()), Path::new("sim"), None, QUICK, names).unwrap()
}

fn config(directory: &Path) -> Config {
    Config { directory: directory.join("spool"), ..Config::default() }
}

async fn until(what: &str, condition: impl Fn() -> bool) {
    for _ in 0..10_000 {
        if condition() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    panic!("never: {what}");
}

#[tokio::test]
async fn rows_survive_an_orderly_end_on_real_files() {
    let directory = tempfile::tempdir().unwrap();
    let config = config(directory.path());
    let (spool, mut readers, recovery) = Spool::open(&config, &NAMES).unwrap();
    assert_eq!(recovery.consumers[0].rows(), 0);
    spool.append(rows(0..10, 100)).await.unwrap();
    let first = readers[0].next(4, usize::MAX).await;
    assert_eq!(ids(&first), [0, 1, 2, 3]);
    readers[0].commit(4);
    let id = spool.id();
    spool.close().await;
    drop((spool, readers));

    let (spool, mut readers, recovery) = Spool::open(&config, &NAMES).unwrap();
    assert_eq!((spool.id(), spool.end()), (id, 10));
    assert_eq!(recovery.consumers.iter().map(Backlog::rows).collect::<Vec<_>>(), [6, 10]);
    assert_eq!(recovery.consumers[1].streams[&StreamId::from("shop")], 10);
    assert_eq!((recovery.damaged, recovery.torn), (0, 0));
    assert_eq!(ids(&readers[0].next(100, usize::MAX).await), (4..10).collect::<Vec<_>>());
    spool.append(rows(10..12, 100)).await.unwrap();
    assert_eq!(ids(&readers[1].next(100, usize::MAX).await), (0..10).collect::<Vec<_>>());
    assert_eq!(ids(&readers[1].next(100, usize::MAX).await), [10, 11]);
}

#[tokio::test]
async fn files_are_for_the_owner_only() {
    let directory = tempfile::tempdir().unwrap();
    let config = config(directory.path());
    let (spool, mut readers, _) = Spool::open(&config, &NAMES).unwrap();
    spool.append(rows(0..1, 10)).await.unwrap();
    readers[0].commit(1);
    spool.close().await;
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&config.directory), 0o700);
    let files: Vec<_> = fs::read_dir(&config.directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(files.len(), 5, "lock, identity, segment, two cursors: {files:?}");
    assert!(files.iter().all(|path| mode(path) == 0o600));
}

#[test]
fn two_processes_cannot_share_a_spool() {
    let directory = tempfile::tempdir().unwrap();
    let config = config(directory.path());
    let opened = Spool::open(&config, &NAMES).unwrap();
    let error = Spool::open(&config, &NAMES).err().unwrap().to_string();
    assert!(error.contains("in use by another process") && error.contains(&*config.directory.to_string_lossy()));
    drop(opened);
    Spool::open(&config, &NAMES).unwrap();
}

#[tokio::test]
async fn appends_that_wait_together_share_a_sync() {
    let sim = Sim::default();
    let (spool, _readers, _) = on(&sim, &NAMES);
    let before = sim.syncs();
    let appends = (0..200).map(|n| {
        let spool = spool.clone();
        tokio::spawn(async move { spool.append(rows(n..n + 1, 10)).await })
    });
    for append in appends.collect::<Vec<_>>() {
        append.await.unwrap().unwrap();
    }
    assert_eq!(spool.end(), 200);
    assert!(sim.syncs() - before < 150, "{} syncs", sim.syncs() - before);
}

#[tokio::test]
async fn a_failed_sync_refuses_its_rows_and_the_segment_is_never_written_again() {
    let sim = Sim::default();
    let (spool, mut readers, _) = on(&sim, &NAMES);
    spool.append(rows(0..3, 10)).await.unwrap();
    // The keeper syncs files too, and the failure is not meant for it.
    let log = &spool.0.shared.log;
    until("cursors are written", || log.lock().consumers.iter().all(|consumer| consumer.persisted.is_some())).await;
    sim.fail_syncs(1);
    assert_eq!(spool.append(rows(3..5, 10)).await, Err(SpoolFull::Disk));
    until("the probe clears the failure", || spool.refusal().is_none()).await;
    spool.append(rows(5..7, 10)).await.unwrap();
    assert_eq!((spool.end(), spool.pending("local")), (7, 5), "positions 3 and 4 are not given out again");
    let segments: Vec<_> = sim.files().into_iter().filter_map(|(name, _)| segment::parse_name(&name)).collect();
    assert_eq!(segments, [0, 5]);
    assert_eq!(ids(&readers[0].next(100, usize::MAX).await), [0, 1, 2, 5, 6]);

    let (spool, mut readers, recovery) = on(&sim.after_power_cut(|_| 0), &NAMES);
    assert_eq!((recovery.damaged, spool.pending("local")), (0, 5));
    assert_eq!(ids(&readers[0].next(100, usize::MAX).await), [0, 1, 2]);
    assert_eq!(ids(&readers[0].next(100, usize::MAX).await), [5, 6]);
}

#[tokio::test]
async fn a_full_disk_refuses_and_takes_rows_again_when_there_is_space() {
    let sim = Sim::default();
    let (spool, mut readers, _) = on(&sim, &NAMES);
    spool.append(rows(0..3, 10)).await.unwrap();
    sim.set_capacity(Some(sim.used() + 50));
    assert_eq!(spool.append(rows(3..5, 10)).await, Err(SpoolFull::Disk));
    assert_eq!(spool.refusal(), Some(SpoolFull::Disk));
    sim.set_capacity(None);
    until("the probe finds space", || spool.refusal().is_none()).await;
    spool.append(rows(5..6, 10)).await.unwrap();
    assert_eq!(ids(&readers[0].next(100, usize::MAX).await), [0, 1, 2, 5]);
    assert_eq!(spool.end(), 4, "nothing of the cut-back write is left");
}

#[tokio::test]
async fn a_full_disk_does_not_keep_what_is_there_from_being_delivered() {
    let sim = Sim::default();
    let (spool, readers, _) = on(&sim, &NAMES);
    for n in 0..5 {
        spool.append(rows(n * 10..n * 10 + 10, 500)).await.unwrap();
    }
    spool.close().await;
    drop((spool, readers));
    let sim = sim.after_exit();
    sim.set_capacity(Some(0));
    let (spool, mut readers, _) = on(&sim, &NAMES);
    assert_eq!(spool.append(rows(50..51, 10)).await, Err(SpoolFull::Disk));
    let before = sim.used();
    for reader in &mut readers {
        while reader.position() < 50 {
            reader.next(100, usize::MAX).await;
        }
        reader.commit(50);
    }
    until("segments are removed", || sim.used() < before / 2).await;
    sim.set_capacity(None);
    until("the probe finds space", || spool.refusal().is_none()).await;
    spool.append(rows(50..51, 10)).await.unwrap();
    assert_eq!(ids(&readers[0].next(100, usize::MAX).await), [50]);
}

#[tokio::test]
async fn rows_committed_unread_are_not_returned() {
    let sim = Sim::default();
    let (spool, mut readers, _) = on(&sim, &NAMES);
    spool.append(rows(0..10, 10)).await.unwrap();
    readers[0].commit(7);
    assert_eq!(readers[0].position(), 7);
    assert_eq!(ids(&readers[0].next(100, usize::MAX).await), [7, 8, 9]);
}

#[tokio::test]
async fn a_spool_at_its_size_refuses_until_consumers_are_through() {
    let sim = Sim::default();
    let (spool, mut readers, _) = on(&sim, &NAMES);
    let mut taken = 0;
    while spool.append(rows(taken..taken + 1, 1_000)).await.is_ok() {
        taken += 1;
    }
    assert_eq!(spool.refusal(), Some(SpoolFull::Size));
    assert!(spool.bytes() <= QUICK.max_size && sim.used() as u64 <= QUICK.max_size + 1_000);
    readers[0].commit(spool.end());
    tokio::time::sleep(Duration::from_millis(20)).await;
    assert_eq!(spool.refusal(), Some(SpoolFull::Size), "the slower consumer still needs everything");
    readers[1].commit(spool.end());
    until("space comes back", || spool.refusal().is_none()).await;
    until("files are removed", || sim.used() < 2_000).await;
    spool.append(rows(0..1, 1_000)).await.unwrap();
    assert_eq!(spool.end(), taken + 1);
}

#[tokio::test]
async fn positions_go_on_when_every_row_is_gone() {
    let sim = Sim::default();
    let (spool, mut readers, _) = on(&sim, &NAMES);
    spool.append(rows(0..50, 500)).await.unwrap();
    readers.iter_mut().for_each(|reader| reader.commit(50));
    spool.close().await;
    // Even when all consumers, and their cursors, are new.
    let (spool, readers, _) = on(&sim.after_exit(), &["other"]);
    assert_eq!((spool.end(), readers[0].position()), (50, 50));
}

#[tokio::test]
async fn a_new_consumer_begins_with_the_oldest_row_and_a_dropped_one_holds_nothing() {
    let sim = Sim::default();
    let (spool, mut readers, _) = on(&sim, &["local"]);
    for n in 0..10 {
        spool.append(rows(n * 10..n * 10 + 10, 500)).await.unwrap();
    }
    readers[0].commit(35);
    spool.close().await;
    let sim = sim.after_exit();
    let (spool, readers, recovery) = on(&sim, &["direct"]);
    let oldest = readers[0].position();
    assert!(oldest > 0 && oldest <= 35, "{oldest}");
    assert_eq!(recovery.consumers[0].rows(), 100 - oldest);
    assert!(sim.files().iter().all(|(name, _)| name != "local.cursor"));
    drop((spool, readers));
}

#[tokio::test]
async fn readers_far_behind_read_files_and_catch_up() {
    let sim = Sim::default();
    let (spool, mut readers, _) =
        Spool::on(Arc::new(sim.clone()), Path::new("sim"), None, Limits::of(1 << 30), &NAMES).unwrap();
    // More than memory keeps.
    for n in 0..30 {
        spool.append(rows(n * 10..n * 10 + 10, 100_000)).await.unwrap();
    }
    let (mut seen, mut rewound) = (Vec::new(), false);
    while seen.len() < 300 {
        let found = readers[0].next(7, 450_000).await;
        assert!(found.len() <= 4);
        seen.extend(ids(&found));
        if seen.len() == 40 && !std::mem::replace(&mut rewound, true) {
            readers[0].rewind(20);
            seen.truncate(20);
            readers[0].commit(10);
        }
    }
    assert_eq!(seen, (0..300).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_dropped_next_loses_nothing() {
    let sim = Sim::default();
    let (spool, readers, _) = on(&sim, &["local"]);
    spool.append(rows(0..100, 500)).await.unwrap();
    spool.close().await;
    drop((spool, readers));
    let (_spool, mut readers, _) = on(&sim.after_exit(), &["local"]);
    let mut seen = Vec::new();
    while seen.len() < 100 {
        // Polled once and dropped, most of the time while a file is being read.
        tokio::select! {
            biased;
            found = readers[0].next(3, usize::MAX) => seen.extend(ids(&found)),
            () = tokio::task::yield_now() => {}
        }
    }
    assert_eq!(seen, (0..100).collect::<Vec<_>>());
}

#[tokio::test]
async fn damage_found_while_running_is_skipped_and_counted() {
    let sim = Sim::default();
    let (spool, readers, _) = on(&sim, &NAMES);
    spool.append(rows(0..100, 100)).await.unwrap();
    spool.close().await;
    drop((spool, readers));
    let sim = sim.after_exit();
    let (spool, mut readers, recovery) = on(&sim, &NAMES);
    assert_eq!(recovery.damaged, 0);
    sim.flip(&segment::name(0), 40 + 5 * 150 + 60, 1);
    let mut seen = Vec::new();
    while seen.len() < 99 {
        seen.extend(ids(&readers[0].next(1_000, usize::MAX).await));
    }
    assert_eq!((readers[0].skipped(), readers[1].skipped()), (1, 0));
    readers[0].rewind(0);
    seen.clear();
    while seen.len() < 99 {
        seen.extend(ids(&readers[0].next(1_000, usize::MAX).await));
    }
    assert_eq!(readers[0].skipped(), 1, "not again after going back");
    assert_eq!((spool.pending("local"), spool.pending("direct")), (99, 99));
}

#[tokio::test]
async fn a_reader_waits_for_rows_and_ends_when_all_is_read_and_closed() {
    let sim = Sim::default();
    let (spool, mut readers, _) = on(&sim, &NAMES);
    let mut reader = readers.remove(0);
    let reading = tokio::spawn(async move {
        let mut seen = Vec::new();
        loop {
            let found = reader.next(10, usize::MAX).await;
            if found.is_empty() {
                return (seen, reader);
            }
            seen.extend(ids(&found));
        }
    });
    tokio::task::yield_now().await;
    for n in 0..5 {
        spool.append(rows(n..n + 1, 10)).await.unwrap();
    }
    spool.close().await;
    let (seen, mut reader) = reading.await.unwrap();
    assert_eq!(seen, [0, 1, 2, 3, 4]);
    // What is committed after the close is written all the same.
    reader.commit(5);
    drop((spool, reader, readers));
    let (_, readers, recovery) = on(&sim.after_exit(), &NAMES);
    assert_eq!((readers[0].position(), recovery.consumers[1].rows()), (5, 5));
}

#[tokio::test]
async fn an_append_under_way_is_finished_by_close() {
    let sim = Sim::default();
    let (spool, _readers, _) = on(&sim, &NAMES);
    let appending = tokio::spawn({
        let spool = spool.clone();
        async move { spool.append(rows(0..5, 10)).await }
    });
    tokio::task::yield_now().await;
    spool.close().await;
    assert_eq!(appending.await.unwrap(), Ok(5));
    assert_eq!(spool.append(rows(5..6, 10)).await, Err(SpoolFull::Closed));
}

#[tokio::test]
async fn in_memory_rows_wait_for_every_consumer_within_the_size() {
    let config = Config { durability: Durability::Memory, max_size: ByteSize(10_000), ..Config::default() };
    let (spool, mut readers, recovery) = Spool::open(&config, &NAMES).unwrap();
    assert_eq!(recovery.consumers[1], Backlog { consumer: "direct", position: 0, streams: Default::default() });
    let mut taken = 0;
    while spool.append(rows(taken..taken + 1, 1_000)).await.is_ok() {
        taken += 1;
    }
    assert_eq!((taken, spool.refusal()), (9, Some(SpoolFull::Size)));
    assert_eq!(ids(&readers[0].next(100, usize::MAX).await), (0..9).collect::<Vec<_>>());
    readers[0].commit(9);
    assert_eq!(spool.refusal(), Some(SpoolFull::Size));
    readers[1].commit(4);
    assert_eq!((spool.refusal(), spool.pending("direct")), (None, 5));
    assert_eq!(ids(&readers[1].next(2, usize::MAX).await), [4, 5]);
    readers[1].rewind(0);
    assert_eq!(ids(&readers[1].next(2, usize::MAX).await), [4, 5]);
    spool.close().await;
    assert_eq!(spool.append(rows(0..1, 1)).await, Err(SpoolFull::Closed));
    assert!(readers[0].next(1, 1).await.is_empty());
}

#[tokio::test]
async fn a_segment_of_a_newer_format_is_not_opened() {
    let directory = tempfile::tempdir().unwrap();
    let config = config(directory.path());
    drop(Spool::open(&config, &NAMES).unwrap());
    let path = config.directory.join(segment::name(0));
    let mut bytes = fs::read(&path).unwrap();
    bytes[8] = 2;
    let sum = crc32c::crc32c(&bytes[..36]);
    bytes[36..40].copy_from_slice(&sum.to_le_bytes());
    fs::write(&path, bytes).unwrap();
    let error = Spool::open(&config, &NAMES).err().unwrap().to_string();
    assert!(error.contains("has format 2"), "{error}");
}

#[tokio::test]
async fn a_lost_identity_is_found_in_the_segments() {
    let sim = Sim::default();
    let (spool, readers, _) = on(&sim, &NAMES);
    spool.append(rows(0..3, 10)).await.unwrap();
    let id = spool.id();
    spool.close().await;
    drop((spool, readers));
    let sim = sim.after_exit();
    sim.flip(identity::NAME, 9, 1);
    let (spool, _, recovery) = on(&sim, &NAMES);
    assert_eq!((spool.id(), recovery.consumers[0].rows()), (id, 3));
}

#[test]
fn settings_are_judged() {
    let check = |config: Config| {
        let mut problems = Vec::new();
        config.check("writers.spool", &mut problems);
        problems.into_iter().map(|problem| problem.path).collect::<Vec<_>>()
    };
    assert!(check(Config::default()).is_empty());
    assert_eq!(check(Config { max_size: ByteSize::kb(10), ..Config::default() }), ["writers.spool.max_size"]);
    assert_eq!(check(Config { directory: "".into(), ..Config::default() }), ["writers.spool.directory"]);
    assert_eq!(
        serde_json::from_str::<Config>(r#"{"durability": "memory", "max_size": "1GB"}"#).unwrap(),
        Config { durability: Durability::Memory, max_size: ByteSize::gb(1), ..Config::default() }
    );
}

//! Rows through the spool into the lake: what is on disk after stops, crashes and replays, and what query engines see.

#![allow(clippy::unwrap_used)]

use std::{
    collections::BTreeMap,
    fs::File,
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
    time::{Duration, Instant},
};

use arrow_array::{Array, StringArray, StructArray};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use real_streaming::{
    deliver::{
        Delivery, Drained, LocalConfig, StartError, WritersConfig,
        dead_letter::{self, Selection, Status},
        replay, spool,
    },
    schema::{
        Date, Row,
        reference::{Event, event::*},
    },
    telemetry::Metrics,
};
use tokio::runtime::Runtime;

const DAY: i32 = 20_000;

/// A page view, or a purchase with one item, in turns.
fn row(id: usize, day: i32) -> Row {
    let text = |value: String| Some(Value { string_value: Some(value), ..Value::default() });
    let page = format!("https://example.com/{}", id % 3);
    let view = id.is_multiple_of(2);
    let event = Event {
        event_name: Some(if view { "page_view" } else { "purchase" }.into()),
        event_params: vec![Param { key: Some("page_location".into()), value: text(page) }],
        user_pseudo_id: (!id.is_multiple_of(7)).then(|| format!("{}.1700000000", id % 5)),
        device: Some(Device {
            web_info: Some(WebInfo { browser: Some("Chrome".into()), ..WebInfo::default() }),
            ..Device::default()
        }),
        items: (0..usize::from(!view))
            .map(|_| Item {
                item_id: Some(format!("SKU{id}")),
                price: Some(9.99),
                quantity: Some(2),
                item_params: vec![Param { key: Some("colour".into()), value: text("red".into()) }],
                ..Item::default()
            })
            .collect(),
        date: Some(day),
        synced_at_utc: Some(1_728_000_000_000_000 + id as i64),
        synced_at_micros: Some(1_728_000_000_000_000 + id as i64),
        rs_info: Some(RsInfo { event_id: Some(id.to_string()), ..RsInfo::default() }),
        ..Event::default()
    };
    Row::freeze(&event.into(), Date(day), "shop".into())
}

struct World {
    folder: tempfile::TempDir,
    config: WritersConfig,
}

/// One run of the process.
struct Run {
    runtime: Runtime,
    metrics: Arc<Metrics>,
    delivery: Delivery,
}

impl World {
    fn new() -> World {
        let folder = tempfile::tempdir().unwrap();
        let config = WritersConfig {
            local: LocalConfig { directory: folder.path().join("data"), ..LocalConfig::default() },
            spool: spool::Config { directory: folder.path().join("data/spool"), ..spool::Config::default() },
            ..WritersConfig::default()
        };
        World { folder, config }
    }

    fn start(&self) -> Run {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let metrics = Arc::new(Metrics::new());
        let delivery = Delivery::start(&self.config, metrics.clone(), runtime.handle()).unwrap();
        Run { runtime, metrics, delivery }
    }

    fn events(&self) -> PathBuf {
        self.folder.path().join("data/events")
    }

    fn letters(&self) -> PathBuf {
        self.folder.path().join("data").join(dead_letter::FOLDER)
    }

    /// How often each event is in the lake.
    fn seen(&self) -> BTreeMap<usize, usize> {
        let mut seen = BTreeMap::new();
        for file in files(&self.events()) {
            let reader = ParquetRecordBatchReaderBuilder::try_new(File::open(file).unwrap()).unwrap().build().unwrap();
            for batch in reader.map(Result::unwrap) {
                let info: &StructArray = batch.column_by_name("rs_info").unwrap().as_any().downcast_ref().unwrap();
                let ids: &StringArray = info.column_by_name("event_id").unwrap().as_any().downcast_ref().unwrap();
                for id in ids.iter() {
                    *seen.entry(id.unwrap().parse().unwrap()).or_default() += 1;
                }
            }
        }
        seen
    }
}

impl Run {
    fn accept(&self, rows: Vec<Row>) {
        self.runtime.block_on(self.delivery.accept(rows)).unwrap();
    }

    fn drain(&self) -> Drained {
        self.runtime.block_on(self.delivery.drain(Instant::now() + Duration::from_secs(60)))
    }

    fn stop(self) -> Drained {
        let drained = self.drain();
        self.delivery.check_books().unwrap();
        drained
    }

    /// Ends without a drain: what is in memory is gone, tasks stop where they stand.
    fn crash(self) {
        self.runtime.shutdown_timeout(Duration::from_secs(60));
    }

    fn metric(&self, line: &str) -> bool {
        self.metrics.encode().contains(line)
    }
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found
}

fn once(ids: impl IntoIterator<Item = usize>) -> BTreeMap<usize, usize> {
    ids.into_iter().map(|id| (id, 1)).collect()
}

/// Waits for a condition of the other thread's making.
fn wait_for(what: &str, condition: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !condition() {
        assert!(Instant::now() < deadline, "{what}");
        std::thread::park_timeout(Duration::from_millis(20));
    }
}

#[test]
fn accepted_rows_are_in_the_lake_after_a_stop_each_under_its_day() {
    let world = World::new();
    let run = world.start();
    for id in 0..30 {
        run.accept(vec![row(id, DAY + (id % 3) as i32)]);
    }
    assert_eq!(run.stop(), Drained { delivered: 30, left_in_spool: 0 });
    assert_eq!(world.seen(), once(0..30));
    let folders: Vec<_> = std::fs::read_dir(world.events()).unwrap().map(|day| day.unwrap().file_name()).collect();
    for day in ["day=2024-10-04", "day=2024-10-05", "day=2024-10-06"] {
        assert!(folders.iter().any(|folder| folder == day), "{folders:?}");
    }
}

#[test]
fn rows_are_seen_within_ten_seconds_without_a_stop() {
    let world = World::new();
    let run = world.start();
    let accepted = Instant::now();
    run.accept(vec![row(0, DAY)]);
    wait_for("the row is in the lake", || !files(&world.events()).is_empty());
    // Room for a busy machine; on an idle one it takes little more than the five seconds of linger.
    assert!(accepted.elapsed() < Duration::from_secs(30), "{:?}", accepted.elapsed());
    wait_for("the books follow", || run.metric(r#"events_delivered_total{sink="local",stream="shop"} 1"#));
    run.stop();
}

#[test]
fn a_crash_before_delivery_loses_nothing_and_the_next_start_recovers() {
    let world = World::new();
    let run = world.start();
    run.accept((0..20).map(|id| row(id, DAY)).collect());
    run.crash();
    assert_eq!(world.seen(), once(0..0));

    let run = world.start();
    assert!(run.metric(r#"events_recovered_total{sink="local",stream="shop"} 20"#));
    run.accept(vec![row(20, DAY)]);
    assert_eq!(run.stop().left_in_spool, 0);
    assert_eq!(world.seen(), once(0..21));
}

#[test]
fn a_lost_commit_brings_rows_again_and_the_lake_keeps_them_once() {
    let world = World::new();
    let run = world.start();
    run.accept((0..20).map(|id| row(id, DAY + (id % 2) as i32)).collect());
    run.stop();
    assert_eq!(world.seen(), once(0..20));

    // As if the machine had lost power after the files were synced and before the cursor was.
    let spool = world.folder.path().join("data/spool");
    std::fs::remove_file(spool.join("local.cursor")).unwrap();
    let run = world.start();
    let recovered = run.metric(r#"events_recovered_total{sink="local",stream="shop"} 20"#);
    run.accept((20..25).map(|id| row(id, DAY)).collect());
    run.stop();
    assert!(recovered, "the spool brought the rows again");
    assert_eq!(world.seen(), once(0..25));
}

#[test]
fn a_spool_that_was_replaced_does_not_hide_new_rows() {
    let world = World::new();
    let run = world.start();
    run.accept((0..10).map(|id| row(id, DAY)).collect());
    run.stop();
    std::fs::remove_dir_all(world.folder.path().join("data/spool")).unwrap();
    let run = world.start();
    run.accept((10..20).map(|id| row(id, DAY)).collect());
    run.stop();
    assert_eq!(world.seen(), once(0..20));
}

#[test]
fn a_blocked_lake_holds_rows_until_someone_acts() {
    let world = World::new();
    std::fs::create_dir_all(world.folder.path().join("data")).unwrap();
    // A file where the folder belongs. (Rights would not stop a test that runs as root.)
    std::fs::write(world.events(), "in the way").unwrap();
    let run = world.start();
    run.accept(vec![row(0, DAY)]);
    wait_for("the alarm is raised", || run.metric(r#"sink_blocked{sink="local"} 1"#));
    let health = run.delivery.health();
    assert!(health.ready && health.reasons.iter().any(|reason| reason.contains("a file is in the way")), "{health:?}");

    std::fs::remove_file(world.events()).unwrap();
    wait_for("the row is delivered", || world.seen() == once(0..1));
    wait_for("the alarm is off", || {
        run.delivery.health().reasons.is_empty() && run.metric(r#"sink_blocked{sink="local"} 0"#)
    });
    run.stop();
}

#[test]
fn a_row_that_is_no_event_becomes_a_dead_letter_that_can_be_replayed_once_while_the_server_is_stopped() {
    let world = World::new();
    let run = world.start();
    let broken = Row::from_parts(Date(DAY), "shop".into(), "broken", &[0x0a, 0xff]);
    run.accept(vec![row(0, DAY), broken.clone(), row(1, DAY)]);
    let refused = replay(&world.config, &Selection::All).unwrap_err().to_string();
    assert!(refused.contains("in use") && refused.contains("while the server is stopped"), "{refused}");
    run.stop();
    assert_eq!(world.seen(), once(0..2));

    let letters = dead_letter::list(&world.letters()).unwrap();
    let [(letter, Status::Waiting)] = &letters[..] else { panic!("{letters:?}") };
    assert_eq!((letter.event_id.as_str(), letter.row()), ("broken", Some(broken)));

    assert_eq!(replay(&world.config, &Selection::All).unwrap().replayed, [&*letter.id]);
    assert_eq!(replay(&world.config, &Selection::Ids(vec![letter.id.clone()])).unwrap().already, [&*letter.id]);
    let run = world.start();
    assert!(run.metric(r#"events_recovered_total{sink="local",stream="shop"} 1"#));
    run.stop();
    // It is as broken as before, at a new position.
    let letters = dead_letter::list(&world.letters()).unwrap();
    let statuses: Vec<_> = letters.iter().map(|(_, status)| *status).collect();
    assert_eq!(statuses, [Status::Replayed, Status::Waiting]);
}

#[test]
fn a_row_that_is_no_event_comes_again_after_a_crash_and_is_one_dead_letter() {
    // Lost with the crash: the cursor alone, or the letter too, as if the process had died before it was written.
    for letter_is_lost in [false, true] {
        let world = World::new();
        let run = world.start();
        let broken = Row::from_parts(Date(DAY), "shop".into(), "broken", &[0x0a, 0xff]);
        run.accept(vec![row(0, DAY), broken, row(1, DAY)]);
        run.stop();
        std::fs::remove_file(world.folder.path().join("data/spool/local.cursor")).unwrap();
        if letter_is_lost {
            std::fs::remove_dir_all(world.letters()).unwrap();
        }

        let run = world.start();
        run.accept(vec![row(2, DAY)]);
        assert_eq!(run.drain(), Drained { delivered: 3, left_in_spool: 0 }, "delivery goes on");
        run.delivery.check_books().unwrap();
        let [books] = &run.delivery.balances()[..] else { panic!("one stream, one sink") };
        assert_eq!((books.recovered, books.received, books.delivered, books.dead_lettered), (3, 1, 3, 1));

        let letters = dead_letter::list(&world.letters()).unwrap();
        let [(letter, Status::Waiting)] = &letters[..] else { panic!("{letters:?}") };
        assert_eq!(letter.event_id, "broken");
        assert_eq!(world.seen(), once(0..3));
    }
}

#[test]
fn a_lake_has_one_writer_whatever_its_spool() {
    let world = World::new();
    let run = world.start();
    let other_spool = spool::Config { directory: world.folder.path().join("other"), ..spool::Config::default() };
    let other = WritersConfig { spool: other_spool, ..world.config.clone() };
    let start = || Delivery::start(&other, Arc::new(Metrics::new()), run.runtime.handle());
    match start().err() {
        Some(StartError::LakeInUse(directory)) => assert_eq!(directory, world.config.local.directory),
        error => panic!("{error:?}"),
    }
    assert!(!other.spool.directory.exists(), "who may not write leaves no trace");

    run.accept(vec![row(0, DAY)]);
    run.drain();
    assert!(matches!(start().err(), Some(StartError::LakeInUse(_))), "drained, but still there");
    run.delivery.release();
    let second = start().unwrap();
    run.runtime.block_on(async {
        second.accept(vec![row(1, DAY)]).await.unwrap();
        second.drain(Instant::now() + Duration::from_secs(60)).await;
    });
    assert_eq!(world.seen(), once(0..2));
}

#[test]
fn query_engines_read_the_lake() {
    let python = std::env::var("REAL_STREAMING_PYTHON").unwrap_or_else(|_| "python3".into());
    let world = World::new();
    for start in [0, 30] {
        let run = world.start();
        run.accept((start..start + 30).map(|id| row(id, DAY + (id % 2) as i32)).collect());
        run.stop();
    }
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/foreign/read_lake.py");
    let Ok(output) = Command::new(&python).arg(script).arg(world.events()).arg("60").output() else {
        return crate::world::skip(&format!("no `{python}` to read the lake with"));
    };
    let said = String::from_utf8_lossy(&output.stdout);
    match output.status.code() {
        Some(0) => {}
        Some(3) => crate::world::skip(&format!("`{python}` lacks duckdb, pyarrow or polars ({})", said.trim())),
        code => panic!("{code:?}: {said}{}", String::from_utf8_lossy(&output.stderr)),
    }
}

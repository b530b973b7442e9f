//! The direct writer against a strict stand-in: every fault that the service, the wire or a person can cause, and after
//! each of them
//!
//! ```text
//! accepted = stored (each event id once or more) + dead letters, and nothing in the spool
//! ```

mod ack;
mod data;
mod exactly_once;
mod process;
mod protocol;
mod storm;
mod stream;
mod tables;

use std::{
    collections::{BTreeMap, HashSet},
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use real_streaming::{
    deliver::{
        BigQueryConfig, Delivery, LocalConfig, Sink, Strategies, Strategy, WritersConfig, dead_letter,
        sinks::bigquery::BigQuerySink, spool,
    },
    gcp::write::Timing,
    schema::{
        Date, Event, Row,
        proto::event::{Param, RsInfo, Value},
    },
    telemetry::Metrics,
};
use tempfile::TempDir;
use tokio::runtime::Handle;

use crate::fakes::bigquery::{BigQuery, State};

/// Longest wait for anything that is bound to come.
const PATIENCE: Duration = Duration::from_secs(30);

/// A day that every row has unless it says otherwise: 2026-01-01.
const DAY: i32 = 20_454;

/// The stand-in, and delivery before it.
struct World {
    fake: BigQuery,
    folder: TempDir,
    metrics: Arc<Metrics>,
    delivery: Delivery,
    accepted: HashSet<String>,
}

/// How a world differs from the usual one.
#[derive(Clone)]
struct Setup {
    bq: BigQueryConfig,
    timing: Timing,
    /// Instead of the stand-in's own address.
    grpc: Option<SocketAddr>,
}

impl Default for Setup {
    fn default() -> Setup {
        let bq = BigQueryConfig { dataset_id: "d".into(), table_id: "events".into(), ..BigQueryConfig::default() };
        Setup { bq, timing: Timing::default(), grpc: None }
    }
}

impl World {
    async fn new() -> World {
        World::with(BigQuery::start().await, Setup::default())
    }

    fn with(fake: BigQuery, setup: Setup) -> World {
        let folder = tempfile::tempdir().unwrap();
        let config = config(&fake, &folder, setup.clone());
        let metrics = Arc::new(Metrics::new());
        let delivery = deliver(&config, setup.timing, &metrics, &Handle::current());
        World { fake, folder, metrics, delivery, accepted: HashSet::new() }
    }

    /// Accepts rows with these ids.
    async fn accept(&mut self, ids: impl IntoIterator<Item = String>) {
        let rows: Vec<_> = ids.into_iter().map(|id| row(&id, "page_view")).collect();
        self.accept_rows(rows).await;
    }

    async fn accept_rows(&mut self, rows: Vec<Row>) {
        self.accepted.extend(rows.iter().map(|row| row.id.to_string()));
        self.delivery.accept(rows).await.unwrap();
    }

    /// Accepts that many single rows as batches of their own, one after the other.
    async fn accept_batches(&mut self, numbers: std::ops::Range<usize>) {
        for number in numbers {
            // A row of its own day is a batch of its own.
            let rows = vec![row_of_day(&format!("e{number}"), DAY + number as i32)];
            self.accept_rows(rows).await;
        }
    }

    /// Waits until nothing is left in the spool; then everything must be somewhere.
    #[track_caller]
    fn settled(&self) -> impl Future<Output = Settled> + use<'_> {
        let caller = std::panic::Location::caller();
        async move {
            let done = until(|| in_spool(&self.delivery) == 0).await;
            let health = self.delivery.health();
            assert!(done, "{caller}: {} rows stay in the spool: {:?}", in_spool(&self.delivery), health.reasons);
            self.delivery.check_books().unwrap();
            let letters = self.letters();
            let stored = self.fake.ids();
            let everywhere: HashSet<_> = stored.iter().chain(letters.keys()).cloned().collect();
            let strays: Vec<_> = everywhere.symmetric_difference(&self.accepted).collect();
            assert!(strays.is_empty(), "{caller}: {} rows are lost or not ours: {strays:?}", strays.len());
            let distinct = stored.iter().collect::<HashSet<_>>().len();
            Settled { doubled: stored.len() - distinct, stored, letters }
        }
    }

    /// Event id and reason of every dead letter.
    fn letters(&self) -> BTreeMap<String, String> {
        let letters = dead_letter::list(&self.folder.path().join(dead_letter::FOLDER)).unwrap();
        letters.into_iter().map(|(letter, _)| (letter.event_id, letter.message)).collect()
    }

    fn state(&self) -> parking_lot::MutexGuard<'_, State> {
        self.fake.state.lock()
    }

    /// Waits until the writer says that it is blocked; its words.
    async fn blocked(&self) -> String {
        let blocked = || self.metrics.encode().contains(r#"sink_blocked{sink="direct"} 1"#);
        assert!(until(blocked).await, "{:?}", self.delivery.health());
        self.delivery.health().reasons.join("\n")
    }
}

/// Delivery with the direct sink.
fn deliver(config: &WritersConfig, timing: Timing, metrics: &Arc<Metrics>, runtime: &Handle) -> Delivery {
    let _on_runtime = runtime.enter();
    let sink = Arc::new(BigQuerySink::with_timing(config, timing).unwrap());
    let delivery = Delivery::with_sinks(config, metrics.clone(), runtime, &["direct"], &mut |spool| {
        sink.fed_by(spool.id());
        let sink: Arc<dyn Sink> = sink.clone();
        vec![sink]
    });
    delivery.unwrap()
}

struct Settled {
    /// Event ids in the order in which they were stored.
    stored: Vec<String>,
    /// Rows that were stored once more.
    doubled: usize,
    letters: BTreeMap<String, String>,
}

fn config(fake: &BigQuery, folder: &TempDir, setup: Setup) -> WritersConfig {
    let mut bq = setup.bq;
    bq.endpoint = format!("http://{}", setup.grpc.unwrap_or(fake.grpc));
    bq.rest_endpoint = format!("http://{}", fake.rest);
    WritersConfig {
        strategy: Strategies(vec![Strategy::Direct]),
        project_id: "p".into(),
        local: LocalConfig { directory: folder.path().into(), ..LocalConfig::default() },
        bq,
        spool: spool::Config { directory: folder.path().join("spool"), ..spool::Config::default() },
        ..WritersConfig::default()
    }
}

fn in_spool(delivery: &Delivery) -> i64 {
    delivery.balances().iter().map(|balance| balance.in_spool).sum()
}

/// Waits for a condition; false when it does not come.
async fn until(condition: impl Fn() -> bool) -> bool {
    let deadline = Instant::now() + PATIENCE;
    while !condition() {
        if Instant::now() > deadline {
            return false;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    true
}

fn ids(numbers: std::ops::Range<usize>) -> impl Iterator<Item = String> {
    numbers.map(|number| format!("e{number}"))
}

fn row(id: &str, name: &str) -> Row {
    freeze(id, Event { event_name: Some(name.to_owned().into()), ..Event::default() }, DAY)
}

fn row_of_day(id: &str, day: i32) -> Row {
    freeze(id, Event { event_name: Some("page_view".into()), ..Event::default() }, day)
}

/// With an id, a day and a parameter.
fn freeze(id: &str, event: Event<'_>, day: i32) -> Row {
    let value = Value { string_value: Some(format!("of {id}").into()), ..Value::default() };
    let event = Event {
        date: Some(day),
        synced_at_micros: Some(1),
        event_params: vec![Param { key: Some("p".into()), value: Some(value) }],
        rs_info: Some(RsInfo { event_id: Some(id.to_owned().into()), ..RsInfo::default() }),
        ..event
    };
    Row::freeze(&event, Date(day), "1".into())
}

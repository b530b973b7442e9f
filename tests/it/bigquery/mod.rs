//! The direct writer against a strict stand-in: every fault that the service, the wire or a person can cause, and after
//! each of them
//!
//! ```text
//! accepted = stored (each event id once or more) + dead letters, and nothing in the spool
//! rows that came twice ≤ rows whose answer was lost, or that were unanswered when a call broke
//! rows come for the first time in the order in which they were accepted, on every connection
//! ```
//!
//! Where each case of the conformance suite is tested; without a file, in this folder's file of that name.
//!
//! | cases | what | where |
//! |---|---|---|
//! | 1, 2, 3, 6 | first and later requests, routing, held headers, no offset | `protocol::the_first_request_says_everything_and_the_others_only_rows` |
//! | 4, 5 | pipelining, answers in order | `protocol::many_requests_are_sent_before_the_first_answer`, `answers_that_take_their_time_find_their_requests` |
//! | 7 | the descriptor at any depth | `protocol::the_descriptor_stands_alone_and_is_proto2_at_every_depth`; every test, by the stand-in; Google's library for Python: `foreign/descriptor_in_python.py` |
//! | 8, 9 | presence, lists | `protocol::nothing_and_a_zero_are_different_things`, `lists_within_lists_arrive_whole` |
//! | 10 | days and times | `protocol::extremes_arrive_as_they_are_and_impossible_days_become_dead_letters`, `times_arrive_to_the_microsecond_and_impossible_ones_become_dead_letters`; a client's clock: `process::a_clock_that_is_years_off_moves_no_row_to_an_impossible_day`, `collect/validate.rs` |
//! | 11 | numbers and texts | `protocol::extremes_arrive_…`, `a_long_text_arrives_whole`, `process::lone_surrogates_and_bytes_that_are_no_text_arrive_replaced`; in the spool: `schema/robustness.rs` |
//! | 12, 13 | sizes | `protocol::no_request_is_too_large_and_a_row_that_would_be_holds_nobody_up`, `a_row_that_just_fits_goes_with_the_schema_and_one_byte_more_is_too_large` |
//! | 14 | sticky settings after a reconnect | `protocol::what_a_connection_was_told_it_is_told_again`: there is one schema and no interpretation of missing values |
//! | 15 | two tables | `protocol::a_table_for_each_day_has_a_stream_of_its_own` |
//! | 16 | a second stream | `stream::a_saturated_stream_gets_company_while_it_needs_it`, `a_stream_that_stands_still_gets_no_company` |
//! | 17, 18 | idle closes | `stream::an_idle_stream_is_closed_and_the_next_row_opens_another`, `the_services_idle_close_costs_nothing_…` |
//! | 19, 20, 22 | broken streams | `stream::unanswered_requests_are_sent_again_in_order` |
//! | 21 | GOAWAY | `stream::a_server_that_goes_away_in_good_order_loses_nothing` |
//! | 23 | reset connections | `stream::connections_that_are_reset_under_load_lose_nothing` |
//! | 24 | black hole | `stream::a_peer_that_went_silent_is_given_up`, `a_peer_that_answers_no_ping_is_given_up`, `a_server_that_never_answers_is_given_up`, `a_server_that_wakes_up_is_not_sent_what_was_given_up` |
//! | 25 | lost answers | `stream::a_lost_answer_doubles_at_most_what_was_not_answered` |
//! | 26 | flapping | `stream::a_stream_that_keeps_breaking_is_tried_more_and_more_slowly` |
//! | 27, 28 | quotas | `stream::a_quota_is_waited_for_…`, `calls_that_cannot_be_opened_are_tried_again`; the window: `deliver/tests.rs` |
//! | 29 | an answer to nothing | `stream::an_answer_to_nothing_ends_the_stream_and_loses_nothing` |
//! | 30 | a server that reads nothing | `stream::a_server_that_does_not_answer_bounds_what_is_in_flight`, `process::a_server_that_reads_nothing_fills_the_spool_and_then_answers_503` |
//! | 31 | slow answers | `stream::slow_answers_do_not_slow_the_stream` |
//! | 32 to 35 | bad rows | `data`, from `the_rows_that_are_named_become_dead_letters_…` on |
//! | 36, 37, 38 | columns | `data::columns_that_are_not_known_yet_…`, `columns_that_stay_unknown_…`, `an_answer_that_tells_of_new_columns_…`, `a_table_that_lacks_columns_…`, `a_column_that_somebody_changed_…`, `a_column_that_rows_may_lack_…` |
//! | 39, 40, 42 | tables and data sets | `tables`; 409: `whoever_comes_second_takes_the_table_that_is_there`; no right or no table: `a_new_table_that_is_denied_…`, `an_old_table_that_is_denied_is_told_at_once` |
//! | 41 | a deleted table | `data::a_table_that_is_deleted_under_the_stream_is_made_again`, `tables::a_deleted_table_that_is_denied_is_made_again` |
//! | 43 | tokens, TLS, names | `tables::a_refused_token_is_replaced_once_…`, `a_name_or_a_certificate_that_is_no_good_is_waited_out`, `process::a_name_that_nobody_knows_at_the_start_is_waited_out`, `tls`; single flight, outages and token files: `gcp/auth.rs` |
//! | 44 | SIGTERM | `process::sigterm_waits_for_a_healthy_backend_and_not_for_one_that_hangs`, `sigterm_lets_requests_that_wait_for_the_lake_end_well` |
//! | 45 | SIGKILL | `process::kill_dash_nine_loses_nothing_…`; with offsets `kill_dash_nine_doubles_nothing_…`; the lake `crash.rs`, `crash_in_lake.rs` |
//! | 46 | full disk, damage | `disk_full.rs`, `deliver/spool/model.rs` and `tests.rs` |
//! | 47 | committed streams | `exactly_once` |
//! | 48 | Pub/Sub | `pubsub.rs` |

mod ack;
mod backfill;
mod data;
mod exactly_once;
mod process;
mod protocol;
mod storm;
mod stream;
mod tables;
mod tls;

use std::{
    collections::{BTreeMap, HashMap, HashSet},
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
    /// When each was accepted, as how many were before it, and its day.
    order: HashMap<String, (usize, Date)>,
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
        World { fake, folder, metrics, delivery, accepted: HashSet::new(), order: HashMap::new() }
    }

    /// Accepts rows with these ids.
    async fn accept(&mut self, ids: impl IntoIterator<Item = String>) {
        let rows: Vec<_> = ids.into_iter().map(|id| row(&id, "page_view")).collect();
        self.accept_rows(rows).await;
    }

    async fn accept_rows(&mut self, rows: Vec<Row>) {
        for row in &rows {
            self.accepted.insert(row.id().to_owned());
            self.order.insert(row.id().to_owned(), (self.order.len(), row.date));
        }
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
            let doubled = stored.len() - distinct;
            // A connection that broke may still be unknown to the stand-in.
            let unanswered = || self.state().tally.unanswered;
            assert!(
                until(|| doubled as u64 <= unanswered()).await,
                "{caller}: {doubled} rows came twice, and requests without an answer explain {}",
                unanswered()
            );
            self.check_order(caller);
            Settled { doubled, stored, letters }
        }
    }

    /// On every connection, rows that were not sent before come in the order in which they were accepted: those of a day,
    /// each of which has batches of its own, and the first ones of the batches.
    fn check_order(&self, caller: &std::panic::Location<'_>) {
        let mut sent = HashSet::new();
        let mut last = HashMap::new();
        let mut grows = |key, number| last.insert(key, number).is_none_or(|before| before < number);
        for request in self.fake.seen() {
            let mut is_first = true;
            for id in &request.ids {
                let Some(&(number, day)) = self.order.get(id) else { continue };
                if !sent.insert(number) {
                    continue;
                }
                let in_order = grows((request.connection, Some(day)), number);
                let in_turn = !std::mem::take(&mut is_first) || grows((request.connection, None), number);
                assert!(
                    in_order && in_turn,
                    "{caller}: `{id}` came on connection {} after a later row",
                    request.connection
                );
            }
        }
    }

    /// Stops, and starts again on the same folder with another configuration and new books.
    async fn restart(&mut self, setup: Setup) {
        self.delivery.drain(Instant::now() + Duration::from_millis(500)).await;
        self.delivery.release();
        self.metrics = Arc::new(Metrics::new());
        let config = config(&self.fake, &self.folder, setup.clone());
        self.delivery = deliver(&config, setup.timing, &self.metrics, &Handle::current());
    }

    /// Event id and reason of every dead letter.
    fn letters(&self) -> BTreeMap<String, String> {
        let letters = dead_letter::list(&self.folder.path().join(dead_letter::FOLDER)).unwrap();
        letters.into_iter().map(|(letter, _)| (letter.event_id, letter.message)).collect()
    }

    /// Why a row became a dead letter.
    fn reason(&self, id: &str) -> dead_letter::Reason {
        let letters = dead_letter::list(&self.folder.path().join(dead_letter::FOLDER)).unwrap();
        letters.into_iter().find(|(letter, _)| letter.event_id == id).unwrap().0.reason
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

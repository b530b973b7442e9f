//! Takes one sink's rows from the spool to the sink, in batches, however long it takes.
//!
//! Rows leave the spool ([`Reader::commit`]) only when the sink has them or a dead letter does; until then every
//! failure costs time, never a row. What the courier does about a failure is decided here (and carried out in `landing`,
//! `pause` and `recovery`) and nowhere else:
//!
//! | the sink says | the courier |
//! |---|---|
//! | transient | tries again with back-off, for ever |
//! | throttled | the same, with half as many batches in flight |
//! | blocked | raises the alarm and prepares the sink every few seconds until that works |
//! | refused, too large | halves the batch until the culprits stand alone, and makes them dead letters |
//! | rejected rows | makes them dead letters |
//! | panics | like transient; a batch that panics again and again is treated as refused |
//!
//! As many batches are in flight as the sink's window allows. After a failure no further one is sent until those in
//! flight have ended; then everything that failed goes again, in order.

mod landing;
mod pause;
mod recovery;

use std::{
    collections::BTreeMap,
    sync::Arc,
    task::Poll,
    time::{Duration, SystemTime},
};

use futures_util::{
    FutureExt, StreamExt,
    future::{self, BoxFuture},
    stream::FuturesUnordered,
};
use tokio::time::Instant;

use super::{
    batcher::Batcher,
    dead_letter::DeadLetters,
    drain::Drain,
    ledger::Ledger,
    peek,
    sink::{Batch, Position, Sink, SinkError, Written},
    spool::{Reader, Spool},
    status::Status,
    unwound::unwound,
    window::Window,
};
use crate::telemetry::{Metrics, Seldom, metrics::BySink};

/// Between two looks into the spool while rows linger: they wait anyway, and one look at many rows is cheaper than
/// many looks at one.
const LOOK: Duration = Duration::from_millis(200);

/// A batch goes after so long when an answer waits for one of its rows: long enough to gather the rows of others, and far
/// below what a client, or a process that is to end, has to spare.
const HURRY: Duration = Duration::from_millis(500);

/// How often a blocked sink is written to the log.
const REMIND: Duration = Duration::from_secs(60);

/// A batch that panics this often is treated as refused.
const PANICS: u32 = 5;
const PANICKED: &str = "the sink panicked; this is a bug";

/// What a courier shares with the rest of delivery.
#[derive(Clone)]
pub struct Office {
    /// The queue.
    pub spool: Spool,
    /// The books.
    pub ledger: Arc<Ledger>,
    /// Where undeliverable rows go.
    pub dead_letters: Arc<DeadLetters>,
    /// The metrics.
    pub metrics: Arc<Metrics>,
    /// When to come back.
    pub drain: Drain,
}

/// One sink's courier.
pub struct Courier {
    sink: Arc<dyn Sink>,
    reader: Reader,
    office: Office,
    status: Arc<Status>,
    batcher: Batcher,
    label: BySink,
    window: Window,
    /// Writes under way.
    flights: FuturesUnordered<BoxFuture<'static, Landing>>,
    /// What is to be written before any new batch: failed ones and halves of refused ones, by their first positions.
    again: BTreeMap<Position, Part>,
    /// Batches that were taken and are not done, by their first positions.
    taken: BTreeMap<Position, Taken>,
    /// A write failed, and the sink was not prepared since.
    trouble: Option<SinkError>,
    /// The spool is closed and has been read to its end.
    at_end: bool,
    /// Lost rows that are booked.
    skipped: u64,
    /// Not before then is the spool looked into again.
    look: Instant,
    /// What the log says of the blocked sink, of failures that pass, and of rows that were set aside.
    blocked: Seldom,
    failing: Seldom,
    setting_aside: Seldom,
}

/// A batch, or a part of one, and its history.
struct Part {
    batch: Batch,
    /// First position of the whole batch.
    of: Position,
    failures: u32,
    panics: u32,
}

/// A part that was written or not; `None` when the sink panicked.
type Landing = (Part, Option<Result<Written, SinkError>>);

/// A batch on its way.
struct Taken {
    /// Parts that are not settled.
    parts: usize,
    /// When its oldest row was accepted, in microseconds since the Unix epoch.
    since: Option<i64>,
}

impl Courier {
    /// A courier from `reader` to `sink`.
    pub fn new(sink: Arc<dyn Sink>, reader: Reader, office: Office, status: Arc<Status>) -> Courier {
        let label = BySink { sink: sink.name() };
        // The gauges exist from the start: an alert on a missing series helps nobody.
        office.metrics.sink_blocked.get_or_create(&label).set(0);
        office.metrics.sink_lag_seconds.get_or_create(&label).set(0.0);
        let limits = sink.limits();
        Courier {
            sink,
            reader,
            office,
            status,
            batcher: Batcher::new(limits),
            label,
            window: Window::new(limits.window),
            flights: FuturesUnordered::new(),
            again: BTreeMap::new(),
            taken: BTreeMap::new(),
            trouble: None,
            at_end: false,
            skipped: 0,
            look: Instant::now(),
            blocked: Seldom::every(REMIND),
            failing: Seldom::default(),
            setting_aside: Seldom::default(),
        }
    }

    /// Works until the spool is closed or a drain is over. Everything not committed stays in the spool.
    pub async fn run(mut self) {
        let over = self.office.drain.clone().over();
        tokio::select! {
            // Rows in the middle of a write may reach the sink all the same: it recognises them next time.
            () = over => {}
            () = self.work() => {}
        }
    }

    async fn work(&mut self) {
        self.sink.committed(self.reader.position());
        self.prepare_at_last(0).await;
        self.recovered();
        loop {
            let in_drain = self.office.drain.has_begun();
            // In a drain no row is on its way, so nothing is worth waiting for.
            let all_read = self.at_end || in_drain && self.reader.position() >= self.office.spool.end();
            if all_read {
                self.batcher.flush();
            }
            if let Some(trouble) = self.trouble.take_if(|_| self.flights.is_empty()) {
                self.recover(trouble).await;
                continue;
            }
            self.launch().await;
            if all_read && self.flights.is_empty() && self.batcher.is_empty() {
                return;
            }
            self.measure_lag();
            self.turn(in_drain, all_read).await;
        }
    }

    /// When to look again whether a batch must go although it is not full.
    fn due(&self) -> Option<Instant> {
        let due = Instant::from_std(self.batcher.due()?);
        let soon = Instant::from_std(self.batcher.since()?) + HURRY;
        // Whoever waits comes after the rows do, and does not ring.
        Some(due.min(soon.max(Instant::now() + HURRY / 5)))
    }

    /// Lets open batches go that somebody waits for.
    fn hurry(&mut self) {
        let is_old = self.batcher.since().is_some_and(|since| Instant::from_std(since) + HURRY <= Instant::now());
        if is_old && self.batcher.oldest().is_some_and(|oldest| self.office.spool.awaits(oldest.position)) {
            self.batcher.flush();
        }
    }

    /// Sends what may be sent.
    async fn launch(&mut self) {
        self.hurry();
        while self.trouble.is_none() && self.flights.len() < self.window.size() {
            let part = match self.again.pop_first() {
                Some((_, part)) => part,
                None => {
                    let Some(batch) = self.batcher.take(Instant::now().into_std()) else { return };
                    let since = batch.rows.first().and_then(|oldest| peek::synced_at_micros(oldest.row.bytes()));
                    let of = first(&batch);
                    self.taken.insert(of, Taken { parts: 1, since });
                    Part { batch, of, failures: 0, panics: 0 }
                }
            };
            let sink = self.sink.clone();
            let mut flight: BoxFuture<'static, Landing> = Box::pin(async move {
                let outcome = unwound(sink.write(&part.batch)).await;
                (part, outcome)
            });
            // Each write gets as far as it can before the next one begins, which is what fixes their order.
            let begun = std::future::poll_fn(|context| Poll::Ready(flight.poll_unpin(context))).await;
            self.flights.push(match begun {
                Poll::Ready(landing) => Box::pin(future::ready(landing)),
                Poll::Pending => flight,
            });
        }
    }

    /// Waits for the next thing to happen, and sees to it.
    async fn turn(&mut self, in_drain: bool, all_read: bool) {
        let limits = self.sink.limits();
        // What cannot be sent is not read: it would only fill memory.
        let hungry = !all_read && self.trouble.is_none() && self.flights.len() < self.window.size();
        let due = self.due();
        let look = if self.batcher.is_empty() || in_drain { None } else { Some(self.look) };
        let rows = {
            let (reader, drain, flights) = (&mut self.reader, &mut self.office.drain, &mut self.flights);
            let next = async {
                if let Some(look) = look {
                    tokio::time::sleep_until(look).await;
                }
                reader.next(limits.rows, limits.bytes).await
            };
            tokio::select! {
                biased;
                Some(landing) = flights.next() => Err(landing),
                () = drain.begun(), if !in_drain => return,
                rows = next, if hungry => Ok(rows),
                () = at(due), if hungry => return,
            }
        };
        match rows {
            Err((part, outcome)) => self.land(part, outcome).await,
            Ok(rows) if rows.is_empty() => self.at_end = true,
            Ok(rows) => {
                let now = Instant::now();
                // About as many as were asked for, by number or size: more are there, and waiting would not gather them.
                let size: usize = rows.iter().map(|spooled| spooled.row.bytes().len()).sum();
                let full = rows.len() >= limits.rows / 2 || size >= limits.bytes / 2;
                let more = full || self.reader.is_behind();
                self.look = if more { now } else { now + LOOK.min(limits.linger / 2) };
                self.batcher.push(rows, now.into_std());
                self.count_lost();
                self.commit();
            }
        }
    }

    fn commit(&mut self) {
        let below = self.batcher.committed(self.reader.position());
        self.reader.commit(below);
        self.sink.committed(below);
        self.office.metrics.spool_bytes.set(self.office.spool.bytes() as i64);
    }

    fn count_lost(&mut self) {
        let lost = self.reader.skipped() - self.skipped;
        if lost > 0 {
            tracing::error!(sink = self.sink.name(), rows = lost, "the spool lost rows: its files are damaged");
            self.office.ledger.lost(self.sink.name(), lost);
            self.skipped += lost;
        }
    }

    fn measure_lag(&self) {
        let waiting = self.batcher.oldest().and_then(|spooled| peek::synced_at_micros(spooled.row.bytes()));
        let taken = self.taken.values().filter_map(|taken| taken.since);
        let lag = waiting.into_iter().chain(taken).min().map_or(0.0, age);
        self.office.metrics.sink_lag_seconds.get_or_create(&self.label).set(lag);
    }
}

fn first(batch: &Batch) -> Position {
    batch.rows.first().expect("a batch is never empty").position
}

/// Seconds since an instant given in microseconds since the Unix epoch.
fn age(micros: i64) -> f64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    (now.as_secs_f64() - micros as f64 / 1e6).max(0.0)
}

async fn at(time: Option<Instant>) {
    match time {
        Some(time) => tokio::time::sleep_until(time).await,
        None => std::future::pending().await,
    }
}

//! Takes one sink's rows from the spool to the sink, in batches, however long it takes.
//!
//! Rows leave the spool ([`Reader::commit`]) only when the sink has them or a dead letter does; until then every
//! failure costs time, never a row. What the courier does about a failure is decided here and nowhere else:
//!
//! | the sink says | the courier |
//! |---|---|
//! | transient | tries again with back-off, for ever |
//! | blocked | raises the alarm and prepares the sink every few seconds until that works |
//! | refused | halves the batch until the culprits stand alone, and makes them dead letters |
//! | rejected rows | makes them dead letters |
//! | panics | like transient; a batch that panics again and again is treated as refused |
//!
//! One batch is in flight at a time. Batches of different days could be in flight together: the batcher keeps account
//! of several, and sinks need order only within a day.

use std::{
    collections::HashSet,
    ops::ControlFlow,
    sync::Arc,
    time::{Duration, SystemTime},
};

use tokio::time::Instant;

use super::{
    batcher::Batcher,
    dead_letter::{DeadLetter, DeadLetters, Reason},
    drain::Drain,
    ledger::Ledger,
    peek,
    retry::Backoff,
    sink::{Batch, Sink, SinkError, Spooled, Written},
    spool::{Reader, Spool},
    status::Status,
    unwound::unwound,
};
use crate::telemetry::{Metrics, metrics::BySink};

/// Between two looks into the spool while rows linger: they wait anyway, and one look at many rows is cheaper than
/// many looks at one.
const LOOK: Duration = Duration::from_millis(200);

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
    /// Lost rows that are booked.
    skipped: u64,
    /// When the oldest row of the batch in flight was accepted, in microseconds since the Unix epoch.
    in_flight: Option<i64>,
    /// Not before then is the spool looked into again.
    look: Instant,
    /// When the log last spoke of the blocked sink.
    reminded: Option<Instant>,
}

/// The time to stop has come.
struct Stopped;

impl Courier {
    /// A courier from `reader` to `sink`.
    pub fn new(sink: Arc<dyn Sink>, reader: Reader, office: Office, status: Arc<Status>) -> Courier {
        let label = BySink { sink: sink.name() };
        // The gauges exist from the start: an alert on a missing series helps nobody.
        office.metrics.sink_blocked.get_or_create(&label).set(0);
        office.metrics.sink_lag_seconds.get_or_create(&label).set(0.0);
        let batcher = Batcher::new(sink.limits());
        let look = Instant::now();
        Courier { sink, reader, office, status, batcher, label, skipped: 0, in_flight: None, look, reminded: None }
    }

    /// Works until the spool is closed or a drain is over. Everything not committed stays in the spool.
    pub async fn run(mut self) {
        let over = self.office.drain.clone().over();
        tokio::select! {
            // Rows in the middle of a write may reach the sink all the same: it recognises them next time.
            () = over => {}
            _ = self.work() => {}
        }
    }

    async fn work(&mut self) -> Option<Stopped> {
        let mut failures = 0;
        while let Err(failure) = self.prepare().await {
            failures += 1;
            self.pause(failure, failures).await;
        }
        self.recovered();
        loop {
            while let Some(batch) = self.batcher.take(Instant::now().into_std()) {
                let oldest = batch.rows.first()?;
                let first = oldest.position;
                self.in_flight = peek::synced_at_micros(oldest.row.bytes());
                self.deliver(batch).await;
                self.in_flight = None;
                self.batcher.done(first);
                self.commit();
            }
            if self.fetch().await.is_break() {
                return Some(Stopped);
            }
        }
    }

    /// Waits for rows or for a batch to become due. Breaks when everything is delivered and nothing more comes.
    async fn fetch(&mut self) -> ControlFlow<()> {
        self.measure_lag();
        let in_drain = self.office.drain.has_begun();
        if in_drain && self.reader.position() >= self.office.spool.end() {
            // No row is on its way, so nothing is worth waiting for.
            return self.finish();
        }
        let limits = self.sink.limits();
        let due = self.batcher.due().map(Instant::from_std);
        let look = if self.batcher.is_empty() || in_drain { None } else { Some(self.look) };
        let rows = {
            let (reader, drain) = (&mut self.reader, &mut self.office.drain);
            let next = async {
                if let Some(look) = look {
                    tokio::time::sleep_until(look).await;
                }
                reader.next(limits.rows, limits.bytes).await
            };
            tokio::select! {
                biased;
                () = drain.begun(), if !in_drain => None,
                rows = next => Some(rows),
                () = at(due) => None,
            }
        };
        let now = Instant::now();
        match rows {
            Some(rows) if rows.is_empty() => return self.finish(),
            Some(rows) => {
                self.look = now + LOOK;
                self.batcher.push(rows, now.into_std());
                self.count_lost();
                self.commit();
            }
            None => {}
        }
        ControlFlow::Continue(())
    }

    fn finish(&mut self) -> ControlFlow<()> {
        self.batcher.flush();
        if self.batcher.is_empty() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }

    fn commit(&mut self) {
        self.reader.commit(self.batcher.committed(self.reader.position()));
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
        let lag = waiting.into_iter().chain(self.in_flight).min().map_or(0.0, age);
        self.office.metrics.sink_lag_seconds.get_or_create(&self.label).set(lag);
    }

    /// Brings every row of the batch to the sink or to the dead letters.
    async fn deliver(&mut self, batch: Batch) {
        // A refused batch is replaced by its halves, so rows stay in order.
        let mut parts = vec![batch];
        while let Some(batch) = parts.pop() {
            match self.attempt(&batch).await {
                Ok(written) => self.settle(&batch, written).await,
                Err((_, error)) if batch.rows.len() > 1 => {
                    tracing::debug!(sink = self.sink.name(), rows = batch.rows.len(), %error, "halving a batch");
                    let (first, second) = batch.halves();
                    parts.extend([second, first]);
                }
                Err((reason, error)) => self.set_aside(vec![(batch.rows.into_iter().next(), reason, error)]).await,
            }
        }
    }

    /// Tries until the sink takes the batch or refuses it.
    async fn attempt(&mut self, batch: &Batch) -> Result<Written, (Reason, String)> {
        let mut failures = 0;
        let mut panics = 0;
        loop {
            let failure = match unwound(self.sink.write(batch)).await {
                Some(Ok(written)) => {
                    self.recovered();
                    self.office.metrics.batches_written.get_or_create(&self.label).inc();
                    return Ok(written);
                }
                Some(Err(SinkError::Refused { source })) => return Err((Reason::Refused, source.to_string())),
                Some(Err(failure)) => failure,
                None => {
                    self.office.metrics.panics.inc();
                    panics += 1;
                    if panics >= PANICS {
                        return Err((Reason::Panicked, PANICKED.into()));
                    }
                    SinkError::Transient { source: PANICKED.into(), retry_after: None }
                }
            };
            failures += 1;
            self.office.metrics.batches_retried.get_or_create(&self.label).inc();
            self.pause(failure, failures).await;
            while let Err(failure) = self.prepare().await {
                failures += 1;
                self.pause(failure, failures).await;
            }
        }
    }

    async fn prepare(&mut self) -> Result<(), SinkError> {
        match unwound(self.sink.prepare()).await {
            Some(Ok(())) => {
                self.status.prepared();
                Ok(())
            }
            Some(Err(SinkError::Refused { source })) => Err(SinkError::Transient { source, retry_after: None }),
            Some(Err(failure)) => Err(failure),
            None => {
                self.office.metrics.panics.inc();
                Err(SinkError::Transient { source: PANICKED.into(), retry_after: None })
            }
        }
    }

    /// Says what is wrong and waits. The start of a drain ends the wait: there may be no later chance.
    async fn pause(&mut self, failure: SinkError, failures: u32) {
        let sink = self.sink.name();
        let blocked = matches!(failure, SinkError::Blocked { .. });
        let (backoff, wish) = match &failure {
            SinkError::Transient { retry_after, .. } => (Backoff::TRANSIENT, *retry_after),
            SinkError::Blocked { .. } | SinkError::Refused { .. } => (Backoff::BLOCKED, None),
        };
        let wait = backoff.wait(failures, fastrand::f64(), wish);
        let now = Instant::now();
        if blocked && self.reminded.is_none_or(|at| now - at >= REMIND) {
            self.reminded = Some(now);
            tracing::error!(sink, error = %failure, "nothing is delivered until someone acts");
        } else if !blocked {
            tracing::warn!(sink, failures, retry_in = ?wait, error = %failure, "delivery failed");
        }
        self.office.metrics.sink_blocked.get_or_create(&self.label).set(i64::from(blocked));
        self.status.in_trouble(failure.to_string());
        self.measure_lag();

        let drain = &mut self.office.drain;
        let already = drain.has_begun();
        tokio::select! {
            () = drain.begun(), if !already => {}
            () = tokio::time::sleep(wait) => {}
        }
    }

    /// All is well again.
    fn recovered(&mut self) {
        if self.reminded.take().is_some() {
            tracing::info!(sink = self.sink.name(), "delivery goes on");
        }
        self.office.metrics.sink_blocked.get_or_create(&self.label).set(0);
        self.status.out_of_trouble();
    }

    /// Books a batch the sink has taken, and sets aside the rows it has not.
    async fn settle(&mut self, batch: &Batch, written: Written) {
        let rejected: HashSet<usize> = written.rejected.iter().map(|(index, _)| *index).collect();
        let taken = (0..).zip(&batch.rows).filter(|(index, _)| !rejected.contains(index)).map(|(_, row)| row);
        let letters = written.rejected.iter().map(|(index, message)| {
            let row = batch.rows.get(*index).cloned();
            (row, Reason::Rejected, message.clone())
        });
        self.set_aside(letters.collect()).await;
        let count = self.office.ledger.delivered(self.sink.name(), taken);
        self.status.took(count);
    }

    /// Makes rows dead letters; does not return before they are on disk.
    async fn set_aside(&mut self, rows: Vec<(Option<Spooled>, Reason, String)>) {
        let (sink, spool) = (self.sink.name(), self.office.spool.id());
        let mut letters = Vec::new();
        let mut booked = Vec::new();
        for (spooled, reason, message) in rows {
            // An index beyond the batch would be the sink's bug; there is no row to keep.
            let Some(Spooled { position, row }) = spooled else { continue };
            tracing::debug!(sink, position, event_id = %row.id, reason = reason.label(), message, "dead letter");
            letters.push(DeadLetter::new(sink, spool, position, &row, reason, message));
            booked.push((row.stream, reason));
        }
        if letters.is_empty() {
            return;
        }
        tracing::warn!(sink, rows = letters.len(), reason = letters[0].message, "rows become dead letters");
        let letters = Arc::new(letters);
        let mut failures = 0;
        loop {
            let (store, letters) = (self.office.dead_letters.clone(), letters.clone());
            let added = tokio::task::spawn_blocking(move || store.add(&letters)).await;
            let error = match added {
                Ok(Ok(())) => break,
                Ok(Err(error)) => error.into(),
                Err(panicked) => panicked.into(),
            };
            failures += 1;
            self.pause(SinkError::Transient { source: error, retry_after: None }, failures).await;
        }
        for (stream, reason) in booked {
            self.office.ledger.dead_lettered(sink, &stream, reason.label());
        }
    }
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

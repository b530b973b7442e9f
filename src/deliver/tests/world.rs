//! A sink that follows a script, and everything around it that a courier needs.

use std::{collections::VecDeque, future::pending, sync::Arc, time::Duration};

use async_trait::async_trait;
use bytesize::ByteSize;
use parking_lot::Mutex;
use tokio::runtime::Handle;

use super::super::{
    dead_letter::{self, Reason},
    spool::Durability,
    *,
};
use crate::{
    schema::{Date, Event, Row},
    telemetry::{Metrics, metrics::BySink},
};

/// What the sink does with the next call.
pub(super) enum Act {
    Fail(SinkError),
    Panic,
    Hang,
}

/// A sink that follows a script, then takes everything but the rows it has something against.
#[derive(Default)]
pub(super) struct Fake {
    pub(super) acts: Mutex<VecDeque<Act>>,
    pub(super) prepare_acts: Mutex<VecDeque<Act>>,
    pub(super) refuses: Vec<Position>,
    pub(super) rejects: Vec<Position>,
    pub(super) panics_at: Vec<Position>,
    /// Batches in flight; 0 counts as 1.
    pub(super) window: usize,
    /// What a write takes.
    pub(super) delay: Duration,
    /// Writes under way, and the most there were.
    pub(super) under_way: Mutex<(usize, usize)>,
    /// First positions in the order in which writes began.
    pub(super) begun: Mutex<Vec<Position>>,
    pub(super) prepared: Mutex<usize>,
    pub(super) taken: Mutex<Vec<(Date, Position)>>,
}

#[async_trait]
impl Sink for Fake {
    fn name(&self) -> &'static str {
        "fake"
    }

    fn limits(&self) -> BatchLimits {
        BatchLimits { rows: 10, bytes: 1_000, linger: Duration::from_secs(5), window: self.window.max(1) }
    }

    async fn prepare(&self) -> Result<(), SinkError> {
        *self.prepared.lock() += 1;
        let act = self.prepare_acts.lock().pop_front();
        perform(act).await
    }

    async fn write(&self, batch: &Batch) -> Result<Written, SinkError> {
        let act = self.acts.lock().pop_front();
        self.begun.lock().push(batch.rows[0].position);
        {
            let mut under_way = self.under_way.lock();
            under_way.0 += 1;
            under_way.1 = under_way.1.max(under_way.0);
        }
        if !self.delay.is_zero() {
            tokio::time::sleep(self.delay).await;
        }
        self.under_way.lock().0 -= 1;
        perform(act).await?;
        let has = |positions: &[Position]| batch.rows.iter().any(|row| positions.contains(&row.position));
        assert!(!has(&self.panics_at), "a bug that this batch wakes");
        if has(&self.refuses) {
            return Err(SinkError::Refused { source: "too odd".into() });
        }
        let mut written = Written::default();
        for (index, row) in batch.rows.iter().enumerate() {
            if self.rejects.contains(&row.position) {
                written.rejected.push((index, "no thanks".into()));
            } else {
                self.taken.lock().push((batch.date, row.position));
            }
        }
        Ok(written)
    }
}

async fn perform(act: Option<Act>) -> Result<(), SinkError> {
    match act {
        Some(Act::Fail(error)) => Err(error),
        Some(Act::Panic) => panic!("a bug that comes and goes"),
        Some(Act::Hang) => pending().await,
        None => Ok(()),
    }
}

pub(super) fn transient() -> Act {
    Act::Fail(SinkError::Transient { source: "busy".into(), retry_after: None })
}

pub(super) fn blocked() -> Act {
    Act::Fail(SinkError::Blocked { source: "no right".into(), hint: "ask for it".into() })
}

pub(super) struct World {
    pub(super) folder: tempfile::TempDir,
    pub(super) metrics: Arc<Metrics>,
    pub(super) sink: Arc<Fake>,
    pub(super) delivery: Delivery,
}

impl World {
    pub(super) fn new(sink: Fake) -> World {
        World::sized(sink, ByteSize::mb(10))
    }

    pub(super) fn sized(sink: Fake, max_size: ByteSize) -> World {
        let folder = tempfile::tempdir().unwrap();
        let config = WritersConfig {
            local: LocalConfig { directory: folder.path().into(), ..LocalConfig::default() },
            spool: spool::Config { durability: Durability::Memory, max_size, ..spool::Config::default() },
            ..WritersConfig::default()
        };
        let metrics = Arc::new(Metrics::new());
        let sink = Arc::new(sink);
        let made: Arc<dyn Sink> = sink.clone();
        let delivery =
            Delivery::with_sinks(&config, metrics.clone(), &Handle::current(), &["fake"], &mut |_| vec![made.clone()])
                .unwrap();
        World { folder, metrics, sink, delivery }
    }

    pub(super) async fn accept(&self, days: impl IntoIterator<Item = i32>) {
        self.delivery.accept(days.into_iter().map(row).collect()).await.unwrap();
    }

    pub(super) async fn drain(&self, seconds: u64) -> Drained {
        let now = tokio::time::Instant::now().into_std();
        self.delivery.drain(now + Duration::from_secs(seconds)).await
    }

    pub(super) fn taken(&self) -> Vec<Position> {
        self.sink.taken.lock().iter().map(|(_, position)| *position).collect()
    }

    pub(super) fn letters(&self) -> Vec<(String, Reason)> {
        let letters = dead_letter::list(&self.folder.path().join(dead_letter::FOLDER)).unwrap();
        letters
            .into_iter()
            .map(|(letter, _)| (letter.id.rsplit('-').next().unwrap().to_owned(), letter.reason))
            .collect()
    }

    pub(super) fn books_balance(&self) {
        self.delivery.check_books().unwrap();
    }

    pub(super) fn lag(&self) -> f64 {
        self.metrics.sink_lag_seconds.get_or_create(&BySink { sink: "fake" }).get()
    }

    pub(super) fn blocked(&self) -> i64 {
        self.metrics.sink_blocked.get_or_create(&BySink { sink: "fake" }).get()
    }
}

pub(super) fn row(day: i32) -> Row {
    let event = Event { synced_at_micros: Some(1), ..Event::default() };
    Row::freeze(&event, Date(day), ["a", "b"][day as usize % 2].into())
}

//! The parts of delivery put together: started, fed, watched and drained as one.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Instant,
};

use parking_lot::Mutex;
use tokio::{runtime::Handle, task::JoinHandle};

use super::{
    append::Append,
    config::{Strategy, WritersConfig},
    courier::{Courier, Office},
    dead_letter::{self, DeadLetters},
    drain::{Begin, drain},
    ledger::{Balance, Entry, Imbalance, Ledger},
    lock,
    sink::{Position, Sink},
    sinks::{
        bigquery::{BigQuerySink, SetupError},
        parquet::ParquetSink,
        pubsub::PubSubSink,
    },
    spool::{Spool, SpoolError, SpoolFull},
    status::Status,
};
use crate::{
    schema::{Row, StreamId},
    telemetry::Metrics,
};

/// Why delivery cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The spool.
    #[error("{0}")]
    Spool(#[from] SpoolError),
    /// The dead letters.
    #[error("cannot read dead letters in `{}`: {source}", directory.display())]
    DeadLetters {
        /// Where they lie.
        directory: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// Another process writes there.
    #[error(
        "another process writes into the lake `{}`, hint: stop it, or give this one its own `writers.local.directory`",
        .0.display()
    )]
    LakeInUse(PathBuf),
    /// The lake's folder.
    #[error("cannot lock the lake `{}`: {source}", directory.display())]
    Lake {
        /// Which folder.
        directory: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// A client of Google Cloud.
    #[error("cannot set up the writer `{0}`: {1}")]
    Google(Strategy, SetupError),
    /// No destination.
    #[error("no writer is configured; use `local`, `direct` or `pubsub`")]
    NoSink,
}

/// Whether events can be taken and delivered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Health {
    /// Whether requests should come: the spool takes them. A sink that fails, or was never ready, does not end readiness,
    /// since events are kept, and turning them away would lose them.
    pub ready: bool,
    /// Everything that is not as it should be.
    pub reasons: Vec<String>,
}

/// What a drain achieved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Drained {
    /// Rows delivered meanwhile; with several sinks, to any of them.
    pub delivered: u64,
    /// Rows that some sink has not taken, and that the next start finds in the spool.
    pub left_in_spool: u64,
}

/// Delivery as the rest of the house sees it. Clones are the same one.
#[derive(Clone)]
pub struct Delivery(Arc<Parts>);

struct Parts {
    spool: Spool,
    ledger: Arc<Ledger>,
    metrics: Arc<Metrics>,
    runtime: Handle,
    drain: Begin,
    couriers: Vec<(&'static str, Arc<Status>)>,
    tasks: Mutex<Vec<JoinHandle<()>>>,
    /// The lake is ours alone: two writers would clear away each other's unfinished files.
    lake: Mutex<Option<File>>,
}

/// A sink that is made but for what only the spool knows.
type Made<'a> = Box<dyn FnOnce(&Spool) -> Arc<dyn Sink> + 'a>;

/// Makes the sinks, given the spool's identity and its end.
type MakeSinks<'a> = &'a mut dyn FnMut(&Spool) -> Vec<Arc<dyn Sink>>;

impl Delivery {
    /// Opens the spool and sends a courier off for each sink, on `runtime`. Blocks while an old spool is read.
    pub fn start(config: &WritersConfig, metrics: Arc<Metrics>, runtime: &Handle) -> Result<Delivery, StartError> {
        let names = sink_names(config)?;
        // Clients drive their connections on it.
        let _on_runtime = runtime.enter();
        let mut sinks: Vec<Made<'_>> = Vec::new();
        for &strategy in &config.strategy.0 {
            let failed = |error| StartError::Google(strategy, error);
            sinks.push(match strategy {
                Strategy::Local => Box::new(|spool: &Spool| {
                    Arc::new(ParquetSink::new(&config.local.directory, spool.id(), spool.end()))
                }),
                Strategy::Direct => {
                    let sink = Arc::new(BigQuerySink::new(config).map_err(failed)?);
                    Box::new(move |spool: &Spool| {
                        sink.fed_by(spool.id());
                        sink
                    })
                }
                Strategy::PubSub => {
                    let sink = Arc::new(PubSubSink::new(config).map_err(failed)?);
                    Box::new(move |_: &Spool| sink)
                }
            });
        }
        Delivery::with_sinks(config, metrics, runtime, &names, &mut |spool| {
            sinks.drain(..).map(|made| made(spool)).collect()
        })
    }

    /// Like [`start`](Delivery::start), with other sinks than the configured ones. `names` are theirs, in order; the
    /// sinks are made when the spool's identity is known.
    pub fn with_sinks(
        config: &WritersConfig,
        metrics: Arc<Metrics>,
        runtime: &Handle,
        names: &[&'static str],
        sinks: MakeSinks<'_>,
    ) -> Result<Delivery, StartError> {
        let letters = dead_letters(config);
        let failed = |source| StartError::DeadLetters { directory: letters.clone(), source };
        let lake = lock_lake(&config.local.directory)?;
        let (spool, readers, recovery) = Spool::open(&config.spool, names)?;
        dead_letter::settle(&letters, &spool).map_err(failed)?;

        let ledger = Arc::new(Ledger::new(metrics.clone(), names.to_vec()));
        for backlog in &recovery.consumers {
            for (stream, rows) in &backlog.streams {
                ledger.recovered(backlog.consumer, stream, *rows);
            }
        }
        metrics.spool_damaged.inc_by(recovery.damaged);
        metrics.spool_bytes.set(spool.bytes() as i64);

        let (begin, drain) = drain();
        let office = Office {
            spool: spool.clone(),
            ledger: ledger.clone(),
            dead_letters: Arc::new(DeadLetters::open(&letters).map_err(failed)?),
            metrics: metrics.clone(),
            drain,
        };
        let mut couriers = Vec::new();
        let mut tasks = Vec::new();
        let _on_runtime = runtime.enter();
        for (sink, reader) in sinks(&spool).into_iter().zip(readers) {
            let status = Arc::new(Status::default());
            couriers.push((sink.name(), status.clone()));
            tasks.push(runtime.spawn(Courier::new(sink, reader, office.clone(), status).run()));
        }
        let (tasks, runtime) = (Mutex::new(tasks), runtime.clone());
        Ok(Delivery(Arc::new(Parts {
            spool,
            ledger,
            metrics,
            runtime,
            drain: begin,
            couriers,
            tasks,
            lake: Mutex::new(Some(lake)),
        })))
    }

    /// Returns when `rows` are as durable as configured. May be called from any runtime, and may be given up: what was
    /// handed to the spool by then is booked all the same. The position is for [`delivered`](Delivery::delivered).
    pub async fn accept(&self, rows: Vec<Row>) -> Result<Position, SpoolFull> {
        if rows.is_empty() {
            return Ok(0);
        }
        let parts = self.0.clone();
        Append::new(async move { parts.append(rows).await }, &self.0.runtime).await
    }

    /// Returns when every sink has every row below `upto`, or a dead letter of it is on disk. That takes as long as it
    /// takes; may be given up, and called from any runtime.
    pub async fn delivered(&self, upto: Position) {
        self.0.spool.done(upto).await;
    }

    /// Whether so many wait for [`delivered`](Delivery::delivered) that no more should.
    pub fn is_crowded(&self) -> bool {
        self.0.spool.is_crowded()
    }

    /// Books events that were received and end here.
    pub fn dropped(&self, stream: &StreamId, reason: &'static str) {
        self.0.ledger.dropped(stream, reason, 1);
    }

    /// Whether requests should come.
    pub fn health(&self) -> Health {
        // The spool gives space back some time after it was told that it may.
        self.0.metrics.spool_bytes.set(self.0.spool.bytes() as i64);
        let mut reasons = Vec::new();
        reasons.extend(self.0.spool.refusal().map(|refusal| refusal.to_string()));
        let ready = reasons.is_empty();
        for (sink, status) in &self.0.couriers {
            if !status.is_prepared() {
                reasons.push(format!("sink `{sink}` is not prepared"));
            }
        }
        for (sink, status) in &self.0.couriers {
            reasons.extend(status.trouble().map(|trouble| format!("sink `{sink}`: {trouble}")));
        }
        Health { ready, reasons }
    }

    /// Delivers what is in the spool, without waiting for batches to fill, until nothing is left or `deadline` comes.
    /// Afterwards nothing is accepted and the spool is closed. Call when no request is in flight any more.
    pub async fn drain(&self, deadline: Instant) -> Drained {
        let before = self.taken();
        self.0.drain.until(deadline.into());
        let tasks = std::mem::take(&mut *self.0.tasks.lock());
        for task in tasks {
            // A courier that panicked has been reported; its rows are in the spool.
            let _ = task.await;
        }
        self.0.spool.close().await;
        let left = self.0.couriers.iter().map(|(sink, _)| self.0.spool.pending(sink)).max();
        Drained { delivered: self.taken() - before, left_in_spool: left.unwrap_or(0) }
    }

    /// Lets another process have spool and lake while clones of this live on. Call after [`drain`](Delivery::drain),
    /// when nothing runs on the runtime any more; without it, the end of the process does.
    pub fn release(&self) {
        self.0.spool.release();
        self.0.lake.lock().take();
    }

    /// Rows that sinks have taken.
    fn taken(&self) -> u64 {
        self.0.couriers.iter().map(|(_, status)| status.delivered()).sum()
    }

    /// Every stream at every sink, by the books.
    pub fn balances(&self) -> Vec<Balance> {
        self.0.ledger.balances()
    }

    /// Whether every event is somewhere, once, by the books and by the spool. Meaningful when nothing is on the move.
    pub fn check_books(&self) -> Result<(), Imbalance> {
        self.0.ledger.check(|sink| self.0.spool.pending(sink))
    }
}

impl Parts {
    async fn append(&self, rows: Vec<Row>) -> Result<Position, SpoolFull> {
        let entry: Entry = self.ledger.appending(&rows);
        let started = Instant::now();
        let result = self.spool.append(rows).await;
        match &result {
            Ok(_) => {
                self.metrics.spool_append_seconds.observe(started.elapsed().as_secs_f64());
                entry.appended();
            }
            Err(_) => {
                self.metrics.spool_refusals.inc();
                entry.refused();
            }
        }
        self.metrics.spool_bytes.set(self.spool.bytes() as i64);
        result
    }
}

fn lock_lake(directory: &Path) -> Result<File, StartError> {
    let failed = |source| StartError::Lake { directory: directory.into(), source };
    fs::create_dir_all(directory).map_err(failed)?;
    let file = lock::exclusive(&directory.join(".lock")).map_err(failed)?;
    file.ok_or_else(|| StartError::LakeInUse(directory.into()))
}

/// Where dead letters lie.
pub fn dead_letters(config: &WritersConfig) -> PathBuf {
    config.local.directory.join(dead_letter::FOLDER)
}

/// The names of the configured sinks, in order.
pub fn sink_names(config: &WritersConfig) -> Result<Vec<&'static str>, StartError> {
    let names = config.strategy.0.iter().map(|strategy| match strategy {
        Strategy::Local => ParquetSink::NAME,
        Strategy::Direct => BigQuerySink::NAME,
        Strategy::PubSub => PubSubSink::NAME,
    });
    let names: Vec<_> = names.collect();
    if names.is_empty() { Err(StartError::NoSink) } else { Ok(names) }
}

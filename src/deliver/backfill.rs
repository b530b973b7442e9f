//! What lies in the lake, into BigQuery: through a spool of its own and the courier that all rows go through.
//!
//! A backfill is a folder in the lake, named by its days:
//!
//! ```text
//! <directory>/backfill/2026-05-01_2026-05-31/
//!   lock           held while a process works on it
//!   files/         hard links to the lake's files as they were when it began: merges change nothing about it any more
//!   progress       JSON lines: how many of their rows, in order, are in the spool
//!   spool/         with `direct.offsets`, so that each row is appended once, whatever ends the process
//!   dead-letters/  rows that the table will not take
//! ```
//!
//! Run again, it goes on where it stopped; once done, it says so and does nothing.

mod error;
mod files;
pub mod progress;

use std::{
    fs,
    future::Future,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::runtime::{Builder, Runtime};

pub use self::error::BackfillError;
use self::{
    files::{LakeFile, link, list},
    progress::Progress,
};
use super::{
    config::{Strategies, Strategy, WritersConfig},
    delivery::Delivery,
    lock,
    sink::{Position, Sink},
    sinks::bigquery::BigQuerySink,
    spool::{self, SpoolFull},
};
use crate::{schema::Date, telemetry::Metrics};

/// Folder of the lake that backfills lie in.
const FOLDER: &str = "backfill";
/// Rows read at a time.
const READ: usize = 2_000;
/// Most bytes that wait in the spool.
const SPOOL: u64 = 256 << 20;
/// Without a row delivered for so long, somebody has to act.
const PATIENCE: Duration = Duration::from_secs(120);
/// Between two looks.
const LOOK: Duration = Duration::from_millis(500);
/// For what is on its way when the process is told to stop.
const DRAIN: Duration = Duration::from_secs(8);

/// Which days.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Days {
    /// The first.
    pub from: Date,
    /// The last.
    pub to: Date,
}

/// How far it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// Rows of those days.
    pub rows: u64,
    /// Of these, the ones that went into the spool, in this run or before.
    pub read: u64,
    /// Of these, the ones that wait there.
    pub waiting: u64,
    /// Rows that became dead letters in this run.
    pub dead_letters: u64,
    /// What is wrong.
    pub troubles: Vec<String>,
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Every row is in the table, or a dead letter.
    Done(Standing),
    /// It had been done before; so many rows.
    Already(u64),
    /// The next run goes on from here.
    Stopped(Standing),
}

/// Appends the lake's rows of these days to the table, until all are there or `stop` resolves. `tell` hears every now and
/// then how far it is. Blocking; not to be called from within a runtime.
pub fn backfill(
    config: &WritersConfig,
    days: Days,
    stop: impl Future<Output = ()>,
    tell: &mut dyn FnMut(&Standing),
) -> Result<Outcome, BackfillError> {
    let Days { from, to } = days;
    let folder = config.local.directory.join(FOLDER).join(format!("{from}_{to}"));
    fs::create_dir_all(&folder).map_err(BackfillError::io("create", &folder))?;
    // Before anything is looked at: another run may be about to link its files.
    let lock = folder.join("lock");
    let _lock = lock::exclusive(&lock)
        .map_err(BackfillError::io("lock", &lock))?
        .ok_or_else(|| BackfillError::InUse(folder.clone()))?;
    let path = folder.join("progress");
    let mut progress = Progress::open(&path).map_err(BackfillError::io("read", &path))?;
    if let Some(rows) = progress.done() {
        return Ok(Outcome::Already(rows));
    }
    let files = folder.join("files");
    if !files.is_dir() {
        link(&config.local.directory, days, &files)?;
    }
    let files = list(&files)?;
    let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let runtime = runtime.map_err(BackfillError::io("start", Path::new("a runtime")))?;
    let (delivery, end) = deliver(config, &folder, &runtime)?;
    let mut standing = Standing { rows: files.iter().map(|file| file.rows).sum(), ..Standing::default() };
    standing.read = progress.read(end).map_err(BackfillError::io("write", &path))?.min(standing.rows);
    let complete = runtime.block_on(async {
        tokio::pin!(stop);
        tokio::select! {
            biased;
            () = &mut stop => Ok(false),
            complete = run(&delivery, &files, &mut progress, &mut standing, tell) => complete,
        }
    });
    let drained = runtime.block_on(delivery.drain(Instant::now() + DRAIN));
    look(&delivery, &mut standing);
    standing.waiting = drained.left_in_spool;
    delivery.release();
    drop(delivery);
    runtime.shutdown_timeout(Duration::from_millis(200));
    if !complete? || drained.left_in_spool > 0 {
        return Ok(Outcome::Stopped(standing));
    }
    progress.finish(standing.rows).map_err(BackfillError::io("write", &path))?;
    for unneeded in ["files", "spool"] {
        let unneeded = folder.join(unneeded);
        fs::remove_dir_all(&unneeded).map_err(BackfillError::io("remove", &unneeded))?;
    }
    Ok(Outcome::Done(standing))
}

/// Reads what is not in the spool yet, and waits until it is empty. False when nothing moves any more.
async fn run(
    delivery: &Delivery,
    files: &[LakeFile],
    progress: &mut Progress,
    standing: &mut Standing,
    tell: &mut dyn FnMut(&Standing),
) -> Result<bool, BackfillError> {
    let mut before = 0;
    let mut told = Instant::now();
    for file in files {
        let skipped = standing.read.saturating_sub(before).min(file.rows);
        before += file.rows;
        if skipped == file.rows {
            continue;
        }
        for batch in file.open(skipped)? {
            let batch = batch.map_err(|error| file.unreadable(error.into()))?;
            let rows = file.rows_of(&batch)?;
            let count = rows.len() as u64;
            let mut moved = Instant::now();
            let end = loop {
                match delivery.accept(rows.clone()).await {
                    Ok(end) => break end,
                    Err(SpoolFull::Size | SpoolFull::Busy) => {
                        if wait(delivery, progress.end(), standing, tell).await {
                            moved = Instant::now();
                        } else if moved.elapsed() > PATIENCE {
                            return Ok(false);
                        }
                    }
                    Err(error) => {
                        return Err(refused(progress, error));
                    }
                }
            };
            standing.read += count;
            progress.add(count, end).map_err(BackfillError::io("write", &progress.path))?;
            if told.elapsed() >= LOOK {
                told = Instant::now();
                look(delivery, standing);
                tell(standing);
            }
        }
    }
    let mut moved = Instant::now();
    loop {
        look(delivery, standing);
        tell(standing);
        if standing.waiting == 0 {
            return Ok(true);
        }
        if wait(delivery, progress.end(), standing, tell).await {
            moved = Instant::now();
        } else if moved.elapsed() > PATIENCE {
            return Ok(false);
        }
    }
}

/// The spool kept nothing of the rows, whatever its positions say: the next run is told.
fn refused(progress: &mut Progress, error: SpoolFull) -> BackfillError {
    match progress.failed() {
        Ok(()) => BackfillError::Spool(error),
        Err(source) => BackfillError::Unnoted { spool: error, path: progress.path.clone(), source },
    }
}

/// Lets some time pass; whether a row was delivered meanwhile.
async fn wait(delivery: &Delivery, end: Position, standing: &mut Standing, tell: &mut dyn FnMut(&Standing)) -> bool {
    let before = standing.waiting;
    // With the last row it is over at once.
    let _ = tokio::time::timeout(LOOK, delivery.delivered(end)).await;
    look(delivery, standing);
    tell(standing);
    standing.waiting < before
}

fn look(delivery: &Delivery, standing: &mut Standing) {
    let balances = delivery.balances();
    standing.waiting = balances.iter().map(|balance| balance.in_spool.max(0) as u64).sum();
    standing.dead_letters = balances.iter().map(|balance| balance.dead_lettered).sum();
    standing.troubles = delivery.health().reasons;
}

/// Delivery from a spool in the folder, and the end of that spool.
fn deliver(config: &WritersConfig, folder: &Path, runtime: &Runtime) -> Result<(Delivery, Position), BackfillError> {
    let mut config = config.clone();
    config.strategy = Strategies(vec![Strategy::Direct]);
    config.local.directory = folder.to_owned();
    config.spool = spool::Config {
        directory: folder.join("spool"),
        max_size: bytesize::ByteSize(SPOOL),
        ..spool::Config::default()
    };
    // With a table for each day, too: rows come in the order of their days.
    config.bq.exactly_once = true;
    let _on_runtime = runtime.enter();
    let sink = Arc::new(BigQuerySink::new(&config)?);
    let mut end = 0;
    let delivery = Delivery::with_sinks(
        &config,
        Arc::new(Metrics::new()),
        runtime.handle(),
        &[BigQuerySink::NAME],
        &mut |spool| {
            sink.fed_by(spool.id());
            end = spool.end();
            let sink: Arc<dyn Sink> = sink.clone();
            vec![sink]
        },
    )?;
    Ok((delivery, end))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::{progress::FAILED, *};

    #[test]
    fn a_refusal_that_cannot_be_written_down_is_told_with_what_to_do() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("progress");
        let mut progress = Progress::open(&path).unwrap();
        progress.add(10, 10).unwrap();
        let error = refused(&mut progress, SpoolFull::Disk).to_string();
        assert!(error.ends_with("the next run goes on from here"), "{error}");
        assert_eq!(fs::read_to_string(&path).unwrap().lines().last(), Some(FAILED));

        progress.on_a_full_disk();
        let error = refused(&mut progress, SpoolFull::Disk).to_string();
        assert!(error.contains("add the line `\"failed\"`") && error.contains("No space left"), "{error}");
    }
}

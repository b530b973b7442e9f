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

pub mod progress;

use std::{
    fs::{self, File},
    future::Future,
    io,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use arrow_array::{Array, RecordBatch, cast::AsArray};
use parquet::{arrow::arrow_reader::ParquetRecordBatchReaderBuilder, errors::ParquetError};
use tokio::runtime::{Builder, Runtime};

use self::progress::{FAILED, Progress};
use super::{
    config::{Strategies, Strategy, TableLayout, WritersConfig},
    delivery::{Delivery, StartError},
    lock,
    sink::{Position, Sink},
    sinks::{
        bigquery::{BigQuerySink, SetupError},
        lake::FileName,
    },
    spool::{self, SpoolFull},
};
use crate::{
    schema::{
        Date, Row,
        arrow::{self, OtherType},
    },
    telemetry::Metrics,
};

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

/// Why it cannot run.
#[derive(Debug, thiserror::Error)]
pub enum BackfillError {
    /// The parts of delivery.
    #[error(transparent)]
    Start(#[from] StartError),
    /// The client.
    #[error("cannot set up the writer: {0}")]
    Setup(#[from] SetupError),
    /// The folder.
    #[error("cannot {action} `{}`: {source}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// Cause.
        source: io::Error,
    },
    /// A file of the lake.
    #[error("cannot read `{}`: {source}", path.display())]
    Parquet {
        /// Which.
        path: PathBuf,
        /// Cause.
        source: ParquetError,
    },
    /// A file of the lake has other columns.
    #[error("cannot read `{}`: {source}", path.display())]
    Columns {
        /// Which.
        path: PathBuf,
        /// Cause.
        source: OtherType,
    },
    /// The folder's own spool.
    #[error("{0}; the next run goes on from here")]
    Spool(SpoolFull),
    /// The same, and that could not be written down.
    #[error(
        "{spool}, and `{}` cannot be told: {source}; the next run may leave out {READ} rows, hint: add the line \
         `{FAILED}` to that file before it",
        path.display()
    )]
    Unnoted {
        /// The spool's reason.
        spool: SpoolFull,
        /// The file.
        path: PathBuf,
        /// Why it cannot be written.
        source: io::Error,
    },
    /// Another process is at it.
    #[error("a backfill of these days runs in another process, in `{}`, hint: wait until it ends, or stop it", .0.display())]
    InUse(PathBuf),
    /// The lake has nothing of these days.
    #[error("the lake `{}` has no rows of these days", .0.display())]
    Nothing(PathBuf),
}

impl BackfillError {
    fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> BackfillError {
        move |source| BackfillError::Io { action, path: path.to_owned(), source }
    }
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
    config.bq.exactly_once = config.bq.table_layout == TableLayout::Partitioned;
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

/// A file of the lake, as it was when the backfill began.
struct LakeFile {
    path: PathBuf,
    date: Date,
    rows: u64,
}

impl LakeFile {
    fn unreadable(&self, source: ParquetError) -> BackfillError {
        BackfillError::Parquet { path: self.path.clone(), source }
    }

    fn builder(&self) -> Result<ParquetRecordBatchReaderBuilder<File>, BackfillError> {
        let file = File::open(&self.path).map_err(BackfillError::io("read", &self.path))?;
        ParquetRecordBatchReaderBuilder::try_new(file).map_err(|error| self.unreadable(error))
    }

    /// From row `skipped` on.
    fn open(
        &self,
        skipped: u64,
    ) -> Result<impl Iterator<Item = Result<RecordBatch, arrow_schema::ArrowError>> + use<>, BackfillError> {
        let builder = self.builder()?.with_batch_size(READ).with_offset(skipped as usize);
        builder.build().map_err(|error| self.unreadable(error))
    }

    fn rows_of(&self, batch: &RecordBatch) -> Result<Vec<Row>, BackfillError> {
        let failed = |source| BackfillError::Columns { path: self.path.clone(), source };
        let rows = arrow::rows(batch).map_err(failed)?;
        let text = |array: Option<&arrow_array::ArrayRef>, at: usize| {
            let array = array.and_then(|array| array.as_string_opt::<i32>()).filter(|array| array.is_valid(at));
            array.map(|array| array.value(at).to_owned()).unwrap_or_default()
        };
        let streams = batch.column_by_name("stream_id");
        let info = batch.column_by_name("rs_info").and_then(|info| info.as_struct_opt());
        let ids = info.and_then(|info| info.column_by_name("event_id"));
        let row = |(at, bytes): (usize, Vec<u8>)| {
            Row::from_parts(self.date, text(streams, at).into(), text(ids, at).into(), bytes.into())
        };
        Ok(rows.into_iter().enumerate().map(row).collect())
    }
}

/// Links the lake's files of these days into `files`, which is there as a whole or not at all.
fn link(lake: &Path, days: Days, files: &Path) -> Result<(), BackfillError> {
    let unfinished = files.with_extension("new");
    if unfinished.exists() {
        fs::remove_dir_all(&unfinished).map_err(BackfillError::io("remove", &unfinished))?;
    }
    fs::create_dir(&unfinished).map_err(BackfillError::io("create", &unfinished))?;
    let mut found = 0;
    for day in days.from.0..=days.to.0 {
        let folder = lake.join("events").join(format!("day={}", Date(day)));
        found += link_day(&folder, Date(day), &unfinished)?;
    }
    if found == 0 {
        return Err(BackfillError::Nothing(lake.to_owned()));
    }
    File::open(&unfinished).and_then(|folder| folder.sync_all()).map_err(BackfillError::io("sync", &unfinished))?;
    fs::rename(&unfinished, files).map_err(BackfillError::io("create", files))
}

/// Links one day. A merge may exchange the day's folder meanwhile: then it is looked at again.
fn link_day(folder: &Path, date: Date, into: &Path) -> Result<usize, BackfillError> {
    'again: loop {
        let entries = match fs::read_dir(folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
            Err(error) => return Err(BackfillError::io("read", folder)(error)),
        };
        let mut linked: Vec<PathBuf> = Vec::new();
        for entry in entries {
            let entry = entry.map_err(BackfillError::io("read", folder))?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if FileName::parse(&name).is_none() {
                continue;
            }
            let target = into.join(format!("{date}_{name}"));
            match fs::hard_link(entry.path(), &target) {
                Ok(()) => linked.push(target),
                Err(error) if error.kind() == io::ErrorKind::NotFound && into.is_dir() => {
                    for target in linked {
                        fs::remove_file(&target).map_err(BackfillError::io("remove", &target))?;
                    }
                    continue 'again;
                }
                Err(error) => return Err(BackfillError::io("link", &entry.path())(error)),
            }
        }
        return Ok(linked.len());
    }
}

/// The linked files, in the order of their names, which never changes.
fn list(files: &Path) -> Result<Vec<LakeFile>, BackfillError> {
    let mut found = Vec::new();
    for entry in fs::read_dir(files).map_err(BackfillError::io("read", files))? {
        let path = entry.map_err(BackfillError::io("read", files))?.path();
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let Some(date) = name.split_once('_').and_then(|(date, _)| Date::parse(date)) else { continue };
        let mut file = LakeFile { path, date, rows: 0 };
        file.rows = file.builder()?.metadata().file_metadata().num_rows().max(0) as u64;
        found.push(file);
    }
    found.sort_by(|one, other| one.path.cmp(&other.path));
    Ok(found)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

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

    #[test]
    fn links_that_have_nowhere_to_go_are_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let name = FileName::fresh(1, 0, 0).to_string();
        fs::write(folder.path().join(&name), b"").unwrap();
        let into = folder.path().join("files.new");
        let (tell, told) = std::sync::mpsc::channel();
        let (from, to) = (folder.path().to_owned(), into.clone());
        std::thread::spawn(move || tell.send(link_day(&from, Date(0), &to)));
        let error = told.recv_timeout(Duration::from_secs(20)).expect("it tries for ever").unwrap_err().to_string();
        assert!(error.contains("cannot link"), "{error}");
        fs::create_dir(&into).unwrap();
        assert_eq!(link_day(folder.path(), Date(0), &into).unwrap(), 1);
    }
}

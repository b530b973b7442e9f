//! The local sink: the [`Lake`] behind the [`Sink`] trait.

use std::{
    io,
    path::Path,
    sync::{Arc, OnceLock},
    time::Duration,
};

use async_trait::async_trait;

use super::lake::{Compactor, Lake, LakeError};
use crate::deliver::sink::{Batch, BatchLimits, Position, Sink, SinkError, Written};

/// Batches of the lake.
///
/// Rows are to be seen within ten seconds: five of waiting leave five for reading the spool and writing a full batch,
/// which takes less than one. The bytes bound the memory a courier holds, whatever the rows weigh. One at a time: files of
/// a day must come in the order of their rows.
pub const LIMITS: BatchLimits =
    BatchLimits { rows: 100_000, bytes: 8 * 1024 * 1024, linger: Duration::from_secs(5), window: 1 };

/// Writes batches as Parquet files and merges them in the background.
pub struct ParquetSink {
    lake: Arc<Lake>,
    /// Merges from the first successful preparation on; ends with the sink.
    compactor: OnceLock<Compactor>,
}

impl ParquetSink {
    /// Name in metrics, logs and cursors.
    pub const NAME: &'static str = "local";

    /// The lake in `directory`, fed by the spool with identity `spool`, which ended at `spool_end` when it was opened.
    pub fn new(directory: &Path, spool: u64, spool_end: Position) -> ParquetSink {
        ParquetSink { lake: Arc::new(Lake::new(directory, spool, spool_end)), compactor: OnceLock::new() }
    }
}

#[async_trait]
impl Sink for ParquetSink {
    fn name(&self) -> &'static str {
        ParquetSink::NAME
    }

    fn limits(&self) -> BatchLimits {
        LIMITS
    }

    async fn prepare(&self) -> Result<(), SinkError> {
        let lake = self.lake.clone();
        blocking(move || lake.prepare()).await?;
        if self.compactor.get().is_none() {
            let compactor = Compactor::start(self.lake.clone()).map_err(transient)?;
            // Only the courier prepares, so nobody else can have set it.
            let _ = self.compactor.set(compactor);
        }
        Ok(())
    }

    async fn write(&self, batch: &Batch) -> Result<Written, SinkError> {
        let lake = self.lake.clone();
        let date = batch.date;
        let rows: Vec<_> = batch.rows.iter().map(|spooled| (spooled.position, spooled.row.to_bytes())).collect();
        let rejected = blocking(move || lake.write(date, &rows)).await?;
        Ok(Written { rejected: rejected.into_iter().map(|rejected| (rejected.index, rejected.reason)).collect() })
    }
}

/// Runs file work off the runtime's own threads.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, LakeError> + Send + 'static,
) -> Result<T, SinkError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result.map_err(classify),
        Err(joined) if joined.is_panic() => std::panic::resume_unwind(joined.into_panic()),
        Err(joined) => Err(transient(joined)),
    }
}

/// Which failures pass by themselves (a full disk gets room again, a network disk comes back), and which need a hand.
fn classify(error: LakeError) -> SinkError {
    let hint = match error.io_error().map(io::Error::kind) {
        Some(io::ErrorKind::PermissionDenied) => {
            "give the process the right to write there, or change `writers.local.directory`"
        }
        Some(io::ErrorKind::ReadOnlyFilesystem) => {
            "the file system is read-only: remount it, or change `writers.local.directory`"
        }
        Some(io::ErrorKind::NotADirectory | io::ErrorKind::AlreadyExists) => {
            "a file is in the way: move it, or change `writers.local.directory`"
        }
        Some(io::ErrorKind::CrossesDevices) => {
            "`events` and `.staging` in `writers.local.directory` must be on one file system"
        }
        _ => return transient(error),
    };
    SinkError::Blocked { source: Box::new(error), hint: hint.into() }
}

fn transient(error: impl std::error::Error + Send + Sync + 'static) -> SinkError {
    SinkError::Transient { source: Box::new(error), retry_after: None }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure(kind: io::ErrorKind) -> SinkError {
        classify(LakeError::Io { action: "create", path: "x".into(), source: kind.into() })
    }

    #[test]
    fn a_full_disk_is_waited_for_and_a_missing_right_raises_the_alarm() {
        assert!(matches!(failure(io::ErrorKind::StorageFull), SinkError::Transient { .. }));
        assert!(matches!(failure(io::ErrorKind::QuotaExceeded), SinkError::Transient { .. }));
        assert!(matches!(failure(io::ErrorKind::PermissionDenied), SinkError::Blocked { .. }));
        let error = failure(io::ErrorKind::CrossesDevices).to_string();
        assert!(error.starts_with("cannot create `x`: ") && error.contains("one file system"), "{error}");
    }
}

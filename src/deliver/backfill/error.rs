//! Why a backfill cannot run.

use std::{
    io,
    path::{Path, PathBuf},
};

use parquet::errors::ParquetError;

use super::{READ, progress::FAILED};
use crate::{
    deliver::{delivery::StartError, sinks::bigquery::SetupError, spool::SpoolFull},
    schema::arrow::OtherType,
};

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
    pub(super) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> BackfillError {
        move |source| BackfillError::Io { action, path: path.to_owned(), source }
    }
}

//! Why rows are refused, and why a spool cannot be opened.

use std::{io, path::PathBuf};

/// Why rows were refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SpoolFull {
    /// It holds as much as it may: the sinks are behind.
    #[error("the spool has reached its size")]
    Size,
    /// Too much waits for the disk.
    #[error("the spool's disk does not keep up")]
    Busy,
    /// The disk is full, or fails.
    #[error("the spool's disk takes no more")]
    Disk,
    /// An event larger than a record may be. Limits of collection are far below.
    #[error("an event is larger than a record of the spool may be")]
    TooLarge,
    /// The process is shutting down.
    #[error("the spool is closed")]
    Closed,
}

/// Why the spool could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum SpoolError {
    /// Two processes must not write to one spool.
    #[error(
        "spool `{0}` is in use by another process, hint: stop it, or give this one its own `writers.spool.directory` and `writers.local.directory`"
    )]
    InUse(PathBuf),
    /// Older binaries must not guess at newer files.
    #[error(
        "spool segment `{name}` has format {version}, hint: a newer release wrote it, let that one empty the spool"
    )]
    Newer {
        /// The file.
        name: String,
        /// Its format.
        version: u32,
    },
    /// The directory cannot be used.
    #[error("cannot {action} `{what}` of the spool: {source}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// With what.
        what: String,
        /// Cause.
        source: io::Error,
    },
}

impl SpoolError {
    pub(super) fn io(action: &'static str, what: &str) -> impl Fn(io::Error) -> SpoolError {
        move |source| SpoolError::Io { action, what: what.to_owned(), source }
    }
}

//! One destination, seen from its courier.

use std::{borrow::Cow, error::Error, time::Duration};

use async_trait::async_trait;

use crate::schema::{Date, Row};

/// Place of a row in the spool: 0 for the first row ever appended, never reused while the spool lives.
pub type Position = u64;

/// A row and its place in the spool.
#[derive(Clone, Debug)]
pub struct Spooled {
    /// Place in the spool. Positions of one sink's batches only grow.
    pub position: Position,
    /// The finished event.
    pub row: Row,
}

/// Rows bound for one sink: all of one day, in spool order.
///
/// The positions may have gaps, where rows of other days lie.
#[derive(Clone, Debug)]
pub struct Batch {
    /// Day of every row.
    pub date: Date,
    /// The rows; never empty.
    pub rows: Vec<Spooled>,
}

impl Batch {
    /// Sum of the encoded rows, in bytes.
    pub fn size(&self) -> usize {
        self.rows.iter().map(|spooled| spooled.row.bytes().len()).sum()
    }

    /// Two batches in its place, in the order of the rows.
    pub fn halves(mut self) -> (Batch, Batch) {
        let second = self.rows.split_off(self.rows.len() / 2);
        let date = self.date;
        (self, Batch { date, rows: second })
    }
}

/// How a sink wants its batches.
#[derive(Clone, Copy, Debug)]
pub struct BatchLimits {
    /// Most rows in one batch.
    pub rows: usize,
    /// Most bytes of encoded rows in one batch; a single larger row still travels, alone.
    pub bytes: usize,
    /// Longest time a row waits for others before its batch goes.
    pub linger: Duration,
    /// Most batches in flight together, 1 or more. Writes of several begin in the order of their rows and each gets as
    /// far as its first wait before the next begins.
    pub window: usize,
}

/// The batch reached the destination, but for these rows, by index in the batch, which it will never take.
#[derive(Debug, Default)]
pub struct Written {
    /// Index and the destination's words.
    pub rejected: Vec<(usize, String)>,
}

/// Cause of a sink's failure.
pub type BoxError = Box<dyn Error + Send + Sync>;

/// Why a batch was not written.
#[derive(Debug, thiserror::Error)]
pub enum SinkError {
    /// Will pass by itself: the courier tries again with back-off.
    #[error("{source}")]
    Transient {
        /// Cause.
        source: BoxError,
        /// The destination's own wish for the pause.
        retry_after: Option<Duration>,
    },
    /// The destination asks for less: like `Transient`, and fewer batches are in flight for a while.
    #[error("{source}")]
    Throttled {
        /// Cause.
        source: BoxError,
        /// The destination's own wish for the pause.
        retry_after: Option<Duration>,
    },
    /// Will not work until someone acts: the courier holds the batch, raises an alarm and probes.
    #[error("{source} ({hint})")]
    Blocked {
        /// Cause.
        source: BoxError,
        /// What to do about it.
        hint: Cow<'static, str>,
    },
    /// The destination refuses the batch as it is: the courier splits it until the culprits stand alone.
    #[error("{source}")]
    Refused {
        /// Cause.
        source: BoxError,
    },
    /// The batch is more than a request can hold: the courier splits it, too.
    #[error("{source}")]
    TooLarge {
        /// Cause.
        source: BoxError,
    },
}

/// One destination. It writes batches; it does not route, retry, buffer, count or decide.
#[async_trait]
pub trait Sink: Send + Sync {
    /// Name in metrics, logs, cursors and dead letters.
    fn name(&self) -> &'static str;

    /// How batches are cut for it.
    fn limits(&self) -> BatchLimits;

    /// Creates what is missing at the destination and checks the rest. Called before the first write, and again after
    /// a failure, until it succeeds.
    async fn prepare(&self) -> Result<(), SinkError> {
        Ok(())
    }

    /// Everything below was written or set aside, and will not come again but after a crash. Called at the start, with
    /// where the spool begins for this sink, and whenever it is further.
    fn committed(&self, _below: Position) {}

    /// Writes one batch. After a crash the same rows may come again, in other batches, from the last committed
    /// position on.
    async fn write(&self, batch: &Batch) -> Result<Written, SinkError>;
}

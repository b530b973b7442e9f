//! One table that is written to: its stream, and the row type that the table takes.

use std::{
    collections::HashSet,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use arc_swap::ArcSwapOption;
use bytes::Bytes;
use parking_lot::Mutex;
use tokio::time::Instant;

use super::{
    committed::Committed,
    ensure::Registrar,
    lanes::Lanes,
    suspicion::{Blame, Suspicion},
    verdict::{self, Verdict},
};
use crate::{
    deliver::{Position, sink::SinkError, sinks::doubt::Doubt},
    gcp::{
        Failure,
        bigquery::{TableName, paths},
        write::{self, AppendError, Target, Timing, WriterSchema},
    },
    schema::{Row, descriptor, narrow::Narrow, wire::WireError},
};

/// A new table may be unknown to the Write API for some minutes; longer means that something is wrong.
const UNKNOWN_FOR: Duration = Duration::from_secs(600);

/// See the module.
pub struct Table {
    name: TableName,
    target: Target,
    rows: Rows,
    registrar: Arc<Registrar>,
    /// How rows are written; `None` until the table was looked at, and again when it has to be.
    writer: ArcSwapOption<Writer>,
    /// The last writer, kept so that an unchanged table goes on with the same stream. Locked while the table is looked at.
    last: tokio::sync::Mutex<Option<Arc<Writer>>>,
    /// The Write API knows fewer columns than the tables API told: it is asked, too, from now on.
    behind: AtomicBool,
    doubt: Doubt,
    suspicion: Suspicion,
    /// Since when the Write API does not know the table.
    unknown: Mutex<Option<Instant>>,
}

/// How rows get into the table.
enum Rows {
    AtLeastOnce(Lanes),
    ExactlyOnce(Committed),
}

/// Where it is written down what was sent, for a table that takes each row once.
#[derive(Clone, Debug)]
pub struct Ledger {
    /// The file.
    pub path: PathBuf,
    /// The spool whose positions stand in it.
    pub spool: u64,
}

/// How rows are written.
pub struct Writer {
    /// What the server is told.
    pub schema: Arc<WriterSchema>,
    /// What the table lacks.
    narrow: Option<Narrow>,
}

impl Writer {
    fn new(narrow: Option<Narrow>) -> Writer {
        let descriptor = narrow.as_ref().map_or_else(descriptor::self_contained, Narrow::descriptor);
        Writer { schema: Arc::new(WriterSchema::new(descriptor)), narrow }
    }

    /// The row as the table takes it: as it is, unless the table lacks columns.
    pub fn row(&self, row: &Row) -> Result<Bytes, WireError> {
        match &self.narrow {
            None => Ok(row.to_bytes()),
            Some(narrow) => narrow.row(row.bytes()),
        }
    }
}

impl Table {
    /// Each row once with a `ledger`, at least once without.
    pub fn new(
        name: TableName,
        target: Target,
        timing: Timing,
        registrar: Arc<Registrar>,
        ledger: Option<Ledger>,
    ) -> Table {
        let rows = match ledger {
            None => Rows::AtLeastOnce(Lanes::new(target.clone(), timing)),
            Some(Ledger { path, spool }) => Rows::ExactlyOnce(Committed::new(target.clone(), timing, &path, spool)),
        };
        Table {
            rows,
            name,
            target,
            registrar,
            writer: ArcSwapOption::empty(),
            last: tokio::sync::Mutex::default(),
            behind: AtomicBool::new(false),
            doubt: Doubt::new(),
            suspicion: Suspicion::default(),
            unknown: Mutex::default(),
        }
    }

    pub fn target(&self) -> &Target {
        &self.target
    }

    /// How rows are written now; looks at the table, and mends it, when nobody has.
    pub async fn writer(&self) -> Result<Arc<Writer>, SinkError> {
        if let Some(writer) = self.writer.load_full() {
            return Ok(writer);
        }
        let mut last = self.last.lock().await;
        if let Some(writer) = self.writer.load_full() {
            return Ok(writer);
        }
        let mut columns = self.registrar.ensure(&self.name).await?;
        if self.behind.load(Ordering::Relaxed) {
            columns = self.known_to_the_write_api(columns).await;
        }
        Ok(self.take_up(&mut last, &columns))
    }

    /// Of these columns, the ones that the Write API knows by now. When it does not say, all of them.
    async fn known_to_the_write_api(&self, columns: HashSet<String>) -> HashSet<String> {
        match write::describe(&self.target).await {
            Ok(stream) => match stream.table_schema {
                Some(schema) => &columns & &paths(&schema.fields),
                None => columns,
            },
            Err(error) => {
                tracing::debug!(table = %self.name, %error, "the stream cannot be described");
                columns
            }
        }
    }

    fn take_up(&self, last: &mut Option<Arc<Writer>>, columns: &HashSet<String>) -> Arc<Writer> {
        let narrow = Narrow::to(columns);
        let writer = match last.take() {
            Some(writer) if writer.narrow == narrow => writer,
            before => {
                if narrow.is_some() {
                    tracing::warn!(table = %self.name, "the table lacks columns, rows are written without them");
                } else if before.is_some() {
                    tracing::info!(table = %self.name, "the table has all columns now");
                }
                Arc::new(Writer::new(narrow))
            }
        };
        *last = Some(writer.clone());
        self.writer.store(Some(writer.clone()));
        writer
    }

    /// Appends rows that `writer` has made, from these positions of the spool. Queued before the first wait.
    pub async fn append(
        &self,
        writer: &Writer,
        rows: Vec<Bytes>,
        positions: impl Iterator<Item = Position>,
    ) -> Result<(), AppendError> {
        let schema = writer.schema.clone();
        let appended = match &self.rows {
            Rows::AtLeastOnce(lanes) => lanes.append(schema, rows).await?,
            Rows::ExactlyOnce(committed) => committed.append(schema, rows, positions.collect()).await?,
        };
        *self.unknown.lock() = None;
        if let Some(schema) = appended.updated_schema {
            let mut last = self.last.lock().await;
            self.take_up(&mut last, &paths(&schema.fields));
        }
        Ok(())
    }

    /// The batch that begins at this position was taken.
    pub fn taken(&self, first: Position) {
        self.doubt.taken();
        self.suspicion.taken(first);
    }

    /// All rows of the batch that begins at `first` were refused in the same words: an error when that may be the
    /// table's fault, though it looks as it should.
    pub fn blame(&self, first: Position, rows: usize, words: &str) -> Result<(), SinkError> {
        if rows == 1 && self.doubt.is_at_fault() {
            return Ok(());
        }
        let source = format!("all {rows} rows of a request to `{}` are refused alike: {words}", self.name).into();
        match self.suspicion.blame(first, words) {
            Blame::Rows => Ok(()),
            Blame::Open => Err(SinkError::Transient { source, retry_after: None }),
            Blame::Table => {
                self.writer.store(None);
                Err(SinkError::Blocked { source, hint: verdict::NOT_THE_ROW.into() })
            }
        }
    }

    /// Every row below is in the table or a dead letter.
    pub fn settled_below(&self, position: Position) {
        if let Rows::ExactlyOnce(committed) = &self.rows {
            committed.settled_below(position);
        }
    }

    /// Looks at the table again: an error when it is not what it was.
    pub async fn check_again(&self) -> Result<(), SinkError> {
        self.registrar.ensure(&self.name).await.map(|_| ())
    }

    /// What a failure of so many rows means for the batch, and for the table.
    pub fn judge(&self, failure: Failure, rows: usize) -> SinkError {
        let verdict = verdict::of(&failure);
        match verdict {
            Verdict::UnknownTable => {
                self.writer.store(None);
                let since = *self.unknown.lock().get_or_insert_with(Instant::now);
                if since.elapsed() >= UNKNOWN_FOR {
                    return verdict::blocked(
                        &self.name,
                        failure,
                        "the table is there, and the Write API does not know it; if that stays so, ask Google's support",
                    );
                }
            }
            Verdict::ExtraFields => {
                self.behind.store(true, Ordering::Relaxed);
                self.writer.store(None);
            }
            // The table may have gone, or have been changed.
            Verdict::NoRight | Verdict::Stuck => self.writer.store(None),
            Verdict::BadRequest if rows == 1 && !self.doubt.is_at_fault() => {
                self.writer.store(None);
                return verdict::blocked(&self.name, failure, verdict::NOT_THE_ROW);
            }
            _ => {}
        }
        verdict.error(&self.name, failure)
    }
}

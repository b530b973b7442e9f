//! One table that is written to: its stream, and the row type that the table takes.

use std::{collections::HashSet, path::PathBuf, sync::Arc, time::Duration};

use arc_swap::ArcSwapOption;
use bytes::Bytes;
use parking_lot::Mutex;
use tokio::time::Instant;

use super::{
    committed::Committed,
    ensure::{Ensured, Registrar},
    lanes::Lanes,
    suspicion::{Blame, Suspicion},
    verdict::{self, Verdict},
    writer::{Writer, lacking},
};
use crate::{
    deliver::{Position, sink::SinkError, sinks::doubt::Doubt},
    gcp::{
        Failure,
        bigquery::{TableName, paths},
        write::{self, AppendError, Target, Timing},
    },
    schema::narrow::Narrow,
};

/// Pauses before the Write API is asked again whether it knows a table's columns by now. They grow with the time that has
/// gone by.
const PAUSES: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));

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
    timing: Timing,
    /// Since when the Write API knows fewer columns than the tables API told: it is asked, too, from then on.
    behind: Mutex<Option<Instant>>,
    /// Rows go without some of these: when to look again.
    look_again: Mutex<Option<Instant>>,
    /// Columns of ours that rows go without, as the log was last told.
    lost: Mutex<Vec<String>>,
    /// When the table was made, as far as that is known.
    made: Mutex<Option<Instant>>,
    judges: Arc<Judges>,
    /// Since when the Write API does not know the table.
    unknown: Mutex<Option<Instant>>,
}

/// Who is at fault when rows are refused; for the tables of all days.
pub struct Judges {
    doubt: Doubt,
    suspicion: Suspicion,
}

impl Judges {
    /// Nothing is known yet.
    pub fn new(timing: &Timing) -> Judges {
        Judges { doubt: Doubt::new(), suspicion: Suspicion::new(timing.spread / 10) }
    }
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

impl Table {
    /// Each row once with a `ledger`, at least once without.
    pub fn new(
        name: TableName,
        target: Target,
        timing: Timing,
        registrar: Arc<Registrar>,
        judges: Arc<Judges>,
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
            timing,
            behind: Mutex::default(),
            look_again: Mutex::default(),
            lost: Mutex::default(),
            made: Mutex::default(),
            judges,
            unknown: Mutex::default(),
        }
    }

    pub fn target(&self) -> &Target {
        &self.target
    }

    /// How rows are written now; looks at the table, and mends it, when nobody has.
    pub async fn writer(&self) -> Result<Arc<Writer>, SinkError> {
        if let Some(writer) = self.current() {
            return Ok(writer);
        }
        let mut last = self.last.lock().await;
        if let Some(writer) = self.current() {
            return Ok(writer);
        }
        let Ensured { columns, age } = self.registrar.ensure(&self.name).await?;
        // Who does not tell the age is asked more than once, too, about a table that we have just made.
        if let Some(age) = age {
            *self.made.lock() = Instant::now().checked_sub(age);
        }
        let known = self.known_to_the_write_api(columns).await?;
        Ok(self.take_up(&mut last, &known))
    }

    fn current(&self) -> Option<Arc<Writer>> {
        let is_due = self.look_again.lock().is_some_and(|at| at <= Instant::now());
        self.writer.load_full().filter(|_| !is_due)
    }

    /// Of these columns, the ones that the Write API knows by now; all, when it does not say. It may learn of them some
    /// minutes after the tables API, and until then this is an error: rows that went without them would lack their values
    /// for ever.
    async fn known_to_the_write_api(&self, columns: HashSet<String>) -> Result<HashSet<String>, SinkError> {
        *self.look_again.lock() = None;
        let Some(since) = *self.behind.lock() else { return Ok(columns) };
        let told = match write::describe(&self.target).await {
            Ok(stream) => stream.table_schema.map_or_else(|| columns.clone(), |schema| paths(&schema.fields)),
            Err(error) => {
                tracing::debug!(table = %self.name, %error, "the stream cannot be described");
                return Ok(columns);
            }
        };
        let known = &columns & &told;
        let unknown: Vec<_> =
            lacking(&known).into_iter().filter(|path| columns.contains(&path.to_lowercase())).collect();
        if unknown.is_empty() {
            return Ok(known);
        }
        let waited = since.elapsed();
        if waited < self.timing.spread {
            let words = format!("the Write API does not know columns of `{}` yet: {}", self.name, unknown.join(", "));
            return Err(SinkError::Transient { source: words.into(), retry_after: Some(pause(waited)) });
        }
        *self.look_again.lock() = Some(Instant::now() + self.timing.spread / 10);
        Ok(known)
    }

    fn take_up(&self, last: &mut Option<Arc<Writer>>, columns: &HashSet<String>) -> Arc<Writer> {
        let narrow = Narrow::to(columns);
        let writer = match last.take() {
            Some(writer) if writer.narrow == narrow => writer,
            _ => Arc::new(Writer::new(narrow)),
        };
        let lost = lacking(columns);
        let before = std::mem::replace(&mut *self.lost.lock(), lost.clone());
        if lost.is_empty() && !before.is_empty() {
            tracing::info!(table = %self.name, "the table has all columns now");
        } else if lost != before {
            let columns = lost.join(", ");
            tracing::warn!(table = %self.name, columns, "rows are written without these columns, whose values are lost");
        }
        *last = Some(writer.clone());
        self.writer.store(Some(writer.clone()));
        writer
    }

    /// The next request goes over another connection, unless `writer` is not the current one any more.
    pub async fn renew(&self, writer: &Arc<Writer>) {
        let mut last = self.last.lock().await;
        if last.as_ref().is_some_and(|last| Arc::ptr_eq(last, writer)) {
            *last = None;
            self.writer.store(None);
        }
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
        if self.look_again.lock().is_none() {
            *self.behind.lock() = None;
        }
        if let Some(schema) = appended.updated_schema {
            let mut last = self.last.lock().await;
            if self.take_up(&mut last, &paths(&schema.fields)).narrow.is_none() {
                *self.look_again.lock() = None;
            }
        }
        Ok(())
    }

    /// The batch that begins at this position was taken.
    pub fn taken(&self, first: Position) {
        self.judges.doubt.taken();
        self.judges.suspicion.taken(first);
    }

    /// All rows of the batch that begins at `first` were refused in the same words: an error when that may be the
    /// table's fault, though it looks as it should.
    pub fn blame(&self, first: Position, rows: usize, words: &str) -> Result<(), SinkError> {
        if rows == 1 && self.judges.doubt.is_at_fault() {
            return Ok(());
        }
        let source = format!("all {rows} rows of a request to `{}` are refused alike: {words}", self.name).into();
        match self.judges.suspicion.blame(first, words) {
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

    /// What a failure of so many rows that `writer` has made means for the batch, and for the table.
    pub async fn judge(&self, writer: &Arc<Writer>, failure: Failure, rows: usize) -> SinkError {
        let mut verdict = verdict::of(&failure);
        let is_new = self.made.lock().is_some_and(|at| at.elapsed() < self.timing.spread);
        if verdict == Verdict::NoRight && is_new {
            // Who asks for a table that was just made may be told the same as who may not know of it.
            verdict = Verdict::UnknownTable;
        }
        match verdict {
            Verdict::UnknownTable => {
                // A call to a table that was deleted never finds the one that took its place.
                self.renew(writer).await;
                let since = *self.unknown.lock().get_or_insert_with(Instant::now);
                if is_new || since.elapsed() < self.timing.spread {
                    return verdict.error(&self.name, failure);
                }
                return verdict::blocked(
                    &self.name,
                    failure,
                    "the table is there, and the Write API does not know it; if that stays so, ask Google's support",
                );
            }
            Verdict::ExtraFields => {
                self.writer.store(None);
                let waited = self.behind.lock().get_or_insert_with(Instant::now).elapsed();
                if waited < self.timing.spread || self.look_again.lock().is_some() {
                    return SinkError::Transient { source: failure.into(), retry_after: Some(pause(waited)) };
                }
                return verdict::blocked(
                    &self.name,
                    failure,
                    "the table has these columns, and the Write API does not know them; if that stays so, ask Google's support",
                );
            }
            // The table may have gone, or have been changed; what takes its place is found by another call only.
            Verdict::NoRight | Verdict::Stuck => self.renew(writer).await,
            Verdict::BadRequest if rows == 1 && !self.judges.doubt.is_at_fault() => {
                self.writer.store(None);
                return verdict::blocked(&self.name, failure, verdict::NOT_THE_ROW);
            }
            _ => {}
        }
        verdict.error(&self.name, failure)
    }
}

/// Half as long as it took until now, within bounds.
fn pause(waited: Duration) -> Duration {
    (waited / 2).clamp(PAUSES.0, PAUSES.1)
}

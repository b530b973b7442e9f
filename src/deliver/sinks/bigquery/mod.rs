//! The direct sink: rows into BigQuery by the Storage Write API, without a re-encoding.
//!
//! At least once, unless `exactly_once` is set (`committed`): a row whose answer was lost is sent again, and both carry the same `rs_info.event_id`. The order of
//! rows is kept on every connection. A request is refused as a whole for a single bad row: the bad ones become dead
//! letters and the others are sent again, as often as the service finds further ones. A table that lacks columns gets
//! them, or, where that is not allowed, rows without them.

mod blueprint;
mod committed;
mod ensure;
mod lanes;
mod suspicion;
mod table;
mod verdict;
mod writer;

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use parking_lot::Mutex;

pub use self::{
    blueprint::{Blueprint, CLUSTER_BY, MANAGED_BY, PARTITION_BY},
    committed::memory,
    ensure::{Registrar, usable},
    verdict::{MEMBER, NOT_THE_ROW, STRANGER, of_rest},
};
use self::{
    table::{Judges, Ledger, Table},
    verdict::Verdict,
};
use crate::{
    deliver::{
        config::{BigQueryConfig, TableLayout, WritersConfig},
        sink::{Batch, BatchLimits, Position, Sink, SinkError, Written},
    },
    gcp::{
        Endpoint, Tokens,
        bigquery::{TableName, Tables},
        rest::Rest,
        write::{self, AppendError, RowFault, Target, Timing},
    },
    schema::Date,
};

/// Batches of the direct sink.
///
/// 32 MiB in flight hide any distance: answered within a fifth of a second, they are 160 MB/s. They are also what memory
/// holds while nothing is answered. Half a megabyte is some five hundred rows, so that what a request costs by itself does
/// not show; the linger keeps rows below half a second from acceptance to the table.
pub const LIMITS: BatchLimits =
    BatchLimits { rows: 5_000, bytes: 512 << 10, linger: Duration::from_millis(200), window: write::MAX_IN_FLIGHT };

/// Tables that have a stream at the same time, with a table for each day. Rows come some days late, not more.
const MAX_TABLES: usize = 16;

/// Times a batch is sent again without the rows that the service named, when it names ever more. Beyond, halves of it are
/// less work.
const ROUNDS: usize = 16;

/// File in the spool's directory that says which rows were sent to which offset; with a table for each day, what the name of
/// each day's begins with.
const OFFSETS: &str = "direct.offsets";

/// Why the sink cannot be made.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct SetupError(String);

impl SetupError {
    /// Because of this.
    pub fn new(error: impl std::fmt::Display) -> SetupError {
        SetupError(error.to_string())
    }
}

/// Appends batches to the table, or to the tables of their days.
pub struct BigQuerySink {
    config: BigQueryConfig,
    project: String,
    endpoint: Endpoint,
    tokens: Tokens,
    timing: Timing,
    registrar: Arc<Registrar>,
    /// By day; with one table for all days, by day 0.
    tables: Mutex<BTreeMap<Date, Arc<Table>>>,
    judges: Arc<Judges>,
    /// For rows that come once.
    ledger: Option<Mutex<Ledger>>,
    /// Rows below are settled.
    floor: AtomicU64,
}

impl BigQuerySink {
    /// Name in metrics, logs and cursors.
    pub const NAME: &'static str = "direct";

    /// As configured. Calls nobody yet.
    pub fn new(config: &WritersConfig) -> Result<BigQuerySink, SetupError> {
        BigQuerySink::with_timing(config, Timing::default())
    }

    /// With other times than the usual ones.
    pub fn with_timing(config: &WritersConfig, timing: Timing) -> Result<BigQuerySink, SetupError> {
        let bq = config.bq.clone();
        let endpoint: Endpoint = bq.endpoint.parse().map_err(SetupError::new)?;
        let tokens = Tokens::new(&bq.auth);
        let path = config.spool.directory.join(OFFSETS);
        Ok(BigQuerySink {
            ledger: bq.exactly_once.then(|| Mutex::new(Ledger { path, spool: 0 })),
            floor: AtomicU64::new(0),
            registrar: Arc::new(registrar_with(&bq, &tokens)?),
            project: config.project_id.clone(),
            tokens: tokens_for(&endpoint, &tokens),
            endpoint,
            timing,
            config: bq,
            tables: Mutex::default(),
            judges: Arc::new(Judges::new(&timing)),
        })
    }

    /// Says which spool the rows will come from.
    pub fn fed_by(&self, spool: u64) {
        if let Some(ledger) = &self.ledger {
            ledger.lock().spool = spool;
        }
    }

    /// The table of a day.
    fn table(&self, date: Date) -> Arc<Table> {
        let sharded = self.config.table_layout == TableLayout::Sharded;
        let key = if sharded { date } else { Date(0) };
        let mut tables = self.tables.lock();
        if let Some(table) = tables.get(&key) {
            return table.clone();
        }
        if tables.len() >= MAX_TABLES {
            // The oldest day that nobody writes to: where rows come once, two must not write by one ledger.
            let unused = tables.iter().find(|(_, table)| Arc::strong_count(table) == 1).map(|(day, _)| *day);
            unused.and_then(|day| tables.remove(&day));
        }
        let table =
            if sharded { format!("{}_{}", self.config.table_id, date.compact()) } else { self.config.table_id.clone() };
        let name = TableName { project: self.project.clone(), dataset: self.config.dataset_id.clone(), table };
        let target =
            Target { endpoint: self.endpoint.clone(), tokens: self.tokens.clone(), stream: name.default_stream() };
        let mut ledger = self.ledger.as_ref().map(|ledger| ledger.lock().clone());
        if let Some(ledger) = ledger.as_mut().filter(|_| sharded) {
            ledger.path.add_extension(date.compact());
        }
        let table =
            Arc::new(Table::new(name, target, self.timing, self.registrar.clone(), self.judges.clone(), ledger));
        table.settled_below(self.floor.load(Ordering::Relaxed));
        tables.insert(key, table.clone());
        table
    }
}

/// What sees to the tables, alone.
pub fn registrar(config: &BigQueryConfig) -> Result<Registrar, SetupError> {
    registrar_with(config, &Tokens::new(&config.auth))
}

fn registrar_with(config: &BigQueryConfig, tokens: &Tokens) -> Result<Registrar, SetupError> {
    let endpoint: Endpoint = config.rest_endpoint.parse().map_err(SetupError::new)?;
    let tokens = tokens_for(&endpoint, tokens);
    let rest = Rest::new(endpoint, tokens).map_err(SetupError::new)?;
    Ok(Registrar::new(Tables::new(rest), config))
}

/// Nobody shows an emulator a token.
pub fn tokens_for(endpoint: &Endpoint, tokens: &Tokens) -> Tokens {
    if endpoint.is_plaintext() { Tokens::none() } else { tokens.clone() }
}

#[async_trait]
impl Sink for BigQuerySink {
    fn name(&self) -> &'static str {
        BigQuerySink::NAME
    }

    fn limits(&self) -> BatchLimits {
        LIMITS
    }

    async fn prepare(&self) -> Result<(), SinkError> {
        if self.config.table_layout == TableLayout::Partitioned {
            return self.table(Date(0)).writer().await.map(|_| ());
        }
        let tables: Vec<_> = self.tables.lock().values().cloned().collect();
        if tables.is_empty() {
            let name = TableName {
                project: self.project.clone(),
                dataset: self.config.dataset_id.clone(),
                table: self.config.table_id.clone(),
            };
            return self.registrar.ensure_dataset(&name).await;
        }
        for table in tables {
            table.writer().await?;
        }
        Ok(())
    }

    fn committed(&self, below: Position) {
        if self.ledger.is_some() {
            self.floor.store(below, Ordering::Relaxed);
            self.tables.lock().values().for_each(|table| table.settled_below(below));
        }
    }

    async fn write(&self, batch: &Batch) -> Result<Written, SinkError> {
        let table = self.table(batch.date);
        let mut written = Written::default();
        let mut renewed = false;
        // Those in the batch that are still to be written.
        let mut indexes: Vec<usize> = (0..batch.rows.len()).collect();
        let first = batch.rows.first().map_or(0, |spooled| spooled.position);
        for _ in 0..ROUNDS {
            let writer = table.writer().await?;
            let mut encoded = Vec::with_capacity(indexes.len());
            indexes.retain(|&index| match writer.row(&batch.rows[index].row) {
                Ok(bytes) => {
                    encoded.push(bytes);
                    true
                }
                Err(error) => {
                    written.rejected.push((index, format!("the row is damaged: {error}")));
                    false
                }
            });
            if encoded.is_empty() {
                return Ok(written);
            }
            let size = write::request_len(table.target(), &writer.schema, &encoded);
            if size > write::MAX_REQUEST {
                let words = format!("a request of {size} bytes is more than the {} that may be", write::MAX_REQUEST);
                return Err(SinkError::TooLarge { source: words.into() });
            }
            let positions = indexes.iter().map(|index| batch.rows[*index].position);
            let outcome = table.append(&writer, encoded, positions).await;
            let faults = match outcome {
                Ok(()) => {
                    table.taken(first);
                    return Ok(written);
                }
                Err(AppendError::Rows(faults)) => faults,
                // One call's word is not enough to give a row up: what a connection refuses that is not well, another takes.
                Err(AppendError::Failed(failure))
                    if indexes.len() == 1 && !renewed && verdict::of(&failure) == Verdict::BadRequest =>
                {
                    tracing::debug!(%failure, "a row is refused, and sent once more over another connection");
                    renewed = true;
                    table.renew(&writer).await;
                    continue;
                }
                Err(AppendError::Failed(failure)) => return Err(table.judge(&writer, failure, indexes.len()).await),
            };
            let mut culprits = culprits(&faults, indexes.len());
            if culprits.is_empty() {
                // The list is of no use: halving the batch finds them.
                let words = faults.into_iter().next().map(|fault| fault.message).unwrap_or_default();
                return Err(SinkError::Refused { source: words.into() });
            }
            if culprits.len() == indexes.len() {
                // Perhaps nothing is wrong with the rows, and somebody has changed the table.
                table.check_again().await?;
                if let Some(words) = the_same_words(&culprits) {
                    table.blame(first, culprits.len(), words)?;
                }
            }
            let mut sent = 0..;
            indexes.retain(|&index| match sent.next().and_then(|position| culprits.remove(&position)) {
                Some(message) => {
                    written.rejected.push((index, message));
                    false
                }
                None => true,
            });
        }
        Err(SinkError::Refused { source: "ever more of the rows are refused".into() })
    }
}

/// The rows the server names, by position in the request. None when it names one that was not sent: then the numbers
/// mean something else, and no row may be dropped on their account.
fn culprits(faults: &[RowFault], sent: usize) -> BTreeMap<usize, String> {
    let mut culprits = BTreeMap::new();
    for fault in faults {
        match usize::try_from(fault.index) {
            Ok(index) if index < sent => culprits.entry(index).or_insert_with(|| fault.message.clone()),
            _ => return BTreeMap::new(),
        };
    }
    culprits
}

/// What all rows are refused with, when it is one and the same.
fn the_same_words(culprits: &BTreeMap<usize, String>) -> Option<&str> {
    let (_, words) = culprits.first_key_value()?;
    culprits.values().all(|other| other == words).then_some(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(indices: &[i64]) -> Vec<RowFault> {
        indices.iter().map(|&index| RowFault { index, message: format!("m{index}") }).collect()
    }

    #[test]
    fn only_rows_that_were_sent_are_culprits() {
        assert_eq!(culprits(&faults(&[3, 0, 3]), 4).into_keys().collect::<Vec<_>>(), [0, 3]);
        for nonsense in [&[4][..], &[0, -1], &[]] {
            assert!(culprits(&faults(nonsense), 4).is_empty(), "{nonsense:?}");
        }
    }
}

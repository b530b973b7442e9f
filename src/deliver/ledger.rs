//! The books: where every event is. For each sink and stream, whenever nothing is on the move,
//!
//! ```text
//! received + recovered = delivered + dropped + dead-lettered + in spool
//! ```
//!
//! `received` counts what this process accepted, `recovered` what it found in the spool at start. Rows replayed from
//! dead letters are put into the spool while the server is stopped, so the next start finds them there: they count as
//! recovered. An append that is refused counts nowhere, since the client was told so. The books are the metrics
//! themselves; this file only moves figures between them, so that no other code can do half a booking.

use std::{collections::HashMap, sync::Arc};

use foldhash::fast::RandomState;
use parking_lot::{Mutex, RwLock};
use prometheus_client::metrics::{counter::Counter, gauge::Gauge};

use super::sink::Spooled;
use crate::{
    schema::{Row, StreamId},
    telemetry::{
        Metrics,
        metrics::{BySinkStream, BySinkStreamReason, ByStream, ByStreamReason},
    },
};

/// Stream of rows whose stream is not known.
const OTHER: &str = "other";

/// Books every event of one process.
pub struct Ledger {
    metrics: Arc<Metrics>,
    sinks: Vec<&'static str>,
    /// One account per label value, so their number is bounded like the label's.
    accounts: RwLock<HashMap<Arc<str>, Arc<Account>, RandomState>>,
}

/// The figures of one stream.
struct Account {
    received: Counter,
    dropped: Mutex<HashMap<&'static str, Counter>>,
    /// In the order of the ledger's sinks.
    sinks: Vec<SinkAccount>,
}

/// The figures of one stream at one sink.
struct SinkAccount {
    recovered: Counter,
    delivered: Counter,
    in_spool: Gauge,
    dead_lettered: Mutex<HashMap<&'static str, Counter>>,
}

/// The figures of one stream at one sink, at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Balance {
    /// The sink.
    pub sink: &'static str,
    /// The stream, as in the metrics.
    pub stream: Arc<str>,
    /// Accepted by this process, dropped ones included.
    pub received: u64,
    /// Found in the spool at start.
    pub recovered: u64,
    /// Taken by the sink.
    pub delivered: u64,
    /// Ended before the spool.
    pub dropped: u64,
    /// Set aside.
    pub dead_lettered: u64,
    /// Waiting.
    pub in_spool: i64,
}

impl Balance {
    /// Whether every event is somewhere, once.
    pub fn holds(&self) -> bool {
        let came = i128::from(self.received) + i128::from(self.recovered);
        let went = i128::from(self.delivered) + i128::from(self.dropped) + i128::from(self.dead_lettered);
        came == went + i128::from(self.in_spool)
    }
}

/// The books do not balance. Between bookings that is normal for an instant; when all is quiet it is a bug.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Imbalance {
    /// Some events are nowhere, or twice.
    #[error("the books of a stream do not balance: {0:?}")]
    Stream(Balance),
    /// The spool holds another number of rows than the books say.
    #[error("sink `{sink}` has {spool} rows to come from the spool, {books} by the books")]
    Spool {
        /// The sink.
        sink: &'static str,
        /// By the books.
        books: i64,
        /// By the spool.
        spool: u64,
    },
}

impl Ledger {
    /// Empty books for `sinks`.
    pub fn new(metrics: Arc<Metrics>, sinks: Vec<&'static str>) -> Ledger {
        Ledger { metrics, sinks, accounts: RwLock::default() }
    }

    /// Rows found in the spool at start, for one sink.
    pub fn recovered(&self, sink: &'static str, stream: &str, rows: u64) {
        self.at(sink, stream, |account| {
            account.recovered.inc_by(rows);
            account.in_spool.inc_by(rows as i64);
        });
    }

    /// Rows on their way into the spool. Booked first, so that a quick courier cannot take out what is not yet in.
    pub fn appending(&self, rows: &[Row]) -> Entry {
        let mut entry = Entry(Vec::with_capacity(1));
        for same in rows.chunk_by(|a, b| a.stream == b.stream) {
            let account = self.account(&same[0].stream);
            account.sinks.iter().for_each(|sink| {
                sink.in_spool.inc_by(same.len() as i64);
            });
            entry.0.push((account, same.len() as u64));
        }
        entry
    }

    /// Events that end before the spool; they were received all the same.
    pub fn dropped(&self, stream: &StreamId, reason: &'static str, events: u64) {
        let account = self.account(stream);
        account.received.inc_by(events);
        let mut dropped = account.dropped.lock();
        let counter = dropped.entry(reason).or_insert_with(|| {
            let stream = self.metrics.stream(stream);
            self.metrics.events_dropped.get_or_create(&ByStreamReason { stream, reason }).clone()
        });
        counter.inc_by(events);
    }

    /// Rows a sink has taken. Returns how many.
    pub fn delivered<'a>(&self, sink: &'static str, rows: impl Iterator<Item = &'a Spooled>) -> u64 {
        let mut streams: Vec<(&StreamId, u64)> = Vec::new();
        for Spooled { row, .. } in rows {
            match streams.iter_mut().find(|(stream, _)| **stream == row.stream) {
                Some((_, count)) => *count += 1,
                None => streams.push((&row.stream, 1)),
            }
        }
        let total = streams.iter().map(|(_, count)| count).sum();
        for (stream, count) in streams {
            self.at(sink, stream, |account| {
                account.delivered.inc_by(count);
                account.in_spool.dec_by(count as i64);
            });
        }
        total
    }

    /// A row a sink will never take.
    pub fn dead_lettered(&self, sink: &'static str, stream: &StreamId, reason: &'static str) {
        self.at(sink, stream, |account| {
            let mut dead_lettered = account.dead_lettered.lock();
            let counter = dead_lettered.entry(reason).or_insert_with(|| {
                let label = BySinkStreamReason { sink, stream: self.metrics.stream(stream), reason };
                self.metrics.events_dead_lettered.get_or_create(&label).clone()
            });
            counter.inc();
            account.in_spool.dec();
        });
    }

    /// Rows that the spool lost after they were booked: damaged on disk, found when they were read. Their streams are
    /// not known any more, so the books of some stream stay wrong by them; `spool_damaged` says by how many.
    pub fn lost(&self, sink: &'static str, rows: u64) {
        self.metrics.spool_damaged.inc_by(rows);
        self.at(sink, OTHER, |account| {
            account.in_spool.dec_by(rows as i64);
        });
    }

    /// Every stream at every sink.
    pub fn balances(&self) -> Vec<Balance> {
        let accounts = self.accounts.read();
        let balances = accounts.iter().flat_map(|(stream, account)| {
            let sum = |counters: &Mutex<HashMap<_, Counter>>| counters.lock().values().map(Counter::get).sum();
            self.sinks.iter().zip(&account.sinks).map(move |(sink, figures)| Balance {
                sink,
                stream: stream.clone(),
                received: account.received.get(),
                recovered: figures.recovered.get(),
                delivered: figures.delivered.get(),
                dropped: sum(&account.dropped),
                dead_lettered: sum(&figures.dead_lettered),
                in_spool: figures.in_spool.get(),
            })
        });
        balances.collect()
    }

    /// Whether every event is somewhere, once, and the spool agrees. `pending` is what the spool says about a sink.
    /// Meaningful when nothing is on the move.
    pub fn check(&self, pending: impl Fn(&'static str) -> u64) -> Result<(), Imbalance> {
        let balances = self.balances();
        if let Some(balance) = balances.iter().find(|balance| !balance.holds()) {
            return Err(Imbalance::Stream(balance.clone()));
        }
        for &sink in &self.sinks {
            let books = balances.iter().filter(|balance| balance.sink == sink).map(|balance| balance.in_spool).sum();
            let spool = pending(sink);
            if i128::from(spool) != i128::from(books) {
                return Err(Imbalance::Spool { sink, books, spool });
            }
        }
        Ok(())
    }

    fn at(&self, sink: &'static str, stream: &str, book: impl FnOnce(&SinkAccount)) {
        let account = self.account(stream);
        if let Some(index) = self.sinks.iter().position(|known| *known == sink) {
            book(&account.sinks[index]);
        }
    }

    fn account(&self, stream: &str) -> Arc<Account> {
        let stream = self.metrics.stream(stream);
        if let Some(account) = self.accounts.read().get(&stream) {
            return account.clone();
        }
        let mut accounts = self.accounts.write();
        accounts.entry(stream.clone()).or_insert_with(|| Arc::new(self.open(stream))).clone()
    }

    fn open(&self, stream: Arc<str>) -> Account {
        let sinks = self.sinks.iter().map(|&sink| {
            let label = BySinkStream { sink, stream: stream.clone() };
            SinkAccount {
                recovered: self.metrics.events_recovered.get_or_create(&label).clone(),
                delivered: self.metrics.events_delivered.get_or_create(&label).clone(),
                in_spool: self.metrics.events_in_spool.get_or_create(&label).clone(),
                dead_lettered: Mutex::default(),
            }
        });
        Account {
            sinks: sinks.collect(),
            received: self.metrics.events_received.get_or_create(&ByStream { stream }).clone(),
            dropped: Mutex::default(),
        }
    }
}

/// Rows on their way into the spool: completed by exactly one of its methods.
#[must_use]
pub struct Entry(Vec<(Arc<Account>, u64)>);

impl Entry {
    /// The spool holds them.
    pub fn appended(self) {
        for (account, rows) in self.0 {
            account.received.inc_by(rows);
        }
    }

    /// The spool refused them, and the client was told.
    pub fn refused(self) {
        for (account, rows) in self.0 {
            account.sinks.iter().for_each(|sink| {
                sink.in_spool.dec_by(rows as i64);
            });
        }
    }
}

#[cfg(test)]
mod tests {

    use super::*;
    use crate::schema::Date;

    fn row(stream: &str) -> Row {
        Row::from_parts(Date(1), stream.into(), "id", b"")
    }

    fn spooled(stream: &str) -> Spooled {
        Spooled { position: 0, row: row(stream) }
    }

    #[test]
    fn every_way_of_an_event_balances() {
        let metrics = Arc::new(Metrics::new());
        let ledger = Ledger::new(metrics.clone(), vec!["local"]);
        ledger.recovered("local", "a", 2);
        ledger.appending(&[row("a"), row("a"), row("b")]).appended();
        ledger.dropped(&"a".into(), "invalid", 1);
        ledger.appending(&[row("a")]).refused();
        assert_eq!(ledger.check(|_| 5), Ok(()));

        ledger.delivered("local", [spooled("a"), spooled("b"), spooled("a")].iter());
        ledger.dead_lettered("local", &"a".into(), "refused");
        assert_eq!(ledger.check(|_| 1), Ok(()));
        assert_eq!(ledger.check(|_| 2), Err(Imbalance::Spool { sink: "local", books: 1, spool: 2 }));

        let text = metrics.encode();
        for line in [
            r#"events_received_total{stream="a"} 3"#,
            r#"events_dropped_total{stream="a",reason="invalid"} 1"#,
            r#"events_delivered_total{sink="local",stream="b"} 1"#,
            r#"events_dead_lettered_total{sink="local",stream="a",reason="refused"} 1"#,
            r#"events_in_spool{sink="local",stream="a"} 1"#,
        ] {
            assert!(text.contains(line), "{line} is not in\n{text}");
        }
    }

    #[test]
    fn a_missing_event_is_found() {
        let ledger = Ledger::new(Arc::new(Metrics::new()), vec!["local"]);
        ledger.appending(&[row("a")]).appended();
        ledger.delivered("local", [spooled("a"), spooled("a")].iter());
        ledger.account("a").sinks[0].in_spool.set(0);
        assert!(matches!(ledger.check(|_| 0), Err(Imbalance::Stream(balance)) if balance.delivered == 2));
    }
}

//! The books of a process as its operator sees them: read from `/metrics`, held against themselves and against the lake.

use std::{collections::BTreeMap, net::SocketAddr, time::Duration};

use crate::{
    client::get,
    world::{World, eventually},
};

/// Rows by stream.
pub type Counts = BTreeMap<String, i64>;

/// The figures of one stream at one sink.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Account {
    pub received: i64,
    pub recovered: i64,
    pub delivered: i64,
    pub dropped: i64,
    pub dead_lettered: i64,
    pub in_spool: i64,
}

/// Every account, by sink and stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Books(BTreeMap<(String, String), Account>);

/// Waits until the process has delivered everything, and asserts of every stream at every sink that
///
/// ```text
/// received + recovered = delivered + dropped + dead-lettered + in spool
/// ```
///
/// and that the lake agrees: of the rows it has and had not when it held `before`, the process delivered each, and
/// what it accepted itself is among them. (Recovered rows may have been in the lake already.) Nobody may send events
/// meanwhile. `before` must have been counted when no process was running.
#[track_caller]
pub fn settle(world: &World, admin: SocketAddr, before: &Counts) -> Books {
    let delivered = eventually(Duration::from_secs(60), || Books::read(admin).0.values().all(|a| a.in_spool == 0));
    // Once more: nothing moves any more, while the first page may have been written in the middle of a booking.
    let books = Books::read(admin);
    assert!(delivered, "not everything is delivered after a minute: {books:#?}");
    for (at, account) in &books.0 {
        let Account { received, recovered, delivered, dropped, dead_lettered, in_spool } = account;
        let (came, went) = (received + recovered, delivered + dropped + dead_lettered + in_spool);
        assert_eq!(came, went, "the books of {at:?} do not balance: {account:#?}");
    }
    let after = world.rows_in_lake();
    for stream in after.keys().chain(before.keys()) {
        let new = after.get(stream).unwrap_or(&0) - before.get(stream).unwrap_or(&0);
        let account = books.account("local", stream);
        let own = account.received - account.dropped - account.dead_lettered;
        assert!(
            (own..=account.delivered).contains(&new),
            "{new} rows of stream `{stream}` have come to the lake; the books say {account:#?}"
        );
    }
    let delivered: i64 = books.0.values().map(|account| account.delivered).sum();
    let known: i64 = after.keys().map(|stream| books.account("local", stream).delivered).sum();
    assert_eq!(delivered, known, "rows of streams were delivered that the lake has not: {books:#?}");
    books
}

impl Books {
    /// What `/metrics` says now.
    pub fn read(admin: SocketAddr) -> Books {
        let answer = get(admin, "/metrics").expect("the admin listener answers");
        let text = answer.text();
        let mut books = Books(BTreeMap::new());
        let mut by_stream = Vec::new();
        for line in text.lines() {
            let Some((name, labels, value)) = sample(line) else { continue };
            let label = |key: &str| labels.iter().find(|(name, _)| *name == key).map(|(_, value)| (*value).to_owned());
            let Some(stream) = label("stream") else { continue };
            match label("sink") {
                Some(sink) => *books.0.entry((sink, stream)).or_default().figure(name) += value,
                // Books are kept for each sink; what comes before the sinks stands in all of them.
                None => by_stream.push((stream, name, value)),
            }
        }
        for (stream, name, value) in by_stream {
            for (_, account) in books.0.iter_mut().filter(|((_, of), _)| *of == stream) {
                *account.figure(name) += value;
            }
        }
        books
    }

    /// One account; all zero when nothing was booked on it.
    pub fn account(&self, sink: &str, stream: &str) -> Account {
        self.0.get(&(sink.to_owned(), stream.to_owned())).cloned().unwrap_or_default()
    }
}

impl Account {
    fn figure(&mut self, name: &str) -> &mut i64 {
        match name {
            "received_total" => &mut self.received,
            "recovered_total" => &mut self.recovered,
            "delivered_total" => &mut self.delivered,
            "dropped_total" => &mut self.dropped,
            "dead_lettered_total" => &mut self.dead_lettered,
            "in_spool" => &mut self.in_spool,
            other => panic!("the books have no figure `{other}`"),
        }
    }
}

/// Name without prefix, labels and value.
type Sample<'a> = (&'a str, Vec<(&'a str, &'a str)>, i64);

/// One line about events.
fn sample(line: &str) -> Option<Sample<'_>> {
    let (name, rest) = line.strip_prefix("real_streaming_events_")?.split_once('{')?;
    let (labels, value) = rest.split_once("} ")?;
    let labels = labels.split(',').map(|label| label.split_once('=').expect("a label is `name=\"value\"`"));
    Some((name, labels.map(|(name, value)| (name, value.trim_matches('"'))).collect(), value.parse().ok()?))
}

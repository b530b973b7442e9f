//! Cuts a sink's rows into batches: one open batch per day, closed by rows, bytes or age. Pure: the time is passed in.
//!
//! Rows come in spool order and leave in spool order within a day; days overtake one another. What may be committed is
//! therefore not what was written last, but everything below the lowest row still here ([`Batcher::committed`]).

use std::{
    collections::{BTreeSet, VecDeque},
    time::Instant,
};

use super::sink::{Batch, BatchLimits, Position, Spooled};
use crate::schema::Date;

/// Days that fill at the same time. Clients may send 72 hours of past, in any time zone: five days; beyond this the
/// day that waited longest goes early.
const MAX_OPEN: usize = 8;

/// Collects rows until their batch is worth writing.
#[derive(Debug)]
pub struct Batcher {
    limits: BatchLimits,
    /// Batches that fill, the longest waiting first. Few, so a list is enough.
    open: Vec<Open>,
    /// Sum of the open batches.
    bytes: usize,
    /// Batches that are full, in the order in which they became so.
    full: VecDeque<Batch>,
    /// First positions of the batches that were taken and are not done.
    in_flight: BTreeSet<Position>,
}

#[derive(Debug)]
struct Open {
    batch: Batch,
    bytes: usize,
    since: Instant,
}

impl Batcher {
    /// Without rows.
    pub fn new(limits: BatchLimits) -> Batcher {
        Batcher { limits, open: Vec::new(), bytes: 0, full: VecDeque::new(), in_flight: BTreeSet::new() }
    }

    /// Takes rows, whose positions are above all that came before.
    pub fn push(&mut self, rows: Vec<Spooled>, now: Instant) {
        for spooled in rows {
            self.push_one(spooled, now);
        }
    }

    fn push_one(&mut self, spooled: Spooled, now: Instant) {
        let date = spooled.row.date;
        let size = spooled.row.bytes().len();
        if let Some(index) = self.index(date)
            && self.open[index].bytes + size > self.limits.bytes
        {
            self.close(index);
        }
        let index = self.index(date).unwrap_or_else(|| self.begin(date, now));
        let open = &mut self.open[index];
        open.batch.rows.push(spooled);
        open.bytes += size;
        self.bytes += size;
        if open.batch.rows.len() >= self.limits.rows || open.bytes >= self.limits.bytes {
            self.close(index);
        } else if self.bytes > self.limits.bytes {
            // Many days at once must not hold more memory than one full batch.
            self.close(0);
        }
    }

    fn index(&self, date: Date) -> Option<usize> {
        self.open.iter().position(|open| open.batch.date == date)
    }

    fn begin(&mut self, date: Date, now: Instant) -> usize {
        if self.open.len() >= MAX_OPEN {
            self.close(0);
        }
        self.open.push(Open { batch: Batch { date, rows: Vec::new() }, bytes: 0, since: now });
        self.open.len() - 1
    }

    fn close(&mut self, index: usize) {
        let open = self.open.remove(index);
        self.bytes -= open.bytes;
        self.full.push_back(open.batch);
    }

    /// When the next batch goes although it is not full; `None` while nothing waits.
    pub fn due(&self) -> Option<Instant> {
        self.since().map(|since| since + self.limits.linger)
    }

    /// Since when the batch has been open that goes next.
    pub fn since(&self) -> Option<Instant> {
        self.open.first().map(|open| open.since)
    }

    /// The next batch to write: a full one, or one that has waited long enough. It counts as pending until
    /// [`done`](Batcher::done). Two batches of one day must be written one after the other.
    pub fn take(&mut self, now: Instant) -> Option<Batch> {
        if self.full.is_empty() && self.due().is_some_and(|due| due <= now) {
            self.close(0);
        }
        let batch = self.full.pop_front()?;
        self.in_flight.insert(first(&batch));
        Some(batch)
    }

    /// Lets every open batch go at the next [`take`](Batcher::take).
    pub fn flush(&mut self) {
        while !self.open.is_empty() {
            self.close(0);
        }
    }

    /// Every row of the batch that began at `first` was written or set aside.
    pub fn done(&mut self, first: Position) {
        let known = self.in_flight.remove(&first);
        debug_assert!(known, "only a batch that was taken can be done");
    }

    /// Everything below is done, given that the spool was read up to `read`.
    pub fn committed(&self, read: Position) -> Position {
        let open = self.open.iter().map(|open| &open.batch);
        let waiting = open.chain(&self.full).map(first);
        waiting.chain(self.in_flight.first().copied()).min().unwrap_or(read).min(read)
    }

    /// Whether no row waits here. Batches in flight do not count.
    pub fn is_empty(&self) -> bool {
        self.open.is_empty() && self.full.is_empty()
    }

    /// The row that has waited longest.
    pub fn oldest(&self) -> Option<&Spooled> {
        let open = self.open.iter().map(|open| &open.batch);
        open.chain(&self.full).filter_map(|batch| batch.rows.first()).min_by_key(|spooled| spooled.position)
    }
}

fn first(batch: &Batch) -> Position {
    batch.rows.first().expect("a batch is opened for the row that goes into it").position
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;
    use crate::schema::Row;

    const LIMITS: BatchLimits = BatchLimits { rows: 4, bytes: 100, linger: Duration::from_secs(5), window: 1 };

    fn row(position: Position, day: i32, size: usize) -> Spooled {
        Spooled { position, row: Row::from_parts(Date(day), "1".into(), "id", &vec![0; size]) }
    }

    fn positions(batch: &Batch) -> Vec<Position> {
        batch.rows.iter().map(|spooled| spooled.position).collect()
    }

    #[test]
    fn a_batch_goes_when_it_has_enough_rows() {
        let now = Instant::now();
        let mut batcher = Batcher::new(LIMITS);
        batcher.push((0..6).map(|p| row(p, 1, 1)).collect(), now);
        assert_eq!(positions(&batcher.take(now).unwrap()), [0, 1, 2, 3]);
        assert!(batcher.take(now).is_none());
    }

    #[test]
    fn a_batch_goes_before_it_has_too_many_bytes() {
        let now = Instant::now();
        let mut batcher = Batcher::new(LIMITS);
        batcher.push(vec![row(0, 1, 60), row(1, 1, 60)], now);
        assert_eq!(positions(&batcher.take(now).unwrap()), [0]);
        assert!(batcher.take(now).is_none());
    }

    #[test]
    fn a_row_above_the_limit_travels_alone() {
        let now = Instant::now();
        let mut batcher = Batcher::new(LIMITS);
        batcher.push(vec![row(0, 1, 10), row(1, 1, 500), row(2, 1, 10)], now);
        assert_eq!(positions(&batcher.take(now).unwrap()), [0]);
        assert_eq!(positions(&batcher.take(now).unwrap()), [1]);
        assert!(batcher.take(now).is_none());
    }

    #[test]
    fn a_lone_row_goes_after_the_linger() {
        let now = Instant::now();
        let mut batcher = Batcher::new(LIMITS);
        batcher.push(vec![row(0, 1, 1)], now);
        assert_eq!(batcher.due(), Some(now + LIMITS.linger));
        assert!(batcher.take(now + Duration::from_secs(4)).is_none());
        assert_eq!(positions(&batcher.take(now + LIMITS.linger).unwrap()), [0]);
        assert_eq!(batcher.due(), None);
    }

    #[test]
    fn days_do_not_mix_and_nothing_pending_is_committed() {
        let now = Instant::now();
        let mut batcher = Batcher::new(LIMITS);
        batcher.push(vec![row(0, 1, 1), row(1, 2, 1), row(2, 2, 1), row(3, 2, 1), row(4, 2, 1)], now);
        let batch = batcher.take(now).unwrap();
        assert_eq!((batch.date, positions(&batch)), (Date(2), vec![1, 2, 3, 4]));
        assert_eq!(batcher.committed(5), 0);
        batcher.done(1);
        assert_eq!(batcher.committed(5), 0, "row 0 still lingers");
        batcher.flush();
        assert_eq!(positions(&batcher.take(now).unwrap()), [0]);
        assert_eq!(batcher.committed(5), 0, "row 0 is in flight");
        batcher.done(0);
        assert_eq!(batcher.committed(5), 5);
    }

    #[test]
    fn too_many_days_send_the_oldest_off() {
        let now = Instant::now();
        let mut batcher = Batcher::new(LIMITS);
        batcher.push((0..9).map(|p| row(p, p as i32, 1)).collect(), now);
        assert_eq!(positions(&batcher.take(now).unwrap()), [0]);
        assert!(batcher.take(now).is_none());
    }

    proptest! {
        /// Whatever comes: each row leaves once, in order within its day, within the limits, and the committed
        /// position never passes a row that is not done.
        #[test]
        fn nothing_is_lost_doubled_or_committed_early(
            steps in proptest::collection::vec((0i32..12, 0usize..150, 0u64..4, any::<bool>()), 1..200)
        ) {
            let mut now = Instant::now();
            let mut batcher = Batcher::new(LIMITS);
            let mut done = BTreeSet::new();
            let mut days: std::collections::HashMap<Date, Position> = Default::default();
            let total = steps.len() as u64;
            let mut write = |batcher: &mut Batcher, now, read: Position, done: &mut BTreeSet<Position>| {
                while let Some(batch) = batcher.take(now) {
                    assert!(batch.rows.len() <= LIMITS.rows);
                    assert!(batch.size() <= LIMITS.bytes || batch.rows.len() == 1);
                    for spooled in &batch.rows {
                        assert_eq!(spooled.row.date, batch.date);
                        if let Some(last) = days.insert(batch.date, spooled.position) {
                            assert!(last < spooled.position, "order within a day");
                        }
                    }
                    assert!(batcher.committed(read) <= batch.rows[0].position);
                    for spooled in &batch.rows {
                        assert!(done.insert(spooled.position), "written twice");
                    }
                    batcher.done(batch.rows[0].position);
                    assert!((0..batcher.committed(read)).all(|p| done.contains(&p)));
                }
            };
            for (position, (day, size, seconds, look)) in steps.into_iter().enumerate() {
                now += Duration::from_secs(seconds);
                batcher.push(vec![row(position as u64, day, size)], now);
                if look {
                    write(&mut batcher, now, position as u64 + 1, &mut done);
                }
            }
            batcher.flush();
            write(&mut batcher, now, total, &mut done);
            prop_assert_eq!(done.len() as u64, total);
            prop_assert_eq!(batcher.committed(total), total);
        }
    }
}

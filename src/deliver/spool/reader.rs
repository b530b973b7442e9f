//! One consumer's view of the spool: its rows in order, from memory as long as it keeps up, from files when it is behind.
//!
//! Files are read on tokio's blocking pool: a reader that is far behind asks the disk for every window, a disk may
//! take its time, and the courier's thread has other couriers to serve. One trip to the pool brings as many rows as
//! were asked for and more, so the trip does not matter.

use std::{collections::VecDeque, io, pin::pin, sync::Arc, time::Duration};

use tokio::task::JoinHandle;

use super::{
    Owner,
    files::Files,
    frame,
    log::{Group, Place, Rows},
    segment::Segment,
    walk::{Chunk, Walk},
};
use crate::deliver::{Position, Spooled};

/// How long a reader that had to wait lets rows gather: it is woken a few hundred times a second at most, instead of
/// once for every write.
const GATHER: Duration = Duration::from_millis(5);
/// Time until a file that could not be read is tried again.
const RETRY: Duration = Duration::from_secs(1);
/// Bytes of rows that one trip to the blocking pool brings at least, when so many are there: to go there and back wakes two
/// threads.
const TRIP: usize = 2 << 20;

/// Reads for one consumer. Dropping it does not commit anything.
pub struct Reader {
    owner: Arc<Owner>,
    index: usize,
    position: Position,
    /// Where the record of `position` begins, when known.
    place: Option<Place>,
    files: Option<Arc<dyn Files>>,
    /// Where reading files goes on.
    walk: Option<Walk>,
    /// A walk under way, kept here so that a dropped `next` loses nothing.
    reading: Option<JoinHandle<Looked>>,
    /// Rows a walk has found beyond what was asked for.
    found: VecDeque<Spooled>,
    skipped: u64,
    /// Rows below were looked at for `skipped`.
    looked: Position,
}

impl Reader {
    pub(super) fn new(owner: Arc<Owner>, index: usize, position: Position, files: Option<Arc<dyn Files>>) -> Reader {
        let (place, walk, reading, found) = (None, None, None, VecDeque::new());
        Reader { owner, index, position, place, files, walk, reading, found, skipped: 0, looked: position }
    }

    /// The next rows, at most `max_rows`, and at most `max_bytes` of encoded events unless the first row alone has more.
    /// Waits until there is one. Empty only when the spool is closed and everything was read.
    ///
    /// May be dropped at any time: rows that were not returned come with the next call.
    pub async fn next(&mut self, max_rows: usize, max_bytes: usize) -> Vec<Spooled> {
        let shared = self.owner.shared.clone();
        let max_rows = max_rows.max(1);
        let mut waited = false;
        loop {
            if !self.found.is_empty() {
                return self.hand_out(max_rows, max_bytes);
            }
            let mut durable = pin!(shared.durable.notified());
            durable.as_mut().enable();
            let (rows, closed) = {
                let log = shared.log.lock();
                (log.rows_from(self.position), log.closed)
            };
            match rows {
                Rows::None if closed => return Vec::new(),
                Rows::None => {
                    if let Some(walk) = &mut self.walk {
                        walk.rest();
                    }
                    durable.await;
                    waited = true;
                }
                Rows::Tail(_) if waited && !closed => {
                    tokio::time::sleep(GATHER).await;
                    waited = false;
                }
                Rows::Tail(groups) => return self.take(&groups, max_rows, max_bytes),
                Rows::File(segment) => self.look_in(segment, max_rows, max_bytes).await,
            }
        }
    }

    /// Whether further rows are there that are no longer kept in memory: a backlog, which waiting does not make cheaper.
    pub fn is_behind(&self) -> bool {
        !self.found.is_empty() || self.owner.shared.log.lock().file_from(self.position).is_some()
    }

    /// Everything below `upto` is done, and is not returned again. Written to disk within a fraction of a second; rows of a commit that a crash
    /// forestalls come again.
    pub fn commit(&mut self, mut upto: Position) {
        let shared = self.owner.shared.clone();
        let (released, done);
        {
            let mut log = shared.log.lock();
            upto = upto.min(log.end());
            let consumer = &mut log.consumers[self.index];
            if upto <= consumer.committed {
                return;
            }
            consumer.committed = upto;
            done = log.committed();
            released = log.trim();
            shared.publish(&log);
        }
        drop(released);
        shared.vigil.end(done);
        shared.keeper.wake();
        if self.position < upto {
            self.stand_at(upto);
        }
    }

    /// Position of the row that [`Reader::next`] begins with, or a later one.
    pub fn position(&self) -> Position {
        self.position
    }

    /// Goes back to `to`, to read again what was not committed; never behind what was.
    pub fn rewind(&mut self, to: Position) {
        let committed = self.owner.shared.log.lock().consumers[self.index].committed;
        self.stand_at(to.clamp(committed, self.position.max(committed)));
    }

    /// Name of the consumer.
    pub fn consumer(&self) -> &'static str {
        self.owner.shared.log.lock().consumers[self.index].name
    }

    /// Rows that had waited for this consumer when the spool was opened, or came later, and that were found damaged when
    /// they were read: they will never come.
    pub fn skipped(&self) -> u64 {
        self.skipped
    }

    /// Goes elsewhere than reading leads.
    fn stand_at(&mut self, position: Position) {
        self.move_to(position);
        self.place = None;
        self.walk = None;
        self.found.clear();
    }

    fn take(&mut self, groups: &[Arc<Group>], max_rows: usize, max_bytes: usize) -> Vec<Spooled> {
        let mut rows = Vec::new();
        let mut bytes = 0;
        let mut position = self.position;
        'groups: for group in groups {
            let from = position.max(group.first);
            let skipped = (from - group.first) as usize;
            let mut offset = group.place.offset;
            offset += group.rows[..skipped].iter().map(|row| frame::encoded_len(row) as u64).sum::<u64>();
            for (row, at) in group.rows[skipped..].iter().zip(from..) {
                bytes += row.bytes().len();
                if rows.len() == max_rows || (bytes > max_bytes && !rows.is_empty()) {
                    break 'groups;
                }
                rows.push(Spooled { position: at, row: row.clone() });
                offset += frame::encoded_len(row) as u64;
                position = at + 1;
                self.place = Some(Place { segment: group.place.segment, offset });
            }
        }
        self.walk = None;
        self.move_to(position);
        rows
    }

    /// Rows that a walk has found, from where the reader stands.
    fn hand_out(&mut self, max_rows: usize, max_bytes: usize) -> Vec<Spooled> {
        let mut rows = Vec::new();
        let mut bytes = 0;
        while let Some(next) = self.found.front() {
            bytes += next.row.bytes().len();
            if rows.len() == max_rows || (bytes > max_bytes && !rows.is_empty()) {
                break;
            }
            rows.extend(self.found.pop_front());
        }
        if let Some(last) = rows.last() {
            self.move_to(last.position + 1);
        }
        rows
    }

    /// Looks for rows in `segment`; afterwards either some are found, or the reader stands further on, or the file
    /// could not be read and some time has passed.
    async fn look_in(&mut self, segment: Segment, max_rows: usize, max_bytes: usize) {
        if self.reading.is_none() {
            let files = self.files.clone().expect("only a spool with files has segments");
            let (walk, place, key, from) = (self.walk.take(), self.place, self.owner.shared.key, self.position);
            self.reading = Some(tokio::task::spawn_blocking(move || {
                let mut walk = Walk::on(walk, &segment, from);
                let result = walk.read(&*files, &segment, place, key, max_rows, max_bytes.max(TRIP));
                Looked { from, walk, result }
            }));
        }
        let Some(reading) = &mut self.reading else { return };
        let looked = reading.await;
        self.reading = None;
        let looked = match looked {
            Ok(looked) if looked.from == self.position => looked,
            // The reader was rewound meanwhile.
            Ok(_) => return,
            Err(error) => {
                tracing::error!(%error, "reading the spool failed");
                return tokio::time::sleep(RETRY).await;
            }
        };
        match looked.result {
            Ok(chunk) => {
                self.note_lost(&chunk.lost);
                if chunk.rows.is_empty() && looked.walk.next > self.position {
                    self.move_to(looked.walk.next);
                }
                self.found = chunk.rows;
                self.walk = Some(looked.walk);
                self.place = None;
            }
            Err(error) => {
                tracing::warn!(%error, retry_in = ?RETRY, "spool segment cannot be read");
                tokio::time::sleep(RETRY).await;
            }
        }
    }

    fn note_lost(&mut self, lost: &[(Position, Position)]) {
        let mut log = self.owner.shared.log.lock();
        for &(from, to) in lost {
            let new = log.add_hole(from, to, true);
            if new > 0 {
                tracing::error!(position = from, rows = new, "spool segment is damaged, rows are lost");
            }
            // Not again after a rewind.
            self.skipped += log.lost_late(from.max(self.looked), to);
            self.looked = self.looked.max(to);
        }
    }

    fn move_to(&mut self, position: Position) {
        self.position = position;
        let released;
        {
            let mut log = self.owner.shared.log.lock();
            log.consumers[self.index].read = position;
            released = log.trim();
        }
        drop(released);
    }
}

/// What came of a walk.
struct Looked {
    /// Where the reader stood.
    from: Position,
    walk: Walk,
    result: io::Result<Chunk>,
}

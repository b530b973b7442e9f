//! The one thread that writes rows. It takes everything that waits, writes it at once, syncs once, and wakes everyone
//! who waited: the longer a sync takes, the more rows share the next one.
//!
//! // Invariant: a waiter hears `Ok` only after its rows' write and the sync behind it have both succeeded, in a file
//! whose name is durable.

use std::{io, mem, sync::Arc, thread};

use super::{
    Shared, SpoolFull,
    bell::{self, Outcome},
    files::{self, Files, Output},
    frame, keeper,
    log::{Group, Place},
    queue::{Append, Work},
    segment::{self, Segment},
};
use crate::deliver::Position;

/// Most bytes written and synced at once: bounds the buffer. More than this waiting makes several writes.
const MAX_GROUP: usize = 8 << 20;
/// A buffer that grew beyond this, for rows of rare size, is given back.
const MAX_IDLE_BUFFER: usize = 2 * MAX_GROUP;

/// The thread's state.
pub struct Writer {
    shared: Arc<Shared>,
    files: Arc<dyn Files>,
    /// The segment being written; none after a failure, until the next write begins one.
    active: Option<Active>,
    /// Position of the next row.
    next: Position,
    /// What the first segment is to say of the one before it; of later ones, the log knows.
    assured: Option<Position>,
    buffer: Vec<u8>,
}

/// A segment file, open for writing.
struct Active {
    file: Box<dyn Output>,
    first: Position,
    /// Bytes that are durable.
    len: u64,
}

impl Active {
    /// Begins a segment whose first row will be at `first`. Its name and header are durable when this returns.
    fn begin(files: &dyn Files, id: u64, first: Position, assured: Position) -> io::Result<Active> {
        let file = files::create_whole(files, &segment::name(first), &segment::header(id, first, assured))?;
        Ok(Active { file, first, len: segment::HEADER })
    }

    /// How the log sees it as long as it holds no row.
    fn describe(&self) -> Segment {
        Segment { first: self.first, end: self.first, len: self.len }
    }
}

impl Writer {
    /// Goes on after the last row in the log. `assured` is for the header of the first segment.
    pub fn new(shared: Arc<Shared>, files: Arc<dyn Files>, assured: Position) -> Writer {
        let next = shared.log.lock().end();
        Writer { shared, files, active: None, next, assured: Some(assured), buffer: Vec::new() }
    }

    /// Begins the first segment. A full disk is no reason to fail: what is in the spool can still be delivered, and
    /// that makes space.
    pub fn begin(&mut self) -> io::Result<()> {
        match self.begin_segment() {
            Err(error) if matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded) => {
                self.fail("segment cannot be created", &error);
                Ok(())
            }
            result => result,
        }
    }

    /// Works until the queue is closed and empty.
    pub fn run(mut self) {
        let _refuse = AbandonOnExit(self.shared.clone(), self.files.clone());
        let mut appends = Vec::new();
        loop {
            match self.shared.queue.take(&mut appends) {
                Work::Write => {
                    self.write(&mut appends);
                    thread::sleep(self.shared.limits.sync_pause);
                }
                Work::Roll => self.roll(),
                Work::Stop => break,
            }
        }
        self.seal();
    }

    /// Writes all of `appends`, in groups of bounded size; an append is never split.
    fn write(&mut self, appends: &mut Vec<Append>) {
        let mut waiting = mem::take(appends);
        let mut rest = waiting.drain(..).peekable();
        let mut group = Vec::new();
        while let Some(append) = rest.next() {
            let mut size = append.size;
            group.push(append);
            while let Some(next) = rest.next_if(|next| size + next.size <= MAX_GROUP) {
                size += next.size;
                group.push(next);
            }
            let result = if self.shared.queue.failed() { Err(SpoolFull::Disk) } else { self.commit(&mut group, size) };
            self.shared.queue.landed(size);
            bell::ring(group.drain(..).map(|append| append.waiter), result);
        }
        drop(rest);
        *appends = waiting;
    }

    /// Makes a group durable, or refuses it as a whole. The position after it.
    fn commit(&mut self, group: &mut [Append], size: usize) -> Outcome {
        self.make_room(size).map_err(|error| self.fail("segment cannot be created", &error))?;
        let active = self.active.as_mut().expect("`make_room` leaves a segment");
        let first = self.next;
        self.buffer.clear();
        let mut rows = Vec::with_capacity(group.iter().map(|append| append.rows.len()).sum());
        for append in group {
            for row in mem::take(&mut append.rows) {
                let preceding = rows.len() as u32;
                frame::encode(&row, first + u64::from(preceding), preceding, self.shared.key, &mut self.buffer);
                rows.push(row);
            }
        }
        debug_assert_eq!(self.buffer.len(), size);

        if let Err(error) = active.file.write_at(&self.buffer, active.len) {
            // Nothing of it was promised to anyone. Cut back, the segment is as it was, and positions can be used again:
            // should the cut-off bytes reappear after a power loss, they are the unacknowledged end of the last file.
            if active.file.set_len(active.len).is_err() {
                self.give_up_segment(rows.len() as u64);
            }
            return Err(self.fail("write failed", &error));
        }
        if let Err(error) = active.file.sync() {
            // The kernel may have dropped the pages and marked them clean: a second sync would succeed and mean nothing.
            // So nothing is ever added to this file again, and its unacknowledged positions are not given out again.
            let _ = active.file.set_len(active.len);
            self.give_up_segment(rows.len() as u64);
            return Err(self.fail("sync failed", &error));
        }
        let place = Place { segment: active.first, offset: active.len };
        active.len += size as u64;
        self.next += rows.len() as u64;

        let mut log = self.shared.log.lock();
        if let Some(segment) = log.segments.back_mut() {
            (segment.end, segment.len) = (self.next, active.len);
        }
        log.push(Group { first, rows, size, place });
        let released = log.trim();
        self.shared.publish(&log);
        drop(log);
        drop(released);
        self.shared.durable.notify_waiters();
        if self.buffer.capacity() > MAX_IDLE_BUFFER {
            self.buffer = Vec::new();
        }
        Ok(self.next)
    }

    /// Sees to it that there is a segment with room for `size` bytes. A segment takes at least one group.
    fn make_room(&mut self, size: usize) -> io::Result<()> {
        if let Some(active) = &self.active
            && (active.len == segment::HEADER || active.len + size as u64 <= self.shared.limits.segment)
        {
            return Ok(());
        }
        self.begin_segment()
    }

    /// Ends the segment being written, and begins the next. When that fails, the old one is not written to any more all
    /// the same: the new file may exist, and no file may hold rows at or above the first position of the next.
    fn begin_segment(&mut self) -> io::Result<()> {
        self.active = None;
        let assured = self.assured.unwrap_or_else(|| self.shared.log.lock().end());
        let active = Active::begin(&*self.files, self.shared.id, self.next, assured)?;
        self.assured = None;
        let mut log = self.shared.log.lock();
        log.begin_segment(active.describe());
        self.shared.publish(&log);
        drop(log);
        self.active = Some(active);
        Ok(())
    }

    /// Ends the segment being written, which every consumer is done with, so that it can be removed.
    fn roll(&mut self) {
        if self.active.as_ref().is_some_and(|active| active.len == segment::HEADER) {
            return;
        }
        if let Err(error) = self.begin_segment() {
            self.fail("segment cannot be created", &error);
        }
        self.shared.keeper.wake();
    }

    /// Leaves the segment as it is, and the next `rows` positions to whatever of the rows may be found in it.
    fn give_up_segment(&mut self, rows: u64) {
        self.active = None;
        self.next += rows;
    }

    fn fail(&self, what: &'static str, error: &io::Error) -> SpoolFull {
        if !self.shared.queue.failed() {
            tracing::error!(%error, directory = %self.shared.directory.display(), "spool {what}, events are refused");
        }
        self.shared.queue.set_failed(true);
        self.shared.keeper.wake();
        SpoolFull::Disk
    }

    /// Says on disk that all before was durable, so that damage at the end is known to be damage, and not taken for a
    /// write that a crash cut short. Of the segment before, its header says so.
    fn seal(&mut self) {
        if let Err(error) = self.try_seal() {
            tracing::warn!(%error, directory = %self.shared.directory.display(), "spool could not be sealed");
        }
    }

    fn try_seal(&mut self) -> io::Result<()> {
        self.make_room(0)?;
        let active = self.active.as_mut().expect("`make_room` leaves a segment");
        self.buffer.clear();
        frame::encode_seal(self.next, self.shared.key, &mut self.buffer);
        active.file.write_at(&self.buffer, active.len)?;
        active.file.sync()
    }
}

/// However the thread ends, nobody waits for it in vain.
struct AbandonOnExit(Arc<Shared>, Arc<dyn Files>);

impl Drop for AbandonOnExit {
    fn drop(&mut self) {
        self.0.queue.abandon();
        keeper::tidy(&self.0, &*self.1);
        self.0.finish();
    }
}

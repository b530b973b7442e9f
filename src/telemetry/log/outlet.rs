//! The way of the lines out: they are gathered in memory, and one thread writes them to standard output. The text of
//! those that tell of requests is made there.
//!
//! A line that tells of a request waits for others to go with it, a tenth of a second at most. Every other line goes at
//! once, with those before it, and whoever logs it waits until the system has it: it is there whatever becomes of the
//! process. An output that takes nothing, such as a pipe that nobody reads, keeps nobody waiting for longer than a
//! moment; what has no room in memory by then is lost, counted, and told of as soon as lines can be written again.
//!
//! Invariant: lines come out whole and in the order in which they came.

#[cfg(test)]
mod tests;

use std::{
    cell::Cell,
    fs::File,
    io::{self, Write},
    mem,
    os::fd::AsFd,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use parking_lot::{Condvar, Mutex, MutexGuard};
use prometheus_client::metrics::counter::Counter;
use tracing::{Level, Metadata};
use tracing_subscriber::fmt::MakeWriter;

use super::{
    Format,
    access::Access,
    entries::{Entries, Entry},
};

/// How long a line waits for others.
const LINGER: Duration = Duration::from_millis(100);
/// Bytes that wait for no more: some six hundred requests.
const FULL: usize = 256 << 10;
/// Bytes of lines that are made before they are written: they are still in the processor's caches then.
const CHUNK: usize = 32 << 10;
/// Bytes in memory above which lines are lost, while the output takes nothing.
const ROOM: usize = 1 << 20;
/// Room beside that for lines that tell of no request: those say what is wrong.
const RESERVE: usize = 256 << 10;
/// How long somebody waits for the output. Longer than any that works needs.
const PATIENCE: Duration = Duration::from_millis(500);
/// Bytes that a pipe takes undivided (`PIPE_BUF`, pipe(7)): two processes may write into it, while one takes over.
const UNDIVIDED: usize = 4096;
/// How long after an output that does not block was full it is asked again.
const AGAIN: Duration = Duration::from_millis(5);

/// Gathers lines and has them written.
#[derive(Clone)]
pub struct Outlet(Arc<Shared>);

struct Shared {
    format: Format,
    state: Mutex<State>,
    /// For the thread that writes: there is something to do.
    came: Condvar,
    /// For those that wait for it: something is written.
    went: Condvar,
}

#[derive(Default)]
struct State {
    /// Not taken by the thread yet.
    entries: Entries,
    /// Bytes of all entries so far.
    put: u64,
    /// Those of them whose lines are written, or given up.
    done: u64,
    /// Whether the thread is to write without waiting for more.
    is_urgent: bool,
    /// Whether the thread waits for a first line, and not for more.
    is_idle: bool,
    /// Whether somebody has waited for the output in vain, and it has not moved since.
    is_stuck: bool,
    /// Lines lost that no line has told of.
    untold: u64,
    lost: Counter,
}

/// When a line is written.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Haste {
    /// With others.
    Gathered,
    /// At once.
    AtOnce,
    /// At once, and whoever logs it waits for that.
    Awaited,
}

impl Outlet {
    /// To standard output; requests get lines in this format.
    pub fn stdout(format: Format) -> io::Result<Outlet> {
        // Not by the handle of the standard library, which looks for ends of lines and writes up to the last one.
        let out = File::from(io::stdout().as_fd().try_clone_to_owned()?);
        // Files take any number of bytes undivided.
        let piece = if out.metadata()?.is_file() { usize::MAX } else { UNDIVIDED };
        Outlet::start(format, out, piece)
    }

    /// Whole lines are written together, up to so many bytes.
    fn start(format: Format, out: impl Write + Send + 'static, piece: usize) -> io::Result<Outlet> {
        let shared = Arc::new(Shared { format, state: Mutex::default(), came: Condvar::new(), went: Condvar::new() });
        let writing = shared.clone();
        thread::Builder::new().name("log".into()).spawn(move || writing.write(out, piece))?;
        Ok(Outlet(shared))
    }

    /// Takes a request that ends now.
    pub fn access(&self, is_failure: bool, access: &Access<&str>) {
        let haste = if is_failure { Haste::AtOnce } else { Haste::Gathered };
        self.0.put(&Entry::access(is_failure, *access), haste);
    }

    /// Counts lost lines here, with those that were lost before.
    pub fn count_in(&self, lost: Counter) {
        let mut state = self.0.state.lock();
        lost.inc_by(state.lost.get());
        state.lost = lost;
    }

    /// Returns when all lines so far are written, or when the output takes nothing for a moment.
    pub fn flush(&self) {
        let mut state = self.0.state.lock();
        state.is_urgent |= !state.entries.is_empty();
        self.0.came.notify_one();
        self.0.wait(&mut state);
    }
}

thread_local! {
    /// Whether this is a thread that writes: it must not wait for itself.
    static WRITES: Cell<bool> = const { Cell::new(false) };
}

impl Shared {
    fn put(&self, entry: &Entry<&str>, haste: Haste) {
        let mut state = self.state.lock();
        let room = if haste == Haste::Gathered { ROOM } else { ROOM + RESERVE };
        let (before, more) = (state.entries.bytes(), entry.bytes());
        let after = before + more;
        // A line longer than all room goes out by itself.
        if before > 0 && after > room {
            state.lose(1);
            return;
        }
        state.entries.push(entry);
        state.put += more as u64;
        state.is_urgent |= haste != Haste::Gathered;
        if state.is_idle || state.is_urgent || (before < FULL && after >= FULL) {
            self.came.notify_one();
        }
        if haste == Haste::Awaited && !state.is_stuck && !WRITES.get() {
            self.wait(&mut state);
        }
    }

    fn wait(&self, state: &mut MutexGuard<'_, State>) {
        let (all, deadline) = (state.put, Instant::now() + PATIENCE);
        while state.done < all && !self.went.wait_until(state, deadline).timed_out() {}
        state.is_stuck |= state.done < all;
    }

    /// The thread that writes, as long as the process lives.
    fn write(&self, mut out: impl Write, piece: usize) {
        WRITES.set(true);
        let (mut batch, mut lines) = (Entries::default(), String::new());
        loop {
            self.gather(&mut batch);
            let mut lost = 0;
            let mut write = |lines: &mut String| {
                lost += write_lines(&mut out, lines.as_bytes(), piece);
                lines.clear();
                lines.shrink_to(2 * CHUNK);
            };
            for entry in batch.iter() {
                // A text takes whatever is written.
                let _ = entry.write(self.format, &mut lines);
                if lines.len() >= CHUNK {
                    write(&mut lines);
                }
            }
            write(&mut lines);
            let mut state = self.state.lock();
            state.done += batch.bytes() as u64;
            state.is_stuck = false;
            state.lose(lost);
            let untold = if lost == 0 { mem::take(&mut state.untold) } else { 0 };
            drop(state);
            self.went.notify_all();
            batch.clear(2 * FULL);
            // Only after a success: this line would be lost as well.
            if untold > 0 {
                tracing::warn!(lines = untold, "log lines are lost, standard output did not take them");
            }
        }
    }

    /// Waits for lines, and a while for more of them. The while has begun before the first one where lines come all the
    /// time: to be woken for it as well would cost as much as all the rest.
    fn gather(&self, batch: &mut Entries) {
        let mut state = self.state.lock();
        loop {
            let at_latest = Instant::now() + LINGER;
            while !state.is_urgent
                && state.entries.bytes() < FULL
                && !self.came.wait_until(&mut state, at_latest).timed_out()
            {}
            if !state.entries.is_empty() {
                break;
            }
            state.is_idle = true;
            while state.entries.is_empty() {
                self.came.wait(&mut state);
            }
            state.is_idle = false;
        }
        state.is_urgent = false;
        mem::swap(batch, &mut state.entries);
    }
}

impl State {
    fn lose(&mut self, lines: u64) {
        self.untold += lines;
        self.lost.inc_by(lines);
    }
}

/// How many lines were not written, at least in part.
fn write_lines(out: &mut impl Write, mut lines: &[u8], most: usize) -> u64 {
    while !lines.is_empty() {
        let (piece, rest) = lines.split_at(piece(lines, most));
        if write_all(out, piece).is_err() {
            break;
        }
        lines = rest;
    }
    lines.iter().filter(|byte| **byte == b'\n').count() as u64
}

/// Length of as many whole lines as are not longer than this together, or of one that is.
fn piece(lines: &[u8], most: usize) -> usize {
    if lines.len() <= most {
        return lines.len();
    }
    let is_end = |byte: &u8| *byte == b'\n';
    let last = lines[..most].iter().rposition(is_end).or_else(|| lines.iter().position(is_end));
    last.map_or(lines.len(), |end| end + 1)
}

/// As the trait's own, but waits for an output that does not block.
fn write_all(out: &mut impl Write, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match out.write(bytes) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => bytes = &bytes[written..],
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => thread::sleep(AGAIN),
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

impl<'w> MakeWriter<'w> for Outlet {
    type Writer = Pen<'w>;

    fn make_writer(&'w self) -> Pen<'w> {
        Pen { shared: &self.0, haste: Haste::Awaited }
    }

    fn make_writer_for(&'w self, metadata: &Metadata<'_>) -> Pen<'w> {
        // Of the others there are too many at times for somebody to wait for each.
        let haste = if *metadata.level() <= Level::INFO { Haste::Awaited } else { Haste::AtOnce };
        Pen { shared: &self.0, haste }
    }
}

/// Takes one line, whole.
pub struct Pen<'w> {
    shared: &'w Shared,
    haste: Haste,
}

impl Write for Pen<'_> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.shared.put(&Entry::Line(&String::from_utf8_lossy(line)), self.haste);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

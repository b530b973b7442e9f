//! The thread that merges small files, in the time that nobody else wants.
//!
//! It runs at the lowest priority, one merge at a time, makes way for writers every few thousand rows, and rests after
//! each merge so that it takes no more than a share of one core.

use std::{
    collections::{BTreeSet, HashSet},
    io,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant, SystemTime},
};

use super::{FileName, Lake, LakeError, Merged, merge, policy, step, swap};
use crate::schema::Date;

/// How often to look for merges. Files come every few seconds at most.
const INTERVAL: Duration = Duration::from_secs(10);
/// Rest after a merge, as a multiple of its duration: a fifth of one core at most.
const REST: u32 = 4;
/// How long replaced files stay for readers that list the folder just then.
const KEEP_REPLACED: Duration = Duration::from_secs(30);
/// How long a day that is over has to be left alone before its last merge; late events come in bursts.
const QUIET: Duration = Duration::from_secs(15 * 60);
/// Rest after a merge that failed for no fault of its files: a full disk, say.
const AFTER_FAILURE: Duration = Duration::from_secs(60);
/// Disk space that is left to those who need it more: a full disk refuses events.
const SPARE: u64 = 256 * 1024 * 1024;
/// Longest time a merge steps aside at one checkpoint, so that it ends even if writers never do.
const STEP_ASIDE: Duration = Duration::from_secs(1);
/// Days end at different times; the last ones, twelve hours after UTC's.
const LAST_ZONE: Duration = Duration::from_secs(12 * 3600);

/// The running thread. Dropping it ends the thread; an unfinished merge is given up without a trace.
pub struct Compactor {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Compactor {
    /// Starts the thread. The lake must be prepared.
    pub fn start(lake: Arc<Lake>) -> io::Result<Compactor> {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let run = move || {
            Worker { lake, stop: stopped, hot: BTreeSet::new(), apart: HashSet::new(), replaced: Vec::new() }.run()
        };
        let thread = thread::Builder::new().name("compactor".into()).spawn(run)?;
        Ok(Compactor { stop, thread: Some(thread) })
    }
}

impl Drop for Compactor {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            // Bounded: the thread looks at `stop` every few thousand rows.
            let _ = thread.join();
        }
    }
}

struct Worker {
    lake: Arc<Lake>,
    stop: Arc<AtomicBool>,
    /// Days that may have something to merge.
    hot: BTreeSet<Date>,
    /// Files that cannot be merged: damaged, or with columns of another version.
    apart: HashSet<(Date, FileName)>,
    /// Folders of replaced files, and since when they are.
    replaced: Vec<(Instant, PathBuf)>,
}

impl Worker {
    fn run(mut self) {
        // On Linux the priority is the thread's own, elsewhere the process's. Failing to be modest is no reason not to
        // work.
        #[cfg(target_os = "linux")]
        let _ = rustix::process::nice(19);
        match self.lake.dates() {
            Ok(dates) => self.hot.extend(dates),
            Err(error) => tracing::warn!(%error, "cannot look for small files"),
        }
        while !self.stop.load(Ordering::Relaxed) {
            self.hot.append(&mut self.lake.touched.lock());
            for date in self.hot.clone() {
                self.tidy(date);
                if self.stop.load(Ordering::Relaxed) {
                    return;
                }
            }
            self.replaced.retain(|(since, path)| since.elapsed() < KEEP_REPLACED || swap::remove(path).is_err());
            self.sleep(INTERVAL);
        }
    }

    fn tidy(&mut self, date: Date) {
        loop {
            let over = self.lake.is_over(date, SystemTime::now());
            let files = match self.lake.mend(date).and_then(|()| self.lake.files(date)) {
                Ok(files) => files,
                Err(error) => return tracing::warn!(%error, "cannot look for small files"),
            };
            let files: Vec<_> =
                files.into_iter().filter(|(name, _)| !self.apart.contains(&(date, name.clone()))).collect();
            let Some(parts) = policy::choose(&files, over) else {
                if over {
                    self.hot.remove(&date);
                }
                return;
            };
            let size = files.iter().filter(|(name, _)| parts.contains(name)).map(|(_, size)| size).sum();
            if !self.lake.has_room(size) {
                return tracing::debug!(%date, size, "too little disk space to merge small files");
            }
            let started = Instant::now();
            let (lake, stop) = (self.lake.clone(), self.stop.clone());
            // In a thread of its own: what an allocator keeps for a thread goes back when the thread ends, and here that
            // is tens of megabytes.
            let merged = thread::scope(|scope| {
                let merge = || lake.merge(date, &parts, &|| make_way(&lake, &stop));
                let thread = thread::Builder::new().name("merge".into()).spawn_scoped(scope, merge);
                thread.map(|thread| thread.join())
            });
            let took = started.elapsed();
            let merged = match merged {
                Ok(merged) => merged,
                Err(error) => {
                    tracing::warn!(%error, "cannot start a thread to merge small files");
                    return self.sleep(AFTER_FAILURE);
                }
            };
            match merged {
                Ok(Ok((merged, old))) => {
                    tracing::debug!(%date, parts = parts.len(), rows = merged.rows, ?took, "merged small files");
                    self.replaced.push((Instant::now(), old));
                }
                Ok(Err(LakeError::Interrupted)) => return,
                Ok(Err(error)) => {
                    tracing::warn!(%date, %error, "cannot merge small files");
                    let culprit = parts.iter().find(|part| error.is_about(&lake.folder(date).join(part.to_string())));
                    self.apart.extend(culprit.map(|part| (date, part.clone())));
                    if culprit.is_none() {
                        return self.sleep(AFTER_FAILURE);
                    }
                }
                Err(_) => {
                    tracing::error!(%date, ?parts, "merging files panicked; they stay as they are");
                    self.apart.extend(parts.into_iter().map(|part| (date, part)));
                }
            }
            self.sleep(took * REST);
        }
    }

    fn sleep(&self, duration: Duration) {
        let end = Instant::now() + duration;
        while !self.stop.load(Ordering::Relaxed) {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            thread::park_timeout(left);
        }
    }
}

/// Ends a merge when the process stops, and holds it while a writer works.
fn make_way(lake: &Lake, stop: &AtomicBool) -> Result<(), LakeError> {
    let since = Instant::now();
    while lake.is_writing() && since.elapsed() < STEP_ASIDE && !stop.load(Ordering::Relaxed) {
        thread::park_timeout(Duration::from_millis(5));
    }
    if stop.load(Ordering::Relaxed) { Err(LakeError::Interrupted) } else { Ok(()) }
}

impl Lake {
    /// Merges `parts`, files of one day and one spool, into one. Returns the folder that holds the replaced files.
    pub fn merge(
        &self,
        date: Date,
        parts: &[FileName],
        checkpoint: &dyn Fn() -> Result<(), LakeError>,
    ) -> Result<(Merged, PathBuf), LakeError> {
        let folder = self.folder(date);
        let mut parts = parts.to_vec();
        // In spool order, so that it survives among equals.
        parts.sort();
        let paths: Vec<PathBuf> = parts.iter().map(|part| folder.join(part.to_string())).collect();
        let name = FileName::merged(&parts).expect("the policy chooses files of one spool");
        let path = self.staging_path("merge", "tmp");
        let staged = super::Staged::new(path, |path| merge::merge(&paths, path, checkpoint))?;

        step("merged");
        let day = self.day(date);
        let _changing = day.lock();
        let old = swap::replace(&folder, &self.staging, &parts, &staged.path, &name, self.exchange)?;
        Ok((staged.value, old))
    }

    /// Merges whatever the policy finds in a day, now and in this thread; for tools and tests. Returns the number of
    /// merges.
    pub fn compact(&self, date: Date, over: bool) -> Result<usize, LakeError> {
        let mut merges = 0;
        while let Some(parts) = policy::choose(&self.files(date)?, over) {
            let (_, old) = self.merge(date, &parts, &|| Ok(()))?;
            swap::remove(&old)?;
            merges += 1;
        }
        Ok(merges)
    }

    /// Brings back a day that a failed merge left aside.
    fn mend(&self, date: Date) -> Result<(), LakeError> {
        let day = self.day(date);
        let _changing = day.lock();
        swap::mend(&self.folder(date), &self.staging)
    }

    /// Whether the disk can hold `size` more bytes and still be far from full. Where nobody can tell, it can.
    fn has_room(&self, size: u64) -> bool {
        let Ok(disk) = rustix::fs::statvfs(&self.staging) else { return true };
        disk.f_bavail.saturating_mul(disk.f_frsize) >= size.saturating_add(SPARE)
    }

    /// Whether the day has ended everywhere and nobody has written to it for a while.
    fn is_over(&self, date: Date, now: SystemTime) -> bool {
        let end = i64::from(date.0).saturating_add(1).saturating_mul(86_400) + LAST_ZONE.as_secs() as i64;
        let now = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs() as i64;
        now >= end && self.day(date).lock().written.is_none_or(|at| at.elapsed() >= QUIET)
    }
}

//! Keeps what a running process reads from disk as new as its files.

use std::{
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime},
};

use tokio::{runtime, task, time};
use tracing::warn;

use crate::telemetry::{ByDataFile, Metrics};

/// How often files are looked at. Their makers publish daily at most; whoever replaces one wants to see that it worked.
pub const LOOK_EVERY: Duration = Duration::from_secs(2);

/// What tells one content of files from another, without reading them. `None`: nobody can see the file.
pub type Fingerprint = Vec<Option<(SystemTime, u64, u64)>>;

/// What is read from disk under one key of the configuration.
pub struct Watched<T> {
    /// The key.
    pub key: &'static str,
    /// What it names.
    pub path: PathBuf,
    /// The files that tell whether it is another.
    pub files: Vec<PathBuf>,
    /// Reads it; else, what is wrong with it.
    pub read: fn(&Path) -> Result<T, String>,
    /// Puts it to use, and says so afterwards.
    pub take: Box<dyn Fn(T) + Send + Sync>,
}

impl<T: Send + 'static> Watched<T> {
    /// Reads it and watches its files from then on; an empty path is nothing to read. New files that cannot be read
    /// leave the old content in use.
    pub fn start(self, metrics: &Arc<Metrics>, runtime: &runtime::Handle) -> anyhow::Result<()> {
        if self.path.as_os_str().is_empty() {
            return Ok(());
        }
        let seen = fingerprint(&self.files);
        let read = (self.read)(&self.path).map_err(|why| anyhow::anyhow!("{}: {why}", self.key))?;
        (self.take)(read);
        let metrics = metrics.clone();
        runtime.spawn(async move { self.watch(seen, &metrics).await });
        Ok(())
    }

    async fn watch(self, mut seen: Fingerprint, metrics: &Metrics) {
        let mut clock = time::interval(LOOK_EVERY);
        clock.set_missed_tick_behavior(time::MissedTickBehavior::Delay);
        loop {
            clock.tick().await;
            let (read, path, files, before) = (self.read, self.path.clone(), self.files.clone(), seen.clone());
            let look = move || {
                let now = fingerprint(&files);
                let is_new = now != before;
                (now, is_new.then(|| read(&path)))
            };
            let Ok((now, read)) = task::spawn_blocking(look).await else { continue };
            seen = now;
            let outcome = match read {
                None => continue,
                Some(Ok(read)) => {
                    (self.take)(read);
                    "taken"
                }
                // Files that are written in place change once more, and are read again then.
                Some(Err(why)) => {
                    warn!(key = self.key, %why, "the new version is not used; the old one stays");
                    "refused"
                }
            };
            metrics.data_files_replaced.get_or_create(&ByDataFile { key: self.key, outcome }).inc();
        }
    }
}

/// What tells whether one of these files is another.
pub fn fingerprint(files: &[PathBuf]) -> Fingerprint {
    let of_file = |path: &PathBuf| {
        let metadata = fs::metadata(path).ok()?;
        Some((metadata.modified().ok()?, metadata.len(), metadata.ino()))
    };
    files.iter().map(of_file).collect()
}

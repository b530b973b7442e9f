//! Keeps the database of addresses that a running process asks as new as its file.

use std::{
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use tokio::{runtime, task, time};
use tracing::{info, warn};

use crate::{
    config,
    enrich::{Atlas, Database},
};

/// How often the file is looked at. Its makers publish daily at most; whoever replaces it wants to see that it worked.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// What tells one content of the file from another, without reading it.
type Fingerprint = Option<(SystemTime, u64, u64)>;

/// Reads the database and watches its file from then on; an empty path is no database. A new file that cannot be read
/// leaves the old database in use.
pub fn start(path: &Path, runtime: &runtime::Handle) -> anyhow::Result<Atlas> {
    let seen = fingerprint(path);
    let atlas = open(path)?;
    if !path.as_os_str().is_empty() {
        runtime.spawn(watch(atlas.clone(), path.to_owned(), seen));
    }
    Ok(atlas)
}

/// Reads the database once; an empty path is no database.
pub fn open(path: &Path) -> anyhow::Result<Atlas> {
    let atlas = Atlas::default();
    if !path.as_os_str().is_empty() {
        let database = config::geo_database(path).map_err(|why| anyhow::anyhow!("geo.database: {why}"))?;
        take(&atlas, database, path);
    }
    Ok(atlas)
}

async fn watch(atlas: Atlas, path: PathBuf, mut seen: Fingerprint) {
    let mut clock = time::interval(LOOK_EVERY);
    clock.set_missed_tick_behavior(time::MissedTickBehavior::Delay);
    loop {
        clock.tick().await;
        let looked_at = path.clone();
        let look = move || {
            let now = fingerprint(&looked_at);
            (now, (now != seen).then(|| config::geo_database(&looked_at)))
        };
        let Ok((now, read)) = task::spawn_blocking(look).await else { continue };
        seen = now;
        match read {
            Some(Ok(database)) => take(&atlas, database, &path),
            // A file that is written in place changes once more, and is read again then.
            Some(Err(why)) => warn!(key = "geo.database", %why, "the new file is not used; the old one stays"),
            None => {}
        }
    }
}

fn take(atlas: &Atlas, database: Database, path: &Path) {
    info!(path = %path.display(), kind = database.kind(), built_at = database.built_at(), "geo database");
    atlas.replace(database);
}

/// `None`: nobody can see the file.
fn fingerprint(path: &Path) -> Fingerprint {
    let metadata = fs::metadata(path).ok()?;
    Some((metadata.modified().ok()?, metadata.len(), metadata.ino()))
}

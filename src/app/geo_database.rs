//! The database of addresses that a running process asks.

use std::{path::Path, sync::Arc};

use tokio::runtime;
use tracing::info;

use super::watch::Watched;
use crate::{
    config,
    enrich::{Atlas, Database},
    telemetry::Metrics,
};

/// Reads the database and watches its file from then on; an empty path is no database. A new file that cannot be read
/// leaves the old database in use.
pub fn start(path: &Path, metrics: &Arc<Metrics>, runtime: &runtime::Handle) -> anyhow::Result<Atlas> {
    let atlas = Atlas::default();
    let (in_use, shown) = (atlas.clone(), path.to_owned());
    let take = move |database: Database| {
        let (kind, built_at) = (database.kind().to_owned(), database.built_at());
        in_use.replace(database);
        info!(path = %shown.display(), kind, built_at, "geo database");
    };
    Watched {
        key: "geo.database",
        path: path.to_owned(),
        files: vec![path.to_owned()],
        read: config::geo_database,
        take: Box::new(take),
    }
    .start(metrics, runtime)?;
    Ok(atlas)
}

/// Reads the database once; an empty path is no database.
pub fn open(path: &Path) -> anyhow::Result<Atlas> {
    let atlas = Atlas::default();
    if !path.as_os_str().is_empty() {
        atlas.replace(config::geo_database(path).map_err(|why| anyhow::anyhow!("geo.database: {why}"))?);
    }
    Ok(atlas)
}

//! The replay of dead letters as the command has it: without a server.

use std::io;

use super::{
    config::WritersConfig,
    dead_letter::{self, ReplayError, Replayed, Selection},
    delivery::{StartError, dead_letters, sink_names},
    spool::{Spool, SpoolError},
};

/// Why dead letters cannot be replayed.
#[derive(Debug, thiserror::Error)]
pub enum ReplayStartError {
    /// Delivery as configured.
    #[error(transparent)]
    Start(#[from] StartError),
    /// The spool; it is locked while the server runs.
    #[error("{0}; dead letters are replayed while the server is stopped")]
    Spool(SpoolError),
    /// The replay itself.
    #[error(transparent)]
    Replay(#[from] ReplayError),
    /// The machine.
    #[error("cannot start a runtime: {0}")]
    Runtime(io::Error),
}

/// Puts dead letters back into the spool, from where the next start delivers them. The server must be stopped.
/// Blocking; not to be called from within a runtime.
pub fn replay(config: &WritersConfig, selection: &Selection) -> Result<Replayed, ReplayStartError> {
    let names = sink_names(config)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(ReplayStartError::Runtime)?;
    let (spool, _readers, _) = Spool::open(&config.spool, &names).map_err(ReplayStartError::Spool)?;
    runtime.block_on(async {
        let replayed = dead_letter::replay(&dead_letters(config), selection, &spool).await;
        spool.close().await;
        Ok(replayed?)
    })
}

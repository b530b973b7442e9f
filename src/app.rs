//! The wiring.

use std::process::ExitCode;

use crate::config::Config;

/// Runs until told to stop.
pub fn serve(_config: Config) -> anyhow::Result<ExitCode> {
    anyhow::bail!("the wiring is not part of this branch")
}

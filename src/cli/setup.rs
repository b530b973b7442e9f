//! `real-streaming setup`

use std::process::ExitCode;

use anyhow::Context;
use clap::Args;
use tokio::runtime;

use super::{Environment, print, refuse, sources::SourceArgs};
use crate::{
    config::Problems,
    deliver::setup::{self, Request},
};

/// Create what the configured destinations need in Google Cloud.
#[derive(Debug, Args)]
pub struct Setup {
    #[command(flatten)]
    sources: SourceArgs,

    /// Look and tell, and change nothing
    #[arg(long)]
    dry_run: bool,

    /// Create views, too: every event once, and the columns of Google's export
    #[arg(long)]
    views: bool,
}

impl Setup {
    /// Prints a line for each resource: `=` as it should be, `+` created, `~` changed, `!` needs somebody. Succeeds
    /// when nothing needs anybody.
    pub fn run(self, environment: Environment) -> anyhow::Result<ExitCode> {
        let request = Request { dry_run: self.dry_run, views: self.views };
        let writers = match self.sources.load(None, environment) {
            Ok(loaded) => loaded.config.writers,
            Err(problems) => return Ok(refuse(&problems)),
        };
        if let Some(problems) = Problems::plain(setup::problems(&writers, request, "writers")) {
            return Ok(refuse(&problems));
        }
        let runtime = runtime::Builder::new_current_thread().enable_all().build().context("cannot start a runtime")?;
        let report = runtime.block_on(setup::run(&writers, request));
        if report.findings().is_empty() {
            eprintln!("nothing to set up: `writers.strategy` is `local`");
            return Ok(ExitCode::SUCCESS);
        }
        print(&report.to_string())?;
        eprintln!("{}", report.summary(request.dry_run));
        Ok(if report.is_fine() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

//! `real-streaming check`

use std::process::ExitCode;

use clap::Args;

use super::{Environment, WRONG_USAGE, sources::SourceArgs};

/// Check a configuration.
#[derive(Debug, Args)]
pub struct Check {
    #[command(flatten)]
    sources: SourceArgs,
}

impl Check {
    /// Prints `ok`, or every problem: here they are what was asked for.
    pub fn run(self, environment: Environment) -> anyhow::Result<ExitCode> {
        match self.sources.load(None, environment) {
            Ok(_) => {
                println!("ok");
                Ok(ExitCode::SUCCESS)
            }
            Err(problems) => {
                println!("{problems}");
                let count = problems.iter().count();
                eprintln!("{count} problem{}", if count == 1 { "" } else { "s" });
                Ok(ExitCode::from(WRONG_USAGE))
            }
        }
    }
}

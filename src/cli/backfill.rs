//! `real-streaming backfill`

use std::process::ExitCode;

use clap::Args;
use tokio::signal::unix::{SignalKind, signal};

use super::{Environment, refuse, sources::SourceArgs};
use crate::{
    config::{Found, Place, Problems},
    deliver::{
        Strategies, Strategy,
        backfill::{Days, Outcome, Standing, backfill},
    },
    schema::Date,
};

/// Append days of the local lake to BigQuery; run again after a stop, it goes on.
#[derive(Debug, Args)]
pub struct Backfill {
    /// First day, YYYY-MM-DD, as in the lake's folders
    #[arg(long, value_name = "DAY", value_parser = day)]
    from: Date,
    /// Last day
    #[arg(long, value_name = "DAY", value_parser = day)]
    to: Date,
    #[command(flatten)]
    sources: SourceArgs,
}

fn day(text: &str) -> Result<Date, String> {
    Date::parse(text).ok_or_else(|| "a day is written YYYY-MM-DD".to_owned())
}

impl Backfill {
    /// Reads where the lake and the table are, and appends. Exit code 1 when something is left, or became a dead letter.
    pub fn run(self, environment: Environment) -> anyhow::Result<ExitCode> {
        let loaded = match self.sources.load(None, environment) {
            Ok(loaded) => loaded,
            Err(problems) => return Ok(refuse(&problems)),
        };
        let mut writers = loaded.config.writers;
        // The server may write elsewhere.
        writers.strategy = Strategies(vec![Strategy::Direct]);
        let mut problems = Vec::new();
        writers.check("writers", &mut problems);
        let found = problems.into_iter().map(|problem| Found::new(Place::Default, problem)).collect();
        if let Some(problems) = Problems::of(found, &[]) {
            return Ok(refuse(&problems));
        }
        if self.from > self.to {
            eprintln!("error: `--from` {} is after `--to` {}", self.from, self.to);
            return Ok(ExitCode::from(super::WRONG_USAGE));
        }
        let stop = async {
            let signals = (signal(SignalKind::terminate()), signal(SignalKind::interrupt()));
            let (Ok(mut terminate), Ok(mut interrupt)) = signals else { return std::future::pending().await };
            tokio::select! { _ = terminate.recv() => {}, _ = interrupt.recv() => {} }
        };
        let mut last = String::new();
        let outcome = backfill(&writers, Days { from: self.from, to: self.to }, stop, &mut |standing| {
            let line = line(standing);
            if line != last {
                eprintln!("{line}");
                last = line;
            }
        })?;
        Ok(match outcome {
            Outcome::Already(rows) => {
                eprintln!(
                    "done before: {rows} rows; to append them again, remove the folder of these days in `backfill`"
                );
                ExitCode::SUCCESS
            }
            Outcome::Done(standing) if standing.dead_letters > 0 => {
                eprintln!(
                    "done; {} of {} rows are dead letters, beside the files of the backfill",
                    standing.dead_letters, standing.rows
                );
                ExitCode::FAILURE
            }
            Outcome::Done(standing) => {
                eprintln!("done: {} rows", standing.rows);
                ExitCode::SUCCESS
            }
            Outcome::Stopped(standing) => {
                eprintln!("stopped: {}; run it again to go on", line(&standing));
                ExitCode::FAILURE
            }
        })
    }
}

fn line(standing: &Standing) -> String {
    let Standing { rows, read, waiting, dead_letters, troubles } = standing;
    let mut line = format!("{} of {rows} rows delivered", read.saturating_sub(*waiting));
    if *dead_letters > 0 {
        line.push_str(&format!(", {dead_letters} of them dead letters"));
    }
    if !troubles.is_empty() {
        line.push_str(&format!(" ({})", troubles.join("; ")));
    }
    line
}

//! The commands. One command is one file: its arguments, and what it does with them.
//!
//! Standard output is for what was asked for, standard error for talk. Exit codes: 0 fine; 1 it failed, or not
//! everything could be delivered; 2 the command line or the configuration is wrong, and nothing was begun.

mod backfill;
mod check;
mod dead_letters;
mod demo;
mod explain;
mod health;
mod schema;
mod serve;
mod setup;
mod sources;

use std::{
    ffi::OsString,
    io::{self, Write, stdout},
    process::ExitCode,
};

use clap::{Parser, Subcommand};

#[doc(hidden)]
pub use health::status_in;

use crate::config::Problems;

/// Exit code: the command line or the configuration is wrong.
const WRONG_USAGE: u8 = 2;

/// A first-party analytics edge: fronts a website, collects its events, keeps them as rows of GA4's BigQuery export.
#[derive(Debug, Parser)]
#[command(name = "real-streaming", version, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Front a site: collect its events, proxy everything else
    Serve(serve::Serve),
    /// Start a small demo shop with the edge in front of it, on this machine
    Demo(demo::Demo),
    /// Check a configuration; print every problem with its place
    Check(check::Check),
    /// Create what the configured destinations need in Google Cloud, and say what differs
    Setup(setup::Setup),
    /// Print the schema of the rows in one of its forms
    Schema(schema::Schema),
    /// Explain what is made of a request, and where every value comes from
    Explain(explain::Explain),
    /// Look at events that a destination refused, and send them again
    #[command(subcommand)]
    DeadLetters(dead_letters::DeadLetters),
    /// Append days of the local lake to BigQuery; run again after a stop, it goes on
    Backfill(backfill::Backfill),
    /// Ask a running process whether it is well, for container health checks
    Health(health::Health),
}

/// The variables of the process.
pub type Environment = Vec<(OsString, OsString)>;

/// Runs the command that the arguments name; the first argument is the program itself.
pub fn run(arguments: impl IntoIterator<Item = OsString>, environment: Environment) -> anyhow::Result<ExitCode> {
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version go to standard output, with exit code 0; a closed pipe there is no fault of ours.
            let _ = error.print();
            return Ok(if error.use_stderr() { ExitCode::from(WRONG_USAGE) } else { ExitCode::SUCCESS });
        }
    };
    match cli.command {
        Command::Serve(serve) => serve.run(environment),
        Command::Demo(demo) => demo.run(environment),
        Command::Check(check) => check.run(environment),
        Command::Setup(setup) => setup.run(environment),
        Command::Schema(schema) => schema.run(),
        Command::Explain(explain) => explain.run(environment),
        Command::DeadLetters(dead_letters) => dead_letters.run(environment),
        Command::Backfill(backfill) => backfill.run(environment),
        Command::Health(health) => health.run(),
    }
}

/// Prints what was asked for. A reader that has seen enough, as in `… | head`, is no failure.
fn print(text: &str) -> anyhow::Result<ExitCode> {
    match stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(ExitCode::SUCCESS),
    }
}

/// Tells what is wrong with the configuration.
fn refuse(problems: &Problems) -> ExitCode {
    eprintln!("{problems}");
    ExitCode::from(WRONG_USAGE)
}

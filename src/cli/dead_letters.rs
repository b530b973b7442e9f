//! `real-streaming dead-letters list|show|replay`

use std::{path::PathBuf, process::ExitCode};

use anyhow::Context;
use clap::{Args, Subcommand};

use super::{Environment, print, refuse, sources::SourceArgs};
use crate::{
    deliver::{
        self, WritersConfig,
        dead_letter::{self, DeadLetter, Selection, Status},
    },
    schema,
};

/// Events that a destination refused.
#[derive(Debug, Subcommand)]
pub enum DeadLetters {
    /// List them: id, time, status, destination, stream, reason and message, separated by tabs
    List(List),
    /// Print one of them as JSON, with why it is there
    Show(Show),
    /// Put them back into the spool; the server must be stopped, its next start delivers them
    Replay(Replay),
}

/// List dead letters.
#[derive(Debug, Args)]
pub struct List {
    #[command(flatten)]
    sources: SourceArgs,
}

/// Show one dead letter.
#[derive(Debug, Args)]
pub struct Show {
    /// Its id, as listed
    id: String,
    #[command(flatten)]
    sources: SourceArgs,
}

/// Replay dead letters.
#[derive(Debug, Args)]
pub struct Replay {
    /// Ids, as listed
    #[arg(required_unless_present = "all")]
    ids: Vec<String>,
    /// All of them
    #[arg(long, conflicts_with = "ids")]
    all: bool,
    #[command(flatten)]
    sources: SourceArgs,
}

impl DeadLetters {
    /// Reads where the dead letters lie, and does what was asked.
    pub fn run(self, environment: Environment) -> anyhow::Result<ExitCode> {
        let (sources, act): (_, Act) = match self {
            DeadLetters::List(args) => (args.sources, Box::new(|writers| list(&writers))),
            DeadLetters::Show(args) => (args.sources, Box::new(move |writers| show(&writers, &args.id))),
            DeadLetters::Replay(args) => {
                let selection = if args.all { Selection::All } else { Selection::Ids(args.ids) };
                (args.sources, Box::new(move |writers| replay(&writers, &selection)))
            }
        };
        match sources.load(None, environment) {
            Ok(loaded) => act(loaded.config.writers),
            Err(problems) => Ok(refuse(&problems)),
        }
    }
}

type Act = Box<dyn FnOnce(WritersConfig) -> anyhow::Result<ExitCode>>;

fn folder(writers: &WritersConfig) -> PathBuf {
    writers.local.directory.join(dead_letter::FOLDER)
}

fn list(writers: &WritersConfig) -> anyhow::Result<ExitCode> {
    let letters = dead_letter::list(&folder(writers)).context("the dead letters cannot be read")?;
    if letters.is_empty() {
        eprintln!("no dead letters");
    }
    let line = |(letter, status): &(DeadLetter, Status)| {
        let DeadLetter { id, at, sink, stream, message, .. } = letter;
        let (reason, status) = (letter.reason.label(), word(*status));
        // One line each, whatever a destination said.
        let message = message.replace(['\n', '\r', '\t'], " ");
        format!("{id}\t{at}\t{status}\t{sink}\t{stream}\t{reason}\t{message}\n")
    };
    print(&letters.iter().map(line).collect::<String>())
}

fn show(writers: &WritersConfig, id: &str) -> anyhow::Result<ExitCode> {
    let found = dead_letter::show(&folder(writers), id).context("the dead letters cannot be read")?;
    let (letter, status) = found.with_context(|| format!("there is no dead letter `{id}`"))?;
    // The row as columns when it is one, and in any case the bytes as they were.
    let columns = schema::json::row(&letter.row).ok().and_then(|text| serde_json::from_str(&text).ok());
    let mut shown = serde_json::to_value(&letter)?;
    shown["status"] = word(status).into();
    shown["event"] = columns.unwrap_or(serde_json::Value::Null);
    print(&format!("{shown:#}\n"))
}

fn replay(writers: &WritersConfig, selection: &Selection) -> anyhow::Result<ExitCode> {
    let outcome = deliver::replay(writers, selection)?;
    print(&outcome.replayed.iter().map(|id| format!("{id}\n")).collect::<String>())?;
    eprintln!("{} replayed, {} had been before", outcome.replayed.len(), outcome.already.len());
    Ok(ExitCode::SUCCESS)
}

fn word(status: Status) -> &'static str {
    match status {
        Status::Waiting => "waiting",
        Status::Replayed => "replayed",
        Status::Unsettled => "unsettled",
    }
}

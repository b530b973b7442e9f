//! `real-streaming dead-letters list|show|replay`

use std::{
    io::{Write, stdout},
    path::PathBuf,
    process::ExitCode,
};

use anyhow::Context;
use clap::{Args, Subcommand};

use super::{Environment, refuse, sources::SourceArgs};
use crate::{
    deliver::{
        self, WritersConfig,
        dead_letter::{self, Selection},
    },
    schema,
};

/// Events that a destination refused.
#[derive(Debug, Subcommand)]
pub enum DeadLetters {
    /// List them: one line each, with id, time, destination and reason
    List(List),
    /// Print one of them as JSON, with why it is there
    Show(Show),
    /// Put them back into the spool, while the server is stopped; its next start delivers them
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

/// The folder that the couriers bury in.
fn folder(writers: &WritersConfig) -> PathBuf {
    writers.local.directory.join(dead_letter::FOLDER)
}

fn list(writers: &WritersConfig) -> anyhow::Result<ExitCode> {
    let folder = folder(writers);
    let letters = dead_letter::list(&folder).with_context(|| format!("cannot read `{}`", folder.display()))?;
    let mut out = stdout().lock();
    for (letter, status) in letters {
        let status = serde_json::to_value(status)?;
        let status = status.as_str().unwrap_or_default();
        writeln!(
            out,
            "{}\t{}\t{status}\t{}\tstream={} day={} event={}\t{}",
            letter.id,
            letter.at,
            letter.reason.label(),
            letter.stream,
            letter.date,
            letter.event_id,
            letter.message.replace(['\n', '\r', '\t'], " "),
        )?;
    }
    Ok(ExitCode::SUCCESS)
}

fn show(writers: &WritersConfig, id: &str) -> anyhow::Result<ExitCode> {
    let folder = folder(writers);
    let found = dead_letter::show(&folder, id).with_context(|| format!("cannot read `{}`", folder.display()))?;
    let Some((letter, status)) = found else {
        anyhow::bail!("there is no dead letter `{id}`\n  hint: `real-streaming dead-letters list` names them");
    };
    // The event as a person reads it, beside the bytes it was. Bytes that are no event are shown as such.
    let event = schema::json::value(&letter.row).unwrap_or_else(|error| serde_json::json!({ "unreadable": error.to_string() }));
    let shown = serde_json::json!({ "letter": letter, "status": status, "event": event });
    writeln!(stdout(), "{}", serde_json::to_string_pretty(&shown)?)?;
    Ok(ExitCode::SUCCESS)
}

fn replay(writers: &WritersConfig, selection: &Selection) -> anyhow::Result<ExitCode> {
    let done = deliver::replay(writers, selection)?;
    eprintln!("{} put back into the spool, {} had been before; the next start delivers them", done.replayed.len(), done.already.len());
    Ok(ExitCode::SUCCESS)
}

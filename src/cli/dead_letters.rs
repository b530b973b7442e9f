//! `real-streaming dead-letters list|show|replay`

use std::process::ExitCode;

use clap::{Args, Subcommand};

use super::{Environment, refuse, sources::SourceArgs};
use crate::deliver::WritersConfig;

/// Events that a destination refused.
#[derive(Debug, Subcommand)]
pub enum DeadLetters {
    /// List them: one line each, with id, time, destination and reason
    List(List),
    /// Print one of them as JSON, with why it is there
    Show(Show),
    /// Send them again, and forget those that arrive
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
                let wanted = if args.all { Wanted::All } else { Wanted::Ids(args.ids) };
                (args.sources, Box::new(move |writers| replay(&writers, wanted)))
            }
        };
        match sources.load(None, environment) {
            Ok(loaded) => act(loaded.config.writers),
            Err(problems) => Ok(refuse(&problems)),
        }
    }
}

type Act = Box<dyn FnOnce(WritersConfig) -> anyhow::Result<ExitCode>>;

/// Which dead letters.
#[derive(Debug)]
enum Wanted {
    All,
    Ids(Vec<String>),
}

fn list(_writers: &WritersConfig) -> anyhow::Result<ExitCode> {
    anyhow::bail!("dead letters are not part of this branch")
}

fn show(_writers: &WritersConfig, id: &str) -> anyhow::Result<ExitCode> {
    anyhow::bail!("dead letter `{id}` is not part of this branch")
}

fn replay(_writers: &WritersConfig, wanted: Wanted) -> anyhow::Result<ExitCode> {
    match wanted {
        Wanted::All => anyhow::bail!("dead letters are not part of this branch"),
        Wanted::Ids(ids) => anyhow::bail!("dead letters {ids:?} are not part of this branch"),
    }
}

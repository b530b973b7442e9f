//! `real-streaming serve`

use std::{
    io::{IsTerminal, stdout},
    process::ExitCode,
};

use anyhow::Context;
use clap::Args;
use listenfd::ListenFd;

use super::{Environment, WRONG_USAGE, refuse, sources::SourceArgs};
use crate::{
    app::{self, Beginning, Inherited, Signals},
    config::{self, Sources},
    telemetry::log,
};

/// Front a site.
#[derive(Debug, Args)]
pub struct Serve {
    #[command(flatten)]
    sources: SourceArgs,

    /// The site behind the edge, instead of the configured routes
    #[arg(long, value_name = "URL")]
    upstream: Option<String>,

    /// Get a certificate for this domain from Let's Encrypt (or what `server.tls.acme` says) and listen on ports 80 and
    /// 443; may be repeated
    #[arg(long = "domain", value_name = "DOMAIN")]
    domains: Vec<String>,

    /// Take the place of the running process without a lost request: wait for it, until it is sent SIGQUIT
    #[arg(long)]
    upgrade: bool,
}

impl Serve {
    /// Serves until told to stop.
    pub fn run(self, environment: Environment) -> anyhow::Result<ExitCode> {
        // First of all: a SIGHUP that comes early must not end the process.
        let signals = Signals::listen().context("cannot listen for signals")?;
        let colour = wants_colour(&environment);
        let sources = Sources { domains: self.domains, ..self.sources.sources(self.upstream, environment) };
        let loaded = match config::load(&sources) {
            Ok(loaded) => loaded,
            Err(problems) => return Ok(refuse(&problems)),
        };
        let format = log::Format::of(&loaded.config.environment, colour);
        let _log = match log::install(format, loaded.log_filter.as_deref()) {
            Ok(guard) => guard,
            Err(error) => {
                eprintln!("{error}");
                return Ok(ExitCode::from(WRONG_USAGE));
            }
        };
        let sockets = passed_sockets().context("cannot use the sockets of the service manager")?;
        app::serve(loaded.config, Beginning { sources: Some(sources), sockets, upgrade: self.upgrade, signals })
    }
}

/// Those that systemd passes (`LISTEN_FDS`), none otherwise.
fn passed_sockets() -> anyhow::Result<Inherited> {
    let mut passed = ListenFd::from_env();
    let mut sockets = Inherited::default();
    for index in 0..passed.len() {
        if let Some(listener) = passed.take_tcp_listener(index)? {
            sockets.add(None, listener)?;
        }
    }
    Ok(sockets)
}

/// Colours are for terminals, unless `NO_COLOR` is set.
pub fn wants_colour(environment: &Environment) -> bool {
    let refused = environment.iter().any(|(name, value)| name == "NO_COLOR" && !value.is_empty());
    stdout().is_terminal() && !refused
}

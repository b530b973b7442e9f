//! `real-streaming demo`

use std::{net::SocketAddr, path::PathBuf, process::ExitCode};

use anyhow::Context;
use clap::Args;
use tokio::runtime;

use super::{Environment, WRONG_USAGE, serve::wants_colour};
use crate::{
    app::{self, Beginning, Signals},
    demo,
    telemetry::log,
};

/// Start the demo shop.
#[derive(Debug, Args)]
pub struct Demo {
    /// Folder for the events and the spool
    #[arg(long, value_name = "DIR", default_value = "data")]
    data: PathBuf,

    /// Port of the shop, on this machine only
    #[arg(long, default_value_t = 8080)]
    port: u16,

    /// Port of health and metrics, on this machine only
    #[arg(long, default_value_t = 9090)]
    admin_port: u16,
}

impl Demo {
    /// Serves the shop until told to stop.
    pub fn run(self, environment: Environment) -> anyhow::Result<ExitCode> {
        let signals = Signals::listen().context("cannot listen for signals")?;
        for (flag, port) in [("--port", self.port), ("--admin-port", self.admin_port)] {
            // Asked before the banner: it should not invite to an address that something else answers.
            if let Err(error) = std::net::TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], port))) {
                eprintln!("port {port} cannot be used: {error}\n  hint: choose another one with `{flag}`");
                return Ok(ExitCode::from(WRONG_USAGE));
            }
        }
        let filter = environment.iter().find(|(name, _)| name == "RUST_LOG").and_then(|(_, value)| value.to_str());
        // Between a person's clicks, the lines that matter are warnings.
        let _log = log::install(log::Format::Human { colour: wants_colour(&environment) }, filter.or(Some("warn")))?;

        // One small thread beside the edge's own; it lives as long as the runtime.
        let runtime = runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let site = demo::site::start(runtime.handle()).context("the demo site cannot listen")?;
        let mut config = demo::config(site, &self.data);
        config.server.listen = vec![SocketAddr::from(([127, 0, 0, 1], self.port))];
        config.server.admin = SocketAddr::from(([127, 0, 0, 1], self.admin_port));
        println!("{}", demo::banner(&config));
        app::serve(config, Beginning::new(signals))
    }
}

//! `real-streaming explain`: what is made of a request, a user agent, a referrer.

mod lines;
mod referrers;
mod requests;
mod user_agents;

use std::{
    net::{IpAddr, Ipv4Addr},
    ops::ControlFlow,
    path::PathBuf,
    process::ExitCode,
};

use clap::Args;
use http::{HeaderMap, Method};

use self::requests::Manner;
use super::{Environment, refuse, sources::SourceArgs};
use crate::{
    app,
    collect::Hit,
    config::Config,
    enrich::{self, BotAction, Enricher},
    schema::Event,
};

/// Explain raw requests on standard input: the row of each event, and where each value comes from.
#[derive(Debug, Args)]
pub struct Explain {
    #[command(flatten)]
    sources: SourceArgs,

    /// Address of the TCP peer that sends the requests; proxies are trusted as configured
    #[arg(long, value_name = "ADDR", default_value_t = IpAddr::V4(Ipv4Addr::LOCALHOST))]
    client_ip: IpAddr,

    /// The requests come over TLS
    #[arg(long)]
    tls: bool,

    /// Print one JSON object a line for each event: `row`, `origins`, `status`, and `refusal` or `dropped`
    #[arg(long)]
    json: bool,

    /// Explain JSON lines `{"ua": …, "headers": {…}}` instead, `-` for standard input; each is answered by a line with
    /// browser, system, category, model and robot
    #[arg(long, value_name = "FILE", conflicts_with_all = ["client_ip", "tls"])]
    user_agents: Option<PathBuf>,

    /// Explain JSON lines `{"page": …, "referrer": …}` instead, `-` for standard input; each is answered by a line with
    /// source, medium, campaign, term, channel and click identifiers
    #[arg(long, value_name = "FILE", conflicts_with_all = ["user_agents", "client_ip", "tls"])]
    referrers: Option<PathBuf>,
}

impl Explain {
    /// Explains what was asked for. Exit code 1 when something could not be read.
    pub fn run(self, environment: Environment) -> anyhow::Result<ExitCode> {
        let config = match self.sources.load(None, environment) {
            Ok(loaded) => loaded.config,
            Err(problems) => return Ok(refuse(&problems)),
        };
        if let Some(path) = &self.user_agents {
            let steps = steps(&config)?;
            return lines::run(path, |line| user_agents::answer(line, &steps));
        }
        if let Some(path) = &self.referrers {
            let steps: [Box<dyn Enricher>; 1] = [Box::new(enrich::Traffic::new(&config.traffic))];
            return lines::run(path, |line| referrers::answer(line, &steps));
        }
        requests::run(&config, &Manner { peer: self.client_ip, tls: self.tls, json: self.json })
    }
}

/// The steps that tell machines and robots apart. However many texts come at once, all are looked up.
fn steps(config: &Config) -> anyhow::Result<Vec<Box<dyn Enricher>>> {
    let mut config = enrich::Config { bots: BotAction::Flag, ..config.enrich() };
    config.device.cold_parses = 0;
    let devices = app::read_device_data(&config.device)?;
    Ok(enrich::standard_on(&config, &enrich::Atlas::default(), &devices))
}

/// The event after the steps; of its sender only the headers are known.
fn enriched(event: Event<'_>, headers: &HeaderMap, steps: &[Box<dyn Enricher>]) -> Event<'static> {
    let hit = Hit {
        method: &Method::POST,
        path: "/",
        stream: "",
        query: "",
        host: "",
        headers,
        body: b"",
        client_ip: IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        client_named_in: None,
        from_trusted_proxy: false,
        secure: false,
        received_at: 0,
        entropy: 0,
        browser: None,
    };
    // As short-lived as the hit.
    let mut event = event;
    for step in steps {
        if let ControlFlow::Break(_) = step.enrich(&hit, &mut event) {
            break;
        }
    }
    event.spelled_out()
}

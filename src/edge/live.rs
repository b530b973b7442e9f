//! What the public listener does with requests, as the configuration has it now. It is replaced whole; a request keeps to
//! the end what it began with.

use std::{sync::Arc, time::Duration};

use http::{HeaderMap, HeaderName};
use parking_lot::Mutex;
use tokio::sync::watch;

use super::{
    Config, ServerConfig,
    access::Style,
    client_ip::Client,
    endpoint::Endpoint,
    inject::{Inject, Injection},
    intake::Intake,
    own_cookies::OwnCookies,
    parts::Parts,
    rate_limit::RateLimits,
    route::Route,
    rules::Rules,
    sieve::TRACES,
    tls::{Setup, Tls},
    upstream::{Upstreams, unreadable},
};
use crate::{
    acme::{AcmeConfig, Challenges},
    pipeline::Pipeline,
    problem::Problem,
    telemetry::Metrics,
};

/// How long a load balancer's connection may idle between requests: it must close first, or requests meet a closing
/// connection. Google's keeps 600 s.
const PROXY_KEEPALIVE: Duration = Duration::from_secs(620);

/// See the module.
pub struct Live {
    /// What is done with whose request?
    pub rules: Arc<Rules>,
    /// Takes events.
    pub endpoint: Endpoint,
    /// The routes, in the configuration's order.
    pub routes: Vec<Route>,
    /// What each of them takes out of cookies.
    pub own_cookies: Vec<OwnCookies>,
    /// The site.
    pub upstreams: Arc<Upstreams>,
    /// Whether the site's pages ask for client hints.
    pub client_hints: bool,
    /// How the access log is written.
    pub access: Style,
    limits: Arc<RateLimits>,
    config: Config,
}

impl Live {
    /// Of a checked configuration. What is known of servers and clients goes on where the configuration that stood
    /// `before` says the same of them.
    pub fn new(
        config: Config,
        pipeline: Pipeline,
        intake: Intake,
        metrics: Arc<Metrics>,
        before: Option<&Live>,
    ) -> Live {
        let rules = Arc::new(Rules::new(&config, pipeline));
        Live::by(rules, config, intake, metrics, before)
    }

    /// The same by rules that are there.
    fn by(rules: Arc<Rules>, config: Config, intake: Intake, metrics: Arc<Metrics>, before: Option<&Live>) -> Live {
        let upstreams = {
            let before = before.map(|before| &*before.upstreams);
            Upstreams::new(&config.routes, &config.tuning, before, &metrics.proxying)
        };
        let limits = match before {
            Some(before) if before.config.rate_limit == config.rate_limit => before.limits.clone(),
            _ => Arc::new(RateLimits::new(&config.rate_limit)),
        };
        let known = |route| {
            let before = before?;
            let index = before.config.routes.iter().position(|known| known == route)?;
            before.routes.get(index)
        };
        let routes = config.routes.iter().map(|route| {
            let inject = match &route.inject {
                Some(inject) => inject,
                None if config.inject => &Inject::On,
                None => &Inject::Off,
            };
            Route::new(route, Injection::new(&config.script_path, inject), known(route))
        });
        let routes = routes.collect();
        let own_cookies = 0..config.routes.len();
        let own_cookies =
            own_cookies.map(|index| OwnCookies::new(&config.routes, index, rules.pipeline.cookie_name())).collect();
        let endpoint = Endpoint::new(rules.clone(), intake, limits.clone(), metrics, config.tuning.clone(), config.ack);
        let (client_hints, access) = (config.client_hints, Style::new(&config));
        Live {
            rules,
            endpoint,
            routes,
            own_cookies,
            upstreams: Arc::new(upstreams),
            client_hints,
            access,
            limits,
            config,
        }
    }

    /// The path in front of streams' ids.
    pub fn streams_path(&self) -> &str {
        &self.config.streams_path
    }

    /// The name by which we stand in `Via`, if we do.
    pub fn via(&self) -> Option<&str> {
        Some(&*self.config.server.via).filter(|name| !name.is_empty())
    }

    /// What this client has no say about, of what its headers say: which trace its request belongs to.
    pub fn untrusted_traces(&self, client: &Client, headers: &HeaderMap) -> Vec<HeaderName> {
        if client.from_trusted_proxy || self.config.server.client_traces {
            return Vec::new();
        }
        headers.keys().filter(|name| TRACES.contains(name)).cloned().collect()
    }

    /// How long a connection may idle between requests.
    pub fn keepalive(&self, from_trusted_proxy: bool) -> Duration {
        if from_trusted_proxy { PROXY_KEEPALIVE } else { *self.server().timeouts.idle }
    }

    /// `server:`
    pub fn server(&self) -> &ServerConfig {
        &self.config.server
    }
}

/// Replaces what a running edge does. It does not keep the edge alive.
#[derive(Clone)]
pub struct Replacer {
    pub(super) parts: Arc<Parts>,
    pub(super) tls: Arc<Tls>,
    pub(super) intake: Intake,
    pub(super) metrics: Arc<Metrics>,
    pub(super) challenges: Arc<Challenges>,
    pub(super) watched: watch::Sender<Arc<Upstreams>>,
    /// One replaces at a time, or an older configuration's certificates might stay beside a newer one.
    pub(super) turn: Arc<Mutex<()>>,
}

impl Replacer {
    /// Puts another, checked configuration to use. What stands fast for as long as the process runs, the addresses of
    /// listeners among it, stays as it is. Waits for the first answers of resolvers: not for a thread that serves.
    ///
    /// # Errors
    /// Certificates that cannot be read; then nothing has changed.
    pub fn replace(&self, mut config: Config, pipeline: Pipeline) -> Result<(), Vec<Problem>> {
        let _turn = self.turn.lock();
        let before = self.parts.live.load_full();
        // Other listeners need another process, and so does what is said about them: without listeners nothing may be
        // sent to TLS, and with them there must be certificates.
        if config.server.tls.listen.is_empty() != before.config.server.tls.listen.is_empty() {
            config.server.tls = before.config.server.tls.clone();
        }
        let setup = Setup::load(&config.server.tls, "server.tls")?;
        config.server.tls.listen = before.config.server.tls.listen.clone();
        config.tuning = before.config.tuning.clone();
        let live = Live::new(config, pipeline, self.intake.clone(), self.metrics.clone(), Some(&before));
        live.upstreams.resolve_first();
        self.tls.replace(setup);
        self.put(live, &before);
        Ok(())
    }

    fn put(&self, live: Live, before: &Live) {
        self.watched.send_replace(live.upstreams.clone());
        let live = Arc::new(live);
        self.parts.live.store(live.clone());
        live.upstreams.forget(&before.upstreams, &self.metrics.proxying);
    }

    /// What is configured now about the certificates we get ourselves; no names when nothing listens for them.
    pub fn acme(&self) -> AcmeConfig {
        let live = self.parts.live.load();
        let tls = &live.config.server.tls;
        if tls.listen.is_empty() { AcmeConfig::default() } else { tls.acme.clone() }
    }

    /// What our listeners say to an authority that asks.
    pub fn challenges(&self) -> &Challenges {
        &self.challenges
    }

    /// Reads the certificates of the configuration in use again: those of our listeners, and those by which upstreams
    /// are known and know us. Error pages, too; one that cannot be read any more is passed over with a warning.
    ///
    /// # Errors
    /// Some cannot be read; then nothing has changed about our listeners, or about the upstreams.
    pub fn renew_certificates(&self) -> Result<(), Vec<Problem>> {
        let _turn = self.turn.lock();
        let before = self.parts.live.load_full();
        let config = &before.config;
        let mut problems = unreadable(&config.routes, "routes");
        if problems.is_empty() && config.routes.iter().any(|route| route.files().next().is_some()) {
            let (intake, metrics) = (self.intake.clone(), self.metrics.clone());
            let live = Live::by(before.rules.clone(), config.clone(), intake, metrics, Some(&before));
            live.upstreams.resolve_first();
            self.put(live, &before);
        }
        match Setup::load(&config.server.tls, "server.tls") {
            Ok(setup) => self.tls.replace(setup),
            Err(found) => problems.extend(found),
        }
        if problems.is_empty() { Ok(()) } else { Err(problems) }
    }
}

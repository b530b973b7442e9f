//! From a configuration to bound listeners, and from there to the end of the last request.

use std::{
    future::Future,
    io,
    net::{SocketAddr, TcpListener},
    path::PathBuf,
    sync::Arc,
    thread,
    time::Duration,
};

use arc_swap::ArcSwap;
use pingora::{
    apps::HttpServerOptions,
    listeners::{L4BufferSettings, ListenerConfig},
    proxy::http_proxy,
    server::{RunArgs, Server, configuration::ServerConf},
    services::listening::Service,
};
use tokio::{
    runtime,
    sync::{Semaphore, watch},
    time::{Instant, timeout_at},
};

use super::{
    BindError, Config, Ending, Inherited, Intake, Replacer, ServerConfig,
    access::AccessLog,
    admin::{self, Admin},
    assets::Asset,
    front::Front,
    gateway::Gateway,
    inherited::Bound,
    lifecycle::{Lifecycle, PreBound, StopSignal},
    live::Live,
    parts::Parts,
    tls::{Listeners, Setup, Tls},
    upstream,
};
use crate::{acme::Challenges, deliver::Delivery, pipeline::Pipeline, telemetry::Metrics};

/// How a run ended. The admin listener answers until this is dropped.
#[derive(Debug)]
pub struct Stopped {
    /// Requests that were still being served when the grace was over.
    pub in_flight: usize,
    /// Another process goes on with the listeners.
    pub handed_over: bool,
    lifecycle: Arc<Lifecycle>,
    /// The server ended by itself: a bug, since it is only ever told to.
    pub failed: bool,
    _admin: Option<admin::Running>,
}

impl Stopped {
    /// Waits for requests that are still being served; how many there were at the deadline.
    pub async fn finish(&self, deadline: Instant) -> usize {
        let _ = timeout_at(deadline, self.lifecycle.idle()).await;
        self.left()
    }

    /// Requests that are being served now.
    pub fn left(&self) -> usize {
        self.lifecycle.in_flight()
    }
}

/// Bound listeners and everything behind them, ready to run.
pub struct Edge {
    server: ServerConfig,
    gateway: Gateway,
    replacer: Replacer,
    admin: Admin,
    intake: Intake,
    public: Vec<Bound>,
    public_addrs: Vec<SocketAddr>,
    tls_addrs: Vec<SocketAddr>,
    admin_listener: Bound,
}

impl Edge {
    /// Binds every listener now, so that a wrong address is an error of the start, and asks for the upstreams' names.
    pub fn bind(
        config: Config,
        pipeline: Pipeline,
        delivery: Delivery,
        metrics: Arc<Metrics>,
    ) -> Result<Edge, BindError> {
        Edge::bind_on(&mut Inherited::default(), config, pipeline, Intake::into(delivery), metrics)
    }

    /// The same on sockets that are there, as far as they are the configured ones. Those stay that are not.
    pub fn bind_on(
        sockets: &mut Inherited,
        mut config: Config,
        pipeline: Pipeline,
        intake: Intake,
        metrics: Arc<Metrics>,
    ) -> Result<Edge, BindError> {
        check_certificate_file()?;
        let mut public = Vec::new();
        for address in &config.server.listen {
            public.push(sockets.listen("server.listen", *address)?);
        }
        let public_addrs: Vec<_> = public.iter().map(|bound| bound.address).collect();
        let mut tls_addrs = Vec::new();
        for address in &config.server.tls.listen {
            public.push(sockets.listen("server.tls.listen", *address)?);
            tls_addrs.extend(public.last().map(|bound| bound.address));
        }
        config.server.tls.listen.clone_from(&tls_addrs);
        let admin_listener = sockets.listen("server.admin", config.server.admin)?;
        let setup = Setup::load(&config.server.tls, "server.tls").map_err(|problems| {
            let lines: Vec<_> =
                problems.iter().map(|problem| format!("{}: {}", problem.path, problem.message)).collect();
            BindError::Certificates(lines.join("\n"))
        })?;
        let challenges = Arc::new(Challenges::default());
        let listeners = Listeners::new(&public_addrs, &tls_addrs);
        let tls = Arc::new(Tls::new(listeners, setup, challenges.clone(), metrics.clone()));

        let (server, tuning) = (config.server.clone(), config.tuning.clone());
        let live = Live::new(config, pipeline, intake.clone(), metrics.clone(), None);
        live.upstreams.resolve_first();
        let lifecycle = Arc::new(Lifecycle::default());
        let watched = watch::Sender::new(live.upstreams.clone());
        let parts = Arc::new(Parts {
            live: ArcSwap::from_pointee(live),
            h2c: server.h2c,
            challenges: challenges.clone(),
            access: AccessLog::new(metrics.clone()),
            lifecycle: lifecycle.clone(),
            connections: Arc::default(),
            metrics: metrics.clone(),
            tuning,
        });
        let gateway = Gateway { parts: parts.clone(), script: Arc::new(Asset::script()) };
        let explaining = Arc::new(Semaphore::new(1));
        let replacer = Replacer {
            parts: parts.clone(),
            tls,
            intake: intake.clone(),
            metrics: metrics.clone(),
            challenges,
            watched,
            turn: Arc::default(),
        };
        let admin = Admin { lifecycle, intake: intake.clone(), metrics, parts, explaining };
        Ok(Edge { server, gateway, replacer, admin, intake, public, public_addrs, tls_addrs, admin_listener })
    }

    /// Addresses of the public listener, with the ports that port 0 became.
    pub fn public_addrs(&self) -> &[SocketAddr] {
        &self.public_addrs
    }

    /// Addresses of the listener that speaks TLS, likewise.
    pub fn tls_addrs(&self) -> &[SocketAddr] {
        &self.tls_addrs
    }

    /// Replaces what the edge does while it runs.
    pub fn replacer(&self) -> Replacer {
        self.replacer.clone()
    }

    /// Address of the admin listener.
    pub fn admin_addr(&self) -> SocketAddr {
        self.admin_listener.address
    }

    /// Copies of the listening sockets, each with its address as configured, for the process that takes our place.
    /// Whoever has them keeps them open.
    pub fn sockets(&self) -> io::Result<Vec<(SocketAddr, TcpListener)>> {
        let all = self.public.iter().chain([&self.admin_listener]);
        all.map(|bound| Ok((bound.asked, bound.socket.try_clone()?))).collect()
    }

    /// Serves until `shutdown` is ready, then takes no more connections and returns when the last request in flight
    /// has been answered, or when `server.shutdown.grace` is over. Blocks the calling thread.
    ///
    /// With [`Ending::HandedOver`] the listeners are somebody else's from then on. Connections are told to go by the
    /// answer to their next request, or after a while without one; the call returns when no request with events can
    /// come any more, while others are still being served.
    ///
    /// Pingora's own threads outlive the call, asleep; the process ends without them.
    pub fn run<E: Into<Ending>>(self, shutdown: impl Future<Output = E> + Send + 'static) -> Stopped {
        let grace = *self.server.shutdown.grace;
        let lifecycle = self.gateway.parts.lifecycle.clone();
        let (stop, stopping) = watch::channel(false);
        let (closed, mut is_closed) = watch::channel(false);

        let mut admin = match self.admin.run(self.admin_listener.socket, self.replacer.watched.subscribe()) {
            Ok(running) => Some(running),
            Err(error) => {
                tracing::error!(%error, "the admin listener cannot run");
                None
            }
        };
        let server = server(&self.server, self.gateway, self.replacer.tls, self.public, closed);
        let (ended, mut has_ended) = watch::channel(());
        let run = move || {
            // Dropped when the server returns or panics.
            let _ended = ended;
            server.run(RunArgs { shutdown_signal: Box::new(StopSignal(stopping)) });
        };
        let started = thread::Builder::new().name("edge".into()).spawn(run);
        if let Err(error) = started {
            tracing::error!(%error, "the public listener cannot run");
            return Stopped { in_flight: 0, handed_over: false, lifecycle, failed: true, _admin: admin };
        }

        let runtime = runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.expect("a runtime without threads needs only a few file descriptors");
        let intake = self.intake;
        let (handed_over, failed) = runtime.block_on(async {
            let (ending, failed) = tokio::select! {
                ending = shutdown => (ending.into(), false),
                _ = has_ended.changed() => (Ending::Stop, true),
            };
            lifecycle.end();
            let handed_over = matches!(ending, Ending::HandedOver { .. });
            if let Ending::HandedOver { linger } = ending {
                // Probes are the other process's, too.
                admin = None;
                lifecycle.linger(linger);
            }
            stop.send_replace(true);
            let quiet = async {
                // An error means that the listeners are gone, which is as good as closed.
                let _ = is_closed.wait_for(|closed| *closed).await;
                if handed_over { lifecycle.quiet(|| intake.events()).await } else { lifecycle.idle().await }
            };
            // Closing takes no time, but for the lingering. Whoever is still there after the deadline is counted below.
            let deadline = Instant::now() + lifecycle.lingers() + grace;
            let last_words = deadline - LAST_WORDS.min(grace / 4);
            tokio::pin!(quiet);
            if timeout_at(last_words, &mut quiet).await.is_err() {
                intake.hasten();
                let _ = timeout_at(deadline, quiet).await;
            }
            (handed_over, failed)
        });
        Stopped { in_flight: lifecycle.in_flight(), handed_over, lifecycle, failed, _admin: admin }
    }
}

/// What is left of the grace when those who wait for destinations are told that it has been in vain.
const LAST_WORDS: Duration = Duration::from_millis(300);

/// How long Pingora's own threads outlive [`Edge::run`] if the process lasts.
const SECONDS_ASLEEP: u64 = 24 * 60 * 60;

/// Pingora's server with the gateway as its one service.
fn server(
    config: &ServerConfig,
    gateway: Gateway,
    tls: Arc<Tls>,
    listeners: Vec<Bound>,
    closed: watch::Sender<bool>,
) -> Server {
    let mut conf = ServerConf {
        threads: config.threads.count(),
        // One runtime per thread: 12 to 17 % more requests per second on two cores than with stealing.
        work_stealing: false,
        // Pingora would sleep this long and then drop what is left. Who outlasts our own grace may go on while the rest
        // of the process ends; the process does not wait for it.
        // Scar: besides, Pingora's thread-bound runtimes must not end before the process. A later server in the same
        // process (only tests have one) could get a thread with the number of an ended one, and with it the ended
        // thread's runtime, where every task is dropped at once.
        grace_period_seconds: Some(SECONDS_ASLEEP),
        ..ServerConf::default()
    };
    conf.max_retries = upstream::MAX_ATTEMPTS;
    let mut server = Server::new_with_opt_and_conf(None, conf);
    server.bootstrap();
    let parts = gateway.parts.clone();
    let proxy = |gateway: Gateway, is_trusted| {
        let mut proxy = http_proxy(&server.configuration, gateway);
        let mut options = HttpServerOptions::default();
        options.h2_idle_timeout = Some(parts.live.load().keepalive(is_trusted));
        proxy.server_options = Some(options);
        Arc::new(proxy)
    };
    // How long a connection of HTTP/2 may be idle is the server's to Pingora, not the connection's.
    let patient = proxy(gateway.clone(), true);
    let front = Front { proxy: proxy(gateway, false), patient, parts: parts.clone(), tls };
    let mut service = Service::new("edge".to_owned(), front);
    for bound in &listeners {
        let listener = ListenerConfig::tcp(bound.address.to_string());
        // What is read goes straight into the buffer of whoever reads.
        service.add_listener(listener.l4_buffer(L4BufferSettings::default().read(0)));
    }
    let listeners = listeners.into_iter().map(|bound| (bound.address, bound.socket)).collect();
    server.add_service(PreBound::new(service, listeners, closed));
    server
}

/// Pingora reads the system's certificates when it starts and panics if this variable names no file.
fn check_certificate_file() -> Result<(), BindError> {
    let Some(path) = std::env::var_os("SSL_CERT_FILE").map(PathBuf::from) else { return Ok(()) };
    match std::fs::File::open(&path) {
        Ok(_) => Ok(()),
        Err(source) => Err(BindError::CertificateFile { path, source }),
    }
}

//! The whole wiring on one page: the parts are built here, in order, and taken down here, in order.
//!
//! Two worlds of threads. Pingora owns its own runtimes and, once told to stop, drops whatever still runs on them; so
//! delivery lives on a runtime of ours that outlives the server, and only rows cross between the two.

mod acme;
mod device_data;
mod geo_database;
mod reload;
mod serve;
mod signals;
mod upgrade;
mod watch;

use std::{
    future::Future,
    net::SocketAddr,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use anyhow::Context;
use parking_lot::Mutex;
use tokio::{runtime, signal::unix::Signal};
use tracing::{error, info, warn};

pub use crate::edge::Inherited;
pub use device_data::read as read_device_data;
use reload::{Reloader, Seen};
pub use serve::{Beginning, serve};
use signals::Ends;
pub use signals::Signals;
use upgrade::{Predecessor, Successor};

use crate::{
    config::{Config, Sources},
    deliver::{Delivery, Drained},
    edge::{self, Edge, Ending, Intake},
    enrich::{self, Atlas, DeviceData},
    pipeline::Pipeline,
    telemetry::Metrics,
};

/// A built process whose ports are bound and whose spool is recovered, ready to run.
pub struct App {
    runtime: runtime::Runtime,
    intake: Intake,
    edge: Edge,
    parts: Reloadable,
    drain: Duration,
}

/// Runtime of delivery and whatever else outlives Pingora's own.
fn runtime() -> anyhow::Result<runtime::Runtime> {
    let mut builder = runtime::Builder::new_multi_thread();
    builder.worker_threads(2).thread_name("delivery").enable_all();
    builder.build().context("cannot start the delivery runtime")
}

/// What goes on when the configuration changes.
struct Reloadable {
    config: Config,
    atlas: Atlas,
    devices: DeviceData,
    metrics: Arc<Metrics>,
}

impl App {
    /// Builds every part. Whatever cannot work (a taken port, a locked spool) is an error here, before anything is
    /// served.
    pub fn start(config: Config, metrics: Arc<Metrics>) -> anyhow::Result<App> {
        App::start_on(&mut Inherited::default(), config, metrics)
    }

    /// The same on sockets that are there, as far as they are the configured ones.
    pub fn start_on(sockets: &mut Inherited, config: Config, metrics: Arc<Metrics>) -> anyhow::Result<App> {
        let runtime = runtime()?;
        let delivery = Delivery::start(&config.writers, metrics.clone(), runtime.handle())?;
        let app = App::build(runtime, sockets, config, Intake::into(delivery), metrics)?;
        app.runtime.spawn(acme::keep(app.edge.replacer()));
        Ok(app)
    }

    /// Builds every part but delivery, whose spool is another process's; it follows when that one has closed it.
    fn take_over(
        predecessor: Predecessor,
        sockets: &mut Inherited,
        config: Config,
        metrics: Arc<Metrics>,
    ) -> anyhow::Result<App> {
        let intake = Intake::pending();
        let app = App::build(runtime()?, sockets, config, intake.clone(), metrics.clone())?;
        predecessor.serving().context("the process before this one is gone, hint: start without `--upgrade`")?;
        let (writers, runtime) = (app.parts.config.writers.clone(), app.runtime.handle().clone());
        let replacer = app.edge.replacer();
        let open = move || {
            predecessor.released();
            let began = Instant::now();
            loop {
                match Delivery::start(&writers, metrics.clone(), &runtime) {
                    Ok(delivery) => break intake.open(delivery),
                    // Not the lock alone may take a moment: a folder may be full, a key unreadable. The site is served
                    // meanwhile, so this process stays.
                    Err(error) => {
                        error!(%error, "the spool cannot be had; events are refused until it can");
                        intake.fail(error.to_string());
                        thread::sleep(AGAIN);
                    }
                }
            }
            info!(waited = ?began.elapsed(), "the spool is ours");
            // Not before: the old one may have an order at hand, and proofs would be asked for here.
            runtime.spawn(acme::keep(replacer));
        };
        thread::Builder::new().name("take-over".into()).spawn(open)?;
        Ok(app)
    }

    fn build(
        runtime: runtime::Runtime,
        sockets: &mut Inherited,
        config: Config,
        intake: Intake,
        metrics: Arc<Metrics>,
    ) -> anyhow::Result<App> {
        let atlas = geo_database::start(&config.geo.database, &metrics, runtime.handle())?;
        let devices = device_data::start(&config.device, &metrics, runtime.handle())?;
        let drain = *config.server.shutdown.drain;
        let pipeline = pipeline(&config, &atlas, &devices);
        let edge = Edge::bind_on(sockets, edge_config(&config), pipeline, intake.clone(), metrics.clone())?;
        let parts = Reloadable { config, atlas, devices, metrics };
        Ok(App { runtime, intake, edge, parts, drain })
    }

    /// From now on, changes of the configuration are taken: when its files are others than those that were seen, and on
    /// SIGHUP.
    pub fn follow(&self, sources: Sources, seen: Seen, hang_up: Signal) {
        let Reloadable { config, atlas, devices, metrics } = &self.parts;
        let reloader = Reloader {
            sources,
            began_with: config.clone(),
            seen,
            replacer: self.edge.replacer(),
            atlas: atlas.clone(),
            devices: devices.clone(),
            metrics: metrics.clone(),
        };
        reloader.start(self.runtime.handle(), hang_up);
    }

    /// Addresses of the listeners that speak TLS, likewise.
    pub fn tls_addrs(&self) -> &[SocketAddr] {
        self.edge.tls_addrs()
    }

    /// Addresses of the public listeners, with the real port where 0 was asked for.
    pub fn public_addrs(&self) -> &[SocketAddr] {
        self.edge.public_addrs()
    }

    /// Address of the admin listener.
    pub fn admin_addr(&self) -> SocketAddr {
        self.edge.admin_addr()
    }

    /// Delivery's side of the ledger, for tests that balance it. `None` while another process has the spool.
    pub fn delivery(&self) -> Option<&Delivery> {
        self.intake.delivery()
    }

    /// Serves until `shutdown` resolves, then lets requests in flight finish and drains the spool into the sinks.
    pub fn run<E: Into<Stop>>(self, shutdown: impl Future<Output = E> + Send + 'static) -> Finished {
        let App { runtime, intake, edge, drain, parts } = self;
        let upgrade = parts.config.server.upgrade.clone();
        let successor = Arc::new(Mutex::new(None));
        let told = successor.clone();
        // The admin listener answers until this is dropped, so that probes see why the process is not ready.
        let mut stopped = edge.run(async move {
            match shutdown.await.into() {
                Stop::Terminate => Ending::Stop,
                Stop::Upgrade(successor) => {
                    *told.lock() = Some(successor);
                    Ending::HandedOver { linger: *upgrade.linger }
                }
            }
        });
        if stopped.in_flight > 0 && !stopped.handed_over {
            warn!(requests = stopped.in_flight, "the grace period is over; requests were cut off");
        }
        let nothing = Drained { delivered: 0, left_in_spool: 0 };
        let drained = match intake.delivery() {
            Some(delivery) => runtime.block_on(delivery.drain(Instant::now() + drain)),
            None => nothing,
        };
        let failed = stopped.failed;
        let successor = successor.lock().take();
        if let Some(successor) = &successor {
            // Whoever still writes into the lake must not be joined there.
            let began = Instant::now();
            runtime.shutdown_timeout(UNWIND);
            if let Some(delivery) = intake.delivery().filter(|_| began.elapsed() < UNWIND) {
                delivery.release();
            }
            successor.release();
            info!(requests = stopped.in_flight, "another process has taken over; finishing what is in flight");
            stopped.in_flight = finish(&stopped, *upgrade.grace);
            if stopped.in_flight > 0 {
                warn!(requests = stopped.in_flight, "`server.upgrade.grace` is over; requests were cut off");
            }
            drop(stopped);
        } else {
            drop(stopped);
            runtime.shutdown_timeout(Duration::from_millis(200));
        }
        Finished { drained, failed, handed_over: successor.is_some() }
    }
}

/// How long after a failure the spool is asked for again.
const AGAIN: Duration = Duration::from_secs(1);
/// What still runs beside delivery when the spool is handed over is done within this time; else the lock ends with the
/// process.
const UNWIND: Duration = Duration::from_secs(5);

/// Why a process ends.
pub enum Stop {
    /// It was told to.
    Terminate,
    /// Another one has taken its place.
    Upgrade(Successor),
}

impl From<()> for Stop {
    fn from((): ()) -> Stop {
        Stop::Terminate
    }
}

/// Waits for requests that are still being served, or for SIGTERM; how many are left.
fn finish(stopped: &edge::Stopped, grace: Duration) -> usize {
    let ends = Ends::listen();
    let runtime = runtime::Builder::new_current_thread().enable_all().build();
    match runtime {
        Ok(runtime) => runtime.block_on(async {
            let finished = stopped.finish((Instant::now() + grace).into());
            let Ok(mut ends) = ends else { return finished.await };
            tokio::select! {
                left = finished => left,
                () = ends.come() => stopped.left(),
            }
        }),
        Err(error) => {
            error!(%error, "cannot wait for requests in flight");
            stopped.in_flight
        }
    }
}

/// What the configuration says of requests, without a listener and without a destination.
pub fn rules(config: &Config) -> anyhow::Result<edge::Rules> {
    let atlas = geo_database::open(&config.geo.database)?;
    let devices = device_data::read(&config.device)?;
    Ok(edge::Rules::new(&edge_config(config), pipeline(config, &atlas, &devices)))
}

fn pipeline(config: &Config, atlas: &Atlas, devices: &DeviceData) -> Pipeline {
    let steps = enrich::standard_on(&config.enrich(), atlas, devices);
    Pipeline::new(&config.collect, &config.streams, &config.cookie, steps).with_privacy(&config.privacy)
}

fn edge_config(config: &Config) -> edge::Config {
    let project = config.writers.project_id.clone();
    edge::Config { project, ..edge::Config::new(&config.server, &config.cors, &config.routes, &config.collect) }
}

/// How a run ended.
#[derive(Clone, Copy, Debug)]
pub struct Finished {
    /// What became of the rows that were in the spool.
    pub drained: Drained,
    /// The server ended without being told to.
    pub failed: bool,
    /// Another process goes on.
    pub handed_over: bool,
}

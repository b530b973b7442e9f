//! The whole wiring on one page: the parts are built here, in order, and taken down here, in order.
//!
//! Two worlds of threads. Pingora owns its own runtimes and, once told to stop, drops whatever still runs on them; so
//! delivery lives on a runtime of ours that outlives the server, and only rows cross between the two.

mod acme;
mod device_data;
mod geo_database;
mod reload;
mod watch;

use std::{
    future::Future,
    net::SocketAddr,
    process::ExitCode,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::Context;
use tokio::{runtime, signal::unix};
use tracing::{error, info, warn};

pub use device_data::read as read_device_data;
use reload::Reloader;

use crate::{
    config::{Config, Sources},
    deliver::{Delivery, Drained},
    edge::{self, Edge},
    enrich::{self, Atlas, DeviceData},
    pipeline::Pipeline,
    telemetry::{Metrics, log},
};

/// A built process whose ports are bound and whose spool is recovered, ready to run.
pub struct App {
    runtime: runtime::Runtime,
    delivery: Delivery,
    edge: Edge,
    parts: Reloadable,
    drain: Duration,
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
        let runtime = runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .thread_name("delivery")
            .enable_all()
            .build()
            .context("cannot start the delivery runtime")?;
        let delivery = Delivery::start(&config.writers, metrics.clone(), runtime.handle())?;

        let atlas = geo_database::start(&config.geo.database, &metrics, runtime.handle())?;
        let devices = device_data::start(&config.device, &metrics, runtime.handle())?;
        let drain = *config.server.shutdown.drain;
        let pipeline = pipeline(&config, &atlas, &devices);
        let edge = Edge::bind(edge_config(&config), pipeline, delivery.clone(), metrics.clone())?;
        runtime.spawn(acme::keep(edge.replacer()));
        let parts = Reloadable { config, atlas, devices, metrics };
        Ok(App { runtime, delivery, edge, parts, drain })
    }

    /// From now on, changes of the configuration are taken: when its files change, and on SIGHUP.
    pub fn follow(&self, sources: Sources) {
        let Reloadable { config, atlas, devices, metrics } = &self.parts;
        let reloader = Reloader {
            sources,
            began_with: config.clone(),
            replacer: self.edge.replacer(),
            atlas: atlas.clone(),
            devices: devices.clone(),
            metrics: metrics.clone(),
        };
        reloader.start(self.runtime.handle());
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

    /// Delivery's side of the ledger, for tests that balance it.
    pub fn delivery(&self) -> &Delivery {
        &self.delivery
    }

    /// Serves until `shutdown` resolves, then lets requests in flight finish and drains the spool into the sinks.
    pub fn run(self, shutdown: impl Future<Output = ()> + Send + 'static) -> Finished {
        let App { runtime, delivery, edge, drain, .. } = self;
        // The admin listener answers until this is dropped, so that probes see why the process is not ready.
        let stopped = edge.run(shutdown);
        if stopped.in_flight > 0 {
            warn!(requests = stopped.in_flight, "the grace period is over; requests were cut off");
        }
        let drained = runtime.block_on(delivery.drain(Instant::now() + drain));
        let failed = stopped.failed;
        drop(stopped);
        runtime.shutdown_timeout(Duration::from_millis(200));
        Finished { drained, failed }
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
    edge::Config::new(&config.server, &config.cors, &config.routes, &config.collect)
}

/// How a run ended.
#[derive(Clone, Copy, Debug)]
pub struct Finished {
    /// What became of the rows that were in the spool.
    pub drained: Drained,
    /// The server ended without being told to.
    pub failed: bool,
}

/// Runs the process until SIGTERM or SIGINT, and follows changes of the `sources` that the configuration is from. Exit code 0: everything accepted was delivered; 1: something is left in
/// the spool for the next start.
pub fn serve(config: Config, sources: Option<Sources>) -> anyhow::Result<ExitCode> {
    let metrics = Arc::new(Metrics::new());
    log::watch_panics(metrics.clone());
    let app = App::start(config, metrics)?;
    if let Some(sources) = sources {
        app.follow(sources);
    }
    for addr in app.public_addrs() {
        info!(%addr, "serving");
    }
    for addr in app.tls_addrs() {
        info!(%addr, "serving, by TLS");
    }
    info!(addr = %app.admin_addr(), "admin listener");

    let Finished { drained, failed } = app.run(stop_signal());
    if failed {
        error!("the server ended by itself: a bug, please report it with the lines above");
        return Ok(ExitCode::FAILURE);
    }
    if drained.left_in_spool == 0 {
        info!(delivered = drained.delivered, "stopped, everything delivered");
        return Ok(ExitCode::SUCCESS);
    }
    warn!(
        delivered = drained.delivered,
        left = drained.left_in_spool,
        "stopped; the next start delivers what is left in the spool"
    );
    Ok(ExitCode::FAILURE)
}

/// Resolves at the first SIGTERM or SIGINT. A second SIGINT ends the process at once, as an impatient person means it.
async fn stop_signal() {
    let signals = (unix::signal(unix::SignalKind::terminate()), unix::signal(unix::SignalKind::interrupt()));
    let (Ok(mut terminate), Ok(mut interrupt)) = signals else {
        error!("cannot listen for signals; stop the process with SIGKILL");
        return std::future::pending().await;
    };
    tokio::select! {
        _ = terminate.recv() => info!("SIGTERM: finishing what is in flight"),
        _ = interrupt.recv() => info!("SIGINT: finishing what is in flight; once more to stop at once"),
    }
    tokio::spawn(async move {
        interrupt.recv().await;
        std::process::exit(130);
    });
}

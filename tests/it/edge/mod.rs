//! The edge over real sockets: raw bytes in, raw bytes out, with a raw origin behind it.

#![allow(clippy::unwrap_used)]

mod admission;
mod balance;
mod compress;
mod deadlines;
mod end;
mod error_pages;
mod events;
mod files;
mod from_site;
mod front;
mod hints;
mod identity;
mod inject;
mod lanes;
mod messages;
mod origins;
mod ours;
mod routes;
mod site;
mod sockets;
mod still_sending;
mod tls;
mod to_site;
mod uploads;
mod upstreams;
mod wire;

use std::{
    net::{SocketAddr, TcpListener},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    thread::{self, JoinHandle},
};

use real_streaming::{
    collect::{self, CookieConfig},
    deliver::{Delivery, WritersConfig},
    edge::{Config, CorsConfig, Edge, Replacer, RouteConfig, ServerConfig, Stopped},
    enrich::Enricher,
    pipeline::Pipeline,
    telemetry::Metrics,
};
use tokio::sync::oneshot;

use crate::{
    client::{Answer, Client, free_port},
    world::until,
};

const EVENT: &str = r#"{"event_name":"page_view"}"#;
const STREAM: &str = "/api/v1/streaming/1";

/// A free port, and the URL of whoever answers there.
fn listen() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    (listener, url)
}

/// A site that serves each connection by itself, and how many it got.
fn counting(serve: fn(Client)) -> (String, Arc<AtomicUsize>) {
    let (listener, url) = listen();
    let connections = Arc::new(AtomicUsize::new(0));
    let counted = connections.clone();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            counted.fetch_add(1, SeqCst);
            thread::spawn(move || serve(Client::on(stream).unwrap()));
        }
    });
    (url, connections)
}

/// An edge on free ports, until it is stopped or dropped.
struct World {
    public: SocketAddr,
    /// Where it speaks TLS, if it does.
    tls: Option<SocketAddr>,
    replacer: Replacer,
    admin: SocketAddr,
    metrics: Arc<Metrics>,
    stop: Option<oneshot::Sender<()>>,
    run: Option<JoinHandle<Stopped>>,
    _parts: Parts,
}

/// What delivery needs to live.
struct Parts {
    _runtime: tokio::runtime::Runtime,
    _folder: tempfile::TempDir,
}

/// The two storeys below, as real as they are.
fn storeys(metrics: &Arc<Metrics>) -> (Pipeline, Delivery, Parts) {
    storeys_with(metrics, Vec::new())
}

fn storeys_with(metrics: &Arc<Metrics>, steps: Vec<Box<dyn Enricher>>) -> (Pipeline, Delivery, Parts) {
    let pipeline = Pipeline::new(&collect::Config::default(), &[], &CookieConfig::default(), steps);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let mut writers = WritersConfig::default();
    writers.local.directory = folder.path().join("data");
    writers.spool.directory = folder.path().join("spool");
    let delivery = Delivery::start(&writers, metrics.clone(), runtime.handle()).unwrap();
    (pipeline, delivery, Parts { _runtime: runtime, _folder: folder })
}

impl World {
    /// Fronts these upstreams on every host.
    fn fronting(upstreams: &[String]) -> World {
        let upstreams = upstreams.iter().map(|url| url.parse().unwrap()).collect();
        World::with(vec![RouteConfig { upstreams, ..RouteConfig::default() }], |_| {})
    }

    fn alone() -> World {
        World::with(Vec::new(), |_| {})
    }

    /// Routes as JSON.
    fn routing(routes: serde_json::Value) -> World {
        World::with(serde_json::from_value(routes).unwrap(), |_| {})
    }

    fn with(routes: Vec<RouteConfig>, change: impl FnOnce(&mut Config)) -> World {
        World::enriching(Vec::new(), routes, change)
    }

    /// With these steps between a claim and a row.
    fn enriching(steps: Vec<Box<dyn Enricher>>, routes: Vec<RouteConfig>, change: impl FnOnce(&mut Config)) -> World {
        let server = ServerConfig {
            listen: vec![([127, 0, 0, 1], 0).into()],
            admin: ([127, 0, 0, 1], 0).into(),
            ..ServerConfig::default()
        };
        let mut config = Config::new(&server, &CorsConfig::default(), &routes, &collect::Config::default());
        change(&mut config);
        let metrics = Arc::new(Metrics::new());
        let (pipeline, delivery, parts) = storeys_with(&metrics, steps);
        let edge = Edge::bind(config, pipeline, delivery, metrics.clone()).unwrap();
        let (public, admin) = (edge.public_addrs()[0], edge.admin_addr());
        let (tls, replacer) = (edge.tls_addrs().first().copied(), edge.replacer());
        let (stop, stopped) = oneshot::channel::<()>();
        let run = thread::spawn(move || {
            edge.run(async {
                let _ = stopped.await;
            })
        });
        World { public, tls, replacer, admin, metrics, stop: Some(stop), run: Some(run), _parts: parts }
    }

    fn connect(&self) -> Client {
        Client::connect(self.public)
    }

    /// One request on a connection of its own.
    fn ask(&self, request: &str) -> Answer {
        let mut client = self.connect();
        client.send(request);
        client.answer(request.starts_with("HEAD"))
    }

    fn get(&self, path: &str, headers: &str) -> Answer {
        self.ask(&format!("GET {path} HTTP/1.1\r\nHost: site.example\r\n{headers}\r\n"))
    }

    fn admin(&self, path: &str) -> Answer {
        let mut client = Client::connect(self.admin);
        client.send(format!("GET {path} HTTP/1.1\r\nHost: admin\r\n\r\n"));
        client.answer(false)
    }

    /// Starts the shutdown without waiting for its end.
    fn begin_stop(&mut self) {
        self.stop.take().unwrap().send(()).unwrap();
    }

    fn wait(&mut self) -> Stopped {
        self.run.take().unwrap().join().unwrap()
    }

    /// Waits until a metric's line is there: metrics are written after the answer.
    #[track_caller]
    fn metric(&self, line: &str) {
        until(line, || self.metrics.encode().lines().any(|l| l == line).then_some(()));
    }
}

impl Drop for World {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(run) = self.run.take() {
            let _ = run.join();
        }
    }
}

fn event(headers: &str) -> String {
    format!("POST {STREAM} HTTP/1.1\r\nHost: site.example\r\n{headers}Content-Length: {}\r\n\r\n{EVENT}", EVENT.len())
}

/// An address nobody listens on.
fn nobody() -> String {
    format!("http://{}", free_port())
}

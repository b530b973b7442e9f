//! Every metric of the process is a named item here. Names are `real_streaming_<noun>_<verb>_total` and the like;
//! label values come from closed sets, and stream ids, which clients can invent, are bounded.

use std::{sync::Arc, sync::atomic::AtomicU64};

use foldhash::HashSet;
use parking_lot::Mutex;
use prometheus_client::{
    encoding::{EncodeLabelSet, text::encode},
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::Registry,
};

use super::proxying::Proxying;

/// Stream ids kept apart in metrics; further ones share the label value [`OTHER`].
const MAX_STREAMS: usize = 1_000;
const OTHER: &str = "other";

/// One stream.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ByStream {
    /// Stream id, or `other`.
    pub stream: Arc<str>,
}

/// One stream and why an event ended there.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ByStreamReason {
    /// Stream id, or `other`.
    pub stream: Arc<str>,
    /// A `DropReason`.
    pub reason: &'static str,
}

/// One sink.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct BySink {
    /// Name of the sink: `local`, `direct`, `pubsub`.
    pub sink: &'static str,
}

/// One sink and one stream.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct BySinkStream {
    /// Name of the sink.
    pub sink: &'static str,
    /// Stream id, or `other`.
    pub stream: Arc<str>,
}

/// One sink, one stream, and why events ended as dead letters.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct BySinkStreamReason {
    /// Name of the sink.
    pub sink: &'static str,
    /// Stream id, or `other`.
    pub stream: Arc<str>,
    /// A dead letter's reason.
    pub reason: &'static str,
}

/// How requests were handled.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ByHandler {
    /// `collect`, `asset`, `health` or `proxy`.
    pub handler: &'static str,
    /// `1xx` to `5xx`, or `none` when nothing could be sent.
    pub status: &'static str,
}

/// One kind of refusal.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ByCode {
    /// A `Refusal`'s code.
    pub code: &'static str,
}

/// A file or folder of data that the configuration names.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ByDataFile {
    /// Its key: `geo.database`, `device.matomo`, `device.play_devices`.
    pub key: &'static str,
    /// `taken`; `refused` when it could not be read and the old content stayed in use.
    pub outcome: &'static str,
}

/// How a handshake ended.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ByHandshake {
    /// `ok`, `failed`, `timed_out`, or `proof` when an authority asked for one and got it.
    pub outcome: &'static str,
}

/// Why a connection was closed before it had a request.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ByConnection {
    /// `total` or `per_client`: there were too many; `proxy_protocol`: it was missing; `slow_header`, `large_header`, `request_line`, `chunks`, `method`, `header`: it was none.
    pub reason: &'static str,
}

/// One certificate of ours.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ByCertificate {
    /// The first name in it.
    pub name: Arc<str>,
}

/// What became of a changed configuration.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ByReload {
    /// `taken`, `refused`, or `partly` when some of it needs a restart.
    pub outcome: &'static str,
}

type Seconds = Gauge<f64, AtomicU64>;

/// The metrics of one process (or of one test world).
pub struct Metrics {
    registry: Registry,
    streams: Mutex<HashSet<Arc<str>>>,

    /// Events found in accepted requests, valid or not.
    pub events_received: Family<ByStream, Counter>,
    /// Events answered but not kept, by reason.
    pub events_dropped: Family<ByStreamReason, Counter>,
    /// Events that were already in the spool when the process started.
    pub events_recovered: Family<BySinkStream, Counter>,
    /// Events a sink has taken.
    pub events_delivered: Family<BySinkStream, Counter>,
    /// Events a sink will never take, kept as dead letters.
    pub events_dead_lettered: Family<BySinkStreamReason, Counter>,
    /// Events that wait in the spool for a sink.
    pub events_in_spool: Family<BySinkStream, Gauge>,

    /// Bytes of the spool on disk.
    pub spool_bytes: Gauge,
    /// Time from handing rows to the spool until they are as durable as configured.
    pub spool_append_seconds: Histogram,
    /// Appends refused because the spool was full or its disk failed.
    pub spool_refusals: Counter,
    /// Damaged or unknown records met, and skipped, when the spool was opened.
    pub spool_damaged: Counter,

    /// Batches a sink has taken.
    pub batches_written: Family<BySink, Counter>,
    /// Attempts to write a batch that failed and were tried again.
    pub batches_retried: Family<BySink, Counter>,
    /// 1 while a sink waits for someone to act.
    pub sink_blocked: Family<BySink, Gauge>,
    /// Age of the oldest row a sink has not taken yet.
    pub sink_lag_seconds: Family<BySink, Seconds>,

    /// Requests by handler and status class.
    pub http_requests: Family<ByHandler, Counter>,
    /// Time from the request's header to the end of the answer.
    pub http_request_seconds: Histogram,
    /// Refused requests on collection paths.
    pub refusals: Family<ByCode, Counter>,
    /// New versions of data files, seen while running.
    pub data_files_replaced: Family<ByDataFile, Counter>,
    /// Connections of clients.
    pub connections: Gauge,
    /// Connections that were closed for what they are or how they began a request.
    pub connections_refused: Family<ByConnection, Counter>,
    /// TLS handshakes with clients.
    pub tls_handshakes: Family<ByHandshake, Counter>,
    /// When a certificate in use ends, in seconds since 1970.
    pub tls_certificate_ends: Family<ByCertificate, Gauge>,
    /// Configurations read again while running.
    pub config_reloads: Family<ByReload, Counter>,
    /// Log lines that standard output did not take.
    pub log_lines_lost: Counter,
    /// Panics caught; each one is a bug.
    pub panics: Counter,
    /// Of routes and upstreams.
    pub proxying: Proxying,
}

/// A histogram of times from 0.1 ms to 10 s.
pub(super) fn durations() -> Histogram {
    Histogram::new([
        0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
    ])
}

impl Default for Metrics {
    fn default() -> Metrics {
        Metrics::new()
    }
}

/// Label values for statuses, by their first digit.
pub const CLASSES: [&str; 6] = ["none", "1xx", "2xx", "3xx", "4xx", "5xx"];

/// Index of a status in [`CLASSES`]; 0 is no answer.
pub fn class(status: u16) -> usize {
    usize::from(status / 100).min(CLASSES.len() - 1)
}

impl Metrics {
    /// Registers every metric.
    pub fn new() -> Metrics {
        let mut registry = Registry::with_prefix("real_streaming");
        let mut metrics = Metrics {
            proxying: Proxying::new(&mut registry),
            registry,
            streams: Mutex::default(),
            events_received: Family::default(),
            events_dropped: Family::default(),
            events_recovered: Family::default(),
            events_delivered: Family::default(),
            events_dead_lettered: Family::default(),
            events_in_spool: Family::default(),
            spool_bytes: Gauge::default(),
            spool_append_seconds: durations(),
            spool_refusals: Counter::default(),
            spool_damaged: Counter::default(),
            batches_written: Family::default(),
            batches_retried: Family::default(),
            sink_blocked: Family::default(),
            sink_lag_seconds: Family::default(),
            http_requests: Family::default(),
            http_request_seconds: durations(),
            refusals: Family::default(),
            data_files_replaced: Family::default(),
            connections: Gauge::default(),
            connections_refused: Family::default(),
            tls_handshakes: Family::default(),
            tls_certificate_ends: Family::default(),
            config_reloads: Family::default(),
            log_lines_lost: Counter::default(),
            panics: Counter::default(),
        };
        let r = &mut metrics.registry;
        r.register(
            "events_received",
            "Events found in accepted requests, valid or not",
            metrics.events_received.clone(),
        );
        r.register("events_dropped", "Events answered but not kept, by reason", metrics.events_dropped.clone());
        r.register("events_recovered", "Events already in the spool at start", metrics.events_recovered.clone());
        r.register("events_delivered", "Events a sink has taken", metrics.events_delivered.clone());
        r.register(
            "events_dead_lettered",
            "Events kept as dead letters, by reason",
            metrics.events_dead_lettered.clone(),
        );
        r.register("events_in_spool", "Events that wait in the spool for a sink", metrics.events_in_spool.clone());
        r.register("spool_bytes", "Bytes of the spool on disk", metrics.spool_bytes.clone());
        r.register(
            "spool_append_seconds",
            "Time until rows are as durable as configured",
            metrics.spool_append_seconds.clone(),
        );
        r.register("spool_refusals", "Appends refused: spool full or its disk failed", metrics.spool_refusals.clone());
        r.register("spool_damaged", "Damaged or unknown records skipped at start", metrics.spool_damaged.clone());
        r.register("batches_written", "Batches a sink has taken", metrics.batches_written.clone());
        r.register("batches_retried", "Failed attempts to write a batch, tried again", metrics.batches_retried.clone());
        r.register("sink_blocked", "1 while a sink waits for someone to act", metrics.sink_blocked.clone());
        r.register("sink_lag_seconds", "Age of the oldest row a sink has not taken", metrics.sink_lag_seconds.clone());
        r.register("http_requests", "Requests by handler and status class", metrics.http_requests.clone());
        r.register(
            "http_request_seconds",
            "Time from a request's header to the end of its answer",
            metrics.http_request_seconds.clone(),
        );
        r.register("refusals", "Refused requests on collection paths, by code", metrics.refusals.clone());
        r.register(
            "data_files_replaced",
            "New versions of data files seen while running, by outcome",
            metrics.data_files_replaced.clone(),
        );
        r.register("connections", "Open connections of clients", metrics.connections.clone());
        r.register(
            "connections_refused",
            "Connections closed for what they are or how they began a request, by reason",
            metrics.connections_refused.clone(),
        );
        r.register("tls_handshakes", "TLS handshakes with clients, by outcome", metrics.tls_handshakes.clone());
        r.register(
            "tls_certificate_end_timestamp_seconds",
            "When a certificate in use ends, in seconds since 1970",
            metrics.tls_certificate_ends.clone(),
        );
        r.register(
            "config_reloads",
            "Configurations read again while running, by outcome",
            metrics.config_reloads.clone(),
        );
        r.register("log_lines_lost", "Log lines that standard output did not take", metrics.log_lines_lost.clone());
        r.register("panics", "Panics caught; each one is a bug", metrics.panics.clone());
        metrics
    }

    /// The label value for a stream: itself, or `other` once [`MAX_STREAMS`] different ones have been seen. The answer
    /// for one id never changes within a process, so sums over a label always balance.
    pub fn stream(&self, id: &str) -> Arc<str> {
        let mut streams = self.streams.lock();
        if let Some(known) = streams.get(id) {
            return known.clone();
        }
        if streams.len() >= MAX_STREAMS {
            return OTHER.into();
        }
        let id: Arc<str> = id.into();
        streams.insert(id.clone());
        id
    }

    /// The text that `/metrics` answers (OpenMetrics, which Prometheus reads).
    pub fn encode(&self) -> String {
        let mut text = String::new();
        encode(&mut text, &self.registry).expect("writing to a String cannot fail");
        text
    }
}

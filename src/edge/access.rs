//! One log line and the metrics of every request, at its end. Query strings are left out: they carry what visitors
//! typed.

use std::{net::IpAddr, sync::Arc, time::Duration};

use http::{HeaderMap, Method, Uri};
use prometheus_client::metrics::counter::Counter;

use super::request::{RequestId, host};
use crate::telemetry::{
    Metrics,
    metrics::{ByHandler, CLASSES, class},
};

/// Who answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Handler {
    /// The collection endpoint.
    Collect,
    /// The tracking script.
    Asset,
    /// The health check.
    Health,
    /// The site, or nobody in its place.
    Proxy,
    /// A route by itself: a file, a redirect, a refusal.
    Route,
}

const HANDLERS: [(Handler, &str); 5] = [
    (Handler::Collect, "collect"),
    (Handler::Asset, "asset"),
    (Handler::Health, "health"),
    (Handler::Proxy, "proxy"),
    (Handler::Route, "route"),
];

/// Records requests.
pub struct AccessLog {
    metrics: Arc<Metrics>,
    /// By handler and class: looked up once, not per request.
    requests: [[Counter; 6]; HANDLERS.len()],
}

impl AccessLog {
    /// Records into these metrics.
    pub fn new(metrics: Arc<Metrics>) -> AccessLog {
        let requests = HANDLERS.map(|(_, handler)| {
            CLASSES.map(|status| metrics.http_requests.get_or_create(&ByHandler { handler, status }).clone())
        });
        AccessLog { metrics, requests }
    }

    /// A request has ended.
    pub fn record(&self, ended: &Ended<'_>) {
        let Ended { handler, status, .. } = *ended;
        self.requests[handler as usize][class(status)].inc();
        self.metrics.http_request_seconds.observe(ended.took.as_secs_f64());
        tracing::debug!(
            target: "real_streaming::access",
            handler = HANDLERS[handler as usize].1,
            method = %ended.method,
            host = %host(ended.uri, ended.headers),
            path = ended.uri.path(),
            status,
            bytes = ended.bytes,
            client = ended.client.map(tracing::field::display),
            request_id = ended.request_id.map_or("-", |id| id),
            took = ?ended.took,
            aborted = ended.aborted,
        );
    }
}

/// A request that has ended.
pub struct Ended<'a> {
    /// Who answered.
    pub handler: Handler,
    /// As sent.
    pub method: &'a Method,
    /// As sent.
    pub uri: &'a Uri,
    /// As sent.
    pub headers: &'a HeaderMap,
    /// Of the answer; 0 when there was none.
    pub status: u16,
    /// Bytes of the answer's body.
    pub bytes: usize,
    /// Who asked.
    pub client: Option<IpAddr>,
    /// As told to the client; none before that was made.
    pub request_id: Option<&'a RequestId>,
    /// From the complete request header to the end of the answer.
    pub took: Duration,
    /// Whether it ended before its time.
    pub aborted: bool,
}

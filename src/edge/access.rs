//! One log line and the metrics of every request, at its end.

mod config;
mod line;
mod trace;

use std::{net::IpAddr, sync::Arc, time::Duration};

use http::{HeaderMap, Method, Uri, Version};
use prometheus_client::metrics::counter::Counter;

pub use self::{
    config::{AccessLogConfig, Query},
    line::Style,
    trace::Trace,
};
use super::request::RequestId;
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

    /// A request has ended about which nothing is written.
    pub fn count(&self, handler: Handler, status: u16, took: Duration) {
        self.requests[handler as usize][class(status)].inc();
        self.metrics.http_request_seconds.observe(took.as_secs_f64());
    }

    /// A request has ended.
    pub fn record(&self, ended: &Ended<'_>, style: &Style) {
        self.count(ended.handler, ended.status, ended.took);
        style.write(ended, fastrand::f64());
    }
}

/// A request that has ended.
#[derive(Clone, Copy)]
pub struct Ended<'a> {
    /// Who answered.
    pub handler: Handler,
    /// As sent.
    pub method: &'a Method,
    /// As the request's `host` says.
    pub host: &'a str,
    /// As sent.
    pub uri: &'a Uri,
    /// As sent.
    pub version: Version,
    /// As sent.
    pub headers: &'a HeaderMap,
    /// Whether it came by TLS, as far as anybody knows.
    pub secure: bool,
    /// Bytes of its body.
    pub received: usize,
    /// Of the answer; 0 when there was none.
    pub status: u16,
    /// Bytes of the answer's body.
    pub bytes: usize,
    /// Who asked.
    pub client: Option<IpAddr>,
    /// The route, by its label.
    pub route: Option<&'a str>,
    /// The upstream that was asked last.
    pub upstream: Option<&'a str>,
    /// How many upstreams were asked.
    pub attempts: usize,
    /// As told to the client; none before that was made.
    pub request_id: Option<&'a RequestId>,
    /// From the complete request header to the end of the answer.
    pub took: Duration,
    /// Whether it ended before its time.
    pub aborted: bool,
}

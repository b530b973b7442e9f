//! One log line and the metrics of every request, at its end. Query strings are left out: they carry what visitors
//! typed.

use std::{net::IpAddr, sync::Arc, time::Duration};

use pingora::{Error, ErrorSource, proxy::Session};
use prometheus_client::metrics::counter::Counter;

use super::request::host;
use crate::telemetry::{Metrics, metrics::ByHandler};

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
}

const HANDLERS: [(Handler, &str); 4] =
    [(Handler::Collect, "collect"), (Handler::Asset, "asset"), (Handler::Health, "health"), (Handler::Proxy, "proxy")];
/// By the first digit of the status.
const CLASSES: [&str; 6] = ["none", "1xx", "2xx", "3xx", "4xx", "5xx"];

/// Records requests.
pub struct AccessLog {
    metrics: Arc<Metrics>,
    /// By handler and class: looked up once, not per request.
    requests: [[Counter; 6]; 4],
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
    pub fn record(
        &self,
        session: &Session,
        handler: Handler,
        client: Option<IpAddr>,
        request_id: &str,
        took: Duration,
        error: Option<&Error>,
    ) {
        let written = session.response_written().map(|header| header.status.as_u16());
        // A 100 alone is no answer.
        let status = written.filter(|status| *status != 100).unwrap_or(0);
        let class = usize::from(status / 100).min(CLASSES.len() - 1);
        self.requests[handler as usize][class].inc();
        self.metrics.http_request_seconds.observe(took.as_secs_f64());

        let ours = error.filter(|error| *error.esource() != ErrorSource::Downstream);
        if let Some(error) = ours {
            tracing::warn!(%error, status, request_id, "a request failed");
        }
        let header = session.req_header();
        tracing::debug!(
            target: "real_streaming::access",
            handler = HANDLERS[handler as usize].1,
            method = %header.method,
            host = %host(&header.uri, &header.headers),
            path = header.uri.path(),
            status,
            bytes = session.body_bytes_sent(),
            client = client.map(tracing::field::display),
            request_id,
            ?took,
            aborted = error.is_some(),
        );
    }
}

//! The operator's listener: `/healthz`, `/readyz`, `/metrics`. It has a thread of its own, so that it still answers
//! while the public listener is ending.

use std::{convert::Infallible, io, net::TcpListener, sync::Arc, thread, time::Duration};

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{runtime, sync::oneshot};

use super::{lifecycle::Lifecycle, upstream::Upstreams};
use crate::{deliver::Delivery, telemetry::Metrics};

/// The text format that `Metrics::encode` writes.
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
const TEXT: &str = "text/plain; charset=utf-8";
/// A probe sends its request at once.
const HEADER_WITHIN: Duration = Duration::from_secs(5);

/// What the listener reports on.
pub struct Admin {
    /// Is the process ending?
    pub lifecycle: Arc<Lifecycle>,
    /// Can events be taken?
    pub delivery: Delivery,
    /// All of them.
    pub metrics: Arc<Metrics>,
}

/// The running listener; it stops when this is dropped.
#[derive(Debug)]
pub struct Running {
    _stop: oneshot::Sender<Infallible>,
}

impl Admin {
    /// Answers on `listener`, and watches over the upstreams: both are small, and both have to outlive the
    /// public listener's own runtimes.
    pub fn run(self, listener: TcpListener, upstreams: Arc<Upstreams>) -> io::Result<Running> {
        let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
        listener.set_nonblocking(true)?;
        let listener = {
            let _inside = runtime.enter();
            tokio::net::TcpListener::from_std(listener)?
        };
        let (stop, stopped) = oneshot::channel();
        thread::Builder::new().name("admin".into()).spawn(move || {
            runtime.block_on(async {
                tokio::spawn(upstreams.watch());
                tokio::select! {
                    () = Arc::new(self).accept(listener) => {}
                    _ = stopped => {}
                }
            });
            // A look-up may hang in the system's resolver; nobody waits for it.
            runtime.shutdown_background();
        })?;
        Ok(Running { _stop: stop })
    }

    async fn accept(self: Arc<Admin>, listener: tokio::net::TcpListener) {
        loop {
            let stream = match listener.accept().await {
                Ok((stream, _)) => stream,
                Err(error) => {
                    tracing::warn!(%error, "the admin listener cannot accept");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    continue;
                }
            };
            let admin = self.clone();
            tokio::spawn(async move {
                let service = service_fn(|request: Request<Incoming>| {
                    let response = admin.respond(request.method(), request.uri().path());
                    async move { Ok::<_, Infallible>(response) }
                });
                let mut server = http1::Builder::new();
                server.timer(TokioTimer::new()).header_read_timeout(HEADER_WITHIN);
                // A prober that hangs up is no event.
                let _ = server.serve_connection(TokioIo::new(stream), service).await;
            });
        }
    }

    fn respond(&self, method: &Method, path: &str) -> Response<Full<Bytes>> {
        let (status, content_type, body) = match path {
            _ if method != Method::GET && method != Method::HEAD => {
                (StatusCode::METHOD_NOT_ALLOWED, TEXT, "GET only\n".to_string())
            }
            "/healthz" => (StatusCode::OK, TEXT, "ok".to_string()),
            "/readyz" => match self.reasons() {
                reasons if reasons.is_empty() => (StatusCode::OK, TEXT, "ready\n".to_string()),
                reasons => (StatusCode::SERVICE_UNAVAILABLE, TEXT, reasons.join("\n") + "\n"),
            },
            "/metrics" => (StatusCode::OK, OPEN_METRICS, self.metrics.encode()),
            _ => (StatusCode::NOT_FOUND, TEXT, "here are /healthz, /readyz and /metrics\n".to_string()),
        };
        let mut response = Response::new(Full::from(body));
        *response.status_mut() = status;
        response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static(content_type));
        response.headers_mut().insert(header::CACHE_CONTROL, header::HeaderValue::from_static("no-store"));
        response
    }

    /// Why no traffic should come; none is ready.
    fn reasons(&self) -> Vec<String> {
        let health = self.delivery.health();
        let mut reasons = if health.ready { Vec::new() } else { health.reasons };
        if !health.ready && reasons.is_empty() {
            reasons.push("delivery is not ready".to_string());
        }
        if self.lifecycle.is_ending() {
            reasons.push("shutting down".to_string());
        }
        reasons
    }
}

//! The operator's listener: `/healthz`, `/readyz`, `/metrics`, `/explain`. It has a thread of its own, so that it still
//! answers while the public listener is ending.

use std::{
    convert::Infallible,
    io,
    net::{Ipv4Addr, TcpListener},
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    runtime,
    sync::{Semaphore, oneshot, watch},
    task::spawn_blocking,
    time::timeout,
};

use super::{
    explain::{Asker, Explained},
    intake::Intake,
    lifecycle::Lifecycle,
    parts::Parts,
    rules::Rules,
    upstream::{self, Upstreams},
};
use crate::telemetry::Metrics;

/// The text format that `Metrics::encode` writes.
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
const TEXT: &str = "text/plain; charset=utf-8";
const JSON: &str = "application/json";
/// A probe sends its request at once.
const HEADER_WITHIN: Duration = Duration::from_secs(5);
/// So does whoever wants something explained, if it is this long at most.
const MAX_EXPLAINED: usize = 1 << 20;
/// Within this time; and within the same it is explained.
const EXPLAINED_WITHIN: Duration = Duration::from_secs(10);
/// Longest explanation; the requests after that are left out.
const MAX_EXPLANATION: usize = 4 << 20;

/// What the listener reports on.
pub struct Admin {
    /// Is the process ending?
    pub lifecycle: Arc<Lifecycle>,
    /// Can events be taken?
    pub intake: Intake,
    /// All of them.
    pub metrics: Arc<Metrics>,
    /// What is done with requests, to explain it.
    pub parts: Arc<Parts>,
    /// Explanations that may be made at a time: they are for a person, and the processor is for the visitors.
    pub explaining: Arc<Semaphore>,
}

/// Status, media type and body.
type Said = (StatusCode, &'static str, String);

/// The running listener; it stops when this is dropped.
#[derive(Debug)]
pub struct Running {
    _stop: oneshot::Sender<Infallible>,
}

impl Admin {
    /// Answers on `listener`, and watches over the upstreams: both are small, and both have to outlive the
    /// public listener's own runtimes.
    pub fn run(self, listener: TcpListener, upstreams: watch::Receiver<Arc<Upstreams>>) -> io::Result<Running> {
        let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
        listener.set_nonblocking(true)?;
        let listener = {
            let _inside = runtime.enter();
            tokio::net::TcpListener::from_std(listener)?
        };
        let (stop, stopped) = oneshot::channel();
        thread::Builder::new().name("admin".into()).spawn(move || {
            runtime.block_on(async {
                tokio::spawn(upstream::watch_latest(upstreams, upstream::System));
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
                    let admin = admin.clone();
                    async move { Ok::<_, Infallible>(admin.respond(request).await) }
                });
                let mut server = http1::Builder::new();
                server.timer(TokioTimer::new()).header_read_timeout(HEADER_WITHIN);
                // A prober that hangs up is no event.
                let _ = server.serve_connection(TokioIo::new(stream), service).await;
            });
        }
    }

    async fn respond(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let method = request.method();
        let (status, content_type, body) = match request.uri().path() {
            "/explain" if method == Method::POST => self.explain(request).await,
            "/explain" => (StatusCode::METHOD_NOT_ALLOWED, TEXT, "POST a raw HTTP/1.1 request\n".to_string()),
            _ if method != Method::GET && method != Method::HEAD => {
                (StatusCode::METHOD_NOT_ALLOWED, TEXT, "GET only\n".to_string())
            }
            "/healthz" => (StatusCode::OK, TEXT, "ok".to_string()),
            "/readyz" => match self.readiness() {
                (true, remarks) => (StatusCode::OK, TEXT, ["ready\n".to_owned(), remarks].concat()),
                (false, reasons) => (StatusCode::SERVICE_UNAVAILABLE, TEXT, reasons),
            },
            "/metrics" => (StatusCode::OK, OPEN_METRICS, self.metrics.encode()),
            _ => (StatusCode::NOT_FOUND, TEXT, "here are /healthz, /readyz, /metrics and /explain\n".to_string()),
        };
        let mut response = Response::new(Full::from(body));
        *response.status_mut() = status;
        response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static(content_type));
        response.headers_mut().insert(header::CACHE_CONTROL, header::HeaderValue::from_static("no-store"));
        response
    }

    /// A JSON array with what would be done with each request in the body. Nothing is kept or counted.
    async fn explain(&self, request: Request<Incoming>) -> Said {
        let Ok(permit) = self.explaining.clone().try_acquire_owned() else {
            return (StatusCode::SERVICE_UNAVAILABLE, TEXT, "one explanation at a time; try again\n".to_string());
        };
        let asker = match asker(request.uri().query().unwrap_or_default()) {
            Ok(asker) => asker,
            Err(why) => return (StatusCode::BAD_REQUEST, TEXT, why + "\n"),
        };
        let body = match timeout(EXPLAINED_WITHIN, Limited::new(request.into_body(), MAX_EXPLAINED).collect()).await {
            Ok(Ok(body)) => body.to_bytes(),
            Ok(Err(error)) if error.is::<http_body_util::LengthLimitError>() => {
                let message = format!("at most {MAX_EXPLAINED} bytes are explained\n");
                return (StatusCode::PAYLOAD_TOO_LARGE, TEXT, message);
            }
            Ok(Err(_)) => return (StatusCode::BAD_REQUEST, TEXT, "the body cannot be read\n".to_string()),
            Err(_) => return (StatusCode::REQUEST_TIMEOUT, TEXT, "the body did not arrive in time\n".to_string()),
        };
        let rules = self.parts.live.load().rules.clone();
        // Probes are answered meanwhile. The permit lasts as long as the work, whether anybody still waits for it or not.
        let work = move || {
            let _permit = permit;
            explain(&rules, &body, asker)
        };
        match spawn_blocking(work).await {
            Ok(said) => said,
            Err(_) => (StatusCode::INTERNAL_SERVER_ERROR, TEXT, "something went wrong here\n".to_string()),
        }
    }

    /// Whether traffic should come, and everything that is not as it should be, a line each. An end counts alone.
    fn readiness(&self) -> (bool, String) {
        if self.lifecycle.is_ending() {
            return (false, "shutting down\n".to_owned());
        }
        let health = self.intake.health();
        (health.ready, health.reasons.into_iter().map(|reason| reason + "\n").collect())
    }
}

fn explain(rules: &Rules, requests: &[u8], asker: Asker) -> Said {
    let started = Instant::now();
    let (mut status, mut size, mut objects) = (StatusCode::OK, 0, Vec::new());
    for explained in rules.explain_as(requests, asker) {
        if size > MAX_EXPLANATION || started.elapsed() > EXPLAINED_WITHIN {
            objects.push(r#"{"notes":["what follows is left out: this has taken long enough"]}"#.to_owned());
            break;
        }
        if !explained.is_read() {
            status = StatusCode::BAD_REQUEST;
        }
        let lines = Explained::json_lines(&explained);
        size += lines.len();
        objects.extend(lines.lines().map(str::to_owned));
    }
    (status, JSON, format!("[\n{}\n]\n", objects.join(",\n")))
}

/// `client-ip=203.0.113.9&tls`: over which connection the requests would come.
fn asker(query: &str) -> Result<Asker, String> {
    let mut asker = Asker { peer: Ipv4Addr::LOCALHOST.into(), tls: false, moment: None };
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        match pair.split_once('=').unwrap_or((pair, "")) {
            ("client-ip", address) => {
                asker.peer = address.parse().map_err(|_| "`client-ip` is no address".to_owned())?;
            }
            ("tls", "" | "1" | "true") => asker.tls = true,
            ("tls", "0" | "false") => asker.tls = false,
            _ => return Err("here are `client-ip=ADDRESS` and `tls`".to_owned()),
        }
    }
    Ok(asker)
}

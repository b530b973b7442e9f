//! A request on a collection path: from Pingora's session to a hit, through the pipeline into delivery, and back.
//!
//! Nothing is answered with 200 before its rows are as durable as configured. Every answer carries the CORS headers of
//! its request, whatever the status.

use std::{
    borrow::Cow,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode, Uri};
use pingora::{proxy::Session, time::timeout};

use super::{
    Tuning,
    answer::{NoBody, read_body, send},
    client_ip::Client,
    cors::{Cors, Verdict},
    rate_limit::RateLimits,
    request::{self, RequestId, entropy},
    route::Router,
};
use crate::{
    collect::{Hit, Micros, Refusal, Reply},
    deliver::{Delivery, SpoolFull},
    pipeline::{Collected, Pipeline},
    telemetry::{Metrics, metrics::ByCode},
};

/// Longest wait for the spool; a disk that takes longer does not work. The rows may still land: better twice than lost.
const DURABLE_WITHIN: Duration = Duration::from_secs(10);
/// When a client that could not be served should come back.
const RETRY_AFTER: Duration = Duration::from_secs(5);

/// Takes events.
pub struct Endpoint {
    pipeline: Pipeline,
    delivery: Delivery,
    cors: Cors,
    limits: RateLimits,
    metrics: Arc<Metrics>,
    tuning: Tuning,
}

/// A request on a collection path, up to its body.
pub struct Head<'a> {
    method: &'a Method,
    uri: &'a Uri,
    headers: &'a HeaderMap,
    host: Cow<'a, str>,
    /// The stream's id as sent.
    stream: &'a str,
    client: &'a Client,
    id: &'a RequestId,
}

impl<'a> Head<'a> {
    /// From the parts of any server's request.
    pub fn new(
        method: &'a Method,
        uri: &'a Uri,
        headers: &'a HeaderMap,
        router: &Router,
        client: &'a Client,
        id: &'a RequestId,
    ) -> Head<'a> {
        let stream = router.stream(uri.path()).unwrap_or("");
        Head { method, uri, headers, host: request::host(uri, headers), stream, client, id }
    }
}

/// Why a hit gets no regular answer.
enum Failure {
    Refused(Refusal),
    /// The client left before it had sent everything.
    Gone,
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Failure {
        Failure::Refused(refusal)
    }
}

impl Endpoint {
    /// Puts the parts together.
    pub fn new(
        pipeline: Pipeline,
        delivery: Delivery,
        cors: Cors,
        limits: RateLimits,
        metrics: Arc<Metrics>,
        tuning: Tuning,
    ) -> Endpoint {
        Endpoint { pipeline, delivery, cors, limits, metrics, tuning }
    }

    /// Answers one request that the router found to be an event.
    pub async fn serve(&self, session: &mut Session, router: &Router, client: &Client, id: &RequestId) {
        let head = head(session, router, client, id);
        let verdict = self.verdict(&head);
        let mut reply = match self.handle(session, router, client, id, &verdict).await {
            Ok(reply) => reply,
            Err(Failure::Refused(refusal)) => self.refused(&refusal, id),
            Err(Failure::Gone) => {
                session.set_keepalive(None);
                return;
            }
        };
        verdict.decorate(&mut reply.headers);
        send(session, reply, &self.tuning).await;
    }

    /// The answer to a request whose body is there as a whole.
    pub async fn answer(&self, head: &Head<'_>, body: &[u8]) -> Reply {
        let received_at = now();
        let verdict = self.verdict(head);
        let answer = match self.open(head, &verdict) {
            Ok(None) => self.close(head, received_at, body).await,
            Ok(Some(early)) => Ok(early),
            Err(refusal) => Err(refusal),
        };
        let mut reply = answer.unwrap_or_else(|refusal| self.refused(&refusal, head.id));
        verdict.decorate(&mut reply.headers);
        reply
    }

    async fn handle(
        &self,
        session: &mut Session,
        router: &Router,
        client: &Client,
        id: &RequestId,
        verdict: &Verdict,
    ) -> Result<Reply, Failure> {
        let received_at = now();
        if let Some(early) = self.open(&head(session, router, client, id), verdict)? {
            return Ok(early);
        }
        let body = read_body(session, self.pipeline.max_body(), self.tuning.body).await.map_err(|why| match why {
            NoBody::TooLarge => Failure::Refused(Refusal::BodyTooLarge),
            NoBody::Slow => Failure::Refused(Refusal::SlowBody),
            NoBody::Malformed => Failure::Refused(Refusal::BadFraming),
            NoBody::Gone => Failure::Gone,
        })?;
        Ok(self.close(&head(session, router, client, id), received_at, &body).await?)
    }

    fn verdict(&self, head: &Head<'_>) -> Verdict {
        self.cors.verdict(head.headers, &head.host)
    }

    /// Most bytes of a body.
    pub fn max_body(&self) -> usize {
        self.pipeline.max_body()
    }

    fn refused(&self, refusal: &Refusal, id: &RequestId) -> Reply {
        self.metrics.refusals.get_or_create(&ByCode { code: refusal.code() }).inc();
        refusal.reply(id)
    }

    /// What can be said before the body is read: a refusal, or the answer to a preflight.
    fn open(&self, head: &Head<'_>, verdict: &Verdict) -> Result<Option<Reply>, Refusal> {
        if *verdict == Verdict::Denied {
            return Err(Refusal::OriginNotAllowed);
        }
        if head.method == Method::OPTIONS {
            let headers = verdict.preflight(head.headers);
            return Ok(Some(Reply { status: StatusCode::NO_CONTENT, headers, body: Bytes::new() }));
        }
        let admitted = self.pipeline.admit(head.method, head.stream, head.headers);
        self.limits.count(head.client.ip, head.stream, &admitted)?;
        admitted.map(|_| None)
    }

    /// Turns the body into rows and keeps them.
    async fn close(&self, head: &Head<'_>, received_at: Micros, body: &[u8]) -> Result<Reply, Refusal> {
        let hit = Hit {
            method: head.method,
            path: head.uri.path(),
            stream: head.stream,
            query: head.uri.query().unwrap_or(""),
            host: &head.host,
            headers: head.headers,
            body,
            client_ip: head.client.ip,
            from_trusted_proxy: head.client.from_trusted_proxy,
            secure: head.client.secure,
            received_at,
            entropy: entropy(),
            request_id: head.id,
        };
        self.keep(self.pipeline.collect(&hit)?).await
    }

    /// Makes the rows durable; only then are the dropped events counted, so that a refused hit counts nothing.
    async fn keep(&self, collected: Collected) -> Result<Reply, Refusal> {
        let Collected { rows, stream, dropped, reply } = collected;
        if !rows.is_empty() {
            match timeout(DURABLE_WITHIN, self.delivery.accept(rows)).await {
                Ok(Ok(())) => {}
                Ok(Err(SpoolFull::Closed)) => return Err(Refusal::ShuttingDown),
                Ok(Err(SpoolFull::TooLarge)) => return Err(Refusal::BodyTooLarge),
                Ok(Err(_)) | Err(_) => return Err(Refusal::Overloaded { retry_after: RETRY_AFTER }),
            }
        }
        for (_, reason) in dropped {
            self.delivery.dropped(&stream, reason.label());
        }
        Ok(reply)
    }
}

/// Found again after the body instead of kept: a borrow cannot outlive the reading.
fn head<'a>(session: &'a Session, router: &Router, client: &'a Client, id: &'a RequestId) -> Head<'a> {
    let header = session.req_header();
    Head::new(&header.method, &header.uri, &header.headers, router, client, id)
}

fn now() -> Micros {
    // A clock before 1970 is no clock.
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_micros() as Micros)
}

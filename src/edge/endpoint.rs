//! A request on a collection path: from Pingora's session to a hit, through the pipeline into delivery, and back.
//!
//! Nothing is answered with 200 before its rows are as durable as configured. Every answer carries the CORS headers of
//! its request, whatever the status.

use std::{
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use bytes::Bytes;
use http::{Method, StatusCode};
use pingora::{proxy::Session, time::timeout};

use super::{
    Tuning,
    answer::{NoBody, read_body, send},
    client_ip::Client,
    cors::{Cors, Verdict},
    rate_limit::RateLimits,
    request::{self, RequestId, entropy},
    router::{Action, Router},
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
        let header = session.req_header();
        let verdict = self.cors.verdict(&header.headers, &request::host(&header.uri, &header.headers));
        let mut reply = match self.handle(session, router, client, id, &verdict).await {
            Ok(reply) => reply,
            Err(Failure::Refused(refusal)) => {
                self.metrics.refusals.get_or_create(&ByCode { code: refusal.code() }).inc();
                refusal.reply(id)
            }
            Err(Failure::Gone) => {
                session.set_keepalive(None);
                return;
            }
        };
        verdict.decorate(&mut reply.headers);
        send(session, reply, &self.tuning).await;
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
        if *verdict == Verdict::Denied {
            return Err(Refusal::OriginNotAllowed.into());
        }
        let header = session.req_header();
        if header.method == Method::OPTIONS {
            let headers = verdict.preflight(&header.headers);
            return Ok(Reply { status: StatusCode::NO_CONTENT, headers, body: Bytes::new() });
        }
        let stream = stream(session, router);
        let admitted = self.pipeline.admit(&header.method, stream, &header.headers);
        self.limits.count(client.ip, stream, &admitted)?;
        admitted?;

        let body = read_body(session, self.pipeline.max_body(), self.tuning.body).await.map_err(|why| match why {
            NoBody::TooLarge => Failure::Refused(Refusal::BodyTooLarge),
            NoBody::Slow => Failure::Refused(Refusal::SlowBody),
            NoBody::Malformed => Failure::Refused(Refusal::BadFraming),
            NoBody::Gone => Failure::Gone,
        })?;

        let collected = self.collect(session, router, client, id, received_at, &body)?;
        Ok(self.keep(collected).await?)
    }

    fn collect(
        &self,
        session: &Session,
        router: &Router,
        client: &Client,
        id: &RequestId,
        received_at: Micros,
        body: &[u8],
    ) -> Result<Collected, Refusal> {
        let header = session.req_header();
        let hit = Hit {
            method: &header.method,
            path: header.uri.path(),
            stream: stream(session, router),
            query: header.uri.query().unwrap_or(""),
            host: &request::host(&header.uri, &header.headers),
            headers: &header.headers,
            body,
            client_ip: client.ip,
            from_trusted_proxy: client.from_trusted_proxy,
            secure: client.secure,
            received_at,
            entropy: entropy(),
            request_id: id,
        };
        self.pipeline.collect(&hit)
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

/// The stream's id as sent. Found again instead of kept: a borrow cannot outlive the reading of the body.
fn stream<'a>(session: &'a Session, router: &Router) -> &'a str {
    match router.action("", session.req_header().uri.path()) {
        Action::Collect { stream } => stream,
        _ => "",
    }
}

fn now() -> Micros {
    // A clock before 1970 is no clock.
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_micros() as Micros)
}

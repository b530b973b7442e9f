//! A request on a collection path: from Pingora's session to a hit, through the pipeline into delivery, and back.
//!
//! Nothing is answered with 200 before its rows are as durable as configured, or, with `collect.ack: delivered`, at
//! their destinations. Every answer carries the CORS headers of
//! its request, whatever the status.

use std::{
    borrow::Cow,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode, Uri};
use pingora::proxy::Session;

use super::{
    Tuning,
    alarm::Alarm,
    answer::{NoBody, read_body, send},
    client_ip::Client,
    cors::Verdict,
    intake::{Intake, Taking},
    rate_limit::RateLimits,
    request::{self, RequestId, entropy},
    route::Router,
    rules::Rules,
};
use crate::{
    collect::{Hit, Micros, Refusal, Reply},
    deliver::SpoolFull,
    pipeline::{Admission, Collected},
    telemetry::{Metrics, metrics::ByCode},
};

/// Longest wait for the spool; a disk that takes longer does not work. The rows may still land: better twice than lost.
const DURABLE_WITHIN: Duration = Duration::from_secs(10);
/// When a client that could not be served should come back.
const RETRY_AFTER: Duration = Duration::from_secs(5);

/// Takes events.
pub struct Endpoint {
    rules: Arc<Rules>,
    intake: Intake,
    limits: Arc<RateLimits>,
    metrics: Arc<Metrics>,
    tuning: Tuning,
    /// How long an answer waits for the destinations, where it does.
    ack: Option<Duration>,
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
}

impl<'a> Head<'a> {
    /// From the parts of any server's request.
    pub fn new(
        method: &'a Method,
        uri: &'a Uri,
        headers: &'a HeaderMap,
        router: &Router,
        client: &'a Client,
    ) -> Head<'a> {
        let stream = router.stream(uri.path()).unwrap_or("");
        Head { method, uri, headers, host: request::host(uri, headers), stream, client }
    }

    /// Whether the page may send it.
    pub fn verdict(&self, rules: &Rules) -> Verdict {
        rules.cors.verdict(self.headers, &self.host)
    }

    /// What is said before anything else: that it should come by TLS, or whether a browser's page may send it.
    pub fn preflight(&self, rules: &Rules, verdict: &Verdict) -> Result<Option<Reply>, Refusal> {
        if let Some(elsewhere) = rules.insistence.redirect(self.client.secure, &self.host, self.uri) {
            return Ok(Some(elsewhere));
        }
        if *verdict == Verdict::Denied {
            return Err(Refusal::OriginNotAllowed);
        }
        let answer = || {
            let headers = verdict.preflight(self.headers);
            Reply { status: StatusCode::NO_CONTENT, headers, body: Bytes::new() }
        };
        Ok((self.method == Method::OPTIONS).then(answer))
    }

    /// Whether the pipeline wants to see the body, and how it will read it.
    pub fn admit(&self, rules: &Rules) -> Result<Admission, Refusal> {
        rules.pipeline.admit(self.method, self.stream, self.headers)
    }

    /// With its body.
    pub fn hit<'s>(&'s self, body: &'s [u8], received_at: Micros, entropy: u128) -> Hit<'s> {
        Hit {
            method: self.method,
            path: self.uri.path(),
            stream: self.stream,
            query: self.uri.query().unwrap_or(""),
            host: &self.host,
            headers: self.headers,
            body,
            client_ip: self.client.ip,
            client_named_in: self.client.named_in,
            from_trusted_proxy: self.client.from_trusted_proxy,
            secure: self.client.secure,
            received_at,
            entropy,
            browser: None,
        }
    }
}

/// What a request came to; nothing of it is needed any more.
pub struct Taken<'a> {
    verdict: Verdict,
    work: Result<Work, Refusal>,
    _taking: Taking<'a>,
}

enum Work {
    /// It is answered without more ado.
    Answer(Reply),
    /// Rows are to be made durable, and then it is answered.
    Keep(Collected),
}

impl Taken<'_> {
    /// Where its rows come from, if it is an event of which nothing but the disk is waited for.
    pub fn stream(&self) -> Option<&Arc<str>> {
        match &self.work {
            Ok(Work::Keep(collected)) => Some(&collected.stream),
            _ => None,
        }
    }
}

/// What the header of a request leads to.
enum Opened {
    /// To an answer, without the body.
    Early(Reply),
    /// To the body.
    Body(Admission),
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
        rules: Arc<Rules>,
        intake: Intake,
        limits: Arc<RateLimits>,
        metrics: Arc<Metrics>,
        tuning: Tuning,
        ack: Option<Duration>,
    ) -> Endpoint {
        Endpoint { rules, intake, limits, metrics, tuning, ack }
    }

    /// Answers one request that the router found to be an event.
    pub async fn serve(&self, session: &mut Session, client: &Client, id: &RequestId) {
        let _taking = self.intake.enter();
        let head = self.head(session, client);
        let verdict = head.verdict(&self.rules);
        let mut reply = match self.handle(session, client, &verdict).await {
            Ok(reply) => reply,
            Err(Failure::Refused(refusal)) => self.refused(&refusal, id),
            Err(Failure::Gone) => {
                session.set_keepalive(None);
                return;
            }
        };
        self.rules.decorate(&verdict, client, &mut reply.headers);
        send(session, reply, &self.tuning).await;
    }

    /// What is to be done with a request whose body is there as a whole.
    pub fn take(&self, head: &Head<'_>, body: &[u8]) -> Taken<'_> {
        let taking = self.intake.enter();
        let received_at = now();
        let verdict = head.verdict(&self.rules);
        let work = self.open(head, &verdict).and_then(|opened| match opened {
            Opened::Early(reply) => Ok(Work::Answer(reply)),
            Opened::Body(admission) => self.collect(head, &admission, received_at, body).map(Work::Keep),
        });
        Taken { verdict, work, _taking: taking }
    }

    /// Does it; the answer.
    pub async fn finish(&self, taken: Taken<'_>, client: &Client, id: &RequestId, alarm: &mut Alarm) -> Reply {
        let answer = match taken.work {
            Ok(Work::Keep(collected)) => self.keep(collected, alarm).await,
            Ok(Work::Answer(reply)) => Ok(reply),
            Err(refusal) => Err(refusal),
        };
        let mut reply = answer.unwrap_or_else(|refusal| self.refused(&refusal, id));
        self.rules.decorate(&taken.verdict, client, &mut reply.headers);
        reply
    }

    async fn handle(&self, session: &mut Session, client: &Client, verdict: &Verdict) -> Result<Reply, Failure> {
        let received_at = now();
        let admission = match self.open(&self.head(session, client), verdict)? {
            Opened::Body(admission) => admission,
            Opened::Early(reply) => return Ok(reply),
        };
        let body = read_body(session, self.max_body(), self.tuning.body).await.map_err(|why| match why {
            NoBody::TooLarge => Failure::Refused(Refusal::BodyTooLarge),
            NoBody::Slow => Failure::Refused(Refusal::SlowBody),
            NoBody::Malformed => Failure::Refused(Refusal::BadFraming),
            NoBody::Gone => Failure::Gone,
        })?;
        let collected = self.collect(&self.head(session, client), &admission, received_at, &body)?;
        Ok(self.keep(collected, &mut Alarm::default()).await?)
    }

    /// Most bytes of a body.
    pub fn max_body(&self) -> usize {
        self.rules.pipeline.max_body()
    }

    fn refused(&self, refusal: &Refusal, id: &RequestId) -> Reply {
        self.metrics.refusals.get_or_create(&ByCode { code: refusal.code() }).inc();
        refusal.reply(id)
    }

    /// What can be said before the body is read: a refusal, or an early answer.
    fn open(&self, head: &Head<'_>, verdict: &Verdict) -> Result<Opened, Refusal> {
        if let Some(early) = head.preflight(&self.rules, verdict)? {
            return Ok(Opened::Early(early));
        }
        let admitted = head.admit(&self.rules);
        let caller = admitted.as_ref().ok().map(|admission| admission.caller);
        self.limits.count(head.client.ip, head.stream, caller)?;
        admitted.map(Opened::Body)
    }

    /// Turns the body into rows.
    fn collect(
        &self,
        head: &Head<'_>,
        admission: &Admission,
        received_at: Micros,
        body: &[u8],
    ) -> Result<Collected, Refusal> {
        self.rules.pipeline.collect_admitted(&head.hit(body, received_at, entropy()), admission)
    }

    /// Found again after the body instead of kept: a borrow cannot outlive the reading.
    fn head<'a>(&self, session: &'a Session, client: &'a Client) -> Head<'a> {
        let header = session.req_header();
        Head::new(&header.method, &header.uri, &header.headers, &self.rules.router, client)
    }

    /// Makes the rows durable; only then are the dropped events counted, so that a refused hit counts nothing. Where the
    /// answer is to mean more than that, it waits for more.
    async fn keep(&self, collected: Collected, alarm: &mut Alarm) -> Result<Reply, Refusal> {
        let Collected { rows, stream, dropped, reply } = collected;
        let bytes = rows.iter().map(|row| row.bytes().len()).sum();
        let Some(delivery) = self.intake.ready(bytes, DURABLE_WITHIN).await else {
            return Err(Refusal::Overloaded { retry_after: RETRY_AFTER });
        };
        let mut end = None;
        if !rows.is_empty() {
            // Before anything is kept: who is refused here leaves nothing behind.
            if self.ack.is_some() && delivery.is_crowded() {
                return Err(Refusal::Overloaded { retry_after: RETRY_AFTER });
            }
            match alarm.within(DURABLE_WITHIN, delivery.accept(rows)).await {
                Ok(Ok(position)) => end = Some(position),
                Ok(Err(SpoolFull::Closed)) => return Err(Refusal::ShuttingDown),
                Ok(Err(SpoolFull::TooLarge)) => return Err(Refusal::BodyTooLarge),
                Ok(Err(_)) | Err(_) => return Err(Refusal::Overloaded { retry_after: RETRY_AFTER }),
            }
        }
        for (_, reason) in dropped {
            delivery.dropped(&stream, reason.label());
        }
        if let (Some(within), Some(end)) = (self.ack, end) {
            let delivered = async {
                tokio::select! {
                    biased;
                    () = delivery.delivered(end) => true,
                    () = self.intake.late() => false,
                }
            };
            if alarm.within(within, delivered).await != Ok(true) {
                return Err(Refusal::Undelivered { retry_after: RETRY_AFTER });
            }
        }
        Ok(reply)
    }
}

/// The time by the system's clock.
pub fn now() -> Micros {
    // A clock before 1970 is no clock.
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_micros() as Micros)
}

//! The journey of an event, on one page: a hit is admitted, decoded into claims, rid of secrets, validated and identified; each claim
//! becomes an event, passes the enrichment steps, and is frozen into a row.
//!
//! Pure and synchronous: time and randomness are part of the hit, so the same hit always gives the same rows.

mod admission;
mod begin;
mod commerce;
mod explain;
mod streams;
mod watch;

use std::ops::ControlFlow;

use http::{HeaderMap, Method, header};

pub use self::{
    admission::Admission,
    explain::{Explained, Explanation},
};
use self::{
    admission::MediaType,
    streams::{Stream, Streams},
    watch::{Nobody, Watch},
};
use crate::{
    collect::{
        self, Accepted, Caller, Claim, Claims, ConsentDenied, CookieConfig, Detail, DropReason, Hit, Identity, Limits,
        Message, PrivacyConfig, Redaction, Refusal, Reply, StreamConfig, Visitor,
    },
    enrich::Enricher,
    schema::{Event, Row, StreamId},
};

/// From hits to rows.
pub struct Pipeline {
    redaction: Redaction,
    limits: Limits,
    strict: bool,
    consent_denied: ConsentDenied,
    streams: Streams,
    identity: Identity,
    privacy: PrivacyConfig,
    steps: Vec<Box<dyn Enricher>>,
}

/// Everything a hit turned into. `rows.len() + dropped.len()` is the number of events in the hit.
#[derive(Clone, Debug)]
pub struct Collected {
    /// Finished events, in the order sent.
    pub rows: Vec<Row>,
    /// Stream of all of them.
    pub stream: StreamId,
    /// Events that are not kept: position in the request, and why.
    pub dropped: Vec<(usize, DropReason)>,
    /// The answer, cookie included. It may be sent once `rows` are durable.
    pub reply: Reply,
}

/// Violations listed in one answer.
const MAX_DETAILS: usize = 100;

impl Pipeline {
    /// A pipeline for these streams; none: any stream id is accepted. `steps` run in this order.
    pub fn new(
        collect: &collect::Config,
        streams: &[StreamConfig],
        cookie: &CookieConfig,
        steps: Vec<Box<dyn Enricher>>,
    ) -> Pipeline {
        Pipeline {
            redaction: Redaction::new(&collect.redact),
            limits: collect.limits.resolve(),
            strict: collect.strict,
            consent_denied: collect.consent_denied,
            streams: Streams::new(streams),
            identity: Identity::new(cookie.clone()),
            privacy: PrivacyConfig::default(),
            steps,
        }
    }

    /// The same with other rules of privacy than the default ones.
    pub fn with_privacy(self, privacy: &PrivacyConfig) -> Pipeline {
        Pipeline { privacy: privacy.clone(), ..self }
    }

    /// Name of the visitor's cookie.
    pub fn cookie_name(&self) -> &str {
        self.identity.cookie()
    }

    /// Bytes of a body as sent; the server reads no more than that.
    pub fn max_body(&self) -> usize {
        self.limits.body
    }

    /// Everything that can be refused before the body is read; else, how to go on. `OPTIONS` is the server's business.
    pub fn admit(&self, method: &Method, stream: &str, headers: &HeaderMap) -> Result<Admission, Refusal> {
        if method != Method::POST {
            return Err(Refusal::MethodNotAllowed);
        }
        let admission = self.admission(stream, headers)?;
        let length = headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
        match length {
            Some(length) if length > self.limits.body as u64 => Err(Refusal::BodyTooLarge),
            _ => Ok(admission),
        }
    }

    /// Turns a hit into rows and an answer.
    pub fn collect(&self, hit: &Hit<'_>) -> Result<Collected, Refusal> {
        self.collect_admitted(hit, &self.admission(hit.stream, hit.headers)?)
    }

    /// The same for one whose header has been looked at.
    pub fn collect_admitted(&self, hit: &Hit<'_>, admission: &Admission) -> Result<Collected, Refusal> {
        self.run(hit, admission, &mut Nobody)
    }

    fn admission(&self, stream: &str, headers: &HeaderMap) -> Result<Admission, Refusal> {
        Admission::of(self.streams.find(stream)?, headers)
    }

    fn run(&self, hit: &Hit<'_>, admission: &Admission, watch: &mut impl Watch) -> Result<Collected, Refusal> {
        let Admission { stream, caller, media_type, codings } = admission;
        let caller = *caller;
        if hit.body.len() > self.limits.body {
            return Err(Refusal::BodyTooLarge);
        }
        let body = codings.decode(hit.body, self.limits.decoded_body)?;
        let text = collect::read_text(&body);
        let mut claims = collect::read(&text, *media_type == MediaType::Lines, caller, &self.limits)?;
        let strict = self.strict || claims.enforce;
        for claim in &mut claims.list {
            watch.redact(&self.redaction, claim);
            collect::validate(claim, &self.limits, hit.received_at, strict);
        }
        refuse_invalid(&claims, flag(hit, "atomic"))?;

        // A server's headers say nothing about the visitor it speaks for.
        if caller == Caller::Ordinary
            && let Some(header) = self.privacy.objection(hit.headers)
        {
            watch.object(header, &mut claims.list);
        }
        let visitor = self.identity.visitor(hit, caller);
        let cookie = self.cookie(hit, stream, &visitor, &claims);
        let mut accepted = answer(&claims, flag(hit, "debug"));

        let mut rows: Vec<Row> = Vec::with_capacity(claims.list.len());
        let mut size = 0;
        let mut dropped = Vec::new();
        for (index, mut claim) in claims.list.into_iter().enumerate() {
            watch.begin(&claim, hit, caller, &visitor, self.identity.cookie());
            let unwanted = match &claim {
                claim if !claim.log.violations.is_empty() => Some(DropReason::Invalid),
                claim if self.consent_denied == ConsentDenied::Drop && claim.consent.denies_identity() => {
                    Some(DropReason::ConsentDenied)
                }
                _ => None,
            };
            if let Some(reason) = unwanted {
                watch.drop(reason, None);
                dropped.push((index, reason));
                continue;
            }
            let browser = claim.browser.take();
            let hit = Hit { browser: browser.as_deref(), ..hit.clone() };
            let mut event = Event::default();
            let date = begin::fill(&mut event, &hit, stream, &visitor, claim, index, watch);
            match self.enrich(&hit, &mut event, watch) {
                ControlFlow::Continue(()) => {
                    let row = Row::freeze(&event, date, stream.id.clone());
                    size += row.bytes().len();
                    if size > self.limits.expanded() {
                        return Err(Refusal::BodyTooLarge);
                    }
                    watch.keep(&row);
                    rows.push(row);
                }
                ControlFlow::Break(reason) => {
                    watch.drop(reason, Some(&event));
                    dropped.push((index, reason));
                }
            }
        }

        if !claims.single {
            accepted.accepted = Some(rows.len());
        }
        let mut reply = accepted.reply();
        reply.headers.extend(cookie.map(|cookie| (header::SET_COOKIE, cookie)));
        Ok(Collected { rows, stream: stream.id.clone(), dropped, reply })
    }

    /// The client keeps the identifier of its latest valid event; none when that event's consent forbids it.
    fn cookie(
        &self,
        hit: &Hit<'_>,
        stream: &Stream,
        visitor: &Visitor<'_>,
        claims: &Claims<'_>,
    ) -> Option<http::HeaderValue> {
        let latest = claims.list.iter().rev().find(|claim| claim.log.violations.is_empty())?;
        self.identity.remember(visitor.id(latest)?, hit, stream.serves(hit.host))
    }

    fn enrich<'h>(&self, hit: &'h Hit<'h>, event: &mut Event<'h>, watch: &mut impl Watch) -> ControlFlow<DropReason> {
        self.steps.iter().try_for_each(|step| watch.step(&**step, hit, event))
    }
}

/// Whether the query switches something on: `?debug=1`.
fn flag(hit: &Hit<'_>, name: &str) -> bool {
    matches!(hit.query_param(name), Some("1" | "true"))
}

/// Refuses a request of which nothing can be kept, or, when it is atomic, not everything.
fn refuse_invalid(claims: &Claims<'_>, atomic: bool) -> Result<(), Refusal> {
    let invalid = claims.list.iter().filter(|claim| !claim.log.violations.is_empty()).count();
    if invalid == 0 || invalid < claims.list.len() && !atomic {
        return Ok(());
    }
    Err(Refusal::InvalidEvent { details: details(claims, false) })
}

/// What is to be said about the events, in their order.
fn details(claims: &Claims<'_>, with_remarks: bool) -> Vec<Detail> {
    let mut details = Vec::new();
    for (index, claim) in claims.list.iter().enumerate() {
        let violations = claim.log.violations.iter().map(|Detail { path, code, message }| Detail {
            path: in_event(index, path),
            code: *code,
            message: message.clone(),
        });
        details.extend(violations);
        if with_remarks {
            let remarks = claim.log.remarks.iter().map(|remark| Detail {
                path: in_event(index, &remark.path),
                code: remark.kind.code(),
                message: remark.to_string(),
            });
            details.extend(remarks);
        }
        if details.len() >= MAX_DETAILS {
            details.truncate(MAX_DETAILS);
            break;
        }
    }
    details
}

fn in_event(index: usize, path: &str) -> String {
    if path.is_empty() { format!("events[{index}]") } else { format!("events[{index}].{path}") }
}

/// The answer so far: how many events were refused, why, and in debug mode every remark.
fn answer(claims: &Claims<'_>, debug: bool) -> Accepted {
    let rejected = claims.list.iter().filter(|claim| !claim.log.violations.is_empty()).count();
    let debug = debug || claims.list.iter().any(Claim::debug_mode);
    Accepted {
        rejected: (rejected > 0).then_some(rejected),
        messages: (rejected > 0 || debug).then(|| details(claims, debug).into_iter().map(Message::from).collect()),
        ..Accepted::default()
    }
}

//! The line of one request: what is shown of it, and what is not.
//!
//! In the JSON of Cloud Logging the fields that begin with `http_request.` become its `httpRequest`. Never there: the
//! referrer, which is an address of a page with all that visitors typed, and whatever else headers and bodies hold.

use std::{borrow::Cow, net::IpAddr, time::Duration};

use http::{HeaderMap, Uri, Version, header};
use itoa::Buffer;

use super::{
    super::{
        Config,
        request::{host, ip_text},
    },
    AccessLogConfig, Ended, HANDLERS, Handler,
    config::Query,
    trace::Trace,
};
use crate::{collect::Redaction, telemetry::log::ACCESS};

/// Longest address shown, in bytes.
const MAX_URL: usize = 2048;
/// Longest user agent shown, in bytes.
const MAX_AGENT: usize = 512;

/// How lines are written, as the configuration has it now.
pub struct Style {
    config: AccessLogConfig,
    redaction: Redaction,
    /// Whose traces are named; empty when nobody knows.
    project: String,
}

/// A line's level is part of the place where it is written. Its values are texts and numbers, which are written as they
/// are: whatever has to be formatted first costs as much as all the rest.
macro_rules! line {
    ($level:expr, $ended:ident, $seen:ident) => {
        tracing::event!(
            target: ACCESS,
            $level,
            http_request.requestMethod = $ended.method.as_str(),
            http_request.requestUrl = $seen.url,
            http_request.status = $ended.status,
            // 64-bit integers are text in protobuf's JSON.
            http_request.requestSize = Buffer::new().format($ended.received),
            http_request.responseSize = Buffer::new().format($ended.bytes),
            http_request.userAgent = $seen.agent.as_deref(),
            http_request.remoteIp = $seen.client,
            http_request.latency = latency($ended.took),
            http_request.protocol = protocol($ended.version),
            "logging.googleapis.com/trace" = $seen.trace,
            "logging.googleapis.com/spanId" = $seen.span,
            "logging.googleapis.com/trace_sampled" = $seen.sampled,
            bytes = $ended.bytes,
            handler = HANDLERS[$ended.handler as usize].1,
            route = $ended.route,
            upstream = $ended.upstream,
            attempts = (($ended.attempts > 0).then_some($ended.attempts)),
            aborted = $ended.aborted.then_some(true),
            client = $seen.client,
            request_id = $ended.request_id.map_or("-", |id| id),
            message = message($ended, $seen.url),
        )
    };
}

/// What is shown beside what stands in the request.
struct Seen<'a> {
    url: &'a str,
    agent: Option<Cow<'a, str>>,
    client: Option<&'a str>,
    trace: Option<String>,
    span: Option<String>,
    sampled: Option<bool>,
}

impl Style {
    /// That of a checked configuration.
    pub fn new(config: &Config) -> Style {
        Style {
            config: config.server.access_log.clone(),
            redaction: Redaction::new(&config.redact),
            project: config.project.clone(),
        }
    }

    /// Whether any event that is taken gets a line.
    pub fn shows_events(&self) -> bool {
        self.config.enabled && self.config.sample_events > 0.0
    }

    /// Writes the line, if this request gets one. `luck` is drawn evenly from 0 to 1, without 1.
    pub fn write(&self, ended: &Ended<'_>, luck: f64) {
        if !self.config.keeps(ended.handler, ended.status, luck) {
            return;
        }
        let url = self.url(ended.uri, ended.headers, ended.secure);
        let client = ended.client.and_then(|client| self.config.client_ip.apply(client)).map(ip_text);
        let trace = Trace::of(ended.headers);
        let (span, sampled) = trace.as_ref().map(|trace| (trace.span.clone(), trace.sampled)).unzip();
        let seen = Seen {
            url: &url,
            agent: agent(ended.headers),
            client: client.as_deref(),
            trace: trace.map(|trace| self.trace(trace)),
            span: span.flatten(),
            sampled,
        };
        if ended.status >= 500 {
            line!(tracing::Level::WARN, ended, seen);
        } else {
            line!(tracing::Level::INFO, ended, seen);
        }
    }

    /// Writes the line of a request whose header could not be read, if it gets one.
    pub fn refused(&self, status: u16, reason: &'static str, client: IpAddr, luck: f64) {
        if self.config.keeps(Handler::Route, status, luck) {
            let client = self.config.client_ip.apply(client).map(ip_text);
            tracing::event!(
                target: ACCESS,
                tracing::Level::INFO,
                http_request.status = status,
                http_request.remoteIp = client,
                handler = HANDLERS[Handler::Route as usize].1,
                reason,
                client,
                "a request without a readable header {status}",
            );
        }
    }

    /// The name by which the trace's other entries are found; without a project, its identity.
    fn trace(&self, trace: Trace) -> String {
        if self.project.is_empty() { trace.id } else { format!("projects/{}/traces/{}", self.project, trace.id) }
    }

    /// The address that was asked for.
    fn url(&self, uri: &Uri, headers: &HeaderMap, secure: bool) -> String {
        let scheme = if secure { "https://" } else { "http://" };
        let query = uri.query().filter(|_| self.config.query != Query::Drop);
        let mark = if query.is_some() { "?" } else { "" };
        let url = [scheme, &host(uri, headers), uri.path(), mark, query.unwrap_or_default()].concat();
        let url = match self.config.query {
            Query::Keep => url.into(),
            // A path may hold secrets, too: `/reset;token=…`, `/unsubscribe/jane@example.com`.
            Query::Redact | Query::Drop => self.redaction.address(&url),
        };
        if let Cow::Owned(short) = clipped(&url, MAX_URL) { short } else { url.into_owned() }
    }
}

fn agent(headers: &HeaderMap) -> Option<Cow<'_, str>> {
    let value = headers.get(header::USER_AGENT)?;
    match value.to_str() {
        Ok(text) => Some(clipped(text, MAX_AGENT)),
        Err(_) => Some(clipped(&value.as_bytes().escape_ascii().to_string(), MAX_AGENT).into_owned().into()),
    }
}

/// The beginning of a text, in letters that do nothing to a terminal.
fn clipped(text: &str, most: usize) -> Cow<'_, str> {
    let head = &text[..text.floor_char_boundary(most)];
    let is_plain = |text: &str| text.bytes().all(|byte| matches!(byte, b' '..=b'~'));
    match (is_plain(head), head.len() == text.len()) {
        (true, true) => Cow::Borrowed(text),
        (true, false) => Cow::Owned(format!("{head}...")),
        (false, _) => Cow::Owned(head.escape_default().to_string()),
    }
}

fn protocol(version: Version) -> &'static str {
    match version {
        Version::HTTP_09 | Version::HTTP_10 => "HTTP/1.0",
        Version::HTTP_11 => "HTTP/1.1",
        _ => "HTTP/2",
    }
}

/// The line for people: `GET http://a.example/ 200 in 1.2ms`.
fn message(ended: &Ended<'_>, url: &str) -> String {
    let mut line = String::with_capacity(url.len() + 48);
    for part in [ended.method.as_str(), " ", url, " ", Buffer::new().format(ended.status), " in "] {
        line.push_str(part);
    }
    let nanos = ended.took.as_nanos();
    let (unit, name) = match nanos {
        0..1_000_000 => (1_000, "µs"),
        1_000_000..1_000_000_000 => (1_000_000, "ms"),
        _ => (1_000_000_000, "s"),
    };
    // As `{:.1?}` has it.
    let tenths = (nanos * 10 + unit / 2) / unit;
    for part in [Buffer::new().format(tenths / 10), ".", Buffer::new().format(tenths % 10), name] {
        line.push_str(part);
    }
    line
}

/// A duration as protobuf's JSON has it: `0.001234s`.
fn latency(took: Duration) -> String {
    let mut text = String::with_capacity("3600.000000s".len());
    text.push_str(Buffer::new().format(took.as_secs()));
    text.push('.');
    // With the zeros in front.
    text.push_str(&Buffer::new().format(1_000_000 + took.subsec_micros())[1..]);
    text.push('s');
    text
}

#[cfg(test)]
mod tests {
    use http::Method;

    use super::*;

    #[test]
    fn times_are_written_as_they_write_themselves() {
        for nanos in [0, 999, 1_234, 999_949, 1_000_000, 1_260_000, 999_940_001, 1_000_000_000, 61_072_003_004] {
            let took = Duration::from_nanos(nanos);
            let ended = Ended {
                handler: Handler::Proxy,
                method: &Method::GET,
                uri: &Uri::from_static("/a"),
                version: Version::HTTP_11,
                headers: &HeaderMap::new(),
                secure: false,
                received: 0,
                status: 200,
                bytes: 0,
                client: None,
                route: None,
                upstream: None,
                attempts: 0,
                request_id: None,
                took,
                aborted: false,
            };
            let time = if nanos < 1_000 { format!("{:.1}µs", nanos as f64 / 1e3) } else { format!("{took:.1?}") };
            assert_eq!(message(&ended, "/a"), format!("GET /a 200 in {time}"));
            assert_eq!(latency(took), format!("{}.{:06}s", took.as_secs(), took.subsec_micros()));
        }
    }
}

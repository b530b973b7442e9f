//! The line of one request: what is shown of it, and what is not.
//!
//! Never there: the referrer, which is an address of a page with all that visitors typed, and whatever else headers and
//! bodies hold.

use std::{borrow::Cow, net::IpAddr};

use http::{HeaderMap, Version, header};

use super::{
    super::{Config, request::ip_text},
    AccessLogConfig, Ended, HANDLERS, Handler,
    config::Query,
    trace::Trace,
};
use crate::{
    collect::Redaction,
    telemetry::log::{self, About, Access, Request},
};

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
        let is_failure = ended.status >= 500;
        if !log::shows_access(is_failure) {
            return;
        }
        let url = self.url(ended);
        let client = ended.client.and_then(|client| self.config.client_ip.apply(client)).map(ip_text);
        let agent = agent(ended.headers);
        let trace = Trace::of(ended.headers);
        let trace_name = trace.as_ref().map(|trace| self.trace(trace));
        let request = Request {
            method: ended.method.as_str(),
            url: &url,
            protocol: protocol(ended.version),
            agent: agent.as_deref(),
            received: ended.received,
            bytes: ended.bytes,
            took: ended.took,
            trace: trace_name.as_deref(),
            span: trace.as_ref().and_then(|trace| trace.span.as_deref()),
            sampled: trace.as_ref().map(|trace| trace.sampled),
            route: ended.route,
            upstream: ended.upstream,
            attempts: ended.attempts,
            aborted: ended.aborted,
            id: ended.request_id.map_or("-", |id| id),
        };
        let about = About::Request(request);
        log::access(is_failure, &line(ended.handler, ended.status, client.as_deref(), about));
    }

    /// Writes the line of a request whose header could not be read, if it gets one.
    pub fn refused(&self, status: u16, reason: &'static str, client: IpAddr, luck: f64) {
        if self.config.keeps(Handler::Route, status, luck) && log::shows_access(false) {
            let client = self.config.client_ip.apply(client).map(ip_text);
            log::access(false, &line(Handler::Route, status, client.as_deref(), About::Unreadable(reason)));
        }
    }

    /// The name by which the trace's other entries are found; without a project, its identity.
    fn trace<'a>(&self, trace: &'a Trace) -> Cow<'a, str> {
        if self.project.is_empty() {
            Cow::Borrowed(&trace.id)
        } else {
            Cow::Owned(format!("projects/{}/traces/{}", self.project, trace.id))
        }
    }

    /// The address that was asked for.
    fn url(&self, ended: &Ended<'_>) -> String {
        let scheme = if ended.secure { "https://" } else { "http://" };
        let query = ended.uri.query().filter(|_| self.config.query != Query::Drop);
        let mark = if query.is_some() { "?" } else { "" };
        let url = [scheme, ended.host, ended.uri.path(), mark, query.unwrap_or_default()].concat();
        let url = match self.config.query {
            Query::Keep => url.into(),
            // A path may hold secrets, too: `/reset;token=…`, `/unsubscribe/jane@example.com`.
            Query::Redact | Query::Drop => self.redaction.address(&url),
        };
        if let Cow::Owned(short) = clipped(&url, MAX_URL) { short } else { url.into_owned() }
    }
}

fn line<'a>(handler: Handler, status: u16, client: Option<&'a str>, about: About<&'a str>) -> Access<&'a str> {
    Access { status, client, handler: HANDLERS[handler as usize].1, about }
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
    // Without a way out in between, which lets the compiler look at many bytes at once.
    let is_plain = |text: &str| text.bytes().fold(true, |plain, byte| plain & matches!(byte, b' '..=b'~'));
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

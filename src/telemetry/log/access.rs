//! What the line of one request says. No event with fields: there is a line for each request, and a format that knows
//! what comes writes it for half of what it costs to be told value by value.

use std::time::Duration;

use itoa::Buffer;

/// A request at its end. Texts are what may be shown, none longer than a few kilobytes; `T` is how they are there.
#[derive(Clone, Copy, Debug)]
pub struct Access<T> {
    /// Of the answer; 0 when there was none.
    pub status: u16,
    /// The client's address.
    pub client: Option<T>,
    /// Who answered.
    pub handler: &'static str,
    /// What is known beside that.
    pub about: About<T>,
}

/// What is known of a request.
#[derive(Clone, Copy, Debug)]
pub enum About<T> {
    /// Its header could not be read, for this reason.
    Unreadable(&'static str),
    /// All.
    Request(Request<T>),
}

/// A request whose header was read.
#[derive(Clone, Copy, Debug)]
pub struct Request<T> {
    /// As sent.
    pub method: T,
    /// Scheme, host, path and what may be shown of the query.
    pub url: T,
    /// `HTTP/1.1` and the like.
    pub protocol: &'static str,
    /// The client's name for itself.
    pub agent: Option<T>,
    /// Bytes of its body.
    pub received: usize,
    /// Bytes of the answer's body.
    pub bytes: usize,
    /// From the complete header to the end of the answer.
    pub took: Duration,
    /// The name by which the other lines of its trace are found.
    pub trace: Option<T>,
    /// The span that the request belongs to.
    pub span: Option<T>,
    /// Whether the trace is kept.
    pub sampled: Option<bool>,
    /// The route, by its label.
    pub route: Option<T>,
    /// The server that was asked last.
    pub upstream: Option<T>,
    /// How many servers were asked.
    pub attempts: usize,
    /// Whether it ended before its time.
    pub aborted: bool,
    /// As told to client and site.
    pub id: T,
}

impl<T: Copy> Access<T> {
    /// The same with its texts in another form, which are asked for in the same order each time.
    pub fn map<U>(&self, mut change: impl FnMut(T) -> U) -> Access<U> {
        let Access { status, client, handler, about } = *self;
        let about = match about {
            About::Unreadable(reason) => About::Unreadable(reason),
            About::Request(request) => About::Request(request.map(&mut change)),
        };
        Access { status, client: client.map(change), handler, about }
    }
}

impl Access<&str> {
    /// The line for people, in pieces: `GET http://a.example/ 200 in 1.2ms`.
    pub fn message(&self, mut put: impl FnMut(Part<'_>)) {
        let mut number = Buffer::new();
        let status = Part::Plain(number.format(self.status));
        match &self.about {
            About::Unreadable(_) => {
                put(Part::Plain("a request without a readable header "));
                put(status);
            }
            About::Request(request) => {
                let space = Part::Plain(" ");
                for part in [Part::Method(request.method), space, Part::Url(request.url), space, status] {
                    put(part);
                }
                put(Part::Plain(" in "));
                request.time(|part| put(Part::Plain(part)));
            }
        }
    }
}

/// A piece of a message.
#[derive(Clone, Copy, Debug)]
pub enum Part<'a> {
    /// Words of ours and numbers.
    Plain(&'a str),
    /// As the client wrote it.
    Method(&'a str),
    /// Likewise.
    Url(&'a str),
}

impl<'a> Part<'a> {
    /// As people read it.
    pub fn text(self) -> &'a str {
        let (Part::Plain(text) | Part::Method(text) | Part::Url(text)) = self;
        text
    }
}

impl<T: Copy> Request<T> {
    fn map<U>(&self, mut change: impl FnMut(T) -> U) -> Request<U> {
        let Request { protocol, received, bytes, took, sampled, attempts, aborted, .. } = *self;
        Request {
            method: change(self.method),
            url: change(self.url),
            protocol,
            agent: self.agent.map(&mut change),
            received,
            bytes,
            took,
            trace: self.trace.map(&mut change),
            span: self.span.map(&mut change),
            sampled,
            route: self.route.map(&mut change),
            upstream: self.upstream.map(&mut change),
            attempts,
            aborted,
            id: change(self.id),
        }
    }
}

impl Request<&str> {
    /// As `{:.1?}` has it.
    fn time(&self, put: impl FnMut(&str)) {
        let nanos = self.took.as_nanos();
        let (unit, name) = match nanos {
            0..1_000_000 => (1_000, "µs"),
            1_000_000..1_000_000_000 => (1_000_000, "ms"),
            _ => (1_000_000_000, "s"),
        };
        let tenths = u64::try_from((nanos * 10 + unit / 2) / unit).unwrap_or(u64::MAX);
        let (mut whole, mut tenth) = (Buffer::new(), Buffer::new());
        [whole.format(tenths / 10), ".", tenth.format(tenths % 10), name].into_iter().for_each(put);
    }

    /// How long it took, as protobuf's JSON has it: `0.001234s`.
    pub fn latency(&self, put: impl FnMut(&str)) {
        let (mut whole, mut rest) = (Buffer::new(), Buffer::new());
        // With the zeros in front.
        let micros = &rest.format(1_000_000 + self.took.subsec_micros())[1..];
        [whole.format(self.took.as_secs()), ".", micros, "s"].into_iter().for_each(put);
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A request with every value.
    pub fn full() -> Access<&'static str> {
        let request = Request {
            method: "GET",
            url: "http://a.example/?q=\"1\"",
            protocol: "HTTP/1.1",
            agent: Some("Tester/1 (a b)"),
            received: 7,
            bytes: 5120,
            took: Duration::from_micros(12_345),
            trace: Some("projects/p/traces/t"),
            span: Some("b7ad6b7169203331"),
            sampled: Some(true),
            route: Some("*/ all"),
            upstream: Some("10.0.0.7:3000"),
            attempts: 1,
            aborted: true,
            id: "r-1",
        };
        Access { status: 200, client: Some("203.0.113.0"), handler: "proxy", about: About::Request(request) }
    }

    /// One that knows as little as there can be.
    pub fn bare() -> Access<&'static str> {
        let About::Request(request) = full().about else { unreachable!("it is one") };
        let (trace, span, sampled, route, upstream) = (None, None, None, None, None);
        let request =
            Request { agent: None, trace, span, sampled, route, upstream, attempts: 0, aborted: false, ..request };
        Access { client: None, about: About::Request(request), ..full() }
    }

    #[test]
    fn times_are_written_as_they_write_themselves() {
        for nanos in [0, 999, 1_234, 999_949, 1_000_000, 1_260_000, 999_940_001, 1_000_000_000, 61_072_003_004] {
            let took = Duration::from_nanos(nanos);
            let About::Request(request) = full().about else { unreachable!("it is one") };
            let request = Request { took, url: "/a", ..request };
            let (mut message, mut latency) = (String::new(), String::new());
            Access { about: About::Request(request), ..full() }.message(|part| message.push_str(part.text()));
            request.latency(|part| latency.push_str(part));
            let time = if nanos < 1_000 { format!("{:.1}µs", nanos as f64 / 1e3) } else { format!("{took:.1?}") };
            assert_eq!(message, format!("GET /a 200 in {time}"));
            assert_eq!(latency, format!("{}.{:06}s", took.as_secs(), took.subsec_micros()));
        }
    }
}

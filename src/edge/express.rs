//! The express lane: a plain event that is complete in the buffer is read and answered without Pingora's HTTP machinery,
//! which costs as much as everything else that is done for an event.
//!
//! Plain is what a browser or an HTTP library sends: one `POST` of HTTP/1.1 on a collection path with one `Host` and
//! one `Content-Length`. Whatever is unusual in any way (a transfer coding, `Expect`, `Upgrade`, a bare line feed, a
//! second `Host`, a body that is too long, a broken header) is not judged here but left to Pingora, so that there is one
//! place that knows what to make of it. Both lanes answer alike.

use std::{io::Write, mem::MaybeUninit};

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri};
use pingora::protocols::http::date::get_cached_date;

use super::{
    framing::{decimal, is_host},
    route::Router,
};
use crate::collect::Reply;

/// Most headers of a request in this lane; browsers send about twenty.
const MAX_HEADERS: usize = 64;
/// Most bytes of a request's header in this lane.
const MAX_HEAD: usize = 16 << 10;

/// What a connection's buffer begins with.
#[derive(Debug)]
pub enum Found {
    /// An event, now taken out of the buffer, up to its body: the buffer begins with that.
    Event(Box<Request>),
    /// The beginning of an event that takes this many bytes in all.
    Part(usize),
    /// Anything else, and the buffer as it was.
    Other,
}

/// The header of an event, and how long its body is.
#[derive(Debug)]
pub struct Request {
    /// `POST`.
    pub method: Method,
    /// The target.
    pub uri: Uri,
    /// As sent, in order.
    pub headers: HeaderMap,
    /// Bytes of the body.
    pub body: usize,
}

impl Request {
    /// What is left to say of an event whose header is gone.
    pub fn of_event(streams_path: &str, stream_id: &str) -> Request {
        // Both stood in a target before.
        let uri = format!("{streams_path}/{stream_id}").parse().unwrap_or_default();
        Request { method: Method::POST, uri, headers: HeaderMap::new(), body: 0 }
    }
}

/// Where a text stands in the header.
#[derive(Clone, Copy, Default)]
struct Span {
    start: u16,
    end: u16,
}

impl Span {
    /// `part` must be a slice of `whole`, or empty.
    fn of(part: &[u8], whole: &[u8]) -> Span {
        if part.is_empty() {
            return Span::default();
        }
        let start = part.as_ptr().addr() - whole.as_ptr().addr();
        Span { start: start as u16, end: (start + part.len()) as u16 }
    }
}

/// Finds a plain event of at most `max_body` bytes.
pub fn find(buffer: &mut BytesMut, router: &Router, max_body: usize) -> Found {
    let mut spans = [(Span::default(), Span::default()); MAX_HEADERS];
    let Some(outline) = outline(buffer, router, &mut spans) else { return Found::Other };
    // From here on nothing overflows.
    if outline.body > max_body {
        return Found::Other;
    }
    let whole = outline.head + outline.body;
    if buffer.len() < whole {
        return Found::Part(whole);
    }
    let head = buffer.split_to(outline.head).freeze();
    if let Some(request) = read(&head, &outline, &spans[..outline.headers]) {
        return Found::Event(Box::new(request));
    }
    let mut before = BytesMut::from(head);
    before.unsplit(std::mem::take(buffer));
    *buffer = before;
    Found::Other
}

/// A plain event's measures.
struct Outline {
    /// Bytes of the header with its empty line.
    head: usize,
    body: usize,
    headers: usize,
    path: Span,
}

fn outline(bytes: &[u8], router: &Router, spans: &mut [(Span, Span); MAX_HEADERS]) -> Option<Outline> {
    if !bytes.starts_with(b"POST /") {
        return None;
    }
    let mut slots = [const { MaybeUninit::uninit() }; MAX_HEADERS];
    let mut request = httparse::Request::new(&mut []);
    let head = match request.parse_with_uninit_headers(bytes, &mut slots) {
        Ok(httparse::Status::Complete(head)) if head <= MAX_HEAD => head,
        _ => return None,
    };
    let path = request.path?;
    let is_event = router.stream(path.split('?').next()?).is_some();
    if request.version != Some(1) || !is_event || !bytes[..head].ends_with(b"\r\n\r\n") {
        return None;
    }
    let mut length = None;
    let mut hosts = 0;
    for (header, span) in request.headers.iter().zip(spans.iter_mut()) {
        *span = (Span::of(header.name.as_bytes(), bytes), Span::of(header.value, bytes));
        // Parsers differ over a line feed without its carriage return, and differing parsers are how requests are
        // smuggled. No line but these and the last one is in a header.
        if !bytes[..usize::from(span.0.start)].ends_with(b"\r\n") {
            return None;
        }
        let is = |name: &[u8]| header.name.as_bytes().eq_ignore_ascii_case(name);
        // By length first: no header but these is compared.
        match header.name.len() {
            4 if is(b"host") => {
                if !is_host(header.value) {
                    return None;
                }
                hosts += 1;
            }
            6 if is(b"expect") => return None,
            7 if is(b"upgrade") => return None,
            10 if is(b"connection") && !header.value.eq_ignore_ascii_case(b"keep-alive") => return None,
            14 if is(b"content-length") && length.replace(decimal(header.value)?).is_some() => return None,
            17 if is(b"transfer-encoding") => return None,
            _ => {}
        }
    }
    let path = Span::of(path.as_bytes(), bytes);
    let body = usize::try_from(length?).ok()?;
    (hosts == 1).then_some(Outline { head, body, headers: request.headers.len(), path })
}

/// The values share the header's memory.
fn read(head: &Bytes, outline: &Outline, spans: &[(Span, Span)]) -> Option<Request> {
    let slice = |span: Span| head.slice(usize::from(span.start)..usize::from(span.end));
    let uri = Uri::from_maybe_shared(slice(outline.path)).ok()?;
    let mut headers = HeaderMap::with_capacity(spans.len());
    for (name, value) in spans {
        let name = HeaderName::from_bytes(&head[usize::from(name.start)..usize::from(name.end)]).ok()?;
        headers.append(name, HeaderValue::from_maybe_shared(slice(*value)).ok()?);
    }
    Some(Request { method: Method::POST, uri, headers, body: outline.body })
}

/// The bytes of an answer, as Pingora writes them; `last` closes the connection.
pub fn wire(reply: &Reply, last: bool) -> Vec<u8> {
    let mut wire = Vec::with_capacity(512 + reply.body.len());
    let reason = reply.status.canonical_reason().unwrap_or("");
    put(&mut wire, &[b"HTTP/1.1 ", reply.status.as_str().as_bytes(), b" ", reason.as_bytes(), b"\r\n"]);
    for (name, value) in &reply.headers {
        title(&mut wire, name);
        put(&mut wire, &[b": ", value.as_bytes(), b"\r\n"]);
    }
    if reply.status != StatusCode::NO_CONTENT {
        put(&mut wire, &[b"Content-Length: "]);
        // Writing into a vector never fails.
        let _ = write!(wire, "{}\r\n", reply.body.len());
    }
    put(&mut wire, &[b"Date: ", get_cached_date().as_bytes(), b"\r\n"]);
    put(&mut wire, &[b"Connection: ", if last { b"close" } else { b"keep-alive" }, b"\r\n\r\n", &reply.body]);
    wire
}

fn put(wire: &mut Vec<u8>, parts: &[&[u8]]) {
    parts.iter().for_each(|part| wire.extend_from_slice(part));
}

/// A header's name as people write it.
fn title(wire: &mut Vec<u8>, name: &HeaderName) {
    let start = wire.len();
    wire.extend_from_slice(name.as_str().as_bytes());
    let mut upper = true;
    for letter in &mut wire[start..] {
        if upper {
            letter.make_ascii_uppercase();
        }
        upper = *letter == b'-';
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use http::header;

    use super::*;

    const PLAIN: &str =
        "POST /s/1?x=1 HTTP/1.1\r\nHost: a.example\r\nCookie: b=1\r\ncookie: c=2\r\nX: \r\nContent-Length: 2\r\n\r\n";

    fn found(request: &str) -> (Found, BytesMut) {
        let mut buffer = BytesMut::from(request);
        (find(&mut buffer, &Router::new("/s", "/script", &[]), 1000), buffer)
    }

    #[test]
    fn a_plain_event_is_taken_and_its_body_stays() {
        let (Found::Event(request), rest) = found(&format!("{PLAIN}{{}}POST")) else { panic!() };
        assert_eq!((&request.method, request.uri.path(), request.uri.query()), (&Method::POST, "/s/1", Some("x=1")));
        assert_eq!(request.headers["host"], "a.example");
        assert_eq!(request.headers["x"], "");
        assert_eq!(request.headers.get_all("cookie").iter().collect::<Vec<_>>(), ["b=1", "c=2"]);
        assert_eq!(&rest[..request.body], b"{}");
        assert_eq!(&rest[request.body..], b"POST");
    }

    #[test]
    fn a_part_says_how_much_it_will_be() {
        let (Found::Part(whole), rest) = found(&format!("{PLAIN}{{")) else { panic!() };
        assert_eq!((whole, rest.len()), (PLAIN.len() + 2, PLAIN.len() + 1));
    }

    #[test]
    fn whatever_is_unusual_is_left_alone() {
        let with = |line: &str| PLAIN.replace("X: \r\n", line) + "{}";
        let long = format!("X: {}\r\n", "x".repeat(MAX_HEAD));
        let unusual = [
            with("Transfer-Encoding: chunked\r\n"),
            with("transfer-encoding: identity\r\n"),
            with("Expect: 100-continue\r\n"),
            with("Upgrade: websocket\r\n"),
            with("Connection: close\r\n"),
            with("Connection: keep-alive, x\r\n"),
            with("Content-Length: 2\r\n"),
            with("Host: b.example\r\n"),
            with("X : 1\r\n"),
            with("X: 1\n"),
            PLAIN.replace("HTTP/1.1\r\n", "HTTP/1.1\n") + "{}",
            PLAIN.replace("\r\n\r\n", "\r\n\n") + "{}",
            PLAIN.replace("\r\n\r\n", "\n\r\n") + "{}",
            format!("\r\n{PLAIN}{{}}"),
            with("X: 1\r\n folded\r\n"),
            with("X: \0\r\n"),
            with(&long),
            with(&"X: 1\r\n".repeat(MAX_HEADERS)),
            PLAIN.replace("Host: a.example\r\n", "") + "{}",
            PLAIN.replace("Length: 2", "Length: +2") + "{}",
            PLAIN.replace("Length: 2", "Length: 2, 2") + "{}",
            PLAIN.replace("Length: 2", "Length: ") + "{}",
            PLAIN.replace("Length: 2", "Length: 1001"),
            PLAIN.replace("Length: 2", "Length: 18446744073709551618"),
            PLAIN.replace("Content-Length: 2\r\n", ""),
            PLAIN.replace("HTTP/1.1", "HTTP/1.0") + "{}",
            PLAIN.replace("POST", "PUT") + "{}",
            PLAIN.replace("POST", "OPTIONS") + "{}",
            PLAIN.replace("/s/1", "/t/1") + "{}",
            PLAIN.replace("/s/1", "http://a.example/s/1") + "{}",
            PLAIN.replace("\r\n", "\n") + "{}",
            "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".into(),
            PLAIN[..PLAIN.len() - 1].into(),
            String::new(),
        ];
        for request in unusual {
            let (found, rest) = found(&request);
            assert!(matches!(found, Found::Other), "{request:?}: {found:?}");
            assert_eq!(rest, request.as_bytes());
        }
    }

    #[test]
    fn names_are_written_as_people_write_them() {
        let mut wire = Vec::new();
        title(&mut wire, &header::ACCESS_CONTROL_ALLOW_ORIGIN);
        title(&mut wire, &header::VARY);
        assert_eq!(String::from_utf8(wire).unwrap(), "Access-Control-Allow-OriginVary");
    }
}

//! Requests as they are written down: HTTP/1.1, one after another, with line ends of either kind. Pure.
//!
//! Stricter than a server where strictness helps whoever wrote the request, laxer where an editor has been at it.

use std::borrow::Cow;

use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri, header};

/// Most headers of one request.
const MAX_HEADERS: usize = 256;
/// Longest size line of a chunk, extensions included.
const MAX_SIZE_LINE: usize = 1024;

/// One request.
#[derive(Clone, Debug)]
pub struct RawRequest<'a> {
    /// Method.
    pub method: Method,
    /// Target.
    pub uri: Uri,
    /// Headers as sent, in order.
    pub headers: HeaderMap,
    /// Body without its transfer coding.
    pub body: Cow<'a, [u8]>,
}

/// Why a request cannot be read; nothing after it can, either.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// The head is no head.
    #[error("the head cannot be read: {0}")]
    Head(String),
    /// There is no empty line.
    #[error("the head does not end; hint: an empty line parts it from the body")]
    EndlessHead,
    /// It is not clear where the body ends.
    #[error("the length of the body is not clear: {0}")]
    Length(&'static str),
    /// The input ends first.
    #[error(
        "the body ends after {found} of {said} bytes; hint: leave out `Content-Length` where the body is the last thing"
    )]
    ShortBody {
        /// Bytes there are.
        found: usize,
        /// Bytes there should be.
        said: usize,
    },
    /// The chunks are broken.
    #[error("the chunked body cannot be read: {0}")]
    Chunks(&'static str),
}

/// The requests of `input`. A body without a length runs to its end, unless the method has none.
pub fn requests(input: &[u8]) -> impl Iterator<Item = Result<RawRequest<'_>, Unreadable>> {
    let mut rest = input;
    std::iter::from_fn(move || {
        // Between requests, and after the last one.
        rest = rest.trim_ascii_start();
        if rest.is_empty() {
            return None;
        }
        let read = request(rest);
        rest = read.as_ref().map_or(&[], |(_, rest)| rest);
        Some(read.map(|(request, _)| request))
    })
}

fn request(input: &[u8]) -> Result<(RawRequest<'_>, &[u8]), Unreadable> {
    let mut slots = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut parsed = httparse::Request::new(&mut slots);
    let head = |why: &dyn std::fmt::Display| Unreadable::Head(why.to_string());
    let end = match parsed.parse(input) {
        Ok(httparse::Status::Complete(end)) => end,
        Ok(httparse::Status::Partial) => return Err(Unreadable::EndlessHead),
        Err(httparse::Error::TooManyHeaders) => return Err(head(&"more than 256 headers")),
        Err(error) => return Err(head(&error)),
    };
    let method: Method = parsed.method.unwrap_or_default().parse().map_err(|error| head(&error))?;
    let uri = Uri::try_from(parsed.path.unwrap_or_default()).map_err(|error| head(&error))?;
    let mut headers = HeaderMap::with_capacity(parsed.headers.len());
    for line in parsed.headers.iter() {
        let name = HeaderName::from_bytes(line.name.as_bytes()).map_err(|error| head(&error))?;
        let value = HeaderValue::from_bytes(line.value).map_err(|error| head(&error))?;
        headers.try_append(name, value).map_err(|error| head(&error))?;
    }
    let (body, rest) = body(&method, &headers, &input[end..])?;
    Ok((RawRequest { method, uri, headers, body }, rest))
}

fn body<'a>(method: &Method, headers: &HeaderMap, rest: &'a [u8]) -> Result<(Cow<'a, [u8]>, &'a [u8]), Unreadable> {
    let mut codings = headers.get_all(header::TRANSFER_ENCODING).iter();
    let coding = codings.next();
    let mut lengths = headers.get_all(header::CONTENT_LENGTH).iter();
    let length = lengths.next();
    match (coding, length) {
        (Some(_), Some(_)) => Err(Unreadable::Length("both `Transfer-Encoding` and `Content-Length`")),
        (Some(coding), None) if coding.as_bytes().eq_ignore_ascii_case(b"chunked") && codings.next().is_none() => {
            let (body, rest) = chunked(rest)?;
            Ok((body.into(), rest))
        }
        (Some(_), None) => Err(Unreadable::Length("a `Transfer-Encoding` other than `chunked`")),
        (None, Some(length)) => {
            if lengths.any(|other| other != length) {
                return Err(Unreadable::Length("more than one `Content-Length`"));
            }
            let said = number(length.as_bytes(), 10).ok_or(Unreadable::Length("`Content-Length` is no number"))?;
            let short = Unreadable::ShortBody { found: rest.len(), said };
            let (body, rest) = rest.split_at_checked(said).ok_or(short)?;
            Ok((body.into(), rest))
        }
        (None, None) if matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS) => Ok((Cow::default(), rest)),
        (None, None) => Ok((rest.into(), &[])),
    }
}

fn chunked(mut rest: &[u8]) -> Result<(Vec<u8>, &[u8]), Unreadable> {
    let mut body = Vec::new();
    loop {
        let size = line(&mut rest, MAX_SIZE_LINE).ok_or(Unreadable::Chunks("a chunk has no line with its size"))?;
        let digits = size.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
        let size = number(digits, 16).ok_or(Unreadable::Chunks("the size of a chunk is no hexadecimal number"))?;
        if size == 0 {
            break;
        }
        let (chunk, after) = rest.split_at_checked(size).ok_or(Unreadable::Chunks("the input ends within a chunk"))?;
        body.extend_from_slice(chunk);
        rest = after;
        if line(&mut rest, 0).is_none() {
            return Err(Unreadable::Chunks("a chunk is longer than its size says"));
        }
    }
    // Trailers are nobody's here.
    while line(&mut rest, usize::MAX).is_some_and(|trailer| !trailer.is_empty()) {}
    Ok((body, rest))
}

/// Takes a line of at most `most` bytes, without its end.
fn line<'a>(rest: &mut &'a [u8], most: usize) -> Option<&'a [u8]> {
    let reach = most.saturating_add(2).min(rest.len());
    let end = memchr::memchr(b'\n', &rest[..reach])?;
    let line = rest[..end].strip_suffix(b"\r").unwrap_or(&rest[..end]);
    *rest = &rest[end + 1..];
    (line.len() <= most).then_some(line)
}

/// A plain number; signs and blanks are none.
fn number(digits: &[u8], radix: u32) -> Option<usize> {
    let plain = !digits.is_empty() && digits.iter().all(|digit| char::from(*digit).is_digit(radix));
    usize::from_str_radix(std::str::from_utf8(digits).ok().filter(|_| plain)?, radix).ok()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn bodies(input: &str) -> Vec<Result<String, Unreadable>> {
        let text = |request: RawRequest<'_>| format!("{} {}", request.uri, String::from_utf8_lossy(&request.body));
        requests(input.as_bytes()).map(|read| read.map(text)).collect()
    }

    #[test]
    fn requests_stand_one_after_another() {
        let input = "POST /a HTTP/1.1\nHost: x\nContent-Length: 2\n\n{}\n\nGET /b HTTP/1.1\nHost: x\n\n\
            POST /c HTTP/1.1\nTransfer-Encoding: Chunked\n\n3;x=y\nabc\n1\n\n\n0\nTrailer: 1\n\n\
            POST /d HTTP/1.0\n\n{\"e\":\n1}\n";
        let expected = ["/a {}", "/b ", "/c abc\n", "/d {\"e\":\n1}\n"].map(|text| Ok(text.to_owned()));
        assert_eq!(bodies(input), expected);
        let crlf = input.replace('\n', "\r\n").replace("1\r\n\r\n\r\n0", "1\r\n\n\r\n0");
        let expected = ["/a {}", "/b ", "/c abc\n", "/d {\"e\":\r\n1}\r\n"].map(|text| Ok(text.to_owned()));
        assert_eq!(bodies(&crlf), expected);
        assert_eq!(bodies(" \r\n\n"), []);
    }

    #[test]
    fn what_cannot_be_read_is_told_and_ends_it() {
        let post = |headers: &str, body: &str| format!("POST / HTTP/1.1\n{headers}\n\n{body}");
        for (input, why) in [
            ("POST / HTTP/1.1\nHost: x\n".to_owned(), "the head does not end"),
            ("nonsense\n\n".into(), "the head cannot be read"),
            ("POST / HTTP/3\n\n".into(), "the head cannot be read: invalid HTTP version"),
            ("POST / HTTP/1.1\nHo st: x\n\n".into(), "the head cannot be read: invalid header name"),
            (format!("POST / HTTP/1.1\n{}\n", "a: b\n".repeat(257)), "more than 256 headers"),
            (post("Content-Length: 3", "{}"), "the body ends after 2 of 3 bytes"),
            (post("Content-Length: +2", "{}"), "`Content-Length` is no number"),
            (post("Content-Length: 99999999999999999999", "{}"), "`Content-Length` is no number"),
            (post("Content-Length: 2\nContent-Length: 1", "{}"), "more than one `Content-Length`"),
            (post("Content-Length: 2\nTransfer-Encoding: chunked", "{}"), "both"),
            (post("Transfer-Encoding: gzip, chunked", "{}"), "other than `chunked`"),
            (post("Transfer-Encoding: chunked", "{}"), "a chunk has no line with its size"),
            (post("Transfer-Encoding: chunked", "x\n{}"), "the size of a chunk is no hexadecimal number"),
            (post("Transfer-Encoding: chunked", "fffffffffffffffff\n{}"), "the size of a chunk is no hexadecimal"),
            (post("Transfer-Encoding: chunked", "3\n{}"), "the input ends within a chunk"),
            (post("Transfer-Encoding: chunked", "1\n{}\n0\n\n"), "a chunk is longer than its size says"),
        ] {
            let read = bodies(&format!("GET /first HTTP/1.1\n\n{input}"));
            assert_eq!(read.len(), 2, "{input}");
            let error = read[1].clone().unwrap_err().to_string();
            assert!(error.contains(why), "{input}: {error}");
        }
    }
}

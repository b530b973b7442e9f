//! A request's header as it arrives: whether it is complete, how long it may take and how long it may be.
//!
//! Pingora waits a minute for every single byte and takes a megabyte; so the front reads the header of every request
//! that it hands over.

use std::{sync::LazyLock, time::Duration};

use bytes::{Buf, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri, Version};
use memchr::memmem::{self, Finder};
use pingora::{protocols::Stream, time::timeout};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{Tuning, framing};

/// Read at once.
const READ: usize = 4096;

/// What a header is given.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// From its first byte to its last.
    pub deadline: Duration,
    /// Bytes, with the empty line.
    pub size: usize,
}

/// Why there is no header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unfit {
    /// Not complete before the deadline.
    Slow,
    /// Longer than allowed.
    Large,
    /// Nobody is left to answer.
    Gone,
}

/// Reads until the buffer begins with a whole header, whose length that is; or has nothing at all, when it held but empty
/// lines.
pub async fn read(stream: &mut Stream, buffer: &mut BytesMut, bounds: Bounds) -> Result<usize, Unfit> {
    // A request may begin with empty lines (RFC 9112, 2.2).
    skip_empty_lines(buffer);
    if buffer.is_empty() {
        return Ok(0);
    }
    let fit = |end| if end > bounds.size { Err(Unfit::Large) } else { Ok(end) };
    if let Some(end) = end(buffer, 0) {
        return fit(end);
    }
    let rest = async {
        loop {
            let seen = buffer.len();
            if seen > bounds.size {
                return Err(Unfit::Large);
            }
            buffer.reserve(READ);
            if !matches!(stream.read_buf(buffer).await, Ok(1..)) {
                return Err(Unfit::Gone);
            }
            if let Some(end) = end(buffer, seen) {
                return fit(end);
            }
        }
    };
    timeout(bounds.deadline, rest).await.unwrap_or(Err(Unfit::Slow))
}

fn skip_empty_lines(buffer: &mut BytesMut) {
    let empty = buffer.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
    buffer.advance(empty);
}

/// Where the header ends, if it does; the first `seen` bytes have been looked at before. Where there is no end as it should
/// be, two line feeds are one, as they are for the parser. A header with such lines is refused when it is judged, so that it
/// does not matter which of the two comes first.
pub fn end(bytes: &[u8], seen: usize) -> Option<usize> {
    static END: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new("\n\r\n"));
    let from = seen.saturating_sub(2);
    let bytes = &bytes[from..];
    let end = END.find(bytes).map(|at| at + 3).or_else(|| Some(memmem::find(bytes, b"\n\n")? + 2));
    end.map(|end| from + end)
}

/// What can be read of a header that is not fit to be served: enough to answer it in a form that its sender reads, and to
/// tell of it.
#[derive(Debug)]
pub struct Outline {
    /// `GET` when there is none.
    pub method: Method,
    /// `/` when there is none.
    pub uri: Uri,
    /// HTTP/1.1 when there is none.
    pub version: Version,
    /// Those that can be read, of as many as are served.
    pub headers: HeaderMap,
}

impl Outline {
    /// Of whatever this is.
    pub fn of(head: &[u8]) -> Outline {
        let mut lines = framing::lines(head).map(<[u8]>::trim_ascii);
        let mut words = lines.next().unwrap_or_default().split(|byte| *byte == b' ');
        let method = words.next().and_then(|word| Method::from_bytes(word).ok()).unwrap_or_default();
        let uri = words.next().and_then(|word| Uri::try_from(word).ok()).unwrap_or_default();
        let version = if words.next() == Some(b"HTTP/1.0") { Version::HTTP_10 } else { Version::HTTP_11 };
        let mut headers = HeaderMap::new();
        for line in lines.take(framing::MAX_LINES) {
            let Some(colon) = memchr::memchr(b':', line) else { continue };
            let name = HeaderName::from_bytes(&line[..colon]);
            if let (Ok(name), Ok(value)) = (name, HeaderValue::from_bytes(line[colon + 1..].trim_ascii())) {
                headers.append(name, value);
            }
        }
        Outline { method, uri, version, headers }
    }
}

/// Answers a client whose request is not served, and closes; whether it has got that. It may still be sending: what comes
/// is taken for a moment, or its system would throw the answer away.
pub async fn refuse(mut stream: Stream, answer: &[u8], tuning: &Tuning) -> bool {
    let write = async {
        stream.write_all(answer).await?;
        stream.flush().await?;
        AsyncWriteExt::shutdown(&mut stream).await
    };
    if !matches!(timeout(tuning.answer, write).await, Ok(Ok(()))) {
        return false;
    }
    let drain = async {
        let mut taken = 0;
        // Not in the future, whose size is that of every connection's.
        let mut piece = vec![0; READ];
        while taken < tuning.linger_bytes {
            match stream.read(&mut piece).await {
                Ok(read @ 1..) => taken += read,
                _ => break,
            }
        }
    };
    // Whether the end or the bound came first, the connection is closed next.
    let _ = timeout(tuning.linger, drain).await;
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_is_found_wherever_the_pieces_are_cut() {
        for (text, expected) in [
            ("GET / HTTP/1.1\r\na: b\r\n\r\nbody", Some(24)),
            ("GET / HTTP/1.1\na: b\n\nbody", Some(21)),
            ("GET / HTTP/1.1\na: b\n\r\nbody", Some(22)),
            ("GET / HTTP/1.1\r\na: b\r\n\r", None),
            ("GET / HTTP/1.1\r\na: b\r\n", None),
            ("", None),
        ] {
            for cut in 0..=text.len() {
                let found = end(&text.as_bytes()[..cut], 0).or_else(|| end(text.as_bytes(), cut));
                assert_eq!(found, expected, "{text:?} cut at {cut}");
            }
        }
        // A header that is refused for its second line, with all that belongs to it.
        assert_eq!(end(b"GET / HTTP/1.1\n\nX: 1\r\n\r\nbody", 0), Some(24));
    }
}

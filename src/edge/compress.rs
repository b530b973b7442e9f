//! Compresses answers of the site on their way, piece by piece: what came in has gone out before the next piece is
//! waited for, so a page that is written slowly is read slowly, not late.
//!
//! Pingora's own module takes the first coding a client names, whatever its weight, and holds pieces back until the end.

use std::{
    io::{self, Write},
    sync::Mutex,
};

use brotli::CompressorWriter;
use bytes::Bytes;
use flate2::{Compression, write::GzEncoder};
use http::{HeaderMap, HeaderValue, Method, StatusCode, Version, header};
use pingora::{
    Result,
    http::{RequestHeader, ResponseHeader},
};

use super::{
    list::members,
    negotiate::{IDENTITY, quality},
};

/// Shorter bodies gain nothing.
const SHORTEST: u64 = 512;
/// Of each coding, what pays at the speed of a network: denser ones cost several times as much.
const GZIP_LEVEL: u32 = 5;
const BROTLI_QUALITY: u32 = 4;
const ZSTD_LEVEL: i32 = 3;
/// Logarithm of how far back codings look, which is most of the memory that each answer takes: 256 KiB.
const WINDOW: u32 = 18;
/// Cheapest first, for a client that likes several alike.
const CODINGS: [&str; 3] = ["zstd", "br", "gzip"];

/// A body on its way. (The lock is never waited for: it makes a value that is moved between threads also one that may
/// be looked at from several, which nobody does.)
pub struct Compressor(Mutex<Option<Encoder>>);

enum Encoder {
    Gzip(GzEncoder<Vec<u8>>),
    Brotli(Box<CompressorWriter<Vec<u8>>>),
    Zstd(zstd::stream::write::Encoder<'static, Vec<u8>>),
}

/// Begins to compress an answer if it is fit for that and the client wants it; changes its header then. The body has to
/// go through what is returned.
pub fn compress(request: &RequestHeader, response: &mut ResponseHeader) -> Option<Compressor> {
    if !is_fit(request, response) {
        return None;
    }
    // Whether compressed or not: a cache must know that it depends. HEAD says of it what GET would.
    vary(response);
    if request.method == Method::HEAD {
        return None;
    }
    let headers = &request.headers;
    let floor = quality(headers, IDENTITY);
    let liked = CODINGS.iter().rev().filter(|_| headers.contains_key(header::ACCEPT_ENCODING));
    // The last among equals: ours.
    let coding =
        liked.max_by_key(|coding| quality(headers, coding)).filter(|coding| quality(headers, coding) > floor)?;
    let encoder = Encoder::new(coding).ok()?;

    reshape(response).ok()?;
    response.insert_header(header::CONTENT_ENCODING, *coding).ok()?;
    Some(Compressor(Mutex::new(Some(encoder))))
}

/// Takes from a header what does not hold for a body that is changed on its way.
pub fn reshape(response: &mut ResponseHeader) -> Result<()> {
    response.remove_header(&header::CONTENT_LENGTH);
    response.remove_header(&header::ACCEPT_RANGES);
    for digest in ["content-digest", "repr-digest", "digest", "content-md5"] {
        response.remove_header(digest);
    }
    if !response.headers.contains_key(header::TRANSFER_ENCODING) {
        response.set_version(Version::HTTP_11);
        response.insert_header(header::TRANSFER_ENCODING, "chunked")?;
    }
    // Not the same bytes any more, but the same content.
    let etag = response.headers.get(header::ETAG).and_then(|etag| etag.to_str().ok());
    if let Some(strong) = etag.filter(|etag| !etag.starts_with("W/"))
        && let Ok(weak) = HeaderValue::try_from(format!("W/{strong}"))
    {
        response.insert_header(header::ETAG, weak)?;
    }
    Ok(())
}

fn is_fit(request: &RequestHeader, response: &ResponseHeader) -> bool {
    let headers = &response.headers;
    let has_body = !response.status.is_informational()
        && !matches!(response.status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED | StatusCode::PARTIAL_CONTENT);
    // HTTP/1.0 knows no chunks, and without a length there would be nothing else.
    let framed = request.version > Version::HTTP_10;
    let changed = headers.contains_key(header::CONTENT_ENCODING) || headers.contains_key(header::CONTENT_RANGE);
    has_body
        && framed
        && !changed
        && is_long(response)
        && !forbids(&request.headers)
        && !forbids(headers)
        && headers.get(header::CONTENT_TYPE).is_some_and(shrinks)
}

/// Whether an answer is long enough to gain anything, as far as it says.
pub fn is_long(response: &ResponseHeader) -> bool {
    let length = response.headers.get(header::CONTENT_LENGTH);
    length.and_then(|length| length.to_str().ok()?.parse::<u64>().ok()).is_none_or(|length| length >= SHORTEST)
}

/// `no-transform` (RFC 9111, 5.2).
pub fn forbids(headers: &HeaderMap) -> bool {
    members(headers, &header::CACHE_CONTROL).any(|word| word.eq_ignore_ascii_case(b"no-transform"))
}

/// Whether such content becomes much shorter. Server-sent events do, but their readers want each at once.
fn shrinks(content_type: &HeaderValue) -> bool {
    let kind =
        content_type.to_str().unwrap_or_default().split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let text = kind.starts_with("text/") && kind != "text/event-stream";
    const OTHERS: [&str; 7] = [
        "application/json",
        "application/javascript",
        "application/xml",
        "application/wasm",
        "application/x-ndjson",
        "image/svg+xml",
        "image/x-icon",
    ];
    text || OTHERS.contains(&&*kind) || kind.ends_with("+json") || kind.ends_with("+xml")
}

fn vary(response: &mut ResponseHeader) {
    let named = |word: &[u8]| word == b"*" || word.eq_ignore_ascii_case(b"accept-encoding");
    if !members(&response.headers, &header::VARY).any(named) {
        // Fails for a name or a value that is none.
        let _ = response.append_header(header::VARY, "Accept-Encoding");
    }
}

impl Compressor {
    /// What to send in place of a piece; `last` ends the body.
    pub fn piece(&mut self, piece: Option<&[u8]>, last: bool) -> io::Result<Option<Bytes>> {
        let slot = self.0.get_mut().unwrap_or_else(|poisoned| poisoned.into_inner());
        let Some(encoder) = slot else { return Ok(None) };
        if let Some(piece) = piece.filter(|piece| !piece.is_empty()) {
            encoder.write_all(piece)?;
        } else if !last {
            return Ok(None);
        }
        let out = match slot.take() {
            Some(encoder) if last => encoder.finish()?,
            Some(mut encoder) => {
                encoder.flush()?;
                let out = encoder.take();
                *slot = Some(encoder);
                out
            }
            None => return Ok(None),
        };
        Ok(Some(out.into()))
    }
}

impl Encoder {
    fn new(coding: &str) -> io::Result<Encoder> {
        let out = Vec::new();
        Ok(match coding {
            "zstd" => {
                let mut encoder = zstd::stream::write::Encoder::new(out, ZSTD_LEVEL)?;
                encoder.window_log(WINDOW)?;
                Encoder::Zstd(encoder)
            }
            "br" => Encoder::Brotli(Box::new(CompressorWriter::new(out, 4096, BROTLI_QUALITY, WINDOW))),
            _ => Encoder::Gzip(GzEncoder::new(out, Compression::new(GZIP_LEVEL))),
        })
    }

    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Encoder::Gzip(encoder) => encoder.write_all(bytes),
            Encoder::Brotli(encoder) => encoder.write_all(bytes),
            Encoder::Zstd(encoder) => encoder.write_all(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Encoder::Gzip(encoder) => encoder.flush(),
            Encoder::Brotli(encoder) => encoder.flush(),
            Encoder::Zstd(encoder) => encoder.flush(),
        }
    }

    /// What has come out so far.
    fn take(&mut self) -> Vec<u8> {
        std::mem::take(match self {
            Encoder::Gzip(encoder) => encoder.get_mut(),
            Encoder::Brotli(encoder) => encoder.get_mut(),
            Encoder::Zstd(encoder) => encoder.get_mut(),
        })
    }

    fn finish(self) -> io::Result<Vec<u8>> {
        match self {
            Encoder::Gzip(encoder) => encoder.finish(),
            Encoder::Brotli(encoder) => Ok(encoder.into_inner()),
            Encoder::Zstd(encoder) => encoder.finish(),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::edge::exchange::exchange;

    /// The coding of an answer with these headers to a request with those; headers are `name: value` lines.
    fn coding(request: &str, status: u16, response: &str) -> (Option<String>, ResponseHeader) {
        let (asked, mut answer) = exchange(request, status, response);
        let compressor = compress(&asked, &mut answer);
        let coding = answer.headers.get(header::CONTENT_ENCODING).map(|coding| coding.to_str().unwrap().to_owned());
        assert!(compressor.is_none() || coding.is_some());
        (coding.filter(|_| compressor.is_some()), answer)
    }

    #[test]
    fn the_clients_weights_decide_and_some_answers_stay_as_they_are() {
        const HTML: &str = "Content-Type: text/html; charset=utf-8\nContent-Length: 5000\n";
        let all = "Accept-Encoding: gzip, deflate, br, zstd";
        for (request, status, response, expected) in [
            (all, 200, HTML.to_owned(), Some("zstd")),
            ("Accept-Encoding: gzip, deflate, br", 200, HTML.to_owned(), Some("br")),
            ("Accept-Encoding: gzip;q=1, br;q=0.9", 200, HTML.to_owned(), Some("gzip")),
            ("Accept-Encoding: gzip;q=0", 200, HTML.to_owned(), None),
            ("Accept-Encoding: identity, gzip;q=0.5", 200, HTML.to_owned(), None),
            ("", 200, HTML.to_owned(), None),
            (all, 404, HTML.to_owned(), Some("zstd")),
            (all, 206, HTML.to_owned(), None),
            (all, 304, HTML.to_owned(), None),
            (all, 101, HTML.to_owned(), None),
            (all, 200, format!("{HTML}Content-Encoding: gzip"), None),
            (all, 200, format!("{HTML}Cache-Control: public, No-Transform"), None),
            ("Accept-Encoding: br\nCache-Control: no-transform", 200, HTML.to_owned(), None),
            (all, 200, HTML.replace("5000", "100"), None),
            (all, 200, HTML.replace("Content-Length: 5000", ""), Some("zstd")),
            (all, 200, "Content-Type: text/event-stream".to_owned(), None),
            (all, 200, "Content-Type: image/png".to_owned(), None),
            (all, 200, "Content-Type: application/problem+json".to_owned(), Some("zstd")),
            (all, 200, String::new(), None),
        ] {
            assert_eq!(coding(request, status, &response).0.as_deref(), expected, "{request} {status} {response}");
        }
        let (_, answer) = coding(all, 200, &format!("{HTML}ETag: \"a\"\nVary: Cookie\nAccept-Ranges: bytes"));
        assert_eq!(answer.headers[header::ETAG], "W/\"a\"");
        assert_eq!(answer.headers.get_all(header::VARY).iter().count(), 2);
        assert!(!answer.headers.contains_key(header::CONTENT_LENGTH));
        assert!(!answer.headers.contains_key(header::ACCEPT_RANGES));
        let (_, answer) = coding("", 200, HTML);
        assert_eq!(answer.headers[header::VARY], "Accept-Encoding", "also when it is left alone");
    }

    #[test]
    fn every_piece_can_be_read_as_soon_as_it_is_out() {
        use std::io::Read;
        let pieces: Vec<Vec<u8>> = (0..40u8).map(|n| vec![n; 1 + usize::from(n) * 700]).collect();
        for coding in CODINGS {
            let mut compressor = Compressor(Mutex::new(Some(Encoder::new(coding).unwrap())));
            let (mut wire, mut plain) = (Vec::new(), Vec::<u8>::new());
            let read = |wire: &[u8], length: usize| {
                let mut text = vec![0; length];
                match coding {
                    "gzip" => flate2::read::GzDecoder::new(wire).read_exact(&mut text),
                    "br" => brotli::Decompressor::new(wire, 4096).read_exact(&mut text),
                    _ => zstd::stream::read::Decoder::new(wire).unwrap().read_exact(&mut text),
                }
                .unwrap();
                text
            };
            for piece in &pieces {
                assert_eq!(compressor.piece(Some(&[]), false).unwrap(), None);
                wire.extend(compressor.piece(Some(piece), false).unwrap().unwrap());
                plain.extend(piece);
                assert_eq!(read(&wire, plain.len()), plain, "{coding}");
            }
            wire.extend(compressor.piece(None, true).unwrap().unwrap());
            assert_eq!(read(&wire, plain.len()), plain, "{coding}");
            assert!(wire.len() < plain.len() / 20, "{coding}: {}", wire.len());
            assert_eq!(compressor.piece(Some(b"more"), true).unwrap(), None, "it has ended");
        }
    }
}

//! Undoes `Content-Encoding`.
//!
//! Every layer is streamed through a counter, so what a bomb can make us do is bounded by the cap: in bytes held for
//! the result, and in bytes produced by each layer in between.

use std::{
    borrow::Cow,
    io::{self, BufRead, BufReader, Read},
};

use flate2::bufread::{DeflateDecoder, MultiGzDecoder, ZlibDecoder};
use http::{HeaderMap, header};

use super::Refusal;

/// Codings on top of each other. Two can happen (a proxy that compresses again), more is mischief.
const MAX_LAYERS: usize = 3;
/// log2 of the largest zstd window we allocate: 8 MiB, what RFC 9659 lets senders of `Content-Encoding: zstd` use.
const ZSTD_WINDOW_LOG: u32 = 23;

/// One content coding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Coding {
    Gzip,
    Deflate,
    Brotli,
    Zstd,
}

/// The codings of a body, in the order they were applied.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Codings {
    layers: [Option<Coding>; MAX_LAYERS],
}

impl Codings {
    /// Reads every `Content-Encoding` line.
    pub fn of(headers: &HeaderMap) -> Result<Codings, Refusal> {
        let mut codings = Codings::default();
        let mut layers = codings.layers.iter_mut();
        for line in headers.get_all(header::CONTENT_ENCODING) {
            let line = line.to_str().map_err(|_| Refusal::BadEncoding("`content-encoding` is not text"))?;
            for token in line.split(',').map(str::trim_ascii) {
                let coding = match token {
                    t if t.is_empty() || t.eq_ignore_ascii_case("identity") => continue,
                    t if t.eq_ignore_ascii_case("gzip") || t.eq_ignore_ascii_case("x-gzip") => Coding::Gzip,
                    t if t.eq_ignore_ascii_case("deflate") => Coding::Deflate,
                    t if t.eq_ignore_ascii_case("br") => Coding::Brotli,
                    t if t.eq_ignore_ascii_case("zstd") => Coding::Zstd,
                    _ => return Err(Refusal::BadEncoding("unknown coding; known are gzip, deflate, br and zstd")),
                };
                *layers.next().ok_or(Refusal::BadEncoding("too many codings on top of each other"))? = Some(coding);
            }
        }
        Ok(codings)
    }

    /// The body before any of them was applied; at most `cap` bytes.
    pub fn decode(self, body: &[u8], cap: usize) -> Result<Cow<'_, [u8]>, Refusal> {
        if self.layers[0].is_none() {
            return if body.len() > cap { Err(Refusal::BodyTooLarge) } else { Ok(Cow::Borrowed(body)) };
        }
        let mut reader: Box<dyn BufRead + '_> = Box::new(body);
        for coding in self.layers.into_iter().flatten().rev() {
            reader = Box::new(BufReader::new(Capped { inner: coding.undo(reader).map_err(refuse)?, left: cap }));
        }
        collect(reader, cap).map(Cow::Owned).map_err(refuse)
    }
}

impl Coding {
    fn undo<'a>(self, mut reader: Box<dyn BufRead + 'a>) -> io::Result<Box<dyn Read + 'a>> {
        Ok(match self {
            Coding::Gzip => Box::new(MultiGzDecoder::new(reader)),
            // The name means zlib; some clients send the bare format underneath.
            Coding::Deflate if is_zlib(reader.fill_buf()?) => Box::new(ZlibDecoder::new(reader)),
            Coding::Deflate => Box::new(DeflateDecoder::new(reader)),
            Coding::Brotli => {
                // RFC 7932 forbids this window code; the decoder would take it for the large-window dialect and
                // reserve up to 1 GiB.
                if reader.fill_buf()?.first().is_some_and(|first| first & 0x7f == 0x11) {
                    return Err(io::ErrorKind::InvalidData.into());
                }
                Box::new(brotli::Decompressor::new(reader, 4096))
            }
            Coding::Zstd => {
                let mut decoder = zstd::stream::read::Decoder::with_buffer(reader)?;
                decoder.window_log_max(ZSTD_WINDOW_LOG)?;
                Box::new(decoder)
            }
        })
    }
}

/// Whether `start` can be a zlib header (RFC 1950: method 8, window up to 32 KiB, check bits).
fn is_zlib(start: &[u8]) -> bool {
    match *start {
        [first, second, ..] => {
            first & 0x0f == 8 && first >> 4 <= 7 && (u16::from(first) << 8 | u16::from(second)).is_multiple_of(31)
        }
        _ => true,
    }
}

/// Fails once more than `left` bytes came through.
struct Capped<R> {
    inner: R,
    left: usize,
}

impl<R: Read> Read for Capped<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.left = self.left.checked_sub(read).ok_or(io::ErrorKind::FileTooLarge)?;
        Ok(read)
    }
}

fn refuse(error: io::Error) -> Refusal {
    match error.kind() {
        io::ErrorKind::FileTooLarge => Refusal::BodyTooLarge,
        _ => Refusal::BadEncoding("the bytes are not what `content-encoding` says"),
    }
}

/// Reads to the end into memory that never grows beyond `cap`.
fn collect(mut reader: Box<dyn BufRead + '_>, cap: usize) -> io::Result<Vec<u8>> {
    let mut out = Vec::new();
    loop {
        let chunk = reader.fill_buf()?;
        if chunk.is_empty() {
            return Ok(out);
        }
        let needed = out.len() + chunk.len();
        if needed > out.capacity() {
            let room = (2 * out.capacity()).clamp(needed, cap.max(needed));
            out.reserve_exact(room - out.len());
        }
        out.extend_from_slice(chunk);
        let read = chunk.len();
        reader.consume(read);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::io::Write;

    use flate2::{Compression, write};

    use super::*;

    fn codings(value: &str) -> Result<Codings, Refusal> {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_ENCODING, value.parse().unwrap());
        Codings::of(&headers)
    }

    fn decode(value: &str, body: &[u8], cap: usize) -> Result<Vec<u8>, Refusal> {
        codings(value)?.decode(body, cap).map(Cow::into_owned)
    }

    fn gzip(body: &[u8]) -> Vec<u8> {
        let mut encoder = write::GzEncoder::new(vec![], Compression::default());
        encoder.write_all(body).unwrap();
        encoder.finish().unwrap()
    }

    fn zlib(body: &[u8]) -> Vec<u8> {
        let mut encoder = write::ZlibEncoder::new(vec![], Compression::default());
        encoder.write_all(body).unwrap();
        encoder.finish().unwrap()
    }

    fn deflate(body: &[u8]) -> Vec<u8> {
        let mut encoder = write::DeflateEncoder::new(vec![], Compression::default());
        encoder.write_all(body).unwrap();
        encoder.finish().unwrap()
    }

    fn brotli(body: &[u8]) -> Vec<u8> {
        let mut out = vec![];
        brotli::CompressorWriter::new(&mut out, 4096, 5, 22).write_all(body).unwrap();
        out
    }

    fn zstd(body: &[u8]) -> Vec<u8> {
        zstd::encode_all(body, 3).unwrap()
    }

    const BODY: &[u8] = br#"{"event_name":"page_view"}"#;

    #[test]
    fn every_coding_is_undone() {
        for (name, body) in [
            ("gzip", gzip(BODY)),
            ("X-GZIP", gzip(BODY)),
            ("deflate", zlib(BODY)),
            ("deflate", deflate(BODY)),
            ("br", brotli(BODY)),
            ("zstd", zstd(BODY)),
            ("identity", BODY.to_vec()),
            ("", BODY.to_vec()),
            ("gzip, br", brotli(&gzip(BODY))),
            ("identity,zstd , deflate", zlib(&zstd(BODY))),
        ] {
            assert_eq!(decode(name, &body, 1_000).unwrap(), BODY, "{name}");
        }
    }

    #[test]
    fn bombs_stop_at_the_cap() {
        let zeros = vec![0; 3 << 20];
        for (name, body) in [
            ("gzip", gzip(&zeros)),
            ("deflate", zlib(&zeros)),
            ("br", brotli(&zeros)),
            ("zstd", zstd(&zeros)),
            ("gzip, gzip", gzip(&gzip(&zeros))),
            ("identity", zeros.clone()),
        ] {
            assert_eq!(decode(name, &body, 1 << 20), Err(Refusal::BodyTooLarge), "{name}");
        }
    }

    #[test]
    fn a_bomb_that_hides_in_the_middle_stops_too() {
        // Many empty gzip members: a huge inner stream that decodes to nothing.
        let empties = gzip(b"").repeat(100_000);
        assert_eq!(decode("gzip, gzip", &gzip(&empties), 1 << 20), Err(Refusal::BodyTooLarge));
    }

    #[test]
    fn a_body_of_exactly_the_cap_passes() {
        let body = vec![b' '; 100_000];
        assert_eq!(decode("gzip", &gzip(&body), body.len()).unwrap().len(), body.len());
        assert_eq!(decode("gzip", &gzip(&body), body.len() - 1), Err(Refusal::BodyTooLarge));
    }

    #[test]
    fn garbage_and_truncation_are_told_apart_from_size() {
        for (name, body) in [
            ("gzip", BODY.to_vec()),
            ("br", vec![0x11; 40]),
            ("zstd", BODY.to_vec()),
            ("deflate", BODY.to_vec()),
            ("gzip", gzip(BODY)[..20].to_vec()),
            ("zstd", zstd(BODY)[..20].to_vec()),
            ("deflate", zlib(BODY)[..20].to_vec()),
            ("br", brotli(BODY)[..20].to_vec()),
        ] {
            assert!(matches!(decode(name, &body, 1_000), Err(Refusal::BadEncoding(_))), "{name}");
        }
        assert!(matches!(codings("compress"), Err(Refusal::BadEncoding(_))));
        assert!(matches!(codings("gzip, gzip, gzip, gzip"), Err(Refusal::BadEncoding(_))));
    }
}

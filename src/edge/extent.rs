//! How far a request reaches on a connection of HTTP/1: sans-io, fed with what follows its header.
//!
//! Pingora reads as much as there is, and what it reads of the next request nobody sees before it is parsed, and mended
//! where it should be refused. So it is given one request at a time. What a header says of that is found where it is
//! judged (`framing`); chunks are judged here: Pingora takes an empty line for the last chunk's, and a bare line feed for a
//! part of an extension, which another may take for a line's end.

/// Of one request, as it goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// This many bytes are left.
    Length(u64),
    /// Chunks are left (RFC 9112, 7.1).
    Chunked(Chunks),
    /// Whatever comes.
    Open,
    /// What came are no chunks, and where the request ends nobody knows.
    Broken,
}

/// Where in a chunked body the next byte stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Chunks {
    /// Before a chunk's size.
    Begin,
    /// In a chunk's size.
    Size(u64),
    /// Behind the size, in the same line.
    Rest(u64),
    /// Before the line feed of that line.
    Line(u64),
    /// In the chunk, with this many bytes left.
    Data(u64),
    /// Behind the chunk's bytes.
    End,
    /// Before the line feed behind them.
    EndLine,
    /// In a trailer's line, or in the empty one that is the last.
    Trailer {
        /// Whether the line has had no byte yet.
        is_empty: bool,
    },
}

impl Extent {
    /// Whether nothing is left.
    pub fn is_over(&self) -> bool {
        *self == Extent::Length(0)
    }

    /// How many of the next bytes are the request's: up to the one that breaks it, if one does.
    pub fn take(&mut self, bytes: &[u8]) -> usize {
        let mut taken = 0;
        while let Some(next) = bytes.get(taken) {
            match self {
                Extent::Open => return bytes.len(),
                Extent::Length(0) | Extent::Broken => break,
                Extent::Length(left) | Extent::Chunked(Chunks::Data(left)) => {
                    let length = usize::try_from(*left).unwrap_or(usize::MAX).min(bytes.len() - taken);
                    taken += length;
                    *left -= length as u64;
                    if *self == Extent::Chunked(Chunks::Data(0)) {
                        *self = Extent::Chunked(Chunks::End);
                    }
                }
                Extent::Chunked(chunks) => {
                    *self = chunks.step(*next);
                    taken += 1;
                }
            }
        }
        taken
    }
}

impl Chunks {
    fn step(self, byte: u8) -> Extent {
        Extent::Chunked(match (self, byte) {
            (Chunks::Begin | Chunks::Size(_), b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F') => {
                let size = if let Chunks::Size(size) = self { size } else { 0 };
                let digit = char::from(byte).to_digit(16).map_or(0, u64::from);
                match size.checked_mul(16) {
                    Some(size) => Chunks::Size(size + digit),
                    None => return Extent::Broken,
                }
            }
            (Chunks::Size(size) | Chunks::Rest(size), b'\r') => Chunks::Line(size),
            (Chunks::Size(size), b';' | b' ' | b'\t') => Chunks::Rest(size),
            (Chunks::Rest(_), byte) if byte != b'\n' => self,
            (Chunks::Line(0), b'\n') => Chunks::Trailer { is_empty: true },
            (Chunks::Line(size), b'\n') => Chunks::Data(size),
            (Chunks::End, b'\r') => Chunks::EndLine,
            (Chunks::EndLine, b'\n') => Chunks::Begin,
            (Chunks::Trailer { is_empty: true }, b'\n') => return Extent::Length(0),
            (Chunks::Trailer { .. }, b'\n') => Chunks::Trailer { is_empty: true },
            (Chunks::Trailer { .. }, b'\r') => self,
            (Chunks::Trailer { .. }, _) => Chunks::Trailer { is_empty: false },
            _ => return Extent::Broken,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// However it is cut, `own` is the request's and what follows is not.
    #[track_caller]
    fn check(extent: Extent, own: &str, more: &str) {
        let all = [own, more].concat();
        for cut in 0..=all.len() {
            let mut extent = extent;
            let (first, second) = all.as_bytes().split_at(cut);
            let taken = extent.take(first);
            assert_eq!(taken, own.len().min(cut), "{own:?} cut at {cut}");
            assert_eq!(taken + extent.take(second), own.len(), "{own:?} cut at {cut}");
            assert!(extent.is_over());
        }
    }

    #[test]
    fn what_follows_a_request_is_not_its_own() {
        let chunked = Extent::Chunked(Chunks::Begin);
        for more in ["", "GET / HTTP/1.1\r\n\r\n", "0\r\n\r\n"] {
            check(Extent::Length(0), "", more);
            check(Extent::Length(5), "12345", more);
            check(chunked, "0\r\n\r\n", more);
            check(chunked, "a;x=\"y\"\r\n0123456789\r\n1 \r\n\n\r\n00\r\nTrailer: x\r\n\r\n", more);
        }
    }

    #[test]
    fn what_are_no_chunks_breaks_off() {
        for (wrong, until) in [
            ("x\r\n", 1),
            ("\r\n", 1),
            (";a\r\n", 1),
            ("1\nab", 2),
            ("1;a\nb\r\n", 4),
            ("1;a\rb\r\n", 5),
            ("1\r\nabc\r\n", 5),
            ("1\r\na\n0\r\n\r\n", 5),
            ("1\r\na\r\r\n0\r\n\r\n", 6),
            ("fffffffffffffffff\r\n", 17),
            ("-1\r\n", 1),
            ("1\r\na0\r\n\r\n", 5),
        ] {
            let mut extent = Extent::Chunked(Chunks::Begin);
            assert_eq!((extent.take(wrong.as_bytes()), extent), (until, Extent::Broken), "{wrong:?}");
            assert_eq!((extent.take(b"0\r\n\r\n"), extent), (0, Extent::Broken), "{wrong:?}");
        }
    }
}

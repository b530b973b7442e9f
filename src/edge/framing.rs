//! What is wrong with the bytes of a request's header over HTTP/1, where the parser is more generous than is good for
//! whoever stands behind or before us: two parsers that disagree over one request are how requests are smuggled.

#[cfg(test)]
mod tests;

use http::{Method, StatusCode};
use pingora::http::RequestHeader;

use super::{
    extent::{Chunks, Extent},
    list::members_of,
};

/// What is known of a request whose header has no fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sound {
    /// How far it reaches behind its header.
    pub extent: Extent,
    /// Whether a host stands before its path: [`without_host`] takes it away.
    pub is_absolute: bool,
}

/// Why a request's header is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    /// How it is answered.
    pub status: StatusCode,
    /// What is wrong, for who has sent it.
    pub about: &'static str,
    /// The same for metrics.
    pub reason: &'static str,
}

impl Fault {
    /// What came of its body are no chunks.
    pub const CHUNKS: Fault = Fault { reason: "chunks", ..Fault::of("the chunks of the body are broken") };

    const fn of(about: &'static str) -> Fault {
        Fault { status: StatusCode::BAD_REQUEST, about, reason: "header" }
    }

    const fn of_line(about: &'static str) -> Fault {
        Fault { reason: "request_line", ..Fault::of(about) }
    }
}

/// Most lines of a header; Pingora's parser has room for no more.
pub const MAX_LINES: usize = 256;

const BARE: &str = "a line ends without its carriage return, or has another";

/// Takes a header that nobody can misread, and that Pingora's parser takes (RFC 9112 and 9110). `head` ends with the empty
/// line, and none stands before it.
///
/// # Errors
/// Why another one is refused.
pub fn judge(head: &[u8]) -> Result<Sound, Fault> {
    // A look at all of it, many bytes at once, spares one at each line of nearly every header.
    judge_lines(head, is_tidy(head))
}

fn judge_lines(head: &[u8], is_tidy: bool) -> Result<Sound, Fault> {
    let whole = |line| if is_tidy { without_end(line) } else { whole(line) };
    let mut lines = lines(head);
    let Some(first) = lines.next().and_then(whole) else { return Err(Fault::of_line(BARE)) };
    let first = Line::of(first)?;
    let (mut count, mut host, mut length, mut is_chunked, mut is_upgrade) = (0, None, None, false, false);
    for line in lines {
        let Some(line) = whole(line) else { return Err(Fault::of(BARE)) };
        if line.is_empty() {
            break;
        }
        count += 1;
        if count > MAX_LINES {
            let status = StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE;
            return Err(Fault { status, reason: "large_header", ..Fault::of("there are more than 256 headers") });
        }
        // 5.2: a line that begins with space goes on with the one before.
        if line[0] == b' ' || line[0] == b'\t' {
            return Err(Fault::of("a header is folded over two lines"));
        }
        let Some((name, value)) = member(line) else { return Err(nameless(line)) };
        // 9110, 5.5
        if !is_tidy && has_controls(value) {
            return Err(Fault::of("a header has a control character"));
        }
        let value = || value.trim_ascii();
        match name.len() {
            4 if name.eq_ignore_ascii_case(b"host") => {
                if host.replace(value()).is_some() {
                    return Err(Fault::of("there is more than one `Host`"));
                }
                if !is_host(value()) {
                    return Err(Fault::of("`Host` is no host"));
                }
            }
            // No other protocol is passed on (clients offer `h2c` with requests that are whole without it).
            7 if name.eq_ignore_ascii_case(b"upgrade") => is_upgrade |= is_websocket(value()),
            // 6.3: a list of the same number could be taken for one; no client has a reason to send it.
            14 if name.eq_ignore_ascii_case(b"content-length") => {
                let Some(said) = decimal(value()) else { return Err(Fault::of("`Content-Length` is no number")) };
                if length.replace(said).is_some() {
                    return Err(Fault::of("`Content-Length` twice"));
                }
            }
            // 6.1: of other codings Pingora would take away the name and leave the body as it is.
            17 if name.eq_ignore_ascii_case(b"transfer-encoding") => {
                if !value().eq_ignore_ascii_case(b"chunked") {
                    return Err(Fault::of("`Transfer-Encoding` is not `chunked`"));
                }
                if is_chunked {
                    return Err(Fault::of("`Transfer-Encoding` twice"));
                }
                is_chunked = true;
            }
            _ => {}
        }
    }
    // 6.1: it may be an attempt to smuggle.
    if length.is_some() && is_chunked {
        return Err(Fault::of("both `Content-Length` and `Transfer-Encoding`"));
    }
    // 6.1: who wrote that does not know chunks.
    if is_chunked && !first.is_current {
        return Err(Fault::of("HTTP/1.0 has no `Transfer-Encoding`"));
    }
    // 3.2
    let is_absolute = match (host, &first.target) {
        (None, _) if first.is_current => return Err(Fault::of("there is no `Host`")),
        (Some(host), Target::Absolute { scheme, authority, .. }) if !is_same_host(host, authority, scheme) => {
            return Err(Fault::of("`Host` is another one than the target's"));
        }
        (_, target) => matches!(target, Target::Absolute { .. }),
    };
    let extent = match length {
        _ if is_upgrade => Extent::Open,
        _ if is_chunked => Extent::Chunked(Chunks::Begin),
        length => Extent::Length(length.unwrap_or(0)),
    };
    Ok(Sound { extent, is_absolute })
}

/// Name of a line, and its value with the space around that; `None` when it has no name (RFC 9112, 5.1).
fn member(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = line.iter().position(|byte| !is_word(*byte))?;
    (end > 0 && line[end] == b':').then(|| (&line[..end], &line[end + 1..]))
}

/// What is wrong with a line that has no name.
fn nameless(line: &[u8]) -> Fault {
    Fault::of(match memchr::memchr(b':', line).map(|colon| &line[..colon]) {
        None => "a header has no colon",
        Some([.., b' ' | b'\t']) => "a header's name ends with space",
        Some(_) => "a header's name is none",
    })
}

fn is_websocket(value: &[u8]) -> bool {
    members_of(value).any(|protocol| protocol.get(..9).is_some_and(|name| name.eq_ignore_ascii_case(b"websocket")))
}

/// The first line, whose parts are what they should be.
struct Line<'a> {
    method: &'a [u8],
    target: Target<'a>,
    /// HTTP/1.1, else 1.0.
    is_current: bool,
}

/// What is asked for (RFC 9112, 3.2).
enum Target<'a> {
    /// A path, or `*`.
    Path,
    /// The same behind a host.
    Absolute { scheme: &'a [u8], authority: &'a [u8], path: &'a [u8] },
}

impl<'a> Line<'a> {
    /// Of three words, with one space between. Pingora would take more spaces for a part of the target, and encode them.
    fn of(line: &'a [u8]) -> Result<Line<'a>, Fault> {
        let mut words = line.split(|byte| *byte == b' ');
        let (Some(method), Some(target), Some(version), None) =
            (words.next(), words.next(), words.next(), words.next())
        else {
            return Err(Fault::of_line("the first line is not of three words"));
        };
        if method.is_empty() || !method.iter().all(|byte| is_word(*byte)) {
            return Err(Fault::of_line("the method is none"));
        }
        if method == b"CONNECT" {
            let status = StatusCode::METHOD_NOT_ALLOWED;
            return Err(Fault { status, reason: "method", ..Fault::of("there are no tunnels here") });
        }
        let is_current = match version {
            b"HTTP/1.1" => true,
            b"HTTP/1.0" => false,
            _ => return Err(Fault::of_line("the version is neither HTTP/1.1 nor HTTP/1.0")),
        };
        Ok(Line { method, target: Target::of(target)?, is_current })
    }
}

impl<'a> Target<'a> {
    fn of(target: &'a [u8]) -> Result<Target<'a>, Fault> {
        let begins = |with: &[u8]| target.get(..with.len()).is_some_and(|start| start.eq_ignore_ascii_case(with));
        let parsed = if begins(b"/") || target == b"*" {
            Target::Path
        } else if begins(b"http://") || begins(b"https://") {
            let colon = memchr::memchr(b':', target).unwrap_or_default();
            let rest = &target[colon + 3..];
            let end = rest.iter().position(|byte| matches!(byte, b'/' | b'?' | b'#')).unwrap_or(rest.len());
            let (authority, path) = rest.split_at(end);
            // 9110, 4.2.4: nor may there be a user.
            if authority.is_empty() || !is_host(authority) {
                return Err(Fault::of_line("the target's host is none"));
            }
            Target::Absolute { scheme: &target[..colon], authority, path }
        } else {
            return Err(Fault::of_line("the target is no path"));
        };
        // What is unusual is judged by who has to take it.
        let plain = memchr::memchr(b'#', target).map_or(target, |at| &target[..at]);
        let is_sound = plain.iter().all(|byte| USUAL[usize::from(*byte)])
            || !plain.iter().any(|byte| *byte <= b' ' || *byte == 0x7f)
                && RequestHeader::build_no_case(Method::GET, plain, None).is_ok();
        if is_sound { Ok(parsed) } else { Err(Fault::of_line("the target has a character that has to be encoded")) }
    }
}

/// Whether both are the same place of this scheme, whose port may be said or not.
fn is_same_host(one: &[u8], other: &[u8], scheme: &[u8]) -> bool {
    let port: &[u8] = if scheme.eq_ignore_ascii_case(b"http") { b":80" } else { b":443" };
    let name = |authority: &[u8]| {
        let name = authority.strip_suffix(port).or_else(|| authority.strip_suffix(b":"));
        name.unwrap_or(authority).to_ascii_lowercase()
    };
    name(one) == name(other)
}

/// A header without fault, its target without the host that stood before the path; `None` when none did. Its `Host` says
/// the same, or does so from now on (RFC 9112, 3.2.2).
pub fn without_host(head: &[u8]) -> Option<Vec<u8>> {
    let end = memchr::memchr(b'\n', head)? + 1;
    let Line { method, target: Target::Absolute { authority, path, .. }, is_current } =
        Line::of(whole(&head[..end])?).ok()?
    else {
        return None;
    };
    let root: &[u8] = match path.first() {
        Some(b'/') => b"",
        // 3.2.4
        None if method == b"OPTIONS" => b"*",
        _ => b"/",
    };
    let version: &[u8] = if is_current { b" HTTP/1.1\r\n" } else { b" HTTP/1.0\r\n" };
    let mut plain = [method, b" ", root, path, version].concat();
    let has_host = lines(&head[end..]).any(|line| line.get(..5).is_some_and(|is| is.eq_ignore_ascii_case(b"host:")));
    if !has_host {
        plain.extend_from_slice(&[b"Host: ", authority, b"\r\n"].concat());
    }
    plain.extend_from_slice(&head[end..]);
    Some(plain)
}

/// The lines of a header, each with its line feed. Whatever follows the last one is none.
pub fn lines(head: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut begin = 0;
    memchr::memchr_iter(b'\n', head).map(move |at| {
        let line = &head[begin..=at];
        begin = at + 1;
        line
    })
}

/// The line without its end, if that is what it should be, and the only one.
fn whole(line: &[u8]) -> Option<&[u8]> {
    without_end(line).filter(|line| !line.contains(&b'\r'))
}

fn without_end(line: &[u8]) -> Option<&[u8]> {
    line.strip_suffix(b"\r\n")
}

/// Whether carriage returns and line feeds are there in pairs alone, and no other control characters but tabs. A line feed
/// as the first byte, or a carriage return as the last one, is not seen: no line with such an end is a whole one.
fn is_tidy(head: &[u8]) -> bool {
    // No way out in between, as in `has_controls`.
    let is_split = |pair: (&u8, &u8)| (*pair.0 == b'\r') != (*pair.1 == b'\n');
    let pairs = head.iter().zip(head.iter().skip(1));
    let is_odd = |byte: u8| is_control(byte) & !matches!(byte, b'\r' | b'\n');
    !pairs.fold(false, |found, pair| found | is_split(pair))
        && !head.iter().fold(false, |found, byte| found | is_odd(*byte))
}

/// What names and methods consist of (RFC 9110, 5.6.2).
fn is_word(byte: u8) -> bool {
    WORD[usize::from(byte)]
}

static WORD: [bool; 256] = letters_digits_and(b"!#$%&'*+-.^_`|~");

/// What targets mostly consist of.
static USUAL: [bool; 256] = letters_digits_and(b"!$%&'()*+,-./:;=?@_~");

const fn letters_digits_and(marks: &[u8]) -> [bool; 256] {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < table.len() {
        table[byte] = (byte as u8).is_ascii_alphanumeric();
        byte += 1;
    }
    let mut at = 0;
    while at < marks.len() {
        table[marks[at] as usize] = true;
        at += 1;
    }
    table
}

/// Whether a value has bytes that none has. All of it is looked at, so that many bytes are at once.
fn has_controls(value: &[u8]) -> bool {
    value.iter().fold(false, |found, byte| found | is_control(*byte))
}

fn is_control(byte: u8) -> bool {
    (byte < b' ') & (byte != b'\t') | (byte == 0x7f)
}

/// A `Content-Length` of digits alone, so few that nothing overflows.
pub fn decimal(text: &[u8]) -> Option<u64> {
    let plain = (1..=18).contains(&text.len()) && text.iter().all(u8::is_ascii_digit);
    plain.then(|| text.iter().fold(0, |number, digit| number * 10 + u64::from(digit - b'0')))
}

/// Whether this can be a host, with a port or without: what it consists of (RFC 3986, 3.2.2), not whether it exists. It
/// goes into addresses and pages. Empty is allowed.
pub fn is_host(text: &[u8]) -> bool {
    let mark = |byte| matches!(byte, b'!' | b'$'..=b'.' | b':' | b';' | b'=' | b'[' | b']' | b'_' | b'~');
    text.iter().all(|&byte| byte.is_ascii_alphanumeric() || mark(byte))
}

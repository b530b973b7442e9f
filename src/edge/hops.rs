//! The hops that proxies write into `X-Forwarded-For` and `Forwarded` (RFC 7239), read from right to left. Pure.
//!
//! The right end is what the nearest proxy wrote, the left end what anybody may have sent, so the lists are also cut
//! from the right: a quote that a client leaves open swallows only what that client wrote. The work is bounded by the
//! hops that are asked for, whatever the length of the list.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use http::{HeaderMap, HeaderName, HeaderValue, header};

/// `X-Forwarded-For`.
pub const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
/// `X-Forwarded-Proto`.
pub const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// Longest element that is read, in bytes. A longer one counts as unreadable, and nothing left of it is looked at.
const MAX_ELEMENT: usize = 512;

/// The hops of a request, the nearest first; `None` is one that nobody can read. `Forwarded` counts when
/// `X-Forwarded-For` is absent.
pub fn hops(headers: &HeaderMap) -> impl Iterator<Item = Option<IpAddr>> {
    let list = has_list(headers);
    let (name, quotes) = if list { (X_FORWARDED_FOR, false) } else { (header::FORWARDED, true) };
    let lines = headers.get_all(name).iter().rev();
    let elements = lines.flat_map(move |line| Pieces { rest: Some(line.as_bytes()), separator: b',', quotes });
    elements.map(move |element| if list { address(element) } else { address(parameter(element, "for")?) })
}

/// Name of the header that [`hops`] reads.
pub fn list(headers: &HeaderMap) -> &'static str {
    if has_list(headers) { "x-forwarded-for" } else { "forwarded" }
}

fn has_list(headers: &HeaderMap) -> bool {
    headers.contains_key(X_FORWARDED_FOR)
}

/// Whether a proxy says at all how its client came.
pub fn tells_scheme(headers: &HeaderMap) -> bool {
    headers.contains_key(X_FORWARDED_PROTO) || headers.contains_key(header::FORWARDED)
}

/// Whether the client's own hop, the left-most, says that it spoke TLS.
pub fn claims_tls(headers: &HeaderMap) -> bool {
    let first = |line: &HeaderValue| -> Vec<u8> {
        let line = line.as_bytes();
        let start = &line[..line.len().min(MAX_ELEMENT)];
        start.split(|byte| *byte == b',').next().unwrap_or_default().to_vec()
    };
    match (headers.get(X_FORWARDED_PROTO), headers.get(header::FORWARDED)) {
        (Some(line), _) => first(line).trim_ascii().eq_ignore_ascii_case(b"https"),
        (None, Some(line)) => parameter(&first(line), "proto").is_some_and(|it| it.eq_ignore_ascii_case(b"https")),
        (None, None) => false,
    }
}

/// An address in any of the forms proxies write: with or without quotes, brackets and port, which may be obfuscated.
pub fn address(text: &[u8]) -> Option<IpAddr> {
    let text = unquoted(str::from_utf8(text).ok()?);
    let address = if let Ok(address) = text.parse::<IpAddr>() {
        address
    } else if let Some(bracketed) = text.strip_prefix('[') {
        let (address, port) = bracketed.split_once(']')?;
        IpAddr::V6(address.parse::<Ipv6Addr>().ok().filter(|_| port.is_empty() || is_port(port))?)
    } else {
        let colon = text.find(':')?;
        IpAddr::V4(text[..colon].parse::<Ipv4Addr>().ok().filter(|_| is_port(&text[colon..]))?)
    };
    Some(address.to_canonical())
}

/// An address that always has its port, and IPv6 without brackets: `2001:db8::1:443` is `2001:db8::1`.
pub fn address_before_port(text: &[u8]) -> Option<IpAddr> {
    let (host, port) = str::from_utf8(text).ok()?.trim().rsplit_once(':')?;
    if !port.bytes().all(|byte| byte.is_ascii_digit()) || port.is_empty() {
        return None;
    }
    address(host.as_bytes())
}

fn is_port(text: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    match text.strip_prefix(':') {
        Some(port) => match port.strip_prefix('_') {
            Some(name) => !name.is_empty() && name.bytes().all(fits),
            None => !port.is_empty() && port.len() <= 5 && port.bytes().all(|byte| byte.is_ascii_digit()),
        },
        None => false,
    }
}

fn unquoted(text: &str) -> &str {
    let text = text.trim();
    text.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap_or(text).trim()
}

/// One parameter of an element of `Forwarded`, without its quotes.
fn parameter<'a>(element: &'a [u8], name: &str) -> Option<&'a [u8]> {
    // A quoted `host`, which the client chooses, may hold a semicolon.
    Pieces { rest: Some(element), separator: b';', quotes: true }.find_map(|pair| {
        let (key, value) = str::from_utf8(pair).ok()?.split_once('=')?;
        key.trim().eq_ignore_ascii_case(name).then(|| unquoted(value).as_bytes())
    })
}

/// The pieces of a line between separators, from the right.
struct Pieces<'a> {
    rest: Option<&'a [u8]>,
    separator: u8,
    /// Whether a separator inside a quoted string is none.
    quotes: bool,
}

impl<'a> Iterator for Pieces<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let line = self.rest.take()?;
        let window = line.len().saturating_sub(MAX_ELEMENT);
        let mut quoted = false;
        for at in (window..line.len()).rev() {
            if self.quotes && line[at] == b'"' {
                let backslashes = line[window..at].iter().rev().take_while(|byte| **byte == b'\\').count();
                quoted ^= backslashes % 2 == 0;
            } else if line[at] == self.separator && !quoted {
                self.rest = Some(&line[..at]);
                return Some(line[at + 1..].trim_ascii());
            }
        }
        // Of an element that is too long only its being there is told.
        Some(if window == 0 { line.trim_ascii() } else { b"" })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn read(name: &HeaderName, lines: &[&[u8]]) -> Vec<Option<String>> {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(name, HeaderValue::from_bytes(line).unwrap());
        }
        hops(&headers).map(|hop| hop.map(|address| address.to_string())).collect()
    }

    #[test]
    fn addresses_are_read_in_every_form() {
        for (text, expected) in [
            ("1.1.1.1", Some("1.1.1.1")),
            ("1.1.1.1:5050", Some("1.1.1.1")),
            ("1.1.1.1:_port", Some("1.1.1.1")),
            (" \"1.1.1.1:80\" ", Some("1.1.1.1")),
            ("2001:db8::1", Some("2001:db8::1")),
            ("[2001:db8::1]", Some("2001:db8::1")),
            ("[2001:db8::1]:443", Some("2001:db8::1")),
            ("\"[2001:db8::1]:_p.1\"", Some("2001:db8::1")),
            ("[::ffff:1.1.1.1]:443", Some("1.1.1.1")),
            ("unknown", None),
            ("_hidden", None),
            ("_hidden:80", None),
            ("[2001:db8::1", None),
            ("[2001:db8::1]x", None),
            ("[1.1.1.1]", None),
            ("1.1.1.1:", None),
            ("1.1.1.1:port", None),
            ("1.1.1.1:123456", None),
            ("\"1.1.1.1", None),
            ("\"\"1.1.1.1\"\"", None),
            ("", None),
        ] {
            assert_eq!(address(text.as_bytes()), expected.map(|text| text.parse().unwrap()), "{text}");
        }
        assert_eq!(address(b"1.1.1.1\xff"), None);
    }

    #[test]
    fn a_port_that_is_always_there_is_no_part_of_the_address() {
        for (text, expected) in [
            ("198.51.100.10:46532", Some("198.51.100.10")),
            ("2001:db8::1:443", Some("2001:db8::1")),
            ("[2001:db8::1]:443", Some("2001:db8::1")),
            ("2001:db8:1:2:3:4:5:6:46532", Some("2001:db8:1:2:3:4:5:6")),
            ("198.51.100.10", None),
            ("198.51.100.10:", None),
            ("2001:db8::beef", None),
        ] {
            assert_eq!(address_before_port(text.as_bytes()), expected.map(|text| text.parse().unwrap()), "{text}");
        }
    }

    #[test]
    fn quotes_hide_separators_and_an_open_one_hides_only_what_is_left_of_it() {
        let forwarded = |line: &str| read(&header::FORWARDED, &[line.as_bytes()]);
        let one = |text: &str| Some(text.to_owned());
        assert_eq!(forwarded(r#"for=1.1.1.1;host="a,b;for=6.6.6.6""#), [one("1.1.1.1")]);
        assert_eq!(forwarded(r#"host="x;for=6.6.6.6";For = "[2001:db8::7]:4711""#), [one("2001:db8::7")]);
        assert_eq!(forwarded(r#"host="\",for=6.6.6.6,\"";for=1.1.1.1"#), [one("1.1.1.1")]);
        assert_eq!(forwarded(r#"for="6.6.6.6, for=1.1.1.1"#), [one("1.1.1.1"), None]);
        assert_eq!(forwarded(r#"for=6.6.6.6, host=", for="1.1.1.1""#)[0], one("1.1.1.1"));
        assert_eq!(forwarded("for=unknown, for=_gazonk;by=2.2.2.2, by=3.3.3.3"), [None, None, None]);
        let nested = "\"".repeat(100_000) + ", for=1.1.1.1";
        assert_eq!(forwarded(&nested), [one("1.1.1.1"), None]);
        let escaped = "\\\"".repeat(100_000) + "\", for=1.1.1.1";
        assert_eq!(forwarded(&escaped)[0], one("1.1.1.1"));
    }

    #[test]
    fn an_endless_element_ends_the_list() {
        let long = format!("9.9.9.9{}, 2.2.2.2, 1.1.1.1", " ".repeat(1_000_000));
        let list = read(&X_FORWARDED_FOR, &[b"8.8.8.8", long.as_bytes()]);
        let known = |text: &str| Some(text.to_owned());
        assert_eq!(list, [known("1.1.1.1"), known("2.2.2.2"), None, known("8.8.8.8")]);
    }
}

//! A borrowed look at addresses that browsers send. Never fails and never allocates for a clean address: an address
//! that makes no sense simply has no host and no query.

use std::borrow::Cow;

use percent_encoding::percent_decode_str;

/// Longest host name of the domain name system.
const MAX_HOST: usize = 253;

/// Host of an absolute address: lower case, without user, port and trailing dot. `None` for relative and broken ones.
pub fn host(url: &str) -> Option<Cow<'_, str>> {
    // No scheme holds a slash, so the first one ends it.
    let (scheme, after) = split(url.trim_ascii_start(), b'/')?;
    let after = after.strip_prefix('/').filter(|_| is_scheme(scheme))?;
    let end = after.bytes().position(|byte| matches!(byte, b'/' | b'?' | b'#' | b'\\'));
    let authority = &after[..end.unwrap_or(after.len())];
    let with_port = memchr::memrchr(b'@', authority.as_bytes()).map_or(authority, |at| &authority[at + 1..]);
    let host = match with_port.strip_prefix('[') {
        Some(v6) => split(v6, b']')?.0,
        None => split(with_port, b':').map_or(with_port, |(host, _)| host),
    };
    let host = host.strip_suffix('.').unwrap_or(host);
    if host.is_empty() || host.len() > MAX_HOST {
        return None;
    }
    // All in one look: nearly every host is sound and lower case.
    match host.bytes().fold(0, |marks, byte| marks | MARKS[usize::from(byte)]) {
        0 => Some(Cow::Borrowed(host)),
        marks if marks & NO_HOST != 0 => None,
        marks if marks & NOT_ASCII != 0 && host.contains(|c: char| c.is_whitespace() || c.is_control()) => None,
        _ => Some(lower(host)),
    }
}

/// [`host`] of an address that borrows, or does not: neither does the answer.
pub fn host_of<'a>(url: &Cow<'a, str>) -> Option<Cow<'a, str>> {
    match url {
        Cow::Borrowed(url) => host(url),
        Cow::Owned(url) => host(url).map(|host| Cow::Owned(host.into_owned())),
    }
}

/// What is before and after the first `mark`, which is ASCII. For short texts: the standard library's search and that of
/// memchr both cost more to begin than these bytes to look at.
pub fn split(text: &str, mark: u8) -> Option<(&str, &str)> {
    let at = text.bytes().position(|byte| byte == mark)?;
    Some((&text[..at], &text[at + 1..]))
}

const NO_HOST: u8 = 1;
const UPPER_CASE: u8 = 2;
const NOT_ASCII: u8 = 4;

/// What is to be said about each byte in a host name. Punctuation of addresses and markup is in none; bytes above ASCII are
/// letters of other scripts.
const MARKS: [u8; 256] = {
    let mut marks = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        marks[byte] = match byte as u8 {
            0..=b' ' | 0x7f | b'<' | b'>' | b'"' | b'%' | b'|' | b'^' | b'`' | b'{' | b'}' => NO_HOST,
            b'A'..=b'Z' => UPPER_CASE,
            0x80.. => NOT_ASCII,
            _ => 0,
        };
        byte += 1;
    }
    marks
};

/// An empty scheme is the network-path form `//host/path`.
fn is_scheme(text: &str) -> bool {
    let Some(name) = text.strip_suffix(':') else { return text.is_empty() };
    !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b))
}

/// Path of an absolute address with its leading slash; empty when there is none.
pub fn path(url: &str) -> &str {
    let Some((_, after)) = url.split_once("//") else { return "" };
    let end = after.find(['?', '#']).unwrap_or(after.len());
    let start = after.find('/').unwrap_or(end).min(end);
    &after[start..end]
}

/// Query without the question mark and without the fragment; empty when there is none.
pub fn query(url: &str) -> &str {
    let before_fragment = &url[..memchr::memchr(b'#', url.as_bytes()).unwrap_or(url.len())];
    memchr::memchr(b'?', before_fragment.as_bytes()).map_or("", |mark| &before_fragment[mark + 1..])
}

/// Key and raw value of every parameter of a query, in order.
pub fn pairs(query: &str) -> impl Iterator<Item = (&str, &str)> {
    let mut rest = Some(query);
    let mut next = move || {
        let text = rest.filter(|text| !text.is_empty())?;
        let (pair, others) = split(text, b'&').map_or((text, None), |(pair, others)| (pair, Some(others)));
        rest = others;
        Some(pair)
    };
    std::iter::from_fn(move || {
        loop {
            if let Some(pair) = split(next()?, b'=') {
                return Some(pair);
            }
        }
    })
}

/// Undoes `application/x-www-form-urlencoded`: plus is a space, `%XX` is a byte; what is not UTF-8 becomes U+FFFD.
/// Control characters become spaces: nobody names a campaign with one.
pub fn decode(raw: &str) -> Cow<'_, str> {
    if !raw.bytes().any(|byte| byte == b'+' || byte == b'%' || byte.is_ascii_control()) {
        return raw.trim().into();
    }
    let spaced: Cow<'_, str> = if raw.contains('+') { raw.replace('+', " ").into() } else { raw.into() };
    let mut text = percent_decode_str(&spaced).decode_utf8_lossy().into_owned();
    if text.bytes().any(|b| b.is_ascii_control()) {
        text = text.replace(|c: char| c.is_ascii_control(), " ");
    }
    let trimmed = text.trim();
    if trimmed.len() == text.len() { text.into() } else { trimmed.to_owned().into() }
}

/// Lower case, borrowed when it already is.
pub fn lower(text: &str) -> Cow<'_, str> {
    if !text.is_ascii() {
        return text.to_lowercase().into();
    }
    if text.bytes().any(|b| b.is_ascii_uppercase()) { text.to_ascii_lowercase().into() } else { text.into() }
}

/// The first `max` bytes of `text`, less when a character would be cut in two.
pub fn cut(text: &str, max: usize) -> &str {
    &text[..text.floor_char_boundary(max)]
}

/// A part of `text`, which borrows where `text` does.
pub fn part<'a>(text: Cow<'a, str>, part: impl Fn(&str) -> &str) -> Cow<'a, str> {
    match text {
        Cow::Borrowed(text) => Cow::Borrowed(part(text)),
        Cow::Owned(text) => Cow::Owned(part(&text).to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_read_from_whole_addresses_only() {
        for (url, expected) in [
            ("https://Example.COM/page?x=1", Some("example.com")),
            ("https://example.com:8443", Some("example.com")),
            ("https://user:pa@ss@example.com:1/", Some("example.com")),
            ("https://example.com?next=//other.org/", Some("example.com")),
            ("https://example.com.#top", Some("example.com")),
            ("http://[2001:DB8::1]:80/", Some("2001:db8::1")),
            ("//cdn.example.com/x", Some("cdn.example.com")),
            ("android-app://com.google.android.gm/", Some("com.google.android.gm")),
            ("https://bücher.example/", Some("bücher.example")),
            ("  https://example.com/", Some("example.com")),
            ("/just/a/path", None),
            ("/redirect?to=https://other.org/", None),
            ("example.com/page", None),
            ("https://", None),
            ("https:///path", None),
            ("https://[::1", None),
            ("https://a b/", None),
            ("https://%zz/", None),
            ("about:blank", None),
            ("", None),
        ] {
            assert_eq!(host(url).as_deref(), expected, "{url}");
        }
        assert_eq!(host(&format!("https://{}/", "a".repeat(254))), None);
    }

    #[test]
    fn paths_and_queries_stop_where_they_end() {
        assert_eq!(path("https://x.com/i/grok?q=1#f"), "/i/grok");
        assert_eq!(path("https://x.com?a=/b"), "");
        assert_eq!(path("nonsense"), "");
        assert_eq!(query("https://x.com/?a=1&b=2#c=3"), "a=1&b=2");
        assert_eq!(query("/page?a=1?b"), "a=1?b");
        assert_eq!(query("https://x.com/#a?b=1"), "");
        assert_eq!(pairs("a=1&b&c=&d=2=3").collect::<Vec<_>>(), [("a", "1"), ("c", ""), ("d", "2=3")]);
    }

    #[test]
    fn values_are_decoded_without_ever_failing() {
        for (raw, expected) in [
            ("spring+sale", "spring sale"),
            ("Z%C3%BCrich%20%26%20more", "Zürich & more"),
            ("100%", "100%"),
            ("%zz%4", "%zz%4"),
            ("a%FFb", "a\u{fffd}b"),
            ("%00%0A", ""),
            ("+x+", "x"),
        ] {
            assert_eq!(decode(raw), expected, "{raw}");
        }
    }

    #[test]
    fn a_cut_never_splits_a_character() {
        assert_eq!(cut("aüb", 2), "a");
        assert_eq!(cut("aüb", 3), "aü");
        assert_eq!(cut("aüb", 9), "aüb");
    }
}

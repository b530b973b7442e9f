//! `Via` (RFC 9110, 7.6.3): the way that a request has come. Pure.

use http::{HeaderMap, HeaderValue, Version, header};

use super::list::members;

/// Whether somebody of this name has passed it on before.
pub fn has(headers: &HeaderMap, name: &str) -> bool {
    members(headers, &header::VIA).any(|hop| {
        let mut words = hop.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
        words.nth(1).is_some_and(|by| by.eq_ignore_ascii_case(name.as_bytes()))
    })
}

/// The way so far and us, who have got the request in this version.
pub fn with(headers: &HeaderMap, version: Version, name: &str) -> HeaderValue {
    let version = match version {
        Version::HTTP_09 | Version::HTTP_10 => "1.0",
        Version::HTTP_11 => "1.1",
        _ => "2",
    };
    let mut way = Vec::new();
    for line in headers.get_all(header::VIA) {
        way.extend_from_slice(line.as_bytes());
        way.extend_from_slice(b", ");
    }
    way.extend_from_slice([version, " ", name].concat().as_bytes());
    HeaderValue::from_bytes(&way).expect("a checked name behind header values is a header value")
}

/// Whether this can stand there for somebody: a pseudonym, or a host with or without a port.
pub fn is_name(text: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~:[]".contains(&byte);
    !text.is_empty() && text.len() <= 255 && text.bytes().all(fits)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_way_is_continued_and_a_loop_is_seen() {
        let lines = ["1.0 fred, HTTP/1.1 p.example (with, commas)", "2 Edge"];
        let headers = lines.map(|line| (header::VIA, HeaderValue::from_static(line))).into_iter().collect();
        let way = with(&headers, Version::HTTP_2, "edge-1");
        assert_eq!(way, "1.0 fred, HTTP/1.1 p.example (with, commas), 2 Edge, 2 edge-1");
        assert_eq!(with(&HeaderMap::new(), Version::HTTP_10, "a"), "1.0 a");
        assert!(has(&headers, "edge") && has(&headers, "fred") && has(&headers, "p.example"));
        assert!(!has(&headers, "edge-1") && !has(&headers, "1.0") && !has(&HeaderMap::new(), "a"));
        assert!(is_name("edge.example:8080") && !is_name("") && !is_name("a b") && !is_name("a,b"));
    }
}

//! Headers that are lists (RFC 9110, 5.6.1). Pure.

use http::{HeaderMap, HeaderName, HeaderValue};

/// The members of the list in this header, over all its lines, without the space around them. Empty ones are among them.
pub fn members<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a [u8]> {
    headers.get_all(name).iter().map(HeaderValue::as_bytes).flat_map(members_of)
}

/// The same of one line. A comma in quotes is taken for one that separates.
pub fn members_of(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    line.split(|byte| *byte == b',').map(<[u8]>::trim_ascii)
}

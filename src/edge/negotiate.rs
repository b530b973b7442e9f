//! What a client likes and has, as its headers say.

use http::{HeaderMap, HeaderValue, header};

use super::list::members;

/// The coding that is none.
pub const IDENTITY: &str = "identity";

/// How much a client likes an encoding, in thousandths (RFC 9110, 12.5.3); what it does not name counts as `*`, and
/// `identity` is welcome unless excluded.
pub fn quality(request: &HeaderMap, encoding: &str) -> u16 {
    let mut star = None;
    for item in members(request, &header::ACCEPT_ENCODING).filter_map(|item| str::from_utf8(item).ok()) {
        let mut parts = item.split(';').map(str::trim);
        let name = parts.next().unwrap_or("");
        let weight = parts.find_map(|part| part.strip_prefix("q=").or(part.strip_prefix("Q=")));
        let weight = weight.map_or(1.0, |text| text.parse::<f32>().unwrap_or(0.0));
        // A NaN becomes 0.
        let weight = (weight.clamp(0.0, 1.0) * 1000.0) as u16;
        if name.eq_ignore_ascii_case(encoding) {
            return weight;
        }
        if name == "*" {
            star = Some(weight);
        }
    }
    // Named or not, plain bytes are the last choice among equals: one thousandth, below any real wish.
    star.unwrap_or(if encoding == IDENTITY { 1 } else { 0 })
}

/// `If-None-Match`, by weak comparison: `W/` in front does not matter (RFC 9110, 13.1.2).
pub fn matches_etag(request: &HeaderMap, etag: &HeaderValue) -> bool {
    let mut tags = members(request, &header::IF_NONE_MATCH);
    tags.any(|tag| tag == b"*" || tag.strip_prefix(b"W/").unwrap_or(tag) == etag.as_bytes())
}

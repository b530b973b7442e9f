//! Which part of a file a request wants (RFC 9110, 14).

use http::{HeaderMap, HeaderValue, header};

/// What to send.
#[derive(Debug, PartialEq, Eq)]
pub enum Asked {
    /// Everything.
    Whole,
    /// From `start` up to `end`, which is not in it. Never empty.
    Part {
        /// First byte.
        start: u64,
        /// Behind the last byte.
        end: u64,
    },
    /// A part that is not there.
    Beyond,
}

/// What a request wants of a file of this `length`. Several parts at once may be answered with everything, and are.
pub fn asked(request: &HeaderMap, length: u64, etag: &HeaderValue, date: &HeaderValue) -> Asked {
    let mut lines = request.get_all(header::RANGE).iter();
    let (Some(line), None) = (lines.next(), lines.next()) else { return Asked::Whole };
    // Of another version, a part is of no use.
    if request.get(header::IF_RANGE).is_some_and(|known| known != etag && known != date) {
        return Asked::Whole;
    }
    let Some((unit, range)) = line.to_str().ok().and_then(|line| line.split_once('=')) else { return Asked::Whole };
    let Some((first, last)) = range.trim().split_once('-').filter(|_| unit.eq_ignore_ascii_case("bytes")) else {
        return Asked::Whole;
    };
    match (number(first), number(last)) {
        (Some(start), Some(last)) if start > last => Asked::Whole,
        (Some(start), _) if start >= length && (last.is_empty() || number(last).is_some()) => Asked::Beyond,
        (Some(start), Some(last)) => Asked::Part { start, end: last.saturating_add(1).min(length) },
        (Some(start), None) if last.is_empty() => Asked::Part { start, end: length },
        (None, Some(0)) if first.is_empty() => Asked::Beyond,
        (None, Some(_)) if first.is_empty() && length == 0 => Asked::Beyond,
        (None, Some(suffix)) if first.is_empty() => Asked::Part { start: length.saturating_sub(suffix), end: length },
        _ => Asked::Whole,
    }
}

/// Digits only; more than fit are the most that fit.
fn number(text: &str) -> Option<u64> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().unwrap_or(u64::MAX))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_ten_bytes() {
        let etag = HeaderValue::from_static("\"a\"");
        let date = HeaderValue::from_static("Thu, 01 Jan 1970 00:00:00 GMT");
        let part = |start, end| Asked::Part { start, end };
        for (range, expected) in [
            ("bytes=0-0", part(0, 1)),
            ("bytes=2-4", part(2, 5)),
            ("BYTES=2-", part(2, 10)),
            ("bytes=-3", part(7, 10)),
            ("bytes=-99999999999999999999999", part(0, 10)),
            ("bytes=9-99999999999999999999999", part(9, 10)),
            ("bytes=10-", Asked::Beyond),
            ("bytes=99999999999999999999999-", Asked::Beyond),
            ("bytes=-0", Asked::Beyond),
            ("bytes=4-2", Asked::Whole),
            ("bytes=0-1,3-4", Asked::Whole),
            ("bytes=+1-2", Asked::Whole),
            ("bytes=a-", Asked::Whole),
            ("bytes=-", Asked::Whole),
            ("bytes=10-x", Asked::Whole),
            ("lines=1-2", Asked::Whole),
            ("bytes", Asked::Whole),
        ] {
            let mut request = HeaderMap::new();
            request.insert(header::RANGE, range.parse().unwrap());
            assert_eq!(asked(&request, 10, &etag, &date), expected, "{range}");
            request.insert(header::IF_RANGE, HeaderValue::from_static("\"b\""));
            assert_eq!(asked(&request, 10, &etag, &date), Asked::Whole, "{range} of another version");
            request.insert(header::IF_RANGE, etag.clone());
            assert_eq!(asked(&request, 10, &etag, &date), expected, "{range} of this version");
        }
        let mut request = HeaderMap::new();
        request.insert(header::RANGE, HeaderValue::from_static("bytes=-1"));
        assert_eq!(asked(&request, 0, &etag, &date), Asked::Beyond);
    }
}

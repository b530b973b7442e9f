//! From the bytes of a body to text that serde_json accepts and BigQuery can store.
//!
//! Invalid UTF-8, lone surrogates and NULs become U+FFFD instead of a refusal: one odd character in a page title must
//! not cost an event. Clean bodies, nearly all of them, are borrowed after three vectorised scans.

use std::borrow::Cow;

use memchr::{memchr, memmem};

/// A body as text.
#[derive(Debug, PartialEq, Eq)]
pub struct Text<'a> {
    /// Valid UTF-8 without a byte order mark, without NUL and without escapes for NUL or lone surrogates.
    pub text: Cow<'a, str>,
    /// Whether anything was replaced.
    pub repaired: bool,
}

/// Reads a decoded body.
pub fn read(body: &[u8]) -> Text<'_> {
    let body = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body);
    let (text, lossy) = match simdutf8::basic::from_utf8(body) {
        Ok(text) => (Cow::Borrowed(text), false),
        Err(_) => (String::from_utf8_lossy(body), true),
    };
    let escaped = memchr(b'\\', text.as_bytes());
    let suspicious = memchr(0, text.as_bytes()).is_some()
        || escaped.is_some_and(|first| memmem::find(&text.as_bytes()[first..], b"\\u").is_some());
    match suspicious.then(|| replace_unstorable(&text)).flatten() {
        Some(repaired) => Text { text: Cow::Owned(repaired), repaired: true },
        None => Text { text, repaired: lossy },
    }
}

/// U+FFFD as a JSON escape, as long as the escape it replaces.
const REPLACEMENT: &str = "\\ufffd";

/// Replaces NULs and escapes of NULs and of lone surrogates; `None` when there are none.
fn replace_unstorable(text: &str) -> Option<String> {
    let bytes = text.as_bytes();
    let mut out = String::new();
    let mut kept = 0; // everything before is in `out`
    let mut at = 0;
    while let Some(step) = bytes[at..].iter().position(|&byte| byte == b'\\' || byte == 0) {
        at += step;
        let (length, replace) = match (bytes[at], unicode_escape(&bytes[at..])) {
            (0, _) => (1, true),
            (_, Some(0)) => (6, true),
            (_, Some(0xd800..=0xdbff)) => match unicode_escape(&bytes[at + 6..]) {
                Some(0xdc00..=0xdfff) => (12, false),
                _ => (6, true),
            },
            (_, Some(0xdc00..=0xdfff)) => (6, true),
            (_, Some(_)) => (6, false),
            (_, None) => (2, false), // `\\`, `\"` and the like; the second byte is ASCII in valid JSON
        };
        if replace {
            out.push_str(&text[kept..at]);
            out.push_str(REPLACEMENT);
            kept = at + length;
        }
        at = (at + length).min(bytes.len());
    }
    if kept == 0 {
        return None;
    }
    out.push_str(&text[kept..]);
    Some(out)
}

/// The code unit of a `\uXXXX` at the start of `bytes`.
fn unicode_escape(bytes: &[u8]) -> Option<u16> {
    let digits = bytes.strip_prefix(b"\\u")?.get(..4)?;
    digits.iter().try_fold(0u16, |unit, &digit| Some(unit << 4 | char::from(digit).to_digit(16)? as u16))
}

/// Puts quotes around every number that no double can hold, such as `1e999`: serde_json would refuse the whole body
/// for it, while as text it is one value of one event. `None` when there is no such number.
pub fn quote_huge_numbers(text: &str) -> Option<String> {
    let bytes = text.as_bytes();
    let mut out = String::new();
    let mut kept = 0;
    let mut at = 0;
    while at < bytes.len() {
        match bytes[at] {
            b'"' => at = string_end(bytes, at + 1),
            b'-' | b'0'..=b'9' => {
                let in_number = |byte: &u8| matches!(byte, b'0'..=b'9' | b'+' | b'-' | b'.' | b'e' | b'E');
                let end = at + bytes[at..].iter().take_while(|byte| in_number(byte)).count();
                if text[at..end].parse::<f64>().is_ok_and(f64::is_infinite) {
                    out.push_str(&text[kept..at]);
                    out.push('"');
                    out.push_str(&text[at..end]);
                    out.push('"');
                    kept = end;
                }
                at = end;
            }
            _ => at += 1,
        }
    }
    if kept == 0 {
        return None;
    }
    out.push_str(&text[kept..]);
    Some(out)
}

/// Position after the closing quote of the string that begins at `at`.
fn string_end(bytes: &[u8], mut at: usize) -> usize {
    while at < bytes.len() {
        match bytes[at] {
            b'\\' => at += 2,
            b'"' => return at + 1,
            _ => at += 1,
        }
    }
    bytes.len()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(body: &[u8], expected: &str, repaired: bool) {
        let text = read(body);
        assert_eq!((text.text.as_ref(), text.repaired), (expected, repaired));
    }

    #[test]
    fn clean_bodies_are_borrowed() {
        let text = read(br#"{"a":"\u00e9 \ud83d\ude00 \\ud800"}"#);
        assert!(matches!(text.text, Cow::Borrowed(_)) && !text.repaired);
    }

    #[test]
    fn a_byte_order_mark_goes_unnoticed() {
        check(b"\xef\xbb\xbf{}", "{}", false);
    }

    #[test]
    fn what_cannot_be_stored_becomes_the_replacement_character() {
        check(b"\"a\xffb\"", "\"a\u{fffd}b\"", true);
        check(b"\"a\0b\"", r#""a\ufffdb""#, true);
        check(br#""\u0000""#, r#""\ufffd""#, true);
        check(br#""\ud800""#, r#""\ufffd""#, true);
        check(br#""\uDC00x""#, r#""\ufffdx""#, true);
        check(br#""\ud800\ud800\udc00""#, r#""\ufffd\ud800\udc00""#, true);
        check(br#""\ud800A""#, r#""\ufffdA""#, true);
        check(b"\"\xed\xa0\x80\"", "\"\u{fffd}\u{fffd}\u{fffd}\"", true);
    }

    #[test]
    fn backslashes_are_counted() {
        check(br#""\\u0000""#, r#""\\u0000""#, false);
        check(br#""\\\u0000""#, r#""\\\ufffd""#, true);
        check(br#""\"#, r#""\"#, false);
        check(br#""\ud8"#, r#""\ud8"#, false);
    }

    #[test]
    fn numbers_beyond_a_double_are_quoted() {
        assert_eq!(quote_huge_numbers(r#"{"a":1e999,"b":[-1E400, 2]}"#).unwrap(), r#"{"a":"1e999","b":["-1E400", 2]}"#);
        assert_eq!(quote_huge_numbers(r#"{"a":"1e999 \" 1e999","b":1e308,"c":1e-999}"#), None);
    }
}

//! Which trace a request belongs to, as its headers tell: W3C's `traceparent`
//! (<https://www.w3.org/TR/trace-context/>), else Google's older `X-Cloud-Trace-Context`. Pure.

use http::{HeaderMap, HeaderName};

static TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
static X_CLOUD_TRACE_CONTEXT: HeaderName = HeaderName::from_static("x-cloud-trace-context");

/// A place in a trace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trace {
    /// 32 hexadecimal digits in lower case, not all zero.
    pub id: String,
    /// The span that the request belongs to: 16 hexadecimal digits in lower case, not all zero.
    pub span: Option<String>,
    /// Whether the trace is kept, where the sender says so.
    pub sampled: bool,
}

impl Trace {
    /// What the headers say, if it is sound.
    pub fn of(headers: &HeaderMap) -> Option<Trace> {
        // Few have one: a look at each name costs less than two searches.
        let value = |wanted| headers.iter().find(|(name, _)| *name == wanted).map(|(_, value)| value);
        let text = |name| value(name).and_then(|value| value.to_str().ok());
        text(&TRACEPARENT).and_then(w3c).or_else(|| text(&X_CLOUD_TRACE_CONTEXT).and_then(google))
    }
}

/// `00-<32 digits>-<16 digits>-<2 digits>`; a later version may go on after another `-`.
fn w3c(text: &str) -> Option<Trace> {
    let mut parts = text.split('-');
    let (version, id, span, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let is_sound =
        is_hex(version, 2) && version != "ff" && is_hex(flags, 2) && (version != "00" || parts.next().is_none());
    if !is_sound || !is_identity(id, 32) || !is_identity(span, 16) {
        return None;
    }
    let flags = u8::from_str_radix(flags, 16).ok()?;
    Some(Trace { id: id.to_owned(), span: Some(span.to_owned()), sampled: flags & 1 == 1 })
}

/// `<32 digits>[/<span, decimal>][;o=<0 or 1>]`.
fn google(text: &str) -> Option<Trace> {
    let (place, options) = text.split_once(';').unwrap_or((text, ""));
    let (id, span) = place.split_once('/').unwrap_or((place, ""));
    let id = id.to_ascii_lowercase();
    let span = span.parse::<u64>().ok().filter(|span| *span != 0).map(|span| format!("{span:016x}"));
    is_identity(&id, 32).then(|| Trace { id, span, sampled: options == "o=1" })
}

fn is_hex(text: &str, length: usize) -> bool {
    text.len() == length && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

fn is_identity(text: &str, length: usize) -> bool {
    is_hex(text, length) && text.bytes().any(|byte| byte != b'0')
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use http::HeaderValue;

    use super::*;

    const ID: &str = "0af7651916cd43dd8448eb211c80319c";

    fn of(name: &HeaderName, text: &str) -> Option<(String, Option<String>, bool)> {
        let headers = [(name.clone(), HeaderValue::from_str(text).unwrap())].into_iter().collect();
        Trace::of(&headers).map(|Trace { id, span, sampled }| (id, span, sampled))
    }

    #[test]
    fn both_headers_are_read() {
        let span = Some("b7ad6b7169203331".to_owned());
        let w3c = |text: &str| of(&TRACEPARENT, &text.replace("ID", ID));
        assert_eq!(w3c("00-ID-b7ad6b7169203331-01"), Some((ID.into(), span.clone(), true)));
        assert_eq!(w3c("00-ID-b7ad6b7169203331-02"), Some((ID.into(), span.clone(), false)));
        assert_eq!(w3c("cc-ID-b7ad6b7169203331-01-more"), Some((ID.into(), span, true)));
        let google = |text: &str| of(&X_CLOUD_TRACE_CONTEXT, &text.replace("ID", ID));
        assert_eq!(google("ID/1;o=1"), Some((ID.into(), Some("0000000000000001".into()), true)));
        assert_eq!(google("ID/18446744073709551615"), Some((ID.into(), Some("f".repeat(16)), false)));
        assert_eq!(google("ID"), Some((ID.into(), None, false)));
        assert_eq!(google("ID/0;o=0"), Some((ID.into(), None, false)));
        assert_eq!(google(&ID.to_uppercase()), Some((ID.into(), None, false)));
    }

    #[test]
    fn what_is_unsound_is_no_trace() {
        for text in [
            "",
            "00",
            "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more",
            "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-0",
            "00-0af7651916cd43dd8448eb211c80319-b7ad6b7169203331-01",
        ] {
            assert_eq!(of(&TRACEPARENT, text), None, "{text}");
        }
        for text in ["", "x", "/1;o=1", "0af7651916cd43dd8448eb211c80319g/1", &"0".repeat(32)] {
            assert_eq!(of(&X_CLOUD_TRACE_CONTEXT, text), None, "{text}");
        }
    }
}

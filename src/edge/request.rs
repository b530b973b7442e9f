//! What the edge reads off a request before anyone else does: its host and its identity. Pure, but for the randomness.

use std::{borrow::Cow, fmt, net::IpAddr, ops::Deref, sync::OnceLock};

use http::{HeaderMap, HeaderName, Uri, header};

/// `X-Request-ID`.
pub const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The requested host, lower case, without port; empty when there is none or it is not text. The target of the request
/// (HTTP/2, absolute form) counts before the `Host` header.
pub fn host<'a>(uri: &'a Uri, headers: &'a HeaderMap) -> Cow<'a, str> {
    let header = || headers.get(header::HOST).and_then(|value| value.to_str().ok());
    let authority = uri.authority().map(|authority| authority.as_str()).or_else(header).unwrap_or("");
    // The port follows the last colon, unless that colon is inside an IPv6 literal.
    let last = memchr::memrchr2(b':', b']', authority.as_bytes());
    let name = match last {
        Some(at) if authority.as_bytes()[at] == b':' => &authority[..at],
        _ => authority,
    };
    if name.bytes().any(|byte| byte.is_ascii_uppercase()) {
        Cow::Owned(name.to_ascii_lowercase())
    } else {
        Cow::Borrowed(name)
    }
}

/// The text of an address, as [`IpAddr`] shows it. Written for each request, several times: the usual kind by hand.
pub fn ip_text(ip: IpAddr) -> String {
    let IpAddr::V4(ip) = ip else { return ip.to_string() };
    let mut text = String::with_capacity("255.255.255.255".len());
    for (at, octet) in ip.octets().into_iter().enumerate() {
        if at > 0 {
            text.push('.');
        }
        let digit = |number: u8| char::from(b'0' + number % 10);
        if octet >= 100 {
            text.push(digit(octet / 100));
        }
        if octet >= 10 {
            text.push(digit(octet / 10));
        }
        text.push(digit(octet));
    }
    text
}

/// 128 fresh random bits, that nobody can tell from those before.
pub fn entropy() -> u128 {
    rand::random()
}

/// Identifier of a request in logs, error bodies and towards the site.
#[derive(Clone)]
pub enum RequestId {
    /// Made here: 32 hexadecimal digits, written when somebody wants to read them. Hardly anybody does.
    Fresh(u128, OnceLock<Box<str>>),
    /// Made by a trusted proxy in front of us.
    Given(Box<str>),
}

/// Longest identifier taken from a proxy.
const MAX_GIVEN: usize = 128;

impl RequestId {
    /// A new one.
    pub fn fresh() -> RequestId {
        RequestId::Fresh(entropy(), OnceLock::new())
    }

    /// What a trusted proxy sent, if it is fit to stand in logs, JSON and HTML; else a new one.
    pub fn given(headers: &HeaderMap) -> RequestId {
        let fit = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.:/+=@".contains(&byte);
        let text = headers.get(X_REQUEST_ID).and_then(|value| value.to_str().ok());
        match text {
            Some(text) if !text.is_empty() && text.len() <= MAX_GIVEN && text.bytes().all(fit) => {
                RequestId::Given(text.into())
            }
            _ => RequestId::fresh(),
        }
    }
}

/// 32 digits.
fn hexadecimal(bits: u128) -> Box<str> {
    let digits = std::array::from_fn::<u8, 32, _>(|at| b"0123456789abcdef"[(bits >> (124 - 4 * at)) as usize & 0xf]);
    str::from_utf8(&digits).expect("digits are text").into()
}

impl Deref for RequestId {
    type Target = str;
    fn deref(&self) -> &str {
        match self {
            RequestId::Fresh(bits, digits) => digits.get_or_init(|| hexadecimal(*bits)),
            RequestId::Given(text) => text,
        }
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn hosts_are_read_in_every_form() {
        for (uri, header, expected) in [
            ("/", Some("Example.COM:8080"), "example.com"),
            ("/", Some("example.com"), "example.com"),
            ("/", Some("[::1]:80"), "[::1]"),
            ("/", Some("[::1]"), "[::1]"),
            ("/", Some(":80"), ""),
            ("/", Some("ex\u{e4}mple"), ""),
            ("/", None, ""),
            ("http://Target.example:81/x", Some("other.example"), "target.example"),
        ] {
            let mut headers = HeaderMap::new();
            if let Some(text) = header {
                headers.insert(header::HOST, HeaderValue::from_bytes(text.as_bytes()).unwrap());
            }
            assert_eq!(host(&uri.parse().unwrap(), &headers), expected, "{uri} {header:?}");
        }
    }

    #[test]
    fn addresses_are_written_as_they_write_themselves() {
        for octet in 0..=255 {
            let ip = IpAddr::from([octet, 255 - octet, octet / 3, 10]);
            assert_eq!(ip_text(ip), ip.to_string());
        }
        for ip in ["::1", "2001:db8::1", "::ffff:1.2.3.4"] {
            assert_eq!(ip_text(ip.parse().unwrap()), ip);
        }
    }

    #[test]
    fn fresh_identities_differ_between_calls_and_threads() {
        let make = || (0..1000).map(|_| entropy()).collect::<Vec<_>>();
        let mut all = make();
        all.extend(std::thread::spawn(make).join().unwrap());
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), 2000);
        assert_eq!(RequestId::fresh().len(), 32);
        for bits in [0, 0x0123_4567_89ab_cdef, u128::MAX, entropy()] {
            assert_eq!(*hexadecimal(bits), format!("{bits:032x}"));
        }
        assert_ne!(*RequestId::fresh(), *RequestId::fresh());
    }

    #[test]
    fn a_given_identity_must_be_harmless() {
        let given = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(X_REQUEST_ID, HeaderValue::from_bytes(text.as_bytes()).unwrap());
            RequestId::given(&headers).to_string()
        };
        assert_eq!(given("abc-123/4;o=1".replace(';', ":").as_str()), "abc-123/4:o=1");
        for hostile in ["", "a\"b", "<script>", "a b", &"x".repeat(129), "\u{e4}"] {
            assert_eq!(given(hostile).len(), 32, "{hostile}");
        }
    }
}

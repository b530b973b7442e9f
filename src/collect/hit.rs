//! One HTTP request on a collection path, freed of any server type.

use std::net::IpAddr;

use http::{
    HeaderMap, Method,
    header::{self, AsHeaderName},
};
use memchr::{memchr_iter, memrchr};

use super::Browser;

/// Microseconds since the Unix epoch, UTC.
pub type Micros = i64;

/// Bytes of cookies looked at: sixteen of the largest that browsers keep. Few servers take as many.
const MAX_COOKIES: usize = 64 << 10;

/// What the pipeline is given: everything about the request, the time it came in, and the randomness it may use.
///
/// The pipeline reads no clock and no generator: the same hit always gives the same rows.
#[derive(Clone, Debug)]
pub struct Hit<'a> {
    /// Request method.
    pub method: &'a Method,
    /// Path as sent, without the query.
    pub path: &'a str,
    /// The `{stream_id}` part of the path, as sent.
    pub stream: &'a str,
    /// Query without the question mark; empty when there is none.
    pub query: &'a str,
    /// Request host, lower case, without port; from `Host` or the HTTP/2 authority.
    pub host: &'a str,
    /// Request headers.
    pub headers: &'a HeaderMap,
    /// Body as received: any content encoding still has to be undone.
    pub body: &'a [u8],
    /// Address of the client, as far as the trusted proxies let us see.
    pub client_ip: IpAddr,
    /// Name of the header that it stands in; none when it is the TCP peer's own.
    pub client_named_in: Option<&'static str>,
    /// Whether the TCP peer is one of `server.trusted_proxies`; only then do forwarding and geo headers count.
    pub from_trusted_proxy: bool,
    /// Whether the client spoke TLS to us or, on a trusted proxy's word, to the proxy.
    pub secure: bool,
    /// When the request came in.
    pub received_at: Micros,
    /// Fresh random bits of this request. Identifiers are derived from them.
    pub entropy: u128,
    /// What a script in the page read off its browser, as the event at hand tells; none while the body is unread.
    pub browser: Option<&'a Browser<'a>>,
}

impl<'a> Hit<'a> {
    /// First value of a header as text; `None` when absent or not valid UTF-8.
    pub fn header(&self, name: impl AsHeaderName) -> Option<&'a str> {
        self.headers.get(name).and_then(|value| simdutf8::basic::from_utf8(value.as_bytes()).ok())
    }

    /// First value of a query parameter, not percent-decoded; `Some("")` when the key stands alone.
    pub fn query_param(&self, name: &str) -> Option<&'a str> {
        if self.query.is_empty() {
            return None;
        }
        self.query.split('&').find_map(|pair| {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            (key == name).then_some(value)
        })
    }

    /// First cookie of that name, quotes kept, not decoded; `None` when it is not valid UTF-8. Browsers send the most
    /// specific cookie first. Of cookies that are too many only the first ones are looked at.
    pub fn cookie(&self, name: &str) -> Option<&'a str> {
        let headers: &'a HeaderMap = self.headers;
        let mut left = MAX_COOKIES;
        let value = headers.get_all(header::COOKIE).iter().find_map(|line| {
            let (line, last) = (line.as_bytes(), left);
            left = left.saturating_sub(line.len());
            // A cookie that is only seen in part is none.
            let end = if line.len() <= last { line.len() } else { memrchr(b';', &line[..last]).unwrap_or(0) };
            let ends = memchr_iter(b';', &line[..end]).chain([end]);
            let mut start = 0;
            ends.map(|end| &line[std::mem::replace(&mut start, end + 1)..end]).find_map(|pair| {
                let pair = pair.trim_ascii();
                let (key, value) = pair.split_at_checked(name.len())?;
                if key == name.as_bytes() { value.strip_prefix(b"=") } else { None }
            })
        })?;
        std::str::from_utf8(value).ok()
    }

    /// 64 random bits for the `index`-th thing derived from this hit (SplitMix64 over the hit's entropy).
    pub fn random(&self, index: u64) -> u64 {
        let mut z =
            (self.entropy as u64).wrapping_add((self.entropy >> 64) as u64 ^ index.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

#[cfg(test)]
impl<'a> Hit<'a> {
    /// A hit for the tests of this room: these headers, and nothing else that they mind.
    pub(super) fn with(headers: &'a HeaderMap) -> Hit<'a> {
        Hit {
            method: &Method::POST,
            path: "/api/v1/streaming/1",
            stream: "1",
            query: "",
            host: "www.example.com",
            headers,
            body: b"",
            client_ip: [127, 0, 0, 1].into(),
            client_named_in: None,
            from_trusted_proxy: false,
            secure: true,
            received_at: 1_750_000_000_000_000,
            entropy: 7,
            browser: None,
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use http::HeaderValue;

    use super::*;

    /// The cookie `id` of a hit with these lines.
    fn cookie(lines: &[&[u8]]) -> Option<String> {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append("cookie", HeaderValue::from_bytes(line).unwrap());
        }
        Hit::with(&headers).cookie("id").map(str::to_owned)
    }

    #[test]
    fn the_first_cookie_of_a_name_is_found_wherever_it_stands() {
        for (lines, value) in [
            (&[&b"id=1"[..]][..], Some("1")),
            (&[b"a=b; id=1; id=2"], Some("1")),
            (&[b"a=b;id=1;"], Some("1")),
            (&[b"a=b", b" id=1 "], Some("1")),
            (&[b"id=a=b"], Some("a=b")),
            (&[b"id="], Some("")),
            (&[b"id"], None),
            (&[b"xid=1; idx=1; ID=1; id =1"], None),
            // Another's letters are nobody else's fault.
            (&[b"a=\xe4; id=1"], Some("1")),
            (&[b"id=\xe4; id=1"], None),
            (&[b";;=; ;id=1"], Some("1")),
            (&[b""], None),
            (&[], None),
        ] {
            assert_eq!(cookie(lines).as_deref(), value, "{lines:?}");
        }
    }

    #[test]
    fn only_so_many_bytes_of_cookies_are_looked_at() {
        let after = |before: usize| {
            let line = [&vec![b'x'; before - 1][..], b";id=1; a=b"].concat();
            let half = line.len() / 2;
            // In one line, and in two of which the first is nothing but padding.
            [cookie(&[&line]), cookie(&[&line[..half], &line[half..]])].map(|value| value.is_some())
        };
        assert_eq!(after(MAX_COOKIES - "id=1;".len()), [true, true]);
        assert_eq!(after(MAX_COOKIES - 1), [false, false], "half of a value is none");
        assert_eq!(after(MAX_COOKIES), [false, false]);
        assert_eq!(after(1 << 20), [false, false]);
        let many = vec![&b"x=1"[..]; 20_000];
        assert_eq!(cookie(&[&many[..], &[b"id=1"]].concat()).as_deref(), Some("1"));
        assert_eq!(cookie(&[&many[..], &many, &[b"id=1"]].concat()), None);
    }
}

//! What `collect` reads of a hit: the body and its codings, cookies, all headers together, and what it takes out.

use std::{borrow::Cow, io::Write};

use flate2::{Compression, write};
use http::{HeaderMap, HeaderValue};
use real_streaming::{
    collect::{Caller, Claim, Codings, CookieConfig, Identity, RedactConfig, Redaction, first_touch},
    edge::{RouteConfig, foreign::OwnCookies},
    schema::proto::event::{Param, Value},
};

use super::{
    hit::{self, texts},
    lines,
};

/// A request body, plain or in one of the content encodings, as one of the media types, from a trusted caller or not.
pub fn body(data: &[u8]) {
    let Some((choice, body)) = data.split_first() else { return };
    let media_type = ["application/json", "text/plain", "application/x-ndjson"][usize::from(choice & 3) % 3];
    let encoding = ["identity", "gzip", "br", "deflate", "zstd"][usize::from(choice >> 2 & 7) % 5];
    let query = ["", "debug=1", "atomic=1", "atomic=1&debug=1"][usize::from(choice >> 5 & 3)];
    let mut headers =
        hit::headers([("content-type", media_type.as_bytes()), ("content-encoding", encoding.as_bytes())]);
    if choice >> 7 == 1 {
        headers.insert("x-api-key", HeaderValue::from_static(hit::KEY));
    }
    hit::rows(&hit::hit(query, &headers, body));
}

/// Header values, one a line, in the order of the list below.
pub fn headers(data: &[u8]) {
    const NAMES: [&str; 14] = [
        "cookie",
        "user-agent",
        "accept-language",
        "referer",
        "origin",
        "x-client-geo-country",
        "x-client-geo-region",
        "x-client-geo-city",
        "sec-ch-ua",
        "sec-ch-ua-platform",
        "sec-ch-ua-full-version-list",
        "content-encoding",
        "sec-ch-ua-form-factors",
        "x-requested-with",
    ];
    hit::page_view(&hit::headers(NAMES.into_iter().zip(lines(data))));
}

/// Most bytes a body of `codings` may become.
const CAP: usize = 64 << 10;

/// `Content-Encoding`, a line end, and a body: undone as it is, and undone again after it was applied.
pub fn codings(data: &[u8]) {
    let mut parts = data.splitn(2, |byte| *byte == b'\n');
    let (names, body) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    let headers = hit::headers([("content-encoding", names)]);
    let Some(Ok(codings)) = headers.contains_key("content-encoding").then(|| Codings::of(&headers)) else { return };

    let decoded = codings.decode(body, CAP);
    assert!(decoded.as_ref().is_ok_and(|decoded| decoded.len() <= CAP) || decoded.is_err(), "the cap holds");
    assert_eq!(decoded, codings.decode(body, CAP), "the same bytes decode to the same");

    let names = String::from_utf8_lossy(names).to_ascii_lowercase();
    let encoded = names.split(',').fold(Cow::Borrowed(body), |body, name| encode(name.trim_ascii(), body));
    if body.len() <= CAP && encoded.len() <= CAP {
        assert_eq!(codings.decode(&encoded, CAP).as_deref(), Ok(body), "what was applied is undone");
    }
}

fn encode<'a>(coding: &str, body: Cow<'a, [u8]>) -> Cow<'a, [u8]> {
    const MEMORY: &str = "memory takes every byte";
    let encoded = match coding {
        "gzip" | "x-gzip" => {
            let mut encoder = write::GzEncoder::new(Vec::new(), Compression::fast());
            encoder.write_all(&body).and_then(|()| encoder.finish()).expect(MEMORY)
        }
        "deflate" => {
            let mut encoder = write::ZlibEncoder::new(Vec::new(), Compression::fast());
            encoder.write_all(&body).and_then(|()| encoder.finish()).expect(MEMORY)
        }
        "br" => {
            let mut encoded = Vec::new();
            brotli::CompressorWriter::new(&mut encoded, 4096, 1, 16).write_all(&body).expect(MEMORY);
            encoded
        }
        "zstd" => zstd::encode_all(&*body, 1).expect(MEMORY),
        _ => return body,
    };
    Cow::Owned(encoded)
}

/// The requested host, then `Cookie` headers, one a line.
pub fn cookies(data: &[u8]) {
    let mut lines = lines(data);
    let host = String::from_utf8_lossy(lines.next().unwrap_or_default()).to_ascii_lowercase();
    let headers = hit::headers(lines.map(|line| ("cookie", line)));
    let mut hit = hit::hit("", &headers, b"");
    hit.host = &host;

    let own = OwnCookies::new(&[RouteConfig::default()], 0, "__uid__");
    let line = headers.get_all("cookie").iter().map(|line| line.as_bytes()).collect::<Vec<_>>().join(&b"; "[..]);
    let left = own.left(&line).unwrap_or(line);
    assert_eq!(
        hit::hit("", &hit::headers([("cookie", &left[..])]), b"").cookie("__uid__"),
        None,
        "the site does not see it"
    );
    assert_eq!(own.left(&left), None, "there is no more to take out");

    let identity = Identity::new(CookieConfig::default());
    let visitor = identity.visitor(&hit, Caller::Ordinary);
    let claim = Claim::default();
    let id = visitor.id(&claim).expect("consent was not denied");
    let fit = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    assert!(!id.is_empty() && id.len() <= 256 && id.bytes().all(fit), "`{id}` is fit for a header and a column");
    if let Some(micros) = first_touch(id, hit.received_at) {
        assert!((0..=hit.received_at + 86_400_000_000).contains(&micros), "nobody came in the future: {micros}");
    }

    let line = identity.remember(id, &hit, true).expect("an identifier makes a cookie, whatever the host");
    let line = line.to_str().expect("a cookie is plain text");
    let mut attributes = line.split("; ");
    assert_eq!(attributes.next(), Some(format!("__uid__={id}").as_str()));
    for attribute in attributes {
        let (name, value) = attribute.split_once('=').unwrap_or((attribute, ""));
        match name {
            "Domain" => assert!(host.trim_end_matches('.').ends_with(value), "{value} is not above {host}"),
            "Path" | "Max-Age" | "Secure" | "HttpOnly" | "SameSite" => {}
            _ => panic!("nobody asked for `{attribute}` in {line}"),
        }
    }

    // The browser sends back what it was given: the visitor stays the same.
    let mut returned = HeaderMap::new();
    let pair = line.split("; ").next().unwrap_or_default();
    returned.insert("cookie", HeaderValue::from_str(pair).expect("a part of a header value is one"));
    let mut next = hit.clone();
    next.headers = &returned;
    assert_eq!(identity.visitor(&next, Caller::Ordinary).id(&claim), Some(id));
}

/// What stands before a secret in an address. A page, a link and a plain parameter hold it; no row may.
pub fn redact(data: &[u8]) {
    const SECRET: &str = "hunter2hunter2";
    const EMAIL: &str = "carol@example.com";
    const ESCAPED: &str = "carol%40example.com";
    let before = String::from_utf8_lossy(data);
    let address = format!("{before}&token={SECRET}&a={ESCAPED}&b={EMAIL}");
    let text = format!("{before} {EMAIL} {ESCAPED}");
    let body = serde_json::json!({
        "event_name": "page_view",
        "params": { "page_location": address, "page_referrer": address, "link_url": address, "any": text },
        "user_properties": { "any": { "value": text } },
        "items": [{ "item_id": text, "any": text }],
    });
    let redaction = Redaction::new(&RedactConfig::default());
    for row in hit::rows(&hit::hit("", &HeaderMap::new(), body.to_string().as_bytes())) {
        for text in texts(&row) {
            for secret in [SECRET, EMAIL, ESCAPED] {
                // What the input spells itself, it may hide where nothing would look for it.
                assert!(before.contains("hunter2") || before.contains("carol") || !text.contains(secret), "{text:?}");
            }
            let param = Param::new("page_location", Value::text(text));
            let mut claim = Claim::default();
            claim.params = vec![param];
            redaction.apply(&mut claim);
            let again = claim.params[0].value.as_ref().and_then(|value| value.string_value.as_deref());
            assert!(again.is_some_and(|again| again.len() <= 16 + 8 * text.len()), "it never swells: {text:?}");
        }
    }
}

//! What is taken out of events, and what it may cost.

#![allow(clippy::unwrap_used)]

use http::HeaderMap;
use real_streaming::{
    collect::{Claim, Config, CookieConfig, RedactConfig, Redaction},
    enrich,
    pipeline::Pipeline,
    schema::proto::event::{Param, Value},
};

use crate::hit::hit;

/// Addresses that a reader of them could choke on, each of about so many bytes.
fn hostile_addresses(bytes: usize) -> Vec<String> {
    let fill = |piece: &str| format!("https://example.com/?{}", piece.repeat(bytes / piece.len()));
    let pieces = [
        "&",
        "=",
        "%",
        "%%",
        "%2",
        "%25",
        "%2525",
        "%253D",
        "%40",
        "@",
        "a@",
        "@a.b",
        "a@b.",
        "a@b.cd",
        "a@b.cd,",
        "token",
        "token=",
        "&token=a",
        "token%3D",
        "%26token%253Da",
        ";token=/",
        "]",
        "[email]=",
        "\"'",
        "\"{'",
        "?",
        "#",
        "?#&;=",
        "e%2Dmail=",
        ".",
        "://",
        "//a@",
        "%C3",
        "é",
        "utm_source=a&",
        "&q=",
    ];
    pieces.into_iter().map(fill).collect()
}

#[test]
fn no_address_makes_the_work_grow_out_of_bounds() {
    let redaction = Redaction::new(&RedactConfig::default());
    for address in hostile_addresses(1_000_000) {
        let mut claim = Claim::default();
        claim.params = vec![Param::new("page_location", Value::text(address.as_str()))];
        redaction.apply(&mut claim);
        for text in claim.params.iter().filter_map(|param| param.value.as_ref()?.string_value.as_deref()) {
            // The shortest thing that is taken out has two bytes and its separator.
            assert!(text.len() <= 4 * address.len(), "{} of {}", text.len(), &address[..40]);
            assert!(text.starts_with("https://") && !text.contains("a@b.cd"), "{}", &text[..60]);
        }
    }
}

#[test]
fn hostile_addresses_give_bounded_rows() {
    let steps = enrich::standard(&enrich::Config::default());
    let pipeline = Pipeline::new(&Config::default(), &[], &CookieConfig::default(), steps);
    for address in hostile_addresses(50_000) {
        let event = serde_json::json!({ "event_name": "a", "page": { "location": address, "referrer": address } });
        let body = event.to_string();
        let collected = pipeline.collect(&hit(&HeaderMap::new(), body.as_bytes())).unwrap();
        let bytes = collected.rows[0].bytes().len();
        // Two addresses, cut to their limit, and what is read from them.
        assert!(bytes < 32 * 1024, "{bytes} of {}", &address[..40]);
    }
}

#[test]
fn a_clean_event_is_left_alone_without_a_copy() {
    let texts = ["https://example.com/p?a=1&utm_source=b#c", "https://www.google.com/", "a title (50%)", "@someone"];
    let params = texts.map(|text| Param::new("page_location", Value::text(text))).into();
    let mut claim = Claim::default();
    claim.params = params;
    Redaction::new(&RedactConfig::default()).apply(&mut claim);
    for (param, text) in claim.params.iter().zip(texts) {
        let kept = param.value.as_ref().and_then(|value| value.string_value.as_ref()).unwrap();
        assert!(matches!(kept, std::borrow::Cow::Borrowed(kept) if std::ptr::eq(*kept, text)), "{text}");
    }
}

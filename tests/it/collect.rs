//! Collection as a whole: whatever comes in, it ends in rows, counted drops, or a refusal.

#![allow(clippy::unwrap_used)]

use http::{HeaderMap, HeaderValue, Method, header};
use proptest::prelude::*;
use prost::Message;
use real_streaming::{
    collect::{Config, CookieConfig, Hit, PrivacyConfig, Refusal, StreamConfig},
    pipeline::{Collected, Pipeline},
    schema::reference::Event,
};

use crate::hit::hit;

const KEY: HeaderValue = HeaderValue::from_static("correct-horse-battery");

fn pipeline() -> Pipeline {
    let streams = serde_json::from_str::<Vec<StreamConfig>>(r#"[{"id":"1","api_keys":["correct-horse-battery"]}]"#);
    Pipeline::new(&Config::default(), &streams.unwrap(), &CookieConfig::default(), Vec::new())
}

fn headers(pairs: &[(header::HeaderName, &'static str)]) -> HeaderMap {
    pairs.iter().map(|(name, value)| (name.clone(), HeaderValue::from_static(value))).collect()
}

fn post(headers: &HeaderMap, body: &[u8], entropy: u128) -> Result<Collected, Refusal> {
    pipeline().collect(&Hit { entropy, ..hit(headers, body) })
}

#[track_caller]
fn check_admission(method: Method, stream: &str, pairs: &[(header::HeaderName, &'static str)], code: Option<&str>) {
    let refusal = pipeline().admit(&method, stream, &headers(pairs)).err();
    assert_eq!(refusal.as_ref().map(Refusal::code), code);
}

#[test]
fn what_can_be_refused_early_is() {
    use header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE};
    let post = Method::POST;
    check_admission(post.clone(), "1", &[], None);
    check_admission(post.clone(), "1", &[(CONTENT_TYPE, "text/plain;charset=UTF-8"), (CONTENT_LENGTH, "262144")], None);
    check_admission(Method::GET, "1", &[], Some("method_not_allowed"));
    check_admission(post.clone(), "a b", &[], Some("unknown_stream"));
    check_admission(post.clone(), "1", &[(CONTENT_TYPE, "text/html")], Some("unsupported_media_type"));
    check_admission(post.clone(), "1", &[(CONTENT_ENCODING, "rot13")], Some("bad_encoding"));
    check_admission(post, "1", &[(CONTENT_LENGTH, "262145")], Some("body_too_large"));
}

#[test]
fn a_body_that_grew_on_the_way_is_too_large() {
    let body = vec![b' '; pipeline().max_body() + 1];
    assert_eq!(post(&HeaderMap::new(), &body, 1).unwrap_err(), Refusal::BodyTooLarge);
}

#[test]
fn the_same_hit_gives_the_same_rows() {
    let body = br#"[{"event_name":"a"},{"event_name":"b"}]"#;
    let (first, second) = (post(&HeaderMap::new(), body, 5).unwrap(), post(&HeaderMap::new(), body, 5).unwrap());
    assert_eq!(first.rows, second.rows);
    let other = post(&HeaderMap::new(), body, 6).unwrap();
    assert_ne!(first.rows[0].id(), other.rows[0].id());
    assert_ne!(first.rows[0].id(), first.rows[1].id());
}

/// JSON, more or less: known keys and hostile values in any arrangement.
fn json() -> impl Strategy<Value = String> {
    let key = prop::sample::select(vec![
        "event_name",
        "event_params",
        "items",
        "user_properties",
        "events",
        "key",
        "value",
        "string_value",
        "int_value",
        "ecommerce",
        "privacy_info",
        "session",
        "page",
        "user_id",
        "client_id",
        "event_timestamp",
        "event_id",
        "item_params",
        "price",
        "quantity",
        "app_info",
        "platform",
        "device",
        "web_info",
        "geo",
        "city",
        "\\ud800",
        "x",
    ]);
    let leaf = prop_oneof![
        prop::sample::select(vec![
            "null",
            "true",
            "1",
            "-0",
            "1e999",
            "9223372036854775808",
            "1.5",
            "\"\"",
            "\"a\"",
            "\"\\ud800\"",
            "\"\\u0000\"",
            "\"9\"",
            "{",
            "]",
            "\"page_view\"",
            "1750000000",
            "99999999999999999999999",
        ])
        .prop_map(str::to_owned),
        "\"[a-z\\\\\"]{0,4}\"",
    ];
    leaf.prop_recursive(5, 40, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(|list| format!("[{}]", list.join(","))),
            prop::collection::vec((key.clone(), inner), 0..6).prop_map(|members| {
                let members: Vec<_> = members.iter().map(|(key, value)| format!("\"{key}\":{value}")).collect();
                format!("{{{}}}", members.join(","))
            }),
        ]
    })
}

fn check_balance(media_type: Option<&'static str>, body: &[u8]) -> Result<(), TestCaseError> {
    let mut headers = headers(media_type.map(|name| (header::CONTENT_TYPE, name)).as_slice());
    check_end(&headers, body)?;
    headers.insert("x-api-key", KEY);
    check_end(&headers, body)
}

/// What comes from a caller, with or without a key, ends well.
fn check_end(headers: &HeaderMap, body: &[u8]) -> Result<(), TestCaseError> {
    match post(headers, body, 1) {
        Ok(collected) => {
            prop_assert!(!collected.rows.is_empty());
            prop_assert!(collected.dropped.iter().is_sorted_by(|a, b| a.0 < b.0));
            let indexes =
                collected.rows.iter().map(|row| Event::decode(row.bytes()).map(|event| event.batch_event_index));
            for index in indexes {
                prop_assert!(index.is_ok());
            }
            prop_assert!(collected.rows.len() + collected.dropped.len() <= 100);
        }
        Err(refusal) => {
            prop_assert!(refusal.status().is_client_error());
            let reply = refusal.reply("r");
            prop_assert!(serde_json::from_slice::<serde_json::Value>(&reply.body).is_ok());
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_end_in_rows_or_a_refusal(body in prop::collection::vec(any::<u8>(), 0..300)) {
        check_balance(None, &body)?;
        check_balance(Some("application/x-ndjson"), &body)?;
    }

    #[test]
    fn any_json_ends_in_rows_or_a_refusal(body in json()) {
        check_balance(None, body.as_bytes())?;
        check_balance(Some("application/x-ndjson"), body.as_bytes())?;
    }

    #[test]
    fn any_bytes_may_claim_any_coding(
        coding in prop::sample::select(vec!["gzip", "br", "deflate", "zstd", "br, gzip"]),
        body in prop::collection::vec(any::<u8>(), 0..300),
    ) {
        let refusal = post(&headers(&[(header::CONTENT_ENCODING, coding)]), &body, 1).map(|collected| collected.rows.len());
        prop_assert!(refusal.is_ok() || refusal.is_err_and(|refusal| refusal.status().is_client_error()));
    }

    #[test]
    fn every_event_of_a_batch_is_a_row_or_a_drop(events in prop::collection::vec(
        prop::sample::select(vec![r#"{"event_name":"a"}"#, "{}", "7", r#"{"event_name":"b","items":3}"#]), 1..101,
    )) {
        let valid = events.iter().filter(|event| **event == r#"{"event_name":"a"}"#).count();
        match post(&HeaderMap::new(), format!("[{}]", events.join(",")).as_bytes(), 1) {
            Ok(collected) => {
                prop_assert_eq!(collected.rows.len(), valid);
                prop_assert_eq!(collected.rows.len() + collected.dropped.len(), events.len());
            }
            Err(refusal) => {
                prop_assert_eq!(valid, 0);
                prop_assert_eq!(refusal.code(), "invalid_event");
            }
        }
    }
}

#[test]
fn a_browser_that_objects_is_not_followed() {
    let body = br#"{"event_name":"a","user_pseudo_id":"1.2","privacy_info":{"analytics_storage":"Yes"},"event_params":{"ga_session_id":7}}"#;
    let follow = |pairs: &[(&'static str, &'static str)], honor_gpc| {
        let headers: HeaderMap =
            pairs.iter().map(|(name, value)| (name.parse().unwrap(), HeaderValue::from_static(value))).collect();
        let pipeline = pipeline().with_privacy(&PrivacyConfig { honor_gpc });
        let collected = pipeline.collect(&hit(&headers, body)).unwrap();
        let event = Event::decode(collected.rows[0].bytes()).unwrap();
        let session = event.event_params.iter().any(|param| param.key.as_deref() == Some("ga_session_id"));
        let cookie = collected.reply.headers.iter().any(|(name, _)| name == header::SET_COOKIE);
        let storage = event.privacy_info.unwrap().analytics_storage.unwrap();
        (event.user_pseudo_id, session, cookie, storage)
    };
    let followed = (Some("1.2".to_owned()), true, true, "Yes".to_owned());
    let let_be = (None, false, false, "No".to_owned());
    assert_eq!(follow(&[], true), followed);
    assert_eq!(follow(&[("sec-gpc", "1")], true), let_be);
    assert_eq!(follow(&[("dnt", "1"), ("cookie", "__uid__=3.4; _ga=GA1.1.5.6")], true), let_be);
    assert_eq!(follow(&[("dnt", "0")], true), followed);
    assert_eq!(follow(&[("sec-gpc", "1")], false), followed);
    let trusted = follow(&[("sec-gpc", "1"), ("x-api-key", "correct-horse-battery")], true);
    assert_eq!(trusted.0.as_deref(), Some("1.2"), "a server speaks for its visitors in the body");
}

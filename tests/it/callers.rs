//! Callers with and without a key, and those who call too often, over the whole way from the socket to the lake.

#![allow(clippy::unwrap_used)]

use std::time::Duration;

use arrow_array::{Array, StringArray, StructArray, cast::AsArray};

use crate::{
    client::{Answer, get, request},
    world::{Running, World, eventually},
};

const PATIENCE: Duration = Duration::from_secs(20);
const STREAM: &str = "/api/v1/streaming/1";

/// Posts to a stream, with the headers of a proxy that is trusted.
fn send(running: &Running, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
    request(running.public, "POST", path, headers, body.as_bytes()).unwrap()
}

fn event(running: &Running, client: &str, path: &str) -> Answer {
    send(running, path, &[("X-Forwarded-For", client)], r#"{"event_name":"a"}"#)
}

/// Sends until the answer is 429.
#[track_caller]
fn until_limited(running: &Running, client: &str, path: &str) -> Answer {
    let mut last = None;
    let limited = eventually(PATIENCE, || {
        last = Some(event(running, client, path));
        last.as_ref().is_some_and(|answer| answer.status == 429)
    });
    assert!(limited, "never refused: {last:?}");
    last.unwrap()
}

#[test]
fn a_trusted_caller_is_believed_all_the_way_to_the_lake() {
    let world = World { more: "streams: [{id: 1, api_keys: [correct-horse-battery]}]", ..World::new() };
    let mut running = world.start();
    let body = |name: &str| format!(r#"{{"event_name":"a","event_id":"{name}","geo":{{"country":"Germany"}}}}"#);
    for (name, header, status) in [
        ("x", ("X-Api-Key", "correct-horse-battery"), 200),
        ("bearer", ("Authorization", "Bearer correct-horse-battery"), 200),
        ("nobody", ("Accept", "*/*"), 200),
        ("wrong", ("X-Api-Key", "wrong-horse-battery"), 401),
    ] {
        let answer = send(&running, STREAM, &[header, ("Origin", "http://127.0.0.1")], &body(name));
        assert_eq!(answer.status, status, "{answer:?}");
        assert_eq!(answer.header("access-control-allow-origin"), Some("http://127.0.0.1"));
        if status == 401 {
            assert!(answer.text().contains(r#""code":"bad_api_key""#), "{answer:?}");
            assert!(answer.header("www-authenticate").is_some_and(|challenge| challenge.starts_with("Bearer ")));
            assert!(!answer.text().contains("horse"), "{answer:?}");
        }
    }
    let asked = [
        ("Origin", "http://127.0.0.1"),
        ("Access-Control-Request-Method", "POST"),
        ("Access-Control-Request-Headers", "authorization,x-api-key"),
    ];
    let preflight = request(running.public, "OPTIONS", STREAM, &asked, b"").unwrap();
    assert_eq!(preflight.status, 204);
    assert_eq!(preflight.header("access-control-allow-headers"), Some("authorization,x-api-key"));
    running.stop();

    let mut countries = Vec::new();
    for batch in world.lake() {
        let column = |name: &str, member: &str| -> StringArray {
            let record: &StructArray = batch.column_by_name(name).unwrap().as_struct();
            record.column_by_name(member).unwrap().as_string::<i32>().clone()
        };
        let (ids, geo) = (column("rs_info", "event_id"), column("geo", "country"));
        for row in 0..ids.len() {
            let country = geo.is_valid(row).then(|| geo.value(row).to_owned());
            countries.push((ids.value(row).to_owned(), country.unwrap_or_default()));
        }
    }
    countries.sort();
    let expected = [("bearer", "Germany"), ("nobody", ""), ("x", "Germany")];
    assert_eq!(countries, expected.map(|(id, country)| (id.to_owned(), country.to_owned())));
}

#[test]
fn who_calls_too_often_is_told_when_to_come_again() {
    let world = World {
        more: "streams: [{id: 1, api_keys: [correct-horse-battery]}]\n\
               collect: {rate_limit: {per_ip: 1, burst: 1s}}",
        ..World::new()
    };
    let mut running = world.start();
    assert_eq!(event(&running, "203.0.113.1", STREAM).status, 200);
    let refused = until_limited(&running, "203.0.113.1", STREAM);
    assert_eq!(refused.header("retry-after"), Some("1"));
    assert!(refused.text().contains(r#""code":"rate_limited""#), "{refused:?}");
    assert_eq!(event(&running, "203.0.113.2", STREAM).status, 200, "another client has its own");

    // A key is tried out no faster than events are sent, and a right one has no client limit.
    let from = ("X-Forwarded-For", "203.0.113.1");
    let guess = |key| send(&running, STREAM, &[from, ("X-Api-Key", key)], r#"{"event_name":"a"}"#).status;
    assert!(eventually(PATIENCE, || guess("wrong-horse-battery") == 429));
    assert!((0..5).all(|_| guess("correct-horse-battery") == 200));

    let origin = ("Origin", "http://127.0.0.1");
    assert!(eventually(PATIENCE, || {
        let answer = send(&running, STREAM, &[from, origin], "{}");
        answer.status == 429 && answer.header("access-control-allow-origin") == Some("http://127.0.0.1")
    }));

    until_limited(&running, "2001:db8:1:2::1", STREAM);
    let neighbour = eventually(PATIENCE, || event(&running, "2001:db8:1:2:ffff::9", STREAM).status == 429);
    assert!(neighbour, "one network of 64 bits is one client");
    assert_eq!(event(&running, "2001:db8:1:3::1", STREAM).status, 200);
    assert!(eventually(PATIENCE, || event(&running, "203.0.113.1", STREAM).status == 200), "time forgives");
    let metrics = get(running.admin, "/metrics").unwrap();
    let metrics = metrics.text();
    assert!(metrics.contains(r#"code="rate_limited""#), "{metrics}");
    running.stop();
}

#[test]
fn a_stream_has_a_limit_of_its_own_for_everybody() {
    let world = World { more: "collect: {rate_limit: {per_stream: 1, burst: 1s}}", ..World::new() };
    let mut running = world.start();
    until_limited(&running, "203.0.113.1", STREAM);
    let everybody = eventually(PATIENCE, || event(&running, "203.0.113.2", STREAM).status == 429);
    assert!(everybody);
    assert_eq!(event(&running, "203.0.113.1", "/api/v1/streaming/2").status, 200);
    running.stop();
}

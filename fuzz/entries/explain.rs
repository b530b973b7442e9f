//! Raw requests that somebody wants explained.

use std::sync::LazyLock;

use real_streaming::{
    collect::CookieConfig,
    edge::{
        Asker, Config, CorsConfig, Rules, ServerConfig,
        foreign::{RawRequest, requests},
    },
    enrich,
    pipeline::Pipeline,
};
use serde_json::Value;

use super::hit::{KEY, NOW};

static RULES: LazyLock<Rules> = LazyLock::new(|| {
    let collect = Default::default();
    let server = serde_json::json!({ "trusted_proxies": ["10.0.0.0/8"] });
    let server: ServerConfig = serde_json::from_value(server).expect("a network is a proxy");
    let streams = serde_json::json!([{ "id": "1", "api_keys": [KEY] }, { "id": "shop" }]);
    let streams: Vec<_> = serde_json::from_value(streams).expect("these are streams");
    let steps = enrich::standard(&enrich::Config::default());
    let pipeline = Pipeline::new(&collect, &streams, &CookieConfig::default(), steps);
    Rules::new(&Config::new(&server, &CorsConfig::default(), &[], &collect), pipeline)
});

/// The requests.
pub fn explain(data: &[u8]) {
    let (mut bodies, mut ended) = (0, false);
    for read in requests(data) {
        assert!(!ended, "nothing is read after what cannot be read");
        match read {
            Ok(request) => {
                bodies += request.body.len();
                written_again(&request);
            }
            Err(_) => ended = true,
        }
    }
    assert!(bodies <= data.len(), "bodies are parts of the input");

    let asker = Asker { peer: [10, 0, 0, 1].into(), tls: true, moment: Some((NOW, 7)) };
    for explained in RULES.explain_as(data, asker) {
        let listing = explained.to_string();
        assert!(!listing.contains(|c: char| c.is_control() && c != '\n'), "nothing foreign reaches the terminal");
        for line in explained.json_lines().lines() {
            let line: Value = serde_json::from_str(line).expect("a line is JSON");
            let origins = line["origins"].as_object();
            let known =
                origins.is_none_or(|origins| origins.values().all(|origin| origin != "unknown" && origin != ""));
            assert!(known, "every value has an origin: {origins:?}");
            assert_eq!(explained.is_read(), line["error"].is_null());
        }
    }
}

/// A request in its plain form is the same request.
fn written_again(request: &RawRequest<'_>) {
    let RawRequest { method, uri, headers, body } = request;
    let mut plain = format!("{method} {uri} HTTP/1.1\r\nContent-Length: {}\r\n", body.len()).into_bytes();
    for (name, value) in headers {
        if name != "content-length" && name != "transfer-encoding" {
            plain.extend_from_slice(&[name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"].concat());
        }
    }
    plain.extend_from_slice(b"\r\n");
    plain.extend_from_slice(body);
    let again: Vec<_> = requests(&plain).collect();
    let [Ok(again)] = &again[..] else { panic!("one request: {again:?}") };
    assert_eq!((&again.method, &again.uri, &again.body), (method, uri, body));
}

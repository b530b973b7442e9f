//! What else is ours: the script, health, the operator.

use std::net::TcpListener;
use std::sync::Arc;

use real_streaming::collect;
use real_streaming::edge::{Config, CorsConfig, Edge, ServerConfig};
use real_streaming::telemetry::Metrics;

use super::{World, storeys};
use crate::site::Site;
use crate::world::until;

#[test]
fn the_script_is_served_small_and_only_once() {
    let world = World::alone();
    let answer = world.get("/static/v6.js", "Accept-Encoding: gzip, deflate, br, zstd\r\n");
    assert_eq!((answer.status, answer.header("content-encoding")), (200, Some("br")));
    assert_eq!(answer.header("content-type"), Some("text/javascript; charset=utf-8"));
    assert!(answer.header("cache-control").unwrap().contains("max-age="));
    let etag = answer.header("etag").unwrap();

    let again = world.get("/static/v6.js", &format!("Accept-Encoding: br\r\nIf-None-Match: {etag}\r\n"));
    assert_eq!((again.status, again.header("etag")), (304, Some(etag)));

    let plain = world.get("/static/v6.js?v=1", "");
    assert!(plain.text().contains("realStreaming"));
    let head = world.ask("HEAD /static/v6.js HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(head.header("content-length"), plain.header("content-length"));
    assert!(plain.body.len() > answer.body.len());
    world.metric(r#"real_streaming_http_requests_total{handler="asset",status="3xx"} 1"#);
}

#[test]
fn without_a_route_there_is_a_clear_404() {
    let world = World::alone();
    let answer = world.get("/somewhere", "Accept: text/html\r\n");
    assert_eq!(answer.status, 404);
    assert!(answer.text().contains("no route"), "{}", answer.text());
}

#[test]
fn the_operator_has_a_listener_apart() {
    let world = World::fronting(&[Site::start().url]);
    assert_eq!(world.admin("/healthz").text(), "ok");
    until("the lake is prepared", || (world.admin("/readyz").text() == "ready\n").then_some(()));
    let metrics = world.admin("/metrics");
    assert!(metrics.header("content-type").unwrap().starts_with("application/openmetrics-text"));
    assert!(metrics.text().ends_with("# EOF\n"));
    assert_eq!(world.admin("/").status, 404);
    // The public listener leaves these paths to the site.
    assert_eq!(world.get("/metrics", "").header("server"), Some("site"));
}

#[test]
fn an_address_in_use_is_an_error_at_once() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let server = ServerConfig {
        listen: vec![taken.local_addr().unwrap()],
        admin: ([127, 0, 0, 1], 0).into(),
        ..ServerConfig::default()
    };
    let config = Config::new(&server, &CorsConfig::default(), &[], &collect::Config::default());
    let metrics = Arc::new(Metrics::new());
    let (pipeline, delivery, _parts) = storeys(&metrics);
    let error = Edge::bind(config, pipeline, delivery, metrics).err().unwrap().to_string();
    assert!(error.starts_with(&format!("cannot listen on `{}` (server.listen)", server.listen[0])), "{error}");
}

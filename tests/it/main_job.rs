//! The main job in one process: an event comes in, is answered, stands in the lake; the site stays the site.

use std::time::{Duration, Instant};

use crate::{
    client::{Client, get, post, request},
    world::{World, eventually, until},
};

/// The body of the design document's example.
pub const SEED_BODY: &str = include_str!("../golden/seed.json");

#[test]
fn an_event_is_answered_kept_and_counted() {
    let world = World::new();
    let mut running = world.start();

    let response = request(
        running.public,
        "POST",
        "/api/v1/streaming/1",
        &[("Content-Type", "application/json"), ("Accept-Language", "de-CH,de;q=0.9"), ("X-Client-Geo-Country", "CH")],
        SEED_BODY.as_bytes(),
    )
    .unwrap();
    assert_eq!((response.status, response.text()), (200, r#"{"status":"ok"}"#));
    let cookie = response.header("set-cookie").expect("a cookie");
    assert!(cookie.starts_with("__uid__="), "{cookie}");

    assert!(eventually(Duration::from_secs(10), || world.ids_in_lake().len() == 1), "not in the lake within 10 s");
    let metrics = get(running.admin, "/metrics").unwrap();
    let metrics = metrics.text();
    assert!(metrics.contains(r#"real_streaming_events_received_total{stream="1"} 1"#), "{metrics}");
    assert!(metrics.contains(r#"real_streaming_events_delivered_total{sink="local",stream="1"} 1"#), "{metrics}");
    assert!(metrics.contains(r#"real_streaming_events_in_spool{sink="local",stream="1"} 0"#), "{metrics}");

    let drained = running.stop();
    assert_eq!(drained.left_in_spool, 0);
}

#[test]
fn everything_else_belongs_to_the_site() {
    let world = World::new();
    let mut running = world.start();
    for path in ["/", "/index.html", "/api/v1/streamingx", "/metrics", "/readyz"] {
        let response = get(running.public, path).unwrap();
        assert_eq!((response.status, response.header("server")), (200, Some("site")), "{path}");
        assert!(world.site.saw().starts_with(&format!("GET {path} ")), "{path}");
    }
    assert_eq!(get(running.public, "/healthz").unwrap().status, 200);
    assert!(get(running.public, "/static/v6.js").unwrap().text().contains("page_view"));
    running.stop();
}

#[test]
fn a_full_spool_answers_503_and_loses_nothing() {
    let mut world = World::new();
    world.spool_size = "1MB";
    // No lake can be written: its folder is a file.
    std::fs::create_dir_all(world.data()).unwrap();
    std::fs::write(world.data().join("events"), "in the way").unwrap();
    let mut running = world.start();
    let filler = "x".repeat(3_000);
    let (mut accepted, mut refused) = (0, None);
    for n in 0..2_000 {
        let body = format!(r#"{{"event_name":"e","event_id":"f-{n}","params":{{"filler":"{filler}"}}}}"#);
        let response = post(running.public, "/api/v1/streaming/1", &body).unwrap();
        if response.status == 200 {
            accepted += 1;
        } else {
            refused = Some(response);
            break;
        }
    }
    let refused = refused.expect("a spool of 1 MB is full before 6 MB are in it");
    assert_eq!(refused.status, 503);
    assert!(refused.header("retry-after").is_some());
    assert!(accepted > 50, "{accepted}");
    assert_eq!(get(running.admin, "/readyz").unwrap().status, 503);
    assert_eq!(running.stop().left_in_spool, accepted);

    std::fs::remove_file(world.data().join("events")).unwrap();
    let mut running = world.start();
    assert!(eventually(Duration::from_secs(20), || world.ids_in_lake().len() as u64 == accepted));
    assert_eq!(running.stop().left_in_spool, 0);
}

#[test]
fn a_client_that_breaks_off_in_a_header_is_no_error_in_the_log() {
    let world = World::new();
    let mut process = world.spawn_with(&[("RUST_LOG", "info,pingora_proxy=debug")]);
    let mut client = Client::connect(process.public);
    // Behind a request that Pingora has served, and before any.
    client
        .send("POST /api/v1/streaming/1 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n");
    client.answer(false);
    client.send("POST /api/v1/str");
    drop(client);
    Client::connect(process.public).send("POST /api/v1/str");
    until("both are gone", || {
        let metrics = get(process.admin, "/metrics").ok()?;
        metrics.text().lines().any(|line| line == "real_streaming_connections 0").then_some(())
    });
    assert_eq!(process.terminate(), Some(0));
    assert!(!world.log().contains("ERROR"), "{}", world.log());
}

#[test]
fn once_the_spool_is_closed_clients_are_told_to_come_again() {
    let world = World::new();
    let mut running = world.start();
    let event = r#"{"event_name":"e","event_id":"before"}"#;
    assert_eq!(post(running.public, "/api/v1/streaming/1", event).unwrap().status, 200);
    // The end of a grace period that a request has outlasted: delivery is drained and gone, the listener not yet.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let drained = runtime.block_on(running.delivery.drain(Instant::now() + Duration::from_secs(60)));
    assert_eq!((drained.delivered, drained.left_in_spool), (1, 0));

    let response = post(running.public, "/api/v1/streaming/1", r#"{"event_name":"e","event_id":"after"}"#).unwrap();
    assert_eq!((response.status, response.header("retry-after")), (503, Some("5")), "{}", response.text());
    let body: serde_json::Value = serde_json::from_str(response.text()).unwrap();
    assert_eq!((&body["status"], &body["error"]["code"]), (&"error".into(), &"shutting_down".into()));
    assert_eq!(response.header("set-cookie"), None, "a visitor is not made by a refusal");
    let metrics = get(running.admin, "/metrics").unwrap();
    let metrics = metrics.text();
    assert!(metrics.contains(r#"real_streaming_refusals_total{code="shutting_down"} 1"#), "{metrics}");
    assert!(metrics.contains(r#"real_streaming_events_received_total{stream="1"} 1"#), "it counts nowhere: {metrics}");
    assert_eq!(get(running.admin, "/readyz").unwrap().status, 503);

    running.stop();
    assert_eq!(world.ids_in_lake().into_keys().collect::<Vec<_>>(), ["before"]);
}

#[test]
fn a_taken_port_ends_the_process_at_once() {
    let world = World::new();
    let process = world.spawn();
    let (listen, admin) = (process.public.to_string(), process.admin.to_string());
    for (public, admin, key) in [(&*listen, "127.0.0.1:0", "server.listen"), ("127.0.0.1:0", &*admin, "server.admin")] {
        // A spool of its own, or that would be the first thing to fail.
        let other = World::new();
        std::fs::write(other.dir.path().join("process.yaml"), other.yaml(public, admin)).unwrap();
        let begun = Instant::now();
        let status = other.serve(&[]).status().unwrap();
        assert_eq!(status.code(), Some(1));
        assert!(begun.elapsed() < Duration::from_secs(15), "{:?}", begun.elapsed());
        assert!(other.log().contains("cannot listen on") && other.log().contains(key), "{}", other.log());
    }
}

/// Pingora would panic over it, in a thread, and the process would stand there without a listener.
#[test]
fn a_file_of_roots_that_is_not_there_ends_the_process_at_once() {
    let world = World::new();
    let mut process = world.launch(&[("SSL_CERT_FILE", "/nowhere/roots.pem")]);
    let ended = eventually(Duration::from_secs(15), || process.has_ended());
    assert!(ended, "{}", world.log());
    assert_eq!(process.child.wait().unwrap().code(), Some(1));
    assert!(
        world.log().contains("`SSL_CERT_FILE` names `/nowhere/roots.pem`, which cannot be read"),
        "{}",
        world.log()
    );
}

//! One line for each request, with what an operator needs and without what visitors typed.

use serde_json::Value;

use crate::{
    client::{Client, get, post},
    world::{Process, World, until},
};

const STREAM: &str = "/api/v1/streaming/1";
const EVENT: &str = r#"{"event_name":"page_view"}"#;

/// Asks on a connection of its own; whoever has read the answer may look for the line.
fn ask(process: &Process, request: &str) -> u16 {
    let mut client = Client::connect(process.public);
    client.send(request);
    client.answer(request.starts_with("HEAD")).status
}

/// The access log's lines that hold this text, as JSON.
fn lines(world: &World, text: &str) -> Vec<Value> {
    let log = world.log();
    let lines = log.lines().filter(|line| line.contains("real_streaming::access") && line.contains(text));
    lines.map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The one line that holds this text.
fn line(world: &World, text: &str) -> Value {
    let lines = until(text, || Some(lines(world, text)).filter(|lines| !lines.is_empty()));
    assert_eq!(lines.len(), 1, "{lines:?}");
    lines[0].clone()
}

#[test]
fn cloud_logging_gets_a_request_and_no_secret() {
    let world = World::new();
    let variables = [
        ("APP_CONFIG__ENVIRONMENT", "PROD"),
        ("APP_CONFIG__WRITERS__PROJECT_ID", "my-project"),
        ("APP_CONFIG__SERVER__ACCESS_LOG__CLIENT_IP", "masked"),
    ];
    let process = world.spawn_with(&variables);
    let id = "0af7651916cd43dd8448eb211c80319c";
    let request = format!(
        "POST /buy/jane@shop.example?id=7&token=hush&q=jane%40shop.example HTTP/1.1\r\nHost: Shop.Example:81\r\n\
         User-Agent: Tester/1 \u{e4}\r\nReferer: https://shop.example/?secret=typed\r\nCookie: a=crumbs\r\n\
         X-Forwarded-For: 203.0.113.77\r\nX-Request-ID: r-1\r\nX-Forwarded-Proto: https\r\n\
         traceparent: 00-{id}-b7ad6b7169203331-01\r\nContent-Length: 4\r\n\r\nbody"
    );
    assert_eq!(ask(&process, &request), 200);
    let line = line(&world, "/buy/");
    let request = &line["httpRequest"];
    assert_eq!(request["requestMethod"], "POST");
    assert_eq!(
        request["requestUrl"], "https://shop.example/buy/(redacted)?id=7&token=(redacted)&q=(redacted)",
        "{line}"
    );
    assert_eq!((&request["status"], &request["protocol"]), (&200.into(), &"HTTP/1.1".into()));
    assert_eq!((&request["requestSize"], &request["userAgent"]), (&"4".into(), &r"Tester/1 \xc3\xa4".into()));
    assert_eq!(request["remoteIp"], "203.0.113.0");
    let latency = request["latency"].as_str().unwrap().strip_suffix('s').unwrap().parse::<f64>().unwrap();
    assert!(latency > 0.0 && latency < 20.0, "{latency}");
    assert_eq!(request["responseSize"], line["bytes"].to_string());
    assert_eq!(line["logging.googleapis.com/trace"], format!("projects/my-project/traces/{id}"));
    assert_eq!(line["logging.googleapis.com/spanId"], "b7ad6b7169203331");
    assert_eq!(line["logging.googleapis.com/trace_sampled"], true);
    assert_eq!((&line["severity"], &line["handler"]), (&"INFO".into(), &"proxy".into()));
    assert_eq!((&line["request_id"], &line["attempts"]), (&"r-1".into(), &1.into()));
    assert_eq!(line["upstream"], world.site.url.strip_prefix("http://").unwrap());
    assert!(line["route"].is_string(), "{line}");
    let text = line.to_string();
    for secret in ["hush", "jane", "typed", "crumbs", "203.0.113.77", "127.0.0.1:1"] {
        assert!(!text.contains(secret) || secret.starts_with("127"), "{secret} in {text}");
    }
}

#[test]
fn failures_are_warnings_and_routine_is_left_out() {
    let mut world = World::new();
    world.site.url = "http://127.0.0.1:1".into();
    let process =
        world.spawn_with(&[("APP_CONFIG__ENVIRONMENT", "PROD"), ("APP_CONFIG__SERVER__ACCESS_LOG__SAMPLE", "0")]);
    assert_eq!(post(process.public, STREAM, EVENT).unwrap().status, 200);
    assert_eq!(get(process.public, "/static/v6.js").unwrap().status, 200);
    assert_eq!(get(process.public, "/gone?a=b").unwrap().status, 502);
    let line = line(&world, "/gone");
    assert_eq!((&line["severity"], &line["httpRequest"]["status"]), (&"WARNING".into(), &502.into()));
    assert!(line.get("client").is_none() && line["httpRequest"].get("remoteIp").is_none(), "{line}");
    // The lines before it were not held back: they were never written.
    assert_eq!(lines(&world, "").len(), 1, "{}", world.log());
}

#[test]
fn people_get_a_line_they_can_read_once_for_each_request() {
    let world = World::new();
    let process = world.spawn_with(&[("APP_CONFIG__SERVER__ACCESS_LOG__SAMPLE_EVENTS", "1.0")]);
    let mut kept = Client::connect(process.public);
    for n in 0..3 {
        kept.send(format!("GET /page{n}?password=typed HTTP/1.1\r\nHost: shop.example\r\n\r\n"));
        assert_eq!(kept.answer(false).status, 200);
    }
    assert_eq!(post(process.public, STREAM, EVENT).unwrap().status, 200);
    assert_eq!(post(process.public, STREAM, "no event").unwrap().status, 400);
    assert_eq!(ask(&process, "GET  / HTTP/1.1\r\nHost: a\r\n\r\n"), 400);
    until("all lines", || world.log().contains("GET http://a/ 400 in ").then_some(()));
    let log = world.log();
    let about = |text: &str| {
        log.lines().filter(|line| line.contains(" - access - ") && line.contains(text)).collect::<Vec<_>>()
    };
    for n in 0..3 {
        let lines = about(&format!("/page{n}?"));
        assert_eq!(lines.len(), 1, "{lines:?}");
        let start = format!(" - access - GET http://shop.example/page{n}?password=(redacted) 200 in ");
        assert!(lines[0].starts_with("INFO") && lines[0].contains(&start), "{lines:?}");
        assert!(lines[0].contains(" handler=proxy ") && !lines[0].contains("http_request"), "{lines:?}");
    }
    assert_eq!((about("streaming/1 200").len(), about("streaming/1 400").len()), (1, 1), "{log}");
    assert!(about("http://a/ 400")[0].contains(" handler=route "), "{log}");
}

//! One line for each request, with what an operator needs and without what visitors typed.

use std::{
    io::{BufRead, BufReader, Read},
    net::TcpListener,
    process::{Command, Stdio},
    thread,
};

use serde_json::Value;

use crate::{
    client::{Client, get, post},
    world::{Process, World, signal, until},
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
fn of_an_answer_to_head_no_byte_is_told() {
    let world = World::new();
    let process = world.spawn_with(&[("APP_CONFIG__ENVIRONMENT", "PROD")]);
    for (path, more, status) in [("/page", "", 200), ("/twice", "Host: b\r\n", 400)] {
        assert_eq!(ask(&process, &format!("HEAD {path} HTTP/1.1\r\nHost: a\r\n{more}\r\n")), status);
        assert_eq!(line(&world, path)["bytes"], 0, "{path}");
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

/// The numbers in `/page<number>` of the access log, in its order.
fn pages(log: &str) -> Vec<usize> {
    let about = log.lines().filter(|line| line.contains(" - access - ")).filter_map(|line| line.split_once("/page"));
    about.map(|(_, rest)| rest[..rest.find(' ').unwrap()].parse().unwrap()).collect()
}

fn ask_for_pages(process: &Process, count: usize) {
    let mut client = Client::connect(process.public);
    for n in 0..count {
        client.send(format!("GET /page{n} HTTP/1.1\r\nHost: shop.example\r\n\r\n"));
        assert_eq!(client.answer(false).status, 200);
    }
}

#[test]
fn lines_come_by_themselves_and_the_last_ones_at_the_end() {
    let world = World::new();
    let mut process = world.spawn();
    ask_for_pages(&process, 1);
    // Nothing else is logged meanwhile that would take it along.
    until("the line", || (pages(&world.log()) == [0]).then_some(()));
    ask_for_pages(&process, 500);
    assert_eq!(process.terminate(), Some(0));
    let log = world.log();
    assert_eq!(pages(&log), (0..1).chain(0..500).collect::<Vec<_>>(), "{log}");
    let position = |text: &str| log.find(text).unwrap_or_else(|| panic!("no `{text}` in {log}"));
    assert!(position("/page499 ") < position("SIGTERM: finishing what is in flight"), "{log}");
}

#[test]
fn a_process_that_hands_over_leaves_no_line_behind() {
    let world = World::new();
    let mut old = world.spawn();
    let child = world.serve(&["--upgrade"]).spawn().unwrap();
    let mut new = Process { child, public: old.public, admin: old.admin };
    until("the new process waits", || world.log().contains("waiting for the process before").then_some(()));
    ask_for_pages(&old, 100);
    let mut open = Client::connect(old.public);
    open.send("GET /healthz HTTP/1.1\r\nHost: shop.example\r\n\r\n");
    assert_eq!(open.answer(false).status, 200);
    signal(&old.child, "QUIT");
    until("the new process serves", || (world.log().matches("serving ").count() > 1).then_some(()));
    // Within the linger of the old one, whose last line it is.
    open.send("GET /page100 HTTP/1.1\r\nHost: shop.example\r\n\r\n");
    assert_eq!(open.answer(false).status, 200);
    until("the old process ends", || old.has_ended().then_some(()));
    assert_eq!(pages(&world.log()), (0..101).collect::<Vec<_>>(), "{}", world.log());
    ask_for_pages(&new, 1);
    assert_eq!(new.terminate(), Some(0));
    assert_eq!(pages(&world.log()).last(), Some(&0));
}

#[test]
fn a_reader_that_stands_still_keeps_no_request_waiting_and_lost_lines_are_counted() {
    let world = World::new();
    let mut process = world.spawn_with(&[]);
    process.kill();
    let mut command: Command = world.serve(&[]);
    process.child = command.env("APP_CONFIG__ENVIRONMENT", "PROD").stdout(Stdio::piped()).spawn().unwrap();
    until("it serves", || get(process.public, "/healthz").ok());
    // Some 4 KB a line, twice what has room in the pipe and in memory together.
    let long = "x".repeat(2000);
    let mut client = Client::connect(process.public);
    for n in 0..600 {
        client.send(format!("GET /page{n}/{long} HTTP/1.1\r\nHost: shop.example\r\n\r\n"));
        assert_eq!(client.answer(false).status, 200);
    }
    // The line of a request is there before the next one on its connection is answered.
    client.send("GET /healthz HTTP/1.1\r\nHost: shop.example\r\n\r\n");
    assert_eq!(client.answer(false).status, 200);
    let metrics = || get(process.admin, "/metrics").unwrap().text().to_owned();
    let lost = |metrics: &str| {
        let value = metrics.lines().find_map(|line| line.strip_prefix("real_streaming_log_lines_lost_total "));
        value.unwrap().parse::<usize>().unwrap()
    };
    let lost = lost(&metrics());
    assert!((1..600).contains(&lost), "{lost}");
    let mut lines = BufReader::new(process.child.stdout.take().unwrap()).lines();
    let mut seen = 0;
    for line in &mut lines {
        let line: Value = serde_json::from_str(&line.unwrap()).unwrap();
        if line["message"] == "log lines are lost, standard output did not take them" {
            assert_eq!((&line["severity"], &line["lines"]), (&"WARNING".into(), &lost.into()));
            break;
        }
        if line["module"] == "real_streaming::access" {
            assert!(line["message"].as_str().unwrap().contains(&format!("/page{seen}/")), "{line}");
            seen += 1;
        }
    }
    assert_eq!(seen + lost, 600);
    // It goes on as if nothing had been.
    client.send("GET /after HTTP/1.1\r\nHost: shop.example\r\n\r\n");
    assert_eq!(client.answer(false).status, 200);
    assert!(lines.next().unwrap().unwrap().contains("/after"));
}

#[test]
fn a_websocket_that_the_site_resets_is_no_warning() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut world = World::new();
    world.site.url = format!("http://{}", listener.local_addr().unwrap());
    let site = thread::spawn(move || {
        let mut site = Client(BufReader::with_capacity(1, listener.accept().unwrap().0));
        site.try_head().unwrap();
        site.send("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nbye");
        // What has come and is not read makes a reset of the end.
        site.0.get_ref().peek(&mut [0]).unwrap();
    });
    let process = world.spawn_with(&[("RUST_LOG", "info,real_streaming=debug")]);
    let mut client = Client::connect(process.public);
    client.send("GET /socket HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n");
    assert!(client.try_head().unwrap().contains(" 101 "));
    client.send("last words");
    site.join().unwrap();
    let mut rest = Vec::new();
    let _ = client.0.read_to_end(&mut rest);
    assert_eq!(rest, b"bye");
    until("the line", || world.log().contains("/socket 101 in ").then_some(()));
    assert!(world.log().contains("a connection that was upgraded broke off"), "{}", world.log());
    assert!(!world.log().contains("WARNING"), "{}", world.log());
}

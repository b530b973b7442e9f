//! The edge over real sockets: raw bytes in, raw bytes out, with a raw origin behind it.

#![allow(clippy::unwrap_used)]

use std::{
    io::{Read, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::Arc,
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use real_streaming::{
    collect::{self, CookieConfig},
    deliver::{Delivery, WritersConfig},
    edge::{Config, CorsConfig, Edge, RouteConfig, ServerConfig, Stopped},
    pipeline::Pipeline,
    telemetry::Metrics,
};
use tokio::sync::oneshot;

use crate::{
    client::{Answer, Client, free_port},
    site::Site,
    world::until,
};

const EVENT: &str = r#"{"event_name":"page_view"}"#;
const STREAM: &str = "/api/v1/streaming/1";

// ---------------------------------------------------------------- the world

/// An edge on free ports, until it is stopped or dropped.
struct World {
    public: SocketAddr,
    admin: SocketAddr,
    metrics: Arc<Metrics>,
    stop: Option<oneshot::Sender<()>>,
    run: Option<JoinHandle<Stopped>>,
    _parts: Parts,
}

/// What delivery needs to live.
struct Parts {
    _runtime: tokio::runtime::Runtime,
    _folder: tempfile::TempDir,
}

/// The two storeys below, as real as they are.
fn storeys(metrics: &Arc<Metrics>) -> (Pipeline, Delivery, Parts) {
    let pipeline = Pipeline::new(&collect::Config::default(), &[], &CookieConfig::default(), Vec::new());
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let mut writers = WritersConfig::default();
    writers.local.directory = folder.path().join("data");
    writers.spool.directory = folder.path().join("spool");
    let delivery = Delivery::start(&writers, metrics.clone(), runtime.handle()).unwrap();
    (pipeline, delivery, Parts { _runtime: runtime, _folder: folder })
}

impl World {
    /// Fronts these upstreams on every host.
    fn fronting(upstreams: &[String]) -> World {
        let upstreams = upstreams.iter().map(|url| url.parse().unwrap()).collect();
        World::with(vec![RouteConfig { upstreams, ..RouteConfig::default() }], |_| {})
    }

    fn alone() -> World {
        World::with(Vec::new(), |_| {})
    }

    fn with(routes: Vec<RouteConfig>, change: impl FnOnce(&mut Config)) -> World {
        let server = ServerConfig {
            listen: vec![([127, 0, 0, 1], 0).into()],
            admin: ([127, 0, 0, 1], 0).into(),
            ..ServerConfig::default()
        };
        let mut config = Config::new(&server, &CorsConfig::default(), &routes, &collect::Config::default());
        change(&mut config);
        let metrics = Arc::new(Metrics::new());
        let (pipeline, delivery, parts) = storeys(&metrics);
        let edge = Edge::bind(config, pipeline, delivery, metrics.clone()).unwrap();
        let (public, admin) = (edge.public_addrs()[0], edge.admin_addr());
        let (stop, stopped) = oneshot::channel::<()>();
        let run = thread::spawn(move || {
            edge.run(async {
                let _ = stopped.await;
            })
        });
        World { public, admin, metrics, stop: Some(stop), run: Some(run), _parts: parts }
    }

    fn connect(&self) -> Client {
        Client::connect(self.public)
    }

    /// One request on a connection of its own.
    fn ask(&self, request: &str) -> Answer {
        let mut client = self.connect();
        client.send(request);
        client.answer(request.starts_with("HEAD"))
    }

    fn get(&self, path: &str, headers: &str) -> Answer {
        self.ask(&format!("GET {path} HTTP/1.1\r\nHost: site.example\r\n{headers}\r\n"))
    }

    fn admin(&self, path: &str) -> Answer {
        let mut client = Client::connect(self.admin);
        client.send(format!("GET {path} HTTP/1.1\r\nHost: admin\r\n\r\n"));
        client.answer(false)
    }

    /// Starts the shutdown without waiting for its end.
    fn begin_stop(&mut self) {
        self.stop.take().unwrap().send(()).unwrap();
    }

    fn wait(&mut self) -> Stopped {
        self.run.take().unwrap().join().unwrap()
    }

    /// Waits until a metric's line is there: metrics are written after the answer.
    #[track_caller]
    fn metric(&self, line: &str) {
        until(line, || self.metrics.encode().lines().any(|l| l == line).then_some(()));
    }
}

impl Drop for World {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(run) = self.run.take() {
            let _ = run.join();
        }
    }
}

fn event(headers: &str) -> String {
    format!("POST {STREAM} HTTP/1.1\r\nHost: site.example\r\n{headers}Content-Length: {}\r\n\r\n{EVENT}", EVENT.len())
}

/// An address nobody listens on.
fn nobody() -> String {
    format!("http://{}", free_port())
}

// ---------------------------------------------------------------- collection

#[test]
fn an_event_is_answered_byte_for_byte() {
    let world = World::alone();
    let answer = world.ask(&event("Content-Type: application/json\r\n"));
    assert_eq!(answer.status, 200);
    assert_eq!(answer.text(), r#"{"status":"ok"}"#);
    assert_eq!(answer.header("content-type"), Some("application/json"));
    assert_eq!(answer.header("content-length"), Some("15"));
    assert_eq!(answer.header("connection"), Some("keep-alive"));
    assert!(answer.header("set-cookie").unwrap().starts_with("__uid__="), "{}", answer.head);
    assert_eq!(answer.header("server"), None);
    assert_eq!(answer.header("access-control-allow-origin"), None);
    world.metric(r#"real_streaming_http_requests_total{handler="collect",status="2xx"} 1"#);
}

#[test]
fn a_connection_serves_many_events_in_a_row() {
    let world = World::alone();
    let mut client = world.connect();
    for _ in 0..50 {
        client.send(event(""));
        assert_eq!(client.answer(false).status, 200);
    }
}

#[test]
fn pipelined_events_are_answered_in_order() {
    let world = World::fronting(&[Site::start().url]);
    let mut client = world.connect();
    client.send([event(""), "GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n".into(), event("")].concat());
    assert_eq!(client.answer(false).text(), r#"{"status":"ok"}"#);
    assert_eq!(client.answer(false).text(), "ok");
    assert_eq!(client.answer(false).text(), r#"{"status":"ok"}"#);
}

#[test]
fn who_wants_no_second_request_gets_its_connection_closed() {
    let world = World::alone();
    for request in [
        event("Connection: close\r\n"),
        event("").replace("HTTP/1.1", "HTTP/1.0"),
        // Both framings: the classic of request smuggling.
        format!(
            "POST {STREAM} HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
        ),
    ] {
        let mut client = world.connect();
        client.send(&request);
        let answer = client.answer(false);
        assert_eq!(answer.header("connection"), Some("close"), "{request}");
        assert!(client.is_closed(), "{request}");
    }
}

#[test]
fn a_client_that_waits_for_continue_is_told_to_go_on() {
    let world = World::alone();
    let mut client = world.connect();
    for _ in 0..2 {
        client.send(format!(
            "POST {STREAM} HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: {}\r\n\r\n",
            EVENT.len()
        ));
        assert!(client.head().starts_with("HTTP/1.1 100 "));
        client.send(EVENT);
        let answer = client.answer(false);
        assert_eq!((answer.status, answer.header("connection")), (200, Some("keep-alive")));
    }
}

#[test]
fn a_client_that_waits_for_continue_hears_a_refusal_at_once() {
    let world = World::alone();
    let mut client = world.connect();
    client
        .send(format!("POST {STREAM} HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 9999999\r\n\r\n"));
    assert_eq!(client.answer(false).status, 413);
}

#[test]
fn a_body_may_come_in_chunks_and_pieces() {
    let world = World::alone();
    let mut client = world.connect();
    client.send(format!("POST {STREAM} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"));
    for piece in EVENT.as_bytes().chunks(7) {
        client.send(format!("{:x}\r\n", piece.len()));
        client.send(piece);
        client.send("\r\n");
    }
    client.send("0\r\n\r\n");
    assert_eq!(client.answer(false).text(), r#"{"status":"ok"}"#);
    client.send(event(""));
    assert_eq!(client.answer(false).status, 200);
}

#[test]
fn a_broken_chunk_is_the_clients_fault() {
    let world = World::alone();
    let answer =
        world.ask(&format!("POST {STREAM} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nnonsense\r\n"));
    assert_eq!(answer.status, 400);
}

#[test]
fn a_slow_body_is_given_up() {
    let world = World::with(Vec::new(), |config| config.tuning.body = Duration::from_millis(150));
    let mut client = world.connect();
    client.send(format!("POST {STREAM} HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\n{{"));
    let mut feeder = client.0.get_ref().try_clone().unwrap();
    // Every byte in time for a timeout per read, the whole never.
    let feeding = thread::spawn(move || {
        while feeder.write_all(b" ").is_ok() {
            thread::sleep(Duration::from_millis(40))
        }
    });
    let answer = client.answer(false);
    assert_eq!((answer.status, answer.header("connection")), (408, Some("close")));
    drop(client);
    feeding.join().unwrap();
    world.metric(r#"real_streaming_refusals_total{code="slow_body"} 1"#);
}

#[test]
fn a_body_that_is_too_large_is_refused_while_it_still_comes() {
    let world = World::alone();
    for framing in ["Content-Length: 3000000", "Transfer-Encoding: chunked"] {
        let mut client = world.connect();
        client.send(format!("POST {STREAM} HTTP/1.1\r\nHost: a\r\n{framing}\r\n\r\n"));
        let chunked = framing.starts_with("Transfer");
        let piece = vec![b' '; 30_000];
        for _ in 0..100 {
            if chunked {
                client.send(format!("{:x}\r\n", piece.len()));
            }
            client.send(&piece);
            if chunked {
                client.send("\r\n");
            }
        }
        if chunked {
            client.send("0\r\n\r\n");
        }
        let answer = client.answer(false);
        assert_eq!((answer.status, answer.header("connection")), (413, Some("close")), "{framing}");
        assert!(client.is_closed());
    }
}

#[test]
fn a_client_that_leaves_in_the_middle_costs_nothing() {
    let world = World::alone();
    let mut client = world.connect();
    client.send(format!("POST {STREAM} HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\n{{"));
    client.0.get_ref().shutdown(Shutdown::Both).unwrap();
    world.metric(r#"real_streaming_http_requests_total{handler="collect",status="none"} 1"#);
    assert_eq!(world.ask(&event("")).status, 200);
    world.metric(r#"real_streaming_http_requests_total{handler="collect",status="5xx"} 0"#);
}

#[test]
fn the_wrong_method_and_the_wrong_stream_are_refused() {
    let world = World::alone();
    let answer = world.get(STREAM, "");
    assert_eq!(answer.status, 405);
    assert!(answer.header("allow").unwrap().contains("POST"));
    assert_eq!(world.ask(&event("").replace("streaming/1", "streaming/1/2")).status, 404);
    assert_eq!(world.ask(&event("").replace("streaming/1", "streaming")).status, 404);
}

#[test]
fn strange_requests_never_break_anything() {
    let world = World::fronting(&[Site::start().url]);
    let hostile: &[&[u8]] = &[
        b"Cookie: __uid__=\xff\xfe; \xe4=\xf6\r\n",
        b"Cookie: ;;;=;=\r\nCookie:\r\n",
        b"X-Forwarded-For: \xff, , ,\r\nForwarded: for=\r\n",
        b"Origin: \xff\r\n",
        b"Accept-Encoding: ;q=, br;q=99999999999999999\r\nIf-None-Match: ,\"\r\n",
        b"User-Agent: \r\nReferer: ://\r\nAccept-Language: \xff\r\n",
        b"X-Request-ID: \"><script>\r\n",
    ];
    for lines in hostile {
        for (method, path) in [("POST", STREAM), ("GET", "/static/v6.js"), ("GET", "/page?\u{e4}"), ("GET", "/healthz")]
        {
            let mut client = world.connect();
            client.send(format!("{method} {path} HTTP/1.1\r\nHost: a\r\n"));
            client.send(lines);
            client.send("Content-Length: 0\r\n\r\n");
            let answer = client.answer(false);
            assert!(answer.status < 500, "{method} {path} {lines:?}: {answer:?}");
        }
    }
    // Without a host, as HTTP/1.0 allows.
    assert_eq!(world.ask("GET /healthz HTTP/1.0\r\n\r\n").text(), "ok");
    assert_eq!(world.ask(&event("").replace("Host: site.example\r\n", "")).status, 200);
    world.metric("real_streaming_panics_total 0");
}

// ---------------------------------------------------------------- pages of other origins

#[test]
fn pages_talk_to_their_own_host_and_to_allowed_ones() {
    let world = World::with(Vec::new(), |config| {
        config.cors.allowed_origins = vec!["https://shop.example".parse().unwrap()];
    });
    for (origin, status, allowed) in [
        ("https://site.example", 200, true),
        ("http://site.example:8080", 200, true),
        ("https://shop.example", 200, true),
        ("http://shop.example", 403, false),
        ("https://evil.example", 403, false),
        ("null", 403, false),
    ] {
        let answer = world.ask(&event(&format!("Origin: {origin}\r\n")));
        assert_eq!(answer.status, status, "{origin}");
        assert_eq!(answer.header("access-control-allow-origin"), allowed.then_some(origin));
        assert_eq!(answer.header("access-control-allow-credentials"), allowed.then_some("true"));
        assert_eq!(answer.header("vary"), Some("Origin"));
    }
    // A page reads the reason of a refusal, too.
    let refused = world.ask(&event("Origin: https://shop.example\r\n").replace("streaming/1", "streaming/1/2"));
    assert_eq!((refused.status, refused.header("access-control-allow-origin")), (404, Some("https://shop.example")));
}

#[test]
fn a_preflight_is_answered_for_a_day() {
    let world = World::alone();
    let ask = "Access-Control-Request-Method: POST\r\nAccess-Control-Request-Headers: content-type,traceparent\r\n";
    let mut client = world.connect();
    client
        .send(format!("OPTIONS {STREAM} HTTP/1.1\r\nHost: site.example\r\nOrigin: https://site.example\r\n{ask}\r\n"));
    let answer = client.answer(false);
    assert_eq!(answer.status, 204);
    assert_eq!(answer.header("access-control-allow-origin"), Some("https://site.example"));
    assert_eq!(answer.header("access-control-allow-methods"), Some("POST, OPTIONS"));
    assert_eq!(answer.header("access-control-allow-headers"), Some("content-type,traceparent"));
    assert_eq!(answer.header("access-control-max-age"), Some("86400"));
    assert_eq!(answer.header("content-length"), None);
    client.send(event(""));
    assert_eq!(client.answer(false).status, 200, "the connection goes on");
}

#[test]
fn a_star_is_for_pages_without_cookies() {
    let world = World::with(Vec::new(), |config| {
        config.cors.allowed_origins = vec!["*".parse().unwrap()];
        config.cors.allow_credentials = false;
    });
    let answer = world.ask(&event("Origin: https://any.example\r\n"));
    assert_eq!((answer.status, answer.header("access-control-allow-origin")), (200, Some("*")));
    assert_eq!(answer.header("access-control-allow-credentials"), None);
}

// ---------------------------------------------------------------- what else is ours

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
    assert_eq!(world.admin("/readyz").status, 200);
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

// ---------------------------------------------------------------- the site

#[test]
fn every_method_reaches_the_site() {
    let site = Site::start();
    let world = World::fronting(std::slice::from_ref(&site.url));
    let answer = world.get("/page?q=1", "Cookie: __uid__=1.2; session=3\r\n");
    assert_eq!((answer.status, answer.header("x-saw"), answer.header("server")), (200, Some("GET"), Some("site")));
    let seen = site.saw();
    assert!(seen.starts_with("GET /page?q=1 HTTP/1.1\r\n"), "{seen}");
    assert!(seen.contains("__uid__=1.2; session=3"), "the site keeps every cookie: {seen}");

    let head = world.ask("HEAD /page HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!((head.header("x-saw"), head.header("content-length")), (Some("HEAD"), Some("4711")));

    for method in ["PUT", "POST", "PATCH", "DELETE"] {
        let body = "x".repeat(200_000);
        let answer = world.ask(&format!("{method} /up HTTP/1.1\r\nHost: a\r\nContent-Length: 200000\r\n\r\n{body}"));
        assert_eq!((answer.header("x-saw"), answer.body.len()), (Some(method), 200_000));
    }
    let answer = world.ask("PUT /up HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n");
    assert_eq!(answer.text(), "abc");
    world.metric(r#"real_streaming_http_requests_total{handler="proxy",status="2xx"} 7"#);
}

#[test]
fn the_site_is_told_the_truth_about_the_visitor() {
    let site = Site::start();
    let forged = "X-Forwarded-For: 6.6.6.6\r\nX-Forwarded-Proto: https\r\nX-Real-IP: 6.6.6.6\r\nX-Request-ID: mine\r\n\
                  Forwarded: for=6.6.6.6\r\n";
    let value = |head: &str, name: &str| {
        let lower = head.to_ascii_lowercase();
        let mut found = lower.lines().filter_map(|line| line.strip_prefix(&format!("{name}: ")).map(str::to_string));
        let first = found.next();
        assert_eq!(found.next(), None, "one `{name}` only: {head}");
        first
    };
    let world = World::fronting(std::slice::from_ref(&site.url));
    world.get("/", forged);
    let seen = site.saw();
    assert_eq!(value(&seen, "host").as_deref(), Some("site.example"));
    assert_eq!(value(&seen, "x-forwarded-for").as_deref(), Some("127.0.0.1"));
    assert_eq!(value(&seen, "x-forwarded-proto").as_deref(), Some("http"));
    assert_eq!(value(&seen, "x-forwarded-host").as_deref(), Some("site.example"));
    assert_eq!(value(&seen, "x-real-ip").as_deref(), Some("127.0.0.1"));
    assert_eq!(value(&seen, "x-request-id").unwrap().len(), 32);
    assert_eq!(value(&seen, "forwarded"), None);

    let routes = vec![RouteConfig { upstreams: vec![site.url.parse().unwrap()], ..RouteConfig::default() }];
    let world = World::with(routes, |config| config.server.trusted_proxies = vec!["127.0.0.0/8".parse().unwrap()]);
    world.get("/", forged);
    let seen = site.saw();
    assert_eq!(value(&seen, "x-forwarded-for").as_deref(), Some("6.6.6.6, 127.0.0.1"));
    assert_eq!(value(&seen, "x-forwarded-proto").as_deref(), Some("https"));
    assert_eq!(value(&seen, "x-real-ip").as_deref(), Some("6.6.6.6"));
    assert_eq!(value(&seen, "x-request-id").as_deref(), Some("mine"));
    assert_eq!(value(&seen, "forwarded").as_deref(), Some("for=6.6.6.6, for=127.0.0.1"));
}

#[test]
fn server_sent_events_pass_one_by_one() {
    let site = Site::start();
    let world = World::fronting(std::slice::from_ref(&site.url));
    let mut client = world.connect();
    client.send("GET /events HTTP/1.1\r\nHost: a\r\nAccept: text/event-stream\r\nAccept-Encoding: gzip, br\r\n\r\n");
    assert!(client.head().starts_with("HTTP/1.1 200 "));
    for number in 0..3 {
        // The site waits until we have seen this one.
        assert_eq!(client.chunk(), format!("data: {number}\n\n").as_bytes());
        site.more.send(()).unwrap();
    }
    assert!(client.chunk().is_empty());
}

#[test]
fn a_web_socket_passes_in_both_directions() {
    let site = Site::start();
    let world = World::fronting(std::slice::from_ref(&site.url));
    // Many times: the first bytes of the site race with the end of the handshake.
    for round in 0..50 {
        let mut client = world.connect();
        client.send(
            "GET /socket HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
        );
        let head = client.head();
        assert!(head.starts_with("HTTP/1.1 101 "), "round {round}: {head}");
        let mut greeting = [0; 5];
        client.0.read_exact(&mut greeting).unwrap();
        assert_eq!(&greeting, b"hello");
        for message in [&b"\x81\x05abcde"[..], &[0xff; 700]] {
            client.send(message);
            let mut echo = vec![0; message.len()];
            client.0.read_exact(&mut echo).unwrap();
            assert_eq!(echo, message);
        }
    }
}

#[test]
fn a_site_that_is_down_gives_a_page_with_the_request_id() {
    let world = World::fronting(&[nobody()]);
    let answer = world.get("/", "Accept: text/html\r\n");
    assert_eq!((answer.status, answer.header("server")), (502, None));
    assert!(answer.text().contains("request "), "{}", answer.text());
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    // Also for who is still uploading.
    let body = "x".repeat(1_000_000);
    let answer = world.ask(&format!("POST /up HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n{body}"));
    assert_eq!(answer.status, 502);
    assert_eq!(world.ask(&event("")).status, 200, "events do not need the site");
    world.metric(r#"real_streaming_http_requests_total{handler="proxy",status="5xx"} 2"#);
}

#[test]
fn a_site_that_does_not_speak_tls_as_promised_is_down() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n");
        }
    });
    let world = World::fronting(&[format!("https://{address}")]);
    assert_eq!(world.get("/", "").status, 502);
}

#[test]
fn a_name_without_an_address_is_no_reason_to_fall_over() {
    let world = World::fronting(&["http://site.invalid".into()]);
    assert_eq!(world.get("/", "").status, 502);
    assert_eq!(world.ask(&event("")).status, 200);
}

#[test]
fn a_name_is_resolved_at_the_start() {
    let site = Site::start();
    let world = World::fronting(&[site.url.replace("127.0.0.1", "localhost")]);
    for _ in 0..4 {
        assert_eq!(world.get("/", "").status, 200);
    }
}

#[test]
fn another_upstream_takes_over() {
    let site = Site::start();
    let world = World::fronting(&[nobody(), site.url.clone(), nobody()]);
    for _ in 0..6 {
        assert_eq!(world.get("/", "").status, 200);
        let answer = world.ask("POST /up HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc");
        assert_eq!((answer.status, answer.text()), (200, "abc"));
    }
}

#[test]
fn a_silent_site_is_given_up() {
    let site = Site::start();
    let routes = vec![RouteConfig { upstreams: vec![site.url.parse().unwrap()], ..RouteConfig::default() }];
    let world = World::with(routes, |config| config.tuning.upstream_read = Duration::from_millis(150));
    let answer = world.get("/silent", "");
    assert_eq!(answer.status, 504);
    assert!(answer.text().starts_with("504 Gateway Timeout: the site did not answer in time (request "));
}

#[test]
fn hosts_and_paths_choose_the_site() {
    let (blog, shop) = (Site::start(), Site::start());
    let route = |hosts: &[&str], path: &str, site: &Site| RouteConfig {
        hosts: hosts.iter().map(|host| host.parse().unwrap()).collect(),
        path: path.into(),
        upstreams: vec![site.url.parse().unwrap()],
    };
    let world = World::with(vec![route(&["*.example"], "/", &blog), route(&["*.example"], "/shop", &shop)], |_| {});
    assert_eq!(world.get("/shop/1", "").status, 200);
    assert!(shop.saw().starts_with("GET /shop/1 "));
    assert_eq!(world.get("/shopping", "").status, 200);
    assert!(blog.saw().starts_with("GET /shopping "));
    assert_eq!(world.ask("GET /shop HTTP/1.1\r\nHost: other.test\r\n\r\n").status, 404);
}

// ---------------------------------------------------------------- the end

#[test]
fn a_request_in_flight_is_finished_and_no_new_one_comes() {
    let mut world = World::alone();
    let mut slow = world.connect();
    slow.send(format!("POST {STREAM} HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n{{", EVENT.len()));
    let mut idle = world.connect();
    idle.send(event(""));
    assert_eq!(idle.answer(false).status, 200);

    world.begin_stop();
    until("readiness fails", || (world.admin("/readyz").status == 503).then_some(()));
    assert_eq!(world.admin("/readyz").text(), "shutting down\n");
    assert_eq!(world.admin("/healthz").status, 200);
    until("new connections are refused", || TcpStream::connect(world.public).err());
    assert!(idle.is_closed(), "an idle connection is told to go");

    slow.send(&EVENT[1..]);
    let answer = slow.answer(false);
    assert_eq!((answer.status, answer.header("connection")), (200, Some("close")));
    let stopped = world.wait();
    assert_eq!((stopped.in_flight, stopped.failed), (0, false));
    assert_eq!(world.admin("/readyz").status, 503, "the operator is answered as long as somebody holds the result");
}

#[test]
fn with_nothing_in_flight_the_end_comes_at_once() {
    let mut world = World::with(Vec::new(), |config| config.server.shutdown.grace = "8s".parse().unwrap());
    let mut idle = world.connect();
    idle.send(event(""));
    assert_eq!(idle.answer(false).status, 200);
    let mut half = world.connect();
    half.send("POST /api/v1/str");
    let begun = Instant::now();
    world.begin_stop();
    assert_eq!(world.wait().in_flight, 0);
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
}

#[test]
fn who_does_not_finish_within_the_grace_is_left_behind() {
    let mut world = World::with(Vec::new(), |config| config.server.shutdown.grace = "200ms".parse().unwrap());
    let mut slow = world.connect();
    slow.send(format!("POST {STREAM} HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\n{{"));
    until("the request is in flight", || {
        // Answered on the same listener, after the other one's header.
        (world.get("/healthz", "").status == 200).then_some(())
    });
    world.begin_stop();
    let begun = Instant::now();
    assert_eq!(world.wait().in_flight, 1);
    assert!(begun.elapsed() < Duration::from_secs(2));
}

//! TLS on listeners of its own: names, versions, protocols, clients' certificates, and what both sides are told.

use std::{io::Read, net::SocketAddr, sync::Arc, time::Duration};

use http_body_util::{BodyExt, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};
use real_streaming::edge::{CertificateConfig, ClientsConfig, Config, HstsConfig, MinVersion, RouteConfig};
use rustls::pki_types::ServerName;
use tempfile::TempDir;

use super::{EVENT, STREAM, World, event, storeys};
use crate::{
    authority::{Authority, Wishes},
    site::Site,
};

struct Secure {
    world: World,
    site: Site,
    authority: Authority,
    folder: TempDir,
    at: SocketAddr,
}

/// A site behind TLS, with certificates for `a.example` and `*.b.example`.
fn secure(change: impl FnOnce(&mut Config, &Authority, &TempDir)) -> Secure {
    let (site, authority, folder) = (Site::start(), Authority::new(), tempfile::tempdir().unwrap());
    let pair = |file: &str, names: &[&str]| {
        let (cert, key) = authority.writes(folder.path(), file, names);
        CertificateConfig { cert, key }
    };
    let certificates = vec![pair("a", &["a.example"]), pair("b", &["*.b.example"])];
    let upstreams = vec![site.url.parse().unwrap()];
    let world = World::with(vec![RouteConfig { upstreams, ..RouteConfig::default() }], |config| {
        config.server.tls.listen = vec![([127, 0, 0, 1], 0).into()];
        config.server.tls.certificates = certificates;
        change(config, &authority, &folder);
    });
    let at = world.tls.unwrap();
    Secure { world, site, authority, folder, at }
}

impl Secure {
    fn get(&self, name: &str, wishes: Wishes) -> std::io::Result<String> {
        self.authority.connect(self.at, name, wishes)?.get(name, "/")
    }
}

#[test]
fn names_find_their_certificates_and_the_site_hears_of_tls() {
    let secure = secure(|_, _, _| {});
    for name in ["a.example", "x.b.example"] {
        let answer = secure.get(name, Wishes::default()).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        let seen = secure.site.saw().to_lowercase();
        assert!(seen.contains("x-forwarded-proto: https\r\n"), "{seen}");
        assert!(!answer.to_lowercase().contains("strict-transport-security"), "nobody asked for it");
    }
    for stranger in ["b.example", "y.x.b.example", "stranger.example"] {
        assert!(secure.get(stranger, Wishes::default()).is_err(), "{stranger}: the first certificate is not its");
    }
    secure.world.metric(r#"real_streaming_tls_handshakes_total{outcome="ok"} 2"#);
    // The plain listener is as it was.
    assert_eq!(secure.world.get("/", "").status, 200);
    assert!(secure.site.saw().to_lowercase().contains("x-forwarded-proto: http\r\n"));
}

#[test]
fn events_over_tls_take_both_lanes_and_get_a_secure_cookie() {
    let secure = secure(|config, _, _| {
        config.server.tls.hsts = HstsConfig { max_age: real_streaming::units::Span::secs(60), ..HstsConfig::default() };
    });
    let mut client = secure.authority.connect(secure.at, "a.example", Wishes::default()).unwrap();
    for headers in ["", "Expect: nothing\r\n", ""] {
        let answer = client.ask(&event(headers)).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        let low = answer.to_lowercase();
        assert!(low.contains("; secure"), "{answer}");
        assert!(low.contains("strict-transport-security: max-age=60\r\n"), "{answer}");
    }
    let plain = secure.world.ask(&event(""));
    assert!(!plain.head.to_lowercase().contains("; secure") && plain.header("strict-transport-security").is_none());
}

#[test]
fn errors_over_tls_say_to_stay_with_it() {
    let secure = secure(|config, _, _| {
        config.server.tls.hsts = HstsConfig { max_age: real_streaming::units::Span::secs(60), ..HstsConfig::default() };
        let route = |more| serde_json::from_value::<RouteConfig>(more).unwrap();
        config.routes.push(route(serde_json::json!({ "path": "/down", "upstreams": [super::nobody()] })));
        let upstreams = config.routes[0].upstreams.clone();
        let small = route(serde_json::json!({ "path": "/small", "max_body": "10B" }));
        config.routes.push(RouteConfig { upstreams, ..small });
    });
    let chunk = format!("100\r\n{}\r\n", "x".repeat(256));
    let chunked = "POST /small HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\n\r\n".to_owned()
        + &chunk
        + "0\r\n\r\n";
    for (request, status) in [
        ("GET /down HTTP/1.1\r\nHost: a.example\r\n\r\n", 502),
        (&*chunked, 413),
        ("GET / HTTP/1.1\r\nHost: a.example\r\nHost: a.example\r\n\r\n", 400),
        ("GET /a<b HTTP/1.1\r\nHost: a.example\r\n\r\n", 400),
        ("CONNECT a.example:443 HTTP/1.1\r\nHost: a.example\r\n\r\n", 405),
        ("TRACE / HTTP/1.1\r\nHost: a.example\r\n\r\n", 405),
    ] {
        let mut client = secure.authority.connect(secure.at, "a.example", Wishes::default()).unwrap();
        let answer = client.ask(request).unwrap();
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{request}: {answer}");
        assert!(answer.to_lowercase().contains("strict-transport-security: max-age=60\r\n"), "{request}: {answer}");
    }
}

#[test]
fn old_versions_are_refused_where_that_is_said() {
    static OLD: &[&rustls::SupportedProtocolVersion] = &[&rustls::version::TLS12];
    let wishes = Wishes { versions: Some(OLD), ..Wishes::default() };
    let usual = secure(|_, _, _| {});
    assert!(usual.get("a.example", wishes.clone()).is_ok());
    let new = secure(|config, _, _| config.server.tls.min_version = MinVersion::Tls13);
    assert!(new.get("a.example", wishes).is_err());
    assert!(new.get("a.example", Wishes::default()).is_ok());
    new.world.metric(r#"real_streaming_tls_handshakes_total{outcome="failed"} 1"#);
}

#[test]
fn clients_show_certificates_where_that_is_said() {
    let other = Authority::new();
    for (required, nobody) in [(true, false), (false, true)] {
        let secure = secure(|config, authority, folder| {
            let ca = authority.writes_root(folder.path(), "clients.pem");
            config.server.tls.clients = ClientsConfig { ca, required };
        });
        let known = Wishes { own: Some(secure.authority.client("me")), ..Wishes::default() };
        let stranger = Wishes { own: Some(other.client("me")), ..Wishes::default() };
        assert!(secure.get("a.example", known).is_ok());
        assert!(secure.get("a.example", stranger).is_err(), "a wrong one never will do");
        assert_eq!(secure.get("a.example", Wishes::default()).is_ok(), nobody);
    }
}

#[test]
fn the_site_hears_who_has_shown_a_certificate() {
    let secure = secure(|config, authority, folder| {
        let ca = authority.writes_root(folder.path(), "clients.pem");
        config.server.tls.clients = ClientsConfig { ca, required: false };
        config.routes[0].request_headers = serde_json::from_value(serde_json::json!({"set": {
            "X-Subject": "{client_certificate_subject}",
            "X-Print": "sha256:{client_certificate_fingerprint}",
            "X-Serial": "{client_certificate_serial}",
        }}))
        .unwrap();
    });
    let own = secure.authority.client("me.example");
    let print = ring::digest::digest(&ring::digest::SHA256, &own.0);
    let print: String = print.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    let forged = "GET / HTTP/1.1\r\nHost: a.example\r\nX-Subject: CN=root\r\nx-print: 1\r\nX-Own: CN=root\r\n\r\n";
    for wishes in [Wishes { own: Some(own), ..Wishes::default() }, Wishes::default()] {
        let is_known = wishes.own.is_some();
        let mut client = secure.authority.connect(secure.at, "a.example", wishes).unwrap();
        assert!(client.ask(forged).unwrap().starts_with("HTTP/1.1 200"));
        let seen = secure.site.saw().to_lowercase();
        assert!(!seen.contains("x-subject: cn=root") && !seen.contains("x-print: 1\r\n"), "{seen}");
        assert!(seen.contains("x-own: cn=root\r\n"), "what the configuration does not name passes");
        assert_eq!(seen.contains("x-subject: cn=") && seen.contains("x-serial: "), is_known, "{seen}");
        assert_eq!(seen.contains(&format!("x-print: sha256:{print}\r\n")), is_known, "{seen}");
        assert_eq!(seen.contains("x-print: "), is_known, "no header without a certificate: {seen}");
    }
}

#[test]
fn plain_requests_are_sent_to_tls_but_for_health() {
    let secure = secure(|config, _, _| {
        config.server.tls.redirect = true;
        config.server.trusted_proxies = vec!["127.0.0.1".parse().unwrap()];
    });
    let at = secure.at.port();
    let moved = secure.world.get("/a?b", "X-Forwarded-For: 1.1.1.1\r\n");
    let to = format!("https://site.example:{at}/a?b");
    assert_eq!((moved.status, moved.header("location")), (308, Some(to.as_str())));
    let moved = secure.world.ask(&event(""));
    assert_eq!((moved.status, moved.header("location")), (308, Some(&*format!("https://site.example:{at}{STREAM}"))));
    assert_eq!(secure.world.get("/healthz", "").status, 200);
    let told = "X-Forwarded-For: 1.1.1.1\r\nX-Forwarded-Proto: https\r\n";
    assert_eq!(secure.world.get("/", told).status, 200, "a trusted proxy has spoken TLS");
    assert_eq!(secure.world.ask(&event(told)).status, 200);
    assert!(secure.get("a.example", Wishes::default()).unwrap().starts_with("HTTP/1.1 200"));
}

#[test]
fn new_certificates_are_for_new_connections() {
    let secure = secure(|_, _, _| {});
    let mut old = secure.authority.connect(secure.at, "a.example", Wishes::default()).unwrap();
    assert!(secure.get("new.example", Wishes::default()).is_err());

    std::fs::write(secure.folder.path().join("a.pem"), "half a file").unwrap();
    let problems = secure.world.replacer.renew_certificates().unwrap_err();
    assert!(problems.iter().any(|problem| problem.path == "server.tls.certificates[0].cert"), "{problems:?}");
    assert!(secure.get("a.example", Wishes::default()).is_ok(), "the old one stays");

    secure.authority.writes(secure.folder.path(), "a", &["new.example"]);
    secure.world.replacer.renew_certificates().unwrap();
    assert!(secure.get("new.example", Wishes::default()).is_ok());
    assert!(secure.get("a.example", Wishes::default()).is_err());
    assert!(old.get("a.example", "/").unwrap().starts_with("HTTP/1.1 200"), "nobody was cut off");
}

#[test]
fn whoever_does_not_shake_hands_is_nobody_elses_problem() {
    let secure = secure(|_, _, _| {});
    let mut plain = crate::client::Client::connect(secure.at);
    plain.send("GET / HTTP/1.1\r\nHost: a.example\r\n\r\n");
    let mut rest = Vec::new();
    let _ = plain.0.read_to_end(&mut rest);
    assert!(!rest.starts_with(b"HTTP"), "{}", rest.escape_ascii());
    let _silent = crate::client::Client::connect(secure.at);
    assert!(secure.get("a.example", Wishes::default()).is_ok());
}

/// The status and headers of answers over HTTP/2: to the site's page, then to an event.
async fn over_h2(
    io: impl hyper::rt::Read + hyper::rt::Write + Unpin + Send + 'static,
    scheme: &str,
) -> Vec<http::Response<()>> {
    let (mut sender, connection) = hyper::client::conn::http2::handshake(TokioExecutor::new(), io).await.unwrap();
    tokio::spawn(connection);
    let mut answers = Vec::new();
    for (method, path, body) in [("GET", "/page", ""), ("POST", STREAM, EVENT)] {
        let request = http::Request::builder().method(method).uri(format!("{scheme}://a.example{path}"));
        let answer = sender.send_request(request.body(Full::<bytes::Bytes>::from(body)).unwrap()).await.unwrap();
        let (head, body) = answer.into_parts();
        body.collect().await.unwrap();
        answers.push(http::Response::from_parts(head, ()));
    }
    answers
}

#[test]
fn http2_is_spoken_by_agreement() {
    let secure = secure(|_, _, _| {});
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let answers = runtime.block_on(async {
        let wishes = Wishes { alpn: vec![b"h2".to_vec(), b"http/1.1".to_vec()], ..Wishes::default() };
        let connector = tokio_rustls::TlsConnector::from(secure.authority.config(wishes));
        let socket = tokio::net::TcpStream::connect(secure.at).await.unwrap();
        let stream = connector.connect(ServerName::try_from("a.example").unwrap(), socket).await.unwrap();
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
        over_h2(TokioIo::new(stream), "https").await
    });
    assert!(answers.iter().all(|answer| answer.status() == 200 && answer.version() == http::Version::HTTP_2));
    assert!(answers[1].headers()["set-cookie"].to_str().unwrap().contains("; Secure"));
    assert!(secure.site.saw().to_lowercase().contains("x-forwarded-proto: https\r\n"));
}

#[test]
fn http2_without_tls_is_spoken_where_that_is_said() {
    let site = Site::start();
    let routes = || vec![RouteConfig { upstreams: vec![site.url.parse().unwrap()], ..RouteConfig::default() }];
    let world = World::with(routes(), |config| config.server.h2c = true);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let answers = runtime.block_on(async {
        let socket = tokio::net::TcpStream::connect(world.public).await.unwrap();
        over_h2(TokioIo::new(socket), "http").await
    });
    assert!(answers.iter().all(|answer| answer.status() == 200));
    assert!(!answers[1].headers()["set-cookie"].to_str().unwrap().contains("; Secure"));
    // HTTP/1 goes on beside it, a request shorter than the preface too.
    assert_eq!(world.get("/", "").status, 200);
    let mut short = world.connect();
    short.send("GET / HTTP/1.0\r\n\r\n");
    assert!(short.head().starts_with("HTTP/1.1 200"));
    // And where it is not said, the preface is no request.
    let world = World::with(routes(), |_| {});
    let mut client = world.connect();
    client.send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    assert!(!client.try_head().is_ok_and(|head| head.starts_with("HTTP/1.1 2")));
}

#[test]
fn http2_from_a_balancer_stays_longer_than_from_anybody() {
    let site = Site::start();
    for (trusted, stays) in [(vec![], false), (vec!["127.0.0.0/8".parse().unwrap()], true)] {
        let routes = vec![RouteConfig { upstreams: vec![site.url.parse().unwrap()], ..RouteConfig::default() }];
        let world = World::with(routes, |config| {
            config.server.h2c = true;
            config.server.timeouts.idle = real_streaming::units::Span::secs(1);
            config.server.trusted_proxies = trusted;
        });
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let second = runtime.block_on(async {
            let io = TokioIo::new(tokio::net::TcpStream::connect(world.public).await.unwrap());
            let handshake = hyper::client::conn::http2::handshake(TokioExecutor::new(), io).await;
            let (mut sender, connection) = handshake.unwrap();
            tokio::spawn(connection);
            let mut ask = || {
                let request = http::Request::get("http://a.example/page").body(Full::<bytes::Bytes>::default());
                sender.send_request(request.unwrap())
            };
            assert_eq!(ask().await.unwrap().status(), 200);
            tokio::time::sleep(Duration::from_millis(2500)).await;
            ask().await.is_ok()
        });
        assert_eq!(second, stays);
    }
}

#[test]
fn routes_and_servers_are_replaced_under_requests_that_notice_nothing() {
    let site = Site::start();
    let route = |path: &str| -> RouteConfig {
        serde_json::from_value(serde_json::json!({ "path": path, "upstreams": [site.url] })).unwrap()
    };
    let world = World::with(vec![route("/")], |_| {});
    let stop = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let asking = {
        let (stop, public) = (stop.clone(), world.public);
        std::thread::spawn(move || {
            let mut client = crate::client::Client::connect(public);
            let mut asked = 0;
            while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                client.send("GET / HTTP/1.1\r\nHost: site.example\r\n\r\n");
                assert_eq!(client.answer(false).status, 200);
                client.send(event(""));
                assert_eq!(client.answer(false).status, 200);
                asked += 1;
            }
            asked
        })
    };
    for round in 0..20u16 {
        let mut routes = vec![route("/")];
        let fixed = serde_json::json!({ "path": "/new", "respond": { "status": (200 + round).to_string() } });
        routes.push(serde_json::from_value(fixed).unwrap());
        let collect = real_streaming::collect::Config::default();
        let config = Config::new(&Default::default(), &Default::default(), &routes, &collect);
        let (pipeline, ..) = storeys(&world.metrics);
        world.replacer.replace(config, pipeline).unwrap();
        assert_eq!(world.get("/new", "").status, 200 + round);
        std::thread::sleep(Duration::from_millis(10));
    }
    stop.store(true, std::sync::atomic::Ordering::Relaxed);
    assert!(asking.join().unwrap() > 10);
}

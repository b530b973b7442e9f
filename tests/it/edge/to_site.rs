//! What the site is not told, or told otherwise: our cookies, names that servers mistake for others, what strangers say
//! in proxies' stead, and targets with a host.

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};
use real_streaming::edge::RouteConfig;
use serde_json::{Value, json};

use super::World;
use crate::site::Site;

/// One route to a site, with these keys beside.
fn routed(more: Value) -> (World, Site) {
    routed_with(more, |_| {})
}

fn routed_with(more: Value, change: impl FnOnce(&mut real_streaming::edge::Config)) -> (World, Site) {
    let site = Site::start();
    let mut route = json!({ "upstreams": [site.url] });
    route.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let routes: Vec<RouteConfig> = serde_json::from_value(json!([route])).unwrap();
    let world = World::with(routes, |config| {
        config.server.h2c = true;
        change(config);
    });
    (world, site)
}

/// A request over HTTP/2; its answer.
pub fn h2(world: &World, method: &str, path: &str, headers: &[(&str, &str)]) -> http::Response<Bytes> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let socket = tokio::net::TcpStream::connect(world.public).await.unwrap();
        let handshake = hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(socket)).await;
        let (mut sender, connection) = handshake.unwrap();
        tokio::spawn(connection);
        let mut request = http::Request::builder().method(method).uri(format!("http://site.example{path}"));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let answer = sender.send_request(request.body(Full::<Bytes>::default()).unwrap()).await.unwrap();
        let (head, body) = answer.into_parts();
        http::Response::from_parts(head, body.collect().await.unwrap().to_bytes())
    })
}

/// The values of a header that the site saw, in order.
fn values(seen: &str, name: &str) -> Vec<String> {
    let lines = seen.lines().skip(1).filter_map(|line| line.split_once(": "));
    lines.filter(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.to_owned()).collect()
}

const OURS: &str = "a=\"x y\"; __uid__=1.2;b=%3B; srv=0123456789abcdef; _ga=GA1.1.3.4;  SRV=z";

#[test]
fn our_cookies_stay_here() {
    let (world, site) = routed(json!({ "balance": { "cookie": "srv" } }));
    for (sent, left) in [
        (format!("Cookie: {OURS}\r\n"), vec!["a=\"x y\";b=%3B; _ga=GA1.1.3.4;  SRV=z"]),
        ("Cookie: a=b;c=d ; e\r\n".into(), vec!["a=b;c=d ; e"]),
        ("Cookie: __uid__=1.2; srv=0\r\n".into(), vec![]),
        ("Cookie: __uid__=1.2\r\ncookie: a=b\r\nCookie: srv=2\r\n".into(), vec!["a=b"]),
        (String::new(), vec![]),
    ] {
        assert_eq!(world.get("/page", &sent).status, 200);
        assert_eq!(values(&site.saw(), "cookie"), left, "{sent:?}");
    }
    let lines: Vec<_> = OURS.split("; ").map(|cookie| ("cookie", cookie.trim())).collect();
    assert_eq!(h2(&world, "GET", "/page", &lines).status(), 200);
    assert_eq!(values(&site.saw(), "cookie"), ["a=\"x y\";b=%3B; _ga=GA1.1.3.4; SRV=z"]);
    assert_eq!(h2(&world, "GET", "/page", &[("cookie", "__uid__=1.2")]).status(), 200);
    assert!(values(&site.saw(), "cookie").is_empty());

    let mut client = world.connect();
    client.send(format!(
        "GET /socket HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nCookie: {OURS}\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    ));
    assert!(client.head().starts_with("HTTP/1.1 101 "));
    assert_eq!(values(&site.saw(), "cookie"), ["a=\"x y\";b=%3B; _ga=GA1.1.3.4;  SRV=z"]);
}

#[test]
fn a_route_may_leave_our_cookies_in() {
    let (world, site) = routed(json!({ "balance": { "cookie": "srv" }, "our_cookies": true }));
    assert_eq!(world.get("/page", &format!("Cookie: {OURS}\r\n")).status, 200);
    assert_eq!(values(&site.saw(), "cookie"), [OURS]);
}

#[test]
fn the_sites_own_cookies_reach_the_visitor_as_they_are() {
    let (world, _site) = routed(json!({}));
    let answer = world.get("/html?text/html&Set-Cookie:+__uid__=9;+Path=/x&Set-Cookie:+a=b", "Cookie: a=1\r\n");
    let set: Vec<_> = answer.head.lines().filter(|line| line.to_ascii_lowercase().starts_with("set-cookie")).collect();
    assert_eq!(set, ["Set-Cookie: __uid__=9; Path=/x", "Set-Cookie: a=b"]);
}

/// The names of a head's headers, in lower case.
fn names(seen: &str) -> Vec<String> {
    let lines = seen.lines().skip(1).filter_map(|line| line.split_once(": "));
    lines.map(|(name, _)| name.to_ascii_lowercase()).collect()
}

const TWINS: [&str; 9] = [
    "x_forwarded_for",
    "x_real_ip",
    "content_length",
    "transfer_encoding",
    "x_subject",
    "x-forwarded_proto",
    "x_tag",
    "x_own",
    "proxy",
];

#[test]
fn names_that_servers_take_for_others_stay_here() {
    let twins: Vec<_> = TWINS.iter().map(|name| (*name, "6.6.6.6")).collect();
    let lines: String = twins.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let changes = json!({"request_headers": {"set": {"X-Subject": "us", "Under_Score": "us"}, "add": {"X-Tag": "us"}}});
    for (keeps, left) in [(false, &[][..]), (true, &["x_own"])] {
        let (world, site) = routed_with(changes.clone(), |config| config.server.underscores_in_headers = keeps);
        for two in [false, true] {
            if two {
                assert_eq!(h2(&world, "GET", "/page", &twins).status(), 200);
            } else {
                assert_eq!(world.get("/page", &format!("{lines}Under-Score: them\r\n")).status, 200);
            }
            let seen = site.saw();
            let names = names(&seen);
            let passed: Vec<_> = TWINS.iter().filter(|twin| names.iter().any(|name| name == *twin)).collect();
            assert_eq!(passed, left.iter().collect::<Vec<_>>(), "{seen}");
            assert_eq!((values(&seen, "x-subject"), values(&seen, "x-tag")), (vec!["us".into()], vec!["us".into()]));
            assert_eq!((values(&seen, "under_score"), values(&seen, "under-score")), (vec!["us".into()], vec![]));
        }
    }
    // Bodies are framed as we say, whatever they say.
    let (world, site) = routed(json!({}));
    let body = "POST /page HTTP/1.1\r\nHost: a\r\nContent_Length: 9\r\nTransfer_Encoding: chunked\r\nContent-Length: 2\r\n\r\nab";
    assert_eq!(world.ask(body).text(), "ab");
    assert!(!site.saw().contains('_'));
}

#[test]
fn strangers_do_not_speak_for_proxies() {
    let claims = [
        ("x-forwarded-port", "99"),
        ("x-forwarded-server", "evil"),
        ("x-forwarded", "for=6.6.6.6"),
        ("x-forwarded-prefix", "/evil"),
        ("x-forwarded-ssl", "on"),
        ("true-client-ip", "6.6.6.6"),
        ("x-client-ip", "6.6.6.6"),
        ("cf-connecting-ip", "6.6.6.6"),
        ("x-original-url", "/admin"),
        ("x-rewrite-url", "/admin"),
        ("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
        ("tracestate", "a=b"),
        ("x-cloud-trace-context", "0af7651916cd43dd8448eb211c80319c/1;o=1"),
    ];
    let lines: String = claims.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let passed = |seen: &str| claims.iter().filter(|(name, value)| values(seen, name) == [*value]).count();
    let (world, site) = routed(json!({}));
    assert_eq!(world.get("/page", &lines).status, 200);
    let seen = site.saw();
    assert!(claims.iter().all(|(name, _)| values(&seen, name).is_empty()), "{seen}");
    assert_eq!(h2(&world, "GET", "/page", &claims).status(), 200);
    assert_eq!(passed(&site.saw()), 0);

    let (world, site) = routed_with(json!({}), |config| config.server.client_traces = true);
    assert_eq!(world.get("/page", &lines).status, 200);
    assert_eq!(passed(&site.saw()), 3, "only traces");

    let trusted = vec!["127.0.0.0/8".parse().unwrap()];
    let (world, site) = routed_with(json!({}), |config| config.server.trusted_proxies = trusted);
    assert_eq!(world.get("/page", &lines).status, 200);
    assert_eq!(passed(&site.saw()), claims.len(), "a trusted proxy's word passes");
}

#[test]
fn via_and_forwarded_are_said_where_that_is_asked_for() {
    let (world, site) = routed(json!({}));
    assert_eq!(world.get("/page", "Via: 1.0 fred\r\nForwarded: for=6.6.6.6\r\n").status, 200);
    let seen = site.saw();
    assert_eq!((values(&seen, "via"), values(&seen, "forwarded")), (vec!["1.0 fred".into()], vec![]));

    let said = |config: &mut real_streaming::edge::Config| {
        config.server.via = "edge-1".into();
        config.server.forwarded = true;
    };
    let (world, site) = routed_with(json!({}), said);
    let ours = "for=127.0.0.1;host=\"site.example\";proto=http";
    assert_eq!(world.get("/page", "Via: 1.0 fred\r\nVia: 2 joe\r\nForwarded: for=6.6.6.6\r\n").status, 200);
    let seen = site.saw();
    assert_eq!(
        (values(&seen, "via"), values(&seen, "forwarded")),
        (vec!["1.0 fred, 2 joe, 1.1 edge-1".into()], vec![ours.into()])
    );
    assert_eq!(h2(&world, "GET", "/page", &[]).status(), 200);
    assert_eq!(values(&site.saw(), "via"), ["2 edge-1"]);
    assert_eq!(world.get("/page", "Via: 1.1 fred, 1.1 EDGE-1\r\n").status, 508);

    let (world, site) = routed_with(json!({}), |config| {
        said(config);
        config.server.trusted_proxies = vec!["127.0.0.0/8".parse().unwrap()];
    });
    assert_eq!(world.get("/page", "X-Forwarded-For: 1.1.1.1\r\nX-Forwarded-Proto: https\r\n").status, 200);
    let begun = "for=1.1.1.1;host=\"site.example\";proto=https, for=127.0.0.1";
    assert_eq!(values(&site.saw(), "forwarded"), [begun]);
    assert_eq!(world.get("/page", "Forwarded: for=1.1.1.1\r\n").status, 200);
    assert_eq!(values(&site.saw(), "forwarded"), ["for=1.1.1.1, for=127.0.0.1"]);
}

#[test]
fn the_site_is_asked_for_paths_and_always_told_a_host() {
    let (world, site) = routed(json!({}));
    let own = site.url.trim_start_matches("http://");
    for (request, line, host) in [
        ("GET http://a/page HTTP/1.1\r\nHost: a\r\n", "GET /page HTTP/1.1", "a"),
        ("GET https://a/page HTTP/1.1\r\nHost: a\r\n", "GET /page HTTP/1.1", "a"),
        ("GET http://a:80/page HTTP/1.1\r\nHost: a\r\n", "GET /page HTTP/1.1", "a"),
        ("GET http://A/page HTTP/1.1\r\nHost: a:80\r\n", "GET /page HTTP/1.1", "a:80"),
        ("GET http://a HTTP/1.1\r\nHost: a\r\n", "GET / HTTP/1.1", "a"),
        ("GET http://a:81?q HTTP/1.1\r\nHost: a:81\r\n", "GET /?q HTTP/1.1", "a:81"),
        ("GET http://b/page HTTP/1.0\r\n", "GET /page HTTP/1.1", "b"),
        ("GET /page HTTP/1.0\r\n", "GET /page HTTP/1.1", own),
        ("POST http://a/page HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n", "POST /page HTTP/1.1", "a"),
    ] {
        assert_eq!(world.ask(&format!("{request}\r\n")).status, 200, "{request}");
        let seen = site.saw();
        assert_eq!((seen.lines().next(), values(&seen, "host")), (Some(line), vec![host.to_owned()]), "{request}");
    }
    // What follows it is the next request, and its body its own.
    let mut client = world.connect();
    let post = "POST http://a/up HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc";
    client.send([post, post, "GET /page HTTP/1.1\r\nHost: a\r\n\r\n"].concat());
    let bodies: Vec<_> = (0..3).map(|_| client.answer(false).body).collect();
    assert_eq!(bodies, [b"abc".to_vec(), b"abc".to_vec(), Vec::new()]);
    let chunked = "POST http://a/up HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n";
    assert_eq!(world.ask(chunked).text(), "abc");
    for faulty in [
        "GET http://b/page HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET http://a:81/page HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET https://a:80/page HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET http://a/page HTTP/1.1\r\n\r\n",
    ] {
        assert_eq!(world.ask(faulty).status, 400, "{faulty}");
    }
}

#[test]
fn every_refusal_has_a_page_with_the_requests_name() {
    let (world, _site) = routed(json!({}));
    let many = "X: 1\r\n".repeat(257);
    for (request, status) in [
        ("GET http://u:p@a/ HTTP/1.1\r\nHost: a\r\n", 400),
        ("GET http://a:81/ HTTP/1.1\r\nHost: a\r\n", 400),
        ("GET /a|b<c HTTP/1.1\r\nHost: a\r\n", 400),
        ("GET /a b HTTP/1.1\r\nHost: a\r\n", 400),
        ("GET / HTTP/3\r\nHost: a\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a\r\nX\0: 1\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n", 400),
        ("CONNECT a:443 HTTP/1.1\r\nHost: a\r\n", 405),
        (&format!("GET / HTTP/1.1\r\nHost: a\r\nAccept: text/html\r\n{many}"), 431),
    ] {
        let mut client = world.connect();
        client.send(format!("{request}Accept: text/html\r\n\r\n"));
        let answer = client.answer(false);
        assert_eq!(
            (answer.status, answer.header("server"), answer.header("connection")),
            (status, None, Some("close"))
        );
        assert!(answer.text().contains(&format!("<small>{status}, request ")), "{request}: {}", answer.text());
        assert!(client.is_closed(), "{request}");
    }
    // Of what servers understand, nothing is refused for looking odd.
    assert_eq!(world.get("/a|b^c{d}?e=`f|", "").status, 200);
    let mut client = world.connect();
    client.send("HEAD / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n");
    assert_eq!(client.answer(true).status, 400);
    assert!(client.is_closed(), "no body comes to HEAD");
}

#[test]
fn nothing_is_traced_back() {
    let (world, _site) = routed(json!({}));
    let answer = world.ask("TRACE /page HTTP/1.1\r\nHost: a\r\nCookie: a=b\r\n\r\n");
    assert_eq!((answer.status, answer.header("allow").is_some()), (405, true));
    assert!(!answer.text().contains("a=b"));
    assert_eq!(h2(&world, "TRACE", "/page", &[]).status(), 405);
}

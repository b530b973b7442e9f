//! Servers of every kind behind a route: over TLS with authorities and certificates of their own, HTTP/2, sockets.

use std::{path::Path, sync::Arc, thread};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{Request, Response, body::Incoming, service::service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::{
    RootCertStore, ServerConfig,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    server::WebPkiClientVerifier,
};
use serde_json::json;
use tempfile::TempDir;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream, UnixListener},
    runtime::{Builder, Runtime},
};
use tokio_rustls::TlsAcceptor;

use super::World;
use crate::{authority::Authority, world::until};

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

/// Answers with what it saw: version, host, and what came of the body; and with trailers where there can be some.
async fn tells(
    request: Request<Incoming>,
) -> Result<Response<impl hyper::body::Body<Data = Bytes, Error = hyper::Error>>, hyper::Error> {
    let (head, body) = request.into_parts();
    if head.uri.path() == "/stalls" {
        std::future::pending::<()>().await;
    }
    let status = if head.uri.path() == "/oops" { 500 } else { 200 };
    let host = head.uri.authority().map(ToString::to_string);
    let host = host.or_else(|| Some(head.headers.get("host")?.to_str().ok()?.to_owned()));
    let te = head.headers.get("te").map_or("-", |te| te.to_str().unwrap_or("?")).to_owned();
    let body = body.collect().await?;
    let sent = body.trailers().and_then(|trailers| trailers.get("x-sent").cloned());
    let text = format!("{:?} {} te:{te} {}", head.version, host.unwrap_or_default(), body.to_bytes().len());
    let trailers = async move {
        let mut trailers = http::HeaderMap::new();
        trailers.insert("grpc-status", "0".parse().expect("a value"));
        trailers.extend(sent.map(|sent| (http::HeaderName::from_static("x-saw"), sent)));
        Some(Ok(trailers))
    };
    let body = Full::new(Bytes::from(text)).map_err(|never| match never {}).with_trailers(trailers);
    Ok(Response::builder().status(status).header("content-type", "application/grpc").body(body).unwrap())
}

async fn serve(io: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, h2: bool) {
    let io = TokioIo::new(io);
    // Whoever leaves ends it with an error.
    let _ = if h2 {
        hyper::server::conn::http2::Builder::new(TokioExecutor::new()).serve_connection(io, service_fn(tells)).await
    } else {
        hyper::server::conn::http1::Builder::new().serve_connection(io, service_fn(tells)).await
    };
}

/// A server on a port of its own; its address.
fn server(tls: Option<ServerConfig>, h2: bool) -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let at = listener.local_addr().unwrap();
    listener.set_nonblocking(true).unwrap();
    thread::spawn(move || {
        runtime().block_on(async {
            let listener = TcpListener::from_std(listener).unwrap();
            let tls = tls.map(|config| TlsAcceptor::from(Arc::new(config)));
            while let Ok((socket, _)) = listener.accept().await {
                let tls = tls.clone();
                tokio::spawn(async move {
                    match tls {
                        None => serve(socket, h2).await,
                        Some(tls) => {
                            let Ok(stream) = tls.accept(socket).await else { return };
                            let h2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
                            serve(stream, h2).await;
                        }
                    }
                });
            }
        });
    });
    at.to_string()
}

/// Settings of a server with a certificate of this authority; it takes clients of `clients` alone, if that is said.
pub fn settings(authority: &Authority, name: &str, clients: Option<&Path>, alpn: &[&str]) -> ServerConfig {
    let (certificate, key) = authority.signs(&[name]);
    let chain = vec![CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap()];
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
    let provider = Arc::new(ring::default_provider());
    let builder = ServerConfig::builder_with_provider(provider.clone()).with_safe_default_protocol_versions().unwrap();
    let builder = match clients {
        None => builder.with_no_client_auth(),
        Some(path) => {
            let mut roots = RootCertStore::empty();
            roots.add(CertificateDer::from_pem_file(path).unwrap()).unwrap();
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build().unwrap();
            builder.with_client_cert_verifier(verifier)
        }
    };
    let mut config = builder.with_single_cert(chain, key).unwrap();
    config.alpn_protocols = alpn.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
    config
}

fn folder() -> (TempDir, Authority) {
    (tempfile::tempdir().unwrap(), Authority::new())
}

#[test]
fn a_server_is_believed_by_its_own_authority_or_where_that_is_spelt_out() {
    let (folder, authority) = folder();
    let ca = authority.writes_root(folder.path(), "ca.pem");
    let other = Authority::new().writes_root(folder.path(), "other.pem");
    let at = server(Some(settings(&authority, "site.internal", None, &[])), false);
    let url = format!("https://{at}");
    let port = at.rsplit(':').next().unwrap();
    let world = World::routing(json!([
        {"path": "/named", "upstreams": [{"url": url, "tls": {"ca": ca, "name": "site.internal"}}]},
        {"path": "/unnamed", "upstreams": [{"url": url, "tls": {"ca": ca}}]},
        {"path": "/other", "upstreams": [{"url": url, "tls": {"ca": other, "name": "site.internal"}}]},
        {"path": "/system", "upstreams": [{"url": url, "tls": {"name": "site.internal"}}]},
        {"path": "/insecure", "upstreams": [{"url": url, "tls": {"insecure": true}}]},
    ]));
    // The connections that are kept for one are never lent to another.
    for _ in 0..2 {
        assert_eq!(world.get("/named", "").text(), format!("HTTP/1.1 site.internal:{port} te:- 0"));
        assert_eq!(world.get("/insecure", "").text(), format!("HTTP/1.1 {at} te:- 0"));
        for path in ["/unnamed", "/other", "/system"] {
            assert_eq!(world.get(path, "").status, 502, "{path}");
        }
    }
}

#[test]
fn a_server_that_asks_for_a_certificate_is_shown_ours() {
    let (folder, authority) = folder();
    let ca = authority.writes_root(folder.path(), "ca.pem");
    let (cert, key) = authority.writes(folder.path(), "us", &["edge.internal"]);
    let (strange_cert, strange_key) = Authority::new().writes(folder.path(), "stranger", &["edge.internal"]);
    let url = format!("https://{}", server(Some(settings(&authority, "127.0.0.1", Some(&ca), &[])), false));
    let world = World::routing(json!([
        {"path": "/known", "upstreams": [{"url": url, "tls": {"ca": ca, "cert": cert, "key": key}}]},
        {"path": "/nobody", "upstreams": [{"url": url, "tls": {"ca": ca}}]},
        {"path": "/stranger",
         "upstreams": [{"url": url, "tls": {"ca": ca, "cert": strange_cert, "key": strange_key}}]},
    ]));
    for _ in 0..2 {
        assert_eq!(world.get("/known", "").status, 200);
        assert_eq!(world.get("/nobody", "").status, 502);
        assert_eq!(world.get("/stranger", "").status, 502);
    }
}

#[test]
fn http2_is_agreed_upon_over_tls_and_known_beforehand_without() {
    let (folder, authority) = folder();
    let ca = authority.writes_root(folder.path(), "ca.pem");
    let both = server(Some(settings(&authority, "127.0.0.1", None, &["h2", "http/1.1"])), false);
    let old = server(Some(settings(&authority, "127.0.0.1", None, &["http/1.1"])), false);
    let plain = server(None, true);
    let h2 = |at: &str| json!([{"url": format!("https://{at}"), "protocol": "h2", "tls": {"ca": ca}}]);
    let health = json!({"path": "/", "every": "100ms", "timeout": "1s"});
    let world = World::routing(json!([
        {"path": "/both", "upstreams": h2(&both), "health": health},
        {"path": "/old", "upstreams": h2(&old)},
        {"path": "/plain", "upstreams": [{"url": format!("http://{plain}"), "protocol": "h2"}], "health": health},
        {"path": "/h1", "upstreams": [{"url": format!("https://{both}"), "tls": {"ca": ca}}]},
    ]));
    for _ in 0..3 {
        assert_eq!(world.get("/both", "").text(), format!("HTTP/2.0 {both} te:- 0"));
        assert_eq!(world.get("/old", "").text(), format!("HTTP/1.1 {old} te:- 0"));
        assert_eq!(world.get("/plain", "").text(), "HTTP/2.0 site.example te:- 0");
        assert_eq!(world.get("/h1", "").text(), format!("HTTP/1.1 {both} te:- 0"));
        let post = "POST /plain HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n";
        assert_eq!(world.ask(post).text(), "HTTP/2.0 a.example te:- 3");
        // Time for checks that find both well.
        thread::sleep(std::time::Duration::from_millis(150));
    }
}

#[test]
fn grpc_passes_with_its_trailers() {
    let plain = server(None, true);
    let routes = json!([{"upstreams": [{"url": format!("http://{plain}"), "protocol": "h2"}]}]);
    let world = World::with(serde_json::from_value(routes).unwrap(), |config| config.server.h2c = true);
    runtime().block_on(async {
        let socket = TcpStream::connect(world.public).await.unwrap();
        let io = TokioIo::new(socket);
        let (mut sender, connection) = hyper::client::conn::http2::handshake(TokioExecutor::new(), io).await.unwrap();
        tokio::spawn(connection);
        for _ in 0..2 {
            let body = Full::<Bytes>::from("\0\0\0\0\x01a");
            let request = Request::post("http://a.example/echo.Echo/Say").header("te", "trailers");
            let request = request.header("content-type", "application/grpc").body(body).unwrap();
            let answer = sender.send_request(request).await.unwrap();
            assert_eq!((answer.status(), answer.version()), (http::StatusCode::OK, http::Version::HTTP_2));
            let body = answer.into_body().collect().await.unwrap();
            assert_eq!(body.trailers().unwrap()["grpc-status"], "0");
            assert_eq!(body.to_bytes(), "HTTP/2.0 a.example te:trailers 6");
        }
    });
}

#[test]
fn a_socket_is_a_server_like_any_other() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("site.sock");
    let nobody = folder.path().join("nobody.sock");
    let bound = path.clone();
    let start = move || {
        thread::spawn(move || {
            runtime().block_on(async {
                let listener = UnixListener::bind(bound).unwrap();
                while let Ok((socket, _)) = listener.accept().await {
                    tokio::spawn(serve(socket, false));
                }
            });
        })
    };
    start();
    let url = |path: &Path| format!("unix:{}", path.display());
    let world = World::routing(json!([
        {"path": "/", "upstreams": [url(&path)]},
        {"path": "/second", "upstreams": [url(&nobody), url(&path)]},
        {"path": "/nobody", "upstreams": [url(&nobody)]},
    ]));
    until("it listens", || (world.get("/", "").status == 200).then_some(()));
    let mut client = world.connect();
    for _ in 0..3 {
        client.send("GET / HTTP/1.1\r\nHost: site.example\r\n\r\n");
        assert_eq!(client.answer(false).text(), "HTTP/1.1 site.example te:- 0");
    }
    assert_eq!(world.get("/second", "").status, 200);
    assert_eq!(world.get("/nobody", "").status, 502);

    let bounded = World::routing(json!([{"upstreams": [url(&path)], "timeouts": {"first_byte": "1s"}}]));
    assert_eq!(bounded.get("/stalls", "").status, 504);
    assert_eq!(bounded.get("/", "").status, 200);
    let unreachable = World::routing(json!([{"upstreams": [url(&nobody)], "timeouts": {"total": "5s"}}]));
    assert_eq!(unreachable.get("/", "").status, 502);
}

#[test]
fn new_files_about_upstreams_are_taken_while_it_runs() {
    let (folder, authority) = folder();
    let ca = Authority::new().writes_root(folder.path(), "ca.pem");
    let at = server(Some(settings(&authority, "site.internal", None, &[])), false);
    let upstreams = json!([{"url": format!("https://{at}"), "tls": {"name": "site.internal", "ca": ca}}]);
    let world = World::routing(json!([{"upstreams": upstreams}]));
    assert_eq!(world.get("/", "").status, 502, "a stranger's");
    authority.writes_root(folder.path(), "ca.pem");
    world.replacer.renew_certificates().unwrap();
    assert_eq!(world.get("/", "").status, 200);
    std::fs::write(&ca, "half").unwrap();
    let problems = world.replacer.renew_certificates().unwrap_err();
    assert_eq!(problems[0].path, "routes[0].upstreams[0].tls.ca");
    assert_eq!(world.get("/", "").status, 200, "the old one stays");
}

#[test]
fn a_request_over_http_2_is_late_alone() {
    let at = server(None, true);
    let upstreams = json!([{"url": format!("http://{at}"), "protocol": "h2"}]);
    let world = World::routing(json!([{"upstreams": upstreams, "timeouts": {"first_byte": "1s"}}]));
    thread::scope(|scope| {
        let late = scope.spawn(|| world.get("/stalls", "").status);
        for _ in 0..20 {
            assert_eq!(world.get("/", "").status, 200, "beside the one that is late");
            thread::sleep(std::time::Duration::from_millis(30));
        }
        assert_eq!(late.join().unwrap(), 504);
    });
    assert_eq!(world.get("/", "").status, 200);
}

#[test]
fn a_client_that_stops_sending_is_no_failure_over_http_2_either() {
    let at = server(None, true);
    let upstreams = json!([{"url": format!("http://{at}"), "protocol": "h2"}]);
    let ejection = json!({"failures": 1, "rest": "60s"});
    let world = World::routing(json!([{"upstreams": upstreams, "timeouts": {"idle": "1s"}, "ejection": ejection}]));
    for length in [10, 10_000_000] {
        let mut client = world.connect();
        client.send(format!("POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: {length}\r\n\r\nabc"));
        assert_eq!(client.answer(false).status, 408);
    }
    let ejections = format!(r#"real_streaming_upstream_ejections_total{{upstream="http://{at}"}} 0"#);
    assert!(world.metrics.encode().contains(&ejections), "{}", world.metrics.encode());
    // A request that is whole, and that nobody answers, is one.
    assert_eq!(world.get("/stalls", "").status, 504);
    world.metric(&ejections.replace(" 0", " 1"));
}

/// Whether an answer over HTTP/2 has a body is not known before that comes.
#[test]
fn a_page_takes_the_place_of_an_error_over_http_2() {
    let page = tempfile::tempdir().unwrap();
    let file = page.path().join("500.txt");
    std::fs::write(&file, "our page").unwrap();
    let upstreams = json!([{"url": format!("http://{}", server(None, true)), "protocol": "h2"}]);
    let world =
        World::routing(json!([{"upstreams": upstreams, "error_pages": {"500": file}, "intercept_errors": true}]));
    for _ in 0..3 {
        let answer = world.get("/oops", "");
        assert_eq!((answer.status, answer.text()), (500, "our page"), "{}", answer.head);
        assert_eq!(answer.header("content-type"), Some("text/plain; charset=utf-8"), "{}", answer.head);
        assert_eq!(world.get("/", "").status, 200);
    }
}

#[test]
fn what_cannot_be_used_is_found_before_the_start() {
    let (folder, authority) = folder();
    let (cert, key) = authority.writes(folder.path(), "a", &["a.example"]);
    let (_, other) = authority.writes(folder.path(), "b", &["b.example"]);
    let absent = folder.path().join("absent.pem");
    for (upstream, path) in [
        (json!({"url": "http://a", "tls": {"insecure": true}}), "tls"),
        (json!({"url": "https://a", "tls": {"ca": absent}}), "tls.ca"),
        (json!({"url": "https://a", "tls": {"ca": key}}), "tls.ca"),
        (json!({"url": "https://a", "tls": {"ca": cert, "insecure": true}}), "tls.insecure"),
        (json!({"url": "https://a", "tls": {"cert": cert}}), "tls"),
        (json!({"url": "https://a", "tls": {"cert": cert, "key": other}}), "tls.key"),
        (json!({"url": "https://a", "tls": {"cert": cert, "key": absent}}), "tls.key"),
        (json!({"url": "https://a", "tls": {"name": "not a name"}}), "tls.name"),
    ] {
        let routes = serde_json::from_value(json!([{"upstreams": [upstream]}])).unwrap();
        let routes: Vec<real_streaming::edge::RouteConfig> = routes;
        let mut problems = Vec::new();
        real_streaming::edge::check_routes(&routes, "routes", &mut problems);
        let paths: Vec<_> = problems.iter().map(|problem| problem.path.as_str()).collect();
        assert_eq!(paths, [format!("routes[0].upstreams[0].{path}")], "{upstream} {problems:?}");
    }
    let good = json!([{"upstreams": [{"url": "https://a", "tls": {"cert": cert, "key": key}}, {"url": "unix:/a", "weight": 2}]}]);
    let routes: Vec<real_streaming::edge::RouteConfig> = serde_json::from_value(good.clone()).unwrap();
    let mut problems = Vec::new();
    real_streaming::edge::check_routes(&routes, "routes", &mut problems);
    assert!(problems.is_empty(), "{problems:?}");
    assert_eq!(serde_json::to_value(&routes).unwrap()[0]["upstreams"], good[0]["upstreams"]);
}

//! Clients that are still sending when they are answered, and clients that stop sending.

use std::{
    io::{Read, Write},
    thread,
    time::Duration,
};

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use hyper_util::rt::{TokioExecutor, TokioIo};
use real_streaming::edge::CertificateConfig;
use rustls::pki_types::ServerName;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::{World, listen};
use crate::{
    authority::{Authority, Tls, Wishes},
    client::{PATIENCE, headers},
    site::Site,
};

const PIECE: usize = 30_000;
/// More than systems keep on the way.
const PIECES: usize = 60;
const PAUSE: Duration = Duration::from_millis(5);

/// How a client speaks.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Way {
    Plain,
    Tls,
    H2c,
    H2,
}

/// An edge on a plain listener that takes HTTP/2, too, and on one with TLS.
struct Doors {
    world: World,
    authority: Authority,
    _folder: TempDir,
}

impl Doors {
    fn routing(routes: Value) -> Doors {
        let (authority, folder) = (Authority::new(), tempfile::tempdir().unwrap());
        let (cert, key) = authority.writes(folder.path(), "a", &["a.example"]);
        let world = World::with(serde_json::from_value(routes).unwrap(), |config| {
            config.server.h2c = true;
            // A machine that is busy takes its time to send what is bounded by its length anyway.
            config.tuning.linger = PATIENCE;
            config.server.tls.listen = vec![([127, 0, 0, 1], 0).into()];
            config.server.tls.certificates = vec![CertificateConfig { cert, key }];
        });
        Doors { world, authority, _folder: folder }
    }

    /// Sends all pieces, long after an answer may have come; its status and body. Panics when it cannot.
    fn sends(&self, way: Way, path: &str) -> (u16, String) {
        match way {
            Way::Plain => {
                let mut client = self.world.connect();
                upload(client.0.get_mut(), path);
                let answer = client.answer(false);
                (answer.status, answer.text().to_owned())
            }
            Way::Tls => {
                let mut client = self.tls(&[]);
                upload(&mut client.0, path);
                answer(&mut client)
            }
            Way::H2c | Way::H2 => self.over_h2(way, path, PIECES, true),
        }
    }

    fn tls(&self, alpn: &[&str]) -> Tls {
        let alpn = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
        let wishes = Wishes { alpn, ..Wishes::default() };
        self.authority.connect(self.world.tls.unwrap(), "a.example", wishes).unwrap()
    }

    /// The same over HTTP/2. Without `ends`, no more comes after the pieces.
    fn over_h2(&self, way: Way, path: &str, pieces: usize, ends: bool) -> (u16, String) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let answered = async {
            if way == Way::H2c {
                let socket = tokio::net::TcpStream::connect(self.world.public).await.unwrap();
                return exchange(TokioIo::new(socket), "http", path, pieces, ends).await;
            }
            let wishes = Wishes { alpn: vec![b"h2".to_vec()], ..Wishes::default() };
            let connector = tokio_rustls::TlsConnector::from(self.authority.config(wishes));
            let socket = tokio::net::TcpStream::connect(self.world.tls.unwrap()).await.unwrap();
            let stream = connector.connect(ServerName::try_from("a.example").unwrap(), socket).await.unwrap();
            exchange(TokioIo::new(stream), "https", path, pieces, ends).await
        };
        runtime.block_on(async { tokio::time::timeout(PATIENCE, answered).await.unwrap() })
    }
}

fn upload(to: &mut impl Write, path: &str) {
    let length = PIECE * PIECES;
    write!(to, "POST {path} HTTP/1.1\r\nHost: a.example\r\nContent-Length: {length}\r\n\r\n").unwrap();
    let piece = vec![b'x'; PIECE];
    for sent in 0..PIECES {
        to.write_all(&piece).unwrap_or_else(|error| panic!("{path}, piece {sent}: {error}"));
        to.flush().unwrap();
        thread::sleep(PAUSE);
    }
}

/// One whose body has a length.
fn answer(from: &mut Tls) -> (u16, String) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        from.0.read_exact(&mut byte).unwrap();
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).unwrap();
    let mut body = vec![0; headers(&head)["content-length"].parse().unwrap()];
    from.0.read_exact(&mut body).unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), String::from_utf8(body).unwrap())
}

async fn exchange(
    io: impl hyper::rt::Read + hyper::rt::Write + Unpin + Send + 'static,
    scheme: &str,
    path: &str,
    pieces: usize,
    ends: bool,
) -> (u16, String) {
    let (mut sender, connection) = hyper::client::conn::http2::handshake(TokioExecutor::new(), io).await.unwrap();
    let connection = tokio::spawn(connection);
    // Tells when it is dropped, which is when all was sent or no more was wanted.
    let (whole, mut is_whole) = tokio::sync::oneshot::channel();
    let mut whole = Some(whole);
    let piece = Bytes::from(vec![b'x'; PIECE]);
    let body = stream::iter(0..=pieces).then(move |sent| {
        let (piece, done) = (piece.clone(), (sent == pieces).then(|| whole.take()).flatten());
        async move {
            tokio::time::sleep(PAUSE).await;
            match done {
                None => Ok::<_, std::io::Error>(Frame::data(piece)),
                Some(done) => {
                    if !ends {
                        std::future::pending::<()>().await;
                    }
                    let _ = done.send(());
                    Ok(Frame::data(Bytes::new()))
                }
            }
        }
    });
    let request = http::Request::post(format!("{scheme}://a.example{path}"));
    let request = request.body(StreamBody::new(Box::pin(body))).unwrap();
    let answer = sender.send_request(request).await.unwrap();
    let status = answer.status().as_u16();
    let body = answer.into_body().collect().await.unwrap().to_bytes();
    if ends {
        (&mut is_whole).await.unwrap_or_else(|_| panic!("{path}: the stream was reset under a client that sends"));
    }
    drop(sender);
    connection.abort();
    (status, String::from_utf8(body.to_vec()).unwrap())
}

#[test]
fn who_is_still_sending_hears_the_refusal() {
    let site = Site::start();
    let doors = Doors::routing(json!([
        {"path": "/big", "max_body": "1000B", "upstreams": [site.url]},
        {"path": "/shut", "access": {"deny": ["127.0.0.1"]}, "upstreams": [site.url]},
        {"path": "/own", "upstreams": [site.url],
         "access": {"basic_auth": {"users": {"alice": "$2y$04$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW"}}}},
        {"path": "/often", "rate_limit": {"rate": "1/h"}, "respond": {"body": "ok"}},
        {"path": "/works", "maintenance": true, "upstreams": [site.url]},
    ]));
    let refusals = [("/own", 401), ("/shut", 403), ("/nowhere", 404), ("/big", 413), ("/often", 429), ("/works", 503)];
    thread::scope(|scope| {
        for way in [Way::Plain, Way::Tls, Way::H2c, Way::H2] {
            for (path, status) in refusals {
                let doors = &doors;
                scope.spawn(move || {
                    if status == 429 {
                        // Whoever came first has taken the one that is free; the next comes in an hour.
                        doors.world.get(path, "");
                    }
                    assert_eq!(doors.sends(way, path).0, status, "{way:?} {path}");
                });
            }
        }
    });
}

#[test]
fn what_we_answer_ourselves_is_lingered_over_once() {
    let world = World::with(serde_json::from_value(json!([{"path": "/here", "respond": {}}])).unwrap(), |config| {
        config.tuning.linger = 2 * PATIENCE;
        config.tuning.linger_bytes = 1000;
    });
    for (path, status) in [("/nowhere", 404), ("/here", 200)] {
        let mut client = world.connect();
        client.send(format!("POST {path} HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n{}", "x".repeat(1000)));
        assert_eq!(client.answer(false).status, status);
        // As much as there is patience for has come: nobody waits for more.
        assert!(client.is_closed(), "{path}");
    }
}

/// A site that answers the head of each request, and closes at once or a little later.
fn answers_early(rounds: usize) -> String {
    let (listener, url) = listen();
    thread::spawn(move || {
        for round in 0..rounds {
            let Ok((mut socket, _)) = listener.accept() else { return };
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                let mut byte = [0];
                let _ = socket.read_exact(&mut byte);
                head.push(byte[0]);
            }
            let _ = socket.write_all(b"HTTP/1.1 413 Too Large\r\nConnection: close\r\nContent-Length: 2\r\n\r\nno");
            thread::sleep(Duration::from_millis(10 * round as u64));
            // Whatever is unread resets the connection.
        }
    });
    url
}

#[test]
fn who_is_still_sending_hears_what_the_site_says_early() {
    let ways = [Way::Plain, Way::Tls, Way::H2c, Way::H2];
    let doors = Doors::routing(json!([{"upstreams": [answers_early(3 * ways.len())]}]));
    for round in 0..3 {
        for way in ways {
            assert_eq!(doors.sends(way, "/"), (413, "no".into()), "{way:?}, round {round}");
        }
    }
}

#[test]
fn a_client_that_stops_sending_is_no_failure_of_the_site() {
    let site = Site::start();
    let doors = Doors::routing(json!([
        {"upstreams": [site.url], "timeouts": {"idle": "1s"}, "ejection": {"failures": 1, "rest": "60s"}},
    ]));
    // Short ones and long ones go different ways.
    for length in [10, 10_000_000] {
        let mut client = doors.world.connect();
        client.send(format!("POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: {length}\r\n\r\nabc"));
        let answer = client.answer(false);
        assert_eq!(answer.status, 408, "{}", answer.text());
        assert!(answer.text().contains("the request came too slowly"), "{}", answer.text());
    }
    for pieces in [1, 9] {
        assert_eq!(doors.over_h2(Way::H2c, "/", pieces, false).0, 408);
    }
    let metrics = doors.world.metrics.encode();
    let ours: Vec<_> = metrics.lines().filter(|line| line.starts_with("real_streaming_upstream_")).collect();
    let failures = ours.iter().filter(|line| line.contains("ejections") || line.contains(r#"status="none""#));
    assert!(failures.clone().count() > 0 && failures.into_iter().all(|line| line.ends_with(" 0")), "{ours:?}");
    assert_eq!(doors.world.get("/", "").status, 200);
}

#[test]
fn a_site_that_takes_nothing_of_an_upload_has_failed() {
    let (listener, url) = listen();
    let doors = Doors::routing(json!([
        {"upstreams": [url], "timeouts": {"idle": "1s"}, "ejection": {"failures": 1, "rest": "60s"}},
    ]));
    let mut client = doors.world.connect();
    client.send("POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 90000000\r\n\r\n");
    let writing = client.0.get_ref().try_clone().unwrap();
    thread::scope(|scope| {
        scope.spawn(move || (&writing).write_all(&vec![0; 90_000_000]));
        assert_eq!(client.try_answer(false).unwrap().status, 504);
        let _ = client.0.get_ref().shutdown(std::net::Shutdown::Both);
    });
    doors.world.metric(&format!(r#"real_streaming_upstream_ejections_total{{upstream="{url}"}} 1"#));
    drop(listener);
}

//! Requests that are answered while they are still being sent.

use std::{
    io::{self, ErrorKind, Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    os::unix::net::{UnixListener, UnixStream},
    sync::{Arc, mpsc},
    thread,
    time::{Duration, Instant},
};

use bytes::Bytes;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use hyper_util::rt::{TokioExecutor, TokioIo};
use real_streaming::edge::RouteConfig;
use serde_json::json;

use super::{World, listen, sockets::bytes, upstreams::settings};
use crate::{authority::Authority, client::Client, site::Site};

/// More than systems keep on the way.
const MUCH: usize = 20_000_000;
const PATIENCE: Duration = Duration::from_secs(20);

/// Byte by byte: what follows it is no head.
fn head(from: &mut impl Read) -> String {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        from.read_exact(&mut byte).unwrap();
        head.push(byte[0]);
    }
    String::from_utf8(head).unwrap()
}

/// In chunks of many sizes.
fn chunked(body: &[u8]) -> Vec<u8> {
    let mut chunked = Vec::new();
    let (mut rest, mut length) = (body, 1);
    while !rest.is_empty() {
        let chunk;
        (chunk, rest) = rest.split_at(length.min(rest.len()));
        write!(chunked, "{:x}\r\n", chunk.len()).unwrap();
        chunked.extend_from_slice(chunk);
        chunked.extend_from_slice(b"\r\n");
        length = length * 7 % 99_991;
    }
    chunked.extend_from_slice(b"0\r\n\r\n");
    chunked
}

/// Reads a piece of each request's body, and does not read on before it is taken again. Chunks go back as they are.
fn echo<S: Read + Write>(mut socket: S, requests: usize) {
    for _ in 0..requests {
        let head = head(&mut socket).to_ascii_lowercase();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        let mut left: Option<usize> = length.map(|length| length.parse().unwrap());
        let framing = left.map_or("Transfer-Encoding: chunked".into(), |left| format!("Content-Length: {left}"));
        write!(socket, "HTTP/1.1 200 OK\r\n{framing}\r\n\r\n").unwrap();
        let (mut piece, mut last) = (vec![0; 64 << 10], Vec::new());
        while left != Some(0) && last != b"0\r\n\r\n" {
            let read = socket.read(&mut piece).unwrap();
            assert!(read > 0, "the request ends early");
            socket.write_all(&piece[..read]).unwrap();
            last.extend_from_slice(&piece[read.saturating_sub(5)..read]);
            last.drain(..last.len().saturating_sub(5));
            left = left.map(|left| left - read);
        }
    }
}

fn client(world: &World) -> TcpStream {
    let client = TcpStream::connect(world.public).unwrap();
    client.set_read_timeout(Some(PATIENCE)).unwrap();
    client.set_write_timeout(Some(PATIENCE)).unwrap();
    client
}

/// Sends all of `request`, and reads the answer's head and body at the same time.
fn exchange(client: &TcpStream, request: &[u8]) -> (String, Vec<u8>) {
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut client = client;
            client.write_all(request)
        });
        let mut client = Client::on(client.try_clone().unwrap()).unwrap();
        let answer = client.answer(false);
        (answer.head, answer.body)
    })
}

fn posting(framing: &str, body: &[u8]) -> Vec<u8> {
    [format!("POST / HTTP/1.1\r\nHost: a\r\n{framing}\r\n\r\n").as_bytes(), body].concat()
}

/// The length of what `from` still sends, until it ends or is silent.
fn rest(mut from: impl Read) -> usize {
    let (mut piece, mut length) = (vec![0; 64 << 10], 0);
    while let Ok(read @ 1..) = from.read(&mut piece) {
        length += read;
    }
    length
}

#[test]
fn a_site_that_echoes_is_read_while_it_is_written_to() {
    let (listener, url) = listen();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("site.sock");
    let local = UnixListener::bind(&path).unwrap();
    let body = bytes(MUCH);
    let whole = posting(&format!("Content-Length: {MUCH}"), &body);
    let in_chunks = posting("Transfer-Encoding: chunked", &chunked(&body));
    // A route with deadlines has a second hold on its connections.
    for (url, timeouts) in [(url, json!({})), (format!("unix:{}", path.display()), json!({"first_byte": "30s"}))] {
        let is_local = url.starts_with("unix");
        let world = World::routing(json!([{"upstreams": [url], "timeouts": timeouts}]));
        thread::scope(|scope| {
            let world = &world;
            scope.spawn(|| {
                // Each long request has a connection of its own.
                for _ in 0..4 {
                    if is_local {
                        echo::<UnixStream>(local.accept().unwrap().0, 1);
                    } else {
                        echo::<TcpStream>(listener.accept().unwrap().0, 1);
                    }
                }
            });
            for request in [&whole, &in_chunks, &whole, &in_chunks] {
                let (head, seen) = exchange(&client(world), request);
                assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
                assert!(seen == body, "the client has seen something else");
            }
        });
    }
}

/// A request over HTTP/2, of pieces that are sent as fast as they are taken; the length of the answer.
fn over_h2(world: &World, length: Option<usize>, pieces: usize) -> usize {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let answered = async {
        let io = TokioIo::new(tokio::net::TcpStream::connect(world.public).await.unwrap());
        let (mut sender, connection) = hyper::client::conn::http2::handshake(TokioExecutor::new(), io).await.unwrap();
        tokio::spawn(connection);
        let piece = Bytes::from(bytes(50_000));
        let body = futures_util::stream::iter((0..pieces).map(move |_| Ok::<_, io::Error>(Frame::data(piece.clone()))));
        let mut request = http::Request::post("http://a.example/");
        if let Some(length) = length {
            request = request.header("content-length", length);
        }
        let answer = sender.send_request(request.body(StreamBody::new(body)).unwrap()).await.unwrap();
        assert_eq!(answer.status(), 200);
        let (mut body, mut seen) = (answer.into_body(), 0);
        while let Some(frame) = body.frame().await {
            seen += frame.unwrap().data_ref().map_or(0, Bytes::len);
        }
        seen
    };
    runtime.block_on(async { tokio::time::timeout(3 * PATIENCE, answered).await.unwrap() })
}

fn with_h2(url: &str) -> World {
    let routes = vec![RouteConfig { upstreams: vec![url.parse().unwrap()], ..RouteConfig::default() }];
    World::with(routes, |config| config.server.h2c = true)
}

#[test]
fn the_same_over_http2() {
    let (listener, url) = listen();
    let world = with_h2(&url);
    for length in [Some(MUCH), None] {
        thread::scope(|scope| {
            scope.spawn(|| echo(listener.accept().unwrap().0, 1));
            assert_eq!(over_h2(&world, length, MUCH / 50_000), MUCH);
        });
    }
}

/// The body of these chunks, whose last one is the end.
fn unchunked(chunks: &[u8]) -> Vec<u8> {
    let (mut body, mut rest) = (Vec::new(), chunks);
    while rest != b"0\r\n\r\n" {
        let line = rest.windows(2).position(|pair| pair == b"\r\n").expect("the length of a chunk");
        let length = usize::from_str_radix(std::str::from_utf8(&rest[..line]).unwrap(), 16).unwrap();
        let chunk;
        (chunk, rest) = rest[line + 2..].split_at(length);
        body.extend_from_slice(chunk);
        rest = rest.strip_prefix(b"\r\n").expect("a line's end behind a chunk");
    }
    body
}

/// Scar: Pingora issue 935. The end of the chunks came twice where the body ended with an empty piece.
#[test]
fn the_end_of_the_chunks_comes_once() {
    let (listener, url) = listen();
    let world = with_h2(&url);
    let raw = || {
        let mut socket = listener.accept().unwrap().0;
        head(&mut socket);
        let mut seen = Vec::new();
        while !seen.ends_with(b"0\r\n\r\n") {
            let mut byte = [0];
            socket.read_exact(&mut byte).unwrap();
            seen.push(byte[0]);
        }
        socket.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").unwrap();
        // Whatever else comes, now or before the connection is used again.
        socket.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
        let mut more = Vec::new();
        let _ = socket.read_to_end(&mut more);
        assert!(more.is_empty(), "behind the end: {:?}", more.escape_ascii().to_string());
        seen
    };
    thread::scope(|scope| {
        let seen = scope.spawn(raw);
        // The last frame of its body is empty.
        assert_eq!(over_h2(&world, None, 2), 2);
        assert!(unchunked(&seen.join().unwrap()) == [bytes(50_000), bytes(50_000)].concat(), "another body");
        let seen = scope.spawn(raw);
        let chunks = b"1\r\na\r\n2;x=y\r\nbc\r\n0\r\n\r\n";
        let (head, body) = exchange(&client(&world), &posting("Transfer-Encoding: chunked", chunks));
        assert!(head.starts_with("HTTP/1.1 200 ") && body == b"ok", "{head}");
        assert_eq!(unchunked(&seen.join().unwrap()), b"abc");
    });
}

#[test]
fn a_site_that_answers_before_it_reads_and_closes_is_heard() {
    let (listener, url) = listen();
    let world = World::fronting(&[url]);
    thread::scope(|scope| {
        scope.spawn(|| {
            for _ in 0..5 {
                let mut socket = listener.accept().unwrap().0;
                head(&mut socket);
                socket.write_all(b"HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno").unwrap();
                thread::sleep(Duration::from_millis(50));
                // Much of the body is unread, so this resets the connection.
            }
        });
        for _ in 0..5 {
            let (head, body) = exchange(&client(&world), &posting("Content-Length: 9000000", &bytes(9_000_000)));
            assert!(head.starts_with("HTTP/1.1 413 ") && body == b"no", "{head}");
        }
    });
}

#[test]
fn a_site_that_reads_on_after_its_answer_gets_all() {
    let (listener, url) = listen();
    let world = World::fronting(&[url]);
    let length = 3_000_000;
    for head_of_answer in ["Content-Length: 2", "Connection: close\r\nContent-Length: 2"] {
        thread::scope(|scope| {
            let site = scope.spawn(|| {
                let mut socket = listener.accept().unwrap().0;
                socket.set_read_timeout(Some(PATIENCE)).unwrap();
                head(&mut socket);
                write!(socket, "HTTP/1.1 200 OK\r\n{head_of_answer}\r\n\r\nok").unwrap();
                let mut seen = vec![0; length];
                thread::sleep(Duration::from_millis(300));
                socket.read_exact(&mut seen).unwrap();
                seen
            });
            let (head, body) =
                exchange(&client(&world), &posting(&format!("Content-Length: {length}"), &bytes(length)));
            assert!(head.starts_with("HTTP/1.1 200 ") && body == b"ok", "{head}");
            assert!(site.join().unwrap() == bytes(length), "the site has seen something else");
        });
    }
}

#[test]
fn a_connection_goes_on_after_a_long_request() {
    let site = Site::start();
    let world = World::fronting(std::slice::from_ref(&site.url));
    let body = bytes(1_000_000);
    for request in [posting("Content-Length: 1000000", &body), posting("Transfer-Encoding: chunked", &chunked(&body))] {
        let client = client(&world);
        for _ in 0..3 {
            let (head, seen) = exchange(&client, &request);
            assert!(head.starts_with("HTTP/1.1 200 ") && seen == body, "{head}");
        }
        let mut client = Client::on(client.try_clone().unwrap()).unwrap();
        client.send("PUT / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 1000000\r\n\r\n");
        assert_eq!(client.answer(false).status, 100);
        client.send(&body);
        assert!(client.answer(false).body == body);
    }
}

#[test]
fn what_waits_for_a_site_is_bounded() {
    let (listener, url) = listen();
    let world = World::fronting(&[url]);
    let piece = vec![0; 65536];
    let written = |mut client: &TcpStream| {
        client.set_write_timeout(Some(Duration::from_secs(2))).unwrap();
        (0..1600).take_while(|_| client.write_all(&piece).is_ok()).count() * piece.len()
    };
    // One that is silent, and one that answers all the time.
    for talks in [false, true] {
        let client = client(&world);
        thread::scope(|scope| {
            scope.spawn(|| {
                let mut socket = listener.accept().unwrap().0;
                head(&mut socket);
                if talks {
                    write!(socket, "HTTP/1.1 200 OK\r\nContent-Length: 999999999\r\n\r\n").unwrap();
                    while socket.write_all(&[0; 1000]).is_ok() {
                        thread::sleep(Duration::from_millis(1));
                    }
                } else {
                    // Until the client is gone.
                    thread::sleep(Duration::from_secs(5));
                }
            });
            scope.spawn(|| rest(&client));
            (&client).write_all(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 999999999\r\n\r\n").unwrap();
            let written = written(&client);
            assert!(written < 30 << 20, "{written} bytes are on their way");
            // One that was given up is closed.
            let _ = client.shutdown(Shutdown::Both);
        });
    }
}

#[test]
fn over_http2_an_answer_passes_while_the_request_waits() {
    let (listener, url) = listen();
    let world = with_h2(&url);
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut socket = listener.accept().unwrap().0;
            head(&mut socket);
            write!(socket, "HTTP/1.1 200 OK\r\nContent-Length: 20000000\r\n\r\n").unwrap();
            // Nothing of the request is read before all of the answer is taken.
            socket.write_all(&bytes(20_000_000)).unwrap();
            let _ = rest(&socket);
        });
        assert_eq!(over_h2(&world, Some(20_000_000), 400), 20_000_000);
    });
}

#[test]
fn a_site_that_takes_nothing_is_given_up_in_time() {
    let (listener, url) = listen();
    let route = |timeouts| serde_json::from_value(json!([{"upstreams": [url], "timeouts": timeouts}])).unwrap();
    let world = |timeouts| World::with(route(timeouts), |config| config.tuning.upstream_write = Duration::from_secs(1));
    // By the patience with a write, and by the request's own deadline.
    for timeouts in [json!({}), json!({"total": "1s"})] {
        let world = world(timeouts);
        let (answered, is_answered) = mpsc::channel::<()>();
        let client = client(&world);
        thread::scope(|scope| {
            let listener = &listener;
            scope.spawn(move || {
                let mut socket = listener.accept().unwrap().0;
                head(&mut socket);
                // Ends with the sender.
                let _ = is_answered.recv();
            });
            let began = Instant::now();
            scope.spawn(|| (&client).write_all(&posting("Content-Length: 90000000", &vec![0; 90_000_000])));
            let head = head(&mut &client);
            let took = began.elapsed();
            drop(answered);
            assert!(head.starts_with("HTTP/1.1 504 "), "{head}");
            // Far below any other patience.
            assert!(took < Duration::from_secs(15), "{took:?}");
        });
    }
}

/// Of a site whose system takes little.
fn listen_narrowly() -> (TcpListener, String) {
    let (listener, url) = listen();
    // Connections have what their listener has.
    rustix::net::sockopt::set_socket_recv_buffer_size(&listener, 16 << 10).unwrap();
    (listener, url)
}

#[test]
fn a_site_that_takes_a_request_slowly_is_not_silent() {
    let (listener, url) = listen_narrowly();
    let world = World::routing(json!([{"upstreams": [url], "timeouts": {"idle": "2s"}}]));
    let body = bytes(1_000_000);
    thread::scope(|scope| {
        let site = scope.spawn(|| {
            let mut socket = listener.accept().unwrap().0;
            socket.set_read_timeout(Some(PATIENCE)).unwrap();
            head(&mut socket);
            let mut seen = vec![0; body.len()];
            for piece in seen.chunks_mut(20_000) {
                socket.read_exact(piece).unwrap();
                thread::sleep(Duration::from_millis(100));
            }
            socket.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").unwrap();
            seen
        });
        let (head, answer) = exchange(&client(&world), &posting("Content-Length: 1000000", &body));
        assert!(head.starts_with("HTTP/1.1 200 ") && answer == b"ok", "{head}");
        assert!(site.join().unwrap() == body, "the site has seen something else");
    });
}

#[test]
fn a_site_that_has_taken_a_request_may_not_be_silent_for_long() {
    let (listener, url) = listen();
    let world = World::routing(json!([{"upstreams": [url], "timeouts": {"idle": "1s"}}]));
    for answer in ["", "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nok"] {
        let client = client(&world);
        thread::scope(|scope| {
            scope.spawn(|| {
                let mut socket = listener.accept().unwrap().0;
                head(&mut socket);
                socket.read_exact(&mut vec![0; 1_000_000]).unwrap();
                socket.write_all(answer.as_bytes()).unwrap();
                // Until it is given up.
                assert_eq!(rest(&socket), 0);
            });
            let began = Instant::now();
            (&client).write_all(&posting("Content-Length: 1000000", &bytes(1_000_000))).unwrap();
            let head = head(&mut &client);
            assert!(head.starts_with(if answer.is_empty() { "HTTP/1.1 504 " } else { "HTTP/1.1 200 " }), "{head}");
            rest(&client);
            let took = began.elapsed();
            assert!((Duration::from_secs(1)..Duration::from_secs(15)).contains(&took), "{took:?}");
        });
    }
}

#[test]
fn the_end_waits_for_a_site_that_reads_on_after_its_answer() {
    let (listener, url) = listen_narrowly();
    let mut world = World::fronting(&[url]);
    // More than the systems take, and less than with what may wait here.
    let body = bytes(140_000);
    let (go, goes) = mpsc::channel::<()>();
    thread::scope(|scope| {
        let (listener, length) = (&listener, body.len());
        let site = scope.spawn(move || {
            let mut socket = listener.accept().unwrap().0;
            socket.set_read_timeout(Some(PATIENCE)).unwrap();
            head(&mut socket);
            socket.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").unwrap();
            let _ = goes.recv();
            let mut seen = vec![0; length];
            socket.read_exact(&mut seen).unwrap();
            seen
        });
        let (head, answer) = exchange(&client(&world), &posting("Content-Length: 140000", &body));
        assert!(head.starts_with("HTTP/1.1 200 ") && answer == b"ok", "{head}");
        world.metric(r#"real_streaming_http_requests_total{handler="proxy",status="2xx"} 1"#);
        world.begin_stop();
        thread::sleep(Duration::from_millis(500));
        assert!(!world.run.as_ref().unwrap().is_finished(), "the end has not waited");
        // As a panic would.
        drop(go);
        assert_eq!(world.wait().in_flight, 0);
        assert!(site.join().unwrap() == body, "the site has seen something else");
    });
}

/// What a site does with the body that [`an_upload_reaches`] sends.
#[derive(Clone, Copy, Debug)]
enum Doing {
    Echoes,
    Takes,
    Refuses,
}

/// Serves one request.
fn does(doing: Doing, mut socket: impl Read + Write) {
    match doing {
        Doing::Echoes => echo(socket, 1),
        Doing::Takes => {
            head(&mut socket);
            let mut seen = vec![0; MUCH];
            socket.read_exact(&mut seen).unwrap();
            assert!(seen == bytes(MUCH), "the site has seen something else");
            socket.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").unwrap();
            // Until the other side has read it.
            let _ = socket.read(&mut [0]);
        }
        Doing::Refuses => {
            head(&mut socket);
            socket.write_all(b"HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno").unwrap();
            socket.flush().unwrap();
            thread::sleep(Duration::from_millis(50));
            // Much of the body is unread, so this resets the connection.
        }
    }
}

/// Sends much to a site that serves one connection each time.
fn an_upload_reaches(upstream: serde_json::Value, serve: impl Fn(Doing) + Sync) {
    let world = World::routing(json!([{"upstreams": [upstream]}]));
    let body = bytes(MUCH);
    for (doing, status, answer) in
        [(Doing::Echoes, 200, &body[..]), (Doing::Takes, 200, b"ok"), (Doing::Refuses, 413, b"no")]
    {
        thread::scope(|scope| {
            scope.spawn(|| serve(doing));
            let (head, seen) = exchange(&client(&world), &posting(&format!("Content-Length: {MUCH}"), &body));
            assert!(head.starts_with(&format!("HTTP/1.1 {status} ")) && seen == answer, "{doing:?}: {head}");
        });
    }
}

#[test]
fn a_site_behind_tls_or_a_socket_is_read_while_it_is_written_to() {
    let (folder, authority) = (tempfile::tempdir().unwrap(), Authority::new());
    let ca = authority.writes_root(folder.path(), "ca.pem");
    let settings = Arc::new(settings(&authority, "site.internal", None, &[]));
    let (listener, url) = listen();
    let url = url.replace("http:", "https:");
    an_upload_reaches(json!({"url": url, "tls": {"ca": ca, "name": "site.internal"}}), |doing| {
        let session = rustls::ServerConnection::new(settings.clone()).unwrap();
        does(doing, rustls::StreamOwned::new(session, listener.accept().unwrap().0));
    });
    let path = folder.path().join("site.sock");
    let local = UnixListener::bind(&path).unwrap();
    an_upload_reaches(json!(format!("unix:{}", path.display())), |doing| does(doing, local.accept().unwrap().0));
}

#[test]
fn a_client_that_breaks_off_is_gone_for_the_site_too() {
    let (listener, url) = listen();
    let world = World::fronting(&[url]);
    thread::scope(|scope| {
        let site = scope.spawn(|| {
            let mut socket = listener.accept().unwrap().0;
            socket.set_read_timeout(Some(PATIENCE)).unwrap();
            head(&mut socket);
            let mut piece = vec![0; 64 << 10];
            loop {
                match socket.read(&mut piece) {
                    Ok(1..) => {}
                    Ok(0) => return None,
                    Err(error) => return Some(error.kind()),
                }
            }
        });
        let mut client = client(&world);
        client.write_all(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 90000000\r\n\r\n").unwrap();
        client.write_all(&vec![0; 5_000_000]).unwrap();
        drop(client);
        let end = site.join().unwrap();
        assert!(matches!(end, None | Some(ErrorKind::ConnectionReset)), "{end:?}");
    });
}

//! Connections that became WebSockets, when both sides send more than anybody holds.

use std::{
    io::{Read, Write},
    net::{Shutdown, TcpStream},
    os::unix::net::{UnixListener, UnixStream},
    thread,
    time::Duration,
};

use serde_json::json;

use super::{World, listen};

/// More than systems keep on the way.
const MUCH: usize = 16 << 20;
const PATIENCE: Duration = Duration::from_secs(30);
const ASK: &str = "GET /socket HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                   Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

/// Byte by byte: what follows it is no head.
fn head(from: &mut impl Read) -> Vec<u8> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        from.read_exact(&mut byte).unwrap();
        head.push(byte[0]);
    }
    head
}

/// Answers the handshake of a connection.
fn accepted<S: Read + Write>(mut socket: S) -> S {
    head(&mut socket);
    socket.write_all(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n").unwrap();
    socket
}

fn opened(world: &World) -> TcpStream {
    let mut client = TcpStream::connect(world.public).unwrap();
    client.set_read_timeout(Some(PATIENCE)).unwrap();
    client.set_write_timeout(Some(PATIENCE)).unwrap();
    client.write_all(ASK.as_bytes()).unwrap();
    assert!(head(&mut client).starts_with(b"HTTP/1.1 101 "));
    client
}

/// The bytes that one side sends; a piece that is lost, doubled or late shows.
pub fn bytes(length: usize) -> Vec<u8> {
    (0..length).map(|at| (at / 251 + at) as u8).collect()
}

/// Writes all before it reads anything, then reads all.
fn speaks_first(mut socket: impl Read + Write) -> Vec<u8> {
    socket.write_all(&bytes(MUCH)).unwrap();
    let mut seen = vec![0; MUCH];
    socket.read_exact(&mut seen).unwrap();
    // Until the other has seen all, too.
    let _ = socket.read(&mut [0]);
    seen
}

/// Writes and reads at the same time.
fn speaks_at_once(mut reader: impl Read, mut writer: impl Write + Send) -> Vec<u8> {
    thread::scope(|scope| {
        scope.spawn(move || writer.write_all(&bytes(MUCH)).unwrap());
        let mut seen = vec![0; MUCH];
        reader.read_exact(&mut seen).unwrap();
        seen
    })
}

#[test]
fn a_site_that_does_not_read_while_it_writes_is_read_on() {
    let (listener, url) = listen();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("site.sock");
    let local = UnixListener::bind(&path).unwrap();
    // A route with deadlines has a second hold on its connections.
    for (url, timeouts) in [(url, json!({})), (format!("unix:{}", path.display()), json!({"first_byte": "30s"}))] {
        let is_local = url.starts_with("unix");
        let world = World::routing(json!([{"upstreams": [url], "timeouts": timeouts}]));
        // Whether two sides that wait for each other do so for ever is a matter of chance.
        for _ in 0..3 {
            thread::scope(|scope| {
                let site = scope.spawn(|| {
                    if is_local {
                        speaks_first(accepted::<UnixStream>(local.accept().unwrap().0))
                    } else {
                        speaks_first(accepted::<TcpStream>(listener.accept().unwrap().0))
                    }
                });
                let client = opened(&world);
                let seen = speaks_at_once(&client, &client);
                assert!(seen == bytes(MUCH), "the client has seen something else");
                client.shutdown(Shutdown::Write).unwrap();
                assert!(site.join().unwrap() == bytes(MUCH), "the site has seen something else");
            });
        }
    }
}

#[test]
fn a_client_that_does_not_read_while_it_writes_is_read_on() {
    let (listener, url) = listen();
    let world = World::fronting(&[url]);
    thread::scope(|scope| {
        let site = scope.spawn(|| {
            let socket = accepted(listener.accept().unwrap().0);
            let seen = speaks_at_once(&socket, &socket);
            drop(socket);
            seen
        });
        let seen = speaks_first(opened(&world));
        assert!(seen == bytes(MUCH), "the client has seen something else");
        assert!(site.join().unwrap() == bytes(MUCH), "the site has seen something else");
    });
}

#[test]
fn what_a_site_has_sent_arrives_though_it_breaks_off_with_bytes_unread() {
    let (listener, url) = listen();
    let world = World::fronting(&[url]);
    let sent = bytes(3_000_000);
    for round in 0..2 {
        thread::scope(|scope| {
            scope.spawn(|| {
                let mut socket = accepted(listener.accept().unwrap().0);
                let _ = socket.read(&mut [0; 1000]).unwrap();
                socket.write_all(&sent).unwrap();
                // Long enough for the client to be given all, on a busy machine, too.
                thread::sleep(Duration::from_secs(2));
                // Much of what the client has sent is unread, so this resets the connection.
            });
            let mut client = opened(&world);
            let mut writer = client.try_clone().unwrap();
            scope.spawn(move || {
                // Ends in an error, for nobody reads it.
                let _ = writer.write_all(&bytes(MUCH));
            });
            let mut seen = Vec::new();
            let mut piece = [0; 65536];
            while seen.len() < sent.len() {
                match client.read(&mut piece) {
                    Ok(read @ 1..) => seen.extend_from_slice(&piece[..read]),
                    end => panic!("round {round}: {end:?} after {} bytes", seen.len()),
                }
            }
            assert!(seen == sent, "round {round}: the client has seen something else");
            client.shutdown(Shutdown::Both).unwrap();
        });
    }
}

#[test]
fn what_waits_for_a_client_is_bounded() {
    let (listener, url) = listen();
    let world = World::fronting(&[url]);
    thread::scope(|scope| {
        let site = scope.spawn(|| {
            let mut socket = accepted(listener.accept().unwrap().0);
            socket.set_write_timeout(Some(Duration::from_secs(2))).unwrap();
            let piece = vec![0; 65536];
            // Nobody reads it: what the systems and the edge hold is far less.
            (0..1600).take_while(|_| socket.write_all(&piece).is_ok()).count()
        });
        let _client = opened(&world);
        let written = site.join().unwrap() * 65536;
        assert!(written < 40 << 20, "{written} bytes are on their way");
    });
}

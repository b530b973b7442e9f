//! How long upstreams may take: until an answer begins, and in all.

use std::{
    io::{Read, Write},
    net::TcpListener,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    thread,
    time::{Duration, Instant},
};

use real_streaming::edge::RouteConfig;
use serde_json::{Value, json};

use super::{World, counting};
use crate::client::{Answer, Client, headers};

/// A server whose slowness its paths name. The number of connections it got, too.
fn slow() -> (String, Arc<AtomicUsize>) {
    counting(|client| drop(serve(client)))
}

const CHUNKED: &str = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";

fn serve(mut client: Client) -> std::io::Result<()> {
    loop {
        let head = client.try_head()?;
        client.body(&headers(&head))?;
        let path = head.split(' ').nth(1).unwrap_or_default();
        let mut drip = |times, piece: &str| {
            (0..times).try_for_each(|_| {
                thread::sleep(Duration::from_millis(50));
                client.try_send(piece)
            })
        };
        match path {
            // Never a byte of an answer; an interim one is none.
            "/stalls" => {
                drip(1, "HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n")?;
                thread::sleep(Duration::from_secs(10));
            }
            // The head at once, and then a second's worth of drops.
            "/drips" => {
                drip(1, CHUNKED)?;
                drip(20, "1\r\nx\r\n")?;
                client.try_send("0\r\n\r\n")?;
            }
            // The same for longer than anybody waits.
            "/long" => {
                drip(1, CHUNKED)?;
                drip(200, "1\r\nx\r\n")?;
            }
            // The same without any framing, and without an end.
            "/endless" => {
                drip(1, "HTTP/1.1 200 OK\r\n\r\n")?;
                drip(200, "x")?;
            }
            "/events" => {
                drip(1, &CHUNKED.replace("\r\n\r\n", "\r\nContent-Type: text/event-stream\r\n\r\n"))?;
                drip(30, "1\r\nx\r\n")?;
                client.try_send("0\r\n\r\n")?;
            }
            "/socket" => {
                drip(1, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")?;
                drip(30, "x")?;
                return Ok(());
            }
            _ => client.try_send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")?,
        }
    }
}

fn world(url: &str, timeouts: Value, more: Value) -> World {
    let mut route = json!({"upstreams": [url], "timeouts": timeouts});
    route.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    World::routing(json!([route]))
}

/// The answer after the interim ones.
fn final_answer(client: &mut Client) -> std::io::Result<Answer> {
    loop {
        let answer = client.try_answer(false)?;
        if answer.status >= 200 {
            return Ok(answer);
        }
    }
}

fn get(world: &World, path: &str, headers: &str) -> std::io::Result<Answer> {
    let mut client = world.connect();
    client.send(format!("GET {path} HTTP/1.1\r\nHost: a\r\n{headers}\r\n"));
    final_answer(&mut client)
}

#[test]
fn an_answer_that_does_not_begin_is_504_and_one_that_has_begun_may_take_long() {
    let (url, connections) = slow();
    let world = world(&url, json!({"first_byte": "1s", "idle": "5s"}), json!({}));
    let began = Instant::now();
    let answer = get(&world, "/stalls", "").unwrap();
    assert_eq!(answer.status, 504, "{}", answer.text());
    assert!(answer.text().contains("the site did not answer in time"), "{}", answer.text());
    assert!((Duration::from_secs(1)..Duration::from_secs(10)).contains(&began.elapsed()), "{:?}", began.elapsed());
    assert_eq!(connections.load(SeqCst), 1);

    assert_eq!(get(&world, "/drips", "").unwrap().body, [b'x'; 20]);
    // Connections are kept, and nothing of an earlier request's time hangs on them.
    let before = connections.load(SeqCst);
    for _ in 0..20 {
        assert_eq!(get(&world, "/", "").unwrap().text(), "ok");
    }
    // A client may have its answer, and ask again, a moment before its connection is free.
    assert!(connections.load(SeqCst) < before + 20, "some were used again");
    thread::sleep(Duration::from_millis(1200));
    assert_eq!(get(&world, "/", "").unwrap().text(), "ok");

    // What is still being sent cannot be answered yet.
    let mut client = world.connect();
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n");
    for _ in 0..10 {
        thread::sleep(Duration::from_millis(120));
        client.send("x");
    }
    assert_eq!(client.answer(false).text(), "ok");
}

#[test]
fn events_and_sockets_go_on_once_they_have_begun() {
    let (url, _) = slow();
    let world = world(&url, json!({"first_byte": "1s", "total": "1s"}), json!({}));
    assert_eq!(get(&world, "/events", "").unwrap().body, [b'x'; 30]);
    let mut client = world.connect();
    client.send("GET /socket HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n");
    assert!(client.head().starts_with("HTTP/1.1 101"));
    let mut echoed = Vec::new();
    client.0.read_to_end(&mut echoed).unwrap();
    assert_eq!(echoed, [b'x'; 30]);
}

#[test]
fn time_that_is_over_is_504_before_the_answer_and_a_broken_connection_within_it() {
    let (url, _) = slow();
    let world = world(&url, json!({"total": "1500ms"}), json!({}));
    assert_eq!(get(&world, "/stalls", "").unwrap().status, 504);
    let mut client = world.connect();
    client.send("GET /long HTTP/1.1\r\nHost: a\r\n\r\n");
    assert!(client.head().starts_with("HTTP/1.1 200"));
    let mut seen = 0;
    while let Ok(chunk) = client.try_chunk() {
        assert!(!chunk.is_empty(), "the end of the chunks was never written");
        seen += chunk.len();
    }
    assert!((1..200).contains(&seen), "{seen}");
    // An answer without framing ends where its connection does, and must not look whole either.
    assert!(get(&world, "/endless", "").is_err());
    // Over HTTP/1.0 nothing but a reset tells.
    for headers in ["", "Connection: Upgrade\r\nUpgrade: websocket\r\n"] {
        let mut client = world.connect();
        client.send(format!("GET /endless HTTP/1.0\r\nHost: a\r\n{headers}\r\n"));
        let head = client.head();
        let end = client.0.read_to_end(&mut Vec::new());
        assert_eq!(end.map_err(|error| error.kind()), Err(std::io::ErrorKind::ConnectionReset), "{headers}{head}");
    }
    let mut client = world.connect();
    client.send("GET /drips HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n");
    let answer = client.answer(false);
    assert_eq!((answer.header("transfer-encoding"), answer.body.len()), (None, 20), "without chunks: {}", answer.head);

    // A client that is slow itself.
    let mut client = world.connect();
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nx");
    assert_eq!(final_answer(&mut client).unwrap().status, 408);
    assert_eq!(get(&world, "/", "").unwrap().text(), "ok");
    assert!(world.metrics.encode().lines().all(|line| !line.contains("ejections") || !line.ends_with(" 1")));
}

#[test]
fn an_answer_that_the_site_breaks_off_does_not_look_whole() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let world = world(&format!("http://{}", listener.local_addr().unwrap()), json!({}), json!({}));
    thread::scope(|scope| {
        scope.spawn(|| {
            for _ in 0..2 {
                let mut site = listener.accept().unwrap().0;
                site.read_exact(&mut [0]).unwrap();
                site.write_all(b"HTTP/1.0 200 OK\r\n\r\nhalf of it").unwrap();
                thread::sleep(Duration::from_millis(200));
                // The rest of the request is unread, so this resets the connection.
            }
        });
        for version in ["1.0", "1.1"] {
            let mut client = world.connect();
            client.send(format!("GET / HTTP/{version}\r\nHost: a\r\n\r\n"));
            let answer = client.try_answer(false);
            assert!(answer.is_err(), "HTTP/{version}: {answer:?}");
        }
    });
}

#[test]
fn another_server_is_tried_where_that_is_asked_for() {
    let (quick, _) = slow();
    // Takes connections, and says nothing.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let hole = format!("http://{}", listener.local_addr().unwrap());
    let retries = json!({"upstreams": [hole, quick], "retries": {"on": ["failure"]}});
    let world_with = |more: Value| world(&quick, json!({"first_byte": "1s"}), more);
    let world = world_with(retries);
    for _ in 0..2 {
        assert_eq!(get(&world, "/", "").unwrap().text(), "ok");
    }
    let stays = world_with(json!({"upstreams": [hole, quick]}));
    let answers: Vec<u16> = (0..2).map(|_| get(&stays, "/", "").unwrap().status).collect();
    assert!(answers.contains(&504) && answers.contains(&200), "{answers:?}");
    drop(listener);
}

#[test]
fn patience_that_counts_for_nothing_is_refused() {
    for (timeouts, refused) in [
        (json!({"first_byte": "30s", "idle": "10s"}), true),
        (json!({"first_byte": "10s", "idle": "30s"}), false),
        // The edge's own patience is no more than what is said.
        (json!({"first_byte": "5m"}), false),
    ] {
        let route = json!({"upstreams": ["http://127.0.0.1:1"], "timeouts": timeouts});
        let mut problems = Vec::new();
        serde_json::from_value::<RouteConfig>(route).unwrap().check("routes[0]", &mut problems);
        assert_eq!(!problems.is_empty(), refused, "{timeouts}: {problems:?}");
    }
}

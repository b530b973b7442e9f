//! The end: who is still answered, and who is left behind.

use std::net::TcpStream;
use std::time::{Duration, Instant};

use super::{EVENT, STREAM, World, event};
use crate::world::until;

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

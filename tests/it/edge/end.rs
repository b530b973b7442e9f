//! The end: who is still answered, and who is left behind.

use std::net::TcpStream;
use std::num::NonZeroUsize;
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use real_streaming::{
    collect::{DropReason, Hit},
    edge::Threads,
    enrich::{Enricher, Origins},
    schema::Event,
    telemetry::log,
};

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

/// A bug that one event meets.
struct Bug;

impl Enricher for Bug {
    fn name(&self) -> &'static str {
        "bug"
    }

    fn enrich<'h>(&self, _: &'h Hit<'h>, event: &mut Event<'h>) -> ControlFlow<DropReason> {
        assert_ne!(event.event_name.as_deref(), Some("bug"), "a test's own panic");
        ControlFlow::Continue(())
    }

    fn explain(&self, _: &Hit<'_>, _: &Event<'_>, _: &Event<'_>, _: &mut Origins) {}
}

#[test]
fn a_panic_ends_its_connection_alone_and_is_counted() {
    let mut world = World::enriching(vec![Box::new(Bug)], Vec::new(), |config| {
        config.server.threads = Threads::Exactly(NonZeroUsize::MIN)
    });
    log::watch(world.metrics.clone());
    let mut other = world.connect();
    other.send(event(""));
    assert_eq!(other.answer(false).status, 200);
    let bug = r#"{"event_name":"bug"}"#;
    let length = bug.len();
    for body in [
        format!("Content-Length: {length}\r\n\r\n{bug}"),
        format!("Transfer-Encoding: chunked\r\n\r\n{length:x}\r\n{bug}\r\n0\r\n\r\n"),
    ] {
        // By the express lane, and by Pingora's.
        let mut client = world.connect();
        client.send(format!("POST {STREAM} HTTP/1.1\r\nHost: a\r\n{body}"));
        assert!(client.is_closed());
        other.send(event(""));
        assert_eq!(other.answer(false).status, 200, "on the same thread");
    }
    let counted = until("both are counted", || {
        let metrics = world.metrics.encode();
        let count =
            metrics.lines().find_map(|line| line.strip_prefix("real_streaming_panics_total "))?.parse::<u32>().ok()?;
        (count >= 2).then_some(count)
    });
    assert!(counted >= 2);
    // Nothing of it is in flight any more.
    world.begin_stop();
    assert_eq!(world.wait().in_flight, 0);
}

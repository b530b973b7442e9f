//! Streams that break, stall and come back.

use std::{
    collections::HashSet,
    time::{Duration, Instant},
};

use real_streaming::gcp::{proto::rpc, write::Timing};
use tonic::{Code, Status};

use super::{DAY, Setup, World, ids, until};
use crate::fakes::{
    bigquery::{Act, BigQuery},
    proxy::{Mode, Proxy},
};

const IDLE_CLOSE: &str = "Closing the stream because it has been inactive for 600 seconds. Entity: x";

fn retried(world: &World) -> u64 {
    let text = world.metrics.encode();
    let line = text.lines().find(|line| line.starts_with(r#"real_streaming_batches_retried_total{sink="direct"}"#));
    line.map_or(0, |line| line.rsplit(' ').next().unwrap().parse().unwrap())
}

/// Case 17: the stream is closed by us before the service would, and nobody notices.
#[tokio::test(flavor = "multi_thread")]
async fn an_idle_stream_is_closed_and_the_next_row_opens_another() {
    let timing = Timing { idle: Duration::from_millis(300), ..Timing::default() };
    let mut world = World::with(BigQuery::start().await, Setup { timing, ..Setup::default() });
    for number in 0..2 {
        world.accept(ids(number..number + 1)).await;
        world.settled().await;
        assert!(until(|| world.state().ended == number + 1).await);
    }
    let connections: Vec<_> = world.fake.seen().iter().map(|request| request.connection).collect();
    assert_eq!(connections, [1, 2]);
    assert_eq!(retried(&world), 0);
}

/// Cases 17 and 18: the service's own close, with a request that crosses it.
#[tokio::test(flavor = "multi_thread")]
async fn the_services_idle_close_costs_nothing_even_when_a_request_crosses_it() {
    let mut world = World::new().await;
    world.accept(ids(0..1)).await;
    world.settled().await;
    world.fake.script([Act::Close(Code::Aborted, IDLE_CLOSE)]);
    world.accept(ids(1..2)).await;
    let settled = world.settled().await;
    assert_eq!((settled.stored, settled.doubled, retried(&world)), (vec!["e0".into(), "e1".into()], 0, 0));
    // Even twice in a row it is no failure.
    world.fake.script([Act::Close(Code::Aborted, IDLE_CLOSE), Act::Close(Code::Aborted, IDLE_CLOSE)]);
    world.accept(ids(2..3)).await;
    world.settled().await;
    assert_eq!(retried(&world), 0);
    // A server that says nothing else is not called in a hot loop.
    world.fake.script((0..100_000).map(|_| Act::Close(Code::Aborted, IDLE_CLOSE)));
    world.accept(ids(3..4)).await;
    let before = world.state().calls;
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert!(world.state().calls - before < 100, "{}", world.state().calls);
    world.state().script.clear();
    world.settled().await;
}

/// The service ends calls after a day: before that, ours is replaced, and nothing is sent twice.
#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_grows_old_is_replaced_under_load() {
    let timing = Timing { age: Duration::from_millis(400), ..Timing::default() };
    for exactly_once in [false, true] {
        let mut setup = Setup { timing, ..Setup::default() };
        setup.bq.exactly_once = exactly_once;
        let mut world = World::with(BigQuery::start().await, setup);
        let begun = Instant::now();
        // Answers are under way when the time has come.
        world.fake.script((0..100).map(|_| Act::Delay(Duration::from_millis(30))));
        for round in 0..10 {
            world.accept_batches(round * 4..round * 4 + 4).await;
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        let settled = world.settled().await;
        assert_eq!((settled.stored.len(), settled.doubled, retried(&world)), (40, 0, 0), "{exactly_once}");
        let connections: HashSet<_> = world.fake.seen().iter().map(|request| request.connection).collect();
        let most = begun.elapsed().as_millis() / timing.age.as_millis() + 2;
        assert!((2..=most).contains(&(connections.len() as u128)), "{connections:?}");
        // Those that were replaced are closed in good order, by us.
        assert!(until(|| world.state().ended + 1 >= connections.len()).await, "{}", world.state().ended);
    }
}

/// Cases 19, 20 and 22: whatever ends the stream, what was not answered is sent again in order, the first request with
/// stream and schema.
#[tokio::test(flavor = "multi_thread")]
async fn unanswered_requests_are_sent_again_in_order() {
    let ends = [
        Act::Close(Code::Unavailable, "try elsewhere"),
        Act::Close(Code::Internal, "oops"),
        Act::Close(Code::Unknown, "?"),
        Act::Close(Code::Cancelled, "the connection is draining"),
        Act::Close(Code::DeadlineExceeded, "slow"),
        Act::End,
    ];
    for end in ends {
        let mut world = World::new().await;
        world.accept(ids(0..1)).await;
        world.settled().await;
        // Ten requests come; the fourth of them ends the call.
        let pause = Act::Delay(Duration::from_millis(20));
        world.fake.script([pause.clone(), pause.clone(), pause, end.clone()]);
        world.accept_batches(1..11).await;
        let settled = world.settled().await;
        assert_eq!(settled.stored, ids(0..11).collect::<Vec<_>>(), "{end:?}");
        let seen = world.fake.seen();
        let first_again = seen.iter().find(|request| request.connection == 2).unwrap();
        assert!(first_again.has_schema && !first_again.write_stream.is_empty());
        assert_eq!(first_again.ids, ["e4"], "{end:?}");
        assert_eq!(retried(&world), 0, "a stream that had worked is opened again at once");
    }
}

/// Case 25: the rows were stored, the answer was lost.
#[tokio::test(flavor = "multi_thread")]
async fn a_lost_answer_doubles_at_most_what_was_not_answered() {
    let mut world = World::new().await;
    world.accept(ids(0..1)).await;
    world.settled().await;
    world.fake.script([Act::StoreAndClose(Code::Unavailable, "gone")]);
    world.accept(ids(1..4)).await;
    let settled = world.settled().await;
    assert_eq!(settled.doubled, 3, "{:?}", settled.stored);
}

/// Case 21: what is under way is answered, the next call goes over another connection.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_goes_away_in_good_order_loses_nothing() {
    let mut world = World::new().await;
    world.accept(ids(0..1)).await;
    world.settled().await;
    for round in 0..5 {
        world.fake.script([Act::Delay(Duration::from_millis(50)), Act::Delay(Duration::from_millis(50))]);
        world.accept_batches(1 + round * 4..5 + round * 4).await;
        world.fake.go_away();
        world.settled().await;
        world.fake.script([Act::Close(Code::Unavailable, "the connection is draining")]);
        world.accept(ids(100 + round..101 + round)).await;
        let settled = world.settled().await;
        assert_eq!((settled.doubled, settled.letters.len()), (0, 0), "{round}");
    }
}

/// Case 23: connections are cut, again and again, under load.
#[tokio::test(flavor = "multi_thread")]
async fn connections_that_are_reset_under_load_lose_nothing() {
    let fake = BigQuery::start().await;
    let proxy = Proxy::to(fake.grpc).await;
    let timing = Timing { calm: Duration::from_millis(50), ..Timing::default() };
    let mut world = World::with(fake, Setup { grpc: Some(proxy.addr), timing, ..Setup::default() });
    for round in 0..10 {
        world.accept_batches(round * 20..round * 20 + 20).await;
        tokio::time::sleep(Duration::from_millis(round as u64 * 13 % 60)).await;
        if round % 2 == 0 { proxy.reset() } else { world.fake.cut() }
    }
    let settled = world.settled().await;
    assert!(world.state().calls >= 3, "{}", world.state().calls);
    assert_eq!(settled.letters.len(), 0);
}

/// Case 24: nobody says that the peer is gone.
#[tokio::test(flavor = "multi_thread")]
async fn a_peer_that_went_silent_is_given_up() {
    let fake = BigQuery::start().await;
    let proxy = Proxy::to(fake.grpc).await;
    let timing = Timing { answer: Duration::from_secs(1), ..Timing::default() };
    let mut world = World::with(fake, Setup { grpc: Some(proxy.addr), timing, ..Setup::default() });
    world.accept(ids(0..1)).await;
    world.settled().await;
    proxy.set(Mode::BlackHole);
    world.accept(ids(1..2)).await;
    // Once something has gone into it, the connection stays silent for good.
    assert!(until(|| proxy.swallowed() > 0).await);
    proxy.set(Mode::Pass);
    world.settled().await;
    assert!(world.state().calls >= 2);
}

/// Case 24: pings notice it long before the patience for answers ends, and while nothing is in flight as well.
#[tokio::test(flavor = "multi_thread")]
async fn a_peer_that_answers_no_ping_is_given_up() {
    let fake = BigQuery::start().await;
    let proxy = Proxy::to(fake.grpc).await;
    let mut world = World::with(fake, Setup { grpc: Some(proxy.addr), ..Setup::default() });
    world.accept(ids(0..1)).await;
    world.settled().await;
    proxy.set(Mode::BlackHole);
    let begun = Instant::now();
    world.accept(ids(1..2)).await;
    assert!(until(|| proxy.swallowed() > 0).await);
    proxy.set(Mode::Pass);
    // Pings go every half minute and are waited for ten seconds; answers for three minutes.
    while super::in_spool(&world.delivery) > 0 && begun.elapsed() < Duration::from_secs(90) {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(begun.elapsed() < Duration::from_secs(60), "{:?}", begun.elapsed());
    assert_eq!(world.settled().await.stored, ["e0", "e1"]);
}

/// Case 24: the same with a server that takes requests and never answers.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_never_answers_is_given_up() {
    let timing = Timing { answer: Duration::from_millis(500), ..Timing::default() };
    let mut world = World::with(BigQuery::start().await, Setup { timing, ..Setup::default() });
    world.fake.script([Act::Silent]);
    world.accept(ids(0..2)).await;
    world.settled().await;
    assert!(retried(&world) >= 1);
}

/// Case 24: one that was given up and wakes up finds no more than what had gone out: the rest went another way meanwhile.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_wakes_up_is_not_sent_what_was_given_up() {
    let timing = Timing { answer: Duration::from_secs(1), ..Timing::default() };
    let mut world = World::with(BigQuery::start().await, Setup { timing, ..Setup::default() });
    world.accept(ids(0..1)).await;
    world.settled().await;
    world.state().stalled = true;
    // Each makes a request of its own, and three fill the window of the server's connection.
    let title = "x".repeat(400 << 10);
    for number in 1..40 {
        world.accept_rows(vec![super::row(&format!("e{number}"), &title)]).await;
    }
    let calls = world.state().calls;
    assert!(until(|| world.state().calls >= calls + 2).await);
    let last = {
        let mut state = world.state();
        state.stalled = false;
        state.calls
    };
    world.settled().await;
    // Of each that was given up by then, the request in hand and those in the window of a megabyte, and not all of the 39.
    for given_up in calls + 1..last {
        let came = world.fake.seen().iter().filter(|request| request.connection == given_up).count();
        assert!(came <= 5, "{came} requests over connection {given_up} of {last}");
    }
}

/// Case 26: a stream that breaks a hundred times is not opened in a hot loop.
#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_keeps_breaking_is_tried_more_and_more_slowly() {
    let mut world = World::new().await;
    world.fake.script((0..100).map(|_| Act::Close(Code::Internal, "flapping")));
    world.accept(ids(0..1)).await;
    assert!(until(|| world.state().calls >= 2).await);
    tokio::time::sleep(Duration::from_secs(3)).await;
    let calls = world.state().calls;
    // With full jitter the sum of nine waits is some 25 s; a hot loop would have come a thousand times.
    assert!(calls < 40, "{calls}");
    world.state().script.clear();
    world.settled().await;
}

/// Cases 27 and 28.
#[tokio::test(flavor = "multi_thread")]
async fn a_quota_is_waited_for_as_long_as_the_service_says() {
    let delay = rpc::RetryInfo { retry_delay: Some(prost_types::Duration { seconds: 2, nanos: 0 }) };
    let any = prost_types::Any {
        type_url: "type.googleapis.com/google.rpc.RetryInfo".into(),
        value: prost::Message::encode_to_vec(&delay),
    };
    let quota = rpc::Status {
        code: Code::ResourceExhausted as i32,
        message: "Exceeds 'AppendRows throughput' quota".into(),
        details: vec![any],
    };
    let mut world = World::new().await;
    world.accept(ids(0..1)).await;
    world.settled().await;
    world.fake.script([Act::Answer(quota)]);
    let before = Instant::now();
    world.accept(ids(1..2)).await;
    let settled = world.settled().await;
    assert!(before.elapsed() >= Duration::from_secs(2), "{:?}", before.elapsed());
    assert_eq!((settled.stored.len(), world.state().calls), (2, 1), "the stream goes on");

    world.state().openings.push_back(Status::resource_exhausted("Exceeds 'CreateWriteStream requests' quota"));
    world.fake.cut();
    world.accept(ids(2..3)).await;
    world.settled().await;
}

/// Case 29.
#[tokio::test(flavor = "multi_thread")]
async fn an_answer_to_nothing_ends_the_stream_and_loses_nothing() {
    let mut world = World::new().await;
    world.fake.script([Act::Twice]);
    world.accept(ids(0..1)).await;
    world.settled().await;
    world.accept(ids(1..2)).await;
    assert_eq!(world.settled().await.stored, ["e0", "e1"]);
}

/// Case 30: a server that takes nothing holds no memory beyond the window, and the spool keeps the rest.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_does_not_answer_bounds_what_is_in_flight() {
    let mut world = World::new().await;
    world.fake.script([Act::Silent]);
    world.accept_batches(0..300).await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    // The first one is being "handled", and the others wait in buffers; none is read beyond the window.
    assert_eq!(super::in_spool(&world.delivery), 300);
    assert!(world.fake.seen().len() <= 1);
    world.fake.cut();
    let settled = world.settled().await;
    assert_eq!(settled.stored.len(), 300 + settled.doubled);
}

/// Case 31: slow answers cost latency, not throughput.
#[tokio::test(flavor = "multi_thread")]
async fn slow_answers_do_not_slow_the_stream() {
    let mut world = World::new().await;
    // No answer before the thirtieth request: who waits for the first one waits for ever.
    world.state().hold = 30;
    world.accept_batches(0..60).await;
    assert!(until(|| world.fake.seen().len() >= 60).await);
    assert_eq!(world.settled().await.doubled, 0);
}

/// Case 16: a service that is slow on one connection gets another, and one that is quiet again loses it.
#[tokio::test(flavor = "multi_thread")]
async fn a_saturated_stream_gets_company_while_it_needs_it() {
    let (saturated, quiet) = (Duration::from_millis(300), Duration::from_millis(300));
    let timing = Timing { saturated, quiet, ..Timing::default() };
    let mut world = World::with(BigQuery::start().await, Setup { timing, ..Setup::default() });
    world.fake.script((0..1_500).map(|_| Act::Delay(Duration::from_millis(5))));
    let mut number = 0;
    while world.state().calls < 2 {
        let rows = (0..50).map(|n| super::row_of_day(&format!("e{}", number + n), DAY + number as i32 + n as i32));
        world.accept_rows(rows.collect()).await;
        number += 50;
        assert!(number < 20_000, "no second connection");
    }
    world.state().script.clear();
    let settled = world.settled().await;
    assert_eq!((settled.stored.len(), settled.doubled), (number, 0));
    let opened = world.state().calls;
    while world.state().ended + 1 < opened {
        world.accept(ids(number..number + 1)).await;
        number += 1;
        assert!(number < 40_000, "the others are not closed");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    world.settled().await;
    assert_eq!(world.state().calls, opened);
}

/// Case 16: one that stands still gets no other.
#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_stands_still_gets_no_company() {
    let timing = Timing { saturated: Duration::from_millis(50), ..Timing::default() };
    let mut world = World::with(BigQuery::start().await, Setup { timing, ..Setup::default() });
    world.fake.script([Act::Silent]);
    world.accept_batches(0..200).await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(world.state().calls, 1);
    world.fake.cut();
    world.settled().await;
}

/// Case 28: opening fails for a while, for reasons that pass.
#[tokio::test(flavor = "multi_thread")]
async fn calls_that_cannot_be_opened_are_tried_again() {
    let mut world = World::new().await;
    world.state().openings.extend([Status::unavailable("a"), Status::aborted("b"), Status::internal("c")]);
    world.accept(ids(0..3)).await;
    assert_eq!(world.settled().await.stored, ["e0", "e1", "e2"]);
}

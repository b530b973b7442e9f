//! Couriers and books under a sink that fails in every way it can. Time is tokio's, paused: no test waits.

mod told;
mod world;

use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, Instant},
};

use bytesize::ByteSize;
use parking_lot::Mutex;
use tokio::runtime::Handle;
use world::{Act, Fake, World, blocked, row, transient};

use super::{dead_letter::Reason, *};
use crate::{
    schema::{Date, Event, Row},
    telemetry::{
        Metrics,
        metrics::{BySink, BySinkStream},
    },
};

#[tokio::test(start_paused = true)]
async fn rows_go_after_the_linger_and_not_before() {
    let world = World::new(Fake::default());
    world.accept([1, 1, 1]).await;
    tokio::time::sleep(Duration::from_millis(4_900)).await;
    assert_eq!(world.taken(), [0; 0]);
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(world.taken(), [0, 1, 2]);
    world.books_balance();
}

#[tokio::test(start_paused = true)]
async fn rows_that_an_answer_waits_for_go_soon_and_others_after_the_linger() {
    let world = World::new(Fake::default());
    let begun = tokio::time::Instant::now();
    // Of two days: neither batch is full.
    let end = world.delivery.accept([1, 2, 1].map(row).into()).await.unwrap();
    world.delivery.delivered(end).await;
    assert!(
        (Duration::from_millis(500)..Duration::from_millis(700)).contains(&begun.elapsed()),
        "{:?}",
        begun.elapsed()
    );
    assert_eq!(world.taken().len(), 3);

    // Whoever begins to wait late is not late.
    let end = world.delivery.accept(vec![row(1)]).await.unwrap();
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(world.taken().len(), 3);
    let begun = tokio::time::Instant::now();
    world.delivery.delivered(end).await;
    assert!(begun.elapsed() < Duration::from_millis(200), "{:?}", begun.elapsed());

    // Nobody waits any more.
    world.accept([1]).await;
    tokio::time::sleep(Duration::from_millis(4_900)).await;
    assert_eq!(world.taken().len(), 4);
    world.books_balance();
}

#[tokio::test(start_paused = true)]
async fn under_steady_load_no_row_waits_longer_than_the_linger() {
    let world = World::new(Fake::default());
    for _ in 0..100 {
        world.accept([1]).await;
        tokio::time::sleep(Duration::from_millis(700)).await;
    }
    // 5 s of linger hold 7 rows, and one more may be on its way.
    assert!(world.taken().len() >= 100 - 8, "{}", world.taken().len());
}

#[tokio::test(start_paused = true)]
async fn a_full_batch_does_not_wait() {
    let world = World::new(Fake::default());
    world.accept([1; 25]).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(world.taken().len(), 20);
    world.books_balance();
}

#[tokio::test(start_paused = true)]
async fn batches_that_are_full_by_size_follow_each_other_at_once() {
    let world = World::new(Fake::default());
    world.delivery.accept((0..80).map(large_row).collect()).await.unwrap();
    tokio::time::sleep(Duration::from_millis(100)).await;
    // The last of them may be the first of a batch to come.
    assert!(world.taken().len() >= 78, "{}", world.taken().len());
    world.books_balance();
}

/// Two of them fill a batch.
fn large_row(_: usize) -> Row {
    let event = Event { user_id: Some("x".repeat(400).into()), ..Event::default() };
    Row::freeze(&event, Date(1), "b".into())
}

#[tokio::test(start_paused = true)]
async fn a_backlog_on_disk_is_read_without_pauses() {
    let folder = tempfile::tempdir().unwrap();
    let config = WritersConfig {
        local: LocalConfig { directory: folder.path().into(), ..LocalConfig::default() },
        spool: spool::Config { directory: folder.path().join("spool"), ..spool::Config::default() },
        ..WritersConfig::default()
    };
    let start = |sink: Arc<Fake>| {
        let make = &mut |_: &spool::Spool| -> Vec<Arc<dyn Sink>> { vec![sink.clone()] };
        Delivery::with_sinks(&config, Arc::new(Metrics::new()), &Handle::current(), &["fake"], make).unwrap()
    };
    let before = start(Arc::new(Fake { prepare_acts: Mutex::new([Act::Hang].into()), ..Fake::default() }));
    before.accept((0..80).map(large_row).collect()).await.unwrap();
    before.drain(tokio::time::Instant::now().into_std()).await;
    before.release();

    let sink = Arc::new(Fake::default());
    let _delivery = start(sink.clone());
    let started = tokio::time::Instant::now();
    while sink.taken.lock().len() < 78 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert!(started.elapsed() < Duration::from_secs(2), "{:?}", started.elapsed());
}

#[tokio::test(start_paused = true)]
async fn transient_failures_are_tried_again_for_ever() {
    let world = World::new(Fake { acts: Mutex::new((0..50).map(|_| transient()).collect()), ..Fake::default() });
    world.accept([1, 2, 1]).await;
    tokio::time::sleep(Duration::from_secs(3_600)).await;
    let mut taken = world.taken();
    taken.sort();
    assert_eq!(taken, [0, 1, 2]);
    assert_eq!(world.metrics.batches_retried.get_or_create(&BySink { sink: "fake" }).get(), 50);
    assert!(*world.sink.prepared.lock() > 50, "the sink is prepared again after each failure");
    world.books_balance();
}

#[tokio::test(start_paused = true)]
async fn a_blocked_sink_raises_the_alarm_until_someone_acts() {
    let acts = Mutex::new(VecDeque::from([blocked()]));
    let prepare_acts = Mutex::new(VecDeque::new());
    let world = World::new(Fake { acts, prepare_acts, ..Fake::default() });
    tokio::time::sleep(Duration::from_secs(1)).await;
    world.sink.prepare_acts.lock().extend((0..20).map(|_| blocked()));
    world.accept([1]).await;
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert_eq!(world.blocked(), 1);
    assert!(world.lag() > 1e9, "the row says it was accepted in 1970: {}", world.lag());
    let health = world.delivery.health();
    assert!(health.ready, "events are kept, so they may come");
    assert_eq!(health.reasons, ["sink `fake`: no right (ask for it)"]);

    tokio::time::sleep(Duration::from_secs(600)).await;
    assert_eq!(world.blocked(), 0);
    assert_eq!(world.taken(), [0]);
    assert_eq!(world.lag(), 0.0);
    assert_eq!(world.delivery.health(), Health { ready: true, reasons: vec![] });
    world.books_balance();
}

#[tokio::test(start_paused = true)]
async fn an_alarm_ends_with_a_row_that_is_set_aside() {
    let world = World::new(Fake { acts: Mutex::new([blocked()].into()), refuses: vec![0], ..Fake::default() });
    world.accept([1]).await;
    tokio::time::sleep(Duration::from_secs(600)).await;
    assert_eq!(world.letters().len(), 1);
    assert_eq!((world.blocked(), world.delivery.health().reasons), (0, vec![]));
    world.books_balance();
}

#[tokio::test(start_paused = true)]
async fn the_lag_counts_from_the_first_row_though_the_sink_was_never_ready() {
    let world =
        World::new(Fake { prepare_acts: Mutex::new((0..1_000).map(|_| blocked()).collect()), ..Fake::default() });
    tokio::time::sleep(Duration::from_secs(30)).await;
    assert_eq!(world.lag(), 0.0);
    world.accept([1; 3]).await;
    tokio::time::sleep(Duration::from_secs(30)).await;
    assert!(world.lag() > 1e9, "the rows say they were accepted in 1970: {}", world.lag());
    world.sink.prepare_acts.lock().clear();
    tokio::time::sleep(Duration::from_secs(30)).await;
    assert_eq!((world.taken(), world.lag()), (vec![0, 1, 2], 0.0));
    world.books_balance();
}

#[tokio::test(start_paused = true)]
async fn a_sink_that_was_never_ready_is_told_and_turns_nobody_away() {
    let world = World::new(Fake { prepare_acts: Mutex::new([transient(), blocked()].into()), ..Fake::default() });
    let health = world.delivery.health();
    assert_eq!(health, Health { ready: true, reasons: vec!["sink `fake` is not prepared".into()] });
    world.accept([1]).await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(world.delivery.health(), Health { ready: true, reasons: vec![] });
    assert_eq!((world.taken(), world.blocked()), (vec![0], 0));
}

#[tokio::test(start_paused = true)]
async fn culprits_are_found_and_set_aside_and_the_rest_is_delivered_in_order() {
    let world = World::new(Fake { refuses: vec![2, 3, 9], ..Fake::default() });
    world.accept([1; 10]).await;
    tokio::time::sleep(Duration::from_secs(6)).await;
    assert_eq!(world.taken(), [0, 1, 4, 5, 6, 7, 8]);
    let expected = ["2", "3", "9"].map(|id| (id.to_owned(), Reason::Refused));
    assert_eq!(world.letters(), expected);
    world.books_balance();
    assert_eq!(world.drain(1).await.left_in_spool, 0);
}

#[tokio::test(start_paused = true)]
async fn rejected_rows_become_dead_letters() {
    let world = World::new(Fake { rejects: vec![0, 4], ..Fake::default() });
    world.accept([1; 5]).await;
    tokio::time::sleep(Duration::from_secs(6)).await;
    assert_eq!(world.taken(), [1, 2, 3]);
    assert_eq!(world.letters(), ["0", "4"].map(|id| (id.to_owned(), Reason::Rejected)));
    let text = world.metrics.encode();
    assert!(text.contains(r#"events_dead_lettered_total{sink="fake",stream="b",reason="rejected"} 2"#), "{text}");
    world.books_balance();
}

#[tokio::test(start_paused = true)]
async fn a_sink_that_panics_is_tried_again_and_only_the_row_that_wakes_the_bug_is_set_aside() {
    let acts = Mutex::new(VecDeque::from([Act::Panic, Act::Panic]));
    let world = World::new(Fake { acts, panics_at: vec![3], ..Fake::default() });
    world.accept([1; 5]).await;
    tokio::time::sleep(Duration::from_secs(600)).await;
    assert_eq!(world.taken(), [0, 1, 2, 4]);
    assert_eq!(world.letters(), [("3".to_owned(), Reason::Panicked)]);
    assert!(world.metrics.panics.get() >= 5);
    world.books_balance();
}

#[tokio::test(start_paused = true)]
async fn a_drain_does_not_wait_for_batches_to_fill() {
    let world = World::new(Fake::default());
    world.accept([1, 2, 3]).await;
    let before = tokio::time::Instant::now();
    assert_eq!(world.drain(5).await, Drained { delivered: 3, left_in_spool: 0 });
    assert!(before.elapsed() < Duration::from_secs(1));
    assert_eq!(world.delivery.accept(vec![row(1)]).await, Err(SpoolFull::Closed));
    world.books_balance();
}

#[tokio::test(start_paused = true)]
async fn a_drain_ends_at_its_deadline_and_what_is_left_stays_in_the_spool() {
    for acts in [vec![Act::Hang], (0..1_000).map(|_| transient()).collect(), (0..1_000).map(|_| blocked()).collect()] {
        let world = World::new(Fake { acts: Mutex::new(acts.into()), ..Fake::default() });
        world.accept([1, 1]).await;
        let before = tokio::time::Instant::now();
        assert_eq!(world.drain(5).await, Drained { delivered: 0, left_in_spool: 2 });
        assert_eq!(before.elapsed().as_secs(), 5);
        world.books_balance();
    }
}

#[tokio::test(start_paused = true)]
async fn a_drain_in_the_middle_of_a_back_off_tries_once_more() {
    let acts = Mutex::new((0..20).map(|_| transient()).collect());
    let world = World::new(Fake { acts, ..Fake::default() });
    world.accept([1]).await;
    tokio::time::sleep(Duration::from_secs(30)).await;
    world.sink.acts.lock().clear();
    assert_eq!(world.drain(5).await, Drained { delivered: 1, left_in_spool: 0 });
}

#[tokio::test(start_paused = true)]
async fn a_full_spool_refuses_and_counts_nothing() {
    let acts = Mutex::new((0..10_000).map(|_| transient()).collect());
    let world = World::sized(Fake { acts, ..Fake::default() }, ByteSize::kb(2));
    let mut kept = 0;
    while world.delivery.accept(vec![row(1)]).await.is_ok() {
        kept += 1;
    }
    assert!(kept > 0);
    assert_eq!(world.metrics.spool_refusals.get(), 1);
    let stream = world.metrics.stream("b");
    let in_spool = world.metrics.events_in_spool.get_or_create(&BySinkStream { sink: "fake", stream }).get();
    assert_eq!(in_spool, kept);
    assert!(!world.delivery.health().ready);
    world.books_balance();
}

#[tokio::test(start_paused = true)]
async fn every_stream_is_booked_by_itself_and_dropped_events_count() {
    let world = World::new(Fake { rejects: vec![1], ..Fake::default() });
    world.accept([1, 2, 2, 3]).await;
    world.delivery.dropped(&"b".into(), "invalid");
    world.drain(5).await;
    let mut balances = world.delivery.balances();
    balances.sort_by(|a, b| a.stream.cmp(&b.stream));
    assert!(balances.iter().all(Balance::holds), "{balances:?}");
    let figures = |n: usize| {
        let b = &balances[n];
        (&*b.stream, b.received, b.delivered, b.dropped, b.dead_lettered, b.in_spool)
    };
    assert_eq!(figures(0), ("a", 2, 1, 0, 1, 0));
    assert_eq!(figures(1), ("b", 3, 2, 1, 0, 0));
}

/// On a real disk, so in real time.
#[test]
fn rows_of_a_request_that_was_given_up_are_booked() {
    let folder = tempfile::tempdir().unwrap();
    let config = WritersConfig {
        local: LocalConfig { directory: folder.path().into(), ..LocalConfig::default() },
        spool: spool::Config { directory: folder.path().join("spool"), ..spool::Config::default() },
        ..WritersConfig::default()
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let sink = Arc::new(Fake::default());
    let made: Arc<dyn Sink> = sink.clone();
    let metrics = Arc::new(Metrics::new());
    let delivery =
        Delivery::with_sinks(&config, metrics, runtime.handle(), &["fake"], &mut |_| vec![made.clone()]).unwrap();
    runtime.block_on(async {
        for _ in 0..50 {
            let mut accept = Box::pin(delivery.accept(vec![row(1)]));
            // One poll hands the rows to the spool; then the client is gone.
            let _ = std::future::poll_fn(|context| std::task::Poll::Ready(accept.as_mut().poll(context))).await;
        }
        delivery.accept(vec![row(1)]).await.unwrap();
        let drained = delivery.drain(Instant::now() + Duration::from_secs(30)).await;
        // Full batches may have gone before the drain began, which does not count them.
        assert_eq!((sink.taken.lock().len(), drained.left_in_spool), (51, 0));
        // Who books for requests that were given up has only just heard of the disk.
        let late = async {
            while delivery.check_books().is_err() {
                tokio::time::sleep(Duration::from_millis(5)).await
            }
        };
        let _ = tokio::time::timeout(Duration::from_secs(20), late).await;
        delivery.check_books().unwrap();
    });
}

#[tokio::test(start_paused = true)]
async fn as_many_batches_are_in_flight_as_the_window_allows_and_they_begin_in_order() {
    let world = World::new(Fake { window: 4, delay: Duration::from_secs(1), ..Fake::default() });
    world.accept([1; 100]).await;
    let before = tokio::time::Instant::now();
    assert_eq!(world.drain(60).await, Drained { delivered: 100, left_in_spool: 0 });
    assert_eq!(before.elapsed().as_secs(), 3, "ten batches of one second, four at a time");
    assert_eq!(world.sink.under_way.lock().1, 4);
    assert_eq!(*world.sink.begun.lock(), (0..100).step_by(10).collect::<Vec<_>>());
    assert_eq!(world.taken(), (0..100).collect::<Vec<_>>());
    world.books_balance();
}

#[tokio::test(start_paused = true)]
async fn after_a_failure_everything_that_failed_goes_again_in_order_before_anything_new() {
    let fails = |_| transient();
    let acts = Mutex::new((0..4).map(fails).collect());
    let world = World::new(Fake { acts, window: 4, delay: Duration::from_secs(1), ..Fake::default() });
    world.accept([1; 60]).await;
    tokio::time::sleep(Duration::from_secs(30)).await;
    assert_eq!(*world.sink.begun.lock(), [0, 10, 20, 30, 0, 10, 20, 30, 40, 50]);
    assert_eq!(world.taken(), (0..60).collect::<Vec<_>>());
    world.books_balance();
}

#[tokio::test(start_paused = true)]
async fn a_destination_that_asks_for_less_gets_less() {
    let throttled =
        || Act::Fail(SinkError::Throttled { source: "quota".into(), retry_after: Some(Duration::from_secs(20)) });
    let acts = Mutex::new((0..8).map(|_| throttled()).collect());
    let world = World::new(Fake { acts, window: 8, delay: Duration::from_secs(1), ..Fake::default() });
    world.accept([1; 200]).await;
    tokio::time::sleep(Duration::from_secs(15)).await;
    assert_eq!(world.sink.begun.lock().len(), 8, "the wish for twenty seconds is granted");
    *world.sink.under_way.lock() = (0, 0);
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(world.taken().len(), 200);
    assert!((4..=6).contains(&world.sink.under_way.lock().1), "{:?}", world.sink.under_way.lock());
    world.books_balance();
}

#[tokio::test(start_paused = true)]
async fn a_refused_batch_among_others_costs_its_culprits_and_nothing_is_committed_early() {
    let sink = Fake { refuses: vec![7, 25], window: 4, delay: Duration::from_secs(1), ..Fake::default() };
    let world = World::new(sink);
    world.accept([1; 50]).await;
    assert_eq!(world.drain(60).await, Drained { delivered: 48, left_in_spool: 0 });
    let mut taken = world.taken();
    taken.sort();
    assert_eq!(taken, (0..50).filter(|position| ![7, 25].contains(position)).collect::<Vec<_>>());
    assert_eq!(world.letters().len(), 2);
    world.books_balance();
}

//! `writers.bq.exactly_once`: whatever breaks, the table has every row once. Case 47, and more.

use std::{collections::HashSet, time::Duration};

use real_streaming::gcp::{proto::rpc, write::Timing};
use tonic::Code;

use super::{DAY, Setup, World, freeze, ids, in_spool, row, row_of_day, until};
use crate::fakes::{
    bigquery::{Act, BigQuery, Listing, Table},
    judge,
    proxy::Proxy,
};

fn setup() -> Setup {
    let mut setup = Setup::default();
    setup.bq.exactly_once = true;
    setup.timing = Timing { calm: Duration::from_millis(20), ..Timing::default() };
    setup
}

async fn world() -> World {
    World::with(BigQuery::start().await, setup())
}

fn answer(code: Code, storage: i32) -> Act {
    Act::Answer(judge::storage_error(code, storage, "as the script says"))
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_stand_at_the_offsets_they_are_sent_with() {
    let mut world = world().await;
    for number in 0..3 {
        world.accept(ids(number * 2..number * 2 + 2)).await;
        world.settled().await;
    }
    let seen = world.fake.seen();
    let offsets: Vec<_> = seen.iter().map(|request| (request.connection, request.offset, request.has_schema)).collect();
    assert_eq!(offsets, [(1, Some(0), true), (1, Some(2), false), (1, Some(4), false)]);
    assert!(seen[0].write_stream.ends_with("/tables/events/streams/s1"), "{}", seen[0].write_stream);
    let settled = world.settled().await;
    assert_eq!((settled.stored, world.state().created), (ids(0..6).collect(), 1));
}

/// Many at once, and the stream breaks in all its ways, before and after the rows were stored.
#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_breaks_doubles_nothing() {
    let ends = [
        Act::Close(Code::Unavailable, "try elsewhere"),
        Act::StoreAndClose(Code::Unavailable, "gone"),
        Act::StoreAndClose(Code::Internal, "oops"),
        Act::End,
        // Nothing that passes at once: the rows come again, and only a count can tell.
        Act::StoreAndClose(Code::PermissionDenied, "no"),
        Act::StoreAndClose(Code::ResourceExhausted, "quota"),
        Act::Close(Code::DataLoss, "?"),
        Act::StoreAndClose(Code::Unauthenticated, "expired"),
    ];
    for end in ends {
        let mut world = world().await;
        world.accept(ids(0..1)).await;
        world.settled().await;
        let pause = Act::Delay(Duration::from_millis(20));
        world.fake.script([pause.clone(), pause.clone(), pause, end.clone()]);
        world.accept_batches(1..11).await;
        let settled = world.settled().await;
        assert_eq!((settled.stored.len(), settled.doubled, settled.letters.len()), (11, 0, 0), "{end:?}");
    }
}

/// A break again and again, as soon as it has stored something.
#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_always_breaks_after_it_stored_doubles_nothing() {
    let mut world = world().await;
    world.fake.script((0..6).map(|_| Act::StoreAndClose(Code::Unavailable, "gone")));
    world.accept_batches(0..30).await;
    let settled = world.settled().await;
    assert_eq!((settled.stored.len(), settled.doubled), (30, 0));
}

/// Offsets shift when rows are refused: those behind them are refused for that alone.
#[tokio::test(flavor = "multi_thread")]
async fn refused_rows_shift_the_offsets_of_those_behind_them() {
    for listing in [Listing::All, Listing::Some(1), Listing::None] {
        let mut world = world().await;
        world.accept(ids(100..101)).await;
        world.settled().await;
        world.state().listing = listing;
        world.fake.script([Act::Delay(Duration::from_millis(300))]);
        let mut bad = HashSet::new();
        for batch in 0..12 {
            let rows = (0..5).map(|n| {
                let id = format!("b{batch}-{n}");
                let is_bad = batch % 4 == 1 && n % 2 == 1;
                bad.extend(is_bad.then(|| id.clone()));
                let name = if is_bad { "bad" } else { "good" };
                let event = real_streaming::schema::Event { event_name: Some(name.into()), ..Default::default() };
                freeze(&id, event, DAY + batch)
            });
            world.accept_rows(rows.collect()).await;
        }
        let settled = world.settled().await;
        assert_eq!(settled.letters.into_keys().collect::<HashSet<_>>(), bad, "{listing:?}");
        assert_eq!((settled.stored.len(), settled.doubled), (61 - bad.len(), 0), "{listing:?}");
        if listing == Listing::All {
            let state = world.state();
            assert_eq!((state.created, state.calls), (1, 1), "the stream goes on");
        }
    }
}

/// Each refusal would send everything behind it once more: some 700 requests.
#[tokio::test(flavor = "multi_thread")]
async fn many_refusals_do_not_have_everything_sent_again_and_again() {
    const BATCHES: i32 = 36;
    let mut world = world().await;
    world.accept(ids(0..1)).await;
    world.settled().await;
    world.fake.script([Act::Delay(Duration::from_millis(300))]);
    let rows = (0..BATCHES).flat_map(|batch| {
        ["good", "bad"].map(|name| {
            let event = real_streaming::schema::Event { event_name: Some(name.into()), ..Default::default() };
            freeze(&format!("{name}{batch}"), event, DAY + batch)
        })
    });
    world.accept_rows(rows.collect()).await;
    let settled = world.settled().await;
    assert_eq!((settled.stored.len(), settled.letters.len(), settled.doubled), (37, 36, 0));
    let requests = world.fake.seen().len();
    assert!(requests < 4 * BATCHES as usize, "{requests}");
}

/// The same when the stream had broken before: a request of then may still be under way.
#[tokio::test(flavor = "multi_thread")]
async fn after_a_break_refused_rows_cost_the_stream() {
    let mut world = world().await;
    world.accept(ids(0..1)).await;
    world.settled().await;
    world.fake.script([Act::StoreAndClose(Code::Unavailable, "gone")]);
    world.accept(ids(1..2)).await;
    world.settled().await;
    assert_eq!(world.state().created, 1);
    world.accept_rows(vec![row("good", "good"), row("bad", "bad")]).await;
    let settled = world.settled().await;
    assert_eq!((settled.stored.len(), settled.doubled, world.state().created), (3, 0, 2));
    let streams = world.state().streams.clone();
    assert_eq!(
        streams.values().map(|stream| (stream.rows, stream.finalized)).collect::<Vec<_>>(),
        [(2, true), (1, false)]
    );
}

/// What the service says of the stream itself.
#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_has_ended_is_replaced() {
    // STREAM_FINALIZED, STREAM_NOT_FOUND, OFFSET_OUT_OF_RANGE and OFFSET_ALREADY_EXISTS where neither can be.
    let answers = [(Code::InvalidArgument, 6), (Code::NotFound, 3), (Code::OutOfRange, 9), (Code::AlreadyExists, 8)];
    for (code, storage) in answers {
        let mut world = world().await;
        world.accept(ids(0..1)).await;
        world.settled().await;
        world.fake.script([answer(code, storage)]);
        world.accept_batches(1..9).await;
        let settled = world.settled().await;
        assert_eq!((settled.stored.len(), settled.doubled), (9, 0), "{storage}");
        assert_eq!((settled.letters.len(), world.state().created), (0, 2), "{storage}");
    }
    // Somebody ends it, or removes it, while nothing is under way.
    for gone in [false, true] {
        let mut world = world().await;
        world.accept(ids(0..1)).await;
        world.settled().await;
        {
            let mut state = world.state();
            let streams = &mut state.streams;
            streams.values_mut().for_each(|stream| stream.finalized = true);
            if gone {
                streams.clear();
            }
        }
        world.accept_batches(1..5).await;
        assert_eq!((world.settled().await.doubled, world.state().created), (0, 2), "{gone}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_is_deleted_takes_its_stream_with_it() {
    let mut world = world().await;
    world.accept(ids(0..1)).await;
    world.settled().await;
    world.state().tables.remove("p/d/events").unwrap();
    world.accept_batches(1..4).await;
    assert!(until(|| world.fake.ids().len() == 3).await, "{:?}", world.delivery.health());
}

/// Nobody knows whether it held what was not answered: then nothing is guessed.
#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_is_gone_with_what_it_knew_blocks_the_writer() {
    let mut world = world().await;
    world.accept(ids(0..1)).await;
    world.settled().await;
    world.fake.script([Act::StoreAndClose(Code::PermissionDenied, "no")]);
    let lost = || judge::status(Code::NotFound, 3, "Requested entity was not found");
    world.state().finalizings.extend((0..3).map(|_| lost()));
    world.accept(ids(1..2)).await;
    assert!(until(|| world.state().finalizings.len() < 3).await);
    let words = || world.delivery.health().reasons.join("\n");
    assert!(until(|| words().contains("nobody can tell any more whether 1 rows were stored")).await, "{}", words());
    assert!(words().contains("direct.offsets`, and start"), "{}", words());
    // It was a slip of the service: once it tells, all goes on.
    world.state().finalizings.clear();
    assert_eq!(world.settled().await.doubled, 0);
}

/// The answer that said how many rows there are was lost, with the stream finalized. Asked again, the service tells, as its own
/// clients expect who try this call again; were it to refuse, nothing would be guessed either.
#[tokio::test(flavor = "multi_thread")]
async fn a_lost_count_is_asked_for_again_and_a_refused_one_is_not_guessed() {
    let mut world = world().await;
    world.accept(ids(0..1)).await;
    world.settled().await;
    world.fake.script([Act::StoreAndClose(Code::PermissionDenied, "no")]);
    world.state().lost_finalizings = 2;
    world.accept_batches(1..5).await;
    let settled = world.settled().await;
    assert_eq!((settled.stored.len(), settled.doubled, world.state().lost_finalizings), (5, 0, 0));

    world.fake.script([Act::StoreAndClose(Code::PermissionDenied, "no")]);
    (world.state().lost_finalizings, world.state().finalizes_once) = (1, true);
    world.accept(ids(5..6)).await;
    let words = || world.delivery.health().reasons.join("\n");
    assert!(until(|| words().contains("nobody can tell any more whether 1 rows were stored")).await, "{}", words());
    assert_eq!(world.fake.ids().len(), 6, "stored once, and not sent again on a suspicion");
}

/// An answer that says that something went wrong does not say that nothing was stored.
#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_leaves_open_what_was_stored_doubles_nothing() {
    let codes = [
        Code::Internal,
        Code::Unknown,
        Code::Unavailable,
        Code::DeadlineExceeded,
        Code::Cancelled,
        Code::Aborted,
        Code::DataLoss,
    ];
    let cases = codes.into_iter().flat_map(|code| [(code, true, 0), (code, true, 7), (code, false, 7)]);
    for (code, stored, behind) in cases {
        let mut world = world().await;
        world.accept(ids(0..1)).await;
        world.settled().await;
        let status = rpc::Status { code: code as i32, message: "oops".into(), details: vec![] };
        world.fake.script([if stored { Act::StoreAndAnswer(status) } else { Act::Answer(status) }]);
        world.accept_batches(1..2 + behind).await;
        let settled = world.settled().await;
        assert_eq!((settled.stored.len(), settled.doubled), (2 + behind, 0), "{code:?} {stored} {behind}");
        assert_eq!((settled.letters.len(), world.state().created), (0, 2), "{code:?} {stored} {behind}");
    }
}

/// Somebody has the rows go to another table, between two starts.
#[tokio::test(flavor = "multi_thread")]
async fn another_table_gets_a_stream_of_its_own() {
    let of = |world: &World, table: &str| {
        let ids = |table: &Table| table.rows.iter().map(|row| row.id.clone()).collect::<Vec<_>>();
        world.state().tables.get(table).map(ids).unwrap_or_default()
    };
    let other = |table: &str| {
        let mut other = setup();
        other.bq.table_id = table.into();
        other
    };
    let mut world = world().await;
    world.accept(ids(0..2)).await;
    world.settled().await;
    world.restart(other("others")).await;
    world.accept(ids(2..4)).await;
    assert!(until(|| in_spool(&world.delivery) == 0).await, "{:?}", world.delivery.health());
    assert_eq!((of(&world, "p/d/events"), of(&world, "p/d/others")), (ids(0..2).collect(), ids(2..4).collect()));
    // As it was goes on where it was.
    world.restart(other("others")).await;
    world.accept(ids(4..5)).await;
    assert!(until(|| in_spool(&world.delivery) == 0).await, "{:?}", world.delivery.health());
    assert_eq!((of(&world, "p/d/others"), world.state().created), (ids(2..5).collect(), 2));

    // What nobody knows of the rows in the old table is found out there.
    world.fake.script([Act::StoreAndClose(Code::PermissionDenied, "no")]);
    world.state().finalizings.extend((0..1_000).map(|_| tonic::Status::unavailable("later")));
    world.accept(ids(5..6)).await;
    assert!(until(|| world.state().finalizings.len() < 1_000).await);
    world.restart(other("thirds")).await;
    world.state().finalizings.clear();
    world.accept(ids(6..7)).await;
    assert!(until(|| in_spool(&world.delivery) == 0).await, "{:?}", world.delivery.health());
    assert_eq!((of(&world, "p/d/others"), of(&world, "p/d/thirds")), (ids(2..6).collect(), ids(6..7).collect()));
}

/// Quotas of the calls around the stream are waited for.
#[tokio::test(flavor = "multi_thread")]
async fn a_count_that_fails_is_tried_again() {
    let mut world = world().await;
    world.fake.script([Act::StoreAndClose(Code::ResourceExhausted, "quota")]);
    world.state().finalizings.extend([tonic::Status::unavailable("a"), tonic::Status::resource_exhausted("b")]);
    world.accept_batches(0..5).await;
    let settled = world.settled().await;
    assert_eq!((settled.stored.len(), settled.doubled), (5, 0));
}

/// Everything at once.
#[tokio::test(flavor = "multi_thread")]
async fn after_a_storm_of_faults_every_row_is_there_once() {
    let quota = || rpc::Status { code: Code::ResourceExhausted as i32, message: "quota".into(), details: vec![] };
    let internal = || rpc::Status { code: Code::Internal as i32, message: "oops".into(), details: vec![] };
    for seed in 0..3 {
        let mut random = fastrand::Rng::with_seed(seed);
        let fake = BigQuery::start().await;
        let proxy = Proxy::to(fake.grpc).await;
        let mut world = World::with(fake, Setup { grpc: Some(proxy.addr), ..setup() });
        let mut bad = HashSet::new();
        for round in 0..50 {
            let rows = (0..random.usize(1..60)).map(|n| {
                let id = format!("s{seed}-r{round}-{n}");
                let is_bad = random.u8(0..60) == 0;
                bad.extend(is_bad.then(|| id.clone()));
                let name = if is_bad { "bad" } else { "good" };
                let event = real_streaming::schema::Event { event_name: Some(name.into()), ..Default::default() };
                freeze(&id, event, DAY + random.i32(0..6))
            });
            world.accept_rows(rows.collect()).await;
            if random.bool() {
                world.fake.script([match random.u8(0..10) {
                    0 => Act::Close(Code::Unavailable, "elsewhere"),
                    1 | 2 => Act::StoreAndClose(Code::Internal, "oops"),
                    3 => Act::StoreAndClose(Code::PermissionDenied, "for a moment"),
                    4 => Act::End,
                    5 if random.bool() => Act::Answer(quota()),
                    6 => Act::Update,
                    7 => answer(Code::InvalidArgument, 6),
                    8 => Act::StoreAndAnswer(internal()),
                    _ => Act::Delay(Duration::from_millis(random.u64(0..30))),
                }]);
            }
            world.state().listing = *random.choice(&[Listing::All, Listing::Some(1), Listing::Some(3)]).unwrap();
            match random.u8(0..12) {
                0 => proxy.reset(),
                1 => world.fake.cut(),
                _ => tokio::time::sleep(Duration::from_millis(random.u64(0..60))).await,
            }
        }
        world.state().script.clear();
        let settled = world.settled().await;
        assert_eq!(settled.letters.into_keys().collect::<HashSet<_>>(), bad, "seed {seed}");
        assert_eq!((settled.stored.len(), settled.doubled), (world.accepted.len() - bad.len(), 0), "seed {seed}");
        println!("seed {seed}: {} rows, {} streams", settled.stored.len(), world.state().created);
    }
}

/// The file that says where rows are to stand cannot be written: nothing is sent.
#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_written_down_is_not_sent() {
    let mut world = world().await;
    let file = world.folder.path().join("spool/direct.offsets");
    std::fs::create_dir(&file).unwrap();
    world.accept_rows(vec![row_of_day("e0", DAY)]).await;
    let words = || world.delivery.health().reasons.join("\n");
    assert!(until(|| words().contains("cannot write down where rows go")).await, "{}", words());
    assert_eq!(world.fake.seen().len(), 0);
    std::fs::remove_dir(&file).unwrap();
    assert_eq!(world.settled().await.stored, ["e0"]);
}

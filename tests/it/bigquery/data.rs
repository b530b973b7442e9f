//! Rows and columns that the table will not take.

use std::{
    collections::HashSet,
    time::{Duration, Instant},
};

use real_streaming::gcp::{proto::rpc, write::Timing};
use tonic::Code;

use super::{DAY, Setup, World, ids, row, row_of_day, until};
use crate::fakes::bigquery::{Act, BigQuery, Listing};

fn rows(numbers: std::ops::Range<usize>, bad: &[usize]) -> Vec<real_streaming::schema::Row> {
    numbers.map(|n| row(&format!("e{n}"), if bad.contains(&n) { "bad" } else { "good" })).collect()
}

fn names(numbers: &[usize]) -> Vec<String> {
    numbers.iter().map(|n| format!("e{n}")).collect()
}

/// Case 32.
#[tokio::test(flavor = "multi_thread")]
async fn the_rows_that_are_named_become_dead_letters_and_the_others_are_stored() {
    let mut world = World::new().await;
    world.accept_rows(rows(0..10, &[3, 7])).await;
    let settled = world.settled().await;
    assert_eq!(settled.stored, names(&[0, 1, 2, 4, 5, 6, 8, 9]));
    assert_eq!(settled.letters["e3"], "row `e3` is bad");
    assert_eq!((settled.letters.len(), settled.doubled), (2, 0));
    assert_eq!(world.fake.seen().len(), 2, "refused once, then without the culprits");
}

/// Case 33.
#[tokio::test(flavor = "multi_thread")]
async fn a_list_that_is_not_complete_is_asked_for_again() {
    let mut world = World::new().await;
    world.state().listing = Listing::Some(2);
    world.accept_rows(rows(0..10, &[0, 2, 4, 6, 8, 9])).await;
    let settled = world.settled().await;
    assert_eq!(settled.stored, names(&[1, 3, 5, 7]));
    assert_eq!(settled.letters.keys().cloned().collect::<Vec<_>>(), names(&[0, 2, 4, 6, 8, 9]));
    assert_eq!(world.fake.seen().len(), 4);
}

/// Case 34.
#[tokio::test(flavor = "multi_thread")]
async fn when_every_row_is_bad_the_stream_goes_on() {
    let mut world = World::new().await;
    world.accept_rows(rows(0..5, &[0, 1, 2, 3, 4])).await;
    assert_eq!(world.settled().await.letters.len(), 5);
    world.accept_rows(rows(5..6, &[])).await;
    assert_eq!(world.settled().await.stored, ["e5"]);
}

/// Case 35.
#[tokio::test(flavor = "multi_thread")]
async fn a_list_that_is_of_no_use_is_replaced_by_a_search() {
    for listing in [Listing::None, Listing::Nonsense] {
        let mut world = World::new().await;
        world.accept_rows(rows(100..101, &[])).await;
        world.settled().await;
        world.state().listing = listing;
        world.accept_rows(rows(0..16, &[5, 11])).await;
        let settled = world.settled().await;
        assert_eq!(settled.letters.keys().cloned().collect::<HashSet<_>>(), names(&[5, 11]).into_iter().collect());
        assert_eq!((settled.stored.len(), settled.doubled), (15, 0), "{listing:?}");
    }
}

/// A request that is refused for what is not in its rows must not empty the spool into the dead letters.
#[tokio::test(flavor = "multi_thread")]
async fn requests_that_are_always_refused_block_the_writer_and_lose_nothing() {
    let mut world = World::new().await;
    let refusal = rpc::Status { code: Code::InvalidArgument as i32, message: "no idea".into(), details: vec![] };
    world.fake.script((0..200).map(|_| Act::Answer(refusal.clone())));
    world.accept_rows(rows(0..8, &[])).await;
    let words = world.blocked().await;
    assert!(words.contains("no idea") && words.contains("one row after the other is refused"), "{words}");
    assert_eq!(world.letters().len(), 0);
    world.state().script.clear();
    assert_eq!(world.settled().await.stored.len(), 8);
}

/// The same when the calls end with it, after rows were taken: a few dead letters at most, to be replayed.
#[tokio::test(flavor = "multi_thread")]
async fn calls_that_end_with_a_refusal_cost_a_few_rows_at_most() {
    let mut world = World::new().await;
    world.accept(ids(0..1)).await;
    world.settled().await;
    // Once: the row that the call ended over goes once more over another, and those behind it only come again.
    world.fake.script([Act::Close(Code::InvalidArgument, "cannot parse")]);
    world.accept_batches(1..20).await;
    let settled = world.settled().await;
    assert_eq!((settled.letters.len(), settled.doubled), (0, 0));
    // The same when the connection stays open: it is not used for the second try.
    let refusal = rpc::Status { code: Code::InvalidArgument as i32, message: "no idea".into(), details: vec![] };
    world.fake.script([Act::Answer(refusal)]);
    let before = world.fake.seen().len();
    world.accept(["again".to_owned()]).await;
    assert_eq!(world.settled().await.letters.len(), 0);
    let tries: Vec<_> = world.fake.seen().drain(before..).map(|request| request.connection).collect();
    assert!(tries.len() == 2 && tries[0] != tries[1], "{tries:?}");
    world.fake.script((0..200).map(|_| Act::Close(Code::InvalidArgument, "cannot parse")));
    world.accept(ids(20..60)).await;
    world.blocked().await;
    assert!(world.letters().len() <= 4, "{:?}", world.letters());
    world.state().script.clear();
    assert_eq!(world.settled().await.stored.len(), 61 - world.letters().len());
}

/// A table whose columns want what not every row has: nothing is buried, and somebody is told what to do.
#[tokio::test(flavor = "multi_thread")]
async fn a_column_that_rows_may_lack_and_the_table_requires_blocks_the_writer() {
    let required = |column: &str, member: Option<&str>| {
        let mut columns = real_streaming::schema::bigquery::table_schema();
        let of = |list: &mut serde_json::Value, name: &str| {
            let list = list.as_array_mut().unwrap();
            list.iter().position(|column| column["name"] == name).unwrap_or_else(|| {
                list.push(serde_json::json!({ "name": name, "type": "STRING" }));
                list.len() - 1
            })
        };
        let at = of(&mut columns, column);
        let column = match member {
            None => &mut columns[at],
            Some(member) => {
                let inner = of(&mut columns[at]["fields"], member);
                &mut columns[at]["fields"][inner]
            }
        };
        column["mode"] = "REQUIRED".into();
        columns
    };
    for (column, member, words) in [
        ("user_id", None, "ALTER TABLE `p.d.events` ALTER COLUMN `user_id` DROP NOT NULL"),
        ("rs_info", Some("theirs"), "`rs_info.theirs` is REQUIRED and no column of ours"),
        ("theirs", None, "ALTER COLUMN `theirs` DROP NOT NULL"),
        ("rs_info", Some("ip"), "`rs_info.ip` is REQUIRED, and not every row has a value"),
        // What every row has may be required.
        ("rs_info", Some("event_id"), ""),
    ] {
        let fake = BigQuery::start().await;
        let body =
            |columns| serde_json::json!({ "schema": { "fields": columns }, "timePartitioning": { "type": "DAY" } });
        let table = crate::fakes::bigquery::Table { body: body(required(column, member)), ..Default::default() };
        fake.state.lock().tables.insert("p/d/events".into(), table);
        let mut world = World::with(fake, Setup::default());
        world.accept(ids(0..100)).await;
        if !words.is_empty() {
            let told = world.blocked().await;
            assert!(told.contains(words), "{told}");
            assert_eq!(world.letters().len(), 0);
            let columns = real_streaming::schema::bigquery::table_schema();
            world.state().tables.get_mut("p/d/events").unwrap().body = body(columns);
        }
        assert_eq!(world.settled().await.stored.len(), 100, "{column} {member:?}");
    }
}

/// Every row of every request is listed, in the same words, and the table looks as it should: it is not the rows.
#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_refuses_every_row_alike_blocks_the_writer_and_buries_none() {
    for taken in [0, 1] {
        let mut world = World::new().await;
        world.accept(ids(0..taken)).await;
        world.settled().await;
        world.state().grudge = Some("something that no column shows");
        world.accept(ids(1..101)).await;
        let words = world.blocked().await;
        assert!(words.contains("something that no column shows") && words.contains("are refused alike"), "{words}");
        assert_eq!(world.letters().len(), 0);
        world.state().grudge = None;
        assert_eq!(world.settled().await.stored.len(), 100 + taken);
    }
}

/// Rows that share a fault become dead letters once the table has taken others, and not before.
#[tokio::test(flavor = "multi_thread")]
async fn rows_that_are_refused_alike_become_dead_letters_when_others_are_taken() {
    let mut world = World::new().await;
    world.accept(ids(0..1)).await;
    world.settled().await;
    world.accept_rows((1..41).map(|n| row(&format!("e{n}"), "alike")).collect()).await;
    world.blocked().await;
    assert_eq!(world.letters().len(), 0);
    world.accept(ids(41..42)).await;
    let settled = world.settled().await;
    assert_eq!((settled.letters.len(), settled.stored.len()), (40, 2));
    assert_eq!(settled.letters["e1"], "a value is out of range");
}

/// A table for each day: what another day's takes is a sign, too, though late rows of this one have nothing but faults.
#[tokio::test(flavor = "multi_thread")]
async fn a_days_rows_that_are_refused_alike_become_dead_letters_when_another_day_takes_some() {
    let mut setup = Setup::default();
    setup.bq.table_layout = real_streaming::deliver::TableLayout::Sharded;
    let mut world = World::with(BigQuery::start().await, setup);
    world.accept_rows((1..4).map(|n| row(&format!("e{n}"), "alike")).collect()).await;
    world.blocked().await;
    world.accept_rows(vec![row_of_day("e4", DAY + 1)]).await;
    let settled = world.settled().await;
    assert_eq!((settled.letters.len(), settled.stored), (3, vec!["e4".to_owned()]));
}

/// Nothing else comes: what is wrong with the last rows is not waited out for ever.
#[tokio::test(flavor = "multi_thread")]
async fn the_last_rows_that_are_refused_alike_become_dead_letters_at_last() {
    let timing = Timing { spread: Duration::from_secs(10), ..Timing::default() };
    let mut world = World::with(BigQuery::start().await, Setup { timing, ..Setup::default() });
    world.accept(ids(0..1)).await;
    world.settled().await;
    let begun = Instant::now();
    world.accept_rows((1..4).map(|n| row(&format!("e{n}"), "alike")).collect()).await;
    assert_eq!(world.settled().await.letters.len(), 3);
    assert!(begun.elapsed() >= timing.spread / 10, "{:?}", begun.elapsed());
}

/// A list that grows by one row with each answer does not cost a request for each row.
#[tokio::test(flavor = "multi_thread")]
async fn a_list_that_never_ends_is_cut_short_by_halving() {
    let mut world = World::new().await;
    world.state().listing = Listing::Some(1);
    let all: Vec<_> = (0..200).collect();
    world.accept_rows(rows(0..210, &all)).await;
    let settled = world.settled().await;
    assert_eq!((settled.letters.len(), settled.stored.len()), (200, 10));
}

fn all_but_the_name() -> Option<HashSet<String>> {
    let paths = real_streaming::schema::flatten().into_iter().map(|(path, _)| path);
    Some(paths.filter(|path| path != "event_name").collect())
}

/// Case 36: the Write API does not know the new columns yet. Rows wait, since what they lacked they would lack for ever.
#[tokio::test(flavor = "multi_thread")]
async fn columns_that_are_not_known_yet_are_waited_for() {
    let mut world = World::new().await;
    world.accept(ids(0..1)).await;
    world.settled().await;
    world.state().tables.get_mut("p/d/events").unwrap().known = all_but_the_name();
    world.accept(ids(1..3)).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!((super::in_spool(&world.delivery), world.fake.ids().len()), (2, 1));
    assert!(!world.metrics.encode().contains(r#"sink_blocked{sink="direct"} 1"#), "it will pass by itself");
    assert!(world.delivery.health().reasons.join("").contains("`p:d.events` yet: event_name"));
    let looks = world.state().calls;
    assert!(looks < 10, "{looks} calls in two seconds");
    world.state().tables.get_mut("p/d/events").unwrap().known = None;
    let settled = world.settled().await;
    assert_eq!((settled.stored.len(), settled.doubled), (3, 0));
    assert!(world.fake.rows().iter().all(|row| row.columns.has_field_by_name("event_name")));
}

/// Case 36: the Write API never learns of the new columns: better a row without them than none.
#[tokio::test(flavor = "multi_thread")]
async fn columns_that_stay_unknown_for_long_are_left_out_until_they_are_known() {
    let timing = Timing { spread: Duration::from_secs(2), ..Timing::default() };
    let mut world = World::with(BigQuery::start().await, Setup { timing, ..Setup::default() });
    world.accept(ids(0..1)).await;
    world.settled().await;
    world.state().tables.get_mut("p/d/events").unwrap().known = all_but_the_name();
    let begun = Instant::now();
    world.accept(ids(1..3)).await;
    world.settled().await;
    assert!(begun.elapsed() >= timing.spread, "{:?}", begun.elapsed());
    let rows = world.fake.rows();
    assert!(rows[0].columns.has_field_by_name("event_name"));
    assert!(rows[1].columns.get_field_by_name("event_name").is_none(), "the descriptor has no such field");
    assert!(rows[1].columns.has_field_by_name("event_params"));

    // It is asked again now and then.
    world.state().tables.get_mut("p/d/events").unwrap().known = None;
    tokio::time::sleep(timing.spread / 5).await;
    world.accept(ids(3..4)).await;
    world.settled().await;
    assert!(world.fake.rows().last().unwrap().columns.has_field_by_name("event_name"));
}

/// Case 37: an answer says that a column is known now.
#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_tells_of_new_columns_is_believed() {
    let fake = BigQuery::start().await;
    let mut columns = real_streaming::schema::bigquery::table_schema();
    columns.as_array_mut().unwrap().retain(|column| column["name"] != "event_name");
    let body = serde_json::json!({ "schema": { "fields": columns }, "timePartitioning": { "type": "DAY" } });
    let table = crate::fakes::bigquery::Table { body, ..Default::default() };
    fake.state.lock().tables.insert("p/d/events".into(), table);
    let mut setup = Setup::default();
    setup.bq.create_table = false;
    let mut world = World::with(fake, setup);
    world.accept(ids(0..1)).await;
    world.settled().await;
    let whole = real_streaming::schema::bigquery::table_schema();
    world.state().tables.get_mut("p/d/events").unwrap().body["schema"]["fields"] = whole;
    world.fake.script([Act::Update]);
    world.accept(ids(1..2)).await;
    world.settled().await;
    world.accept(ids(2..3)).await;
    let settled = world.settled().await;
    let has: Vec<_> =
        world.fake.rows().iter().map(|row| row.columns.get_field_by_name("event_name").is_some()).collect();
    assert_eq!((has, settled.doubled), (vec![false, false, true], 0));
    // A connection has one schema: what was in flight is answered over the first, and the second is told the whole one.
    let seen: Vec<_> =
        world.fake.seen().into_iter().map(|request| (request.connection, request.has_schema, request.ids)).collect();
    let request = |connection, has_schema, id: &str| (connection, has_schema, vec![id.to_owned()]);
    assert_eq!(seen, [request(1, true, "e0"), request(1, false, "e1"), request(2, true, "e2")]);
    assert_eq!(world.state().calls, 2);
    assert!(until(|| world.state().ended == 1).await, "the first is closed in good order");
}

/// Case 36: columns are added where that is allowed, and rows are narrowed where it is not.
#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_lacks_columns_gets_them_or_rows_without_them() {
    for (no_patch, create_table) in [(false, true), (true, true), (false, false)] {
        let fake = BigQuery::start().await;
        let mut columns = real_streaming::schema::bigquery::table_schema();
        let list = columns.as_array_mut().unwrap();
        list.retain(|column| column["name"] != "user_id");
        let info = list.iter_mut().find(|column| column["name"] == "rs_info").unwrap();
        info["fields"].as_array_mut().unwrap().retain(|member| member["name"] != "ip");
        list.push(serde_json::json!({ "name": "theirs", "type": "JSON", "description": "not ours" }));
        let body = serde_json::json!({ "schema": { "fields": columns }, "timePartitioning": { "type": "DAY" } });
        let table = crate::fakes::bigquery::Table { body, ..Default::default() };
        fake.state.lock().tables.insert("p/d/events".into(), table);
        fake.state.lock().no_patch = no_patch;
        let mut setup = Setup::default();
        setup.bq.create_table = create_table;
        let mut world = World::with(fake, setup);
        world.accept(ids(0..3)).await;
        assert_eq!(world.settled().await.stored.len(), 3);
        let patched = !no_patch && create_table;
        let body = world.state().tables["p/d/events"].body.clone();
        let columns = body["schema"]["fields"].as_array().unwrap();
        assert_eq!(columns.iter().any(|column| column["name"] == "user_id"), patched);
        let theirs = columns.iter().find(|column| column["name"] == "theirs").unwrap();
        assert_eq!(theirs["description"], "not ours");
        let described = world.fake.rows()[0].columns.get_field_by_name("user_id").is_some();
        assert_eq!(described, patched);
    }
}

/// Case 38.
#[tokio::test(flavor = "multi_thread")]
async fn a_column_that_somebody_changed_blocks_the_writer_until_it_is_changed_back() {
    let mut world = World::new().await;
    world.accept(ids(0..1)).await;
    world.settled().await;
    let retype = |world: &World, kind: &str| {
        let mut state = world.state();
        let fields = &mut state.tables.get_mut("p/d/events").unwrap().body["schema"]["fields"];
        let column = fields.as_array_mut().unwrap().iter_mut().find(|column| column["name"] == "event_name");
        column.unwrap()["type"] = kind.into();
    };
    retype(&world, "INTEGER");
    world.accept(ids(1..5)).await;
    let words = world.blocked().await;
    assert!(words.contains("`event_name` is INTEGER and not STRING"), "{words}");
    assert_eq!(world.letters().len(), 0);
    retype(&world, "STRING");
    assert_eq!(world.settled().await.stored.len(), 5);
}

/// Case 41.
#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_is_deleted_under_the_stream_is_made_again() {
    let mut world = World::new().await;
    world.accept(ids(0..1)).await;
    world.settled().await;
    let before = world.state().tables.remove("p/d/events").unwrap();
    world.accept(ids(1..3)).await;
    let stored = |fake: &BigQuery| fake.ids().len() == 2;
    assert!(until(|| stored(&world.fake)).await, "{:?}", world.delivery.health());
    assert_eq!(before.rows.len(), 1);
    // Somebody else is faster, and the table looks as it did: the call still belongs to the one that is gone.
    let calls = world.state().calls;
    let mut table = world.state().tables["p/d/events"].clone();
    (table.incarnation, table.rows) = (1_000, Vec::new());
    world.state().tables.insert("p/d/events".into(), table);
    world.accept(ids(3..5)).await;
    assert!(until(|| stored(&world.fake)).await, "{:?}", world.delivery.health());
    assert_eq!(world.state().calls, calls + 1);
}

//! The shape of requests.

use std::time::Duration;

use prost_reflect::Value as Reflected;
use real_streaming::{
    deliver::dead_letter,
    gcp::{
        Tokens,
        write::{self, WriterSchema},
    },
    schema::{
        Date, Event, Row, descriptor,
        proto::event::{Item, Param, RsInfo, Value},
    },
};

use super::{DAY, Setup, World, freeze, ids, row, until};
use crate::fakes::bigquery::{Act, BigQuery};

/// Cases 1, 2, 3 (the stand-in sends no headers before a request), 6 and 7 (it checks the descriptor).
#[tokio::test(flavor = "multi_thread")]
async fn the_first_request_says_everything_and_the_others_only_rows() {
    let mut world = World::new().await;
    for number in 0..3 {
        world.accept(ids(number..number + 1)).await;
        world.settled().await;
    }
    let seen = world.fake.seen();
    assert_eq!(seen.len(), 3);
    let stream = "projects/p/datasets/d/tables/events/streams/_default";
    for (index, request) in seen.iter().enumerate() {
        let first = index == 0;
        assert_eq!(request.connection, 1);
        assert_eq!(request.has_schema, first);
        assert_eq!(request.write_stream, if first { stream } else { "" });
        assert_eq!(request.trace_id.starts_with("real-streaming:"), first, "{}", request.trace_id);
        assert_eq!(request.offset, None);
        assert_eq!(request.authorization, None, "an emulator is shown no token");
        let routing = "write_stream=projects%2Fp%2Fdatasets%2Fd%2Ftables%2Fevents%2Fstreams%2F_default";
        assert_eq!(request.routing.as_deref(), Some(routing));
    }
}

/// Cases 4 and 5.
#[tokio::test(flavor = "multi_thread")]
async fn many_requests_are_sent_before_the_first_answer() {
    let mut world = World::new().await;
    world.state().hold = 32;
    world.accept_batches(0..32).await;
    let settled = world.settled().await;
    assert_eq!(settled.doubled, 0);
    let seen = world.fake.seen();
    assert_eq!((seen.len(), seen.last().unwrap().connection), (32, 1));
}

/// Case 5.
#[tokio::test(flavor = "multi_thread")]
async fn answers_that_take_their_time_find_their_requests() {
    let mut world = World::new().await;
    world.fake.script((0..20).map(|n| Act::Delay(Duration::from_millis(n * 7 % 40))));
    world.accept_batches(0..19).await;
    world.accept_rows(vec![row("bad1", "bad")]).await;
    let settled = world.settled().await;
    assert_eq!(settled.letters.keys().collect::<Vec<_>>(), ["bad1"]);
    assert_eq!(settled.doubled, 0);
}

/// Case 7, said apart from the stand-in, which refuses any other.
#[test]
fn the_descriptor_stands_alone_and_is_proto2_at_every_depth() {
    use prost_types::{DescriptorProto, field_descriptor_proto::Type};
    fn look(descriptor: &DescriptorProto, path: &str, around: &[&DescriptorProto], records: &mut usize) {
        let scopes = [around, &[descriptor]].concat();
        assert!(descriptor.oneof_decl.is_empty(), "{path} has oneofs");
        assert!(descriptor.enum_type.is_empty() && descriptor.extension.is_empty(), "{path}");
        for field in &descriptor.field {
            let path = format!("{path}.{}", field.name());
            assert!(field.proto3_optional.is_none() && field.oneof_index.is_none(), "{path} is of proto3");
            assert!(field.options.is_none(), "{path} has an option of ours, which the service does not know");
            assert!(!field.name().contains(|c: char| c.is_ascii_uppercase()), "{path}");
            if field.r#type() == Type::Message {
                let name = field.type_name();
                assert!(!name.starts_with('.'), "{path}: `{name}` names a package or a file");
                let mut known = scopes.iter().flat_map(|scope| &scope.nested_type);
                assert!(known.any(|nested| nested.name() == name), "{path}: `{name}` is elsewhere");
                *records += 1;
            }
        }
        for nested in &descriptor.nested_type {
            look(nested, &format!("{path}.{}", nested.name()), &scopes, records);
        }
    }
    let descriptor = real_streaming::schema::descriptor::self_contained();
    let mut records = 0;
    look(&descriptor, descriptor.name(), &[], &mut records);
    assert!(records > 10, "{records}");
    crate::fakes::judge::as_proto2(descriptor).unwrap();
}

/// Case 14: whatever holds for a connection only is said on every one.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_connection_was_told_it_is_told_again() {
    let mut world = World::new().await;
    for number in 0..3 {
        world.accept(ids(number..number + 1)).await;
        world.settled().await;
        world.fake.cut();
    }
    let seen = world.fake.seen();
    assert!(seen.len() >= 3);
    for request in seen {
        assert!(request.has_schema && request.trace_id.starts_with("real-streaming:"), "{request:?}");
        assert!(request.write_stream.ends_with("/streams/_default"));
    }
}

/// Case 8.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_and_a_zero_are_different_things() {
    let mut world = World::new().await;
    let event = Event {
        event_name: Some("".into()),
        event_value_in_usd: Some(0.0),
        event_bundle_sequence_id: Some(0),
        is_active_user: Some(false),
        user_id: None,
        items: vec![Item { quantity: Some(0), item_name: Some("".into()), ..Item::default() }],
        ..Event::default()
    };
    world
        .accept_rows(vec![freeze("zero", event, DAY), {
            let event = Event { ..Event::default() };
            freeze("none", event, DAY)
        }])
        .await;
    world.settled().await;
    let rows = world.fake.rows();
    let columns = ["event_name", "event_value_in_usd", "event_bundle_sequence_id", "is_active_user"];
    for name in columns {
        assert!(rows[0].columns.has_field_by_name(name), "{name} is zero, not null");
        assert!(!rows[1].columns.has_field_by_name(name), "{name} is null");
    }
    assert!(!rows[0].columns.has_field_by_name("user_id"));
    let items = rows[0].columns.get_field_by_name("items").unwrap().into_owned();
    let Reflected::List(items) = items else { panic!("{items:?}") };
    let item = items[0].as_message().unwrap();
    assert!(item.has_field_by_name("quantity") && item.has_field_by_name("item_name"));
    assert!(!item.has_field_by_name("item_id"));
}

/// Case 9.
#[tokio::test(flavor = "multi_thread")]
async fn lists_within_lists_arrive_whole() {
    let mut world = World::new().await;
    let param = |n: usize| Param {
        key: Some(format!("k{n}").into()),
        value: Some(Value { int_value: Some(n as i64), ..Value::default() }),
    };
    let items = (0..300).map(|n| Item { item_params: (0..n % 4).map(param).collect(), ..Item::default() }).collect();
    world.accept_rows(vec![freeze("long", Event { items, ..Event::default() }, DAY), row("short", "e")]).await;
    world.settled().await;
    let rows = world.fake.rows();
    let list = |row: usize| rows[row].columns.get_field_by_name("items").unwrap().as_list().unwrap().to_vec();
    assert_eq!((list(0).len(), list(1).len()), (300, 0));
    let params = list(0)[7].as_message().unwrap().get_field_by_name("item_params").unwrap().into_owned();
    let value = params.as_list().unwrap()[2].as_message().unwrap().get_field_by_name("value").unwrap().into_owned();
    assert_eq!(value.as_message().unwrap().get_field_by_name("int_value").unwrap().as_i64(), Some(2));
}

/// Cases 10 and 11, as far as rows can carry them.
#[tokio::test(flavor = "multi_thread")]
async fn extremes_arrive_as_they_are_and_impossible_days_become_dead_letters() {
    let mut world = World::new().await;
    let extreme = |id: &str, day: i32, number: i64, float: f64| {
        let event = Event {
            event_timestamp: Some(number),
            event_value_in_usd: Some(float),
            user_id: Some("a\0b\u{10ffff}".into()),
            ..Event::default()
        };
        freeze(id, event, day)
    };
    world
        .accept_rows(vec![
            extreme("low", -719_162, i64::MIN, f64::MIN),
            extreme("high", 2_932_896, i64::MAX, f64::INFINITY),
            extreme("epoch", 0, 0, f64::NAN),
            extreme("never", 2_932_897, 1, 1.0),
        ])
        .await;
    let settled = world.settled().await;
    assert_eq!(settled.letters.keys().collect::<Vec<_>>(), ["never"]);
    assert!(settled.letters["never"].contains("out of range"), "{:?}", settled.letters);
    let low = world.fake.rows().into_iter().find(|row| row.id == "low").unwrap().columns;
    assert_eq!(low.get_field_by_name("event_timestamp").unwrap().as_i64(), Some(i64::MIN));
    assert_eq!(low.get_field_by_name("user_id").unwrap().as_str(), Some("a\0b\u{10ffff}"));
}

/// Case 10: times to the microsecond, from the first one of the year 1 to the last one of the year 9999.
#[tokio::test(flavor = "multi_thread")]
async fn times_arrive_to_the_microsecond_and_impossible_ones_become_dead_letters() {
    const DAY_MICROS: i64 = 86_400_000_000;
    let (first, last) = (-719_162 * DAY_MICROS, 2_932_897 * DAY_MICROS - 1);
    let times = [("first", first), ("before", -1), ("odd", 1_767_225_600_123_457), ("last", last)];
    let impossible = [("never", last + 1), ("nowhere", first - 1)];
    let timed = |(id, micros): &(&str, i64)| {
        let info = RsInfo { event_id: Some((*id).into()), ..RsInfo::default() };
        let event = Event { date: Some(DAY), synced_at_utc: Some(*micros), rs_info: Some(info), ..Event::default() };
        Row::freeze(&event, Date(DAY), "1".into())
    };
    let mut world = World::new().await;
    world.accept_rows(times.iter().chain(&impossible).map(timed).collect()).await;
    let settled = world.settled().await;
    assert_eq!(settled.letters.keys().collect::<Vec<_>>(), ["never", "nowhere"]);
    let rows = world.fake.rows();
    let arrived: Vec<_> = rows
        .iter()
        .map(|row| (&*row.id, row.columns.get_field_by_name("synced_at_utc_").unwrap().as_i64().unwrap()))
        .collect();
    assert_eq!(arrived, times);
}

/// Case 11: a text of a mebibyte.
#[tokio::test(flavor = "multi_thread")]
async fn a_long_text_arrives_whole() {
    let mut world = World::new().await;
    let text = "é\u{10ffff}".repeat((1 << 20) / 6);
    let event = Event { user_id: Some(text.clone().into()), ..Event::default() };
    world.accept_rows(vec![freeze("long", event, DAY), row("short", "e")]).await;
    world.settled().await;
    let long = world.fake.rows().into_iter().find(|row| row.id == "long").unwrap().columns;
    assert_eq!(long.get_field_by_name("user_id").unwrap().as_str(), Some(&*text));
}

/// Cases 12 and 13: a request may be as large as may be, and the schema counts.
#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_just_fits_goes_with_the_schema_and_one_byte_more_is_too_large() {
    let fake = BigQuery::start().await;
    let mut world = World::with(fake.clone(), Setup::default());
    let large = |id: &str, size: usize| {
        let user_id = Some("x".repeat(size).into());
        freeze(id, Event { user_id, ..Event::default() }, DAY)
    };
    let target = write::Target {
        endpoint: format!("http://{}", fake.grpc).parse().unwrap(),
        tokens: Tokens::none(),
        stream: "projects/p/datasets/d/tables/events/streams/_default".into(),
    };
    let schema = WriterSchema::new(descriptor::self_contained());
    let size = |row: &Row| write::request_len(&target, &schema, &[row.to_bytes()]);
    // Lengths of this size all take four bytes.
    let just = write::MAX_REQUEST - size(&large("a", 18 << 20)) + (18 << 20);
    assert_eq!(size(&large("a", just)), write::MAX_REQUEST);
    for id in ["a", "b"] {
        world.accept_rows(vec![large(id, just)]).await;
        world.settled().await;
    }
    world.accept_rows(vec![large("c", just + 1)]).await;
    world.accept(ids(0..3)).await;
    let settled = world.settled().await;
    assert_eq!(settled.letters.keys().collect::<Vec<_>>(), ["c"]);
    assert_eq!(world.reason("c"), dead_letter::Reason::TooLarge);
    let seen = world.fake.seen();
    let [with, without] = [&seen[0], &seen[1]];
    assert!(with.has_schema && !without.has_schema);
    // The bound is no more than the spare bytes of lengths and names above what is sent.
    assert!((write::MAX_REQUEST - 256..=write::MAX_REQUEST).contains(&with.size), "{}", with.size);
    assert!(without.size + schema.len <= with.size, "{} and {}, {}", without.size, with.size, schema.len);
    assert!(seen.iter().all(|request| request.size <= write::MAX_REQUEST));
}

/// Case 12.
#[tokio::test(flavor = "multi_thread")]
async fn no_request_is_too_large_and_a_row_that_would_be_holds_nobody_up() {
    let mut world = World::new().await;
    let large = |id: &str, size: usize| {
        let user_id = Some("x".repeat(size).into());
        freeze(id, Event { user_id, ..Event::default() }, DAY)
    };
    for number in 0..6 {
        world.accept_rows(vec![large(&format!("m{number}"), 700 << 10)]).await;
    }
    world.accept_rows(vec![large("monster", 19 << 20)]).await;
    world.accept(ids(0..5)).await;
    let settled = world.settled().await;
    assert_eq!(settled.letters.keys().collect::<Vec<_>>(), ["monster"]);
    assert!(settled.letters["monster"].contains("bytes is more than"), "{:?}", settled.letters);
    assert_eq!(world.reason("monster"), dead_letter::Reason::TooLarge);
    assert!(world.metrics.encode().contains(r#"reason="too_large"} 1"#), "{}", world.metrics.encode());
    let largest = world.fake.seen().iter().map(|request| request.size).max().unwrap();
    assert!(largest <= 2 << 20, "{largest}");
}

/// Case 15, and the layout with a table for each day.
#[tokio::test(flavor = "multi_thread")]
async fn a_table_for_each_day_has_a_stream_of_its_own() {
    let fake = BigQuery::start().await;
    let mut setup = Setup::default();
    setup.bq.table_layout = real_streaming::deliver::TableLayout::Sharded;
    let mut world = World::with(fake, setup);
    let days = [DAY, DAY + 1, DAY, DAY + 1];
    let rows = days.iter().enumerate().map(|(n, day)| super::row_of_day(&format!("e{n}"), *day));
    world.delivery.accept(rows.collect()).await.unwrap();
    assert!(until(|| super::in_spool(&world.delivery) == 0).await, "{:?}", world.delivery.health());
    let tables = world.state().tables.clone();
    assert_eq!(tables.keys().collect::<Vec<_>>(), ["p/d/events_20260101", "p/d/events_20260102"]);
    for (table, expected) in tables.values().zip([["e0", "e2"], ["e1", "e3"]]) {
        assert_eq!(table.rows.iter().map(|row| &row.id[..]).collect::<Vec<_>>(), expected);
        assert!(table.body.get("timePartitioning").is_none());
    }
    world.accepted.clear();
}

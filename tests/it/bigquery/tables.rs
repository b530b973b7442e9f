//! Tables, data sets, rights and tokens.

use std::{
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use real_streaming::{
    deliver::TableLayout,
    gcp::{
        Tokens,
        auth::{AuthError, Source, Token},
        bigquery::{TableName, Tables},
        proto::rpc,
        rest::Rest,
        write::{self, Appender, Target, Timing, WriterSchema},
    },
};
use tonic::{Code, Status};

use super::{DAY, Setup, World, ids, row, row_of_day, until};
use crate::fakes::bigquery::{Act, BigQuery, Table};

/// Case 39.
#[tokio::test(flavor = "multi_thread")]
async fn a_missing_table_is_created_as_it_should_be() {
    let mut world = World::new().await;
    world.accept(ids(0..1)).await;
    world.settled().await;
    let body = world.state().tables["p/d/events"].body.clone();
    assert_eq!(body["timePartitioning"], serde_json::json!({ "type": "DAY", "field": "date" }));
    assert_eq!(body["clustering"]["fields"], serde_json::json!(["user_pseudo_id", "event_name"]));
    assert_eq!(body["labels"]["managed-by"], "real-streaming");
    let columns = body["schema"]["fields"].as_array().unwrap();
    assert!(columns.iter().all(|column| !column["description"].as_str().unwrap_or_default().is_empty()));
    let names: Vec<_> = columns.iter().filter_map(|column| column["name"].as_str()).collect();
    for metadata in ["subscription_name", "message_id", "publish_time", "attributes"] {
        assert!(names.contains(&metadata), "{metadata} is what a subscription writes");
    }
}

/// Case 39: what is configured about a table, in both layouts.
#[tokio::test(flavor = "multi_thread")]
async fn tables_get_the_expiration_and_the_labels_that_are_configured() {
    let mut setup = Setup::default();
    setup.bq.partition_expiration = Some("400d".parse().unwrap());
    setup.bq.labels = [("team".to_owned(), "web".to_owned())].into();
    let mut world = World::with(BigQuery::start().await, setup.clone());
    world.accept(ids(0..1)).await;
    world.settled().await;
    let body = world.state().tables["p/d/events"].body.clone();
    assert_eq!(body["timePartitioning"]["expirationMs"], "34560000000");
    assert_eq!(body["labels"], serde_json::json!({ "managed-by": "real-streaming", "team": "web" }));
    assert!(body.get("expirationTime").is_none());

    setup.bq.table_layout = TableLayout::Sharded;
    let mut world = World::with(BigQuery::start().await, setup);
    // A day that is long over as well: the service refuses an end in the past.
    world.accept_rows(vec![row_of_day("new", DAY), row_of_day("old", 10_000)]).await;
    assert!(until(|| super::in_spool(&world.delivery) == 0).await, "{:?}", world.delivery.health());
    let state = world.state();
    let table = |name: &str| state.tables[name].body.clone();
    assert!(table("p/d/events_20260101").get("timePartitioning").is_none());
    assert!(table("p/d/events_20260101")["expirationTime"].is_string());
    assert!(table("p/d/events_19970519")["expirationTime"].is_string());
}

/// Case 39: several instances start together.
#[tokio::test(flavor = "multi_thread")]
async fn instances_that_start_together_share_one_table() {
    let fake = BigQuery::start().await;
    let mut worlds: Vec<_> = (0..5).map(|_| World::with(fake.clone(), Setup::default())).collect();
    for (number, world) in worlds.iter_mut().enumerate() {
        world.accept(ids(number..number + 1)).await;
    }
    assert!(until(|| fake.ids().len() == 5).await);
    assert_eq!(fake.state.lock().tables.len(), 1);
}

/// Case 39: another instance makes the table between the look and the attempt to make it.
#[tokio::test(flavor = "multi_thread")]
async fn whoever_comes_second_takes_the_table_that_is_there() {
    let fake = BigQuery::start().await;
    fake.state.lock().tables.insert("p/d/events".into(), whole_table());
    // As it was a moment ago.
    fake.state.lock().refusals.push_back(("GET", 404, "notFound"));
    let mut world = World::with(fake, Setup::default());
    world.accept(ids(0..3)).await;
    assert_eq!(world.settled().await.stored, ["e0", "e1", "e2"]);
    let state = world.state();
    assert_eq!((state.duplicates, state.tables_made), (1, 0), "{:?}", state.rest_seen);
}

/// Case 40: the table is there and the Write API does not know it for a while.
#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_is_not_known_yet_is_waited_for() {
    let mut world = World::new().await;
    world.state().amnesia = true;
    world.accept(ids(0..3)).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(super::in_spool(&world.delivery), 3);
    assert!(!world.metrics.encode().contains(r#"sink_blocked{sink="direct"} 1"#), "it will pass by itself");
    world.state().amnesia = false;
    assert_eq!(world.settled().await.stored.len(), 3);
}

const VAGUE: &str = "Permission 'TABLES_UPDATE_DATA' denied on resource 'p:d.events' (or it may not exist).";

/// Case 40: the Write API says no instead, as it does to those who may not know whether there is such a table. A table that
/// was made a moment ago, by us or by anybody, is waited for.
#[tokio::test(flavor = "multi_thread")]
async fn a_new_table_that_is_denied_is_waited_for_and_the_right_is_named_at_last() {
    let timing = Timing { spread: Duration::from_secs(8), ..Timing::default() };
    for (is_ours, words) in [(false, VAGUE), (true, "Permission 'TABLES_UPDATE_DATA' denied on resource 'p:d.events'")]
    {
        let fake = BigQuery::start().await;
        if !is_ours {
            let made = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as u64;
            fake.state.lock().tables.insert("p/d/events".into(), Table { made, ..whole_table() });
        }
        let mut world = World::with(fake, Setup { timing, ..Setup::default() });
        world.state().openings.extend((0..100).map(|_| Status::permission_denied(words)));
        world.accept(ids(0..3)).await;
        tokio::time::sleep(Duration::from_secs(2)).await;
        assert_eq!(super::in_spool(&world.delivery), 3);
        assert!(!world.metrics.encode().contains(r#"sink_blocked{sink="direct"} 1"#), "it may pass by itself");
        assert!(world.delivery.health().reasons.join("").contains("`bigquery.tables.updateData`"));
        let told = world.blocked().await;
        assert!(told.contains("cannot write to") && told.contains("`bigquery.tables.updateData`"), "{told}");
        world.state().openings.clear();
        assert_eq!(world.settled().await.stored.len(), 3);
    }
}

/// Case 40: an old table that is denied lacks a right, in whatever words, and somebody is told at once.
#[tokio::test(flavor = "multi_thread")]
async fn an_old_table_that_is_denied_is_told_at_once() {
    for exactly_once in [false, true] {
        let fake = BigQuery::start().await;
        fake.state.lock().tables.insert("p/d/events".into(), whole_table());
        let mut setup = Setup::default();
        setup.bq.exactly_once = exactly_once;
        let mut world = World::with(fake, setup);
        // Of the usual ten minutes it waits for none.
        world.state().openings.extend((0..100).map(|_| Status::permission_denied(VAGUE)));
        world.accept(ids(0..3)).await;
        let told = world.blocked().await;
        assert!(told.contains("cannot write to") && told.contains("`bigquery.tables.updateData`"), "{told}");
        world.state().openings.clear();
        assert_eq!(world.settled().await.stored.len(), 3);
    }
}

/// Case 41: the same words for a table that was deleted under the stream: it is made again, and waited for.
#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_table_that_is_denied_is_made_again() {
    let fake = BigQuery::start().await;
    fake.state.lock().tables.insert("p/d/events".into(), whole_table());
    let mut world = World::with(fake, Setup::default());
    world.accept(ids(0..1)).await;
    world.settled().await;
    world.state().tables.clear();
    world.accepted.clear();
    let denied = rpc::Status { code: Code::PermissionDenied as i32, message: VAGUE.into(), details: vec![] };
    world.fake.script([Act::Answer(denied)]);
    world.accept(ids(1..3)).await;
    assert_eq!(world.settled().await.stored, ["e1", "e2"]);
    assert_eq!(world.state().tables_made, 1);
}

/// With all columns of ours.
fn whole_table() -> Table {
    let columns = real_streaming::schema::bigquery::table_schema();
    let body = serde_json::json!({ "schema": { "fields": columns }, "timePartitioning": { "type": "DAY" } });
    Table { body, ..Table::default() }
}

/// Case 42: a data set that nobody may create.
#[tokio::test(flavor = "multi_thread")]
async fn a_missing_data_set_is_named_with_the_command_that_makes_it() {
    let fake = BigQuery::start().await;
    fake.state.lock().datasets.clear();
    let mut setup = Setup::default();
    setup.bq.location = "EU".into();
    let mut world = World::with(fake, setup.clone());
    world.accept(ids(0..2)).await;
    let words = world.blocked().await;
    assert!(words.contains("data set `p:d` does not exist"), "{words}");
    assert!(words.contains("`bq --location=EU mk --dataset p:d`"), "{words}");
    world.state().datasets.insert("p/d".into());
    assert_eq!(world.settled().await.stored.len(), 2);

    let fake = BigQuery::start().await;
    fake.state.lock().datasets.clear();
    setup.bq.create_dataset = true;
    let mut world = World::with(fake, setup);
    world.accept(ids(0..2)).await;
    world.settled().await;
}

/// Case 42: answers that pass, and answers that do not.
#[tokio::test(flavor = "multi_thread")]
async fn refusals_that_pass_are_waited_for_and_a_missing_right_is_named() {
    let fake = BigQuery::start().await;
    fake.state.lock().refusals.extend([
        ("GET", 403, "rateLimitExceeded"),
        ("GET", 503, "backendError"),
        ("POST", 500, "internalError"),
        ("GET", 429, "rateLimitExceeded"),
    ]);
    let mut world = World::with(fake, Setup::default());
    world.accept(ids(0..1)).await;
    world.settled().await;

    let fake = BigQuery::start().await;
    fake.state.lock().refusals.extend((0..3).map(|_| ("POST", 403, "accessDenied")));
    let mut world = World::with(fake, Setup::default());
    world.accept(ids(0..1)).await;
    let words = world.blocked().await;
    for part in ["cannot create `p:d.events`", "`bigquery.tables.create`", "`p:d`", "roles/bigquery.dataEditor"] {
        assert!(words.contains(part), "{words}");
    }
    assert_eq!(world.settled().await.stored, ["e0"]);
}

/// Case 42: columns are added by two at once.
#[tokio::test(flavor = "multi_thread")]
async fn a_patch_that_came_too_late_is_made_anew() {
    let fake = BigQuery::start().await;
    let body = serde_json::json!({ "schema": { "fields": [{ "name": "date", "type": "DATE" }] } });
    let table = Table { body, ..Table::default() };
    fake.state.lock().tables.insert("p/d/events".into(), table);
    fake.state.lock().refusals.push_back(("PATCH", 412, "conditionNotMet"));
    let mut world = World::with(fake, Setup::default());
    world.accept(ids(0..1)).await;
    world.settled().await;
    let patches = world.state().rest_seen.iter().filter(|call| call.starts_with("PATCH")).count();
    assert_eq!(patches, 2);
}

/// No right to write: nothing is lost, and somebody is told what to do.
#[tokio::test(flavor = "multi_thread")]
async fn without_the_right_to_write_rows_wait_in_the_spool() {
    let fake = BigQuery::start().await;
    fake.state.lock().tables.insert("p/d/events".into(), whole_table());
    let mut world = World::with(fake, Setup::default());
    let denied = || Status::permission_denied("Permission 'TABLES_UPDATE_DATA' denied on resource 'p:d.events'");
    world.state().openings.extend((0..3).map(|_| denied()));
    world.accept(ids(0..4)).await;
    let words = world.blocked().await;
    assert!(words.contains("TABLES_UPDATE_DATA") && words.contains("`bigquery.tables.updateData`"), "{words}");
    assert_eq!(world.letters().len(), 0);
    assert_eq!(world.settled().await.stored.len(), 4);
}

/// Hands out `t0`, `t1`, ….
#[derive(Clone, Default)]
struct Numbered(Arc<std::sync::atomic::AtomicUsize>);

#[tonic::async_trait]
impl Source for Numbered {
    async fn fetch(&self) -> Result<Token, AuthError> {
        let number = self.0.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        let quota_project = Some("billed".to_owned());
        Ok(Token { secret: format!("t{number}"), lifetime: Duration::from_secs(3_600), quota_project })
    }
}

/// Case 43: a token is refused in the middle of the stream.
#[tokio::test(flavor = "multi_thread")]
async fn a_refused_token_is_replaced_once_and_a_second_refusal_is_told() {
    let fake = BigQuery::start().await;
    let mut world = World::with(fake.clone(), Setup::default());
    world.accept(ids(0..1)).await;
    world.settled().await;
    world.accepted.clear();

    let source = Numbered::default();
    let target = Target {
        endpoint: format!("http://{}", fake.grpc).parse().unwrap(),
        tokens: Tokens::from_source(source.clone()),
        stream: "projects/p/datasets/d/tables/events/streams/_default".into(),
    };
    let appender = Appender::new(target, Timing::default());
    let schema = Arc::new(WriterSchema::new(real_streaming::schema::descriptor::self_contained()));
    let append = |id: &str| appender.append(schema.clone(), vec![row(id, "e").to_bytes()]);
    append("a").await.unwrap();
    let token = |fake: &BigQuery| fake.seen().last().unwrap().authorization.clone().unwrap();
    assert_eq!(token(&fake), "Bearer t0");

    // The service finds the token expired, within the stream and then when it is opened again.
    fake.state.lock().bad_tokens.insert("Bearer t0".into());
    fake.script([Act::Close(Code::Unauthenticated, "expired")]);
    append("b").await.unwrap();
    assert_eq!(token(&fake), "Bearer t1");
    assert_eq!(source.0.load(std::sync::atomic::Ordering::SeqCst), 2);

    fake.state.lock().bad_tokens.extend(["Bearer t1".into(), "Bearer t2".into()]);
    fake.cut();
    let error = append("c").await.unwrap_err().to_string();
    assert!(error.contains("UNAUTHENTICATED"), "{error}");
    append("d").await.unwrap();
}

/// A person's calls name the project whose quota they use.
#[tokio::test(flavor = "multi_thread")]
async fn every_call_of_a_person_says_whose_quota_it_uses() {
    let fake = BigQuery::start().await;
    let tokens = Tokens::from_source(Numbered::default());
    fake.state.lock().tables.insert("p/d/events".into(), whole_table());
    let target = Target {
        endpoint: format!("http://{}", fake.grpc).parse().unwrap(),
        tokens: tokens.clone(),
        stream: "projects/p/datasets/d/tables/events/streams/_default".into(),
    };
    let appender = Appender::new(target, Timing::default());
    let schema = Arc::new(WriterSchema::new(real_streaming::schema::descriptor::self_contained()));
    appender.append(schema, vec![row("a", "e").to_bytes()]).await.unwrap();
    assert_eq!(fake.seen()[0].quota_project.as_deref(), Some("billed"));
    let tables = Tables::new(Rest::new(format!("http://{}", fake.rest).parse().unwrap(), tokens).unwrap());
    let name = TableName { project: "p".into(), dataset: "d".into(), table: "events".into() };
    tables.get(&name).await.unwrap();
    assert_eq!(fake.state.lock().rest_quota, [Some("billed".to_owned())]);
}

/// The same for the calls around a stream.
#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_is_refused_for_a_single_call_is_replaced() {
    let fake = BigQuery::start().await;
    let mut world = World::with(fake.clone(), Setup::default());
    world.accept(ids(0..1)).await;
    world.settled().await;
    let target = Target {
        endpoint: format!("http://{}", fake.grpc).parse().unwrap(),
        tokens: Tokens::from_source(Numbered::default()),
        stream: "projects/p/datasets/d/tables/events/streams/_default".into(),
    };
    fake.state.lock().bad_tokens.insert("Bearer t0".into());
    let stream = write::create_committed(&target).await.unwrap();
    fake.state.lock().bad_tokens.insert("Bearer t1".into());
    assert_eq!(write::finalize(&target, &stream).await.unwrap(), 0);
    fake.state.lock().bad_tokens.extend(["Bearer t2".into(), "Bearer t3".into()]);
    assert_eq!(write::finalize(&target, &stream).await.unwrap_err().code, Code::Unauthenticated);
}

/// Case 43: a name that nobody knows, and a peer with which no TLS can be agreed upon. Both are told, and both may pass.
#[tokio::test(flavor = "multi_thread")]
async fn a_name_or_a_certificate_that_is_no_good_is_waited_out() {
    let fake = BigQuery::start().await;
    let schema = Arc::new(WriterSchema::new(real_streaming::schema::descriptor::self_contained()));
    for (endpoint, words) in [
        ("http://no-such-host.invalid:1".to_owned(), "dns error"),
        (format!("https://{}", fake.grpc), "InvalidContentType"),
    ] {
        let target = Target {
            endpoint: endpoint.parse().unwrap(),
            tokens: Tokens::none(),
            stream: "projects/p/datasets/d/tables/events/streams/_default".into(),
        };
        let appender = Appender::new(target, Timing::default());
        let error = appender.append(schema.clone(), vec![row("a", "e").to_bytes()]).await.unwrap_err();
        let real_streaming::gcp::write::AppendError::Failed(failure) = error else { panic!("{error}") };
        assert!(matches!(failure.code, Code::Unavailable | Code::Unknown | Code::Internal), "{failure:?}");
        assert!(failure.message.contains(words), "{failure:?}");
    }
}

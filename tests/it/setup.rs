//! What `real-streaming setup` creates, changes, leaves alone and says, against strict stand-ins, and against Google's
//! own Pub/Sub emulator where it is installed.

use std::{process::Command, sync::Arc};

use real_streaming::{
    deliver::{
        BigQueryConfig, Delivery, Encoding, LocalConfig, PubSubConfig, Strategies, Strategy, TableLayout,
        WritersConfig,
        setup::{self, Outcome, Report, Request},
        spool,
    },
    gcp::proto::pubsub::{ExpirationPolicy, SchemaSettings, Subscription, big_query_config::State},
    schema::Event,
    telemetry::Metrics,
};
use serde_json::{Value, json};
use tokio::runtime::Handle;
use tonic::Status;

use crate::{
    fakes::{
        bigquery::{BigQuery, Table},
        pubsub::PubSub,
        schemas,
    },
    pubsub::{Emulator, rich, row, until},
    world::skip,
};

const SUBSCRIPTION: &str = "projects/p/subscriptions/events-to-bigquery";

struct World {
    bigquery: BigQuery,
    pubsub: PubSub,
    config: WritersConfig,
}

impl World {
    async fn new(strategy: Strategy) -> World {
        let (bigquery, pubsub) = (BigQuery::start().await, PubSub::start().await);
        pubsub.state.lock().bigquery = Some(bigquery.state.clone());
        pubsub.state.lock().topics.clear();
        let config = WritersConfig {
            strategy: Strategies(vec![strategy]),
            project_id: "p".into(),
            bq: BigQueryConfig {
                dataset_id: "d".into(),
                table_id: "events".into(),
                endpoint: format!("http://{}", bigquery.grpc),
                rest_endpoint: format!("http://{}", bigquery.rest),
                ..BigQueryConfig::default()
            },
            pubsub: PubSubConfig {
                topic_id: "events".into(),
                subscription_id: "events-to-bigquery".into(),
                dead_letter_topic_id: "events-refused".into(),
                endpoint: format!("http://{}", pubsub.addr),
                ..PubSubConfig::default()
            },
            ..WritersConfig::default()
        };
        World { bigquery, pubsub, config }
    }

    async fn run(&self) -> Report {
        self.run_with(Request::default()).await
    }

    async fn run_with(&self, request: Request) -> Report {
        assert_eq!(setup::problems(&self.config, request, "writers"), []);
        setup::run(&self.config, request).await
    }

    fn table(&self) -> Value {
        self.bigquery.state.lock().tables["p/d/events"].body.clone()
    }

    fn put_table(&self, body: Value) {
        let table = Table { body, ..Table::default() };
        self.bigquery.state.lock().tables.insert("p/d/events".into(), table);
    }

    fn subscription(&self) -> Subscription {
        self.pubsub.state.lock().subscriptions[SUBSCRIPTION].clone()
    }

    /// Calls that would change something, of both services.
    fn changes(&self) -> usize {
        let rest = self.bigquery.state.lock().rest_seen.iter().filter(|call| !call.starts_with("GET")).count();
        rest + self.pubsub.state.lock().changes.len()
    }
}

fn outcomes(report: &Report) -> Vec<Outcome> {
    report.findings().iter().map(|finding| finding.outcome).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_project_gets_everything_and_a_second_run_finds_it_so() {
    let mut world = World::new(Strategy::PubSub).await;
    world.bigquery.state.lock().datasets.clear();
    world.config.bq.create_dataset = true;
    world.config.bq.location = "EU".into();

    let dry = world.run_with(Request { dry_run: true, views: true }).await;
    assert_eq!(outcomes(&dry), [Outcome::Created; 8], "{dry}");
    assert!(dry.is_fine());
    assert_eq!(world.changes(), 0, "a dry run changes nothing");
    assert_eq!(dry.summary(true), "8 to be created");

    let views = Request { dry_run: false, views: true };
    let first = world.run_with(views).await;
    assert_eq!(first.to_string(), dry.to_string(), "a dry run says what comes");
    assert!(first.to_string().starts_with("+ data set `p:d`\n    in EU\n+ table `p:d.events`\n"), "{first}");
    assert_eq!(world.table()["timePartitioning"]["field"], "date");
    let config = world.subscription().bigquery_config.unwrap();
    assert_eq!(config.table, "p.d.events");
    assert!(config.use_table_schema && config.write_metadata && !config.drop_unknown_fields);
    assert_eq!(world.subscription().expiration_policy, Some(ExpirationPolicy { ttl: None }), "it never expires");
    let policy = world.subscription().dead_letter_policy.unwrap();
    assert_eq!(policy.dead_letter_topic, "projects/p/topics/events-refused");
    let keeper = "projects/p/subscriptions/events-refused-pull";
    assert!(world.pubsub.state.lock().subscriptions[keeper].bigquery_config.is_none());

    let before = world.changes();
    let second = world.run_with(views).await;
    assert_eq!(outcomes(&second), [Outcome::Same; 8], "{second}");
    assert_eq!(world.changes(), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_direct_strategy_needs_no_topic_and_a_topic_alone_no_table() {
    let world = World::new(Strategy::Direct).await;
    let report = world.run().await;
    assert_eq!(outcomes(&report), [Outcome::Same, Outcome::Created], "{report}");
    let mut world = World::new(Strategy::PubSub).await;
    world.config.pubsub.subscription_id.clear();
    world.config.pubsub.dead_letter_topic_id.clear();
    world.config.bq = BigQueryConfig::default();
    let report = world.run().await;
    assert_eq!(report.to_string(), "+ topic `projects/p/topics/events`\n");
    // Dead letters of the writer itself: they need a topic, and somebody who keeps them, and no table.
    world.config.pubsub.dead_letter_topic_id = "events-refused".into();
    let report = world.run().await;
    assert_eq!(outcomes(&report), [Outcome::Same, Outcome::Created, Outcome::Created], "{report}");
    let keeper = "projects/p/subscriptions/events-refused-pull";
    assert_eq!(world.pubsub.state.lock().subscriptions[keeper].topic, "projects/p/topics/events-refused");
    assert!(world.bigquery.state.lock().tables.is_empty());
    assert_eq!(setup::run(&WritersConfig::default(), Request::default()).await.findings(), []);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_of_before_gets_what_it_lacks_and_keeps_what_is_its_own() {
    let mut world = World::new(Strategy::Direct).await;
    world.config.bq.partition_expiration = Some("400d".parse().unwrap());
    world.config.bq.labels = [("team".to_owned(), "web".to_owned())].into();
    world.put_table(json!({
        "schema": { "fields": [
            { "name": "date", "type": "DATE", "description": "my own words" },
            { "name": "user_pseudo_id", "type": "STRING" }, { "name": "event_name", "type": "STRING" },
            { "name": "extra", "type": "JSON", "policyTags": { "names": ["t"] } },
        ] },
        "timePartitioning": { "type": "DAY", "field": "date", "expirationMs": "86400000" },
        "labels": { "cost": "web" },
    }));
    // Somebody else changes it at the same time.
    world.bigquery.state.lock().refusals.push_back(("PATCH", 412, "conditionNotMet"));
    let report = world.run().await;
    assert_eq!(outcomes(&report), [Outcome::Same, Outcome::Changed], "{report}");
    for words in [
        "column `event_params` added",
        "2 columns described",
        "partitions dropped: after 1day -> after 1year",
        "clustered by user_pseudo_id, event_name, from the next rows on",
        "label `managed-by: real-streaming`, label `team: web`",
    ] {
        assert!(report.to_string().contains(words), "{words}: {report}");
    }
    let table = world.table();
    let column = |name: &str| {
        let columns = table["schema"]["fields"].as_array().unwrap();
        columns.iter().find(|column| column["name"] == name).unwrap().clone()
    };
    assert_eq!(column("date")["description"], "my own words");
    assert!(column("event_name")["description"].as_str().unwrap().starts_with("Name of the event"));
    assert_eq!(column("extra")["policyTags"]["names"][0], "t");
    assert_eq!(table["labels"], json!({ "cost": "web", "managed-by": "real-streaming", "team": "web" }));
    assert_eq!(table["timePartitioning"]["expirationMs"], "34560000000");
    assert_eq!(outcomes(&world.run().await), [Outcome::Same; 2]);

    // Without a wish nothing is said about how long rows live.
    world.config.bq.partition_expiration = None;
    assert_eq!(outcomes(&world.run().await), [Outcome::Same; 2]);
}

/// Columns of ours that may be empty are made nullable; those of others are named.
#[tokio::test(flavor = "multi_thread")]
async fn required_columns_of_ours_are_relaxed_and_those_of_others_are_named() {
    let world = World::new(Strategy::Direct).await;
    let table = |theirs: &str| {
        json!({ "schema": { "fields": [
            { "name": "date", "type": "DATE", "mode": "REQUIRED" }, { "name": "user_id", "type": "STRING", "mode": "REQUIRED" },
            { "name": "user_pseudo_id", "type": "STRING" }, { "name": "event_name", "type": "STRING", "mode": "REQUIRED" },
            { "name": "rs_info", "type": "RECORD", "fields": [
                { "name": "ip", "type": "STRING", "mode": "REQUIRED" }, { "name": "theirs", "type": "STRING", "mode": theirs }] },
        ] } })
    };
    world.put_table(table("REQUIRED"));
    let report = world.run().await;
    assert_eq!(outcomes(&report), [Outcome::Same, Outcome::Failed], "{report}");
    let words = report.to_string();
    assert!(
        words.contains("`rs_info.theirs` is REQUIRED and no column of ours") && !words.contains("user_id"),
        "{words}"
    );
    assert!(words.contains("bq update p:d.events"), "{words}");

    world.put_table(table("NULLABLE"));
    let dry = world.run_with(Request { dry_run: true, ..Request::default() }).await;
    let report = world.run().await;
    assert_eq!(dry.to_string(), report.to_string());
    for words in ["column `user_id`: REQUIRED -> NULLABLE", "column `rs_info.ip`: REQUIRED -> NULLABLE"] {
        assert!(report.to_string().contains(words), "{words}: {report}");
    }
    let columns = &world.table()["schema"]["fields"];
    let modes = [&columns[0]["mode"], &columns[1]["mode"], &columns[4]["fields"][0]["mode"]];
    assert_eq!(modes, ["REQUIRED", "NULLABLE", "NULLABLE"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_changed_is_said_and_the_rest_is_done() {
    let mut world = World::new(Strategy::Direct).await;
    world.config.bq.location = "europe-west6".into();
    world.put_table(json!({
        "schema": { "fields": [{ "name": "date", "type": "DATE" }] },
        "clustering": { "fields": ["date"] },
        "description": "mine",
    }));
    let report = world.run().await;
    assert_eq!(outcomes(&report), [Outcome::Differs; 2], "{report}");
    assert!(!report.is_fine());
    for words in ["it is in US and not in europe-west6", "not partitioned by `date`", "clustered by date, which stays"]
    {
        assert!(report.to_string().contains(words), "{words}: {report}");
    }
    assert!(world.table()["schema"]["fields"].as_array().unwrap().len() > 30, "columns are added all the same");
    assert_eq!(world.table()["description"], "mine");

    world.put_table(json!({ "schema": { "fields": [{ "name": "date", "type": "STRING" }] } }));
    let report = world.run().await;
    assert_eq!(report.findings()[1].outcome, Outcome::Failed);
    assert!(report.to_string().contains("`date` is STRING and not DATE"), "{report}");
    world.put_table(json!({ "view": { "query": "SELECT 1", "useLegacySql": false } }));
    assert!(world.run().await.to_string().contains("it is a VIEW and no table"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subscription_is_put_right_and_one_of_somebody_else_left_alone() {
    let world = World::new(Strategy::PubSub).await;
    world.run().await;
    let change = |change: &dyn Fn(&mut Subscription)| {
        change(world.pubsub.state.lock().subscriptions.get_mut(SUBSCRIPTION).unwrap());
    };
    change(&|subscription| {
        let config = subscription.bigquery_config.as_mut().unwrap();
        (config.use_table_schema, config.use_topic_schema) = (false, true);
        (config.write_metadata, config.drop_unknown_fields) = (false, true);
        config.service_account_email = "writer@p.iam.gserviceaccount.com".into();
        subscription.expiration_policy = None;
        subscription.dead_letter_policy = None;
        subscription.retry_policy = None;
        subscription.message_retention_duration = Some(prost_types::Duration { seconds: 7 * 86_400, nanos: 0 });
    });
    let report = world.run().await;
    for words in [
        "use_table_schema: false -> true",
        "use_topic_schema: true -> false",
        "write_metadata: false -> true",
        "drop_unknown_fields: true -> false",
        "expires when idle: after 31 days -> never",
        "dead letters: none -> `projects/p/topics/events-refused`",
        "keeps what nobody took: for 7 days -> for 31 days",
        "tries again: at once -> after 10 to 600 seconds",
        "roles/pubsub.publisher",
    ] {
        assert!(report.to_string().contains(words), "{words}: {report}");
    }
    let config = world.subscription().bigquery_config.unwrap();
    assert_eq!(config.service_account_email, "writer@p.iam.gserviceaccount.com", "that is not ours to choose");
    assert_eq!(config.state(), State::Active);
    assert!(outcomes(&world.run().await).iter().all(|outcome| *outcome == Outcome::Same));

    // What somebody chose is told, and left.
    let before = world.changes();
    change(&|subscription| {
        subscription.message_retention_duration = Some(prost_types::Duration { seconds: 3 * 86_400, nanos: 0 });
        subscription.retry_policy.as_mut().unwrap().maximum_backoff = None;
        subscription.retry_policy.as_mut().unwrap().minimum_backoff = None;
    });
    let report = world.run().await;
    assert!(outcomes(&report).iter().all(|outcome| *outcome == Outcome::Same), "{report}");
    for words in ["for 3.0 days, of 31 that may be: left as it is", "again after 0 to 0 seconds: left as it is"] {
        assert!(report.to_string().contains(words), "{words}: {report}");
    }
    change(&|subscription| subscription.bigquery_config.as_mut().unwrap().table = "p.other.events".into());
    let report = world.run().await;
    assert!(!report.is_fine());
    assert!(report.to_string().contains("it writes into `p.other.events` and not into `p.d.events`"), "{report}");
    assert!(report.to_string().contains("gcloud pubsub subscriptions delete events-to-bigquery"), "{report}");
    change(&|subscription| subscription.bigquery_config = None);
    assert!(world.run().await.to_string().contains("it does not write to BigQuery"));
    change(&|subscription| subscription.topic = "_deleted-topic_".into());
    assert!(world.run().await.to_string().contains("it is one of `_deleted-topic_`"));
    assert_eq!(world.changes(), before, "nothing of it was changed");
}

#[tokio::test(flavor = "multi_thread")]
async fn for_protobuf_the_topic_gets_a_schema_and_takes_what_the_writer_publishes() {
    let mut world = World::new(Strategy::PubSub).await;
    world.config.pubsub.encoding = Encoding::Protobuf;
    let dry = world.run_with(Request { dry_run: true, views: false }).await;
    assert_eq!(world.changes(), 0, "a dry run changes nothing");
    let first = world.run().await;
    assert_eq!(first.to_string(), dry.to_string(), "a dry run says what comes");
    for words in [
        "+ schema `projects/p/schemas/events`\n    a protocol buffer, the row's own type\n",
        "+ topic `projects/p/topics/events`\n    takes messages of schema `projects/p/schemas/events` in BINARY alone\n",
        "+ topic `projects/p/topics/events-refused`\n+ subscription",
        "writes into `p.d.events` by the topic's schema, with metadata",
    ] {
        assert!(first.to_string().contains(words), "{words}: {first}");
    }
    let config = world.subscription().bigquery_config.unwrap();
    assert!(config.use_topic_schema && !config.use_table_schema && config.write_metadata);
    assert_eq!(outcomes(&world.run().await), [Outcome::Same; 7]);

    // The topic takes rows, and nothing else.
    let folder = tempfile::tempdir().unwrap();
    let local = LocalConfig { directory: folder.path().into(), ..LocalConfig::default() };
    let spool = spool::Config { directory: folder.path().join("spool"), ..spool::Config::default() };
    let config = WritersConfig { local, spool, ..world.config.clone() };
    let delivery = Delivery::start(&config, Arc::new(Metrics::new()), &Handle::current()).unwrap();
    delivery.accept(vec![rich("e0"), row("e1", Event::default())]).await.unwrap();
    assert!(until(|| world.pubsub.bodies().len() == 2).await, "{:?}", delivery.health());
    let state = world.pubsub.state.lock();
    let settings = &state.settings["projects/p/topics/events"];
    assert!(schemas::takes(&state, settings, rich("e2").bytes()));
    for foreign in [&b"{}"[..], b"\xf2\xff\x03\x01a"] {
        assert!(!schemas::takes(&state, settings, foreign), "{foreign:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_schema_gets_fields_that_it_lacks_and_one_of_somebody_else_is_left_alone() {
    let mut world = World::new(Strategy::PubSub).await;
    world.config.pubsub.encoding = Encoding::Protobuf;
    world.run().await;
    let revise = |change: &dyn Fn(&str) -> String| {
        let mut state = world.pubsub.state.lock();
        let schema = state.schemas.get_mut("projects/p/schemas/events").unwrap().last_mut().unwrap();
        schema.definition = change(&schema.definition);
    };
    let without = |definition: &str| {
        let lines = definition.lines().filter(|line| !line.contains(" event_name = "));
        lines.map(|line| format!("{line}\n")).collect::<String>()
    };
    revise(&without);
    let report = world.run().await;
    assert_eq!(report.findings()[2].outcome, Outcome::Changed, "{report}");
    assert!(report.to_string().contains("field `Event.event_name` added"), "{report}");
    assert_eq!(world.pubsub.state.lock().schemas["projects/p/schemas/events"].len(), 2, "a revision more");
    assert_eq!(outcomes(&world.run().await), [Outcome::Same; 7]);

    // A newer version's field stays; another form is somebody's own.
    let before = world.changes();
    revise(&|definition| definition.replacen("optional", "optional bool newer = 9999;\n  optional", 1));
    assert_eq!(outcomes(&world.run().await), [Outcome::Same; 7]);
    revise(&|definition| format!("// ours\n{definition}"));
    let report = world.run().await;
    assert_eq!(report.findings()[2].outcome, Outcome::Differs, "{report}");
    assert!(report.to_string().contains("gcloud pubsub schemas commit events --project=p"), "{report}");

    // Whoever turns from one encoding to the other is told what the topic does with it.
    world.config.pubsub.encoding = Encoding::Json;
    let report = world.run_with(Request { dry_run: true, views: false }).await;
    assert_eq!(report.findings()[2].outcome, Outcome::Differs, "{report}");
    assert!(report.to_string().contains("will refuse what is published here"), "{report}");
    assert!(report.to_string().contains("gcloud pubsub topics update events --project=p --clear-schema"), "{report}");
    assert_eq!(world.changes(), before, "nothing of it was changed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_without_a_schema_gets_one_and_one_with_another_does_not() {
    let mut world = World::new(Strategy::PubSub).await;
    assert!(world.run().await.is_fine());
    world.config.pubsub.encoding = Encoding::Protobuf;
    let report = world.run().await;
    let last = report.findings().last().unwrap();
    assert_eq!(outcomes(&report)[2..4], [Outcome::Created, Outcome::Changed], "{report}");
    assert_eq!(last.details, ["use_table_schema: true -> false", "use_topic_schema: false -> true"], "{report}");

    let settings = |change: &dyn Fn(&mut SchemaSettings)| {
        change(world.pubsub.state.lock().settings.get_mut("projects/p/topics/events").unwrap());
    };
    settings(&|settings| settings.last_revision_id = "00000001".into());
    let report = world.run().await;
    assert!(!report.is_fine());
    assert!(report.to_string().contains("revisions of its schema up to `00000001`"), "{report}");
    settings(&|settings| settings.schema = "projects/p/schemas/other".into());
    let report = world.run().await;
    assert!(
        report.to_string().contains("it takes messages of schema `projects/p/schemas/other` in BINARY"),
        "{report}"
    );
    settings(&|settings| settings.schema = "_deleted-schema_".into());
    assert_eq!(world.run().await.findings()[3].outcome, Outcome::Changed, "it takes nothing any more as it is");

    let denied = Status::permission_denied("User not authorized to perform this action.");
    world.pubsub.state.lock().refusals.push_back(denied);
    let report = world.run().await;
    assert!(report.to_string().contains("`pubsub.schemas.get`"), "{report}");
    assert_eq!(report.findings().iter().filter(|finding| finding.outcome == Outcome::Failed).count(), 3, "{report}");
}

#[tokio::test(flavor = "multi_thread")]
async fn missing_rights_are_named_with_the_command_that_grants_them() {
    let world = World::new(Strategy::PubSub).await;
    world
        .pubsub
        .state
        .lock()
        .refusals
        .push_back(Status::permission_denied("User not authorized to perform this action."));
    let report = world.run().await;
    for words in ["`pubsub.topics.get`", "--role=roles/pubsub.editor", "it needs what could not be made above"] {
        assert!(report.to_string().contains(words), "{words}: {report}");
    }
    // The service does not say that it is its own account which lacks the right.
    world.pubsub.state.lock().agent_is_powerless = true;
    let report = world.run().await;
    let last = report.findings().last().unwrap();
    assert_eq!(last.outcome, Outcome::Failed, "{report}");
    let hint = last.hint.as_deref().unwrap();
    for words in ["`pubsub.subscriptions.create`", "gcp-sa-pubsub", "roles/bigquery.dataEditor` ON SCHEMA `p.d`"] {
        assert!(hint.contains(words), "{words}: {hint}");
    }
    world.pubsub.state.lock().agent_is_powerless = false;
    assert!(world.run().await.is_fine(), "it is finished by running it again");

    let config = |state: State| {
        let mut fake = world.pubsub.state.lock();
        fake.subscriptions.get_mut(SUBSCRIPTION).unwrap().bigquery_config.as_mut().unwrap().set_state(state);
    };
    config(State::PermissionDenied);
    let report = world.run().await;
    assert!(report.to_string().contains("it writes nothing, its state is PERMISSION_DENIED"), "{report}");
    assert!(!report.is_fine());

    world.bigquery.state.lock().datasets.clear();
    let report = world.run().await;
    assert_eq!(report.findings()[0].outcome, Outcome::Failed);
    assert!(report.to_string().contains("`bq --location=US mk --dataset p:d`"), "{report}");
}

#[tokio::test(flavor = "multi_thread")]
async fn views_are_ours_to_change_and_those_of_others_are_not() {
    let views = Request { dry_run: false, views: true };
    let world = World::new(Strategy::Direct).await;
    world.run_with(views).await;
    let view = |name: &str| world.bigquery.state.lock().tables[&format!("p/d/{name}")].body.clone();
    let query = view("unique_events")["view"]["query"].as_str().unwrap().to_owned();
    assert!(query.contains("FROM `p.d.events`") && query.contains("ROW_NUMBER()"), "{query}");
    assert_eq!(view("ga4_events")["view"]["useLegacySql"], false);

    let spoil = |labels: Value| {
        let mut state = world.bigquery.state.lock();
        let body = &mut state.tables.get_mut("p/d/unique_events").unwrap().body;
        body["view"]["query"] = "SELECT 1".into();
        body["labels"] = labels;
    };
    spoil(json!({ "managed-by": "real-streaming" }));
    let report = world.run_with(views).await;
    assert_eq!(report.findings()[2].outcome, Outcome::Changed, "{report}");
    assert_eq!(view("unique_events")["view"]["query"], query);
    spoil(json!({}));
    let report = world.run_with(views).await;
    assert_eq!(report.findings()[2].outcome, Outcome::Differs, "{report}");
    assert_eq!(view("unique_events")["view"]["query"], "SELECT 1");
}

#[tokio::test(flavor = "multi_thread")]
async fn tables_of_days_get_todays_and_views_of_the_wildcard() {
    let mut world = World::new(Strategy::Direct).await;
    world.config.bq.table_layout = TableLayout::Sharded;
    let report = world.run_with(Request { dry_run: false, views: true }).await;
    assert!(report.is_fine(), "{report}");
    let state = world.bigquery.state.lock();
    let names: Vec<_> = state.tables.keys().map(|key| key.rsplit('/').next().unwrap()).collect();
    let today = jiff::Timestamp::now().strftime("events_%Y%m%d").to_string();
    assert_eq!(names, [today.as_str(), "ga4_events", "unique_events"]);
    let query = state.tables["p/d/unique_events"].body["view"]["query"].as_str().unwrap();
    assert!(query.contains("FROM `p.d.events_*`"), "{query}");
}

#[test]
fn what_makes_no_sense_is_refused_before_anything_is_called() {
    let config = |json: Value| -> WritersConfig { serde_json::from_value(json).unwrap() };
    let problems = |json: Value, views: bool| -> Vec<String> {
        let request = Request { dry_run: false, views };
        setup::problems(&config(json), request, "writers").into_iter().map(|problem| problem.path).collect()
    };
    let pubsub =
        |bq: Value, pubsub: Value| json!({ "strategy": "pubsub", "project_id": "p", "bq": bq, "pubsub": pubsub });
    assert_eq!(problems(json!({}), true), ["writers.strategy"]);
    let subscription = json!({ "topic_id": "events", "subscription_id": "all" });
    assert_eq!(
        problems(pubsub(json!({}), subscription.clone()), false),
        ["writers.bq.dataset_id", "writers.bq.table_id"]
    );
    let sharded = json!({ "dataset_id": "d", "table_id": "events", "table_layout": "sharded" });
    assert_eq!(problems(pubsub(sharded, subscription), false), ["writers.bq.table_layout"]);
    let letters = json!({ "topic_id": "events", "dead_letter_topic_id": "refused" });
    assert_eq!(problems(pubsub(json!({}), letters), false), [""; 0], "the writer itself publishes dead letters");
    let unique = json!({ "dataset_id": "d", "table_id": "unique", "table_layout": "sharded" });
    assert_eq!(
        problems(json!({ "strategy": "direct", "project_id": "p", "bq": unique }), true),
        ["writers.bq.table_id"]
    );
}

/// Runs the binary; exit code, standard output and standard error.
fn binary(world: &World, arguments: &[&str]) -> (i32, String, String) {
    let folder = tempfile::tempdir().unwrap();
    let writers = serde_json::to_string(&world.config).unwrap();
    std::fs::write(folder.path().join("c.yaml"), format!("writers: {writers}\n")).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_real-streaming"))
        .current_dir(folder.path())
        .env_clear()
        .args(["setup", "--config", "c.yaml"])
        .args(arguments)
        .output()
        .unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_tells_by_its_exit_code() {
    let mut world = World::new(Strategy::Direct).await;
    let (code, out, err) = binary(&world, &["--dry-run"]);
    assert_eq!((code, err.as_str()), (0, "1 to be created, 1 as it should be\n"));
    assert!(
        out.starts_with("= data set `p:d`\n+ table `p:d.events`\n    a partition for each day of `date`\n"),
        "{out}"
    );
    assert_eq!(world.changes(), 0);
    assert_eq!(binary(&world, &[]).0, 0);
    world.config.bq.location = "EU".into();
    let (code, out, err) = binary(&world, &[]);
    assert_eq!((code, err.as_str()), (1, "1 as it should be, 1 different and left alone\n"));
    assert!(out.starts_with("! data set `p:d`\n    it is in US and not in EU"), "{out}");
    world.config.strategy = Strategies(vec![Strategy::Local]);
    assert_eq!(binary(&world, &[]), (0, "".into(), "nothing to set up: `writers.strategy` is `local`\n".into()));
    let (code, out, err) = binary(&world, &["--views"]);
    assert_eq!((code, out.as_str()), (2, ""));
    assert!(err.starts_with("writers.strategy: there is no table for views\n  hint: "), "{err}");
}

#[tokio::test(flavor = "multi_thread")]
async fn googles_emulator_takes_the_topics_and_the_subscriptions() {
    let Some(emulator) = Emulator::start() else { return skip("Google's Pub/Sub emulator is not installed") };
    let mut world = World::new(Strategy::PubSub).await;
    world.config.pubsub.endpoint = format!("http://{}", emulator.addr);
    let report = world.run().await;
    assert_eq!(outcomes(&report)[1..], [Outcome::Created; 5], "{report}");
    let seen = emulator.call("GET", &format!("/v1/{SUBSCRIPTION}"), json!({}));
    assert_eq!(seen["bigqueryConfig"]["table"], "p.d.events", "{seen}");
    assert_eq!(seen["bigqueryConfig"]["useTableSchema"], true, "{seen}");
    assert_eq!(seen["deadLetterPolicy"]["deadLetterTopic"], "projects/p/topics/events-refused", "{seen}");
    let second = world.run().await;
    assert_eq!(outcomes(&second), [Outcome::Same; 6], "{second}");

    // A subscription of before, without dead letters: nothing else of one can be changed in the emulator.
    let name = "projects/p/subscriptions/old";
    let body = json!({ "topic": "projects/p/topics/events", "expirationPolicy": {},
        "bigqueryConfig": { "table": "p.d.events", "useTableSchema": true, "writeMetadata": true } });
    emulator.call("PUT", &format!("/v1/{name}"), body);
    world.config.pubsub.subscription_id = "old".into();
    let report = world.run().await;
    assert_eq!(report.findings().last().unwrap().outcome, Outcome::Changed, "{report}");
    assert!(report.to_string().contains("dead letters: none -> `projects/p/topics/events-refused`"), "{report}");
    let seen = emulator.call("GET", &format!("/v1/{name}"), json!({}));
    assert_eq!(seen["deadLetterPolicy"]["maxDeliveryAttempts"], 5, "{seen}");

    // It knows no protocol buffers: that is told, and nothing else is tried.
    world.config.pubsub.encoding = Encoding::Protobuf;
    world.config.pubsub.topic_id = "binary".into();
    let report = world.run().await;
    assert!(report.to_string().contains("Protocol buffer support not implemented in emulator"), "{report}");
    assert_eq!(report.findings()[2..4].iter().map(|finding| finding.outcome).collect::<Vec<_>>(), [Outcome::Failed; 2]);
}

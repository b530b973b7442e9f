//! The Pub/Sub writer against a strict stand-in, and against Google's own emulator where it is installed.

use std::{
    collections::{BTreeMap, HashSet},
    net::SocketAddr,
    process::{Child, Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use base64::{Engine, prelude::BASE64_STANDARD};
use real_streaming::{
    deliver::{
        Compression, Delivery, Encoding, LocalConfig, PubSubConfig, Strategies, Strategy, WritersConfig, dead_letter,
        spool,
    },
    gcp::proto::pubsub::PubsubMessage,
    schema::{
        Date, Event, Row,
        proto::event::{Item, Param, RsInfo, Value},
    },
    telemetry::Metrics,
};
use serde_json::json;
use tempfile::TempDir;
use tokio::runtime::Handle;
use tonic::Code;

use crate::{
    client,
    fakes::pubsub::{Act, PubSub, subscription_takes},
    world::skip,
};

struct World {
    folder: TempDir,
    delivery: Delivery,
    metrics: Arc<Metrics>,
    accepted: HashSet<String>,
}

impl World {
    fn before(addr: SocketAddr) -> World {
        World::with(addr, PubSubConfig::default())
    }

    fn with(addr: SocketAddr, pubsub: PubSubConfig) -> World {
        let folder = tempfile::tempdir().unwrap();
        let config = WritersConfig {
            strategy: Strategies(vec![Strategy::PubSub]),
            project_id: "p".into(),
            local: LocalConfig { directory: folder.path().into(), ..LocalConfig::default() },
            pubsub: PubSubConfig { topic_id: "events".into(), endpoint: format!("http://{addr}"), ..pubsub },
            spool: spool::Config { directory: folder.path().join("spool"), ..spool::Config::default() },
            ..WritersConfig::default()
        };
        let metrics = Arc::new(Metrics::new());
        let delivery = Delivery::start(&config, metrics.clone(), &Handle::current()).unwrap();
        World { folder, delivery, metrics, accepted: HashSet::new() }
    }

    async fn accept(&mut self, numbers: std::ops::Range<usize>) {
        self.accept_rows(numbers.map(|n| row(&format!("e{n}"), Event::default())).collect()).await;
    }

    async fn accept_rows(&mut self, rows: Vec<Row>) {
        self.accepted.extend(rows.iter().map(|row| row.id().to_owned()));
        self.delivery.accept(rows).await.unwrap();
    }

    fn in_spool(&self) -> i64 {
        self.delivery.balances().iter().map(|balance| balance.in_spool).sum()
    }

    fn letters(&self) -> BTreeMap<String, String> {
        let letters = dead_letter::list(&self.folder.path().join(dead_letter::FOLDER)).unwrap();
        letters.into_iter().map(|(letter, _)| (letter.event_id, letter.message)).collect()
    }

    /// Waits until nothing is left; then everything must be published or a dead letter. Rows published twice.
    #[track_caller]
    fn settled<'a>(&'a self, fake: &'a PubSub) -> impl Future<Output = usize> + use<'a> {
        let caller = std::panic::Location::caller();
        async move {
            assert!(until(|| self.in_spool() == 0).await, "{caller}: {:?}", self.delivery.health());
            self.delivery.check_books().unwrap();
            let published = fake.ids();
            let distinct: HashSet<_> = published.iter().cloned().collect();
            let doubled = published.len() - distinct.len();
            let everywhere: HashSet<_> = distinct.into_iter().chain(self.letters().into_keys()).collect();
            assert_eq!(everywhere, self.accepted, "{caller}");
            doubled
        }
    }

    async fn blocked(&self) -> String {
        let blocked = || self.metrics.encode().contains(r#"sink_blocked{sink="pubsub"} 1"#);
        assert!(until(blocked).await, "{:?}", self.delivery.health());
        self.delivery.health().reasons.join("\n")
    }
}

pub async fn until(condition: impl Fn() -> bool) -> bool {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !condition() {
        if Instant::now() > deadline {
            return false;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    true
}

pub fn row(id: &str, event: Event<'_>) -> Row {
    let day = Date(20_454);
    let rs_info = Some(RsInfo { event_id: Some(id.to_owned().into()), ..RsInfo::default() });
    let event = Event { date: Some(day.0), synced_at_micros: Some(1), rs_info, ..event };
    Row::freeze(&event, day, "1".into())
}

/// One with every kind of column in it.
pub fn rich(id: &str) -> Row {
    let value = Value { int_value: Some(i64::MAX), double_value: Some(0.1), ..Value::default() };
    let event = Event {
        event_name: Some("purchase \"quoted\" \u{7}\u{2028}".into()),
        event_timestamp: Some(i64::MIN),
        event_value_in_usd: Some(f64::NAN),
        is_active_user: Some(false),
        synced_at_utc: Some(1_767_225_600_000_001),
        event_params: vec![Param { key: Some("k".into()), value: Some(value) }],
        items: vec![Item { quantity: Some(0), ..Item::default() }, Item::default()],
        ..Event::default()
    };
    row(id, event)
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_are_what_a_subscription_with_the_tables_schema_takes() {
    let fake = PubSub::start().await;
    let mut world = World::before(fake.addr);
    world.accept_rows(vec![rich("e0"), row("e1", Event::default())]).await;
    assert_eq!(world.settled(&fake).await, 0);
    let messages: Vec<serde_json::Value> =
        fake.bodies().iter().map(|body| serde_json::from_slice(body).unwrap()).collect();
    for message in &messages {
        assert_eq!(subscription_takes(message), Ok(()));
    }
    let rich = &messages[0];
    assert_eq!(rich["event_timestamp"], json!(i64::MIN));
    assert_eq!(rich["date"], "2026-01-01");
    assert_eq!(rich["is_active_user"], false);
    assert!(rich.get("event_value_in_usd").is_none(), "JSON has no NaN");
    assert!(rich["event_params"][0]["value"].get("string_value").is_none(), "what is null has no key");
    assert_eq!(fake.state.lock().routing[0], "topic=projects%2Fp%2Ftopics%2Fevents");
    // The judge is one.
    for wrong in
        [json!({ "date": "x" }), json!({ "event_timestamp": "5" }), json!({ "items": [null] }), json!({ "q": 1 })]
    {
        assert!(subscription_takes(&wrong).is_err(), "{wrong}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_request_has_more_than_a_thousand_messages_or_nine_megabytes() {
    let fake = PubSub::start().await;
    let mut world = World::before(fake.addr);
    world.accept(0..1_001).await;
    let large = |id: &str, size: usize| row(id, Event { user_id: Some("x".repeat(size).into()), ..Event::default() });
    for number in 0..3 {
        world.accept_rows(vec![large(&format!("m{number}"), 900_000)]).await;
    }
    world.accept_rows(vec![large("monster", 9_500_000)]).await;
    assert_eq!(world.settled(&fake).await, 0);
    assert_eq!(fake.state.lock().requests.iter().max(), Some(&1_000));
    assert_eq!(world.letters().into_keys().collect::<Vec<_>>(), ["monster"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn failures_that_pass_are_tried_again_and_a_lost_answer_doubles() {
    let fake = PubSub::start().await;
    let mut world = World::before(fake.addr);
    // The quota first: its pauses grow with the failures before it.
    let codes =
        [Code::ResourceExhausted, Code::Aborted, Code::Cancelled, Code::Internal, Code::Unknown, Code::Unavailable];
    for code in codes {
        fake.state.lock().script.push_back(Act::Refuse(code));
    }
    world.accept(0..5).await;
    assert_eq!(world.settled(&fake).await, 0);
    fake.state.lock().script.push_back(Act::PublishAndFail(Code::DeadlineExceeded));
    world.accept(5..8).await;
    assert_eq!(world.settled(&fake).await, 3);
    fake.cut();
    world.accept(8..10).await;
    world.settled(&fake).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_topic_or_right_blocks_with_the_command_that_mends_it() {
    let fake = PubSub::start().await;
    fake.state.lock().topics.clear();
    let mut world = World::before(fake.addr);
    world.accept(0..3).await;
    let words = world.blocked().await;
    assert!(words.contains("`gcloud pubsub topics create events --project=p`"), "{words}");
    fake.state.lock().topics.insert("projects/p/topics/events".into());
    assert_eq!(world.settled(&fake).await, 0);

    fake.state.lock().script.push_back(Act::Refuse(Code::PermissionDenied));
    world.accept(3..4).await;
    let words = world.blocked().await;
    assert!(words.contains("`pubsub.topics.publish`") && words.contains("roles/pubsub.publisher"), "{words}");
    assert_eq!(world.settled(&fake).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_is_refused_is_found_and_set_aside() {
    let fake = PubSub::start().await;
    let mut world = World::before(fake.addr);
    world.accept(0..1).await;
    world.settled(&fake).await;
    fake.state.lock().dislikes.extend(["\"e7\"", "\"e12\""]);
    world.accept(1..20).await;
    assert_eq!(world.settled(&fake).await, 0);
    assert_eq!(world.letters().into_keys().collect::<Vec<_>>(), ["e12", "e7"]);
}

/// A dead-letter topic, and small requests for large words.
fn with_letters() -> PubSubConfig {
    PubSubConfig { dead_letter_topic_id: "letters".into(), compression: Compression::Gzip, ..PubSubConfig::default() }
}

fn letters_of(fake: &PubSub) -> Vec<PubsubMessage> {
    let state = fake.state.lock();
    let letters = state.messages.iter().filter(|(topic, _)| topic == "projects/p/topics/letters");
    letters.map(|(_, message)| message.clone()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_dead_letter_topic_is_told_of_rows_that_are_refused() {
    let fake = PubSub::start().await;
    fake.state.lock().topics.insert("projects/p/topics/letters".into());
    let mut world = World::with(fake.addr, with_letters());
    world.accept(0..1).await;
    world.settled(&fake).await;
    fake.state.lock().dislikes.push("\"e7\"");
    world.accept(1..20).await;
    let monster = Event { user_id: Some("x".repeat(9_500_000).into()), ..Event::default() };
    world.accept_rows(vec![row("monster", monster)]).await;
    assert_eq!(world.settled(&fake).await, 0);
    assert_eq!(world.letters().into_keys().collect::<Vec<_>>(), ["e7", "monster"]);

    let mut letters = letters_of(&fake);
    letters.sort_by_key(|letter| letter.attributes["event_id"].clone());
    let [refused, monster] = &letters[..] else { panic!("{} letters", letters.len()) };
    let body: serde_json::Value = serde_json::from_slice(&refused.data).unwrap();
    assert_eq!(body["rs_info"]["event_id"], "e7");
    for (name, value) in [
        ("event_id", "e7"),
        ("stream_id", "1"),
        ("date", "2026-01-01"),
        ("encoding", "json"),
        ("source_topic", "projects/p/topics/events"),
    ] {
        assert_eq!(refused.attributes[name], value);
    }
    assert!(refused.attributes["reason"].contains("INVALID_ARGUMENT"), "{:?}", refused.attributes);
    assert!(monster.data.is_empty() && monster.attributes["reason"].contains("more than"), "{:?}", monster.attributes);
    assert!(fake.state.lock().encodings.iter().all(|encoding| encoding.as_deref() == Some("gzip")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_letter_topic_that_is_ill_is_waited_for_and_one_that_is_missing_is_not() {
    let fake = PubSub::start().await;
    let mut world = World::with(fake.addr, with_letters());
    world.accept(0..1).await;
    world.settled(&fake).await;
    fake.state.lock().dislikes.extend(["\"e1\"", "\"e2\""]);
    world.accept(1..2).await;
    world.settled(&fake).await;
    assert_eq!(world.letters().into_keys().collect::<Vec<_>>(), ["e1"]);

    fake.state.lock().topics.insert("projects/p/topics/letters".into());
    fake.state.lock().script_for("letters", Act::Refuse(Code::Unavailable));
    world.accept(2..3).await;
    world.settled(&fake).await;
    assert_eq!(world.letters().into_keys().collect::<Vec<_>>(), ["e1", "e2"]);
    assert_eq!(letters_of(&fake).len(), 1);
    assert!(fake.state.lock().scripts.is_empty(), "the fault came to pass");
}

#[tokio::test(flavor = "multi_thread")]
async fn as_protobuf_a_message_is_the_row_as_the_topics_schema_has_it() {
    let fake = PubSub::start().await;
    let pubsub = PubSubConfig { encoding: Encoding::Protobuf, ..PubSubConfig::default() };
    let mut world = World::with(fake.addr, pubsub);
    let rows = vec![rich("e0"), row("e1", Event::default())];
    world.accept_rows(rows.clone()).await;
    assert!(until(|| world.in_spool() == 0).await, "{:?}", world.delivery.health());
    let bodies = fake.bodies();
    assert_eq!(bodies, rows.iter().map(|row| row.bytes().to_vec()).collect::<Vec<_>>());
    // What the topic's schema makes of it, without a look at our own reader.
    let schema = crate::fakes::judge::as_proto2(real_streaming::schema::descriptor::self_contained()).unwrap();
    let read = prost_reflect::DynamicMessage::decode(schema, &bodies[0][..]).unwrap();
    let count = prost_reflect::DynamicMessage::unknown_fields(&read).count();
    assert_eq!((count, read.get_field_by_name("date").unwrap().as_i32()), (0, Some(20_454)));
}

/// Google's emulator, from Debian package `google-cloud-cli-pubsub-emulator`.
pub struct Emulator {
    child: Child,
    pub addr: SocketAddr,
}

impl Emulator {
    pub fn start() -> Option<Emulator> {
        let folder = std::path::Path::new("/usr/lib/google-cloud-sdk/platform/pubsub-emulator/lib");
        let jars = std::fs::read_dir(folder).ok()?.flatten().map(|entry| entry.path());
        let jar = jars.into_iter().find(|path| path.extension().is_some_and(|extension| extension == "jar"))?;
        let addr = client::free_port();
        let child = Command::new("java")
            .args(["-Xmx256m", "-jar"])
            .arg(jar)
            .args(["--host=127.0.0.1", &format!("--port={}", addr.port())])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .stdin(Stdio::null())
            .spawn()
            .ok()?;
        let emulator = Emulator { child, addr };
        let deadline = Instant::now() + Duration::from_secs(60);
        while client::get(addr, "/").is_err() {
            assert!(Instant::now() < deadline, "the emulator does not come up");
            std::thread::sleep(Duration::from_millis(100));
        }
        Some(emulator)
    }

    /// A call of its REST side.
    pub fn call(&self, method: &str, path: &str, body: serde_json::Value) -> serde_json::Value {
        let headers = [("Content-Type", "application/json")];
        let answer = client::request(self.addr, method, path, &headers, body.to_string().as_bytes()).unwrap();
        assert_eq!(answer.status, 200, "{}", answer.text());
        serde_json::from_slice(&answer.body).unwrap_or_default()
    }
}

impl Emulator {
    /// Messages from a subscription, until there were so many different ones, or a minute is over.
    fn pull(&self, subscription: &str, count: usize) -> Vec<serde_json::Value> {
        let path = format!("/v1/projects/p/subscriptions/{subscription}");
        let mut pulled = BTreeMap::new();
        let deadline = Instant::now() + Duration::from_secs(60);
        while pulled.len() < count && Instant::now() < deadline {
            let answer = self.call("POST", &format!("{path}:pull"), json!({ "maxMessages": 1_000 }));
            let received = answer["receivedMessages"].as_array().cloned().unwrap_or_default();
            let ids: Vec<_> = received.iter().map(|message| message["ackId"].clone()).collect();
            for received in received {
                let message = received["message"].clone();
                pulled.insert(message["messageId"].as_str().unwrap_or_default().to_owned(), message);
            }
            if !ids.is_empty() {
                self.call("POST", &format!("{path}:acknowledge"), json!({ "ackIds": ids }));
            }
        }
        pulled.into_values().collect()
    }
}

impl Drop for Emulator {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn googles_emulator_takes_gzip_protobuf_and_dead_letters() {
    let Some(emulator) = Emulator::start() else { return skip("Google's Pub/Sub emulator is not installed") };
    for topic in ["events", "letters"] {
        emulator.call("PUT", &format!("/v1/projects/p/topics/{topic}"), json!({}));
        let subscription = json!({ "topic": format!("projects/p/topics/{topic}") });
        emulator.call("PUT", &format!("/v1/projects/p/subscriptions/{topic}"), subscription);
    }
    let pubsub = PubSubConfig { encoding: Encoding::Protobuf, ..with_letters() };
    let mut world = World::with(emulator.addr, pubsub);
    let rows: Vec<_> = (0..1_500).map(|n| rich(&format!("e{n}"))).collect();
    let mut expected: HashSet<_> = rows.iter().map(|row| row.bytes().to_vec()).collect();
    world.accept_rows(rows).await;
    let monster = Event { user_id: Some("x".repeat(9_500_000).into()), ..Event::default() };
    world.accept_rows(vec![row("monster", monster)]).await;
    assert!(until(|| world.in_spool() == 0).await, "{:?}", world.delivery.health());
    assert_eq!(world.letters().into_keys().collect::<Vec<_>>(), ["monster"]);
    for message in emulator.pull("events", 1_500) {
        expected.remove(&BASE64_STANDARD.decode(message["data"].as_str().unwrap()).unwrap());
    }
    assert!(expected.is_empty(), "{} rows did not come", expected.len());
    let letters = emulator.pull("letters", 1);
    assert_eq!(letters[0]["attributes"]["event_id"], "monster");
    assert!(letters[0]["attributes"]["reason"].as_str().unwrap().contains("more than"));
}

#[tokio::test(flavor = "multi_thread")]
async fn googles_emulator_hands_out_what_was_published() {
    let Some(emulator) = Emulator::start() else { return skip("Google's Pub/Sub emulator is not installed") };
    let mut world = World::before(emulator.addr);
    world.accept_rows(vec![rich("e0")]).await;
    let words = world.blocked().await;
    assert!(words.contains("gcloud pubsub topics create events"), "{words}");
    let topic = "projects/p/topics/events";
    emulator.call("PUT", &format!("/v1/{topic}"), json!({}));
    // Without a subscription the topic keeps nothing, so it must be there before the writer finds the topic. It looks
    // every few seconds; the row may still have gone, and is then sent for again under another id.
    emulator.call("PUT", "/v1/projects/p/subscriptions/all", json!({ "topic": topic }));
    world.accept_rows((1..2_500).map(|n| rich(&format!("e{n}"))).collect()).await;
    assert!(until(|| world.in_spool() == 0).await, "{:?}", world.delivery.health());

    let mut pulled = HashSet::new();
    for message in emulator.pull("all", 2_499) {
        let data = BASE64_STANDARD.decode(message["data"].as_str().unwrap()).unwrap();
        let body: serde_json::Value = serde_json::from_slice(&data).unwrap();
        assert_eq!(subscription_takes(&body), Ok(()));
        pulled.insert(body["rs_info"]["event_id"].as_str().unwrap().to_owned());
    }
    assert!((1..2_500).all(|n| pulled.contains(&format!("e{n}"))), "{} of 2499", pulled.len());
}

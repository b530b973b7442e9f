//! A stand-in for Pub/Sub: as strict about limits, and with the faults of a script. What a BigQuery subscription would
//! make of the messages is judged beside it; subscriptions are their neighbour's.

use std::{
    collections::{BTreeMap, HashSet, VecDeque},
    net::SocketAddr,
    sync::Arc,
};

use hyper::{body::Incoming, service::service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo};
use parking_lot::Mutex;
use real_streaming::gcp::proto::pubsub::{
    GetTopicRequest, PublishRequest, PublishResponse, PubsubMessage, Schema, SchemaSettings, Subscription, Topic,
    UpdateTopicRequest,
};
use serde_json::Value;
use tokio::{net::TcpListener, task::AbortHandle};
use tonic::{Code, Request, Response, Status, codec::CompressionEncoding, codegen::Service as _};

use super::{
    bigquery, schemas, subscriptions,
    tally::{Recent, Tally},
};

#[allow(clippy::all, clippy::pedantic, unused)]
pub mod service {
    include!(concat!(env!("OUT_DIR"), "/google_servers/google.pubsub.v1.rs"));
}
use service::{
    publisher_server::{Publisher, PublisherServer},
    schema_service_server::SchemaServiceServer,
    subscriber_server::SubscriberServer,
};

/// What happens to one request. Without one it is taken.
#[derive(Clone, Debug)]
pub enum Act {
    /// Refused, and nothing is published.
    Refuse(Code),
    /// Published; the answer is this status.
    PublishAndFail(Code),
}

impl Act {
    /// One of the faults that pass.
    pub fn random(random: &mut fastrand::Rng) -> Act {
        let code =
            *random.choice(&[Code::Unavailable, Code::Internal, Code::DeadlineExceeded]).expect("there are some");
        if random.bool() { Act::Refuse(code) } else { Act::PublishAndFail(code) }
    }
}

/// Publish requests whose answers a client may not have read. No client has more on their way.
const MAX_IN_FLIGHT: usize = 1_000;

#[derive(Default)]
pub struct State {
    pub topics: HashSet<String>,
    /// Schemas of topics that have one.
    pub settings: BTreeMap<String, SchemaSettings>,
    /// Schemas, each by its revisions.
    pub schemas: BTreeMap<String, Vec<Schema>>,
    pub script: VecDeque<Act>,
    /// Without a script: of a thousand requests, so many meet a fault that passes.
    pub storm: Option<(fastrand::Rng, u64)>,
    /// Messages are counted by their event ids, and not kept.
    pub tally: Option<Tally>,
    /// The same for the requests of one topic alone, by its short name.
    pub scripts: Vec<(String, Act)>,
    /// What was published, each with its topic.
    pub messages: Vec<(String, PubsubMessage)>,
    /// Messages in each request.
    pub requests: Vec<usize>,
    pub routing: Vec<String>,
    /// How each request was compressed.
    pub encodings: Vec<Option<String>>,
    /// A request with one of these in a body is refused.
    pub dislikes: Vec<&'static str>,
    pub connections: Vec<AbortHandle>,
    pub subscriptions: BTreeMap<String, Subscription>,
    /// Where subscriptions look for their tables.
    pub bigquery: Option<Arc<Mutex<bigquery::State>>>,
    /// Pub/Sub's own account may not write into tables.
    pub agent_is_powerless: bool,
    /// Statuses that calls about topics and subscriptions end with before anything else.
    pub refusals: VecDeque<Status>,
    /// Calls about topics and subscriptions that change something.
    pub changes: Vec<String>,
}

impl State {
    /// What comes before every call about a topic or a subscription.
    pub fn admit<T>(&mut self, request: &Request<T>, parameter: &str, name: &str) -> Result<(), Status> {
        let routing = request.metadata().get("x-goog-request-params").and_then(|value| value.to_str().ok());
        // Some clients leave slashes as they are.
        let decoded = routing.map(|routing| percent_encoding::percent_decode_str(routing).decode_utf8_lossy());
        if decoded.as_deref() != Some(&*format!("{parameter}={name}")) {
            return Err(Status::internal(format!("the routing header is {routing:?}")));
        }
        self.refusals.pop_front().map_or(Ok(()), Err)
    }
}

/// A name is `projects/P/<kind>/<id>`, and the id one that Pub/Sub takes.
pub fn named(name: &str, kind: &str) -> Result<(), Status> {
    let parts: Vec<_> = name.split('/').collect();
    let fits = match parts[..] {
        ["projects", project, found, id] => {
            !project.is_empty()
                && found == kind
                && (3..=255).contains(&id.len())
                && id.starts_with(|c: char| c.is_ascii_alphabetic())
                && !id.starts_with("goog")
        }
        _ => false,
    };
    if fits { Ok(()) } else { Err(Status::invalid_argument(format!("Invalid resource name given (name={name})."))) }
}

/// The last part of a name, as the service's messages have it.
pub fn id(name: &str) -> &str {
    name.rsplit('/').next().unwrap_or_default()
}

impl State {
    /// What the next request of this topic meets.
    pub fn script_for(&mut self, topic: &str, act: Act) {
        self.scripts.push((topic.into(), act));
    }
}

/// The stand-in. Ends with its runtime.
#[derive(Clone)]
pub struct PubSub {
    pub addr: SocketAddr,
    pub state: Arc<Mutex<State>>,
}

impl PubSub {
    /// Serves on a free port, with topic `events` of project `p`.
    pub async fn start() -> PubSub {
        let topics = ["projects/p/topics/events".to_owned()].into();
        let state = Arc::new(Mutex::new(State { topics, ..State::default() }));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let fake = PubSub { addr: listener.local_addr().unwrap(), state: state.clone() };
        let subscriber = SubscriberServer::new(subscriptions::Service(state.clone()));
        let schemas = SchemaServiceServer::new(schemas::Service(state.clone()));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let wire = Arc::new(Wire { state: state.clone(), recent: Mutex::default() });
                let publisher = PublisherServer::new(Service(state.clone(), wire.clone()))
                    .max_decoding_message_size(20 << 20)
                    .accept_compressed(CompressionEncoding::Gzip);
                let (subscriber, schemas) = (subscriber.clone(), schemas.clone());
                let service = service_fn(move |request: hyper::Request<Incoming>| {
                    let (mut publisher, mut subscriber) = (publisher.clone(), subscriber.clone());
                    let mut schemas = schemas.clone();
                    async move {
                        match request.uri().path().split('/').nth(1) {
                            Some("google.pubsub.v1.Subscriber") => subscriber.call(request).await,
                            Some("google.pubsub.v1.SchemaService") => schemas.call(request).await,
                            _ => publisher.call(request).await,
                        }
                    }
                });
                let connection = tokio::spawn(async move {
                    let http2 = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
                    let _ = http2.serve_connection(TokioIo::new(stream), service).await;
                });
                state.lock().connections.push(connection.abort_handle());
            }
        });
        fake
    }

    /// Cuts every connection, without a word.
    pub fn cut(&self) {
        for connection in self.state.lock().connections.drain(..) {
            connection.abort();
        }
    }

    /// Bodies of the messages in topic `events`, in the order of publication.
    pub fn bodies(&self) -> Vec<Vec<u8>> {
        let state = self.state.lock();
        let events = state.messages.iter().filter(|(topic, _)| topic == "projects/p/topics/events");
        events.map(|(_, message)| message.data.to_vec()).collect()
    }

    /// Event ids of those that are JSON.
    pub fn ids(&self) -> Vec<String> {
        let read = |body: Vec<u8>| serde_json::from_slice(&body).unwrap();
        let id = |body: Value| body["rs_info"]["event_id"].as_str().unwrap_or_default().to_owned();
        self.bodies().into_iter().map(read).map(id).collect()
    }
}

/// A connection. When it ends, the client may not have read the last answers.
struct Wire {
    state: Arc<Mutex<State>>,
    recent: Mutex<Recent>,
}

impl Drop for Wire {
    fn drop(&mut self) {
        if let Some(tally) = &mut self.state.lock().tally {
            let mut recent = self.recent.lock();
            recent.seen();
            tally.excused += recent.rows();
        }
    }
}

impl State {
    /// Notes what was published, when that is tallied; gives it back when it is kept.
    fn note(&mut self, messages: Vec<PubsubMessage>, is_told: bool, wire: &Wire) -> Option<Vec<PubsubMessage>> {
        let Some(tally) = &mut self.tally else { return Some(messages) };
        tally.requests += 1;
        let rows = messages.len() as u64;
        for message in messages {
            let body: Value = serde_json::from_slice(&message.data).unwrap_or_default();
            tally.note(body["rs_info"]["event_id"].as_str().unwrap_or_default());
        }
        match is_told {
            true => wire.recent.lock().note(rows, MAX_IN_FLIGHT),
            false => {
                wire.recent.lock().trouble();
                tally.excused += rows;
            }
        }
        None
    }

    fn next_act(&mut self) -> Option<Act> {
        if let Some(act) = self.script.pop_front() {
            return Some(act);
        }
        let (random, per_mille) = self.storm.as_mut()?;
        (random.u64(0..1_000) < *per_mille).then(|| Act::random(random))
    }
}

struct Service(Arc<Mutex<State>>, Arc<Wire>);

#[tonic::async_trait]
impl Publisher for Service {
    async fn create_topic(&self, request: Request<Topic>) -> Result<Response<Topic>, Status> {
        let mut state = self.0.lock();
        let name = request.get_ref().name.clone();
        state.admit(&request, "name", &name)?;
        named(&name, "topics")?;
        let settings = request.get_ref().schema_settings.clone();
        schemas::check_settings(&state, settings.as_ref())?;
        if !state.topics.insert(name.clone()) {
            let words = format!("Resource already exists in the project (resource={}).", id(&name));
            return Err(Status::already_exists(words));
        }
        state.changes.push(format!("create {name}"));
        state.settings.extend(settings.map(|settings| (name, settings)));
        Ok(Response::new(request.into_inner()))
    }

    async fn update_topic(&self, request: Request<UpdateTopicRequest>) -> Result<Response<Topic>, Status> {
        let mut state = self.0.lock();
        let topic = request.get_ref().topic.clone().unwrap_or_default();
        state.admit(&request, "topic.name", &topic.name)?;
        if !state.topics.contains(&topic.name) {
            return Err(Status::not_found(format!("Resource not found (resource={}).", id(&topic.name))));
        }
        let paths = request.into_inner().update_mask.map(|mask| mask.paths).unwrap_or_default();
        if paths != ["schema_settings"] {
            return Err(Status::invalid_argument(format!("Invalid update_mask provided: {paths:?}")));
        }
        schemas::check_settings(&state, topic.schema_settings.as_ref())?;
        state.changes.push(format!("update {} schema_settings", topic.name));
        match topic.schema_settings.clone() {
            Some(settings) => drop(state.settings.insert(topic.name.clone(), settings)),
            None => drop(state.settings.remove(&topic.name)),
        }
        Ok(Response::new(topic))
    }

    async fn get_topic(&self, request: Request<GetTopicRequest>) -> Result<Response<Topic>, Status> {
        let mut state = self.0.lock();
        let name = request.get_ref().topic.clone();
        state.admit(&request, "topic", &name)?;
        match state.topics.contains(&name) {
            true => {
                let schema_settings = state.settings.get(&name).cloned();
                Ok(Response::new(Topic { name, schema_settings, ..Topic::default() }))
            }
            false => Err(Status::not_found(format!("Resource not found (resource={}).", id(&name)))),
        }
    }

    async fn publish(&self, request: Request<PublishRequest>) -> Result<Response<PublishResponse>, Status> {
        let header = |name: &str| Some(request.metadata().get(name)?.to_str().ok()?.to_owned());
        let routing = header("x-goog-request-params").unwrap_or_default();
        let encoding = header("grpc-encoding");
        let request = request.into_inner();
        let mut state = self.0.lock();
        if state.tally.is_none() {
            state.routing.push(routing);
            state.encodings.push(encoding);
        }
        check(&request).map_err(Status::invalid_argument)?;
        let own = state.scripts.iter().position(|(topic, _)| request.topic.ends_with(&format!("/{topic}")));
        let act = own.map(|at| state.scripts.remove(at).1).or_else(|| state.next_act());
        if let Some(Act::Refuse(code)) = act {
            self.1.recent.lock().trouble();
            return Err(Status::new(code, "as the script says"));
        }
        if !state.topics.contains(&request.topic) {
            return Err(Status::not_found(format!("Resource not found (resource={})", request.topic)));
        }
        if let Some(settings) = state.settings.get(&request.topic)
            && !request.messages.iter().all(|message| schemas::takes(&state, settings, &message.data))
        {
            return Err(Status::invalid_argument("Request contains an invalid argument."));
        }
        let disliked = |data: &[u8]| {
            let text = String::from_utf8_lossy(data);
            state.dislikes.iter().any(|words| text.contains(words))
        };
        if request.topic.ends_with("/events") && request.messages.iter().any(|message| disliked(&message.data)) {
            return Err(Status::invalid_argument("Request contains an invalid argument."));
        }
        let ids = (0..request.messages.len()).map(|n| (state.messages.len() + n + 1).to_string()).collect();
        if state.tally.is_none() {
            state.requests.push(request.messages.len());
        }
        let is_told = !matches!(act, Some(Act::PublishAndFail(_)));
        if let Some(messages) = state.note(request.messages, is_told, &self.1) {
            state.messages.extend(messages.into_iter().map(|message| (request.topic.clone(), message)));
        }
        match act {
            Some(Act::PublishAndFail(code)) => Err(Status::new(code, "as the script says")),
            _ => Ok(Response::new(PublishResponse { message_ids: ids })),
        }
    }
}

/// The service's limits: "Quotas and limits" and the comments of `pubsub.proto`.
fn check(request: &PublishRequest) -> Result<(), String> {
    if request.messages.is_empty() {
        return Err("The value for messages is too small. You passed 0 in the request, but the minimum is 1.".into());
    }
    if request.messages.len() > 1_000 {
        return Err(format!(
            "The value for message_count is too large. You passed {} in the request, but the maximum is 1000.",
            request.messages.len()
        ));
    }
    let size = prost::Message::encoded_len(request);
    if size > 10_000_000 {
        return Err(format!(
            "The value for request_size is too large. You passed {size} in the request, but the maximum is 10000000."
        ));
    }
    let key = &request.messages[0].ordering_key;
    for message in &request.messages {
        if message.data.is_empty() && message.attributes.is_empty() {
            return Err("One or more messages in the publish request is empty. Each message must contain either non-empty data, or at least one attribute.".into());
        }
        if message.ordering_key != *key || key.len() > 1_024 {
            return Err("In a single publish request, all messages must have no ordering key or they must all have the same ordering key.".into());
        }
        if message.attributes.len() > 100 {
            return Err("A message has more than 100 attributes.".into());
        }
        for (name, value) in &message.attributes {
            if name.is_empty() || name.len() > 256 || name.starts_with("goog") || value.len() > 1_024 {
                return Err(format!("Attribute `{name}` is not allowed."));
            }
        }
    }
    Ok(())
}

/// What a subscription with the table's schema makes of a message; the path and the reason when it refuses it.
pub fn subscription_takes(message: &Value) -> Result<(), String> {
    let columns = real_streaming::schema::bigquery::table_schema();
    record(message, columns.as_array().unwrap(), "")
}

fn record(value: &Value, columns: &[Value], prefix: &str) -> Result<(), String> {
    let members = value.as_object().ok_or_else(|| format!("`{prefix}` is no object"))?;
    for (name, value) in members {
        let path = format!("{prefix}{name}");
        let column = columns.iter().find(|column| column["name"] == name.as_str());
        let column = column.ok_or_else(|| format!("`{path}` is no column"))?;
        if column["mode"] == "REPEATED" {
            let list = value.as_array().ok_or_else(|| format!("`{path}` is no array"))?;
            list.iter().try_for_each(|value| one(value, column, &path))?;
        } else {
            one(value, column, &path)?;
        }
    }
    Ok(())
}

fn one(value: &Value, column: &Value, path: &str) -> Result<(), String> {
    let text = |holds: fn(&str) -> bool| value.as_str().is_some_and(holds);
    let takes = match column["type"].as_str().unwrap_or_default() {
        "RECORD" => return record(value, column["fields"].as_array().unwrap(), &format!("{path}.")),
        "STRING" => value.is_string(),
        "INTEGER" => value.is_i64(),
        "FLOAT" => value.is_number(),
        "BOOLEAN" => value.is_boolean(),
        "DATE" => text(|date| date.len() == 10 && date.as_bytes()[4] == b'-') || value.is_i64(),
        "TIMESTAMP" => text(|time| time.ends_with('Z') && time.as_bytes().get(10) == Some(&b'T')) || value.is_i64(),
        other => return Err(format!("`{path}` has type {other}")),
    };
    if takes { Ok(()) } else { Err(format!("`{path}` is {value}")) }
}

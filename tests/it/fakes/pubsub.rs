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
use real_streaming::gcp::proto::pubsub::{GetTopicRequest, PublishRequest, PublishResponse, Subscription, Topic};
use serde_json::Value;
use tokio::{net::TcpListener, task::AbortHandle};
use tonic::{Code, Request, Response, Status, codegen::Service as _};

use super::{bigquery, subscriptions};

#[allow(clippy::all, clippy::pedantic, unused)]
pub mod service {
    include!(concat!(env!("OUT_DIR"), "/google_servers/google.pubsub.v1.rs"));
}
use service::{
    publisher_server::{Publisher, PublisherServer},
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

#[derive(Default)]
pub struct State {
    pub topics: HashSet<String>,
    pub script: VecDeque<Act>,
    /// Bodies of published messages.
    pub messages: Vec<Value>,
    /// Messages in each request.
    pub requests: Vec<usize>,
    pub routing: Vec<String>,
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
        let encoded = name.replace('/', "%2F");
        let routing = request.metadata().get("x-goog-request-params").and_then(|value| value.to_str().ok());
        if routing != Some(&format!("{parameter}={encoded}")) {
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
        let publisher = PublisherServer::new(Service(state.clone())).max_decoding_message_size(20 << 20);
        let subscriber = SubscriberServer::new(subscriptions::Service(state.clone()));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (publisher, subscriber) = (publisher.clone(), subscriber.clone());
                let service = service_fn(move |request: hyper::Request<Incoming>| {
                    let (mut publisher, mut subscriber) = (publisher.clone(), subscriber.clone());
                    async move {
                        match request.uri().path().starts_with("/google.pubsub.v1.Subscriber/") {
                            true => subscriber.call(request).await,
                            false => publisher.call(request).await,
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

    /// Event ids in the order of publication.
    pub fn ids(&self) -> Vec<String> {
        let id = |body: &Value| body["rs_info"]["event_id"].as_str().unwrap_or_default().to_owned();
        self.state.lock().messages.iter().map(id).collect()
    }
}

struct Service(Arc<Mutex<State>>);

#[tonic::async_trait]
impl Publisher for Service {
    async fn create_topic(&self, request: Request<Topic>) -> Result<Response<Topic>, Status> {
        let mut state = self.0.lock();
        let name = request.get_ref().name.clone();
        state.admit(&request, "name", &name)?;
        named(&name, "topics")?;
        if !state.topics.insert(name.clone()) {
            let words = format!("Resource already exists in the project (resource={}).", id(&name));
            return Err(Status::already_exists(words));
        }
        state.changes.push(format!("create {name}"));
        Ok(Response::new(request.into_inner()))
    }

    async fn get_topic(&self, request: Request<GetTopicRequest>) -> Result<Response<Topic>, Status> {
        let mut state = self.0.lock();
        let name = request.get_ref().topic.clone();
        state.admit(&request, "topic", &name)?;
        match state.topics.contains(&name) {
            true => Ok(Response::new(Topic { name, ..Topic::default() })),
            false => Err(Status::not_found(format!("Resource not found (resource={}).", id(&name)))),
        }
    }

    async fn publish(&self, request: Request<PublishRequest>) -> Result<Response<PublishResponse>, Status> {
        let routing = request.metadata().get("x-goog-request-params").and_then(|value| value.to_str().ok());
        let routing = routing.unwrap_or_default().to_owned();
        let request = request.into_inner();
        let mut state = self.0.lock();
        state.routing.push(routing);
        let size = prost::Message::encoded_len(&request);
        let empty = request.messages.iter().any(|message| message.data.is_empty() && message.attributes.is_empty());
        if request.messages.is_empty() || request.messages.len() > 1_000 || size > 10_000_000 || empty {
            return Err(Status::invalid_argument("too many, too much or nothing"));
        }
        let act = state.script.pop_front();
        if let Some(Act::Refuse(code)) = act {
            return Err(Status::new(code, "as the script says"));
        }
        if !state.topics.contains(&request.topic) {
            return Err(Status::not_found(format!("Resource not found (resource={})", request.topic)));
        }
        let disliked = |data: &[u8]| {
            let text = String::from_utf8_lossy(data);
            state.dislikes.iter().any(|words| text.contains(words))
        };
        if request.messages.iter().any(|message| disliked(&message.data)) {
            return Err(Status::invalid_argument("Request contains an invalid argument."));
        }
        let bodies: Vec<Value> =
            request.messages.iter().map(|message| serde_json::from_slice(&message.data).unwrap()).collect();
        state.requests.push(bodies.len());
        state.messages.extend(bodies);
        match act {
            Some(Act::PublishAndFail(code)) => Err(Status::new(code, "as the script says")),
            _ => {
                let ids = request.messages.iter().map(|_| "id".to_owned()).collect();
                Ok(Response::new(PublishResponse { message_ids: ids }))
            }
        }
    }
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

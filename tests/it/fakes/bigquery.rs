//! A stand-in for BigQuery: the Storage Write API by gRPC and tables by REST. It sends no headers before it has a request,
//! reads rows as proto2 with the descriptor it was sent, and does what a script says.

use std::{
    collections::{BTreeMap, HashMap, HashSet, VecDeque},
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    time::Duration,
};

use futures_util::{Stream, stream};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    service::TowerToHyperService,
};
use parking_lot::Mutex;
use prost_reflect::MessageDescriptor;
use real_streaming::gcp::proto::{
    rpc,
    storage::{
        AppendRowsRequest, AppendRowsResponse, CreateWriteStreamRequest, FinalizeWriteStreamRequest,
        FinalizeWriteStreamResponse, GetWriteStreamRequest, RowError, TableSchema, WriteStream, append_rows_request,
        append_rows_response::{AppendResult, Response as Answer},
        storage_error::StorageErrorCode,
        write_stream,
    },
};
use serde_json::Value;
use tokio::{
    net::TcpListener,
    sync::{Notify, mpsc},
    task::AbortHandle,
};
use tonic::{Code, Request, Response, Status, Streaming};

/// Requests that a client may have sent without an answer. Ours has no more.
const MAX_IN_FLIGHT: usize = real_streaming::gcp::write::MAX_IN_FLIGHT;

use super::{
    judge, rest,
    streams::{self, Committed},
    tally::{Keep, Recent, Tally},
};

#[allow(clippy::all, clippy::pedantic, unused)]
mod service {
    include!(concat!(env!("OUT_DIR"), "/google_servers/google.cloud.bigquery.storage.v1.rs"));
}
use service::big_query_write_server::{BigQueryWrite, BigQueryWriteServer};

/// What happens to one request. Without one it is judged and answered.
#[derive(Clone, Debug)]
pub enum Act {
    /// Judged after so long.
    Delay(Duration),
    /// Answered with an error, and nothing is stored.
    Answer(rpc::Status),
    /// The call ends with this status, and nothing is stored.
    Close(Code, &'static str),
    /// Stored; then the call ends before the answer.
    StoreAndClose(Code, &'static str),
    /// Stored; then answered with an error all the same.
    StoreAndAnswer(rpc::Status),
    /// The call ends well, and nothing is stored.
    End,
    /// Never answered.
    Silent,
    /// Judged, and the answer says that the table's columns have changed.
    Update,
    /// Judged, then answered twice.
    Twice,
}

impl Act {
    /// One of the faults that pass. None of them breaks the one rule that everything rests on: an answer to each request.
    pub fn random(random: &mut fastrand::Rng) -> Act {
        let quota = || rpc::Status { code: Code::ResourceExhausted as i32, message: "quota".into(), details: vec![] };
        let internal = || rpc::Status { code: Code::Internal as i32, message: "oops".into(), details: vec![] };
        match random.u8(0..8) {
            0 => Act::Close(Code::Unavailable, "elsewhere"),
            1 => Act::Close(Code::Aborted, "the connection is draining"),
            2 => Act::StoreAndClose(Code::Internal, "oops"),
            3 => Act::End,
            4 if random.bool() => Act::StoreAndAnswer(internal()),
            4 => Act::Answer(internal()),
            5 if random.u8(0..4) == 0 => Act::Answer(quota()),
            6 => Act::Update,
            _ => Act::Delay(Duration::from_millis(random.u64(0..30))),
        }
    }
}

/// How bad rows are listed.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Listing {
    /// All of them.
    #[default]
    All,
    /// So many at most.
    Some(usize),
    /// Not at all: `INVALID_ARGUMENT` alone.
    None,
    /// By an index beyond the request.
    Nonsense,
}

/// One request as it came.
#[derive(Clone, Debug)]
pub struct Seen {
    pub connection: usize,
    pub routing: Option<String>,
    pub authorization: Option<String>,
    pub quota_project: Option<String>,
    pub write_stream: String,
    pub has_schema: bool,
    pub offset: Option<i64>,
    pub trace_id: String,
    pub size: usize,
    pub ids: Vec<String>,
}

/// A row that was stored.
#[derive(Clone, Debug)]
pub struct Stored {
    pub id: String,
    pub columns: prost_reflect::DynamicMessage,
}

/// A table.
#[derive(Clone, Debug, Default)]
pub struct Table {
    /// The body it was created with, its schema kept new.
    pub body: Value,
    pub version: u64,
    /// When it was created, in milliseconds since the Unix epoch; long ago without a word.
    pub made: u64,
    /// Which of the tables that had this name: a call stays with the one that it found.
    pub incarnation: usize,
    pub rows: Vec<Stored>,
    /// What the Write API knows of its columns, when that is less.
    pub known: Option<HashSet<String>>,
}

/// The service takes 20 MB (quota "AppendRows request size").
const MAX_REQUEST: usize = 20 << 20;

#[derive(Default)]
pub struct State {
    pub datasets: HashSet<String>,
    /// Appends need no routing header: so it is in the US alone, and clients exist that do without.
    pub us_alone: bool,
    /// Of data sets, where they are not in the US.
    pub locations: HashMap<String, String>,
    /// By `project/dataset/table`.
    pub tables: BTreeMap<String, Table>,
    /// By name.
    pub streams: BTreeMap<String, Committed>,
    /// Tables that were ever created by REST.
    pub tables_made: usize,
    /// Attempts to create one that was there: `409`.
    pub duplicates: usize,
    /// Calls that create a stream are held.
    pub holds_creations: bool,
    /// Those that came meanwhile.
    pub held_creations: usize,
    /// Streams that were ever created.
    pub created: usize,
    pub script: VecDeque<Act>,
    /// Without a script: of a thousand requests, so many meet a fault that passes.
    pub storm: Option<(fastrand::Rng, u64)>,
    /// Requests are neither read nor answered.
    pub stalled: bool,
    pub keep: Keep,
    /// What is not kept is counted.
    pub tally: Tally,
    /// Statuses that calls end with before anything else.
    pub openings: VecDeque<Status>,
    /// The same for calls that end a stream.
    pub finalizings: VecDeque<Status>,
    /// So many streams are finalized, and the answer is lost.
    pub lost_finalizings: usize,
    /// A stream is finalized once and not again: nobody documents it, and nobody documents the contrary.
    pub finalizes_once: bool,
    /// Answers to REST calls before anything else: method, status, reason.
    pub refusals: VecDeque<(&'static str, u16, &'static str)>,
    pub seen: Vec<Seen>,
    pub rest_seen: Vec<String>,
    /// Whose quota REST calls use.
    pub rest_quota: Vec<Option<String>>,
    /// Answers are held back until so many requests have come on a connection.
    pub hold: usize,
    pub listing: Listing,
    /// What is wrong with every row, though no column shows it.
    pub grudge: Option<&'static str>,
    /// The Write API does not know any table.
    pub amnesia: bool,
    /// Statuses for patches of tables.
    pub no_patch: bool,
    /// Opened calls.
    pub calls: usize,
    /// Calls whose requests have come to an end.
    pub ended: usize,
    /// Tokens that are not taken.
    pub bad_tokens: HashSet<String>,
    /// Connections, to be cut.
    pub connections: Vec<AbortHandle>,
    /// Connections were cut: which of the answers that were under way have arrived, nobody knows.
    pub is_cut: bool,
}

/// The stand-in. Ends with its runtime.
#[derive(Clone)]
pub struct BigQuery {
    pub grpc: SocketAddr,
    pub rest: SocketAddr,
    pub state: Arc<Mutex<State>>,
    leaving: Arc<Notify>,
}

impl BigQuery {
    /// Serves on free ports, with data set `p/d`.
    pub async fn start() -> BigQuery {
        let state = Arc::new(Mutex::new(State { datasets: ["p/d".to_owned()].into(), ..State::default() }));
        let grpc = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let rest = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let leaving = Arc::new(Notify::new());
        let fake = BigQuery {
            grpc: grpc.local_addr().unwrap(),
            rest: rest.local_addr().unwrap(),
            state: state.clone(),
            leaving: leaving.clone(),
        };
        tokio::spawn(serve_grpc(grpc, state.clone(), leaving));
        tokio::spawn(rest::serve(rest, state));
        fake
    }

    pub fn script(&self, acts: impl IntoIterator<Item = Act>) {
        self.state.lock().script.extend(acts);
    }

    /// Requests so far.
    pub fn seen(&self) -> Vec<Seen> {
        self.state.lock().seen.clone()
    }

    /// Rows of table `events`, or of its days one after the other, in the order in which they were stored.
    pub fn rows(&self) -> Vec<Stored> {
        let state = self.state.lock();
        let tables = state.tables.iter().filter(|(name, _)| name.starts_with("p/d/events"));
        tables.flat_map(|(_, table)| table.rows.iter().cloned()).collect()
    }

    /// Their event ids.
    pub fn ids(&self) -> Vec<String> {
        self.rows().into_iter().map(|row| row.id).collect()
    }

    /// Says on every gRPC connection that it takes no further call (GOAWAY); those under way go on.
    pub fn go_away(&self) {
        self.leaving.notify_waiters();
    }

    /// Cuts every gRPC connection, without a word.
    pub fn cut(&self) {
        let mut state = self.state.lock();
        state.is_cut = true;
        for connection in state.connections.drain(..) {
            connection.abort();
        }
    }
}

async fn serve_grpc(listener: TcpListener, state: Arc<Mutex<State>>, leaving: Arc<Notify>) {
    let service = BigQueryWriteServer::new(Service(state.clone())).max_decoding_message_size(4 * MAX_REQUEST);
    while let Ok((stream, _)) = listener.accept().await {
        let service = TowerToHyperService::new(service.clone());
        let leaving = leaving.clone();
        let connection = tokio::spawn(async move {
            let http2 = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
            let mut connection = std::pin::pin!(http2.serve_connection(TokioIo::new(stream), service));
            tokio::select! {
                _ = &mut connection => {}
                () = leaving.notified() => {
                    connection.as_mut().graceful_shutdown();
                    let _ = connection.await;
                }
            }
        });
        state.lock().connections.push(connection.abort_handle());
    }
}

struct Service(Arc<Mutex<State>>);

type Answers = Pin<Box<dyn Stream<Item = Result<AppendRowsResponse, Status>> + Send>>;

#[tonic::async_trait]
impl BigQueryWrite for Service {
    type AppendRowsStream = Answers;

    async fn append_rows(&self, request: Request<Streaming<AppendRowsRequest>>) -> Result<Response<Answers>, Status> {
        let (routing, authorization) = (header(&request, "x-goog-request-params"), token(&request));
        let quota_project = header(&request, "x-goog-user-project");
        let connection = {
            let mut state = self.0.lock();
            state.calls += 1;
            if let Some(status) = state.openings.pop_front() {
                return Err(status);
            }
            state.admit(authorization.as_deref())?;
            if routing.is_none() && !state.us_alone {
                return Err(Status::permission_denied("the routing header is missing (or the resource may not exist)"));
            }
            state.calls
        };
        let mut requests = request.into_inner();
        // No headers before there is a request: a client that waits for them first waits for ever.
        let Some(first) = requests.message().await? else { return Ok(Response::new(Box::pin(stream::empty()))) };
        let (answers, answered) = mpsc::unbounded_channel();
        let talk = Talk {
            state: self.0.clone(),
            connection,
            routing,
            authorization,
            quota_project,
            stream: String::new(),
            descriptor: None,
            incarnation: None,
            came: 0,
            offset: None,
            recent: Recent::default(),
            end: End::Broken,
            held: Vec::new(),
            answers,
        };
        tokio::spawn(talk.run(first, requests));
        let answered = stream::unfold(answered, |mut answered| async { Some((answered.recv().await?, answered)) });
        Ok(Response::new(Box::pin(answered)))
    }

    async fn get_write_stream(&self, request: Request<GetWriteStreamRequest>) -> Result<Response<WriteStream>, Status> {
        let name = request.into_inner().name;
        let state = self.0.lock();
        let (key, stream) = streams::parts(&name).ok_or_else(|| Status::invalid_argument("no stream's name"))?;
        let table = state.tables.get(&key).ok_or_else(|| Status::not_found("Requested entity was not found"))?;
        if stream != "_default" && !state.streams.contains_key(&name) {
            return Err(Status::not_found("Requested entity was not found"));
        }
        Ok(Response::new(described(name, table)))
    }

    async fn create_write_stream(
        &self,
        request: Request<CreateWriteStreamRequest>,
    ) -> Result<Response<WriteStream>, Status> {
        let (routing, token) = (request.metadata().get("x-goog-request-params").cloned(), token(&request));
        let request = request.into_inner();
        // Some clients leave slashes as they are.
        let routing = routing.as_ref().map(|routing| percent_encoding::percent_decode(routing.as_encoded_bytes()));
        if !routing.is_some_and(|routing| routing.eq(format!("parent={}", request.parent).bytes())) {
            return Err(Status::permission_denied("the routing header is missing"));
        }
        if self.0.lock().holds_creations {
            self.0.lock().held_creations += 1;
            while self.0.lock().holds_creations {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
        let mut state = self.0.lock();
        state.admit(token.as_deref())?;
        let (key, _) = streams::parts(&request.parent).ok_or_else(|| Status::invalid_argument("no table's name"))?;
        let table = state.tables.get(&key).cloned();
        let table = table.ok_or_else(|| judge::status(Code::NotFound, 1, "Requested entity was not found"))?;
        if request.write_stream.unwrap_or_default().r#type() != write_stream::Type::Committed {
            return Err(Status::unimplemented("only committed streams"));
        }
        state.created += 1;
        let name = format!("{}/streams/s{}", request.parent, state.created);
        state.streams.insert(name.clone(), Committed::default());
        Ok(Response::new(WriteStream { r#type: write_stream::Type::Committed.into(), ..described(name, &table) }))
    }

    async fn finalize_write_stream(
        &self,
        request: Request<FinalizeWriteStreamRequest>,
    ) -> Result<Response<FinalizeWriteStreamResponse>, Status> {
        let mut state = self.0.lock();
        state.admit(token(&request).as_deref())?;
        if let Some(status) = state.finalizings.pop_front() {
            return Err(status);
        }
        let finalizes_once = state.finalizes_once;
        let stream = state.streams.get_mut(&request.into_inner().name);
        let stream = stream.ok_or_else(|| judge::status(Code::NotFound, 3, "Requested entity was not found"))?;
        if std::mem::replace(&mut stream.finalized, true) && finalizes_once {
            let finalized = StorageErrorCode::StreamFinalized as i32;
            return Err(judge::status(Code::InvalidArgument, finalized, "Stream has been finalized."));
        }
        let row_count = stream.rows;
        if state.lost_finalizings > 0 {
            state.lost_finalizings -= 1;
            return Err(Status::unavailable("the answer is lost"));
        }
        Ok(Response::new(FinalizeWriteStreamResponse { row_count }))
    }
}

fn header<T>(request: &Request<T>, name: &str) -> Option<String> {
    Some(request.metadata().get(name)?.to_str().ok()?.to_owned())
}

fn token<T>(request: &Request<T>) -> Option<String> {
    header(request, "authorization")
}

fn described(name: String, table: &Table) -> WriteStream {
    let schema = TableSchema { fields: judge::storage_fields(&table.body["schema"]["fields"], "", &table.known) };
    WriteStream { name, table_schema: Some(schema), location: "EU".into(), ..WriteStream::default() }
}

/// The key of the stream's table.
fn table_of(stream: &str) -> String {
    streams::parts(stream).map_or_else(|| format!("no table: {stream}"), |(key, _)| key)
}

impl State {
    fn admit(&self, token: Option<&str>) -> Result<(), Status> {
        match token {
            Some(token) if self.bad_tokens.contains(token) => {
                Err(Status::unauthenticated("Request had invalid authentication credentials."))
            }
            _ => Ok(()),
        }
    }

    fn next_act(&mut self) -> Option<Act> {
        if let Some(act) = self.script.pop_front() {
            return Some(act);
        }
        let (random, per_mille) = self.storm.as_mut()?;
        (random.u64(0..1_000) < *per_mille).then(|| Act::random(random))
    }
}

/// One call of AppendRows.
struct Talk {
    state: Arc<Mutex<State>>,
    connection: usize,
    routing: Option<String>,
    authorization: Option<String>,
    quota_project: Option<String>,
    stream: String,
    descriptor: Option<MessageDescriptor>,
    /// The table that it found at its first request, if any.
    incarnation: Option<usize>,
    came: usize,
    /// Of the last request.
    offset: Option<i64>,
    recent: Recent,
    end: End,
    /// Answers that are kept back, each with the rows that were stored.
    held: Vec<(AppendRowsResponse, u64)>,
    answers: mpsc::UnboundedSender<Result<AppendRowsResponse, Status>>,
}

/// How a call ended.
#[derive(Clone, Copy, PartialEq)]
enum End {
    /// The client closed it, and has all its answers.
    Closed,
    /// The stand-in did, after the answers that it had sent.
    Ended,
    /// Its connection or its client went away.
    Broken,
}

impl Drop for Talk {
    fn drop(&mut self) {
        self.look();
        let mut state = self.state.lock();
        let held: u64 = self.held.iter().map(|(_, rows)| rows).sum();
        let recent = if self.end == End::Closed { 0 } else { self.recent.rows() };
        state.tally.excused += held + recent;
        let knows = self.end == End::Ended && !state.is_cut;
        state.tally.unanswered += held + if knows { 0 } else { recent };
    }
}

impl Talk {
    async fn run(mut self, first: AppendRowsRequest, mut requests: Streaming<AppendRowsRequest>) {
        let mut next = Some(first);
        while let Some(request) = next {
            self.came += 1;
            while self.state.lock().stalled {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            let act = self.state.lock().next_act();
            let answer = self.take_in(&request);
            let ((mut answer, stored), act) = match (answer, act) {
                (Err(status), _) => return self.end(status),
                (Ok(prepared), act) => match act {
                    Some(Act::Answer(status)) => ((error(status), 0), None),
                    Some(Act::Close(code, words)) => return self.end(Status::new(code, words)),
                    Some(Act::End) => {
                        self.end = End::Ended;
                        return;
                    }
                    // Until the call is gone.
                    Some(Act::Silent) => return self.answers.closed().await,
                    Some(Act::Delay(time)) => {
                        tokio::time::sleep(time).await;
                        (self.judge(prepared), None)
                    }
                    Some(Act::StoreAndClose(code, words)) => {
                        self.store_unsaid(prepared);
                        return self.end(Status::new(code, words));
                    }
                    Some(Act::StoreAndAnswer(status)) => {
                        self.store_unsaid(prepared);
                        ((error(status), 0), None)
                    }
                    act => (self.judge(prepared), act),
                },
            };
            if matches!(act, Some(Act::Update)) {
                let state = self.state.lock();
                let table = &state.tables[&table_of(&self.stream)];
                let fields = judge::storage_fields(&table.body["schema"]["fields"], "", &table.known);
                answer.updated_schema = Some(TableSchema { fields });
            }
            if matches!(act, Some(Act::Twice)) {
                self.held.push((answer.clone(), 0));
            }
            self.held.push((answer, stored));
            if self.came >= self.state.lock().hold {
                for (answer, stored) in self.held.drain(..) {
                    if matches!(answer.response, Some(Answer::Error(_))) {
                        self.recent.trouble();
                    }
                    let _ = self.answers.send(Ok(answer));
                    self.recent.note(stored, MAX_IN_FLIGHT);
                }
            }
            self.look();
            next = match requests.message().await {
                Ok(Some(request)) => Some(request),
                // A client that ends a call has all its answers.
                Ok(None) => {
                    self.end = End::Closed;
                    None
                }
                Err(_) => None,
            };
        }
        self.state.lock().ended += 1;
    }

    /// Whether anybody still waits for answers.
    fn look(&mut self) {
        if !self.answers.is_closed() {
            self.recent.seen();
        }
    }

    fn end(&mut self, status: Status) {
        self.end = End::Ended;
        let _ = self.answers.send(Err(status));
    }

    /// Stores the rows, and the client will not hear of it.
    fn store_unsaid(&self, read: Vec<judge::Read>) {
        let (_, stored) = self.judge(read);
        let tally = &mut self.state.lock().tally;
        tally.excused += stored;
        tally.unanswered += stored;
    }

    /// Notes the request, checks its frame and reads its rows.
    fn take_in(&mut self, request: &AppendRowsRequest) -> Result<Vec<judge::Read>, Status> {
        let append_rows_request::Rows::ProtoRows(data) =
            request.rows.as_ref().ok_or_else(|| Status::invalid_argument("no rows"))?;
        if self.came == 1 {
            self.stream = request.write_stream.clone();
            {
                let state = self.state.lock();
                let found = state.tables.get(&table_of(&self.stream)).filter(|_| !state.amnesia);
                self.incarnation = found.map(|table| table.incarnation);
            }
            let schema = data.writer_schema.as_ref().and_then(|schema| schema.proto_descriptor.clone());
            let mut descriptor = schema.ok_or_else(|| Status::invalid_argument("the first request has no schema"))?;
            if self.state.lock().keep == Keep::Moments {
                descriptor = judge::identity(descriptor);
            }
            self.descriptor = Some(judge::as_proto2(descriptor).map_err(Status::invalid_argument)?);
        }
        let descriptor = self.descriptor.as_ref().expect("the first request brought it");
        let rows = data.rows.as_ref().map(|rows| &rows.serialized_rows[..]).unwrap_or_default();
        let keep = {
            let mut state = self.state.lock();
            state.tally.requests += 1;
            if state.keep == Keep::Count {
                state.tally.rows += rows.len() as u64;
                return Ok(Vec::new());
            }
            state.keep
        };
        let read: Vec<_> = rows.iter().map(|row| judge::read(descriptor, row, keep != Keep::Moments)).collect();
        let seen = || Seen {
            connection: self.connection,
            routing: self.routing.clone(),
            authorization: self.authorization.clone(),
            quota_project: self.quota_project.clone(),
            write_stream: request.write_stream.clone(),
            has_schema: data.writer_schema.is_some(),
            offset: request.offset,
            trace_id: request.trace_id.clone(),
            size: prost::Message::encoded_len(request),
            ids: read.iter().map(|row| row.id.clone()).collect(),
        };
        if keep == Keep::Rows {
            self.state.lock().seen.push(seen());
        }
        // Some clients leave slashes as they are.
        if let Some(routing) = &self.routing
            && percent_encoding::percent_decode_str(routing).decode_utf8_lossy().strip_prefix("write_stream=")
                != Some(&self.stream)
        {
            return Err(Status::permission_denied(format!("routed by `{routing}`")));
        }
        if !request.write_stream.is_empty() && request.write_stream != self.stream {
            return Err(Status::invalid_argument("another table on the same connection"));
        }
        let is_default = streams::parts(&self.stream).is_some_and(|(_, stream)| stream == "_default");
        if request.offset.is_some() && is_default {
            return Err(Status::invalid_argument("the default stream has no offsets"));
        }
        let size = prost::Message::encoded_len(request);
        if size > MAX_REQUEST {
            return Err(Status::invalid_argument(format!("a request of {size} bytes, {MAX_REQUEST} may be")));
        }
        self.offset = request.offset;
        Ok(read)
    }

    /// Stores the rows, or says why not: the answer, and how many rows were stored.
    fn judge(&self, read: Vec<judge::Read>) -> (AppendRowsResponse, u64) {
        let rows = read.len() as u64;
        let answer = self.store(read);
        let is_stored = matches!(answer.response, Some(Answer::AppendResult(_)));
        (answer, if is_stored { rows } else { 0 })
    }

    fn store(&self, read: Vec<judge::Read>) -> AppendRowsResponse {
        let mut state = self.state.lock();
        let listing = state.listing;
        let key = table_of(&self.stream);
        let found = state.tables.get(&key).filter(|table| self.incarnation == Some(table.incarnation));
        if state.amnesia || found.is_none() {
            return error(judge::storage_error(Code::NotFound, 1, "Requested entity was not found"));
        }
        let stream = match streams::parts(&self.stream) {
            Some((_, "_default")) => None,
            _ => match state.streams.get(&self.stream).cloned() {
                Some(stream) => Some(stream),
                None => {
                    let code = StorageErrorCode::StreamNotFound as i32;
                    return error(judge::storage_error(Code::NotFound, code, "Requested entity was not found"));
                }
            },
        };
        if let Some(refused) = stream.as_ref().and_then(|stream| stream.check(self.offset).err()) {
            return error(refused);
        }
        let table = &state.tables[&key];
        let descriptor = self.descriptor.as_ref().expect("the first request brought it");
        if let Err(words) = judge::fits(descriptor, &table.body["schema"]["fields"], &table.known) {
            return error(judge::storage_error(Code::InvalidArgument, 7, &words));
        }
        let faults: HashMap<usize, String> = read
            .iter()
            .enumerate()
            .filter_map(|(index, row)| Some((index, fault(row, table, state.grudge)?)))
            .collect();
        if faults.is_empty() {
            let count = read.len() as i64;
            match state.keep {
                Keep::Rows => {
                    let rows = read.into_iter().map(|row| Stored { id: row.id, columns: row.columns });
                    state.tables.get_mut(&key).expect("looked at above").rows.extend(rows);
                }
                _ => read.iter().for_each(|row| state.tally.note(&row.id)),
            }
            let offset = stream.map(|stream| stream.rows);
            if let Some(stream) = state.streams.get_mut(&self.stream) {
                stream.rows += count;
            }
            return AppendRowsResponse {
                response: Some(Answer::AppendResult(AppendResult { offset })),
                ..AppendRowsResponse::default()
            };
        }
        let words = "Errors found while processing rows. Please refer to the row_errors field for details.";
        let mut answer =
            error(rpc::Status { code: Code::InvalidArgument as i32, message: words.into(), details: vec![] });
        let mut list: Vec<_> =
            faults.into_iter().map(|(index, message)| RowError { index: index as i64, code: 1, message }).collect();
        list.sort_by_key(|fault| fault.index);
        match listing {
            Listing::All => {}
            Listing::Some(most) => list.truncate(most),
            Listing::None => list.clear(),
            Listing::Nonsense => list.iter_mut().for_each(|fault| fault.index += 1_000_000),
        }
        answer.row_errors = list;
        answer
    }
}

/// What is wrong with a row for this table.
fn fault(row: &judge::Read, table: &Table, grudge: Option<&str>) -> Option<String> {
    row.fault
        .clone()
        .or(grudge.map(str::to_owned))
        .or_else(|| judge::misfit(&row.columns, &table.body["schema"]["fields"], ""))
}

fn error(status: rpc::Status) -> AppendRowsResponse {
    AppendRowsResponse { response: Some(Answer::Error(status)), ..AppendRowsResponse::default() }
}

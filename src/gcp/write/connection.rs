//! One call of AppendRows, with its own connection.

use std::{pin::Pin, sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::{Stream, StreamExt, TryStreamExt, stream};
use http::uri::PathAndQuery;
use tokio::sync::{mpsc, oneshot};
use tonic::{Code, Status, client::Grpc};

use super::{AppendError, Appended, MAX_IN_FLIGHT, RowFault, Target, WriterSchema, append::Append};
use crate::gcp::{
    Failure,
    auth::Credential,
    call::head,
    codec::Roomy,
    proto::storage::{AppendRowsRequest, AppendRowsResponse, append_rows_response::Response},
    tasks::Tasks,
};

/// Who wrote the rows, for Google's support. The service wants a word before a colon.
const TRACE_ID: &str = concat!("real-streaming:", env!("CARGO_PKG_VERSION"));

/// The method.
const APPEND_ROWS: &str = "/google.cloud.bigquery.storage.v1.BigQueryWrite/AppendRows";

/// See the module.
pub struct Connection {
    requests: mpsc::Sender<Append>,
    answers: Pin<Box<dyn Stream<Item = Result<AppendRowsResponse, Status>> + Send>>,
    stream: String,
    /// Of every row on it.
    pub schema: Arc<WriterSchema>,
    /// The token it was opened with.
    token: Option<Credential>,
    tasks: Tasks,
    first: bool,
}

/// Why a connection cannot be opened, or ended.
pub struct Broken {
    /// The reason.
    pub failure: Failure,
    /// The token that was shown.
    pub token: Option<Credential>,
}

impl Connection {
    /// To a stream of the target's service. Nobody is called before the first request is there: the server may say
    /// nothing, not even headers, before it has one.
    pub async fn open(target: &Target, stream: &str, schema: Arc<WriterSchema>) -> Result<Connection, Broken> {
        let token = target.tokens.credential().await;
        let token = token.map_err(|error| Broken::from(Failure::without_token(&error)))?;
        let tasks = Tasks::default();
        let channel = match target.endpoint.channel_on(tasks.clone()) {
            Ok(channel) => channel,
            Err(error) => return Err(Broken { failure: Failure::unreachable(&error), token }),
        };
        let (requests, outgoing) = mpsc::channel(MAX_IN_FLIGHT);
        let outgoing = stream::unfold(outgoing, |mut outgoing| async { Some((outgoing.recv().await?, outgoing)) });
        let mut call = tonic::Request::new(outgoing);
        head(&mut call, "write_stream", stream, token.as_ref());
        let answers = stream::once(async move {
            let mut client = Grpc::new(channel);
            client.ready().await.map_err(|error| Status::from_error(error.into()))?;
            let answers = client.streaming(call, PathAndQuery::from_static(APPEND_ROWS), Roomy::default()).await;
            answers.map(tonic::Response::into_inner)
        });
        let answers = Box::pin(answers.try_flatten());
        Ok(Connection { requests, answers, stream: stream.to_owned(), schema, token, tasks, first: true })
    }

    /// Sends rows, at `offset` unless the stream has none. At most [`MAX_IN_FLIGHT`] may be without an answer.
    pub fn send(&mut self, rows: Arc<Vec<Bytes>>, offset: Option<i64>) {
        let mut request =
            Append { head: AppendRowsRequest { offset, ..AppendRowsRequest::default() }, schema: None, rows };
        if std::mem::take(&mut self.first) {
            request.head.write_stream = self.stream.clone();
            request.head.trace_id = TRACE_ID.to_owned();
            request.schema = Some(self.schema.clone());
        }
        // What is in the channel is in flight, so there is room; a closed channel shows as a broken stream.
        let _ = self.requests.try_send(request);
    }

    /// The next answer; an error when there will be none. May be given up.
    pub async fn answer(&mut self) -> Result<AppendRowsResponse, Failure> {
        match self.answers.next().await {
            Some(Ok(answer)) => Ok(answer),
            Some(Err(status)) => Err(Failure::of_status(&status)),
            None => Err(Failure::new(Code::Unavailable, "the server ended the stream")),
        }
    }

    /// It ended like this. What was handed to it and not sent is not sent any more.
    pub fn broken(self, failure: Failure) -> Broken {
        self.tasks.cut();
        Broken { failure, token: self.token }
    }

    /// It is given up, since no answer came for so long.
    pub fn silent(self, patience: Duration) -> Broken {
        self.broken(Failure::new(Code::DeadlineExceeded, format!("no answer for {} seconds", patience.as_secs())))
    }
}

impl From<Failure> for Broken {
    /// Before there was a token.
    fn from(failure: Failure) -> Broken {
        Broken { failure, token: None }
    }
}

/// Tells everybody who waits, in order, that the connection has ended. A refusal is about the first, whose answer was
/// due; the others only stood behind it.
pub fn tell_all(failure: Failure, waiting: impl IntoIterator<Item = oneshot::Sender<Result<Appended, AppendError>>>) {
    let bystanders = match failure.code {
        Code::InvalidArgument => Failure::new(Code::Aborted, "the stream broke over another request"),
        _ => failure.clone(),
    };
    let mut failure = Some(failure);
    for answer in waiting {
        let why = failure.take().unwrap_or_else(|| bystanders.clone());
        let _ = answer.send(Err(why.into()));
    }
}

/// What an answer says of its request.
pub fn outcome(answer: AppendRowsResponse) -> Result<Appended, AppendError> {
    let faults: Vec<_> = answer.row_errors.into_iter().map(RowFault::of).collect();
    match answer.response {
        _ if !faults.is_empty() => Err(AppendError::Rows(faults)),
        Some(Response::Error(status)) => Err(Failure::of_answer(status).into()),
        Some(Response::AppendResult(result)) => {
            Ok(Appended { updated_schema: answer.updated_schema, offset: result.offset })
        }
        None => Err(Failure::new(Code::Internal, "an answer says neither yes nor no").into()),
    }
}

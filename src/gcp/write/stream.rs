//! The task that drives one table's stream.

use std::{collections::VecDeque, pin::pin, sync::Arc};

use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};
use tokio::{
    sync::{mpsc, oneshot},
    time::{Instant, sleep_until},
};
use tonic::Code;

use super::{AppendError, Appended, MAX_IN_FLIGHT, RowFault, Target, Timing, WriterSchema};
use crate::gcp::{
    Failure,
    call::head,
    proto::storage::{
        AppendRowsRequest, AppendRowsResponse, ProtoRows,
        append_rows_request::{ProtoData, Rows},
        append_rows_response::Response,
        big_query_write_client::BigQueryWriteClient,
    },
};

/// Who wrote the rows, for Google's support. The service wants a word before a colon.
const TRACE_ID: &str = concat!("real-streaming:", env!("CARGO_PKG_VERSION"));

/// Idle closes in a row that are taken for what they say.
const MAX_IDLE_CLOSES: u32 = 3;

/// A request, and who waits for its answer.
pub struct Job {
    pub schema: Arc<WriterSchema>,
    pub rows: Vec<Bytes>,
    pub answer: oneshot::Sender<Result<Appended, AppendError>>,
}

/// See the module above.
pub struct Stream {
    target: Target,
    timing: Timing,
    queue: mpsc::UnboundedReceiver<Job>,
    /// Nobody can send any more.
    closed: bool,
    /// Not sent, in order.
    pending: VecDeque<Job>,
    /// Sent and not answered; the next answer is the front's.
    in_flight: VecDeque<Job>,
    /// When a broken stream was last opened again at once.
    hurried: Option<Instant>,
    /// A token was refused, and nothing was answered since.
    refused: bool,
    /// Streams that the server closed as idle since the last answer.
    idle_closes: u32,
}

/// How one connection ended.
enum End {
    /// Nothing was wrong: it was idle, or had to make room for another.
    Closed,
    /// It broke. `answered` says whether it had worked before.
    Broken { failure: Failure, answered: bool, token: Option<http::HeaderValue> },
}

impl Stream {
    pub fn new(target: Target, timing: Timing, queue: mpsc::UnboundedReceiver<Job>) -> Stream {
        let (pending, in_flight) = (VecDeque::new(), VecDeque::new());
        Stream {
            target,
            timing,
            queue,
            closed: false,
            pending,
            in_flight,
            hurried: None,
            refused: false,
            idle_closes: 0,
        }
    }

    /// Works until nobody can send any more and everything is answered.
    pub async fn run(mut self) {
        loop {
            if self.pending.is_empty() {
                match self.queue.recv().await {
                    Some(job) => self.pending.push_back(job),
                    None => return,
                }
            }
            if let End::Broken { failure, answered, token } = self.converse().await {
                self.recover(failure, answered, token);
            }
        }
    }

    /// Puts what was sent back to the front of the queue; either for the next connection, or to fail.
    fn recover(&mut self, failure: Failure, answered: bool, token: Option<http::HeaderValue>) {
        let sent = self.in_flight.len();
        while let Some(job) = self.in_flight.pop_back() {
            self.pending.push_front(job);
        }
        if self.pending.is_empty() {
            tracing::debug!(stream = self.target.stream, %failure, "stream was closed by the server");
            return;
        }
        if self.may_hurry(&failure, answered, token) {
            tracing::info!(stream = self.target.stream, %failure, requests = sent, "stream broke, sending again");
            return;
        }
        // Everything that was queued until now fails together, so that the callers can bring it again in order.
        while let Ok(job) = self.queue.try_recv() {
            self.pending.push_back(job);
        }
        // A refusal is about the request whose answer was due; the others only stood behind it.
        let bystanders = match failure.code {
            Code::InvalidArgument => Failure::new(Code::Aborted, "the stream broke over another request"),
            _ => failure.clone(),
        };
        let mut failure = Some(failure);
        for job in self.pending.drain(..) {
            let why = failure.take().unwrap_or_else(|| bystanders.clone());
            let _ = job.answer.send(Err(why.into()));
        }
    }

    /// Whether to open another connection at once.
    fn may_hurry(&mut self, failure: &Failure, answered: bool, token: Option<http::HeaderValue>) -> bool {
        if failure.code == Code::Unauthenticated {
            let Some(token) = token else { return false };
            self.target.tokens.invalidate(&token);
            return !std::mem::replace(&mut self.refused, true);
        }
        if failure.is_idle_close() {
            // The request crossed with the close: nothing is wrong but the stream's age. A server that says so again
            // and again means something else.
            self.idle_closes += 1;
            return self.idle_closes <= MAX_IDLE_CLOSES;
        }
        let passes = matches!(
            failure.code,
            Code::Aborted
                | Code::Unavailable
                | Code::Cancelled
                | Code::Internal
                | Code::DeadlineExceeded
                | Code::Unknown
        );
        let now = Instant::now();
        let calm = self.hurried.is_none_or(|at| now - at >= self.timing.calm);
        if passes && answered && calm {
            self.hurried = Some(now);
            return true;
        }
        false
    }

    /// One connection, from its first request to its end.
    async fn converse(&mut self) -> End {
        let broken = |failure, token| End::Broken { failure, answered: false, token };
        let token = match self.target.tokens.header().await {
            Ok(token) => token,
            Err(error) => return broken(Failure::without_token(&error), None),
        };
        let channel = match self.target.endpoint.channel() {
            Ok(channel) => channel,
            Err(error) => return broken(Failure::unreachable(&error), token),
        };
        let Some(schema) = self.pending.front().map(|job| job.schema.clone()) else { return End::Closed };

        // The server may say nothing, not even headers, before it has a request: the first one goes in beforehand.
        let (requests, outgoing) = mpsc::channel(MAX_IN_FLIGHT);
        let mut first = true;
        self.send(&requests, &schema, &mut first);
        let outgoing = stream::unfold(outgoing, |mut outgoing| async { Some((outgoing.recv().await?, outgoing)) });
        let mut call = tonic::Request::new(outgoing);
        head(&mut call, "write_stream", &self.target.stream, token.as_ref());
        let answers = stream::once(async move {
            let mut client = BigQueryWriteClient::new(channel);
            client.append_rows(call).await.map(tonic::Response::into_inner)
        });
        let mut answers = pin!(answers.try_flatten());

        let opened = Instant::now();
        let mut heard = opened;
        let mut answered = false;
        loop {
            // One that grows old takes no more requests.
            let retiring = opened.elapsed() >= self.timing.age || !self.send(&requests, &schema, &mut first);
            if self.in_flight.is_empty() && (retiring || self.closed) {
                return End::Closed;
            }
            let patience = if self.in_flight.is_empty() { self.timing.idle } else { self.timing.answer };
            let hears = !self.closed && self.pending.len() < MAX_IN_FLIGHT;
            tokio::select! {
                biased;
                answer = answers.next() => {
                    heard = Instant::now();
                    let failure = match answer {
                        Some(Ok(answer)) => match self.settle(answer) {
                            Ok(()) => {
                                (answered, self.refused, self.idle_closes) = (true, false, 0);
                                continue;
                            }
                            Err(failure) => failure,
                        },
                        Some(Err(status)) => Failure::of_status(&status),
                        None => Failure::new(Code::Unavailable, "the server ended the stream"),
                    };
                    return End::Broken { failure, answered, token };
                }
                job = self.queue.recv(), if hears => match job {
                    Some(job) => {
                        // The time until the answer runs from the first request, not from the last answer.
                        if self.in_flight.is_empty() {
                            heard = Instant::now();
                        }
                        self.pending.push_back(job);
                    }
                    None => self.closed = true,
                },
                () = sleep_until(heard + patience) => {
                    if self.in_flight.is_empty() {
                        return End::Closed;
                    }
                    let words = format!("no answer for {} seconds", patience.as_secs());
                    return End::Broken { failure: Failure::new(Code::DeadlineExceeded, words), answered, token };
                }
            }
        }
    }

    /// Sends what is pending, as far as it may be in flight. False when the next request needs another connection.
    fn send(
        &mut self,
        requests: &mpsc::Sender<AppendRowsRequest>,
        schema: &Arc<WriterSchema>,
        first: &mut bool,
    ) -> bool {
        while let Some(job) = self.pending.front() {
            if !Arc::ptr_eq(&job.schema, schema) {
                return false;
            }
            if self.in_flight.len() >= MAX_IN_FLIGHT {
                break;
            }
            let request = self.request(job, std::mem::take(first));
            // What is in the channel is in flight, so there is room; a closed channel shows as a broken stream.
            let _ = requests.try_send(request);
            self.in_flight.extend(self.pending.pop_front());
        }
        true
    }

    fn request(&self, job: &Job, first: bool) -> AppendRowsRequest {
        let rows = ProtoRows { serialized_rows: job.rows.clone() };
        let writer_schema = first.then(|| job.schema.proto.clone());
        let mut request = AppendRowsRequest {
            rows: Some(Rows::ProtoRows(ProtoData { writer_schema, rows: Some(rows) })),
            ..AppendRowsRequest::default()
        };
        if first {
            request.write_stream = self.target.stream.clone();
            request.trace_id = TRACE_ID.to_owned();
        }
        request
    }

    /// Hands an answer to whoever waits for it; an error when it says that the whole stream is of no use.
    fn settle(&mut self, answer: AppendRowsResponse) -> Result<(), Failure> {
        let Some(job) = self.in_flight.pop_front() else {
            return Err(Failure::new(Code::Internal, "an answer came to no request"));
        };
        let faults: Vec<_> = answer.row_errors.into_iter().map(RowFault::of).collect();
        let result = match answer.response {
            _ if !faults.is_empty() => Err(AppendError::Rows(faults)),
            Some(Response::Error(status)) => {
                let failure = Failure::of_answer(status);
                if failure.code == Code::Unauthenticated {
                    self.in_flight.push_front(job);
                    return Err(failure);
                }
                Err(failure.into())
            }
            Some(Response::AppendResult(_)) => Ok(Appended { updated_schema: answer.updated_schema }),
            None => Err(Failure::new(Code::Internal, "an answer says neither yes nor no").into()),
        };
        let _ = job.answer.send(result);
        Ok(())
    }
}

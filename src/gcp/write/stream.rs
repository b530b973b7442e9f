//! The task that drives one table's stream.

use std::{collections::VecDeque, sync::Arc};

use bytes::Bytes;
use tokio::{
    sync::{mpsc, oneshot},
    time::{Instant, sleep_until},
};
use tonic::Code;

use super::{
    AppendError, Appended, MAX_IN_FLIGHT, Target, Timing, WriterSchema,
    connection::{Broken, Connection, outcome, tell_all},
    hurry::Hurry,
};
use crate::gcp::{Failure, proto::storage::AppendRowsResponse};

/// A request, and who waits for its answer.
pub struct Job {
    pub schema: Arc<WriterSchema>,
    pub rows: Arc<Vec<Bytes>>,
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
    hurry: Hurry,
}

/// How one connection ended.
enum End {
    /// Nothing was wrong: it was idle, or had to make room for another.
    Closed,
    /// It broke. `answered` says whether it had worked before.
    Broken { broken: Broken, answered: bool },
}

impl Stream {
    pub fn new(target: Target, timing: Timing, queue: mpsc::UnboundedReceiver<Job>) -> Stream {
        let (pending, in_flight) = (VecDeque::new(), VecDeque::new());
        Stream { target, timing, queue, closed: false, pending, in_flight, hurry: Hurry::default() }
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
            if let End::Broken { broken, answered } = self.converse().await {
                self.recover(broken, answered);
            }
        }
    }

    /// Puts what was sent back to the front of the queue; either for the next connection, or to fail.
    fn recover(&mut self, broken: Broken, answered: bool) {
        let sent = self.in_flight.len();
        while let Some(job) = self.in_flight.pop_back() {
            self.pending.push_front(job);
        }
        if self.pending.is_empty() {
            tracing::debug!(stream = self.target.stream, failure = %broken.failure, "stream was closed by the server");
            return;
        }
        let hurries = self.hurry.may(&broken, answered, &self.target, &self.timing);
        let failure = broken.failure;
        if hurries {
            tracing::info!(stream = self.target.stream, %failure, requests = sent, "stream broke, sending again");
            return;
        }
        // Everything that was queued until now fails together, so that the callers can bring it again in order.
        while let Ok(job) = self.queue.try_recv() {
            self.pending.push_back(job);
        }
        tell_all(failure, self.pending.drain(..).map(|job| job.answer));
    }

    /// One connection, from its first request to its end.
    async fn converse(&mut self) -> End {
        let Some(schema) = self.pending.front().map(|job| job.schema.clone()) else { return End::Closed };
        let mut connection = match Connection::open(&self.target, &self.target.stream, schema).await {
            Ok(connection) => connection,
            Err(broken) => return End::Broken { broken, answered: false },
        };
        let opened = Instant::now();
        let mut heard = opened;
        let mut answered = false;
        loop {
            // One that grows old takes no more requests.
            let retiring = opened.elapsed() >= self.timing.age || !self.send(&mut connection);
            if self.in_flight.is_empty() && (retiring || self.closed) {
                return End::Closed;
            }
            let patience = if self.in_flight.is_empty() { self.timing.idle } else { self.timing.answer };
            let hears = !self.closed && self.pending.len() < MAX_IN_FLIGHT;
            tokio::select! {
                biased;
                answer = connection.answer() => {
                    heard = Instant::now();
                    match answer.and_then(|answer| self.settle(answer)) {
                        Ok(()) => {
                            answered = true;
                            self.hurry.answered();
                        }
                        Err(failure) => return End::Broken { broken: connection.broken(failure), answered },
                    }
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
                    return End::Broken { broken: connection.silent(patience), answered };
                }
            }
        }
    }

    /// Sends what is pending, as far as it may be in flight. False when the next request needs another connection.
    fn send(&mut self, connection: &mut Connection) -> bool {
        while let Some(job) = self.pending.front() {
            if !Arc::ptr_eq(&job.schema, &connection.schema) {
                return false;
            }
            if self.in_flight.len() >= MAX_IN_FLIGHT {
                break;
            }
            connection.send(job.rows.clone(), None);
            self.in_flight.extend(self.pending.pop_front());
        }
        true
    }

    /// Hands an answer to whoever waits for it; an error when it says that the whole stream is of no use.
    fn settle(&mut self, answer: AppendRowsResponse) -> Result<(), Failure> {
        let Some(job) = self.in_flight.pop_front() else {
            return Err(Failure::new(Code::Internal, "an answer came to no request"));
        };
        let result = outcome(answer);
        if let Err(AppendError::Failed(failure)) = &result
            && failure.code == Code::Unauthenticated
        {
            let failure = failure.clone();
            self.in_flight.push_front(job);
            return Err(failure);
        }
        let _ = job.answer.send(result);
        Ok(())
    }
}

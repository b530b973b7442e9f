//! The task that drives a committed stream.

use std::{
    collections::VecDeque,
    io,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::{
    sync::{mpsc, oneshot},
    time::{Instant, sleep_until},
};
use tonic::Code;

use super::memory::{Memory, Plan, Runs};
use crate::{
    deliver::Position,
    gcp::{
        Failure,
        proto::storage::{AppendRowsResponse, storage_error::StorageErrorCode},
        write::{
            self, AppendError, Appended, MAX_IN_FLIGHT, Target, Timing, WriterSchema,
            connection::{Broken, Connection, outcome, tell_all},
            hurry::Hurry,
        },
    },
};

/// Rows, and who waits for them.
pub struct Job {
    pub schema: Arc<WriterSchema>,
    pub rows: Vec<Bytes>,
    /// Of each row.
    pub positions: Vec<Position>,
    pub answer: oneshot::Sender<Result<Appended, AppendError>>,
}

/// A job at its offset.
struct Sent {
    job: Job,
    /// Indices of the rows that are sent; the others had been stored before.
    kept: Vec<usize>,
    offset: u64,
    /// How often.
    times: u32,
}

impl Sent {
    fn rows(&self) -> Vec<Bytes> {
        self.kept.iter().map(|index| self.job.rows[*index].clone()).collect()
    }
}

/// A request was refused: those behind it stand at offsets that do not follow any more.
struct Stall {
    /// Rows that the stream holds.
    holds: u64,
    /// What those behind are told; nothing when they are only to be sent again.
    failure: Option<Failure>,
    /// Those.
    stale: VecDeque<Job>,
    /// What becomes of the stream.
    then: Then,
}

#[derive(Clone, Copy, PartialEq)]
enum Then {
    GoOn,
    /// The server has ended it, holding what we know it holds.
    Leave,
    /// It is not to be relied on.
    Count,
}

/// How one connection ended.
enum End {
    Closed,
    Broken { broken: Broken, answered: bool },
}

/// See the module above.
pub struct Stream {
    target: Target,
    timing: Timing,
    queue: mpsc::UnboundedReceiver<Job>,
    memory: Arc<Mutex<Memory>>,
    floor: Arc<AtomicU64>,
    closed: bool,
    /// Without an offset yet, in order.
    pending: VecDeque<Job>,
    /// To be sent again as they were.
    again: VecDeque<Sent>,
    /// The next answer is the front's.
    in_flight: VecDeque<Sent>,
    stall: Option<Stall>,
    /// The stream's name, once it is known to be usable.
    name: Option<String>,
    /// Offset of the next row.
    next: u64,
    /// Requests were sent over a connection that broke: they may still be under way.
    ghosts: bool,
    hurry: Hurry,
}

impl Stream {
    pub fn new(
        target: Target,
        timing: Timing,
        queue: mpsc::UnboundedReceiver<Job>,
        memory: Arc<Mutex<Memory>>,
        floor: Arc<AtomicU64>,
    ) -> Stream {
        Stream {
            target,
            timing,
            queue,
            memory,
            floor,
            closed: false,
            pending: VecDeque::new(),
            again: VecDeque::new(),
            in_flight: VecDeque::new(),
            stall: None,
            name: None,
            next: 0,
            ghosts: false,
            hurry: Hurry::default(),
        }
    }

    /// Works until nobody can send any more and everything is answered.
    pub async fn run(mut self) {
        loop {
            if self.pending.is_empty() && self.again.is_empty() {
                match self.queue.recv().await {
                    Some(job) => self.pending.push_back(job),
                    None => return,
                }
            }
            if let End::Broken { broken, answered } = self.converse().await {
                self.recover(broken, answered).await;
            }
        }
    }

    /// Sees to it that there is a stream of which we know what it holds; its name.
    async fn ready(&mut self) -> Result<String, Failure> {
        if let Some(name) = &self.name {
            return Ok(name.clone());
        }
        self.remember(Memory::load).await?;
        let (stream, doubtful) = {
            let mut memory = self.memory.lock();
            memory.settled_below(self.floor.load(Ordering::Relaxed));
            (memory.stream(), memory.doubtful())
        };
        self.ghosts = false;
        let name = match stream {
            Some((name, next)) if doubtful == 0 && self.target.is_of_table(&name) => {
                self.next = next;
                name
            }
            stream => {
                // One of another table is of no more use; a count that nobody needs could fail with that table.
                if let Some((name, _)) = stream.filter(|_| doubtful > 0) {
                    let rows = self.count(&name, doubtful).await?;
                    tracing::info!(stream = name, doubtful, rows, "counted a stream, its rows in doubt are known now");
                    self.remember(move |memory| memory.counted(rows)).await?;
                }
                let name = write::create_committed(&self.target).await?;
                let begun = name.clone();
                self.remember(move |memory| memory.begin(&begun)).await?;
                self.next = 0;
                name
            }
        };
        self.name = Some(name.clone());
        Ok(name)
    }

    /// How many rows an older stream holds, for good.
    async fn count(&self, name: &str, doubtful: u64) -> Result<u64, Failure> {
        let mut failure = match write::finalize(&self.target, name).await {
            Ok(rows) => return Ok(rows.max(0) as u64),
            Err(failure) => failure,
        };
        if !self.target.is_of_table(name) {
            // Who reads this looks at the wrong table otherwise.
            failure.message = format!("cannot find out what stream `{name}` holds: {}", failure.message);
        }
        match failure.storage {
            // What it held went with the table.
            Some(StorageErrorCode::TableNotFound) => Ok(0),
            Some(StorageErrorCode::StreamNotFound | StorageErrorCode::StreamFinalized)
            | Some(StorageErrorCode::InvalidStreamState) => Err(unknowable(name, doubtful, &failure)),
            _ if failure.code == Code::NotFound => Err(unknowable(name, doubtful, &failure)),
            _ => Err(failure),
        }
    }

    /// Changes what is not to be forgotten; returns when it is on disk.
    async fn remember(
        &self,
        change: impl FnOnce(&mut Memory) -> io::Result<()> + Send + 'static,
    ) -> Result<(), Failure> {
        let memory = self.memory.clone();
        let changed = tokio::task::spawn_blocking(move || change(&mut memory.lock())).await;
        changed.map_err(io::Error::other).flatten().map_err(|error| {
            Failure::new(Code::Unavailable, format!("cannot write down where rows go in the table: {error}"))
        })
    }

    /// One connection, from its first request to its end.
    async fn converse(&mut self) -> End {
        let name = match self.ready().await {
            Ok(name) => name,
            Err(failure) => return End::Broken { broken: failure.into(), answered: false },
        };
        let first = self.again.front().map(|sent| &sent.job).or(self.pending.front());
        let Some(schema) = first.map(|job| job.schema.clone()) else { return End::Closed };
        let mut connection = match Connection::open(&self.target, &name, schema).await {
            Ok(connection) => connection,
            Err(broken) => return End::Broken { broken, answered: false },
        };
        let opened = Instant::now();
        let mut heard = opened;
        let mut answered = false;
        loop {
            let retiring = opened.elapsed() >= self.timing.age || {
                let was_idle = self.in_flight.is_empty();
                let more = match self.send(&mut connection).await {
                    Ok(more) => more,
                    Err(failure) => return End::Broken { broken: failure.into(), answered: false },
                };
                if was_idle && !self.in_flight.is_empty() {
                    heard = Instant::now();
                }
                !more
            };
            if self.in_flight.is_empty() && (retiring || self.closed || self.name.is_none()) {
                return End::Closed;
            }
            let patience = if self.in_flight.is_empty() { self.timing.idle } else { self.timing.answer };
            let hears = !self.closed && self.pending.len() < MAX_IN_FLIGHT;
            tokio::select! {
                biased;
                answer = connection.answer() => {
                    heard = Instant::now();
                    let settled = match answer {
                        Ok(answer) => self.settle(answer).await,
                        Err(failure) => Err(failure),
                    };
                    match settled {
                        Ok(()) => {
                            answered = true;
                            self.hurry.answered();
                        }
                        Err(failure) => return End::Broken { broken: connection.broken(failure), answered },
                    }
                }
                job = self.queue.recv(), if hears => match job {
                    Some(job) => {
                        self.pending.push_back(job);
                        // As many as there are: they are written down together.
                        while self.pending.len() < MAX_IN_FLIGHT && let Ok(job) = self.queue.try_recv() {
                            self.pending.push_back(job);
                        }
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

    /// Sends what may be sent. False when the next request needs another connection, or another stream.
    async fn send(&mut self, connection: &mut Connection) -> Result<bool, Failure> {
        if self.stall.is_some() || self.name.is_none() {
            return Ok(true);
        }
        let current = connection.schema.clone();
        let same = |schema: &Arc<WriterSchema>| Arc::ptr_eq(schema, &current);
        while let Some(sent) = self.again.front() {
            if !same(&sent.job.schema) {
                return Ok(false);
            }
            let Some(mut sent) = self.again.pop_front() else { break };
            sent.times += 1;
            connection.send(sent.rows(), Some(sent.offset as i64));
            self.in_flight.push_back(sent);
        }
        let mut planned = Vec::new();
        let mut more = true;
        while self.in_flight.len() + planned.len() < MAX_IN_FLIGHT {
            let Some(job) = self.pending.front() else { break };
            if !same(&job.schema) {
                more = false;
                break;
            }
            let Some(job) = self.pending.pop_front() else { break };
            planned.extend(self.place(job));
        }
        if planned.is_empty() {
            return Ok(more);
        }
        let plans: Vec<_> = planned
            .iter()
            .map(|sent| Plan::new(sent.offset, Runs::of(sent.kept.iter().map(|index| sent.job.positions[*index]))))
            .collect();
        let floor = self.floor.load(Ordering::Relaxed);
        let remembered = self.remember(move |memory| {
            memory.settled_below(floor);
            memory.plan(plans)
        });
        if let Err(failure) = remembered.await {
            // Nothing of it was sent.
            self.next = planned.first().map_or(self.next, |sent| sent.offset);
            for sent in planned.into_iter().rev() {
                self.pending.push_front(sent.job);
            }
            return Err(failure);
        }
        for sent in planned {
            connection.send(sent.rows(), Some(sent.offset as i64));
            self.in_flight.push_back(sent);
        }
        Ok(more)
    }

    /// Gives the rows that are not stored their offsets; nothing when all are.
    fn place(&mut self, job: Job) -> Option<Sent> {
        let memory = self.memory.lock();
        let known = |index: &usize| memory.is_settled(job.positions[*index]);
        let kept: Vec<_> = (0..job.rows.len()).filter(|index| !known(index)).collect();
        drop(memory);
        if kept.is_empty() {
            let _ = job.answer.send(Ok(Appended::default()));
            return None;
        }
        let offset = self.next;
        self.next += kept.len() as u64;
        Some(Sent { job, kept, offset, times: 1 })
    }

    /// Hands an answer to whoever waits for it; an error when the connection is of no use any more.
    async fn settle(&mut self, answer: AppendRowsResponse) -> Result<(), Failure> {
        use StorageErrorCode as Storage;
        let Some(sent) = self.in_flight.pop_front() else {
            return Err(Failure::new(Code::Internal, "an answer came to no request"));
        };
        let offset = sent.offset;
        match outcome(answer) {
            Ok(appended)
                // Behind an answer that left open what was stored: it was.
                if self.stall.as_ref().is_none_or(|stall| stall.then == Then::Count)
                    && appended.offset.is_none_or(|at| at == offset as i64) =>
            {
                self.memory.lock().acked(offset);
                let _ = sent.job.answer.send(Ok(appended));
            }
            Ok(_) => {
                // Stored, but not where it was to stand: the count decides.
                self.in_flight.push_front(sent);
                self.stall(offset, None, Then::Count);
                let words = "rows were stored at another offset than they were sent with";
                return Err(Failure::new(Code::Internal, words));
            }
            Err(AppendError::Failed(failure)) if failure.code == Code::Unauthenticated => {
                self.in_flight.push_front(sent);
                return Err(failure);
            }
            Err(AppendError::Rows(mut faults)) => {
                for fault in &mut faults {
                    // By the rows that were given, not by those that were sent. What is out of range stays so.
                    let index = usize::try_from(fault.index).ok().and_then(|index| sent.kept.get(index));
                    fault.index = index.map_or(-1, |index| *index as i64);
                }
                let _ = sent.job.answer.send(Err(AppendError::Rows(faults)));
                self.stall(offset, None, Then::GoOn);
            }
            Err(AppendError::Failed(failure)) => {
                let is = |storage: Storage, code: Code| {
                    failure.storage == Some(storage) || failure.storage.is_none() && failure.code == code
                };
                let exists = is(Storage::OffsetAlreadyExists, Code::AlreadyExists);
                let beyond = is(Storage::OffsetOutOfRange, Code::OutOfRange);
                if exists && sent.times > 1 {
                    self.memory.lock().acked(offset);
                    let _ = sent.job.answer.send(Ok(Appended::default()));
                } else if let (Some(stall), true) = (&mut self.stall, beyond) {
                    match &stall.failure {
                        None => stall.stale.push_back(sent.job),
                        Some(failure) => drop(sent.job.answer.send(Err(failure.clone().into()))),
                    }
                } else {
                    let ended = matches!(
                        failure.storage,
                        Some(Storage::StreamFinalized | Storage::StreamNotFound | Storage::InvalidStreamState)
                    );
                    // A matter of the stream, not of the rows: they go to the next one. What stands at an offset that was
                    // never sent before is not ours, and must not be counted as ours.
                    let aborted = |failure: Failure| Failure::new(Code::Aborted, failure.to_string());
                    let (told, then) = match failure {
                        failure if ended || exists => (aborted(failure), Then::Leave),
                        failure if beyond => (aborted(failure), Then::Count),
                        // Something went wrong; what was stored before that nobody says.
                        failure if failure.passes() => (failure, Then::Count),
                        failure => (failure, Then::GoOn),
                    };
                    let _ = sent.job.answer.send(Err(told.clone().into()));
                    // What is wrong with this request alone is no reason to keep the others waiting.
                    let alone = told.code == Code::InvalidArgument && told.storage.is_none();
                    let bystanders = Failure { code: Code::Aborted, storage: None, ..told };
                    self.stall(offset, (!alone).then_some(bystanders), then);
                }
            }
        }
        if self.in_flight.is_empty() && self.stall.is_some() {
            self.settle_stall().await?;
        }
        Ok(())
    }

    fn stall(&mut self, holds: u64, failure: Option<Failure>, then: Then) {
        // The first refusal says where the stream stands.
        self.stall.get_or_insert_with(|| Stall { holds, failure, stale: VecDeque::new(), then });
    }

    /// Everything is answered that came behind a refused request: nothing of it is stored.
    async fn settle_stall(&mut self) -> Result<(), Failure> {
        let Some(Stall { holds, stale, then, .. }) = self.stall.take() else { return Ok(()) };
        for job in stale.into_iter().rev() {
            self.pending.push_front(job);
        }
        self.next = holds;
        let then = if then == Then::GoOn && self.ghosts { Then::Count } else { then };
        match then {
            Then::GoOn => Ok(()),
            // What was refused is in doubt until then, by what is written down.
            Then::Count => {
                self.name = None;
                Ok(())
            }
            Then::Leave => {
                self.name = None;
                self.remember(move |memory| memory.counted(holds)).await
            }
        }
    }

    /// After a break: what was sent goes again as it was, or everybody is told.
    async fn recover(&mut self, broken: Broken, answered: bool) {
        let unanswered = !self.in_flight.is_empty();
        if !unanswered && self.pending.is_empty() && self.again.is_empty() && self.stall.is_none() {
            tracing::debug!(stream = self.name, failure = %broken.failure, "stream was closed by the server");
            return;
        }
        let is_gone = matches!(
            broken.failure.storage,
            Some(StorageErrorCode::StreamNotFound | StorageErrorCode::StreamFinalized)
        );
        if is_gone && !self.ghosts && self.stall.is_none() && self.hurry.is_calm(&self.timing) {
            // It took nothing of what was sent to it for the first time.
            let holds = self.in_flight.front().map_or(self.next, |sent| sent.offset);
            if self.remember(move |memory| memory.counted(holds)).await.is_ok() {
                tracing::info!(stream = self.name, failure = %broken.failure, "the stream has ended, rows go to a new one");
                while let Some(sent) = self.in_flight.pop_back() {
                    self.pending.push_front(sent.job);
                }
                self.name = None;
                return;
            }
        }
        self.ghosts |= unanswered;
        let hurries = self.stall.is_none() && self.hurry.may(&broken, answered, &self.target, &self.timing);
        let failure = broken.failure;
        if hurries {
            tracing::info!(stream = self.name, %failure, requests = self.in_flight.len(), "stream broke, sending again");
            while let Some(sent) = self.in_flight.pop_back() {
                self.again.push_front(sent);
            }
            return;
        }
        // Only a count can tell now what is stored, and everybody comes again.
        if unanswered || !self.again.is_empty() || self.stall.is_some() {
            self.name = None;
        }
        while let Ok(job) = self.queue.try_recv() {
            self.pending.push_back(job);
        }
        let stale = self.stall.take().map(|stall| stall.stale).unwrap_or_default();
        let sent = self.in_flight.drain(..).chain(self.again.drain(..)).map(|sent| sent.job);
        tell_all(failure, sent.chain(stale).chain(self.pending.drain(..)).map(|job| job.answer));
    }
}

/// Whether rows are in the table is not known and cannot be found out.
fn unknowable(name: &str, doubtful: u64, failure: &Failure) -> Failure {
    let words = format!(
        "nobody can tell any more whether {doubtful} rows were stored, since stream `{name}` is gone: {failure}; to have \
         them delivered again, some of them perhaps for the second time, stop, remove the file `direct.offsets` from \
         the spool, and start"
    );
    Failure::new(Code::FailedPrecondition, words)
}

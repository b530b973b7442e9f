//! The task that drives a committed stream.

mod answers;
mod recovery;

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

use self::answers::Stall;
use super::{
    memory::{Memory, Plan},
    runs::Runs,
};
use crate::{
    deliver::Position,
    gcp::{
        Failure,
        write::{
            AppendError, Appended, MAX_IN_FLIGHT, Target, Timing, WriterSchema,
            connection::{Broken, Connection},
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
    /// Most requests in flight. One after a refusal, which costs all behind it their way; twice as many with each success.
    limit: usize,
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
            limit: MAX_IN_FLIGHT,
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
            connection.send(Arc::new(sent.rows()), Some(sent.offset as i64));
            self.in_flight.push_back(sent);
        }
        let mut planned = Vec::new();
        let mut more = true;
        while self.in_flight.len() + planned.len() < self.limit {
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
            connection.send(Arc::new(sent.rows()), Some(sent.offset as i64));
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
}

//! Exactly once into one table: a write stream of committed type, every row at an offset that is written down before the
//! row is sent.
//!
//! | what happens | what is done |
//! |---|---|
//! | the connection breaks, having worked, for a reason that passes | the same requests go again at the same offsets, over another one; what is there already is answered `OFFSET_ALREADY_EXISTS`, which is success |
//! | it breaks otherwise, or the process dies, with requests unanswered | the stream is finalized, which says how many rows it holds, and so which of the requests it holds. The others go to a new stream |
//! | rows are refused | nothing of their request is stored, and nothing behind it. What came behind is sent again at the offsets that are free now; without the refused rows their own request is, too |
//! | an answer says that something went wrong (`INTERNAL`, `UNAVAILABLE` and the like) | its rows may be stored all the same: what is in flight is answered, then the stream is finalized, which tells |
//! | the stream that is remembered is of another table than the configured one | what is in doubt is settled there, and a new one is begun |
//! | the stream is finalized or gone | a new one, when every request was answered or the table is gone with it. Otherwise nobody knows what it held: the writer is blocked and says so |
//!
//! // Invariant: two requests stand at one offset only after the server has refused the first of them, on a stream over
//! // which no unanswered request may still be under way. After a break that cannot be ruled out, and the stream is
//! // replaced instead.

pub mod memory;
mod runs;
mod stream;

use std::{
    future::Future,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::{mpsc, oneshot};
use tonic::Code;

use self::{
    memory::Memory,
    stream::{Job, Stream},
};
use crate::{
    deliver::Position,
    gcp::{
        Failure,
        write::{AppendError, Appended, Target, Timing, WriterSchema},
    },
};

/// Appends to a table, each row once. Ends when this is dropped and what was queued is answered.
pub struct Committed {
    jobs: mpsc::UnboundedSender<Job>,
    floor: Arc<AtomicU64>,
}

impl Committed {
    /// Into the table of `target`, going on where the file at `path` says that an earlier process stopped, if that wrote
    /// rows of this spool. Driven on the current runtime.
    pub fn new(target: Target, timing: Timing, path: &Path, spool: u64) -> Committed {
        let memory = Arc::new(Mutex::new(Memory::new(path, spool)));
        let (jobs, queue) = mpsc::unbounded_channel();
        let floor = Arc::new(AtomicU64::new(0));
        tokio::spawn(Stream::new(target, timing, queue, memory, floor.clone()).run());
        Committed { jobs, floor }
    }

    /// Queues rows with their positions, which grow, and resolves when they are in the table. The same bounds hold as for
    /// [`Appender::append`](crate::gcp::write::Appender::append).
    pub fn append(
        &self,
        schema: Arc<WriterSchema>,
        rows: Vec<Bytes>,
        positions: Vec<Position>,
    ) -> impl Future<Output = Result<Appended, AppendError>> + Send + use<> {
        let (answer, answered) = oneshot::channel();
        // Nobody takes jobs any more only when the runtime is going down: the answer is dropped with the job.
        let _ = self.jobs.send(Job { schema, rows, positions, answer });
        async move {
            let gone = || Failure::new(Code::Cancelled, "the process is shutting down").into();
            answered.await.unwrap_or_else(|_| Err(gone()))
        }
    }

    /// Every row below is in the table or a dead letter.
    pub fn settled_below(&self, floor: Position) {
        self.floor.fetch_max(floor, Ordering::Relaxed);
    }
}

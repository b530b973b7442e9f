//! What an answer means for its request, and for those behind it.

use std::collections::VecDeque;

use tonic::Code;

use super::{Job, Stream};
use crate::gcp::{
    Failure,
    proto::storage::{AppendRowsResponse, storage_error::StorageErrorCode},
    write::{AppendError, Appended, MAX_IN_FLIGHT, connection::outcome},
};

/// A request was refused: those behind it stand at offsets that do not follow any more.
pub struct Stall {
    /// Rows that the stream holds.
    holds: u64,
    /// What those behind are told; nothing when they are only to be sent again.
    failure: Option<Failure>,
    /// Those.
    pub stale: VecDeque<Job>,
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

impl Stream {
    /// Hands an answer to whoever waits for it; an error when the connection is of no use any more.
    pub(super) async fn settle(&mut self, answer: AppendRowsResponse) -> Result<(), Failure> {
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
                self.limit = (2 * self.limit).min(MAX_IN_FLIGHT);
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
                        failure if failure.passes() || failure.code == Code::DataLoss => (failure, Then::Count),
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
        self.limit = 1;
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
}

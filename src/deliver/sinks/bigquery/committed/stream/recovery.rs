//! How a stream goes on after a break, or after another process.

use std::sync::atomic::Ordering;

use tonic::Code;

use super::{Memory, Stream};
use crate::gcp::{
    Failure,
    proto::storage::storage_error::StorageErrorCode,
    write::{
        self,
        connection::{Broken, tell_all},
    },
};

impl Stream {
    /// Sees to it that there is a stream of which we know what it holds; its name.
    pub(super) async fn ready(&mut self) -> Result<String, Failure> {
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
            | Some(StorageErrorCode::InvalidStreamState) => Err(self.unknowable(name, doubtful, &failure)),
            _ if failure.code == Code::NotFound => Err(self.unknowable(name, doubtful, &failure)),
            _ => Err(failure),
        }
    }

    /// After a break: what was sent goes again as it was, or everybody is told.
    pub(super) async fn recover(&mut self, broken: Broken, answered: bool) {
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

    /// Whether rows are in the table is not known and cannot be found out.
    fn unknowable(&self, name: &str, doubtful: u64, failure: &Failure) -> Failure {
        let words = format!(
            "nobody can tell any more whether {doubtful} rows were stored, since stream `{name}` is gone: {failure}; to \
             have them delivered again, some of them perhaps for the second time, stop, remove `{}`, and start",
            self.memory.lock().path().display()
        );
        Failure::new(Code::FailedPrecondition, words)
    }
}

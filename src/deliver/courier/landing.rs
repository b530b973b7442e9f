//! What becomes of a part of a batch once the sink has had it: its rows are booked, tried again, or set aside.

use std::{collections::HashSet, sync::Arc};

use tokio::time::Instant;

use super::{Courier, PANICKED, PANICS, Part, first};
use crate::{
    deliver::{
        dead_letter::{DeadLetter, Reason},
        sink::{Position, SinkError, Spooled, Written},
    },
    schema::StreamId,
};

impl Courier {
    /// Decides about a part that was written or not.
    pub(super) async fn land(&mut self, mut part: Part, outcome: Option<Result<Written, SinkError>>) {
        let failure = match outcome {
            Some(Ok(written)) => {
                self.window.grow();
                self.office.metrics.batches_written.get_or_create(&self.label).inc();
                return self.settle(part, written).await;
            }
            Some(Err(SinkError::Refused { source })) => {
                return self.split(part, Reason::Refused, source.to_string()).await;
            }
            Some(Err(SinkError::TooLarge { source })) => {
                return self.split(part, Reason::TooLarge, source.to_string()).await;
            }
            Some(Err(failure)) => failure,
            None => {
                self.office.metrics.panics.inc();
                part.panics += 1;
                if part.panics >= PANICS {
                    return self.split(part, Reason::Panicked, PANICKED.into()).await;
                }
                SinkError::Transient { source: PANICKED.into(), retry_after: None }
            }
        };
        part.failures += 1;
        self.office.metrics.batches_retried.get_or_create(&self.label).inc();
        self.again.insert(first(&part.batch), part);
        // Of several, the one that somebody must act upon.
        if !matches!(self.trouble, Some(SinkError::Blocked { .. })) {
            self.trouble = Some(failure);
        }
    }

    /// Brings the culprits among the rows to stand alone, and makes them dead letters.
    async fn split(&mut self, part: Part, reason: Reason, error: String) {
        let Part { batch, of, .. } = part;
        if batch.rows.len() > 1 {
            tracing::debug!(sink = self.sink.name(), rows = batch.rows.len(), error, "halving a batch");
            let (one, other) = batch.halves();
            for batch in [one, other] {
                self.again.insert(first(&batch), Part { batch, of, failures: 0, panics: 0 });
            }
            self.taken.entry(of).and_modify(|taken| taken.parts += 1);
        } else {
            let letters = self.set_aside(vec![(batch.rows.into_iter().next(), reason, error)]).await;
            self.done(of);
            self.book(letters);
        }
    }

    /// A part of the batch that began at `of` is settled, with which what held it up has come to an end.
    fn done(&mut self, of: Position) {
        if self.trouble.is_none() {
            self.recovered();
        }
        let Some(taken) = self.taken.get_mut(&of) else { return };
        taken.parts -= 1;
        if taken.parts == 0 {
            self.taken.remove(&of);
            self.batcher.done(of);
            self.commit();
        }
    }

    /// Books a batch the sink has taken, and sets aside the rows it has not.
    ///
    /// // Invariant: by the books a row stays in the spool until its position is committed, never the other way round, so
    /// // that whoever sees empty books finds the spool empty.
    async fn settle(&mut self, part: Part, written: Written) {
        let Part { batch, of, .. } = part;
        let rejected: HashSet<usize> = written.rejected.iter().map(|(index, _)| *index).collect();
        let letters = written.rejected.into_iter().map(|(index, message)| {
            let row = batch.rows.get(index).cloned();
            (row, Reason::Rejected, message)
        });
        let letters = self.set_aside(letters.collect()).await;
        self.done(of);
        self.book(letters);
        let taken = (0..).zip(&batch.rows).filter(|(index, _)| !rejected.contains(index)).map(|(_, row)| row);
        let count = self.office.ledger.delivered(self.sink.name(), taken);
        self.status.took(count);
    }

    fn book(&self, letters: Vec<(StreamId, Reason)>) {
        for (stream, reason) in letters {
            self.office.ledger.dead_lettered(self.sink.name(), &stream, reason.label());
        }
    }

    /// Makes rows dead letters; does not return before they are on disk. What is to be booked of them.
    async fn set_aside(&mut self, rows: Vec<(Option<Spooled>, Reason, String)>) -> Vec<(StreamId, Reason)> {
        let (sink, spool) = (self.sink.name(), self.office.spool.id());
        let mut letters = Vec::new();
        let mut booked = Vec::new();
        for (spooled, reason, message) in rows {
            // An index beyond the batch would be the sink's bug; there is no row to keep.
            let Some(Spooled { position, row }) = spooled else { continue };
            tracing::debug!(sink, position, event_id = row.id(), reason = reason.label(), message, "dead letter");
            letters.push(DeadLetter::new(sink, spool, position, &row, reason, message));
            booked.push((row.stream, reason));
        }
        if letters.is_empty() {
            return booked;
        }
        if let Some(unsaid) = self.setting_aside.due(Instant::now().into_std()) {
            let (rows, reason) = (letters.len(), &letters[0].message);
            tracing::warn!(sink, rows, reason, unsaid, "rows become dead letters");
        }
        let letters = Arc::new(letters);
        let mut failures = 0;
        loop {
            let (store, letters) = (self.office.dead_letters.clone(), letters.clone());
            let added = tokio::task::spawn_blocking(move || store.add(&letters)).await;
            let error = match added {
                Ok(Ok(())) => break,
                Ok(Err(error)) => error.into(),
                Err(panicked) => panicked.into(),
            };
            failures += 1;
            self.pause(SinkError::Transient { source: error, retry_after: None }, failures).await;
        }
        booked
    }
}

//! The wait after a failure, and what is said about it meanwhile.

use tokio::time::Instant;

use super::Courier;
use crate::deliver::{retry::Backoff, sink::SinkError};

impl Courier {
    /// Says what is wrong and waits. The start of a drain ends the wait: there may be no later chance.
    pub(super) async fn pause(&mut self, failure: SinkError, failures: u32) {
        let sink = self.sink.name();
        let blocked = matches!(failure, SinkError::Blocked { .. });
        let (backoff, wish) = match &failure {
            SinkError::Transient { retry_after, .. } => (Backoff::TRANSIENT, *retry_after),
            SinkError::Throttled { retry_after, .. } => (Backoff::THROTTLED, *retry_after),
            SinkError::Blocked { .. } | SinkError::Refused { .. } | SinkError::TooLarge { .. } => {
                (Backoff::BLOCKED, None)
            }
        };
        let wait = backoff.wait(failures, fastrand::f64(), wish);
        let now = Instant::now();
        if blocked {
            if self.blocked.due(now.into_std()).is_some() {
                tracing::error!(sink, error = %failure, "nothing is delivered until someone acts");
            }
        } else if let Some(unsaid) = self.failing.due(now.into_std()) {
            tracing::warn!(sink, failures, unsaid, retry_in = ?wait, error = %failure, "delivery failed");
        }
        // The reason first: whoever sees the alarm asks for that.
        self.status.in_trouble(failure.to_string());
        self.office.metrics.sink_blocked.get_or_create(&self.label).set(i64::from(blocked));
        self.measure_lag();

        let already = self.office.drain.has_begun();
        let mut blind = self.batcher.is_empty() && self.taken.is_empty() && !self.at_end;
        loop {
            let (reader, drain) = (&mut self.reader, &mut self.office.drain);
            let rows = tokio::select! {
                () = drain.begun(), if !already => return,
                () = tokio::time::sleep_until(now + wait) => return,
                // One row, to know how long it has waited: who asks for the lag need not know that nothing was read.
                rows = reader.next(1, 1), if blind => rows,
            };
            blind = false;
            self.at_end = rows.is_empty();
            self.batcher.push(rows, Instant::now().into_std());
            self.measure_lag();
        }
    }
}

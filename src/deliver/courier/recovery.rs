//! From a failure back to work: a pause, and the sink prepared anew.

use tokio::time::Instant;

use super::{Courier, PANICKED};
use crate::deliver::{sink::SinkError, unwound::unwound};

impl Courier {
    /// Waits as long as the failure asks for, and has the sink prepared again.
    pub(super) async fn recover(&mut self, trouble: SinkError) {
        if matches!(trouble, SinkError::Throttled { .. }) {
            self.window.halve();
        }
        let failures = self.again.values().map(|part| part.failures).max().unwrap_or(1);
        self.pause(trouble, failures).await;
        self.prepare_at_last(failures).await;
    }

    /// Prepares the sink, however often that takes, after so many failures.
    pub(super) async fn prepare_at_last(&mut self, mut failures: u32) {
        while let Err(failure) = self.prepare().await {
            failures += 1;
            self.pause(failure, failures).await;
        }
    }

    async fn prepare(&mut self) -> Result<(), SinkError> {
        match unwound(self.sink.prepare()).await {
            Some(Ok(())) => {
                self.status.prepared();
                Ok(())
            }
            Some(Err(SinkError::Refused { source } | SinkError::TooLarge { source })) => {
                Err(SinkError::Transient { source, retry_after: None })
            }
            Some(Err(failure)) => Err(failure),
            None => {
                self.office.metrics.panics.inc();
                Err(SinkError::Transient { source: PANICKED.into(), retry_after: None })
            }
        }
    }

    /// All is well again.
    pub(super) fn recovered(&mut self) {
        let now = Instant::now().into_std();
        self.failing.over(now);
        if self.blocked.over(now) {
            tracing::info!(sink = self.sink.name(), "delivery goes on");
        }
        self.status.out_of_trouble();
        self.office.metrics.sink_blocked.get_or_create(&self.label).set(0);
    }
}

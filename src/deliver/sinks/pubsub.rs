//! The Pub/Sub sink: a message for each row, as JSON in the form that a BigQuery subscription with the table's schema
//! reads (`schema/json.rs`).
//!
//! At least once: a request whose answer was lost is sent again. Requests are in flight together and carry no ordering
//! key: order costs throughput, and the table has none.

use std::{borrow::Cow, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use tonic::Code;

use super::{
    bigquery::{NOT_THE_ROW, STRANGER, SetupError, tokens_for},
    doubt::Doubt,
};
use crate::{
    deliver::{
        config::WritersConfig,
        sink::{Batch, BatchLimits, Sink, SinkError, Written},
    },
    gcp::{
        Endpoint, Failure, Tokens,
        pubsub::{MAX_MESSAGES, MAX_REQUEST, Publisher, request_len},
    },
    schema::json,
};

/// Batches of the Pub/Sub sink. A megabyte of rows is some two and a half of JSON; each request is billed as a thousand
/// bytes at least, so that waiting for a few more rows pays.
pub const LIMITS: BatchLimits =
    BatchLimits { rows: MAX_MESSAGES, bytes: 1 << 20, linger: Duration::from_millis(50), window: 16 };

/// Publishes batches.
pub struct PubSubSink {
    publisher: Publisher,
    project: String,
    topic: String,
    doubt: Doubt,
}

impl PubSubSink {
    /// Name in metrics, logs and cursors.
    pub const NAME: &'static str = "pubsub";

    /// As configured. Calls nobody yet; to be made on a runtime.
    pub fn new(config: &WritersConfig) -> Result<PubSubSink, SetupError> {
        let (project, topic) = (config.project_id.clone(), config.pubsub.topic_id.clone());
        let endpoint: Endpoint = config.pubsub.endpoint.parse().map_err(SetupError::new)?;
        let tokens = tokens_for(&endpoint, &Tokens::new(&config.pubsub.auth));
        let publisher = Publisher::new(&endpoint, tokens, format!("projects/{project}/topics/{topic}"));
        Ok(PubSubSink { publisher: publisher.map_err(SetupError::new)?, project, topic, doubt: Doubt::new() })
    }

    /// What a failure of so many rows means.
    fn judge(&self, failure: Failure, rows: usize) -> SinkError {
        let retry_after = failure.retry_after;
        let PubSubSink { project, topic, .. } = self;
        let hint: Cow<'static, str> = match failure.code {
            Code::Aborted
            | Code::Cancelled
            | Code::Internal
            | Code::Unknown
            | Code::Unavailable
            | Code::DeadlineExceeded => return SinkError::Transient { source: failure.into(), retry_after },
            Code::ResourceExhausted => return SinkError::Throttled { source: failure.into(), retry_after },
            Code::InvalidArgument if rows > 1 || self.doubt.is_at_fault() => {
                return SinkError::Refused { source: failure.into() };
            }
            Code::InvalidArgument => NOT_THE_ROW.into(),
            Code::NotFound => {
                let command = format!("gcloud pubsub topics create {topic} --project={project}");
                format!("create the topic with `real-streaming setup`, or with `{command}`").into()
            }
            Code::PermissionDenied => format!(
                "the account needs `pubsub.topics.publish` on topic `{topic}`; to grant the role that has it: gcloud \
                 pubsub topics add-iam-policy-binding {topic} --project={project} --role=roles/pubsub.publisher \
                 --member=\"serviceAccount:<the account>\""
            )
            .into(),
            Code::Unauthenticated => STRANGER.into(),
            _ => "see the documentation of Pub/Sub's errors".into(),
        };
        let source = format!("cannot publish to `projects/{project}/topics/{topic}`: {failure}").into();
        SinkError::Blocked { source, hint }
    }
}

#[async_trait]
impl Sink for PubSubSink {
    fn name(&self) -> &'static str {
        PubSubSink::NAME
    }

    fn limits(&self) -> BatchLimits {
        LIMITS
    }

    async fn write(&self, batch: &Batch) -> Result<Written, SinkError> {
        let mut written = Written::default();
        let mut messages = Vec::with_capacity(batch.rows.len());
        for (index, spooled) in batch.rows.iter().enumerate() {
            match json::row(spooled.row.bytes()) {
                Ok(text) => messages.push(Bytes::from(text)),
                Err(error) => written.rejected.push((index, format!("the row is damaged: {error}"))),
            }
        }
        if messages.is_empty() {
            return Ok(written);
        }
        let request = self.publisher.request(messages);
        let size = request_len(&request);
        if size > MAX_REQUEST {
            let words = format!("a request of {size} bytes is more than the {MAX_REQUEST} that may be");
            return Err(SinkError::Refused { source: words.into() });
        }
        match self.publisher.publish(request).await {
            Ok(()) => {
                self.doubt.taken();
                Ok(written)
            }
            Err(failure) => Err(self.judge(failure, batch.rows.len())),
        }
    }
}

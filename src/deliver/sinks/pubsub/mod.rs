//! The Pub/Sub sink: a message for each row, as JSON in the form that a BigQuery subscription with the table's schema
//! reads (`schema/json.rs`), or the row's own bytes for a topic with the row's schema.
//!
//! A row that can never be published is told to the dead-letter topic, if there is one, and becomes a dead letter on disk
//! after that.
//!
//! At least once: a request whose answer was lost is sent again. Requests are in flight together and carry no ordering
//! key: order costs throughput, and the table has none.

mod dead_letter;

use std::{borrow::Cow, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use tonic::Code;

use self::dead_letter::DeadLetterTopic;
use super::{
    bigquery::{MEMBER, NOT_THE_ROW, STRANGER, SetupError, tokens_for},
    doubt::Doubt,
};
use crate::{
    deliver::{
        config::{Compression, Encoding, WritersConfig},
        sink::{Batch, BatchLimits, Sink, SinkError, Written},
    },
    gcp::{
        Endpoint, Failure, Tokens,
        pubsub::{MAX_MESSAGES, MAX_REQUEST, Publisher, message, request_len},
    },
    schema::{Row, json},
};

/// Batches of the Pub/Sub sink. A megabyte of rows is some two and a half of JSON; each request is billed as a thousand
/// bytes at least, so that waiting for a few more rows pays.
pub const LIMITS: BatchLimits =
    BatchLimits { rows: MAX_MESSAGES, bytes: 1 << 20, linger: Duration::from_millis(50), window: 16 };

/// Publishes batches.
pub struct PubSubSink {
    publisher: Publisher,
    dead_letters: Option<DeadLetterTopic>,
    encoding: Encoding,
    project: String,
    topic: String,
    doubt: Doubt,
}

impl PubSubSink {
    /// Name in metrics, logs and cursors.
    pub const NAME: &'static str = "pubsub";

    /// As configured. Calls nobody yet; to be made on a runtime.
    pub fn new(config: &WritersConfig) -> Result<PubSubSink, SetupError> {
        let (project, pubsub) = (config.project_id.clone(), &config.pubsub);
        let endpoint: Endpoint = pubsub.endpoint.parse().map_err(SetupError::new)?;
        let tokens = tokens_for(&endpoint, &Tokens::new(&pubsub.auth));
        let name = |topic: &str| format!("projects/{project}/topics/{topic}");
        let mut publisher = Publisher::new(&endpoint, tokens, name(&pubsub.topic_id)).map_err(SetupError::new)?;
        if pubsub.compression == Compression::Gzip {
            publisher = publisher.compressed();
        }
        let dead_letters = match &pubsub.dead_letter_topic_id[..] {
            "" => None,
            topic => Some(DeadLetterTopic::new(publisher.of_topic(name(topic)), name(&pubsub.topic_id))),
        };
        let (encoding, topic) = (pubsub.encoding, pubsub.topic_id.clone());
        Ok(PubSubSink { publisher, dead_letters, encoding, project, topic, doubt: Doubt::new() })
    }

    /// The body of a row's message; the reason when the row is damaged.
    fn body(&self, row: &Row) -> Result<Bytes, String> {
        match self.encoding {
            Encoding::Protobuf => Ok(row.to_bytes()),
            Encoding::Json => {
                json::row(row.bytes()).map(Bytes::from).map_err(|error| format!("the row is damaged: {error}"))
            }
        }
    }

    /// Tells the dead-letter topic of a row. An error is that of the batch: the row comes again.
    async fn bury(&self, row: &Row, body: Option<Bytes>, reason: &str) -> Result<(), SinkError> {
        match &self.dead_letters {
            Some(topic) => topic.publish(row, self.encoding, body, reason).await,
            None => Ok(()),
        }
    }

    /// What a failure of so many rows means.
    fn judge(&self, failure: Failure, rows: usize) -> SinkError {
        let retry_after = failure.retry_after;
        let PubSubSink { project, topic, .. } = self;
        let hint: Cow<'static, str> = match failure.code {
            _ if failure.passes() => return SinkError::Transient { source: failure.into(), retry_after },
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
                 --member=\"{MEMBER}\""
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
            match self.body(&spooled.row) {
                Ok(body) => messages.push(message(body)),
                Err(reason) => {
                    // Before the others are published: should the topic make it wait, they would be published again.
                    self.bury(&spooled.row, None, &reason).await?;
                    written.rejected.push((index, reason));
                }
            }
        }
        let mut outcome = Ok(());
        if !messages.is_empty() {
            let request = self.publisher.request(messages);
            let size = request_len(&request);
            outcome = if size > MAX_REQUEST {
                let words = format!("a request of {size} bytes is more than the {MAX_REQUEST} that may be");
                Err(SinkError::TooLarge { source: words.into() })
            } else {
                self.publisher.publish(request).await.map_err(|failure| self.judge(failure, batch.rows.len()))
            };
        }
        match (outcome, &batch.rows[..]) {
            (Ok(()), rows) => {
                if written.rejected.len() < rows.len() {
                    self.doubt.taken();
                }
                Ok(written)
            }
            // Nothing is left to halve: the courier gives the row up.
            (Err(error @ (SinkError::Refused { .. } | SinkError::TooLarge { .. })), [spooled]) => {
                self.bury(&spooled.row, self.body(&spooled.row).ok(), &error.to_string()).await?;
                Err(error)
            }
            (Err(error), _) => Err(error),
        }
    }
}

//! The topic that is told of rows which the first one will never take: where the disk goes with the machine, as on Cloud
//! Run, it is the copy that stays.
//!
//! A message has the body that was refused, unless that is too large for any message, and attributes:
//!
//! | attribute | |
//! |---|---|
//! | `reason` | the service's words, or ours |
//! | `event_id`, `stream_id`, `date` | which row it is |
//! | `encoding` | `json` or `protobuf`: of the body, which is missing when the row is too large or cannot be read |
//! | `source_topic` | the topic that refused it |

use bytes::Bytes;
use tonic::Code;

use crate::{
    deliver::{config::Encoding, sink::SinkError},
    gcp::pubsub::{MAX_REQUEST, Publisher, PubsubMessage, request_len},
    schema::Row,
};

/// Most bytes of an attribute's value.
const MAX_VALUE: usize = 1_024;

pub struct DeadLetterTopic {
    publisher: Publisher,
    source: String,
}

impl DeadLetterTopic {
    /// `publisher` is that of the dead-letter topic, `source` the topic that refuses rows.
    pub fn new(publisher: Publisher, source: String) -> DeadLetterTopic {
        DeadLetterTopic { publisher, source }
    }

    /// Publishes one row. An error is one that passes, and that rows wait for; where the topic is missing or closed to us,
    /// the row's dead letter on disk has to do, since somebody's mistake there must not hold up everything.
    pub async fn publish(
        &self,
        row: &Row,
        encoding: Encoding,
        body: Option<Bytes>,
        reason: &str,
    ) -> Result<(), SinkError> {
        let attributes = [
            ("reason", reason),
            ("event_id", row.id()),
            ("stream_id", &row.stream),
            ("date", &row.date.to_string()),
            ("encoding", encoding.name()),
            ("source_topic", &self.source),
        ];
        let attributes =
            attributes.into_iter().map(|(name, value)| (name.to_owned(), shortened(value).to_owned())).collect();
        let mut message = PubsubMessage { data: body.unwrap_or_default(), attributes, ..PubsubMessage::default() };
        let mut request = self.publisher.request(vec![message.clone()]);
        if request_len(&request) > MAX_REQUEST {
            message.data = Bytes::new();
            request = self.publisher.request(vec![message]);
        }
        match self.publisher.publish(request).await {
            Ok(()) => Ok(()),
            Err(failure) if failure.passes() || failure.code == Code::ResourceExhausted => {
                let retry_after = failure.retry_after;
                Err(SinkError::Transient { source: failure.into(), retry_after })
            }
            Err(failure) => {
                let topic = self.publisher.topic();
                tracing::error!(topic, event_id = row.id(), %failure, "the dead-letter topic does not take a refused row");
                Ok(())
            }
        }
    }
}

/// As much of a text as an attribute holds.
fn shortened(text: &str) -> &str {
    &text[..text.floor_char_boundary(MAX_VALUE)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_hold_a_kilobyte_and_no_half_characters() {
        assert_eq!(shortened("words"), "words");
        let long = "ä".repeat(700);
        assert_eq!(shortened(&long).len(), 1_024);
        assert_eq!(shortened(&format!("x{long}")).len(), 1_023);
    }
}

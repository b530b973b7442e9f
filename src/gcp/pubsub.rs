//! Publishing to a Pub/Sub topic.

mod admin;

use bytes::Bytes;
use prost::Message;
use tonic::{Code, codec::CompressionEncoding, transport::Channel};

use super::{
    Endpoint, Failure, Tokens,
    auth::Credential,
    call::{self, answer, with_token},
    proto::pubsub::publisher_client::PublisherClient,
};

pub use super::proto::pubsub::{PublishRequest, PubsubMessage};

pub use admin::Admin;

/// Most messages in one request.
pub const MAX_MESSAGES: usize = 1_000;
/// Most bytes of one encoded request: the service takes 10 MB.
pub const MAX_REQUEST: usize = 9_000_000;

/// Publishes to one topic, over a connection that is made at the first call and again after it broke. Calls share it.
#[derive(Clone)]
pub struct Publisher {
    client: PublisherClient<Channel>,
    tokens: Tokens,
    topic: String,
}

impl Publisher {
    /// Of `projects/P/topics/T`.
    pub fn new(endpoint: &Endpoint, tokens: Tokens, topic: String) -> Result<Publisher, Failure> {
        let channel = endpoint.channel().map_err(|error| Failure::unreachable(&error))?;
        Ok(Publisher { client: PublisherClient::new(channel), tokens, topic })
    }

    /// Sends requests compressed by gzip. Limits and prices go by what they are without.
    pub fn compressed(mut self) -> Publisher {
        self.client = self.client.send_compressed(CompressionEncoding::Gzip);
        self
    }

    /// One more topic, over the same connection.
    pub fn of_topic(&self, topic: String) -> Publisher {
        Publisher { topic, ..self.clone() }
    }

    /// `projects/P/topics/T`.
    pub fn topic(&self) -> &str {
        &self.topic
    }

    /// The request that publishes these.
    pub fn request(&self, messages: Vec<PubsubMessage>) -> PublishRequest {
        PublishRequest { topic: self.topic.clone(), messages }
    }

    /// Publishes all messages of the request or none of them. After a failure they may have been published all the same.
    /// A token that the service refuses is replaced, once.
    pub async fn publish(&self, request: PublishRequest) -> Result<(), Failure> {
        with_token(&self.tokens, |token| self.once(request.clone(), token)).await
    }

    async fn once(&self, request: PublishRequest, token: Option<Credential>) -> Result<(), Failure> {
        let count = request.messages.len();
        // A clone is the same connection.
        let mut client = self.client.clone();
        let published = answer(client.publish(call::request("topic", &self.topic, request, token))).await?;
        match published.message_ids.len() == count {
            true => Ok(()),
            false => Err(Failure::new(Code::Internal, "the answer is not about the messages of the request")),
        }
    }
}

/// A message with nothing but a body.
pub fn message(data: Bytes) -> PubsubMessage {
    PubsubMessage { data, ..PubsubMessage::default() }
}

/// The size of a request as it is sent, before compression.
pub fn request_len(request: &PublishRequest) -> usize {
    request.encoded_len()
}

//! Pub/Sub: `writers.pubsub`.

use serde::{Deserialize, Serialize};

use super::names::identifier;
use crate::{
    gcp::{Auth, Endpoint},
    problem::Problem,
};

/// Pub/Sub.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PubSubConfig {
    /// Topic to publish to.
    pub topic_id: String,
    /// Subscription that writes to BigQuery; `setup` creates it. Empty: none.
    pub subscription_id: String,
    /// Topic for rows that the first one refuses, and for messages that the subscription cannot write; `setup` creates it.
    /// Empty: none.
    pub dead_letter_topic_id: String,
    /// How a row is written into a message.
    pub encoding: Encoding,
    /// Whether requests are compressed.
    pub compression: Compression,
    /// The service. `http://` is plaintext, without a token.
    pub endpoint: String,
    /// Who we are.
    pub auth: Auth,
}

/// How a row is written into a message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Encoding {
    /// JSON, as a subscription with the table's schema reads it.
    #[default]
    Json,
    /// The row's own bytes, for a topic with the schema that `real-streaming schema --format descriptor` prints.
    Protobuf,
}

/// Whether requests are compressed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Compression {
    /// As they are.
    #[default]
    None,
    /// By gzip.
    Gzip,
}

impl PubSubConfig {
    pub(super) fn check(&self, path: &str, problems: &mut Vec<Problem>) {
        resource(&self.topic_id, &format!("{path}.topic_id"), "a topic, such as `events`", problems);
        for (key, id, example) in [
            ("subscription_id", &self.subscription_id, "a subscription, such as `events-to-bigquery`"),
            ("dead_letter_topic_id", &self.dead_letter_topic_id, "a topic, such as `events-refused`"),
        ] {
            if !id.is_empty() {
                resource(id, &format!("{path}.{key}"), example, problems);
            }
        }
        if self.dead_letter_topic_id == self.topic_id && !self.topic_id.is_empty() {
            let message = format!("`{}` is the topic itself: what is refused would come again", self.topic_id);
            problems.push(Problem::new(format!("{path}.dead_letter_topic_id"), message).hint("name another topic"));
        }
        if let Err(error) = self.endpoint.parse::<Endpoint>() {
            problems.push(Problem::new(format!("{path}.endpoint"), error.to_string()));
        }
    }
}

impl Encoding {
    /// Its name in the file.
    pub const fn name(self) -> &'static str {
        match self {
            Encoding::Json => "json",
            Encoding::Protobuf => "protobuf",
        }
    }
}

/// Names of topics and subscriptions.
fn resource(id: &str, path: &str, example: &str, problems: &mut Vec<Problem>) {
    let before = problems.len();
    identifier(id, path, example, "-_.~+%", problems);
    let begins_well = id.starts_with(|c: char| c.is_ascii_alphabetic()) && !id.starts_with("goog");
    if problems.len() == before && !(begins_well && (3..=255).contains(&id.len())) {
        let hint = "3 to 255 characters, the first a letter, and not beginning with `goog`";
        problems.push(Problem::new(path, format!("`{id}` cannot be {}", kind_of(example))).hint(hint));
    }
}

/// `a topic` of `a topic, such as …`.
fn kind_of(example: &str) -> &str {
    example.split(',').next().unwrap_or(example)
}

impl Default for PubSubConfig {
    fn default() -> PubSubConfig {
        PubSubConfig {
            topic_id: String::new(),
            subscription_id: String::new(),
            dead_letter_topic_id: String::new(),
            encoding: Encoding::Json,
            compression: Compression::None,
            endpoint: "https://pubsub.googleapis.com".to_owned(),
            auth: Auth::Adc,
        }
    }
}

//! How a subscription is not as it should be, and what of that is changed.

use prost_types::Duration;

use crate::gcp::proto::pubsub::{BigQueryConfig, RetryPolicy, Subscription};

/// How long messages are kept where nobody said anything.
const DEFAULT_RETENTION: i64 = 7 * DAY;
const DAY: i64 = 86_400;

/// How a subscription is not as it should be.
#[derive(Debug, Default)]
pub struct Difference {
    /// What is changed: the member, for the service, and words for people.
    pub changes: Vec<(&'static str, String)>,
    /// What is not, and why: then nothing is.
    pub stays: Vec<String>,
    /// What is somebody's wish and not ours.
    pub notes: Vec<String>,
}

impl Difference {
    /// `wanted` takes over what is nobody's wish here: members are replaced as a whole.
    pub fn of(is: &Subscription, wanted: &mut Subscription) -> Difference {
        let mut found = Difference::default();
        if is.topic != wanted.topic {
            found.stays.push(format!("it is one of `{}` and not of `{}`; that never changes", is.topic, wanted.topic));
        }
        let none = BigQueryConfig::default();
        found.writes(is.bigquery_config.as_ref().unwrap_or(&none), wanted.bigquery_config.as_mut());
        if is.expiration_policy.as_ref().is_none_or(|policy| policy.ttl.is_some()) {
            let ttl = is.expiration_policy.as_ref().and_then(|policy| policy.ttl);
            let days = ttl.map_or(31, |ttl| ttl.seconds / DAY);
            found.change("expiration_policy", format!("expires when idle: after {days} days -> never"));
        }
        let dead_letters = |subscription: &Subscription| {
            subscription.dead_letter_policy.as_ref().map(|policy| policy.dead_letter_topic.clone())
        };
        match (dead_letters(is), dead_letters(wanted)) {
            (before, Some(wanted)) if before.as_ref() != Some(&wanted) => {
                let before = before.map_or_else(|| "none".to_owned(), |topic| format!("`{topic}`"));
                found.change("dead_letter_policy", format!("dead letters: {before} -> `{wanted}`"));
            }
            _ => {}
        }
        found.keeps(is.message_retention_duration, wanted.message_retention_duration);
        found.retries(is.retry_policy.as_ref(), wanted.retry_policy.as_ref());
        found
    }

    /// The members that are changed.
    pub fn paths(&self) -> Vec<&'static str> {
        let mut paths: Vec<_> = self.changes.iter().map(|(path, _)| *path).collect();
        paths.dedup();
        paths
    }

    /// What is changed, for people.
    pub fn words(&self) -> Vec<String> {
        self.changes.iter().map(|(_, words)| words.clone()).collect()
    }

    /// Leaves a member as it is. False when it was not to be changed.
    pub fn leave(&mut self, path: &str) -> bool {
        let before = self.changes.len();
        self.changes.retain(|(changed, _)| *changed != path);
        self.changes.len() < before
    }

    /// The service's default is nobody's wish; any other time was chosen, and costs what it costs.
    fn keeps(&mut self, is: Option<Duration>, wanted: Option<Duration>) {
        let (Some(is), Some(wanted)) = (is, wanted) else { return };
        let (days, wanted) = (is.seconds as f64 / DAY as f64, wanted.seconds / DAY);
        if is.seconds == DEFAULT_RETENTION {
            let words = format!("keeps what nobody took: for {days} days -> for {wanted} days");
            self.change("message_retention_duration", words);
        } else if is.seconds < wanted * DAY {
            self.notes
                .push(format!("keeps what nobody took for {days:.1} days, of {wanted} that may be: left as it is"));
        }
    }

    /// Without a pause, five tries are over in a moment, and a short outage makes dead letters of good rows.
    fn retries(&mut self, is: Option<&RetryPolicy>, wanted: Option<&RetryPolicy>) {
        let seconds = |duration: &Option<Duration>| duration.as_ref().map_or(0, |duration| duration.seconds);
        let pauses = |policy: &RetryPolicy| (seconds(&policy.minimum_backoff), seconds(&policy.maximum_backoff));
        match (is.map(pauses), wanted.map(pauses)) {
            (None, Some((least, most))) => {
                self.change("retry_policy", format!("tries again: at once -> after {least} to {most} seconds"));
            }
            (Some(is), Some(wanted)) if is != wanted => {
                let words = format!("tries again after {} to {} seconds: left as it is", is.0, is.1);
                self.notes.push(words);
            }
            _ => {}
        }
    }

    fn writes(&mut self, is: &BigQueryConfig, wanted: Option<&mut BigQueryConfig>) {
        // Older parts of the service answer `project:dataset.table`.
        let same = |wanted: &str| is.table.replacen(':', ".", 1) == wanted.replacen(':', ".", 1);
        match wanted {
            None if is.table.is_empty() => {}
            None => self.stays.push(format!("it writes into `{}`, and should keep messages", is.table)),
            Some(_) if is.table.is_empty() => {
                self.stays
                    .push("it does not write to BigQuery: whoever reads from it would get nothing more".to_owned());
            }
            Some(wanted) if !same(&wanted.table) => {
                let words = format!("it writes into `{}` and not into `{}`", is.table, wanted.table);
                self.stays.push(format!("{words}: whoever reads that table would get nothing more"));
            }
            Some(wanted) => {
                let flags = |config: &BigQueryConfig| {
                    let BigQueryConfig {
                        use_table_schema, use_topic_schema, write_metadata, drop_unknown_fields, ..
                    } = config.clone();
                    [
                        ("use_table_schema", use_table_schema),
                        ("use_topic_schema", use_topic_schema),
                        ("write_metadata", write_metadata),
                        ("drop_unknown_fields", drop_unknown_fields),
                    ]
                };
                for ((name, is), (_, wanted)) in flags(is).into_iter().zip(flags(wanted)) {
                    if is != wanted {
                        self.change("bigquery_config", format!("{name}: {is} -> {wanted}"));
                    }
                }
                wanted.service_account_email.clone_from(&is.service_account_email);
            }
        }
    }

    fn change(&mut self, path: &'static str, words: String) {
        self.changes.push((path, words));
    }
}

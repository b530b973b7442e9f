//! Configuration of delivery: `writers` in the file.

use std::{collections::BTreeMap, fmt, path::PathBuf, str::FromStr, time::Duration};

use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{Error, SeqAccess, Visitor},
};

use super::spool;
use crate::{
    gcp::{Auth, Endpoint},
    problem::Problem,
    units::Span,
};

/// Where events go, and what keeps them until they are there.
#[derive(Clone, Debug, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct WritersConfig {
    /// One destination, or a list of them: every row goes to each.
    pub strategy: Strategies,
    /// Google Cloud project of the BigQuery and Pub/Sub destinations.
    pub project_id: String,
    /// The lake of Parquet files on this machine.
    pub local: LocalConfig,
    /// BigQuery, written to directly.
    pub bq: BigQueryConfig,
    /// Pub/Sub, from where a subscription writes to BigQuery.
    pub pubsub: PubSubConfig,
    /// The disk queue before all destinations.
    pub spool: spool::Config,
}

/// A kind of destination.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Strategy {
    /// A lake of Parquet files on this machine.
    Local,
    /// BigQuery's Storage Write API.
    Direct,
    /// A Pub/Sub topic.
    PubSub,
}

/// One or more destinations; written as a word or as a list of words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Strategies(pub Vec<Strategy>);

/// The lake of Parquet files.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LocalConfig {
    /// Folder of the lake: files land in `events/day=YYYY-MM-DD/`, dead letters in `dead-letters/`.
    pub directory: PathBuf,
    /// Format of the files.
    pub format: Format,
}

/// Format of the lake's files.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// Apache Parquet, compressed with zstd.
    #[default]
    Parquet,
}

/// BigQuery, written to directly.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BigQueryConfig {
    /// Data set.
    pub dataset_id: String,
    /// Table in the data set; with `table_layout: sharded` what its tables' names begin with.
    pub table_id: String,
    /// The Storage Write API. `http://` is plaintext, without a token.
    pub endpoint: String,
    /// The API for tables and data sets. `http://` is plaintext, without a token.
    pub rest_endpoint: String,
    /// Where a data set is created, such as `EU`; empty is BigQuery's own default, `US`.
    pub location: String,
    /// Whether a missing data set is created.
    pub create_dataset: bool,
    /// Whether a missing table is created, and missing columns are added.
    pub create_table: bool,
    /// One table for all days, or one for each.
    pub table_layout: TableLayout,
    /// Whether each row comes once, instead of at least once.
    pub exactly_once: bool,
    /// How long after its beginning a day is dropped, in tables that we create; `None` says nothing about it.
    pub partition_expiration: Option<Span>,
    /// Labels of the tables that we create.
    pub labels: BTreeMap<String, String>,
    /// Who we are.
    pub auth: Auth,
}

/// How days are kept apart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TableLayout {
    /// One table, partitioned by column `date`.
    #[default]
    Partitioned,
    /// A table `<table_id>_YYYYMMDD` for each day.
    Sharded,
}

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

impl WritersConfig {
    /// Adds what is wrong to `problems`; `path` is the dotted path of this part.
    pub fn check(&self, path: &str, problems: &mut Vec<Problem>) {
        let strategies = &self.strategy.0;
        let at = format!("{path}.strategy");
        if strategies.is_empty() {
            problems.push(Problem::new(&at, "no destination").hint("use `local`"));
        }
        for (index, strategy) in strategies.iter().enumerate() {
            if strategies[..index].contains(strategy) {
                problems.push(Problem::new(&at, format!("`{strategy}` is there twice")).hint("remove one"));
            }
        }
        if strategies.iter().any(|strategy| *strategy != Strategy::Local) {
            let project = format!("{path}.project_id");
            identifier(&self.project_id, &project, "a project, such as `my-project-123`", "-.:", problems);
        }
        if strategies.contains(&Strategy::Direct) {
            self.bq.check(&format!("{path}.bq"), problems);
            if self.bq.exactly_once && self.spool.durability == spool::Durability::Memory {
                let message = "cannot be kept across a restart by a spool in memory";
                let problem = Problem::new(format!("{path}.bq.exactly_once"), message);
                problems.push(problem.hint("set `writers.spool.durability: disk`"));
            }
        }
        if strategies.contains(&Strategy::PubSub) {
            self.pubsub.check(&format!("{path}.pubsub"), problems);
        }
        if self.local.directory.as_os_str().is_empty() {
            problems
                .push(Problem::new(format!("{path}.local.directory"), "empty path").hint("use `data`, the default"));
        }
        if self.spool.directory.starts_with(self.local.directory.join("events")) {
            problems.push(
                Problem::new(format!("{path}.spool.directory"), "lies among the lake's events")
                    .hint("queries read every folder there: choose another, such as `data/spool`"),
            );
        }
        self.spool.check(&format!("{path}.spool"), problems);
    }
}

impl BigQueryConfig {
    /// Adds what is wrong to `problems`, for whoever uses the table.
    pub(super) fn check(&self, path: &str, problems: &mut Vec<Problem>) {
        identifier(&self.dataset_id, &format!("{path}.dataset_id"), "a data set, such as `analytics`", "_", problems);
        identifier(&self.table_id, &format!("{path}.table_id"), "a table, such as `events`", "_-", problems);
        if self.exactly_once && self.table_layout == TableLayout::Sharded {
            let problem =
                Problem::new(format!("{path}.exactly_once"), "goes with one table, not with one for each day");
            problems.push(problem.hint("set `table_layout: partitioned`"));
        }
        let mut endpoint = |key: &str, text: &str| match text.parse::<Endpoint>() {
            Ok(endpoint) => Some(endpoint),
            Err(error) => {
                problems.push(Problem::new(format!("{path}.{key}"), error.to_string()));
                None
            }
        };
        let (write, rest) = (endpoint("endpoint", &self.endpoint), endpoint("rest_endpoint", &self.rest_endpoint));
        if let (Some(write), Some(rest)) = (write, rest)
            && write.is_plaintext() != rest.is_plaintext()
        {
            let message = "an emulator for one of `endpoint` and `rest_endpoint`, and not for the other";
            let hint = "set both, or the variables `BIGQUERY_STORAGE_GRPC_ENDPOINT` and `BIGQUERY_EMULATOR_HOST`";
            problems.push(Problem::new(format!("{path}.endpoint"), message).hint(hint));
        }
        if let Some(expiration) = self.partition_expiration.filter(|span| **span < MIN_EXPIRATION) {
            let message = format!("`{expiration}` would drop rows that have just come");
            let hint = "a day is dropped so long after it began: `2d` at least";
            problems.push(Problem::new(format!("{path}.partition_expiration"), message).hint(hint));
        }
        for (key, value) in &self.labels {
            if let Some(fault) = fault_of_label(key, value) {
                let hint = "lower-case letters, digits, `_` and `-`, 63 at most, and a letter first in the name";
                problems.push(Problem::new(format!("{path}.labels.{key}"), fault).hint(hint));
            }
        }
        if self.labels.len() > MAX_LABELS {
            let message = format!("{} labels, and a table has {MAX_LABELS} at most", self.labels.len());
            problems.push(Problem::new(format!("{path}.labels"), message));
        }
    }
}

/// Shortest life of a day: it may be the day before in the stream's time zone, and rows come some hours late.
const MIN_EXPIRATION: Duration = Duration::from_secs(2 * 86_400);
/// Labels that a table may have (Google Cloud's limit of 64), but for the one of our own.
const MAX_LABELS: usize = 63;
/// Longest name and value of a label, in characters.
const MAX_LABEL: usize = 63;

/// What Google Cloud would refuse about a label.
fn fault_of_label(key: &str, value: &str) -> Option<String> {
    let fits = |text: &str| {
        text.chars().count() <= MAX_LABEL
            && text.chars().all(|c| c.is_alphanumeric() && !c.is_uppercase() || matches!(c, '_' | '-'))
    };
    if !(fits(key) && key.starts_with(char::is_alphabetic)) {
        return Some(format!("`{key}` cannot be a label"));
    }
    (!fits(value)).then(|| format!("`{value}` cannot be a label's value"))
}

impl PubSubConfig {
    fn check(&self, path: &str, problems: &mut Vec<Problem>) {
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

/// Names in Google Cloud; more about them is known there alone.
fn identifier(text: &str, path: &str, example: &str, besides: &str, problems: &mut Vec<Problem>) {
    if text.is_empty() {
        problems.push(Problem::new(path, "must not be empty").hint(format!("name {example}")));
    } else if !text.chars().all(|c| c.is_alphanumeric() || besides.contains(c)) {
        problems.push(Problem::new(path, format!("`{text}` cannot be one")).hint(format!("name {example}")));
    }
}

impl Default for BigQueryConfig {
    fn default() -> BigQueryConfig {
        BigQueryConfig {
            dataset_id: String::new(),
            table_id: String::new(),
            endpoint: "https://bigquerystorage.googleapis.com".to_owned(),
            rest_endpoint: "https://bigquery.googleapis.com".to_owned(),
            location: String::new(),
            create_dataset: false,
            create_table: true,
            table_layout: TableLayout::Partitioned,
            exactly_once: false,
            partition_expiration: None,
            labels: BTreeMap::new(),
            auth: Auth::Adc,
        }
    }
}

impl Default for LocalConfig {
    fn default() -> LocalConfig {
        LocalConfig { directory: "data".into(), format: Format::Parquet }
    }
}

impl Default for Strategies {
    fn default() -> Strategies {
        Strategies(vec![Strategy::Local])
    }
}

impl Strategy {
    const ALL: [(&'static str, Strategy); 3] =
        [("local", Strategy::Local), ("direct", Strategy::Direct), ("pubsub", Strategy::PubSub)];
}

impl fmt::Display for Strategy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, _) = Strategy::ALL[*self as usize];
        f.write_str(name)
    }
}

impl FromStr for Strategy {
    type Err = String;

    fn from_str(text: &str) -> Result<Strategy, String> {
        let exact = Strategy::ALL.into_iter().find(|(name, _)| *name == text);
        exact.map(|(_, strategy)| strategy).ok_or_else(|| {
            let near = Strategy::ALL.into_iter().find(|(name, _)| strsim::damerau_levenshtein(name, text) <= 2);
            let hint = near.map(|(name, _)| format!("; did you mean `{name}`?")).unwrap_or_default();
            format!("`{text}` is none of `local`, `direct`, `pubsub`{hint}")
        })
    }
}

impl<'de> Deserialize<'de> for Strategy {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Strategy, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

impl Serialize for Strategy {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl Serialize for Strategies {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match &self.0[..] {
            [one] => one.serialize(serializer),
            many => many.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Strategies {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Strategies, D::Error> {
        struct OneOrMany;

        impl<'de> Visitor<'de> for OneOrMany {
            type Value = Strategies;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("`local`, `direct`, `pubsub`, or a list of them")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Strategies, E> {
                text.parse().map(|strategy| Strategies(vec![strategy])).map_err(E::custom)
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Strategies, A::Error> {
                let mut strategies = Vec::new();
                while let Some(strategy) = list.next_element()? {
                    strategies.push(strategy);
                }
                Ok(Strategies(strategies))
            }
        }

        deserializer.deserialize_any(OneOrMany)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Result<WritersConfig, String> {
        serde_json::from_str(json).map_err(|e| e.to_string())
    }

    fn problems(json: &str) -> Vec<String> {
        let mut problems = Vec::new();
        read(json).unwrap().check("writers", &mut problems);
        problems.into_iter().map(|p| format!("{}: {} ({})", p.path, p.message, p.hint.unwrap_or_default())).collect()
    }

    #[test]
    fn the_strategy_is_a_word_or_a_list() {
        assert_eq!(read("{}").unwrap().strategy.0, [Strategy::Local]);
        assert_eq!(read(r#"{"strategy":"direct"}"#).unwrap().strategy.0, [Strategy::Direct]);
        let many = read(r#"{"strategy":["local","pubsub"]}"#).unwrap().strategy;
        assert_eq!(many.0, [Strategy::Local, Strategy::PubSub]);
        assert_eq!(serde_json::to_string(&many).unwrap(), r#"["local","pubsub"]"#);
        assert_eq!(serde_json::to_string(&Strategies::default()).unwrap(), r#""local""#);
    }

    #[test]
    fn a_misspelt_strategy_is_answered_with_the_right_one() {
        let error = read(r#"{"strategy":"locla"}"#).unwrap_err();
        assert!(error.contains("`locla`") && error.contains("did you mean `local`?"), "{error}");
        assert!(read(r#"{"strategy":7}"#).unwrap_err().contains("or a list of them"));
    }

    #[test]
    fn the_defaults_are_fine_and_everything_wrong_is_said_at_once() {
        assert_eq!(problems("{}"), [""; 0]);
        let found = problems(r#"{"strategy":["pubsub","local","local"],"local":{"directory":""}}"#);
        for path in ["writers.project_id: ", "writers.pubsub.topic_id: "] {
            assert!(found.iter().any(|problem| problem.starts_with(path)), "{found:?}");
        }
        assert!(found.contains(&"writers.strategy: `local` is there twice (remove one)".into()), "{found:?}");
        assert!(found.iter().any(|problem| problem.starts_with("writers.local.directory: ")), "{found:?}");
        assert!(problems(r#"{"strategy":[]}"#)[0].starts_with("writers.strategy: no destination"));
        assert!(problems(r#"{"spool":{"directory":"data/events/x"}}"#)[0].starts_with("writers.spool.directory: lies"));
    }

    #[test]
    fn bigquery_needs_names_and_endpoints_that_belong_together() {
        let named = r#""strategy":"direct","project_id":"p-1","bq":{"dataset_id":"d","table_id":"events""#;
        assert_eq!(problems(&format!("{{{named}}}}}")), [""; 0]);
        let paths = |json: &str| -> Vec<_> {
            problems(json).into_iter().map(|problem| problem.split(": ").next().unwrap().to_owned()).collect()
        };
        let expected = ["writers.project_id", "writers.bq.dataset_id", "writers.bq.table_id"];
        assert_eq!(paths(r#"{"strategy":"direct"}"#), expected);
        assert_eq!(paths(&format!(r#"{{{named},"rest_endpoint":"http://127.0.0.1:1"}}}}"#)), ["writers.bq.endpoint"]);
        assert_eq!(paths(&format!(r#"{{{named},"endpoint":"127.0.0.1"}}}}"#)), ["writers.bq.endpoint"]);
        let once = format!(r#"{{{named},"exactly_once":true"#);
        assert_eq!(paths(&format!("{once}}}}}")), [""; 0]);
        for more in [r#","table_layout":"sharded"}}"#, r#"},"spool":{"durability":"memory"}}"#] {
            assert_eq!(paths(&format!("{once}{more}")), ["writers.bq.exactly_once"]);
        }
        assert_eq!(paths(r#"{"bq":{"endpoint":"127.0.0.1"}}"#), [""; 0], "nobody uses it");
    }

    #[test]
    fn tables_live_long_enough_and_have_labels_that_google_takes() {
        let found = |keys: &str| {
            problems(&format!(
                r#"{{"strategy":"direct","project_id":"p","bq":{{"dataset_id":"d","table_id":"t",{keys}}}}}"#
            ))
        };
        assert_eq!(found(r#""partition_expiration":"395d","labels":{"team":"web-1","empty":""}"#), [""; 0]);
        assert!(found(r#""partition_expiration":"6h""#)[0].contains("partition_expiration: `6h` would drop"));
        for labels in [r#"{"Team":"x"}"#, r#"{"1a":"x"}"#, r#"{"":"x"}"#, r#"{"team":"Big"}"#, r#"{"team":"a b"}"#] {
            assert_eq!(found(&format!(r#""labels":{labels}"#)).len(), 1, "{labels}");
        }
        let many: Vec<_> = (0..64).map(|n| format!(r#""l{n}":"""#)).collect();
        assert_eq!(found(&format!(r#""labels":{{{}}}"#, many.join(","))).len(), 1);
    }

    #[test]
    fn topics_have_names_as_pubsub_wants_them() {
        let found = |topic: &str| {
            problems(&format!(r#"{{"strategy":"pubsub","project_id":"p","pubsub":{{"topic_id":"{topic}"}}}}"#)).len()
        };
        assert_eq!(found("events-1"), 0);
        for topic in ["", "ab", "1abc", "google-events", "a/b/c"] {
            assert_eq!(found(topic), 1, "{topic}");
        }
        let found = |topic: &str| {
            let pubsub = format!(r#"{{"topic_id":"events","dead_letter_topic_id":"{topic}"}}"#);
            problems(&format!(r#"{{"strategy":"pubsub","project_id":"p","pubsub":{pubsub}}}"#)).len()
        };
        assert_eq!(["", "letters", "events", "1st"].map(found), [0, 0, 1, 1]);
    }
}

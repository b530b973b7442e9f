//! Configuration of delivery: `writers` in the file.

mod bigquery;
mod names;
mod pubsub;
mod strategy;

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use self::names::identifier;
pub use self::{
    bigquery::{BigQueryConfig, TableLayout},
    pubsub::{Compression, Encoding, PubSubConfig},
    strategy::{Strategies, Strategy},
};
use super::spool;
use crate::problem::Problem;

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

impl Default for LocalConfig {
    fn default() -> LocalConfig {
        LocalConfig { directory: "data".into(), format: Format::Parquet }
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

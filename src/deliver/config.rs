//! Settings of delivery.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::spool;
use crate::problem::Problem;

/// Where rows go (`writers:`).
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct WritersConfig {
    /// Destinations.
    pub strategy: Strategy,
    /// Google Cloud project.
    pub project_id: String,
    /// The local lake.
    pub local: LocalConfig,
    /// BigQuery.
    pub bq: BqConfig,
    /// Pub/Sub.
    pub pubsub: PubsubConfig,
    /// The durable queue before every sink.
    pub spool: spool::Config,
}

impl WritersConfig {
    /// Reports what cannot work.
    pub fn check(&self, _path: &str, _problems: &mut Vec<Problem>) {}
}

/// Destinations.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Strategy {
    /// Parquet files.
    #[default]
    Local,
}

/// The local lake (`writers.local:`).
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LocalConfig {
    /// Folder.
    pub directory: PathBuf,
    /// File format.
    pub format: Format,
}

impl Default for LocalConfig {
    fn default() -> LocalConfig {
        LocalConfig { directory: "data".into(), format: Format::Parquet }
    }
}

/// File format.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// Parquet.
    #[default]
    Parquet,
}

/// BigQuery (`writers.bq:`).
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BqConfig {
    /// Dataset.
    pub dataset_id: String,
    /// Table.
    pub table_id: String,
}

/// Pub/Sub (`writers.pubsub:`).
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PubsubConfig {
    /// Topic.
    pub topic_id: String,
    /// Subscription.
    pub subscription_id: String,
}

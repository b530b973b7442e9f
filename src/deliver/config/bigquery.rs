//! BigQuery: `writers.bq`.

use std::{collections::BTreeMap, time::Duration};

use serde::{Deserialize, Serialize};

use super::names::identifier;
use crate::{
    gcp::{Auth, Endpoint},
    problem::Problem,
    units::Span,
};

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

impl BigQueryConfig {
    /// Adds what is wrong to `problems`, for whoever uses the table.
    pub(in crate::deliver) fn check(&self, path: &str, problems: &mut Vec<Problem>) {
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

//! What a table of ours is to be like.

use std::{
    collections::BTreeMap,
    time::{Duration, SystemTime},
};

use crate::{
    deliver::config::{BigQueryConfig, TableLayout},
    gcp::bigquery::{Comparison, Field, NewTable, TableName, TimePartitioning, compare},
    schema::{
        Date,
        bigquery::{ALWAYS_FILLED, table_schema},
    },
};

/// The column that tables are partitioned by.
pub const PARTITION_BY: &str = "date";
/// The columns that tables are clustered by: all tables alike, or no query could read several of them by a wildcard.
pub const CLUSTER_BY: &[&str] = &["user_pseudo_id", "event_name"];
/// The label that says who made a table or a view.
pub const MANAGED_BY: (&str, &str) = ("managed-by", "real-streaming");

const DESCRIPTION: &str = "Events in the schema of Google Analytics 4's BigQuery export, written by real-streaming. \
                           At least once: rs_info.event_id tells a row that came twice.";

/// A table of a day that is nearly over already lives this long at least: BigQuery refuses an end in the past.
const LAST_HOUR: Duration = Duration::from_secs(3_600);
const DAY: u64 = 86_400;

/// What tables are to be like, as configured.
#[derive(Clone, Debug)]
pub struct Blueprint {
    /// Columns.
    pub columns: Vec<Field>,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    expiration: Option<Duration>,
    layout: TableLayout,
}

impl Blueprint {
    /// As configured.
    pub fn new(config: &BigQueryConfig) -> Blueprint {
        Blueprint {
            columns: serde_json::from_value(table_schema()).expect("our own schema is a list of fields"),
            labels: labels(config),
            expiration: config.partition_expiration.map(|expiration| *expiration),
            layout: config.table_layout,
        }
    }

    /// Holds a table's columns against ours.
    pub fn compare(&self, table: &[Field]) -> Comparison {
        compare(&self.columns, table, ALWAYS_FILLED)
    }

    /// How it is partitioned; not at all when each day has its own table.
    pub fn partitioning(&self) -> Option<TimePartitioning> {
        (self.layout == TableLayout::Partitioned).then(|| TimePartitioning::daily(PARTITION_BY, self.expiration))
    }

    /// For readers of the table.
    pub fn description(&self) -> &'static str {
        DESCRIPTION
    }

    /// A table of this name.
    pub fn table(&self, name: &TableName) -> NewTable {
        NewTable {
            fields: self.columns.clone(),
            partitioning: self.partitioning(),
            cluster_by: CLUSTER_BY,
            description: DESCRIPTION,
            labels: self.labels.clone(),
            expires: self.end_of(name, SystemTime::now()),
        }
    }

    /// When the table of a day is dropped, in milliseconds since the Unix epoch: when its partition would be.
    fn end_of(&self, name: &TableName, now: SystemTime) -> Option<u64> {
        let expiration = self.expiration.filter(|_| self.layout == TableLayout::Sharded)?;
        let day = day_of_shard(name)?;
        let midnight = Duration::from_secs(u64::try_from(day.0).ok()? * DAY);
        let now = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        u64::try_from((midnight + expiration).max(now + LAST_HOUR).as_millis()).ok()
    }
}

/// The labels of a table or a view.
fn labels(config: &BigQueryConfig) -> BTreeMap<String, String> {
    let mut labels = BTreeMap::from([(MANAGED_BY.0.to_owned(), MANAGED_BY.1.to_owned())]);
    labels.extend(config.labels.clone());
    labels
}

/// The day of a table `<table_id>_YYYYMMDD`.
fn day_of_shard(name: &TableName) -> Option<Date> {
    let (_, day) = name.table.rsplit_once('_')?;
    let (year, month, day) = (day.get(..4)?, day.get(4..6)?, day.get(6..)?);
    Date::parse(&format!("{year}-{month}-{day}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::Span;

    fn table(config: BigQueryConfig, name: &str) -> NewTable {
        let name = TableName { project: "p".into(), dataset: "d".into(), table: name.into() };
        Blueprint::new(&config).table(&name)
    }

    #[test]
    fn an_expiration_is_the_partitions_or_the_days_own() {
        let partition_expiration = Some(Span::secs(400 * DAY));
        let config = BigQueryConfig { partition_expiration, ..BigQueryConfig::default() };
        let one = table(config.clone(), "events");
        let partitioning = serde_json::json!({ "type": "DAY", "field": "date", "expirationMs": "34560000000" });
        assert_eq!((serde_json::json!(one.partitioning), one.expires), (partitioning, None));

        let config = BigQueryConfig { table_layout: TableLayout::Sharded, ..config };
        let today = Date::of_utc_micros(jiff::Timestamp::now().as_microsecond());
        let shard = table(config.clone(), &format!("events_{}", today.compact()));
        assert_eq!(shard.partitioning, None);
        assert_eq!(shard.expires, Some((today.0 as u64 + 400) * DAY * 1_000));
        // A row that is very late: its table would be over already.
        let late = table(config, "events_20200101").expires.unwrap();
        assert!(late > jiff::Timestamp::now().as_millisecond() as u64, "{late}");
    }

    #[test]
    fn labels_of_ours_can_be_replaced() {
        let labels = BTreeMap::from([("managed-by".to_owned(), "terraform".to_owned())]);
        let labels = table(BigQueryConfig { labels, ..BigQueryConfig::default() }, "events").labels;
        assert_eq!(labels.into_iter().collect::<Vec<_>>(), [("managed-by".to_owned(), "terraform".to_owned())]);
        assert_eq!(table(BigQueryConfig::default(), "events").labels["managed-by"], "real-streaming");
    }
}

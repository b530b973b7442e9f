//! BigQuery's tables by its REST API: what there is, and what has to be added.

mod columns;

use std::{
    collections::BTreeMap,
    fmt,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use http::Method;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

pub use columns::{Column, Comparison, compare, paths};

use super::rest::{Rest, RestError};

/// Where a table is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TableName {
    /// Google Cloud project.
    pub project: String,
    /// Data set.
    pub dataset: String,
    /// Table.
    pub table: String,
}

/// `project:dataset.table`, as BigQuery's own messages and the `bq` command have it.
impl fmt::Display for TableName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}.{}", self.project, self.dataset, self.table)
    }
}

impl TableName {
    /// The stream that every table has: at least once, visible at once, any number of connections.
    pub fn default_stream(&self) -> String {
        format!("projects/{}/datasets/{}/tables/{}/streams/_default", self.project, self.dataset, self.table)
    }

    fn dataset_path(&self) -> String {
        format!("{}/{}", datasets(&self.project), encoded(&self.dataset))
    }

    fn path(&self) -> String {
        format!("{}/tables/{}", self.dataset_path(), encoded(&self.table))
    }
}

/// A column or a member. What this client has no name for is kept as it came: a patch replaces the whole schema.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Field {
    /// Name; upper and lower case do not differ.
    pub name: String,
    /// Type: `STRING`, `INTEGER`, … or an alias of it.
    #[serde(rename = "type", default)]
    pub kind: String,
    /// `NULLABLE`, `REQUIRED` or `REPEATED`; absent is nullable.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<String>,
    /// Members of a record.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fields: Vec<Field>,
    /// Description, policy tags, default value and whatever else.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

impl Field {
    /// The type under the name that the API answers with.
    fn canonical_kind(&self) -> String {
        match &*self.kind.to_ascii_uppercase() {
            "INT64" => "INTEGER".into(),
            "FLOAT64" => "FLOAT".into(),
            "BOOL" => "BOOLEAN".into(),
            "STRUCT" => "RECORD".into(),
            kind => kind.into(),
        }
    }

    fn has_mode(&self, mode: &str) -> bool {
        self.mode.as_deref().is_some_and(|own| own.eq_ignore_ascii_case(mode))
    }
}

/// A table or a view as it is.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Table {
    /// Version, for patches.
    pub etag: Option<String>,
    /// `TABLE`, `VIEW` or another kind.
    #[serde(rename = "type")]
    pub kind: Option<String>,
    /// For readers of the table.
    pub description: Option<String>,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// Columns.
    pub schema: Schema,
    /// How it is partitioned.
    pub time_partitioning: Option<TimePartitioning>,
    /// How it is clustered.
    pub clustering: Option<Clustering>,
    /// What a view shows.
    pub view: Option<View>,
    /// When it was made, in milliseconds since the Unix epoch: text, as all 64-bit integers of Google's JSON are, and a
    /// number from servers that do as Google does. Emulators may leave it out.
    pub creation_time: Option<Value>,
}

impl Table {
    /// How long ago it was made, as far as that is known. Clocks differ: one that is behind the server's is taken for one
    /// that is as far ahead.
    pub fn age(&self, now: SystemTime) -> Option<Duration> {
        let millis = match self.creation_time.as_ref()? {
            Value::String(text) => text.parse().ok()?,
            number => number.as_u64()?,
        };
        let made = UNIX_EPOCH.checked_add(Duration::from_millis(millis))?;
        Some(now.duration_since(made).unwrap_or_else(|ahead| ahead.duration()))
    }
}

/// Partitions by time.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TimePartitioning {
    /// `DAY`, `HOUR`, `MONTH` or `YEAR`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The column; without one it is the time of arrival.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    /// How long after its beginning a partition is dropped, in milliseconds; never without. 64-bit integers are text in
    /// Google's JSON.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expiration_ms: Option<String>,
}

impl TimePartitioning {
    /// A partition for each day of this column.
    pub fn daily(column: &str, expiration: Option<Duration>) -> TimePartitioning {
        let expiration_ms = expiration.map(|expiration| expiration.as_millis().to_string());
        TimePartitioning { kind: "DAY".to_owned(), field: Some(column.to_owned()), expiration_ms }
    }
}

/// Clusters.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Clustering {
    /// Columns, the first one first.
    pub fields: Vec<String>,
}

/// What a view shows.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct View {
    /// A `SELECT`.
    pub query: String,
    /// Whether it is in the old dialect, which is the API's own default.
    pub use_legacy_sql: bool,
}

/// A data set as it is.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Dataset {
    /// Region or multi-region, such as `EU`; emulators have none.
    pub location: Option<String>,
}

/// Columns as the API wraps them.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Schema {
    /// In order.
    #[serde(default)]
    pub fields: Vec<Field>,
}

/// What a new table is to be like.
#[derive(Clone, Debug)]
pub struct NewTable {
    /// Columns.
    pub fields: Vec<Field>,
    /// Partitions.
    pub partitioning: Option<TimePartitioning>,
    /// Columns to cluster by.
    pub cluster_by: &'static [&'static str],
    /// For readers of the table.
    pub description: &'static str,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// When the table is dropped, in milliseconds since the Unix epoch.
    pub expires: Option<u64>,
}

/// The tables of one service.
pub struct Tables(Rest);

/// What is asked about a table.
const FIELDS: &str = "fields=schema,timePartitioning,clustering,etag,type,description,labels,view,creationTime";

impl Tables {
    /// Through this client.
    pub fn new(rest: Rest) -> Tables {
        Tables(rest)
    }

    /// A table or a view, if both it and its data set exist: `404` otherwise.
    pub async fn get(&self, name: &TableName) -> Result<Table, RestError> {
        let path = format!("{}?{FIELDS}", name.path());
        read(self.0.call(Method::GET, &path, None, None).await?)
    }

    /// Creates a table; `409` when somebody else did.
    pub async fn insert(&self, name: &TableName, new: &NewTable) -> Result<Table, RestError> {
        let mut body = json!({
            "schema": { "fields": new.fields },
            "clustering": { "fields": new.cluster_by },
            "description": new.description,
            "labels": new.labels,
        });
        if let Some(partitioning) = &new.partitioning {
            body["timePartitioning"] = json!(partitioning);
        }
        if let Some(expires) = new.expires {
            body["expirationTime"] = expires.to_string().into();
        }
        self.post(name, body).await
    }

    /// Creates a view; `409` when there is a table or a view of that name.
    pub async fn insert_view(
        &self,
        name: &TableName,
        query: &str,
        description: &str,
        labels: &BTreeMap<String, String>,
    ) -> Result<Table, RestError> {
        let view = View { query: query.to_owned(), use_legacy_sql: false };
        self.post(name, json!({ "view": view, "description": description, "labels": labels })).await
    }

    async fn post(&self, name: &TableName, mut body: Value) -> Result<Table, RestError> {
        body["tableReference"] = json!({ "projectId": name.project, "datasetId": name.dataset, "tableId": name.table });
        let path = format!("{}/tables", name.dataset_path());
        read(self.0.call(Method::POST, &path, Some(&body), None).await?)
    }

    /// Replaces the columns, which may only add to what there is; `412` when the table has changed since `etag`.
    pub async fn patch(&self, name: &TableName, etag: Option<&str>, fields: &[Field]) -> Result<Table, RestError> {
        self.patch_with(name, etag, &json!({ "schema": { "fields": fields } })).await
    }

    /// Replaces the members of the table that are in `body`; `412` when the table has changed since `etag`.
    pub async fn patch_with(&self, name: &TableName, etag: Option<&str>, body: &Value) -> Result<Table, RestError> {
        read(self.0.call(Method::PATCH, &name.path(), Some(body), etag).await?)
    }

    /// The data set of this table: `404` when there is none.
    pub async fn get_dataset(&self, name: &TableName) -> Result<Dataset, RestError> {
        let path = format!("{}?fields=id,location", name.dataset_path());
        let answer = self.0.call(Method::GET, &path, None, None).await?;
        serde_json::from_value(answer)
            .map_err(|error| RestError::Transport(format!("the answer is no data set: {error}")))
    }

    /// Creates the data set of this table; `409` when somebody else did. Without a location it is the US.
    pub async fn insert_dataset(&self, name: &TableName, location: &str) -> Result<(), RestError> {
        let mut body = json!({ "datasetReference": { "projectId": name.project, "datasetId": name.dataset } });
        if !location.is_empty() {
            body["location"] = location.into();
        }
        self.0.call(Method::POST, &datasets(&name.project), Some(&body), None).await.map(|_| ())
    }
}

fn datasets(project: &str) -> String {
    format!("/bigquery/v2/projects/{}/datasets", encoded(project))
}

fn encoded(name: &str) -> impl fmt::Display + '_ {
    const KEPT: &percent_encoding::AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b':');
    utf8_percent_encode(name, KEPT)
}

fn read(value: Value) -> Result<Table, RestError> {
    serde_json::from_value(value).map_err(|error| RestError::Transport(format!("the answer is no table: {error}")))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_table_says_how_old_it_is_or_does_not() {
        let now = UNIX_EPOCH + Duration::from_secs(1_700_000_060);
        for (answer, expected) in [
            (json!({ "creationTime": "1700000000000" }), Some(60)),
            (json!({ "creationTime": 1_700_000_000_000_u64 }), Some(60)),
            (json!({ "creationTime": "1700000099000" }), Some(39)),
            (json!({ "creationTime": "yesterday" }), None),
            (json!({ "creationTime": "-1" }), None),
            (json!({ "creationTime": {} }), None),
            (json!({}), None),
        ] {
            let age = read(answer.clone()).unwrap().age(now);
            assert_eq!(age, expected.map(Duration::from_secs), "{answer}");
        }
    }
}

//! BigQuery's tables by its REST API: what there is, and what has to be added.

use std::{collections::HashSet, fmt};

use http::Method;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::{
    proto::storage::TableFieldSchema,
    rest::{Rest, RestError},
};

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

/// A table as it is.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Table {
    /// Version, for patches.
    pub etag: Option<String>,
    /// Columns.
    pub schema: Schema,
    /// How it is partitioned.
    pub time_partitioning: Option<Value>,
    /// How it is clustered.
    pub clustering: Option<Value>,
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
    /// Date column to partition by, one partition a day.
    pub partition_by: Option<&'static str>,
    /// Columns to cluster by.
    pub cluster_by: &'static [&'static str],
    /// For readers of the table.
    pub description: &'static str,
}

/// The tables of one service.
pub struct Tables(Rest);

impl Tables {
    /// Through this client.
    pub fn new(rest: Rest) -> Tables {
        Tables(rest)
    }

    /// A table, if both it and its data set exist: `404` otherwise.
    pub async fn get(&self, name: &TableName) -> Result<Table, RestError> {
        let path = format!("{}?fields=schema,timePartitioning,clustering,etag", name.path());
        read(self.0.call(Method::GET, &path, None, None).await?)
    }

    /// Creates a table; `409` when somebody else did.
    pub async fn insert(&self, name: &TableName, new: &NewTable) -> Result<Table, RestError> {
        let mut body = json!({
            "tableReference": { "projectId": name.project, "datasetId": name.dataset, "tableId": name.table },
            "schema": { "fields": new.fields },
            "clustering": { "fields": new.cluster_by },
            "description": new.description,
            "labels": { "managed-by": "real-streaming" },
        });
        if let Some(column) = new.partition_by {
            body["timePartitioning"] = json!({ "type": "DAY", "field": column });
        }
        let path = format!("{}/tables", name.dataset_path());
        read(self.0.call(Method::POST, &path, Some(&body), None).await?)
    }

    /// Replaces the columns, which may only add to what there is; `412` when the table has changed since `etag`.
    pub async fn patch(&self, name: &TableName, etag: Option<&str>, fields: &[Field]) -> Result<Table, RestError> {
        let body = json!({ "schema": { "fields": fields } });
        read(self.0.call(Method::PATCH, &name.path(), Some(&body), etag).await?)
    }

    /// Whether the data set of this table exists: `404` if not.
    pub async fn get_dataset(&self, name: &TableName) -> Result<(), RestError> {
        let path = format!("{}?fields=id", name.dataset_path());
        self.0.call(Method::GET, &path, None, None).await.map(|_| ())
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

/// A table beside the columns that are wanted. Paths are dotted.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Comparison {
    /// The table's columns with the missing ones added, as a patch wants them.
    pub merged: Vec<Field>,
    /// Wanted, and not there.
    pub missing: Vec<String>,
    /// There with another type or mode, and how.
    pub conflicts: Vec<String>,
    /// There, required, and not among the wanted ones: no row could ever satisfy them.
    pub unfilled: Vec<String>,
}

/// Holds a table against the columns that are wanted.
pub fn compare(wanted: &[Field], table: &[Field]) -> Comparison {
    let mut found = Comparison::default();
    found.merged = merge(wanted, table, "", &mut found.missing, &mut found.conflicts);
    let known = |name: &str| wanted.iter().any(|field| field.name.eq_ignore_ascii_case(name));
    let unfilled = table.iter().filter(|field| field.has_mode("REQUIRED") && !known(&field.name));
    found.unfilled = unfilled.map(|field| field.name.clone()).collect();
    found
}

fn merge(
    wanted: &[Field],
    table: &[Field],
    prefix: &str,
    missing: &mut Vec<String>,
    conflicts: &mut Vec<String>,
) -> Vec<Field> {
    let mut merged = table.to_vec();
    for field in wanted {
        let path = format!("{prefix}{}", field.name);
        let Some(own) = merged.iter_mut().find(|own| own.name.eq_ignore_ascii_case(&field.name)) else {
            missing.push(path);
            merged.push(field.clone());
            continue;
        };
        let (kind, wanted_kind) = (own.canonical_kind(), field.canonical_kind());
        if kind != wanted_kind {
            conflicts.push(format!("`{path}` is {kind} and not {wanted_kind}"));
        } else if own.has_mode("REPEATED") != field.has_mode("REPEATED") {
            let (is, should) = if own.has_mode("REPEATED") { ("", "not ") } else { ("not ", "") };
            conflicts.push(format!("`{path}` is {is}REPEATED and should {should}be"));
        } else {
            own.fields = merge(&field.fields, &own.fields, &format!("{path}."), missing, conflicts);
        }
    }
    merged
}

/// A column, as one of the two services describes it.
pub trait Column: Sized {
    /// In any letter case.
    fn name(&self) -> &str;
    /// Its members, when it is a record.
    fn fields(&self) -> &[Self];
}

impl Column for Field {
    fn name(&self) -> &str {
        &self.name
    }
    fn fields(&self) -> &[Field] {
        &self.fields
    }
}

impl Column for TableFieldSchema {
    fn name(&self) -> &str {
        &self.name
    }
    fn fields(&self) -> &[TableFieldSchema] {
        &self.fields
    }
}

/// Dotted paths of all columns and members, in lower case.
pub fn paths<C: Column>(fields: &[C]) -> HashSet<String> {
    fn walk<C: Column>(fields: &[C], prefix: &str, found: &mut HashSet<String>) {
        for field in fields {
            let path = format!("{prefix}{}", field.name().to_lowercase());
            walk(field.fields(), &format!("{path}."), found);
            found.insert(path);
        }
    }
    let mut found = HashSet::new();
    walk(fields, "", &mut found);
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(json: Value) -> Vec<Field> {
        serde_json::from_value(json).unwrap()
    }

    #[test]
    fn missing_members_are_added_at_the_end_and_everything_else_stays_as_it_is() {
        let wanted = fields(json!([
            { "name": "a", "type": "INTEGER", "mode": "NULLABLE" },
            { "name": "r", "type": "RECORD", "mode": "REPEATED", "fields": [
                { "name": "x", "type": "STRING" }, { "name": "y", "type": "BOOLEAN" }] },
            { "name": "new", "type": "STRING", "mode": "NULLABLE", "description": "d" },
        ]));
        let table = json!([
            { "name": "theirs", "type": "JSON", "policyTags": { "names": ["t"] } },
            { "name": "R", "type": "STRUCT", "mode": "REPEATED", "fields": [{ "name": "y", "type": "BOOL", "maxLength": "7" }] },
            { "name": "A", "type": "INT64" },
        ]);
        let found = compare(&wanted, &fields(table.clone()));
        assert_eq!((found.missing, found.conflicts), (vec!["r.x".to_owned(), "new".to_owned()], vec![]));
        let merged = serde_json::to_value(&found.merged).unwrap();
        assert_eq!(merged[0], table[0]);
        assert_eq!(
            merged[1]["fields"],
            json!([{ "name": "y", "type": "BOOL", "maxLength": "7" }, { "name": "x", "type": "STRING" }])
        );
        assert_eq!(merged[3], json!({ "name": "new", "type": "STRING", "mode": "NULLABLE", "description": "d" }));
    }

    #[test]
    fn what_cannot_be_mended_is_named() {
        let wanted = fields(json!([
            { "name": "a", "type": "INTEGER" },
            { "name": "r", "type": "RECORD", "mode": "REPEATED", "fields": [{ "name": "x", "type": "STRING" }] },
        ]));
        let table = fields(json!([
            { "name": "a", "type": "STRING" },
            { "name": "r", "type": "RECORD", "mode": "NULLABLE", "fields": [] },
            { "name": "must", "type": "STRING", "mode": "REQUIRED" },
        ]));
        let found = compare(&wanted, &table);
        assert_eq!(found.conflicts, ["`a` is STRING and not INTEGER", "`r` is not REPEATED and should be"]);
        assert_eq!(found.unfilled, ["must"]);
        assert_eq!(found.missing, [""; 0]);
    }
}

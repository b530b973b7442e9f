//! The table schema in BigQuery's JSON form, as `bq mk --schema` and the REST API's `schema.fields` take it.

use serde::Serialize;
use serde_json::Value;

use super::column::{self, Column, Kind, Mode};

/// The columns of the table: an array of `{name, type, mode, description, fields}` in declaration order.
pub fn table_schema() -> Value {
    serde_json::to_value(fields(column::columns())).expect("strings and lists have a JSON form")
}

/// [`table_schema`] as text, the members of each column in their usual order.
pub fn text() -> String {
    let mut text =
        serde_json::to_string_pretty(&fields(column::columns())).expect("strings and lists have a JSON form");
    text.push('\n');
    text
}

/// Columns that every row of the pipeline has a value for, and members that every one of their records has: a table may
/// have them as `REQUIRED`, and none else.
pub const ALWAYS_FILLED: &[&str] = &[
    "event_date",
    "event_timestamp",
    "event_name",
    "event_params.key",
    "event_bundle_sequence_id",
    "user_properties.key",
    "stream_id",
    "batch_event_index",
    "date",
    "synced_at_micros_",
    "synced_at_utc_",
    "rs_info",
    "rs_info.event_id",
    "rs_info.protocol",
];

#[derive(Serialize)]
struct FieldSchema<'a> {
    name: &'a str,
    r#type: &'static str,
    mode: &'static str,
    description: &'a str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    fields: Vec<FieldSchema<'a>>,
}

fn fields(columns: &[Column]) -> Vec<FieldSchema<'_>> {
    fn field(column: &Column) -> FieldSchema<'_> {
        FieldSchema {
            name: &column.name,
            r#type: type_name(column.kind),
            mode: mode_name(column.mode),
            description: &column.about,
            fields: fields(&column.fields),
        }
    }
    columns.iter().map(field).collect()
}

/// BigQuery's name of a type, in the form its API answers with (`INTEGER`, not its alias `INT64`).
pub fn type_name(kind: Kind) -> &'static str {
    match kind {
        Kind::String => "STRING",
        Kind::Integer => "INTEGER",
        Kind::Float => "FLOAT",
        Kind::Boolean => "BOOLEAN",
        Kind::Date => "DATE",
        Kind::Timestamp => "TIMESTAMP",
        Kind::Record => "RECORD",
    }
}

/// BigQuery's name of a mode.
pub fn mode_name(mode: Mode) -> &'static str {
    match mode {
        Mode::Nullable => "NULLABLE",
        Mode::Repeated => "REPEATED",
    }
}

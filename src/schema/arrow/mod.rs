//! The table as Arrow: its schema, and rows to a record batch straight from their wire bytes.
//!
//! A RECORD is a struct, a REPEATED column a list. What is null in the table is null here; a list is never null but
//! empty, as in BigQuery. A DATE is a `Date32`, a TIMESTAMP a `Timestamp(Microsecond, "UTC")`.

mod builder;
mod rows;

use std::{
    fmt::Write,
    sync::{Arc, LazyLock},
};

use arrow_array::{RecordBatch, RecordBatchOptions};
use arrow_schema::{DataType, Field, FieldRef, Schema, SchemaRef, TimeUnit};

use super::{
    column::{self, Column, Kind, Mode},
    decode::{DecodeError, Fault},
    json,
};
use builder::RecordBuilder;
pub use rows::{OtherType, rows};

/// The Arrow schema of the table.
pub fn schema() -> SchemaRef {
    static SCHEMA: LazyLock<SchemaRef> =
        LazyLock::new(|| Arc::new(Schema::new(column::root().iter().map(field).collect::<Vec<_>>())));
    Arc::clone(&SCHEMA)
}

/// Decodes `rows` (the wire bytes of one event each) into one batch with the schema of [`schema`].
///
/// Fails as a whole: the error names the first row that is to blame. Fields that this version does not know are
/// skipped, for the rows may come from the spool of a newer one.
pub fn record_batch<'a, I>(rows: I) -> Result<RecordBatch, DecodeError>
where
    I: IntoIterator<Item = &'a [u8]>,
    I::IntoIter: Clone,
{
    let rows = rows.into_iter();
    build(rows.clone()).map_err(|fault| blame(rows, fault))
}

fn build<'a>(rows: impl Iterator<Item = &'a [u8]>) -> Result<RecordBatch, Fault> {
    let mut builder = RecordBuilder::new(column::root());
    let mut count = 0;
    for bytes in rows {
        builder.read(column::root(), builder::slot(count)?, bytes)?;
        count += 1;
    }
    let schema = schema();
    let arrays = builder.finish(schema.fields(), count)?;
    let options = RecordBatchOptions::new().with_row_count(Some(count));
    Ok(RecordBatch::try_new_with_options(schema, arrays, &options).expect("the arrays are built after the schema"))
}

/// Finds where the fault is, by way of the reader that keeps track of it. (Text is checked a column at a time, so that
/// its faults have no place at all before this.)
fn blame<'a>(rows: impl Iterator<Item = &'a [u8]>, fault: Fault) -> DecodeError {
    let mut scratch = Vec::new();
    for (row, bytes) in rows.enumerate() {
        scratch.clear();
        if let Err(error) = json::write(bytes, &mut scratch) {
            return error.at_row(row);
        }
    }
    // No row is to blame when the batch is too large.
    fault.into()
}

/// The schema as text, one column a line, members indented.
pub fn text() -> String {
    fn line(out: &mut String, depth: usize, field: &Field) {
        let (list, inner) = match field.data_type() {
            DataType::List(element) => (true, element.data_type()),
            other => (false, other),
        };
        let name = match inner {
            DataType::Struct(_) => "Struct".to_owned(),
            DataType::Timestamp(unit, zone) => format!("Timestamp({unit:?}, {:?})", zone.as_deref().unwrap_or("none")),
            other => format!("{other:?}"),
        };
        let name = if list { format!("List<{name} not null>") } else { name };
        let null = if field.is_nullable() { "" } else { " not null" };
        writeln!(out, "{:indent$}{}: {name}{null}", "", field.name(), indent = 2 * depth).expect("a String takes all");
        if let DataType::Struct(members) = inner {
            members.iter().for_each(|member| line(out, depth + 1, member));
        }
    }
    let mut out = String::new();
    schema().fields().iter().for_each(|field| line(&mut out, 0, field));
    out
}

fn field(column: &Column) -> FieldRef {
    let data_type = match column.kind {
        Kind::String => DataType::Utf8,
        Kind::Integer => DataType::Int64,
        Kind::Float => DataType::Float64,
        Kind::Boolean => DataType::Boolean,
        Kind::Date => DataType::Date32,
        Kind::Timestamp => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        Kind::Record => DataType::Struct(column.fields.iter().map(field).collect()),
    };
    Arc::new(match column.mode {
        Mode::Nullable => Field::new(&column.name, data_type, true),
        // `element` is the name that the Parquet format asks for.
        Mode::Repeated => Field::new_list(&column.name, Field::new("element", data_type, false), false),
    })
}

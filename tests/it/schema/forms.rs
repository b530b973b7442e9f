//! JSON made in other ways than the library's: from the decoded message, and from Arrow. Written without its column
//! tree and with other date arithmetic, so that they can disagree.

use arrow_array::{
    Array, ArrayRef, RecordBatch, StructArray,
    cast::AsArray,
    temporal_conversions::{date32_to_datetime, timestamp_us_to_datetime},
    types::{Date32Type, Float64Type, Int64Type, TimestampMicrosecondType},
};
use arrow_schema::{DataType, Fields, TimeUnit};
use jiff::{ToSpan, civil};
use prost_reflect::{DynamicMessage, Value as Proto};
use serde_json::{Map, Value, json};

/// The only columns that are not what their protobuf type says.
const DATES: [&str; 1] = ["date"];
const TIMESTAMPS: [&str; 2] = ["synced_at_utc_", "publish_time"];

/// What the JSON of a row has to be, read off the decoded message.
pub fn reference(message: &DynamicMessage) -> Value {
    let mut object = Map::new();
    for (field, value) in message.fields() {
        let value = match value {
            Proto::List(values) if values.is_empty() => None,
            Proto::List(values) => {
                Some(values.iter().filter_map(|value| reference_value(field.name(), value)).collect())
            }
            value => reference_value(field.name(), value),
        };
        object.extend(value.map(|value| (field.name().to_owned(), value)));
    }
    Value::Object(object)
}

fn reference_value(name: &str, value: &Proto) -> Option<Value> {
    Some(match value {
        Proto::I32(days) if DATES.contains(&name) => date(*days),
        Proto::I64(micros) if TIMESTAMPS.contains(&name) => timestamp(*micros),
        Proto::String(text) => json!(text),
        Proto::I64(value) => json!(value),
        Proto::F64(value) if value.is_finite() => json!(value),
        Proto::F64(_) => return None,
        Proto::Bool(value) => json!(value),
        Proto::Message(message) => reference(message),
        other => panic!("no column holds {other:?}"),
    })
}

const EPOCH: civil::DateTime = civil::date(1970, 1, 1).at(0, 0, 0, 0);

fn date(days: i32) -> Value {
    // Far outside of the calendar, but not of what a span takes.
    match EPOCH.checked_add(i64::from(days).clamp(-7_000_000, 7_000_000).days()) {
        Ok(date) if date.year() >= 1 => json!(date.strftime("%Y-%m-%d").to_string()),
        _ => json!(days),
    }
}

fn timestamp(micros: i64) -> Value {
    match EPOCH.checked_add(micros.clamp(-600_000_000_000_000_000, 600_000_000_000_000_000).microseconds()) {
        Ok(instant) if instant.year() >= 1 => json!(instant.strftime("%Y-%m-%dT%H:%M:%S.%6fZ").to_string()),
        _ => json!(micros),
    }
}

/// The rows of a batch as JSON.
pub fn from_arrow(batch: &RecordBatch) -> Vec<Value> {
    (0..batch.num_rows()).map(|row| object(batch.schema().fields(), batch.columns(), row)).collect()
}

fn object(fields: &Fields, columns: &[ArrayRef], row: usize) -> Value {
    let members = fields.iter().zip(columns);
    let members = members.filter_map(|(field, column)| Some((field.name().clone(), cell(column, row)?)));
    Value::Object(members.collect())
}

fn cell(column: &ArrayRef, row: usize) -> Option<Value> {
    if column.is_null(row) {
        return None;
    }
    Some(match column.data_type() {
        DataType::Utf8 => json!(column.as_string::<i32>().value(row)),
        DataType::Int64 => json!(column.as_primitive::<Int64Type>().value(row)),
        DataType::Float64 => {
            let value = column.as_primitive::<Float64Type>().value(row);
            return value.is_finite().then(|| json!(value));
        }
        DataType::Boolean => json!(column.as_boolean().value(row)),
        DataType::Date32 => {
            let days = column.as_primitive::<Date32Type>().value(row);
            let text = date32_to_datetime(days).map(|day| day.format("%Y-%m-%d").to_string());
            text.filter(|text| in_years(text)).map_or(json!(days), Value::String)
        }
        DataType::Timestamp(TimeUnit::Microsecond, Some(zone)) if &**zone == "UTC" => {
            let micros = column.as_primitive::<TimestampMicrosecondType>().value(row);
            let text = timestamp_us_to_datetime(micros).map(|day| day.format("%Y-%m-%dT%H:%M:%S%.6fZ").to_string());
            text.filter(|text| in_years(text)).map_or(json!(micros), Value::String)
        }
        DataType::Struct(fields) => {
            let record: &StructArray = column.as_struct();
            object(fields, record.columns(), row)
        }
        DataType::List(_) => {
            let list = column.as_list::<i32>().value(row);
            if list.is_empty() {
                return None;
            }
            (0..list.len()).map(|element| cell(&list, element).expect("no element is null")).collect()
        }
        other => panic!("no column has type {other:?}"),
    })
}

/// Years 1 to 9999: chrono writes a sign before others, and counts a year 0.
fn in_years(text: &str) -> bool {
    !text.starts_with(['+', '-']) && !text.starts_with("0000")
}

/// Whether `row` has a value at the dotted path, in any element of the lists on the way.
pub fn mentions(row: &Value, path: &str) -> bool {
    match row {
        Value::Array(elements) => elements.iter().any(|element| mentions(element, path)),
        Value::Object(members) => match path.split_once('.') {
            Some((name, rest)) => members.get(name).is_some_and(|member| mentions(member, rest)),
            None => members.contains_key(path),
        },
        _ => false,
    }
}

//! The service's rules about descriptors, columns and rows.

use std::collections::HashSet;

use prost::Message;
use prost_reflect::{
    Cardinality, DescriptorPool, DynamicMessage, Kind, MessageDescriptor, ReflectMessage,
    prost_types::{DescriptorProto, FileDescriptorProto, FileDescriptorSet},
};
use real_streaming::gcp::proto::{
    rpc,
    storage::{StorageError, TableFieldSchema, table_field_schema},
};
use serde_json::Value;
use tonic::Code;

/// A row as it was read.
pub struct Read {
    pub id: String,
    pub columns: DynamicMessage,
    pub fault: Option<String>,
}

/// The descriptor as the service takes it: alone, and as proto2.
pub fn as_proto2(descriptor: DescriptorProto) -> Result<MessageDescriptor, String> {
    clean(&descriptor)?;
    let name = descriptor.name().to_owned();
    let file = FileDescriptorProto {
        name: Some("row.proto".into()),
        message_type: vec![descriptor],
        syntax: Some("proto2".into()),
        ..FileDescriptorProto::default()
    };
    let pool = DescriptorPool::from_file_descriptor_set(FileDescriptorSet { file: vec![file] });
    let pool = pool.map_err(|error| format!("the descriptor is not self-contained: {error}"))?;
    pool.get_message_by_name(&name).ok_or_else(|| format!("no message `{name}`"))
}

/// Of a row's descriptor only what tells which row it is, so that reading it costs next to nothing.
pub fn identity(mut descriptor: DescriptorProto) -> DescriptorProto {
    descriptor.field.retain(|field| ["event_name", "rs_info"].contains(&field.name()));
    let of_info =
        descriptor.field.iter().find(|field| field.name() == "rs_info").map(|field| field.type_name().to_owned());
    descriptor.nested_type.retain(|nested| of_info.as_deref() == Some(nested.name()));
    for nested in &mut descriptor.nested_type {
        nested.field.retain(|field| field.name() == "event_id");
        nested.nested_type.clear();
    }
    descriptor
}

fn clean(descriptor: &DescriptorProto) -> Result<(), String> {
    if !descriptor.oneof_decl.is_empty() {
        return Err(format!("`{}` has oneofs", descriptor.name()));
    }
    for field in &descriptor.field {
        if field.proto3_optional.is_some() || field.oneof_index.is_some() {
            return Err(format!("`{}` is a proto3 optional", field.name()));
        }
    }
    descriptor.nested_type.iter().try_for_each(clean)
}

/// Reads a row. What is wrong with it is a fault; rows named `bad` and `alike` have one by themselves, the latter all
/// the same.
pub fn read(descriptor: &MessageDescriptor, bytes: &[u8], strict: bool) -> Read {
    let (columns, mut fault) = match DynamicMessage::decode(descriptor.clone(), bytes) {
        Ok(columns) => (columns, None),
        Err(error) => (DynamicMessage::new(descriptor.clone()), Some(format!("cannot be parsed: {error}"))),
    };
    let text = |message: &DynamicMessage, name: &str| {
        Some(message.get_field_by_name(name)?.as_str()?.to_owned()).filter(|text| !text.is_empty())
    };
    let info = columns.get_field_by_name("rs_info").and_then(|info| info.as_message().cloned());
    let id = info.and_then(|info| text(&info, "event_id")).unwrap_or_default();
    if strict && fault.is_none() && has_unknown(&columns) {
        fault = Some("has fields that the descriptor has not".into());
    }
    match text(&columns, "event_name").as_deref() {
        Some("bad") => fault = Some(format!("row `{id}` is bad")),
        Some("alike") => fault = Some("a value is out of range".to_owned()),
        _ => {}
    }
    Read { id, columns, fault }
}

fn has_unknown(message: &DynamicMessage) -> bool {
    message.unknown_fields().next().is_some()
        || message.fields().any(|(_, value)| match value {
            prost_reflect::Value::Message(inner) => has_unknown(inner),
            prost_reflect::Value::List(list) => list.iter().any(|value| value.as_message().is_some_and(has_unknown)),
            _ => false,
        })
}

/// Whether every field of the descriptor is a column of its type. `known` are the only ones the service sees, when given.
pub fn fits(descriptor: &MessageDescriptor, columns: &Value, known: &Option<HashSet<String>>) -> Result<(), String> {
    fits_below(descriptor, columns, "", known)
}

fn fits_below(
    descriptor: &MessageDescriptor,
    columns: &Value,
    prefix: &str,
    known: &Option<HashSet<String>>,
) -> Result<(), String> {
    let none = Vec::new();
    let columns = columns.as_array().unwrap_or(&none);
    for field in descriptor.fields() {
        let path = format!("{prefix}{}", field.name());
        let column = columns.iter().find(|column| column["name"].as_str() == Some(field.name()));
        let seen = known.as_ref().is_none_or(|known| known.contains(&path));
        let Some(column) = column.filter(|_| seen) else {
            return Err(format!("Input schema has more fields than BigQuery schema, extra fields: '{path}'"));
        };
        let kind = column["type"].as_str().unwrap_or_default();
        let takes = matches!(
            (field.kind(), kind),
            (Kind::String, "STRING" | "JSON")
                | (Kind::Int64, "INTEGER" | "TIMESTAMP")
                | (Kind::Int32, "DATE" | "INTEGER")
                | (Kind::Double, "FLOAT")
                | (Kind::Bool, "BOOLEAN")
                | (Kind::Message(_), "RECORD")
        );
        let repeated = column["mode"].as_str() == Some("REPEATED");
        if !takes || repeated != (field.cardinality() == Cardinality::Repeated) {
            return Err(format!("The proto field mismatched with BigQuery field at '{path}'"));
        }
        if let Kind::Message(inner) = field.kind() {
            fits_below(&inner, &column["fields"], &format!("{path}."), known)?;
        }
    }
    Ok(())
}

/// What is wrong with a row's values for these columns: a required one that is missing, a day or time out of range.
pub fn misfit(row: &DynamicMessage, columns: &Value, prefix: &str) -> Option<String> {
    let none = Vec::new();
    for column in columns.as_array().unwrap_or(&none) {
        let name = column["name"].as_str().unwrap_or_default();
        let path = format!("{prefix}{name}");
        let field = row.descriptor().get_field_by_name(name);
        let Some(field) = field.filter(|field| row.has_field(field)) else {
            if column["mode"] == "REQUIRED" {
                return Some(format!("Field {path}: the column is required, and has no value"));
            }
            continue;
        };
        let value = row.get_field(&field);
        let values = value.as_list().unwrap_or(std::slice::from_ref(&*value));
        for value in values {
            let fault = match (column["type"].as_str(), value) {
                (_, prost_reflect::Value::Message(inner)) => misfit(inner, &column["fields"], &format!("{path}.")),
                (Some("DATE"), &prost_reflect::Value::I32(days)) if !DAYS.contains(&days) => {
                    Some(format!("Field {path}: Date value is out of range: {days}"))
                }
                (Some("TIMESTAMP"), &prost_reflect::Value::I64(micros)) if !MICROS.contains(&micros) => {
                    Some(format!("Field {path}: Timestamp value is out of range: {micros}"))
                }
                _ => None,
            };
            if fault.is_some() {
                return fault;
            }
        }
    }
    None
}

/// The years 1 to 9999.
const DAYS: std::ops::RangeInclusive<i32> = -719_162..=2_932_896;
const MICROS: std::ops::Range<i64> = -719_162 * 86_400_000_000..2_932_897 * 86_400_000_000;

/// A table's columns as the Write API describes them.
pub fn storage_fields(columns: &Value, prefix: &str, known: &Option<HashSet<String>>) -> Vec<TableFieldSchema> {
    use table_field_schema::{Mode, Type};
    let none = Vec::new();
    let columns = columns.as_array().unwrap_or(&none);
    let described = columns.iter().filter_map(|column| {
        let name = column["name"].as_str()?.to_owned();
        let path = format!("{prefix}{name}");
        if known.as_ref().is_some_and(|known| !known.contains(&path)) {
            return None;
        }
        let fields = storage_fields(&column["fields"], &format!("{path}."), known);
        let kind = match column["type"].as_str()? {
            "INTEGER" => Type::Int64,
            "FLOAT" => Type::Double,
            "BOOLEAN" => Type::Bool,
            "DATE" => Type::Date,
            "TIMESTAMP" => Type::Timestamp,
            "RECORD" => Type::Struct,
            _ => Type::String,
        };
        let mode = match column["mode"].as_str() {
            Some("REQUIRED") => Mode::Required,
            Some("REPEATED") => Mode::Repeated,
            _ => Mode::Nullable,
        };
        Some(TableFieldSchema { name, r#type: kind.into(), mode: mode.into(), fields, ..TableFieldSchema::default() })
    });
    described.collect()
}

/// The same, as a call ends with it.
pub fn status(code: Code, storage: i32, words: &str) -> tonic::Status {
    tonic::Status::with_details(code, words, storage_error(code, storage, words).encode_to_vec().into())
}

/// A status with one of the Write API's own codes in it.
pub fn storage_error(code: Code, storage: i32, words: &str) -> rpc::Status {
    let detail = StorageError { code: storage, error_message: words.into(), ..StorageError::default() };
    let any = prost_types::Any {
        type_url: "type.googleapis.com/google.cloud.bigquery.storage.v1.StorageError".into(),
        value: detail.encode_to_vec(),
    };
    rpc::Status { code: code as i32, message: words.into(), details: vec![any] }
}

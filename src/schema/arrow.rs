//! Stand-in: rows to Arrow through a dynamic message. Slow, complete.

use std::sync::{Arc, LazyLock};

use arrow_array::{
    ArrayRef, BooleanArray, Date32Array, Float64Array, Int64Array, ListArray, RecordBatch, StringArray, StructArray,
    TimestampMicrosecondArray,
};
use arrow_buffer::{NullBuffer, OffsetBuffer};
use arrow_schema::{DataType, Field, Fields, Schema, TimeUnit};
use prost_reflect::{DescriptorPool, DynamicMessage, FieldDescriptor, Kind, MessageDescriptor, Value};

static EVENT: LazyLock<MessageDescriptor> = LazyLock::new(|| {
    let pool = DescriptorPool::decode(super::proto::DESCRIPTOR_SET).expect("the compiled descriptor set decodes");
    pool.get_message_by_name("real_streaming.Event").expect("event.proto defines Event")
});
static SCHEMA: LazyLock<Arc<Schema>> = LazyLock::new(|| Arc::new(Schema::new(fields(&EVENT))));

/// A row that is not an encoded event.
#[derive(Debug, thiserror::Error)]
#[error("not an encoded event: {0}")]
pub struct DecodeError(String);

/// The columns.
pub fn schema() -> Arc<Schema> {
    SCHEMA.clone()
}

/// The rows as columns.
pub fn record_batch(rows: &[&[u8]]) -> Result<RecordBatch, DecodeError> {
    let messages: Vec<DynamicMessage> = rows
        .iter()
        .map(|row| DynamicMessage::decode(EVENT.clone(), *row).map_err(|e| DecodeError(e.to_string())))
        .collect::<Result<_, _>>()?;
    let refs: Vec<Option<&DynamicMessage>> = messages.iter().map(Some).collect();
    let columns = EVENT.fields().map(|field| column(&field, &refs)).collect();
    RecordBatch::try_new(schema(), columns).map_err(|e| DecodeError(e.to_string()))
}

fn fields(message: &MessageDescriptor) -> Fields {
    message.fields().map(|field| Field::new(field.name(), list_or(&field), true)).collect()
}

fn list_or(field: &FieldDescriptor) -> DataType {
    let one = match field.kind() {
        Kind::Message(message) => DataType::Struct(fields(&message)),
        Kind::String => DataType::Utf8,
        Kind::Int32 => DataType::Date32,
        Kind::Int64 if matches!(field.name(), "synced_at_utc_" | "publish_time") => {
            DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))
        }
        Kind::Int64 => DataType::Int64,
        Kind::Double => DataType::Float64,
        Kind::Bool => DataType::Boolean,
        other => unreachable!("{other:?}"),
    };
    if field.is_list() { DataType::List(Arc::new(Field::new("element", one, true))) } else { one }
}

fn column(field: &FieldDescriptor, rows: &[Option<&DynamicMessage>]) -> ArrayRef {
    let values: Vec<Option<std::borrow::Cow<'_, Value>>> =
        rows.iter().map(|row| row.and_then(|m| m.has_field(field).then(|| m.get_field(field)))).collect();
    if field.is_list() {
        let lists: Vec<&[Value]> =
            values.iter().map(|v| v.as_ref().and_then(|v| v.as_list()).unwrap_or_default()).collect();
        let offsets = OffsetBuffer::from_lengths(lists.iter().map(|l| l.len()));
        let flat: Vec<Option<&Value>> = lists.iter().flat_map(|l| l.iter().map(Some)).collect();
        let DataType::List(element) = list_or(field) else { unreachable!() };
        return Arc::new(ListArray::new(element.clone(), offsets, scalars(field, element.data_type(), &flat), None));
    }
    let flat: Vec<Option<&Value>> = values.iter().map(|v| v.as_deref()).collect();
    scalars(field, &list_or(field), &flat)
}

fn scalars(field: &FieldDescriptor, kind: &DataType, values: &[Option<&Value>]) -> ArrayRef {
    let it = values.iter();
    match kind {
        DataType::Utf8 => Arc::new(it.map(|v| v.and_then(Value::as_str)).collect::<StringArray>()),
        DataType::Date32 => Arc::new(it.map(|v| v.and_then(Value::as_i32)).collect::<Date32Array>()),
        DataType::Int64 => Arc::new(it.map(|v| v.and_then(Value::as_i64)).collect::<Int64Array>()),
        DataType::Timestamp(..) => {
            Arc::new(it.map(|v| v.and_then(Value::as_i64)).collect::<TimestampMicrosecondArray>().with_timezone("UTC"))
        }
        DataType::Float64 => Arc::new(it.map(|v| v.and_then(Value::as_f64)).collect::<Float64Array>()),
        DataType::Boolean => Arc::new(it.map(|v| v.and_then(Value::as_bool)).collect::<BooleanArray>()),
        DataType::Struct(fields) => {
            let Kind::Message(message) = field.kind() else { unreachable!() };
            let rows: Vec<Option<&DynamicMessage>> = it.map(|v| v.and_then(Value::as_message)).collect();
            let nulls = NullBuffer::from_iter(rows.iter().map(Option::is_some));
            let columns = message.fields().map(|f| column(&f, &rows)).collect();
            Arc::new(StructArray::new(fields.clone(), columns, Some(nulls)))
        }
        other => unreachable!("{other:?}"),
    }
}

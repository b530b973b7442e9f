//! Columns under construction.
//!
//! The table has some 220 leaves and a row sets some thirty, so a builder stores what is there and nothing for what is
//! not: each keeps the slots (places in the finished array) that got a value, and the values. A column costs nothing
//! for a row that does not have it; the finished array is laid out once, at the end, and the columns that no row had
//! share one array of nulls per type.
//!
//! Invariant: slots come in ascending order, because rows do, and a slot that comes again replaces (scalars) or
//! continues (records, lists) what is there, which is what protobuf asks of a field that occurs twice.
//!
//! Errors say what is wrong and not where: a place is looked for once it is needed, not prepared for every value.

use std::sync::Arc;

use arrow_array::{
    ArrayRef, BooleanArray, Date32Array, Float64Array, Int64Array, ListArray, StringArray, StructArray,
    TimestampMicrosecondArray, new_null_array,
};
use arrow_buffer::{BooleanBuffer, BooleanBufferBuilder, Buffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow_schema::{DataType, FieldRef};

use super::super::{
    column::{Column, Fields, Kind, Mode},
    decode::Fault,
    wire::{Reader, Value},
};

/// The place of a row or of a list element, as far as Arrow's 32-bit offsets reach.
pub(super) fn slot(index: usize) -> Result<u32, Fault> {
    i32::try_from(index).map(i32::cast_unsigned).map_err(|_| Fault::TooLarge)
}

/// The members of a record, and the slots where the record itself is not null.
pub(super) struct RecordBuilder {
    slots: Vec<u32>,
    members: Vec<Builder>,
}

impl RecordBuilder {
    pub(super) fn new(fields: &Fields) -> RecordBuilder {
        RecordBuilder { slots: Vec::new(), members: fields.iter().map(Builder::new).collect() }
    }

    /// Reads one record into `slot`.
    pub(super) fn read(&mut self, fields: &Fields, slot: u32, bytes: &[u8]) -> Result<(), Fault> {
        if self.slots.last() != Some(&slot) {
            self.slots.push(slot);
        }
        for field in Reader::new(bytes) {
            let (number, value) = field?;
            let Some(position) = fields.position(number) else { continue };
            self.members[position].put(&fields[position], slot, value)?;
        }
        Ok(())
    }

    /// The arrays of the members, each of `len` slots.
    pub(super) fn finish(self, fields: &[FieldRef], len: usize) -> Result<Vec<ArrayRef>, Fault> {
        self.members(fields, &mut Nulls::new(len))
    }

    fn members(self, fields: &[FieldRef], nulls: &mut Nulls) -> Result<Vec<ArrayRef>, Fault> {
        self.members.into_iter().zip(fields).map(|(member, field)| member.finish(field.data_type(), nulls)).collect()
    }
}

enum Builder {
    String(Text),
    Integer(Sparse<i64>),
    Float(Sparse<f64>),
    Boolean(Sparse<bool>),
    Date(Sparse<i32>),
    Timestamp(Sparse<i64>),
    Record(RecordBuilder),
    List(Box<List>),
}

impl Builder {
    fn new(column: &Column) -> Builder {
        let one = match column.kind {
            Kind::String => Builder::String(Text::default()),
            Kind::Integer => Builder::Integer(Sparse::default()),
            Kind::Float => Builder::Float(Sparse::default()),
            Kind::Boolean => Builder::Boolean(Sparse::default()),
            Kind::Date => Builder::Date(Sparse::default()),
            Kind::Timestamp => Builder::Timestamp(Sparse::default()),
            Kind::Record => Builder::Record(RecordBuilder::new(&column.fields)),
        };
        match column.mode {
            Mode::Nullable => one,
            Mode::Repeated => Builder::List(Box::new(List { owners: Vec::new(), elements: one })),
        }
    }

    #[inline]
    fn put(&mut self, column: &Column, slot: u32, value: Value<'_>) -> Result<(), Fault> {
        match (self, value) {
            (Builder::String(texts), Value::Bytes(bytes)) => texts.put(slot, bytes)?,
            (Builder::Integer(values) | Builder::Timestamp(values), Value::Varint(value)) => {
                values.put(slot, value as i64);
            }
            (Builder::Float(values), Value::Fixed64(bits)) => values.put(slot, f64::from_bits(bits)),
            (Builder::Boolean(values), Value::Varint(value)) => values.put(slot, value != 0),
            // An int32 travels sign-extended to 64 bits.
            (Builder::Date(values), Value::Varint(value)) => values.put(slot, value as i32),
            (Builder::Record(record), Value::Bytes(bytes)) => record.read(&column.fields, slot, bytes)?,
            (Builder::List(list), value) => list.put(column, slot, value)?,
            (_, value) => return Err(Fault::mistyped(&value)),
        }
        Ok(())
    }

    fn finish(self, data_type: &DataType, nulls: &mut Nulls) -> Result<ArrayRef, Fault> {
        let len = nulls.len;
        Ok(match self {
            Builder::String(texts) if texts.slots.is_empty() => nulls.of(data_type),
            Builder::Integer(values) | Builder::Timestamp(values) if values.slots.is_empty() => nulls.of(data_type),
            Builder::Float(values) if values.slots.is_empty() => nulls.of(data_type),
            Builder::Boolean(values) if values.slots.is_empty() => nulls.of(data_type),
            Builder::Date(values) if values.slots.is_empty() => nulls.of(data_type),
            Builder::String(texts) => Arc::new(texts.finish(len)?),
            Builder::Integer(values) => {
                let (values, nulls) = values.finish(len);
                Arc::new(Int64Array::new(values.into(), nulls))
            }
            Builder::Float(values) => {
                let (values, nulls) = values.finish(len);
                Arc::new(Float64Array::new(values.into(), nulls))
            }
            Builder::Boolean(values) => {
                let (values, nulls) = values.finish(len);
                Arc::new(BooleanArray::new(BooleanBuffer::from(values), nulls))
            }
            Builder::Date(values) => {
                let (values, nulls) = values.finish(len);
                Arc::new(Date32Array::new(values.into(), nulls))
            }
            Builder::Timestamp(values) => {
                let (values, nulls) = values.finish(len);
                Arc::new(TimestampMicrosecondArray::new(values.into(), nulls).with_data_type(data_type.clone()))
            }
            Builder::Record(record) => {
                let DataType::Struct(fields) = data_type else { unreachable!("the schema has the same columns") };
                let validity = validity(&record.slots, len);
                let members = record.members(fields, nulls)?;
                Arc::new(StructArray::new(fields.clone(), members, validity))
            }
            Builder::List(list) => {
                let DataType::List(element) = data_type else { unreachable!("the schema has the same columns") };
                Arc::new(list.finish(element, len)?)
            }
        })
    }
}

/// Values of one size.
struct Sparse<T> {
    slots: Vec<u32>,
    values: Vec<T>,
}

impl<T> Default for Sparse<T> {
    fn default() -> Sparse<T> {
        Sparse { slots: Vec::new(), values: Vec::new() }
    }
}

impl<T: Copy + Default> Sparse<T> {
    fn put(&mut self, slot: u32, value: T) {
        if self.slots.last() == Some(&slot) {
            self.values.pop();
        } else {
            self.slots.push(slot);
        }
        self.values.push(value);
    }

    fn finish(self, len: usize) -> (Vec<T>, Option<NullBuffer>) {
        if self.slots.len() == len {
            return (self.values, None);
        }
        let validity = validity(&self.slots, len);
        let mut values = vec![T::default(); len];
        for (slot, value) in self.slots.into_iter().zip(self.values) {
            values[slot as usize] = value;
        }
        (values, validity)
    }
}

/// Texts, end to end. Whether they are UTF-8 is checked at the end, for all at once.
#[derive(Default)]
struct Text {
    slots: Vec<u32>,
    /// Where each text ends in `bytes`.
    ends: Vec<i32>,
    bytes: Vec<u8>,
}

impl Text {
    fn put(&mut self, slot: u32, text: &[u8]) -> Result<(), Fault> {
        if self.slots.last() == Some(&slot) {
            self.drop_last()?;
        } else {
            self.slots.push(slot);
        }
        self.bytes.extend_from_slice(text);
        self.ends.push(i32::try_from(self.bytes.len()).map_err(|_| Fault::TooLarge)?);
        Ok(())
    }

    /// Makes room for the text that replaces the last one, which has to be sound all the same.
    fn drop_last(&mut self) -> Result<(), Fault> {
        self.ends.pop();
        let start = self.ends.last().map_or(0, |&end| end as usize);
        simdutf8::basic::from_utf8(&self.bytes[start..]).map_err(|_| Fault::Utf8)?;
        self.bytes.truncate(start);
        Ok(())
    }

    fn finish(self, len: usize) -> Result<StringArray, Fault> {
        let mut offsets = Vec::with_capacity(len + 1);
        offsets.push(0);
        let mut last = 0;
        for (&slot, &end) in self.slots.iter().zip(&self.ends) {
            // The slots skipped are empty, and null.
            offsets.resize(slot as usize + 1, last);
            offsets.push(end);
            last = end;
        }
        offsets.resize(len + 1, last);
        let offsets = OffsetBuffer::new(ScalarBuffer::from(offsets));
        let validity = validity(&self.slots, len);
        // The offsets are sound by construction, so only the text can be refused.
        StringArray::try_new(offsets, Buffer::from_vec(self.bytes), validity).map_err(|_| Fault::Utf8)
    }
}

/// A repeated column: the elements of all slots in one run, and the slot each belongs to.
struct List {
    owners: Vec<u32>,
    elements: Builder,
}

impl List {
    fn put(&mut self, column: &Column, owner: u32, value: Value<'_>) -> Result<(), Fault> {
        let element = slot(self.owners.len())?;
        self.owners.push(owner);
        self.elements.put(column, element, value)
    }

    fn finish(self, element: &FieldRef, len: usize) -> Result<ListArray, Fault> {
        let mut offsets = vec![0i32; len + 1];
        for &owner in &self.owners {
            offsets[owner as usize + 1] += 1;
        }
        for index in 1..offsets.len() {
            offsets[index] += offsets[index - 1];
        }
        let elements = self.elements.finish(element.data_type(), &mut Nulls::new(self.owners.len()))?;
        let offsets = OffsetBuffer::new(ScalarBuffer::from(offsets));
        Ok(ListArray::new(Arc::clone(element), offsets, elements, None))
    }
}

/// The arrays of nothing but nulls, one of each type, shared by all columns of one length.
struct Nulls {
    len: usize,
    made: Vec<ArrayRef>,
}

impl Nulls {
    fn new(len: usize) -> Nulls {
        Nulls { len, made: Vec::new() }
    }

    fn of(&mut self, data_type: &DataType) -> ArrayRef {
        if let Some(array) = self.made.iter().find(|array| array.data_type() == data_type) {
            return Arc::clone(array);
        }
        let array = new_null_array(data_type, self.len);
        self.made.push(Arc::clone(&array));
        array
    }
}

/// Valid at `slots`, null elsewhere.
fn validity(slots: &[u32], len: usize) -> Option<NullBuffer> {
    if slots.len() == len {
        return None;
    }
    let mut bits = BooleanBufferBuilder::new(len);
    bits.append_n(len, false);
    for &slot in slots {
        bits.set_bit(slot as usize, true);
    }
    Some(NullBuffer::new(bits.finish()))
}

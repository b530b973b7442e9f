//! The way back: the rows of a record batch as wire bytes.
//!
//! A batch that [`record_batch`](super::record_batch) made gives the very bytes that went in, if an encoder wrote them
//! that follows the numbers of the fields: what is null is absent, and a record that is there with nothing in it stays.
//! Columns are found by name; a file of an older version lacks some, and columns that are not ours are left out.

use arrow_array::{
    Array, ArrayRef, BooleanArray, Date32Array, Float64Array, Int64Array, ListArray, RecordBatch, StringArray,
    StructArray, TimestampMicrosecondArray,
};

use crate::schema::{
    column::{self, Column, Kind, Mode},
    encode::{Backwards, Encode},
};

/// A column that has another type than ours.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("column `{column}` is {found}, which is not its type")]
pub struct OtherType {
    column: String,
    found: String,
}

/// Every row's bytes.
pub fn rows(batch: &RecordBatch) -> Result<Vec<Vec<u8>>, OtherType> {
    let members = members(column::columns(), |name| batch.column_by_name(name), "")?;
    Ok((0..batch.num_rows()).map(|at| At { members: &members, at }.encode_to_vec()).collect())
}

/// A column with its values, the ones with the highest numbers first: rows are written from their end.
struct Member {
    number: u32,
    values: Values,
}

enum Values {
    Text(StringArray),
    Integer(Int64Array),
    Float(Float64Array),
    Boolean(BooleanArray),
    Date(Date32Array),
    Timestamp(TimestampMicrosecondArray),
    Record(StructArray, Vec<Member>),
    List(ListArray, Box<Values>),
}

fn members<'a>(
    columns: &[Column],
    find: impl Fn(&str) -> Option<&'a ArrayRef>,
    prefix: &str,
) -> Result<Vec<Member>, OtherType> {
    let mut members = Vec::new();
    for column in columns {
        let Some(array) = find(&column.name) else { continue };
        let path = format!("{prefix}{}", column.name);
        members.push(Member { number: column.number, values: values(column, array, column.mode, &path)? });
    }
    members.sort_by_key(|member| std::cmp::Reverse(member.number));
    Ok(members)
}

fn values(column: &Column, array: &ArrayRef, mode: Mode, path: &str) -> Result<Values, OtherType> {
    if mode == Mode::Repeated {
        let list: ListArray = cast(array, path)?;
        let elements = values(column, list.values(), Mode::Nullable, path)?;
        return Ok(Values::List(list, Box::new(elements)));
    }
    Ok(match column.kind {
        Kind::String => Values::Text(cast(array, path)?),
        Kind::Integer => Values::Integer(cast(array, path)?),
        Kind::Float => Values::Float(cast(array, path)?),
        Kind::Boolean => Values::Boolean(cast(array, path)?),
        Kind::Date => Values::Date(cast(array, path)?),
        Kind::Timestamp => Values::Timestamp(cast(array, path)?),
        Kind::Record => {
            let record: StructArray = cast(array, path)?;
            let members = members(&column.fields, |name| record.column_by_name(name), &format!("{path}."))?;
            Values::Record(record, members)
        }
    })
}

fn cast<T: Clone + 'static>(array: &ArrayRef, path: &str) -> Result<T, OtherType> {
    let other = || OtherType { column: path.to_owned(), found: array.data_type().to_string() };
    array.as_any().downcast_ref::<T>().cloned().ok_or_else(other)
}

/// A record, or an element of a list of records.
struct At<'a> {
    members: &'a [Member],
    at: usize,
}

impl Encode for At<'_> {
    fn encode(&self, out: &mut Backwards) {
        for Member { number, values } in self.members {
            values.put(*number, self.at, out);
        }
    }
}

impl Values {
    fn put(&self, number: u32, at: usize, out: &mut Backwards) {
        match self {
            Values::Text(array) if array.is_valid(at) => out.text(number, array.value(at)),
            Values::Integer(array) if array.is_valid(at) => out.varint(number, array.value(at) as u64),
            Values::Float(array) if array.is_valid(at) => out.double(number, array.value(at)),
            Values::Boolean(array) if array.is_valid(at) => out.varint(number, array.value(at).into()),
            // An int32 travels sign-extended to 64 bits.
            Values::Date(array) if array.is_valid(at) => out.varint(number, i64::from(array.value(at)) as u64),
            Values::Timestamp(array) if array.is_valid(at) => out.varint(number, array.value(at) as u64),
            Values::Record(array, members) if array.is_valid(at) => out.record(number, &At { members, at }),
            Values::List(array, elements) if array.is_valid(at) => {
                let offsets = array.value_offsets();
                for at in (offsets[at] as usize..offsets[at + 1] as usize).rev() {
                    elements.put(number, at, out);
                }
            }
            _ => {}
        }
    }
}

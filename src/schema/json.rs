//! A row as JSON, straight from its wire bytes, in the form BigQuery takes from a Pub/Sub subscription that uses the
//! table's schema: what is null has no key, a DATE is `YYYY-MM-DD`, a TIMESTAMP is RFC 3339 in UTC with microseconds,
//! an INTEGER is a number with all its digits.
//!
//! JSON has no NaN and no infinity: such a FLOAT has no key either. A DATE or TIMESTAMP outside the years 1 to 9999
//! has no text form; it is written as its number (days, microseconds), which BigQuery reads the same way, so that
//! every row has a JSON form and none loses a value it could keep.

use std::{io::Write, ops::Range};

use super::{
    column::{self, Column, Fields, Kind, Mode},
    decode::{DecodeError, Fault},
    row::Date,
    wire::{Reader, Value},
};

/// The row as JSON text on one line.
pub fn row(bytes: &[u8]) -> Result<String, DecodeError> {
    let mut out = Vec::with_capacity(3 * bytes.len());
    write(bytes, &mut out)?;
    Ok(String::from_utf8(out).expect("strings were checked and the rest is ASCII"))
}

/// The row as a JSON value.
pub fn value(bytes: &[u8]) -> Result<serde_json::Value, DecodeError> {
    let text = row(bytes)?;
    Ok(serde_json::from_str(&text).expect("the writer writes JSON"))
}

/// Appends the row as JSON text on one line, without a line end. After an error `out` holds a part of it.
pub fn write(bytes: &[u8], out: &mut Vec<u8>) -> Result<(), DecodeError> {
    let mut writer = Writer { stack: vec![(0, Value::Bytes(bytes))], out };
    writer.record(column::root(), 0..1)
}

/// Fields may come in any order and a record in several pieces, so the fields of a record are gathered before they
/// are written: `stack` holds the (position, value) pairs of the records being written, outermost first.
struct Writer<'a, 'o> {
    stack: Vec<(usize, Value<'a>)>,
    out: &'o mut Vec<u8>,
}

impl Writer<'_, '_> {
    /// Writes the record whose pieces are `stack[pieces]`; more than one are merged, as protobuf has it.
    fn record(&mut self, fields: &Fields, pieces: Range<usize>) -> Result<(), DecodeError> {
        let base = self.stack.len();
        for piece in pieces {
            let bytes = match self.stack[piece].1 {
                Value::Bytes(bytes) => bytes,
                other => return Err(Fault::mistyped(&other).into()),
            };
            for field in Reader::new(bytes) {
                let (number, value) = field?;
                if let Some(position) = fields.position(number) {
                    self.stack.push((position, value));
                }
            }
        }
        if !self.stack[base..].is_sorted_by_key(|&(position, _)| position) {
            self.stack[base..].sort_by_key(|&(position, _)| position);
        }

        self.out.push(b'{');
        let mut start = base;
        let end = self.stack.len();
        while start < end {
            let position = self.stack[start].0;
            let same = self.stack[start..end].iter().take_while(|&&(other, _)| other == position).count();
            let column = &fields[position];
            self.column(column, start..start + same).map_err(|error| error.within(&column.name))?;
            start += same;
        }
        self.stack.truncate(base);
        self.out.push(b'}');
        Ok(())
    }

    /// Writes a column that occurs as `stack[values]`, key first.
    fn column(&mut self, column: &Column, values: Range<usize>) -> Result<(), DecodeError> {
        let before = self.out.len();
        if self.out.last() != Some(&b'{') {
            self.out.push(b',');
        }
        self.out.push(b'"');
        self.out.extend_from_slice(column.name.as_bytes());
        self.out.extend_from_slice(b"\":");
        match (column.mode, column.kind) {
            (Mode::Repeated, _) => {
                let first = values.start;
                self.out.push(b'[');
                for value in values {
                    if value > first {
                        self.out.push(b',');
                    }
                    match column.kind {
                        Kind::Record => self.record(&column.fields, value..value + 1)?,
                        kind => self.scalar(kind, value).map(drop)?,
                    }
                }
                self.out.push(b']');
            }
            (Mode::Nullable, Kind::Record) => self.record(&column.fields, values)?,
            (Mode::Nullable, kind) => {
                // The last one counts, but all have to be sound.
                let start = self.out.len();
                let mut written = false;
                for value in values {
                    self.out.truncate(start);
                    written = self.scalar(kind, value)?;
                }
                if !written {
                    self.out.truncate(before);
                }
            }
        }
        Ok(())
    }

    /// Writes one scalar; `false` when it has no JSON form.
    fn scalar(&mut self, kind: Kind, value: usize) -> Result<bool, Fault> {
        match (kind, self.stack[value].1) {
            (Kind::String, Value::Bytes(bytes)) => {
                let text = simdutf8::basic::from_utf8(bytes).map_err(|_| Fault::Utf8)?;
                self.serialize(text);
            }
            (Kind::Integer, Value::Varint(value)) => self.serialize(&(value as i64)),
            (Kind::Boolean, Value::Varint(value)) => self.serialize(&(value != 0)),
            (Kind::Float, Value::Fixed64(bits)) => {
                let value = f64::from_bits(bits);
                if !value.is_finite() {
                    return Ok(false);
                }
                self.serialize(&value);
            }
            (Kind::Date, Value::Varint(value)) => self.date(value as i32),
            (Kind::Timestamp, Value::Varint(value)) => self.timestamp(value as i64),
            (_, other) => return Err(Fault::mistyped(&other)),
        }
        Ok(true)
    }

    fn serialize<T: serde::Serialize + ?Sized>(&mut self, value: &T) {
        serde_json::to_writer(&mut *self.out, value).expect("a scalar has a JSON form and a Vec takes it");
    }

    fn date(&mut self, days: i32) {
        if Date::RANGE.contains(&days) {
            self.text(format_args!("\"{}\"", Date(days)));
        } else {
            self.serialize(&days);
        }
    }

    fn timestamp(&mut self, micros: i64) {
        let date = Date::of_utc_micros(micros);
        if !Date::RANGE.contains(&date.0) {
            return self.serialize(&micros);
        }
        let of_day = micros.rem_euclid(DAY);
        let (seconds, fraction) = (of_day / 1_000_000, of_day % 1_000_000);
        let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
        self.text(format_args!("\"{date}T{hour:02}:{minute:02}:{second:02}.{fraction:06}Z\""));
    }

    fn text(&mut self, text: std::fmt::Arguments<'_>) {
        self.out.write_fmt(text).expect("a Vec takes it");
    }
}

/// Microseconds.
const DAY: i64 = 86_400_000_000;

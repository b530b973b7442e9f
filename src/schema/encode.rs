//! Writes protobuf from its end to its beginning: a record is written before the length that stands in front of it, so
//! nothing is measured beforehand and nothing is moved afterwards.

use std::cell::RefCell;

/// What can be written as a protobuf message.
pub trait Encode {
    /// Puts the fields in front of what is there, the one with the highest number first.
    fn encode(&self, out: &mut Backwards);

    /// The message's bytes.
    fn encode_to_vec(&self) -> Vec<u8> {
        self.encode_behind(&[])
    }

    /// The message's bytes, behind `head`.
    fn encode_behind(&self, head: &[u8]) -> Vec<u8> {
        thread_local! {
            static SCRATCH: RefCell<Backwards> = RefCell::new(Backwards::new());
        }
        SCRATCH.with_borrow_mut(|scratch| {
            scratch.clear();
            self.encode(scratch);
            scratch.reserve(head.len());
            scratch.bytes(head);
            let bytes = scratch.as_slice().to_vec();
            scratch.shrink();
            bytes
        })
    }
}

/// A buffer that grows towards its beginning.
pub struct Backwards {
    buffer: Vec<u8>,
    /// Where what was written begins.
    start: usize,
}

/// Room at first: most events.
const USUAL: usize = 8 << 10;
/// A buffer beyond this is given back.
const MAX_KEPT: usize = 256 << 10;
/// Longest varint.
const MAX_VARINT: usize = 10;

/// How a value is written on the wire.
#[derive(Clone, Copy)]
enum Wire {
    Varint = 0,
    Fixed64 = 1,
    Bytes = 2,
}

impl Backwards {
    fn new() -> Backwards {
        Backwards { buffer: vec![0; USUAL], start: USUAL }
    }

    fn clear(&mut self) {
        self.start = self.buffer.len();
    }

    fn shrink(&mut self) {
        if self.buffer.len() > MAX_KEPT {
            *self = Backwards::new();
        }
    }

    fn as_slice(&self) -> &[u8] {
        &self.buffer[self.start..]
    }

    /// Sees to it that `more` bytes fit.
    #[inline]
    fn reserve(&mut self, more: usize) {
        if self.start < more {
            self.grow(more);
        }
    }

    #[cold]
    fn grow(&mut self, more: usize) {
        let written = self.buffer.len() - self.start;
        let mut larger = vec![0; (written + more).next_power_of_two().max(USUAL)];
        let start = larger.len() - written;
        larger[start..].copy_from_slice(&self.buffer[self.start..]);
        (self.buffer, self.start) = (larger, start);
    }

    #[inline]
    fn bytes(&mut self, bytes: &[u8]) {
        let end = self.start;
        self.start -= bytes.len();
        self.buffer[self.start..end].copy_from_slice(bytes);
    }

    /// A varint. Most lengths and tags have one byte.
    #[inline(always)]
    fn number(&mut self, value: u64) {
        if value < 0x80 {
            self.start -= 1;
            self.buffer[self.start] = value as u8;
        } else {
            self.long_number(value);
        }
    }

    fn long_number(&mut self, mut value: u64) {
        // 7 bits a byte, at least one byte.
        let len = (70 - (value | 1).leading_zeros() as usize) / 7;
        self.start -= len;
        let place = &mut self.buffer[self.start..self.start + len];
        let Some((last, others)) = place.split_last_mut() else { return };
        for byte in others {
            *byte = value as u8 | 0x80;
            value >>= 7;
        }
        *last = value as u8;
    }

    #[inline(always)]
    fn tag(&mut self, field: u32, wire: Wire) {
        self.number(u64::from(field << 3 | wire as u32));
    }

    /// A `string`.
    #[inline]
    pub fn text(&mut self, field: u32, text: &str) {
        let (len, tag) = (text.len(), field << 3 | Wire::Bytes as u32);
        self.reserve(len + 2 * MAX_VARINT);
        if len < 0x80 && tag < 0x80 {
            // Most texts: tag and length have a byte each.
            let end = self.start;
            self.start -= len + 2;
            let place = &mut self.buffer[self.start..end];
            (place[0], place[1]) = (tag as u8, len as u8);
            place[2..].copy_from_slice(text.as_bytes());
            return;
        }
        self.bytes(text.as_bytes());
        self.number(len as u64);
        self.number(tag.into());
    }

    /// An integer or a `bool`.
    #[inline]
    pub fn varint(&mut self, field: u32, value: u64) {
        self.reserve(2 * MAX_VARINT);
        self.number(value);
        self.tag(field, Wire::Varint);
    }

    /// A `double`.
    #[inline]
    pub fn double(&mut self, field: u32, value: f64) {
        self.reserve(size_of::<f64>() + MAX_VARINT);
        self.bytes(&value.to_le_bytes());
        self.tag(field, Wire::Fixed64);
    }

    /// Fields that are encoded already.
    #[inline]
    pub fn fields(&mut self, encoded: &[u8]) {
        self.reserve(encoded.len());
        self.bytes(encoded);
    }

    /// A message in a message.
    #[inline]
    pub fn record(&mut self, field: u32, record: &impl Encode) {
        let before = self.buffer.len() - self.start;
        record.encode(self);
        let len = self.buffer.len() - self.start - before;
        self.reserve(2 * MAX_VARINT);
        self.number(len as u64);
        self.tag(field, Wire::Bytes);
    }
}

#[cfg(test)]
mod tests {
    use prost::Message;

    use super::*;
    use crate::schema::{
        proto::{
            self,
            event::{Param, Value},
        },
        reference,
    };

    #[test]
    fn numbers_of_every_length_read_back() {
        for bits in 0..64 {
            for value in [1u64 << bits, (1u64 << bits) - 1, u64::MAX >> bits] {
                let event = proto::Event { event_timestamp: Some(value as i64), ..Default::default() };
                let read = reference::Event::decode(&*event.encode_to_vec());
                assert_eq!(read.map(|read| read.event_timestamp), Ok(Some(value as i64)));
            }
        }
    }

    #[test]
    fn a_buffer_grows_and_is_used_again() {
        for size in [0, 1, USUAL, 3 * USUAL, MAX_KEPT, 1 << 20, 5] {
            let text = "x".repeat(size);
            let value = Value { string_value: Some(text.as_str().into()), ..Value::default() };
            let param = Param { key: Some("key".into()), value: Some(value) };
            let event = proto::Event { event_params: vec![param.clone(), param], ..Default::default() };
            let read = reference::Event::decode(&*event.encode_to_vec()).unwrap_or_default();
            assert_eq!(read.event_params.len(), 2);
            assert_eq!(read.event_params[1].value.as_ref().map(|value| value.string_value().len()), Some(size));
        }
    }
}

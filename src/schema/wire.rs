//! Protobuf's wire format, read without copying: a run of (field number, value) pairs.
//!
//! Strict where leniency would hide damage: a value cut short, a varint of more than 64 bits, field number 0 and the
//! long abandoned groups are errors. The reader knows no schema and never descends: whoever knows that a value is a
//! message starts another [`Reader`] on its bytes, so nesting is bounded by the schema, not by the input.

use std::fmt;

/// One value as it stands on the wire.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value<'a> {
    /// Wire type 0: integers and booleans.
    Varint(u64),
    /// Wire type 1: doubles.
    Fixed64(u64),
    /// Wire type 2: strings and messages.
    Bytes(&'a [u8]),
    /// Wire type 5: floats; no column has it, so it only occurs in fields we do not know.
    Fixed32(u32),
}

impl Value<'_> {
    /// How the value is laid out.
    pub fn wire_type(&self) -> WireType {
        match self {
            Value::Varint(_) => WireType::Varint,
            Value::Fixed64(_) => WireType::Fixed64,
            Value::Bytes(_) => WireType::LengthDelimited,
            Value::Fixed32(_) => WireType::Fixed32,
        }
    }
}

/// The layouts that values come in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WireType {
    /// Seven bits a byte, until a byte without its highest bit.
    Varint,
    /// Eight bytes.
    Fixed64,
    /// A length and as many bytes.
    LengthDelimited,
    /// Four bytes.
    Fixed32,
}

impl fmt::Display for WireType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            WireType::Varint => "varint",
            WireType::Fixed64 => "fixed64",
            WireType::LengthDelimited => "length-delimited",
            WireType::Fixed32 => "fixed32",
        })
    }
}

/// Why bytes are not protobuf.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// The bytes end inside a key or a value.
    #[error("the bytes end inside a value")]
    Truncated,
    /// A varint of more than 64 bits.
    #[error("a varint has more than 64 bits")]
    Overlong,
    /// A key with field number 0 or with more than 29 bits of number.
    #[error("a field number is out of range")]
    FieldNumber,
    /// Groups (3, 4) and the two numbers never given out (6, 7).
    #[error("wire type {0} is not supported")]
    WireType(u8),
}

/// Iterates over the fields of one message. After an error it is at its end.
#[derive(Clone, Debug)]
pub struct Reader<'a> {
    bytes: &'a [u8],
}

impl<'a> Reader<'a> {
    /// Reads the message that is the whole of `bytes`.
    pub fn new(bytes: &'a [u8]) -> Reader<'a> {
        Reader { bytes }
    }

    #[inline]
    fn field(&mut self) -> Result<(u32, Value<'a>), WireError> {
        let key = u32::try_from(self.varint()?).map_err(|_| WireError::FieldNumber)?;
        let number = key >> 3;
        if number == 0 {
            return Err(WireError::FieldNumber);
        }
        let value = match key & 7 {
            0 => Value::Varint(self.varint()?),
            1 => Value::Fixed64(u64::from_le_bytes(self.array()?)),
            2 => {
                // A length beyond the address space is beyond the bytes as well.
                let length = usize::try_from(self.varint()?).map_err(|_| WireError::Truncated)?;
                let (value, rest) = self.bytes.split_at_checked(length).ok_or(WireError::Truncated)?;
                self.bytes = rest;
                Value::Bytes(value)
            }
            5 => Value::Fixed32(u32::from_le_bytes(self.array()?)),
            other => return Err(WireError::WireType(other as u8)),
        };
        Ok((number, value))
    }

    #[inline]
    fn varint(&mut self) -> Result<u64, WireError> {
        // Most keys, lengths and flags fit in one byte.
        if let [byte @ 0..=0x7f, rest @ ..] = self.bytes {
            self.bytes = rest;
            return Ok(u64::from(*byte));
        }
        self.long_varint()
    }

    fn long_varint(&mut self) -> Result<u64, WireError> {
        let mut value = 0;
        for (index, &byte) in self.bytes.iter().enumerate() {
            // The tenth byte holds bit 63 and nothing else.
            if index == 9 && byte > 1 {
                return Err(WireError::Overlong);
            }
            value |= u64::from(byte & 0x7f) << (7 * index);
            if byte < 0x80 {
                self.bytes = &self.bytes[index + 1..];
                return Ok(value);
            }
        }
        Err(WireError::Truncated)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], WireError> {
        let (value, rest) = self.bytes.split_first_chunk().ok_or(WireError::Truncated)?;
        self.bytes = rest;
        Ok(*value)
    }
}

impl<'a> Iterator for Reader<'a> {
    type Item = Result<(u32, Value<'a>), WireError>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        if self.bytes.is_empty() {
            return None;
        }
        let field = self.field();
        if field.is_err() {
            self.bytes = &[];
        }
        Some(field)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;
    use prost::encoding;

    use super::*;

    fn read(bytes: &[u8]) -> Result<Vec<(u32, Value<'_>)>, WireError> {
        Reader::new(bytes).collect()
    }

    #[test]
    fn every_wire_type_is_read() {
        let bytes = b"\x08\x96\x01\x11\x00\x00\x00\x00\x00\x00\xf0\x3f\x1a\x02hi\x25\x01\x00\x00\x00";
        let expected = vec![
            (1, Value::Varint(150)),
            (2, Value::Fixed64(1f64.to_bits())),
            (3, Value::Bytes(b"hi")),
            (4, Value::Fixed32(1)),
        ];
        assert_eq!(read(bytes), Ok(expected));
        assert_eq!(read(b""), Ok(vec![]));
    }

    #[test]
    fn damage_is_named() {
        for (bytes, error) in [
            (&b"\x08"[..], WireError::Truncated),
            (b"\x80", WireError::Truncated),
            (b"\x08\xff", WireError::Truncated),
            (b"\x11\x00\x00\x00\x00\x00\x00\x00", WireError::Truncated),
            (b"\x1a\x03hi", WireError::Truncated),
            (b"\x1a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", WireError::Truncated),
            (b"\x25\x00\x00\x00", WireError::Truncated),
            (b"\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02", WireError::Overlong),
            (b"\x08\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x00", WireError::Overlong),
            (b"\x00\x00", WireError::FieldNumber),
            (b"\x80\x80\x80\x80\x10\x00", WireError::FieldNumber),
            (b"\x0b\x0c", WireError::WireType(3)),
            (b"\x0c", WireError::WireType(4)),
            (b"\x0e", WireError::WireType(6)),
            (b"\x0f", WireError::WireType(7)),
        ] {
            assert_eq!(read(bytes), Err(error), "{bytes:x?}");
        }
    }

    #[test]
    fn an_error_ends_the_message() {
        let mut reader = Reader::new(b"\x08\x01\x00\x08\x01");
        assert_eq!(reader.next(), Some(Ok((1, Value::Varint(1)))));
        assert_eq!(reader.next(), Some(Err(WireError::FieldNumber)));
        assert_eq!(reader.next(), None);
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn varints_are_read_as_prost_wrote_them(number in 1u32..1 << 29, value: u64) {
            let mut bytes = Vec::new();
            encoding::encode_key(number, encoding::WireType::Varint, &mut bytes);
            encoding::encode_varint(value, &mut bytes);
            prop_assert_eq!(read(&bytes), Ok(vec![(number, Value::Varint(value))]));
            for end in 1..bytes.len() {
                prop_assert_eq!(read(&bytes[..end]), Err(WireError::Truncated));
            }
        }

        #[test]
        fn random_bytes_are_read_to_their_end_or_refused(bytes: Vec<u8>) {
            let mut reader = Reader::new(&bytes);
            // A field takes at least two bytes, an error at least one.
            prop_assert!(reader.by_ref().count() <= bytes.len());
            prop_assert_eq!(reader.next(), None);
        }
    }
}

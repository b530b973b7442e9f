//! Single top-level columns of an encoded row, read without decoding it.
//!
//! Delivery never sees an event; sorting a file and telling a row's age need three columns of it all the same. Bytes
//! that are not an encoded event end the walk: nothing here fails, the column is simply not found.

/// Number of column `event_name`.
pub const EVENT_NAME: u32 = 3;
/// Number of column `user_pseudo_id`.
pub const USER_PSEUDO_ID: u32 = 10;
/// Number of column `synced_at_micros_`.
pub const SYNCED_AT_MICROS: u32 = 103;

/// A top-level field as it lies on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wire<'a> {
    /// Integers and booleans.
    Varint(u64),
    /// Text, bytes and records.
    Bytes(&'a [u8]),
    /// 32 or 64 fixed bits.
    Fixed(&'a [u8]),
}

/// The top-level fields of an encoded message, in wire order, up to the first byte that makes no sense.
pub struct Fields<'a>(&'a [u8]);

/// Starts the walk over `row`.
pub fn fields(row: &[u8]) -> Fields<'_> {
    Fields(row)
}

/// When the collector accepted the row, in microseconds since the Unix epoch.
pub fn synced_at_micros(row: &[u8]) -> Option<i64> {
    fields(row).find_map(|(number, wire)| match wire {
        Wire::Varint(value) if number == SYNCED_AT_MICROS => Some(value as i64),
        _ => None,
    })
}

impl<'a> Fields<'a> {
    fn varint(&mut self) -> Option<u64> {
        let mut value = 0;
        // Ten groups of seven bits hold 64 bits.
        for shift in (0..70).step_by(7) {
            let (&byte, rest) = self.0.split_first()?;
            self.0 = rest;
            value |= u64::from(byte & 0x7f).checked_shl(shift)?;
            if byte < 0x80 {
                return Some(value);
            }
        }
        None
    }

    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = (u32, Wire<'a>);

    fn next(&mut self) -> Option<(u32, Wire<'a>)> {
        let key = self.varint()?;
        let wire = match key & 7 {
            0 => Wire::Varint(self.varint()?),
            1 => Wire::Fixed(self.take(8)?),
            2 => {
                let length = usize::try_from(self.varint()?).ok()?;
                Wire::Bytes(self.take(length)?)
            }
            5 => Wire::Fixed(self.take(4)?),
            _ => return None,
        };
        Some((u32::try_from(key >> 3).ok()?, wire))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::{Encode, Event};

    #[test]
    fn the_numbers_are_those_of_the_schema() {
        let event = Event {
            event_name: Some("page_view".into()),
            user_pseudo_id: Some("1.2".into()),
            synced_at_micros: Some(1_700_000_000_000_000),
            event_value_in_usd: Some(1.5),
            ..Event::default()
        };
        let bytes = event.encode_to_vec();
        let found: Vec<_> = fields(&bytes).collect();
        assert!(found.contains(&(EVENT_NAME, Wire::Bytes(b"page_view"))));
        assert!(found.contains(&(USER_PSEUDO_ID, Wire::Bytes(b"1.2"))));
        assert_eq!(found.len(), 4);
        assert_eq!(synced_at_micros(&bytes), Some(1_700_000_000_000_000));
    }

    #[test]
    fn garbage_and_cut_rows_end_the_walk() {
        assert_eq!(fields(&[0xff; 40]).count(), 0);
        assert_eq!(fields(&[0x1a, 0x05, b'a']).count(), 0);
        assert_eq!(synced_at_micros(b""), None);
    }
}

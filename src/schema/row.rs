//! A finished event: encoded once, never changed again. Delivery sees nothing else.

use std::{fmt, ops::RangeInclusive, sync::Arc};

use super::{encode::Encode, proto::Event};
use bytes::Bytes;

/// Day in the reporting time zone, as days since 1970-01-01.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Date(pub i32);

impl Date {
    /// The days that have a text form here and in BigQuery: 0001-01-01 to 9999-12-31.
    pub const RANGE: RangeInclusive<i32> = -719_162..=2_932_896;

    /// The day that holds `micros` (microseconds since the Unix epoch) in UTC.
    pub fn of_utc_micros(micros: i64) -> Date {
        Date(micros.div_euclid(86_400_000_000) as i32)
    }

    /// Reads `YYYY-MM-DD`, and no other form of a date: what is read is written the same way.
    pub fn parse(text: &str) -> Option<Date> {
        let civil: jiff::civil::Date = text.parse().ok()?;
        let span = civil.since((jiff::Unit::Day, EPOCH)).ok()?;
        let date = Date(span.get_days());
        (date.to_string() == text).then_some(date)
    }

    /// The calendar day; the nearest end of [`Date::RANGE`] for a day outside of it.
    fn civil(self) -> jiff::civil::Date {
        let days = self.0.clamp(*Date::RANGE.start(), *Date::RANGE.end());
        EPOCH.saturating_add(jiff::Span::new().days(days))
    }

    /// `YYYYMMDD`, the form of GA4's `event_date`.
    pub fn compact(self) -> String {
        self.civil().strftime("%Y%m%d").to_string()
    }
}

const EPOCH: jiff::civil::Date = jiff::civil::date(1970, 1, 1);

/// `YYYY-MM-DD`.
impl fmt::Display for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.civil())
    }
}

/// Identifier of a data stream: the `{stream_id}` of the collection path, 1 to 64 of `[A-Za-z0-9_-]`.
pub type StreamId = Arc<str>;

/// One finished event.
///
/// [`Row::bytes`] is the protobuf encoding of [`Event`]; `date`, `stream` and [`Row::id`] repeat the three columns that delivery
/// needs for cutting batches, for the ledger and for dead letters, so that it never has to decode.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// Column `date`.
    pub date: Date,
    /// Column `stream_id`.
    pub stream: StreamId,
    /// Bytes of the id.
    id_len: u32,
    /// The id, and behind it the encoded event: as the spool has them, and one allocation instead of two.
    record: Bytes,
}

impl Row {
    /// Encodes `event`. `stream` is passed in because rows of one stream share its allocation.
    pub fn freeze(event: &Event<'_>, date: Date, stream: StreamId) -> Row {
        let id = event.rs_info.as_ref().and_then(|info| info.event_id.as_deref()).unwrap_or_default();
        Row { date, stream, id_len: id.len() as u32, record: event.encode_behind(id.as_bytes()).into() }
    }

    /// Puts a row together again from its parts.
    pub fn from_parts(date: Date, stream: StreamId, id: &str, bytes: &[u8]) -> Row {
        Row { date, stream, id_len: id.len() as u32, record: [id.as_bytes(), bytes].concat().into() }
    }

    /// The row whose [`record`](Row::record) begins with an id of `id_len` bytes of UTF-8; `None` when it is shorter.
    pub fn from_record(date: Date, stream: StreamId, id_len: u32, record: Bytes) -> Option<Row> {
        (id_len as usize <= record.len()).then_some(Row { date, stream, id_len, record })
    }

    /// Column `rs_info.event_id`.
    pub fn id(&self) -> &str {
        str::from_utf8(&self.record[..self.id_len as usize]).unwrap_or_default()
    }

    /// Bytes of the id.
    pub fn id_len(&self) -> u32 {
        self.id_len
    }

    /// The protobuf encoding of the event.
    pub fn bytes(&self) -> &[u8] {
        &self.record[self.id_len as usize..]
    }

    /// The same, sharing its memory with the row.
    pub fn to_bytes(&self) -> Bytes {
        self.record.slice(self.id_len as usize..)
    }

    /// The id, and behind it the encoded event.
    pub fn record(&self) -> &[u8] {
        &self.record
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_print_and_parse() {
        for (days, text) in [
            (0, "1970-01-01"),
            (19_782, "2024-02-29"),
            (-1, "1969-12-31"),
            (-719_162, "0001-01-01"),
            (2_932_896, "9999-12-31"),
        ] {
            assert_eq!(Date(days).to_string(), text);
            assert_eq!(Date::parse(text), Some(Date(days)));
        }
        assert_eq!(Date(19_782).compact(), "20240229");
        for text in ["2024-02-30", "20240229", "2024-02-29T10:00", "-000001-01-01", "2024-02-29 "] {
            assert_eq!(Date::parse(text), None, "{text}");
        }
        assert_eq!(Date::of_utc_micros(-1), Date(-1));
        assert_eq!(Date(i32::MIN).to_string(), "0001-01-01");
        assert_eq!(Date(i32::MAX).to_string(), "9999-12-31");
    }
}

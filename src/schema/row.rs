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
/// `bytes` is the protobuf encoding of [`Event`]; `date`, `stream` and `id` repeat the three columns that delivery
/// needs for cutting batches, for the ledger and for de-duplication, so that it never has to decode.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// Column `date`.
    pub date: Date,
    /// Column `stream_id`.
    pub stream: StreamId,
    /// Column `rs_info.event_id`.
    pub id: Box<str>,
    /// The encoded event.
    bytes: Bytes,
}

impl Row {
    /// Encodes `event`. `stream` is passed in because rows of one stream share its allocation.
    pub fn freeze(event: &Event<'_>, date: Date, stream: StreamId) -> Row {
        let id = event.rs_info.as_ref().and_then(|info| info.event_id.as_deref()).unwrap_or_default().into();
        Row { date, stream, id, bytes: event.encode_to_vec().into() }
    }

    /// Puts a row together again from what the spool kept of it.
    pub fn from_parts(date: Date, stream: StreamId, id: Box<str>, bytes: Bytes) -> Row {
        Row { date, stream, id, bytes }
    }

    /// The protobuf encoding of the event.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
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

//! The data streams a pipeline knows.

use std::collections::HashMap;

use http::HeaderMap;
use jiff::{
    Timestamp,
    tz::{Offset, TimeZone},
};

use crate::{
    collect::{Caller, Micros, Refusal, StreamConfig, is_stream_id},
    schema::{Date, StreamId},
};

/// The configured streams; none: any.
pub(super) struct Streams(HashMap<Box<str>, Stream>);

/// One stream.
#[derive(Clone)]
pub(super) struct Stream {
    pub(super) id: StreamId,
    /// `None` where no configuration speaks of the stream.
    config: Option<std::sync::Arc<StreamConfig>>,
    /// Reporting time zone; `None` for UTC, whose days need no rules.
    zone: Option<TimeZone>,
}

impl Streams {
    pub(super) fn new(configs: &[StreamConfig]) -> Streams {
        let stream = |config: &StreamConfig| {
            let zone = &config.reporting_timezone.0;
            Stream {
                id: config.id.as_str().into(),
                config: Some(config.clone().into()),
                zone: (*zone != TimeZone::UTC).then(|| zone.clone()),
            }
        };
        Streams(configs.iter().map(|config| (config.id.as_str().into(), stream(config))).collect())
    }

    /// The stream a path names.
    pub(super) fn find(&self, id: &str) -> Result<Stream, Refusal> {
        match self.0.get(id) {
            Some(stream) => Ok(stream.clone()),
            None if self.0.is_empty() && is_stream_id(id) => Ok(Stream { id: id.into(), config: None, zone: None }),
            None => Err(Refusal::UnknownStream),
        }
    }
}

impl Stream {
    /// Whether `host` is one of the stream's sites.
    pub(super) fn serves(&self, host: &str) -> bool {
        self.config.as_ref().is_none_or(|config| config.serves(host))
    }

    /// Who sends these headers to the stream.
    pub(super) fn caller(&self, headers: &HeaderMap) -> Result<Caller, Refusal> {
        Caller::identify(headers, self.config.as_ref().map_or(&[], |config| &config.api_keys))
    }

    /// The reporting day that holds `micros`, and its text for column `event_date`.
    pub(super) fn day(&self, micros: Micros) -> (Date, String) {
        let instant = Timestamp::from_microsecond(micros).unwrap_or(Timestamp::UNIX_EPOCH);
        let offset = self.zone.as_ref().map_or(Offset::UTC, |zone| zone.to_offset(instant));
        let day = offset.to_datetime(instant).date();
        let local = instant.as_microsecond() + i64::from(offset.seconds()) * 1_000_000;
        (Date::of_utc_micros(local), compact(day))
    }
}

/// `YYYYMMDD`. Written by hand because every event needs it: the formatting machinery takes several times as long.
fn compact(day: jiff::civil::Date) -> String {
    let number = i32::from(day.year()).unsigned_abs() * 10_000 + day.month() as u32 * 100 + day.day() as u32;
    let mut text = String::with_capacity(8);
    for power in (0..8).rev() {
        text.push(char::from(b'0' + (number / 10u32.pow(power) % 10) as u8));
    }
    text
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn streams(json: &str) -> Streams {
        Streams::new(&serde_json::from_str::<Vec<StreamConfig>>(json).unwrap())
    }

    #[test]
    fn without_configured_streams_any_well_formed_id_is_one() {
        let any = streams("[]");
        assert_eq!(&*any.find("shop-1_A").unwrap().id, "shop-1_A");
        for id in ["", "a b", "a/b", "é", &"x".repeat(65)] {
            assert!(any.find(id).is_err(), "{id}");
        }
        assert!(streams(r#"[{"id":"1"}]"#).find("2").is_err());
    }

    #[test]
    fn days_follow_the_reporting_time_zone() {
        let zones = streams(r#"[{"id":"z","reporting_timezone":"Asia/Tokyo"},{"id":"u"}]"#);
        let late = "2024-02-29T16:00:00Z".parse::<Timestamp>().unwrap().as_microsecond();
        for (id, day) in [("z", "20240301"), ("u", "20240229")] {
            let (date, text) = zones.find(id).unwrap().day(late);
            assert_eq!((date.compact(), text), (day.to_owned(), day.to_owned()));
        }
    }
}

//! How much an event may hold. Two profiles, `extended` and `ga4`, and any single limit can be set beside them.

use std::time::Duration;

use bytesize::ByteSize;
use serde::{Deserialize, Serialize};

use crate::{problem::Problem, units::Span};

/// Where the limits start from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Profile {
    /// Room for what real pages send: long addresses, many parameters. Lengths count bytes.
    #[default]
    Extended,
    /// Google's own limits for standard properties. Lengths count characters.
    Ga4,
}

/// YAML `collect.limits`: a profile, and the limits that differ from it.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LimitsConfig {
    /// Where the limits start from: `extended` or `ga4`.
    pub profile: Profile,
    /// What lengths count: `bytes` of UTF-8 or `chars`, Unicode code points.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unit: Option<Unit>,
    /// Body as sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub body: Option<ByteSize>,
    /// Body after its content encoding was undone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub decoded_body: Option<ByteSize>,
    /// Objects and arrays inside each other.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub depth: Option<u8>,
    /// Events per request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub events: Option<usize>,
    /// Parameters per event.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub params: Option<usize>,
    /// Items per event.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub items: Option<usize>,
    /// Parameters per item.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub item_params: Option<usize>,
    /// User properties per event.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user_properties: Option<usize>,
    /// Length of an event's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub event_name: Option<usize>,
    /// Whether event names follow GA4's grammar, a letter and then letters, digits and underscores.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub plain_event_names: Option<bool>,
    /// Length of a parameter's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub param_name: Option<usize>,
    /// Length of a user property's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user_property_name: Option<usize>,
    /// Length of a text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<usize>,
    /// Length of `page_title`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub page_title: Option<usize>,
    /// Length of `page_referrer`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub page_referrer: Option<usize>,
    /// Length of `page_location`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub page_location: Option<usize>,
    /// Length of a user property's text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user_property_value: Option<usize>,
    /// Length of `user_id`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user_id: Option<usize>,
    /// How far back a client's time may lie.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub past: Option<Span>,
    /// How far ahead a client's time may lie.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub future: Option<Span>,
}

/// What a length counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Unit {
    /// Bytes of UTF-8.
    Bytes,
    /// Unicode code points.
    Chars,
}

/// The limits in force. Fields as in [`LimitsConfig`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Limits {
    pub unit: Unit,
    pub body: usize,
    pub decoded_body: usize,
    pub depth: u8,
    pub events: usize,
    pub params: usize,
    pub items: usize,
    pub item_params: usize,
    pub user_properties: usize,
    pub event_name: usize,
    pub param_name: usize,
    pub user_property_name: usize,
    pub value: usize,
    pub page_title: usize,
    pub page_referrer: usize,
    pub page_location: usize,
    pub user_property_value: usize,
    pub user_id: usize,
    pub past: Duration,
    pub future: Duration,
    pub plain_event_names: bool,
}

impl Limits {
    /// Most bytes that one request may become as rows. Fields beside `events` are repeated in each of them, so a body
    /// of a few kilobytes could else fill the spool.
    pub fn expanded(&self) -> usize {
        self.decoded_body.saturating_mul(4)
    }
}

/// serde_json stops at 128; the stack of a worker thread is safe well below that.
const MAX_DEPTH: u8 = 100;

impl Limits {
    /// GA4 keeps events up to 72 hours old. Ahead, five minutes forgive a clock that is not exactly set.
    const EXTENDED: Limits = Limits {
        unit: Unit::Bytes,
        body: 256 << 10,
        decoded_body: 1 << 20,
        depth: 16,
        events: 100,
        params: 100,
        items: 200,
        item_params: 50,
        user_properties: 50,
        event_name: 100,
        param_name: 100,
        user_property_name: 100,
        value: 4 << 10,
        page_title: 8 << 10,
        page_referrer: 8 << 10,
        page_location: 8 << 10, // GA4's 1000 cuts click ids off
        user_property_value: 4 << 10,
        user_id: 256,
        past: Duration::from_secs(72 * 3600),
        future: Duration::from_secs(300),
        plain_event_names: false,
    };

    /// Google's Measurement Protocol limits, and the collection limits of standard properties.
    const GA4: Limits = Limits {
        unit: Unit::Chars,
        body: 130_000,
        decoded_body: 130_000,
        events: 25,
        params: 25,
        item_params: 27,
        user_properties: 25,
        event_name: 40,
        param_name: 40,
        user_property_name: 24,
        value: 100,
        page_title: 300,
        page_referrer: 420,
        page_location: 1000,
        user_property_value: 36,
        plain_event_names: true,
        ..Limits::EXTENDED
    };

    /// The longest text the value of this parameter may be.
    pub fn param_value(&self, key: &str) -> usize {
        match key {
            "page_title" => self.page_title,
            "page_referrer" => self.page_referrer,
            "page_location" | "page_path" => self.page_location,
            _ => self.value,
        }
    }

    /// The start of `text` that fits into `max`; `None` when all of it does.
    pub fn cut<'t>(&self, text: &'t str, max: usize) -> Option<&'t str> {
        if text.len() <= max {
            return None; // as many bytes as allowed can never be more characters
        }
        let end = match self.unit {
            Unit::Bytes => text.floor_char_boundary(max),
            Unit::Chars => text.char_indices().nth(max)?.0,
        };
        Some(&text[..end])
    }
}

impl LimitsConfig {
    /// The limits in force.
    pub fn resolve(&self) -> Limits {
        let base = match self.profile {
            Profile::Extended => Limits::EXTENDED,
            Profile::Ga4 => Limits::GA4,
        };
        let bytes = |size: Option<ByteSize>, or: usize| {
            size.map_or(or, |size| usize::try_from(size.as_u64()).unwrap_or(usize::MAX))
        };
        Limits {
            unit: self.unit.unwrap_or(base.unit),
            body: bytes(self.body, base.body),
            decoded_body: bytes(self.decoded_body, base.decoded_body),
            depth: self.depth.unwrap_or(base.depth).min(MAX_DEPTH),
            events: self.events.unwrap_or(base.events),
            params: self.params.unwrap_or(base.params),
            items: self.items.unwrap_or(base.items),
            item_params: self.item_params.unwrap_or(base.item_params),
            user_properties: self.user_properties.unwrap_or(base.user_properties),
            event_name: self.event_name.unwrap_or(base.event_name),
            param_name: self.param_name.unwrap_or(base.param_name),
            user_property_name: self.user_property_name.unwrap_or(base.user_property_name),
            value: self.value.unwrap_or(base.value),
            page_title: self.page_title.unwrap_or(base.page_title),
            page_referrer: self.page_referrer.unwrap_or(base.page_referrer),
            page_location: self.page_location.unwrap_or(base.page_location),
            user_property_value: self.user_property_value.unwrap_or(base.user_property_value),
            user_id: self.user_id.unwrap_or(base.user_id),
            past: self.past.map_or(base.past, |span| *span),
            future: self.future.map_or(base.future, |span| *span),
            plain_event_names: self.plain_event_names.unwrap_or(base.plain_event_names),
        }
    }

    /// Reports limits that would refuse everything or protect nothing.
    pub fn check(&self, path: &str, problems: &mut Vec<Problem>) {
        let limits = self.resolve();
        let must_not_be_zero = [
            ("body", limits.body),
            ("decoded_body", limits.decoded_body),
            ("events", limits.events),
            ("event_name", limits.event_name),
            ("param_name", limits.param_name),
            ("value", limits.value),
        ];
        for (name, value) in must_not_be_zero {
            if value == 0 {
                problems.push(
                    Problem::new(format!("{path}.{name}"), "a limit of zero refuses everything")
                        .hint("leave it out to take the profile's limit"),
                );
            }
        }
        // A typical event nests four deep: object, `event_params`, element, `value`.
        if self.depth.is_some_and(|depth| !(4..=MAX_DEPTH).contains(&depth)) {
            problems.push(Problem::new(format!("{path}.depth"), format!("must lie between 4 and {MAX_DEPTH}")));
        }
        let decades = Duration::from_secs(10 * 366 * 86_400);
        for (name, span) in [("past", limits.past), ("future", limits.future)] {
            if span > decades {
                problems.push(Problem::new(format!("{path}.{name}"), "must not be longer than ten years"));
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn single_limits_override_the_profile() {
        let config: LimitsConfig =
            serde_json::from_str(r#"{"profile":"ga4","params":50,"body":"1 KiB","past":"1h"}"#).unwrap();
        let limits = config.resolve();
        assert_eq!((limits.params, limits.body, limits.past.as_secs()), (50, 1024, 3600));
        assert_eq!((limits.events, limits.page_title), (25, 300));
        let mut problems = vec![];
        config.check("collect.limits", &mut problems);
        assert_eq!(problems, []);
    }

    #[test]
    fn every_limit_has_a_key() {
        let config: LimitsConfig = serde_json::from_str(
            r#"{"unit":"chars","body":"1 B","decoded_body":"2 B","depth":5,"events":6,"params":7,"items":8,
                "item_params":9,"user_properties":10,"event_name":11,"plain_event_names":true,"param_name":12,
                "user_property_name":13,"value":14,"page_title":15,"page_referrer":16,"page_location":17,
                "user_property_value":18,"user_id":19,"past":"20s","future":"21s"}"#,
        )
        .unwrap();
        // Named one by one, without `..`: a new limit has to be named here, too.
        let expected = Limits {
            unit: Unit::Chars,
            body: 1,
            decoded_body: 2,
            depth: 5,
            events: 6,
            params: 7,
            items: 8,
            item_params: 9,
            user_properties: 10,
            event_name: 11,
            param_name: 12,
            user_property_name: 13,
            value: 14,
            page_title: 15,
            page_referrer: 16,
            page_location: 17,
            user_property_value: 18,
            user_id: 19,
            past: Duration::from_secs(20),
            future: Duration::from_secs(21),
            plain_event_names: true,
        };
        assert_eq!(config.resolve(), expected);
    }

    #[test]
    fn useless_limits_are_reported() {
        let config: LimitsConfig = serde_json::from_str(r#"{"events":0,"depth":2,"past":"30 years"}"#).unwrap();
        let mut problems = vec![];
        config.check("collect.limits", &mut problems);
        let paths: Vec<_> = problems.iter().map(|problem| problem.path.as_str()).collect();
        assert_eq!(paths, ["collect.limits.events", "collect.limits.depth", "collect.limits.past"]);
    }

    #[test]
    fn texts_are_cut_between_characters() {
        assert_eq!(Limits::EXTENDED.cut("añb", 2), Some("a"));
        assert_eq!(Limits::EXTENDED.cut("añb", 4), None);
        assert_eq!(Limits::GA4.cut("añb", 2), Some("añ"));
        assert_eq!(Limits::GA4.cut("añb", 3), None);
    }
}

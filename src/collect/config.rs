//! Settings of collection.

use bytesize::ByteSize;
use serde::{Deserialize, Serialize};

use crate::{problem::Problem, units::Span};

/// How events are taken in (`collect:`).
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Path below which streams take events.
    pub path: String,
    /// Path of the tracking script.
    pub script: String,
    /// Whether doubtful events are refused instead of repaired.
    pub strict: bool,
    /// Limits of what one request may carry.
    pub limits: Limits,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            path: "/api/v1/streaming".into(),
            script: "/static/v6.js".into(),
            strict: false,
            limits: Limits::default(),
        }
    }
}

/// YAML `collect.limits`: a profile, and the limits that differ from it.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Where the limits start from: `extended` or `ga4`.
    pub profile: Profile,
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

/// A set of limits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Profile {
    /// Wider than Google's.
    #[default]
    Extended,
    /// Google's.
    Ga4,
}

impl Config {
    /// Reports what cannot work.
    pub fn check(&self, path: &str, problems: &mut Vec<Problem>) {
        for (key, value) in [("path", &self.path), ("script", &self.script)] {
            if !value.starts_with('/') {
                problems.push(Problem::new(format!("{path}.{key}"), format!("`{value}` does not begin with `/`")));
            }
        }
    }
}

/// One stream (`streams[]`).
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StreamConfig {
    /// Identifier in the path.
    pub id: String,
    /// Hosts it takes events from; empty is any.
    #[serde(default)]
    pub hosts: Vec<String>,
    /// IANA zone that decides an event's day.
    #[serde(default = "utc")]
    pub reporting_timezone: String,
}

fn utc() -> String {
    "UTC".into()
}

impl Default for StreamConfig {
    fn default() -> StreamConfig {
        StreamConfig { id: String::new(), hosts: Vec::new(), reporting_timezone: utc() }
    }
}

impl StreamConfig {
    /// Reports what cannot work.
    pub fn check(&self, path: &str, problems: &mut Vec<Problem>) {
        if self.id.is_empty() {
            problems.push(Problem::new(format!("{path}.id"), "is empty"));
        }
    }
}

/// The visitor cookie (`cookie:`).
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CookieConfig {
    /// Name.
    pub name: String,
    /// `auto` or a domain.
    pub domain: String,
    /// `auto`, `true` or `false`.
    pub secure: Secure,
    /// Whether scripts cannot read it.
    pub http_only: bool,
    /// SameSite attribute.
    pub same_site: SameSite,
    /// Life time.
    pub max_age: Span,
}

/// Secure attribute.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Secure {
    /// As the request was.
    #[default]
    Auto,
    /// Always.
    True,
    /// Never.
    False,
}

/// SameSite attribute.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum SameSite {
    /// Strict.
    Strict,
    /// Lax.
    #[default]
    Lax,
    /// None.
    None,
}

impl Default for CookieConfig {
    fn default() -> CookieConfig {
        CookieConfig {
            name: "__uid__".into(),
            domain: "auto".into(),
            secure: Secure::Auto,
            http_only: true,
            same_site: SameSite::Lax,
            max_age: Span::secs(400 * 86_400),
        }
    }
}

impl CookieConfig {
    /// Reports what cannot work.
    pub fn check(&self, path: &str, problems: &mut Vec<Problem>) {
        if self.name.is_empty() {
            problems.push(Problem::new(format!("{path}.name"), "is empty"));
        }
    }
}

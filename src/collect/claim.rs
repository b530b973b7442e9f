//! What the client says happened: one per event of the request, untrusted.
//!
//! A claim has no synced time and, but for a trusted caller's overrides, no geo and no device: what is not here, a
//! client cannot write. Parameters, items and the like already have the row's types, so that accepting them is a move.

use super::{Log, Micros, Overrides, consent::Consent};
use prost::Message;

use crate::schema::proto::event;

/// One event as claimed.
#[derive(Clone, Debug, Default)]
pub struct Claim {
    /// `event_name`; the only thing an event must have.
    pub event_name: Option<String>,
    /// Parameters in the order sent, one per key.
    pub params: Vec<event::Param>,
    /// Client's time, as sent.
    pub timestamp: Option<Micros>,
    /// Client's time, moved into the accepted window by validation.
    pub happened_at: Option<Micros>,
    /// Client's identifier of the event.
    pub event_id: Option<String>,
    /// `user_id`: not mentioned, cleared by `null`, or given.
    pub user_id: Option<Option<String>>,
    /// Client's identifier of itself; counts where no cookie came.
    pub user_pseudo_id: Option<String>,
    /// User properties in the order sent, one per key.
    pub user_properties: Vec<event::UserProperty>,
    /// What the user allowed.
    pub consent: Consent,
    /// App that sent the event.
    pub app_info: Option<event::AppInfo>,
    /// Order-level values the client computed itself.
    pub ecommerce: Option<event::Ecommerce>,
    /// Items in the order sent.
    pub items: Vec<event::Item>,
    /// `WEB`, `IOS` or `ANDROID`.
    pub platform: Option<&'static str>,
    /// Page-load number.
    pub batch_page_id: Option<i64>,
    /// Request counter of the page load.
    pub batch_ordering_id: Option<i64>,
    /// Position in the batch, where the client numbers its events itself.
    pub batch_event_index: Option<i64>,
    /// What a trusted caller says of the visitor; nobody else has any.
    pub overrides: Option<Box<Overrides>>,
    /// What was said about the event so far.
    pub log: Log,
    /// Parameters that follow from other fields (`page`, `session`, `ecommerce`); they fill gaps in `params`.
    pub(super) implied: Vec<event::Param>,
    /// Items inside `ecommerce`; they stand in for missing `items`.
    pub(super) implied_items: Vec<event::Item>,
}

impl Claim {
    /// The value of a parameter.
    pub fn param(&self, key: &str) -> Option<&event::Value> {
        find(&self.params, key).and_then(|param| param.value.as_ref())
    }

    /// Whether the client asked for validation messages with parameter `debug_mode`.
    pub fn debug_mode(&self) -> bool {
        self.param("debug_mode").is_some_and(|value| match value {
            event::Value { int_value: Some(int), .. } => *int != 0,
            event::Value { string_value: Some(text), .. } => text != "false",
            _ => false,
        })
    }

    /// Adds a parameter that follows from another field.
    pub(super) fn imply(&mut self, key: &str, value: event::Value) {
        self.implied.push(event::Param { key: Some(key.to_owned()), value: Some(value) });
    }

    /// Lets implied parameters and items fill the gaps. Called once, when the whole event has been read.
    pub(super) fn settle(&mut self) {
        for implied in std::mem::take(&mut self.implied) {
            if find(&self.params, implied.key()).is_none() {
                self.params.push(implied);
            }
        }
        if self.items.is_empty() {
            self.items = std::mem::take(&mut self.implied_items);
        }
    }

    /// Measurement Protocol calls the session `session_id`; the export knows it as `ga_session_id`.
    pub(super) fn rename_session_id(&mut self) {
        if find(&self.params, "ga_session_id").is_some() {
            return;
        }
        let Some(param) = self.params.iter_mut().find(|param| param.key() == "session_id") else { return };
        let Some(value) = &mut param.value else { return };
        let int = value.int_value.or_else(|| value.string_value.as_deref()?.trim().parse().ok());
        if let Some(int) = int {
            *value = event::Value { int_value: Some(int), ..Default::default() };
            param.key = Some("ga_session_id".into());
        }
    }

    /// Bytes, about, that [`default_to`](Claim::default_to) may copy into each event.
    pub(super) fn weight(&self) -> usize {
        let params = self.params.iter().chain(&self.implied).map(Message::encoded_len);
        let items = self.items.iter().chain(&self.implied_items).map(Message::encoded_len);
        let overrides = self.overrides.iter().map(|overrides| overrides.weight());
        params.chain(items).chain(self.user_properties.iter().map(Message::encoded_len)).chain(overrides).sum()
    }

    /// Fills what this event leaves open from the fields beside `events`. Parameters, user properties and consent
    /// are filled one by one, everything else as a whole.
    pub(super) fn default_to(&mut self, common: &Claim) {
        fn fill<T: Clone>(own: &mut Option<T>, common: &Option<T>) {
            if own.is_none() {
                own.clone_from(common);
            }
        }
        fill(&mut self.event_name, &common.event_name);
        fill(&mut self.timestamp, &common.timestamp);
        fill(&mut self.event_id, &common.event_id);
        fill(&mut self.user_id, &common.user_id);
        fill(&mut self.user_pseudo_id, &common.user_pseudo_id);
        fill(&mut self.app_info, &common.app_info);
        fill(&mut self.ecommerce, &common.ecommerce);
        fill(&mut self.platform, &common.platform);
        fill(&mut self.batch_page_id, &common.batch_page_id);
        fill(&mut self.batch_ordering_id, &common.batch_ordering_id);
        self.consent.default_to(&common.consent);
        if let Some(common) = &common.overrides {
            self.overrides.get_or_insert_default().default_to(common);
        }
        for param in &common.params {
            if find(&self.params, param.key()).is_none() {
                self.params.push(param.clone());
            }
        }
        for property in &common.user_properties {
            if !self.user_properties.iter().any(|own| own.key == property.key) {
                self.user_properties.push(property.clone());
            }
        }
        if self.items.is_empty() {
            self.items.clone_from(&common.items);
        }
        self.log.violations.extend_from_slice(&common.log.violations);
        self.log.remarks.extend_from_slice(&common.log.remarks);
        self.log.unknown_fields += common.log.unknown_fields;
    }
}

fn find<'p>(params: &'p [event::Param], key: &str) -> Option<&'p event::Param> {
    params.iter().find(|param| param.key() == key)
}

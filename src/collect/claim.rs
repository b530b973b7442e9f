//! What the client says happened: one per event of the request, untrusted.
//!
//! A claim has no synced time and, but for a trusted caller's overrides, no geo and no device: what is not here, a
//! client cannot write. Parameters, items and the like already have the row's types, so that accepting them is a move.

use std::borrow::Cow;

use super::{Browser, Log, Micros, Overrides, consent::Consent};
use crate::schema::{Encode, proto::event};

/// One event as claimed.
#[derive(Clone, Debug, Default)]
pub struct Claim<'t> {
    /// `event_name`; the only thing an event must have.
    pub event_name: Option<Cow<'t, str>>,
    /// Parameters in the order sent, one per key.
    pub params: Vec<event::Param<'t>>,
    /// Client's time, as sent.
    pub timestamp: Option<Micros>,
    /// Client's time, moved into the accepted window by validation.
    pub happened_at: Option<Micros>,
    /// Client's identifier of the event.
    pub event_id: Option<Cow<'t, str>>,
    /// `user_id`: not mentioned, cleared by `null`, or given.
    pub user_id: Option<Option<Cow<'t, str>>>,
    /// Client's identifier of itself; counts where no cookie came.
    pub user_pseudo_id: Option<Cow<'t, str>>,
    /// User properties in the order sent, one per key.
    pub user_properties: Vec<event::UserProperty<'t>>,
    /// What the user allowed.
    pub consent: Consent,
    /// App that sent the event.
    pub app_info: Option<event::AppInfo<'t>>,
    /// Order-level values the client computed itself.
    pub ecommerce: Option<event::Ecommerce<'t>>,
    /// Items in the order sent.
    pub items: Vec<event::Item<'t>>,
    /// `WEB`, `IOS` or `ANDROID`.
    pub platform: Option<&'static str>,
    /// Page-load number.
    pub batch_page_id: Option<i64>,
    /// Request counter of the page load.
    pub batch_ordering_id: Option<i64>,
    /// Position in the batch, where the client numbers its events itself.
    pub batch_event_index: Option<i64>,
    /// What a script in the page read off its browser.
    pub browser: Option<Box<Browser<'t>>>,
    /// What a trusted caller says of the visitor; nobody else has any.
    pub overrides: Option<Box<Overrides<'t>>>,
    /// What was said about the event so far.
    pub log: Log,
    /// Parameters that follow from other fields (`page`, `session`, `ecommerce`); they fill gaps in `params`.
    pub(super) implied: Vec<event::Param<'t>>,
    /// Items inside `ecommerce`; they stand in for missing `items`.
    pub(super) implied_items: Vec<event::Item<'t>>,
}

impl<'t> Claim<'t> {
    /// The value of a parameter.
    pub fn param(&self, key: &str) -> Option<&event::Value<'t>> {
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
    pub(super) fn imply(&mut self, key: &'static str, value: event::Value<'t>) {
        self.implied.push(event::Param::new(key, value));
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
            *value = event::Value::int(int);
            param.key = Some("ga_session_id".into());
        }
    }

    /// The same claim, borrowing nothing.
    pub fn into_owned(self) -> Claim<'static> {
        fn own(text: Cow<'_, str>) -> Cow<'static, str> {
            Cow::Owned(text.into_owned())
        }
        Claim {
            event_name: self.event_name.map(own),
            params: self.params.into_iter().map(event::Param::into_owned).collect(),
            timestamp: self.timestamp,
            happened_at: self.happened_at,
            event_id: self.event_id.map(own),
            user_id: self.user_id.map(|id| id.map(own)),
            user_pseudo_id: self.user_pseudo_id.map(own),
            user_properties: self.user_properties.into_iter().map(event::UserProperty::into_owned).collect(),
            consent: self.consent,
            app_info: self.app_info.map(event::AppInfo::into_owned),
            ecommerce: self.ecommerce.map(event::Ecommerce::into_owned),
            items: self.items.into_iter().map(event::Item::into_owned).collect(),
            platform: self.platform,
            batch_page_id: self.batch_page_id,
            batch_ordering_id: self.batch_ordering_id,
            batch_event_index: self.batch_event_index,
            browser: self.browser.map(|browser| Box::new(browser.into_owned())),
            overrides: self.overrides.map(|overrides| Box::new(overrides.into_owned())),
            log: self.log,
            implied: self.implied.into_iter().map(event::Param::into_owned).collect(),
            implied_items: self.implied_items.into_iter().map(event::Item::into_owned).collect(),
        }
    }

    /// Bytes, about, that [`default_to`](Claim::default_to) may copy into each event.
    pub(super) fn weight(&self) -> usize {
        fn weigh(record: &impl Encode) -> usize {
            record.encode_to_vec().len()
        }
        let params = self.params.iter().chain(&self.implied).map(weigh);
        let items = self.items.iter().chain(&self.implied_items).map(weigh);
        let overrides = self.overrides.iter().map(|overrides| overrides.weight());
        let browser = self.browser.iter().map(|browser| browser.weight());
        params.chain(items).chain(self.user_properties.iter().map(weigh)).chain(overrides).chain(browser).sum()
    }

    /// Fills what this event leaves open from the fields beside `events`. Parameters, user properties, consent and
    /// hints are filled one by one, everything else as a whole.
    pub(super) fn default_to(&mut self, common: &Claim<'t>) {
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
        if let Some(common) = &common.browser {
            self.browser.get_or_insert_default().default_to(common);
        }
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

fn find<'p, 't>(params: &'p [event::Param<'t>], key: &str) -> Option<&'p event::Param<'t>> {
    params.iter().find(|param| param.key() == key)
}

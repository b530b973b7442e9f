//! Comfort for those who fill an event: parameters by name, and the nested records made on first touch.

use std::borrow::Cow;

use prost::Message;

use super::{
    Encode,
    proto::{
        Event,
        event::{Device, EventDimensions, Param, RsInfo, Value, WebInfo},
    },
    reference,
};

impl<'a> Event<'a> {
    /// The same, with what came encoded column by column.
    pub fn spelled_out(&self) -> Event<'static> {
        let read = reference::Event::decode(&*self.encode_to_vec());
        read.map(Event::from).expect("what is encoded here can be read")
    }

    /// Text of the parameter `key`; `None` when it is absent or not text.
    pub fn param(&self, key: &str) -> Option<&str> {
        self.raw_param(key)?.string_value.as_deref()
    }

    /// The same as a text of its own: borrowed where the event borrows it.
    pub fn text(&self, key: &str) -> Option<Cow<'a, str>> {
        self.raw_param(key)?.string_value.clone()
    }

    /// Value of the parameter `key`, of whatever type.
    pub fn raw_param(&self, key: &str) -> Option<&Value<'a>> {
        let param = self.event_params.iter().find(|param| param.key.as_deref() == Some(key))?;
        param.value.as_ref()
    }

    /// Adds a text parameter at the end.
    pub fn push_param(&mut self, key: &'static str, text: impl Into<Cow<'a, str>>) {
        self.event_params.push(Param::new(key, Value::text(text)));
    }

    /// Adds a text parameter unless the event has one of that name: what the client said stands.
    pub fn push_param_if_absent(&mut self, key: &'static str, text: impl Into<Cow<'a, str>>) {
        if self.raw_param(key).is_none() {
            self.push_param(key, text);
        }
    }

    /// `rs_info`, made when it was null.
    pub fn info_mut(&mut self) -> &mut RsInfo<'a> {
        self.rs_info.get_or_insert_default()
    }

    /// `device`, made when it was null.
    pub fn device_mut(&mut self) -> &mut Device<'a> {
        self.device.get_or_insert_default()
    }

    /// `device.web_info`, made when it was null.
    pub fn web_info_mut(&mut self) -> &mut WebInfo<'a> {
        self.device_mut().web_info.get_or_insert_default()
    }

    /// `event_dimensions`, made when it was null.
    pub fn dimensions_mut(&mut self) -> &mut EventDimensions<'a> {
        self.event_dimensions.get_or_insert_default()
    }
}

impl<'a> Param<'a> {
    /// A parameter with this value.
    pub fn new(key: impl Into<Cow<'a, str>>, value: Value<'a>) -> Param<'a> {
        Param { key: Some(key.into()), value: Some(value) }
    }

    /// Its name; empty when it has none.
    pub fn key(&self) -> &str {
        self.key.as_deref().unwrap_or_default()
    }
}

impl<'a> Value<'a> {
    /// A text.
    pub fn text(text: impl Into<Cow<'a, str>>) -> Value<'a> {
        Value { string_value: Some(text.into()), ..Value::default() }
    }

    /// A whole number.
    pub fn int(int: i64) -> Value<'a> {
        Value { int_value: Some(int), ..Value::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parameter_is_found_by_name_and_type() {
        let mut event = Event::default();
        event.push_param("page_title", "Home");
        event
            .event_params
            .push(Param { key: Some("value".into()), value: Some(Value { int_value: Some(3), ..Value::default() }) });
        assert_eq!(event.param("page_title"), Some("Home"));
        assert_eq!(event.param("value"), None);
        assert_eq!(event.raw_param("value").and_then(|v| v.int_value), Some(3));
        assert_eq!(event.param("absent"), None);
    }

    #[test]
    fn what_the_client_said_stands() {
        let mut event = Event::default();
        event.push_param("source", "theirs");
        event.push_param_if_absent("source", "ours");
        event.push_param_if_absent("medium", "ours");
        assert_eq!(event.param("source"), Some("theirs"));
        assert_eq!(event.param("medium"), Some("ours"));
        assert_eq!(event.event_params.len(), 2);
    }
}

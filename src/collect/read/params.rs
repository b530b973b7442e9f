//! Parameters and user properties: an array of `{key, value}`, or an object.

use std::{borrow::Cow, fmt};

use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};

use super::{
    Context, Key, Scalar, Skip,
    items::ItemsSeed,
    scalar::{every_scalar, float_text, integral},
    value::{Form, Typed, ValueSeed},
};
use crate::{
    collect::{Code, Log, RemarkKind, echo},
    schema::proto::event,
};

/// What a list of keyed values consists of.
pub(super) trait Entry<'t> {
    /// How the object form spells values.
    const FORM: Form;
    fn new(key: Cow<'t, str>, value: event::Value<'t>, set_at: Option<i64>) -> Self;
    fn key(&self) -> &str;
}

impl<'t> Entry<'t> for event::Param<'t> {
    const FORM: Form = Form::Json;
    fn new(key: Cow<'t, str>, value: event::Value<'t>, _: Option<i64>) -> event::Param<'t> {
        event::Param::new(key, value)
    }
    fn key(&self) -> &str {
        self.key.as_deref().unwrap_or_default()
    }
}

impl<'t> Entry<'t> for event::UserProperty<'t> {
    const FORM: Form = Form::Property;
    fn new(key: Cow<'t, str>, value: event::Value<'t>, set_at: Option<i64>) -> event::UserProperty<'t> {
        let event::Value { string_value, int_value, float_value, double_value } = value;
        let value = event::UserPropertyValue {
            string_value,
            int_value,
            float_value,
            double_value,
            set_timestamp_micros: set_at,
        };
        event::UserProperty { key: Some(key), value: Some(value) }
    }
    fn key(&self) -> &str {
        self.key.as_deref().unwrap_or_default()
    }
}

/// Where a list stands in its event.
#[derive(Clone, Copy)]
pub(super) enum Place {
    Params,
    UserProperties,
    ItemParams(usize),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::Params => f.write_str("event_params"),
            Place::UserProperties => f.write_str("user_properties"),
            Place::ItemParams(index) => write!(f, "items[{index}].item_params"),
        }
    }
}

/// Where a value stands in its list.
#[derive(Clone, Copy)]
pub(super) enum Spot<'k> {
    /// Array form.
    Index(usize),
    /// Object form.
    Key(&'k str),
}

impl fmt::Display for Spot<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Spot::Index(index) => write!(f, "[{index}]"),
            Spot::Key(key) => write!(f, ".{}", echo(key)),
        }
    }
}

/// A list that keeps to its limit, and one value per key.
pub(super) struct List<'l, E> {
    pub(super) entries: &'l mut Vec<E>,
    pub(super) log: &'l mut Log,
    pub(super) place: Place,
    /// The most entries kept.
    pub(super) max: usize,
    /// Entries not kept for lack of room. What comes after the limit is not looked at.
    pub(super) dropped: usize,
}

impl<'l, 't, E: Entry<'t>> List<'l, E> {
    pub(super) fn new(entries: &'l mut Vec<E>, log: &'l mut Log, place: Place, max: usize) -> List<'l, E> {
        List { entries, log, place, max, dropped: 0 }
    }

    pub(super) fn put(&mut self, spot: Spot<'_>, key: Cow<'t, str>, mut typed: Typed<'t>) {
        let place = self.place;
        if key.is_empty() {
            return self.log.violate(format_args!("{place}{spot}.key"), Code::ValueRequired, "the name is empty");
        }
        if let Some((member, code)) = typed.fault {
            let what = if code == Code::ValueOutOfBounds { "is beyond any double" } else { "has the wrong type" };
            let message = format_args!("`{member}` of `{}` {what}", echo(&key));
            return self.log.violate(format_args!("{place}{spot}.value.{member}"), code, message);
        }
        if typed.members == 0 {
            return self.log.remark(RemarkKind::ParamEmpty, echo(&key), format_args!("{place}{spot}.value"));
        }
        if typed.members > 1 {
            self.log.remark(RemarkKind::ValueAmbiguous, echo(&key), format_args!("{place}{spot}.value"));
        }
        if typed.int_to_double {
            self.log.remark(RemarkKind::IntToDouble, echo(&key), format_args!("{place}{spot}.value.int_value"));
        }
        if matches!(place, Place::Params) {
            settle_member(&key, &mut typed.value);
        }
        if self.entries.len() >= self.max {
            self.dropped += 1;
            return;
        }
        let known = self.entries.iter().position(|entry| entry.key() == key);
        let entry = E::new(key, typed.value, typed.set_at);
        match known {
            Some(index) => {
                self.log.remark(RemarkKind::DuplicateKey, echo(entry.key()), format_args!("{place}{spot}"));
                self.entries[index] = entry;
            }
            None => self.entries.push(entry),
        }
    }

    /// Says how many entries found no room.
    pub(super) fn close(self) {
        if self.dropped == 0 {
            return;
        }
        let kind = match self.place {
            Place::Params => RemarkKind::ParamsDropped,
            Place::UserProperties => RemarkKind::UserPropertiesDropped,
            Place::ItemParams(_) => RemarkKind::ItemParamsDropped,
        };
        self.log.remark(kind, self.dropped, self.place);
    }
}

/// GA4's own parameters have one type each, however a client spells them.
fn settle_member(key: &str, value: &mut event::Value<'_>) {
    match key {
        "ga_session_id"
        | "ga_session_number"
        | "engagement_time_msec"
        | "entrances"
        | "engaged_session_event"
        | "debug_mode"
        | "percent_scrolled"
            if value.int_value.is_none() =>
        {
            let number = value.double_value.or(value.float_value);
            let int = match value.string_value.as_deref().map(str::trim) {
                Some("true") => Some(1),
                Some("false") => Some(0),
                Some(text) => text.parse().ok(),
                None => number.and_then(integral),
            };
            if let Some(int) = int {
                *value = event::Value::int(int);
            }
        }
        "page_location" | "page_title" | "page_referrer" | "page_path" | "session_engaged"
            if value.string_value.is_none() =>
        {
            let number = value.double_value.or(value.float_value).map(float_text);
            let text = value.int_value.map(|int| int.to_string()).or(number);
            *value = event::Value { string_value: text.map(Cow::Owned), ..Default::default() };
        }
        _ => {}
    }
}

/// Reads either form into a [`List`].
pub(super) struct ListSeed<'r, 'l, 't, 'm, E> {
    pub(super) context: Context<'r>,
    pub(super) list: &'l mut List<'m, E>,
    /// Where `items` among flat event parameters go.
    pub(super) items: Option<&'l mut Vec<event::Item<'t>>>,
}

impl<E> ListSeed<'_, '_, '_, '_, E> {
    fn wrong_type(self) {
        let place = self.list.place;
        self.list.log.violate(place, Code::ValueInvalid, format_args!("`{place}` must be an array or an object"));
    }
}

impl<'de, E: Entry<'de>> DeserializeSeed<'de> for ListSeed<'_, '_, 'de, '_, E> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de, E: Entry<'de>> Visitor<'de> for ListSeed<'_, '_, 'de, '_, E> {
    type Value = ();
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array or an object")
    }
    fn visit_unit<R>(self) -> Result<(), R> {
        Ok(())
    }
    every_scalar!((), |self| self.wrong_type());

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        let context = self.context.enter()?;
        let mut index = 0;
        while let Some(element) = seq.next_element_seed(ElementSeed(context))? {
            let place = self.list.place;
            match element {
                Element::Pair(key, typed) => match key {
                    Scalar::Text(key) => self.list.put(Spot::Index(index), key, typed),
                    Scalar::Int(key) => self.list.put(Spot::Index(index), key.to_string().into(), typed),
                    Scalar::Null => self.list.put(Spot::Index(index), "".into(), typed),
                    _ => self.list.log.violate(
                        format_args!("{place}[{index}].key"),
                        Code::ValueInvalid,
                        "the name must be text",
                    ),
                },
                Element::Other => self.list.log.violate(
                    format_args!("{place}[{index}]"),
                    Code::ValueInvalid,
                    "must be an object with `key` and `value`",
                ),
            }
            index += 1;
        }
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<(), A::Error> {
        let context = self.context.enter()?;
        while let Some(key) = map.next_key_seed(Key)? {
            if key == "items"
                && let Some(items) = &mut self.items
            {
                map.next_value_seed(ItemsSeed { context, items, log: &mut *self.list.log })?;
                continue;
            }
            let typed = map.next_value_seed(ValueSeed { context, form: E::FORM })?;
            let spot_key = key.clone();
            self.list.put(Spot::Key(&spot_key), key, typed);
        }
        Ok(())
    }
}

/// An element of the array form.
enum Element<'de> {
    Pair(Scalar<'de>, Typed<'de>),
    Other,
}

#[derive(Clone, Copy)]
struct ElementSeed<'r>(Context<'r>);

impl<'de> DeserializeSeed<'de> for ElementSeed<'_> {
    type Value = Element<'de>;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Element<'de>, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for ElementSeed<'_> {
    type Value = Element<'de>;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with `key` and `value`")
    }
    fn visit_unit<R>(self) -> Result<Element<'de>, R> {
        Ok(Element::Other)
    }
    every_scalar!(Element<'de>, |self| Element::Other);
    fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<Element<'de>, A::Error> {
        Skip(self.0).visit_seq(seq)?;
        Ok(Element::Other)
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Element<'de>, A::Error> {
        let context = self.0.enter()?;
        let (mut name, mut typed) = (Scalar::Null, Typed::default());
        while let Some(key) = map.next_key_seed(Key)? {
            match &*key {
                "key" => name = map.next_value_seed(context)?,
                "value" => typed = map.next_value_seed(ValueSeed { context, form: Form::Union })?,
                _ => map.next_value_seed(Skip(context))?,
            }
        }
        Ok(Element::Pair(name, typed))
    }
}

//! An event: an object of fields, each read by the visitor that knows its form.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};

use super::{
    Context, Field, Key, Skip,
    items::ItemsSeed,
    params::{List, ListSeed, Place},
    scalar::every_scalar,
};
use crate::collect::{Caller, Claim, Code, RemarkKind, echo};

/// Room made at once for the parameters of an event; most pages send fewer.
const TYPICAL_PARAMS: usize = 16;

/// Reads the fields of one object into a claim. What only makes sense around events is left to the caller.
pub(in crate::collect) struct Fields<'t> {
    pub(in crate::collect) claim: Claim<'t>,
    /// A bit per field, to notice fields given twice.
    seen: u32,
    caller: Caller,
}

impl<'t> Fields<'t> {
    pub(in crate::collect) fn new(context: Context<'_>) -> Fields<'t> {
        Fields { claim: Claim::default(), seen: 0, caller: context.caller }
    }

    /// Which field this key names, remarking on keys nobody knows and fields given before.
    pub(in crate::collect) fn recognise(&mut self, key: &str) -> Option<Field> {
        let field = Field::of(key).map(|field| field.of_caller(self.caller));
        match field {
            None => self.claim.log.remark(RemarkKind::UnknownField, echo(key), echo(key)),
            Some(Field::OfBrowser) => {}
            Some(Field::Ignored) => self.claim.log.remark(RemarkKind::FieldIgnored, key, key),
            Some(field) if self.seen & 1 << field as u32 != 0 => {
                self.claim.log.remark(RemarkKind::DuplicateKey, key, key);
            }
            Some(field) => self.seen |= 1 << field as u32,
        }
        field
    }

    /// Whether the field came.
    pub(in crate::collect) fn saw(&self, field: Field) -> bool {
        self.seen & 1 << field as u32 != 0
    }

    /// Reads the value of a field of an event.
    pub(in crate::collect) fn read<A: MapAccess<'t>>(
        &mut self,
        field: Option<Field>,
        key: &str,
        context: Context<'_>,
        map: &mut A,
    ) -> Result<(), A::Error> {
        let limits = context.limits;
        let claim = &mut self.claim;
        let taken = match field {
            Some(Field::EventParams) => {
                claim.params.clear();
                claim.params.reserve(TYPICAL_PARAMS);
                let mut list = List::new(&mut claim.params, &mut claim.log, Place::Params, limits.params);
                let items = Some(&mut claim.implied_items);
                map.next_value_seed(ListSeed { context, list: &mut list, items })?;
                list.close();
                true
            }
            Some(Field::UserProperties) => {
                claim.user_properties.clear();
                let max = limits.user_properties;
                let mut list = List::new(&mut claim.user_properties, &mut claim.log, Place::UserProperties, max);
                map.next_value_seed(ListSeed { context, list: &mut list, items: None })?;
                list.close();
                true
            }
            Some(Field::Items) => {
                map.next_value_seed(ItemsSeed { context, items: &mut claim.items, log: &mut claim.log })?;
                true
            }
            Some(
                field @ (Field::PrivacyInfo
                | Field::AppInfo
                | Field::Ecommerce
                | Field::Page
                | Field::Session
                | Field::ClientHints),
            ) => map.next_value_seed(ObjectSeed { context, field, claim })?,
            Some(field) if field.is_override() => map.next_value_seed(ObjectSeed { context, field, claim })?,
            Some(Field::OfBrowser) => {
                let value = map.next_value_seed(context)?;
                claim.take_of_browser(key, value);
                true
            }
            // Around events these mean something; inside one they are as unknown as any other.
            Some(Field::Events | Field::NonPersonalizedAds | Field::ValidationBehavior) => {
                claim.log.remark(RemarkKind::UnknownField, key, key);
                map.next_value_seed(Skip(context))?;
                true
            }
            Some(Field::Ignored) | None => {
                map.next_value_seed(Skip(context))?;
                true
            }
            Some(field) => claim.take(field, map.next_value_seed(context)?),
        };
        if !taken {
            self.claim.log.violate(key, Code::ValueInvalid, format_args!("`{key}` has the wrong type"));
        }
        Ok(())
    }

    /// The claim, complete.
    pub(in crate::collect) fn finish(mut self) -> Claim<'t> {
        self.claim.settle();
        self.claim
    }
}

/// Reads a field that is an object of scalars; `false` when it is something else.
struct ObjectSeed<'r, 'c, 't> {
    context: Context<'r>,
    field: Field,
    claim: &'c mut Claim<'t>,
}

impl<'de> DeserializeSeed<'de> for ObjectSeed<'_, '_, 'de> {
    type Value = bool;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<bool, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for ObjectSeed<'_, '_, 'de> {
    type Value = bool;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }
    fn visit_unit<R>(self) -> Result<bool, R> {
        Ok(true)
    }
    every_scalar!(bool, |self| false);
    fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<bool, A::Error> {
        Skip(self.context).visit_seq(seq)?;
        Ok(false)
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<bool, A::Error> {
        let ObjectSeed { context, field, claim } = self;
        let context = context.enter()?;
        if field == Field::ClientHints {
            claim.read_hints(context, &mut map)?;
            return Ok(true);
        }
        while let Some(key) = map.next_key_seed(Key)? {
            if field == Field::Ecommerce && key == "items" {
                map.next_value_seed(ItemsSeed { context, items: &mut claim.implied_items, log: &mut claim.log })?;
                continue;
            }
            if field == Field::Device && key == "web_info" {
                if !map.next_value_seed(ObjectSeed { context, field: Field::WebInfo, claim })? {
                    claim.log.violate("device.web_info", Code::ValueInvalid, "`web_info` has the wrong type");
                }
                continue;
            }
            let value = map.next_value_seed(context)?;
            let taken = match field.is_override() {
                true => claim.take_override(field, &key, value, context.limits),
                false => claim.take_member(field, &key, value),
            };
            if !taken {
                let (object, member) = (field.object_name(), echo(&key));
                let message = format_args!("`{member}` has the wrong type");
                claim.log.violate(format_args!("{object}.{member}"), Code::ValueInvalid, message);
            }
        }
        Ok(true)
    }
}

/// Reads one event. What is no object is a claim too: one that says so.
#[derive(Clone, Copy)]
pub(in crate::collect) struct ClaimSeed<'r>(pub(in crate::collect) Context<'r>);

/// A claim that consists of one violation.
pub(in crate::collect) fn no_object() -> Claim<'static> {
    let mut claim = Claim::default();
    claim.log.violate("", Code::ValueInvalid, "an event must be an object");
    claim
}

impl<'de> DeserializeSeed<'de> for ClaimSeed<'_> {
    type Value = Claim<'de>;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Claim<'de>, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for ClaimSeed<'_> {
    type Value = Claim<'de>;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an event")
    }
    fn visit_unit<R>(self) -> Result<Claim<'de>, R> {
        Ok(no_object())
    }
    every_scalar!(Claim<'de>, |self| no_object());
    fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<Claim<'de>, A::Error> {
        Skip(self.0).visit_seq(seq)?;
        Ok(no_object())
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Claim<'de>, A::Error> {
        let context = self.0.enter()?;
        let mut fields = Fields::new(context);
        while let Some(key) = map.next_key_seed(Key)? {
            let field = fields.recognise(&key);
            fields.read(field, &key, context, &mut map)?;
        }
        Ok(fields.finish())
    }
}

//! One JSON document of any shape: an event, an array of events, or an object with `events` and common fields.

use std::{cell::Cell, fmt};

use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};

use crate::collect::{
    Caller, Claim, Code, Limits, Refusal,
    read::{ClaimSeed, Context, Field, Fields, Key, Scalar, Skip, every_scalar, no_object},
    text::quote_huge_numbers,
};

/// What a document holds.
#[derive(Default)]
pub(super) struct Parsed<'t> {
    pub(super) claims: Vec<Claim<'t>>,
    pub(super) single: bool,
    pub(super) enforce: bool,
    /// Events beyond the limit, counted only.
    pub(super) beyond: usize,
    /// Repeating the common fields in each event would make a small body a large one; it was not done.
    pub(super) swollen: bool,
}

impl<'t> Parsed<'t> {
    fn single(claim: Claim<'t>) -> Parsed<'t> {
        Parsed { claims: vec![claim], single: true, ..Parsed::default() }
    }

    fn into_owned(self) -> Parsed<'static> {
        let Parsed { claims, single, enforce, beyond, swollen } = self;
        Parsed { claims: claims.into_iter().map(Claim::into_owned).collect(), single, enforce, beyond, swollen }
    }
}

/// Why there is nothing to read.
pub(super) enum Failure {
    /// Objects and lists inside each other, beyond the limit.
    TooDeep,
    /// Something follows the document.
    Trailing,
    /// No JSON.
    Malformed(serde_json::Error),
}

impl Failure {
    /// What the client is told.
    pub(super) fn refusal(self, limits: &Limits) -> Refusal {
        match self {
            Failure::TooDeep => Refusal::TooDeep(limits.depth),
            Failure::Trailing => Refusal::MalformedJson("something follows after the JSON value".into()),
            Failure::Malformed(error) => Refusal::MalformedJson(error.to_string()),
        }
    }
}

/// Reads one document.
pub(super) fn parse<'t>(text: &'t str, caller: Caller, limits: &Limits) -> Result<Parsed<'t>, Failure> {
    match parse_once(text, caller, limits) {
        // serde_json has no kind for it, but its sentence is fixed by its own tests.
        Err(Failure::Malformed(error)) if error.to_string().starts_with("number out of range") => {
            match quote_huge_numbers(text) {
                Some(text) => parse_once(&text, caller, limits).map(Parsed::into_owned),
                None => Err(Failure::Malformed(error)),
            }
        }
        other => other,
    }
}

fn parse_once<'t>(text: &'t str, caller: Caller, limits: &Limits) -> Result<Parsed<'t>, Failure> {
    let too_deep = Cell::new(false);
    let mut deserializer = serde_json::Deserializer::from_str(text);
    match RootSeed(Context::new(limits, caller, &too_deep)).deserialize(&mut deserializer) {
        Ok(parsed) => deserializer.end().map(|()| parsed).map_err(|_| Failure::Trailing),
        Err(_) if too_deep.get() => Err(Failure::TooDeep),
        Err(error) => Err(Failure::Malformed(error)),
    }
}

/// Reads a document of any shape.
#[derive(Clone, Copy)]
struct RootSeed<'r>(Context<'r>);

impl<'de> DeserializeSeed<'de> for RootSeed<'_> {
    type Value = Parsed<'de>;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Parsed<'de>, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for RootSeed<'_> {
    type Value = Parsed<'de>;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an event or a list of events")
    }
    fn visit_unit<R>(self) -> Result<Parsed<'de>, R> {
        Ok(Parsed::single(no_object()))
    }
    every_scalar!(Parsed<'de>, |self| Parsed::single(no_object()));

    fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<Parsed<'de>, A::Error> {
        let mut parsed = Parsed::default();
        read_events(self.0.enter()?, seq, &mut parsed)?;
        Ok(parsed)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Parsed<'de>, A::Error> {
        let context = self.0.enter()?;
        let mut fields = Fields::new(context);
        let mut parsed = Parsed::default();
        let mut measurement_protocol = false;
        while let Some(key) = map.next_key_seed(Key)? {
            let field = fields.recognise(&key);
            match field {
                Some(Field::Events) => {
                    parsed.claims.clear();
                    parsed.beyond = 0;
                    let events = EventsSeed { context, parsed: &mut parsed };
                    if !map.next_value_seed(events)? {
                        fields.claim.log.violate("events", Code::ValueInvalid, "`events` must be an array");
                    }
                }
                Some(Field::NonPersonalizedAds) => {
                    let denied = matches!(map.next_value_seed(context)?, Scalar::Bool(true));
                    fields.claim.consent.note_non_personalized_ads(denied);
                }
                Some(Field::ValidationBehavior) => {
                    let behavior = map.next_value_seed(context)?;
                    parsed.enforce = matches!(&behavior, Scalar::Text(name) if name == "ENFORCE_RECOMMENDATIONS");
                }
                field => {
                    measurement_protocol |= key == "client_id";
                    fields.read(field, &key, context, &mut map)?;
                }
            }
        }
        if !fields.saw(Field::Events) {
            return Ok(Parsed { claims: vec![fields.finish()], single: true, ..parsed });
        }
        let common = fields.finish();
        if common.weight().saturating_mul(parsed.claims.len()) > context.limits.expanded() {
            parsed.swollen = true;
            return Ok(parsed);
        }
        for claim in &mut parsed.claims {
            claim.default_to(&common);
            if measurement_protocol {
                claim.rename_session_id();
            }
        }
        if parsed.claims.is_empty() && !common.log.violations.is_empty() {
            parsed.claims.push(common); // `events` is no array: say so
        }
        Ok(parsed)
    }
}

/// Reads the value of `events`; `false` when it is no array.
struct EventsSeed<'r, 'p, 't> {
    context: Context<'r>,
    parsed: &'p mut Parsed<'t>,
}

impl<'de> DeserializeSeed<'de> for EventsSeed<'_, '_, 'de> {
    type Value = bool;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<bool, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for EventsSeed<'_, '_, 'de> {
    type Value = bool;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array of events")
    }
    fn visit_unit<R>(self) -> Result<bool, R> {
        Ok(false)
    }
    every_scalar!(bool, |self| false);

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<bool, A::Error> {
        Skip(self.context).visit_map(map)?;
        Ok(false)
    }
    fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<bool, A::Error> {
        read_events(self.context.enter()?, seq, self.parsed)?;
        Ok(true)
    }
}

/// Reads events up to the limit and counts the others.
fn read_events<'de, A: SeqAccess<'de>>(
    context: Context<'_>,
    mut seq: A,
    parsed: &mut Parsed<'de>,
) -> Result<(), A::Error> {
    while parsed.claims.len() < context.limits.events {
        match seq.next_element_seed(ClaimSeed(context))? {
            Some(claim) => parsed.claims.push(claim),
            None => return Ok(()),
        }
    }
    while seq.next_element_seed(Skip(context))?.is_some() {
        parsed.beyond += 1;
    }
    Ok(())
}

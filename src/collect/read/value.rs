//! The value of a parameter, in the forms contract and clients know: a typed union, a bare scalar, anything.

use std::{borrow::Cow, fmt, fmt::Write};

use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};

use super::{Context, Key, Scalar, Skip, scalar::float_text};
use crate::{collect::Code, schema::proto::event};

/// How an object is to be understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// `{"string_value": ..}` with one member per type.
    Union,
    /// Any object; it is kept as compact JSON.
    Json,
    /// A Measurement Protocol user property, `{"value": .., "timestamp_micros": ..}`; a union is understood as well.
    Property,
}

/// A value, and what is to be said about it.
#[derive(Debug, Default)]
pub(super) struct Typed<'t> {
    pub(super) value: event::Value<'t>,
    /// Members set.
    pub(super) members: u8,
    /// `set_timestamp_micros` of a user property.
    pub(super) set_at: Option<i64>,
    /// The integer member did not hold an integer, its value went to `double_value`.
    pub(super) int_to_double: bool,
    /// The first member with a value it cannot have.
    pub(super) fault: Option<(&'static str, Code)>,
}

impl<'t> Typed<'t> {
    fn text(text: impl Into<Cow<'t, str>>) -> Typed<'t> {
        Typed { value: event::Value::text(text), members: 1, ..Typed::default() }
    }

    /// A scalar whose JSON type decides.
    fn flat(scalar: Scalar<'t>) -> Typed<'t> {
        let mut typed = Typed { members: 1, ..Typed::default() };
        match scalar {
            Scalar::Int(int) => typed.value.int_value = Some(int),
            Scalar::Unsigned(int) => typed.value.double_value = Some(int as f64),
            Scalar::Float(float) => typed.value.double_value = Some(float),
            Scalar::Bool(bool) => typed.value.string_value = Some(if bool { "true" } else { "false" }.into()),
            Scalar::Text(text) => typed.value.string_value = Some(text),
            Scalar::Null | Scalar::Array | Scalar::Object => typed.members = 0,
        }
        typed
    }

    /// One member of a union.
    fn take(&mut self, member: &'static str, scalar: Scalar<'t>) {
        let taken = match member {
            _ if scalar == Scalar::Null => return,
            "string_value" => return self.take_text(scalar),
            "int_value" => self.take_int(&scalar),
            "float_value" => finite(&scalar).map(|number| self.value.float_value = Some(number)),
            _ => finite(&scalar).map(|number| self.value.double_value = Some(number)),
        };
        if taken.is_some() {
            self.members += 1;
            return;
        }
        // What was quoted because no double can hold it, see `text`.
        let infinite = matches!(&scalar, Scalar::Text(text) if text.trim().parse().is_ok_and(f64::is_infinite));
        let code = if infinite { Code::ValueOutOfBounds } else { Code::ValueInvalid };
        self.fault = self.fault.or(Some((member, code)));
    }

    fn take_text(&mut self, scalar: Scalar<'t>) {
        match scalar.into_text() {
            Ok(text) => {
                self.value.string_value = text;
                self.members += 1;
            }
            Err(_) => self.fault = self.fault.or(Some(("string_value", Code::ValueInvalid))),
        }
    }

    fn take_int(&mut self, scalar: &Scalar<'_>) -> Option<()> {
        if let Ok(Some(int)) = scalar.int() {
            self.value.int_value = Some(int);
        } else {
            self.value.double_value = Some(finite(scalar)?);
            self.int_to_double = true;
        }
        Some(())
    }
}

fn finite(scalar: &Scalar<'_>) -> Option<f64> {
    scalar.number().ok().flatten()
}

/// Reads a [`Typed`].
#[derive(Clone, Copy)]
pub(super) struct ValueSeed<'r> {
    pub(super) context: Context<'r>,
    pub(super) form: Form,
}

impl<'de> DeserializeSeed<'de> for ValueSeed<'_> {
    type Value = Typed<'de>;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Typed<'de>, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for ValueSeed<'_> {
    type Value = Typed<'de>;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }
    fn visit_unit<E>(self) -> Result<Typed<'de>, E> {
        Ok(Typed::default())
    }
    fn visit_bool<E>(self, bool: bool) -> Result<Typed<'de>, E> {
        Ok(Typed::flat(Scalar::Bool(bool)))
    }
    fn visit_i64<E>(self, int: i64) -> Result<Typed<'de>, E> {
        Ok(Typed::flat(Scalar::Int(int)))
    }
    fn visit_u64<E>(self, int: u64) -> Result<Typed<'de>, E> {
        Ok(Typed::flat(i64::try_from(int).map_or(Scalar::Unsigned(int), Scalar::Int)))
    }
    fn visit_f64<E>(self, float: f64) -> Result<Typed<'de>, E> {
        Ok(Typed::flat(Scalar::Float(float)))
    }
    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Typed<'de>, E> {
        Ok(Typed::text(text))
    }
    fn visit_str<E>(self, text: &str) -> Result<Typed<'de>, E> {
        Ok(Typed::text(text.to_owned()))
    }

    /// Scalars are joined by commas; anything deeper is kept as JSON.
    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Typed<'de>, A::Error> {
        let context = self.context.enter()?;
        let (mut json, mut joined, mut nested) = (String::from("["), String::new(), false);
        let mut first = true;
        loop {
            let mut element = String::new();
            let seed = Json { context, out: &mut element };
            let Some(scalar) = seq.next_element_seed(seed)? else { break };
            if !std::mem::take(&mut first) {
                json.push(',');
                joined.push(',');
            }
            json.push_str(&element);
            match scalar {
                Scalar::Array | Scalar::Object => nested = true,
                scalar => joined.push_str(scalar.into_text().ok().flatten().as_deref().unwrap_or_default()),
            }
        }
        json.push(']');
        Ok(if first { Typed::default() } else { Typed::text(if nested { json } else { joined }) })
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Typed<'de>, A::Error> {
        if self.form == Form::Json {
            let mut json = String::new();
            Json { context: self.context, out: &mut json }.visit_map(map)?;
            return Ok(Typed::text(json));
        }
        let context = self.context.enter()?;
        let mut typed = Typed::default();
        while let Some(key) = map.next_key_seed(Key)? {
            let member = match &*key {
                "string_value" => "string_value",
                "int_value" => "int_value",
                "float_value" => "float_value",
                "double_value" => "double_value",
                "set_timestamp_micros" | "timestamp_micros" => {
                    typed.set_at = map.next_value_seed(context)?.int().ok().flatten();
                    continue;
                }
                "value" if self.form == Form::Property => {
                    let value = map.next_value_seed(ValueSeed { context, form: Form::Json })?;
                    typed = Typed { set_at: typed.set_at, ..value };
                    continue;
                }
                _ => {
                    map.next_value_seed(Skip(context))?;
                    continue;
                }
            };
            typed.take(member, map.next_value_seed(context)?);
        }
        Ok(typed)
    }
}

/// Writes any value to `out` as compact JSON, and says what it was.
struct Json<'r, 'o> {
    context: Context<'r>,
    out: &'o mut String,
}

impl Json<'_, '_> {
    fn quote<E: serde::de::Error>(&mut self, text: &str) -> Result<(), E> {
        let quoted = serde_json::to_string(text).map_err(E::custom)?;
        self.out.push_str(&quoted);
        Ok(())
    }
}

impl<'de> DeserializeSeed<'de> for Json<'_, '_> {
    type Value = Scalar<'de>;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Scalar<'de>, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Json<'_, '_> {
    type Value = Scalar<'de>;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }
    fn visit_unit<E>(self) -> Result<Scalar<'de>, E> {
        self.out.push_str("null");
        Ok(Scalar::Null)
    }
    fn visit_bool<E>(self, bool: bool) -> Result<Scalar<'de>, E> {
        self.out.push_str(if bool { "true" } else { "false" });
        Ok(Scalar::Bool(bool))
    }
    fn visit_i64<E: serde::de::Error>(self, int: i64) -> Result<Scalar<'de>, E> {
        write!(self.out, "{int}").map_err(E::custom)?;
        Ok(Scalar::Int(int))
    }
    fn visit_u64<E: serde::de::Error>(self, int: u64) -> Result<Scalar<'de>, E> {
        write!(self.out, "{int}").map_err(E::custom)?;
        Ok(Scalar::Unsigned(int))
    }
    fn visit_f64<E>(self, float: f64) -> Result<Scalar<'de>, E> {
        self.out.push_str(&float_text(float));
        Ok(Scalar::Float(float))
    }
    fn visit_str<E: serde::de::Error>(mut self, text: &str) -> Result<Scalar<'de>, E> {
        self.quote(text)?;
        Ok(Scalar::Text(text.to_owned().into()))
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Scalar<'de>, A::Error> {
        let context = self.context.enter()?;
        let mut before = '[';
        loop {
            let start = self.out.len();
            self.out.push(before);
            if seq.next_element_seed(Json { context, out: &mut *self.out })?.is_none() {
                if before == ',' {
                    self.out.truncate(start);
                }
                break;
            }
            before = ',';
        }
        self.out.push(']');
        Ok(Scalar::Array)
    }
    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<Scalar<'de>, A::Error> {
        let context = self.context.enter()?;
        let mut before = '{';
        while let Some(key) = map.next_key_seed(Key)? {
            self.out.push(before);
            self.quote(&key)?;
            self.out.push(':');
            map.next_value_seed(Json { context, out: &mut *self.out })?;
            before = ',';
        }
        if before == '{' {
            self.out.push('{');
        }
        self.out.push('}');
        Ok(Scalar::Object)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::cell::Cell;

    use super::*;
    use crate::collect::{Caller, limits::LimitsConfig};

    fn read(json: &str, form: Form) -> Typed<'_> {
        let (limits, too_deep) = (LimitsConfig::default().resolve(), Cell::new(false));
        let seed = ValueSeed { context: Context::new(&limits, Caller::Ordinary, &too_deep), form };
        seed.deserialize(&mut serde_json::Deserializer::from_str(json)).unwrap()
    }

    #[track_caller]
    fn check(json: &str, form: Form, expected: &str) {
        let typed = read(json, form);
        let event::Value { string_value, int_value, float_value, double_value } = typed.value;
        let mut shown = vec![];
        shown.extend(string_value.map(|text| format!("s:{text}")));
        shown.extend(int_value.map(|int| format!("i:{int}")));
        shown.extend(float_value.map(|number| format!("f:{number}")));
        shown.extend(double_value.map(|number| format!("d:{number}")));
        shown.extend(typed.fault.map(|(member, code)| format!("{member} {code:?}")));
        shown.extend(typed.int_to_double.then(|| "int_to_double".to_owned()));
        assert_eq!(shown.join(" "), expected, "{json}");
    }

    #[test]
    fn unions_take_what_their_members_can_hold() {
        for (json, expected) in [
            (r#"{"string_value":"a"}"#, "s:a"),
            (r#"{"string_value":12}"#, "s:12"),
            (r#"{"string_value":true}"#, "s:true"),
            (r#"{"int_value":12}"#, "i:12"),
            (r#"{"int_value":"-12"}"#, "i:-12"),
            (r#"{"int_value":12.0}"#, "i:12"),
            (r#"{"int_value":1.5}"#, "d:1.5 int_to_double"),
            (r#"{"int_value":9223372036854775808}"#, "d:9223372036854776000 int_to_double"),
            (r#"{"int_value":"9223372036854775808"}"#, "d:9223372036854776000 int_to_double"),
            (r#"{"int_value":"many"}"#, "int_value ValueInvalid"),
            (r#"{"int_value":[1]}"#, "int_value ValueInvalid"),
            (r#"{"double_value":1}"#, "d:1"),
            (r#"{"double_value":"1.5"}"#, "d:1.5"),
            (r#"{"double_value":"NaN"}"#, "double_value ValueInvalid"),
            (r#"{"float_value":1.5}"#, "f:1.5"),
            (r#"{"string_value":null,"int_value":1}"#, "i:1"),
            (r#"{"string_value":"a","int_value":1}"#, "s:a i:1"),
            (r#"{"other":[{}]}"#, ""),
            (r#""bare""#, "s:bare"),
            ("7", "i:7"),
            ("null", ""),
        ] {
            check(json, Form::Union, expected);
        }
    }

    #[test]
    fn flat_values_keep_their_json_type() {
        for (json, expected) in [
            (r#""123""#, "s:123"),
            ("123", "i:123"),
            ("1.0", "d:1"),
            ("[1e308,1.5e-9]", "s:1e+308,1.5e-9"),
            ("-9223372036854775808", "i:-9223372036854775808"),
            ("9223372036854775808", "d:9223372036854776000"),
            ("false", "s:false"),
            (r#"["a", 1, true, null, 1.5]"#, "s:a,1,true,,1.5"),
            (r#"["a", {"b" : [ ]}]"#, r#"s:["a",{"b":[]}]"#),
            (r#"{"a" : {"b" : [1, 2.0, "\"", null]}, "c":{}}"#, r#"s:{"a":{"b":[1,2,"\"",null]},"c":{}}"#),
            ("[]", ""),
        ] {
            check(json, Form::Json, expected);
        }
    }

    #[test]
    fn properties_come_with_their_time() {
        check(r#"{"value":5,"timestamp_micros":"9"}"#, Form::Property, "i:5");
        assert_eq!(read(r#"{"timestamp_micros":9,"value":"x"}"#, Form::Property).set_at, Some(9));
        check(r#"{"string_value":"a","set_timestamp_micros":1}"#, Form::Property, "s:a");
    }
}

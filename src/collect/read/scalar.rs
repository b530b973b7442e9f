//! A JSON value seen from outside: scalars as they are, containers passed over.

use std::{borrow::Cow, fmt};

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::Context;

/// Lets a visitor give one answer to every scalar but null.
macro_rules! every_scalar {
    ($value:ty, |$self:ident| $answer:expr) => {
        fn visit_bool<R>($self, _: bool) -> Result<$value, R> {
            Ok($answer)
        }
        fn visit_i64<R>($self, _: i64) -> Result<$value, R> {
            Ok($answer)
        }
        fn visit_u64<R>($self, _: u64) -> Result<$value, R> {
            Ok($answer)
        }
        fn visit_f64<R>($self, _: f64) -> Result<$value, R> {
            Ok($answer)
        }
        fn visit_str<R>($self, _: &str) -> Result<$value, R> {
            Ok($answer)
        }
    };
}
pub(in crate::collect) use every_scalar;

/// Any JSON value; of an array or object only the fact remains.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs)]
pub enum Scalar<'a> {
    Null,
    Bool(bool),
    Int(i64),
    /// A whole number beyond `i64`.
    Unsigned(u64),
    Float(f64),
    Text(Cow<'a, str>),
    Array,
    Object,
}

/// The value is of no use here.
pub(in crate::collect) struct WrongType;

impl<'a> Scalar<'a> {
    /// Text as it is, numbers and booleans as JSON writes them; `None` for null.
    pub(in crate::collect) fn into_text(self) -> Result<Option<Cow<'a, str>>, WrongType> {
        Ok(Some(match self {
            Scalar::Text(text) => text,
            Scalar::Int(int) => int.to_string().into(),
            Scalar::Unsigned(int) => int.to_string().into(),
            Scalar::Float(float) => float_text(float).into(),
            Scalar::Bool(bool) => if bool { "true" } else { "false" }.into(),
            Scalar::Null => return Ok(None),
            Scalar::Array | Scalar::Object => return Err(WrongType),
        }))
    }

    /// Whole numbers, as number or decimal text; `None` for null.
    pub(in crate::collect) fn int(&self) -> Result<Option<i64>, WrongType> {
        match self {
            Scalar::Null => Ok(None),
            Scalar::Int(int) => Ok(Some(*int)),
            Scalar::Float(float) => integral(*float).map(Some).ok_or(WrongType),
            Scalar::Text(text) => text.trim().parse().map(Some).map_err(|_| WrongType),
            _ => Err(WrongType),
        }
    }

    /// Finite numbers, as number or numeric text; `None` for null.
    pub(in crate::collect) fn number(&self) -> Result<Option<f64>, WrongType> {
        match self {
            Scalar::Null => Ok(None),
            Scalar::Int(int) => Ok(Some(*int as f64)),
            Scalar::Unsigned(int) => Ok(Some(*int as f64)),
            Scalar::Float(float) => Ok(Some(*float)),
            Scalar::Text(text) => {
                text.trim().parse().ok().filter(|number: &f64| number.is_finite()).map(Some).ok_or(WrongType)
            }
            _ => Err(WrongType),
        }
    }
}

/// A double that is a whole number within `i64`.
pub(super) fn integral(float: f64) -> Option<i64> {
    const END: f64 = 9_223_372_036_854_775_808.0; // 2^63, the first double beyond i64
    (float.fract() == 0.0 && (-END..END).contains(&float)).then_some(float as i64)
}

/// A double as JavaScript would print it, or nearly: whole numbers without a point, large and small ones with an
/// exponent. (Written out, `1e308` would be sixty times as long as it came.)
pub(super) fn float_text(float: f64) -> String {
    match integral(float).filter(|int| int.unsigned_abs() < 1 << 53) {
        Some(int) => int.to_string(),
        None => serde_json::to_string(&float).unwrap_or_default(),
    }
}

/// Reads a [`Scalar`].
impl<'de> DeserializeSeed<'de> for Context<'_> {
    type Value = Scalar<'de>;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Scalar<'de>, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Context<'_> {
    type Value = Scalar<'de>;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }
    fn visit_unit<E>(self) -> Result<Scalar<'de>, E> {
        Ok(Scalar::Null)
    }
    fn visit_bool<E>(self, bool: bool) -> Result<Scalar<'de>, E> {
        Ok(Scalar::Bool(bool))
    }
    fn visit_i64<E>(self, int: i64) -> Result<Scalar<'de>, E> {
        Ok(Scalar::Int(int))
    }
    fn visit_u64<E>(self, int: u64) -> Result<Scalar<'de>, E> {
        Ok(i64::try_from(int).map_or(Scalar::Unsigned(int), Scalar::Int))
    }
    fn visit_f64<E>(self, float: f64) -> Result<Scalar<'de>, E> {
        Ok(Scalar::Float(float))
    }
    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Scalar<'de>, E> {
        Ok(Scalar::Text(Cow::Borrowed(text)))
    }
    fn visit_str<E>(self, text: &str) -> Result<Scalar<'de>, E> {
        Ok(Scalar::Text(Cow::Owned(text.to_owned())))
    }
    fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<Scalar<'de>, A::Error> {
        Skip(self).visit_seq(seq)?;
        Ok(Scalar::Array)
    }
    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Scalar<'de>, A::Error> {
        Skip(self).visit_map(map)?;
        Ok(Scalar::Object)
    }
}

/// Passes over any value, counting its depth.
#[derive(Clone, Copy)]
pub(in crate::collect) struct Skip<'r>(pub(in crate::collect) Context<'r>);

impl<'de> DeserializeSeed<'de> for Skip<'_> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Skip<'_> {
    type Value = ();
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }
    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }
    every_scalar!((), |self| ());
    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        let inside = Skip(self.0.enter()?);
        while seq.next_element_seed(inside)?.is_some() {}
        Ok(())
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let inside = Skip(self.0.enter()?);
        while map.next_key::<IgnoredAny>()?.is_some() {
            map.next_value_seed(inside)?;
        }
        Ok(())
    }
}

/// Reads the key of an object, borrowed where it has no escapes.
pub(in crate::collect) struct Key;

impl<'de> DeserializeSeed<'de> for Key {
    type Value = Cow<'de, str>;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Cow<'de, str>, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for Key {
    type Value = Cow<'de, str>;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }
    fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Cow<'de, str>, E> {
        Ok(Cow::Borrowed(text))
    }
    fn visit_str<E: Error>(self, text: &str) -> Result<Cow<'de, str>, E> {
        Ok(Cow::Owned(text.to_owned()))
    }
}

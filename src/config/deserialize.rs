//! A serde deserialiser over the tree, whose errors know the way to the value.
//!
//! The type that reads a scalar decides what it is: `123` is text for a `String` and a number for a `u16`. A key
//! without a value counts as not written.

use std::str::FromStr;

use serde::{
    Deserializer,
    de::{self, DeserializeSeed, IntoDeserializer, Unexpected, Visitor, value::MapAccessDeserializer},
    forward_to_deserialize_any,
};

use super::{
    fault::ReadError,
    tree::{Node, Step, Value},
};

/// Numbers read themselves from plain text.
macro_rules! number {
    ($($method:ident $visit:ident $type:ty,)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
            match &self.value {
                Value::Plain(text) => match text.parse::<$type>() {
                    Ok(number) => visitor.$visit(number),
                    Err(_) => Err(self.wrong(&visitor)),
                },
                _ => Err(self.wrong(&visitor)),
            }
        }
    )*};
}

impl<'de> Deserializer<'de> for &'de Node {
    type Error = ReadError;

    /// The type does not say what it wants: YAML's core schema decides.
    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        match &self.value {
            Value::Null | Value::Removed => visitor.visit_unit(),
            Value::Quoted(text) => visitor.visit_borrowed_str(text),
            Value::List(items) => visitor.visit_seq(Items { items: items.iter().enumerate(), left: items.len() }),
            Value::Map(entries) => visitor.visit_map(Entries::all(entries)),
            Value::Plain(text) => match text.as_str() {
                "true" | "True" | "TRUE" => visitor.visit_bool(true),
                "false" | "False" | "FALSE" => visitor.visit_bool(false),
                // A number in Rust's eyes only: YAML writes it with a dot in front.
                "inf" | "infinity" | "nan" | "NaN" => visitor.visit_borrowed_str(text),
                text => {
                    if let Some(number) = number(text) {
                        visitor.visit_u64(number)
                    } else if let Some(number) = number(text) {
                        visitor.visit_i64(number)
                    } else if let Some(number) = number(text) {
                        visitor.visit_f64(number)
                    } else {
                        visitor.visit_borrowed_str(text)
                    }
                }
            },
        }
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        match &self.value {
            // The spellings that the variables of the Python service had.
            Value::Plain(text) => match text.to_lowercase().as_str() {
                "true" | "yes" | "on" | "1" => visitor.visit_bool(true),
                "false" | "no" | "off" | "0" => visitor.visit_bool(false),
                _ => Err(self.wrong(&visitor)),
            },
            _ => Err(self.wrong(&visitor)),
        }
    }

    number! {
        deserialize_u8 visit_u8 u8, deserialize_u16 visit_u16 u16, deserialize_u32 visit_u32 u32,
        deserialize_u64 visit_u64 u64, deserialize_i8 visit_i8 i8, deserialize_i16 visit_i16 i16,
        deserialize_i32 visit_i32 i32, deserialize_i64 visit_i64 i64, deserialize_f32 visit_f32 f32,
        deserialize_f64 visit_f64 f64,
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        match self.text() {
            Some(text) => visitor.visit_borrowed_str(text),
            None => Err(self.wrong(&visitor)),
        }
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        self.deserialize_str(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        match &self.value {
            Value::Null => visitor.visit_none(),
            // An empty variable is the only way to say `nothing` in an environment file.
            Value::Plain(text) if text.is_empty() => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, ReadError> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        match &self.value {
            Value::List(_) => self.deserialize_any(visitor),
            _ => Err(self.wrong(&visitor)),
        }
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        match &self.value {
            Value::Map(_) => self.deserialize_any(visitor),
            _ => Err(self.wrong(&visitor)),
        }
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        keys: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, ReadError> {
        match &self.value {
            Value::Map(entries) => visitor.visit_map(Entries { keys: Some(keys), ..Entries::all(entries) }),
            _ => Err(self.wrong(&visitor)),
        }
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, ReadError> {
        match &self.value {
            Value::Plain(text) | Value::Quoted(text) => visitor.visit_enum(text.as_str().into_deserializer()),
            Value::Map(entries) => visitor.visit_enum(MapAccessDeserializer::new(Entries::all(entries))),
            _ => Err(self.wrong(&visitor)),
        }
    }

    fn deserialize_identifier<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        self.deserialize_str(visitor)
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        visitor.visit_unit()
    }

    forward_to_deserialize_any! { i128 u128 char bytes byte_buf unit unit_struct tuple tuple_struct }
}

/// A number that is written as it would be printed. A type that takes text as well would not get `007` or `1.10` back
/// otherwise.
fn number<T: FromStr + ToString>(text: &str) -> Option<T> {
    text.parse().ok().filter(|number: &T| number.to_string() == text)
}

impl Node {
    fn text(&self) -> Option<&str> {
        match &self.value {
            Value::Plain(text) | Value::Quoted(text) => Some(text),
            _ => None,
        }
    }

    fn unexpected(&self) -> Unexpected<'_> {
        match &self.value {
            Value::Null | Value::Removed => Unexpected::Unit,
            Value::Plain(text) | Value::Quoted(text) => Unexpected::Str(text),
            Value::List(_) => Unexpected::Seq,
            Value::Map(_) => Unexpected::Map,
        }
    }

    fn wrong<'de, V: Visitor<'de>>(&self, visitor: &V) -> ReadError {
        de::Error::invalid_type(self.unexpected(), visitor)
    }
}

/// The elements that are left of a list; faults carry the number as written.
struct Items<'de> {
    items: std::iter::Enumerate<std::slice::Iter<'de, Node>>,
    left: usize,
}

impl<'de> de::SeqAccess<'de> for Items<'de> {
    type Error = ReadError;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, ReadError> {
        match self.items.find(|(_, item)| item.value != Value::Removed) {
            Some((index, item)) => seed.deserialize(item).map(Some).map_err(|error| error.inside(Step::Index(index))),
            None => Ok(None),
        }
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.left)
    }
}

/// The entries of a map; those of known keys without a value are passed over.
struct Entries<'de> {
    entries: std::slice::Iter<'de, (String, Node)>,
    keys: Option<&'static [&'static str]>,
    current: Option<&'de (String, Node)>,
}

impl<'de> Entries<'de> {
    fn all(entries: &'de [(String, Node)]) -> Entries<'de> {
        Entries { entries: entries.iter(), keys: None, current: None }
    }
}

impl<'de> de::MapAccess<'de> for Entries<'de> {
    type Error = ReadError;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, ReadError> {
        let keys = self.keys;
        let unwritten = |(key, node): &(String, Node)| {
            node.value == Value::Null && keys.is_some_and(|keys| keys.contains(&key.as_str()))
        };
        self.current = self.entries.find(|entry| !unwritten(entry));
        let Some((key, _)) = self.current else { return Ok(None) };
        let name: de::value::BorrowedStrDeserializer<'_, ReadError> = de::value::BorrowedStrDeserializer::new(key);
        seed.deserialize(name).map(Some).map_err(|error| error.inside(Step::Key(key.clone())))
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, ReadError> {
        let (key, node) = self.current.take().expect("serde asks for a value only after its key");
        seed.deserialize(node).map_err(|error| error.inside(Step::Key(key.clone())))
    }
}

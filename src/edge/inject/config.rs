//! Whether a route's pages get the tracking script, and for which stream.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error, de::Visitor};

/// `routes[].inject:` - `true`, `false`, or the stream that the pages' events go to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Inject {
    /// Pages pass as they are.
    Off,
    /// For the stream that the tracking script takes by itself.
    On,
    /// For this stream.
    Stream(String),
}

impl Serialize for Inject {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Inject::Off => serializer.serialize_bool(false),
            Inject::On => serializer.serialize_bool(true),
            Inject::Stream(id) => serializer.serialize_str(id),
        }
    }
}

impl<'de> Deserialize<'de> for Inject {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Inject, D::Error> {
        struct Either;

        impl Visitor<'_> for Either {
            type Value = Inject;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("`true`, `false` or the id of a stream")
            }

            fn visit_bool<E: Error>(self, on: bool) -> Result<Inject, E> {
                Ok(if on { Inject::On } else { Inject::Off })
            }

            fn visit_u64<E: Error>(self, id: u64) -> Result<Inject, E> {
                Ok(Inject::Stream(id.to_string()))
            }

            fn visit_i64<E: Error>(self, id: i64) -> Result<Inject, E> {
                self.visit_str(&id.to_string())
            }

            fn visit_str<E: Error>(self, id: &str) -> Result<Inject, E> {
                match id {
                    "" => Err(E::custom("`` is no stream; hint: say `true`, `false` or the id of a stream")),
                    id => Ok(Inject::Stream(id.to_owned())),
                }
            }
        }

        deserializer.deserialize_any(Either)
    }
}

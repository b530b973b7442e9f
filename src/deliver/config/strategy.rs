//! The kinds of destinations: `writers.strategy`.

use std::{fmt, str::FromStr};

use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{Error, SeqAccess, Visitor},
};

/// A kind of destination.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Strategy {
    /// A lake of Parquet files on this machine.
    Local,
    /// BigQuery's Storage Write API.
    Direct,
    /// A Pub/Sub topic.
    PubSub,
}

/// One or more destinations; written as a word or as a list of words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Strategies(pub Vec<Strategy>);

impl Default for Strategies {
    fn default() -> Strategies {
        Strategies(vec![Strategy::Local])
    }
}

impl Strategy {
    const ALL: [(&'static str, Strategy); 3] =
        [("local", Strategy::Local), ("direct", Strategy::Direct), ("pubsub", Strategy::PubSub)];
}

impl fmt::Display for Strategy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, _) = Strategy::ALL[*self as usize];
        f.write_str(name)
    }
}

impl FromStr for Strategy {
    type Err = String;

    fn from_str(text: &str) -> Result<Strategy, String> {
        let exact = Strategy::ALL.into_iter().find(|(name, _)| *name == text);
        exact.map(|(_, strategy)| strategy).ok_or_else(|| {
            let near = Strategy::ALL.into_iter().find(|(name, _)| strsim::damerau_levenshtein(name, text) <= 2);
            let hint = near.map(|(name, _)| format!("; did you mean `{name}`?")).unwrap_or_default();
            format!("`{text}` is none of `local`, `direct`, `pubsub`{hint}")
        })
    }
}

impl<'de> Deserialize<'de> for Strategy {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Strategy, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

impl Serialize for Strategy {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl Serialize for Strategies {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match &self.0[..] {
            [one] => one.serialize(serializer),
            many => many.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Strategies {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Strategies, D::Error> {
        struct OneOrMany;

        impl<'de> Visitor<'de> for OneOrMany {
            type Value = Strategies;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("`local`, `direct`, `pubsub`, or a list of them")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Strategies, E> {
                text.parse().map(|strategy| Strategies(vec![strategy])).map_err(E::custom)
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Strategies, A::Error> {
                let mut strategies = Vec::new();
                while let Some(strategy) = list.next_element()? {
                    strategies.push(strategy);
                }
                Ok(Strategies(strategies))
            }
        }

        deserializer.deserialize_any(OneOrMany)
    }
}

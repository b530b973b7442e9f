//! Values of the configuration that are mostly one text, and a map when more has to be said: `path: /app`,
//! `path: {regex: "^/a"}`.

use std::{fmt, marker::PhantomData};

use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{Error, MapAccess, Visitor, value::MapAccessDeserializer},
};

use super::pattern::{PathPattern, Pattern, ValuePattern};
use crate::edge::upstream::{Balance, Protocol, UpstreamConfig, UpstreamTlsConfig, UpstreamUrl};

/// A value that is mostly one text, and a map with one key when it is more.
pub trait TextOrMap: Sized {
    /// The map.
    type Map: Serialize + for<'de> Deserialize<'de>;
    /// For the error when it is neither.
    const EXPECTED: &str;
    /// From the text; the error says what is wrong with it.
    fn from_text(text: &str) -> Result<Self, String>;
    /// From the map; the error says what is wrong with it. An empty one has to be taken: it is what is left of a map
    /// whose only key was wrong, and `check` speaks of those that were empty from the beginning.
    fn from_map(map: Self::Map) -> Result<Self, String>;
    /// The text, or the map when text is not enough.
    fn written(&self) -> Result<String, Self::Map>;
}

/// Writes it.
pub fn serialize<T: TextOrMap, S: Serializer>(value: &T, serializer: S) -> Result<S::Ok, S::Error> {
    match value.written() {
        Ok(text) => serializer.serialize_str(&text),
        Err(map) => map.serialize(serializer),
    }
}

/// Reads it.
pub fn deserialize<'de, T: TextOrMap, D: Deserializer<'de>>(deserializer: D) -> Result<T, D::Error> {
    struct Either<T>(PhantomData<T>);

    impl<'de, T: TextOrMap> Visitor<'de> for Either<T> {
        type Value = T;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str(T::EXPECTED)
        }

        fn visit_str<E: Error>(self, text: &str) -> Result<T, E> {
            T::from_text(text).map_err(E::custom)
        }

        // Texts that look like something else.
        fn visit_u64<E: Error>(self, number: u64) -> Result<T, E> {
            self.visit_str(&number.to_string())
        }

        fn visit_i64<E: Error>(self, number: i64) -> Result<T, E> {
            self.visit_str(&number.to_string())
        }

        fn visit_f64<E: Error>(self, number: f64) -> Result<T, E> {
            self.visit_str(&number.to_string())
        }

        fn visit_bool<E: Error>(self, flag: bool) -> Result<T, E> {
            self.visit_str(&flag.to_string())
        }

        fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<T, A::Error> {
            T::from_map(T::Map::deserialize(MapAccessDeserializer::new(map))?).map_err(A::Error::custom)
        }
    }

    deserializer.deserialize_any(Either(PhantomData))
}

macro_rules! as_text_or_map {
    ($($name:ty),*) => {$(
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serialize(self, serializer)
            }
        }
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<$name, D::Error> {
                deserialize(deserializer)
            }
        }
    )*};
}
as_text_or_map!(PathPattern, ValuePattern, UpstreamConfig, Balance);

/// A path that is no prefix.
#[derive(Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PathMap {
    #[serde(skip_serializing_if = "Option::is_none")]
    exact: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    regex: Option<Pattern>,
}

impl TextOrMap for PathPattern {
    type Map = PathMap;
    const EXPECTED: &str = "a path such as `/app`, `{exact: /app}` or `{regex: \"^/app\"}`";

    fn from_text(text: &str) -> Result<PathPattern, String> {
        Ok(PathPattern::Prefix(text.into()))
    }

    fn from_map(map: PathMap) -> Result<PathPattern, String> {
        match (map.exact, map.regex) {
            (Some(_), Some(_)) => Err("says both `exact` and `regex`".into()),
            (Some(path), None) => Ok(PathPattern::Exact(path.into())),
            (None, Some(pattern)) => Ok(PathPattern::Regex(pattern)),
            (None, None) => Ok(PathPattern::Exact("".into())),
        }
    }

    fn written(&self) -> Result<String, PathMap> {
        match self {
            PathPattern::Prefix(text) => Ok(text.to_string()),
            PathPattern::Exact(text) => Err(PathMap { exact: Some(text.to_string()), regex: None }),
            PathPattern::Regex(pattern) => Err(PathMap { exact: None, regex: Some(pattern.clone()) }),
        }
    }
}

/// A condition that is no text.
#[derive(Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ValueMap {
    #[serde(skip_serializing_if = "Option::is_none")]
    regex: Option<Pattern>,
    #[serde(skip_serializing_if = "Option::is_none")]
    present: Option<bool>,
}

impl TextOrMap for ValuePattern {
    type Map = ValueMap;
    const EXPECTED: &str = "a value, `{regex: \"^a\"}` or `{present: true}`";

    fn from_text(text: &str) -> Result<ValuePattern, String> {
        Ok(ValuePattern::Exact(text.into()))
    }

    fn from_map(map: ValueMap) -> Result<ValuePattern, String> {
        match (map.regex, map.present) {
            (Some(_), Some(_)) => Err("says both `regex` and `present`".into()),
            (Some(pattern), None) => Ok(ValuePattern::Regex(pattern)),
            (None, Some(there)) => Ok(ValuePattern::Present(there)),
            (None, None) => Ok(ValuePattern::Nothing),
        }
    }

    fn written(&self) -> Result<String, ValueMap> {
        match self {
            ValuePattern::Exact(text) => Ok(text.clone()),
            ValuePattern::Regex(pattern) => Err(ValueMap { regex: Some(pattern.clone()), present: None }),
            ValuePattern::Present(there) => Err(ValueMap { regex: None, present: Some(*there) }),
            ValuePattern::Nothing => Err(ValueMap::default()),
        }
    }
}

/// A server of which more has to be said than where it is.
#[derive(Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct UpstreamMap {
    url: Option<UpstreamUrl>,
    #[serde(skip_serializing_if = "Option::is_none")]
    weight: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    protocol: Option<Protocol>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tls: Option<UpstreamTlsConfig>,
}

impl TextOrMap for UpstreamConfig {
    type Map = UpstreamMap;
    const EXPECTED: &str = "a URL such as `http://127.0.0.1:3000`, or `{url: \"http://127.0.0.1:3000\", weight: 2}`";

    fn from_text(text: &str) -> Result<UpstreamConfig, String> {
        text.parse()
    }

    fn from_map(map: UpstreamMap) -> Result<UpstreamConfig, String> {
        Ok(UpstreamConfig {
            weight: map.weight.unwrap_or(1),
            protocol: map.protocol.unwrap_or_default(),
            tls: map.tls.unwrap_or_default(),
            ..UpstreamConfig::at(map.url.unwrap_or_else(UpstreamUrl::nowhere))
        })
    }

    fn written(&self) -> Result<String, UpstreamMap> {
        let plain = UpstreamConfig::at(self.url.clone());
        if *self == plain {
            return Ok(self.url.to_string());
        }
        Err(UpstreamMap {
            url: Some(self.url.clone()),
            weight: (self.weight != plain.weight).then_some(self.weight),
            protocol: (self.protocol != plain.protocol).then_some(self.protocol),
            tls: (self.tls != plain.tls).then(|| self.tls.clone()),
        })
    }
}

/// A way to balance that needs a word more.
#[derive(Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BalanceMap {
    cookie: String,
}

impl TextOrMap for Balance {
    type Map = BalanceMap;
    const EXPECTED: &str = "`round_robin`, `least_connections`, `ip_hash` or `{cookie: server}`";

    fn from_text(text: &str) -> Result<Balance, String> {
        match text {
            "round_robin" => Ok(Balance::RoundRobin),
            "least_connections" => Ok(Balance::LeastConnections),
            "ip_hash" => Ok(Balance::IpHash),
            _ => Err(format!("`{text}` is no way to balance; hint: say {}", Balance::EXPECTED)),
        }
    }

    fn from_map(map: BalanceMap) -> Result<Balance, String> {
        Ok(Balance::Cookie(map.cookie))
    }

    fn written(&self) -> Result<String, BalanceMap> {
        match self {
            Balance::RoundRobin => Ok("round_robin".into()),
            Balance::LeastConnections => Ok("least_connections".into()),
            Balance::IpHash => Ok("ip_hash".into()),
            Balance::Cookie(cookie) => Err(BalanceMap { cookie: cookie.clone() }),
        }
    }
}

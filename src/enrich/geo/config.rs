//! `geo:` - where a visitor's place comes from, and what is kept of the address.

use std::{fmt, path::PathBuf};

use http::HeaderName;
use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{Error, IntoDeserializer, MapAccess, Visitor, value::MapAccessDeserializer},
};

use crate::{enrich::IpMask, problem::Problem};

/// `geo:` - where a visitor's place comes from, and what is kept of the address.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct GeoConfig {
    /// Whose headers tell the visitor's place. They count only on requests from trusted proxies.
    pub headers: GeoHeaders,
    /// Path of a database in MaxMind's format, asked for what the headers leave out; empty: none.
    pub database: PathBuf,
    /// What `rs_info.ip` keeps of the client's address.
    pub ip: IpMask,
}

impl GeoConfig {
    /// Reports what needs judgement.
    pub fn check(&self, path: &str, problems: &mut Vec<Problem>) {
        if self.headers == GeoHeaders::Custom(CustomHeaders::default()) {
            let problem = Problem::new(format!("{path}.headers"), "names no header");
            problems.push(problem.hint("say `{country: X-My-Country}`, the name of a provider, or `none`"));
        }
    }
}

/// Whose headers tell the place of a visitor. (Fastly has no names of its own: its places are variables, which VCL
/// writes into headers of one's choice.)
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum GeoHeaders {
    /// `X-Client-Geo-Country`, `-Region` (or `-State`) and `-City`: custom request headers of a Google Cloud load
    /// balancer with the variables `client_region`, `client_region_subdivision` and `client_city`.
    #[default]
    Gcp,
    /// `X-Appengine-Country`, `-Region` and `-City`.
    AppEngine,
    /// `CF-IPCountry`, and what the managed transform "add visitor location headers" adds.
    Cloudflare,
    /// `CloudFront-Viewer-*`.
    CloudFront,
    /// `X-Vercel-IP-*`.
    Vercel,
    /// Headers that the operator names.
    Custom(CustomHeaders),
    /// No header.
    None,
}

/// Headers of one's own: codes or English names.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CustomHeaders {
    /// ISO 3166-1 code, or the name.
    #[serde(with = "header")]
    pub country: Option<HeaderName>,
    /// ISO 3166-2 code, with or without the country's before it, or the name.
    #[serde(with = "header")]
    pub region: Option<HeaderName>,
    /// The name.
    #[serde(with = "header")]
    pub city: Option<HeaderName>,
}

/// The providers as the configuration names them.
#[derive(Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Provider {
    Gcp,
    AppEngine,
    Cloudflare,
    CloudFront,
    Vercel,
    None,
}

impl From<Provider> for GeoHeaders {
    fn from(provider: Provider) -> GeoHeaders {
        match provider {
            Provider::Gcp => GeoHeaders::Gcp,
            Provider::AppEngine => GeoHeaders::AppEngine,
            Provider::Cloudflare => GeoHeaders::Cloudflare,
            Provider::CloudFront => GeoHeaders::CloudFront,
            Provider::Vercel => GeoHeaders::Vercel,
            Provider::None => GeoHeaders::None,
        }
    }
}

impl Serialize for GeoHeaders {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let provider = match self {
            GeoHeaders::Custom(own) => return own.serialize(serializer),
            GeoHeaders::Gcp => Provider::Gcp,
            GeoHeaders::AppEngine => Provider::AppEngine,
            GeoHeaders::Cloudflare => Provider::Cloudflare,
            GeoHeaders::CloudFront => Provider::CloudFront,
            GeoHeaders::Vercel => Provider::Vercel,
            GeoHeaders::None => Provider::None,
        };
        provider.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for GeoHeaders {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<GeoHeaders, D::Error> {
        struct NameOrMap;

        impl<'de> Visitor<'de> for NameOrMap {
            type Value = GeoHeaders;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("the name of a provider, or a map of header names")
            }

            fn visit_str<E: Error>(self, name: &str) -> Result<GeoHeaders, E> {
                Provider::deserialize(name.into_deserializer()).map(GeoHeaders::from)
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<GeoHeaders, A::Error> {
                CustomHeaders::deserialize(MapAccessDeserializer::new(map)).map(GeoHeaders::Custom)
            }
        }

        deserializer.deserialize_any(NameOrMap)
    }
}

/// A header's name; empty: none.
mod header {
    use super::*;

    pub fn serialize<S: Serializer>(name: &Option<HeaderName>, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(name.as_ref().map_or("", HeaderName::as_str))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<HeaderName>, D::Error> {
        let text = String::deserialize(deserializer)?;
        if text.is_empty() {
            return Ok(None);
        }
        let name = HeaderName::from_bytes(text.as_bytes());
        name.map(Some).map_err(|_| D::Error::custom(format!("`{text}` is not a header such as `X-My-Country`")))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_those_of_a_provider_or_ones_own() {
        for name in ["gcp", "appengine", "cloudflare", "cloudfront", "vercel", "none"] {
            let headers: GeoHeaders = serde_json::from_value(name.into()).unwrap();
            assert_eq!(serde_json::to_value(&headers).unwrap(), name);
        }
        let own: GeoHeaders = serde_json::from_str(r#"{"country":"X-My-Country"}"#).unwrap();
        let written = serde_json::to_value(&own).unwrap();
        assert_eq!(written["country"], "x-my-country");
        assert_eq!(serde_json::from_value::<GeoHeaders>(written).unwrap(), own);
        let wrong = |json: &str| serde_json::from_str::<GeoHeaders>(json).unwrap_err().to_string();
        assert!(wrong(r#"{"city":"no header"}"#).contains("`no header` is not a header"));
        assert!(wrong(r#"{"town":"x"}"#).contains("unknown field `town`"));
        assert!(wrong(r#""fastly""#).contains("unknown variant `fastly`"));
        assert!(wrong("1").contains("the name of a provider, or a map"));
    }

    #[test]
    fn a_map_without_headers_is_a_problem() {
        let mut problems = Vec::new();
        GeoConfig::default().check("geo", &mut problems);
        assert_eq!(problems, []);
        let headers = GeoHeaders::Custom(CustomHeaders::default());
        GeoConfig { headers, ..GeoConfig::default() }.check("geo", &mut problems);
        assert_eq!(problems[0].path, "geo.headers");
    }
}

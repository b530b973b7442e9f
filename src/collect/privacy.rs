//! What a browser itself says about being followed.

use http::{HeaderMap, HeaderName, header};
use serde::{Deserialize, Serialize};

/// Global Privacy Control.
const SEC_GPC: HeaderName = HeaderName::from_static("sec-gpc");

/// `privacy:`
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PrivacyConfig {
    /// Whether `Sec-GPC: 1` (Global Privacy Control) and `DNT: 1` count like denied consent, whatever the page reports:
    /// no cookie is set and rows have no visitor and no session.
    pub honor_gpc: bool,
}

impl Default for PrivacyConfig {
    fn default() -> PrivacyConfig {
        PrivacyConfig { honor_gpc: true }
    }
}

impl PrivacyConfig {
    /// Name of the header by which the browser objects that sent these, when that counts.
    pub fn objection(&self, headers: &HeaderMap) -> Option<&'static str> {
        let says_so = |name: &HeaderName| headers.get(name).is_some_and(|value| value == "1");
        if !self.honor_gpc {
            return None;
        }
        [(SEC_GPC, "sec-gpc"), (header::DNT, "dnt")]
            .into_iter()
            .find_map(|(header, name)| says_so(&header).then_some(name))
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn only_a_one_is_an_objection() {
        for (name, value, objects) in
            [("sec-gpc", "1", true), ("dnt", "1", true), ("dnt", "0", false), ("sec-gpc", "", false), ("x", "1", false)]
        {
            let headers =
                HeaderMap::from_iter([(name.parse().expect("these are names"), HeaderValue::from_static(value))]);
            assert_eq!(PrivacyConfig::default().objection(&headers), objects.then_some(name), "{name}: {value}");
            assert_eq!(PrivacyConfig { honor_gpc: false }.objection(&headers), None);
        }
    }
}

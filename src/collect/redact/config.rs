//! YAML `collect.redact`.

use std::fmt;

use serde::{
    Deserialize, Deserializer, Serialize,
    de::{self, IgnoredAny, MapAccess, SeqAccess, Visitor, value::MapAccessDeserializer},
};

use super::parameters::Name;
use crate::problem::Problem;

/// What is taken out of an event before anything else happens to it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RedactConfig {
    /// Parameters of addresses whose values nobody should keep. Letter case, `-` and `_` do not matter.
    pub parameters: Vec<String>,
    /// Whether e-mail addresses are taken out, wherever they stand.
    pub emails: bool,
}

/// Secrets, and what names a person. Not here: `id`, `name`, `user`, `code`, `key`, `state`, `sid`, which sites use for
/// products, colours and vouchers as well.
#[rustfmt::skip]
const PARAMETERS: &[&str] = &[
    "email", "email_address", "user_email", "mail", "mail_address", "recipient",
    "token", "access_token", "refresh_token", "id_token", "auth_token", "api_token", "session_token", "reset_token",
    "login_token", "csrf_token", "xsrf_token", "security_token", "jwt", "bearer", "otp", "magic_link",
    "password", "passwd", "passwort", "passphrase", "pass", "pwd", "secret", "client_secret", "api_key", "api_secret",
    "private_key", "auth", "authorization", "auth_code", "credential", "credentials", "saml_request", "saml_response",
    "signature", "x_amz_signature", "x_amz_credential", "x_amz_security_token", "x_goog_signature", "x_goog_credential",
    "session", "session_id", "session_key", "phpsessid", "jsessionid", "aspsessionid",
    "phone", "phone_number", "telephone", "tel", "mobile_number", "msisdn", "whatsapp",
    "username", "first_name", "last_name", "full_name", "surname", "given_name", "family_name",
    "birthday", "birth_date", "date_of_birth", "dob", "street", "street_address",
    "ssn", "social_security_number", "passport", "tax_id", "iban", "card_number", "credit_card", "cvv", "cvc",
];

impl Default for RedactConfig {
    fn default() -> RedactConfig {
        RedactConfig { parameters: PARAMETERS.iter().map(|name| (*name).to_owned()).collect(), emails: true }
    }
}

impl RedactConfig {
    /// Nothing is taken out.
    pub fn off() -> RedactConfig {
        RedactConfig { parameters: Vec::new(), emails: false }
    }

    /// Reports names that no parameter can have.
    pub fn check(&self, path: &str, problems: &mut Vec<Problem>) {
        for (index, parameter) in self.parameters.iter().enumerate() {
            if Name::of(parameter).is_none() {
                let problem = Problem::new(format!("{path}.parameters[{index}]"), format!("`{parameter}` is no name"));
                problems.push(problem.hint("up to 32 letters and digits, and any `-` and `_`"));
            }
        }
    }
}

impl<'de> Deserialize<'de> for RedactConfig {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<RedactConfig, D::Error> {
        deserializer.deserialize_any(OffOrMembers)
    }
}

/// `off`, an empty list, or a map.
struct OffOrMembers;

impl<'de> Visitor<'de> for OffOrMembers {
    type Value = RedactConfig;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("`off`, or a map of `parameters` and `emails`")
    }

    fn visit_unit<E: de::Error>(self) -> Result<RedactConfig, E> {
        Ok(RedactConfig::default())
    }

    fn visit_bool<E: de::Error>(self, on: bool) -> Result<RedactConfig, E> {
        Ok(if on { RedactConfig::default() } else { RedactConfig::off() })
    }

    fn visit_str<E: de::Error>(self, word: &str) -> Result<RedactConfig, E> {
        match word {
            "on" => Ok(RedactConfig::default()),
            "off" => Ok(RedactConfig::off()),
            _ => Err(E::invalid_value(de::Unexpected::Str(word), &self)),
        }
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<RedactConfig, A::Error> {
        match list.next_element::<IgnoredAny>()? {
            None => Ok(RedactConfig::off()),
            Some(_) => Err(de::Error::invalid_type(de::Unexpected::Seq, &self)),
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<RedactConfig, A::Error> {
        #[derive(Deserialize)]
        #[serde(default, deny_unknown_fields)]
        #[derive(Default)]
        struct Members {
            parameters: Option<Vec<String>>,
            emails: Option<bool>,
        }
        let members = Members::deserialize(MapAccessDeserializer::new(map))?;
        let defaults = RedactConfig::default();
        Ok(RedactConfig {
            parameters: members.parameters.unwrap_or(defaults.parameters),
            emails: members.emails.unwrap_or(defaults.emails),
        })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn it_can_be_switched_off_as_a_whole_and_in_parts() {
        let read = |json: &str| serde_json::from_str::<RedactConfig>(json);
        for off in [r#""off""#, "false", "[]", r#"{"parameters":[],"emails":false}"#] {
            assert_eq!(read(off).unwrap(), RedactConfig::off(), "{off}");
        }
        for on in [r#""on""#, "true", "null", "{}"] {
            assert_eq!(read(on).unwrap(), RedactConfig::default(), "{on}");
        }
        assert!(!read(r#"{"emails":false}"#).unwrap().parameters.is_empty());
        assert!(read(r#"{"parameters":["a"]}"#).unwrap().emails);
        for wrong in [r#""of""#, r#"["token"]"#, "1", r#"{"email":true}"#] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn names_are_checked() {
        let mut problems = Vec::new();
        RedactConfig::default().check("collect.redact", &mut problems);
        assert_eq!(problems, []);
        let parameters = ["", "-_", "a b", "user[mail]", "ü"].map(str::to_owned).into();
        RedactConfig { parameters, emails: true }.check("collect.redact", &mut problems);
        assert_eq!(problems.len(), 5);
        assert_eq!(problems[3].path, "collect.redact.parameters[3]");
    }
}

//! Taking secrets and persons out of what clients send, before anything looks at it, cuts it, notes it or keeps it:
//! what is gone here reaches no row, no dead letter and no log. (Cut first, an e-mail address might lose its end and
//! no longer look like one.)
//!
//! Texts are parameters, user properties and items. Where the site chose the column itself (`user_id`), it stands.

mod config;
mod emails;
mod escaped;
mod parameters;

use std::borrow::Cow;

pub use config::RedactConfig;

use self::parameters::Parameters;
use super::{Claim, validate::item_texts};
use crate::schema::proto::event::{Param, Value};

/// What is taken out.
#[derive(Clone, Debug)]
pub struct Redaction {
    parameters: Parameters,
    emails: bool,
}

impl Redaction {
    /// That of a checked configuration.
    pub fn new(config: &RedactConfig) -> Redaction {
        Redaction { parameters: Parameters::new(&config.parameters), emails: config.emails }
    }

    /// Takes it out of every text of a claim. Nothing is allocated where there is nothing to take out.
    pub fn apply(&self, claim: &mut Claim<'_>) {
        for param in &mut claim.params {
            self.param(param);
        }
        for property in &mut claim.user_properties {
            if let Some(text) = property.value.as_mut().and_then(|value| value.string_value.as_mut()) {
                self.text(text, "");
            }
        }
        for item in &mut claim.items {
            for param in &mut item.item_params {
                self.param(param);
            }
            for text in item_texts(item).into_iter().flatten() {
                self.text(text, "");
            }
        }
    }

    /// The address of a page or a request without it.
    pub fn address<'t>(&self, text: &'t str) -> Cow<'t, str> {
        let mut text = Cow::Borrowed(text);
        self.text(&mut text, "page_location");
        text
    }

    fn param(&self, param: &mut Param<'_>) {
        let Param { key, value: Some(Value { string_value: Some(text), .. }) } = param else { return };
        self.text(text, key.as_deref().unwrap_or_default());
    }

    fn text(&self, text: &mut Cow<'_, str>, key: &str) {
        if is_address(key, text)
            && let Some(redacted) = self.parameters.redact(text)
        {
            *text = Cow::Owned(redacted);
        }
        if self.emails
            && let Some(redacted) = emails::redact(text)
        {
            *text = Cow::Owned(redacted);
        }
    }
}

/// Whether a text is the address of something: by its name, or because a query or fragment follows its first word.
fn is_address(key: &str, text: &str) -> bool {
    if matches!(key, "page_location" | "page_referrer" | "page_path" | "link_url") {
        return true;
    }
    let text = text.trim_ascii_start();
    memchr::memchr2(b'?', b'#', text.as_bytes()).is_some_and(|mark| !text[..mark].contains(char::is_whitespace))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_known_by_its_name_or_its_query() {
        for (key, text) in [
            ("page_location", "nonsense"),
            ("link_url", "/p;token=x"),
            ("any", "https://example.com/?a=b"),
            ("any", " /path?a=b c"),
            ("any", "?a=b"),
            ("any", "#a=b"),
        ] {
            assert!(is_address(key, text), "{key}: {text}");
        }
        for text in ["", "is token=1 a secret?", "a = b", "token=1", "who are you? a=b"] {
            assert!(!is_address("any", text), "{text}");
        }
    }
}

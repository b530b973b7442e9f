//! What the user allowed, in every spelling clients use.

use std::borrow::Cow;

use super::{Code, Log, RemarkKind, echo, read::Scalar};
use crate::schema::proto::event;

/// One answer to one question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Grant {
    /// Allowed.
    Yes,
    /// Denied.
    No,
    /// Asked, not answered.
    Unset,
}

impl Grant {
    /// As in the row.
    pub const fn label(self) -> &'static str {
        match self {
            Grant::Yes => "Yes",
            Grant::No => "No",
            Grant::Unset => "Unset",
        }
    }

    fn read(value: &Scalar<'_>) -> Option<Grant> {
        let spelled = |text: &str, words: [&str; 4]| words.iter().any(|word| text.eq_ignore_ascii_case(word));
        match value {
            Scalar::Bool(true) | Scalar::Int(1) => Some(Grant::Yes),
            Scalar::Bool(false) | Scalar::Int(0) => Some(Grant::No),
            Scalar::Text(text) if spelled(text, ["yes", "granted", "true", "1"]) => Some(Grant::Yes),
            Scalar::Text(text) if spelled(text, ["no", "denied", "false", "0"]) => Some(Grant::No),
            Scalar::Text(text) if text.eq_ignore_ascii_case("unset") => Some(Grant::Unset),
            _ => None,
        }
    }
}

/// The consent that applied to an event; `None` where nothing was said.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Consent {
    /// Cookies and identifiers for measurement.
    pub analytics_storage: Option<Grant>,
    /// Cookies and identifiers for advertising.
    pub ads_storage: Option<Grant>,
    /// User data may go to Google for advertising.
    pub ad_user_data: Option<Grant>,
    /// Personalised advertising.
    pub ad_personalization: Option<Grant>,
    /// The identifier is derived by the server and not kept by the client.
    pub uses_transient_token: Option<Grant>,
}

impl Consent {
    /// Whether the user denied cookies and identifiers: then there is no visitor and no session.
    pub fn denies_identity(&self) -> bool {
        self.analytics_storage == Some(Grant::No)
    }

    /// The browser objects to being followed: what was granted or left open counts as denied.
    pub fn object(&mut self) {
        self.analytics_storage = Some(Grant::No);
        self.ads_storage = Some(Grant::No);
        self.ad_user_data = Some(Grant::No);
        self.ad_personalization = Some(Grant::No);
    }

    /// Takes over one member of the claimed object. An answer nobody can read ends the event: guessing it would be
    /// worse than losing it.
    pub(super) fn take(&mut self, member: Cow<'_, str>, value: &Scalar<'_>, log: &mut Log) {
        let slot = match &*member {
            "analytics_storage" => &mut self.analytics_storage,
            "ad_storage" | "ads_storage" => &mut self.ads_storage,
            "ad_user_data" => &mut self.ad_user_data,
            "ad_personalization" => &mut self.ad_personalization,
            "uses_transient_token" => &mut self.uses_transient_token,
            other => {
                let other = echo(other);
                return log.remark(RemarkKind::UnknownField, other, format_args!("privacy_info.{other}"));
            }
        };
        if *value == Scalar::Null {
            return;
        }
        *slot = Grant::read(value);
        if slot.is_none() {
            log.violate(
                format_args!("privacy_info.{member}"),
                Code::ValueInvalid,
                "neither a yes (`true`, `1`, `\"Yes\"`, `\"granted\"`) nor a no, nor `\"Unset\"`",
            );
        }
    }

    /// Measurement Protocol's older way to deny personalised advertising; an explicit signal counts more.
    pub(super) fn note_non_personalized_ads(&mut self, denied: bool) {
        if denied && self.ad_personalization.is_none() {
            self.ad_personalization = Some(Grant::No);
        }
    }

    pub(super) fn default_to(&mut self, common: &Consent) {
        self.analytics_storage = self.analytics_storage.or(common.analytics_storage);
        self.ads_storage = self.ads_storage.or(common.ads_storage);
        self.ad_user_data = self.ad_user_data.or(common.ad_user_data);
        self.ad_personalization = self.ad_personalization.or(common.ad_personalization);
        self.uses_transient_token = self.uses_transient_token.or(common.uses_transient_token);
    }

    /// Column `privacy_info`. As in Google's export, the token member is `No` where nothing else is known.
    pub fn privacy_info(&self) -> event::PrivacyInfo<'static> {
        event::PrivacyInfo {
            analytics_storage: text(self.analytics_storage),
            ads_storage: text(self.ads_storage),
            uses_transient_token: text(self.uses_transient_token.or(Some(Grant::No))),
        }
    }

    /// Column `rs_info.consent`; null where neither signal was given.
    pub fn signals(&self) -> Option<event::Consent<'static>> {
        (self.ad_user_data.is_some() || self.ad_personalization.is_some()).then(|| event::Consent {
            ad_user_data: text(self.ad_user_data),
            ad_personalization: text(self.ad_personalization),
        })
    }
}

fn text(grant: Option<Grant>) -> Option<Cow<'static, str>> {
    grant.map(|grant| grant.label().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_is_understood() {
        for (value, expected) in [
            (Scalar::Bool(true), Some(Grant::Yes)),
            (Scalar::Int(0), Some(Grant::No)),
            (Scalar::Text("GRANTED".into()), Some(Grant::Yes)),
            (Scalar::Text("Denied".into()), Some(Grant::No)),
            (Scalar::Text("no".into()), Some(Grant::No)),
            (Scalar::Text("unset".into()), Some(Grant::Unset)),
            (Scalar::Text("maybe".into()), None),
            (Scalar::Int(2), None),
            (Scalar::Object, None),
        ] {
            assert_eq!(Grant::read(&value), expected, "{value:?}");
        }
    }

    #[test]
    fn an_unreadable_answer_ends_the_event() {
        let (mut consent, mut log) = (Consent::default(), Log::default());
        consent.take("analytics_storage".into(), &Scalar::Text("maybe".into()), &mut log);
        assert_eq!(log.violations[0].path, "privacy_info.analytics_storage");
        consent.take("analytics_storage".into(), &Scalar::Bool(false), &mut log);
        assert!(consent.denies_identity());
    }
}

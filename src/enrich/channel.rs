//! The default channel group of a source, after the rules GA4 publishes (help article 9756891).
//!
//! The rules are tried from the top, letter case does not matter, the first that holds decides. Groups that need the
//! data of a linked ad account (Cross-network by network type, Display by format) are only reached by campaign names.

use super::{
    referrers::{Kind, Sites},
    url,
};

/// A default channel group, in the order of the rules.
#[allow(missing_docs)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Channel {
    Direct,
    CrossNetwork,
    PaidShopping,
    PaidSearch,
    PaidSocial,
    PaidVideo,
    Display,
    PaidOther,
    OrganicShopping,
    OrganicSocial,
    OrganicVideo,
    OrganicSearch,
    AiAssistant,
    Referral,
    Email,
    Affiliates,
    Audio,
    Sms,
    MobilePush,
    Unassigned,
}

impl Channel {
    /// Its name in GA4.
    pub const fn name(self) -> &'static str {
        match self {
            Channel::Direct => "Direct",
            Channel::CrossNetwork => "Cross-network",
            Channel::PaidShopping => "Paid Shopping",
            Channel::PaidSearch => "Paid Search",
            Channel::PaidSocial => "Paid Social",
            Channel::PaidVideo => "Paid Video",
            Channel::Display => "Display",
            Channel::PaidOther => "Paid Other",
            Channel::OrganicShopping => "Organic Shopping",
            Channel::OrganicSocial => "Organic Social",
            Channel::OrganicVideo => "Organic Video",
            Channel::OrganicSearch => "Organic Search",
            Channel::AiAssistant => "AI Assistant",
            Channel::Referral => "Referral",
            Channel::Email => "Email",
            Channel::Affiliates => "Affiliates",
            Channel::Audio => "Audio",
            Channel::Sms => "SMS",
            Channel::MobilePush => "Mobile Push Notifications",
            Channel::Unassigned => "Unassigned",
        }
    }

    /// Number of its rule, counted in the order they are tried; `None` when none holds.
    pub const fn rule(self) -> Option<u8> {
        match self {
            Channel::Unassigned => None,
            rule => Some(rule as u8 + 1),
        }
    }

    /// The group of a source, medium and campaign; the empty text stands for absent.
    pub fn of(sites: &Sites, source: &str, medium: &str, campaign: &str) -> Channel {
        let (source, medium, campaign) = (url::lower(source), url::lower(medium), url::lower(campaign));
        let (source, medium) = (source.as_ref(), medium.as_ref());
        let paid = is_paid(medium);
        let kind = sites.find_source(source);
        let shopping = kind == Some(Kind::Shopping) || names_shopping(&campaign);

        match (source, medium) {
            ("(direct)", "(none)" | "(not set)") | ("", "") => Channel::Direct,
            _ if has(&campaign, b"cross-network") => Channel::CrossNetwork,
            _ if paid && shopping => Channel::PaidShopping,
            _ if paid && kind == Some(Kind::Search) => Channel::PaidSearch,
            _ if paid && kind == Some(Kind::Social) => Channel::PaidSocial,
            _ if paid && kind == Some(Kind::Video) => Channel::PaidVideo,
            (_, "display" | "banner" | "expandable" | "interstitial" | "cpm") => Channel::Display,
            _ if paid => Channel::PaidOther,
            _ if shopping => Channel::OrganicShopping,
            _ if kind == Some(Kind::Social) || is_social(medium) => Channel::OrganicSocial,
            _ if kind == Some(Kind::Video) || has(medium, b"video") => Channel::OrganicVideo,
            _ if kind == Some(Kind::Search) || medium == "organic" => Channel::OrganicSearch,
            (_, "ai-assistant") => Channel::AiAssistant,
            // Assistants that decorate their links say `utm_source=chatgpt.com` and no medium.
            (_, "" | "(not set)") if kind == Some(Kind::Assistant) => Channel::AiAssistant,
            (_, "referral" | "app" | "link") => Channel::Referral,
            _ if is_email(source) || is_email(medium) => Channel::Email,
            (_, "affiliate") => Channel::Affiliates,
            (_, "audio") => Channel::Audio,
            (_, "sms") | ("sms", _) => Channel::Sms,
            ("firebase", _) => Channel::MobilePush,
            _ if is_push(medium) => Channel::MobilePush,
            _ => Channel::Unassigned,
        }
    }
}

/// `^(.*cp.*|ppc|retargeting|paid.*)$`
fn is_paid(medium: &str) -> bool {
    has(medium, b"cp") || medium == "ppc" || medium == "retargeting" || medium.starts_with("paid")
}

/// `^(.*(([^a-df-z]|^)shop|shopping).*)$`: `shop` as a word or after an `e`, so not `workshop`.
fn names_shopping(campaign: &str) -> bool {
    // Few campaigns have it.
    has(campaign, b"shop")
        && campaign.match_indices("shop").any(|(at, _)| {
            let before = campaign[..at].chars().next_back();
            before.is_none_or(|c| !c.is_ascii_lowercase() || c == 'e') || campaign[at..].starts_with("shopping")
        })
}

fn is_social(medium: &str) -> bool {
    matches!(medium, "social" | "social-network" | "social-media" | "sm" | "social network" | "social media")
}

fn is_email(text: &str) -> bool {
    matches!(text, "email" | "e-mail" | "e_mail" | "e mail")
}

fn is_push(medium: &str) -> bool {
    medium.ends_with("push") || has(medium, b"mobile") || has(medium, b"notification")
}

/// Whether a short text has this in it: the standard library's search costs more to begin than such a text to look at.
fn has<const N: usize>(text: &str, part: &[u8; N]) -> bool {
    text.as_bytes().windows(N).any(|window| window == part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_rule_has_a_case() {
        let sites = Sites::shipped();
        for (source, medium, campaign, expected) in [
            ("(direct)", "(none)", "", Channel::Direct),
            ("(direct)", "(not set)", "", Channel::Direct),
            ("", "", "", Channel::Direct),
            ("google", "cpc", "x cross-network y", Channel::CrossNetwork),
            ("google", "cpc", "Summer-Shop", Channel::PaidShopping),
            ("google", "cpc", "workshop", Channel::PaidSearch),
            ("google", "cpc", "eshop", Channel::PaidShopping),
            ("amazon", "cpc", "", Channel::PaidShopping),
            ("google", "CPC", "", Channel::PaidSearch),
            ("bing", "ppc", "", Channel::PaidSearch),
            ("facebook", "paid-social", "", Channel::PaidSocial),
            ("instagram.com", "cpm", "", Channel::PaidSocial),
            ("youtube", "cpm", "", Channel::PaidVideo),
            ("partner.example", "cpm", "", Channel::Display),
            ("partner.example", "banner", "", Channel::Display),
            ("criteo", "retargeting", "", Channel::PaidOther),
            ("partner.example", "cpc", "", Channel::PaidOther),
            ("news", "email", "shopping week", Channel::OrganicShopping),
            ("ebay.de", "referral", "", Channel::OrganicShopping),
            ("l.facebook.com", "referral", "(referral)", Channel::OrganicSocial),
            ("partner.example", "Social-Media", "", Channel::OrganicSocial),
            ("youtube.com", "referral", "", Channel::OrganicVideo),
            ("partner.example", "online-video", "", Channel::OrganicVideo),
            ("google", "organic", "(organic)", Channel::OrganicSearch),
            ("anything", "organic", "", Channel::OrganicSearch),
            ("google", "", "", Channel::OrganicSearch),
            ("chatgpt.com", "ai-assistant", "(ai-assistant)", Channel::AiAssistant),
            ("chatgpt.com", "", "", Channel::AiAssistant),
            ("partner.example", "referral", "", Channel::Referral),
            ("mail.google.com", "referral", "", Channel::Referral),
            ("partner.example", "link", "", Channel::Referral),
            ("news", "email", "", Channel::Email),
            ("e-mail", "newsletter", "", Channel::Email),
            ("partner.example", "affiliate", "", Channel::Affiliates),
            ("podcast", "audio", "", Channel::Audio),
            ("sms", "text", "", Channel::Sms),
            ("x.example", "sms", "", Channel::Sms),
            ("firebase", "x", "", Channel::MobilePush),
            ("app", "web-push", "", Channel::MobilePush),
            ("news", "newsletter", "", Channel::Unassigned),
        ] {
            assert_eq!(Channel::of(&sites, source, medium, campaign), expected, "{source} / {medium} / {campaign}");
        }
    }
}

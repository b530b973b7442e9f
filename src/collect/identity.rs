//! Who sent the hit: the visitor cookie read, adopted from Google's, or made.
//!
//! An identifier made here has Google's shape, `<31-bit random>.<unix seconds>`, so `user_pseudo_id` cannot be told
//! from GA4's and its second half says when the visitor was first seen.

use std::borrow::Cow;

use http::HeaderValue;

use super::{
    Caller, Claim, CookieConfig, Hit, Micros,
    validate::{ga_client_id, is_pseudo_id},
};

/// How visitors are told apart.
#[derive(Clone, Debug)]
pub struct Identity {
    cookie: CookieConfig,
}

/// The sender of one hit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Visitor<'h> {
    /// Value for column `user_pseudo_id`.
    id: Cow<'h, str>,
    source: IdSource,
    /// The identifier outranks what events claim.
    known: bool,
}

/// Where the identifier of an event comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IdSource {
    /// Our cookie.
    Cookie,
    /// Google Analytics' cookie.
    Ga,
    /// The event claims it.
    Claim,
    /// Made for this request.
    Minted,
}

/// Which of the hit's random numbers becomes part of a new identifier.
const RANDOM: u64 = 0;

impl Identity {
    /// Reads and writes this cookie.
    pub fn new(cookie: CookieConfig) -> Identity {
        Identity { cookie }
    }

    /// Our cookie; else, unless that is switched off, the client id of a Google Analytics cookie, so that rows join with
    /// an export of the same site; else a new identifier. What a trusted caller claims outranks the cookie.
    pub fn visitor<'h>(&self, hit: &Hit<'h>, caller: Caller) -> Visitor<'h> {
        if let Some(id) = hit.cookie(&self.cookie.name).filter(|id| is_pseudo_id(id)) {
            return Visitor { id: Cow::Borrowed(id), source: IdSource::Cookie, known: caller == Caller::Ordinary };
        }
        if self.cookie.adopt_ga
            && let Some(id) = hit.cookie("_ga").and_then(ga_client_id)
        {
            return Visitor { id: Cow::Borrowed(id), source: IdSource::Ga, known: false };
        }
        // From 1: Google's identifiers are positive.
        let random = hit.random(RANDOM) % 0x7fff_ffff + 1;
        let id = Cow::Owned(format!("{random}.{}", hit.received_at / 1_000_000));
        Visitor { id, source: IdSource::Minted, known: false }
    }

    /// Name of our cookie.
    pub fn cookie(&self) -> &str {
        &self.cookie.name
    }

    /// The header that makes the client keep `id`, or keep it for longer. `spans`: not only for this host.
    pub fn remember(&self, id: &str, hit: &Hit<'_>, spans: bool) -> Option<HeaderValue> {
        self.cookie.set(id, hit.host, spans, hit.secure)
    }
}

impl Visitor<'_> {
    /// The identifier that goes with an event; `None` when the user denied identification.
    pub fn id<'v>(&'v self, claim: &'v Claim<'_>) -> Option<&'v str> {
        Some(self.choose(claim)?.0)
    }

    /// Where that identifier comes from.
    pub fn source(&self, claim: &Claim<'_>) -> Option<IdSource> {
        Some(self.choose(claim)?.1)
    }

    fn choose<'v>(&'v self, claim: &'v Claim<'_>) -> Option<(&'v str, IdSource)> {
        if claim.consent.denies_identity() {
            return None;
        }
        match &claim.user_pseudo_id {
            Some(claimed) if !self.known => Some((claimed, IdSource::Claim)),
            _ => Some((&self.id, self.source)),
        }
    }
}

/// When an identifier of Google's shape was made, unless that lies in the future or before such identifiers existed.
pub fn first_touch(id: &str, received_at: Micros) -> Option<Micros> {
    const EARLIEST: i64 = 1_000_000_000; // 2001
    const CLOCK_SKEW: i64 = 86_400;
    let dot = id.bytes().position(|byte| byte == b'.')?;
    let (random, seconds) = (&id[..dot], &id[dot + 1..]);
    let seconds: i64 = seconds.parse().ok()?;
    let plausible = (EARLIEST..=received_at / 1_000_000 + CLOCK_SKEW).contains(&seconds);
    (plausible && random.bytes().all(|byte| byte.is_ascii_digit())).then(|| seconds * 1_000_000)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use http::HeaderMap;

    use super::*;

    const NOW: Micros = 1_750_000_000_000_000;

    #[track_caller]
    fn check(cookies: &str, claimed: Option<&str>, expected: &str) {
        let mut headers = HeaderMap::new();
        headers.insert("cookie", cookies.parse().unwrap());
        let hit = Hit { received_at: NOW, ..Hit::with(&headers) };
        let claim = Claim { user_pseudo_id: claimed.map(Cow::Borrowed), ..Claim::default() };
        let visitor = Identity::new(CookieConfig::default()).visitor(&hit, Caller::Ordinary);
        assert_eq!(visitor.id(&claim), Some(expected), "{cookies}");
    }

    #[test]
    fn our_cookie_outranks_everything() {
        check("_ga=GA1.1.5.1600000000; __uid__=1.1700000000", Some("9.9"), "1.1700000000");
        check("__uid__=0b5f7c6e-8a1d-4c57", None, "0b5f7c6e-8a1d-4c57");
    }

    #[test]
    fn a_claimed_identifier_counts_where_no_cookie_came() {
        check("a=b", Some("app-1"), "app-1");
        check("_ga=GA1.1.5.1600000000", Some("app-1"), "app-1");
    }

    #[test]
    fn googles_cookie_is_adopted_whatever_its_version() {
        check("_ga=GA1.1.745846450.1644156613", None, "745846450.1644156613");
        check("x=y; _ga=GA1.3.5.1600000000", None, "5.1600000000");
        check("_ga=GA2.2-2.5.1600000000", None, "5.1600000000");
    }

    #[test]
    fn anything_else_gets_a_new_identifier_of_googles_shape() {
        let minted = {
            let hash =
                |text: &str| text.split_once('.').map(|(random, at)| (random.parse::<u32>().unwrap(), at.to_owned()));
            let headers = HeaderMap::new();
            let hit = Hit { received_at: NOW, ..Hit::with(&headers) };
            let visitor = Identity::new(CookieConfig::default()).visitor(&hit, Caller::Ordinary);
            let (random, at) = hash(&visitor.id).unwrap();
            assert!((1..=0x7fff_ffff).contains(&random));
            assert_eq!(at, "1750000000");
            visitor.id.into_owned()
        };
        for cookies in ["_ga=GA1.1.x.1600000000", "_ga=5.1600000000", "__uid__=", "__uid__=a b", "__uid__=\"1.2\"", ""]
        {
            check(cookies, None, &minted);
        }
    }

    #[test]
    fn the_first_touch_is_read_from_the_identifier() {
        assert_eq!(first_touch("5.1600000000", NOW), Some(1_600_000_000_000_000));
        for id in ["5.1900000000", "5.9223372036854775807", "5.16", "a.1600000000", "5.1600000000.1", "5"] {
            assert_eq!(first_touch(id, NOW), None, "{id}");
        }
    }
}

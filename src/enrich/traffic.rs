//! Where the visit came from: `collected_traffic_source`, `rs_info.click_ids`, `rs_info.channel_group`, and the
//! parameters `source`, `medium`, `campaign`, `term`, `content`, `campaign_id`, `gclid` and `srsltid`.
//!
//! Read from the query of `page_location` first, from `page_referrer` second, as GA4 collects them:
//!
//! 1. Any of utm_source, utm_medium, utm_campaign and utm_id: the visit is a campaign, and the `utm_*` values are the
//!    source. The referrer is not looked at. Assistants that decorate their links say `utm_source=chatgpt.com` and
//!    nothing else; they get the medium and campaign of an assistant.
//! 2. Only a click identifier of Google: GA4 leaves `manual_*` null and takes the names from the ad account. We do
//!    too, and say `google / cpc` in the channel group only.
//! 3. A referrer that is neither this site nor one of `traffic.ignore_referrers`, unless the parameter `ignore_referrer`
//!    says otherwise: the engine's name and `organic`, with the words searched for as far as the engine still sends
//!    them, an assistant's host and `ai-assistant`, any other host and `referral`.
//! 4. Nothing: a direct visit; every column stays null.
//!
//! Values keep their letter case. What the client or the wire protocol set already stands.

mod explain;

use std::{borrow::Cow, collections::HashSet, net::IpAddr, ops::ControlFlow, sync::Arc};

use super::{
    Enricher, Origins, TrafficConfig,
    channel::Channel,
    click_ids,
    referrers::{Kind, Known, Sites, parents},
    url,
};
use crate::{
    collect::{DropReason, Hit},
    schema::{
        Event,
        proto::event::{ClickIds, CollectedTrafficSource},
    },
};

/// Longest value kept, in bytes: GA4's own limit for a parameter is 100 characters, click identifiers reach 500.
const MAX_VALUE: usize = 1024;

/// Medium of a visit that an assistant sent.
const ASSISTANT: &str = "ai-assistant";

/// The step.
pub struct Traffic {
    sites: Arc<Sites>,
    /// Hosts that send nobody, such as those of payment providers.
    ignored: HashSet<String>,
}

impl Traffic {
    /// The step of this configuration.
    pub fn new(config: &TrafficConfig) -> Traffic {
        Traffic {
            sites: config.referrers.sites(),
            ignored: config.ignore_referrers.iter().map(|host| url::lower(host).into_owned()).collect(),
        }
    }
}

impl Enricher for Traffic {
    fn name(&self) -> &'static str {
        "traffic"
    }

    fn enrich<'h>(&self, hit: &'h Hit<'h>, event: &mut Event<'h>) -> ControlFlow<DropReason> {
        self.fill(hit, event);
        ControlFlow::Continue(())
    }

    fn explain(&self, hit: &Hit<'_>, before: &Event<'_>, after: &Event<'_>, origins: &mut Origins) {
        explain::explain(self, hit, before, after, origins);
    }
}

/// How the columns of a visit were found.
struct How<'e> {
    source: Source<'e>,
    channel: Option<(Channel, Basis)>,
}

/// What named the source.
enum Source<'e> {
    /// The query of the page, or the caller.
    Campaign,
    /// Only a source in the query, that of an assistant.
    Decorated,
    /// A click identifier of Google, which names none.
    Ad,
    /// Another site.
    Referrer { host: Cow<'e, str>, kind: Option<Kind> },
    /// Nothing.
    None(Silence<'e>),
}

/// Why a referrer is no source.
enum Silence<'e> {
    NoReferrer,
    AskedFor,
    NoHost,
    OwnSite(Cow<'e, str>),
    Ignored(Cow<'e, str>),
}

/// What the channel was judged by.
#[derive(Clone, Copy)]
enum Basis {
    Manual,
    Ad(&'static str, &'static str),
    FreeListing,
}

impl Traffic {
    /// Fills the columns, and tells how they were found.
    fn fill<'e>(&self, hit: &Hit<'_>, event: &mut Event<'e>) -> How<'e> {
        let mut collected = event.collected_traffic_source.take().unwrap_or_default();
        let mut ids = ClickIds::default();
        let location = event.text("page_location").unwrap_or_default();
        match &location {
            Cow::Borrowed(location) => read_query(url::query(location), &mut collected, &mut ids),
            // It was written with escapes.
            Cow::Owned(location) => {
                let (mut found, mut found_ids) = (collected, ids);
                read_query(url::query(location), &mut found, &mut found_ids);
                (collected, ids) = (found.into_owned(), found_ids.into_owned());
            }
        }

        let is_campaign = collected.manual_source.is_some()
            || collected.manual_medium.is_some()
            || collected.manual_campaign_name.is_some()
            || collected.manual_campaign_id.is_some();
        let is_ad =
            collected.gclid.is_some() || collected.dclid.is_some() || ids.gbraid.is_some() || ids.wbraid.is_some();
        let source = if self.is_decorated_by_assistant(&collected) {
            collected.manual_medium = Some(ASSISTANT.into());
            collected.manual_campaign_name = Some(in_brackets(ASSISTANT).into());
            Source::Decorated
        } else if is_campaign {
            Source::Campaign
        } else if is_ad {
            Source::Ad
        } else {
            match self.referral(hit, event, &location) {
                Ok(Referral { host, kind, source, medium, term }) => {
                    collected.manual_source = Some(source);
                    collected.manual_medium = Some(medium.into());
                    collected.manual_campaign_name = Some(in_brackets(medium).into());
                    if collected.manual_term.is_none() {
                        collected.manual_term = term;
                    }
                    Source::Referrer { host, kind }
                }
                Err(silence) => Source::None(silence),
            }
        };

        let channel = self.channel(&collected, &ids, is_campaign);
        if let Some((channel, _)) = channel {
            event.info_mut().channel_group = Some(channel.name().into());
        }
        if ids != ClickIds::default() {
            event.info_mut().click_ids = Some(ids);
        }
        if collected != CollectedTrafficSource::default() {
            push_params(event, &collected);
            event.collected_traffic_source = Some(collected);
        }
        How { source, channel }
    }
}

/// Fills what the query carries and nothing filled before. An empty value is no value.
fn read_query<'t>(query: &'t str, collected: &mut CollectedTrafficSource<'t>, ids: &mut ClickIds<'t>) {
    url::pairs(query).for_each(|(key, raw)| read_pair(key, raw, collected, ids));
}

#[inline]
fn read_pair<'t>(key: &str, raw: &'t str, collected: &mut CollectedTrafficSource<'t>, ids: &mut ClickIds<'t>) {
    let slot = match key {
        "utm_id" => &mut collected.manual_campaign_id,
        "utm_campaign" => &mut collected.manual_campaign_name,
        "utm_source" => &mut collected.manual_source,
        "utm_medium" => &mut collected.manual_medium,
        "utm_term" => &mut collected.manual_term,
        "utm_content" => &mut collected.manual_content,
        "utm_source_platform" => &mut collected.manual_source_platform,
        "utm_creative_format" => &mut collected.manual_creative_format,
        "utm_marketing_tactic" => &mut collected.manual_marketing_tactic,
        "gclid" => &mut collected.gclid,
        "dclid" => &mut collected.dclid,
        "srsltid" => &mut collected.srsltid,
        _ => {
            click_ids::take(ids, key, || value(raw));
            return;
        }
    };
    if slot.is_none() {
        *slot = Some(value(raw)).filter(|value| !value.is_empty());
    }
}

fn value(raw: &str) -> Cow<'_, str> {
    let text = url::decode(raw);
    if text.len() <= MAX_VALUE { text } else { url::part(text, |text| url::cut(text, MAX_VALUE)) }
}

/// A visit that another site sent.
struct Referral<'h> {
    host: Cow<'h, str>,
    kind: Option<Kind>,
    source: Cow<'h, str>,
    medium: &'static str,
    term: Option<Cow<'h, str>>,
}

impl Traffic {
    fn referral<'h>(&self, hit: &Hit<'_>, event: &Event<'h>, location: &str) -> Result<Referral<'h>, Silence<'h>> {
        let referrer = event.text("page_referrer").filter(|referrer| !referrer.is_empty());
        let referrer = referrer.ok_or(Silence::NoReferrer)?;
        if is_set(event, "ignore_referrer") {
            return Err(Silence::AskedFor);
        }
        let host = url::host_of(&referrer).ok_or(Silence::NoHost)?;
        let page = url::host(location).unwrap_or(Cow::Borrowed(hit.host));
        let is_app = referrer.starts_with("android-app:");
        if !is_app && (same_site(&host, &page) || *page != *hit.host && same_site(&host, hit.host)) {
            return Err(Silence::OwnSite(host));
        }
        if !self.ignored.is_empty() && parents(&host).any(|site| self.ignored.contains(site)) {
            return Err(Silence::Ignored(host));
        }
        let known = self.sites.find(&host, url::path(&referrer));
        let kind = known.map(|known| known.kind);
        let medium = match kind {
            Some(Kind::Search) => "organic",
            Some(Kind::Assistant) => ASSISTANT,
            _ => "referral",
        };
        let term = known.and_then(|known| match &referrer {
            Cow::Borrowed(referrer) => searched(referrer, known),
            Cow::Owned(referrer) => searched(referrer, known).map(|term| Cow::Owned(term.into_owned())),
        });
        let site =
            |host| url::part(host, |host| host.strip_prefix("www.").filter(|rest| !rest.is_empty()).unwrap_or(host));
        let named = known.and_then(|known| known.name.clone());
        let source = named.unwrap_or_else(|| site(host.clone()));
        Ok(Referral { host, kind, source, medium, term })
    }

    /// Whether the source is an assistant and nothing else is said.
    fn is_decorated_by_assistant(&self, collected: &CollectedTrafficSource<'_>) -> bool {
        collected.manual_medium.is_none()
            && collected.manual_campaign_name.is_none()
            && collected
                .manual_source
                .as_deref()
                .is_some_and(|source| self.sites.find_source(&url::lower(source)) == Some(Kind::Assistant))
    }

    /// The group of this event's own source, and what it was judged by; `None` when it has none.
    fn channel(
        &self,
        collected: &CollectedTrafficSource<'_>,
        ids: &ClickIds<'_>,
        is_campaign: bool,
    ) -> Option<(Channel, Basis)> {
        let source = collected.manual_source.as_deref();
        let medium = collected.manual_medium.as_deref();
        let campaign = collected.manual_campaign_name.as_deref().unwrap_or_default();
        let of = |source: &str, medium: &str| Channel::of(&self.sites, source, medium, campaign);
        let of_manual = || Some((of(source.unwrap_or_default(), medium.unwrap_or_default()), Basis::Manual));
        let of_ad = |(source, medium)| Some((of(source, medium), Basis::Ad(source, medium)));
        let has_manual = source.is_some() || medium.is_some();
        if is_campaign && has_manual {
            return of_manual();
        }
        if collected.gclid.is_some() {
            return of_ad(("google", "cpc"));
        }
        if collected.dclid.is_some() {
            return Some((Channel::Display, Basis::Ad("google", "display")));
        }
        if let Some(ad) = click_ids::paid(ids) {
            return of_ad(ad);
        }
        // Free listings of Google's shopping pages, which send no referrer of their own.
        if collected.srsltid.is_some() && (!has_manual || source == Some("google")) {
            return Some((Channel::OrganicShopping, Basis::FreeListing));
        }
        if has_manual {
            return of_manual();
        }
        of_ad(click_ids::unpaid(ids)?)
    }
}

/// The words searched for, as far as the engine's address still tells them.
fn searched<'t>(referrer: &'t str, engine: &Known) -> Option<Cow<'t, str>> {
    let query = url::query(referrer);
    let raw = |term| url::pairs(query).find_map(|(key, raw)| (key == term).then_some(raw));
    engine.terms().filter_map(raw).map(value).find(|value| !value.is_empty())
}

fn in_brackets(medium: &str) -> String {
    ["(", medium, ")"].concat()
}

/// gtag sends the text `true`, others a number.
fn is_set(event: &Event<'_>, flag: &str) -> bool {
    event.raw_param(flag).is_some_and(|value| {
        value.int_value.is_some_and(|n| n != 0) || matches!(value.string_value.as_deref(), Some("true" | "1"))
    })
}

/// Whether two hosts belong to one registrable domain. Addresses and bare names are sites of their own.
fn same_site(a: &str, b: &str) -> bool {
    if a == b {
        return true;
    }
    let is_address = |host: &str| host.parse::<IpAddr>().is_ok();
    match (psl::domain_str(a), psl::domain_str(b)) {
        (Some(a_domain), Some(b_domain)) => a_domain == b_domain && !is_address(a) && !is_address(b),
        _ => false,
    }
}

/// GA4 repeats the source as parameters of the event.
fn push_params<'h>(event: &mut Event<'h>, collected: &CollectedTrafficSource<'h>) {
    let rows = [
        ("source", &collected.manual_source),
        ("medium", &collected.manual_medium),
        ("campaign", &collected.manual_campaign_name),
        ("term", &collected.manual_term),
        ("content", &collected.manual_content),
        ("campaign_id", &collected.manual_campaign_id),
        ("gclid", &collected.gclid),
        ("srsltid", &collected.srsltid),
    ];
    event.event_params.reserve(rows.iter().filter(|(_, value)| value.is_some()).count());
    for (key, value) in rows {
        if let Some(value) = value {
            event.push_param_if_absent(key, value.clone());
        }
    }
}

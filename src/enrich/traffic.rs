//! Where the visit came from: `collected_traffic_source`, `rs_info.click_ids`, `rs_info.channel_group`, and the
//! parameters `source`, `medium`, `campaign`, `term`, `content`, `campaign_id`, `gclid` and `srsltid`.
//!
//! Read from the query of `page_location` first, from `page_referrer` second, as GA4 collects them:
//!
//! 1. Any of utm_source, utm_medium, utm_campaign and utm_id: the visit is a campaign, and the `utm_*` values are the
//!    source. The referrer is not looked at.
//! 2. Only a click identifier of Google: GA4 leaves `manual_*` null and takes the names from the ad account. We do
//!    too, and say `google / cpc` in the channel group only.
//! 3. A referrer that is not this site, unless the parameter `ignore_referrer` says otherwise: the engine's name and
//!    `organic`, an assistant's host and `ai-assistant`, any other host and `referral`.
//! 4. Nothing: a direct visit; every column stays null.
//!
//! Values keep their letter case. What the client or the wire protocol set already stands.

use std::{borrow::Cow, net::IpAddr, ops::ControlFlow};

use super::{
    Enricher,
    channel::Channel,
    click_ids,
    referrers::{self, Kind},
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

/// The step.
pub struct Traffic;

impl Enricher for Traffic {
    fn name(&self) -> &'static str {
        "traffic"
    }

    fn enrich<'h>(&self, hit: &'h Hit<'h>, event: &mut Event<'h>) -> ControlFlow<DropReason> {
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
        if !is_campaign
            && !is_ad
            && let Some(referral) = referral(hit, event, &location)
        {
            collected.manual_source = Some(referral.source);
            collected.manual_medium = Some(referral.medium.into());
            collected.manual_campaign_name = Some(["(", referral.medium, ")"].concat().into());
        }

        if let Some(channel) = channel(&collected, &ids, is_campaign) {
            event.info_mut().channel_group = Some(channel.name().into());
        }
        if ids != ClickIds::default() {
            event.info_mut().click_ids = Some(ids);
        }
        if collected != CollectedTrafficSource::default() {
            push_params(event, &collected);
            event.collected_traffic_source = Some(collected);
        }
        ControlFlow::Continue(())
    }
}

/// Fills what the query carries and nothing filled before. An empty value is no value.
fn read_query<'t>(query: &'t str, collected: &mut CollectedTrafficSource<'t>, ids: &mut ClickIds<'t>) {
    for (key, raw) in url::pairs(query) {
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
                continue;
            }
        };
        if slot.is_none() {
            *slot = Some(value(raw)).filter(|value| !value.is_empty());
        }
    }
}

fn value(raw: &str) -> Cow<'_, str> {
    let text = url::decode(raw);
    if text.len() <= MAX_VALUE { text } else { url::part(text, |text| url::cut(text, MAX_VALUE)) }
}

/// A visit that another site sent.
struct Referral<'h> {
    source: Cow<'h, str>,
    medium: &'static str,
}

fn referral<'h>(hit: &Hit<'_>, event: &Event<'h>, location: &str) -> Option<Referral<'h>> {
    let referrer = event.text("page_referrer").filter(|referrer| !referrer.is_empty())?;
    if is_set(event, "ignore_referrer") {
        return None;
    }
    let host = url::host_of(&referrer)?;
    let page = url::host(location).unwrap_or(Cow::Borrowed(hit.host));
    let is_app = referrer.starts_with("android-app:");
    if !is_app && (same_site(&host, &page) || *page != *hit.host && same_site(&host, hit.host)) {
        return None;
    }
    let known = referrers::find(&host, url::path(&referrer));
    let medium = match known.map(|known| known.kind) {
        Some(Kind::Search) => "organic",
        Some(Kind::Assistant) => "ai-assistant",
        _ => "referral",
    };
    let named = known.and_then(|known| known.name);
    let site = |host| url::part(host, |host| host.strip_prefix("www.").unwrap_or(host));
    let source = named.map_or_else(|| site(host), Cow::Borrowed);
    Some(Referral { source, medium })
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

/// The group of this event's own source; `None` when it has none.
fn channel(collected: &CollectedTrafficSource<'_>, ids: &ClickIds<'_>, is_campaign: bool) -> Option<Channel> {
    let source = collected.manual_source.as_deref();
    let medium = collected.manual_medium.as_deref();
    let campaign = collected.manual_campaign_name.as_deref().unwrap_or_default();
    let of = |(source, medium): (&str, &str)| Some(Channel::of(source, medium, campaign));

    let manual = (source.unwrap_or_default(), medium.unwrap_or_default());
    let has_manual = source.is_some() || medium.is_some();
    if is_campaign && has_manual {
        return of(manual);
    }
    if collected.gclid.is_some() {
        return of(("google", "cpc"));
    }
    if collected.dclid.is_some() {
        return Some(Channel::Display);
    }
    if let Some(ad) = click_ids::paid(ids) {
        return of(ad);
    }
    if has_manual {
        return of(manual);
    }
    of(click_ids::unpaid(ids)?)
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

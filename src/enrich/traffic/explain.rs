//! Where the source of a visit came from.

use super::{Basis, Silence, Source, Traffic};
use crate::{
    collect::Hit,
    enrich::{Origins, channel::Channel, origins::values, url},
    schema::{Event, Leaf},
};

/// Lets the step find the source once more, and tells how it did.
pub(super) fn explain(step: &Traffic, hit: &Hit<'_>, before: &Event<'_>, after: &Event<'_>, origins: &mut Origins) {
    let how = step.fill(hit, &mut before.spelled_out());
    let by_query = from_query(before);
    origins.note_new(before, after, |leaf| {
        if leaf.path == "rs_info.channel_group" {
            return how.channel.map(channel_origin);
        }
        if leaf.path.starts_with("event_params[") {
            return Some("repeats collected_traffic_source".into());
        }
        if let Some((key, _)) = by_query.iter().find(|(_, told)| told == leaf) {
            return Some(format!("parameter {key} of page_location"));
        }
        match &how.source {
            Source::Decorated => Some("table of referrers: manual_source is an assistant".into()),
            Source::Referrer { .. } if leaf.path.ends_with("manual_term") => {
                Some("words searched for, in page_referrer".into())
            }
            Source::Referrer { host, kind: Some(kind) } => {
                Some(format!("table of referrers: {host} ({})", kind.name()))
            }
            Source::Referrer { host, kind: None } => {
                Some(format!("page_referrer: {host}, not in the table of referrers"))
            }
            Source::Campaign | Source::Ad | Source::None(_) => None,
        }
    });
    if let Source::None(silence) = &how.source {
        match silence {
            Silence::NoReferrer if how.channel.is_some() => {}
            Silence::NoReferrer => origins.remark("a direct visit: no campaign, no click identifier, no referrer"),
            silence => origins.remark(format!("page_referrer is no source: {}", reason(silence))),
        }
    }
}

fn reason(silence: &Silence<'_>) -> String {
    match silence {
        Silence::NoReferrer => "there is none".into(),
        Silence::NoHost => "it has no host".into(),
        Silence::OwnSite(host) => format!("{host} is this site"),
        Silence::Ignored(host) => format!("{host} is in traffic.ignore_referrers"),
        Silence::AskedFor => "the parameter ignore_referrer says so".into(),
    }
}

/// The parameter in the page's address that each value would come from, if nothing else were there.
fn from_query(event: &Event<'_>) -> Vec<(String, Leaf)> {
    let location = event.text("page_location").unwrap_or_default();
    let mut all = Vec::new();
    for (key, raw) in url::pairs(url::query(&location)) {
        let (mut collected, mut ids) = Default::default();
        super::read_pair(key, raw, &mut collected, &mut ids);
        let mut event = Event { collected_traffic_source: Some(collected), ..Event::default() };
        event.info_mut().click_ids = Some(ids);
        all.extend(values(&event).into_iter().map(|leaf| (key.to_owned(), leaf)));
    }
    all
}

fn channel_origin((channel, basis): (Channel, Basis)) -> String {
    let rule = match channel.rule() {
        Some(number) => format!("rule {number} of GA4's channels"),
        None => "no rule of GA4's channels".to_owned(),
    };
    let of = match basis {
        Basis::Manual => "source, medium and campaign".to_owned(),
        Basis::Ad(source, medium) => format!("the click identifier of {source} / {medium}"),
        Basis::FreeListing => "srsltid, a free listing of Google's shopping pages".to_owned(),
    };
    format!("{rule}, by {of}")
}

//! `real-streaming explain --referrers`: where visits came from, one answer for each line, for machines to compare.

use std::{borrow::Cow, collections::BTreeMap};

use http::HeaderMap;
use serde::{Deserialize, Serialize};

use super::enriched;
use crate::{enrich::Enricher, schema::Event};

/// A line of the input; whatever else it has is passed over.
#[derive(Deserialize)]
struct Line {
    page: Option<String>,
    referrer: Option<String>,
}

/// What is made of it. Columns as in a row; null without a source.
#[derive(Debug, PartialEq, Serialize)]
pub struct Answer {
    source: Option<String>,
    medium: Option<String>,
    campaign: Option<String>,
    term: Option<String>,
    channel: Option<String>,
    /// Those that the page's address has, by the name of their parameter.
    click_ids: BTreeMap<&'static str, String>,
}

/// What is made of one line.
pub fn answer(line: &[u8], steps: &[Box<dyn Enricher>]) -> Result<Answer, String> {
    let line: Line = serde_json::from_slice(line).map_err(|error| error.to_string())?;
    let mut event = Event::default();
    event.push_param("page_location", line.page.unwrap_or_default());
    event.push_param("page_referrer", line.referrer.unwrap_or_default());
    let event = enriched(event, &HeaderMap::new(), steps);

    let own = |text: Option<Cow<'_, str>>| text.map(Cow::into_owned);
    let source = event.collected_traffic_source.unwrap_or_default();
    let info = event.rs_info.unwrap_or_default();
    let ids = info.click_ids.unwrap_or_default();
    let click_ids = [
        ("gclid", source.gclid),
        ("dclid", source.dclid),
        ("srsltid", source.srsltid),
        ("gbraid", ids.gbraid),
        ("wbraid", ids.wbraid),
        ("gad_source", ids.gad_source),
        ("gad_campaignid", ids.gad_campaignid),
        ("msclkid", ids.msclkid),
        ("fbclid", ids.fbclid),
        ("ttclid", ids.ttclid),
        ("twclid", ids.twclid),
        ("li_fat_id", ids.li_fat_id),
        ("sccid", ids.sccid),
        ("yclid", ids.yclid),
        ("epik", ids.epik),
        ("irclickid", ids.irclickid),
        ("rdt_cid", ids.rdt_cid),
        ("gclsrc", ids.gclsrc),
    ];
    Ok(Answer {
        source: own(source.manual_source),
        medium: own(source.manual_medium),
        campaign: own(source.manual_campaign_name),
        term: own(source.manual_term),
        channel: own(info.channel_group),
        click_ids: click_ids.into_iter().filter_map(|(name, id)| Some((name, own(id)?))).collect(),
    })
}

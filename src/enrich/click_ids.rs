//! Click identifiers that ad systems append to landing pages and that GA4 has no column for.
//!
//! They are kept in `rs_info.click_ids`. Where a page carries no campaign parameters, an identifier also says which
//! channel paid for the visit; that serves `rs_info.channel_group` only, GA4's own columns stay as GA4 fills them.

use std::borrow::Cow;

use crate::schema::proto::event::ClickIds;

/// Puts the value of the parameter `key` where it belongs; the first one counts. False when `key` is no click
/// identifier or already filled.
pub fn take<'t>(ids: &mut ClickIds<'t>, key: &str, value: impl FnOnce() -> Cow<'t, str>) -> bool {
    let slot = match key {
        "gbraid" => &mut ids.gbraid,
        "wbraid" => &mut ids.wbraid,
        "gad_source" => &mut ids.gad_source,
        "gad_campaignid" => &mut ids.gad_campaignid,
        "msclkid" => &mut ids.msclkid,
        "fbclid" => &mut ids.fbclid,
        "ttclid" => &mut ids.ttclid,
        "twclid" => &mut ids.twclid,
        "li_fat_id" => &mut ids.li_fat_id,
        // Snapchat writes `ScCid`.
        _ if key.eq_ignore_ascii_case("sccid") => &mut ids.sccid,
        "yclid" => &mut ids.yclid,
        "epik" => &mut ids.epik,
        "irclickid" => &mut ids.irclickid,
        "rdt_cid" => &mut ids.rdt_cid,
        "gclsrc" => &mut ids.gclsrc,
        _ => return false,
    };
    if slot.is_some() {
        return false;
    }
    let value = value();
    if value.is_empty() {
        return false;
    }
    *slot = Some(value);
    true
}

/// Source and medium of the ad that an identifier stands for.
///
/// Not here: `fbclid` and `epik`, which are appended to unpaid links too, and `gad_source`, `gad_campaignid` and
/// `gclsrc`, which never come without a click identifier of Google.
pub fn paid(ids: &ClickIds<'_>) -> Option<(&'static str, &'static str)> {
    let rows = [
        (&ids.gbraid, ("google", "cpc")),
        (&ids.wbraid, ("google", "cpc")),
        (&ids.msclkid, ("bing", "cpc")),
        (&ids.yclid, ("yandex", "cpc")),
        (&ids.ttclid, ("tiktok", "cpc")),
        (&ids.twclid, ("twitter", "cpc")),
        (&ids.li_fat_id, ("linkedin", "cpc")),
        (&ids.sccid, ("snapchat", "cpc")),
        (&ids.rdt_cid, ("reddit", "cpc")),
        (&ids.irclickid, ("impact", "affiliate")),
    ];
    rows.into_iter().find_map(|(id, ad)| id.is_some().then_some(ad))
}

/// Source and medium of the unpaid link that an identifier stands for, when nothing else is known of the visit: apps
/// often send no referrer.
pub fn unpaid(ids: &ClickIds<'_>) -> Option<(&'static str, &'static str)> {
    match (&ids.fbclid, &ids.epik) {
        (Some(_), _) => Some(("facebook", "referral")),
        (None, Some(_)) => Some(("pinterest", "referral")),
        (None, None) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_value_counts_and_empty_ones_do_not() {
        let mut ids = ClickIds::default();
        assert!(!take(&mut ids, "fbclid", Cow::default));
        assert!(take(&mut ids, "fbclid", || "a".into()));
        assert!(!take(&mut ids, "fbclid", || "b".into()));
        assert!(take(&mut ids, "ScCid", || "c".into()));
        assert!(!take(&mut ids, "gclid", || "d".into()));
        assert_eq!(ids, ClickIds { fbclid: Some("a".into()), sccid: Some("c".into()), ..ClickIds::default() });
    }

    #[test]
    fn an_identifier_says_who_paid_only_if_someone_did() {
        let facebook = ClickIds { fbclid: Some("a".into()), ..ClickIds::default() };
        assert_eq!(paid(&facebook), None);
        assert_eq!(unpaid(&facebook), Some(("facebook", "referral")));
        let bing = ClickIds { msclkid: Some("a".into()), ..facebook };
        assert_eq!(paid(&bing), Some(("bing", "cpc")));
    }
}

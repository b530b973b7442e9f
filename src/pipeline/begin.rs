//! The beginning of a row: what follows from the claim, the visitor and the arrival alone, before any enrichment.

use std::borrow::Cow;

use super::{streams::Stream, watch::Watch};
use crate::{
    collect::{Claim, Hit, Visitor, first_touch},
    schema::{
        Date, Event,
        proto::event::{Param, RsInfo},
    },
};

/// Name of this entry point in `rs_info.protocol`.
const PROTOCOL: &str = "api_v1";
/// Which of the hit's random numbers becomes the bundle's.
const BUNDLE_RANDOM: u64 = 1;
/// The first of the hit's random numbers that go into event identifiers; two per event.
const EVENT_RANDOM: u64 = 2;

/// Fills the empty `event` with the `index`-th claim of a hit; its day. (In place: an event has 4 KB.)
pub(super) fn fill<'h>(
    event: &mut Event<'h>,
    hit: &'h Hit<'_>,
    stream: &'h Stream,
    visitor: &Visitor<'_>,
    claim: Claim<'h>,
    index: usize,
    watch: &mut impl Watch,
) -> Date {
    let id = visitor.id(&claim).map(str::to_owned);
    let notes = claim.log.notes();
    let happened_at = claim.happened_at.unwrap_or(hit.received_at);
    let (date, event_date) = stream.day(happened_at);

    event.event_date = Some(event_date.into());
    event.date = Some(date.0);
    event.event_timestamp = Some(happened_at);
    event.event_original_occurrence_timestamp = claim.timestamp;
    event.synced_at_utc = Some(hit.received_at);
    event.synced_at_micros = Some(hit.received_at);

    event.stream_id = Some(Cow::Borrowed(&stream.id));
    event.platform = Some(claim.platform.unwrap_or("WEB").into());
    event.event_bundle_sequence_id = Some(positive(hit.random(BUNDLE_RANDOM)));
    event.batch_event_index = claim.batch_event_index.or(i64::try_from(index).ok());
    event.batch_page_id = claim.batch_page_id;
    event.batch_ordering_id = claim.batch_ordering_id;

    event.user_first_touch_timestamp = id.as_deref().and_then(|id| first_touch(id, hit.received_at));
    event.user_pseudo_id = id.map(Cow::Owned);
    event.user_id = claim.user_id.flatten();
    event.privacy_info = Some(claim.consent.privacy_info());
    event.rs_info = Some(RsInfo {
        event_id: Some(claim.event_id.unwrap_or_else(|| uuid(hit, index).into())),
        protocol: Some(PROTOCOL.into()),
        host: (!hit.host.is_empty()).then_some(Cow::Borrowed(hit.host)),
        consent: claim.consent.signals(),
        notes: notes.into_iter().map(Cow::Owned).collect(),
        ..RsInfo::default()
    });

    event.event_name = claim.event_name;
    event.event_params = claim.params;
    if claim.consent.denies_identity() {
        event.event_params.retain(|param| !is_session_key(param));
    }
    event.user_properties = claim.user_properties;
    for property in &mut event.user_properties {
        if let Some(value) = &mut property.value {
            value.set_timestamp_micros.get_or_insert(happened_at);
        }
    }
    event.app_info = claim.app_info;
    event.items = claim.items;
    event.ecommerce = claim.ecommerce;
    if let Some(overrides) = claim.overrides {
        overrides.apply(event);
    }
    watch.derive(event);
    date
}

/// With identification denied, the export has no session either.
fn is_session_key(param: &Param<'_>) -> bool {
    matches!(param.key.as_deref(), Some("ga_session_id" | "ga_session_number"))
}

/// A random number as the export's positive 64-bit integers.
fn positive(random: u64) -> i64 {
    ((random >> 1) as i64).max(1)
}

/// UUID version 7: sorts by arrival, and differs for every event of a hit.
fn uuid(hit: &Hit<'_>, index: usize) -> String {
    let first = EVENT_RANDOM + 2 * index as u64;
    let mut random = [0; 10];
    random[..8].copy_from_slice(&hit.random(first).to_le_bytes());
    random[8..].copy_from_slice(&hit.random(first + 1).to_le_bytes()[..2]);
    let millis = u64::try_from(hit.received_at / 1_000).unwrap_or_default();
    let uuid = uuid::Builder::from_unix_timestamp_millis(millis, &random).into_uuid();
    uuid.hyphenated().encode_lower(&mut uuid::Uuid::encode_buffer()).to_owned()
}

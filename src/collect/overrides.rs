//! What a trusted caller says of the visitor in the server's place: members of the records that enrichment fills.
//!
//! A member that is given stands; one that is not, null or empty, is found out as for anybody.

use std::borrow::Cow;

use super::{Claim, Limits, RemarkKind, read::Field, read::Scalar, validate::shorten};
use crate::schema::{
    Encode, Event,
    proto::event::{CollectedTrafficSource, Device, EventDimensions, Geo, TrafficSource},
};

/// The records, each as far as it was given.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Overrides<'t> {
    device: Option<Device<'t>>,
    geo: Option<Geo<'t>>,
    traffic_source: Option<TrafficSource<'t>>,
    collected_traffic_source: Option<CollectedTrafficSource<'t>>,
    event_dimensions: Option<EventDimensions<'t>>,
}

impl<'t> Overrides<'t> {
    /// Puts them into an event that enrichment has not seen yet. A record of which nothing was given stays null.
    pub fn apply(self, event: &mut Event<'t>) {
        fn given<T: Default + PartialEq>(record: Option<T>) -> Option<T> {
            record.filter(|record| *record != T::default())
        }
        let web_info = |device: Device<'t>| Device { web_info: given(device.web_info.clone()), ..device };
        event.device = given(self.device.map(web_info));
        event.geo = given(self.geo);
        event.traffic_source = given(self.traffic_source);
        event.collected_traffic_source = given(self.collected_traffic_source);
        event.event_dimensions = given(self.event_dimensions);
    }

    /// Fills the records that are missing here. Each is taken as a whole: half of one place and half of another is
    /// none.
    pub(super) fn default_to(&mut self, common: &Overrides<'t>) {
        fn fill<T: Clone>(own: &mut Option<T>, common: &Option<T>) {
            if own.is_none() {
                own.clone_from(common);
            }
        }
        fill(&mut self.device, &common.device);
        fill(&mut self.geo, &common.geo);
        fill(&mut self.traffic_source, &common.traffic_source);
        fill(&mut self.collected_traffic_source, &common.collected_traffic_source);
        fill(&mut self.event_dimensions, &common.event_dimensions);
    }

    /// The same, borrowing nothing.
    pub fn into_owned(self) -> Overrides<'static> {
        Overrides {
            device: self.device.map(Device::into_owned),
            geo: self.geo.map(Geo::into_owned),
            traffic_source: self.traffic_source.map(TrafficSource::into_owned),
            collected_traffic_source: self.collected_traffic_source.map(CollectedTrafficSource::into_owned),
            event_dimensions: self.event_dimensions.map(EventDimensions::into_owned),
        }
    }

    /// Bytes, about, as part of a row.
    pub(super) fn weight(&self) -> usize {
        let mut event = Event::default();
        self.clone().apply(&mut event);
        event.encode_to_vec().len()
    }

    /// The text that `member` of a record names; `None` when nothing is called so.
    fn text(&mut self, record: Field, member: &str) -> Option<&mut Option<Cow<'t, str>>> {
        Some(match record {
            Field::Device => {
                let device = self.device.get_or_insert_default();
                match member {
                    "category" => &mut device.category,
                    "mobile_brand_name" => &mut device.mobile_brand_name,
                    "mobile_model_name" => &mut device.mobile_model_name,
                    "mobile_marketing_name" => &mut device.mobile_marketing_name,
                    "mobile_os_hardware_model" => &mut device.mobile_os_hardware_model,
                    "operating_system" => &mut device.operating_system,
                    "operating_system_version" => &mut device.operating_system_version,
                    "vendor_id" => &mut device.vendor_id,
                    "advertising_id" => &mut device.advertising_id,
                    "language" => &mut device.language,
                    "is_limited_ad_tracking" => &mut device.is_limited_ad_tracking,
                    "browser" => &mut device.browser,
                    "browser_version" => &mut device.browser_version,
                    _ => return None,
                }
            }
            Field::WebInfo => {
                let web_info = self.device.get_or_insert_default().web_info.get_or_insert_default();
                match member {
                    "browser" => &mut web_info.browser,
                    "browser_version" => &mut web_info.browser_version,
                    "hostname" => &mut web_info.hostname,
                    _ => return None,
                }
            }
            Field::Geo => {
                let geo = self.geo.get_or_insert_default();
                match member {
                    "city" => &mut geo.city,
                    "country" => &mut geo.country,
                    "continent" => &mut geo.continent,
                    "region" => &mut geo.region,
                    "sub_continent" => &mut geo.sub_continent,
                    "metro" => &mut geo.metro,
                    _ => return None,
                }
            }
            Field::TrafficSource => {
                let source = self.traffic_source.get_or_insert_default();
                match member {
                    "name" => &mut source.name,
                    "medium" => &mut source.medium,
                    "source" => &mut source.source,
                    _ => return None,
                }
            }
            Field::CollectedTrafficSource => {
                let source = self.collected_traffic_source.get_or_insert_default();
                match member {
                    "manual_campaign_id" => &mut source.manual_campaign_id,
                    "manual_campaign_name" => &mut source.manual_campaign_name,
                    "manual_source" => &mut source.manual_source,
                    "manual_medium" => &mut source.manual_medium,
                    "manual_term" => &mut source.manual_term,
                    "manual_content" => &mut source.manual_content,
                    "manual_source_platform" => &mut source.manual_source_platform,
                    "manual_creative_format" => &mut source.manual_creative_format,
                    "manual_marketing_tactic" => &mut source.manual_marketing_tactic,
                    "gclid" => &mut source.gclid,
                    "dclid" => &mut source.dclid,
                    "srsltid" => &mut source.srsltid,
                    _ => return None,
                }
            }
            Field::EventDimensions if member == "hostname" => {
                &mut self.event_dimensions.get_or_insert_default().hostname
            }
            _ => return None,
        })
    }
}

impl<'t> Claim<'t> {
    /// Takes over one member of an override; `false` when its type is wrong.
    pub(super) fn take_override(&mut self, record: Field, member: &str, value: Scalar<'t>, limits: &Limits) -> bool {
        let overrides = self.overrides.get_or_insert_default();
        if (record, member) == (Field::Device, "time_zone_offset_seconds") {
            let column = &mut overrides.device.get_or_insert_default().time_zone_offset_seconds;
            return value.int().map(|int| *column = int).is_ok();
        }
        let Some(column) = overrides.text(record, member) else {
            return self.unknown(record.object_name(), member);
        };
        let text = match value {
            // GA4's documents say boolean, its tables say this.
            Scalar::Bool(flag) if member == "is_limited_ad_tracking" => Some(if flag { "Yes" } else { "No" }.into()),
            value => match value.into_text() {
                Ok(text) => text,
                Err(_) => return false,
            },
        };
        *column = text.filter(|text| !text.is_empty());
        if column.as_mut().is_some_and(|text| shorten(text, limits.value, limits)) {
            let place = record.object_name();
            self.log.remark(RemarkKind::ValueTruncated, member, format_args!("{place}.{member}"));
        }
        true
    }
}

//! The fields an event can have, under all the names clients give them.

use crate::collect::Caller;

/// A field of an event or, the last three, of the request around events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::collect) enum Field {
    EventName,
    EventParams,
    EventTimestamp,
    EventId,
    UserId,
    UserPseudoId,
    UserProperties,
    PrivacyInfo,
    AppInfo,
    Ecommerce,
    Items,
    Page,
    Session,
    EngagementTime,
    Platform,
    BatchPageId,
    BatchOrderingId,
    BatchEventIndex,
    Device,
    /// `device.web_info`; not a field of its own.
    WebInfo,
    Geo,
    TrafficSource,
    CollectedTrafficSource,
    EventDimensions,
    ClientHints,
    /// A scalar that tells of the browser; there are several, so that it may come more than once.
    OfBrowser,
    /// Known, but not the client's to set.
    Ignored,
    NonPersonalizedAds,
    ValidationBehavior,
    Events,
}

impl Field {
    pub(super) fn of(key: &str) -> Option<Field> {
        Some(match key {
            "event_name" | "name" => Field::EventName,
            "event_params" | "params" => Field::EventParams,
            "event_timestamp" | "timestamp_micros" => Field::EventTimestamp,
            "event_id" => Field::EventId,
            "user_id" => Field::UserId,
            "user_pseudo_id" | "client_id" => Field::UserPseudoId,
            "user_properties" => Field::UserProperties,
            "privacy_info" | "consent" => Field::PrivacyInfo,
            "app_info" => Field::AppInfo,
            "ecommerce" => Field::Ecommerce,
            "items" => Field::Items,
            "page" => Field::Page,
            "session" => Field::Session,
            "engagement_time_msec" => Field::EngagementTime,
            "platform" => Field::Platform,
            "batch_page_id" => Field::BatchPageId,
            "batch_ordering_id" => Field::BatchOrderingId,
            "batch_event_index" => Field::BatchEventIndex,
            "device" => Field::Device,
            "geo" => Field::Geo,
            "traffic_source" => Field::TrafficSource,
            "collected_traffic_source" => Field::CollectedTrafficSource,
            "event_dimensions" => Field::EventDimensions,
            "client_hints" => Field::ClientHints,
            "max_touch_points" | "webdriver" | "language" => Field::OfBrowser,
            // The client hints of Google's tag.
            "uaa" | "uab" | "uafvl" | "uam" | "uamb" | "uap" | "uapv" | "uaw" => Field::OfBrowser,
            // Enrichment and delivery own these columns.
            "stream_id"
            | "date"
            | "event_date"
            | "synced_at_utc_"
            | "synced_at_micros_"
            | "rs_info"
            | "user_ltv"
            | "is_active_user"
            | "publisher"
            | "session_traffic_source_last_click"
            | "event_bundle_sequence_id"
            | "event_server_timestamp_offset"
            | "event_previous_timestamp"
            | "event_value_in_usd"
            | "user_first_touch_timestamp"
            | "event_original_occurrence_timestamp" => Field::Ignored,
            // Parts of Measurement Protocol bodies that only a trusted caller may use, or nobody here needs.
            "user_location" | "ip_override" | "user_agent" | "user_data" | "firebase_app_id" | "app_instance_id" => {
                Field::Ignored
            }
            "non_personalized_ads" => Field::NonPersonalizedAds,
            "validation_behavior" => Field::ValidationBehavior,
            "events" => Field::Events,
            _ => return None,
        })
    }

    /// The field as this caller may use it.
    pub(super) fn of_caller(self, caller: Caller) -> Field {
        if self.is_override() && caller != Caller::Trusted { Field::Ignored } else { self }
    }

    /// Whether it is a record that enrichment fills, and a trusted caller may fill before.
    pub(super) const fn is_override(self) -> bool {
        matches!(
            self,
            Field::Device
                | Field::WebInfo
                | Field::Geo
                | Field::TrafficSource
                | Field::CollectedTrafficSource
                | Field::EventDimensions
        )
    }

    /// How paths name a field that is an object.
    pub(in crate::collect) const fn object_name(self) -> &'static str {
        match self {
            Field::AppInfo => "app_info",
            Field::Ecommerce => "ecommerce",
            Field::Page => "page",
            Field::Session => "session",
            Field::Device => "device",
            Field::WebInfo => "device.web_info",
            Field::Geo => "geo",
            Field::TrafficSource => "traffic_source",
            Field::CollectedTrafficSource => "collected_traffic_source",
            Field::EventDimensions => "event_dimensions",
            _ => "privacy_info",
        }
    }
}

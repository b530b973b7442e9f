//! Cost of a row's other forms, from its wire bytes: `cargo bench --bench transcode`.
//!
//! The row is a page view as a browser sends it: 43 values outside of its parameters, and two more for each of those.
//! The argument is the number of parameters. Items are rows, and a batch has 1000 of them where not said otherwise, for
//! the cost per batch has to be shared.

#![allow(clippy::unwrap_used)]

use divan::{Bencher, black_box, counter::ItemsCount};
use prost::Message;
use real_streaming::schema::{
    self, Date, Encode, Row, proto,
    reference::{
        Event,
        event::{
            ClickIds, CollectedTrafficSource, Device, EventDimensions, Geo, Param, PrivacyInfo, RsInfo, Value, WebInfo,
        },
    },
};

fn main() {
    divan::main();
}

const ROWS: usize = 1000;

const PARAMETERS: [usize; 2] = [0, 10];

#[divan::bench(args = PARAMETERS)]
fn arrow(bencher: Bencher, parameters: usize) {
    let rows = rows(parameters);
    bencher
        .counter(ItemsCount::new(ROWS))
        .bench(|| schema::arrow::record_batch(black_box(&rows).iter().map(|row| row.bytes())).unwrap());
}

#[divan::bench]
fn arrow_one_row(bencher: Bencher) {
    let row = page_view(0, 10);
    bencher.counter(ItemsCount::new(1usize)).bench(|| schema::arrow::record_batch([black_box(&row).bytes()]).unwrap());
}

#[divan::bench(args = PARAMETERS)]
fn json(bencher: Bencher, parameters: usize) {
    let rows = rows(parameters);
    let mut out = Vec::new();
    bencher.counter(ItemsCount::new(ROWS)).bench_local(|| {
        out.clear();
        for row in black_box(&rows) {
            schema::json::write(row.bytes(), &mut out).unwrap();
        }
        out.len()
    });
}

/// What a row is made with.
#[divan::bench(args = PARAMETERS)]
fn encode(bencher: Bencher, parameters: usize) {
    let event = proto::Event::from(Event::decode(page_view(0, parameters).bytes()).unwrap());
    bencher.counter(ItemsCount::new(1usize)).bench(|| Encode::encode_to_vec(black_box(&event)));
}

/// The yardstick: prost's encoder.
#[divan::bench(args = PARAMETERS)]
fn prost_encode(bencher: Bencher, parameters: usize) {
    let event = Event::decode(page_view(0, parameters).bytes()).unwrap();
    bencher.counter(ItemsCount::new(1usize)).bench(|| Message::encode_to_vec(black_box(&event)));
}

/// The yardstick: what decoding into prost's structs costs alone.
#[divan::bench(args = PARAMETERS)]
fn prost_decode(bencher: Bencher, parameters: usize) {
    let rows = rows(parameters);
    bencher
        .counter(ItemsCount::new(ROWS))
        .bench(|| black_box(&rows).iter().map(|row| Event::decode(row.bytes()).unwrap()).collect::<Vec<_>>());
}

fn rows(parameters: usize) -> Vec<Row> {
    (0..ROWS as i64).map(|index| page_view(index, parameters)).collect()
}

fn text(text: &str) -> Option<String> {
    Some(text.to_owned())
}

fn page_view(index: i64, parameters: usize) -> Row {
    let word = |key: &str, value: &str| Param {
        key: text(key),
        value: Some(Value { string_value: text(value), ..Value::default() }),
    };
    let number = |key: &str, value: i64| Param {
        key: text(key),
        value: Some(Value { int_value: Some(value), ..Value::default() }),
    };
    let micros = 1_760_000_000_000_000 + index * 1_000_003;
    let mut event = Event {
        event_date: text("20251009"),
        event_timestamp: Some(micros),
        event_name: text("page_view"),
        event_params: vec![
            word("page_location", "https://www.example.com/products/shoes?utm_source=newsletter&utm_medium=email"),
            word("page_title", "Shoes for the mountains - Example Shop"),
            word("page_referrer", "https://www.example.com/"),
            word("source", "newsletter"),
            word("medium", "email"),
            word("campaign", "autumn"),
            number("ga_session_id", 1_760_000_000),
            number("ga_session_number", 3),
            number("engagement_time_msec", 1234 + index),
            number("entrances", 1),
        ],
        event_bundle_sequence_id: Some(99_887_766 + index),
        user_pseudo_id: Some(format!("{}.1759000000", 1_000_000_000 + index)),
        privacy_info: Some(PrivacyInfo {
            analytics_storage: text("Yes"),
            ads_storage: text("No"),
            uses_transient_token: text("No"),
        }),
        user_first_touch_timestamp: Some(1_759_000_000_000_000),
        device: Some(Device {
            category: text("desktop"),
            operating_system: text("Windows"),
            operating_system_version: text("Windows 11"),
            language: text("en-gb"),
            is_limited_ad_tracking: text("No"),
            web_info: Some(WebInfo {
                browser: text("Chrome"),
                browser_version: text("141.0.7390.54"),
                hostname: text("www.example.com"),
            }),
            ..Device::default()
        }),
        geo: Some(Geo {
            city: text("(not set)"),
            country: text("Germany"),
            continent: text("Europe"),
            region: text("Bavaria"),
            sub_continent: text("Western Europe"),
            metro: text("(not set)"),
        }),
        stream_id: text("1"),
        platform: text("WEB"),
        event_dimensions: Some(EventDimensions { hostname: text("www.example.com") }),
        collected_traffic_source: Some(CollectedTrafficSource {
            manual_campaign_name: text("autumn"),
            manual_source: text("newsletter"),
            manual_medium: text("email"),
            ..CollectedTrafficSource::default()
        }),
        batch_event_index: Some(0),
        batch_page_id: Some(1_760_000_000_123),
        batch_ordering_id: Some(1),
        date: Some(20_370),
        synced_at_utc: Some(micros),
        synced_at_micros: Some(micros),
        rs_info: Some(RsInfo {
            event_id: text("0199c7b0-5f3a-7c11-9a55-0123456789ab"),
            protocol: text("api_v1"),
            host: text("www.example.com"),
            ip: text("203.0.113.0"),
            country_code: text("DE"),
            region_code: text("DE-BY"),
            user_agent: text(
                "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 Chrome/141.0.0.0 Safari/537.36",
            ),
            is_bot: Some(false),
            channel_group: text("Email"),
            click_ids: Some(ClickIds { fbclid: text("IwAR0abcdefghijklmnopqrstuvwxyz"), ..ClickIds::default() }),
            ..RsInfo::default()
        }),
        ..Event::default()
    };
    event.event_params.truncate(parameters);
    Row::freeze(&event.into(), Date(20_370), "1".into())
}

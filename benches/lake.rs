//! What the lake costs per row: writing fresh files, tiny and full, and merging them.
//!
//! `cargo bench --bench lake`. Rows are page views and purchases of a few hundred visitors, under 1 kB each.
//!
//! On one core of a small virtual machine, syncs included: 5 to 7 µs a row in a file of 25,000 rows, at 30 bytes a row on
//! disk; 4 ms for a file of 5 rows, where the 253 columns are all the work. Merging eight full files costs 8 to 10 µs a
//! row and 75 MB of memory at most; merging sixteen tiny ones takes 80 to 120 ms.

use std::path::Path;

use bytes::Bytes;
use divan::{Bencher, counter::ItemsCount};
use prost::Message;
use real_streaming::{
    deliver::{Position, sinks::lake::Lake},
    schema::{
        Date,
        reference::{Event, event::*},
    },
};

const DAY: Date = Date(20_000);

fn main() {
    divan::main();
}

fn text(value: &str) -> Option<Value> {
    Some(Value { string_value: Some(value.into()), ..Value::default() })
}

fn number(value: i64) -> Option<Value> {
    Some(Value { int_value: Some(value), ..Value::default() })
}

fn param(key: &str, value: Option<Value>) -> Param {
    Param { key: Some(key.into()), value }
}

fn some(value: &str) -> Option<String> {
    Some(value.into())
}

fn event(n: u64) -> Bytes {
    let visitor = n * 2_654_435_761 % 500;
    let page = format!("https://shop.example.com/products/{}?utm_source=news&utm_medium=email", n % 97);
    let purchase = n.is_multiple_of(20);
    let now = 1_750_000_000_000_000 + n as i64 * 1_000;
    Event {
        event_date: some("20241004"),
        event_timestamp: Some(now),
        event_name: some(if purchase { "purchase" } else { "page_view" }),
        event_params: vec![
            param("page_location", text(&page)),
            param("page_title", text(&format!("Product {}", n % 97))),
            param("page_referrer", text("https://shop.example.com/")),
            param("ga_session_id", number(1_750_000_000 + visitor as i64)),
            param("ga_session_number", number(visitor as i64 % 5)),
            param("engagement_time_msec", number(n as i64 % 20_000)),
            param("source", text("news")),
            param("medium", text("email")),
        ],
        user_pseudo_id: Some(format!("{}.1749{:06}", visitor * 7_919_000, visitor)),
        user_first_touch_timestamp: Some(1_749_000_000_000_000 + visitor as i64),
        privacy_info: Some(PrivacyInfo {
            analytics_storage: some("Yes"),
            ads_storage: some("Yes"),
            uses_transient_token: some("No"),
        }),
        device: Some(Device {
            category: some("mobile"),
            mobile_brand_name: some("Samsung"),
            mobile_model_name: some("SM-S911B"),
            operating_system: some("Android"),
            operating_system_version: some("Android 13"),
            language: some("de-ch"),
            is_limited_ad_tracking: some("No"),
            web_info: Some(WebInfo {
                browser: some("Chrome"),
                browser_version: some("126.0.0.0"),
                hostname: some("shop.example.com"),
            }),
            ..Device::default()
        }),
        geo: Some(Geo {
            city: some("Zurich"),
            country: some("Switzerland"),
            continent: some("Europe"),
            region: some("Zurich"),
            sub_continent: some("Western Europe"),
            metro: some("(not set)"),
        }),
        stream_id: some("1"),
        platform: some("WEB"),
        items: (0..if purchase { 3 } else { 0 })
            .map(|i| Item {
                item_id: Some(format!("SKU{i}")),
                item_name: some("Product Name"),
                price: Some(99.99),
                quantity: Some(1),
                ..Item::default()
            })
            .collect(),
        collected_traffic_source: Some(CollectedTrafficSource {
            manual_source: some("news"),
            manual_medium: some("email"),
            ..CollectedTrafficSource::default()
        }),
        batch_event_index: Some(0),
        batch_page_id: Some(1_750_000_000_000 + visitor as i64),
        date: Some(DAY.0),
        synced_at_utc: Some(now),
        synced_at_micros: Some(now),
        rs_info: Some(RsInfo {
            event_id: Some(format!("0197{:08x}-7000-8000-{:012x}", n, n.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 16)),
            protocol: some("api_v1"),
            host: some("shop.example.com"),
            ip: some("203.0.113.0"),
            user_agent: some(
                "Mozilla/5.0 (Linux; Android 13; SM-S911B) AppleWebKit/537.36 Chrome/126.0.0.0 Mobile Safari/537.36",
            ),
            is_bot: Some(false),
            ..RsInfo::default()
        }),
        ..Event::default()
    }
    .encode_to_vec()
    .into()
}

fn rows(first: u64, count: u64) -> Vec<(Position, Bytes)> {
    (first..first + count).map(|n| (n, event(n))).collect()
}

fn lake(directory: &Path) -> Lake {
    let lake = Lake::new(directory, 1, Position::MAX);
    lake.prepare().expect("a temporary folder can be prepared");
    lake
}

#[divan::bench(args = [5, 500, 25_000], sample_count = 10, sample_size = 1)]
fn write(bencher: Bencher<'_, '_>, count: u64) {
    let rows = rows(0, count);
    bencher
        .counter(ItemsCount::new(count))
        .with_inputs(|| {
            let folder = tempfile::tempdir().expect("there is a temporary folder");
            (lake(folder.path()), folder)
        })
        .bench_values(|(lake, folder)| {
            lake.write(DAY, &rows).expect("rows are written");
            folder
        });
}

/// Files times rows.
#[divan::bench(args = [(16, 5), (16, 500), (8, 25_000)], sample_count = 5, sample_size = 1)]
fn merge(bencher: Bencher<'_, '_>, (files, count): (u64, u64)) {
    bencher
        .counter(ItemsCount::new(files * count))
        .with_inputs(|| {
            let folder = tempfile::tempdir().expect("there is a temporary folder");
            let lake = lake(folder.path());
            for file in 0..files {
                lake.write(DAY, &rows(file * count, count)).expect("rows are written");
            }
            (lake, folder)
        })
        .bench_values(|(lake, folder)| {
            lake.compact(DAY, true).expect("files are merged");
            folder
        });
}

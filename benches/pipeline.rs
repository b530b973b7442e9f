//! Hit to rows, without a socket: `cargo bench --bench pipeline`.

use http::{HeaderMap, HeaderValue, header};
use real_streaming::{
    collect::{Config, CookieConfig},
    enrich,
    pipeline::Pipeline,
};

#[path = "../tests/it/hit.rs"]
mod hit;
use hit::hit;

fn main() {
    divan::main();
}

/// About 1 KB: the README's example with the parameters a real page sends.
const BODY: &str = concat!(
    r#"{"event_name":"page_view","event_params":[{"key":"page_location","value":{"string_value":"https://example.com/page?utm_source=news&utm_medium=email&gclid=abc"}},"#,
    r#"{"key":"page_title","value":{"string_value":"Home Page"}},{"key":"page_referrer","value":{"string_value":"https://www.google.com/"}},"#,
    r#"{"key":"ga_session_id","value":{"int_value":1750000000}},{"key":"ga_session_number","value":{"int_value":3}},{"key":"engagement_time_msec","value":{"int_value":1234}},"#,
    r#"{"key":"percent_scrolled","value":{"int_value":90}},{"key":"content_group","value":{"string_value":"shop"}}],"user_id":"user123","#,
    r#""privacy_info":{"ad_storage":true,"analytics_storage":true},"user_properties":[{"key":"user_type","value":{"string_value":"premium"}}],"#,
    r#""app_info":{"id":"web-app","version":"1.0.0"},"ecommerce":{"transaction_id":"T12345","value":99.99,"currency":"USD"},"#,
    r#""items":[{"item_id":"SKU123","item_name":"Product Name","price":99.99,"quantity":1}]}"#
);

fn collect(bencher: divan::Bencher, body: &str, media_type: &'static str) {
    let pipeline =
        Pipeline::new(&Config::default(), &[], &CookieConfig::default(), enrich::standard(&enrich::Config::default()));
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
    headers.insert(header::COOKIE, HeaderValue::from_static("theme=dark; __uid__=1234567890.1700000000"));
    let hit = hit(&headers, body.as_bytes());
    bencher.counter(divan::counter::BytesCount::of_str(body)).bench(|| pipeline.collect(divan::black_box(&hit)));
}

#[divan::bench]
fn one_event_of_1_kb(bencher: divan::Bencher) {
    collect(bencher, BODY, "application/json");
}

#[divan::bench]
fn smallest_event(bencher: divan::Bencher) {
    collect(bencher, r#"{"event_name":"page_view"}"#, "text/plain");
}

#[divan::bench]
fn batch_of_50(bencher: divan::Bencher) {
    collect(bencher, &format!("[{}]", [BODY; 50].join(",")), "application/json");
}

//! What the steps read of a hit: addresses, user agents, languages, places.

use std::sync::LazyLock;

use http::{HeaderMap, HeaderName};
use real_streaming::{
    enrich::{self, Atlas, CustomHeaders, Database, GeoConfig, GeoHeaders, Referrers, Traffic, TrafficConfig},
    pipeline::Pipeline,
};
use serde_json::Value;

use super::{
    hit::{self, texts},
    lines,
};

/// A page's address and its referrer, one a line.
pub fn page_url(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let (location, referrer) = text.split_once('\n').unwrap_or((&text, ""));
    let body = serde_json::json!({
        "event_name": "page_view",
        "params": { "page_location": location, "page_referrer": referrer },
    });
    for row in hit::rows(&hit::hit("", &HeaderMap::new(), body.to_string().as_bytes())) {
        let source = texts(&row["collected_traffic_source"]);
        for text in source.into_iter().chain(texts(&row["rs_info"]["click_ids"])) {
            assert!(!text.is_empty() && text.len() <= 1024, "a value is there and bounded: {text:?}");
            assert!(!text.contains(|c: char| c.is_ascii_control()), "no control characters: {text:?}");
        }
        if let Some(host) = row["device"]["web_info"]["hostname"].as_str() {
            assert!(!host.is_empty() && host.len() <= 253, "a host name has its bounds: {host:?}");
            assert!(!host.contains(['/', '?', '#', ' ', '@']), "a host is no address: {host:?}");
        }
    }
}

/// A referrer, then a file of sites of one's own.
pub fn referrer(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let (referrer, table) = text.split_once('\n').unwrap_or((&text, ""));
    let traffic = TrafficConfig { referrers: Referrers::read("own", table), ..TrafficConfig::default() };
    let mut problems = Vec::new();
    traffic.check("traffic", &mut problems);
    let lines = table.lines().count();
    assert!(problems.len() <= lines, "a line has one fault at most: {problems:?}");
    for problem in &problems {
        assert!(problem.hint.is_some() && problem.message.len() < 400, "a fault is short and has a hint: {problem:?}");
    }

    let pipeline = hit::pipeline_of(vec![Box::new(Traffic::new(&traffic))]);
    let body = serde_json::json!({ "event_name": "page_view", "params": { "page_referrer": referrer } }).to_string();
    for row in hit::rows_of(&pipeline, &hit::hit("", &HeaderMap::new(), body.as_bytes())) {
        let source = &row["collected_traffic_source"];
        if source.is_null() {
            assert_eq!(row["rs_info"]["channel_group"], Value::Null, "no source, no channel");
            continue;
        }
        let medium = source["manual_medium"].as_str().expect("a referrer has a medium");
        assert!(["organic", "ai-assistant", "referral"].contains(&medium), "{medium}");
        assert_eq!(source["manual_campaign_name"], format!("({medium})"));
        let name = source["manual_source"].as_str().expect("a referrer has a source");
        assert!(!name.is_empty() && !name.contains(char::is_whitespace), "{name:?}");
        let term = source["manual_term"].as_str();
        assert!(term.is_none_or(|term| !term.is_empty() && term.len() <= 1024), "{term:?}");
        assert!(row["rs_info"]["channel_group"].is_string(), "a source has a channel");
    }
}

/// `User-Agent` and the client hints, one a line.
pub fn user_agent(data: &[u8]) {
    const NAMES: [&str; 7] = [
        "user-agent",
        "sec-ch-ua",
        "sec-ch-ua-full-version-list",
        "sec-ch-ua-mobile",
        "sec-ch-ua-model",
        "sec-ch-ua-platform",
        "sec-ch-ua-platform-version",
    ];
    for row in hit::page_view(&hit::headers(NAMES.into_iter().zip(lines(data)))) {
        let (device, info) = (&row["device"], &row["rs_info"]);
        if let Some(text) = info["user_agent"].as_str() {
            assert!(text.len() <= 1024 && text == text.trim_ascii());
            assert!(info["is_bot"].is_boolean(), "whoever names itself is judged");
        }
        if let Some(category) = device["category"].as_str() {
            assert!(["desktop", "mobile", "tablet", "smart tv"].contains(&category), "{category}");
        }
        if let Some(model) = device["mobile_model_name"].as_str() {
            assert!(!model.is_empty() && model.len() <= 64, "{model:?}");
        }
        if let Some(version) = device["operating_system_version"].as_str() {
            let system = device["operating_system"].as_str().expect("a version is that of a system");
            assert!(version.starts_with(system), "{version:?} is not of {system:?}");
        }
    }
}

/// `Accept-Language`.
pub fn accept_language(data: &[u8]) {
    let headers = hit::headers([("accept-language", data)]);
    let sent = String::from_utf8_lossy(data).to_ascii_lowercase();
    for row in hit::page_view(&headers) {
        let Some(tag) = row["device"]["language"].as_str() else { continue };
        assert!((1..=35).contains(&tag.len()), "{tag:?}");
        assert!(tag.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-'), "{tag:?}");
        let mut ranges = sent.split(',').map(|range| range.split(';').next().unwrap_or_default().trim_ascii());
        assert!(ranges.any(|range| range == tag), "{tag:?} was sent");
    }
}

/// A pipeline for the headers of each provider, and their names: country, region, name of the region, city.
static PROVIDERS: LazyLock<Vec<(Pipeline, [&'static str; 4])>> = LazyLock::new(|| {
    let providers = [
        (GeoHeaders::Gcp, ["x-client-geo-country", "x-client-geo-region", "x-client-geo-state", "x-client-geo-city"]),
        (
            GeoHeaders::AppEngine,
            ["x-appengine-country", "x-appengine-region", "x-appengine-region", "x-appengine-city"],
        ),
        (GeoHeaders::Cloudflare, ["cf-ipcountry", "cf-region-code", "cf-region", "cf-ipcity"]),
        (
            GeoHeaders::CloudFront,
            [
                "cloudfront-viewer-country",
                "cloudfront-viewer-country-region",
                "cloudfront-viewer-country-region-name",
                "cloudfront-viewer-city",
            ],
        ),
        (
            GeoHeaders::Vercel,
            ["x-vercel-ip-country", "x-vercel-ip-country-region", "x-vercel-ip-city", "x-vercel-ip-city"],
        ),
        (
            GeoHeaders::Custom(CustomHeaders {
                country: Some(HeaderName::from_static("x-country")),
                region: Some(HeaderName::from_static("x-region")),
                city: None,
            }),
            ["x-country", "x-region", "x-client-geo-city", "x-client-geo-country"],
        ),
        (GeoHeaders::None, ["x-client-geo-country", "cf-ipcountry", "x-vercel-ip-country", "x-appengine-city"]),
    ];
    let pipeline = |headers| {
        let geo = GeoConfig { headers, ..GeoConfig::default() };
        hit::pipeline(&enrich::Config { geo, ..enrich::Config::default() })
    };
    providers.into_iter().map(|(headers, names)| (pipeline(headers), names)).collect()
});

/// A byte for the provider, then the values of its headers, one a line.
pub fn geo_headers(data: &[u8]) {
    let Some((choice, values)) = data.split_first() else { return };
    let provider = usize::from(*choice) % PROVIDERS.len();
    let (pipeline, names) = &PROVIDERS[provider];
    let headers = hit::headers(names.iter().copied().zip(lines(values)));
    let mut hit = hit::hit("", &headers, hit::PAGE_VIEW);
    let rows = hit::rows_of(pipeline, &hit);
    let last = PROVIDERS.len() - 1;
    for row in &rows {
        assert!(row["geo"].is_null() || provider != last, "no provider, no place");
        place_is_sound(row);
    }
    hit.from_trusted_proxy = false;
    for row in hit::rows_of(pipeline, &hit) {
        assert_eq!(row["geo"], Value::Null, "anybody can send a header");
    }
}

/// Names and codes of a place have their bounds and belong together.
fn place_is_sound(row: &Value) {
    let info = &row["rs_info"];
    for text in texts(&row["geo"]) {
        assert!((1..=128).contains(&text.len()), "a name is there and bounded: {text:?}");
        assert!(!text.contains(char::is_control), "{text:?}");
    }
    let country = info["country_code"].as_str();
    assert!(country.is_none_or(|code| code.len() == 2 && code.bytes().all(|b| b.is_ascii_uppercase())));
    if let Some(region) = info["region_code"].as_str() {
        let prefix = format!("{}-", country.expect("a region lies in a country"));
        let code = region.strip_prefix(&prefix).expect("a region's code begins with its country's");
        assert!((1..=3).contains(&code.len()), "{region:?}");
    }
}

/// One pipeline for all databases: each takes the place of the one before.
static ATLAS: LazyLock<(Atlas, Pipeline)> = LazyLock::new(|| {
    let atlas = Atlas::default();
    let pipeline = hit::pipeline_with(&enrich::Config::default(), &atlas);
    (atlas, pipeline)
});

/// The file of a database of addresses.
pub fn geo_database(data: &[u8]) {
    const ADDRESSES: [&str; 7] =
        ["203.0.113.77", "0.0.0.0", "255.255.255.255", "2001:db8::1", "::", "ffff::ffff", "::ffff:203.0.113.1"];
    let Ok(database) = Database::load(data.to_vec()) else { return };
    let (atlas, pipeline) = &*ATLAS;
    atlas.replace(database);
    let headers = HeaderMap::new();
    for address in ADDRESSES {
        let mut hit = hit::hit("", &headers, hit::PAGE_VIEW);
        hit.client_ip = address.parse().expect("these are addresses");
        hit::rows_of(pipeline, &hit).iter().for_each(place_is_sound);
    }
}

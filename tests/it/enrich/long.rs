//! Headers of a megabyte: of each only so much is looked at, which shows in what is not found behind it.

use real_streaming::{
    collect::Browser,
    enrich::{self, Config, GeoConfig, GeoHeaders},
    schema::Event,
};

use super::{Visit, device, info, text, web};

const MEGABYTE: usize = 1 << 20;
const CHROME: &str =
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36";

/// `length` bytes of padding, then the text.
fn after(length: usize, padding: &str, text: &str) -> String {
    padding.repeat(length / padding.len()) + text
}

#[test]
fn user_agents() {
    let agent = |length| {
        let agent = format!("{CHROME} {}", after(length, "x", " Googlebot/2.1"));
        let event = Visit::new().agent(&agent).header("accept-language", "de").enriched();
        (info(&event).is_bot, text(&info(&event).user_agent).len())
    };
    assert_eq!(agent(100).0, Some(true));
    for length in [1024, MEGABYTE] {
        assert_eq!(agent(length), (Some(false), 1024));
    }
    let nested = Visit::new().agent(&after(MEGABYTE, "(", "Android; ")).enriched();
    assert_eq!(text(&info(&nested).user_agent).len(), 1024);
}

#[test]
fn languages() {
    let language = |header: &str| {
        let event = Visit::new().header("accept-language", header).enriched();
        event.device.and_then(|device| device.language).unwrap_or_default().into_owned()
    };
    // Counted in ranges, and in bytes.
    assert_eq!(language(&after(31 * 6, "*;q=1,", "de")), "de");
    assert_eq!(language(&after(32 * 6, "*;q=1,", "de")), "");
    assert_eq!(language(&after(1_024, " ", "de")), "de");
    assert_eq!(language(&after(1_024, ";", ", de")), "de");
    for padding in [" ", ";", "*,", "q=", "de-", ",;q=0.1"] {
        assert_eq!(language(&after(MEGABYTE, padding, ",fr")), "", "{padding}");
    }
}

#[test]
fn geo_headers() {
    let geo = GeoConfig { headers: GeoHeaders::Gcp, ..GeoConfig::default() };
    let steps = enrich::standard(&Config { geo, ..Config::default() });
    let country = |value: &str| {
        let visit = Visit::new().header("x-client-geo-country", value).header("x-client-geo-region", "CHZH");
        let event = visit.header("x-client-geo-city", value).through(&steps).unwrap();
        event.geo.unwrap().country.unwrap_or_default().into_owned()
    };
    assert_eq!(country(&after(400, " ", "CH")), "Switzerland");
    assert_eq!(country("%43%48"), "Switzerland");
    for padding in [" ", "%20", "x", "%", "CH"] {
        assert_eq!(country(&after(MEGABYTE, padding, "CH")), "(not set)", "{padding}");
    }
}

/// The system's version and the browser's.
fn versions<'e>(event: &'e Event<'static>) -> (&'e str, &'e str) {
    (text(&device(event).operating_system_version), text(&web(event).browser_version))
}

#[test]
fn hints() {
    let list = |members: usize| [r#""Decoy";v="1""#].repeat(members).join(", ") + r#", "Google Chrome";v="126.1""#;
    let visit = |list: &str, version: &str| {
        let visit = Visit::new().agent(CHROME).header("sec-ch-ua-full-version-list", list);
        visit.header("sec-ch-ua-platform", "\"Windows\"").header("sec-ch-ua-platform-version", version)
    };
    let event = visit(&list(20), "\"15.0.0\"").enriched();
    assert_eq!(versions(&event), ("Windows 11", "126.1"));
    let quotes = "\"".repeat(MEGABYTE);
    for long in [list(100), list(10_000), quotes, after(MEGABYTE, "\"a\";", r#""Google Chrome";v="1""#)] {
        let event = visit(&long, &after(MEGABYTE, " ", "\"15.0.0\"")).enriched();
        assert_eq!(versions(&event), ("Windows 10", "126.0.0.0"));
    }
    // A pipeline never hands over such, but its texts are anybody's.
    let told = Browser { full_version_list: list(10_000).into(), ..Browser::default() };
    assert_eq!(versions(&Visit::new().agent(CHROME).told(told).enriched()).1, "126.0.0.0");
    let agent = CHROME.replace("Windows NT 10.0; Win64; x64", "Linux; Android 10; K");
    let event = Visit::new().agent(&agent).header("x-requested-with", after(MEGABYTE, "com.", "acme")).enriched();
    assert_eq!(text(&web(&event).browser), "Chrome");
}

#[test]
fn thousands_of_headers() {
    let mut visit = Visit::new().agent(CHROME).header("sec-ch-ua-platform", "\"Windows\"");
    for number in 0..10_000 {
        visit = visit.header(&format!("sec-ch-ua-{number}"), "x").header("sec-ch-ua-platform-version", "\"15.0.0\"");
    }
    assert_eq!(versions(&visit.enriched()).0, "Windows 11");
}

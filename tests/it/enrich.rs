//! The steps as a whole: requests in, columns out.

#![allow(clippy::unwrap_used)]

mod device_data;
mod geo_database;
mod hints;
mod long;
mod real_traffic;
mod tables;

use std::{borrow::Cow, net::IpAddr};

use http::{HeaderMap, HeaderName, HeaderValue};
use real_streaming::{
    collect::{Browser, DropReason, Hit},
    enrich::{self, BotAction, Config, Enricher, GeoConfig, GeoHeaders, IpMask, Referrers, TrafficConfig},
    schema::{Event, proto::event},
};

use crate::hit::hit;

const PHONE: &str = "Mozilla/5.0 (Linux; Android 13; SM-S911B) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Mobile Safari/537.36";

/// A request about to be enriched.
pub struct Visit {
    headers: HeaderMap,
    host: String,
    client_ip: IpAddr,
    trusted: bool,
    secure: bool,
    browser: Option<Browser<'static>>,
    event: Event<'static>,
}

impl Visit {
    /// A `page_view` through a trusted proxy, with nothing said yet.
    pub fn new() -> Visit {
        Visit {
            headers: HeaderMap::new(),
            host: "www.example.com".to_owned(),
            client_ip: "203.0.113.77".parse().unwrap(),
            trusted: true,
            secure: false,
            browser: None,
            event: Event { event_name: Some("page_view".into()), ..Event::default() },
        }
    }

    pub fn header(mut self, name: &str, value: impl AsRef<[u8]>) -> Visit {
        let value = HeaderValue::from_bytes(value.as_ref()).unwrap();
        self.headers.append(HeaderName::try_from(name).unwrap(), value);
        self
    }

    pub fn agent(self, user_agent: &str) -> Visit {
        self.header("user-agent", user_agent)
    }

    /// What the page's script told.
    pub fn told(mut self, browser: Browser<'static>) -> Visit {
        self.browser = Some(browser);
        self
    }

    pub fn param(mut self, key: &str, value: &str) -> Visit {
        let value = event::Value::text(value.to_owned());
        self.event.event_params.push(event::Param::new(key.to_owned(), value));
        self
    }

    pub fn page(self, location: &str) -> Visit {
        self.param("page_location", location)
    }

    pub fn from(self, referrer: &str) -> Visit {
        self.param("page_referrer", referrer)
    }

    /// Runs the steps.
    pub fn through(self, steps: &[Box<dyn Enricher>]) -> Result<Event<'static>, DropReason> {
        let hit = Hit {
            host: &self.host,
            client_ip: self.client_ip,
            client_named_in: None,
            from_trusted_proxy: self.trusted,
            secure: self.secure,
            browser: self.browser.as_ref(),
            ..hit(&self.headers, b"")
        };
        let mut event: Event<'_> = self.event;
        for step in steps {
            if let std::ops::ControlFlow::Break(reason) = step.enrich(&hit, &mut event) {
                return Err(reason);
            }
        }
        // As a row holds it: what the steps remembered is encoded already.
        Ok(event.spelled_out())
    }

    pub fn enriched(self) -> Event<'static> {
        self.through(&enrich::standard(&Config::default())).unwrap()
    }
}

fn device<'e>(event: &'e Event<'static>) -> &'e event::Device<'static> {
    event.device.as_ref().expect("a device")
}

fn web<'e>(event: &'e Event<'static>) -> &'e event::WebInfo<'static> {
    device(event).web_info.as_ref().expect("web_info")
}

fn source<'e>(event: &'e Event<'static>) -> &'e event::CollectedTrafficSource<'static> {
    event.collected_traffic_source.as_ref().expect("a source")
}

fn info<'e>(event: &'e Event<'static>) -> &'e event::RsInfo<'static> {
    event.rs_info.as_ref().expect("rs_info")
}

fn text<'e>(value: &'e Option<Cow<'static, str>>) -> &'e str {
    value.as_deref().unwrap_or("null")
}

#[test]
fn a_visit_fills_the_columns_of_ga4() {
    let event = Visit::new()
        .agent(PHONE)
        .header("accept-language", "de-CH,de;q=0.9")
        .header("x-client-geo-country", "CH")
        .page("https://example.com/page?utm_source=news&utm_medium=email&gclid=abc")
        .enriched();
    assert_eq!(text(&device(&event).category), "mobile");
    assert_eq!(text(&device(&event).operating_system), "Android");
    assert_eq!(text(&device(&event).operating_system_version), "Android 13");
    assert_eq!(text(&device(&event).mobile_brand_name), "Samsung");
    assert_eq!(text(&device(&event).mobile_model_name), "SM-S911B");
    assert_eq!(text(&device(&event).mobile_marketing_name), "Galaxy S23");
    assert_eq!(text(&device(&event).language), "de-ch");
    assert_eq!(text(&device(&event).is_limited_ad_tracking), "No");
    assert_eq!(device(&event).browser, None);
    assert_eq!(text(&web(&event).browser), "Chrome");
    assert_eq!(text(&web(&event).browser_version), "126.0.0.0");
    assert_eq!(text(&web(&event).hostname), "example.com");
    assert_eq!(event.event_dimensions.as_ref().and_then(|d| d.hostname.as_deref()), Some("example.com"));
    assert_eq!(text(&event.geo.as_ref().unwrap().country), "Switzerland");
    assert_eq!(text(&event.geo.as_ref().unwrap().continent), "Europe");
    assert_eq!(text(&event.geo.as_ref().unwrap().sub_continent), "Western Europe");
    assert_eq!(text(&event.geo.as_ref().unwrap().city), "(not set)");
    assert_eq!(text(&source(&event).manual_source), "news");
    assert_eq!(text(&source(&event).manual_medium), "email");
    assert_eq!(text(&source(&event).gclid), "abc");
    assert_eq!(event.param("source"), Some("news"));
    assert_eq!(event.param("medium"), Some("email"));
    assert_eq!(event.param("gclid"), Some("abc"));
    assert_eq!(text(&info(&event).ip), "203.0.113.0");
    assert_eq!(text(&info(&event).country_code), "CH");
    assert_eq!(text(&info(&event).user_agent), PHONE);
    assert_eq!(info(&event).is_bot, Some(false));
    assert_eq!(text(&info(&event).channel_group), "Email");
}

#[test]
fn two_signs_in_the_headers_make_a_robot_of_a_browser_and_one_does_not() {
    let visit = |headers: &[(&'static str, &'static str)], secure| {
        let mut visit = Visit::new().agent(PHONE);
        visit.secure = secure;
        let visit = headers.iter().fold(visit, |visit, (name, value)| visit.header(name, value));
        let event = visit.enriched();
        let info = info(&event);
        (info.is_bot == Some(true), info.bot_evidence.iter().map(|code| code.to_string()).collect::<Vec<_>>())
    };
    let language = ("accept-language", "de");
    let metadata = ("sec-fetch-site", "same-origin");
    let person = (false, vec![]);
    assert_eq!(visit(&[language, metadata], true), person);
    assert_eq!(visit(&[language], true), person);
    assert_eq!(visit(&[metadata], true), person);
    assert_eq!(visit(&[], false), person, "browsers send no fetch metadata to sites without TLS");
    assert_eq!(visit(&[], true), (true, vec!["no_accept_language".into(), "no_fetch_metadata".into()]));
    let other_version = ("sec-ch-ua", r#""Chromium";v="99", "Google Chrome";v="99""#);
    assert_eq!(visit(&[language, metadata, other_version], true), person);
    assert_eq!(
        visit(&[other_version, metadata], true),
        (true, vec!["no_accept_language".into(), "hint_mismatch".into()])
    );
    let same_version = ("sec-ch-ua", r#""Chromium";v="126", "Google Chrome";v="126""#);
    assert_eq!(visit(&[same_version, metadata], true), person);
}

#[test]
fn a_silent_visit_leaves_the_columns_null() {
    let event = Visit::new().enriched();
    assert_eq!(event.device, None);
    assert_eq!(event.geo, None);
    assert_eq!(event.collected_traffic_source, None);
    assert_eq!(event.event_dimensions, None);
    assert_eq!(event.event_params, []);
    assert_eq!(info(&event).is_bot, None);
    assert_eq!(info(&event).channel_group, None);
}

#[test]
fn geo_headers_of_strangers_do_not_count() {
    let mut visit = Visit::new().header("x-client-geo-country", "CH");
    visit.trusted = false;
    let event = visit.enriched();
    assert_eq!(event.geo, None);
    assert_eq!(info(&event).country_code, None);
}

#[test]
fn the_configuration_chooses_what_is_kept() {
    let geo = GeoConfig { ip: IpMask::None, headers: GeoHeaders::Cloudflare, ..GeoConfig::default() };
    let config = Config { bots: BotAction::Drop, geo, ..Config::default() };
    let steps = enrich::standard(&config);
    let robot = Visit::new().agent("Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)");
    assert_eq!(robot.through(&steps).err(), Some(DropReason::Bot));
    let event = Visit::new().agent(PHONE).header("cf-ipcountry", "JP").through(&steps).unwrap();
    assert_eq!(text(&event.geo.as_ref().unwrap().country), "Japan");
    assert_eq!(info(&event).ip, None);

    let blind = enrich::standard(&Config { bots: BotAction::Keep, ..Config::default() });
    let event = Visit::new().agent("curl/8.5.0").through(&blind).unwrap();
    assert_eq!((info(&event).is_bot, &info(&event).bot_name, &info(&event).bot_category), (None, &None, &None));
    assert_eq!(info(&event).bot_evidence, [] as [&str; 0]);
}

#[test]
fn a_configuration_is_read_and_judged() {
    let config: Config =
        serde_json::from_str(r#"{"bots":"drop","geo":{"ip":"full","headers":"cloudfront"},"user_agents":0}"#).unwrap();
    assert_eq!((config.bots, config.geo.ip), (BotAction::Drop, IpMask::Full));
    assert_eq!(config.geo.headers, GeoHeaders::CloudFront);
    let mut problems = Vec::new();
    config.check("enrich", &mut problems);
    assert_eq!(problems.len(), 1);
    assert_eq!(problems[0].path, "enrich.user_agents");
    assert!(serde_json::from_str::<Config>(r#"{"bot":"drop"}"#).is_err());
}

#[test]
fn one_step_never_undoes_what_the_client_said() {
    let mut visit = Visit::new().agent(PHONE).header("accept-language", "de").param("source", "theirs");
    visit.event.device_mut().language = Some("fr".into());
    visit.event.device_mut().category = Some("tablet".into());
    let event = visit.page("https://example.com/?utm_source=ours").enriched();
    assert_eq!(text(&device(&event).language), "fr");
    assert_eq!(text(&device(&event).category), "tablet");
    assert_eq!(text(&device(&event).operating_system), "Android");
    assert_eq!(event.param("source"), Some("theirs"));
    assert_eq!(text(&source(&event).manual_source), "ours");
}

#[test]
fn campaign_parameters_are_taken_as_ga4_takes_them() {
    let event = Visit::new()
        .page(concat!(
            "https://example.com/?utm_source=&utm_source=News+Letter&utm_medium=E%2Dmail&utm_campaign=%C3%BCber&utm_id=7",
            "&utm_term=a&utm_content=&utm_content=b&utm_source_platform=p&utm_creative_format=f&utm_marketing_tactic=t",
            "&utm_term=second&srsltid=s&dclid=d&msclkid=m&ScCid=sc&rdt_cid=r&gclsrc=aw.ds&fbclid=%20#utm_source=fragment"
        ))
        .enriched();
    let s = source(&event);
    assert_eq!(text(&s.manual_source), "News Letter");
    assert_eq!(text(&s.manual_medium), "E-mail");
    assert_eq!(text(&s.manual_campaign_name), "über");
    assert_eq!(text(&s.manual_campaign_id), "7");
    assert_eq!(text(&s.manual_term), "a");
    assert_eq!(text(&s.manual_content), "b");
    assert_eq!(text(&s.manual_source_platform), "p");
    assert_eq!(text(&s.manual_creative_format), "f");
    assert_eq!(text(&s.manual_marketing_tactic), "t");
    assert_eq!((text(&s.srsltid), text(&s.dclid), text(&s.gclid)), ("s", "d", "null"));
    let ids = info(&event).click_ids.as_ref().unwrap();
    assert_eq!((text(&ids.msclkid), text(&ids.sccid), text(&ids.fbclid)), ("m", "sc", "null"));
    assert_eq!((text(&ids.rdt_cid), text(&ids.gclsrc)), ("r", "aw.ds"));
    for (key, value) in [("campaign", "über"), ("term", "a"), ("content", "b"), ("campaign_id", "7"), ("srsltid", "s")]
    {
        assert_eq!(event.param(key), Some(value), "{key}");
    }
    assert_eq!(text(&info(&event).channel_group), "Email");
}

#[test]
fn an_ad_click_leaves_the_names_to_the_ad_account() {
    for id in ["gclid", "gbraid", "wbraid"] {
        let event =
            Visit::new().page(&format!("https://example.com/?{id}=abc")).from("https://www.google.com/").enriched();
        let s = event.collected_traffic_source.clone().unwrap_or_default();
        assert_eq!(s.manual_source, None, "{id}");
        assert_eq!(event.param("source"), None, "{id}");
        assert_eq!(text(&info(&event).channel_group), "Paid Search", "{id}");
    }
}

#[test]
fn click_identifiers_name_the_channel_when_nothing_else_does() {
    for (query, referrer, channel) in [
        ("msclkid=1", "https://www.bing.com/", "Paid Search"),
        ("ttclid=1", "", "Paid Social"),
        ("dclid=1", "", "Display"),
        ("irclickid=1", "", "Affiliates"),
        ("fbclid=1", "", "Organic Social"),
        ("fbclid=1", "https://l.facebook.com/", "Organic Social"),
        ("fbclid=1", "https://blog.example.org/", "Referral"),
        ("utm_source=chatgpt.com", "", "AI Assistant"),
        ("utm_campaign=only", "", "null"),
    ] {
        let event = Visit::new().page(&format!("https://example.com/?{query}")).from(referrer).enriched();
        assert_eq!(text(&info(&event).channel_group), channel, "{query} from {referrer}");
    }
}

#[test]
fn the_own_site_is_no_source() {
    for (page, referrer) in [
        ("https://www.example.com/b", "https://www.example.com/a"),
        ("https://shop.example.com/", "https://blog.example.com/"),
        ("https://example.co.uk/", "https://www.example.co.uk/"),
        ("http://localhost:3000/", "http://localhost:8080/"),
        ("http://127.0.0.1/", "http://127.0.0.1:8080/"),
        ("https://other.org/", "https://example.com/"), // the host of the request
        ("https://example.com/", "not an address"),
        ("https://example.com/", ""),
    ] {
        let event = Visit::new().page(page).from(referrer).enriched();
        assert_eq!(event.collected_traffic_source, None, "{referrer} -> {page}");
        assert_eq!(info(&event).channel_group, None, "{referrer} -> {page}");
    }
    for (page, referrer, expected) in [
        ("https://a.github.io/", "https://b.github.io/", "b.github.io"),
        ("http://10.0.0.1/", "http://10.1.0.1/", "10.1.0.1"),
        ("https://example.com/", "https://www../", "www."),
        ("https://shop.co.uk/", "https://other.co.uk/", "other.co.uk"),
    ] {
        let event = Visit::new().page(page).from(referrer).enriched();
        assert_eq!(text(&source(&event).manual_source), expected);
    }
}

#[test]
fn payment_providers_send_nobody() {
    let ignore = ["paypal.com", "Pay.Example.net"].map(str::to_owned).into();
    let traffic = TrafficConfig { ignore_referrers: ignore, ..TrafficConfig::default() };
    let steps = enrich::standard(&Config { traffic, ..Config::default() });
    let source = |referrer: &str| {
        let event = Visit::new().page("https://example.com/").from(referrer).through(&steps).unwrap();
        event.collected_traffic_source.and_then(|source| source.manual_source).unwrap_or("null".into())
    };
    assert_eq!(source("https://www.paypal.com/checkout"), "null");
    assert_eq!(source("https://pay.example.net/"), "null");
    assert_eq!(source("https://example.net/"), "example.net");
    assert_eq!(source("https://notpaypal.com/"), "notpaypal.com");
    assert_eq!(source("https://paypal.com.example.org/"), "paypal.com.example.org");
}

#[test]
fn a_file_of_ones_own_knows_sites_better() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "# ours\nintranet.example search intranet q,wort\nt.co assistant\n").unwrap();
    let traffic =
        TrafficConfig { referrers: Referrers::open(file.path().to_str().unwrap()), ..TrafficConfig::default() };
    let mut problems = Vec::new();
    traffic.check("traffic", &mut problems);
    assert_eq!(problems, []);
    let steps = enrich::standard(&Config { traffic, ..Config::default() });
    let from = |referrer: &str| Visit::new().page("https://example.com/").from(referrer).through(&steps).unwrap();
    let event = from("https://find.intranet.example/?wort=a+b");
    assert_eq!((text(&source(&event).manual_source), text(&source(&event).manual_medium)), ("intranet", "organic"));
    assert_eq!(event.param("term"), Some("a b"));
    assert_eq!(text(&source(&from("https://t.co/x")).manual_medium), "ai-assistant");
    assert_eq!(text(&source(&from("https://www.bing.com/")).manual_source), "bing");
}

#[test]
fn words_searched_for_are_a_term_where_the_engine_sends_them() {
    for (referrer, term) in [
        ("https://www.bing.com/search?q=red+shoes&form=x", "red shoes"),
        ("https://yandex.ru/search/?lr=1&text=%D0%BA%D0%BE%D1%82", "кот"),
        ("https://www.baidu.com/s?word=a", "a"),
        ("https://www.google.com/", "null"),
        ("https://www.google.com/?q=", "null"),
        ("https://www.bing.com/search?Query=a", "null"),
        ("https://blog.example.org/?q=a", "null"),
    ] {
        let event = Visit::new().page("https://example.com/").from(referrer).enriched();
        assert_eq!(text(&source(&event).manual_term), term, "{referrer}");
        assert_eq!(event.param("term").unwrap_or("null"), term, "{referrer}");
    }
    let event = Visit::new().page("https://example.com/?utm_term=mine").from("https://www.bing.com/?q=a").enriched();
    assert_eq!(text(&source(&event).manual_term), "mine");
}

#[test]
fn an_assistant_that_names_itself_only_is_one() {
    let collected = |query: &str| {
        let event = Visit::new().page(&format!("https://example.com/?{query}")).enriched();
        let s = source(&event);
        (text(&s.manual_medium).to_owned(), text(&s.manual_campaign_name).to_owned())
    };
    let pair = |medium: &str, campaign: &str| (medium.to_owned(), campaign.to_owned());
    assert_eq!(collected("utm_source=chatgpt.com"), pair("ai-assistant", "(ai-assistant)"));
    assert_eq!(collected("utm_source=chatgpt.com&utm_medium=cpc"), pair("cpc", "null"));
    assert_eq!(collected("utm_source=chatgpt.com&utm_campaign=a"), pair("null", "a"));
    assert_eq!(collected("utm_source=google"), pair("null", "null"));
}

#[test]
fn a_page_can_ask_to_ignore_the_referrer() {
    let visit = || Visit::new().page("https://example.com/").from("https://pay.example.net/");
    assert_eq!(visit().param("ignore_referrer", "true").enriched().collected_traffic_source, None);
    assert_eq!(text(&source(&visit().param("ignore_referrer", "false").enriched()).manual_source), "pay.example.net");
}

#[test]
fn a_long_user_agent_is_cut_at_a_character() {
    let long = format!("Mozilla/5.0 {}", "ü".repeat(1000));
    let event = Visit::new().agent(&long).enriched();
    let kept = info(&event).user_agent.as_deref().unwrap();
    assert_eq!(kept.len(), 1024);
    assert!(long.starts_with(kept));
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(300))]

    #[test]
    fn no_header_and_no_address_makes_a_step_fail(
        names in proptest::collection::vec(0usize..12, 0..12),
        values in proptest::collection::vec("(\\PC|[\"();,=:/%?0-9A-Za-z\u{80}-\u{ff}]){0,60}", 12),
        page in "((https?|android-app|)://)?(\\PC|[/?#&=%@:\\[\\].]){0,80}",
        referrer in "((https?|android-app)://)?(\\PC|[/?#&=%@:\\[\\].]){0,80}",
    ) {
        const NAMES: [&str; 12] = [
            "user-agent", "accept-language", "x-client-geo-country", "x-client-geo-region", "x-client-geo-city",
            "sec-ch-ua", "sec-ch-ua-full-version-list", "sec-ch-ua-platform", "sec-ch-ua-platform-version",
            "sec-ch-ua-model", "sec-ch-ua-mobile", "user-agent",
        ];
        let mut visit = Visit::new().page(&page).from(&referrer);
        for (name, value) in names.iter().zip(&values) {
            if HeaderValue::from_bytes(value.as_bytes()).is_ok() {
                let value = if *name == 11 { format!("Mozilla/5.0 (Linux; Android 10; {value}) Chrome/99") } else { value.clone() };
                visit = visit.header(NAMES[*name], &value);
            }
        }
        visit.through(STEPS.get_or_init(|| enrich::standard(&Config::default()))).unwrap();
    }
}

static STEPS: std::sync::OnceLock<Vec<Box<dyn Enricher>>> = std::sync::OnceLock::new();

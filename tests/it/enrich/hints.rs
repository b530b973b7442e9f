//! What browsers tell beside their `User-Agent`: hints in headers, hints that a script read, and other signs.

use real_streaming::{
    collect::Browser,
    enrich::{self, Config},
    schema::Event,
};

use super::{Visit, device, info, text, web};

const SAFARI: &str = "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.4 Safari/605.1.15";

/// Chrome's text on some machine.
fn chrome(comment: &str, mobile: &str) -> String {
    format!("Mozilla/5.0 ({comment}) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0{mobile} Safari/537.36")
}

fn windows() -> String {
    chrome("Windows NT 10.0; Win64; x64", "")
}

/// The frozen text of every phone.
fn phone() -> String {
    chrome("Linux; Android 10; K", " Mobile")
}

/// Category, system with version, brand, model, browser, its version.
fn machine(event: &Event<'static>) -> [String; 6] {
    let device = device(event);
    let columns = [
        &device.category,
        &device.operating_system_version,
        &device.mobile_brand_name,
        &device.mobile_model_name,
        &web(event).browser,
        &web(event).browser_version,
    ];
    columns.map(|column| text(column).to_owned())
}

#[test]
fn hints_correct_a_frozen_user_agent() {
    let full = r#""Not/A)Brand";v="8.0.0.0", "Chromium";v="126.0.6478.127", "Google Chrome";v="126.0.6478.127""#;

    let windows = Visit::new()
        .agent(&windows())
        .header("sec-ch-ua-platform", "\"Windows\"")
        .header("sec-ch-ua-platform-version", "\"15.0.0\"")
        .header("sec-ch-ua-full-version-list", full)
        .enriched();
    assert_eq!(text(&device(&windows).operating_system_version), "Windows 11");
    assert_eq!(text(&web(&windows).browser_version), "126.0.6478.127");

    let android = Visit::new()
        .agent(&phone())
        .header("sec-ch-ua-platform", "\"Android\"")
        .header("sec-ch-ua-platform-version", "\"14.0.0\"")
        .header("sec-ch-ua-model", "\"Pixel 8 Pro\"")
        .header("sec-ch-ua-mobile", "?1")
        .enriched();
    assert_eq!(text(&device(&android).operating_system_version), "Android 14");
    assert_eq!(text(&device(&android).mobile_model_name), "Pixel 8 Pro");
    assert_eq!(text(&device(&android).mobile_brand_name), "Google");

    let mac = Visit::new()
        .agent(&chrome("Macintosh; Intel Mac OS X 10_15_7", ""))
        .header("sec-ch-ua-platform", "\"macOS\"")
        .header("sec-ch-ua-platform-version", "\"14.5.0\"")
        .header("sec-ch-ua", r#""Chromium";v="126", "Brave";v="126", "Not.A/Brand";v="24""#)
        .enriched();
    assert_eq!(text(&device(&mac).operating_system_version), "Macintosh Intel 14.5");
    assert_eq!(text(&web(&mac).browser), "Brave");

    let safari = Visit::new()
        .agent(SAFARI)
        .header("sec-ch-ua-platform", "\"Windows\"")
        .header("sec-ch-ua-platform-version", "\"15.0.0\"")
        .enriched();
    assert_eq!(text(&device(&safari).operating_system_version), "Macintosh Intel 10.15");

    let headless = Visit::new()
        .agent(&chrome("X11; Linux x86_64", ""))
        .header("sec-ch-ua", r#""HeadlessChrome";v="126", "Chromium";v="126""#)
        .enriched();
    assert_eq!(info(&headless).is_bot, Some(true));
    assert_eq!(text(&info(&headless).bot_name), "HeadlessChrome");
    assert_eq!(info(&headless).bot_evidence, ["hint_headless"]);
}

#[test]
fn the_same_text_with_other_hints_is_another_client() {
    let steps = enrich::standard(&Config::default());
    let visit = |version: &str| {
        let visit = Visit::new().agent(&windows()).header("sec-ch-ua-platform", "\"Windows\"");
        let event = visit.header("sec-ch-ua-platform-version", version).through(&steps).unwrap();
        text(&device(&event).operating_system_version).to_owned()
    };
    for _ in 0..2 {
        assert_eq!(visit("\"15.0.0\""), "Windows 11");
        assert_eq!(visit("\"10.0.0\""), "Windows 10");
        assert_eq!(visit("nonsense"), "Windows 10");
    }
}

#[test]
fn what_a_script_read_counts_before_the_header_of_the_same_hint() {
    let told = Browser {
        full_version_list: r#""Chromium";v="126.0.6478.127", "Microsoft Edge";v="126.0.2592.81""#.into(),
        platform_version: "15.0.0".into(),
        ..Browser::default()
    };
    let visit = || {
        Visit::new()
            .agent(&windows())
            .header("sec-ch-ua-full-version-list", r#""Chromium";v="126.0.1.1", "Google Chrome";v="126.0.1.1""#)
            .header("sec-ch-ua-platform", "\"Windows\"")
            .header("sec-ch-ua-platform-version", "\"10.0.0\"")
    };
    let headers_alone = ["desktop", "Windows 10", "null", "null", "Chrome", "126.0.1.1"];
    assert_eq!(machine(&visit().enriched()), headers_alone);
    // The platform itself was not told, so the header's stands.
    let both = ["desktop", "Windows 11", "null", "null", "Edge", "126.0.2592.81"];
    assert_eq!(machine(&visit().told(told).enriched()), both);
    assert_eq!(machine(&visit().told(Browser::default()).enriched()), headers_alone);
}

#[test]
fn hints_of_a_script_alone_are_enough() {
    let told = Browser {
        full_version_list:
            r#""Not/A)Brand";v="8.0.0.0", "Chromium";v="126.0.6478.122", "Google Chrome";v="126.0.6478.122""#.into(),
        model: "SM-S928B".into(),
        platform: "Android".into(),
        platform_version: "14.0.0".into(),
        mobile: Some(true),
        ..Browser::default()
    };
    let event = Visit::new().agent(&phone()).told(told.clone()).enriched();
    assert_eq!(machine(&event), ["mobile", "Android 14", "Samsung", "SM-S928B", "Chrome", "126.0.6478.122"]);
    // Nobody but Chromium has hints.
    let event = Visit::new().agent(SAFARI).told(told).enriched();
    assert_eq!(machine(&event), ["desktop", "Macintosh Intel 10.15", "Apple", "null", "Safari", "17.4"]);
}

#[test]
fn a_macintosh_with_many_fingers_is_an_ipad() {
    let touched = |agent: &str, points: i64| {
        let told = Browser { max_touch_points: Some(points), ..Browser::default() };
        machine(&Visit::new().agent(agent).told(told).enriched())
    };
    let mac = ["desktop", "Macintosh Intel 10.15", "Apple", "null", "Safari", "17.4"];
    for points in [-1, 0, 1] {
        assert_eq!(touched(SAFARI, points), mac);
    }
    assert_eq!(touched(SAFARI, 5), ["tablet", "iOS 17.4", "Apple", "iPad", "Safari", "17.4"]);
    let chrome_on_ipad = "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) CriOS/126.0.6478.35 Version/11.1.1 Safari/605.1.15";
    assert_eq!(touched(chrome_on_ipad, 5), ["tablet", "iOS", "Apple", "iPad", "Chrome", "126.0.6478.35"]);
    // Chromium for macOS runs on no iPad.
    let chrome_on_mac = chrome("Macintosh; Intel Mac OS X 10_15_7", "");
    assert_eq!(touched(&chrome_on_mac, 5)[..2], ["desktop", "Macintosh Intel 10.15"]);
    assert_eq!(touched(&windows(), 10)[0], "desktop");
}

#[test]
fn shapes_and_models_say_what_a_machine_is() {
    let category = |agent: &str, model: &'static str, shapes: &'static str, mobile: Option<bool>| {
        let told = Browser { model: model.into(), form_factors: shapes.into(), mobile, ..Browser::default() };
        machine(&Visit::new().agent(agent).told(told).enriched())[0].clone()
    };
    let tablet = chrome("Linux; Android 10; K", "");
    for (agent, model, shapes, mobile, expected) in [
        (&phone(), "", "", Some(true), "mobile"),
        (&tablet, "", "", Some(false), "tablet"),
        (&tablet, "", "", Some(true), "mobile"),
        (&tablet, "SM-X710", "", Some(true), "tablet"),
        (&phone(), "SM-X710", r#""Mobile""#, Some(true), "tablet"),
        (&tablet, "SM-F946B", r#""Tablet""#, Some(false), "mobile"),
        (&tablet, "Pixel 8", r#""Mobile""#, None, "mobile"),
        (&phone(), "", r#""Tablet""#, None, "tablet"),
        (&phone(), "", r#""Watch""#, None, "mobile"),
        (&tablet, "", r#""Desktop", "XR""#, None, "mobile"),
        (&tablet, "", r#""Desktop""#, None, "desktop"),
        (&phone(), "", r#""Automotive", "EInk""#, None, "mobile"),
        (&windows(), "", r#""Tablet""#, Some(false), "tablet"),
    ] {
        assert_eq!(category(agent, model, shapes, mobile), expected, "{agent} {model} {shapes} {mobile:?}");
    }
    let event = Visit::new().agent(&windows()).header("sec-ch-ua-form-factors", r#""Tablet""#).enriched();
    assert_eq!(text(&device(&event).category), "tablet");
}

#[test]
fn an_app_that_names_itself_shows_pages_in_a_view() {
    for (agent, app, browser) in [
        (phone(), "com.acme.shop", "Android Webview"),
        (phone(), "XMLHttpRequest", "Chrome"),
        (phone(), "com.android.chrome", "Chrome"),
        (phone(), "not an app.", "Chrome"),
        (phone() + " EdgA/126.0.0.0", "com.microsoft.emmx", "Edge"),
        (windows(), "com.acme.shop", "Chrome"),
    ] {
        let event = Visit::new().agent(&agent).header("x-requested-with", app).enriched();
        assert_eq!(text(&web(&event).browser), browser, "{app}");
    }
}

#[test]
fn a_text_keeps_its_own_version_where_the_brand_has_the_engines() {
    let agent = phone() + " OPR/83.1.4388.80445";
    let list = r#""Opera Mobile";v="83.1", "Chromium";v="126.0.6478.122""#;
    let event = Visit::new().agent(&agent).header("sec-ch-ua-full-version-list", list).enriched();
    assert_eq!(machine(&event)[4..], ["Opera", "83.1.4388.80445"]);
    let agent = windows() + " OPR/112.0.0.0";
    let list = r#""Opera";v="112.0.5197.25", "Chromium";v="126.0.6478.122""#;
    let event = Visit::new().agent(&agent).header("sec-ch-ua-full-version-list", list).enriched();
    assert_eq!(machine(&event)[4..], ["Opera", "112.0.5197.25"]);
}

#[test]
fn a_browser_that_is_steered_says_so() {
    let visit = |webdriver| {
        let told = Browser { webdriver, ..Browser::default() };
        Visit::new().agent(SAFARI).header("accept-language", "de").told(told).enriched()
    };
    for nobody in [None, Some(false)] {
        assert_eq!(info(&visit(nobody)).is_bot, Some(false));
    }
    let steered = visit(Some(true));
    assert_eq!((info(&steered).is_bot, text(&info(&steered).bot_category)), (Some(true), "automation"));
    assert_eq!(info(&steered).bot_evidence, ["webdriver"]);

    let told = Browser { webdriver: Some(true), ..Browser::default() };
    let headless = Visit::new().agent(
        "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) HeadlessChrome/126.0.0.0 Safari/537.36",
    );
    let headless = headless.told(told).enriched();
    assert_eq!(text(&info(&headless).bot_name), "HeadlessChrome");
    assert_eq!(info(&headless).bot_evidence, ["ua_name", "webdriver"]);
}

#[test]
fn hints_of_a_script_from_a_browser_that_has_none_are_a_sign() {
    let told = Browser { brands: r#""Chromium";v="126""#.into(), ..Browser::default() };
    let event = Visit::new().agent(SAFARI).told(told).enriched();
    assert_eq!(info(&event).bot_evidence, ["no_accept_language", "hint_mismatch"]);
}

#[test]
fn the_scripts_language_counts_before_the_headers() {
    let language = |told: &'static str, header: &str| {
        let told = Browser { language: told.into(), ..Browser::default() };
        let event = Visit::new().header("accept-language", header).told(told).enriched();
        event.device.and_then(|device| device.language).unwrap_or_default().into_owned()
    };
    assert_eq!(language("fr-CH", "de-CH,de;q=0.9"), "fr-ch");
    assert_eq!(language("", "de-CH,de;q=0.9"), "de-ch");
    assert_eq!(language("<script>", "de-CH,de;q=0.9"), "de-ch");
    assert_eq!(language("en", ""), "en");
}

#[test]
fn everything_told_is_part_of_what_is_remembered() {
    let steps = enrich::standard(&Config::default());
    let plain = || Browser { platform: "Android".into(), mobile: Some(true), ..Browser::default() };
    let tellings = [
        (plain(), ["mobile", "Android 10", "null", "null", "Chrome", "126.0.0.0"]),
        (
            Browser { platform_version: "14".into(), ..plain() },
            ["mobile", "Android 14", "null", "null", "Chrome", "126.0.0.0"],
        ),
        (
            Browser { model: "Pixel 8".into(), ..plain() },
            ["mobile", "Android 10", "Google", "Pixel 8", "Chrome", "126.0.0.0"],
        ),
        (
            Browser { form_factors: "\"Tablet\"".into(), ..plain() },
            ["tablet", "Android 10", "null", "null", "Chrome", "126.0.0.0"],
        ),
        (
            Browser { brands: "\"Brave\";v=\"126\"".into(), ..plain() },
            ["mobile", "Android 10", "null", "null", "Brave", "126"],
        ),
        (
            Browser { full_version_list: "\"Google Chrome\";v=\"126.1\"".into(), ..plain() },
            ["mobile", "Android 10", "null", "null", "Chrome", "126.1"],
        ),
    ];
    for _ in 0..2 {
        for (told, expected) in &tellings {
            let event = Visit::new().agent(&phone()).told(told.clone()).through(&steps).unwrap();
            assert_eq!(&machine(&event), expected, "{told:?}");
        }
        for (points, category) in [(0, "desktop"), (5, "tablet")] {
            let told = Browser { max_touch_points: Some(points), ..Browser::default() };
            let event = Visit::new().agent(SAFARI).told(told).through(&steps).unwrap();
            assert_eq!(text(&device(&event).category), category);
        }
        for (app, browser) in [("XMLHttpRequest", "Chrome"), ("com.acme.shop", "Android Webview")] {
            let event = Visit::new().agent(&phone()).header("x-requested-with", app).through(&steps).unwrap();
            assert_eq!(text(&web(&event).browser), browser);
        }
    }
}

//! Agreement with the labels of real traffic, where that file is at hand. They are another detector's answers, so this
//! measures agreement, not truth; the texts on which the two disagree are printed.

use std::{
    collections::HashMap,
    io::{BufRead, BufReader},
    path::Path,
};

use real_streaming::enrich::{self, Config};
use serde::Deserialize;

use super::{Visit, device, info, text, web};

#[derive(Deserialize)]
struct Label {
    ua: String,
    weight: u64,
    bot: bool,
    client_type: String,
    browser: String,
    browser_version: String,
    os: String,
    os_family: String,
    device_type: String,
    brand: String,
}

impl Label {
    fn category(&self) -> Option<&'static str> {
        Some(match self.device_type.as_str() {
            "smartphone" | "phablet" | "feature phone" | "portable media player" | "wearable" => "mobile",
            "desktop" => "desktop",
            "tablet" => "tablet",
            "tv" | "console" => "smart tv",
            _ => return None,
        })
    }

    fn system(&self) -> Option<&'static str> {
        Some(match (self.os.as_str(), self.os_family.as_str()) {
            ("Tizen", _) => "Tizen",
            (_, "Android") => "Android",
            (_, "iOS") => "iOS",
            (_, "Mac") => "Macintosh",
            (_, "Windows") => "Windows",
            (_, "GNU/Linux") => "Linux",
            (_, "Chrome OS") => "Chrome OS",
            _ => return None,
        })
    }

    /// The label in GA4's vocabulary, which knows apps only as web views.
    fn browser(&self) -> Option<&str> {
        let in_app = if self.os_family == "iOS" { "Safari (in-app)" } else { "Android Webview" };
        Some(match self.browser.as_str() {
            "Chrome" | "Chrome Mobile" | "Chrome Mobile iOS" | "Headless Chrome" | "Chromium" => "Chrome",
            "Chrome Webview" => "Android Webview",
            // A text without version comes from a page inside an app.
            "Mobile Safari" if self.browser_version.is_empty() => "Safari (in-app)",
            "Safari" if self.browser_version.is_empty() => "Safari (in-app)",
            "Safari" | "Mobile Safari" => "Safari",
            "Samsung Browser" => "Samsung Internet",
            "Microsoft Edge" => "Edge",
            "Firefox" | "Firefox Mobile" | "Firefox Mobile iOS" | "Firefox Focus" => "Firefox",
            "Mobile Silk" => "Amazon Silk",
            "Opera" | "Opera Mobile" | "Opera GX" | "Opera Touch" => "Opera",
            "Mi Browser" => "MIUI Browser",
            "Huawei Browser Mobile" | "Huawei Browser" => "Huawei Browser",
            "DuckDuckGo Privacy Browser" => "DuckDuckGo",
            "UC Browser" => "UC Browser",
            "Yandex Browser" => "YaBrowser",
            "vivo Browser" => "Vivo Browser",
            "HeyTapBrowser" => "HeyTap Browser",
            "Internet Explorer" => "Internet Explorer",
            "Android Browser" => "Android Browser",
            _ if self.client_type == "mobile app" => in_app,
            _ => return None,
        })
    }

    fn brand(&self) -> Option<&str> {
        Some(match self.brand.as_str() {
            "" => return None,
            "Tecno Mobile" => "Tecno",
            "iTel" => "Itel",
            "POCO" | "Redmi" => "Xiaomi",
            other => other,
        })
    }
}

/// Hits that agree and hits that have a label, and what was said instead.
#[derive(Default)]
struct Score {
    agree: u64,
    all: u64,
    wrong: HashMap<(String, String), (u64, String)>,
}

impl Score {
    fn count(&mut self, expected: Option<&str>, got: &str, label: &Label) {
        let Some(expected) = expected else { return };
        self.all += label.weight;
        if expected == got {
            self.agree += label.weight;
        } else {
            let entry = self.wrong.entry((expected.to_owned(), got.to_owned())).or_default();
            entry.0 += label.weight;
            if entry.1.is_empty() {
                entry.1.clone_from(&label.ua);
            }
        }
    }

    fn percent(&self) -> f64 {
        self.agree as f64 * 100.0 / self.all.max(1) as f64
    }

    fn print(&self, what: &str) {
        println!("{what}: {:.2} % of {} hits agree", self.percent(), self.all);
        let mut wrong: Vec<_> = self.wrong.iter().collect();
        wrong.sort_by_key(|(_, (weight, _))| std::cmp::Reverse(*weight));
        for ((expected, got), (weight, example)) in wrong.into_iter().take(12) {
            println!("  {weight:5} {expected} is {got} here: {example}");
        }
    }
}

#[test]
fn real_traffic_is_read_as_others_read_it() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data/ua_real_traffic.jsonl.gz");
    let Ok(file) = std::fs::File::open(&path) else {
        crate::world::skip("no labelled user agents beside the checkout to compare with");
        return;
    };
    // A tenth of the texts is enough for a look; an optimised build reads them all in half a second.
    let every = if cfg!(debug_assertions) { 10 } else { 1 };
    let steps = enrich::standard(&Config::default());
    let [mut category, mut system, mut browser, mut brand, mut people, mut robots] =
        std::array::from_fn(|_| Score::default());
    for line in BufReader::new(flate2::read::GzDecoder::new(file)).lines().step_by(every) {
        let label: Label = serde_json::from_str(&line.unwrap()).unwrap();
        let Ok(visit) = std::panic::catch_unwind(|| Visit::new().agent(&label.ua)) else { continue };
        let event = visit.through(&steps).unwrap();
        if event.device.is_none() {
            continue;
        }
        let is_bot = if info(&event).is_bot == Some(true) { "bot" } else { "person" };
        if label.bot {
            robots.count(Some("bot"), is_bot, &label);
            continue;
        }
        if label.client_type == "browser" || label.client_type == "mobile app" {
            people.count(Some("person"), is_bot, &label);
        }
        category.count(label.category(), text(&device(&event).category), &label);
        system.count(label.system(), text(&device(&event).operating_system), &label);
        browser.count(label.browser(), text(&web(&event).browser), &label);
        brand.count(label.brand(), text(&device(&event).mobile_brand_name), &label);
    }
    for (score, what) in [
        (&category, "category"),
        (&system, "operating system"),
        (&browser, "browser"),
        (&brand, "brand"),
        (&people, "people"),
        (&robots, "robots"),
    ] {
        score.print(what);
    }
    assert!(category.percent() >= 99.0);
    assert!(system.percent() >= 99.0);
    assert!(browser.percent() >= 98.0);
    assert!(brand.percent() >= 95.0);
    assert!(people.percent() >= 99.9);
}

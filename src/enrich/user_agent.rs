//! What a `User-Agent` text says: the patterns of uap-core for names and versions, own rules for what it does not tell
//! (category, model code) or tells differently from GA4.
//!
//! A pure function of the text, and a slow one: about 12 microseconds. [`super::agents`] remembers its answers.

use std::sync::LazyLock;

use ua_parser::{Extractor, Regexes};

use super::{
    brands, browsers,
    robots::{self, Category, Evidence, Robot},
};

/// Longest text looked at and kept, in bytes. Real ones end below 512.
pub const MAX_LENGTH: usize = 1024;

/// What is known of the machine behind a hit, in GA4's spelling.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Agent {
    /// `desktop`, `mobile`, `tablet` or `smart tv`; `None` when there was no text to look at.
    pub category: Option<&'static str>,
    /// `Android`.
    pub system: Option<&'static str>,
    /// `13`, without the name of the system.
    pub system_version: Option<String>,
    /// `Samsung`.
    pub brand: Option<String>,
    /// `SM-S911B`.
    pub model: Option<String>,
    /// `Chrome`.
    pub browser: Option<String>,
    /// `126.0.0.0`.
    pub browser_version: Option<String>,
    /// Who it is, when it is a robot.
    pub robot: Option<Robot>,
}

/// The patterns, compiled on first use: that takes a tenth of a second.
static PATTERNS: LazyLock<Extractor<'static>> = LazyLock::new(|| {
    let text = include_str!(concat!(env!("OUT_DIR"), "/user_agent_patterns.json"));
    let regexes: Regexes<'static> = serde_json::from_str(text).expect("the build script wrote pattern lists");
    Extractor::try_from(regexes).expect("the patterns of the pinned uap-core compile")
});

/// Compiles the patterns on a thread of their own, so that neither start-up nor the first hit waits for them. A hit
/// that comes in earlier waits for the rest: answers never depend on it.
pub fn warm_up() {
    let compile = || {
        LazyLock::force(&PATTERNS);
    };
    // Without a thread the first hit compiles.
    let _ = std::thread::Builder::new().name("ua-patterns".into()).spawn(compile);
}

/// Reads a text, which the caller has cut to [`MAX_LENGTH`].
pub fn parse(text: &str) -> Agent {
    if text.trim().is_empty() {
        return Agent::default();
    }
    let (browser, system, device) = PATTERNS.extract(text);
    let family = browser.as_ref().map_or("", |browser| browser.family.as_ref());
    let version = browser.as_ref().map(|b| dotted([b.major, b.minor, b.patch, b.patch_minor]));
    let system_numbers = system
        .as_ref()
        .and_then(|s| dotted([s.major.as_deref(), s.minor.as_deref(), s.patch.as_deref(), s.patch_minor.as_deref()]));
    let (system, system_version) = system_name(text, system.as_ref().map_or("", |s| &s.os), system_numbers);
    let robot = robots::read(text);
    let (browser, browser_version) = browsers::name(text, family, version.flatten(), system, robot.as_ref());
    let category = category(text, system);
    let model = model(text, system);
    let brand = brands::name(system, model.as_deref(), device.as_ref().and_then(|d| d.brand.as_deref()));
    // The system of LG's televisions before webOS.
    let brand = brand.or_else(|| text.contains("NetCast").then(|| "LG".to_owned()));
    let is_spider = device.as_ref().is_some_and(|d| d.device == "Spider");
    let robot = robot.or_else(|| is_spider.then(|| spider(family)));
    Agent { category: Some(category), system, system_version, brand, model, browser, browser_version, robot }
}

/// A robot that only uap-core knows.
fn spider(family: &str) -> Robot {
    let name = Some(family.to_owned()).filter(|family| !matches!(family.as_str(), "" | "Other"));
    Robot { name, category: Category::Other, evidence: vec![Evidence::UaPattern] }
}

fn dotted(parts: [Option<&str>; 4]) -> Option<String> {
    let present: Vec<&str> = parts.into_iter().map_while(|part| part.filter(|p| !p.is_empty())).collect();
    (!present.is_empty()).then(|| present.join("."))
}

/// GA4's name and version of a system that uap-core calls `family`.
fn system_name(text: &str, family: &str, version: Option<String>) -> (Option<&'static str>, Option<String>) {
    let name = match family {
        "Windows" => "Windows",
        "Mac OS X" | "Mac OS" => return (Some("Macintosh"), Some(mac_version(text, version))),
        // iPods and iPads too: GA4 has no system of their own for them.
        "iOS" | "iPadOS" => "iOS",
        "tvOS" | "ATV OS X" => "tvOS",
        // Fire OS, HarmonyOS and their like write the Android they are compatible with; GA4 goes by that.
        _ if text.contains("Android") && !text.contains("Windows Phone") => {
            return (Some("Android"), android_version(text).or(version.filter(|_| family == "Android")));
        }
        "Android" => "Android",
        "HarmonyOS" | "FireOS" | "Fire OS" => return (Some("Android"), None),
        "Chrome OS" => "Chrome OS",
        "Chromecast" | "Google TV" => "Android",
        "Windows Phone" | "Windows Mobile" => "Windows Phone",
        "BlackBerry OS" | "BlackBerry Tablet OS" => "BlackBerry",
        "Symbian OS" | "Symbian^3" | "Symbian^3 Anna" | "Symbian^3 Belle" => "Symbian OS",
        "Tizen" => "Tizen",
        "webOS" | "web0S" => "webOS",
        "KaiOS" => "KaiOS",
        "Firefox OS" => "Firefox OS",
        "Bada" => "Bada",
        "FreeBSD" => "FreeBSD",
        "OpenBSD" => "OpenBSD",
        "NetBSD" => "NetBSD",
        "Solaris" => "SunOS",
        // Distributions.
        _ if text.contains("CrOS") => "Chrome OS",
        _ if text.contains("PlayStation") => "PlayStation",
        _ if text.contains("Nintendo") => "Nintendo",
        _ if text.contains("Web0S") || text.contains("webOS") => "webOS",
        _ if text.contains("Tizen") => "Tizen",
        _ if text.contains("Linux") || text.contains("X11") => return (Some("Linux"), None),
        _ => return (None, None),
    };
    // No browser writes `NT 11.0`; those who wish they were on Windows 11 do.
    let version = version
        .map(|version| if version == "NT" && text.contains("Windows NT 11") { "11".to_owned() } else { version });
    (Some(name), version)
}

/// `Android 8.1.0;` or `Android 13)`, where uap-core's pattern may stop at another product's number.
fn android_version(text: &str) -> Option<String> {
    let (_, after) = text.split_once("Android ")?;
    let version = &after[..after.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(after.len())];
    let version = version.trim_matches('.');
    (!version.is_empty()).then(|| version.to_owned())
}

/// GA4 writes the processor of the text and two numbers: `Intel 10.15`. Browsers froze both years ago.
fn mac_version(text: &str, version: Option<String>) -> String {
    let processor = if text.contains("PPC") { "PPC" } else { "Intel" };
    match version {
        Some(version) => format!("{processor} {}", major_minor(&version)),
        None => processor.to_owned(),
    }
}

/// The first two numbers of a version.
pub fn major_minor(version: &str) -> &str {
    let end = version.match_indices('.').nth(1).map_or(version.len(), |(at, _)| at);
    &version[..end]
}

/// GA4 knows four categories: what is smaller than a phone is `mobile`, a console is a `smart tv`, the rest a desktop.
fn category(text: &str, system: Option<&str>) -> &'static str {
    let has = |tokens: &[&str]| tokens.iter().any(|token| text.contains(token));
    if is_tv(text) {
        return "smart tv";
    }
    if has(&["iPad"]) {
        return "tablet";
    }
    if has(&["iPhone", "iPod", "Watch"]) {
        return "mobile";
    }
    if has(&["PlayStation Vita", "Nintendo Switch", "Nintendo 3DS", "Nintendo DS"]) {
        return "mobile";
    }
    if has(&["PlayStation", "PLAYSTATION", "Xbox", "Nintendo"]) {
        return "smart tv";
    }
    match system {
        // Unfolded, these phones ask for the pages of a tablet.
        Some("Android") if has(&[" SM-F"]) => "mobile",
        Some("Android") if is_android_tablet(text) => "tablet",
        Some("Android") if has(&["Mobile", "mobile", "Phone", "Opera Mini", "Opera Mobi"]) => "mobile",
        // Google's own advice to makers: a tablet's browser does not say `Mobile`. Other browsers never say it.
        Some("Android") if has(&["Chrome/", "Safari/", "Firefox/"]) => "tablet",
        Some("Android" | "iOS" | "Windows Phone" | "BlackBerry" | "Symbian OS" | "KaiOS" | "Firefox OS" | "Bada") => {
            if has(&["PlayBook", "Tablet;"]) {
                "tablet"
            } else {
                "mobile"
            }
        }
        Some("Tizen" | "webOS") => "mobile",
        Some("Windows") if has(&["Tablet PC"]) || !has(&["Mobile"]) => "desktop",
        _ if has(&["Mobile", "Opera Mini", "J2ME", "MIDP", "UCWEB", "Nokia", "BlackBerry"]) => "mobile",
        _ if has(&["Silk/", "Kindle"]) => "tablet",
        _ => "desktop",
    }
}

fn is_tv(text: &str) -> bool {
    const TOKENS: &[&str] = &[
        "SmartTV",
        "SMART-TV",
        "Smart-TV",
        "Smart TV",
        "SmartHub",
        "HbbTV",
        "GoogleTV",
        "Google TV",
        "Android TV",
        "AppleTV",
        "Apple TV",
        "CrKey",
        "BRAVIA",
        "Bravia",
        "Web0S",
        "NetCast",
        "NETTV",
        "Roku",
        "VIDAA",
        "Viera",
        "VIERA",
        "DTV",
        "AFTB",
        "AFTS",
        "AFTM",
        "AFTT",
        "AFTN",
        "AFTK",
        "AFTR",
        "AFTA",
        "AFTG",
        "AFTE",
        "AFTL",
        "AFTJ",
        "AFTH",
        "AFTW",
        "AFTP",
        "OTT",
        "MiTV",
        "MIBOX",
        "Chromecast",
        "SHIELD Android TV",
        "TV Build",
        "TV BOX",
        "TV Box",
        "TVBOX",
        "Andr0id",
        "Large Screen",
        "MagicBox",
        "TSBNetTV",
        "AQUOS-TV",
        "Philips TV",
        "PhilipsTV",
        "TPM191E",
        "TPM171E",
        "SmartTv",
        "InettvBrowser",
        "InetTV",
        "QM16",
        "POV_TV",
        "ADT-",
        "BeyondTV",
        "H96",
        "X96",
        "MXQ",
    ];
    TOKENS.iter().any(|token| text.contains(token)) || text.contains("Tizen") && text.contains("TV")
}

fn is_android_tablet(text: &str) -> bool {
    const TOKENS: &[&str] = &[
        "Tablet",
        "tablet",
        " SM-T",
        " SM-X",
        " SM-P",
        " GT-P",
        " GT-N80",
        " GT-N51",
        " TB-",
        " TB3",
        "Lenovo TAB",
        "Lenovo YT",
        "Nexus 7",
        "Nexus 9",
        "Nexus 10",
        "Pixel C",
        " Pad",
        "Pad ",
        "MediaPad",
        "MatePad",
        "MI PAD",
        "Xiaomi Pad",
        "KFT",
        "KFO",
        "KFJ",
        "KFM",
        "KFS",
        "KFA",
        "KFG",
        "KFD",
        "KFR",
        "KFQ",
        "KFP",
        " Tab ",
        " TAB ",
        " AGS",
        " BAH",
        " JDN2",
        " KOB2",
        " MRX-",
        " SCM-",
        " DBY",
        " SHT-",
        " CMR-",
        " BZT",
        " HDN-",
        " AGR-",
        " T1-",
        " LM-T",
        " VOY-",
        "21051182",
        "22081283",
        "23043RP34",
        "23073RPBFG",
        "22081281",
        "Transformer",
        "Xoom",
        "Iconia",
        "A3-A",
        "B3-A",
        " B1-7",
        "SHIELD Tablet",
        "Nokia T2",
        "moto tab",
        " RMP2",
        " OPD2",
        " 8094",
        " 8068",
        " 9032",
        " 9081",
        "TAB-",
        "_TAB",
        "GT-P",
        "X80",
        "Touchpad",
        "TouchPad",
    ];
    TOKENS.iter().any(|token| text.contains(token))
}

/// Model code as the maker writes it. The web never says which iPhone it is.
fn model(text: &str, system: Option<&str>) -> Option<String> {
    match system? {
        "iOS" => ["iPad", "iPod touch", "iPod", "iPhone"].into_iter().find(|m| text.contains(m)).map(|model| {
            // iPod touch writes `iPod` or `iPod touch`, depending on the year.
            if model == "iPod" { "iPod touch".to_owned() } else { model.to_owned() }
        }),
        "Android" => android_model(text).map(str::to_owned),
        _ => None,
    }
}

/// The part of `(Linux; Android 13; SM-S911B Build/TP1A; wv)` that is neither system, nor language, nor build.
fn android_model(text: &str) -> Option<&str> {
    let comment = &text[text.find("Android")?..];
    let comment = &comment[..closing(comment)];
    let parts = comment.split(';').skip(1).map(str::trim);
    for part in parts {
        let part = part.split(" Build/").next().unwrap_or(part);
        let part = part.strip_prefix("Build/").map_or(part, |_| "");
        let part = part.trim().trim_start_matches("arm_64").trim();
        if part.is_empty() || is_noise(part) {
            continue;
        }
        // Some browsers put the maker before the code.
        let code = ["SAMSUNG ", "HUAWEI ", "Huawei "].into_iter().find_map(|maker| part.strip_prefix(maker));
        return Some(super::url::cut(code.unwrap_or(part), 64));
    }
    None
}

/// Where the comment ends: at the parenthesis that was opened before it, not at one of its own.
fn closing(comment: &str) -> usize {
    let mut depth = 0;
    for (at, byte) in comment.bytes().enumerate() {
        match byte {
            b'(' => depth += 1,
            b')' if depth == 0 => return at,
            b')' => depth -= 1,
            _ => {}
        }
    }
    comment.len()
}

fn is_noise(part: &str) -> bool {
    // `K` stands for every model in browsers that froze their text.
    const WORDS: &[&str] = &[
        "K",
        "U",
        "wv",
        "Mobile",
        "Tablet",
        "TV",
        "Linux",
        "arm",
        "arm_64",
        "x86",
        "x86_64",
        "HarmonyOS",
        "HMSCore",
        "unknown",
    ];
    let is_language = || {
        let bytes = part.as_bytes();
        let letters = |range: &[u8]| range.iter().all(u8::is_ascii_alphabetic);
        (bytes.len() == 2 && part.bytes().all(|b| b.is_ascii_lowercase()))
            || (bytes.len() == 5
                && matches!(bytes[2], b'-' | b'_')
                && letters(&bytes[..2])
                && letters(&bytes[3..])
                && bytes[0].is_ascii_lowercase())
    };
    WORDS.contains(&part)
        || part.starts_with("rv:")
        || part.starts_with("HMSCore")
        || part.starts_with("Android ")
        || part.starts_with("API ")
        || part.starts_with("Opera ")
        || part.contains("://")
        || is_language()
}

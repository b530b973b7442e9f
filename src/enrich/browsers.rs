//! Browsers in GA4's vocabulary.
//!
//! GA4 knows few names. All of Chrome is `Chrome`, on iPhones too; pages inside apps are `Android Webview` or `Safari
//! (in-app)`, whatever the app; small browsers that do not say who they are count as what they are built on.

use super::robots::Robot;

const WEBVIEW: &str = "Android Webview";
const IN_APP: &str = "Safari (in-app)";

/// A token that names a browser for certain: token, GA4's name. The first one found in a text decides.
#[rustfmt::skip]
const TOKENS: &[(&str, &str)] = &[
    ("Edg/", "Edge"), ("EdgA/", "Edge"), ("EdgiOS/", "Edge"), ("Edge/", "Edge"),
    ("OPR/", "Opera"), ("OPX/", "Opera"), ("OPT/", "Opera"), ("OPiOS/", "Opera Mini"), ("Opera Mini/", "Opera Mini"), ("OPRGX/", "Opera"),
    ("SamsungBrowser/", "Samsung Internet"), ("YaBrowser/", "YaBrowser"), ("YaSearchBrowser/", "YaBrowser"),
    ("UCBrowser/", "UC Browser"), ("UBrowser/", "UC Browser"), ("UCWEB", "UC Browser"), ("Silk/", "Amazon Silk"), ("Whale/", "Whale Browser"),
    ("coc_coc_browser/", "Coc Coc"), ("Vivaldi/", "Vivaldi"), ("MiuiBrowser/", "MIUI Browser"), ("HuaweiBrowser/", "Huawei Browser"),
    ("VivoBrowser/", "Vivo Browser"), ("HeyTapBrowser/", "HeyTap Browser"), ("QQBrowser/", "QQ Browser"), ("MQQBrowser/", "QQ Browser"),
    ("Puffin/", "Puffin"), ("PaleMoon/", "Pale Moon"), ("SeaMonkey/", "SeaMonkey"), ("Maxthon", "Maxthon"), ("Iron/", "Iron"),
    ("DuckDuckGo/", "DuckDuckGo"), ("Ddg/", "DuckDuckGo"), ("Focus/", "Firefox"), ("FxiOS/", "Firefox"), ("CriOS/", "Chrome"),
    ("Sleipnir/", "Sleipnir"), ("Konqueror/", "Konqueror"), ("(BB10", "BlackBerry"), ("PlayBook", "BlackBerry"), ("BlackBerry", "BlackBerry"),
    ("Trident/", "Internet Explorer"), ("MSIE ", "Internet Explorer"), ("IEMobile", "Internet Explorer"),
];

/// A token of an app that shows pages inside itself.
const APPS: &[&str] = &[
    "FBAN/",
    "FBAV/",
    "FB_IAB/",
    "FBIOS",
    "Instagram",
    "Pinterest/",
    "[Pinterest",
    "Snapchat",
    "Twitter for",
    "TwitterAndroid",
    "Line/",
    "MicroMessenger/",
    "GSA/",
    "musical_ly",
    "BytedanceWebview",
    "TikTok",
    "Flipboard",
    "NAVER(",
    "KAKAOTALK",
    "LinkedInApp",
    "DuckDuckGo/5 app",
    "BingSapphire/",
    "Ecosia ios",
    "EcosiaIos",
    "FlipboardProxy",
    "Viber",
    "VKAndroidApp",
    "AlohaBrowser/",
];

/// Name and version of the browser in a text that uap-core calls `family`.
pub fn name(
    text: &str,
    family: &str,
    version: Option<String>,
    system: Option<&str>,
    robot: Option<&Robot>,
) -> (Option<String>, Option<String>) {
    let found = |name: &str, version: Option<String>| (Some(name.to_owned()), version);
    // A robot is its own browser, unless it steers one of people's.
    if let Some(name) = robot.and_then(Robot::service) {
        return found(name, after(text, &format!("{name}/")).or(version.filter(|_| family == name)));
    }
    // Apps of these makers name their browser in every view.
    if text.contains("; wv)") && (text.contains("Whale/") || text.contains("HuaweiBrowser/")) {
        return found(WEBVIEW, after(text, "Chrome/"));
    }
    if let Some((token, name)) = TOKENS.iter().find(|(token, _)| text.contains(token)) {
        let own = after(text, token);
        return found(name, if *name == "Internet Explorer" { version.or(own) } else { own.or(version) });
    }
    if robot.is_some() && !matches!(family, "" | "Other") && !text.contains("HeadlessChrome") {
        return found(family, version);
    }
    let is_app = APPS.iter().any(|token| text.contains(token));
    match system {
        Some("iOS") if is_app || !text.contains("Safari/") || !text.contains("Version/") => {
            return found(IN_APP, after(text, "Version/"));
        }
        Some("Android") if is_app || text.contains("; wv)") => {
            return found(WEBVIEW, after(text, "Chrome/").or(version));
        }
        _ => {}
    }
    // Web views keep the version of the browser they came after, in a desktop view as well.
    if text.contains("Version/4.0 Chrome/") {
        return found(WEBVIEW, after(text, "Chrome/"));
    }
    if text.starts_with("Dalvik/") {
        return found("Android Runtime", after(text, "Dalvik/"));
    }
    if text.contains("Chrome/") || text.contains("Chromium/") {
        return found("Chrome", after(text, "Chrome/").or_else(|| after(text, "Chromium/")));
    }
    if text.contains("Firefox/") {
        return found("Firefox", after(text, "Firefox/"));
    }
    if text.contains("Android") && text.contains("Safari/") {
        return found("Android Browser", after(text, "Version/"));
    }
    if text.contains("Macintosh") && text.contains("AppleWebKit/") && !text.contains("Safari/") {
        return found(IN_APP, None);
    }
    if text.contains("Safari/") && text.contains("Version/") {
        return found("Safari", after(text, "Version/"));
    }
    match family {
        "" | "Other" if text.starts_with("Mozilla/") => found("Mozilla Compatible Agent", None),
        "" | "Other" => (None, None),
        "IE" | "IE Mobile" => found("Internet Explorer", version),
        "Mobile Safari" => found("Safari", version),
        "Chrome Mobile" | "Chrome Mobile iOS" => found("Chrome", version),
        "Firefox Mobile" | "Firefox iOS" => found("Firefox", version),
        "Opera Mobile" | "Opera Tablet" => found("Opera", version),
        _ => found(family, version),
    }
}

/// The number that follows a token.
fn after(text: &str, token: &str) -> Option<String> {
    let (_, rest) = text.split_once(token)?;
    let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
    let version = rest[..end].trim_matches('.');
    (!version.is_empty()).then(|| super::url::cut(version, 32).to_owned())
}

/// GA4's name for a brand of the client hints, and how much it says: engines are less than the browsers built on them.
pub fn of_hint(brand: &str) -> Option<(&'static str, Weight)> {
    #[rustfmt::skip]
    let row = match brand {
        "Microsoft Edge" | "Microsoft Edge WebView2" => ("Edge", Weight::Product),
        "Opera" | "Opera GX" | "Opera Mobile" | "Opera Air" => ("Opera", Weight::Product),
        "Opera Mini" => ("Opera Mini", Weight::Product),
        "Samsung Internet" => ("Samsung Internet", Weight::Product),
        "Yandex" | "YaBrowser" | "Yowser" => ("YaBrowser", Weight::Product),
        "Whale" | "Naver Whale" => ("Whale Browser", Weight::Product),
        "Brave" => ("Brave", Weight::Product),
        "Vivaldi" => ("Vivaldi", Weight::Product),
        "DuckDuckGo" => ("DuckDuckGo", Weight::Product),
        "Amazon Silk" | "Silk" => ("Amazon Silk", Weight::Product),
        "UCBrowser" | "UC Browser" => ("UC Browser", Weight::Product),
        "CocCoc" | "Coc Coc" => ("Coc Coc", Weight::Product),
        "HuaweiBrowser" | "Huawei Browser" => ("Huawei Browser", Weight::Product),
        "Android WebView" => (WEBVIEW, Weight::Host),
        "HeadlessChrome" => ("Chrome", Weight::Host),
        "Google Chrome" => ("Chrome", Weight::Host),
        "Chromium" => ("Chrome", Weight::Engine),
        _ => return None,
    };
    Some(row)
}

/// How specific a brand is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Weight {
    /// What others are built on.
    Engine,
    /// Google's own build of it.
    Host,
    /// A browser with a name of its own.
    Product,
}

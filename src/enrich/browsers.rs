//! Browsers in GA4's vocabulary.
//!
//! GA4 knows few names. All of Chrome is `Chrome`, on iPhones too; pages inside apps are `Android Webview` or `Safari
//! (in-app)`, whatever the app; small browsers that do not say who they are count as what they are built on.

use std::borrow::Cow;

use super::{
    robots::{Category, Robot},
    tokens::{self, Anchor, Tokens},
};

/// A page inside an app.
pub const WEBVIEW: &str = "Android Webview";
/// What GA4 calls a browser that does not say who it is.
pub const COMPATIBLE: &str = "Mozilla Compatible Agent";
const IN_APP: &str = "Safari (in-app)";

/// A token that names a browser for certain: token, GA4's name. The first one found in a text decides.
#[rustfmt::skip]
pub const TOKENS: &[(&str, &str)] = &[
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
pub const APPS: &[&str] = &[
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

/// A browser: GA4's name, and its version.
pub type Browser<'t> = (Cow<'t, str>, Option<Cow<'t, str>>);

/// What the words of a text say for certain.
pub fn of_tokens<'t>(tokens: &Tokens<'t>, system: Option<&str>, robot: Option<&Robot>) -> Option<Browser<'t>> {
    let has = |anchor| tokens.has(anchor);
    let found = |name: &'static str, version: Option<&'t str>| Some((name.into(), version.map(Cow::Borrowed)));
    let chrome = || tokens.version(Anchor::Chrome);
    // A robot is its own browser, unless it steers one of people's.
    if let Some(name) = robot.and_then(Robot::service) {
        return Some((name.to_owned().into(), version_of(tokens.text, name)));
    }
    // Apps of these makers name their browser in every view.
    if has(Anchor::WebView) && (has(Anchor::Whale) || has(Anchor::HuaweiBrowser)) {
        return found(WEBVIEW, chrome());
    }
    if let Some((row, end)) = tokens.browser {
        let (_, name) = TOKENS[usize::from(row)];
        let own = tokens.text.get(usize::from(end)..).and_then(tokens::version);
        return match name {
            "Internet Explorer" => found(name, Some(explorer_version(tokens)?)),
            _ => Some((name.into(), Some(own?.into()))),
        };
    }
    if let Some(name) = robot.filter(|robot| robot.category != Category::Automation).and_then(|r| r.name.as_deref()) {
        return Some((name.to_owned().into(), version_of(tokens.text, name)));
    }
    match system {
        Some("iOS") if tokens.is_app || !has(Anchor::Safari) || !has(Anchor::Version) => {
            return found(IN_APP, tokens.version(Anchor::Version));
        }
        Some("Android") if tokens.is_app || has(Anchor::WebView) => return found(WEBVIEW, Some(chrome()?)),
        _ => {}
    }
    // Web views keep the version of the browser they came after, in a desktop view as well.
    if has(Anchor::VersionOfView) {
        return found(WEBVIEW, chrome());
    }
    if tokens.text.starts_with("Dalvik/") {
        return found("Android Runtime", tokens.version(Anchor::Dalvik));
    }
    if has(Anchor::Chrome) || has(Anchor::Chromium) {
        return found("Chrome", chrome().or_else(|| tokens.version(Anchor::Chromium)));
    }
    if has(Anchor::Firefox) {
        return found("Firefox", tokens.version(Anchor::Firefox));
    }
    if has(Anchor::Android) && has(Anchor::Safari) {
        return found("Android Browser", tokens.version(Anchor::Version));
    }
    if has(Anchor::Macintosh) && has(Anchor::AppleWebKit) && !has(Anchor::Safari) {
        return found(IN_APP, None);
    }
    if has(Anchor::Safari) && has(Anchor::Version) {
        return found("Safari", tokens.version(Anchor::Version));
    }
    // Nobody asks the patterns about robots.
    let robot = robot?;
    if let Some(name) = robot.name.as_deref()
        && let Some(version) = version_of(tokens.text, name)
    {
        return Some((name.to_owned().into(), Some(version)));
    }
    tokens.text.starts_with("Mozilla/").then_some((COMPATIBLE.into(), None))
}

/// GA4's name of a browser that uap-core calls `family`.
pub fn of_family<'t>(
    tokens: &Tokens<'t>,
    system: Option<&str>,
    family: Cow<'t, str>,
    version: Option<Cow<'t, str>>,
) -> Option<Browser<'t>> {
    if let Some((row, end)) = tokens.browser {
        let own = tokens.text.get(usize::from(end)..).and_then(tokens::version).map(Cow::Borrowed);
        return Some((TOKENS[usize::from(row)].1.into(), version.or(own)));
    }
    if system == Some("Android") && (tokens.is_app || tokens.has(Anchor::WebView)) {
        return Some((WEBVIEW.into(), version));
    }
    let name = match &*family {
        "" if tokens.text.starts_with("Mozilla/") => return Some((COMPATIBLE.into(), None)),
        "" => return None,
        "IE" | "IE Mobile" => "Internet Explorer",
        "Mobile Safari" => "Safari",
        "Chrome Mobile" | "Chrome Mobile iOS" => "Chrome",
        "Firefox Mobile" | "Firefox iOS" => "Firefox",
        "Opera Mobile" | "Opera Tablet" => "Opera",
        _ => return Some((family, version)),
    };
    Some((name.into(), version))
}

/// The number after `name/`.
fn version_of<'t>(text: &'t str, name: &str) -> Option<Cow<'t, str>> {
    let mut places = text.match_indices(name).map(|(at, name)| &text[at + name.len()..]);
    tokens::version(places.find_map(|after| after.strip_prefix('/'))?).map(Cow::Borrowed)
}

/// The engine's version tells the true one, since `MSIE` may stand for the one that it imitates.
fn explorer_version<'t>(tokens: &Tokens<'t>) -> Option<&'t str> {
    let own = || tokens.version(Anchor::IeMobile).or_else(|| tokens.version(Anchor::MicrosoftIe));
    match tokens.version(Anchor::Trident) {
        Some("7.0") => Some("11.0"),
        Some("6.0") => Some("10.0"),
        Some("5.0") => Some("9.0"),
        Some("4.0") => Some("8.0"),
        _ => own(),
    }
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

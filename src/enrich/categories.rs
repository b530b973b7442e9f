//! Whether a machine is a desktop, a phone, a tablet or a television.
//!
//! GA4 knows four categories: what is smaller than a phone is `mobile`, a console is a `smart tv`, the rest a desktop.

use super::tokens::{Anchor, Tokens};

/// What words tell about the size and use of a machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Sign {
    /// A television or a box beside one.
    Television,
    /// A tablet, if it runs Android.
    AndroidTablet,
    /// A tablet that runs something else.
    OtherTablet,
    /// A phone that unfolds to a tablet.
    Foldable,
    /// On the wrist.
    Watch,
    /// A console in the hand.
    Handheld,
    /// A console under the television.
    Console,
    /// Says that it is a phone.
    Phone,
    /// Phones from before there were smart ones.
    FeaturePhone,
    /// A reader of books.
    Reader,
    /// In the hands of a person, whatever it is: what apps, phones from before there were smart ones, and browsers that
    /// show no pictures name where others write `Mozilla/5.0`.
    Person,
}

/// The words of each sign.
#[rustfmt::skip]
pub const SIGNS: &[(Sign, &[&str])] = &[
    (Sign::Television, &[
        "SmartTV", "SMART-TV", "Smart-TV", "Smart TV", "SMART TV", "SmartHub", "HbbTV", "GoogleTV", "Google TV", "Android TV",
        "AppleTV", "Apple TV", "CrKey", "BRAVIA", "Bravia", "Web0S", "NetCast", "NETTV", "Roku", "VIDAA", "Viera",
        "VIERA", "DTV", "AFTB", "AFTS", "AFTM", "AFTT", "AFTN", "AFTK", "AFTR", "AFTA", "AFTG", "AFTE", "AFTL",
        "AFTJ", "AFTH", "AFTW", "AFTP", "OTT", "MiTV", "MIBOX", "Chromecast", "SHIELD Android TV", "TV Build",
        "TV BOX", "TV Box", "TVBOX", "Andr0id", "Large Screen", "MagicBox", "TSBNetTV", "AQUOS-TV", "Philips TV",
        "PhilipsTV", "TPM191E", "TPM171E", "SmartTv", "InettvBrowser", "InetTV", "QM16", "POV_TV", "ADT-",
        "BeyondTV", "H96", "X96", "MXQ",
    ]),
    (Sign::AndroidTablet, &[
        "Tablet", "tablet", " SM-T", " SM-X", " SM-P", " GT-P", " GT-N80", " GT-N51", " TB-", " TB3", "Lenovo TAB",
        "Lenovo YT", "Nexus 7", "Nexus 9", "Nexus 10", "Pixel C", " Pad", "Pad ", "MediaPad", "MatePad", "MI PAD",
        "Xiaomi Pad", "KFT", "KFO", "KFJ", "KFM", "KFS", "KFA", "KFG", "KFD", "KFR", "KFQ", "KFP", " Tab ", " TAB ",
        " AGS", " BAH", " BG2", " JDN2", " KOB2", " MRX-", " SCM-", " DBY", " SHT-", " CMR-", " BZT", " HDN-", " AGR-",
        " T1-", " LM-T", " VOY-", "21051182", "22081283", "23043RP34", "23073RPBFG", "22081281", "Transformer",
        "Xoom", "Iconia", "A3-A", "B3-A", " B1-7", "SHIELD Tablet", "Nokia T2", "moto tab", " RMP2", " OPD2",
        " 8094", " 8068", " 9032", " 9081", "TAB-", "_TAB", "GT-P", "X80", "Touchpad", "TouchPad",
    ]),
    (Sign::OtherTablet, &["PlayBook", "Tablet;"]),
    (Sign::Foldable, &[" SM-F"]),
    (Sign::Watch, &["Watch"]),
    (Sign::Handheld, &["PlayStation Vita", "Nintendo Switch", "Nintendo 3DS", "Nintendo DS"]),
    (Sign::Console, &["PlayStation", "PLAYSTATION", "Xbox", "Nintendo"]),
    (Sign::Phone, &["Mobile", "mobile", "Phone", "Opera Mini", "Opera Mobi"]),
    (Sign::FeaturePhone, &["Mobile", "Opera Mini", "J2ME", "MIDP", "UCWEB", "Nokia", "BlackBerry"]),
    (Sign::Reader, &["Silk/", "Kindle"]),
    (Sign::Person, &[
        "Android", "iPhone", "iPad", "iPod", "iOS", "-ios-", "tvOS", "watchOS", "CFNetwork/", "Darwin/", "Dalvik/",
        "Windows Phone", "Windows CE", "Symbian", "Series60", "Tizen", "Web0S", "webOS", "KAIOS", "HarmonyOS",
        "OpenHarmony", "HbbTV", "Roku", "Kindle", "Silk/", "PlayStation", "PLAYSTATION", "PSP", "Nintendo", "Xbox",
        "J2ME", "MIDP", "CLDC", "UCWEB", "NetFront", "Obigo", "UP.Browser", "UP.Link", "BlackBerry", "Nokia",
        "SonyEricsson", "SAMSUNG", "Samsung", "HUAWEI", "LG-", "LGE", "LG/", "MOT-", "SIE-", "ZTE", "Alcatel",
        "SHARP", "DoCoMo", "KDDI", "SoftBank", "Vodafone", "Browser", "browser", "Konqueror", "iCab", "OmniWeb", "Links (",
        "ELinks", "Lynx/", "w3m/", "Dillo", "NetSurf", "Netbox",
    ]),
];

/// The category of an Android machine whose model, told by a hint, is known to be a tablet or to unfold to one.
pub fn of_model(model: &str) -> Option<&'static str> {
    // Some words begin or end with a blank.
    let model = format!(" {model} ");
    let shows = |sign| SIGNS.iter().any(|(of, words)| *of == sign && words.iter().any(|word| model.contains(word)));
    if shows(Sign::Foldable) {
        return Some("mobile");
    }
    shows(Sign::AndroidTablet).then_some("tablet")
}

/// The category of a machine that runs `system`.
pub fn name(tokens: &Tokens<'_>, system: Option<&str>) -> &'static str {
    let shows = |sign| tokens.shows(sign);
    let has = |anchor| tokens.has(anchor);
    if shows(Sign::Television) || has(Anchor::Tizen) && has(Anchor::ConnectedTv) {
        return "smart tv";
    }
    if has(Anchor::IPad) {
        return "tablet";
    }
    if has(Anchor::IPhone) || has(Anchor::IPod) || shows(Sign::Watch) || shows(Sign::Handheld) {
        return "mobile";
    }
    if shows(Sign::Console) {
        return "smart tv";
    }
    match system {
        // Unfolded, these phones ask for the pages of a tablet.
        Some("Android") if shows(Sign::Foldable) => "mobile",
        Some("Android") if shows(Sign::AndroidTablet) => "tablet",
        Some("Android") if shows(Sign::Phone) => "mobile",
        // Google's own advice to makers: a tablet's browser does not say `Mobile`. Other browsers never say it.
        Some("Android") if has(Anchor::Chrome) || has(Anchor::Safari) || has(Anchor::Firefox) => "tablet",
        Some("Android" | "iOS" | "Windows Phone" | "BlackBerry" | "Symbian OS" | "KaiOS" | "Firefox OS" | "Bada") => {
            if shows(Sign::OtherTablet) {
                "tablet"
            } else {
                "mobile"
            }
        }
        Some("Tizen" | "webOS") => "mobile",
        Some("Windows") if has(Anchor::WindowsTablet) || !has(Anchor::Mobile) => "desktop",
        _ if shows(Sign::FeaturePhone) => "mobile",
        _ if shows(Sign::Reader) => "tablet",
        _ => "desktop",
    }
}

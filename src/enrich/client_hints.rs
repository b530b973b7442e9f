//! User-Agent client hints: what Chromium tells beside its frozen `User-Agent`, and how the two become one answer.
//!
//! Hints count only when the text is Chromium's: nobody else sends them, so elsewhere they are made up. What a script in
//! the page read ([`Browser`]) counts before the header of the same hint, field by field: it is the newer, and the only
//! one where the page and the collector are not of one origin.
//!
//! Two signs that are no hints stand beside them. A Safari that says it runs on a Macintosh and feels several fingers is
//! an iPad, which asks for the pages of desktops. And a view inside an Android app names the app in `X-Requested-With`.

use std::{borrow::Cow, sync::LazyLock};

use http::HeaderMap;
use memchr::memmem::Finder;

use super::{
    brands,
    browsers::{self, Weight},
    categories,
    robots::{Category, Evidence, Robot},
    systems::major_minor,
    url,
    user_agent::Agent,
};
use crate::collect::{Browser, Hit};

/// Brands that give their engine's version, whose text has their own.
const OWN_VERSION: [&str; 2] = ["DuckDuckGo", "Opera Mobile"];

/// The word of Chromium and all that is built on it.
pub static CHROME: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new("Chrome/"));

/// Longest hint believed, in bytes; a full version list has four or five members.
pub const MAX_HINT: usize = 512;

/// Hints that are texts.
pub const TEXTS: usize = 7;

/// Names of what tells them: the headers, then the signs beside.
pub const NAMES: [&str; 9] = [
    "sec-ch-ua",
    "sec-ch-ua-full-version-list",
    "sec-ch-ua-form-factors",
    "sec-ch-ua-mobile",
    "sec-ch-ua-model",
    "sec-ch-ua-platform",
    "sec-ch-ua-platform-version",
    "x-requested-with",
    "max_touch_points",
];

/// The hints of a hit, as sent but for the quotes around a whole text. Absent ones are empty.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Hints<'a> {
    /// `Sec-CH-UA`: brands with major versions.
    pub brands: &'a str,
    /// `Sec-CH-UA-Full-Version-List`: brands with full versions.
    pub full_version_list: &'a str,
    /// `Sec-CH-UA-Form-Factors`: what the machine is shaped like.
    pub form_factors: &'a str,
    /// `Sec-CH-UA-Mobile`.
    pub mobile: &'a str,
    /// `Sec-CH-UA-Model`.
    pub model: &'a str,
    /// `Sec-CH-UA-Platform`.
    pub platform: &'a str,
    /// `Sec-CH-UA-Platform-Version`.
    pub platform_version: &'a str,
    /// A sign that is no hint.
    pub aside: Option<Aside>,
}

/// What is told beside the hints.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Aside {
    /// The text says Macintosh; the script says that several fingers are felt.
    ManyFingers,
    /// An Android app shows the page inside itself.
    App,
}

impl<'a> Hints<'a> {
    /// What was told with `user_agent`, as far as it counts beside that.
    pub fn read(user_agent: &str, hit: &Hit<'a>) -> Hints<'a> {
        let is_chromium = CHROME.find(user_agent.as_bytes()).is_some();
        let mut hints = if is_chromium { Hints::of_headers(user_agent, hit) } else { Hints::default() };
        if let Some(browser) = hit.browser {
            if is_chromium {
                hints.take(browser);
            } else if browser.max_touch_points > Some(1) && user_agent.starts_with("Mozilla/5.0 (Macintosh;") {
                hints.aside = Some(Aside::ManyFingers);
            }
        }
        hints
    }

    fn of_headers(user_agent: &str, hit: &Hit<'a>) -> Hints<'a> {
        let mut hints = Hints::default();
        let headers: &'a HeaderMap = hit.headers;
        // One pass over a dozen headers costs less than eight look-ups.
        for (name, value) in headers {
            let text = || {
                let short = Some(value.as_bytes()).filter(|value| value.len() <= MAX_HINT);
                short.and_then(|value| str::from_utf8(value).ok()).unwrap_or_default()
            };
            let name = name.as_str();
            // The names in question, at a glance.
            if !matches!(name.as_bytes().first(), Some(b's' | b'x')) {
                continue;
            }
            let Some(name) = name.strip_prefix("sec-ch-ua") else {
                if name == "x-requested-with" && is_app(text()) && user_agent.contains("Android") {
                    hints.aside = Some(Aside::App);
                }
                continue;
            };
            let Some((slot, is_list)) = hints.slot(name) else { continue };
            // The first one counts, as with every header.
            if slot.is_empty() {
                *slot = if is_list { text() } else { unquoted(text()) };
            }
        }
        hints
    }

    /// All but the one of this name of [`NAMES`].
    pub fn without(mut self, name: &str) -> Hints<'a> {
        match (name, self.aside) {
            ("x-requested-with", Some(Aside::App)) | ("max_touch_points", Some(Aside::ManyFingers)) => {
                self.aside = None;
            }
            _ => {
                if let Some((slot, _)) = name.strip_prefix("sec-ch-ua").and_then(|name| self.slot(name)) {
                    *slot = "";
                }
            }
        }
        self
    }

    /// The hint whose name goes on like this after `sec-ch-ua`, and whether it is a list.
    fn slot(&mut self, name: &str) -> Option<(&mut &'a str, bool)> {
        Some(match name {
            "" => (&mut self.brands, true),
            "-full-version-list" => (&mut self.full_version_list, true),
            "-form-factors" => (&mut self.form_factors, true),
            "-mobile" => (&mut self.mobile, false),
            "-model" => (&mut self.model, false),
            "-platform" => (&mut self.platform, false),
            "-platform-version" => (&mut self.platform_version, false),
            _ => return None,
        })
    }

    /// Takes over what a script told.
    fn take(&mut self, browser: &'a Browser<'a>) {
        let told = [
            (&mut self.brands, &browser.brands),
            (&mut self.full_version_list, &browser.full_version_list),
            (&mut self.form_factors, &browser.form_factors),
            (&mut self.model, &browser.model),
            (&mut self.platform, &browser.platform),
            (&mut self.platform_version, &browser.platform_version),
        ];
        for (slot, told) in told {
            if !told.is_empty() && told.len() <= MAX_HINT {
                *slot = told;
            }
        }
        if let Some(mobile) = browser.mobile {
            self.mobile = if mobile { "?1" } else { "?0" };
        }
    }

    /// All texts, for comparing and keeping.
    pub fn texts(&self) -> [&'a str; TEXTS] {
        [
            self.brands,
            self.full_version_list,
            self.form_factors,
            self.mobile,
            self.model,
            self.platform,
            self.platform_version,
        ]
    }

    /// Corrects what the frozen text said.
    pub fn refine(&self, agent: &mut Agent<'a>) {
        self.refine_system(agent);
        self.refine_device(agent);
        self.refine_browser(agent);
        match self.aside {
            Some(Aside::ManyFingers) => refine_to_ipad(agent),
            Some(Aside::App) => refine_to_view(agent),
            None => {}
        }
    }

    fn refine_system(&self, agent: &mut Agent<'a>) {
        let version = self.platform_version;
        match (self.platform, agent.system) {
            ("Windows", Some("Windows")) => {
                if let Some(release) = windows_release(version) {
                    agent.system_version = Some(release.into());
                }
            }
            ("macOS" | "Mac OS X", Some("Macintosh")) if is_version(version) => {
                agent.system_version = Some(format!("Intel {}", major_minor(version)).into());
            }
            // A desktop view asked for by the visitor hides Android from the text.
            ("Android", Some("Android" | "Linux") | None) => {
                if agent.system != Some("Android") {
                    agent.system = Some("Android");
                    agent.system_version = None;
                    agent.category = Some("tablet");
                }
                if is_version(version) {
                    agent.system_version = Some(without_zeros(version).into());
                }
            }
            ("Chrome OS" | "Chromium OS" | "ChromeOS", Some("Chrome OS" | "Linux") | None) => {
                agent.system = Some("Chrome OS");
                if is_version(version) {
                    agent.system_version = Some(version.into());
                }
            }
            _ => {}
        }
    }

    fn refine_device(&self, agent: &mut Agent<'a>) {
        let model = url::cut(self.model.trim_ascii(), 64);
        if agent.system == Some("Android") && !model.is_empty() && model != "K" {
            if agent.model.as_deref() != Some(model) {
                agent.brand = brands::of_model(model).map(Cow::Borrowed).or(agent.brand.take());
            }
            agent.model = Some(model.into());
        }
        if self.model.is_empty() && self.mobile.is_empty() && self.form_factors.is_empty() {
            return;
        }
        // What is known of a model outranks what its browser asks for.
        let known = agent.model.as_deref().filter(|_| agent.system == Some("Android")).and_then(categories::of_model);
        let shape = || form_factor(self.form_factors);
        let is_large = matches!(agent.category, Some("desktop" | "tablet"));
        let phone = || (self.mobile == "?1" && is_large).then_some("mobile");
        agent.category = known.or_else(shape).or_else(phone).or(agent.category);
    }

    fn refine_browser(&self, agent: &mut Agent<'a>) {
        let is_full = !self.full_version_list.is_empty();
        let list = if is_full { self.full_version_list } else { self.brands };
        let mut best: Option<(&'a str, &'static str, Weight, &'a str)> = None;
        for (brand, version) in members(list) {
            if brand == "HeadlessChrome" {
                let robot = agent.robot.get_or_insert_with(|| Robot {
                    name: Some(brand.to_owned()),
                    category: Category::Automation,
                    evidence: Vec::new(),
                });
                if !robot.evidence.contains(&Evidence::HintHeadless) {
                    robot.evidence.push(Evidence::HintHeadless);
                }
            }
            // Decoys such as `Not/A)Brand` are in no table.
            let Some((name, weight)) = browsers::of_hint(brand) else { continue };
            if best.is_none_or(|(_, _, known, _)| weight > known) {
                best = Some((brand, name, weight, version));
            }
        }
        let Some((brand, name, weight, version)) = best else { return };
        let said = agent.browser.as_deref();
        if said != Some(name) {
            // The text names a product (`Android Webview`, `Opera`) that the hints only know the engine of.
            if weight < Weight::Product && said.is_some_and(|said| said != "Mozilla Compatible Agent") {
                return;
            }
            agent.browser = Some(name.into());
            agent.browser_version = None;
        }
        let keeps_own = agent.browser_version.is_some() && OWN_VERSION.contains(&brand);
        if is_version(version) && !keeps_own && (is_full || agent.browser_version.is_none()) {
            agent.browser_version = Some(version.into());
        }
    }
}

/// Where the hint of this name of [`NAMES`] was told: the name, or the field of the body that counts before it.
pub fn source(name: &'static str, browser: Option<&Browser<'_>>) -> &'static str {
    let Some(browser) = browser else { return name };
    let (is_told, field) = match name {
        "sec-ch-ua" => (!browser.brands.is_empty(), "client_hints.brands"),
        "sec-ch-ua-full-version-list" => (!browser.full_version_list.is_empty(), "client_hints.full_version_list"),
        "sec-ch-ua-form-factors" => (!browser.form_factors.is_empty(), "client_hints.form_factors"),
        "sec-ch-ua-mobile" => (browser.mobile.is_some(), "client_hints.mobile"),
        "sec-ch-ua-model" => (!browser.model.is_empty(), "client_hints.model"),
        "sec-ch-ua-platform" => (!browser.platform.is_empty(), "client_hints.platform"),
        "sec-ch-ua-platform-version" => (!browser.platform_version.is_empty(), "client_hints.platform_version"),
        _ => (false, name),
    };
    if is_told { field } else { name }
}

/// Safari goes with the system, down to the second number.
fn refine_to_ipad(agent: &mut Agent<'_>) {
    if agent.system != Some("Macintosh") {
        return;
    }
    let version = agent.browser_version.as_deref().filter(|_| agent.browser.as_deref() == Some("Safari"));
    agent.system_version = version.map(|version| major_minor(version).to_owned().into());
    agent.system = Some("iOS");
    agent.category = Some("tablet");
    agent.brand = Some("Apple".into());
    agent.model = Some("iPad".into());
}

/// Some views leave out of the text what tells them from Chrome.
fn refine_to_view(agent: &mut Agent<'_>) {
    if agent.system == Some("Android") && agent.browser.as_deref() == Some("Chrome") {
        agent.browser = Some(browsers::WEBVIEW.into());
    }
}

/// Whether an `X-Requested-With` is the identifier of an Android app. Scripts write `XMLHttpRequest` there, and browsers
/// of old their own.
fn is_app(text: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_');
    let is_browser = text == "com.android.browser" || text == "com.android.chrome" || text.starts_with("com.chrome.");
    text.contains('.') && text.bytes().all(fits) && !is_browser
}

/// GA4's category of the first shape that says one. Cars and electronic paper have none.
fn form_factor(list: &str) -> Option<&'static str> {
    const SHAPES: [(&str, &str); 6] = [
        ("\"XR\"", "mobile"),
        ("\"Watch\"", "mobile"),
        ("\"TV\"", "smart tv"),
        ("\"Tablet\"", "tablet"),
        ("\"Mobile\"", "mobile"),
        ("\"Desktop\"", "desktop"),
    ];
    SHAPES.iter().find(|(shape, _)| list.contains(shape)).map(|(_, category)| *category)
}

/// Windows reports the version of its API contract: 13 and above is Windows 11, 0 is what came before Windows 10.
fn windows_release(version: &str) -> Option<&'static str> {
    let mut numbers = version.split('.').map(|part| part.parse::<u32>().ok());
    match (numbers.next()??, numbers.next().flatten()) {
        (0, Some(1)) => Some("7"),
        (0, Some(2)) => Some("8"),
        (0, Some(3)) => Some("8.1"),
        (0, _) => None,
        (1..=12, _) => Some("10"),
        (13.., _) => Some("11"),
    }
}

/// `13.0.0` is what people call 13.
fn without_zeros(mut version: &str) -> &str {
    while let Some(shorter) = version.strip_suffix(".0") {
        version = shorter;
    }
    version
}

fn is_version(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_digit())
        && text.len() <= 32
        && text.bytes().all(|b| b.is_ascii_digit() || b == b'.')
}

/// A text that stands alone, without its quotes.
fn unquoted(text: &str) -> &str {
    let text = text.trim_ascii();
    text.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap_or(text)
}

/// Brand and version of every member of `"Chromium";v="126", "Not A;Brand";v="8"`.
fn members(list: &str) -> impl Iterator<Item = (&str, &str)> {
    let mut rest = list;
    std::iter::from_fn(move || {
        let (_, after) = rest.split_once('"')?;
        let (brand, after) = after.split_once('"')?;
        let (_, after) = after.split_once('"')?;
        let (version, after) = after.split_once('"')?;
        rest = after;
        Some((brand, version))
    })
}

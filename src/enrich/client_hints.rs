//! User-Agent client hints: what Chromium tells beside its frozen `User-Agent`, and how the two become one answer.
//!
//! Hints count only when the text is Chromium's: nobody else sends them, so elsewhere they are made up.

use std::{
    borrow::Cow,
    hash::{Hash, Hasher},
};

use http::HeaderMap;

use super::{
    brands,
    browsers::{self, Weight},
    robots::{Category, Evidence, Robot},
    systems::major_minor,
    url,
    user_agent::Agent,
};

/// Longest hint believed, in bytes; a full version list has four or five members.
const MAX_HINT: usize = 512;

/// Names of the headers that carry them.
pub const NAMES: [&str; 6] = [
    "sec-ch-ua",
    "sec-ch-ua-full-version-list",
    "sec-ch-ua-mobile",
    "sec-ch-ua-model",
    "sec-ch-ua-platform",
    "sec-ch-ua-platform-version",
];

/// The hints of a hit, as sent. Absent ones are empty.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Hints<'a> {
    /// `Sec-CH-UA`: brands with major versions.
    pub brands: &'a str,
    /// `Sec-CH-UA-Full-Version-List`: brands with full versions.
    pub full_version_list: &'a str,
    /// `Sec-CH-UA-Mobile`.
    pub mobile: &'a str,
    /// `Sec-CH-UA-Model`.
    pub model: &'a str,
    /// `Sec-CH-UA-Platform`.
    pub platform: &'a str,
    /// `Sec-CH-UA-Platform-Version`.
    pub platform_version: &'a str,
}

impl<'a> Hints<'a> {
    /// Hints that came with `user_agent`; none unless it is Chromium's.
    pub fn read(user_agent: &str, headers: &'a HeaderMap) -> Hints<'a> {
        let mut hints = Hints::default();
        if !user_agent.contains("Chrome/") {
            return hints;
        }
        // One pass over a dozen headers costs less than six look-ups.
        for (name, value) in headers {
            let Some(name) = name.as_str().strip_prefix("sec-ch-ua") else { continue };
            let Some(slot) = hints.slot(name) else { continue };
            let text = str::from_utf8(value.as_bytes()).unwrap_or_default();
            // The first one counts, as with every header.
            if slot.is_empty() && text.len() <= MAX_HINT {
                *slot = text;
            }
        }
        hints
    }

    /// All but the one of this name.
    pub fn without(mut self, name: &str) -> Hints<'a> {
        if let Some(slot) = name.strip_prefix("sec-ch-ua").and_then(|name| self.slot(name)) {
            *slot = "";
        }
        self
    }

    /// The hint whose name goes on like this after `sec-ch-ua`.
    fn slot(&mut self, name: &str) -> Option<&mut &'a str> {
        Some(match name {
            "" => &mut self.brands,
            "-full-version-list" => &mut self.full_version_list,
            "-mobile" => &mut self.mobile,
            "-model" => &mut self.model,
            "-platform" => &mut self.platform,
            "-platform-version" => &mut self.platform_version,
            _ => return None,
        })
    }

    /// The six texts, for comparing and keeping.
    pub fn parts(&self) -> [&'a str; 6] {
        [self.brands, self.full_version_list, self.mobile, self.model, self.platform, self.platform_version]
    }

    /// Corrects what the frozen text said.
    pub fn refine(&self, agent: &mut Agent<'a>) {
        self.refine_system(agent);
        self.refine_device(agent);
        self.refine_browser(agent);
    }

    fn refine_system(&self, agent: &mut Agent<'a>) {
        let version = unquote(self.platform_version);
        match (unquote(self.platform), agent.system) {
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
        if self.mobile == "?1" && agent.category == Some("desktop") {
            agent.category = Some("mobile");
        }
        let model = url::cut(unquote(self.model).trim(), 64);
        if agent.system == Some("Android") && !model.is_empty() && model != "K" {
            if agent.model.as_deref() != Some(model) {
                agent.brand = brands::of_model(model).map(Cow::Borrowed).or(agent.brand.take());
            }
            agent.model = Some(model.into());
        }
    }

    fn refine_browser(&self, agent: &mut Agent<'a>) {
        let is_full = !self.full_version_list.is_empty();
        let list = if is_full { self.full_version_list } else { self.brands };
        let mut best: Option<(&'static str, Weight, &'a str)> = None;
        for (brand, version) in members(list) {
            if brand == "HeadlessChrome" {
                let robot = agent.robot.get_or_insert_with(|| Robot {
                    name: Some(brand.to_owned()),
                    category: Category::Automation,
                    evidence: Vec::new(),
                });
                robot.evidence.push(Evidence::HintHeadless);
            }
            // Decoys such as `Not/A)Brand` are in no table.
            let Some((name, weight)) = browsers::of_hint(brand) else { continue };
            if best.is_none_or(|(_, known, _)| weight > known) {
                best = Some((name, weight, version));
            }
        }
        let Some((name, weight, version)) = best else { return };
        let said = agent.browser.as_deref();
        if said != Some(name) {
            // The text names a product (`Android Webview`, `Opera`) that the hints only know the engine of.
            if weight < Weight::Product && said.is_some_and(|said| said != "Mozilla Compatible Agent") {
                return;
            }
            agent.browser = Some(name.into());
            agent.browser_version = None;
        }
        if is_version(version) && (is_full || agent.browser_version.is_none()) {
            agent.browser_version = Some(version.into());
        }
    }
}

/// Hints kept with an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptHints([Box<str>; 6]);

impl From<&Hints<'_>> for KeptHints {
    fn from(hints: &Hints<'_>) -> KeptHints {
        KeptHints(hints.parts().map(Box::from))
    }
}

impl KeptHints {
    /// Whether these are the same hints.
    pub fn are(&self, hints: &Hints<'_>) -> bool {
        self.0.iter().zip(hints.parts()).all(|(kept, sent)| **kept == *sent)
    }
}

/// Hashes like [`Hints`] with the same texts.
impl Hash for KeptHints {
    fn hash<H: Hasher>(&self, state: &mut H) {
        for text in &self.0 {
            text.hash(state);
        }
    }
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

fn unquote(text: &str) -> &str {
    let text = text.trim();
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

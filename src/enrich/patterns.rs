//! The patterns of uap-core, for what our own words leave unexplained: some fifteen microseconds a text, where the
//! words take less than one. They are about texts in ASCII (`build/patterns.rs`), which user agents are.

use std::{borrow::Cow, sync::LazyLock};

use ua_parser::{Extractor, Regexes};

/// The patterns, compiled on first use: that takes a tenth of a second.
static PATTERNS: LazyLock<Extractor<'static>> = LazyLock::new(|| {
    let text = include_str!(concat!(env!("OUT_DIR"), "/user_agent_patterns.json"));
    let regexes: Regexes<'static> = serde_json::from_str(text).expect("the build script wrote pattern lists");
    Extractor::try_from(regexes).expect("the patterns of the pinned uap-core compile")
});

/// Compiles the patterns, so that no hit has to.
pub fn warm_up() {
    LazyLock::force(&PATTERNS);
}

/// What uap-core calls something, and its version.
#[derive(Default)]
pub struct Named<'t> {
    /// Empty when it knows none.
    pub family: Cow<'t, str>,
    /// `126.0.6478`.
    pub version: Option<Cow<'t, str>>,
}

/// The browser.
pub fn browser(text: &str) -> Named<'_> {
    let Some(found) = PATTERNS.ua.extract(text) else { return Named::default() };
    let numbers = [found.major, found.minor, found.patch, found.patch_minor];
    Named { family: known(found.family), version: dotted(numbers.map(|number| number.map(Cow::Borrowed))) }
}

/// The operating system.
pub fn system(text: &str) -> Named<'_> {
    let Some(found) = PATTERNS.os.extract(text) else { return Named::default() };
    let numbers = [found.major, found.minor, found.patch, found.patch_minor];
    Named { family: known(found.os), version: dotted(numbers) }
}

/// The maker of a machine.
pub struct Machine<'t> {
    /// Makers that it does not know are left out.
    pub brand: Option<Cow<'t, str>>,
    /// It is no machine of a person.
    pub is_spider: bool,
}

/// The machine.
pub fn machine(text: &str) -> Machine<'_> {
    let Some(found) = PATTERNS.dev.extract(text) else { return Machine { brand: None, is_spider: false } };
    let is_spider = found.device == "Spider";
    let is_maker = |brand: &Cow<'_, str>| {
        !brand.starts_with("Generic") && !matches!(&**brand, "Spider" | "Other" | "Desktop" | "")
    };
    Machine { brand: found.brand.filter(is_maker), is_spider }
}

fn known(family: Cow<'_, str>) -> Cow<'_, str> {
    if family == "Other" { Cow::Borrowed("") } else { family }
}

fn dotted(parts: [Option<Cow<'_, str>>; 4]) -> Option<Cow<'_, str>> {
    parts.into_iter().map_while(|part| part.filter(|p| !p.is_empty())).reduce(|version, part| version + "." + part)
}

//! Robots: `rs_info.is_bot` and the `rs_info.bot_*` beside it, and whether their events are kept.
//!
//! A robot is what says so ([`super::robots`]; the device step has read that off the `User-Agent` and the client hints),
//! a browser that tells its pages that a program steers it, and what says it is a browser while two signs in its headers
//! speak against it. The default keeps the events and
//! marks them; GA4 drops the robots it knows without a word.

use std::{ops::ControlFlow, sync::LazyLock};

use http::{HeaderName, header};
use memchr::memmem::Finder;
use serde::{Deserialize, Serialize};

use super::{
    Enricher, Origins,
    client_hints::{CHROME, MAX_HINT},
    robots::{Category, Evidence},
};
use crate::{
    collect::{DropReason, Hit},
    schema::Event,
};

/// What happens to events of robots.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BotAction {
    /// They are kept and marked.
    #[default]
    Flag,
    /// They end here.
    Drop,
    /// They are kept like any other; nobody looks.
    Keep,
}

/// The step. It stands right after the device, whose answer it judges: what is dropped costs nothing more.
pub struct Bots {
    action: BotAction,
}

impl Bots {
    /// A step that does with robots what `action` says.
    pub fn new(action: BotAction) -> Bots {
        Bots { action }
    }
}

impl Enricher for Bots {
    fn name(&self) -> &'static str {
        "bots"
    }

    fn enrich<'h>(&self, hit: &'h Hit<'h>, event: &mut Event<'h>) -> ControlFlow<DropReason> {
        // Null without a `User-Agent`: a server that sends events may have none.
        let Some(info) = &mut event.rs_info else { return ControlFlow::Continue(()) };
        if self.action == BotAction::Keep {
            (info.is_bot, info.bot_name, info.bot_category) = (None, None, None);
            info.bot_evidence.clear();
            return ControlFlow::Continue(());
        }
        let is_steered = hit.browser.is_some_and(|browser| browser.webdriver == Some(true));
        if info.is_bot == Some(false)
            && let Some(text) = info.user_agent.as_deref()
        {
            let signs = signs(text, hit);
            if is_steered || signs.len() >= ENOUGH {
                info.is_bot = Some(true);
                info.bot_category = Some(Category::Automation.name().into());
                info.bot_evidence = signs.into_iter().map(|sign| sign.code().into()).collect();
            }
        }
        if is_steered && info.is_bot == Some(true) {
            info.bot_evidence.push(Evidence::WebDriver.code().into());
        }
        match self.action {
            BotAction::Drop if info.is_bot == Some(true) => ControlFlow::Break(DropReason::Bot),
            _ => ControlFlow::Continue(()),
        }
    }

    fn explain(&self, hit: &Hit<'_>, before: &Event<'_>, after: &Event<'_>, origins: &mut Origins) {
        let is_steered = hit.browser.is_some_and(|browser| browser.webdriver == Some(true));
        let origin = match is_steered {
            true => "webdriver of the body",
            false => "headers that do not fit the browser in the user agent",
        };
        origins.note_new(before, after, |_| Some(origin.into()));
        if self.action == BotAction::Keep {
            origins.remark("bots are kept like anybody: nobody looks whether this is one");
        }
    }
}

/// The brands of the browser.
const SEC_CH_UA: HeaderName = HeaderName::from_static("sec-ch-ua");

/// Fewest signs in the headers that make a robot of a client whose text says it is a browser: each alone has innocent
/// causes, such as a proxy that drops a header.
const ENOUGH: usize = 2;

/// What the headers of a hit say against the browser that its text names.
fn signs(text: &str, hit: &Hit<'_>) -> Vec<Evidence> {
    let mut signs = Vec::new();
    if !text.starts_with("Mozilla/5.0 (") {
        return signs;
    }
    if !hit.headers.contains_key(header::ACCEPT_LANGUAGE) {
        signs.push(Evidence::NoAcceptLanguage);
    }
    let chrome = version_after(text, &CHROME);
    let sends_metadata =
        || chrome.is_some_and(|major| major >= 80) || version_after(text, &FIREFOX).is_some_and(|major| major >= 90);
    let has_metadata = || hit.headers.keys().any(|name| name.as_str().starts_with("sec-fetch-"));
    if hit.secure && !has_metadata() && sends_metadata() {
        signs.push(Evidence::NoFetchMetadata);
    }
    if hints_contradict(chrome, hit) {
        signs.push(Evidence::HintMismatch);
    }
    signs
}

/// The product after which Firefox writes its version.
static FIREFOX: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new("Firefox/"));

/// Hints from a browser that has none, or of another major version than the text's.
fn hints_contradict(chrome: Option<u32>, hit: &Hit<'_>) -> bool {
    let sent = hit.header(SEC_CH_UA).filter(|brands| brands.len() <= MAX_HINT);
    let told = hit.browser.map_or("", |browser| &browser.brands);
    let Some(brands) = sent.into_iter().chain([told]).find(|brands| !brands.is_empty()) else { return false };
    match chrome {
        Some(major) => match brands.split_once("\"Chromium\";v=\"") {
            Some((_, version)) => leading_number(version).is_some_and(|hinted| hinted != major),
            None => false,
        },
        None => true,
    }
}

fn version_after(text: &str, product: &Finder<'_>) -> Option<u32> {
    let start = product.find(text.as_bytes())? + product.needle().len();
    leading_number(&text[start..])
}

fn leading_number(text: &str) -> Option<u32> {
    let end = text.bytes().position(|byte| !byte.is_ascii_digit()).unwrap_or(text.len());
    text[..end].parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_after_a_product() {
        assert_eq!(version_after("x Chrome/126.0", &CHROME), Some(126));
        assert_eq!(version_after("x Chrome/", &CHROME), None);
        assert_eq!(version_after("x Chrome/99999999999", &CHROME), None);
    }
}

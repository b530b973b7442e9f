//! Preferred language: `device.language`, lower case as in GA4 (`de-ch`): what the page's script was told
//! (`navigator.language`), else the language most wanted in `Accept-Language`.

use std::ops::ControlFlow;

use http::header;

use super::{Enricher, Origins, url};
use crate::{
    collect::{DropReason, Hit},
    schema::Event,
};

/// Longest tag that makes sense: RFC 5646, section 4.4.1, asks to make room for 35 characters.
const MAX_TAG: usize = 35;

/// Ranges looked at; browsers send a handful.
const MAX_RANGES: usize = 32;

/// Bytes looked at: as many ranges, each with its quality.
const MAX_HEADER: usize = 2048;

/// `q=1`, in thousandths.
const MAX_QUALITY: u16 = 1000;

/// The step.
pub struct Language;

impl Enricher for Language {
    fn name(&self) -> &'static str {
        "language"
    }

    fn enrich<'h>(&self, hit: &'h Hit<'h>, event: &mut Event<'h>) -> ControlFlow<DropReason> {
        let known = event.device.as_ref().is_some_and(|device| device.language.is_some());
        if known {
            return ControlFlow::Continue(());
        }
        if let Some(tag) = told(hit).or_else(|| hit.header(header::ACCEPT_LANGUAGE).and_then(preferred)) {
            event.device_mut().language = Some(url::lower(tag));
        }
        ControlFlow::Continue(())
    }

    fn explain(&self, hit: &Hit<'_>, before: &Event<'_>, after: &Event<'_>, origins: &mut Origins) {
        let origin = if told(hit).is_some() { "language of the body" } else { "header accept-language" };
        origins.note_new(before, after, |_| Some(origin.into()));
    }
}

/// What the script in the page read.
fn told<'h>(hit: &Hit<'h>) -> Option<&'h str> {
    hit.browser.map(|browser| browser.language.trim_ascii()).filter(|tag| is_tag(tag))
}

/// The tag of the highest quality, the earlier one among equals; `*` and malformed ranges do not count.
fn preferred(header: &str) -> Option<&str> {
    let mut best: Option<(&str, u16)> = None;
    let mut rest = Some(url::cut(header, MAX_HEADER));
    for _ in 0..MAX_RANGES {
        let Some(text) = rest else { break };
        let (range, others) = url::split(text, b',').map_or((text, None), |(range, others)| (range, Some(others)));
        rest = others;
        let (tag, parameters) = url::split(range, b';').unwrap_or((range, ""));
        let tag = tag.trim_ascii();
        let quality = quality(parameters);
        if is_tag(tag) && quality > best.map_or(0, |(_, q)| q) {
            best = Some((tag, quality));
            if quality == MAX_QUALITY {
                break;
            }
        }
    }
    best.map(|(tag, _)| tag)
}

fn is_tag(tag: &str) -> bool {
    tag.len() <= MAX_TAG
        && tag.starts_with(|c: char| c.is_ascii_alphabetic())
        && tag.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
}

/// Quality in thousandths. No `q` means 1; one that is not a number means the range is not wanted.
fn quality(parameters: &str) -> u16 {
    if parameters.is_empty() {
        return MAX_QUALITY;
    }
    let Some(text) =
        parameters.split(';').map(str::trim_ascii).find_map(|p| p.strip_prefix("q=").or_else(|| p.strip_prefix("Q=")))
    else {
        return MAX_QUALITY;
    };
    let quality: f32 = text.trim_ascii().parse().unwrap_or(0.0);
    if quality.is_nan() { 0 } else { (quality.clamp(0.0, 1.0) * f32::from(MAX_QUALITY)) as u16 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_wanted_language_is_taken() {
        for (header, expected) in [
            ("de-CH,de;q=0.9,en;q=0.8", Some("de-CH")),
            ("en;q=0.5, fr ; q=0.9", Some("fr")),
            ("*,it;q=0.1", Some("it")),
            ("pt-BR", Some("pt-BR")),
            ("en;q=0.8,de;q=0.8", Some("en")),
            ("en;Q=0.5,fr;q=0.6", Some("fr")),
            ("en;q=0", None),
            ("en;q=NaN,fr;q=0.2", Some("fr")),
            ("zh-Hant-TW,zh;q=0.5", Some("zh-Hant-TW")),
            ("de_CH,fr;q=0.4", Some("fr")),
            ("1-2,,;q=1", None),
            ("", None),
            ("*", None),
        ] {
            assert_eq!(preferred(header), expected, "{header}");
        }
    }
}

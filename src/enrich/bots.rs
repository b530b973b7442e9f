//! Robots: `rs_info.is_bot`, and whether their events are kept.
//!
//! A robot is what says so: by a word in its `User-Agent`, by a name uap-core knows, or by the brand `HeadlessChrome`
//! in its client hints. The default keeps the events and marks them; GA4 drops the robots it knows without a word.

use std::{ops::ControlFlow, sync::LazyLock};

use aho_corasick::AhoCorasick;
use serde::{Deserialize, Serialize};

use super::Enricher;
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

    fn enrich<'h>(&self, _: &'h Hit<'h>, event: &mut Event<'h>) -> ControlFlow<DropReason> {
        // Null without a `User-Agent`: a server that sends events may have none.
        let Some(info) = &mut event.rs_info else { return ControlFlow::Continue(()) };
        match self.action {
            BotAction::Drop if info.is_bot == Some(true) => return ControlFlow::Break(DropReason::Bot),
            BotAction::Flag | BotAction::Drop => {}
            BotAction::Keep => info.is_bot = None,
        }
        ControlFlow::Continue(())
    }
}

/// Words that only robots use, in lower case.
#[rustfmt::skip]
const WORDS: &[&str] = &[
    // What robots call themselves.
    "bot", "crawl", "spider", "scrap", "slurp", "scanner", "fetcher", "archiver", "validator", "checker", "http://", "https://",
    "monitor", "uptime", "pingdom", "statuscake", "site24x7", "nagios", "zabbix", "datadog", "newrelic", "gtmetrix", "preview",
    // Browsers without a person.
    "headless", "phantomjs", "puppeteer", "playwright", "selenium", "webdriver", "slimerjs", "electron-fetch", "lighthouse", "pagespeed", "ptst/", "cypress",
    // Programs.
    "curl/", "wget", "libwww", "lwp::", "lwp-", "python-", "python/", "aiohttp", "httpx/", "scrapy", "urllib", "go-http-client", "go-resty",
    "okhttp", "java/", "apache-httpclient", "jakarta commons", "axios/", "node-fetch", "undici", "superagent", "got (", "request/", "postmanruntime",
    "insomnia/", "httpie/", "guzzle", "php/", "ruby", "faraday", "typhoeus", "rest-client", "perl", "powershell", "winhttp", "reqwest", "hyper/", "libcurl",
    "restsharp", "dart/", "deno/", "bun/", "http_request", "httpclient", "httrack", "siteimprove", "screaming frog", "k6/", "jmeter", "vegeta", "wrk/", "hey/", "locust",
    // Services with names that do not say it.
    "facebookexternalhit", "facebookcatalog", "meta-externalagent", "meta-externalfetcher", "mediapartners-google", "google-inspectiontool", "google-read-aloud",
    "googleother", "google-extended", "google favicon", "google-structured-data", "google-site-verification", "googleweblight", "chrome-lighthouse", "apis-google", "duplexweb-google", "feedburner", "bingsearch", "skypeuripreview",
    "whatsapp/", "embedly", "quora link", "vkshare", "outbrain", "nuzzel", "bitrix link", "flipboardproxy", "tumblr/", "qwantify", "ia_archiver", "heritrix", "nutch", "yahoo! slurp",
    "ahrefs", "semrush", "dataprovider", "netcraft", "censys", "masscan", "nmap", "zgrab", "nikto", "sqlmap", "nuclei", "wpscan", "expanse", "internet-measurement",
    "chatgpt-user", "oai-search", "claude-user", "claude-web", "anthropic-ai", "perplexity-user", "cohere-ai", "diffbot", "bytespider", "mistralai-user", "google-cloudvertex", "cloudflare-", "vercel-", "prerender",
];

static MATCHER: LazyLock<AhoCorasick> = LazyLock::new(|| {
    AhoCorasick::builder().ascii_case_insensitive(true).build(WORDS).expect("a short list of words fits any automaton")
});

/// Whether a text says that it is a robot's.
pub fn is_bot(text: &str) -> bool {
    let bytes = text.as_bytes();
    MATCHER.find_overlapping_iter(text).any(|found| {
        // Cubot makes phones.
        let is_phone = found.end() >= 5 && bytes[found.end() - 5..found.end()].eq_ignore_ascii_case(b"cubot");
        !is_phone
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn robots_are_told_from_people() {
        for robot in [
            "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
            "Mozilla/5.0 AppleWebKit/537.36 (KHTML, like Gecko; compatible; GPTBot/1.2; +https://openai.com/gptbot)",
            "curl/8.5.0",
            "Python-urllib/3.11",
            "WhatsApp/2.23.20.0",
            "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 HeadlessChrome/126.0.0.0 Safari/537.36",
            "Mozilla/5.0 (Linux; Android 9; CUBOT) Chrome/99 (compatible; SomeBot/1.0)",
        ] {
            assert!(is_bot(robot), "{robot}");
        }
        for person in [
            "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36",
            "Mozilla/5.0 (Linux; Android 12; CUBOT_P50) AppleWebKit/537.36 Chrome/112.0.0.0 Mobile Safari/537.36",
            "Mozilla/5.0 (Linux; Android 12; 22031116BG) Chrome/101.0 Mobile Safari/537.36 (Ecosia android@101.0.4951.41)",
        ] {
            assert!(!is_bot(person), "{person}");
        }
    }
}

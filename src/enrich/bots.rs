//! Robots: `rs_info.is_bot`, and whether their events are kept.
//!
//! A robot is what says so: by a word in its `User-Agent`, by a name uap-core knows, or by the brand `HeadlessChrome`
//! in its client hints. The default keeps the events and marks them; GA4 drops the robots it knows without a word.

use std::{
    ops::ControlFlow,
    sync::{Arc, LazyLock},
};

use aho_corasick::AhoCorasick;
use serde::{Deserialize, Serialize};

use super::{Enricher, agents::Agents};
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

/// The step.
pub struct Bots {
    action: BotAction,
    agents: Arc<Agents>,
}

impl Bots {
    /// A step that does with robots what `action` says.
    pub fn new(action: BotAction, agents: Arc<Agents>) -> Bots {
        Bots { action, agents }
    }
}

impl Enricher for Bots {
    fn name(&self) -> &'static str {
        "bots"
    }

    fn enrich(&self, hit: &Hit<'_>, event: &mut Event) -> ControlFlow<DropReason> {
        if self.action == BotAction::Keep {
            return ControlFlow::Continue(());
        }
        // Without a text nobody knows: a server that sends events may have none.
        let Some(agent) = self.agents.of(hit) else { return ControlFlow::Continue(()) };
        if agent.is_bot && self.action == BotAction::Drop {
            return ControlFlow::Break(DropReason::Bot);
        }
        event.info_mut().is_bot = Some(agent.is_bot);
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

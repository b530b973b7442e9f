//! Who a robot is: its name, what it is for, and by which sign it was known.
//!
//! The pass over the text ([`super::tokens`]) finds the names of [`KNOWN`] and the words of [`WORDS`] that only programs
//! use. A name counts before a word; of several names the first in the table, which is ordered from what says most
//! (a service) to what says least (a library).

use super::{tokens::Tokens, url};

/// What a robot does, as far as those who read numbers care.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Category {
    /// Indexes for a search engine.
    Search,
    /// Gathers texts to train models or to answer from.
    AiCrawler,
    /// Reads a page because somebody asked an assistant just now.
    AiAgent,
    /// Makes the preview of a link that somebody shared.
    LinkPreview,
    /// Looks whether, and how fast, a site answers.
    Monitor,
    /// Gathers links, ranks and audits.
    Seo,
    /// A browser that a program steers.
    Automation,
    /// A program's HTTP client.
    Library,
    /// Anything else that is no person.
    Other,
}

impl Category {
    /// As written in `rs_info.bot_category`.
    pub const fn name(self) -> &'static str {
        match self {
            Category::Search => "search",
            Category::AiCrawler => "ai_crawler",
            Category::AiAgent => "ai_agent",
            Category::LinkPreview => "link_preview",
            Category::Monitor => "monitor",
            Category::Seo => "seo",
            Category::Automation => "automation",
            Category::Library => "library",
            Category::Other => "other",
        }
    }
}

/// A sign that a client is a robot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Evidence {
    /// The `User-Agent` has a name of the table.
    UaName,
    /// The `User-Agent` has a word that only programs use.
    UaWord,
    /// uap-core knows it as a spider.
    UaPattern,
    /// The client hints name a browser without a screen.
    HintHeadless,
    /// The script was told that a program steers the browser: `navigator.webdriver`.
    WebDriver,
    /// A browser that would send its hints contradicts them.
    HintMismatch,
    /// A browser without `Accept-Language`; all of them send it.
    NoAcceptLanguage,
    /// A browser without `Sec-Fetch-*` on a secure connection; all of them send it there.
    NoFetchMetadata,
}

impl Evidence {
    /// As written in `rs_info.bot_evidence`.
    pub const fn code(self) -> &'static str {
        match self {
            Evidence::UaName => "ua_name",
            Evidence::UaWord => "ua_word",
            Evidence::UaPattern => "ua_pattern",
            Evidence::HintHeadless => "hint_headless",
            Evidence::WebDriver => "webdriver",
            Evidence::HintMismatch => "hint_mismatch",
            Evidence::NoAcceptLanguage => "no_accept_language",
            Evidence::NoFetchMetadata => "no_fetch_metadata",
        }
    }
}

/// What is known of a robot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Robot {
    /// `Googlebot`; nothing when it does not say.
    pub name: Option<String>,
    /// What it is for.
    pub category: Category,
    /// How it was known: never empty.
    pub evidence: Vec<Evidence>,
}

impl Robot {
    /// Its name, when it is known by that and is no browser that a program steers.
    pub fn service(&self) -> Option<&str> {
        let is_known = self.evidence.contains(&Evidence::UaName) && self.category != Category::Automation;
        self.name.as_deref().filter(|_| is_known)
    }
}

/// Longest name kept, in bytes.
const MAX_NAME: usize = 64;

/// A word in lower case, the name that it stands for, and what that is for.
pub type Row = (&'static str, &'static str, Category);

use Category::*;

/// Part of the text in lower case, name, category.
#[rustfmt::skip]
pub const KNOWN: &[Row] = &[
    // Somebody asked an assistant.
    ("chatgpt-user", "ChatGPT-User", AiAgent), ("claude-user", "Claude-User", AiAgent), ("perplexity-user", "Perplexity-User", AiAgent),
    ("mistralai-user", "MistralAI-User", AiAgent), ("meta-externalfetcher", "meta-externalfetcher", AiAgent), ("duckassistbot", "DuckAssistBot", AiAgent),
    ("google-notebooklm", "Google-NotebookLM", AiAgent), ("gemini-deep-research", "Gemini-Deep-Research", AiAgent), ("googleagent-mariner", "GoogleAgent-Mariner", AiAgent),
    ("novaact", "NovaAct", AiAgent), ("bedrockbot", "bedrockbot", AiAgent), ("linerbot", "LinerBot", AiAgent), ("phindbot", "PhindBot", AiAgent), ("devin/", "Devin", AiAgent),
    // Texts for models.
    ("gptbot", "GPTBot", AiCrawler), ("oai-searchbot", "OAI-SearchBot", AiCrawler), ("claudebot", "ClaudeBot", AiCrawler), ("claude-searchbot", "Claude-SearchBot", AiCrawler),
    ("claude-web", "Claude-Web", AiCrawler), ("anthropic-ai", "anthropic-ai", AiCrawler), ("ccbot", "CCBot", AiCrawler), ("bytespider", "Bytespider", AiCrawler), ("tiktokspider", "TikTokSpider", AiCrawler),
    ("perplexitybot", "PerplexityBot", AiCrawler), ("google-extended", "Google-Extended", AiCrawler), ("google-cloudvertexbot", "Google-CloudVertexBot", AiCrawler), ("applebot-extended", "Applebot-Extended", AiCrawler),
    ("meta-externalagent", "meta-externalagent", AiCrawler), ("facebookbot", "FacebookBot", AiCrawler), ("amazonbot", "Amazonbot", AiCrawler), ("cohere-training-data-crawler", "cohere-training-data-crawler", AiCrawler),
    ("cohere-ai", "cohere-ai", AiCrawler), ("ai2bot", "AI2Bot", AiCrawler), ("diffbot", "Diffbot", AiCrawler), ("timpibot", "Timpibot", AiCrawler), ("omgili", "omgili", AiCrawler), ("webzio", "Webzio", AiCrawler),
    ("imagesiftbot", "ImagesiftBot", AiCrawler), ("youbot", "YouBot", AiCrawler), ("pangubot", "PanguBot", AiCrawler), ("velenpublicwebcrawler", "VelenPublicWebCrawler", AiCrawler), ("kangaroo bot", "Kangaroo Bot", AiCrawler),
    ("img2dataset", "img2dataset", AiCrawler), ("deepseekbot", "DeepSeekBot", AiCrawler), ("mistralai", "MistralAI", AiCrawler), ("huggingface", "HuggingFace", AiCrawler), ("friendlycrawler", "FriendlyCrawler", AiCrawler),
    // Search engines.
    ("googlebot-image", "Googlebot-Image", Search), ("googlebot-video", "Googlebot-Video", Search), ("googlebot-news", "Googlebot-News", Search), ("googlebot", "Googlebot", Search), ("storebot-google", "Storebot-Google", Search),
    ("google-inspectiontool", "Google-InspectionTool", Search), ("googleother", "GoogleOther", Search), ("google-site-verification", "Google-Site-Verification", Search), ("google-structured-data", "Google-Structured-Data-Testing-Tool", Search),
    ("google favicon", "Google Favicon", Search), ("google-read-aloud", "Google-Read-Aloud", Search), ("duplexweb-google", "DuplexWeb-Google", Search), ("adsbot-google", "AdsBot-Google", Search), ("mediapartners-google", "Mediapartners-Google", Search), ("apis-google", "APIs-Google", Search),
    ("bingbot", "bingbot", Search), ("adidxbot", "adidxbot", Search), ("msnbot", "msnbot", Search), ("yandexbot", "YandexBot", Search), ("yandexmobilebot", "YandexMobileBot", Search), ("yandeximages", "YandexImages", Search), ("yandex.com/bots", "Yandex", Search),
    ("baiduspider", "Baiduspider", Search), ("duckduckbot", "DuckDuckBot", Search), ("applebot", "Applebot", Search), ("petalbot", "PetalBot", Search), ("sogou web spider", "Sogou Spider", Search), ("sogou inst spider", "Sogou Spider", Search), ("sogou spider", "Sogou Spider", Search), ("sogou pic spider", "Sogou Spider", Search), ("sogou news spider", "Sogou Spider", Search), ("sogou video spider", "Sogou Spider", Search), ("sogou orion spider", "Sogou Spider", Search), ("sogou-spider", "Sogou Spider", Search), ("seznambot", "SeznamBot", Search), ("naver.me/spd", "Yeti", Search), ("yeti/", "Yeti", Search),
    ("qwantify", "Qwantify", Search), ("qwantbot", "Qwantbot", Search), ("coccocbot", "coccocbot", Search), ("mojeekbot", "MojeekBot", Search), ("360spider", "360Spider", Search), ("yisouspider", "YisouSpider", Search), ("yahoo! slurp", "Yahoo! Slurp", Search), ("exabot", "Exabot", Search),
    ("daumoa", "Daumoa", Search), ("bravebot", "Bravebot", Search), ("marginalia", "Marginalia", Search), ("startmebot", "startmebot", Search),
    // Previews of links.
    ("facebookexternalhit", "facebookexternalhit", LinkPreview), ("facebookcatalog", "facebookcatalog", LinkPreview), ("twitterbot", "Twitterbot", LinkPreview), ("linkedinbot", "LinkedInBot", LinkPreview), ("slackbot", "Slackbot", LinkPreview), ("slack-imgproxy", "Slack-ImgProxy", LinkPreview),
    ("telegrambot", "TelegramBot", LinkPreview), ("whatsapp/", "WhatsApp", LinkPreview), ("discordbot", "Discordbot", LinkPreview), ("skypeuripreview", "SkypeUriPreview", LinkPreview), ("bingpreview", "BingPreview", LinkPreview), ("pinterestbot", "Pinterestbot", LinkPreview), ("redditbot", "redditbot", LinkPreview),
    ("embedly", "Embedly", LinkPreview), ("iframely", "Iframely", LinkPreview), ("vkshare", "vkShare", LinkPreview), ("quora link", "Quora Link Preview", LinkPreview), ("bitlybot", "bitlybot", LinkPreview), ("flipboardproxy", "FlipboardProxy", LinkPreview), ("nuzzel", "Nuzzel", LinkPreview),
    ("bitrix link", "Bitrix Link Preview", LinkPreview), ("tumblr/", "Tumblr", LinkPreview), ("cardyb", "Bluesky Cardyb", LinkPreview), ("mastodon/", "Mastodon", LinkPreview), ("snap url preview", "Snap URL Preview", LinkPreview), ("outbrain", "Outbrain", LinkPreview), ("google-pagerenderer", "Google-PageRenderer", LinkPreview),
    // Is the site there?
    ("uptimerobot", "UptimeRobot", Monitor), ("pingdom", "Pingdom", Monitor), ("statuscake", "StatusCake", Monitor), ("site24x7", "Site24x7", Monitor), ("newrelicpinger", "NewRelicPinger", Monitor), ("newrelicsynthetics", "New Relic Synthetics", Monitor), ("datadogsynthetics", "Datadog Synthetics", Monitor), ("datadog", "Datadog", Monitor),
    ("googlestackdrivermonitoring", "GoogleStackdriverMonitoring", Monitor), ("better uptime", "Better Uptime Bot", Monitor), ("betterstack", "Better Stack", Monitor), ("hetrixtools", "HetrixTools", Monitor), ("freshping", "Freshping", Monitor), ("updown.io", "updown.io", Monitor), ("checkly", "Checkly", Monitor), ("catchpoint", "Catchpoint", Monitor),
    ("gtmetrix", "GTmetrix", Monitor), ("check_http", "Nagios", Monitor), ("nagios", "Nagios", Monitor), ("zabbix", "Zabbix", Monitor), ("blackbox exporter", "Blackbox Exporter", Monitor), ("blackbox-exporter", "Blackbox Exporter", Monitor), ("prometheus/", "Prometheus", Monitor), ("kube-probe", "kube-probe", Monitor), ("googlehc", "GoogleHC", Monitor),
    ("elb-healthchecker", "ELB-HealthChecker", Monitor), ("route53-health-check", "Amazon Route 53 Health Check", Monitor), ("cloudflare-healthchecks", "Cloudflare-Healthchecks", Monitor), ("cloudflare-traffic-manager", "Cloudflare-Traffic-Manager", Monitor), ("uptime-kuma", "Uptime-Kuma", Monitor), ("jetmon", "jetmon", Monitor),
    ("nodeping", "NodePing", Monitor), ("uptimia", "Uptimia", Monitor), ("alertsite", "AlertSite", Monitor), ("ptst/", "WebPageTest", Monitor), ("chrome-lighthouse", "Chrome-Lighthouse", Monitor), ("lighthouse", "Lighthouse", Monitor), ("pagespeed", "PageSpeed", Monitor),
    // Links and ranks.
    ("ahrefssiteaudit", "AhrefsSiteAudit", Seo), ("ahrefsbot", "AhrefsBot", Seo), ("ahrefs", "Ahrefs", Seo), ("siteauditbot", "SiteAuditBot", Seo), ("semrushbot", "SemrushBot", Seo), ("semrush", "Semrush", Seo), ("mj12bot", "MJ12bot", Seo), ("dotbot", "DotBot", Seo), ("rogerbot", "rogerbot", Seo), ("dataforseo", "DataForSeoBot", Seo),
    ("serpstatbot", "serpstatbot", Seo), ("screaming frog", "Screaming Frog SEO Spider", Seo), ("sistrix", "SISTRIX", Seo), ("seobility", "Seobility", Seo), ("seokicks", "SEOkicks", Seo), ("blexbot", "BLEXBot", Seo), ("barkrowler", "Barkrowler", Seo), ("linkdexbot", "linkdexbot", Seo), ("megaindex", "MegaIndex", Seo),
    ("siteimprove", "Siteimprove", Seo), ("deepcrawl", "Lumar", Seo), ("oncrawl", "OnCrawl", Seo), ("botify", "Botify", Seo), ("xovibot", "XoviBot", Seo), ("zoominfobot", "ZoominfoBot", Seo), ("awariobot", "AwarioBot", Seo), ("dataprovider", "Dataprovider", Seo), ("netcraft", "Netcraft", Seo), ("linkfluence", "Linkfluence", Seo), ("datanyze", "Datanyze", Seo), ("silktide", "Silktide", Seo),
    ("internet-measurement", "InternetMeasurement", Other), ("censysinspect", "CensysInspect", Other), ("archive.org_bot", "archive.org_bot", Other), ("ia_archiver", "ia_archiver", Other), ("heritrix", "Heritrix", Other), ("nutch", "Nutch", Other), ("feedburner", "FeedBurner", Other), ("feedfetcher-google", "FeedFetcher-Google", Other), ("feedly", "Feedly", Other),
    ("masscan", "masscan", Other), ("nmap", "Nmap", Other), ("zgrab", "zgrab", Other), ("nikto", "Nikto", Other), ("sqlmap", "sqlmap", Other), ("nuclei", "Nuclei", Other), ("wpscan", "WPScan", Other), ("palo alto", "Palo Alto Networks", Other), ("expanse", "Expanse", Other), ("httrack", "HTTrack", Other), ("googleweblight", "Google Web Light", Other), ("bingsearch", "BingSearch", Other),
    // Browsers without a person.
    ("headlesschrome", "HeadlessChrome", Automation), ("headless", "Headless browser", Automation), ("phantomjs", "PhantomJS", Automation), ("puppeteer", "Puppeteer", Automation), ("playwright", "Playwright", Automation), ("selenium", "Selenium", Automation), ("webdriver", "WebDriver", Automation), ("slimerjs", "SlimerJS", Automation),
    ("cypress", "Cypress", Automation), ("htmlunit", "HtmlUnit", Automation), ("jsdom", "jsdom", Automation), ("prerender", "Prerender", Automation), ("rendertron", "Rendertron", Automation), ("browserless", "Browserless", Automation), ("vercel-", "Vercel", Automation), ("cloudflare-", "Cloudflare", Other),
    // Programs.
    ("k6/", "k6", Library), ("jmeter", "JMeter", Library), ("vegeta", "Vegeta", Library), ("wrk/", "wrk", Library), ("hey/", "hey", Library), ("locust", "Locust", Library),
    ("scrapy", "Scrapy", Library), ("python-requests", "python-requests", Library), ("python-urllib", "Python-urllib", Library), ("python-httpx", "python-httpx", Library), ("aiohttp", "aiohttp", Library), ("urllib", "urllib", Library), ("python/", "Python", Library), ("python-", "Python", Library), ("httpx/", "httpx", Library),
    ("go-http-client", "Go-http-client", Library), ("go-resty", "go-resty", Library), ("okhttp", "okhttp", Library), ("apache-httpclient", "Apache-HttpClient", Library), ("jakarta commons", "Jakarta Commons-HttpClient", Library), ("java/", "Java", Library), ("axios/", "axios", Library), ("node-fetch", "node-fetch", Library), ("electron-fetch", "electron-fetch", Library), ("undici", "undici", Library),
    ("superagent", "superagent", Library), ("got (", "got", Library), ("request/", "request", Library), ("postmanruntime", "PostmanRuntime", Library), ("insomnia/", "insomnia", Library), ("httpie/", "HTTPie", Library), ("guzzle", "Guzzle", Library), ("php/", "PHP", Library), ("faraday", "Faraday", Library), ("typhoeus", "Typhoeus", Library), ("rest-client", "rest-client", Library), ("ruby", "Ruby", Library),
    ("libwww-perl", "libwww-perl", Library), ("libwww", "libwww", Library), ("lwp::", "LWP", Library), ("lwp-", "LWP", Library), ("perl", "Perl", Library), ("powershell", "PowerShell", Library), ("winhttp", "WinHTTP", Library), ("reqwest", "reqwest", Library), ("hyper/", "hyper", Library), ("libcurl", "libcurl", Library), ("curl/", "curl", Library), ("wget", "Wget", Library),
    ("restsharp", "RestSharp", Library), ("dart/", "Dart", Library), ("deno/", "Deno", Library), ("bun/", "Bun", Library), ("http_request", "HTTP_Request", Library), ("httpclient", "HttpClient", Library),
];

/// Words that only programs use, in lower case.
#[rustfmt::skip]
pub const WORDS: &[&str] = &[
    "bot", "crawl", "spider", "scrap", "slurp", "scanner", "fetcher", "archiver", "validator", "checker", "http://", "https://", "monitor", "uptime", "preview", "newrelic", "google-",
];

/// What the words of a text say of a robot; nothing when it does not look like one.
pub fn of_tokens(tokens: &Tokens<'_>) -> Option<Robot> {
    if let Some(row) = tokens.robot {
        let (_, name, category) = KNOWN[usize::from(row)];
        return Some(Robot { name: Some(name.into()), category, evidence: vec![Evidence::UaName] });
    }
    let name = name_around(tokens.text, tokens.robot_word.clone()?);
    Some(Robot { name, category: Category::Other, evidence: vec![Evidence::UaWord] })
}

/// Cubot makes phones.
pub fn is_cubot(text: &str, end: usize) -> bool {
    text.as_bytes()[..end].last_chunk::<5>().is_some_and(|last| last.eq_ignore_ascii_case(b"cubot"))
}

/// The product whose name holds the word: `SomeBot` of `SomeBot/1.0`. A word in an address or at the edge of one names
/// the first product, unless that is what every browser begins with.
fn name_around(text: &str, word: std::ops::Range<usize>) -> Option<String> {
    let is_part = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_' | '!' | '.');
    let start = text[..word.start].rfind(|c| !is_part(c)).map_or(0, |at| at + char_len(text, at));
    let end = text[word.end..].find(|c| !is_part(c)).map_or(text.len(), |at| word.end + at);
    let around = text[start..end].trim_matches(|c: char| !c.is_alphanumeric());
    let in_address = text[..start].ends_with("//") || text[..start].ends_with('@') || text[word.clone()].contains(':');
    let name = if in_address || around.contains(".com") || text[..start].ends_with('/') {
        let first = text.split(['/', ' ', ';', '(']).next().unwrap_or_default();
        if matches!(first, "Mozilla" | "Opera" | "") { return None } else { first }
    } else {
        around
    };
    Some(url::cut(name, MAX_NAME).to_owned()).filter(|name| !name.is_empty())
}

fn char_len(text: &str, at: usize) -> usize {
    text[at..].chars().next().map_or(1, char::len_utf8)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn read(text: &str) -> Option<Robot> {
        of_tokens(&Tokens::of(text))
    }

    #[test]
    fn robots_have_names_and_purposes() {
        for (text, name, category) in [
            ("Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)", Some("Googlebot"), Search),
            (
                "Mozilla/5.0 AppleWebKit/537.36 (KHTML, like Gecko; compatible; GPTBot/1.2; +https://openai.com/gptbot)",
                Some("GPTBot"),
                AiCrawler,
            ),
            ("Mozilla/5.0 (compatible; ChatGPT-User/1.0; +https://openai.com/bot)", Some("ChatGPT-User"), AiAgent),
            (
                "facebookexternalhit/1.1 (+http://www.facebook.com/externalhit_uatext.php)",
                Some("facebookexternalhit"),
                LinkPreview,
            ),
            ("WhatsApp/2.23.20.0", Some("WhatsApp"), LinkPreview),
            ("Mozilla/5.0+(compatible; UptimeRobot/2.0; http://www.uptimerobot.com/)", Some("UptimeRobot"), Monitor),
            ("Mozilla/5.0 (compatible; AhrefsBot/7.0; +http://ahrefs.com/robot/)", Some("AhrefsBot"), Seo),
            (
                "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 HeadlessChrome/126.0.0.0 Safari/537.36",
                Some("HeadlessChrome"),
                Automation,
            ),
            ("curl/8.5.0", Some("curl"), Library),
            ("Python-urllib/3.11", Some("Python-urllib"), Library),
            ("Mozilla/5.0 (Linux; Android 9; CUBOT) Chrome/99 (compatible; SomeBot/1.0)", Some("SomeBot"), Other),
            ("Acme-Thing/3 (+https://acme.example/about)", Some("Acme-Thing"), Other),
            ("Mozilla/5.0 (compatible; see https://acme.example)", None, Other),
            ("\u{e4}bot\u{e4} spider", Some("\u{e4}bot\u{e4}"), Other),
        ] {
            let robot = read(text).unwrap_or_else(|| panic!("{text} is a robot"));
            assert_eq!((robot.name.as_deref(), robot.category), (name, category), "{text}");
        }
    }

    #[test]
    fn people_are_no_robots() {
        for person in [
            "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36",
            "Mozilla/5.0 (Linux; Android 12; CUBOT_P50) AppleWebKit/537.36 Chrome/112.0.0.0 Mobile Safari/537.36",
            "Mozilla/5.0 (Linux; Android 12; 22031116BG) Chrome/101.0 Mobile Safari/537.36 (Ecosia android@101.0.4951.41)",
            "",
        ] {
            assert_eq!(read(person), None, "{person}");
        }
    }

    #[test]
    fn no_row_hides_behind_an_earlier_one() {
        for (at, (token, ..)) in KNOWN.iter().enumerate() {
            assert_eq!(*token, token.to_lowercase());
            let hidden = KNOWN[..at].iter().find(|(earlier, ..)| token.contains(earlier));
            assert_eq!(hidden, None, "`{token}` is never reached");
        }
    }
}

//! Who a robot is: its name, what it is for, and by which sign it was known.
//!
//! The pass over the text ([`super::tokens`]) finds the names of [`KNOWN`] and the words of [`WORDS`] that only programs
//! use. A name counts before a word; of several names the first in the table, which is ordered from what says most
//! (a service) to what says least (a library).

use super::{
    categories::Sign,
    tokens::{Anchor, Tokens},
    url,
};

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
    /// The `User-Agent` is not written as browsers write theirs.
    UaShape,
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
            Evidence::UaShape => "ua_shape",
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
    ("chatgpt agent", "ChatGPT Agent", AiAgent), ("google-agent", "Google-Agent", AiAgent), ("google-gemininotebook", "Google-GeminiNotebook", AiAgent), ("google-pinpoint", "Google-Pinpoint", AiAgent), ("amzn-user", "Amzn-User", AiAgent), ("manus-user", "Manus-User", AiAgent), ("opencode", "opencode", AiAgent), ("claude-code", "Claude-Code", AiAgent),
    // Texts for models.
    ("gptbot", "GPTBot", AiCrawler), ("oai-searchbot", "OAI-SearchBot", AiCrawler), ("claudebot", "ClaudeBot", AiCrawler), ("claude-searchbot", "Claude-SearchBot", AiCrawler),
    ("claude-web", "Claude-Web", AiCrawler), ("anthropic-ai", "anthropic-ai", AiCrawler), ("ccbot", "CCBot", AiCrawler), ("bytespider", "Bytespider", AiCrawler), ("tiktokspider", "TikTokSpider", AiCrawler),
    ("perplexitybot", "PerplexityBot", AiCrawler), ("google-extended", "Google-Extended", AiCrawler), ("google-cloudvertexbot", "Google-CloudVertexBot", AiCrawler), ("applebot-extended", "Applebot-Extended", AiCrawler),
    ("meta-externalagent", "meta-externalagent", AiCrawler), ("facebookbot", "FacebookBot", AiCrawler), ("amazonbot", "Amazonbot", AiCrawler), ("cohere-training-data-crawler", "cohere-training-data-crawler", AiCrawler),
    ("cohere-ai", "cohere-ai", AiCrawler), ("ai2bot", "AI2Bot", AiCrawler), ("diffbot", "Diffbot", AiCrawler), ("timpibot", "Timpibot", AiCrawler), ("omgili", "omgili", AiCrawler), ("webzio", "Webzio", AiCrawler),
    ("imagesiftbot", "ImagesiftBot", AiCrawler), ("youbot", "YouBot", AiCrawler), ("pangubot", "PanguBot", AiCrawler), ("velenpublicwebcrawler", "VelenPublicWebCrawler", AiCrawler), ("kangaroo bot", "Kangaroo Bot", AiCrawler),
    ("img2dataset", "img2dataset", AiCrawler), ("deepseekbot", "DeepSeekBot", AiCrawler), ("mistralai", "MistralAI", AiCrawler), ("huggingface", "HuggingFace", AiCrawler), ("friendlycrawler", "FriendlyCrawler", AiCrawler),
    ("aihitbot", "aiHitBot", AiCrawler), ("aiwebindex", "AIWebIndex", AiCrawler), ("andibot", "Andibot", AiCrawler), ("anomura", "Anomura", AiCrawler), ("amzn-searchbot", "Amzn-SearchBot", AiCrawler), ("atlassian-bot", "atlassian-bot", AiCrawler), ("azureai-searchbot", "AzureAI-SearchBot", AiCrawler), ("brightbot", "Brightbot", AiCrawler), ("chatglm-spider", "ChatGLM-Spider", AiCrawler), ("cloudflare-autorag", "Cloudflare-AutoRAG", AiCrawler), ("cotoyogi", "Cotoyogi", AiCrawler), ("crawl4ai", "Crawl4AI", AiCrawler), ("crawlspace", "Crawlspace", AiCrawler), ("echoboxbot", "EchoboxBot", AiCrawler), ("exasearchbot", "ExaSearchBot", AiCrawler), ("factset_spyderbot", "Factset_spyderbot", AiCrawler), ("firecrawlagent", "FirecrawlAgent", AiCrawler), ("iaskbot", "iAskBot", AiCrawler), ("icc-crawler", "ICC-Crawler", AiCrawler), ("isscyberriskcrawler", "ISSCyberRiskCrawler", AiCrawler), ("klaviyoaibot", "KlaviyoAIBot", AiCrawler), ("laiondownloader", "LAIONDownloader", AiCrawler),
    ("linguee bot", "Linguee Bot", AiCrawler), ("meta-webindexer", "Meta-WebIndexer", AiCrawler), ("newsai/", "NewsAI", AiCrawler), ("panscient", "Panscient", AiCrawler), ("poseidon research crawler", "Poseidon Research Crawler", AiCrawler), ("qualifiedbot", "QualifiedBot", AiCrawler), ("quillbot", "QuillBot", AiCrawler), ("reflectionbot", "Reflectionbot", AiCrawler), ("sbintuitionsbot", "SBIntuitionsBot", AiCrawler), ("semrushbot-ocob", "SemrushBot-OCOB", AiCrawler), ("shapbot", "ShapBot", AiCrawler), ("sidetrade indexer bot", "Sidetrade indexer bot", AiCrawler), ("spawning-ai", "Spawning-AI", AiCrawler), ("terracotta", "TerraCotta", AiCrawler), ("the knowledge ai", "The Knowledge AI", AiCrawler), ("thinkbot", "Thinkbot", AiCrawler), ("wardbot", "WARDBot", AiCrawler), ("yandexadditional", "YandexAdditional", AiCrawler), ("bigsur.ai", "bigsur.ai", AiCrawler),
    // Search engines.
    ("googlebot-image", "Googlebot-Image", Search), ("googlebot-video", "Googlebot-Video", Search), ("googlebot-news", "Googlebot-News", Search), ("googlebot", "Googlebot", Search), ("storebot-google", "Storebot-Google", Search),
    ("google-inspectiontool", "Google-InspectionTool", Search), ("googleother", "GoogleOther", Search), ("google-site-verification", "Google-Site-Verification", Search), ("google-structured-data", "Google-Structured-Data-Testing-Tool", Search),
    ("google favicon", "Google Favicon", Search), ("google-read-aloud", "Google-Read-Aloud", Search), ("duplexweb-google", "DuplexWeb-Google", Search), ("adsbot-google", "AdsBot-Google", Search), ("mediapartners-google", "Mediapartners-Google", Search), ("apis-google", "APIs-Google", Search),
    ("bingbot", "bingbot", Search), ("adidxbot", "adidxbot", Search), ("msnbot", "msnbot", Search), ("yandexbot", "YandexBot", Search), ("yandexmobilebot", "YandexMobileBot", Search), ("yandeximages", "YandexImages", Search), ("yandex.com/bots", "Yandex", Search),
    ("baiduspider", "Baiduspider", Search), ("duckduckbot", "DuckDuckBot", Search), ("applebot", "Applebot", Search), ("petalbot", "PetalBot", Search), ("sogou web spider", "Sogou Spider", Search), ("sogou inst spider", "Sogou Spider", Search), ("sogou spider", "Sogou Spider", Search), ("sogou pic spider", "Sogou Spider", Search), ("sogou news spider", "Sogou Spider", Search), ("sogou video spider", "Sogou Spider", Search), ("sogou orion spider", "Sogou Spider", Search), ("sogou-spider", "Sogou Spider", Search), ("seznambot", "SeznamBot", Search), ("naver.me/spd", "Yeti", Search), ("yeti/", "Yeti", Search),
    ("qwantify", "Qwantify", Search), ("qwantbot", "Qwantbot", Search), ("coccocbot", "coccocbot", Search), ("mojeekbot", "MojeekBot", Search), ("360spider", "360Spider", Search), ("yisouspider", "YisouSpider", Search), ("yahoo! slurp", "Yahoo! Slurp", Search), ("exabot", "Exabot", Search),
    ("daumoa", "Daumoa", Search), ("bravebot", "Bravebot", Search), ("marginalia", "Marginalia", Search), ("startmebot", "startmebot", Search),
    ("kagibot", "Kagibot", Search), ("coccoc", "coccoc", Search), ("gigabot", "Gigabot", Search), ("gigablastopensource", "Gigablast", Search), ("mail.ru_bot", "Mail.RU_Bot", Search), ("playstore-google", "PlayStore-Google", Search), ("sosospider", "Sosospider", Search), ("toutiaospider", "Toutiaospider", Search), ("yandexcalendar", "YandexCalendar", Search), ("yandexdirect", "YandexDirect", Search), ("yandexfavicons", "YandexFavicons", Search), ("yandexmarket", "YandexMarket", Search), ("yandexmedia", "YandexMedia", Search), ("yandexmetrika", "YandexMetrika", Search), ("yandexrenderresourcesbot", "YandexRenderResourcesBot", Search), ("yandexscreenshotbot", "YandexScreenshotBot", Search), ("yandexvideo", "YandexVideo", Search), ("yandexwebmaster", "YandexWebmaster", Search), ("yandexblogs", "YandexBlogs", Search), ("yacybot", "yacybot", Search),
    // Previews of links.
    ("facebookexternalhit", "facebookexternalhit", LinkPreview), ("facebookcatalog", "facebookcatalog", LinkPreview), ("twitterbot", "Twitterbot", LinkPreview), ("linkedinbot", "LinkedInBot", LinkPreview), ("slackbot", "Slackbot", LinkPreview), ("slack-imgproxy", "Slack-ImgProxy", LinkPreview),
    ("telegrambot", "TelegramBot", LinkPreview), ("whatsapp/", "WhatsApp", LinkPreview), ("discordbot", "Discordbot", LinkPreview), ("skypeuripreview", "SkypeUriPreview", LinkPreview), ("bingpreview", "BingPreview", LinkPreview), ("pinterestbot", "Pinterestbot", LinkPreview), ("redditbot", "redditbot", LinkPreview),
    ("embedly", "Embedly", LinkPreview), ("iframely", "Iframely", LinkPreview), ("vkshare", "vkShare", LinkPreview), ("quora link", "Quora Link Preview", LinkPreview), ("bitlybot", "bitlybot", LinkPreview), ("flipboardproxy", "FlipboardProxy", LinkPreview), ("nuzzel", "Nuzzel", LinkPreview),
    ("bitrix link", "Bitrix Link Preview", LinkPreview), ("tumblr/", "Tumblr", LinkPreview), ("cardyb", "Bluesky Cardyb", LinkPreview), ("mastodon/", "Mastodon", LinkPreview), ("snap url preview", "Snap URL Preview", LinkPreview), ("outbrain", "Outbrain", LinkPreview), ("google-pagerenderer", "Google-PageRenderer", LinkPreview),
    ("googlemessages", "GoogleMessages", LinkPreview), ("hatena", "Hatena", LinkPreview), ("discourse forum onebox", "Discourse Forum Onebox", LinkPreview), ("fastmailua", "FastmailUA", LinkPreview), ("github-camo", "github-camo", LinkPreview), ("microsoft preview", "Microsoft Preview", LinkPreview), ("microsoftpreview", "MicrosoftPreview", LinkPreview), ("mattermost", "Mattermost", LinkPreview), ("misskey", "Misskey", LinkPreview), ("akkoma", "Akkoma", LinkPreview), ("pleroma", "Pleroma", LinkPreview), ("lemmy/", "Lemmy", LinkPreview), ("rocket.chat", "Rocket.Chat", LinkPreview), ("steamchaturllookup", "SteamChatURLLookup", LinkPreview), ("instapaper", "Instapaper", LinkPreview), ("pocketparser", "PocketParser", LinkPreview), ("kakaotalk-scrap", "kakaotalk-scrap", LinkPreview), ("linkpreview", "LinkPreview", LinkPreview), ("metauri", "MetaURI", LinkPreview), ("onebox", "Onebox", LinkPreview),
    // Is the site there?
    ("uptimerobot", "UptimeRobot", Monitor), ("pingdom", "Pingdom", Monitor), ("statuscake", "StatusCake", Monitor), ("site24x7", "Site24x7", Monitor), ("newrelicpinger", "NewRelicPinger", Monitor), ("newrelicsynthetics", "New Relic Synthetics", Monitor), ("datadogsynthetics", "Datadog Synthetics", Monitor), ("datadog", "Datadog", Monitor),
    ("googlestackdrivermonitoring", "GoogleStackdriverMonitoring", Monitor), ("better uptime", "Better Uptime Bot", Monitor), ("betterstack", "Better Stack", Monitor), ("hetrixtools", "HetrixTools", Monitor), ("freshping", "Freshping", Monitor), ("updown.io", "updown.io", Monitor), ("checkly", "Checkly", Monitor), ("catchpoint", "Catchpoint", Monitor),
    ("gtmetrix", "GTmetrix", Monitor), ("check_http", "Nagios", Monitor), ("nagios", "Nagios", Monitor), ("zabbix", "Zabbix", Monitor), ("blackbox exporter", "Blackbox Exporter", Monitor), ("blackbox-exporter", "Blackbox Exporter", Monitor), ("prometheus/", "Prometheus", Monitor), ("kube-probe", "kube-probe", Monitor), ("googlehc", "GoogleHC", Monitor),
    ("elb-healthchecker", "ELB-HealthChecker", Monitor), ("route53-health-check", "Amazon Route 53 Health Check", Monitor), ("cloudflare-healthchecks", "Cloudflare-Healthchecks", Monitor), ("cloudflare-traffic-manager", "Cloudflare-Traffic-Manager", Monitor), ("uptime-kuma", "Uptime-Kuma", Monitor), ("jetmon", "jetmon", Monitor),
    ("nodeping", "NodePing", Monitor), ("uptimia", "Uptimia", Monitor), ("alertsite", "AlertSite", Monitor), ("ptst/", "WebPageTest", Monitor), ("chrome-lighthouse", "Chrome-Lighthouse", Monitor), ("lighthouse", "Lighthouse", Monitor), ("pagespeed", "PageSpeed", Monitor),
    ("ruxitsynthetic", "RuxitSynthetic", Monitor), ("thousandeyes", "ThousandEyes", Monitor), ("uptrends", "Uptrends", Monitor), ("wheresitup", "wheresitup", Monitor), ("dareboost", "DareBoost", Monitor), ("solarwinds", "SolarWinds", Monitor), ("panopta", "Panopta", Monitor), ("netvigie", "NETVIGIE", Monitor), ("hydrozen", "Hydrozen", Monitor), ("pingping", "PingPing", Monitor), ("; rigor)", "Rigor", Monitor), ("appinsights", "AppInsights", Monitor), ("speedcurve", "SpeedCurve", Monitor), ("montastic", "Montastic", Monitor), ("monsido", "Monsido", Monitor), ("ohdear", "OhDear", Monitor), ("cronitor", "Cronitor", Monitor), ("keycdn-tools", "keycdn-tools", Monitor), ("w3c-mobileok", "W3C-mobileOK", Monitor), ("w3c_unicorn", "W3C_Unicorn", Monitor), ("w3c_validator", "W3C_Validator", Monitor), ("w3c-checklink", "W3C-checklink", Monitor), ("securityheaders", "SecurityHeaders", Monitor), ("ssl labs", "SSL Labs", Monitor), ("hardenize", "Hardenize", Monitor), ("sitespeed.io", "sitespeed.io", Monitor),
    // Links and ranks.
    ("ahrefssiteaudit", "AhrefsSiteAudit", Seo), ("ahrefsbot", "AhrefsBot", Seo), ("ahrefs", "Ahrefs", Seo), ("siteauditbot", "SiteAuditBot", Seo), ("semrushbot", "SemrushBot", Seo), ("semrush", "Semrush", Seo), ("mj12bot", "MJ12bot", Seo), ("dotbot", "DotBot", Seo), ("rogerbot", "rogerbot", Seo), ("dataforseo", "DataForSeoBot", Seo),
    ("serpstatbot", "serpstatbot", Seo), ("screaming frog", "Screaming Frog SEO Spider", Seo), ("sistrix", "SISTRIX", Seo), ("seobility", "Seobility", Seo), ("seokicks", "SEOkicks", Seo), ("blexbot", "BLEXBot", Seo), ("barkrowler", "Barkrowler", Seo), ("linkdexbot", "linkdexbot", Seo), ("megaindex", "MegaIndex", Seo),
    ("siteimprove", "Siteimprove", Seo), ("deepcrawl", "Lumar", Seo), ("oncrawl", "OnCrawl", Seo), ("botify", "Botify", Seo), ("xovibot", "XoviBot", Seo), ("zoominfobot", "ZoominfoBot", Seo), ("awariobot", "AwarioBot", Seo), ("dataprovider", "Dataprovider", Seo), ("netcraft", "Netcraft", Seo), ("linkfluence", "Linkfluence", Seo), ("datanyze", "Datanyze", Seo), ("silktide", "Silktide", Seo),
    ("internet-measurement", "InternetMeasurement", Other), ("censysinspect", "CensysInspect", Other), ("archive.org_bot", "archive.org_bot", Other), ("ia_archiver", "ia_archiver", Other), ("heritrix", "Heritrix", Other), ("nutch", "Nutch", Other), ("feedburner", "FeedBurner", Other), ("feedfetcher-google", "FeedFetcher-Google", Other), ("feedly", "Feedly", Other),
    ("masscan", "masscan", Other), ("nmap", "Nmap", Other), ("zgrab", "zgrab", Other), ("nikto", "Nikto", Other), ("sqlmap", "sqlmap", Other), ("nuclei", "Nuclei", Other), ("wpscan", "WPScan", Other), ("palo alto", "Palo Alto Networks", Other), ("expanse", "Expanse", Other), ("httrack", "HTTrack", Other), ("googleweblight", "Google Web Light", Other),
    ("googleassociationservice", "GoogleAssociationService", Other), ("googleimageproxy", "GoogleImageProxy", Other), ("googleproducer", "GoogleProducer", Other), ("meta-externalads", "meta-externalads", Other), ("hotjar", "Hotjar", Other), ("feedbin", "Feedbin", Other), ("inoreader", "Inoreader", Other), ("newsblur", "NewsBlur", Other), ("miniflux", "Miniflux", Other), ("freshrss", "FreshRSS", Other), ("tiny tiny rss", "Tiny Tiny RSS", Other), ("ips-agent", "ips-agent", Other), ("openvas", "OpenVAS", Other), ("zapier", "Zapier", Other), ("watchtowr", "watchTowr", Other), ("foregenix", "Foregenix", Other), ("sindup", "Sindup", Other), ("newsnow/", "NewsNow", Other), ("miniature.io", "Miniature.io", Other), ("linktiger", "LinkTiger", Seo), ("marketgoo", "MarketGoo", Seo), ("integromat", "Integromat", Other), ("ifttt", "IFTTT", Other), ("acunetix", "acunetix", Other), ("disqus/", "Disqus", Other), ("bingsearch", "BingSearch", Other),
    // Browsers without a person.
    ("headlesschrome", "HeadlessChrome", Automation), ("headless", "Headless browser", Automation), ("phantomjs", "PhantomJS", Automation), ("puppeteer", "Puppeteer", Automation), ("playwright", "Playwright", Automation), ("selenium", "Selenium", Automation), ("webdriver", "WebDriver", Automation), ("slimerjs", "SlimerJS", Automation),
    ("cypress", "Cypress", Automation), ("htmlunit", "HtmlUnit", Automation), ("jsdom", "jsdom", Automation), ("prerender", "Prerender", Automation),
    ("ghost inspector", "Ghost Inspector", Automation), (" splash ", "Splash", Automation), ("testlocally", "TestLocally", Automation), ("lightpanda", "Lightpanda", Automation), ("rendertron", "Rendertron", Automation), ("browserless", "Browserless", Automation), ("vercel-", "Vercel", Automation), ("cloudflare-", "Cloudflare", Other),
    // Programs.
    ("k6/", "k6", Library), ("jmeter", "JMeter", Library), ("vegeta", "Vegeta", Library), ("wrk/", "wrk", Library), ("hey/", "hey", Library), ("locust", "Locust", Library),
    ("scrapy", "Scrapy", Library), ("python-requests", "python-requests", Library), ("python-urllib", "Python-urllib", Library), ("python-httpx", "python-httpx", Library), ("aiohttp", "aiohttp", Library), ("urllib", "urllib", Library), ("python/", "Python", Library), ("python-", "Python", Library), ("httpx/", "httpx", Library),
    ("go-http-client", "Go-http-client", Library), ("go-resty", "go-resty", Library), ("okhttp", "okhttp", Library), ("apache-httpclient", "Apache-HttpClient", Library), ("jakarta commons", "Jakarta Commons-HttpClient", Library), ("java/", "Java", Library), ("axios/", "axios", Library), ("node-fetch", "node-fetch", Library), ("electron-fetch", "electron-fetch", Library), ("undici", "undici", Library),
    ("superagent", "superagent", Library), ("got (", "got", Library), ("request/", "request", Library), ("postmanruntime", "PostmanRuntime", Library), ("insomnia/", "insomnia", Library), ("httpie/", "HTTPie", Library), ("guzzle", "Guzzle", Library), ("php/", "PHP", Library), ("faraday", "Faraday", Library), ("typhoeus", "Typhoeus", Library), ("rest-client", "rest-client", Library), ("ruby", "Ruby", Library),
    ("libwww-perl", "libwww-perl", Library), ("libwww", "libwww", Library), ("lwp::", "LWP", Library), ("lwp-", "LWP", Library), ("perl", "Perl", Library), ("powershell", "PowerShell", Library), ("winhttp", "WinHTTP", Library), ("reqwest", "reqwest", Library), ("hyper/", "hyper", Library), ("libcurl", "libcurl", Library), ("curl/", "curl", Library), ("wget", "Wget", Library),
    ("restsharp", "RestSharp", Library),
    ("httpunit", "httpunit", Library), ("ahc/", "AHC", Library), ("jersey/", "Jersey", Library), ("jetty/", "Jetty", Library), ("colly", "colly", Library), ("newspaper/", "newspaper", Library), ("java-http-client", "Java-http-client", Library), ("apache-cxf", "Apache-CXF", Library), ("ktor", "Ktor", Library), ("indy library", "Indy Library", Library), ("microsoft-cryptoapi", "Microsoft-CryptoAPI", Library), ("mojolicious", "Mojolicious", Library), ("mechanize", "Mechanize", Library), ("symfony", "Symfony", Library), ("httparty", "HTTParty", Library), ("http.rb", "http.rb", Library), ("excon", "excon", Library), ("aws-sdk", "aws-sdk", Library), ("boto3", "Boto3", Library), ("botocore", "botocore", Library), ("gaxios", "gaxios", Library), ("hackney", "hackney", Library), ("clj-http", "clj-http", Library), ("akka-http", "akka-http", Library), ("sttp", "sttp", Library), ("libfetch", "libfetch", Library), ("lftp", "lftp", Library), ("aria2", "aria2", Library), ("youtube-dl", "youtube-dl", Library), ("yt-dlp", "yt-dlp", Library), ("lavf/", "FFmpeg", Library), ("dart/", "Dart", Library), ("deno/", "Deno", Library), ("bun/", "Bun", Library), ("http_request", "HTTP_Request", Library), ("httpclient", "HttpClient", Library),
];

/// Words that only programs use, in lower case.
#[rustfmt::skip]
pub const WORDS: &[&str] = &[
    "bot", "crawl", "spider", "scrap", "slurp", "scan", "fetcher", "archiv", "validator", "verif", "checker", "audit", "http://", "https://", "www.", ".com", ".org", "mailto:", "monitor", "uptime", "preview", "newrelic", "google-",
    // Browsers close the parenthesis there; old Kindles go on with a comma.
    "like gecko;",
    "-agent", "analyz", "capture", "copier", "feed", "generator", "inspector", "optimizer", "parser", "research", "screenshot", "subscriber", "synthetic", "webhook",
];

/// What the words of a text say of a robot; nothing when it does not look like one.
pub fn of_tokens(tokens: &Tokens<'_>) -> Option<Robot> {
    if let Some(row) = tokens.robot {
        let (_, name, category) = KNOWN[usize::from(row)];
        return Some(Robot { name: Some(name.into()), category, evidence: vec![Evidence::UaName] });
    }
    if let Some(word) = tokens.robot_word.clone() {
        let name = name_around(tokens.text, word);
        return Some(Robot { name, category: Category::Other, evidence: vec![Evidence::UaWord] });
    }
    is_misshapen(tokens).then(|| {
        let category = if tokens.has(Anchor::Client) { Category::Library } else { Category::Other };
        Robot { name: first_product(tokens.text), category, evidence: vec![Evidence::UaShape] }
    })
}

/// Whether no browser and no app on a person's device writes like this.
fn is_misshapen(tokens: &Tokens<'_>) -> bool {
    let text = tokens.text.trim_ascii_start();
    let has = |anchor| tokens.has(anchor);
    if text.starts_with("Mozilla/") {
        // `(compatible; …)` is Internet Explorer's way; what writes it today and names no system is something else.
        let is_system = [Anchor::MicrosoftIe, Anchor::Windows, Anchor::Linux, Anchor::X11, Anchor::Macintosh];
        let is_robot = has(Anchor::Compatible) && !tokens.shows(Sign::Person) && !is_system.into_iter().any(has);
        return is_robot || !text.contains('(');
    }
    // Apps name the device that they run on.
    !text.is_empty() && !text.starts_with("Opera/") && !tokens.shows(Sign::Person)
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
    if in_address || around.contains(".com") || around.contains(".org") || text[..start].ends_with('/') {
        return first_product(text);
    }
    Some(url::cut(around, MAX_NAME).to_owned()).filter(|name| !name.is_empty())
}

/// What the text begins with, unless that is what every browser begins with.
fn first_product(text: &str) -> Option<String> {
    let first = text.trim_ascii_start().split(['/', ' ', ';', '(']).next().unwrap_or_default();
    (!matches!(first, "Mozilla" | "Opera" | "")).then(|| url::cut(first, MAX_NAME).to_owned())
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

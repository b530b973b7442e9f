//! The table of sites that send visitors, as data: search engines, AI assistants, social networks, video sites, shops,
//! and mail.
//!
//! A row is a host and what it is. A host also stands for its subdomains; the most specific row wins, so that
//! `mail.google.com` is mail though `google.com` is an engine. Engines with a site per country have one row in
//! [`EVERYWHERE`]. Source names are those of GA4: the short name for the engines GA4 names, the host for all others.

use std::{collections::HashMap, sync::LazyLock};

use Kind::*;

/// What a site is, as far as channels care.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A search engine: medium `organic`.
    Search,
    /// An assistant that answers in its own words: medium `ai-assistant`.
    Assistant,
    /// A social network: a referral.
    Social,
    /// A video site: a referral.
    Video,
    /// A shop or price comparison: a referral.
    Shopping,
    /// Mail in the browser: a referral.
    Mail,
    /// Other pages of a site whose main row says something else.
    Other,
}

/// A known site.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Known {
    /// What it is.
    pub kind: Kind,
    /// Source name of an engine that GA4 knows by name.
    pub name: Option<&'static str>,
}

/// What is known of `host`, which is lower case. `path` is the path of the address, often cut off by the browser.
pub fn find(host: &str, path: &str) -> Option<Known> {
    // The one assistant that lives below a social network.
    if matches!(host, "x.com" | "twitter.com") && path.starts_with("/i/grok") {
        return Some(Known { kind: Assistant, name: None });
    }
    let mut rest = host;
    // The top-level domain alone is never a row.
    while rest.contains('.') {
        if let Some(known) = BY_HOST.get(rest) {
            return Some(*known);
        }
        rest = rest.split_once('.')?.1;
    }
    everywhere(host)
}

/// What is known of a source as campaigns write it: a short name (`facebook`) or a host (`m.facebook.com`), lower case.
pub fn find_source(source: &str) -> Option<Kind> {
    if let Some(kind) = BY_NAME.get(source) {
        return Some(*kind);
    }
    source.contains('.').then(|| find(source, ""))?.map(|known| known.kind)
}

/// Engines with a site per country: their second-level name under any public suffix, below the given subdomains.
fn everywhere(host: &str) -> Option<Known> {
    let domain = psl::domain_str(host)?;
    let (label, _) = domain.split_once('.')?;
    let subdomain = host.strip_suffix(domain)?.trim_end_matches('.');
    let (_, kind, name, _) = EVERYWHERE
        .iter()
        .find(|(l, _, _, subdomains)| *l == label && subdomains.iter().any(|known| is_below(subdomain, known)))?;
    Some(Known { kind: *kind, name: *name })
}

/// `search` covers `search` and `de.search`; the empty one covers the bare domain only.
fn is_below(subdomain: &str, known: &str) -> bool {
    let Some(before) = subdomain.strip_suffix(known) else { return false };
    before.is_empty() || !known.is_empty() && before.ends_with('.')
}

static BY_HOST: LazyLock<HashMap<&'static str, Known>> = LazyLock::new(|| {
    let named = ENGINES.iter().map(|(host, name)| (*host, Known { kind: Search, name: Some(*name) }));
    let hosts = HOSTS.iter().flat_map(|(kind, hosts)| hosts.split_ascii_whitespace().map(|host| (host, *kind)));
    named.chain(hosts.map(|(host, kind)| (host, Known { kind, name: None }))).collect()
});

static BY_NAME: LazyLock<HashMap<&'static str, Kind>> = LazyLock::new(|| {
    let engines = ENGINES.iter().map(|(_, name)| (*name, Search));
    let everywhere = EVERYWHERE.iter().map(|(label, kind, name, _)| (name.unwrap_or(label), *kind));
    let names = NAMES.iter().flat_map(|(kind, names)| names.split_ascii_whitespace().map(|name| (name, *kind)));
    engines.chain(everywhere).chain(names).collect()
});

/// Second-level name, what it is, source name, and the subdomains that count (the empty one is the bare domain).
#[rustfmt::skip]
static EVERYWHERE: &[(&str, Kind, Option<&str>, &[&str])] = &[
    ("google", Search, Some("google"), &["", "www", "m", "images", "encrypted", "ipv4", "ipv6", "cse", "search"]),
    ("yahoo", Search, Some("yahoo"), &["search"]),
    ("yandex", Search, Some("yandex"), &["", "www", "m", "ya", "search", "images"]),
    ("ask", Search, Some("ask"), &["", "www", "uk", "de", "search"]),
    ("aol", Search, Some("aol"), &["search", "suche", "recherche", "alicesuche"]),
    ("lycos", Search, Some("lycos"), &["search"]),
    ("amazon", Shopping, None, &["", "www", "m", "smile"]),
    ("ebay", Shopping, None, &["", "www", "m"]),
    ("etsy", Shopping, None, &["", "www", "m"]),
    ("aliexpress", Shopping, None, &["", "www", "m"]),
    ("mercadolibre", Shopping, None, &["", "www", "articulo", "listado"]),
    ("pinterest", Social, None, &["", "www"]),
    ("idealo", Shopping, None, &["", "www", "m"]),
    ("shopee", Shopping, None, &["", "www"]),
    ("lazada", Shopping, None, &["", "www"]),
    ("zalando", Shopping, None, &["", "www", "m"]),
    ("kelkoo", Shopping, None, &["", "www"]),
    ("trovaprezzi", Shopping, None, &["", "www"]),
];

/// Engines by host, with the name GA4 has for them.
#[rustfmt::skip]
static ENGINES: &[(&str, &str)] = &[
    ("bing.com", "bing"), ("duckduckgo.com", "duckduckgo"), ("start.duckduckgo.com", "duckduckgo"),
    ("search.yahoo.com", "yahoo"), ("search.yahoo.co.jp", "yahoo"), ("baidu.com", "baidu"), ("ya.ru", "yandex"),
    ("naver.com", "naver"), ("daum.net", "daum"), ("seznam.cz", "seznam"), ("sogou.com", "sogou"),
    ("so.com", "so.com"), ("360.cn", "360.cn"), ("haosou.com", "so.com"), ("sm.cn", "sm.cn"),
    ("ecosia.org", "ecosia.org"), ("qwant.com", "qwant.com"), ("startpage.com", "startpage.com"),
    ("search.brave.com", "search.brave.com"), ("rambler.ru", "rambler"), ("go.mail.ru", "go.mail.ru"),
    ("search.aol.com", "aol"), ("search.msn.com", "msn"), ("search.virgilio.it", "virgilio"),
    ("ricerca.virgilio.it", "virgilio"), ("onet.pl", "onet"), ("szukaj.onet.pl", "onet"), ("eniro.se", "eniro"),
    ("kvasir.no", "kvasir"), ("startsiden.no", "startsiden"), ("centrum.cz", "centrum.cz"),
    ("search.centrum.cz", "centrum.cz"), ("dogpile.com", "dogpile"), ("mamma.com", "mamma"),
    ("najdi.si", "najdi"), ("websearch.rakuten.co.jp", "rakuten"), ("search.auone.jp", "auone"),
    ("search.goo.ne.jp", "goo.ne.jp"), ("excite.co.jp", "excite"), ("search.biglobe.ne.jp", "biglobe"),
    ("search.smt.docomo.ne.jp", "docomo"), ("search.ukr.net", "ukr"), ("terra.com.br", "terra"),
    ("busca.uol.com.br", "uol"), ("search.comcast.net", "comcast"), ("search.avg.com", "avg"),
    ("search.babylon.com", "babylon"), ("search.conduit.com", "conduit"), ("search.mywebsearch.com", "mywebsearch"),
    ("info.com", "info.com"), ("webcrawler.com", "webcrawler"), ("metager.org", "metager.org"),
    ("metager.de", "metager.de"), ("mojeek.com", "mojeek.com"), ("swisscows.com", "swisscows.com"),
    ("presearch.com", "presearch.com"), ("presearch.org", "presearch.com"), ("lilo.org", "lilo.org"),
    ("search.lilo.org", "lilo.org"), ("kagi.com", "kagi.com"), ("oceanhero.today", "oceanhero.today"),
    ("gibiru.com", "gibiru.com"), ("dogpile.co.uk", "dogpile"), ("petalsearch.com", "petalsearch.com"),
    ("suche.web.de", "web.de"), ("suche.gmx.net", "gmx"), ("suche.t-online.de", "t-online"),
    ("suche.freenet.de", "freenet"), ("fireball.de", "fireball.de"), ("search.ch", "search.ch"),
    ("bluewin.ch", "bluewin.ch"), ("lemoteur.orange.fr", "orange.fr"), ("libero.it", "libero.it"),
    ("arianna.libero.it", "libero.it"), ("zoeken.nl", "zoeken.nl"), ("coccoc.com", "coccoc.com"),
    ("search.seznam.cz", "seznam"), ("search.naver.com", "naver"), ("search.daum.net", "daum"),
    ("search.zum.com", "zum"), ("toutiao.com", "toutiao"), ("so.toutiao.com", "toutiao"),
    ("yep.com", "yep.com"), ("ghostery.com", "ghostery.com"), ("searchencrypt.com", "searchencrypt.com"),
    ("search.lycos.com", "lycos"), ("search.xfinity.com", "xfinity"), ("search.mail.com", "mail.com"),
    ("search.incredimail.com", "incredimail"), ("searx.be", "searx.be"), ("ekoru.org", "ekoru.org"),
    ("com.google.android.googlequicksearchbox", "google"),
    ("com.google.android.gms", "google"), ("com.duckduckgo.mobile.android", "duckduckgo"),
    ("com.microsoft.bing", "bing"), ("ru.yandex.searchplugin", "yandex"), ("com.nhn.android.search", "naver"),
    ("org.ecosia.android", "ecosia.org"), ("com.qwant.liberty", "qwant.com"),
];

/// Everything else by kind. Names with the top-level domain in front are Android packages, which stand as the host of
/// `android-app://` referrers.
#[rustfmt::skip]
static HOSTS: &[(Kind, &str)] = &[
    (Assistant, "chatgpt.com chat.openai.com gemini.google.com bard.google.com notebooklm.google.com claude.ai
        copilot.microsoft.com copilot.com copilot.cloud.microsoft m365.cloud.microsoft edgeservices.bing.com perplexity.ai grok.com chat.deepseek.com deepseek.com meta.ai
        chat.mistral.ai chat.qwen.ai chat.qwenlm.ai duck.ai you.com poe.com phind.com iask.ai kimi.com kimi.moonshot.cn doubao.com
        character.ai pi.ai chatglm.cn z.ai yiyan.baidu.com yuanbao.tencent.com tongyi.aliyun.com felo.ai genspark.ai andisearch.com consensus.app lumo.proton.me
        com.openai.chatgpt ai.perplexity.app.android com.google.android.apps.bard com.anthropic.claude com.microsoft.copilot
        com.deepseek.chat ai.x.grok ai.mistral.chat com.quora.poe"),
    (Social, "facebook.com fb.com fb.me messenger.com workplace.com instagram.com ig.me threads.net threads.com t.co x.com
        twitter.com tweetdeck.com linkedin.com lnkd.in reddit.com redd.it pinterest.com pin.it tumblr.com t.umblr.com vk.com vkontakte.ru
        vk.ru ok.ru odnoklassniki.ru mastodon.social mastodon.online bsky.app bsky.social go.bsky.app snapchat.com
        whatsapp.com wa.me t.me telegram.org telegram.me discord.com discordapp.com discord.gg quora.com weibo.com weibo.cn t.cn
        wechat.com weixin.qq.com qq.com qzone.qq.com douban.com zhihu.com xiaohongshu.com line.me livejournal.com
        meetup.com nextdoor.com ning.com flickr.com deviantart.com 500px.com behance.net dribbble.com goodreads.com
        last.fm myspace.com xing.com viadeo.com hi5.com tagged.com taringa.net renren.com mixi.jp ameblo.jp hatena.ne.jp
        b.hatena.ne.jp note.com naver.me blog.naver.com cafe.naver.com band.us kakao.com story.kakao.com disqus.com medium.com
        substack.com blogger.com blogspot.com wordpress.com typepad.com plurk.com gab.com gettr.com parler.com truthsocial.com
        minds.com mewe.com ello.co diaspora.social lemmy.world kbin.social news.ycombinator.com lobste.rs slashdot.org digg.com
        stumbleupon.com mix.com flipboard.com getpocket.com instapaper.com buffer.com hootsuite.com linktr.ee lnk.bio beacons.ai
        stackoverflow.com stackexchange.com producthunt.com tripadvisor.com yelp.com foursquare.com
        tiktok.com douyin.com iesdouyin.com nicovideo.jp nico.ms strava.com untappd.com letterboxd.com wattpad.com fanfiction.net badoo.com skyrock.com netlog.com wykop.pl
        jappy.de gutefrage.net draugiem.lv hubpages.com scribd.com slideshare.net academia.edu researchgate.net
        com.facebook.katana com.facebook.lite com.facebook.orca com.instagram.android com.instagram.barcelona com.twitter.android
        com.linkedin.android com.pinterest com.reddit.frontpage com.snapchat.android com.whatsapp com.whatsapp.w4b
        org.telegram.messenger org.telegram.plus com.vkontakte.android com.tumblr com.discord xyz.blueskyweb.app jp.naver.line.android
        com.tencent.mm com.sina.weibo com.quora.android com.nextdoor org.joinmastodon.android ru.ok.android com.laurencedawson.reddit_sync com.zhiliaoapp.musically com.ss.android.ugc.trill"),
    (Video, "youtube.com youtu.be youtube-nocookie.com m.youtube.com vimeo.com dailymotion.com dai.ly twitch.tv kuaishou.com bilibili.com b23.tv youku.com iqiyi.com
        rutube.ru rumble.com odysee.com bitchute.com veoh.com metacafe.com wistia.com vevo.com ted.com netflix.com hulu.com
        disneyplus.com crackle.com kick.com streamable.com coub.com v.qq.com tv.naver.com loom.com
        com.google.android.youtube tv.twitch.android.app com.vimeo.android.videoapp"),
    (Shopping, "shopping.google.com shopping.yahoo.com shopping.yahoo.co.jp amzn.to amzn.eu amzn.asia walmart.com target.com
        alibaba.com 1688.com taobao.com tmall.com jd.com pinduoduo.com temu.com shein.com wish.com rakuten.co.jp rakuten.com
        mercadolivre.com.br mercadolibre.com.ar flipkart.com myntra.com tokopedia.com bukalapak.com coupang.com gmarket.co.kr 11st.co.kr
        allegro.pl bol.com cdiscount.com fnac.com otto.de kaufland.de check24.de geizhals.at geizhals.de billiger.de guenstiger.de
        preisvergleich.ch toppreise.ch galaxus.ch digitec.ch ricardo.ch tutti.ch kleinanzeigen.de leboncoin.fr vinted.com depop.com
        poshmark.com mercari.com bestbuy.com newegg.com wayfair.com overstock.com homedepot.com costco.com shop.app shopify.com
        shopzilla.com pricegrabber.com bizrate.com nextag.com shopping.com become.com pricerunner.com prisjakt.nu pricespy.co.uk
        skroutz.gr heureka.cz heureka.sk ceneo.pl arukereso.hu compari.ro hepsiburada.com trendyol.com n11.com ozon.ru
        wildberries.ru market.yandex.ru kakaku.com twenga.com ladenzeile.de lyst.com stylight.com slickdeals.net groupon.com
        com.amazon.mshop.android.shopping com.ebay.mobile com.etsy.android com.alibaba.aliexpresshd com.einnovation.temu"),
    (Mail, "mail.google.com inbox.google.com mail.yahoo.com mail.yahoo.co.jp outlook.live.com outlook.com outlook.office.com
        outlook.office365.com hotmail.com mail.live.com mail.aol.com mail.ru e.mail.ru mail.yandex.ru mail.yandex.com
        mail.proton.me protonmail.com mail.qq.com mail.163.com mail.126.com mail.naver.com mail.daum.net webmail.freenet.de
        deref-gmx.net deref-gmx.com deref-web.de deref-mail.com 3c.web.de 3c.gmx.net navigator.gmx.net navigator.web.de
        navigator-bs.gmx.com mail.orange.fr messagerie.orange.fr webmail.free.fr mail.libero.it poczta.onet.pl poczta.wp.pl
        email.seznam.cz email.t-online.de webmail.bluewin.ch email.bluewin.ch icloud.com fastmail.com app.hey.com mail.zoho.com
        webmail.comcast.net tutanota.com app.tuta.com com.google.android.gm com.microsoft.office.outlook com.yahoo.mobile.client.android.mail
        com.samsung.android.email.provider ch.protonmail.android"),
    (Other, "accounts.google.com docs.google.com sites.google.com drive.google.com meet.google.com news.google.com
        translate.google.com maps.google.com play.google.com support.google.com groups.google.com classroom.google.com
        calendar.google.com scholar.google.com ads.google.com analytics.google.com tagassistant.google.com
        passport.yandex.ru metrika.yandex.ru webmaster.yandex.ru pan.baidu.com tieba.baidu.com zhidao.baidu.com
        login.seznam.cz nid.naver.com new.qq.com stats.wp.com"),
];

/// Short names that people write into `utm_source`.
#[rustfmt::skip]
static NAMES: &[(Kind, &str)] = &[
    (Search, "googleads adwords msn bingads duckduckgo.com yahoo.com baidu.com ecosia qwant startpage brave"),
    (Assistant, "chatgpt openai perplexity gemini claude copilot deepseek grok"),
    (Social, "facebook fb ig instagram facebook.com instagram_stories facebook_ads meta threads twitter x linkedin linkedin_ads pinterest
        reddit snapchat tumblr vk whatsapp telegram wechat weibo xing quora mastodon bluesky bsky discord line
        flipboard pocket blogger livejournal nextdoor meetup yelp tripadvisor wordpress messenger ig_profile tiktok tiktok_ads douyin"),
    (Video, "youtube yt vimeo twitch dailymotion netflix hulu disneyplus vevo wistia bilibili"),
    (Shopping, "amazon ebay etsy walmart alibaba aliexpress shopify shopping.google.com googleshopping google_shopping igshopping
        idealo mercadolibre rakuten temu shein target shopzilla pricegrabber kelkoo ladenzeile"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_as_large_as_it_should_be_and_lower_case() {
        let hosts: Vec<&str> = BY_HOST.keys().copied().collect();
        assert!(hosts.len() > 400, "{}", hosts.len());
        for host in hosts {
            assert!(
                host.contains('.') && host.bytes().all(|b| b.is_ascii_graphic() && !b.is_ascii_uppercase()),
                "{host}"
            );
        }
    }

    #[test]
    fn no_host_stands_in_two_places() {
        let named = ENGINES.iter().map(|(host, _)| *host);
        let listed = HOSTS.iter().flat_map(|(_, hosts)| hosts.split_ascii_whitespace());
        let mut seen = std::collections::HashSet::new();
        for host in named.chain(listed) {
            assert!(seen.insert(host), "{host} stands twice");
        }
    }

    #[test]
    fn the_most_specific_row_wins() {
        let kind = |host| find(host, "").map(|known| known.kind);
        assert_eq!(kind("www.google.co.uk"), Some(Search));
        assert_eq!(kind("mail.google.com"), Some(Mail));
        assert_eq!(kind("gemini.google.com"), Some(Assistant));
        assert_eq!(kind("docs.google.com"), Some(Other));
        assert_eq!(kind("storage.google.com"), None);
        assert_eq!(kind("notgoogle.com"), None);
        assert_eq!(kind("google.com.evil.example"), None);
        assert_eq!(kind("de.search.yahoo.com"), Some(Search));
        assert_eq!(kind("de.yahoo.com"), None);
        assert_eq!(kind("l.facebook.com"), Some(Social));
        assert_eq!(kind("com"), None);
        assert_eq!(find("x.com", "/i/grok").map(|k| k.kind), Some(Assistant));
        assert_eq!(find("x.com", "/someone").map(|k| k.kind), Some(Social));
    }

    #[test]
    fn sources_are_known_by_short_name_and_by_host() {
        for (source, kind) in [
            ("google", Some(Search)),
            ("bing", Some(Search)),
            ("fb", Some(Social)),
            ("m.facebook.com", Some(Social)),
            ("youtube", Some(Video)),
            ("www.amazon.de", Some(Shopping)),
            ("chatgpt.com", Some(Assistant)),
            ("newsletter", None),
        ] {
            assert_eq!(find_source(source), kind, "{source}");
        }
    }
}

//! The table of sites that send visitors: search engines, AI assistants, social networks, video sites, shops, and mail.
//!
//! `referrers.tsv` beside this file is the table, its head the description of a row. A site of one's own file takes the
//! place of the same one here. The most specific row wins, so that `mail.google.com` is mail though `google.com` is an
//! engine. Source names are those of GA4: the short name for the engines GA4 names, the host for all others.

use std::{
    borrow::Cow,
    sync::{Arc, LazyLock},
};

use foldhash::HashMap;

use super::row::Row;
pub use super::row::{Fault, Kind};

/// The rows that come with the binary.
const BUILT_IN: &str = include_str!("referrers.tsv");

/// A known site.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known {
    /// What it is.
    pub kind: Kind,
    /// Source name, where it is not the host.
    pub name: Option<Cow<'static, str>>,
    /// Parameters that hold the words searched for, parted by commas.
    terms: Cow<'static, str>,
}

impl Known {
    /// Names of the parameters that hold the words searched for.
    pub fn terms(&self) -> impl Iterator<Item = &str> {
        self.terms.split(',').filter(|term| !term.is_empty())
    }
}

/// By a text.
type Table<T> = HashMap<Cow<'static, str>, T>;

/// All known sites.
#[derive(Debug, Default)]
pub struct Sites {
    by_host: Table<Known>,
    /// Sites below a path: by host, each with the beginning of its path.
    by_page: Table<Vec<(Cow<'static, str>, Known)>>,
    /// Sites with a domain per country: by second-level name, each with its subdomain.
    by_label: Table<Vec<(Cow<'static, str>, Known)>>,
    /// Short names that stand in `utm_source`.
    by_name: Table<Kind>,
}

static SHIPPED: LazyLock<Arc<Sites>> = LazyLock::new(|| {
    let mut sites = Sites::default();
    sites.ship();
    sites.into()
});

impl Sites {
    /// Those that come with the binary.
    pub fn shipped() -> Arc<Sites> {
        SHIPPED.clone()
    }

    /// Those of `table`, then those that come with the binary. Lines that are no rows are left out and come back, with
    /// their numbers.
    pub fn with(table: &str) -> (Sites, Vec<(usize, Fault)>) {
        let mut sites = Sites::default();
        let mut faults = Vec::new();
        for (index, line) in table.lines().enumerate() {
            match Row::parse(line) {
                Ok(Some(row)) => sites.add(&row, |text| Cow::Owned(text.to_owned())),
                Ok(None) => {}
                Err(fault) => faults.push((index + 1, fault)),
            }
        }
        sites.ship();
        (sites, faults)
    }

    fn ship(&mut self) {
        // The tests read every line; one that is none is simply not there.
        for row in BUILT_IN.lines().filter_map(|line| Row::parse(line).ok()?) {
            self.add(&row, Cow::Borrowed);
        }
    }

    /// Adds a row, unless one for the same site came before.
    fn add<'t>(&mut self, row: &Row<'t>, keep: impl Fn(&'t str) -> Cow<'static, str>) {
        let known = Known { kind: row.kind, name: row.name.map(&keep), terms: keep(row.terms) };
        if let Some(name) = row.name {
            self.by_name.entry(keep(name)).or_insert(row.kind);
        }
        if let Some(source) = row.site.strip_prefix('=') {
            self.by_name.entry(keep(source)).or_insert(row.kind);
        } else if let Some((host, _)) = row.site.split_once('/') {
            self.by_page.entry(keep(host)).or_default().push((keep(&row.site[host.len()..]), known));
        } else if let Some(domain) = row.site.strip_suffix(".*") {
            let (subdomain, label) = domain.rsplit_once('.').unwrap_or(("", domain));
            if subdomain.is_empty() {
                self.by_name.entry(keep(label)).or_insert(row.kind);
            }
            self.by_label.entry(keep(label)).or_default().push((keep(subdomain), known));
        } else if row.site.contains('.') {
            self.by_host.entry(keep(row.site)).or_insert(known);
        } else {
            self.by_name.entry(keep(row.site)).or_insert(row.kind);
        }
    }

    /// What is known of `host`, which is lower case. `path` is the path of the address, often cut off by the browser.
    pub fn find(&self, host: &str, path: &str) -> Option<&Known> {
        // Not every host that begins so: `www.` is all that anybody puts before such a site.
        if let Some(pages) = self.by_page.get(host.strip_prefix("www.").unwrap_or(host))
            && let Some((_, known)) = pages.iter().find(|(start, _)| path.starts_with(&**start))
        {
            return Some(known);
        }
        parents(host).find_map(|site| self.by_host.get(site)).or_else(|| self.everywhere(host))
    }

    /// What is known of a source as campaigns write it: a short name (`facebook`) or a host (`m.facebook.com`), lower
    /// case.
    pub fn find_source(&self, source: &str) -> Option<Kind> {
        if let Some(kind) = self.by_name.get(source) {
            return Some(*kind);
        }
        // A name is no host.
        source.contains('.').then(|| self.find(source, ""))?.map(|known| known.kind)
    }

    /// Sites with a domain per country. Whoever may register names below a suffix of a company (`google.github.io`) is
    /// none.
    fn everywhere(&self, host: &str) -> Option<&Known> {
        let domain = psl::domain(host.as_bytes()).filter(|domain| domain.suffix().typ() == Some(psl::Type::Icann))?;
        let domain = std::str::from_utf8(domain.as_bytes()).ok()?;
        let rows = self.by_label.get(domain.split_once('.')?.0)?;
        let subdomain = host.strip_suffix(domain)?.trim_end_matches('.');
        let subdomain = if subdomain == "www" { "" } else { subdomain };
        let mut best: Option<&(Cow<'_, str>, Known)> = None;
        for row in rows.iter().filter(|(known, _)| is_below(subdomain, known)) {
            if best.is_none_or(|best| row.0.len() > best.0.len()) {
                best = Some(row);
            }
        }
        best.map(|(_, known)| known)
    }
}

/// The host and what it lies below; the top-level domain alone is no site.
pub fn parents(host: &str) -> impl Iterator<Item = &str> {
    let mut rest = Some(host);
    std::iter::from_fn(move || {
        let site = rest?;
        let (_, parent) = site.split_once('.')?;
        rest = Some(parent);
        Some(site)
    })
}

/// `search` covers `search` and `de.search`; the empty one covers the bare domain only.
fn is_below(subdomain: &str, known: &str) -> bool {
    let Some(before) = subdomain.strip_suffix(known) else { return false };
    before.is_empty() || !known.is_empty() && before.ends_with('.')
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::collections::{HashMap, HashSet};

    use super::{Kind::*, *};

    #[test]
    fn every_line_that_is_shipped_is_a_row_of_a_site_of_its_own() {
        let mut seen = HashSet::new();
        let mut hosts = HashMap::new();
        for (index, line) in BUILT_IN.lines().enumerate() {
            let row = Row::parse(line).unwrap_or_else(|fault| panic!("line {}: {}", index + 1, fault.message));
            let Some(row) = row else { continue };
            assert!(seen.insert(row.site), "{} stands twice", row.site);
            *hosts.entry(row.kind).or_insert(0) += usize::from(row.site.contains('.') && !row.site.starts_with('='));
        }
        for (kind, least) in [(Search, 250), (Assistant, 30), (Social, 150), (Video, 40), (Shopping, 50), (Mail, 60)] {
            assert!(hosts[&kind] >= least, "{kind:?}: {}", hosts[&kind]);
        }
    }

    #[test]
    fn the_most_specific_row_wins() {
        let sites = Sites::shipped();
        let kind = |host| sites.find(host, "").map(|known| known.kind);
        assert_eq!(kind("www.google.co.uk"), Some(Search));
        assert_eq!(kind("mail.google.com"), Some(Mail));
        assert_eq!(kind("gemini.google.com"), Some(Assistant));
        assert_eq!(kind("docs.google.com"), Some(Other));
        assert_eq!(kind("storage.google.com"), None);
        assert_eq!(kind("notgoogle.com"), None);
        assert_eq!(kind("google.com.evil.example"), None);
        assert_eq!(kind("google.github.io"), None);
        assert_eq!(kind("de.search.yahoo.com"), Some(Search));
        assert_eq!(kind("de.yahoo.com"), None);
        assert_eq!(kind("l.facebook.com"), Some(Social));
        assert_eq!(kind("com"), None);
        assert_eq!(sites.find("x.com", "/i/grok").map(|k| k.kind), Some(Assistant));
        assert_eq!(sites.find("www.x.com", "/i/grok/share").map(|k| k.kind), Some(Assistant));
        assert_eq!(sites.find("x.com", "/someone").map(|k| k.kind), Some(Social));
    }

    #[test]
    fn sources_are_known_by_short_name_and_by_host() {
        let sites = Sites::shipped();
        for (source, kind) in [
            ("google", Some(Search)),
            ("bing", Some(Search)),
            ("fb", Some(Social)),
            ("m.facebook.com", Some(Social)),
            ("youtube", Some(Video)),
            ("amazon", Some(Shopping)),
            ("www.amazon.de", Some(Shopping)),
            ("chatgpt.com", Some(Assistant)),
            ("newsletter", None),
            ("", None),
        ] {
            assert_eq!(sites.find_source(source), kind, "{source}");
        }
    }

    #[test]
    fn own_rows_come_before_the_shipped_ones() {
        let table = "intranet.example\tsearch\tintranet\tq,wort\nt.co other\ngoogle.* mail\nlen social\nbing.com/ads video\n=bing.net search";
        let (sites, faults) = Sites::with(table);
        assert_eq!(faults, []);
        let intranet = sites.find("a.intranet.example", "").unwrap();
        assert_eq!((intranet.kind, intranet.name.as_deref()), (Search, Some("intranet")));
        assert_eq!(intranet.terms().collect::<Vec<_>>(), ["q", "wort"]);
        let kind = |host, path| sites.find(host, path).map(|known| known.kind);
        assert_eq!(kind("t.co", ""), Some(Other));
        assert_eq!(kind("www.google.de", ""), Some(Mail));
        assert_eq!(kind("images.google.de", ""), Some(Search));
        assert_eq!((kind("bing.com", "/ads/1"), kind("bing.com", "/")), (Some(Video), Some(Search)));
        assert_eq!((sites.find_source("bing.net"), kind("bing.net", "")), (Some(Search), None));
        assert_eq!((sites.find_source("len"), sites.find_source("intranet")), (Some(Social), Some(Search)));
    }

    #[test]
    fn a_line_that_is_no_row_is_left_out_and_told() {
        let (sites, faults) = Sites::with("# mine\n\nHost.example search\na.example serch\na.example search\n");
        assert_eq!(faults.iter().map(|(line, _)| *line).collect::<Vec<_>>(), [3, 4]);
        assert_eq!(sites.find("a.example", "").map(|known| known.kind), Some(Search));
    }
}

//! A row of the table of sites: `host kind [name] [parameters]`, as `referrers.tsv` describes it.

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

/// The kinds as they are written.
const KINDS: [(&str, Kind); 7] = [
    ("search", Kind::Search),
    ("assistant", Kind::Assistant),
    ("social", Kind::Social),
    ("video", Kind::Video),
    ("shopping", Kind::Shopping),
    ("mail", Kind::Mail),
    ("other", Kind::Other),
];

impl Kind {
    /// As it is written in a row.
    pub fn name(self) -> &'static str {
        KINDS.iter().find(|(_, kind)| *kind == self).map_or("", |(name, _)| name)
    }
}

/// One row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row<'t> {
    /// A host, `label.*`, `host/path` or a short name.
    pub site: &'t str,
    /// What it is.
    pub kind: Kind,
    /// Source name, where it is not the host.
    pub name: Option<&'t str>,
    /// Parameters that hold the words searched for, parted by commas; empty when there are none.
    pub terms: &'t str,
}

/// Why a line is no row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub hint: &'static str,
}

/// Longest piece of a hostile or mistaken line that is repeated.
const ECHO: usize = 64;

impl<'t> Row<'t> {
    /// The row of a line; `None` for an empty line and a comment.
    pub fn parse(line: &'t str) -> Result<Option<Row<'t>>, Fault> {
        const FORM: &str = "a row is `host kind [name] [parameters]`, such as `search.example.com search example q`";
        let line = line.strip_prefix('\u{feff}').unwrap_or(line);
        let mut columns = line.split_whitespace();
        let Some(site) = columns.next().filter(|first| !first.starts_with('#')) else { return Ok(None) };
        let quoted = |text: &str| format!("`{}`", text.chars().take(ECHO).collect::<String>());
        let fault = |message: String, hint| Err(Fault { message, hint });

        if !is_site(site) {
            let hint =
                "a host is lower case and plain, without `https://`, port and `www.`; `label.*` has one at the end";
            return fault(format!("{} is no host", quoted(site)), hint);
        }
        let Some(word) = columns.next() else { return fault(format!("{} has no kind", quoted(site)), FORM) };
        let Some((_, kind)) = KINDS.iter().find(|(name, _)| *name == word) else {
            let hint = "one of `search`, `assistant`, `social`, `video`, `shopping`, `mail`, `other`";
            return fault(format!("{} is no kind", quoted(word)), hint);
        };
        let name = columns.next().filter(|name| *name != "-");
        let terms = columns.next().unwrap_or_default();
        match columns.next() {
            Some(more) => fault(format!("{} is one column too many", quoted(more)), FORM),
            None => Ok(Some(Row { site, kind: *kind, name, terms })),
        }
    }
}

fn is_site(site: &str) -> bool {
    let site = site.strip_prefix('=').unwrap_or(site);
    let (host, path) = site.split_once('/').map_or((site, None), |(host, path)| (host, Some(path)));
    let labels = host.strip_suffix(".*").unwrap_or(host);
    let sound = |label: &str| {
        !label.is_empty()
            && label
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-_".contains(&b) || !b.is_ascii())
    };
    // A path under every public suffix would have nowhere to be looked up.
    let meets_path = path.is_none() || labels.len() == host.len() && host.contains('.');
    labels.split('.').all(sound) && !host.starts_with("www.") && meets_path
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_parted_by_any_blanks() {
        let row = Row { site: "a.example", kind: Kind::Search, name: None, terms: "" };
        assert_eq!(Row::parse("a.example search"), Ok(Some(row)));
        assert_eq!(Row::parse("a.example\tsearch\t-\tq,p\r"), Ok(Some(Row { terms: "q,p", ..row })));
        assert_eq!(Row::parse("\u{feff}a.example  search  a"), Ok(Some(Row { name: Some("a"), ..row })));
        for nothing in ["", "  ", "# a.example search", "\t#"] {
            assert_eq!(Row::parse(nothing), Ok(None), "{nothing:?}");
        }
    }

    #[test]
    fn what_is_no_row_says_why() {
        for (line, message) in [
            ("https://a.example search", "`https://a.example` is no host"),
            ("A.example search", "`A.example` is no host"),
            ("www.a.example search", "`www.a.example` is no host"),
            ("a..example search", "`a..example` is no host"),
            ("*.a.example search", "`*.a.example` is no host"),
            ("a.*/x search", "`a.*/x` is no host"),
            ("a/x search", "`a/x` is no host"),
            ("a.example", "`a.example` has no kind"),
            ("a.example engine", "`engine` is no kind"),
            ("a.example search a q more", "`more` is one column too many"),
        ] {
            assert_eq!(Row::parse(line).unwrap_err().message, message);
        }
        assert!(Row::parse(&"x".repeat(1_000_000)).unwrap_err().message.len() < 100);
    }
}

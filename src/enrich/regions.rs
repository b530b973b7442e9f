//! English names of first-level subdivisions by ISO 3166-2 code.
//!
//! Headers of load balancers carry codes, GA4 shows names. The table, `regions.txt`, has a line per country: its code,
//! then `code name` for each subdivision, sorted. Names are those of the Unicode Common Locale Data Repository
//! (`common/subdivisions/en.xml` of release 44, Unicode licence), except where Google Analytics is known to spell
//! otherwise: `Zurich`, `County Cork`. Some places stand there with two codes, the old and the new one, because senders
//! change over slowly.

use std::sync::LazyLock;

/// The file is part of the program: a line that cannot be read is a bug, and the test below reads all of them.
static TABLE: &str = include_str!("regions.txt");

/// A country and its subdivisions, code and name; both sorted by code.
type Regions = (&'static str, Vec<(&'static str, &'static str)>);

static REGIONS: LazyLock<Vec<Regions>> = LazyLock::new(|| {
    let country = |line: &'static str| {
        let (country, regions) = line.split_once('|')?;
        Some((country, regions.split('|').filter_map(|region| region.split_once(' ')).collect()))
    };
    TABLE.lines().filter_map(country).collect()
});

/// Name of the subdivision `code`, the part after the hyphen of ISO 3166-2, upper case.
pub fn name(country: &str, code: &str) -> Option<&'static str> {
    let regions = of(country)?;
    let at = regions.binary_search_by(|(c, _)| c.cmp(&code)).ok()?;
    Some(regions[at].1)
}

/// Code of a subdivision named in English, in any letter case.
pub fn code(country: &str, name: &str) -> Option<&'static str> {
    of(country)?.iter().find(|(_, n)| n.eq_ignore_ascii_case(name)).map(|(code, _)| *code)
}

fn of(country: &str) -> Option<&'static [(&'static str, &'static str)]> {
    let at = REGIONS.binary_search_by(|(c, _)| c.cmp(&country)).ok()?;
    Some(&REGIONS[at].1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::enrich::countries;

    #[test]
    fn the_table_is_sorted_and_belongs_to_countries() {
        assert!(REGIONS.is_sorted_by(|a, b| a.0 < b.0));
        assert_eq!(REGIONS.len(), TABLE.lines().count());
        let fields: usize = TABLE.lines().map(|line| line.matches('|').count()).sum();
        assert_eq!(REGIONS.iter().map(|(_, regions)| regions.len()).sum::<usize>(), fields, "each field is read");
        assert!(REGIONS.len() >= 190 && fields > 5_000);
        for (country, regions) in REGIONS.iter() {
            assert!(countries::by_code(country).is_some(), "{country}");
            assert!(regions.iter().all(|(_, name)| !name.is_empty() && name.trim() == *name), "{country}");
            assert!(regions.is_sorted_by(|a, b| a.0 < b.0), "{country}");
            assert!(regions.iter().all(|(code, _)| (1..=3).contains(&code.len())), "{country}");
        }
    }

    #[test]
    fn subdivisions_are_found_by_code_and_by_name() {
        for (country, region, expected) in [
            ("US", "CA", Some("California")),
            ("DE", "BY", Some("Bavaria")),
            ("CH", "ZH", Some("Zurich")),
            ("AT", "9", Some("Vienna")),
            ("JP", "13", Some("Tokyo")),
            ("GR", "I", Some("Attica")),
            ("UA", "30", Some("Kyiv")),
            ("KR", "11", Some("Seoul")),
            ("US", "XX", None),
            ("VA", "1", None),
        ] {
            assert_eq!(name(country, region), expected, "{country}-{region}");
        }
        assert_eq!(code("US", "california"), Some("CA"));
        assert_eq!(code("US", "Bavaria"), None);
    }
}

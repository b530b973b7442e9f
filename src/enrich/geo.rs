//! Place of the visitor: `geo`, `rs_info.country_code` and `rs_info.region_code`.
//!
//! Each field is taken from the first that knows it: a trusted caller, the headers of a load balancer or content
//! delivery network, a database of addresses. Headers count only on hits that came through a trusted proxy, because
//! anybody can send a header. What nobody knows is `(not set)`, as in GA4, and when nobody knows anything `geo` stays
//! null. Names are English ones; see [`super::countries`] and [`super::regions`].

mod config;
mod database;
mod headers;

use std::{borrow::Cow, ops::ControlFlow};

use http::HeaderName;

pub use config::{CustomHeaders, GeoConfig, GeoHeaders};
pub use database::{Atlas, Database, Unreadable};
use headers::Headers;

use super::{Enricher, Origins, countries::Country, new_values};
use crate::{
    collect::{DropReason, Hit},
    schema::{
        Event, Leaf,
        proto::event::{Geo as GeoRecord, RsInfo},
    },
};

/// What GA4 writes where it knows nothing.
const NOT_SET: &str = "(not set)";

/// Longest place name taken from outside, in bytes.
const MAX_NAME: usize = 128;

/// The step.
pub struct Geo {
    headers: Option<Headers>,
    atlas: Atlas,
}

impl Geo {
    /// A step that reads these headers, and the database that the atlas holds when a hit comes.
    pub fn new(headers: &GeoHeaders, atlas: Atlas) -> Geo {
        Geo { headers: Headers::of(headers), atlas }
    }
}

impl Enricher for Geo {
    fn name(&self) -> &'static str {
        "geo"
    }

    fn enrich<'h>(&self, hit: &'h Hit<'h>, event: &mut Event<'h>) -> ControlFlow<DropReason> {
        let told = self.believed(hit).and_then(|headers| headers.read(hit.headers));
        // The whole address: the masked one is what is kept of it.
        let found = match &told {
            Some(told) if told.is_whole() => None,
            _ => self.atlas.find(hit.client_ip),
        };
        if told.is_none()
            && event.geo.is_none()
            && let Some(found) = found
        {
            note_codes(event.info_mut(), &found.place);
            event.geo = Some(GeoRecord { ready: Some(found.record.clone()), ..GeoRecord::default() });
            return ControlFlow::Continue(());
        }
        let Some(place) = Place::of(told, found.map(|found| found.place.clone())) else {
            return ControlFlow::Continue(());
        };
        note_codes(event.info_mut(), &place);
        complete(event.geo.get_or_insert_default(), place.record());
        ControlFlow::Continue(())
    }

    fn explain(&self, hit: &Hit<'_>, before: &Event<'_>, after: &Event<'_>, origins: &mut Origins) {
        if let Some(headers) = &self.headers
            && !hit.from_trusted_proxy
            && let Some(name) = headers.present(hit.headers).next()
        {
            origins.remark(format!("header {name} does not count: it did not come through a trusted proxy"));
        }
        // A step like this one, but for the database, tells which values are the headers'.
        let mut told = before.spelled_out();
        let by_headers = Geo { headers: self.headers.clone(), atlas: Atlas::default() };
        let _ = by_headers.enrich(hit, &mut told);
        let told = new_values(before, &told);
        let from_database = || Some(format!("database of addresses ({})", self.atlas.kind()?));
        origins.note_new(before, after, |leaf| {
            if leaf.value == NOT_SET {
                return Some("nobody knows it: as GA4 writes it".into());
            }
            let headers = self.headers.as_ref().filter(|_| told.contains(leaf));
            headers.map(|headers| by_header(headers, hit, before, leaf)).or_else(from_database)
        });
    }
}

impl Geo {
    /// The headers, when they count.
    fn believed(&self, hit: &Hit<'_>) -> Option<&Headers> {
        self.headers.as_ref().filter(|_| hit.from_trusted_proxy)
    }
}

/// The headers that a value hangs on: it is another one without them.
fn by_header(headers: &Headers, hit: &Hit<'_>, before: &Event<'_>, leaf: &Leaf) -> String {
    let differs = |name: &&HeaderName| {
        let headers = Some(headers.without(name));
        let mut event = before.spelled_out();
        let _ = Geo { headers, atlas: Atlas::default() }.enrich(hit, &mut event);
        !new_values(before, &event).contains(leaf)
    };
    let name = |names: Vec<&HeaderName>| names.into_iter().map(HeaderName::as_str).collect::<Vec<_>>().join(" with ");
    let mut needed: Vec<_> = headers.present(hit.headers).filter(differs).collect();
    if needed.is_empty() {
        // Two headers say the same.
        needed = headers.present(hit.headers).collect();
    }
    format!("header {} (trusted proxy)", name(needed))
}

fn note_codes<'h>(info: &mut RsInfo<'h>, place: &Place<'h>) {
    info.country_code = place.country.map(|country| country.code.into());
    info.region_code.clone_from(&place.region_code);
}

/// Fills what a trusted caller left open.
fn complete<'h>(geo: &mut GeoRecord<'h>, known: GeoRecord<'h>) {
    let rows = [
        (&mut geo.city, known.city),
        (&mut geo.country, known.country),
        (&mut geo.continent, known.continent),
        (&mut geo.region, known.region),
        (&mut geo.sub_continent, known.sub_continent),
        (&mut geo.metro, known.metro),
    ];
    for (column, known) in rows {
        if column.is_none() {
            *column = known;
        }
    }
}

/// A place, as far as it is known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Place<'a> {
    country: Option<Country>,
    /// `US-CA`.
    region_code: Option<Cow<'a, str>>,
    region: Option<Cow<'a, str>>,
    city: Option<Cow<'a, str>>,
}

impl<'a> Place<'a> {
    /// What the headers tell, completed by what the database knows.
    fn of(told: Option<Place<'a>>, found: Option<Place<'static>>) -> Option<Place<'a>> {
        match (told, found) {
            (None, found) => found,
            (Some(mut told), found) => {
                told.complete(found);
                Some(told)
            }
        }
    }

    fn is_whole(&self) -> bool {
        self.country.is_some() && self.region.is_some() && self.region_code.is_some() && self.city.is_some()
    }

    /// Takes over what is missing. A region of another country, or a city of another region, is not what is missing.
    fn complete(&mut self, found: Option<Place<'static>>) {
        let Some(found) = found else { return };
        self.country = self.country.or(found.country);
        if self.country != found.country {
            return;
        }
        let code_known = self.region_code.is_some();
        let name_known = self.region.is_some();
        let same = match (&self.region_code, &found.region_code) {
            (Some(told), Some(found)) => told == found,
            _ => self.region.is_none() || self.region == found.region,
        };
        if !same || code_known && !name_known && found.region_code.is_none() {
            return;
        }
        self.region_code = self.region_code.take().or(found.region_code);
        self.region = self.region.take().or(found.region);
        self.city = self.city.take().or(found.city);
    }

    fn record(self) -> GeoRecord<'a> {
        let group = self.country.map(|country| country.sub_continent);
        let or_not_set = |name: Option<&'static str>| Some(Cow::Borrowed(name.unwrap_or(NOT_SET)));
        GeoRecord {
            city: self.city.or(or_not_set(None)),
            country: or_not_set(self.country.map(|country| country.name)),
            continent: or_not_set(group.and_then(|group| group.continent())),
            region: self.region.or(or_not_set(None)),
            sub_continent: or_not_set(group.and_then(|group| group.name())),
            // Only the United States have them, and their names belong to others.
            metro: or_not_set(None),
            ready: None,
        }
    }
}

/// Providers write `?`, `ZZ` or nothing for a place they do not know.
fn is_name(text: &str) -> bool {
    text.chars().any(char::is_alphabetic) && !text.eq_ignore_ascii_case("zz") && !text.contains('\u{fffd}')
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::{super::countries, *};

    fn place(country: &str, region_code: &str, region: &str, city: &str) -> Place<'static> {
        let text = |text: &str| (!text.is_empty()).then(|| Cow::Owned(text.to_owned()));
        let (region_code, region, city) = (text(region_code), text(region), text(city));
        Place { country: countries::by_code(country), region_code, region, city }
    }

    #[test]
    fn the_database_completes_what_the_headers_leave_out_about_the_same_place() {
        let zurich = place("CH", "CH-ZH", "Zurich", "Winterthur");
        for (told, expected) in [
            (place("CH", "", "", ""), zurich.clone()),
            (place("", "", "", ""), zurich.clone()),
            (place("CH", "CH-ZH", "Zurich", ""), zurich.clone()),
            (place("CH", "CH-ZH", "", ""), zurich.clone()),
            (place("CH", "", "Zurich", ""), zurich.clone()),
            (place("CH", "", "", "Uster"), place("CH", "CH-ZH", "Zurich", "Uster")),
            (place("CH", "CH-BE", "Bern", ""), place("CH", "CH-BE", "Bern", "")),
            (place("CH", "", "Bern", ""), place("CH", "", "Bern", "")),
            (place("DE", "", "", ""), place("DE", "", "", "")),
        ] {
            let completed = Place::of(Some(told.clone()), Some(zurich.clone()));
            assert_eq!(completed, Some(expected), "{told:?}");
        }
        let nameless = place("CH", "", "Zurich", "Winterthur");
        let told = place("CH", "CH-99", "", "");
        assert_eq!(Place::of(Some(told.clone()), Some(nameless)), Some(told), "perhaps another region");
    }
}

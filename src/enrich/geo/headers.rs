//! What the headers of a load balancer or content delivery network say about a visitor's place.

use std::borrow::Cow;

use http::{HeaderMap, HeaderName, HeaderValue};

use super::{GeoHeaders, MAX_NAME, Place, is_name};
use crate::enrich::{countries, countries::Country, regions};

/// Longest value looked at, in bytes: the longest name with every byte percent-encoded, and some blanks.
const MAX_VALUE: usize = 4 * MAX_NAME;

/// Header names of one provider. Of several names for one thing the first that is present counts.
#[derive(Clone)]
pub struct Headers {
    country: Vec<HeaderName>,
    /// Code of the subdivision, with or without the country before it; or its name.
    region: Vec<HeaderName>,
    /// Name of the subdivision, for the codes we have no name for.
    region_name: Vec<HeaderName>,
    city: Vec<HeaderName>,
    /// Whether names come percent-encoded.
    percent: bool,
}

/// Country, region, name of the region, city, and whether values are percent-encoded. A new provider is one row here and
/// one member of [`GeoHeaders`].
type Row = ([&'static str; 1], &'static [&'static str], &'static [&'static str], [&'static str; 1], bool);

impl Headers {
    /// The headers of a provider, or the operator's own; `None` when none is to be read.
    #[rustfmt::skip]
    pub fn of(headers: &GeoHeaders) -> Option<Headers> {
        let (country, region, region_name, city, percent): Row = match headers {
            GeoHeaders::Gcp => (["x-client-geo-country"], &["x-client-geo-region", "x-client-geo-state"], &[], ["x-client-geo-city"], true),
            GeoHeaders::AppEngine => (["x-appengine-country"], &["x-appengine-region"], &[], ["x-appengine-city"], false),
            GeoHeaders::Cloudflare => (["cf-ipcountry"], &["cf-region-code"], &["cf-region"], ["cf-ipcity"], false),
            GeoHeaders::CloudFront => (["cloudfront-viewer-country"], &["cloudfront-viewer-country-region"], &["cloudfront-viewer-country-region-name"], ["cloudfront-viewer-city"], true),
            GeoHeaders::Vercel => (["x-vercel-ip-country"], &["x-vercel-ip-country-region"], &[], ["x-vercel-ip-city"], true),
            GeoHeaders::Custom(own) => {
                let list = |name: &Option<HeaderName>| name.iter().cloned().collect();
                let (country, region, city) = (list(&own.country), list(&own.region), list(&own.city));
                return Some(Headers { country, region, region_name: Vec::new(), city, percent: true });
            }
            GeoHeaders::None => return None,
        };
        let names = |names: &[&'static str]| names.iter().map(|name| HeaderName::from_static(name)).collect();
        Some(Headers { country: names(&country), region: names(region), region_name: names(region_name), city: names(&city), percent })
    }

    /// Those of the headers that say something.
    pub fn present<'s>(&'s self, headers: &HeaderMap) -> impl Iterator<Item = &'s HeaderName> {
        let all = [&self.country, &self.region, &self.region_name, &self.city].into_iter().flatten();
        all.filter(|name| text(headers, std::slice::from_ref(*name), self.percent).is_some())
    }

    /// The same without the header of this name.
    pub fn without(&self, name: &HeaderName) -> Headers {
        let rest = |names: &[HeaderName]| names.iter().filter(|other| *other != name).cloned().collect();
        Headers {
            country: rest(&self.country),
            region: rest(&self.region),
            region_name: rest(&self.region_name),
            city: rest(&self.city),
            percent: self.percent,
        }
    }

    /// `None` when no header is present.
    pub fn read<'a>(&self, headers: &'a HeaderMap) -> Option<Place<'a>> {
        let country = text(headers, &self.country, self.percent);
        let region = text(headers, &self.region, self.percent);
        let city = text(headers, &self.city, self.percent);
        if country.is_none() && region.is_none() && city.is_none() {
            return None;
        }
        let country = country.and_then(|c| countries::by_code(&c).or_else(|| countries::by_name(&c)));
        let (code, mut region) = region.map_or((None, None), |sent| subdivision(country, sent));
        if region.is_none() {
            region = text(headers, &self.region_name, self.percent);
        }
        let region_code = country.zip(code).map(|(country, code)| [country.code, "-", &code].concat().into());
        Some(Place { country, region_code, region, city: city.filter(|city| is_name(city)).map(title) })
    }
}

/// The first of the headers that says something.
fn text<'a>(headers: &'a HeaderMap, names: &[HeaderName], percent: bool) -> Option<Cow<'a, str>> {
    names.iter().find_map(|name| {
        let raw = headers.get(name).map(HeaderValue::as_bytes).filter(|raw| raw.len() <= MAX_VALUE)?;
        // Nearly all of them are plain.
        if raw.iter().all(|b| b.is_ascii_alphanumeric()) && (1..=MAX_NAME).contains(&raw.len()) {
            return str::from_utf8(raw).ok().map(Cow::Borrowed);
        }
        let raw = String::from_utf8_lossy(raw);
        let text = match percent && raw.contains('%') {
            true => Cow::Owned(percent_encoding::percent_decode_str(&raw).decode_utf8_lossy().into_owned()),
            false => raw,
        };
        let text = match text {
            Cow::Borrowed(text) => Cow::Borrowed(text.trim()),
            Cow::Owned(text) => Cow::Owned(text.trim().to_owned()),
        };
        let sound = !text.is_empty() && text.len() <= MAX_NAME && !text.contains(char::is_control);
        sound.then_some(text)
    })
}

/// Code and name of a subdivision sent as `USCA`, `US-CA`, `CA` or `California`.
fn subdivision(country: Option<Country>, sent: Cow<'_, str>) -> (Option<String>, Option<Cow<'_, str>>) {
    let Some(country) = country else { return (None, is_name(&sent).then_some(sent)) };
    let upper = match sent.bytes().any(|b| b.is_ascii_lowercase()) {
        true => Cow::Owned(sent.to_ascii_uppercase()),
        false => Cow::Borrowed(&*sent),
    };
    let after_country = upper.strip_prefix(country.code).map(|rest| rest.trim_start_matches('-'));
    // `COR` can be Córdoba of Colombia or the region `R` of `CO`: the table decides, and the combined form, which load
    // balancers send, is the guess for what the table does not know.
    for code in [after_country, Some(&*upper)].into_iter().flatten() {
        if let Some(name) = regions::name(country.code, code) {
            return (Some(code.to_owned()), Some(name.into()));
        }
    }
    // Nobody writes a code in mixed case, so `Ain` is a name.
    let one_case = *sent == *upper || !sent.bytes().any(|b| b.is_ascii_uppercase());
    let code = after_country.unwrap_or(&upper);
    if one_case && is_code(code) {
        return (Some(code.to_owned()), None);
    }
    let code = regions::code(country.code, &sent).map(str::to_owned);
    (code, is_name(&sent).then_some(sent))
}

/// ISO 3166-2: one to three letters or digits.
fn is_code(text: &str) -> bool {
    (1..=3).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric())
}

/// App Engine writes `new york`; a name with any capital stands as it was sent.
fn title(name: Cow<'_, str>) -> Cow<'_, str> {
    if !name.is_ascii() || name.bytes().any(|b| b.is_ascii_uppercase()) {
        return name;
    }
    let mut at_start = true;
    let titled = name.chars().map(|c| {
        let shown = if at_start { c.to_ascii_uppercase() } else { c };
        at_start = c == ' ' || c == '-';
        shown
    });
    Cow::Owned(titled.collect())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::{
        super::{CustomHeaders, NOT_SET},
        *,
    };
    use crate::schema::proto::event::Geo as GeoRecord;

    fn place(headers: GeoHeaders, sent: &[(&'static str, &str)]) -> Option<(GeoRecord<'static>, Option<String>)> {
        let mut map = HeaderMap::new();
        for (name, value) in sent {
            map.insert(*name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        let place = Headers::of(&headers)?.read(&map)?;
        let code = place.region_code.as_deref().map(str::to_owned);
        Some((place.record().into_owned(), code))
    }

    #[test]
    fn codes_of_a_google_load_balancer_become_names() {
        let sent = [("x-client-geo-country", "US"), ("x-client-geo-region", "USCA"), ("x-client-geo-city", "San Jose")];
        let (geo, code) = place(GeoHeaders::Gcp, &sent).unwrap();
        assert_eq!(code.as_deref(), Some("US-CA"));
        assert_eq!(geo.country.as_deref(), Some("United States"));
        assert_eq!(geo.region.as_deref(), Some("California"));
        assert_eq!(geo.city.as_deref(), Some("San Jose"));
        assert_eq!(geo.continent.as_deref(), Some("Americas"));
        assert_eq!(geo.sub_continent.as_deref(), Some("Northern America"));
        assert_eq!(geo.metro.as_deref(), Some(NOT_SET));
    }

    #[test]
    fn what_the_headers_leave_out_is_not_set() {
        let (geo, code) = place(GeoHeaders::Gcp, &[("x-client-geo-country", "CH")]).unwrap();
        assert_eq!(code, None);
        assert_eq!(geo.country.as_deref(), Some("Switzerland"));
        assert_eq!(geo.region.as_deref(), Some(NOT_SET));
        assert_eq!(geo.city.as_deref(), Some(NOT_SET));
        assert_eq!(place(GeoHeaders::Gcp, &[]), None);
        assert_eq!(place(GeoHeaders::Gcp, &[("x-client-geo-country", " ")]), None);
        assert_eq!(place(GeoHeaders::None, &[("x-client-geo-country", "CH")]), None);
        assert_eq!(place(GeoHeaders::Gcp, &[("cf-ipcountry", "CH")]), None);
    }

    #[test]
    fn an_unknown_country_is_not_set() {
        for unknown in ["ZZ", "XX", "T1", "Atlantis"] {
            let (geo, _) = place(GeoHeaders::Gcp, &[("x-client-geo-country", unknown)]).unwrap();
            assert_eq!(geo.country.as_deref(), Some(NOT_SET), "{unknown}");
            assert_eq!(geo.continent.as_deref(), Some(NOT_SET), "{unknown}");
        }
    }

    #[test]
    fn regions_are_read_in_every_form_they_come_in() {
        for (country, sent, code, name) in [
            ("US", "USCA", Some("US-CA"), "California"),
            ("US", "US-CA", Some("US-CA"), "California"),
            ("US", "ca", Some("US-CA"), "California"),
            ("US", "California", Some("US-CA"), "California"),
            ("us", "usny", Some("US-NY"), "New York"),
            ("CA", "CAQC", Some("CA-QC"), "Quebec"),
            ("CA", "Canada West", None, "Canada West"),
            ("JP", "JP13", Some("JP-13"), "Tokyo"),
            ("AT", "AT9", Some("AT-9"), "Vienna"),
            ("IE", "IEL", Some("IE-L"), "Leinster"),
            ("GR", "GRI", Some("GR-I"), "Attica"),
            ("LI", "LI11", Some("LI-11"), "Vaduz"),
            ("LI", "LI99", Some("LI-99"), NOT_SET),
            ("LI", "Vaduz", Some("LI-11"), "Vaduz"),
            ("LI", "Unterland", None, "Unterland"),
            ("ZZ", "Somewhere", None, "Somewhere"),
            ("US", "?", None, NOT_SET),
        ] {
            let sent_headers = [("x-client-geo-country", country), ("x-client-geo-state", sent)];
            let (geo, region_code) = place(GeoHeaders::Gcp, &sent_headers).unwrap();
            assert_eq!(region_code.as_deref(), code, "{country} {sent}");
            assert_eq!(geo.region.as_deref(), Some(name), "{country} {sent}");
        }
    }

    #[test]
    fn every_preset_reads_its_own_headers() {
        let zurich = |geo: &GeoRecord<'_>| {
            assert_eq!(geo.country.as_deref(), Some("Switzerland"));
            assert_eq!(geo.region.as_deref(), Some("Zurich"));
            assert_eq!(geo.city.as_deref(), Some("Zürich"));
        };
        let cloudflare = [("cf-ipcountry", "CH"), ("cf-region-code", "ZH"), ("cf-ipcity", "Zürich")];
        zurich(&place(GeoHeaders::Cloudflare, &cloudflare).unwrap().0);
        let cloudfront = [
            ("cloudfront-viewer-country", "CH"),
            ("cloudfront-viewer-country-region", "ZH"),
            ("cloudfront-viewer-city", "Z%C3%BCrich"),
        ];
        zurich(&place(GeoHeaders::CloudFront, &cloudfront).unwrap().0);
        let vercel =
            [("x-vercel-ip-country", "CH"), ("x-vercel-ip-country-region", "ZH"), ("x-vercel-ip-city", "Z%C3%BCrich")];
        zurich(&place(GeoHeaders::Vercel, &vercel).unwrap().0);
        let app_engine =
            [("x-appengine-country", "US"), ("x-appengine-region", "ny"), ("x-appengine-city", "new york")];
        let (geo, _) = place(GeoHeaders::AppEngine, &app_engine).unwrap();
        assert_eq!((geo.region.as_deref(), geo.city.as_deref()), (Some("New York"), Some("New York")));
    }

    #[test]
    fn a_name_header_helps_where_the_table_has_no_name() {
        let sent = [("cf-ipcountry", "GR"), ("cf-region-code", "Z9"), ("cf-region", "Arcadia")];
        let (geo, code) = place(GeoHeaders::Cloudflare, &sent).unwrap();
        assert_eq!((geo.region.as_deref(), code.as_deref()), (Some("Arcadia"), Some("GR-Z9")));
    }

    #[test]
    fn an_operator_names_headers_of_his_own() {
        let name = |name: &'static str| Some(HeaderName::from_static(name));
        let own = CustomHeaders { country: name("x-country"), region: None, city: name("x-city") };
        let sent = [("x-country", "CH"), ("x-city", "Z%C3%BCrich"), ("x-client-geo-region", "CHZH")];
        let (geo, code) = place(GeoHeaders::Custom(own), &sent).unwrap();
        assert_eq!((geo.country.as_deref(), geo.city.as_deref()), (Some("Switzerland"), Some("Zürich")));
        assert_eq!((geo.region.as_deref(), code), (Some(NOT_SET), None));
    }
}

//! Places from a database of addresses.

use real_streaming::{
    enrich::{Atlas, Config, Database, Enricher, standard_with},
    schema::{Event, proto::event::Geo},
};
use serde_json::{Value, json};

use super::{Visit, info, text};
use crate::mmdb::Mmdb;

fn zurich() -> Value {
    json!({
        "continent": { "code": "EU", "names": { "de": "Europa", "en": "Europe" } },
        "country": { "geoname_id": 2658434, "iso_code": "CH", "names": { "de": "Schweiz", "en": "Switzerland" } },
        "subdivisions": [{ "iso_code": "ZH", "names": { "en": "Canton of Zurich" } }, { "iso_code": "112" }],
        "city": { "names": { "de": "Zürich", "en": "Zurich", "ja": "チューリッヒ" } },
        "location": { "metro_code": 0, "time_zone": "Europe/Zurich" },
    })
}

fn steps(mmdb: &Mmdb) -> Vec<Box<dyn Enricher>> {
    let atlas = Atlas::default();
    atlas.replace(Database::load(mmdb.bytes()).unwrap());
    standard_with(&Config::default(), &atlas)
}

/// A visit by nobody's proxy.
fn visit(address: &str) -> Visit {
    let mut visit = Visit::new();
    visit.trusted = false;
    visit.client_ip = address.parse().unwrap();
    visit
}

/// City, region, country, sub-continent, continent; codes of country and region.
fn place(event: &Event<'static>) -> Option<[String; 7]> {
    let geo: &Geo<'_> = event.geo.as_ref()?;
    assert_eq!(text(&geo.metro), "(not set)");
    let info = info(event);
    let fields = [
        &geo.city,
        &geo.region,
        &geo.country,
        &geo.sub_continent,
        &geo.continent,
        &info.country_code,
        &info.region_code,
    ];
    Some(fields.map(|field| text(field).to_owned()))
}

fn known(fields: [&str; 7]) -> Option<[String; 7]> {
    Some(fields.map(str::to_owned))
}

const ZURICH: [&str; 7] = ["Zurich", "Zurich", "Switzerland", "Western Europe", "Europe", "CH", "CH-ZH"];

#[test]
fn networks_of_both_families_have_places_and_may_share_one() {
    for record_size in [24, 28, 32] {
        let mut mmdb = Mmdb::new("Test-City", 6, record_size);
        let record = mmdb.record(&zurich());
        mmdb.network("203.0.113.0/24", record);
        mmdb.network("2001:db8:1::/48", record);
        mmdb = mmdb.with("2001:db8:2::/48", &json!({ "country": { "iso_code": "US" } }));
        mmdb = mmdb.with("198.51.100.128/25", &json!({ "city": { "names": { "en": "Nowhere" } } }));
        let steps = steps(&mmdb);
        let place = |address| place(&visit(address).through(&steps).unwrap());
        for _ in 0..2 {
            for address in ["203.0.113.77", "203.0.113.0", "::ffff:203.0.113.255", "2001:db8:1::", "2001:db8:1:ffff::9"]
            {
                assert_eq!(place(address), known(ZURICH), "{address} of {record_size}");
            }
            let not_set = "(not set)";
            let states = [not_set, not_set, "United States", "Northern America", "Americas", "US", "null"];
            assert_eq!(place("2001:db8:2::1"), known(states));
            let nowhere = ["Nowhere", not_set, not_set, not_set, not_set, "null", "null"];
            assert_eq!(place("198.51.100.200"), known(nowhere));
            for address in ["203.0.112.77", "198.51.100.77", "127.0.0.1", "2001:db8:3::", "::1"] {
                assert_eq!(place(address), None, "{address} of {record_size}");
            }
        }
    }
}

#[test]
fn the_whole_address_is_looked_up_and_the_masked_one_kept() {
    let mmdb = Mmdb::city().with("203.0.113.77/32", &zurich());
    let event = visit("203.0.113.77").through(&steps(&mmdb)).unwrap();
    assert_eq!(place(&event), known(ZURICH));
    assert_eq!(text(&info(&event).ip), "203.0.113.0");
}

#[test]
fn a_caller_comes_first_then_the_headers_then_the_database() {
    let steps = steps(&Mmdb::city().with("203.0.113.0/24", &zurich()));
    let asked = |mut visit: Visit, trusted| {
        visit.trusted = trusted;
        place(&visit.through(&steps).unwrap())
    };
    let with = |headers: &[(&str, &str)]| {
        headers.iter().fold(visit("203.0.113.77"), |visit, (name, value)| visit.header(name, value))
    };
    let bern = [("x-client-geo-country", "CH"), ("x-client-geo-region", "CHBE"), ("x-client-geo-city", "Thun")];
    let expected = ["Thun", "Bern", "Switzerland", "Western Europe", "Europe", "CH", "CH-BE"];
    assert_eq!(asked(with(&bern), true), known(expected));
    assert_eq!(asked(with(&bern), false), known(ZURICH), "a stranger's headers do not count, his address does");
    assert_eq!(asked(with(&bern[..1]), true), known(ZURICH));
    for nowhere in ["XX", "T1"] {
        assert_eq!(asked(with(&[("x-client-geo-country", nowhere)]), true), known(ZURICH), "{nowhere} is no country");
    }
    let mut told = with(&bern);
    told.event.geo = Some(Geo { city: Some("Spiez".into()), ..Geo::default() });
    assert_eq!(asked(told, true).unwrap()[..3], ["Spiez", "Bern", "Switzerland"]);
}

#[test]
fn records_of_other_types_tell_what_they_can() {
    for (record, expected) in [
        (
            json!({ "country_code": "CH", "country": "Switzerland", "continent": "Europe" }),
            Some(["(not set)", "(not set)", "CH"]),
        ),
        (json!({ "country": "CH", "region": "Zurich", "city": "Uster" }), Some(["Uster", "Zurich", "CH"])),
        (json!({ "country": { "names": { "en": "Switzerland" } } }), Some(["(not set)", "(not set)", "CH"])),
        (json!({ "country": { "iso_code": "CH" }, "subdivisions": [] }), Some(["(not set)", "(not set)", "CH"])),
        (json!({ "country": { "iso_code": 7 }, "city": { "names": "Bern" } }), None),
        (
            json!({ "country": { "iso_code": "CH" }, "city": { "names": { "en": "x".repeat(300) } } }),
            Some(["(not set)", "(not set)", "CH"]),
        ),
        (json!({ "country": { "iso_code": "ZZ" }, "city": { "names": { "en": "?" } } }), None),
        (json!({ "autonomous_system_number": 64496, "autonomous_system_organization": "Example" }), None),
        (json!("CH"), None),
        (json!(["CH"]), None),
        (json!(true), None),
        (json!({}), None),
    ] {
        let event = visit("203.0.113.77").through(&steps(&Mmdb::city().with("203.0.113.0/24", &record))).unwrap();
        let found = place(&event).map(|[city, region, _, _, _, country_code, _]| [city, region, country_code]);
        assert_eq!(found, expected.map(|fields| fields.map(str::to_owned)), "{record}");
    }
}

#[test]
fn a_database_of_one_family_knows_nothing_of_the_other() {
    let steps = steps(&Mmdb::new("Test-Country", 4, 24).with("203.0.113.0/24", &zurich()));
    assert_eq!(place(&visit("203.0.113.77").through(&steps).unwrap()), known(ZURICH));
    assert_eq!(place(&visit("2001:db8:1::").through(&steps).unwrap()), None);
}

#[test]
fn a_broken_database_is_refused_or_answers() {
    let whole = Mmdb::city().with("203.0.113.0/24", &zurich()).with("2001:db8::/32", &zurich()).bytes();
    assert_eq!(Database::load(whole.clone()).unwrap().kind(), "Test-City");
    let asks = |bytes: Vec<u8>| {
        let Ok(database) = Database::load(bytes) else { return false };
        let atlas = Atlas::default();
        atlas.replace(database);
        let steps = standard_with(&Config::default(), &atlas);
        for address in ["203.0.113.77", "2001:db8::1", "::", "255.255.255.255"] {
            visit(address).through(&steps).unwrap();
        }
        true
    };
    for length in (0..whole.len()).step_by(7) {
        assert!(!asks(whole[..length].to_vec()), "the metadata stands at the end, so {length} bytes are no database");
    }
    let mut loaded = 0;
    for at in (0..whole.len()).step_by(5) {
        let mut bytes = whole.clone();
        bytes[at] ^= 0xff;
        loaded += usize::from(asks(bytes));
    }
    assert!(loaded > 50, "most damage is met by a lookup only: {loaded}");
    assert!(Database::load(b"PK\x03\x04 not one at all".to_vec()).unwrap_err().to_string().contains("MaxMind"));
}

#[test]
fn another_database_takes_over_at_once() {
    let atlas = Atlas::default();
    let steps = standard_with(&Config::default(), &atlas);
    let country = || place(&visit("203.0.113.77").through(&steps).unwrap()).map(|place| place[2].clone());
    assert_eq!(country(), None);
    for (code, name) in [("CH", "Switzerland"), ("JP", "Japan")] {
        let mmdb = Mmdb::city().with("203.0.113.0/24", &json!({ "country": { "iso_code": code } }));
        atlas.replace(Database::load(mmdb.bytes()).unwrap());
        assert_eq!(country().as_deref(), Some(name));
    }
}

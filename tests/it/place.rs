//! The database of addresses under a running process: replaced, broken, mended.

use std::{collections::HashMap, fs, net::SocketAddr};

use arrow_array::{Array, StringArray, StructArray, cast::AsArray};
use serde_json::json;

use crate::{
    client::request,
    mmdb::Mmdb,
    world::{World, until},
};

const DATABASE: &str = "city.mmdb";

/// Puts a database in place that knows one network, in the way a careful operator does.
fn publish(world: &World, country: &str) {
    let record = json!({ "country": { "iso_code": country } });
    put(world, &Mmdb::city().with("203.0.113.0/24", &record).bytes());
}

fn put(world: &World, bytes: &[u8]) {
    let path = world.dir.path().join(DATABASE);
    let new = path.with_extension("new");
    fs::write(&new, bytes).unwrap();
    fs::rename(new, path).unwrap();
}

/// Country of each event in the lake.
fn countries(world: &World) -> HashMap<String, String> {
    let mut countries = HashMap::new();
    for batch in world.lake() {
        let column = |record: &str, field: &str| -> StringArray {
            let record: &StructArray = batch.column_by_name(record).unwrap().as_struct();
            record.column_by_name(field).unwrap().as_string().clone()
        };
        let (ids, names) = (column("rs_info", "event_id"), column("geo", "country"));
        let name = |row| if names.is_null(row) { String::new() } else { names.value(row).to_owned() };
        countries.extend((0..batch.num_rows()).map(|row| (ids.value(row).to_owned(), name(row))));
    }
    countries
}

/// What country an event is from that is sent now.
fn country(world: &World, public: SocketAddr, id: &str) -> String {
    let body = json!({ "event_name": "e", "event_id": id }).to_string();
    let headers = [("Content-Type", "application/json"), ("X-Forwarded-For", "198.51.100.9, 203.0.113.77")];
    let response = request(public, "POST", "/api/v1/streaming/1", &headers, body.as_bytes()).unwrap();
    assert_eq!(response.status, 200, "{}", response.text());
    until("the event is in the lake", || countries(world).remove(id))
}

/// Waits for the log to say this for the `times`-th time.
fn said(world: &World, what: &str, times: usize) {
    until(what, || (world.log().matches(what).count() >= times).then_some(()));
}

#[test]
fn a_new_database_is_asked_without_a_restart_and_a_broken_one_is_not() {
    let world = World::new();
    publish(&world, "CH");
    let mut process = world.spawn_with(&[("APP_CONFIG__GEO__DATABASE", DATABASE)]);
    assert_eq!(country(&world, process.public, "first"), "Switzerland");

    publish(&world, "JP");
    said(&world, "Test-City", 2);
    assert_eq!(country(&world, process.public, "second"), "Japan");

    put(&world, b"half a download");
    said(&world, "the old one stays", 1);
    assert_eq!(country(&world, process.public, "third"), "Japan");
    fs::remove_file(world.dir.path().join(DATABASE)).unwrap();
    said(&world, "the old one stays", 2);
    assert_eq!(country(&world, process.public, "fourth"), "Japan");

    publish(&world, "DE");
    said(&world, "Test-City", 3);
    assert_eq!(country(&world, process.public, "fifth"), "Germany");
    assert_eq!(process.terminate(), Some(0));
    assert!(!world.log().contains("203.0.113"), "no address of a visitor stands in the log: {}", world.log());
}

#[test]
fn a_database_that_cannot_be_read_stops_the_start() {
    let world = World::new();
    for (content, why) in [(None, "there is no file"), (Some("not one"), "is not a database in MaxMind's format")] {
        if let Some(content) = content {
            put(&world, content.as_bytes());
        }
        let mut process = world.launch(&[("APP_CONFIG__GEO__DATABASE", DATABASE)]);
        assert_eq!(process.child.wait().unwrap().code(), Some(2));
        let log = world.log();
        let line = log.lines().rfind(|line| line.contains("geo.database")).unwrap_or_else(|| panic!("{log}"));
        assert!(line.contains("APP_CONFIG__GEO__DATABASE") && line.contains(DATABASE) && line.contains(why), "{line}");
    }
}

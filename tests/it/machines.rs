//! Lists of machines under a running process: replaced, broken, mended.

use std::{collections::HashMap, fs, net::SocketAddr};

use arrow_array::{Array, StringArray, StructArray, cast::AsArray};
use serde_json::json;

use crate::{
    client::{get, request},
    world::{World, until},
};

const LIST: &str = "devices.csv";
const FOLDER: &str = "rules";

/// Puts a file in place, in the way a careful operator does.
fn put(world: &World, name: &str, text: &str) {
    let path = world.dir.path().join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let new = path.with_extension("new");
    fs::write(&new, text).unwrap();
    fs::rename(new, path).unwrap();
}

fn publish(world: &World, name: &str) {
    put(world, LIST, &format!("Retail Branding,Marketing Name,Device,Model\nFoundry,{name},x,BLW-1\n"));
}

fn publish_rules(world: &World, name: &str) {
    put(world, "rules/device/mobiles.yml", &format!("Anvilworks:\n  regex: 'ANV-[0-9]'\n  model: '{name}'\n"));
}

/// Marketing name of each event in the lake.
fn names(world: &World) -> HashMap<String, String> {
    let mut names = HashMap::new();
    for batch in world.lake() {
        let column = |record: &str, field: &str| -> StringArray {
            let record: &StructArray = batch.column_by_name(record).unwrap().as_struct();
            record.column_by_name(field).unwrap().as_string().clone()
        };
        let (ids, sold_as) = (column("rs_info", "event_id"), column("device", "mobile_marketing_name"));
        let name = |row| if sold_as.is_null(row) { String::new() } else { sold_as.value(row).to_owned() };
        names.extend((0..batch.num_rows()).map(|row| (ids.value(row).to_owned(), name(row))));
    }
    names
}

/// What a model is called in an event that is sent now.
fn name(world: &World, public: SocketAddr, model: &str, id: &str) -> String {
    let body = json!({ "event_name": "e", "event_id": id }).to_string();
    let agent =
        format!("Mozilla/5.0 (Linux; Android 13; {model}) AppleWebKit/537.36 Chrome/126.0.0.0 Mobile Safari/537.36");
    let headers = [("Content-Type", "application/json"), ("User-Agent", agent.as_str())];
    let response = request(public, "POST", "/api/v1/streaming/1", &headers, body.as_bytes()).unwrap();
    assert_eq!(response.status, 200, "{}", response.text());
    until("the event is in the lake", || names(world).remove(id))
}

#[test]
fn new_lists_are_asked_without_a_restart_and_broken_ones_are_not() {
    let world = World::new();
    publish(&world, "Bellows");
    publish_rules(&world, "Hammer");
    let lists = [("APP_CONFIG__DEVICE__PLAY_DEVICES", LIST), ("APP_CONFIG__DEVICE__MATOMO", FOLDER)];
    let mut process = world.spawn_with(&lists);
    let (public, admin) = (process.public, process.admin);
    let counted = |key: &str, outcome: &str, count: u32| {
        let line = format!("real_streaming_data_files_replaced_total{{key=\"{key}\",outcome=\"{outcome}\"}} {count}");
        until(&line, || get(admin, "/metrics").unwrap().text().contains(&line).then_some(()));
    };
    assert_eq!(name(&world, public, "BLW-1", "1"), "Bellows");
    assert_eq!(name(&world, public, "ANV-1", "2"), "Hammer");

    publish(&world, "Puffer");
    publish_rules(&world, "Sledge");
    counted("device.play_devices", "taken", 1);
    counted("device.matomo", "taken", 1);
    assert_eq!(name(&world, public, "BLW-1", "3"), "Puffer");
    assert_eq!(name(&world, public, "ANV-1", "4"), "Sledge");

    put(&world, LIST, "half a download");
    put(&world, "rules/device/mobiles.yml", "- half: [a download");
    counted("device.play_devices", "refused", 1);
    counted("device.matomo", "refused", 1);
    assert_eq!(name(&world, public, "BLW-1", "5"), "Puffer");
    assert_eq!(name(&world, public, "ANV-1", "6"), "Sledge");
    assert_eq!(world.log().matches("the old one stays").count(), 2, "{}", world.log());
    assert_eq!(process.terminate(), Some(0));
}

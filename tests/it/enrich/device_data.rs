//! Lists of machines: who is asked about what, what is remembered, and what strangers can make of it.

use std::time::{Duration, Instant};

use real_streaming::{
    enrich::{
        Atlas, Config, DeviceConfig, DeviceData, Enricher,
        matomo::{Detector, MAIN},
        play_devices::PlayDevices,
        standard_on,
    },
    schema::Event,
};

use super::{Visit, device, info, text, web};

/// A folder in Matomo's format, all of it made up.
const MACHINES: &str = r"
Anvilworks:
  regex: 'ANV-[0-9]+|Anvil(?! Cookie)[ _]|SM-ANV|ANVTAB'
  device: 'smartphone'
  models:
    - regex: 'ANV-9'
      model: 'Niner'
      brand: 'Redmi'
    - regex: 'ANV-([0-9]+)'
      model: 'Hammer_$1'
    - regex: 'Anvil[ _]([a-z]+)'
      model: 'Anvil \g<1>'
Tongs:
  regex: 'TNG([0-9])'
  device: 'tablet'
  model: 'Tongs $1'
Samsung:
  regex: 'SM-[A-Z][0-9]+'
  models:
    - regex: 'SM-S911'
      model: 'Not Asked'
    - regex: 'SM-Q([0-9]+)'
      model: 'Galaxy Q $1'
";
const TELEVISIONS: &str = "
Glowbox:
  regex: 'GLOW[0-9]+'
  device: 'tv'
  model: 'Glowbox'
";
const BROWSERS: &str = r"
- regex: 'Pathfinder/(\d+[.\d]+)'
  name: 'Pathfinder'
  version: '$1'
- regex: 'EdgeOfIt'
  name: 'Microsoft Edge'
  version: ''
";
const BOTS: &str = "
- regex: 'Nosy(Eye|Ear)'
  name: 'Nosy$1'
  category: 'Search bot'
";
const LIBRARIES: &str = r"
- regex: 'fetchling/?(\d+)?'
  name: 'fetchling'
  version: '$1'
";

fn detector_with(machines: &str) -> Detector {
    let files = [
        (MAIN, machines),
        ("device/televisions.yml", TELEVISIONS),
        ("client/browsers.yml", BROWSERS),
        ("client/libraries.yml", LIBRARIES),
        ("bots.yml", BOTS),
        ("oss.yml", "- [this file is not read"),
    ];
    Detector::load(files.map(|(name, text)| (name, text.as_bytes()))).unwrap()
}

fn list(rows: &str) -> PlayDevices {
    PlayDevices::load(format!("Retail Branding,Marketing Name,Device,Model\n{rows}").as_bytes()).unwrap()
}

fn steps(data: &DeviceData) -> Vec<Box<dyn Enricher>> {
    steps_with(data, 0)
}

fn steps_with(data: &DeviceData, cold_parses: u32) -> Vec<Box<dyn Enricher>> {
    let device = DeviceConfig { cold_parses, ..DeviceConfig::default() };
    standard_on(&Config { device, ..Config::default() }, &Atlas::default(), data)
}

fn phone(model: &str) -> String {
    format!(
        "Mozilla/5.0 (Linux; Android 13; {model}) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Mobile Safari/537.36"
    )
}

/// Maker, model and marketing name.
fn machine(event: &Event<'static>) -> [String; 3] {
    let device = device(event);
    [&device.mobile_brand_name, &device.mobile_model_name, &device.mobile_marketing_name].map(|c| text(c).to_owned())
}

fn of_phone(steps: &[Box<dyn Enricher>], model: &str) -> [String; 3] {
    machine(&Visit::new().agent(&phone(model)).through(steps).unwrap())
}

#[test]
fn names_come_from_the_binary_when_there_is_nothing_else() {
    let steps = steps(&DeviceData::default());
    for (model, expected) in [
        ("SM-S911B", ["Samsung", "SM-S911B", "Galaxy S23"]),
        ("SM-M426B", ["Samsung", "SM-M426B", "Galaxy M42 5G"]),
        ("M2010J19SI", ["Xiaomi", "M2010J19SI", "Redmi 9 Power"]),
        ("Pixel 8 Pro", ["Google", "Pixel 8 Pro", "Pixel 8 Pro"]),
        ("SM-Q77B", ["Samsung", "SM-Q77B", "null"]),
        ("ANV-12", ["null", "ANV-12", "null"]),
    ] {
        assert_eq!(of_phone(&steps, model), expected);
    }
    let event = Visit::new()
        .agent("Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.5 Mobile/15E148 Safari/604.1")
        .through(&steps)
        .unwrap();
    assert_eq!(machine(&event), ["Apple", "iPhone", "null"], "the web never says which iPhone it is");
}

#[test]
fn googles_list_comes_before_the_binary_and_the_folder_last() {
    let data = DeviceData::default();
    data.replace_matomo(detector_with(MACHINES));
    data.replace_play_devices(list(
        "samsung,Galaxy S23 of the list,x,SM-S911B\nsamsung,Galaxy A,x,SM-A536B\nsamsung,Galaxy B,x,SM-A536B\n\
         Foundry,Bellows,x,BLW-1\nSmith,SM-Q77B,x,SM-Q77B\nsamsung,SM-Q77B,x,SM-Q77B\n",
    ));
    let steps = steps(&data);
    for (model, expected) in [
        ("SM-S911B", ["Samsung", "SM-S911B", "Galaxy S23 of the list"]),
        ("SM-A536B", ["Samsung", "SM-A536B", "Galaxy A53 5G"]), // the list has two names
        ("BLW-1", ["Foundry", "BLW-1", "Bellows"]),
        ("SM-Q77B", ["Samsung", "SM-Q77B", "Galaxy Q 77"]), // a name that is the code is none
        ("ANV-12", ["Anvilworks", "ANV-12", "Hammer 12"]),
        ("ANV-9", ["Xiaomi", "ANV-9", "Redmi Niner"]),
        ("Anvil_lite", ["Anvilworks", "Anvil_lite", "Anvil lite"]),
        ("Anvil Cookie", ["null", "Anvil Cookie", "null"]),
        ("TNG7", ["Tongs", "TNG7", "Tongs 7"]),
        ("SM-ANV", ["Samsung", "SM-ANV", "null"]), // the folder means another maker
        ("XANV-12", ["null", "XANV-12", "null"]),  // in the middle of a word
        ("GLOW5", ["null", "GLOW5", "null"]),      // only televisions are
        ("M2010J19SI", ["Xiaomi", "M2010J19SI", "Redmi 9 Power"]),
    ] {
        assert_eq!(of_phone(&steps, model), expected);
    }
}

#[test]
fn a_folder_names_televisions_browsers_and_robots_that_nobody_else_knows() {
    let data = DeviceData::default();
    data.replace_matomo(detector_with(MACHINES));
    let steps = steps(&data);
    let visit = |agent: &str| Visit::new().agent(agent).through(&steps).unwrap();

    let event = visit("Mozilla/5.0 (X11; Linux; GLOW55) SmartTV AppleWebKit/537.36 Chrome/90.0.0.0 Safari/537.36");
    assert_eq!(machine(&event)[0], "Glowbox");
    let event = visit("Mozilla/5.0 (Peculiar System) Pathfinder/12.5.");
    assert_eq!((text(&web(&event).browser), text(&web(&event).browser_version)), ("Pathfinder", "12.5"));
    let event = visit("Mozilla/5.0 (Peculiar System) EdgeOfIt");
    assert_eq!((text(&web(&event).browser), text(&web(&event).browser_version)), ("Edge", "null"));

    for (agent, name, category) in
        [("NosyEar 3 of the world", "NosyEar", "search"), ("fetchling 7 of the world", "fetchling", "library")]
    {
        let event = visit(agent);
        assert_eq!((info(&event).is_bot, text(&info(&event).bot_name)), (Some(true), name), "{agent}");
        assert_eq!(text(&info(&event).bot_category), category, "{agent}");
        assert_eq!(info(&event).bot_evidence, ["ua_shape", "ua_pattern"], "{agent}");
    }
    let event = visit("Mozilla/5.0 (Peculiar System) NosyEar 3");
    assert_eq!((text(&info(&event).bot_name), info(&event).bot_evidence.len()), ("NosyEar", 1));
    assert_eq!(text(&info(&visit("curl/8.5.0 NosyEar 3")).bot_name), "curl", "a name of our table stands");
    let event = visit(&phone("SM-S911B) NosyEar (x"));
    assert_eq!(info(&event).is_bot, Some(false), "nobody asks about a text that is explained");
}

#[test]
fn a_model_that_a_client_hint_tells_is_named_too() {
    let data = DeviceData::default();
    data.replace_matomo(detector_with(MACHINES));
    data.replace_play_devices(list("Foundry,Bellows,x,BLW-1\n"));
    let steps = steps(&data);
    for (model, expected) in [
        ("SM-S911B", ["Samsung", "SM-S911B", "Galaxy S23"]),
        ("ANV-12", ["Anvilworks", "ANV-12", "Hammer 12"]),
        ("BLW-1", ["Foundry", "BLW-1", "Bellows"]),
    ] {
        let event = Visit::new()
            .agent(&phone("K"))
            .header("sec-ch-ua-platform", "\"Android\"")
            .header("sec-ch-ua-model", format!("\"{model}\""))
            .through(&steps)
            .unwrap();
        assert_eq!(machine(&event), expected);
    }
    assert_eq!(of_phone(&steps, "K"), ["null", "null", "null"]);
}

#[test]
fn answers_of_older_lists_are_not_remembered() {
    let data = DeviceData::default();
    let steps = steps(&data);
    assert_eq!(of_phone(&steps, "ANV-12")[2], "null");
    data.replace_matomo(detector_with(MACHINES));
    assert_eq!(of_phone(&steps, "ANV-12")[2], "Hammer 12");
    data.replace_matomo(detector_with(&MACHINES.replace("Hammer", "Sledge")));
    assert_eq!(of_phone(&steps, "ANV-12")[2], "Sledge 12");
    data.replace_play_devices(list("Anvilworks,Mallet,x,ANV-12\n"));
    assert_eq!(of_phone(&steps, "ANV-12"), ["Anvilworks", "ANV-12", "Mallet"]);
}

#[test]
fn beyond_the_budget_the_folder_is_not_asked_and_the_older_answer_stands() {
    let data = DeviceData::default();
    data.replace_matomo(detector_with(MACHINES));
    // Compiling patterns uses up as much as asking them.
    let steps = steps_with(&data, 8);
    assert_eq!(of_phone(&steps, "ANV-12")[2], "Hammer 12");
    let mut asked = 1;
    for number in 13..40 {
        asked += usize::from(of_phone(&steps, &format!("ANV-{number}"))[2] != "null");
    }
    assert!(asked <= 8, "{asked} were asked");
    data.replace_matomo(detector_with(&MACHINES.replace("Hammer", "Sledge")));
    assert_eq!(of_phone(&steps, "ANV-12")[2], "Hammer 12");
    assert_eq!(of_phone(&steps, "SM-S911B")[2], "Galaxy S23", "the table in the binary costs nothing");
}

#[test]
fn what_a_caller_said_about_the_machine_stands() {
    let mut visit = Visit::new().agent(&phone("SM-S911B"));
    visit.event.device_mut().mobile_marketing_name = Some("Theirs".into());
    assert_eq!(machine(&visit.enriched()), ["Samsung", "SM-S911B", "Theirs"]);
}

/// The folder of a bad day: patterns that explode, patterns that loop, patterns that are always tried.
fn hostile() -> String {
    let mut rules = String::new();
    for number in 0..400 {
        rules += &format!("Maker{number}:\n  regex: '(?:[a-z0-9]+[ ;/]?)+=(?={number})'\n  model: '$1'\n");
        rules += &format!("Other{number}:\n  regex: '(?:(?:a+)+)+{number}x|(?:[a-z]{{1,50}}){{1,40}}{number}!'\n");
        rules += &format!("Broken{number}:\n  regex: '(((((' \n");
        rules += &format!("Huge{number}:\n  regex: '(?:(?:a{{1000}}){{1000}}){{100}}'\n");
    }
    rules
}

#[test]
fn hostile_texts_and_hostile_folders_end_soon() {
    let data = DeviceData::default();
    let detector = detector_with(&hostile());
    assert_eq!(detector.skipped(), 400);
    data.replace_matomo(detector);
    let steps = steps(&data);
    let texts = [
        phone(&"a".repeat(1000)),
        phone(&"a ".repeat(500)),
        phone(&"aaaa;".repeat(200)),
        format!("Mozilla/5.0 ({}", "a/1 ".repeat(250)),
        "(".repeat(1024),
        "\u{e4}".repeat(512),
    ];
    let started = Instant::now();
    for text in &texts {
        assert!(text.len() >= 1000);
        assert!(Visit::new().agent(text).through(&steps).is_ok());
    }
    // Five hundred patterns for each text, most of them compiled for it.
    assert!(started.elapsed() < Duration::from_secs(60), "{:?}", started.elapsed());
}

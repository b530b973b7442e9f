//! Cases as data: tab-separated files under `tests/golden`. `UPDATE=1` rewrites the expected columns; the diff is the
//! review.

use real_streaming::{
    enrich::{self, Config},
    schema::Event,
};

use super::{Visit, device, info, source, text, web};

/// Runs every row of a table through `answer` and compares it with the columns after the first `inputs`.
fn check(file: &str, inputs: usize, answer: impl Fn(&[&str]) -> Vec<String>) {
    let path = format!("{}/tests/golden/{file}", env!("CARGO_MANIFEST_DIR"));
    let table = std::fs::read_to_string(&path).unwrap();
    let mut fresh = String::new();
    let mut rows = 0;
    for line in table.lines() {
        let columns: Vec<&str> = line.split('\t').collect();
        if line.starts_with('#') || line.is_empty() {
            fresh += &format!("{line}\n");
            continue;
        }
        rows += 1;
        let given = &columns[..inputs];
        fresh += &format!("{}\t{}\n", given.join("\t"), answer(given).join("\t"));
    }
    assert!(rows > 0, "{path} has no rows");
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&path, fresh).unwrap();
        return;
    }
    for (expected, got) in table.lines().zip(fresh.lines()) {
        assert_eq!(got, expected, "a row of {file} came out differently");
    }
}

fn columns<const N: usize>(columns: [&str; N]) -> Vec<String> {
    columns.map(str::to_owned).to_vec()
}

#[test]
fn user_agents_are_spelled_as_ga4_spells_them() {
    let steps = enrich::standard(&Config::default());
    check("agents.tsv", 1, |given| {
        let event = Visit::new().agent(given[0]).through(&steps).unwrap();
        columns([
            text(&device(&event).category),
            text(&device(&event).operating_system_version),
            text(&web(&event).browser),
            text(&web(&event).browser_version),
            text(&device(&event).mobile_brand_name),
            text(&device(&event).mobile_model_name),
            text(&device(&event).mobile_marketing_name),
            if info(&event).is_bot == Some(true) { text(&info(&event).bot_category) } else { "-" },
            text(&info(&event).bot_name),
        ])
    });
}

#[test]
fn referrers_become_sources() {
    let steps = enrich::standard(&Config::default());
    check("referrers.tsv", 1, |given| {
        let visit = Visit::new().page("https://www.example.com/").from(given[0]);
        let event: Event<'_> = visit.through(&steps).unwrap();
        if event.collected_traffic_source.is_none() {
            assert_eq!(event.param("source"), None);
            return columns(["null", "null", "null", text(&info(&event).channel_group)]);
        }
        let s = source(&event);
        assert_eq!(event.param("source"), s.manual_source.as_deref());
        assert_eq!(event.param("campaign"), s.manual_campaign_name.as_deref());
        columns([
            text(&s.manual_source),
            text(&s.manual_medium),
            text(&s.manual_campaign_name),
            text(&info(&event).channel_group),
        ])
    });
}

#[test]
fn campaigns_fall_into_ga4s_default_channels() {
    let steps = enrich::standard(&Config::default());
    check("channels.tsv", 1, |given| {
        let event = Visit::new().page(&format!("https://www.example.com/?{}", given[0])).through(&steps).unwrap();
        columns([text(&info(&event).channel_group)])
    });
}

//! `tests/golden/explain/*.http`, raw requests, against `*.txt`, what a person is told about them. A file `*.yaml` of the
//! same name is the configuration, else `default.yaml`; each request comes over a connection from 10.0.0.1.
//! `UPDATE=1 cargo test golden` rewrites the expectations; the diff is the review.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    io::Write,
    net::IpAddr,
    path::Path,
    process::{Command, Stdio},
};

use real_streaming::{
    app,
    config::{self, Sources},
    edge::{Asker, Explained, Rules},
    schema::{self, Kind, Leaf},
};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{
    client::request,
    golden::{self, Request},
    mmdb::Mmdb,
    world::World,
};

/// Records whose columns nobody but the steps and a trusted caller fills.
const ENRICHED: [&str; 4] = ["device.", "geo.", "event_dimensions.", "collected_traffic_source."];

/// Columns of these that this version does not fill for visitors: others have them from a trusted caller, or from data
/// that is not here.
const FOR_CALLERS_ONLY: [&str; 6] = [
    "device.mobile_os_hardware_model",
    "device.vendor_id",
    "device.advertising_id",
    "device.time_zone_offset_seconds",
    "device.browser",
    "device.browser_version",
];

/// Columns of `rs_info` that the body of the event may have filled.
const FROM_THE_BODY: [&str; 1] = ["rs_info.screen_resolution"];

fn rules(yaml: &Path) -> Rules {
    let sources = Sources { file: Some(yaml.into()), ..Sources::default() };
    let config = config::load(&sources).unwrap_or_else(|problems| panic!("{problems}")).config;
    app::rules(&config).unwrap()
}

fn explained(rules: &Rules, requests: &[u8], peer: [u8; 4]) -> Vec<Explained> {
    // 2025-06-15T15:06:40.123456Z.
    let moment = Some((1_750_000_000_123_456, 0x0123_4567_89ab_cdef_0123_4567_89ab_cdef));
    rules.explain_as(requests, Asker { peer: IpAddr::from(peer), tls: false, moment }).collect()
}

fn of_file(path: &Path) -> Vec<Explained> {
    let own = path.with_extension("yaml");
    let yaml = if own.exists() { own } else { path.with_file_name("default.yaml") };
    explained(&rules(&yaml), &fs::read(path).unwrap(), [10, 0, 0, 1])
}

fn lines(explained: &[Explained]) -> Vec<Value> {
    let lines: String = explained.iter().map(Explained::json_lines).collect();
    lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn golden_requests_are_explained() {
    let requests = golden::requests("explain");
    golden::compare(&requests, "txt", |path| {
        of_file(path).iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
    });
    assert!(requests.len() >= 15, "only {} cases found", requests.len());
}

/// The columns of a row's values, each with its origin.
fn origins(line: &Value) -> Vec<(String, String)> {
    let row = if line["row"].is_null() { &line["unfinished"] } else { &line["row"] };
    let leaves = schema::leaves_of(row);
    let origin = |leaf: &Leaf| line["origins"][&leaf.path].as_str().unwrap_or_default().to_owned();
    leaves.into_iter().map(|leaf| (leaf.column.clone(), origin(&leaf))).collect()
}

/// Whether only the steps fill a column, unless a trusted caller does.
fn is_enriched(column: &str) -> bool {
    let ours = ["event_id", "protocol", "host", "notes"].map(|name| format!("rs_info.{name}"));
    let info =
        column.starts_with("rs_info.") && !column.starts_with("rs_info.consent.") && !ours.contains(&column.into());
    (info || ENRICHED.iter().any(|record| column.starts_with(record))) && !FROM_THE_BODY.contains(&column)
}

#[test]
fn every_value_of_every_golden_hit_has_an_origin() {
    let mut seen: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let mut note = |what: &str, column: String, origin: String, by_caller: bool| {
        assert!(!origin.is_empty() && origin != "unknown", "{what}: nobody knows where `{column}` came from");
        if is_enriched(&column) && !by_caller {
            assert!(!origin.starts_with("sent by"), "{what}: `{column}` was not sent by anybody: {origin}");
            seen.entry(column).or_default().insert(origin);
        }
    };
    for path in golden::requests("hits") {
        let what = path.file_stem().unwrap().to_str().unwrap();
        let request = Request::read(&fs::read(&path).unwrap());
        request.ask(|pipeline, hit| {
            if pipeline.admit(hit.method, hit.stream, hit.headers).is_err() {
                return;
            }
            let told = pipeline.explain(hit, "golden");
            let by_caller = hit.headers.contains_key("x-api-key") || hit.headers.contains_key("authorization");
            match pipeline.collect(hit) {
                Err(refusal) => assert_eq!(told.refusal, Some(refusal), "{what}"),
                Ok(collected) => {
                    let rows = collected.rows.iter().map(|row| schema::json::row(row.bytes()).unwrap());
                    let kept =
                        told.events.iter().filter(|event| event.dropped.is_none()).map(|event| event.row.clone());
                    assert_eq!(kept.collect::<Vec<_>>(), rows.collect::<Vec<_>>(), "{what}: the same rows");
                    let dropped = told.events.iter().enumerate().filter_map(|(at, event)| Some((at, event.dropped?)));
                    assert_eq!(dropped.collect::<Vec<_>>(), collected.dropped, "{what}");
                    assert_eq!(told.reply, collected.reply, "{what}");
                }
            }
            for (leaf, origin) in told.events.into_iter().flat_map(|event| event.values) {
                note(what, leaf.column, origin, by_caller);
            }
        });
    }
    for path in golden::requests("explain") {
        let what = path.file_stem().unwrap().to_str().unwrap().to_owned();
        for line in lines(&of_file(&path)) {
            for (column, origin) in origins(&line) {
                note(&what, column, origin, what.ends_with("by_a_server"));
            }
        }
    }

    for (column, _) in schema::flatten().into_iter().filter(|(_, column)| column.kind != Kind::Record) {
        let expected = is_enriched(&column) && !FOR_CALLERS_ONLY.contains(&column.as_str());
        assert_eq!(seen.contains_key(&column), expected, "`{column}` is filled in a golden hit, and explained");
    }
    let kinds = |column: &str| seen[column].len();
    assert!(
        kinds("device.operating_system") >= 2 && kinds("rs_info.is_bot") >= 2 && kinds("rs_info.channel_group") >= 5
    );
}

#[test]
fn a_place_of_the_database_is_told_from_one_of_the_headers() {
    let folder = TempDir::new().unwrap();
    let record = json!({ "country": { "iso_code": "CH" }, "subdivisions": [{ "iso_code": "ZH" }], "city": { "names": { "en": "Uster" } } });
    let database = folder.path().join("city.mmdb");
    fs::write(&database, Mmdb::city().with("203.0.113.0/24", &record).bytes()).unwrap();
    let yaml = folder.path().join("c.yaml");
    let proxies = "server: { trusted_proxies: [\"10.0.0.0/8\"] }";
    fs::write(&yaml, format!("geo: {{ database: {} }}\n{proxies}\n", database.display())).unwrap();

    let told = |headers: &str| {
        let request = format!(
            "POST /api/v1/streaming/1 HTTP/1.1\nX-Forwarded-For: 203.0.113.7\n{headers}\n{{\"event_name\":\"e\"}}"
        );
        lines(&explained(&rules(&yaml), request.as_bytes(), [10, 0, 0, 1])).remove(0)
    };
    let both = told("X-Client-Geo-Country: CH\n");
    let header = "header x-client-geo-country (trusted proxy)";
    assert_eq!(both["row"]["geo"]["city"], "Uster");
    assert_eq!(both["origins"]["geo.country"], header);
    assert_eq!(both["origins"]["rs_info.country_code"], header);
    for column in ["geo.region", "geo.city", "rs_info.region_code"] {
        assert_eq!(both["origins"][column], "database of addresses (Test-City)", "{column}");
    }
    let alone = told("");
    assert_eq!(alone["origins"]["geo.continent"], "database of addresses (Test-City)");
}

/// A small request to this stream, of which 90 long events come.
fn swollen(stream: &str) -> Vec<u8> {
    let params: Vec<String> = (0..100).map(|at| format!("\"{}{at}\":\"{}\"", "k".repeat(35), "v".repeat(60))).collect();
    let event = format!("{{\"event_name\":\"e\",\"event_params\":{{{}}}}}", params.join(","));
    let mut body = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    body.write_all(format!("[{}]", vec![event; 90].join(",")).as_bytes()).unwrap();
    let body = body.finish().unwrap();
    let head =
        format!("POST /api/v1/streaming/{stream} HTTP/1.1\nContent-Encoding: gzip\nContent-Length: {}\n\n", body.len());
    [head.as_bytes(), &body].concat()
}

#[test]
fn a_long_explanation_ends() {
    let yaml = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/explain/default.yaml");
    let lines = lines(&explained(&rules(&yaml), &swollen("shop"), [10, 0, 0, 1]));
    assert_eq!(lines[0]["status"], 200, "{}", lines[0]);
    assert!((2..91).contains(&lines.len()), "{}", lines.len());
    let left = 90 - (lines.len() - 1);
    assert_eq!(lines.last().unwrap()["notes"][0], format!("{left} more events, not explained"));
}

const RAW: &str =
    "POST /api/v1/streaming/1 HTTP/1.1\nHost: www.example.com\nContent-Length: 18\n\n{\"event_name\":\"a\"}\n";

#[test]
fn the_admin_listener_explains_without_keeping_anything() {
    let world = World { more: "collect: { rate_limit: { per_ip: 1, burst: 1s } }\n", ..World::new() };
    let mut running = world.start();
    let post = |path: &str, body: &[u8]| request(running.admin, "POST", path, &[], body).unwrap();

    for _ in 0..5 {
        let answer = post("/explain?client-ip=203.0.113.9&tls", format!("{RAW}{RAW}").as_bytes());
        assert_eq!((answer.status, answer.header("content-type")), (200, Some("application/json")));
        let told: Value = serde_json::from_slice(&answer.body).unwrap();
        let told = told.as_array().unwrap();
        assert_eq!(told.len(), 2);
        assert_eq!(told[1]["request"], 2);
        assert_eq!(told[0]["row"]["event_name"], "a");
        assert_eq!(told[0]["origins"]["user_pseudo_id"], "minted for this request");
        assert_eq!(told[0]["client"], json!({ "ip": "203.0.113.9", "from_trusted_proxy": false, "tls": true }));
        assert!(told[0]["set_cookie"].as_str().unwrap().contains("; Secure"));
    }
    let broken = post("/explain", format!("{RAW}nonsense").as_bytes());
    let told: Value = serde_json::from_slice(&broken.body).unwrap();
    assert_eq!((broken.status, told[0]["status"].as_u64()), (400, Some(200)));
    assert!(told[1]["error"].as_str().unwrap().starts_with("the head"), "{told}");
    assert_eq!(serde_json::from_slice::<Value>(&post("/explain", b"").body).unwrap(), json!([]));
    let many = post("/explain", &swollen("1").repeat(20));
    let told: Vec<Value> = serde_json::from_slice(&many.body).unwrap();
    assert!(many.body.len() < 8 << 20, "{} bytes", many.body.len());
    assert!(told.last().unwrap()["notes"][0].as_str().unwrap().starts_with("what follows is left out"));
    assert_eq!(post("/explain?client-ip=nobody", b"").status, 400);
    assert_eq!(post("/explain?x", b"").status, 400);
    assert_eq!(post("/explain", &vec![b' '; (1 << 20) + 1]).status, 413);
    assert_eq!(request(running.admin, "GET", "/explain", &[], b"").unwrap().status, 405);
    assert_eq!(post("/healthz", b"").status, 405);

    let headers = [("Content-Type", "application/json"), ("X-Forwarded-For", "203.0.113.9")];
    let send = || request(running.public, "POST", "/api/v1/streaming/1", &headers, br#"{"event_name":"b"}"#).unwrap();
    assert_eq!(send().status, 200, "no explanation has spent the one request of this second");
    running.stop();
    assert_eq!(world.lake().iter().map(|batch| batch.num_rows()).sum::<usize>(), 1, "nothing but the event is kept");
}

/// The binary with these arguments and this input: exit code, standard output and standard error.
fn run(folder: &TempDir, arguments: &[&str], input: &[u8]) -> (i32, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_real-streaming"));
    command.current_dir(folder.path()).env_clear().arg("explain").args(arguments);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_vec();
    let feeding = std::thread::spawn(move || stdin.write_all(&input));
    let output = child.wait_with_output().unwrap();
    let _ = feeding.join().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

#[test]
fn the_command_explains_standard_input() {
    let folder = TempDir::new().unwrap();
    let (code, out, err) = run(&folder, &["--client-ip", "2001:db8:1:2::7", "--tls"], RAW.as_bytes());
    assert_eq!((code, err.as_str()), (0, ""));
    let begins = "request 1: POST /api/v1/streaming/1\n  from 2001:db8:1:2::7, over TLS\n  answered 200 OK\n  set-cookie: __uid__=";
    assert!(out.starts_with(begins), "{out}");
    let line = out.lines().find(|line| line.contains("rs_info.ip ")).unwrap();
    assert!(
        line.contains("2001:db8:1::  ") && line.ends_with("← address of the peer of the connection, its network only")
    );

    fs::write(folder.path().join("c.yaml"), "streams: [{ id: shop }]\n").unwrap();
    let (code, out, _) = run(&folder, &["--json", "--config", "c.yaml"], RAW.as_bytes());
    let told: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, &told["status"], &told["refusal"]["code"]), (0, &json!(404), &json!("unknown_stream")));

    let (code, out, _) = run(&folder, &[], b"nonsense");
    assert_eq!(code, 1);
    assert!(out.starts_with("request 1 cannot be read: the head does not end; hint: "), "{out}");
    let (code, out, err) = run(&folder, &[], b"\n");
    assert_eq!((code, out.as_str()), (1, ""));
    assert!(err.contains("no request on standard input") && err.contains("hint: "), "{err}");
    for wrong in [&["--client-ip", "x"][..], &["--config", "gone.yaml"], &["--user-agents", "-", "--referrers", "-"]] {
        assert_eq!(run(&folder, wrong, b"").0, 2, "{wrong:?}");
    }
}

#[test]
fn referrers_are_explained_line_by_line() {
    let folder = TempDir::new().unwrap();
    let input = [
        r#"{"page": "https://www.example.com/", "referrer": "https://www.google.com/search?q=shoes", "weight": 7}"#,
        r#"{"page": "https://www.example.com/?fbclid=a&gclid=b"}"#,
        r#"{"page": null, "referrer": "https://chatgpt.com/"}"#,
        r#"{"page": "https://www.example.com/?utm_source=a&utm_medium=email&utm_campaign=c"}"#,
        "",
        r#"{"page": 1}"#,
        r#"{"page": "https://www.example.com/", "referrer": "https://shop.example.com/"}"#,
        r#"{"referrer": "https://intranet.example/?wort=a"}"#,
    ];
    fs::write(folder.path().join("own.tsv"), "intranet.example search intranet wort\n").unwrap();
    fs::write(folder.path().join("c.yaml"), "traffic: { referrers: own.tsv }\n").unwrap();
    let (code, out, err) = run(&folder, &["--config", "c.yaml", "--referrers", "-"], input.join("\n").as_bytes());
    assert_eq!((code, err.as_str()), (1, ""), "one line cannot be read");
    let mut told: Vec<Value> = out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(told.remove(4)["error"].as_str().unwrap().contains("invalid type"));
    let answer = |[source, medium, campaign, term, channel]: [Option<&str>; 5], click_ids: Value| json!({ "source": source, "medium": medium, "campaign": campaign, "term": term, "channel": channel, "click_ids": click_ids });
    let none = || json!({});
    let google = [Some("google"), Some("organic"), Some("(organic)"), Some("shoes"), Some("Organic Search")];
    let chat = [Some("chatgpt.com"), Some("ai-assistant"), Some("(ai-assistant)"), None, Some("AI Assistant")];
    let own = [Some("intranet"), Some("organic"), Some("(organic)"), Some("a"), Some("Organic Search")];
    let expected = [
        answer(google, none()),
        answer([None, None, None, None, Some("Paid Search")], json!({ "fbclid": "a", "gclid": "b" })),
        answer(chat, none()),
        answer([Some("a"), Some("email"), Some("c"), None, Some("Email")], none()),
        answer([None; 5], none()),
        answer(own, none()),
    ];
    assert_eq!(told, expected);
}

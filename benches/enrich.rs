//! What enrichment costs: `cargo bench --bench enrich [FILE.jsonl.gz] [CONFIG.yaml]`.
//!
//! The user agents are the distinct `ua` members of a gzipped file of JSON lines, by default the one beside the checkout;
//! without it a handful of built-in ones. Each figure is the median of several passes over all of them, in nanoseconds
//! for one text or event, with the yardstick (`uaparser`, on a part of them) in the same run. The lists of machines that
//! a configuration names are asked in passes of their own.

use std::{
    fs::File,
    hint::black_box,
    io::{BufRead, BufReader},
    path::PathBuf,
    time::{Duration, Instant},
};

use flate2::bufread::GzDecoder;
use http::{HeaderMap, HeaderValue, header};
use real_streaming::{
    app,
    collect::Hit,
    config,
    enrich::{self, Enricher, Reading},
    schema::{
        Event,
        proto::event::{Param, Value},
    },
};
use uaparser::{Parser, UserAgentParser};

#[path = "../tests/it/hit.rs"]
mod hit;
use hit::hit;

// The binary's own allocator.
use mimalloc as _;

const PASSES: usize = 9;
/// Texts that the yardstick reads: it takes its time.
const YARDSTICK: usize = 500;

fn main() {
    let texts = user_agents();
    let first = &texts[0];
    let before = resident();
    let started = Instant::now();
    let steps = enrich::standard(&enrich::Config::default());
    println!("{:36} {:>9.2} ms", "steps built (before the listener)", millis(started.elapsed()));

    // Compiles the patterns, which a server does in the background.
    let started = Instant::now();
    Reading::of("strange/1.0 (thing)").ask_patterns();
    println!("{:36} {:>9.2} ms", "patterns compiled (in the background)", millis(started.elapsed()));

    println!("{} distinct user agents; nanoseconds each, median of {PASSES} passes", texts.len());
    let own = median(|| each(&texts, |text| drop(black_box(Reading::of(text).agent()))));
    line("own words (tier 1)", own);
    let open: Vec<String> = texts.iter().filter(|text| Reading::of(text).is_open()).cloned().collect();
    let cold = median(|| each(&texts, |text| drop(black_box(read(text)))));
    line("own words, then patterns where open", cold);
    println!("{:36} {:>9.2} %", "  of them open after own words", 100.0 * open.len() as f64 / texts.len() as f64);
    if !open.is_empty() {
        line("  those alone, with patterns (tier 2)", median(|| each(&open, |text| drop(black_box(read(text))))));
    }

    with_lists(&texts);

    let one = vec![first.clone(); 2048];
    for step in steps.chunks(1) {
        line(&format!("step `{}`, remembered", step[0].name()), median(|| through(&one, step)));
    }
    line("all steps, remembered", median(|| through(&one, &steps)));
    through(&texts, &steps);
    if let (Some(before), Some(after)) = (before, resident()) {
        println!("{:36} {:>9.1} MB", "resident memory since the start", (after - before) as f64 / 1e6);
    }
    yardstick(&texts[..texts.len().min(YARDSTICK)], cold);
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

fn line(what: &str, nanos: f64) {
    println!("{what:36} {nanos:>9.0} ns");
}

/// Nanoseconds each.
fn each(texts: &[String], mut read: impl FnMut(&str)) -> f64 {
    let started = Instant::now();
    texts.iter().for_each(|text| read(black_box(text)));
    started.elapsed().as_nanos() as f64 / texts.len() as f64
}

fn median(mut pass: impl FnMut() -> f64) -> f64 {
    let mut all: Vec<f64> = (0..PASSES).map(|_| pass()).collect();
    all.sort_by(f64::total_cmp);
    all[PASSES / 2]
}

fn read(text: &str) -> enrich::Agent<'_> {
    let mut reading = Reading::of(text);
    if reading.is_open() {
        reading.ask_patterns();
    }
    reading.agent()
}

/// Events of these user agents through the steps, few at a time so that memory stays near.
fn through(texts: &[String], steps: &[Box<dyn Enricher>]) -> f64 {
    let mut spent = Duration::ZERO;
    for texts in texts.chunks(32) {
        let headers: Vec<HeaderMap> = texts.iter().filter_map(|text| browser_headers(text)).collect();
        let hits: Vec<Hit<'_>> = headers.iter().map(|headers| hit(headers, b"")).collect();
        let mut events: Vec<Event<'_>> = hits.iter().map(|_| page_view()).collect();
        let started = Instant::now();
        for (hit, event) in hits.iter().zip(&mut events) {
            for step in steps {
                let _ = black_box(step.enrich(hit, event));
            }
        }
        spent += started.elapsed();
    }
    spent.as_nanos() as f64 / texts.len() as f64
}

/// What a browser of this name sends.
fn browser_headers(user_agent: &str) -> Option<HeaderMap> {
    let mut headers = HeaderMap::new();
    headers.insert(header::USER_AGENT, HeaderValue::from_str(user_agent).ok()?);
    for (name, value) in [
        ("host", "www.example.com"),
        ("content-type", "application/json"),
        ("accept", "*/*"),
        ("accept-language", "de-CH,de;q=0.9,en;q=0.8"),
        ("accept-encoding", "gzip, deflate, br, zstd"),
        ("origin", "https://www.example.com"),
        ("referer", "https://www.example.com/"),
        ("cookie", "__uid__=1234567890.1700000000"),
        ("sec-ch-ua", r#""Chromium";v="126", "Google Chrome";v="126", "Not/A)Brand";v="8""#),
        ("sec-ch-ua-mobile", "?1"),
        ("sec-ch-ua-platform", "\"Android\""),
        ("sec-fetch-site", "same-origin"),
        ("sec-fetch-mode", "cors"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    Some(headers)
}

fn page_view() -> Event<'static> {
    let param = |key: &'static str, value: &'static str| Param::new(key, Value::text(value));
    Event {
        event_name: Some("page_view".into()),
        event_params: vec![
            param("page_location", "https://www.example.com/page?utm_source=news&utm_medium=email&gclid=abc"),
            param("page_title", "Home Page"),
            param("page_referrer", "https://www.google.com/"),
        ],
        ..Event::default()
    }
}

/// Every text anew through the device step, with the lists of the configuration.
fn with_lists(texts: &[String]) {
    let Some(path) = arguments().find(|argument| argument.ends_with(".yaml")) else { return };
    let sources = config::Sources { file: Some(path.into()), ..config::Sources::default() };
    let mut config = config::load(&sources).expect("a sound configuration").config.enrich();
    config.user_agents = 1;
    config.device.cold_parses = 0;
    let before = resident();
    let started = Instant::now();
    let devices = app::read_device_data(&config.device).expect("it was checked");
    println!("{:36} {:>9.2} ms", "lists of machines read", millis(started.elapsed()));
    let steps = enrich::standard_on(&config, &enrich::Atlas::default(), &devices);
    line("device step, cold, with the lists", through(texts, &steps[..1]));
    line("  once their patterns are compiled", median(|| through(texts, &steps[..1])));
    if let (Some(before), Some(after)) = (before, resident()) {
        println!("{:36} {:>9.1} MB", "  resident memory for them", after.saturating_sub(before) as f64 / 1e6);
    }
}

fn arguments() -> impl Iterator<Item = String> {
    std::env::args().skip(1).filter(|argument| !argument.starts_with("--"))
}

fn yardstick(texts: &[String], cold: f64) {
    let Some(patterns) = patterns_of_uap_core() else {
        println!("{:36} skipped: the sources of ua-parser are not at hand", "yardstick: uaparser");
        return;
    };
    let Ok(parser) =
        UserAgentParser::builder().with_unicode_support(false).build_from_yaml(&patterns.to_string_lossy())
    else {
        println!("{:36} skipped: it does not read these patterns", "yardstick: uaparser");
        return;
    };
    let nanos = each(texts, |text| drop(black_box(parser.parse(text))));
    line(&format!("yardstick: uaparser ({} texts)", texts.len()), nanos);
    println!("{:36} {:>9.0} times", "  of ours, cold", nanos / cold);
}

/// As the build script finds them.
fn patterns_of_uap_core() -> Option<PathBuf> {
    let home =
        std::env::var_os("CARGO_HOME").map(PathBuf::from).or_else(|| Some(std::env::home_dir()?.join(".cargo")))?;
    let registries = std::fs::read_dir(home.join("registry/src")).ok()?;
    let files = registries.flatten().map(|registry| registry.path().join("ua-parser-0.2.2/uap-core/regexes.yaml"));
    files.into_iter().find(|file| file.is_file())
}

fn user_agents() -> Vec<String> {
    let beside = || concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/data/ua_real_traffic.jsonl.gz").to_owned();
    let path = arguments().find(|argument| !argument.ends_with(".yaml")).unwrap_or_else(beside);
    let Ok(file) = File::open(&path) else {
        println!("no `{path}`: a handful of built-in user agents has to do");
        return BUILT_IN.iter().map(|text| (*text).to_owned()).collect();
    };
    let lines = BufReader::new(GzDecoder::new(BufReader::new(file))).lines();
    let text = |line: std::io::Result<String>| {
        let line: serde_json::Value = serde_json::from_str(&line.ok()?).ok()?;
        Some(line["ua"].as_str()?.to_owned())
    };
    lines.filter_map(text).collect()
}

/// Resident memory in bytes, where the system tells.
fn resident() -> Option<u64> {
    let pages = std::fs::read_to_string("/proc/self/statm").ok()?;
    Some(pages.split(' ').nth(1)?.parse::<u64>().ok()? * 4096)
}

const BUILT_IN: &[&str] = &[
    "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Mobile Safari/537.36",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.5 Mobile/15E148 Safari/604.1",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36 Edg/126.0.0.0",
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.5 Safari/605.1.15",
    "Mozilla/5.0 (Linux; Android 14; SM-S928B; wv) AppleWebKit/537.36 (KHTML, like Gecko) Version/4.0 Chrome/126.0.6478.72 Mobile Safari/537.36",
    "Mozilla/5.0 (X11; Linux x86_64; rv:127.0) Gecko/20100101 Firefox/127.0",
    "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
];

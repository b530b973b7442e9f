//! The whole binary between browsers and BigQuery: killed, stopped, and with a writer that stands still.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use tokio::runtime::Runtime;
use tonic::Code;

use crate::{
    client::{Client, get, post},
    fakes::{
        bigquery::{Act, BigQuery},
        tally::Keep,
    },
    world::{Process, World, eventually},
};

/// The stand-in, on threads of its own.
pub struct Backend {
    pub fake: BigQuery,
    pub runtime: Runtime,
}

impl Backend {
    pub fn start() -> Backend {
        let runtime = Runtime::new().unwrap();
        Backend { fake: runtime.block_on(BigQuery::start()), runtime }
    }

    /// Starts the binary with these writers.
    pub fn spawn(&self, world: &World, strategy: &str) -> Process {
        self.spawn_with(world, strategy, &[])
    }

    /// The same, with more of the configuration.
    pub fn spawn_with(&self, world: &World, strategy: &str, more: &[(&str, &str)]) -> Process {
        let (endpoint, rest) = (format!("http://{}", self.fake.grpc), format!("http://{}", self.fake.rest));
        let mut variables = vec![
            ("APP_CONFIG__WRITERS__STRATEGY", strategy),
            ("APP_CONFIG__WRITERS__PROJECT_ID", "p"),
            ("APP_CONFIG__WRITERS__BQ__DATASET_ID", "d"),
            ("APP_CONFIG__WRITERS__BQ__TABLE_ID", "events"),
            ("BIGQUERY_STORAGE_GRPC_ENDPOINT", &endpoint),
            ("BIGQUERY_EMULATOR_HOST", &rest),
        ];
        variables.extend(more);
        world.spawn_with(&variables)
    }

    /// How often each event id is stored.
    pub fn counts(&self) -> HashMap<String, usize> {
        let mut counts = HashMap::new();
        for id in self.fake.ids() {
            *counts.entry(id).or_default() += 1;
        }
        counts
    }

    pub fn has(&self, ids: &HashSet<String>) -> bool {
        let counts = self.counts();
        ids.iter().all(|id| counts.contains_key(id))
    }
}

pub fn send(addr: SocketAddr, id: &str) -> bool {
    let body = format!(r#"{{"event_name":"e","event_id":"{id}"}}"#);
    post(addr, "/api/v1/streaming/1", &body).is_ok_and(|answer| answer.status == 200)
}

/// One metric's value.
pub fn metric(admin: SocketAddr, name: &str) -> Option<f64> {
    let answer = get(admin, "/metrics").ok()?;
    let line = answer.text().lines().find(|line| line.starts_with(name))?.to_owned();
    line.rsplit(' ').next()?.parse().ok()
}

/// How often processes are killed: as often as fits into 20 seconds, 50 times at most, or as often as the variable
/// `KILLS` says.
fn wanted_rounds() -> u64 {
    std::env::var("KILLS").ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(50)
}

fn patient() -> bool {
    std::env::var_os("KILLS").is_some()
}

/// Two clients that send until `end` has killed the process; the ids that got a 200.
fn load(addr: SocketAddr, name: &str, end: impl FnOnce(())) -> Vec<String> {
    let stop = Arc::new(AtomicBool::new(false));
    let clients: Vec<_> = (0..2)
        .map(|client| {
            let (name, stop) = (name.to_owned(), stop.clone());
            thread::spawn(move || {
                let ids = (0..).map(|n| format!("{name}-c{client}-{n}"));
                ids.take_while(|id| !stop.load(Ordering::Relaxed) && send(addr, id)).collect::<Vec<_>>()
            })
        })
        .collect();
    end(());
    stop.store(true, Ordering::Relaxed);
    clients.into_iter().flat_map(|client| client.join().unwrap()).collect()
}

/// What may happen to a request.
fn mischief(random: &mut fastrand::Rng) -> Act {
    match random.u8(0..6) {
        0 => Act::Close(Code::Unavailable, "elsewhere"),
        1 | 2 => Act::StoreAndClose(Code::Unavailable, "gone"),
        3 => Act::StoreAndClose(Code::PermissionDenied, "for a moment"),
        _ => Act::Delay(Duration::from_millis(random.u64(0..200))),
    }
}

/// Case 45: what got a 200 is in the table, whatever kills the process, and in the lake exactly once.
#[test]
fn kill_dash_nine_loses_nothing_on_the_way_to_bigquery() {
    let (world, backend) = (World::new(), Backend::start());
    let mut answered = HashSet::new();
    let begun = Instant::now();
    let mut round = 0;
    while round < wanted_rounds() && (round < 4 || patient() || begun.elapsed() < Duration::from_secs(20)) {
        let mut process = backend.spawn(&world, r#"["local","direct"]"#);
        // Some rounds die while answers are outstanding.
        if round % 2 == 0 {
            backend.fake.script((0..5).map(|_| Act::Delay(Duration::from_millis(150))));
        }
        let ids = load(process.public, &format!("r{round}"), |()| {
            thread::sleep(Duration::from_millis(100 + round * 7_919 % 400));
            process.kill();
        });
        answered.extend(ids);
        round += 1;
    }
    assert!(!answered.is_empty(), "there was nothing to lose");
    backend.fake.state.lock().script.clear();
    let mut process = backend.spawn(&world, r#"["local","direct"]"#);
    let arrived = eventually(Duration::from_secs(60), || backend.has(&answered));
    assert_eq!(process.terminate(), Some(0));
    let counts = backend.counts();
    let lost = answered.iter().filter(|id| !counts.contains_key(*id)).count();
    assert!(arrived, "{lost} of {} are lost", answered.len());
    let in_lake = world.ids_in_lake();
    assert!(answered.iter().all(|id| in_lake.get(id) == Some(&1)), "the lake has each once");
    let doubled = counts.values().sum::<usize>() - counts.len();
    // What was answered and not yet written down when the process was killed may come again, and nothing else.
    let excused = backend.fake.state.lock().tally.excused;
    println!("{round} rounds, {} answered 200, {doubled} came twice, {excused} may", answered.len());
    assert!(doubled as u64 <= excused, "{doubled} rows came twice, and {excused} may");
}

/// `exactly_once`: killed at any moment, with connections that break and answers that are late or lost, and what got a
/// 200 is in the table once.
#[test]
fn kill_dash_nine_doubles_nothing_with_exactly_once() {
    let (world, backend) = (World::new(), Backend::start());
    let exactly = [("APP_CONFIG__WRITERS__BQ__EXACTLY_ONCE", "true")];
    let mut random = fastrand::Rng::with_seed(1);
    let mut answered = HashSet::new();
    let begun = Instant::now();
    let mut rounds = 0;
    while rounds < wanted_rounds() && (rounds < 4 || patient() || begun.elapsed() < Duration::from_secs(20)) {
        let mut process = backend.spawn_with(&world, "direct", &exactly);
        let acts: Vec<_> = (0..random.usize(0..6)).map(|_| mischief(&mut random)).collect();
        backend.fake.script(acts);
        let ids = load(process.public, &format!("x{rounds}"), |()| {
            for _ in 0..random.usize(1..4) {
                thread::sleep(Duration::from_millis(random.u64(100..400)));
                if random.bool() {
                    backend.fake.cut();
                }
            }
            process.kill();
        });
        answered.extend(ids);
        backend.fake.state.lock().script.clear();
        rounds += 1;
    }
    let mut process = backend.spawn_with(&world, "direct", &exactly);
    let arrived = eventually(Duration::from_secs(60), || backend.has(&answered));
    assert_eq!(process.terminate(), Some(0));
    let counts = backend.counts();
    let lost = answered.iter().filter(|id| !counts.contains_key(*id)).count();
    assert!(arrived, "{lost} of {} are lost", answered.len());
    let doubled: Vec<_> = counts.iter().filter(|(_, count)| **count > 1).collect();
    assert!(doubled.is_empty(), "{doubled:?}");
    let created = backend.fake.state.lock().created;
    println!("{rounds} rounds, {} answered 200, {} stored, {created} streams", answered.len(), counts.len());
}

/// `exactly_once`: killed when the old stream is finalized and the next one is being created, twice.
#[test]
fn kill_dash_nine_between_two_streams_doubles_nothing() {
    let (world, backend) = (World::new(), Backend::start());
    let exactly = [("APP_CONFIG__WRITERS__BQ__EXACTLY_ONCE", "true")];
    let mut process = backend.spawn_with(&world, "direct", &exactly);
    assert!(send(process.public, "e0"));
    assert!(eventually(Duration::from_secs(20), || backend.fake.ids() == ["e0"]));
    // Stored, and nobody is told: only the count of the stream can tell.
    backend.fake.script([Act::StoreAndClose(Code::ResourceExhausted, "quota")]);
    backend.fake.state.lock().holds_creations = true;
    let mut answered: HashSet<_> = (1..9).map(|n| format!("e{n}")).collect();
    assert!(answered.iter().all(|id| send(process.public, id)));
    let held = |calls| eventually(Duration::from_secs(20), || backend.fake.state.lock().held_creations >= calls);
    assert!(held(1), "no stream is created");
    let finalized =
        |backend: &Backend| backend.fake.state.lock().streams.values().filter(|stream| stream.finalized).count();
    assert_eq!(finalized(&backend), 1);
    process.kill();
    let before = backend.fake.state.lock().held_creations;
    let mut process = backend.spawn_with(&world, "direct", &exactly);
    assert!(held(before + 1), "no stream is created after the first end");
    process.kill();
    // The calls of the dead go nowhere.
    backend.fake.cut();
    backend.fake.state.lock().holds_creations = false;
    // Were it asked again, the old stream would not tell.
    backend.fake.state.lock().finalizes_once = true;
    let mut process = backend.spawn_with(&world, "direct", &exactly);
    answered.insert("e0".to_owned());
    assert!(eventually(Duration::from_secs(60), || backend.has(&answered)), "{}", world.log());
    assert_eq!(process.terminate(), Some(0));
    let counts = backend.counts();
    assert!(counts.len() == 9 && counts.values().all(|count| *count == 1), "{counts:?}");
}

/// A writer that stands still keeps nobody waiting, and its lag is told; afterwards it catches up.
#[test]
fn a_blocked_writer_never_stalls_the_other() {
    let (world, backend) = (World::new(), Backend::start());
    backend.fake.state.lock().datasets.clear();
    let mut process = backend.spawn(&world, r#"["local","direct"]"#);
    let ids: HashSet<_> = (0..50).map(|n| format!("e{n}")).collect();
    assert!(ids.iter().all(|id| send(process.public, id)));
    assert!(eventually(Duration::from_secs(20), || world.ids_in_lake().len() == 50), "the lake has to wait");
    let admin = process.admin;
    assert_eq!(metric(admin, r#"real_streaming_sink_blocked{sink="direct"}"#), Some(1.0));
    assert_eq!(metric(admin, r#"real_streaming_sink_blocked{sink="local"}"#), Some(0.0));
    let lag = || metric(admin, r#"real_streaming_sink_lag_seconds{sink="direct"}"#).unwrap();
    assert!(eventually(Duration::from_secs(20), || lag() > 1.0), "{}", lag());
    assert_eq!(metric(admin, r#"real_streaming_events_in_spool{sink="direct",stream="1"}"#), Some(50.0));
    assert!(world.log().contains("data set `p:d` does not exist"), "{}", world.log());
    // Events are kept, so they may come; who asks is told all the same.
    let ready = get(admin, "/readyz").unwrap();
    assert_eq!((ready.status, ready.text().lines().next()), (200, Some("ready")));
    assert!(ready.text().contains("sink `direct` is not prepared"), "{}", ready.text());

    // The spool remembers for each writer how far it is.
    process.kill();
    backend.fake.state.lock().datasets.insert("p/d".into());
    let mut process = backend.spawn(&world, r#"["local","direct"]"#);
    assert!(eventually(Duration::from_secs(30), || backend.has(&ids)));
    assert_eq!(process.terminate(), Some(0));
    assert_eq!(world.ids_in_lake().values().filter(|count| **count == 1).count(), 50);
}

/// Resident memory of a process in KiB: now, and the most it ever was.
fn memory(process: &Process) -> (u64, u64) {
    let status = std::fs::read_to_string(format!("/proc/{}/status", process.child.id())).unwrap();
    let value = |name: &str| {
        let line = status.lines().find(|line| line.starts_with(name)).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    };
    (value("VmRSS:"), value("VmHWM:"))
}

/// Case 30: a peer that takes connections and reads nothing. Answers are as quick as ever until the spool is full, and
/// memory holds what may be in flight, however much waits.
#[test]
fn a_server_that_reads_nothing_fills_the_spool_and_then_answers_503() {
    /// What may be in flight, twice: as rows and as requests. Allocators keep some more.
    const IN_FLIGHT: usize = 64 << 20;
    const SPOOL: usize = 192 << 20;
    let (mut world, backend) = (World::new(), Backend::start());
    world.spool_size = "192MiB";
    backend.fake.state.lock().keep = Keep::Moments;
    let deaf = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", deaf.local_addr().unwrap());
    thread::spawn(move || deaf.incoming().collect::<Vec<_>>());
    let mut process = backend.spawn_with(&world, "direct", &[("BIGQUERY_STORAGE_GRPC_ENDPOINT", &endpoint)]);
    let params: Vec<_> = (0..10).map(|n| format!(r#""p{n}":"{}""#, "x".repeat(4_000))).collect();
    let params = params.join(",");
    let (mut answered, mut sent, mut early, mut slowest) = (0, 0, None, Duration::ZERO);
    let refused = loop {
        let events: Vec<_> = (answered..answered + EVENTS)
            .map(|n| format!(r#"{{"event_name":"e","event_id":"f{n}","params":{{{params}}}}}"#))
            .collect();
        let body = format!("[{}]", events.join(","));
        let begun = Instant::now();
        // An answer that waits for the sink never comes, and the client's patience ends the test.
        let answer = post(process.public, "/api/v1/streaming/1", &body).unwrap();
        slowest = slowest.max(begun.elapsed());
        if answer.status != 200 {
            break answer;
        }
        answered += EVENTS;
        sent += body.len();
        assert!(sent < 2 * SPOOL, "the spool is never full");
        if early.is_none() && sent >= IN_FLIGHT {
            early = Some(memory(&process).0);
        }
    };
    assert_eq!((refused.status, refused.header("retry-after").is_some()), (503, true));
    assert!(sent > SPOOL / 2, "refused with {sent} bytes in {SPOOL}");
    assert!(slowest < Duration::from_secs(5), "{slowest:?}");
    let (early, (late, peak)) = (early.unwrap(), memory(&process));
    println!(
        "{answered} events of {sent} bytes, {early} KiB early, {late} KiB late, {peak} KiB at most, slowest {slowest:?}"
    );
    // Between both looks, twice as much came as may be in flight: none of it may be in memory.
    assert!(late < early + (48 << 10), "{early} KiB, then {late} KiB");
    assert!(peak < 200 << 10, "{peak} KiB");
    process.kill();
    let mut process = backend.spawn(&world, "direct");
    let distinct = || backend.fake.state.lock().tally.distinct();
    assert!(eventually(Duration::from_secs(120), || distinct() == answered), "{} of {answered}", distinct());
    assert_eq!(process.terminate(), Some(0));
}

/// Events of a request that is nearly as large as may be.
const EVENTS: u64 = 6;

/// Case 43: names that nobody knows when the process starts. It starts, keeps what comes, and says what is wrong.
#[test]
fn a_name_that_nobody_knows_at_the_start_is_waited_out() {
    let (world, backend) = (World::new(), Backend::start());
    let nobody = "http://no-such-host.invalid:1";
    let right = format!("http://{}", backend.fake.rest);
    let mut ids = HashSet::new();
    for (case, rest) in [("both", nobody), ("grpc", &*right)] {
        let before = world.log().len();
        let endpoints = [("BIGQUERY_STORAGE_GRPC_ENDPOINT", nobody), ("BIGQUERY_EMULATOR_HOST", rest)];
        let mut process = backend.spawn_with(&world, "direct", &endpoints);
        assert!(send(process.public, case), "events are kept meanwhile");
        ids.insert(case.to_owned());
        let told = || world.log().split_off(before).contains("dns error");
        assert!(eventually(Duration::from_secs(30), told), "{}", world.log());
        assert_eq!(process.terminate(), Some(1), "something is left");
    }
    let mut process = backend.spawn(&world, "direct");
    assert!(eventually(Duration::from_secs(30), || backend.has(&ids)));
    assert_eq!(process.terminate(), Some(0));
}

/// Case 10: partitions exist from some years ago to a year ahead, and clocks of clients are set as they are.
#[test]
fn a_clock_that_is_years_off_moves_no_row_to_an_impossible_day() {
    let (world, backend) = (World::new(), Backend::start());
    let mut process = backend.spawn(&world, "direct");
    let times = [
        ("past", "1"),
        ("future", "4102444800000000"),
        ("least", "-9223372036854775808"),
        ("most", "9223372036854775807"),
    ];
    for (id, micros) in times {
        let body = format!(r#"{{"event_name":"e","event_id":"{id}","timestamp_micros":{micros}}}"#);
        assert_eq!(post(process.public, "/api/v1/streaming/1", &body).unwrap().status, 200, "{id}");
    }
    let ids = times.map(|(id, _)| id.to_owned()).into();
    assert!(eventually(Duration::from_secs(30), || backend.has(&ids)), "{}", world.log());
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    let today = (now.as_secs() / 86_400) as i32;
    for row in backend.fake.rows() {
        let day = row.columns.get_field_by_name("date").unwrap().as_i32().unwrap();
        // Events may be three days late; streams have time zones.
        assert!((today - 4..=today + 1).contains(&day), "{} is of day {day}, and today is {today}", row.id);
    }
    assert_eq!(process.terminate(), Some(0));
}

/// Case 11: text that is no text, from the request to the table.
#[test]
fn lone_surrogates_and_bytes_that_are_no_text_arrive_replaced() {
    let (world, backend) = (World::new(), Backend::start());
    let mut process = backend.spawn(&world, "direct");
    let event = |id: &str, value: &[u8]| {
        [br#"{"event_name":"e","event_id":""#, id.as_bytes(), br#"","user_id":"a"#, value, br#"z"}"#].concat()
    };
    for (id, value) in
        [("lone", &br"\ud800"[..]), ("pair", br"\ud83d\ude00"), ("bytes", b"\xff\xfe"), ("nul", br"\u0000")]
    {
        let mut client = Client::connect(process.public);
        let body = event(id, value);
        let head = format!("POST /api/v1/streaming/1 HTTP/1.1\r\nhost: a\r\ncontent-length: {}\r\n\r\n", body.len());
        client.send([head.as_bytes(), &body].concat());
        assert_eq!(client.answer(false).status, 200, "{id}");
    }
    let ids = ["lone", "pair", "bytes", "nul"].map(str::to_owned).into();
    assert!(eventually(Duration::from_secs(30), || backend.has(&ids)));
    let arrived: BTreeMap<_, _> = backend
        .fake
        .rows()
        .into_iter()
        .map(|row| (row.id, row.columns.get_field_by_name("user_id").unwrap().as_str().unwrap().to_owned()))
        .collect();
    let text = |id: &str| &*arrived[id];
    assert_eq!([text("lone"), text("pair"), text("nul")], ["a\u{fffd}z", "a😀z", "a\u{fffd}z"]);
    assert!(text("bytes").starts_with("a\u{fffd}") && text("bytes").ends_with('z'), "{arrived:?}");
    assert_eq!(process.terminate(), Some(0));
}

/// Case 44: with a backend that hangs the process ends all the same, says so, and the next one delivers.
#[test]
fn sigterm_waits_for_a_healthy_backend_and_not_for_one_that_hangs() {
    let (world, backend) = (World::new(), Backend::start());
    let mut process = backend.spawn(&world, "direct");
    assert!(send(process.public, "first"));
    let begun = Instant::now();
    assert_eq!(process.terminate(), Some(0), "nothing is left");
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    assert_eq!(backend.fake.ids(), ["first"], "also when the end came before the batch was full");
    assert!(world.log().contains("stopped, everything delivered"), "{}", world.log());

    let mut process = backend.spawn(&world, "direct");
    backend.fake.script([Act::Silent]);
    let ids: HashSet<_> = (0..20).map(|n| format!("e{n}")).collect();
    assert!(ids.iter().all(|id| send(process.public, id)));
    // The answer never comes: that it ends at all is what is to be shown, and before somebody else ends it.
    let begun = Instant::now();
    assert_eq!(process.terminate(), Some(1), "something is left");
    assert!(begun.elapsed() < Duration::from_secs(12), "{:?}", begun.elapsed());
    assert!(world.log().contains("stopped; the next start delivers"), "{}", world.log());

    let mut process = backend.spawn(&world, "direct");
    assert!(eventually(Duration::from_secs(60), || backend.has(&ids)));
    assert_eq!(process.terminate(), Some(0));
}

/// `collect.ack: delivered`: the lake gathers rows for longer than a process that is to end waits for its requests, and
/// those who wait are answered well all the same.
#[test]
fn sigterm_lets_requests_that_wait_for_the_lake_end_well() {
    let world = World::new();
    let mut process = world.spawn_with(&[("APP_CONFIG__COLLECT__ACK", "delivered")]);
    let (addr, admin) = (process.public, process.admin);
    let clients: Vec<_> = (0..8).map(|n| thread::spawn(move || send(addr, &format!("e{n}")))).collect();
    let received = || metric(admin, "real_streaming_events_received").is_some_and(|received| received == 8.0);
    assert!(eventually(Duration::from_secs(20), received));
    assert_eq!(process.terminate(), Some(0));
    assert!(clients.into_iter().all(|client| client.join().unwrap()), "{}", world.log());
    assert!(!world.log().contains("requests were cut off"), "{}", world.log());
    assert_eq!(world.ids_in_lake().values().sum::<usize>(), 8);
}

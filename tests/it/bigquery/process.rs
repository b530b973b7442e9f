//! The whole binary between browsers and BigQuery: killed, stopped, and with a writer that stands still.

use std::{
    collections::{HashMap, HashSet},
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
    client::{get, post},
    fakes::bigquery::{Act, BigQuery},
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
    let doubled = counts.values().filter(|count| **count > 1).count();
    println!("{round} rounds, {} answered 200, {doubled} stored more than once", answered.len());
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

/// Case 30: a peer that takes connections and reads nothing. Answers are as quick as ever until the spool is full.
#[test]
fn a_server_that_reads_nothing_fills_the_spool_and_then_answers_503() {
    let (mut world, backend) = (World::new(), Backend::start());
    world.spool_size = "1MB";
    let deaf = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", deaf.local_addr().unwrap());
    thread::spawn(move || deaf.incoming().collect::<Vec<_>>());
    let mut process = backend.spawn_with(&world, "direct", &[("BIGQUERY_STORAGE_GRPC_ENDPOINT", &endpoint)]);
    let filler = "x".repeat(3_000);
    let mut answered = HashSet::new();
    let refused = (0..2_000).find_map(|n| {
        let body = format!(r#"{{"event_name":"e","event_id":"f{n}","params":{{"filler":"{filler}"}}}}"#);
        // An answer that waits for the sink never comes, and the client's patience ends the test.
        let answer = post(process.public, "/api/v1/streaming/1", &body).unwrap();
        if answer.status != 200 {
            return Some(answer);
        }
        answered.insert(format!("f{n}"));
        None
    });
    let refused = refused.expect("a spool of 1 MB is full before 6 MB are in it");
    assert_eq!((refused.status, refused.header("retry-after").is_some()), (503, true));
    let status = std::fs::read_to_string(format!("/proc/{}/status", process.child.id())).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    let peak: u64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    assert!(peak < 300 << 10, "{line}");
    process.kill();
    let mut process = backend.spawn(&world, "direct");
    assert!(eventually(Duration::from_secs(30), || backend.has(&answered)));
    assert_eq!(process.terminate(), Some(0));
}

/// Case 44: with a backend that hangs the process ends all the same, says so, and the next one delivers.
#[test]
fn sigterm_waits_for_a_healthy_backend_and_not_for_one_that_hangs() {
    let (world, backend) = (World::new(), Backend::start());
    let mut process = backend.spawn(&world, "direct");
    assert!(send(process.public, "first"));
    assert_eq!(process.terminate(), Some(0), "nothing is left");
    assert_eq!(backend.fake.ids(), ["first"], "also when the end came before the batch was full");
    assert!(world.log().contains("stopped, everything delivered"), "{}", world.log());

    let mut process = backend.spawn(&world, "direct");
    backend.fake.script([Act::Silent]);
    let ids: HashSet<_> = (0..20).map(|n| format!("e{n}")).collect();
    assert!(ids.iter().all(|id| send(process.public, id)));
    // The answer never comes: that it ends at all is what is to be shown.
    assert_eq!(process.terminate(), Some(1), "something is left");
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

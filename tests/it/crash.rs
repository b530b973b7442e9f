//! What got a 200 is in the lake exactly once, whatever kills the process, and the books of the next one say so.

use std::{
    collections::HashSet,
    fs::File,
    net::SocketAddr,
    path::Path,
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use crate::{
    books::settle,
    client::{Client, get, post},
    world::{Process, World, eventually, signal},
};

/// Worlds side by side: most of a round is waiting for a batch to become due.
const LANES: u64 = 5;
/// Rounds of each.
const ROUNDS: u64 = 6;
const CLIENTS: usize = 2;

/// Answers that are worth a kill.
const ENOUGH: usize = 10;

/// Posts events until told to stop or cut off; the ids that were answered 200. They are counted in `count`.
fn client(
    addr: SocketAddr,
    stream: usize,
    name: String,
    stop: Arc<AtomicBool>,
    count: Arc<AtomicUsize>,
) -> Vec<String> {
    let mut answered = Vec::new();
    for n in 0.. {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let id = format!("{name}-{n}");
        match post(addr, &format!("/api/v1/streaming/{stream}"), &body(&id, n)) {
            Ok(response) if response.status == 200 => {
                answered.push(id);
                count.fetch_add(1, Ordering::Relaxed);
            }
            Ok(response) => assert_eq!(response.status, 503, "{}", response.text()),
            Err(_) => break,
        }
    }
    answered
}

/// One event; every fifth time with another that has no name and is dropped.
fn body(id: &str, n: usize) -> String {
    let event = format!(r#"{{"event_name":"crash","event_id":"{id}","params":{{"n":{n}}}}}"#);
    if n.is_multiple_of(5) { format!(r#"[{event},{{"event_id":"nameless"}}]"#) } else { event }
}

/// Sends events to the process and kills it meanwhile; the ids that were answered 200.
fn kill_under_load(process: &mut Process, round: u64) -> Vec<String> {
    let (stop, count) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let clients: Vec<_> = (0..CLIENTS)
        .map(|c| {
            let (addr, stop, count) = (process.public, stop.clone(), count.clone());
            thread::spawn(move || client(addr, c, format!("r{round}-c{c}"), stop, count))
        })
        .collect();
    // The moment of death is what the test is about: spread over 20 to 900 ms, the same in every run; later only on a
    // machine that is too slow to have something to lose by then.
    thread::sleep(Duration::from_millis(20 + (round * 7_919) % 880));
    let enough = eventually(Duration::from_secs(60), || count.load(Ordering::Relaxed) >= ENOUGH);
    assert!(enough, "round {round}: {count:?} answers in a minute");
    if round.is_multiple_of(3) {
        // Told to stop, it writes into the lake at once: killed somewhere around that, every third time.
        stop.store(true, Ordering::Relaxed);
        signal(&process.child, "TERM");
        thread::sleep(Duration::from_millis(round * 37 % 700));
    }
    process.kill();
    stop.store(true, Ordering::Relaxed);
    clients.into_iter().flat_map(|client| client.join().unwrap()).collect()
}

/// Kills one process after the other; returns how many events were answered 200.
fn lane(lane: u64) -> usize {
    let world = World::new();
    let mut answered = HashSet::new();
    let mut process = world.spawn();
    for round in (lane..).step_by(LANES as usize).take(ROUNDS as usize) {
        answered.extend(kill_under_load(&mut process, round));
        if round % 3 == 1 {
            // Killed again while it starts, recovers, or has just done so.
            let mut process = world.launch(&[]);
            thread::sleep(Duration::from_millis(round * 97 % 600));
            process.kill();
        }

        let before = world.rows_in_lake();
        process = world.spawn();
        let id = format!("settled-{round}");
        assert_eq!(post(process.public, "/api/v1/streaming/0", &body(&id, 0)).unwrap().status, 200);
        answered.insert(id);
        let books = settle(&world, process.admin, &before).account("local", "0");
        assert_eq!((books.received, books.dropped, books.dead_lettered), (2, 1, 0), "round {round}");

        let in_lake = world.ids_in_lake();
        let lost: Vec<_> = answered.iter().filter(|id| !in_lake.contains_key(*id)).collect();
        let doubled: Vec<_> = in_lake.iter().filter(|(_, count)| **count > 1).collect();
        assert!(lost.is_empty(), "round {round}: {} lost, among them {:?}", lost.len(), &lost[..lost.len().min(5)]);
        assert!(doubled.is_empty(), "round {round}: {} doubled, {:?}", doubled.len(), &doubled[..doubled.len().min(5)]);
    }
    assert_eq!(process.terminate(), Some(0), "a drained process exits with 0");
    answered.len()
}

#[test]
fn kill_dash_nine_loses_and_doubles_nothing() {
    let lanes: Vec<_> = (0..LANES).map(|number| thread::spawn(move || lane(number))).collect();
    let answered: usize = lanes.into_iter().map(|lane| lane.join().expect("its own words are above")).sum();
    println!("{} rounds: {answered} answered 200", LANES * ROUNDS);
}

#[test]
fn a_second_process_on_the_same_lake_says_so_and_leaves() {
    let world = World::new();
    let mut first = world.spawn();
    let other_spool = world.dir.path().join("other-spool");
    let spool = |directory: &Path| directory.display().to_string();
    let yaml = world.yaml("127.0.0.1:0", "127.0.0.1:0").replace(&spool(&world.spool()), &spool(&other_spool));
    let path = world.dir.path().join("second.yaml");
    std::fs::write(&path, yaml).unwrap();
    let log = File::create(world.dir.path().join("second.log")).unwrap();
    let mut second = Command::new(env!("CARGO_BIN_EXE_real-streaming"))
        .args(["serve", "--config"])
        .arg(&path)
        .current_dir(world.dir.path())
        .stderr(log)
        .spawn()
        .unwrap();
    let left = eventually(Duration::from_secs(60), || matches!(second.try_wait(), Ok(Some(_))));
    let _ = second.kill();
    let said = std::fs::read_to_string(world.dir.path().join("second.log")).unwrap();
    assert!(left, "it stays: {said}");
    assert_eq!(second.wait().unwrap().code(), Some(1), "{said}");
    let lake = world.data().display().to_string();
    assert!(said.contains(&format!("another process writes into the lake `{lake}`, hint: ")), "{said}");

    assert_eq!(post(first.public, "/api/v1/streaming/1", r#"{"event_name":"e"}"#).unwrap().status, 200);
    assert_eq!(first.terminate(), Some(0));
    assert_eq!(world.ids_in_lake().len(), 1);
}

#[test]
fn sigterm_drains_and_exits_zero() {
    let world = World::new();
    let mut process = world.spawn();
    for n in 0..50 {
        let body = format!(r#"{{"event_name":"e","event_id":"t-{n}"}}"#);
        assert_eq!(post(process.public, "/api/v1/streaming/1", &body).unwrap().status, 200);
    }
    assert_eq!(process.terminate(), Some(0));
    assert_eq!(world.ids_in_lake().len(), 50);
}

#[test]
fn readiness_fails_before_the_process_is_gone() {
    let world = World::new();
    let mut process = world.spawn();
    assert!(eventually(Duration::from_secs(5), || get(process.admin, "/readyz").is_ok_and(|r| r.status == 200)));
    // A request whose body never ends keeps the process in its grace period.
    let mut held = Client::connect(process.public);
    held.send(
        "POST /api/v1/streaming/1 HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{",
    );
    assert!(eventually(Duration::from_secs(5), || {
        get(process.admin, "/metrics").is_ok_and(|metrics| metrics.status == 200)
    }));
    signal(&process.child, "TERM");
    assert!(eventually(Duration::from_secs(5), || get(process.admin, "/readyz").is_ok_and(|r| r.status == 503)));
    drop(held);
    assert!(eventually(Duration::from_secs(20), || matches!(process.child.try_wait(), Ok(Some(_)))));
}

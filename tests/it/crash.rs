//! What got a 200 is in the lake exactly once, whatever kills the process.

use std::{
    collections::HashSet,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use crate::{
    client::{Client, get, post},
    world::{World, eventually, signal},
};

const ROUNDS: u64 = 30;
const CLIENTS: usize = 4;

/// Posts single events until told to stop or cut off; the ids that were answered 200.
fn client(addr: std::net::SocketAddr, name: String, stop: Arc<AtomicBool>) -> Vec<String> {
    let mut answered = Vec::new();
    for n in 0.. {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let id = format!("{name}-{n}");
        let body = format!(r#"{{"event_name":"crash","event_id":"{id}","params":{{"n":{n}}}}}"#);
        match post(addr, "/api/v1/streaming/1", &body) {
            Ok(response) if response.status == 200 => answered.push(id),
            Ok(response) => assert_eq!(response.status, 503, "{}", response.text()),
            Err(_) => break,
        }
    }
    answered
}

#[test]
fn kill_dash_nine_loses_and_doubles_nothing() {
    let world = World::new();
    let mut answered = HashSet::new();
    let mut written_before_the_end = false;
    for round in 0..ROUNDS {
        let mut process = world.spawn();
        let stop = Arc::new(AtomicBool::new(false));
        let clients: Vec<_> = (0..CLIENTS)
            .map(|c| {
                let (addr, stop) = (process.public, stop.clone());
                thread::spawn(move || client(addr, format!("r{round}-c{c}"), stop))
            })
            .collect();
        // The moment of death is what the test is about: spread over 20 to 900 ms, the same in every run.
        let alive = Duration::from_millis(20 + (round * 7_919) % 880);
        thread::sleep(alive);
        if round % 3 == 0 {
            // Told to stop, it writes into the lake at once: killed in the middle of that, every third time.
            stop.store(true, Ordering::Relaxed);
            signal(&process.child, "TERM");
            thread::sleep(Duration::from_millis(round * 37 % 700));
        }
        process.kill();
        written_before_the_end |= !world.ids_in_lake().is_empty();
        stop.store(true, Ordering::Relaxed);
        for client in clients {
            answered.extend(client.join().unwrap());
        }
    }
    let mut process = world.spawn();
    assert_eq!(process.terminate(), Some(0), "a drained process exits with 0");

    let in_lake = world.ids_in_lake();
    let lost: Vec<_> = answered.iter().filter(|id| !in_lake.contains_key(*id)).collect();
    let doubled: Vec<_> = in_lake.iter().filter(|(_, count)| **count > 1).collect();
    println!("{ROUNDS} kills: {} answered 200, {} in the lake", answered.len(), in_lake.len());
    assert!(written_before_the_end, "no kill came after the lake had been written to");
    assert!(answered.len() > 500, "the load was too thin to prove anything: {}", answered.len());
    assert!(lost.is_empty(), "{} lost, among them {:?}", lost.len(), &lost[..lost.len().min(5)]);
    assert!(doubled.is_empty(), "{} doubled, among them {:?}", doubled.len(), &doubled[..doubled.len().min(5)]);
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

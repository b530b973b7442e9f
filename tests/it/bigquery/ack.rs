//! Answers that wait for the destinations: `collect.ack: delivered`.

use std::{collections::HashSet, net::SocketAddr, thread, time::Duration};

use super::process::{Backend, metric};
use crate::{
    client::{Answer, Client, request},
    fakes::bigquery::Act,
    world::{World, eventually},
};

const STREAM: &str = "/api/v1/streaming/1";

fn body(id: &str) -> String {
    format!(r#"{{"event_name":"e","event_id":"{id}"}}"#)
}

/// By the express lane.
fn plain(addr: SocketAddr, id: &str) -> Answer {
    let mut client = Client::connect(addr);
    let body = body(id);
    client.send(format!("POST {STREAM} HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n{body}", body.len()));
    client.answer(false)
}

/// Past it.
fn unusual(addr: SocketAddr, id: &str) -> Answer {
    request(addr, "POST", STREAM, &[("Expect", "")], body(id).as_bytes()).unwrap()
}

fn delivered(deadline: &str) -> [(&str, &str); 2] {
    [("APP_CONFIG__COLLECT__ACK", "delivered"), ("APP_CONFIG__COLLECT__ACK_DEADLINE", deadline)]
}

#[test]
fn a_200_comes_after_the_append_in_both_lanes() {
    let (world, backend) = (World::new(), Backend::start());
    let mut process = backend.spawn_with(&world, "direct", &delivered("15s"));
    for (name, lane) in [("plain", plain as fn(SocketAddr, &str) -> Answer), ("unusual", unusual)] {
        backend.fake.script([Act::Delay(Duration::from_millis(300))]);
        let answer = lane(process.public, name);
        assert_eq!((answer.status, answer.text()), (200, r#"{"status":"ok"}"#), "{name}");
        assert!(answer.header("set-cookie").is_some());
        // The stand-in stores before it answers, and nothing is answered before that.
        assert_eq!(backend.counts().get(name), Some(&1), "{name}");
    }
    // Many at once share the append.
    let addr = process.public;
    let clients: Vec<_> =
        (0..60).map(|n| thread::spawn(move || (plain(addr, &format!("many{n}")).status, n))).collect();
    for client in clients {
        let (status, n) = client.join().unwrap();
        assert_eq!((status, backend.counts().get(&format!("many{n}"))), (200, Some(&1)), "{n}");
    }
    assert!(backend.fake.seen().len() < 40, "{}", backend.fake.seen().len());
    // Where nothing is kept, nothing is waited for.
    assert_eq!(request(process.public, "POST", STREAM, &[], b"{").unwrap().status, 400);
    assert_eq!(process.terminate(), Some(0));
}

#[test]
fn what_is_late_is_answered_503_and_delivered_all_the_same() {
    let (world, backend) = (World::new(), Backend::start());
    let mut process = backend.spawn_with(&world, "direct", &delivered("700ms"));
    backend.fake.script([Act::Silent]);
    for (name, lane) in [("plain", plain as fn(SocketAddr, &str) -> Answer), ("unusual", unusual)] {
        let answer = lane(process.public, name);
        assert_eq!(answer.status, 503, "{name}");
        assert!(answer.header("retry-after").is_some());
        assert!(answer.text().contains(r#""code":"undelivered""#), "{}", answer.text());
    }
    assert_eq!(backend.counts().len(), 0);
    backend.fake.cut();
    let ids = HashSet::from(["plain".to_owned(), "unusual".to_owned()]);
    assert!(eventually(Duration::from_secs(30), || backend.has(&ids)));
    assert_eq!(backend.counts().values().copied().collect::<Vec<_>>(), [1, 1]);
    // A retry is another row with the same id, which is how it is told.
    assert!(eventually(Duration::from_secs(30), || plain(process.public, "plain").status == 200));
    assert!(backend.counts()["plain"] > 1);
    assert_eq!(process.terminate(), Some(0));
}

#[test]
fn at_the_end_of_the_process_it_is_said_that_it_was_in_vain() {
    let (world, backend) = (World::new(), Backend::start());
    let mut process = backend.spawn_with(&world, "direct", &delivered("20s"));
    assert_eq!(plain(process.public, "before").status, 200);
    backend.fake.script([Act::Silent]);
    let addr = process.public;
    let waiting = [("plain", plain as fn(SocketAddr, &str) -> Answer), ("unusual", unusual)]
        .map(|(name, lane)| thread::spawn(move || lane(addr, name)));
    // They are in the spool: the stand-in has seen a request of theirs.
    assert!(eventually(Duration::from_secs(20), || backend.fake.seen().len() > 1));
    let sum = || metric(process.admin, "real_streaming_events_received").is_some_and(|sum| sum == 3.0);
    assert!(eventually(Duration::from_secs(20), sum));
    assert_eq!(process.terminate(), Some(1), "what nobody has taken stays in the spool");
    for client in waiting {
        let answer = client.join().unwrap();
        assert!(answer.status == 503 && answer.text().contains(r#""code":"undelivered""#), "{}", answer.text());
        assert!(answer.header("retry-after").is_some());
    }
    assert!(!world.log().contains("requests were cut off"), "{}", world.log());
}

#[test]
fn every_writer_has_to_have_it() {
    let (world, backend) = (World::new(), Backend::start());
    backend.fake.state.lock().datasets.clear();
    let strategy = r#"["local","direct"]"#;
    let mut process = backend.spawn_with(&world, strategy, &delivered("20s"));
    let addr = process.public;
    let waiting = thread::spawn(move || plain(addr, "e").status);
    assert!(eventually(Duration::from_secs(30), || world.ids_in_lake().len() == 1));
    assert!(!waiting.is_finished(), "the other has it, this one has not");
    backend.fake.state.lock().datasets.insert("p/d".into());
    assert_eq!(waiting.join().unwrap(), 200);
    assert_eq!((backend.counts().get("e"), world.ids_in_lake().get("e")), (Some(&1), Some(&1)));
    assert_eq!(process.terminate(), Some(0));
}

/// A row that no destination will ever take is kept where somebody finds it: there is nothing to try again.
#[test]
fn a_dead_letter_is_an_end_as_well() {
    let (world, backend) = (World::new(), Backend::start());
    let mut process = backend.spawn_with(&world, "direct", &delivered("20s"));
    let bad = r#"{"event_name":"bad","event_id":"b"}"#;
    assert_eq!(plain(process.public, "good").status, 200);
    assert_eq!(request(process.public, "POST", STREAM, &[], bad.as_bytes()).unwrap().status, 200);
    assert_eq!(backend.counts().len(), 1);
    assert_eq!(process.terminate(), Some(0));
}

//! One process follows another, over the same sockets, and no request is lost.

use std::{
    net::{SocketAddr, TcpListener},
    os::{fd::OwnedFd, unix::net::UnixDatagram},
    process::{Command, Stdio},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use crate::{
    client::{Client, PATIENCE, get, post},
    world::{Process, World, eventually, signal, until},
};

const STREAM: &str = "/api/v1/streaming/1";

/// Visitors who ask all the time, on connections that they keep and on new ones.
struct Load {
    over: Arc<AtomicBool>,
    asked: Arc<AtomicUsize>,
    /// Events that were answered 200.
    taken: Arc<Mutex<Vec<String>>>,
    threads: Vec<JoinHandle<()>>,
}

impl Load {
    fn on(public: SocketAddr) -> Load {
        let mut load = Load { over: Arc::default(), asked: Arc::default(), taken: Arc::default(), threads: Vec::new() };
        for visitor in 0..4 {
            let (over, asked, taken) = (load.over.clone(), load.asked.clone(), load.taken.clone());
            load.threads.push(thread::spawn(move || {
                let mut kept: Option<Client> = None;
                for round in 0.. {
                    if over.load(Ordering::Relaxed) {
                        return;
                    }
                    let mut client = kept.take().unwrap_or_else(|| Client::connect(public));
                    let id = format!("v{visitor}-{round}");
                    // Chunked ones and pages are Pingora's, the others the express lane's.
                    let request = match round % 3 {
                        0 => "GET /page HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(),
                        which => {
                            let event = format!(r#"{{"event_name":"e","event_id":"{id}"}}"#);
                            let length = event.len();
                            let body = match which {
                                1 => format!("Content-Length: {length}\r\n\r\n{event}"),
                                _ => format!("Transfer-Encoding: chunked\r\n\r\n{length:x}\r\n{event}\r\n0\r\n\r\n"),
                            };
                            format!("POST {STREAM} HTTP/1.1\r\nHost: a\r\n{body}")
                        }
                    };
                    client.send(&request);
                    let answer = client.answer(false);
                    assert_eq!(answer.status, 200, "{}", answer.text());
                    if round % 3 != 0 {
                        taken.lock().unwrap().push(id);
                    }
                    asked.fetch_add(1, Ordering::Relaxed);
                    let stays = answer.header("connection") != Some("close");
                    kept = Some(client).filter(|_| stays && (visitor + round) % 5 != 0);
                    thread::sleep(Duration::from_millis(2));
                }
            }));
        }
        load
    }

    /// Waits until so many more requests have been answered.
    fn goes_on(&self, more: usize) {
        let before = self.asked.load(Ordering::Relaxed);
        until("requests are answered", || (self.asked.load(Ordering::Relaxed) >= before + more).then_some(()));
    }

    fn end(self) -> Vec<String> {
        self.over.store(true, Ordering::Relaxed);
        for thread in self.threads {
            thread.join().expect("no visitor met an error");
        }
        Arc::into_inner(self.taken).unwrap().into_inner().unwrap()
    }
}

/// A second process over the configuration of the first, as far as it waits for that.
fn successor(world: &World, before: &Process) -> Process {
    let lines = || world.log().matches("waiting for the process before this one").count();
    let known = lines();
    let child = world.serve(&["--upgrade"]).spawn().unwrap();
    let process = Process { child, public: before.public, admin: before.admin };
    until("the new process waits", || (lines() > known).then_some(()));
    process
}

fn exit_code(process: &mut Process) -> Option<i32> {
    assert!(eventually(PATIENCE, || process.has_ended()), "it does not end");
    process.child.wait().unwrap().code()
}

#[test]
fn what_changes_while_the_new_process_waits_is_taken_by_it() {
    let world = World::new();
    let mut old = world.spawn();
    let new = successor(&world, &old);
    let path = world.dir.path().join("process.yaml");
    let yaml = std::fs::read_to_string(&path).unwrap();
    let route = "routes: [ { path: /late, respond: { body: late } },";
    std::fs::write(&path, yaml.replace("routes: [", route)).unwrap();
    signal(&old.child, "QUIT");
    assert_eq!(exit_code(&mut old), Some(0));
    until("the new route", || get(new.public, "/late").ok().filter(|answer| answer.text() == "late"));
}

#[test]
fn an_upgrade_under_load_loses_no_request_and_no_event() {
    let world = World::new();
    let mut process = world.spawn();
    let load = Load::on(process.public);
    // A stream that begins with one process and goes on while the other serves already.
    let mut streaming = Client::connect(process.public);
    streaming.send("GET /events HTTP/1.1\r\nHost: a\r\nAccept: text/event-stream\r\n\r\n");
    streaming.head();
    assert_eq!(streaming.chunk(), b"data: 0\n\n");
    load.goes_on(50);
    for round in 0..2 {
        let next = successor(&world, &process);
        load.goes_on(20);
        signal(&process.child, "QUIT");
        let told = || world.log().matches("another process has taken over").count();
        until("the old process has given everything away", || (told() > round).then_some(()));
        load.goes_on(50);
        if round == 0 {
            assert!(!process.has_ended(), "somebody is still served");
            for number in 1..3 {
                world.site.more.send(()).unwrap();
                assert_eq!(streaming.chunk(), format!("data: {number}\n\n").as_bytes());
            }
            world.site.more.send(()).unwrap();
            assert!(streaming.chunk().is_empty());
        }
        assert_eq!(exit_code(&mut process), Some(0), "{}", world.log());
        assert!(get(next.admin, "/readyz").unwrap().text().starts_with("ready"));
        process = next;
    }
    let taken = load.end();
    assert_eq!(process.terminate(), Some(0));
    let lake = world.ids_in_lake();
    assert!(taken.len() > 100, "{}", taken.len());
    for id in &taken {
        assert_eq!(lake.get(id), Some(&1), "{id}: {}", world.log());
    }
    assert_eq!(lake.len(), taken.len(), "nothing else is there");
    assert!(!world.log().contains("ERROR"), "{}", world.log());
}

#[test]
fn whoever_cannot_take_over_changes_nothing() {
    let world = World::new();
    let mut process = world.spawn();
    signal(&process.child, "QUIT");
    until("nobody waits", || world.log().contains("no process waits at").then_some(()));
    assert_eq!(get(process.public, "/").unwrap().status, 200);

    // One that ends while it waits.
    let mut next = successor(&world, &process);
    next.kill();
    signal(&process.child, "QUIT");
    until("nobody waits any more", || (world.log().matches("this process goes on").count() == 2).then_some(()));

    // One that has met the old one, and then cannot listen where it should.
    let path = world.dir.path().join("process.yaml");
    let good = std::fs::read_to_string(&path).unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let bad = good.replace(&process.admin.to_string(), &taken.local_addr().unwrap().to_string());
    std::fs::write(&path, bad).unwrap();
    let mut next = successor(&world, &process);
    signal(&process.child, "QUIT");
    assert_eq!(exit_code(&mut next), Some(1));
    until("it goes on", || (world.log().matches("this process goes on").count() == 3).then_some(()));

    assert_eq!(post(process.public, STREAM, r#"{"event_name":"e","event_id":"still"}"#).unwrap().status, 200);
    assert_eq!(process.terminate(), Some(0));
    assert_eq!(world.ids_in_lake().len(), 1);
}

#[test]
fn when_the_old_process_is_killed_in_the_middle_the_new_one_has_all() {
    let world = World::new();
    let mut process = world.spawn();
    assert_eq!(post(process.public, STREAM, r#"{"event_name":"e","event_id":"before"}"#).unwrap().status, 200);
    // It would wait for this one for a minute.
    let mut streaming = Client::connect(process.public);
    streaming.send("GET /events HTTP/1.1\r\nHost: a\r\n\r\n");
    streaming.head();
    let mut next = successor(&world, &process);
    signal(&process.child, "QUIT");
    until("both serve", || (world.log().matches("admin listener").count() == 2).then_some(()));
    process.kill();
    let id = r#"{"event_name":"e","event_id":"after"}"#;
    assert_eq!(post(next.public, STREAM, id).unwrap().status, 200);
    assert_eq!(next.terminate(), Some(0));
    let mut ids: Vec<_> = world.ids_in_lake().into_iter().collect();
    ids.sort();
    assert_eq!(ids, [("after".to_owned(), 1), ("before".to_owned(), 1)]);
}

#[test]
fn while_the_old_process_cannot_deliver_events_wait_and_are_kept() {
    let world = World::new();
    std::fs::create_dir_all(world.data()).unwrap();
    std::fs::write(world.data().join("events"), "in the way").unwrap();
    let mut process = world.spawn();
    assert_eq!(post(process.public, STREAM, r#"{"event_name":"e","event_id":"before"}"#).unwrap().status, 200);
    let mut next = successor(&world, &process);
    signal(&process.child, "QUIT");
    until("both serve", || (world.log().matches("admin listener").count() == 2).then_some(()));
    until("the old one accepts no more", || get(process.admin, "/readyz").ok().filter(|it| it.text().contains("wait")));
    // As long as the drain of the old one takes, which ends at its deadline.
    assert_eq!(post(process.public, STREAM, r#"{"event_name":"e","event_id":"meanwhile"}"#).unwrap().status, 200);
    assert_eq!(get(process.public, "/").unwrap().status, 200);
    assert_eq!(exit_code(&mut process), Some(0), "what is left is the new one's");
    std::fs::remove_file(world.data().join("events")).unwrap();
    until("both are in the lake", || (world.ids_in_lake().len() == 2).then_some(()));
    assert_eq!(next.terminate(), Some(0));
    assert!(world.ids_in_lake().values().all(|times| *times == 1), "{:?}", world.ids_in_lake());
}

#[test]
fn after_a_hand_over_sigterm_ends_the_wait_for_streams() {
    let world = World::new();
    let mut process = world.spawn();
    let mut streaming = Client::connect(process.public);
    streaming.send("GET /events HTTP/1.1\r\nHost: a\r\n\r\n");
    streaming.head();
    let _next = successor(&world, &process);
    signal(&process.child, "QUIT");
    until("it waits for the stream", || world.log().contains("another process has taken over").then_some(()));
    thread::sleep(Duration::from_millis(100));
    assert!(!process.has_ended());
    assert_eq!(process.terminate(), Some(0));
    assert!(world.log().contains("requests were cut off requests=1"), "{}", world.log());
}

#[test]
fn whoever_interrupts_twice_does_not_wait() {
    let world = World::new();
    let mut process = world.spawn_with(&[("APP_CONFIG__SERVER__SHUTDOWN__GRACE", "60s")]);
    let mut streaming = Client::connect(process.public);
    streaming.send("GET /events HTTP/1.1\r\nHost: a\r\n\r\n");
    streaming.head();
    signal(&process.child, "INT");
    until("told once", || world.log().contains("once more to stop at once").then_some(()));
    thread::sleep(Duration::from_millis(100));
    assert!(!process.has_ended());
    signal(&process.child, "INT");
    assert_eq!(exit_code(&mut process), Some(130));
}

#[test]
fn a_hang_up_while_the_process_starts_does_not_end_it() {
    let world = World::new();
    let process = world.spawn();
    let mut next = successor(&world, &process);
    signal(&next.child, "HUP");
    thread::sleep(Duration::from_millis(100));
    assert!(!next.has_ended());
    signal(&process.child, "QUIT");
    until("heard, as soon as it serves", || world.log().contains("SIGHUP: reading").then_some(()));
}

/// The real binary with a listening socket as systemd passes it.
fn activated(world: &World, socket: &TcpListener, notify: &std::path::Path) -> std::process::Child {
    let mut command = Command::new("sh");
    let script = r#"exec 3<&0 </dev/null; LISTEN_PID=$$ LISTEN_FDS=1 exec "$@""#;
    command.args(["-c", script, "sh", env!("CARGO_BIN_EXE_real-streaming"), "serve", "--config"]);
    command.arg(world.dir.path().join("process.yaml")).env("NOTIFY_SOCKET", notify);
    world.in_the_log(&mut command);
    command.stdin(Stdio::from(OwnedFd::from(socket.try_clone().unwrap()))).spawn().unwrap()
}

#[test]
fn a_service_manager_keeps_the_socket_over_a_restart() {
    let world = World::new();
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let public = socket.local_addr().unwrap();
    let write = |listen: &str| {
        std::fs::write(world.dir.path().join("process.yaml"), world.yaml(listen, "127.0.0.1:0")).unwrap();
    };
    write(&public.to_string());
    let notify = world.dir.path().join("notify");
    let manager = UnixDatagram::bind(&notify).unwrap();
    manager.set_read_timeout(Some(PATIENCE)).unwrap();
    let told = |what: &str| {
        let mut said = [0; 200];
        let length = manager.recv(&mut said).unwrap();
        let said = String::from_utf8_lossy(&said[..length]).into_owned();
        assert!(said.contains(what), "{said}");
    };
    let mut process = Process { child: activated(&world, &socket, &notify), public, admin: public };
    told("READY=1");
    assert_eq!(get(public, "/").unwrap().status, 200);
    assert_eq!(process.terminate(), Some(0));
    told("STOPPING=1");

    // While nobody is there visitors wait.
    let waiting = thread::spawn(move || get(public, "/").unwrap().status);
    thread::sleep(Duration::from_millis(50));
    let begun = Instant::now();
    let mut process = Process { child: activated(&world, &socket, &notify), public, admin: public };
    told("READY=1");
    assert_eq!(waiting.join().unwrap(), 200, "after {:?}", begun.elapsed());
    assert_eq!(process.terminate(), Some(0));
    told("STOPPING=1");

    write("127.0.0.1:0");
    let mut process = Process { child: activated(&world, &socket, &notify), public, admin: public };
    assert_eq!(exit_code(&mut process), Some(1));
    let why = format!("the service manager passes a socket for `{public}`, on which nothing listens");
    assert!(world.log().contains(&why), "{}", world.log());
}

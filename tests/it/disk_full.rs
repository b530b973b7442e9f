//! A disk that runs full. The spool's: 503 instead of a lie. The lake's: events go on being kept. Either way, everything
//! answered 200 is delivered once there is room again.

use std::{fs::File, io::Write, net::SocketAddr, path::Path, process::Command, time::Duration};

use crate::{
    books::{Counts, settle},
    client::{get, post},
    world::{World, eventually, skip},
};

/// A small file system of its own, unmounted when dropped. `None` where this process may not mount.
struct Tmpfs<'a>(&'a Path);

impl<'a> Tmpfs<'a> {
    fn mount(at: &'a Path, size: &str) -> Option<Tmpfs<'a>> {
        std::fs::create_dir_all(at).unwrap();
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs"])
            .arg(at)
            .output()
            .is_ok_and(|output| output.status.success());
        mounted.then_some(Tmpfs(at))
    }
}

impl Drop for Tmpfs<'_> {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.0).status();
    }
}

#[test]
fn a_full_disk_is_refused_and_heals() {
    let world = World::new();
    let spool = world.spool();
    let Some(_disk) = Tmpfs::mount(&spool, "4m") else {
        skip("this user may not mount a tmpfs, no disk runs full");
        return;
    };
    let ballast = spool.join("ballast");
    let mut process = world.spawn();
    std::fs::write(&ballast, vec![0u8; 3 << 20]).unwrap();

    let filler = "x".repeat(3_500);
    let (mut answered, mut refused) = (0usize, 0usize);
    for n in 0..2_000 {
        let body = format!(r#"{{"event_name":"e","event_id":"d-{n}","params":{{"filler":"{filler}"}}}}"#);
        match post(process.public, "/api/v1/streaming/1", &body).unwrap().status {
            200 => answered += 1,
            503 => refused += 1,
            other => panic!("answered {other}"),
        }
        if refused >= 5 {
            break;
        }
    }
    assert!(refused >= 5, "the disk never ran full: {answered} answered 200");

    std::fs::remove_file(&ballast).unwrap();
    let healed = eventually(Duration::from_secs(20), || {
        let response =
            post(process.public, "/api/v1/streaming/1", r#"{"event_name":"e","event_id":"healed"}"#).unwrap();
        response.status == 200
    });
    assert!(healed, "still refusing after there is room again");

    let books = settle(&world, process.admin, &Counts::new()).account("local", "1");
    assert!(books.received > answered as i64 && books.recovered == 0, "{answered} answered 200: {books:?}");
    // What the process does not know any more, the disk does.
    process.kill();
    let before = world.rows_in_lake();
    let mut process = world.spawn();
    assert_eq!(post(process.public, "/api/v1/streaming/2", r#"{"event_name":"e"}"#).unwrap().status, 200);
    let books = settle(&world, process.admin, &before);
    assert_eq!(books.account("local", "2").delivered, 1);
    assert_eq!(process.terminate(), Some(0));

    let in_lake = world.ids_in_lake();
    let kept = in_lake.keys().filter(|id| id.starts_with("d-")).count();
    assert!(kept >= answered, "{answered} answered 200, {kept} in the lake");
    assert!(in_lake.contains_key("healed"));
    assert!(in_lake.values().all(|count| *count == 1), "a row is doubled");
}

/// Writes until there is no room.
fn fill(path: &Path) {
    let mut file = File::create(path).unwrap();
    while file.write_all(&[0; 4096]).is_ok() {}
}

/// Failed attempts of the lake so far.
fn retries(admin: SocketAddr) -> u64 {
    let metrics = get(admin, "/metrics").unwrap();
    let metrics = metrics.text();
    let line =
        metrics.lines().find_map(|line| line.strip_prefix(r#"real_streaming_batches_retried_total{sink="local"} "#));
    line.map_or(0, |count| count.parse().unwrap())
}

#[test]
fn a_lake_without_room_holds_nobody_up_and_gets_everything_once() {
    let world = World::new();
    let lake = world.data();
    let Some(_disk) = Tmpfs::mount(&lake, "8m") else {
        skip("this user may not mount a tmpfs, no lake runs full");
        return;
    };
    let mut process = world.spawn();
    assert!(eventually(Duration::from_secs(20), || lake.join("events").exists()));
    let ballast = lake.join("ballast");
    fill(&ballast);

    let mut sent = 0;
    let mut send = |to: SocketAddr, count: usize| {
        for _ in 0..count {
            let body = format!(r#"{{"event_name":"e","event_id":"l-{sent}"}}"#);
            let response = post(to, &format!("/api/v1/streaming/{}", sent % 2), &body).unwrap();
            assert_eq!(response.status, 200, "{}", response.text());
            sent += 1;
        }
    };
    send(process.public, 40);
    assert!(
        eventually(Duration::from_secs(60), || retries(process.admin) >= 3),
        "the lake has no room, and no trouble"
    );
    let log = world.log();
    assert!(log.contains("delivery failed") && log.contains("No space left on device"), "{log}");
    let metrics = get(process.admin, "/metrics").unwrap();
    let metrics = metrics.text();
    assert!(!metrics.contains("real_streaming_sink_lag_seconds{sink=\"local\"} 0.0\n"), "rows wait: {metrics}");
    assert_eq!(get(process.admin, "/readyz").unwrap().status, 200, "events are kept, so they may come");
    send(process.public, 20);
    assert_eq!(world.rows_in_lake(), Counts::new());

    // Killed with nothing delivered and no room to start with, it keeps and takes events all the same.
    process.kill();
    let mut process = world.spawn();
    send(process.public, 20);
    assert!(
        eventually(Duration::from_secs(60), || retries(process.admin) >= 3),
        "the lake has no room, and no trouble"
    );
    let none = || world.unfinished().is_empty();
    assert!(eventually(Duration::from_secs(20), none), "a failed write leaves {:?}", world.unfinished());
    assert_eq!(world.rows_in_lake(), Counts::new());

    std::fs::remove_file(&ballast).unwrap();
    let books = settle(&world, process.admin, &Counts::new());
    for stream in ["0", "1"] {
        let account = books.account("local", stream);
        assert_eq!((account.recovered, account.received, account.delivered), (30, 10, 40), "stream {stream}");
    }
    assert_eq!(process.terminate(), Some(0));
    let in_lake = world.ids_in_lake();
    assert_eq!(in_lake.len(), sent);
    assert!(in_lake.values().all(|count| *count == 1), "a row is doubled: {in_lake:?}");
    assert_eq!(world.unfinished(), [""; 0]);
}

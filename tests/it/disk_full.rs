//! A disk that runs full: 503 instead of a lie, and everything answered 200 is delivered once there is room again.

use std::{path::Path, process::Command, time::Duration};

use crate::{
    client::post,
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
    assert_eq!(process.terminate(), Some(0));

    let in_lake = world.ids_in_lake();
    let kept = in_lake.keys().filter(|id| id.starts_with("d-")).count();
    assert!(kept >= answered, "{answered} answered 200, {kept} in the lake");
    assert!(in_lake.contains_key("healed"));
    assert!(in_lake.values().all(|count| *count == 1), "a row is doubled");
}

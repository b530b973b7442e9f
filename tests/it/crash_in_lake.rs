//! Kills that provably fall inside a write into the lake, and inside a merge's exchange of folders. The lake's own
//! staging folder is the proof: what is still there when the process is dead was not finished.

use std::{
    collections::BTreeMap,
    fs, thread,
    time::{Duration, Instant},
};

use real_streaming::{
    deliver::{
        Position,
        sinks::lake::{FileName, Lake},
    },
    schema::{Date, Encode, Event, proto::event::RsInfo},
};

use crate::{
    books::settle,
    client::post,
    world::{Process, World, eventually, parquet_files, signal},
};

/// Kills that have to hit.
const HITS: usize = 2;
/// Kills that may. One of two hits on a busy machine.
const TRIES: usize = 20;

/// Waits until `there` says yes, looking as often as the machine lets us. `false` when the process ended before.
fn spot(process: &mut Process, there: impl Fn() -> bool) -> bool {
    let deadline = Instant::now() + Duration::from_secs(60);
    let mut looks = 0u32;
    while Instant::now() < deadline {
        if there() {
            return true;
        }
        looks += 1;
        if looks.is_multiple_of(100) && process.has_ended() {
            return false;
        }
        thread::sleep(Duration::from_micros(50));
    }
    false
}

/// Sends a thousand events, numbered from `first` on, and has them answered 200.
fn send(process: &Process, first: usize) {
    for start in (first..first + 1_000).step_by(100) {
        let events: Vec<_> =
            (start..start + 100).map(|n| format!(r#"{{"event_name":"e","event_id":"w-{n}"}}"#)).collect();
        let response = post(process.public, "/api/v1/streaming/1", &format!("[{}]", events.join(","))).unwrap();
        assert_eq!(response.status, 200, "{}", response.text());
    }
}

#[test]
fn a_kill_inside_a_write_into_the_lake_loses_and_doubles_nothing() {
    let world = World::new();
    let writes = || world.unfinished().iter().any(|name| name.starts_with("write-"));
    let (mut sent, mut spotted, mut hits, mut tries) = (0, 0, 0, 0);
    while hits < HITS && tries < TRIES {
        let mut process = world.spawn();
        send(&process, sent);
        sent += 1_000;
        // Told to stop, it writes at once.
        signal(&process.child, "TERM");
        spotted += usize::from(spot(&mut process, writes));
        process.kill();
        tries += 1;
        if !writes() {
            continue;
        }
        hits += 1;
        let before = world.rows_in_lake();
        let mut process = world.spawn();
        let account = settle(&world, process.admin, &before).account("local", "1");
        assert!(account.recovered >= 1_000, "the killed write was of rows the spool still has: {account:?}");
        assert!(eventually(Duration::from_secs(60), || world.unfinished().is_empty()), "{:?}", world.unfinished());
        process.kill();
    }
    println!("{tries} kills, {spotted} writes spotted, {hits} kills inside of one");
    assert_eq!(hits, HITS, "of {tries} kills, {spotted} upon seeing an unfinished file, {hits} left one behind");
    once(&world, "w-", sent);
}

#[test]
fn a_kill_between_a_write_into_the_lake_and_its_commit_loses_and_doubles_nothing() {
    let world = World::new();
    let files = || parquet_files(&world.data().join("events")).len();
    let (mut sent, mut tries, mut came_again) = (0, 0, 0);
    while came_again == 0 && tries < TRIES {
        let (mut process, known) = (world.spawn(), files());
        send(&process, sent);
        sent += 1_000;
        // Left to itself, it writes when the batch is due, and the cursor a moment later.
        spot(&mut process, || files() > known);
        process.kill();
        tries += 1;

        let before = world.rows_in_lake();
        let mut process = world.spawn();
        // In another batch than before: the same one would only be written over itself.
        send(&process, sent);
        sent += 1_000;
        let account = settle(&world, process.admin, &before).account("local", "1");
        came_again = account.delivered - (world.rows_in_lake()["1"] - before.get("1").unwrap_or(&0));
        process.kill();
        once(&world, "w-", sent);
    }
    println!("{tries} kills, after the last {came_again} rows came again");
    assert!(came_again > 0, "of {tries} kills upon seeing a new file, none came before the commit");
}

#[test]
fn a_kill_inside_a_merges_exchange_loses_and_doubles_nothing() {
    let world = World::new();
    let files = || parquet_files(&world.data().join("events")).len();
    let staged = |suffix| world.data().join(format!(".staging/day=2024-10-04.{suffix}"));
    let (mut rows, mut bystanders, mut spotted, mut tries) = (0, 0, 0, 0);
    // First while the next folder is being built; then when it is complete, which may pass too fast to be caught.
    let (mut building, mut built) = (0, 0);
    while building == 0 && tries < TRIES || built == 0 && tries < TRIES / 2 {
        // The day is over, so any two small files are merged as soon as a process has started.
        let lake = Lake::new(&world.data(), 0xfeed, Position::MAX);
        lake.prepare().unwrap();
        for _ in 0..3 {
            lake.write(DAY, &[(rows, event(rows)), (rows + 1, event(rows + 1))]).unwrap();
            rows += 2;
        }
        let parts: Vec<_> = lake.files(DAY).unwrap().into_iter().map(|(name, _)| name).collect();
        let merged = FileName::merged(&parts).unwrap().to_string();
        // Whatever else lies in the folder stays, and each file takes time to link: the more of them, the longer.
        for _ in 0..2_000 {
            fs::write(lake.folder(DAY).join(format!("bystander-{bystanders}")), "").unwrap();
            bystanders += 1;
        }

        let sign = if building == 0 { staged("next") } else { staged("next").join(&merged) };
        let mut process = world.launch(&[]);
        spotted += usize::from(spot(&mut process, || sign.exists()));
        process.kill();
        tries += 1;
        if staged("next").exists() {
            // Complete, or already the old day's folder.
            let complete = staged("next").join(&merged).exists() || files() < parts.len();
            *if complete { &mut built } else { &mut building } += 1;
        }
        // On a file system that cannot exchange folders, the day may be aside until the next start.
        if !staged("aside").exists() {
            once(&world, "m-", rows as usize);
        }

        let mut process = world.spawn();
        let done = eventually(Duration::from_secs(60), || files() == 1 && world.unfinished().is_empty());
        process.kill();
        assert!(done, "the next process has not done it over: {:?}", world.unfinished());
        once(&world, "m-", rows as usize);
        assert_eq!(fs::read_dir(lake.folder(DAY)).unwrap().count(), bystanders + 1, "files that are nobody's stay");
    }
    println!("{tries} kills, {spotted} exchanges spotted, {building} kills while building, {built} when built");
    assert!(building + built > 0, "of {tries} kills, {spotted} upon seeing the next folder, none left it behind");

    let before = world.rows_in_lake();
    let mut process = world.spawn();
    assert_eq!(post(process.public, "/api/v1/streaming/1", r#"{"event_name":"e"}"#).unwrap().status, 200);
    let account = settle(&world, process.admin, &before).account("local", "1");
    assert_eq!((account.received, account.recovered, account.delivered), (1, 0, 1));
    assert_eq!(process.terminate(), Some(0));
}

const DAY: Date = Date(20_000);

fn event(position: Position) -> bytes::Bytes {
    let rs_info = Some(RsInfo { event_id: Some(format!("m-{position}").into()), ..RsInfo::default() });
    Event { date: Some(DAY.0), stream_id: Some("old".into()), rs_info, ..Event::default() }.encode_to_vec().into()
}

/// The lake has events `<prefix>0` to `<prefix><count - 1>`, each once, and no others.
#[track_caller]
fn once(world: &World, prefix: &str, count: usize) {
    let found: BTreeMap<_, _> = world.ids_in_lake().into_iter().collect();
    let expected: BTreeMap<_, _> = (0..count).map(|n| (format!("{prefix}{n}"), 1)).collect();
    let lost = expected.keys().find(|id| !found.contains_key(*id));
    let wrong = found.iter().find(|(id, count)| expected.get(*id) != Some(count));
    assert!(found == expected, "{} of {count} are there; lost {lost:?}, wrong {wrong:?}", found.len());
}

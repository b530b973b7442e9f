//! `real-streaming backfill`: what lies in the lake, into the table.

use std::{
    io::{BufRead, BufReader, Read},
    process::{Child, Command, Output, Stdio},
    thread,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use super::process::Backend;
use crate::{
    client::post,
    fakes::bigquery::Act,
    world::{World, eventually},
};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// A lake with so many rows of today, and the first and the last day of them: at midnight there are two.
fn lake(world: &World, rows: usize) -> (String, String) {
    lake_of_days(world, rows, 1)
}

/// The same with rows of so many days up to today, in turns.
fn lake_of_days(world: &World, rows: usize, days: usize) -> (String, String) {
    let mut process = world.spawn();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    for first in (0..rows).step_by(100) {
        let events: Vec<_> = (first..(first + 100).min(rows))
            .map(|n| {
                let at = (now - DAY * (n % days) as u32).as_micros();
                let params = format!(r#"{{"n":{n},"t":"x{n}","z":0}}"#);
                format!(r#"{{"event_name":"e","event_id":"b{n}","event_timestamp":{at},"params":{params}}}"#)
            })
            .collect();
        let answer = post(process.public, "/api/v1/streaming/1", &format!("[{}]", events.join(","))).unwrap();
        assert_eq!(answer.status, 200, "{}", answer.text());
    }
    assert_eq!(process.terminate(), Some(0));
    let mut days: Vec<_> = std::fs::read_dir(world.data().join("events"))
        .unwrap()
        .filter_map(|entry| entry.unwrap().file_name().to_str()?.strip_prefix("day=").map(str::to_owned))
        .collect();
    days.sort();
    (days[0].clone(), days.pop().unwrap())
}

fn start(world: &World, backend: &Backend, from: &str, to: &str) -> Child {
    start_into("partitioned", world, backend, from, to)
}

fn start_into(layout: &str, world: &World, backend: &Backend, from: &str, to: &str) -> Child {
    let path = world.dir.path().join("backfill.yaml");
    std::fs::write(&path, world.yaml("127.0.0.1:0", "127.0.0.1:0")).unwrap();
    Command::new(env!("CARGO_BIN_EXE_real-streaming"))
        .args(["backfill", "--from", from, "--to", to, "--config"])
        .arg(&path)
        .envs([
            ("APP_CONFIG__WRITERS__PROJECT_ID", "p"),
            ("APP_CONFIG__WRITERS__BQ__DATASET_ID", "d"),
            ("APP_CONFIG__WRITERS__BQ__TABLE_ID", "events"),
            ("APP_CONFIG__WRITERS__BQ__TABLE_LAYOUT", layout),
            ("BIGQUERY_STORAGE_GRPC_ENDPOINT", &format!("http://{}", backend.fake.grpc)),
            ("BIGQUERY_EMULATOR_HOST", &format!("http://{}", backend.fake.rest)),
            ("RUST_LOG", "off"),
        ])
        .current_dir(world.dir.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

fn run(world: &World, backend: &Backend, from: &str, to: &str) -> (Option<i32>, String) {
    let Output { status, stderr, .. } = start(world, backend, from, to).wait_with_output().unwrap();
    (status.code(), String::from_utf8(stderr).unwrap())
}

#[test]
fn the_lake_comes_into_the_table_once_and_only_once() {
    let (world, backend) = (World::new(), Backend::start());
    let (first, last) = lake(&world, 250);
    let (code, said) = run(&world, &backend, &first, &last);
    assert_eq!((code, said.lines().last().unwrap()), (Some(0), "done: 250 rows"), "{said}");
    let counts = backend.counts();
    assert_eq!((counts.len(), counts.values().max()), (250, Some(&1)));
    let row = backend.fake.rows().into_iter().find(|row| row.id == "b7").unwrap().columns;
    assert_eq!(row.get_field_by_name("event_name").unwrap().as_str(), Some("e"));
    let params = row.get_field_by_name("event_params").unwrap().into_owned();
    assert!(params.as_list().unwrap().len() >= 3);

    let (code, said) = run(&world, &backend, &first, &last);
    assert!(code == Some(0) && said.contains("done before: 250 rows"), "{said}");
    assert_eq!(backend.fake.ids().len(), 250);
    assert_eq!(world.ids_in_lake().len(), 250, "the lake is as it was");

    for (from, to, code, words) in [
        ("2001-01-01", "2001-01-02", 1, "has no rows of these days"),
        ("2001-01-02", "2001-01-01", 2, "is after"),
        ("yesterday", "2001-01-01", 2, "a day is written YYYY-MM-DD"),
    ] {
        let (ended, said) = run(&world, &backend, from, to);
        assert!(ended == Some(code) && said.contains(words), "{ended:?} {said}");
    }
}

#[test]
fn a_backfill_that_is_killed_goes_on_where_it_was() {
    killed_again_and_again("partitioned", 1);
}

#[test]
fn one_into_a_table_for_each_day_does_so_too() {
    let tables = killed_again_and_again("sharded", 3);
    assert!(tables >= 3, "{tables}");
}

/// How many tables there are in the end.
fn killed_again_and_again(layout: &str, days: usize) -> usize {
    let (world, backend) = (World::new(), Backend::start());
    let (first, last) = lake_of_days(&world, 6_000, days);
    let mut random = fastrand::Rng::with_seed(3);
    let mut halfway = 0;
    for round in 0.. {
        assert!(round < 60, "it never ends");
        if round == 0 {
            // Some rows are there, the others on their way.
            backend.fake.script([Act::Delay(Duration::ZERO), Act::Delay(Duration::from_secs(10))]);
        } else {
            // The longer it lasts, the better it can be killed.
            backend.fake.script((0..random.usize(1..4)).map(|n| match n {
                0 => Act::Delay(Duration::from_millis(300)),
                1 => Act::StoreAndClose(tonic::Code::Unavailable, "gone"),
                _ => Act::StoreAndClose(tonic::Code::PermissionDenied, "for a moment"),
            }));
        }
        let mut child = start_into(layout, &world, &backend, &first, &last);
        if round == 0 {
            assert!(eventually(Duration::from_secs(20), || !backend.fake.ids().is_empty()));
            let _ = child.kill();
        } else if round < 8 {
            thread::sleep(Duration::from_millis(random.u64(150..700)));
            let _ = child.kill();
        }
        let output = child.wait_with_output().unwrap();
        backend.fake.state.lock().script.clear();
        if output.status.success() {
            break;
        }
        halfway += usize::from((1..6_000).contains(&backend.counts().len()));
    }
    assert!(halfway > 0, "no kill came between two rows");
    let counts = backend.counts();
    let doubled: Vec<_> = counts.iter().filter(|(_, count)| **count > 1).take(5).collect();
    assert!(doubled.is_empty(), "{doubled:?}");
    assert_eq!(counts.len(), 6_000);
    backend.fake.state.lock().tables.len()
}

#[test]
fn two_backfills_of_the_same_days_do_not_run_at_once() {
    let (world, backend) = (World::new(), Backend::start());
    let (first, last) = lake(&world, 20);
    let folder = world.data().join(format!("backfill/{first}_{last}"));
    let links = folder.join("files.new");
    std::fs::create_dir_all(&links).unwrap();
    let lock = std::fs::File::create(folder.join("lock")).unwrap();
    lock.lock().unwrap();
    let (code, said) = run(&world, &backend, &first, &last);
    assert!(code == Some(1) && said.contains("in another process"), "{code:?} {said}");
    assert!(links.is_dir() && !folder.join("progress").exists(), "what the other one makes is left alone");
    drop(lock);
    let (code, said) = run(&world, &backend, &first, &last);
    assert_eq!((code, said.lines().last().unwrap()), (Some(0), "done: 20 rows"), "{said}");
    assert_eq!(backend.counts().len(), 20);
}

#[test]
fn a_backfill_that_is_told_to_stop_says_how_far_it_is() {
    let (world, backend) = (World::new(), Backend::start());
    let (first, last) = lake(&world, 50);
    backend.fake.state.lock().datasets.clear();
    let mut child = start(&world, &backend, &first, &last);
    let mut stderr = BufReader::new(child.stderr.take().unwrap());
    let mut said = String::new();
    while !said.contains("data set `p:d` does not exist") {
        assert!(stderr.read_line(&mut said).unwrap() > 0, "{said}");
    }
    crate::world::signal(&child, "TERM");
    stderr.read_to_string(&mut said).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(1), "{said}");
    assert!(said.contains("stopped: 0 of 50 rows delivered"), "{said}");
    backend.fake.state.lock().datasets.insert("p/d".into());
    let (code, said) = run(&world, &backend, &first, &last);
    assert_eq!((code, said.lines().last().unwrap()), (Some(0), "done: 50 rows"), "{said}");
    assert_eq!(backend.counts().len(), 50);
}

//! How many appends a second the spool takes, and what one costs the processor. `cargo bench --bench spool`; set
//! `TMPDIR` to the disk in question.
//!
//! Each append carries one row of 800 bytes, from one of 64 tasks that each wait for theirs to be durable, as that many
//! open requests would. A reader follows and commits.

#![allow(clippy::unwrap_used, missing_docs)]

use std::{
    fs,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use divan::{Bencher, counter::ItemsCount};
use real_streaming::{
    deliver::spool::{Config, Durability, Reader, Spool},
    schema::{Date, Row},
};
use tokio::runtime::Runtime;

const APPENDS: u64 = 16_384;

fn main() {
    for (durability, tasks) in [(Durability::Disk, 64), (Durability::Disk, 512), (Durability::Memory, 64)] {
        report(durability, tasks);
    }
    divan::main();
}

fn row(n: u64) -> Row {
    let id = format!("{n:036}");
    Row::from_parts(Date(20_000), "shop".into(), &id, &vec![n as u8; 800])
}

struct World {
    spool: Spool,
    runtime: Runtime,
    _directory: tempfile::TempDir,
}

impl World {
    fn new(durability: Durability) -> World {
        let directory = tempfile::tempdir().unwrap();
        let config = Config { directory: directory.path().join("spool"), durability, ..Config::default() };
        let (spool, readers, _) = Spool::open(&config, &["local"]).unwrap();
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_time().build().unwrap();
        readers.into_iter().for_each(|reader| drop(runtime.spawn(follow(reader))));
        World { spool, runtime, _directory: directory }
    }

    /// Returns when all rows are durable.
    fn append(&self, tasks: u64, appends: u64) {
        let next = Arc::new(AtomicU64::new(0));
        let tasks: Vec<_> = (0..tasks)
            .map(|_| {
                let (spool, next) = (self.spool.clone(), next.clone());
                self.runtime.spawn(async move {
                    loop {
                        let n = next.fetch_add(1, Ordering::Relaxed);
                        if n >= appends {
                            return;
                        }
                        spool.append(vec![row(n)]).await.unwrap();
                    }
                })
            })
            .collect();
        self.runtime.block_on(async {
            for task in tasks {
                task.await.unwrap();
            }
        });
    }
}

async fn follow(mut reader: Reader) {
    loop {
        let rows = reader.next(10_000, 8 << 20).await;
        match rows.last() {
            Some(last) => reader.commit(last.position + 1),
            None => return,
        }
    }
}

/// Time this process has spent on a processor, in user mode and in the kernel.
fn processor_time() -> Duration {
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // Behind the name, which may contain anything: user and system time are fields 14 and 15, in hundredths of a second.
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks = |n: usize| fields.get(n).and_then(|field| field.parse::<u64>().ok()).unwrap_or(0);
    Duration::from_millis((ticks(11) + ticks(12)) * 10)
}

fn report(durability: Durability, tasks: u64) {
    let world = World::new(durability);
    world.append(tasks, 1_000);
    let (wall, processor) = (Instant::now(), processor_time());
    let mut appends = 0;
    while wall.elapsed() < Duration::from_secs(5) {
        world.append(tasks, APPENDS);
        appends += APPENDS;
    }
    let (wall, processor) = (wall.elapsed(), processor_time() - processor);
    let per_append = processor.as_secs_f64() * 1e6 / appends as f64;
    let per_second = appends as f64 / wall.as_secs_f64();
    println!("{durability:?}, {tasks} tasks: {per_second:.0} appends/s, {per_append:.2} us of processor per append");
}

#[divan::bench(args = [64, 512], sample_count = 10, sample_size = 1)]
fn disk(bencher: Bencher, tasks: u64) {
    let world = World::new(Durability::Disk);
    bencher.counter(ItemsCount::new(APPENDS)).bench_local(|| world.append(tasks, APPENDS));
}

#[divan::bench(args = [64], sample_count = 10, sample_size = 1)]
fn memory(bencher: Bencher, tasks: u64) {
    let world = World::new(Durability::Memory);
    bencher.counter(ItemsCount::new(APPENDS)).bench_local(|| world.append(tasks, APPENDS));
}

//! The spool against a list of what was acknowledged: random actions on a simulated disk, two consumers, tiny segments.
//!
//! Checked all along: nothing acknowledged is missing, but for the rows whose bytes were damaged on purpose; every consumer
//! sees positions grow and rows in the order of appending; a position means one row for ever; damage is counted exactly
//! as long as the power stays on, and never over-counted.

mod action;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    path::Path,
    time::Duration,
};

use proptest::{collection::vec, prelude::*};

use self::action::{Action, action};
use super::{Limits, Reader, Recovery, Spool, SpoolFull, frame, log::Rows, segment, sim::Sim};
use crate::{
    deliver::{Position, Spooled},
    schema::{Date, Row},
};

const CONSUMERS: [&str; 2] = ["local", "direct"];
const LIMITS: Limits = Limits {
    max_size: 60_000,
    segment: 2_000,
    cursor_pace: Duration::from_millis(1),
    probe_pace: Duration::from_millis(1),
    sync_pause: Duration::ZERO,
};

/// Longest wait for a row that must come, on a machine with much else to do.
const PATIENCE: Duration = Duration::from_secs(10);

type Tag = u64;

#[derive(Default)]
struct Consumer {
    /// Read and committed, at some time.
    done: BTreeSet<Tag>,
    /// Read since the spool was opened or rewound, and not committed.
    got: BTreeMap<Position, Tag>,
    committed: Position,
    last: Option<Position>,
}

struct World {
    sim: Sim,
    spool: Spool,
    readers: Vec<Reader>,
    consumers: [Consumer; 2],
    /// Tags of rows by the round they were appended in.
    rounds: HashMap<Tag, u64>,
    round: u64,
    acknowledged: BTreeSet<Tag>,
    damaged: BTreeSet<Position>,
    damaged_tags: BTreeSet<Tag>,
    positions: HashMap<Tag, Position>,
    tags: HashMap<Position, Tag>,
    power_was_cut: bool,
}

fn open(sim: &Sim) -> (Spool, Vec<Reader>, Recovery) {
    Spool::on(std::sync::Arc::new(sim.clone()), Path::new("sim"), None, LIMITS, &CONSUMERS).expect("the disk works")
}

fn contents(tag: Tag) -> Vec<u8> {
    vec![tag as u8; (tag * 37 % 700) as usize]
}

impl World {
    fn new() -> World {
        let sim = Sim::default();
        let (spool, readers, recovery) = open(&sim);
        assert_eq!(recovery.damaged, 0);
        World {
            sim,
            spool,
            readers,
            consumers: Default::default(),
            rounds: HashMap::new(),
            round: 0,
            acknowledged: BTreeSet::new(),
            damaged: BTreeSet::new(),
            damaged_tags: BTreeSet::new(),
            positions: HashMap::new(),
            tags: HashMap::new(),
            power_was_cut: false,
        }
    }

    fn rows(&mut self, count: usize) -> (Vec<Tag>, Vec<Row>) {
        let tags: Vec<Tag> = (0..count as u64).map(|n| self.rounds.len() as u64 + n).collect();
        self.rounds.extend(tags.iter().map(|tag| (*tag, self.round)));
        let row = |tag: &Tag| Row::from_parts(Date(9), "shop".into(), &tag.to_string(), &contents(*tag));
        (tags.clone(), tags.iter().map(row).collect())
    }

    async fn append(&mut self, sizes: &[usize]) {
        self.round += 1;
        let appends: Vec<_> = sizes.iter().map(|&count| self.rows(count)).collect();
        let waiting: Vec<_> = appends
            .into_iter()
            .map(|(tags, rows)| {
                let spool = self.spool.clone();
                (tags, tokio::spawn(async move { spool.append(rows).await }))
            })
            .collect();
        for (tags, append) in waiting {
            match append.await.expect("an append does not panic") {
                Ok(_) => self.acknowledged.extend(tags),
                Err(SpoolFull::Size | SpoolFull::Disk) => {}
                Err(refusal) => panic!("unexpected: {refusal:?}"),
            }
        }
    }

    fn take(&mut self, index: usize, rows: Vec<Spooled>) {
        let consumer = &mut self.consumers[index];
        for Spooled { position, row } in rows {
            let tag: Tag = row.id().parse().expect("ids are tags");
            assert_eq!(row.bytes()[..], contents(tag), "a row comes back as it was");
            assert!(consumer.last < Some(position), "positions grow");
            let before = consumer.last.and_then(|last| self.tags.get(&last)).map(|tag| self.rounds[tag]);
            assert!(before <= Some(self.rounds[&tag]), "rows come in the order of appending");
            consumer.last = Some(position);
            assert_eq!(*self.tags.entry(position).or_insert(tag), tag, "a position is one row");
            assert_eq!(*self.positions.entry(tag).or_insert(position), position, "a row has one position");
            consumer.got.insert(position, tag);
        }
    }

    fn has_rows(&self, index: usize) -> bool {
        !matches!(self.spool.0.shared.log.lock().rows_from(self.readers[index].position()), Rows::None)
    }

    async fn read(&mut self, index: usize, rows: usize, bytes: usize) {
        if !self.has_rows(index) {
            return;
        }
        let end = self.spool.end();
        let mut patience = Duration::from_millis(50);
        let found = loop {
            let next = self.readers[index].next(rows, bytes);
            if let Ok(found) = tokio::time::timeout(patience, next).await {
                break found;
            }
            // Lost rows at the end leave nothing to return; a row that is known to be there is worth waiting for.
            if (self.readers[index].position()..end).all(|position| !self.tags.contains_key(&position)) {
                return;
            }
            assert!(patience < PATIENCE, "a row that is there is not returned");
            patience *= 4;
        };
        assert!(found.len() <= rows);
        let total: usize = found.iter().map(|spooled| spooled.row.bytes().len()).sum();
        assert!(total <= bytes || found.len() == 1);
        self.take(index, found);
    }

    async fn read_all(&mut self) {
        for (index, name) in CONSUMERS.into_iter().enumerate() {
            while self.has_rows(index) {
                self.read(index, 100, 10_000).await;
            }
            let consumer = &self.consumers[index];
            let has = |tag: &Tag| consumer.done.contains(tag) || consumer.got.values().any(|got| got == tag);
            for tag in self.acknowledged.difference(&self.damaged_tags) {
                assert!(has(tag), "row {tag} was acknowledged and has not reached `{name}`");
            }
            let waiting = consumer.got.range(consumer.committed..).count() as u64;
            assert_eq!(self.spool.pending(name), waiting, "rows are counted");
        }
    }

    fn commit(&mut self, index: usize, percent: u64) {
        let position = self.readers[index].position();
        let consumer = &mut self.consumers[index];
        let upto = consumer.committed + position.saturating_sub(consumer.committed) * percent / 100;
        self.readers[index].commit(upto);
        consumer.committed = consumer.committed.max(upto);
        let rest = consumer.got.split_off(&consumer.committed);
        consumer.done.extend(std::mem::replace(&mut consumer.got, rest).into_values());
    }

    fn rewind(&mut self, index: usize) {
        let consumer = &mut self.consumers[index];
        self.readers[index].rewind(0);
        assert_eq!(self.readers[index].position(), consumer.committed);
        consumer.got.clear();
        consumer.last = consumer.committed.checked_sub(1);
    }

    /// Opens what an end of any kind has left on `sim`.
    fn reopen(&mut self, sim: Sim, orderly: bool) {
        let (id, end) = (self.spool.id(), self.spool.end());
        let (spool, readers, recovery) = open(&sim);
        assert_eq!(spool.id(), id);
        assert!(spool.end() >= end, "positions go on");
        for (index, backlog) in recovery.consumers.iter().enumerate() {
            let consumer = &mut self.consumers[index];
            assert_eq!(backlog.rows(), spool.pending(CONSUMERS[index]));
            if orderly {
                assert!(backlog.position >= consumer.committed, "cursors are written in the end");
            }
            // A row in between that nobody has read is missed when everything is read.
            let mut between = consumer.committed..backlog.position;
            assert!(between.all(|position| !self.tags.contains_key(&position)), "only unused positions are skipped");
            consumer.committed = backlog.position;
            consumer.got.clear();
            consumer.last = backlog.position.checked_sub(1);
        }
        let needed = recovery.consumers.iter().map(|backlog| backlog.position).min().unwrap_or(0);
        let damaged = self.damaged.range(needed..).count() as u64;
        assert!(recovery.damaged <= damaged, "{} counted, {damaged} done", recovery.damaged);
        if !self.power_was_cut {
            assert_eq!(recovery.damaged, damaged);
        }
        (self.sim, self.spool, self.readers) = (sim, spool, readers);
    }

    async fn close(&mut self) {
        self.spool.close().await;
        let (_, rows) = self.rows(1);
        assert_eq!(self.spool.append(rows).await, Err(SpoolFull::Closed));
    }

    async fn kill(&mut self, sizes: &[usize]) {
        self.round += 1;
        let appends: Vec<_> = sizes.iter().map(|&count| self.rows(count)).collect();
        let mut waiting = Vec::new();
        for (tags, rows) in appends {
            let spool = self.spool.clone();
            waiting.push((tags, tokio::spawn(async move { spool.append(rows).await })));
        }
        tokio::task::yield_now().await;
        let left = self.sim.after_exit();
        // After that moment nothing succeeds any more.
        for (tags, append) in waiting {
            if append.await.expect("an append does not panic").is_ok() {
                self.acknowledged.extend(tags);
            }
        }
        self.reopen(left, false);
    }

    async fn power_cut(&mut self, operations: u32, seed: u64) {
        self.sim.cut_power_after(operations);
        for _ in 0..4 {
            self.append(&[2, 1]).await;
        }
        let mut state = seed | 1;
        let left = self.sim.after_power_cut(|n| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) as usize % (n + 1)
        });
        self.power_was_cut = true;
        self.reopen(left, false);
    }

    async fn works_again(&self) {
        for _ in 0..5_000 {
            match self.spool.refusal() {
                Some(SpoolFull::Disk) => tokio::time::sleep(Duration::from_millis(1)).await,
                _ => return,
            }
        }
        panic!("the disk works again and nobody noticed");
    }

    fn flip(&mut self, sim: &Sim, at: prop::sample::Index, mask: u8) {
        let key = self.spool.0.shared.key;
        let segments: Vec<_> =
            sim.files().into_iter().filter(|(name, _)| segment::parse_name(name).is_some()).collect();
        let header = segment::HEADER as usize;
        let total: usize = segments.iter().map(|(_, bytes)| bytes.len() - header).sum();
        if total == 0 {
            return;
        }
        let mut byte = at.index(total);
        for (name, before) in segments {
            let len = before.len() - header;
            if byte >= len {
                byte -= len;
                continue;
            }
            sim.flip(&name, header + byte, mask);
            let mut after = before.clone();
            after[header + byte] ^= mask;
            let rows = |bytes: &[u8]| -> BTreeMap<Position, Row> {
                frame::recover(&bytes[header..], key).rows.into_iter().collect()
            };
            let left = rows(&after);
            for (position, row) in rows(&before) {
                if !left.contains_key(&position) {
                    self.damaged.insert(position);
                    self.damaged_tags.insert(row.id().parse().expect("ids are tags"));
                }
            }
            return;
        }
    }

    async fn act(&mut self, action: Action) {
        match action {
            Action::Append(sizes) => self.append(&sizes).await,
            Action::Read { consumer, rows, bytes } => self.read(consumer, rows, bytes).await,
            Action::Commit { consumer, percent } => self.commit(consumer, percent),
            Action::Rewind { consumer } => self.rewind(consumer),
            Action::Restart => {
                self.close().await;
                let left = self.sim.after_exit();
                self.reopen(left, true);
            }
            Action::Kill(sizes) => self.kill(&sizes).await,
            Action::PowerCut { operations, seed } => self.power_cut(operations, seed).await,
            Action::FailWrite => {
                self.sim.fail_writes(1);
                self.append(&[2, 2]).await;
                self.works_again().await;
            }
            Action::FailSync => {
                self.sim.fail_syncs(1);
                self.append(&[2, 2]).await;
                self.works_again().await;
            }
            Action::DiskFull { spare } => {
                self.sim.set_capacity(Some(self.sim.used() + spare));
                for _ in 0..3 {
                    self.append(&[1, 2]).await;
                }
                self.sim.set_capacity(None);
                self.works_again().await;
            }
            Action::Flip { at, mask } => {
                self.close().await;
                let left = self.sim.after_exit();
                self.flip(&left, at, mask);
                self.reopen(left, true);
            }
            Action::ReadAll => self.read_all().await,
        }
    }

    /// However it went, a spool whose consumers have everything is empty, small, and takes rows.
    async fn finish(mut self) {
        self.read_all().await;
        self.commit(0, 100);
        self.commit(1, 100);
        for _ in 0..5_000 {
            if self.spool.refusal().is_none() && self.spool.bytes() < LIMITS.segment + 5 * segment::HEADER {
                break;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        assert_eq!(self.spool.refusal(), None);
        let before = self.acknowledged.len();
        self.append(&[3]).await;
        assert_eq!(self.acknowledged.len(), before + 3);
        self.read_all().await;
        self.commit(0, 100);
        self.commit(1, 100);
        self.close().await;
        let left = self.sim.after_exit();
        self.reopen(left, true);
        assert_eq!(CONSUMERS.map(|consumer| self.spool.pending(consumer)), [0, 0]);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn nothing_acknowledged_is_lost(actions in vec(action(), 1..40)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
        runtime.block_on(async {
            let mut world = World::new();
            for action in actions {
                world.act(action).await;
            }
            world.finish().await;
        });
    }
}

//! A directory in memory that behaves as badly as real ones may: short writes, full disks, syncs that fail and take the
//! pages with them, and power cuts that keep what was synced and any part of what was not.

use std::{collections::BTreeMap, io, ops::Range, sync::Arc};

use parking_lot::Mutex;

use super::files::{Files, Input, Output};

/// "no space left on device"
const ENOSPC: i32 = 28;
/// "input/output error"
const EIO: i32 = 5;

/// A simulated disk with one directory. Clones are the same disk.
#[derive(Clone, Default)]
pub struct Sim(Arc<Mutex<World>>);

#[derive(Default)]
struct World {
    contents: Vec<Contents>,
    names: BTreeMap<String, usize>,
    /// What a power cut leaves for certain.
    synced_names: BTreeMap<String, usize>,
    /// Changes of names since the last sync of the directory, in order.
    changes: Vec<Change>,
    /// Nothing works any more; processes that still run notice errors.
    off: bool,
    /// Operations until the power goes.
    fuse: Option<u32>,
    capacity: Option<usize>,
    fail_writes: u32,
    fail_syncs: u32,
    /// Syncs that succeeded, of files.
    syncs: u64,
}

#[derive(Clone, Debug, Default)]
struct Contents {
    data: Vec<u8>,
    synced: Vec<u8>,
    /// Where a failed sync has left pages that count as clean and are not on disk.
    forgotten: Vec<Range<usize>>,
}

#[derive(Clone, Debug)]
enum Change {
    Link(String, usize),
    Unlink(String),
}

impl Change {
    fn apply(&self, names: &mut BTreeMap<String, usize>) {
        match self {
            Change::Link(name, contents) => names.insert(name.clone(), *contents),
            Change::Unlink(name) => names.remove(name),
        };
    }
}

impl World {
    /// Every operation passes here.
    fn operate(&mut self) -> io::Result<()> {
        if let Some(fuse) = &mut self.fuse {
            if *fuse == 0 {
                self.off = true;
            } else {
                *fuse -= 1;
            }
        }
        if self.off { Err(io::Error::from_raw_os_error(EIO)) } else { Ok(()) }
    }

    fn find(&self, name: &str) -> io::Result<usize> {
        self.names.get(name).copied().ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn change(&mut self, change: Change) {
        change.apply(&mut self.names);
        self.changes.push(change);
    }

    fn used(&self) -> usize {
        self.names.values().map(|&contents| self.contents[contents].data.len()).sum()
    }
}

impl Sim {
    /// Cuts the power after this many more operations.
    pub fn cut_power_after(&self, operations: u32) {
        self.0.lock().fuse = Some(operations);
    }

    /// Lets the next writes end early, for want of space.
    pub fn fail_writes(&self, count: u32) {
        self.0.lock().fail_writes = count;
    }

    /// Lets the next syncs of files fail.
    pub fn fail_syncs(&self, count: u32) {
        self.0.lock().fail_syncs = count;
    }

    /// Lets all files together take no more than this.
    pub fn set_capacity(&self, capacity: Option<usize>) {
        self.0.lock().capacity = capacity;
    }

    /// Bytes of all files.
    pub fn used(&self) -> usize {
        self.0.lock().used()
    }

    /// Syncs of files so far.
    pub fn syncs(&self) -> u64 {
        self.0.lock().syncs
    }

    /// What a power cut leaves, as another disk; `choose(n)` picks one of `0..=n`.
    pub fn after_power_cut(&self, mut choose: impl FnMut(usize) -> usize) -> Sim {
        let mut world = self.0.lock();
        world.off = true;
        let mut names = world.synced_names.clone();
        // A journal keeps the order of changes.
        let kept = choose(world.changes.len());
        for change in &world.changes[..kept] {
            change.apply(&mut names);
        }
        let contents = world.contents.iter().map(|contents| {
            let data = contents.survivor(&mut choose);
            Contents { synced: data.clone(), data, forgotten: Vec::new() }
        });
        let contents = contents.collect();
        let survivor = World { contents, synced_names: names.clone(), names, ..World::default() };
        Sim(Arc::new(Mutex::new(survivor)))
    }

    /// What an orderly or disorderly end of the process leaves: all it wrote.
    pub fn after_exit(&self) -> Sim {
        let mut world = self.0.lock();
        world.off = true;
        let survivor = World {
            contents: world.contents.clone(),
            names: world.names.clone(),
            synced_names: world.synced_names.clone(),
            changes: world.changes.clone(),
            ..World::default()
        };
        Sim(Arc::new(Mutex::new(survivor)))
    }

    /// Names and contents of all files.
    pub fn files(&self) -> Vec<(String, Vec<u8>)> {
        let world = self.0.lock();
        world.names.iter().map(|(name, &contents)| (name.clone(), world.contents[contents].data.clone())).collect()
    }

    /// Damages a file, on disk too.
    pub fn flip(&self, name: &str, byte: usize, mask: u8) {
        let mut world = self.0.lock();
        let contents = world.names[name];
        let contents = &mut world.contents[contents];
        contents.data[byte] ^= mask;
        if let Some(synced) = contents.synced.get_mut(byte) {
            *synced ^= mask;
        }
    }
}

impl Contents {
    fn survivor(&self, choose: &mut impl FnMut(usize) -> usize) -> Vec<u8> {
        let on_disk = self.on_disk();
        let added = on_disk.len().saturating_sub(self.synced.len());
        if !on_disk.starts_with(&self.synced) {
            // Cut, or written over, since: either the old or the new state.
            return if choose(1) == 0 { self.synced.clone() } else { on_disk };
        }
        // Any part of what was added, possibly with a page that did not make it.
        let mut survivor = on_disk[..self.synced.len() + choose(added)].to_vec();
        let unsynced = self.synced.len()..survivor.len();
        if !unsynced.is_empty() && choose(1) == 1 {
            let from = unsynced.start + choose(unsynced.len() - 1);
            let to = from + choose(survivor.len() - from);
            survivor[from..to].fill(0);
        }
        survivor
    }

    fn on_disk(&self) -> Vec<u8> {
        let mut on_disk = self.data.clone();
        for range in &self.forgotten {
            let end = range.end.min(on_disk.len());
            on_disk[range.start.min(end)..end].fill(0);
        }
        on_disk
    }
}

struct Handle(Sim, usize);

impl Files for Sim {
    fn list(&self) -> io::Result<Vec<(String, u64)>> {
        let mut world = self.0.lock();
        world.operate()?;
        let len = |contents: &usize| world.contents[*contents].data.len() as u64;
        Ok(world.names.iter().map(|(name, contents)| (name.clone(), len(contents))).collect())
    }

    fn create(&self, name: &str) -> io::Result<Box<dyn Output>> {
        let mut world = self.0.lock();
        world.operate()?;
        world.contents.push(Contents::default());
        let contents = world.contents.len() - 1;
        world.change(Change::Link(name.to_owned(), contents));
        Ok(Box::new(Handle(self.clone(), contents)))
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn Input>> {
        let mut world = self.0.lock();
        world.operate()?;
        Ok(Arc::new(Handle(self.clone(), world.find(name)?)))
    }

    fn truncate(&self, name: &str, len: u64) -> io::Result<()> {
        let contents = self.0.lock().find(name)?;
        let mut handle = Handle(self.clone(), contents);
        handle.set_len(len)?;
        handle.sync()
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut world = self.0.lock();
        world.operate()?;
        let contents = world.find(from)?;
        // One step, for the journal too.
        world.changes.retain(|change| !matches!(change, Change::Link(name, _) if name == from));
        world.names.remove(from);
        world.synced_names.remove(from);
        world.change(Change::Link(to.to_owned(), contents));
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let mut world = self.0.lock();
        world.operate()?;
        world.find(name)?;
        world.change(Change::Unlink(name.to_owned()));
        Ok(())
    }

    fn sync_directory(&self) -> io::Result<()> {
        let mut world = self.0.lock();
        world.operate()?;
        world.synced_names = world.names.clone();
        world.changes.clear();
        Ok(())
    }
}

impl Output for Handle {
    fn write_at(&mut self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let mut world = self.0.0.lock();
        world.operate()?;
        let free = world.capacity.map_or(usize::MAX, |capacity| capacity.saturating_sub(world.used()));
        let failing = world.fail_writes > 0;
        world.fail_writes = world.fail_writes.saturating_sub(1);
        let contents = &mut world.contents[self.1];
        let offset = offset as usize;
        let grows = (offset + bytes.len()).saturating_sub(contents.data.len());
        let written = if failing { bytes.len() / 2 } else { bytes.len() - grows.saturating_sub(free).min(bytes.len()) };
        let end = offset + written;
        contents.data.resize(contents.data.len().max(end), 0);
        contents.data[offset..end].copy_from_slice(&bytes[..written]);
        contents.forgotten.retain(|range| range.end <= offset || range.start >= end);
        if written < bytes.len() { Err(io::Error::from_raw_os_error(ENOSPC)) } else { Ok(()) }
    }

    fn sync(&mut self) -> io::Result<()> {
        let mut world = self.0.0.lock();
        world.operate()?;
        let failing = world.fail_syncs > 0;
        world.fail_syncs = world.fail_syncs.saturating_sub(1);
        world.syncs += u64::from(!failing);
        let contents = &mut world.contents[self.1];
        if failing {
            contents.forgotten.push(contents.synced.len().min(contents.data.len())..contents.data.len());
            return Err(io::Error::from_raw_os_error(EIO));
        }
        contents.synced = contents.on_disk();
        Ok(())
    }

    fn set_len(&mut self, len: u64) -> io::Result<()> {
        let mut world = self.0.0.lock();
        world.operate()?;
        world.contents[self.1].data.resize(len as usize, 0);
        Ok(())
    }
}

impl Input for Handle {
    fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut world = self.0.0.lock();
        world.operate()?;
        let data = &world.contents[self.1].data;
        let rest = &data[(offset as usize).min(data.len())..];
        let len = rest.len().min(bytes.len());
        bytes[..len].copy_from_slice(&rest[..len]);
        Ok(len)
    }
}

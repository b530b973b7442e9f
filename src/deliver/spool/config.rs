//! The spool's settings, as people write them and as it uses them.

use std::{path::PathBuf, time::Duration};

use bytesize::ByteSize;
use serde::{Deserialize, Serialize};

use crate::problem::Problem;

/// Settings of the spool.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Where it lies. One process at a time.
    pub directory: PathBuf,
    /// What an event has survived when its request is answered: `disk`, loss of power; `memory`, nothing.
    pub durability: Durability,
    /// Most bytes it may take. Requests beyond are answered 503 until sinks have made room.
    pub max_size: ByteSize,
}

impl Default for Config {
    fn default() -> Config {
        Config { directory: "data/spool".into(), durability: Durability::Disk, max_size: ByteSize::gb(10) }
    }
}

impl Config {
    /// Judges the settings; `path` is where they stand.
    pub fn check(&self, path: &str, problems: &mut Vec<Problem>) {
        if self.directory.as_os_str().is_empty() && self.durability == Durability::Disk {
            problems.push(
                Problem::new(format!("{path}.directory"), "must not be empty").hint("the default is `data/spool`"),
            );
        }
        if self.max_size < MIN_SIZE {
            let message = format!("`{}` is too little to hold events back for a sink", self.max_size);
            problems.push(
                Problem::new(format!("{path}.max_size"), message).hint(format!("at least `{MIN_SIZE}`, better `10GB`")),
            );
        }
    }
}

/// What an acknowledged row survives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Durability {
    /// Loss of power: the row is on disk.
    #[default]
    Disk,
    /// Nothing: the row is in memory, and gone with the process.
    Memory,
}

/// Least size that is worth having.
const MIN_SIZE: ByteSize = ByteSize::mb(1);
/// Largest segment: small enough that space comes back soon, large enough that files are few.
const SEGMENT: u64 = 64 << 20;
/// A sync costs 0.2 to 0.5 ms of CPU time, however little it writes: one per millisecond, which a good disk would take,
/// is half a core. Whoever comes first after a quiet moment does not wait.
const SYNC_PAUSE: Duration = Duration::from_millis(4);
/// Bounds, in bytes.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Of all segments.
    pub max_size: u64,
    /// Of one segment; one that holds a single write may be larger.
    pub segment: u64,
    /// Shortest time between two writes of the cursors: one that is behind costs re-delivery after a crash, one that is
    /// written costs the next rows' sync some time.
    pub cursor_pace: Duration,
    /// Time between two looks at a disk that has failed.
    pub probe_pace: Duration,
    /// Rest after a sync, so that what comes meanwhile shares the next one.
    pub sync_pause: Duration,
}

impl Limits {
    /// For a spool of this many bytes.
    pub fn of(max_size: u64) -> Limits {
        // What is not rows: headers, seals, cursors, and a segment that is begun before another is removed.
        let reserved = (max_size / 64).clamp(1 << 10, 1 << 20);
        // An eighth, so that a small spool, too, gets space back in steps.
        let segment = (max_size / 8).clamp(4 << 10, SEGMENT);
        let max_size = max_size.saturating_sub(reserved);
        Limits {
            max_size,
            segment,
            cursor_pace: Duration::from_millis(100),
            probe_pace: Duration::from_millis(500),
            sync_pause: SYNC_PAUSE,
        }
    }
}

//! The durable queue.

use std::path::PathBuf;

use bytesize::ByteSize;
use serde::{Deserialize, Serialize};

use crate::problem::Problem;

/// Settings of the spool (`writers.spool:`).
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Folder.
    pub directory: PathBuf,
    /// What a `200` promises.
    pub durability: Durability,
    /// Most bytes on disk.
    pub max_size: ByteSize,
}

impl Default for Config {
    fn default() -> Config {
        Config { directory: "data/spool".into(), durability: Durability::Disk, max_size: ByteSize::gb(10) }
    }
}

impl Config {
    /// Reports what cannot work.
    pub fn check(&self, _path: &str, _problems: &mut Vec<Problem>) {}
}

/// What a `200` promises.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Durability {
    /// On disk.
    #[default]
    Disk,
    /// In memory.
    Memory,
}

//! `device:` - what is known of machines beyond what comes with the binary, and how much may be spent on it.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// `device:` - what is known of machines beyond what comes with the binary, and how much may be spent on it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DeviceConfig {
    /// Folder of the Matomo device detector's `regexes`, asked for what our own words and uap-core leave open; empty:
    /// none.
    pub matomo: PathBuf,
    /// Google's list of devices that its store supports, for marketing names by model code; empty: none.
    pub play_devices: PathBuf,
    /// How often in a second patterns are asked about a user agent that nobody has seen; 0 is without limit.
    pub cold_parses: u32,
}

impl Default for DeviceConfig {
    fn default() -> DeviceConfig {
        // Some three hundredths of a core, without a folder.
        DeviceConfig { matomo: PathBuf::new(), play_devices: PathBuf::new(), cold_parses: 2000 }
    }
}

//! From bytes on the wire to claims: what clients say happened, and how they are answered. Pure and synchronous; it
//! names no server, no runtime and no clock.

mod drop_reason;
mod hit;
mod refusal;

pub use drop_reason::DropReason;
pub use hit::{Hit, Micros};
pub use refusal::{Refusal, Reply};

use serde::{Deserialize, Serialize};

/// Collection paths.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Where streams live.
    pub path: String,
    /// Where the script lives.
    pub script: String,
}

impl Default for Config {
    fn default() -> Config {
        Config { path: "/api/v1/streaming".into(), script: "/static/v6.js".into() }
    }
}

/// One stream.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct StreamConfig {
    /// Id.
    pub id: String,
}

/// The cookie.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CookieConfig {}

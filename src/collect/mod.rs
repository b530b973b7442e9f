//! From bytes on the wire to claims: what clients say happened, and how they are answered. Pure and synchronous; it
//! names no server, no runtime and no clock.

mod config;
mod drop_reason;
mod hit;

pub use config::{Config, CookieConfig, StreamConfig};
pub use drop_reason::DropReason;
pub use hit::{Hit, Micros};

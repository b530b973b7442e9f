//! The site's requests: which route takes one, and what happens to it there.

mod canonical;
mod config;
mod pattern;
mod router;

pub use canonical::canonical;
pub use config::{RouteConfig, check_routes};
pub use pattern::{HostPattern, PathPattern};
pub use router::{Action, Asked, HEALTH_PATH, Router};

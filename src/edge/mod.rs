//! The only storey that names the server framework.

mod config;

pub use config::{CorsConfig, RouteConfig, ServerConfig, check_routes};

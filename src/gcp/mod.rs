//! Google Cloud's APIs as clients see them: tokens, the Storage Write API, tables, Pub/Sub. Knows requests and rows as bytes,
//! nothing of events, batches or the spool.
//!
//! Every call says what it wants and how it ended; when to try again is the caller's business.

pub mod auth;
pub mod bigquery;
mod call;
pub mod codec;
pub mod endpoint;
pub mod failure;
mod gather;
pub mod proto;
pub mod pubsub;
pub mod rest;
pub mod tasks;
pub mod write;

pub use auth::{Auth, AuthError, Tokens};
pub use endpoint::Endpoint;
pub use failure::Failure;

/// How this client names itself to Google.
pub const USER_AGENT: &str = concat!("real-streaming/", env!("CARGO_PKG_VERSION"));

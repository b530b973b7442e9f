//! From rows to destinations: a durable spool, and one courier per sink. Sees rows and batches, never a hit, a claim or
//! an event.

mod config;
mod sink;
pub mod spool;

pub use config::WritersConfig;
pub use sink::{Batch, BatchLimits, BoxError, Position, Sink, SinkError, Spooled, Written};

//! From rows to destinations: a durable spool, and one courier per sink. Sees rows and batches, never a hit, a claim or
//! an event.

mod batcher;
pub mod peek;
mod retry;
mod sink;
pub mod sinks;
pub mod spool;

pub use sink::{Batch, BatchLimits, BoxError, Position, Sink, SinkError, Spooled, Written};

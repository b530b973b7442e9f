//! From rows to destinations: a durable spool, and one courier per sink. Sees rows and batches, never a hit, a claim or
//! an event.
//!
//! [`Delivery::accept`] returns when rows are as durable as configured; everything after that happens behind the
//! client's back and loses nothing. One spool serves all sinks, each with its own reader, courier and pace: a sink that
//! is slow or broken holds nobody up, until the spool is full.

mod append;
pub mod backfill;
mod batcher;
mod config;
mod courier;
pub mod dead_letter;
mod delivery;
mod drain;
mod journal;
mod ledger;
mod lock;
pub mod peek;
mod replay;
mod retry;
pub mod setup;
mod sink;
pub mod sinks;
pub mod spool;
mod status;
#[cfg(test)]
mod tests;
mod unwound;
mod window;

pub use config::{
    BigQueryConfig, Compression, Encoding, Format, LocalConfig, PubSubConfig, Strategies, Strategy, TableLayout,
    WritersConfig,
};
pub use delivery::{Delivery, Drained, Health, StartError};
pub use ledger::{Balance, Imbalance};
pub use replay::{ReplayStartError, replay};
pub use sink::{Batch, BatchLimits, BoxError, Position, Sink, SinkError, Spooled, Written};
pub use spool::SpoolFull;

//! From rows to destinations: a durable spool, and one courier per sink. Sees rows and batches, never a hit, a claim or
//! an event.

mod sink;
pub mod spool;

pub use sink::{Batch, BatchLimits, BoxError, Position, Sink, SinkError, Spooled, Written};

use std::sync::Arc;

use crate::{schema::Row, telemetry::Metrics};

/// Stand-in until delivery is merged.
#[derive(Clone, Default)]
pub struct Delivery {
    rows: Arc<parking_lot::Mutex<Vec<Row>>>,
}

/// Stand-in.
#[derive(Clone, Debug, Default)]
pub struct WritersConfig {}

/// Stand-in.
#[derive(Debug, thiserror::Error)]
#[error("cannot start")]
pub struct StartError;

/// Stand-in.
#[derive(Debug, thiserror::Error)]
#[error("the spool is full")]
pub struct SpoolFull;

/// Stand-in.
#[derive(Clone, Debug)]
pub struct Health {
    /// Whether events can be taken.
    pub ready: bool,
    /// Why not.
    pub reasons: Vec<String>,
}

impl Delivery {
    /// Stand-in.
    pub fn start(_: &WritersConfig, _: Arc<Metrics>, _: &tokio::runtime::Handle) -> Result<Delivery, StartError> {
        Ok(Delivery::default())
    }

    /// Stand-in.
    pub async fn accept(&self, rows: Vec<Row>) -> Result<(), SpoolFull> {
        self.rows.lock().extend(rows);
        Ok(())
    }

    /// Stand-in.
    pub fn dropped(&self, _stream: &crate::schema::StreamId, _reason: &'static str) {}

    /// Stand-in.
    pub fn health(&self) -> Health {
        Health { ready: true, reasons: Vec::new() }
    }
}

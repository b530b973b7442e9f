//! How a courier is doing: told by the courier, read by whoever asks about health.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use parking_lot::Mutex;

/// What others may know about a courier.
#[derive(Debug, Default)]
pub struct Status {
    prepared: AtomicBool,
    trouble: Mutex<Option<String>>,
    delivered: AtomicU64,
}

impl Status {
    /// Whether the sink has ever been ready to write.
    pub fn is_prepared(&self) -> bool {
        self.prepared.load(Ordering::Relaxed)
    }

    /// Why nothing is being delivered just now.
    pub fn trouble(&self) -> Option<String> {
        self.trouble.lock().clone()
    }

    /// Rows the sink has taken.
    pub fn delivered(&self) -> u64 {
        self.delivered.load(Ordering::Relaxed)
    }

    /// The sink is ready to write.
    pub fn prepared(&self) {
        self.prepared.store(true, Ordering::Relaxed);
    }

    /// Nothing is delivered, and why.
    pub fn in_trouble(&self, why: String) {
        *self.trouble.lock() = Some(why);
    }

    /// All is well again.
    pub fn out_of_trouble(&self) {
        *self.trouble.lock() = None;
    }

    /// The sink has taken that many more rows.
    pub fn took(&self, rows: u64) {
        self.delivered.fetch_add(rows, Ordering::Relaxed);
    }
}

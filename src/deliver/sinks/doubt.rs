//! Whether a row that is refused on its own is at fault, or the request.

use std::sync::atomic::{AtomicU32, Ordering};

/// Rows that may be refused one after the other, without a single one that is taken, before the request is suspected.
const BENEFIT: u32 = 3;

/// Counts rows that were refused alone since the last one was taken. A service that refuses every request for what is
/// not in its rows would otherwise turn the spool into dead letters.
#[derive(Debug)]
pub struct Doubt(AtomicU32);

impl Doubt {
    /// No row was taken so far: nothing is known to work.
    pub fn new() -> Doubt {
        Doubt(AtomicU32::new(BENEFIT))
    }

    /// Rows were taken.
    pub fn taken(&self) {
        self.0.store(0, Ordering::Relaxed);
    }

    /// A row was refused, alone in its request. True when that is its own fault, as far as one can tell.
    pub fn is_at_fault(&self) -> bool {
        self.0
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |refused| (refused < BENEFIT).then_some(refused + 1))
            .is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_at_fault_while_others_are_taken() {
        let doubt = Doubt::new();
        assert!(!doubt.is_at_fault(), "nothing was taken yet");
        doubt.taken();
        assert_eq!([(); 5].map(|()| doubt.is_at_fault()), [true, true, true, false, false]);
        doubt.taken();
        assert!(doubt.is_at_fault());
    }
}

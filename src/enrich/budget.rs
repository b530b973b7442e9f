//! How much may be spent in a second on what strangers choose: whoever sends a new text with every hit buys a bounded
//! amount of work.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::collect::Micros;

/// A number of goes in each second.
pub struct Budget {
    /// None without limit.
    per_second: Option<u32>,
    /// The second, counted from the epoch, in the upper half; what was spent in it in the lower.
    spent: AtomicU64,
}

impl Budget {
    /// That many a second; 0 is without limit.
    pub fn new(per_second: u32) -> Budget {
        Budget { per_second: (per_second > 0).then_some(per_second), spent: AtomicU64::new(0) }
    }

    /// Takes that many more, or what is left, for what was dearer than one.
    pub fn charge(&self, count: u32) {
        let Some(limit) = self.per_second else { return };
        let add = |spent: u64| {
            let used = (spent as u32).saturating_add(count).min(limit);
            Some(spent >> 32 << 32 | u64::from(used))
        };
        if count > 0 {
            let _ = self.spent.fetch_update(Relaxed, Relaxed, add);
        }
    }

    /// Takes one, if there is one left in the second of `now`.
    pub fn take(&self, now: Micros) -> bool {
        let Some(limit) = self.per_second else { return true };
        let second = (now.div_euclid(1_000_000) as u64) << 32;
        let spend = |spent: u64| {
            // A clock that was set back does not refill.
            let count = if spent >> 32 < second >> 32 { 0 } else { spent as u32 };
            (count < limit).then(|| second.max(spent >> 32 << 32) | u64::from(count + 1))
        };
        self.spent.fetch_update(Relaxed, Relaxed, spend).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_second_has_its_own() {
        let budget = Budget::new(2);
        let taken = |times: [Micros; 4]| times.map(|now| budget.take(now));
        assert_eq!(taken([0, 999_999, 999_999, 999_999]), [true, true, false, false]);
        assert_eq!(taken([1_000_000, 0, 1_999_999, 2_000_000]), [true, true, false, true]);
    }

    #[test]
    fn what_is_dear_uses_up_the_second() {
        let budget = Budget::new(5);
        assert!(budget.take(0));
        budget.charge(3);
        assert!(budget.take(0));
        assert!(!budget.take(0));
        budget.charge(u32::MAX);
        assert!(!budget.take(999_999));
        assert!(budget.take(1_000_000));
    }

    #[test]
    fn none_is_without_limit() {
        let budget = Budget::new(0);
        assert!((0..100_000).all(|_| budget.take(0)));
    }
}

//! How long to wait before trying again. Pure: the attempt and the randomness come from outside.

use std::time::Duration;

/// Exponential back-off with full jitter: any wait up to the bound is equally likely, so that couriers which failed
/// together do not come back together.
#[derive(Clone, Copy, Debug)]
pub struct Backoff {
    /// Bound of the first wait.
    pub base: Duration,
    /// Largest bound.
    pub cap: Duration,
}

impl Backoff {
    /// For failures that pass by themselves.
    pub const TRANSIENT: Backoff = Backoff { base: Duration::from_millis(100), cap: Duration::from_secs(30) };

    /// For destinations that ask for less.
    pub const THROTTLED: Backoff = Backoff { base: Duration::from_secs(1), cap: Duration::from_secs(60) };

    /// For failures that wait for a person: how often to look whether somebody acted.
    pub const BLOCKED: Backoff = Backoff { base: Duration::from_secs(2), cap: Duration::from_secs(15) };

    /// No wait is shorter: a failing disk or peer is never hammered.
    const LEAST: Duration = Duration::from_millis(10);

    /// The wait before the try after `failures` (1 or more) failed ones. `random` is uniform in 0..1. The
    /// destination's own wish, when it has one, is the least.
    pub fn wait(&self, failures: u32, random: f64, wish: Option<Duration>) -> Duration {
        // 2^31 times the base is beyond every cap.
        let doublings = failures.saturating_sub(1).min(31);
        let bound = self.base.saturating_mul(1 << doublings).min(self.cap);
        bound.mul_f64(random.clamp(0.0, 1.0)).max(Backoff::LEAST).max(wish.unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_double_up_to_the_cap() {
        let bound = |failures| Backoff::TRANSIENT.wait(failures, 1.0, None);
        assert_eq!(bound(1), Duration::from_millis(100));
        assert_eq!(bound(4), Duration::from_millis(800));
        assert_eq!(bound(20), Duration::from_secs(30));
        assert_eq!(bound(u32::MAX), Duration::from_secs(30));
    }

    #[test]
    fn jitter_is_full_but_never_a_hot_loop() {
        assert_eq!(Backoff::TRANSIENT.wait(5, 0.0, None), Duration::from_millis(10));
        assert_eq!(Backoff::TRANSIENT.wait(2, 0.5, None), Duration::from_millis(100));
    }

    #[test]
    fn the_destination_may_ask_for_more_time() {
        let wish = Some(Duration::from_secs(90));
        assert_eq!(Backoff::TRANSIENT.wait(1, 0.3, wish), Duration::from_secs(90));
    }
}

//! A line that may be due a thousand times a second and is written every now and then.

use std::time::{Duration, Instant};

/// Between two lines about the same matter.
const PAUSE: Duration = Duration::from_secs(10);

/// What is known of the lines about one matter.
#[derive(Debug, Default)]
pub struct Seldom {
    last: Option<Instant>,
    unsaid: u64,
}

impl Seldom {
    /// Whether a line is to be written now, and how many were not since the one before.
    pub fn due(&mut self, now: Instant) -> Option<u64> {
        if self.last.is_some_and(|last| now.saturating_duration_since(last) < PAUSE) {
            self.unsaid += 1;
            return None;
        }
        self.last = Some(now);
        Some(std::mem::take(&mut self.unsaid))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_said_is_counted() {
        let start = Instant::now();
        let mut seldom = Seldom::default();
        let due: Vec<_> = [0, 1, 9_999, 10_000, 10_001, 30_000, 50_000]
            .map(|millis| seldom.due(start + Duration::from_millis(millis)))
            .into_iter()
            .collect();
        assert_eq!(due, [Some(0), None, None, Some(2), None, Some(1), Some(0)]);
    }
}

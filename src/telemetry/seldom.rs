//! A line that may be due a thousand times a second and is written every now and then.

use std::time::{Duration, Instant};

/// Between two lines about the same matter.
const PAUSE: Duration = Duration::from_secs(10);
/// How long a matter has to be over for a new line to be about a new one: what fails and succeeds in turns is one matter.
const CALM: Duration = Duration::from_secs(1);

/// What is known of the lines about one matter.
#[derive(Debug)]
pub struct Seldom {
    pause: Duration,
    last: Option<Instant>,
    unsaid: u64,
    /// Whether a line was written since the matter was over.
    said: bool,
    /// Since when it is over.
    over: Option<Instant>,
}

impl Default for Seldom {
    fn default() -> Seldom {
        Seldom::every(PAUSE)
    }
}

impl Seldom {
    /// With so long between two lines.
    pub fn every(pause: Duration) -> Seldom {
        Seldom { pause, last: None, unsaid: 0, said: false, over: None }
    }

    /// Whether a line is to be written now, and how many were not since the one before.
    pub fn due(&mut self, now: Instant) -> Option<u64> {
        let is_new = self.over.take().is_some_and(|over| now.saturating_duration_since(over) >= CALM);
        if !is_new && self.last.is_some_and(|last| now.saturating_duration_since(last) < self.pause) {
            self.unsaid += 1;
            return None;
        }
        (self.last, self.said) = (Some(now), true);
        Some(std::mem::take(&mut self.unsaid))
    }

    /// The matter is over; whether there was a line about it. What comes up a while later is said at once.
    pub fn over(&mut self, now: Instant) -> bool {
        self.over.get_or_insert(now);
        std::mem::take(&mut self.said)
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

    #[test]
    fn what_was_over_is_said_anew() {
        let start = Instant::now();
        let at = |millis| start + Duration::from_millis(millis);
        let mut seldom = Seldom::every(Duration::from_secs(60));
        assert_eq!((seldom.due(at(0)), seldom.due(at(100))), (Some(0), None));
        assert!(seldom.over(at(200)) && !seldom.over(at(1_199)), "it was said once");
        assert_eq!(seldom.due(at(1_200)), Some(1), "another matter");
        // What comes and goes all the time is one matter.
        for millis in (1_300..60_000).step_by(100) {
            seldom.over(at(millis));
            assert_eq!(seldom.due(at(millis + 50)), None, "{millis}");
        }
        assert!(!seldom.over(at(60_000)), "nobody has heard of it since");
        assert_eq!(seldom.due(at(61_200)), Some(587));
    }
}

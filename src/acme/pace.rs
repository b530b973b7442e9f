//! When to ask an authority again. Pure.
//!
//! Let's Encrypt takes five failed proofs of a host in an hour, and five certificates for the same names in a week.

use super::store::{Failures, Kept};

/// Waits after the first, second, ... failure in a row, in seconds: four attempts in the first hour, then fewer.
const WAITS: [i64; 6] = [60, 4 * 60, 20 * 60, 2 * 3600, 8 * 3600, 24 * 3600];

/// When a certificate for `domains` has to be asked for, in seconds since 1970: after two thirds of its life, and at once
/// when there is none or it is for other names.
pub fn is_due_at(kept: Option<&Kept>, domains: &[String]) -> i64 {
    let Some(kept) = kept.filter(|kept| domains.iter().all(|domain| kept.names.contains(domain))) else { return 0 };
    let (begin, end) = kept.life;
    begin + end.saturating_sub(begin) / 3 * 2
}

/// The earliest next attempt, in seconds since 1970. `luck`, from 0 to 1, spreads the attempts of many processes.
pub fn next_attempt(failures: Failures, luck: f64) -> i64 {
    let Some(index) = (failures.count as usize).checked_sub(1) else { return 0 };
    let wait = WAITS[index.min(WAITS.len() - 1)];
    failures.last.saturating_add(wait + (wait as f64 * luck * 0.1) as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_is_renewed_in_its_last_third() {
        let kept = Kept { names: vec!["a.example".into(), "b.example".into()], life: (1000, 4000) };
        let due =
            |domains: &[&str]| is_due_at(Some(&kept), &domains.iter().map(|it| it.to_string()).collect::<Vec<_>>());
        assert_eq!(due(&["a.example"]), 3000);
        assert_eq!(due(&["a.example", "c.example"]), 0);
        assert_eq!(is_due_at(None, &["a.example".into()]), 0);
    }

    #[test]
    fn failures_are_followed_by_longer_and_longer_waits() {
        assert_eq!(next_attempt(Failures { count: 0, last: 5 }, 0.5), 0);
        let mut now = 0;
        let mut attempts = Vec::new();
        for count in 1..=10 {
            attempts.push(now);
            now = next_attempt(Failures { count, last: now }, 0.0);
        }
        assert!(attempts.iter().filter(|at| **at < 3600).count() <= 4, "{attempts:?}");
        assert_eq!(attempts[9] - attempts[8], 24 * 3600);
        assert!(next_attempt(Failures { count: u32::MAX, last: i64::MAX }, 1.0) > 0);
    }
}

//! Many positions in little space.

use serde::{Deserialize, Serialize};

use crate::deliver::Position;

/// Positions in growing order: the first of each run, and how many.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Vec<(Position, u64)>", into = "Vec<(Position, u64)>")]
pub struct Runs(Vec<(Position, u64)>);

impl From<Runs> for Vec<(Position, u64)> {
    fn from(runs: Runs) -> Self {
        runs.0
    }
}

/// What a file says may be damaged.
impl TryFrom<Vec<(Position, u64)>> for Runs {
    type Error = &'static str;

    fn try_from(runs: Vec<(Position, u64)>) -> Result<Runs, &'static str> {
        let mut end = 0;
        for &(first, count) in &runs {
            if first < end || count == 0 {
                return Err("the positions do not grow");
            }
            end = first.checked_add(count).ok_or("the positions have no end")?;
        }
        Ok(Runs(runs))
    }
}

impl Runs {
    /// Of positions in growing order.
    pub fn of(positions: impl IntoIterator<Item = Position>) -> Runs {
        let mut runs: Vec<(Position, u64)> = Vec::new();
        for position in positions {
            match runs.last_mut() {
                Some((first, count)) if *first + *count == position => *count += 1,
                _ => runs.push((position, 1)),
            }
        }
        Runs(runs)
    }

    /// How many.
    pub(super) fn len(&self) -> u64 {
        self.0.iter().fold(0, |sum: u64, (_, count)| sum.saturating_add(*count))
    }

    /// The position after the last.
    pub(super) fn end(&self) -> Position {
        self.0.last().map_or(0, |(first, count)| first.saturating_add(*count))
    }

    /// Whether this is one of them.
    pub(super) fn contains(&self, position: Position) -> bool {
        let at = self.0.partition_point(|(first, _)| *first <= position);
        at > 0 && position - self.0[at - 1].0 < self.0[at - 1].1
    }

    /// The first `len` of them.
    pub(super) fn prefix(&self, mut len: u64) -> Runs {
        let mut runs = Vec::new();
        for &(first, count) in &self.0 {
            let taken = count.min(len);
            if taken > 0 {
                runs.push((first, taken));
            }
            len -= taken;
        }
        Runs(runs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_are_what_they_were_made_of() {
        let positions = [0, 1, 2, 5, 7, 8];
        let runs = Runs::of(positions);
        assert_eq!(Vec::from(runs.clone()), [(0, 3), (5, 1), (7, 2)]);
        assert_eq!((runs.len(), runs.end()), (6, 9));
        assert_eq!((0..10).filter(|position| runs.contains(*position)).collect::<Vec<_>>(), positions);
        assert_eq!(
            (runs.prefix(4), runs.prefix(0), runs.prefix(9)),
            (Runs::of([0, 1, 2, 5]), Runs::of([]), runs.clone())
        );
    }

    #[test]
    fn what_no_position_can_be_is_refused() {
        for runs in [vec![(3, 1), (2, 1)], vec![(0, 2), (1, 1)], vec![(4, 0)], vec![(u64::MAX, 2)]] {
            assert!(Runs::try_from(runs.clone()).is_err(), "{runs:?}");
        }
    }
}

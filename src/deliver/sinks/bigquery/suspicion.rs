//! Whether the rows of a request are at fault that were all refused in the same words, or the table is.
//!
//! A table that takes nothing lists every row of every request with one and the same message; so do rows that share a
//! fault, and a row that is alone in its request. Rows are given up only when there is a sign that it is theirs: the table
//! has taken others since they were first refused, or has refused others in other words.

use std::collections::BTreeMap;

use parking_lot::Mutex;

use crate::deliver::Position;

/// Batches that are remembered. No courier has as many in hand.
const MOST: usize = 1_024;

/// Who is at fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blame {
    /// The rows.
    Rows,
    /// Nobody knows yet: some were taken before, and none since.
    Open,
    /// The table, as it seems.
    Table,
}

/// See the module.
#[derive(Debug, Default)]
pub struct Suspicion(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// Rows were taken, at any time.
    works: bool,
    /// Signs that rows are at fault.
    signs: u64,
    /// How many there were when a batch was first refused, by the batch's first position.
    refused: BTreeMap<Position, u64>,
    /// What the last ones were refused with, since any were taken.
    words: String,
}

impl Suspicion {
    /// The batch that begins at `first` was taken.
    pub fn taken(&self, first: Position) {
        let mut state = self.0.lock();
        state.works = true;
        state.signs += 1;
        state.refused.remove(&first);
        state.words.clear();
    }

    /// The batch that begins at `first` was refused, all of its rows with these words.
    pub fn blame(&self, first: Position, words: &str) -> Blame {
        let mut state = self.0.lock();
        let before = state.refused.get(&first).copied().unwrap_or(state.signs);
        if state.words != words {
            state.signs += u64::from(!state.words.is_empty());
            words.clone_into(&mut state.words);
        }
        if before < state.signs {
            state.refused.remove(&first);
            return Blame::Rows;
        }
        if state.refused.len() >= MOST {
            state.refused.pop_first();
        }
        match state.refused.insert(first, before) {
            None if state.works => Blame::Open,
            _ => Blame::Table,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_at_fault_when_others_were_taken_meanwhile() {
        let suspicion = Suspicion::default();
        assert_eq!([(); 2].map(|()| suspicion.blame(7, "a")), [Blame::Table; 2], "nothing was ever taken");
        suspicion.taken(9);
        assert_eq!(suspicion.blame(7, "a"), Blame::Rows);
        assert_eq!([(); 3].map(|()| suspicion.blame(8, "a")), [Blame::Open, Blame::Table, Blame::Table]);
        suspicion.taken(8);
        assert_eq!(suspicion.blame(8, "a"), Blame::Open, "what was taken is forgotten");
    }

    #[test]
    fn rows_are_at_fault_when_others_are_refused_for_something_else() {
        let suspicion = Suspicion::default();
        assert_eq!([1, 2, 1, 2].map(|first| suspicion.blame(first, "all alike")), [Blame::Table; 4]);
        assert_eq!(suspicion.blame(3, "another thing"), Blame::Rows);
        assert_eq!(suspicion.blame(1, "all alike"), Blame::Rows);
    }

    #[test]
    fn memory_is_bounded() {
        let suspicion = Suspicion::default();
        for first in 0..3 * MOST as u64 {
            assert_ne!(suspicion.blame(first, "a"), Blame::Rows);
        }
        assert_eq!(suspicion.0.lock().refused.len(), MOST);
    }
}

//! Whether the rows of a request are at fault that were all refused in the same words, or the table is.
//!
//! A table that takes nothing lists every row of every request with one and the same message; so do rows that share a
//! fault, and a row that is alone in its request. Rows are given up when there is a sign that it is theirs: others have
//! been taken since they were first refused, or have been refused in other words. Where others were taken only before, and
//! none come, there will be no sign: then one batch is given up each time that patience is over, so that a few bad rows at
//! the end of everything do not wait for ever, and a table that is at fault costs few rows until somebody looks.
//!
//! Tables of several days have one suspicion: they are made alike.

use std::{collections::BTreeMap, time::Duration};

use parking_lot::Mutex;
use tokio::time::Instant;

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
#[derive(Debug)]
pub struct Suspicion {
    state: Mutex<State>,
    /// See the module.
    patience: Duration,
}

#[derive(Debug, Default)]
struct State {
    /// Rows were taken, at any time.
    works: bool,
    /// Signs that rows are at fault.
    signs: u64,
    /// When a batch was first refused, and how many there were, by the batch's first position.
    refused: BTreeMap<Position, (Instant, u64)>,
    /// When a batch was last given up without a sign.
    gave_up: Option<Instant>,
    /// What the last ones were refused with, since any were taken.
    words: String,
}

impl Suspicion {
    /// Nothing is known.
    pub fn new(patience: Duration) -> Suspicion {
        Suspicion { state: Mutex::default(), patience }
    }

    /// The batch that begins at `first` was taken.
    pub fn taken(&self, first: Position) {
        let mut state = self.state.lock();
        state.works = true;
        state.signs += 1;
        state.refused.remove(&first);
        state.words.clear();
    }

    /// The batch that begins at `first` was refused, all of its rows with these words.
    pub fn blame(&self, first: Position, words: &str) -> Blame {
        let now = Instant::now();
        let mut state = self.state.lock();
        let (since, before) = state.refused.get(&first).copied().unwrap_or((now, state.signs));
        if state.words != words {
            state.signs += u64::from(!state.words.is_empty());
            words.clone_into(&mut state.words);
        }
        let is_over = |since: Instant| now - since >= self.patience;
        let endless = state.works && is_over(since) && state.gave_up.is_none_or(is_over);
        if endless {
            state.gave_up = Some(now);
        }
        if before < state.signs || endless {
            state.refused.remove(&first);
            return Blame::Rows;
        }
        if state.refused.len() >= MOST {
            state.refused.pop_first();
        }
        match state.refused.insert(first, (since, before)) {
            None if state.works => Blame::Open,
            _ => Blame::Table,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Duration = Duration::from_secs(60);

    #[test]
    fn rows_are_at_fault_when_others_were_taken_meanwhile() {
        let suspicion = Suspicion::new(PATIENCE);
        assert_eq!([(); 2].map(|()| suspicion.blame(7, "a")), [Blame::Table; 2], "nothing was ever taken");
        suspicion.taken(9);
        assert_eq!(suspicion.blame(7, "a"), Blame::Rows);
        assert_eq!([(); 3].map(|()| suspicion.blame(8, "a")), [Blame::Open, Blame::Table, Blame::Table]);
        suspicion.taken(8);
        assert_eq!(suspicion.blame(8, "a"), Blame::Open, "what was taken is forgotten");
    }

    #[test]
    fn rows_are_at_fault_when_others_are_refused_for_something_else() {
        let suspicion = Suspicion::new(PATIENCE);
        assert_eq!([1, 2, 1, 2].map(|first| suspicion.blame(first, "all alike")), [Blame::Table; 4]);
        assert_eq!(suspicion.blame(3, "another thing"), Blame::Rows);
        assert_eq!(suspicion.blame(1, "all alike"), Blame::Rows);
    }

    #[tokio::test(start_paused = true)]
    async fn without_a_sign_one_batch_is_given_up_each_time_patience_is_over() {
        let suspicion = Suspicion::new(PATIENCE);
        let wait = |time| tokio::time::advance(time);
        assert_eq!(suspicion.blame(1, "a"), Blame::Table);
        wait(2 * PATIENCE).await;
        assert_eq!(suspicion.blame(1, "a"), Blame::Table, "nothing was ever taken");
        suspicion.taken(9);
        let both = || [5, 6].map(|first| suspicion.blame(first, "a"));
        assert_eq!(both(), [Blame::Open; 2]);
        wait(PATIENCE / 2).await;
        assert_eq!(both(), [Blame::Table; 2]);
        wait(PATIENCE / 2).await;
        assert_eq!(both(), [Blame::Rows, Blame::Table]);
        wait(PATIENCE / 2).await;
        assert_eq!(suspicion.blame(6, "a"), Blame::Table);
        wait(PATIENCE / 2).await;
        assert_eq!(suspicion.blame(6, "a"), Blame::Rows);
    }

    #[test]
    fn memory_is_bounded() {
        let suspicion = Suspicion::new(PATIENCE);
        for first in 0..3 * MOST as u64 {
            assert_ne!(suspicion.blame(first, "a"), Blame::Rows);
        }
        assert_eq!(suspicion.state.lock().refused.len(), MOST);
    }
}

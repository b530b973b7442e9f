//! Those who wait until every consumer is done with their rows.
//!
//! A list by position, so that a commit touches those whose wait it ends and nobody else, however many wait.

use std::{collections::BTreeMap, mem};

use parking_lot::Mutex;

use super::{
    bell::{self, Waiter, Waiting},
    queue::Queue,
};
use crate::deliver::Position;

/// More than this need not wait: each holds a connection, and a client that has to come again.
const CROWD: usize = 10_000;

/// See the module.
#[derive(Default)]
pub struct Vigil(Mutex<State>);

#[derive(Default)]
struct State {
    /// By the position they wait for, and a number of their own.
    waiting: BTreeMap<(Position, u64), Waiter>,
    next: u64,
}

impl Vigil {
    /// Begins to wait for `upto`. To be called before looking whether it has been reached.
    pub fn begin(&self, upto: Position, queue: &Queue) -> Watch<'_> {
        let (waiter, waiting) = queue.waiter();
        let mut state = self.0.lock();
        let key = (upto, state.next);
        state.next += 1;
        state.waiting.insert(key, waiter);
        Watch { vigil: self, key, waiting }
    }

    /// Every consumer is done with everything below `done`.
    pub fn end(&self, done: Position) {
        let over = {
            let mut state = self.0.lock();
            if state.waiting.first_key_value().is_none_or(|(&(upto, _), _)| upto > done) {
                return;
            }
            let rest = state.waiting.split_off(&(done, u64::MAX));
            mem::replace(&mut state.waiting, rest)
        };
        bell::ring(over.into_values(), Ok(done));
    }

    /// Whether anybody waits for the row at this position, or for one behind it.
    pub fn awaits(&self, position: Position) -> bool {
        self.0.lock().waiting.last_key_value().is_some_and(|(&(upto, _), _)| upto > position)
    }

    /// Whether no more should wait.
    pub fn is_crowded(&self) -> bool {
        self.0.lock().waiting.len() >= CROWD
    }
}

/// One wait; dropped, it is given up.
pub struct Watch<'a> {
    vigil: &'a Vigil,
    key: (Position, u64),
    waiting: Waiting,
}

impl Watch<'_> {
    /// Returns when it is over.
    pub async fn over(mut self) {
        if (&mut self.waiting).await.is_err() {
            // Nobody can end it any more.
            std::future::pending().await
        }
    }
}

impl Drop for Watch<'_> {
    fn drop(&mut self) {
        self.vigil.0.lock().waiting.remove(&self.key);
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[tokio::test]
    async fn a_commit_ends_the_waits_below_it_and_no_other() {
        let (vigil, queue) = (Vigil::default(), Queue::default());
        let mut waits: Vec<_> = [5, 3, 9, 5].map(|upto| Some(Box::pin(vigil.begin(upto, &queue).over()))).into();
        assert!(vigil.awaits(8) && !vigil.awaits(9));
        vigil.end(2);
        vigil.end(5);
        for index in [0, 1, 3] {
            waits[index].take().unwrap().await;
        }
        assert!(waits[2].as_mut().unwrap().now_or_never().is_none());
        assert_eq!(vigil.0.lock().waiting.len(), 1);
        waits.clear();
        assert_eq!(vigil.0.lock().waiting.len(), 0, "one that is given up leaves nothing");
    }
}

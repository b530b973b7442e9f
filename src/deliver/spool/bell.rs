//! Tells those who wait for the disk what became of their rows, with one wake-up per runtime and group.
//!
//! Waking a task of another thread's runtime costs a system call, and on a busy core often a change of threads; for a
//! group of a hundred, a hundred of them. So each runtime that appends gets one task, which is handed the answers of a
//! whole group and gives them out at home, where waking is a push to a list.

use std::collections::HashMap;

use foldhash::fast::RandomState;
use parking_lot::Mutex;
use tokio::{
    runtime::{Handle, Id},
    sync::{mpsc, oneshot},
};

use super::SpoolFull;
use crate::deliver::Position;

/// What became of an append; when it is kept, the position after its rows, or after more that were written with them.
pub type Outcome = Result<Position, SpoolFull>;

/// Resolves when it is known.
pub type Waiting = oneshot::Receiver<Outcome>;

/// One for each runtime that appends.
#[derive(Default)]
pub struct Bells(Mutex<HashMap<Id, Bell, RandomState>>);

impl Bells {
    /// The bell of the runtime that this is called from; outside of one, a bell that wakes each waiter by itself.
    pub fn here(&self) -> Bell {
        let Ok(runtime) = Handle::try_current() else { return Bell(None) };
        let mut bells = self.0.lock();
        if let Some(bell) = bells.get(&runtime.id()) {
            return bell.clone();
        }
        bells.retain(|_, bell| !bell.is_gone());
        let (sender, mut answers) = mpsc::unbounded_channel::<Vec<Answer>>();
        // Ends with the last sender, or with its runtime.
        runtime.spawn(async move { while answers.recv().await.is_some() {} });
        let bell = Bell(Some(sender));
        bells.insert(runtime.id(), bell.clone());
        bell
    }
}

/// Where the waiters of one runtime are woken. Its channel holds no more answers than the queue held appends.
#[derive(Clone)]
pub struct Bell(Option<mpsc::UnboundedSender<Vec<Answer>>>);

impl Bell {
    fn is_gone(&self) -> bool {
        self.0.as_ref().is_none_or(mpsc::UnboundedSender::is_closed)
    }

    fn is(&self, other: &Bell) -> bool {
        match (&self.0, &other.0) {
            (Some(one), Some(other)) => one.same_channel(other),
            (None, None) => true,
            _ => false,
        }
    }
}

/// One who waits.
pub struct Waiter {
    bell: Bell,
    done: oneshot::Sender<Outcome>,
}

impl Waiter {
    /// A waiter on the current runtime.
    pub fn new(bell: Bell) -> (Waiter, Waiting) {
        let (done, waiting) = oneshot::channel();
        (Waiter { bell, done }, waiting)
    }
}

/// An outcome on its way. Given out when dropped: also when the runtime that should have done it is gone, since the
/// waiter may have moved to another one.
struct Answer {
    done: Option<oneshot::Sender<Outcome>>,
    outcome: Outcome,
}

impl Drop for Answer {
    fn drop(&mut self) {
        if let Some(done) = self.done.take() {
            // The client may be gone; its rows are kept all the same.
            let _ = done.send(self.outcome);
        }
    }
}

/// Tells all of `waiters`.
pub fn ring(waiters: impl Iterator<Item = Waiter>, outcome: Outcome) {
    let mut peals: Vec<(Bell, Vec<Answer>)> = Vec::new();
    for Waiter { bell, done } in waiters {
        let answer = Answer { done: Some(done), outcome };
        // As many runtimes as threads at most.
        match peals.iter_mut().find(|(known, _)| known.is(&bell)) {
            Some((_, answers)) => answers.push(answer),
            None => peals.push((bell, vec![answer])),
        }
    }
    for (bell, answers) in peals {
        match bell.0 {
            // Not sent, they are dropped, and so given out, here.
            Some(sender) => drop(sender.send(answers)),
            None => drop(answers),
        }
    }
}

//! How those who wait for a group learn what became of it: one wake-up for each thread they wait on.
//!
//! To wake a task of another runtime costs a system call, and with hundreds of requests in a group that was most of
//! what the writer did. So the writer tells one of those who wait on a thread, and that one tells the others, which
//! costs next to nothing from within their own runtime.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
    thread::{self, ThreadId},
};

use tokio::sync::oneshot;

use super::SpoolFull;

/// What became of an append.
pub type Outcome = Result<(), SpoolFull>;

/// The outcome, and who else on this thread waits for it. They are told when this is dropped, be it that the one told
/// first was polled, or that it was cancelled meanwhile.
struct News {
    outcome: Outcome,
    others: Vec<oneshot::Sender<News>>,
}

impl Drop for News {
    fn drop(&mut self) {
        for other in self.others.drain(..) {
            // Whose client is gone need not know; its rows are kept all the same.
            let _ = other.send(News { outcome: self.outcome, others: Vec::new() });
        }
    }
}

/// The writer's end.
pub struct Told {
    sender: oneshot::Sender<News>,
    thread: ThreadId,
}

/// The end of the one who waits. Resolves when the rows are durable, or refused.
pub struct Waiting(oneshot::Receiver<News>);

/// Both ends; to be made on the thread that will wait.
pub fn channel() -> (Told, Waiting) {
    let (sender, receiver) = oneshot::channel();
    (Told { sender, thread: thread::current().id() }, Waiting(receiver))
}

impl Future for Waiting {
    type Output = Outcome;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Outcome> {
        // The writer answers everyone before it ends, unless it ends by a bug.
        Poll::Ready(ready!(Pin::new(&mut self.0).poll(context)).map_or(Err(SpoolFull::Closed), |news| news.outcome))
    }
}

/// Tells everyone in `waiting`.
pub fn tell(waiting: impl Iterator<Item = Told>, outcome: Outcome) {
    // As many threads wait as the server has, a handful: a list is searched faster than a map.
    let mut threads: Vec<(ThreadId, Vec<oneshot::Sender<News>>)> = Vec::new();
    for Told { sender, thread } in waiting {
        match threads.iter_mut().find(|(id, _)| *id == thread) {
            Some((_, senders)) => senders.push(sender),
            None => threads.push((thread, vec![sender])),
        }
    }
    for (_, mut others) in threads {
        let Some(first) = others.pop() else { continue };
        let _ = first.send(News { outcome, others });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn everyone_is_told_whoever_went_away() {
        for gone in 0..4 {
            let (told, waiting): (Vec<_>, Vec<_>) = (0..4).map(|_| channel()).unzip();
            let mut waiting: Vec<_> = waiting.into_iter().map(Some).collect();
            waiting[gone] = None;
            tell(told.into_iter(), Err(SpoolFull::Disk));
            for waiting in waiting.into_iter().flatten() {
                assert_eq!(waiting.await, Err(SpoolFull::Disk));
            }
        }
    }

    #[tokio::test]
    async fn the_one_told_first_may_go_away_without_looking() {
        let (told, mut waiting): (Vec<_>, Vec<_>) = (0..3).map(|_| channel()).unzip();
        tell(told.into_iter(), Ok(()));
        waiting.pop();
        for waiting in waiting {
            assert_eq!(waiting.await, Ok(()));
        }
    }

    #[tokio::test]
    async fn other_threads_are_told_by_themselves() {
        let (here, waiting_here) = channel();
        let (there, waiting_there) = thread::spawn(channel).join().unwrap();
        tell([here, there].into_iter(), Ok(()));
        assert_eq!((waiting_there.await, waiting_here.await), (Ok(()), Ok(())));
    }

    #[tokio::test]
    async fn a_writer_that_dies_closes() {
        let (told, waiting) = channel();
        drop(told);
        assert_eq!(waiting.await, Err(SpoolFull::Closed));
    }
}

//! A deadline that costs nothing to move.
//!
//! A connection waits twice per request, for its bytes and for the disk, and hardly ever in vain. A timer of the runtime
//! for each wait is entered into a list and taken out again, next to those of other connections whose memory has long
//! left the caches. Here the connection has one timer that is left running: when it rings before the time, it is set
//! anew, and that is rare.

use std::{
    future::{Future, poll_fn},
    pin::{Pin, pin},
    task::{Poll, ready},
    time::Duration,
};

use tokio::time::{Instant, Sleep, sleep_until};

/// See the module. Bound to the runtime of its first wait.
#[derive(Default)]
pub struct Alarm(Option<Pin<Box<Sleep>>>);

/// The time was over first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Elapsed;

impl Alarm {
    /// What `future` comes to, if it does so in time. One that is ready at once is never late, and looks at no clock.
    pub async fn within<F: Future>(&mut self, time: Duration, future: F) -> Result<F::Output, Elapsed> {
        let mut future = pin!(future);
        let mut deadline = None;
        poll_fn(|context| {
            if let Poll::Ready(output) = future.as_mut().poll(context) {
                return Poll::Ready(Ok(output));
            }
            let deadline = *deadline.get_or_insert_with(|| Instant::now() + time);
            let sleep = self.0.get_or_insert_with(|| Box::pin(sleep_until(deadline)));
            if deadline < sleep.deadline() {
                sleep.as_mut().reset(deadline);
            }
            loop {
                ready!(sleep.as_mut().poll(context));
                if Instant::now() >= deadline {
                    return Poll::Ready(Err(Elapsed));
                }
                sleep.as_mut().reset(deadline);
            }
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};

    use tokio::time::{Instant, sleep};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn it_rings_at_each_deadline_whatever_came_before() {
        let mut alarm = Alarm::default();
        for (millis, wait) in [(60_000, 10), (10_000, 9_999), (60_000, 59_999), (5, 4), (60_000, 59_999)] {
            let time = Duration::from_millis(millis);
            assert_eq!(alarm.within(time, sleep(Duration::from_millis(wait))).await, Ok(()));
            let started = Instant::now();
            assert_eq!(alarm.within(time, pending::<()>()).await, Err(Elapsed));
            let late = started.elapsed() - time;
            assert!(late < Duration::from_millis(2), "{millis}: {late:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_there_is_never_late() {
        let mut alarm = Alarm::default();
        assert_eq!(alarm.within(Duration::ZERO, ready(1)).await, Ok(1));
        assert_eq!(alarm.within(Duration::from_millis(1), pending::<()>()).await, Err(Elapsed));
        assert_eq!(alarm.within(Duration::ZERO, ready(2)).await, Ok(2));
        assert_eq!(alarm.within(Duration::ZERO, pending::<()>()).await, Err(Elapsed));
    }
}

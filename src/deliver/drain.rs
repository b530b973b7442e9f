//! The end of delivery, as couriers hear of it: that it has begun, and by when they must be back.

use tokio::{sync::watch, time::Instant};

/// A drain that nobody has begun yet, and its beginning.
pub fn drain() -> (Begin, Drain) {
    let (begin, drain) = watch::channel(None);
    (Begin(begin), Drain(drain))
}

/// Whoever has this may begin the drain.
pub struct Begin(watch::Sender<Option<Instant>>);

impl Begin {
    /// Begins it; couriers must be back by `deadline`.
    pub fn until(&self, deadline: Instant) {
        self.0.send_replace(Some(deadline));
    }
}

/// A drain to come. Clones are the same one.
#[derive(Clone)]
pub struct Drain(watch::Receiver<Option<Instant>>);

impl Drain {
    /// Whether it has begun.
    pub fn has_begun(&self) -> bool {
        self.0.borrow().is_some()
    }

    /// Resolves when it has begun.
    pub async fn begun(&mut self) {
        if self.0.wait_for(Option::is_some).await.is_err() {
            // Nobody is left to begin one.
            std::future::pending().await
        }
    }

    /// Resolves when its time is over.
    pub async fn over(mut self) {
        self.begun().await;
        let deadline = *self.0.borrow();
        match deadline {
            Some(deadline) => tokio::time::sleep_until(deadline).await,
            None => std::future::pending().await,
        }
    }
}

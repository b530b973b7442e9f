//! An append that is not left half done.

use std::{
    future::Future,
    pin::{Pin, pin},
    task::{Context, Poll},
};

use tokio::runtime::Handle;

use super::{sink::Position, spool::SpoolFull};

/// An append that is finished even when the client goes away meanwhile: the rows may be in the spool already, and
/// then they must be in the books.
pub struct Append<'a> {
    future: Option<Appending>,
    runtime: &'a Handle,
}

type Appending = Pin<Box<dyn Future<Output = Result<Position, SpoolFull>> + Send>>;

impl<'a> Append<'a> {
    /// What is not done when this is dropped goes on on `runtime`.
    pub fn new(
        future: impl Future<Output = Result<Position, SpoolFull>> + Send + 'static,
        runtime: &'a Handle,
    ) -> Append<'a> {
        Append { future: Some(Box::pin(future)), runtime }
    }
}

impl Future for Append<'_> {
    type Output = Result<Position, SpoolFull>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let Some(future) = &mut self.future else { return Poll::Ready(Err(SpoolFull::Closed)) };
        let result = pin!(future).poll(context);
        if result.is_ready() {
            self.future = None;
        }
        result
    }
}

impl Drop for Append<'_> {
    fn drop(&mut self) {
        if let Some(future) = self.future.take() {
            self.runtime.spawn(future);
        }
    }
}

//! The tasks that drive a connection, held together so that it can be cut.

use std::{future::Future, sync::Arc};

use hyper::rt::Executor;
use parking_lot::Mutex;
use tokio::task::AbortHandle;

/// What a channel spawns. To give up a call is not to end it: requests that were handed over are still sent, as soon as
/// the server reads again, for whoever handed them over may only have lost interest in the answers. A server that wakes up
/// must not meet requests that went another way meanwhile.
#[derive(Clone, Default)]
pub struct Tasks(Arc<Mutex<Vec<AbortHandle>>>);

impl Tasks {
    /// Ends them all, and with them the connection; what was not sent is not sent any more.
    pub fn cut(&self) {
        self.0.lock().drain(..).for_each(|task| task.abort());
    }
}

impl<F: Future<Output = ()> + Send + 'static> Executor<F> for Tasks {
    fn execute(&self, task: F) {
        let mut tasks = self.0.lock();
        tasks.retain(|task| !task.is_finished());
        tasks.push(tokio::spawn(task).abort_handle());
    }
}

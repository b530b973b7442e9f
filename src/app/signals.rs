//! What the operator says by signals.

use std::{io, process, thread};

use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing::{info, warn};

use crate::telemetry::log;

/// Those that would end a process that does not listen for them. Heard from the beginning: one that comes while the
/// process still starts is not lost, and does not end it.
pub struct Signals {
    /// SIGHUP: read the configuration again.
    pub hang_up: Signal,
    /// SIGQUIT: hand over to another process.
    pub quit: Signal,
}

/// Those that end the process. While it starts, they do so at once.
pub struct Ends {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    /// Listens from now on.
    pub fn listen() -> io::Result<Signals> {
        inside_a_runtime(|| Ok(Signals { hang_up: signal(SignalKind::hangup())?, quit: signal(SignalKind::quit())? }))
    }
}

/// A runtime is needed for the listening alone: whichever runtime runs later brings the signal.
fn inside_a_runtime<T>(listen: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let _inside = runtime.enter();
    listen()
}

impl Ends {
    /// Listens from now on.
    pub fn listen() -> io::Result<Ends> {
        inside_a_runtime(|| {
            Ok(Ends { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
        })
    }

    /// Resolves at the first SIGTERM or SIGINT; may be given up and asked again.
    pub async fn come(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => info!("SIGTERM: finishing what is in flight"),
            _ = self.interrupt.recv() => info!("SIGINT: finishing what is in flight; once more to stop at once"),
        }
    }

    /// From now on SIGINT ends the process at once, as an impatient person means it. On a thread of its own: no runtime
    /// lives as long as the end takes.
    pub fn be_impatient(mut self) {
        let wait = move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            if runtime.is_ok_and(|runtime| runtime.block_on(self.interrupt.recv()).is_some()) {
                log::flush();
                process::exit(130);
            }
        };
        if let Err(error) = thread::Builder::new().name("impatience".into()).spawn(wait) {
            warn!(%error, "another SIGINT will not end the process");
        }
    }
}

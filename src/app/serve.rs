//! The life of a process, from its configuration to its exit code.

use std::{
    io,
    net::{SocketAddr, TcpListener},
    path::PathBuf,
    process::{self, ExitCode},
    sync::Arc,
};

use anyhow::Context;
use sd_notify::NotifyState;
use tokio::{signal::unix::Signal, task};
use tracing::{error, info, warn};

use super::{
    App, Finished, Inherited, Signals, Stop,
    reload::Seen,
    signals::Ends,
    upgrade::{self, Predecessor, Successor},
};
use crate::{
    config::{Config, Sources},
    telemetry::{Metrics, log},
};

/// What a process begins with.
pub struct Beginning {
    /// Where the configuration is from, whose changes are followed.
    pub sources: Option<Sources>,
    /// Sockets that a service manager has passed.
    pub sockets: Inherited,
    /// Whether to take the place of a running process.
    pub upgrade: bool,
    /// What is heard already.
    pub signals: Signals,
}

impl Beginning {
    /// With nothing but signals.
    pub fn new(signals: Signals) -> Beginning {
        Beginning { sources: None, sockets: Inherited::default(), upgrade: false, signals }
    }
}

/// Runs the process until SIGTERM or SIGINT, or until another one has taken its place. Exit code 0: everything accepted
/// was delivered, or is another process's; 1: something is left in the spool for the next start.
pub fn serve(config: Config, beginning: Beginning) -> anyhow::Result<ExitCode> {
    let Beginning { sources, mut sockets, upgrade, signals } = beginning;
    let metrics = Arc::new(Metrics::new());
    log::watch(metrics.clone());
    let meeting = upgrade::socket(&config);
    // Before the app reads certificates, and before it waits for another process, which may be long.
    let sources = sources.map(|sources| (Seen::now(&sources, &config), sources));
    let app = if upgrade {
        let (predecessor, inherited) = Predecessor::meet(&meeting)?;
        sockets = inherited;
        App::take_over(predecessor, &mut sockets, config, metrics)?
    } else {
        App::start_on(&mut sockets, config, metrics)?
    };
    for addr in sockets.left() {
        if !upgrade {
            anyhow::bail!(
                "the service manager passes a socket for `{addr}`, on which nothing listens, \
                 hint: name it in `server.listen`, `server.tls.listen` or `server.admin`"
            );
        }
        info!(%addr, "nothing listens here any more");
    }
    drop(sockets);
    if let Some((seen, sources)) = sources {
        app.follow(sources, seen, signals.hang_up);
    }
    for addr in app.public_addrs() {
        info!(%addr, "serving");
    }
    for addr in app.tls_addrs() {
        info!(%addr, "serving, by TLS");
    }
    info!(addr = %app.admin_addr(), "admin listener");
    let listeners = app.edge.sockets().context("the listeners cannot be kept for another process")?;
    // The service manager's main process is this one from now on, whichever it started.
    tell_manager(&[NotifyState::MainPid(process::id()), NotifyState::Ready]);

    // Before anybody can see that the process serves.
    let ends = Ends::listen();
    let Finished { drained, failed, handed_over } = app.run(stop(ends, meeting, listeners, signals.quit));
    if failed {
        error!("the server ended by itself: a bug, please report it with the lines above");
        return Ok(ExitCode::FAILURE);
    }
    if drained.left_in_spool == 0 {
        info!(delivered = drained.delivered, "stopped, everything delivered");
        return Ok(ExitCode::SUCCESS);
    }
    if handed_over {
        info!(left = drained.left_in_spool, "stopped; the new process delivers what is left in the spool");
        return Ok(ExitCode::SUCCESS);
    }
    warn!(
        delivered = drained.delivered,
        left = drained.left_in_spool,
        "stopped; the next start delivers what is left in the spool"
    );
    Ok(ExitCode::FAILURE)
}

/// Resolves when a signal ends the process, or when another process has taken the listeners. Keeps copies of them, which
/// go with it: listeners close only when nobody has them.
async fn stop(
    ends: io::Result<Ends>,
    meeting: PathBuf,
    listeners: Vec<(SocketAddr, TcpListener)>,
    mut quit: Signal,
) -> Stop {
    let Ok(mut ends) = ends else {
        error!("cannot listen for signals; stop the process with SIGKILL");
        return std::future::pending().await;
    };
    let listeners = Arc::new(listeners);
    loop {
        tokio::select! {
            () = ends.come() => {
                tell_manager(&[NotifyState::Stopping]);
                ends.be_impatient();
                return Stop::Terminate;
            }
            Some(()) = quit.recv() => {}
        }
        info!("SIGQUIT: handing over to the process that waits at `{}`", meeting.display());
        let (at, offered) = (meeting.clone(), listeners.clone());
        match task::spawn_blocking(move || Successor::hand_over(&at, &offered)).await {
            Ok(Ok(successor)) => {
                ends.be_impatient();
                return Stop::Upgrade(successor);
            }
            Ok(Err(error)) => error!("not handed over, this process goes on: {error:#}"),
            Err(_) => error!("not handed over, this process goes on"),
        }
    }
}

/// Tells systemd, where it asks to be told. Else nobody listens.
fn tell_manager(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        warn!(%error, "the service manager cannot be told");
    }
}

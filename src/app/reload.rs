//! A running process takes a changed configuration: when a file it was read from changes, and on SIGHUP.
//!
//! It is read and checked as at the start. Whatever is wrong with it, nothing changes and the log says why. Keys that
//! stand fast for as long as the process runs are named, and the rest is taken. New certificates in the files that the
//! configuration names are taken without reading the configuration again, so that a wrong line there cannot make
//! certificates run out.

use std::{path::PathBuf, sync::Arc};

use tokio::{runtime, signal::unix::Signal, task, time};
use tracing::{info, warn};

use super::{
    edge_config, pipeline,
    watch::{Fingerprint, LOOK_EVERY, fingerprint},
};
use crate::{
    config::{self, Config, Sources},
    edge::Replacer,
    enrich::{Atlas, DeviceData},
    telemetry::{
        Metrics,
        metrics::{ByDataFile, ByReload},
    },
};

/// The files that are read again when they change: of every certificate, of our listeners and of upstreams, and of error
/// pages.
fn certificates_of(config: &Config) -> Vec<PathBuf> {
    let mut files = config.server.tls.files();
    files.extend(config.routes.iter().flat_map(|route| route.files()).cloned());
    files
}

/// What tells whether the sources are others, and whether the files of certificates are.
#[derive(Clone, PartialEq)]
pub struct Seen {
    sources: Fingerprint,
    certificates: Fingerprint,
}

impl Seen {
    /// As they are now. What is read after this and changes meanwhile is read once more.
    pub fn now(sources: &Sources, config: &Config) -> Seen {
        Seen { sources: fingerprint(&files_of(sources)), certificates: fingerprint(&certificates_of(config)) }
    }
}

fn files_of(sources: &Sources) -> Vec<PathBuf> {
    [&sources.file, &sources.env_file].into_iter().flatten().cloned().collect()
}

/// What it takes to put another configuration to use.
pub struct Reloader {
    /// Where it is read from.
    pub sources: Sources,
    /// The one the process began with: what stands fast is compared with it.
    pub began_with: Config,
    /// What the files were when it was read.
    pub seen: Seen,
    /// The edge.
    pub replacer: Replacer,
    /// What the steps of the pipeline ask.
    pub atlas: Atlas,
    /// Likewise.
    pub devices: DeviceData,
    /// To count.
    pub metrics: Arc<Metrics>,
}

impl Reloader {
    /// Watches from now on.
    pub fn start(self, runtime: &runtime::Handle, hang_ups: Signal) {
        runtime.spawn(self.watch(hang_ups));
    }

    async fn watch(self, mut hang_ups: Signal) {
        let this = Arc::new(self);
        let mut certificates = certificates_of(&this.began_with);
        let mut seen = this.seen.clone();
        let mut clock = time::interval(LOOK_EVERY);
        clock.set_missed_tick_behavior(time::MissedTickBehavior::Delay);
        loop {
            let asked = tokio::select! {
                _ = clock.tick() => false,
                Some(()) = hang_ups.recv() => {
                    info!("SIGHUP: reading the configuration again");
                    true
                }
            };
            let (reloader, named, before) = (this.clone(), certificates.clone(), seen.clone());
            let look = move || reloader.look(asked, named, &before);
            // A panic there is a bug, but none that should end the watch.
            if let Ok((now, named)) = task::spawn_blocking(look).await {
                (seen, certificates) = (now, named);
            }
        }
    }

    /// Takes what is new; what has been seen, and the certificates' files, from now on.
    fn look(&self, asked: bool, mut certificates: Vec<PathBuf>, before: &Seen) -> (Seen, Vec<PathBuf>) {
        let mut now = Seen { sources: fingerprint(&files_of(&self.sources)), certificates: fingerprint(&certificates) };
        let is_new = asked || now.sources != before.sources;
        if is_new && let Some((named, seen)) = self.reload() {
            (certificates, now.certificates) = (named, seen);
        } else if asked || now.certificates != before.certificates {
            self.renew();
        }
        (now, certificates)
    }

    /// Reads the configuration and puts it to use. The files of its certificates, unless nothing has changed, and what
    /// they were before they were read: one that changes while it is read is read once more.
    fn reload(&self) -> Option<(Vec<PathBuf>, Fingerprint)> {
        let refused = |why: &str| {
            warn!(%why, "the new configuration is not used; the old one stays");
            self.count("refused");
            None
        };
        let config = match config::load(&self.sources) {
            Ok(loaded) => loaded.config,
            Err(problems) => return refused(&problems.to_string()),
        };
        let certificates = certificates_of(&config);
        let seen = fingerprint(&certificates);
        let pipeline = pipeline(&config, &self.atlas, &self.devices);
        if let Err(problems) = self.replacer.replace(edge_config(&config), pipeline) {
            // Files that were readable a moment ago.
            let lines: Vec<_> =
                problems.iter().map(|problem| format!("{}: {}", problem.path, problem.message)).collect();
            return refused(&lines.join("\n"));
        }
        let fast = config.stands_fast(&self.began_with);
        if fast.is_empty() {
            info!("the new configuration is in use");
            self.count("taken");
        } else {
            warn!(keys = fast.join(", "), "the new configuration is in use, but for these keys, which need a restart");
            self.count("partly");
        }
        Some((certificates, seen))
    }

    fn renew(&self) {
        let outcome = match self.replacer.renew_certificates() {
            Ok(()) => {
                info!("certificates and error pages have been read again");
                "taken"
            }
            // The certificate and its key are two files: the second one's change brings us here again.
            Err(problems) => {
                for problem in problems {
                    let (key, why) = (problem.path, problem.message);
                    warn!(key, why, "the new certificate is not used; the old ones stay");
                }
                "refused"
            }
        };
        self.metrics.data_files_replaced.get_or_create(&ByDataFile { key: "server.tls.certificates", outcome }).inc();
    }

    fn count(&self, outcome: &'static str) {
        self.metrics.config_reloads.get_or_create(&ByReload { outcome }).inc();
    }
}

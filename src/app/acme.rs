//! Gets the certificates that the configuration wants, and renews them for as long as the process runs.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::{task::spawn_blocking, time::sleep};
use tracing::{error, info, warn};

use crate::{
    acme::{AcmeConfig, Failures, Store, Wanted, is_due_at, next_attempt, order},
    edge::Replacer,
};

/// How often the clock is looked at: a machine that slept has missed hours.
const LOOK_EVERY: Duration = Duration::from_secs(60);

/// For ever. The domains may change while the process runs: whatever is configured at the moment counts.
pub async fn keep(replacer: Replacer) {
    let luck = fastrand::f64();
    loop {
        let config = replacer.acme();
        let mut wait = LOOK_EVERY;
        // One after the other: what proves the names of one is nobody else's.
        for wanted in config.wanted() {
            wait = wait.min(look(&config, &wanted, &replacer, luck).await);
        }
        sleep(wait).await;
    }
}

/// Asks for a certificate if it is time; how long to wait before the next look.
async fn look(config: &AcmeConfig, wanted: &Wanted, replacer: &Replacer, luck: f64) -> Duration {
    let folder = Store::new(&wanted.folder);
    let store = folder.clone();
    let Some((kept, failures)) = aside(move || (store.kept(), store.failures())).await else { return LOOK_EVERY };
    let at = is_due_at(kept.as_ref(), &wanted.domains).max(next_attempt(failures, luck));
    let ahead = at.saturating_sub(now());
    if ahead > 0 {
        return Duration::from_secs(ahead as u64).min(LOOK_EVERY);
    }
    info!(domains = ?wanted.domains, directory = config.directory, "asking for a certificate");
    // Written down first: who dies in the middle of it, again and again, must not ask again and again.
    let failed = Failures { count: failures.count.saturating_add(1), last: now() };
    let store = folder.clone();
    match aside(move || store.keep_failures(failed)).await {
        Some(Ok(())) => {}
        Some(Err(error)) => {
            error!(%error, state = %wanted.folder.display(), "nothing can be kept in the state folder; no certificate is asked for");
            return LOOK_EVERY;
        }
        None => return LOOK_EVERY,
    }
    if let Err(error) = order(config, wanted, replacer.challenges(), failures.count).await {
        let next = Duration::from_secs(next_attempt(failed, luck).saturating_sub(now()).max(0) as u64);
        warn!(%error, domains = ?wanted.domains, attempts = failed.count, next_in = ?next, "no certificate");
        return next.min(LOOK_EVERY);
    }
    let replacer = replacer.clone();
    let renew = move || (folder.keep_failures(Failures::default()), replacer.renew_certificates());
    let Some((forgotten, renewed)) = aside(renew).await else { return LOOK_EVERY };
    if let Err(error) = forgotten {
        warn!(%error, "the state folder cannot be written any more");
    }
    match renewed {
        Ok(()) => info!(domains = ?wanted.domains, "a new certificate is in use"),
        Err(problems) => {
            for problem in problems {
                warn!(key = problem.path, why = problem.message, "the new certificate cannot be put to use");
            }
        }
    }
    LOOK_EVERY
}

/// Work with files, which may take its time, and not that of deliveries. None when it panicked, which has been told.
async fn aside<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    spawn_blocking(work).await.ok()
}

fn now() -> i64 {
    // A clock before 1970 is no clock.
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs() as i64)
}

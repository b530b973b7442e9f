//! What both lanes of the public listener need.

use std::{sync::Arc, time::Duration};

use arc_swap::ArcSwap;

use super::{Tuning, access::AccessLog, lifecycle::Lifecycle, live::Live};
use crate::acme::Challenges;

/// How long a visitor's connection may idle between requests.
const KEEPALIVE: Duration = Duration::from_secs(60);
/// The same for a load balancer's: it must close first, or requests meet a closing connection. Google's keeps 600 s.
const PROXY_KEEPALIVE: Duration = Duration::from_secs(620);

/// See the module.
pub struct Parts {
    /// What the configuration says now; a request takes it once.
    pub live: ArcSwap<Live>,
    /// Whether plain connections may begin with HTTP/2.
    pub h2c: bool,
    /// What proves to an authority that our domains are ours.
    pub challenges: Arc<Challenges>,
    /// Log line and metrics of every request.
    pub access: AccessLog,
    /// Counts requests in flight.
    pub lifecycle: Arc<Lifecycle>,
    /// Bounds.
    pub tuning: Tuning,
}

impl Parts {
    /// How long a connection may idle.
    pub fn keepalive(&self, from_trusted_proxy: bool) -> Duration {
        if from_trusted_proxy { PROXY_KEEPALIVE } else { KEEPALIVE }
    }
}

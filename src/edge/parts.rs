//! What both lanes of the public listener need.

use std::{net::IpAddr, sync::Arc};

use arc_swap::ArcSwap;
use http::StatusCode;

use super::{Tuning, access::AccessLog, connections::Connections, head::Bounds, lifecycle::Lifecycle, live::Live};
use crate::{
    acme::Challenges,
    telemetry::{Metrics, metrics::ByConnection},
};

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
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// Those that are there.
    pub connections: Arc<Connections>,
    /// Bounds.
    pub tuning: Tuning,
}

impl Parts {
    /// A connection has been refused.
    pub fn refused(&self, reason: &'static str) {
        self.metrics.connections_refused.get_or_create(&ByConnection { reason }).inc();
    }

    /// A request whose header could not be read has been answered with this status; its connection ends.
    pub fn turned_away(&self, status: StatusCode, reason: &'static str, peer: IpAddr) {
        self.refused(reason);
        self.live.load().access.refused(status.as_u16(), reason, peer, fastrand::f64());
    }

    /// What a request's header is given.
    pub fn header(&self) -> Bounds {
        let live = self.live.load();
        let server = live.server();
        Bounds { deadline: *server.timeouts.header, size: server.max_header.0 as usize }
    }
}

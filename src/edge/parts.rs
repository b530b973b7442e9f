//! What both lanes of the public listener need.

use std::{net::IpAddr, sync::Arc, time::Duration};

use http::HeaderMap;

use super::{
    Tuning,
    access::AccessLog,
    client_ip::{Client, Trust},
    endpoint::Endpoint,
    lifecycle::Lifecycle,
    request::RequestId,
    route::Router,
};

/// How long a visitor's connection may idle between requests.
const KEEPALIVE: Duration = Duration::from_secs(60);
/// The same for a load balancer's: it must close first, or requests meet a closing connection. Google's keeps 600 s.
const PROXY_KEEPALIVE: Duration = Duration::from_secs(620);

/// See the module.
pub struct Parts {
    /// Whose request is it?
    pub router: Router,
    /// Whose word counts?
    pub trust: Trust,
    /// Takes events.
    pub endpoint: Endpoint,
    /// Log line and metrics of every request.
    pub access: AccessLog,
    /// Counts requests in flight.
    pub lifecycle: Arc<Lifecycle>,
    /// Bounds.
    pub tuning: Tuning,
}

impl Parts {
    /// Who sent these headers over a connection from `peer`, and the name of the request.
    pub fn caller(&self, peer: IpAddr, headers: &HeaderMap) -> (Client, RequestId) {
        let client = self.trust.client(peer, headers);
        let id = if client.from_trusted_proxy { RequestId::given(headers) } else { RequestId::fresh() };
        (client, id)
    }

    /// How long a connection may idle.
    pub fn keepalive(&self, from_trusted_proxy: bool) -> Duration {
        if from_trusted_proxy { PROXY_KEEPALIVE } else { KEEPALIVE }
    }
}

//! What a configuration says of requests, without a listener and without anything that is kept: the same for those that
//! are served and for those that are only explained.

use std::net::IpAddr;

use http::HeaderMap;

use super::{
    Config,
    client_ip::{Client, Trust},
    cors::Cors,
    request::RequestId,
    route::Router,
};
use crate::pipeline::Pipeline;

/// See the module.
pub struct Rules {
    /// Whose request is it?
    pub(super) router: Router,
    /// Whose word counts?
    pub(super) trust: Trust,
    /// Which pages may send events?
    pub(super) cors: Cors,
    /// What becomes of them?
    pub(super) pipeline: Pipeline,
}

impl Rules {
    /// Those of a checked configuration.
    pub fn new(config: &Config, pipeline: Pipeline) -> Rules {
        Rules {
            router: Router::new(&config.streams_path, &config.script_path, &config.routes),
            trust: Trust::new(&config.server.trusted_proxies, config.server.trusted_hops),
            cors: Cors::new(&config.cors),
            pipeline,
        }
    }

    /// Who sent these headers over a connection from `peer`, and the name of the request.
    pub(super) fn caller(&self, peer: IpAddr, headers: &HeaderMap) -> (Client, RequestId) {
        let client = self.trust.client(peer, headers);
        let id = if client.from_trusted_proxy { RequestId::given(headers) } else { RequestId::fresh() };
        (client, id)
    }
}

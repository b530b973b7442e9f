//! What a configuration says of requests, without a listener and without anything that is kept: the same for those that
//! are served and for those that are only explained.

use std::net::IpAddr;

use http::{HeaderMap, HeaderName, HeaderValue};

use super::{
    Config,
    client_ip::{Client, Trust},
    cors::{Cors, Verdict},
    hops::tells_scheme,
    request::RequestId,
    route::Router,
    tls::Insistence,
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
    /// What is said to clients about TLS?
    pub(super) insistence: Insistence,
    /// What becomes of events?
    pub(super) pipeline: Pipeline,
}

impl Rules {
    /// Those of a checked configuration.
    pub fn new(config: &Config, pipeline: Pipeline) -> Rules {
        Rules {
            router: Router::new(&config.streams_path, &config.script_path, &config.routes),
            trust: Trust::new(&config.server.trusted_proxies, config.server.trusted_hops),
            cors: Cors::new(&config.cors),
            insistence: Insistence::new(&config.server.tls, &config.server.tls.listen),
            pipeline,
        }
    }

    /// Who sent these headers over a connection from `peer`, decrypted by us or not, and the name of the request.
    pub(super) fn caller(&self, peer: IpAddr, tls: bool, headers: &HeaderMap) -> (Client, RequestId) {
        let mut client = self.trust.client(peer, headers);
        // A trusted proxy knows how its client came; only about itself it need not say anything.
        client.secure |= tls && !(client.from_trusted_proxy && tells_scheme(headers));
        let id = if client.from_trusted_proxy { RequestId::given(headers) } else { RequestId::fresh() };
        (client, id)
    }

    /// Adds to the answer to an event what every one has to say, whatever its status.
    pub(super) fn decorate(&self, verdict: &Verdict, client: &Client, headers: &mut Vec<(HeaderName, HeaderValue)>) {
        verdict.decorate(headers);
        headers.extend(self.insistence.hsts(client.secure));
    }
}

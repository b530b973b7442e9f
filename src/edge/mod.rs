//! The listeners. The public one, on Pingora, ends collection itself and hands everything else to the site; the admin
//! one answers the operator. No other part of the house names Pingora.
//!
//! A request's way: `front` sends plain events down the `express` lane and hands everything else to Pingora, whose
//! phases are in `gateway`. `route::router` knows whose a request is; `endpoint` takes events of both lanes; `assets` and
//! `page` answer for themselves; `upstream` and `forward` serve the site's, `client_hints` asks on its pages, and `inject` puts
//! the script into them.

mod access;
mod admin;
mod alarm;
mod answer;
mod assets;
mod bind_error;
mod changes;
mod client_hints;
mod client_ip;
mod compress;
mod config;
mod connections;
mod cors;
mod duplex;
mod endpoint;
#[cfg(test)]
mod exchange;
mod explain;
mod express;
mod extent;
mod forward;
mod framing;
mod front;
mod gateway;
mod head;
mod hops;
mod inherited;
mod inject;
mod intake;
mod lifecycle;
mod list;
mod live;
mod negotiate;
mod number_or_text;
mod own_cookies;
mod page;
mod parts;
mod proxies;
mod proxy_protocol;
mod rate_limit;
mod request;
mod route;
mod rules;
mod serving;
mod sieve;
mod single;
mod threads;
mod tls;
mod tuning;
mod unread;
mod upload;
mod upstream;
mod via;

use std::time::Duration;

pub use access::{AccessLogConfig, Query};
pub use bind_error::BindError;
pub use config::{ConnectionsConfig, CorsConfig, ServerConfig, ShutdownConfig, TimeoutsConfig, UpgradeConfig};
pub use cors::AllowedOrigin;
pub use explain::{Asker, Explained};
pub use inherited::Inherited;
pub use intake::Intake;
pub use lifecycle::Ending;
pub use live::Replacer;
pub use proxies::TrustedProxy;
pub use route::{HEALTH_PATH, HostPattern, PathPattern, RouteConfig, check_routes};
pub use rules::Rules;
pub use serving::{Edge, Stopped};
pub use threads::Threads;
pub use tls::{CertificateConfig, ClientsConfig, HstsConfig, MinVersion, Setup as TlsSetup, TlsConfig};
#[doc(hidden)]
pub use tuning::Tuning;
pub use upstream::{Protocol, UpstreamConfig, UpstreamTlsConfig, UpstreamUrl};

/// Whatever reads a request's bytes before it has a place in the house: for the fuzz targets.
#[doc(hidden)]
pub mod foreign {
    pub use super::{
        access::Trace,
        assets::Asset,
        client_ip::{Client, Trust},
        cors::{Cors, Verdict},
        explain::{RawRequest, Unreadable, requests},
        express::{Found, find},
        extent::Extent,
        forward::tell,
        framing::{Sound, judge, without_host},
        inject::{Inject, Injection},
        own_cookies::OwnCookies,
        proxy_protocol::{Said, said},
        request::{RequestId, host},
        route::{Action, Asked, Range, Router, View, canonical, range},
    };
}

use crate::collect;

/// Everything the edge is told.
#[derive(Clone, Debug)]
pub struct Config {
    /// `server:`
    pub server: ServerConfig,
    /// `cors:`
    pub cors: CorsConfig,
    /// `routes:`
    pub routes: Vec<RouteConfig>,
    /// `collect.path`: the prefix above the stream ids.
    pub streams_path: String,
    /// `collect.script`: the tracking script's path.
    pub script_path: String,
    /// `collect.client_hints`: whether browsers are asked for hints on the site's pages.
    pub client_hints: bool,
    /// `collect.inject`: whether the pages of routes that say nothing of it get the tracking script.
    pub inject: bool,
    /// `collect.ack`: how long an answer waits for the destinations, where it does.
    pub ack: Option<Duration>,
    /// `collect.rate_limit`: how often one client and one stream may send.
    pub rate_limit: collect::RateLimitConfig,
    /// `collect.redact`: what the access log takes out of addresses, too.
    pub redact: collect::RedactConfig,
    /// The project whose traces the access log names; empty when there is none.
    pub project: String,
    /// Bounds that are no configuration, but for tests.
    #[doc(hidden)]
    pub tuning: Tuning,
}

impl Config {
    /// From the parts of the configuration file.
    pub fn new(server: &ServerConfig, cors: &CorsConfig, routes: &[RouteConfig], collect: &collect::Config) -> Config {
        Config {
            server: server.clone(),
            cors: cors.clone(),
            routes: routes.to_vec(),
            streams_path: collect.path.clone(),
            script_path: collect.script.clone(),
            client_hints: collect.client_hints,
            inject: collect.inject,
            ack: (collect.ack == collect::Ack::Delivered).then_some(*collect.ack_deadline),
            rate_limit: collect.rate_limit.clone(),
            redact: collect.redact.clone(),
            project: String::new(),
            tuning: Tuning::default(),
        }
    }
}

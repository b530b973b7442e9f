//! What one request carries from phase to phase.

use std::{sync::Arc, time::Instant};

use http::uri::PathAndQuery;
use pingora::{Error, ErrorSource, ErrorType, http::ResponseHeader, proxy::Session};

use super::{
    super::{
        access::Handler,
        changes::Changes,
        client_ip::Client,
        lifecycle::InFlight,
        live::Live,
        request::RequestId,
        tls::ClientCertificate,
        upload::Upload,
        upstream::{Address, At, Deadline, Lease, Passed},
    },
    session::{accepts_events, has_begun},
};
use crate::telemetry::proxying::Active;

/// See the module.
pub struct Context {
    pub started: Instant,
    /// The configuration that it began with.
    pub live: Arc<Live>,
    pub handler: Handler,
    /// Known from the first phase on.
    pub caller: Option<(Client, RequestId)>,
    /// The requested host, likewise.
    pub host: Box<str>,
    /// What it has shown, if it was asked for that.
    pub certificate: Option<ClientCertificate>,
    /// Whether the client asks us to speak another protocol from then on, known from the first phase on.
    pub wants_upgrade: bool,
    /// Index of the route, once the request is found to be the site's.
    pub route: usize,
    /// Counts it among that route's.
    pub active: Option<Active>,
    /// The target that the upstream is asked for, when it is another than the visitor's.
    pub target: Option<PathAndQuery>,
    /// Addresses that could not be reached, or did not answer.
    pub tried: Vec<At>,
    /// The upstream in use.
    pub chosen: Option<Lease>,
    /// Since when.
    pub chosen_at: Instant,
    /// When it has to be done, if its route says so.
    pub deadline: Option<Deadline>,
    /// What takes its body, if that is long, at the upstream in use.
    pub upload: Option<Arc<Upload>>,
    /// The one that was in use last.
    pub last: Option<Arc<Address>>,
    /// What the visitor's cookie should say about its upstream from now on.
    pub cookie: Option<String>,
    /// Whether the upstream is asked to speak another protocol from then on.
    pub upgrade: bool,
    /// What the answer's body goes through.
    pub changes: Changes,
    /// The head of the site's answer, when that has no body whose place a page could take, so that a page of ours with
    /// this status is sent.
    pub replaced: Option<Box<ResponseHeader>>,
    pub _in_flight: InFlight,
}

impl Context {
    /// Of a request that begins now, under the configuration that there is.
    pub fn new(live: Arc<Live>, in_flight: InFlight) -> Context {
        let now = Instant::now();
        Context {
            started: now,
            live,
            handler: Handler::Proxy,
            caller: None,
            host: Box::default(),
            certificate: None,
            wants_upgrade: false,
            route: usize::MAX,
            active: None,
            target: None,
            tried: Vec::new(),
            chosen: None,
            chosen_at: now,
            deadline: None,
            upload: None,
            last: None,
            cookie: None,
            upgrade: false,
            changes: Changes::default(),
            replaced: None,
            _in_flight: in_flight,
        }
    }

    /// What is there of the answer is about to be passed on.
    pub fn passed_on(&self) {
        if let Some(upload) = &self.upload {
            upload.passed_on();
        }
    }

    /// The deadline that has passed, if one has.
    pub fn passed(&self) -> Option<Passed> {
        self.deadline.as_ref()?.passed()
    }

    /// Whether what has been waited for in vain, before there was an answer, is more of the request.
    ///
    /// Over HTTP/2 to the site nobody tells us whether it takes what there is; the client is taken at its silence then.
    pub fn waits_for_client(&self, session: &mut Session, error: &Error) -> bool {
        *error.esource() == ErrorSource::Upstream
            && *error.etype() == ErrorType::ReadTimedout
            && !has_begun(session)
            && !session.is_body_done()
            && !self.wants_upgrade
            && !self.upload.as_ref().is_some_and(|upload| upload.is_behind())
    }

    /// Whether the answer may pause for long: WebSocket, server-sent events.
    pub fn may_be_quiet(&self, session: &Session) -> bool {
        self.wants_upgrade || accepts_events(session)
    }

    /// An attempt has failed, and another one follows or not.
    pub fn again(&self, lease: &Lease, again: bool) {
        if again {
            lease.server.meter.retries.inc();
            if let Some(meter) = self.live.upstreams.meter(self.route) {
                meter.retries.inc();
            }
        }
    }

    /// The request's name, for logs and pages.
    pub fn id(&self) -> &str {
        self.caller.as_ref().map_or("-", |(_, id)| id)
    }
}

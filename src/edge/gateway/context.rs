//! What one request carries from phase to phase.

use std::{sync::Arc, time::Instant};

use http::uri::PathAndQuery;

use super::super::{
    access::Handler,
    changes::Changes,
    client_ip::Client,
    lifecycle::InFlight,
    live::Live,
    request::RequestId,
    tls::ClientCertificate,
    upload::Upload,
    upstream::{Address, At, Deadline, Lease, Passed},
};

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
    /// Index of the route, once the request is found to be the site's.
    pub route: usize,
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
    pub _in_flight: InFlight,
}

impl Context {
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

    /// The request's name, for logs and pages.
    pub fn id(&self) -> &str {
        self.caller.as_ref().map_or("-", |(_, id)| id)
    }
}

//! What is measured of routes and upstreams. Label values are those of the configuration, never of a request, and those
//! that it no longer has are forgotten with it.

use std::{fmt, sync::Arc, time::Duration};

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::Registry,
};

use super::metrics::{CLASSES, class, durations};

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByRoute {
    route: Arc<str>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByRouteStatus {
    route: Arc<str>,
    status: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByRouteDirection {
    route: Arc<str>,
    direction: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByUpstream {
    upstream: Arc<str>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByUpstreamDirection {
    upstream: Arc<str>,
    direction: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByUpstreamStatus {
    upstream: Arc<str>,
    status: &'static str,
}

type Histograms<L> = Family<L, Histogram, fn() -> Histogram>;

/// All of them.
pub struct Proxying {
    route_requests: Family<ByRouteStatus, Counter>,
    route_request_seconds: Histograms<ByRoute>,
    route_bytes: Family<ByRouteDirection, Counter>,
    route_retries: Family<ByRoute, Counter>,
    route_active_requests: Family<ByRoute, Gauge>,
    upstream_requests: Family<ByUpstreamStatus, Counter>,
    upstream_response_seconds: Histograms<ByUpstream>,
    upstream_bytes: Family<ByUpstreamDirection, Counter>,
    upstream_retries: Family<ByUpstream, Counter>,
    upstream_ejections: Family<ByUpstream, Counter>,
    upstream_active_requests: Family<ByUpstream, Gauge>,
}

/// Of one route.
#[derive(Clone)]
pub struct RouteMeter {
    label: Arc<str>,
    requests: [Counter; 6],
    seconds: Histogram,
    received: Counter,
    sent: Counter,
    /// Attempts at upstreams after which another one was made.
    pub retries: Counter,
    /// Requests it is serving.
    active: Gauge,
}

/// A request that a route is serving; counted until this is dropped.
pub struct Active(Gauge);

impl Drop for Active {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// Of one upstream, whatever the route.
#[derive(Clone)]
pub struct UpstreamMeter {
    label: Arc<str>,
    requests: [Counter; 6],
    seconds: Histogram,
    received: Counter,
    sent: Counter,
    /// Requests that were tried again because of it.
    pub retries: Counter,
    /// Times it was left alone.
    pub ejections: Counter,
    /// Requests it is serving.
    pub active: Gauge,
}

impl Proxying {
    /// Registers every one.
    pub fn new(registry: &mut Registry) -> Proxying {
        let all = Proxying {
            route_requests: Family::default(),
            route_request_seconds: Family::new_with_constructor(durations),
            route_bytes: Family::default(),
            route_retries: Family::default(),
            route_active_requests: Family::default(),
            upstream_requests: Family::default(),
            upstream_response_seconds: Family::new_with_constructor(durations),
            upstream_bytes: Family::default(),
            upstream_retries: Family::default(),
            upstream_ejections: Family::default(),
            upstream_active_requests: Family::default(),
        };
        let r = registry;
        r.register("route_requests", "Requests of a route by status class", all.route_requests.clone());
        r.register(
            "route_request_seconds",
            "Time from the header of a route's request to the end of its answer",
            all.route_request_seconds.clone(),
        );
        r.register("route_bytes", "Bytes of bodies, received from and sent to visitors", all.route_bytes.clone());
        r.register(
            "route_retries",
            "Attempts at upstreams for a route's requests after which another one was made",
            all.route_retries.clone(),
        );
        r.register("route_active_requests", "Requests that a route is serving", all.route_active_requests.clone());
        r.register(
            "upstream_requests",
            "Attempts at an upstream by status class; none: no answer",
            all.upstream_requests.clone(),
        );
        r.register(
            "upstream_response_seconds",
            "Time from choosing an upstream to the header of its answer",
            all.upstream_response_seconds.clone(),
        );
        r.register(
            "upstream_bytes",
            "Bytes of bodies, received from and sent to an upstream; without those of upgraded connections",
            all.upstream_bytes.clone(),
        );
        r.register("upstream_retries", "Attempts after which another one was made", all.upstream_retries.clone());
        r.register("upstream_ejections", "Times an upstream was left alone", all.upstream_ejections.clone());
        r.register(
            "upstream_active_requests",
            "Requests that an upstream is serving",
            all.upstream_active_requests.clone(),
        );
        all
    }

    /// For a route under this label.
    pub fn route(&self, label: &str) -> RouteMeter {
        let route: Arc<str> = label.into();
        let bytes =
            |direction| self.route_bytes.get_or_create_owned(&ByRouteDirection { route: route.clone(), direction });
        let by = ByRoute { route: route.clone() };
        RouteMeter {
            requests: CLASSES
                .map(|status| self.route_requests.get_or_create_owned(&ByRouteStatus { route: route.clone(), status })),
            seconds: self.route_request_seconds.get_or_create_owned(&by),
            received: bytes("received"),
            sent: bytes("sent"),
            retries: self.route_retries.get_or_create_owned(&by),
            active: self.route_active_requests.get_or_create_owned(&by),
            label: route,
        }
    }

    /// For an upstream under this label.
    pub fn upstream(&self, label: &str) -> UpstreamMeter {
        let upstream: Arc<str> = label.into();
        let by = ByUpstream { upstream: upstream.clone() };
        let bytes = |direction| {
            self.upstream_bytes.get_or_create_owned(&ByUpstreamDirection { upstream: upstream.clone(), direction })
        };
        UpstreamMeter {
            requests: CLASSES.map(|status| {
                self.upstream_requests.get_or_create_owned(&ByUpstreamStatus { upstream: upstream.clone(), status })
            }),
            seconds: self.upstream_response_seconds.get_or_create_owned(&by),
            received: bytes("received"),
            sent: bytes("sent"),
            retries: self.upstream_retries.get_or_create_owned(&by),
            ejections: self.upstream_ejections.get_or_create_owned(&by),
            active: self.upstream_active_requests.get_or_create_owned(&by),
            label: upstream,
        }
    }

    /// A route that is no more.
    pub fn forget_route(&self, meter: &RouteMeter) {
        let route = &meter.label;
        for status in CLASSES {
            self.route_requests.remove(&ByRouteStatus { route: route.clone(), status });
        }
        let by = ByRoute { route: route.clone() };
        self.route_request_seconds.remove(&by);
        self.route_retries.remove(&by);
        self.route_active_requests.remove(&by);
        for direction in ["received", "sent"] {
            self.route_bytes.remove(&ByRouteDirection { route: route.clone(), direction });
        }
    }

    /// An upstream that is no more.
    pub fn forget_upstream(&self, meter: &UpstreamMeter) {
        let by = ByUpstream { upstream: meter.label.clone() };
        for status in CLASSES {
            self.upstream_requests.remove(&ByUpstreamStatus { upstream: meter.label.clone(), status });
        }
        for direction in ["received", "sent"] {
            self.upstream_bytes.remove(&ByUpstreamDirection { upstream: meter.label.clone(), direction });
        }
        self.upstream_response_seconds.remove(&by);
        self.upstream_retries.remove(&by);
        self.upstream_ejections.remove(&by);
        self.upstream_active_requests.remove(&by);
    }
}

impl RouteMeter {
    /// Its label.
    pub fn label(&self) -> &str {
        &self.label
    }

    /// A request has begun.
    pub fn begun(&self) -> Active {
        self.active.inc();
        Active(self.active.clone())
    }

    /// A request has ended, with this status or 0, after bodies of so many bytes.
    pub fn ended(&self, status: u16, took: Duration, received: usize, sent: usize) {
        self.requests[class(status)].inc();
        self.seconds.observe(took.as_secs_f64());
        self.received.inc_by(received as u64);
        self.sent.inc_by(sent as u64);
    }
}

impl UpstreamMeter {
    /// Its label.
    pub fn label(&self) -> &str {
        &self.label
    }

    /// An answer has begun.
    pub fn answered(&self, status: u16, took: Duration) {
        self.requests[class(status)].inc();
        self.seconds.observe(took.as_secs_f64());
    }

    /// A piece of a request's body goes there.
    pub fn sent(&self, bytes: usize) {
        self.sent.inc_by(bytes as u64);
    }

    /// A piece of an answer's body has come from there.
    pub fn received(&self, bytes: usize) {
        self.received.inc_by(bytes as u64);
    }

    /// There was none.
    pub fn unanswered(&self) {
        self.requests[0].inc();
    }
}

impl fmt::Debug for RouteMeter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.label.fmt(f)
    }
}

impl fmt::Debug for UpstreamMeter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.label.fmt(f)
    }
}

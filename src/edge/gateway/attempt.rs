//! One try to have the site answer: a server is chosen, connected to, and judged when it fails.

use std::{net::Ipv4Addr, os::fd::RawFd, sync::Arc, time::Instant};

use pingora::{Error, ErrorSource, ErrorType, Result, proxy::Session, upstreams::peer::HttpPeer};

use super::{
    super::{
        upload::Upload,
        upstream::{Deadline, Handle, Passed, Purpose, RetryOn, Seeker},
    },
    Context, Gateway,
    session::{cookie_named, duplex, has_begun, is_long, is_repeatable, single},
};

impl Gateway {
    /// The server that is asked next.
    pub(super) fn choose(&self, session: &mut Session, context: &mut Context) -> Result<Box<HttpPeer>> {
        if context.deadline.is_none() {
            let patience = context.live.upstreams.patience(context.route);
            context.deadline = patience.map(|patience| Deadline::new(patience, context.started));
        }
        let left = context.deadline.as_ref().and_then(|deadline| deadline.left(Instant::now()));
        if left.is_some_and(|left| left.is_zero()) {
            return Error::e_explain(ErrorType::ReadTimedout, Passed::Total.about())
                .map_err(|error: Box<Error>| error.into_up());
        }
        let cookie = context.live.upstreams.cookie(context.route);
        context.upload = (!context.wants_upgrade && is_long(session))
            .then(|| Arc::new(Upload::new(&self.parts.tuning, self.parts.lifecycle.clone())));
        let duplex = duplex(session).map(|duplex| Purpose::Duplex(duplex.clone(), self.parts.tuning.upstream_write));
        let seeker = Seeker {
            client: context.caller.as_ref().map_or(Ipv4Addr::UNSPECIFIED.into(), |(client, _)| client.ip),
            cookie: cookie.and_then(|name| cookie_named(&session.req_header().headers, name)),
            quiet: context.may_be_quiet(session),
            upgrade: context.wants_upgrade,
            purpose: duplex.or_else(|| context.upload.clone().map(Purpose::Upload)),
            left,
        };
        let choice = context.live.upstreams.choose(context.route, &context.tried, &seeker);
        let choice = choice.ok_or_else(|| Error::explain(ErrorType::HTTPStatus(502), "no upstream has an address"))?;
        context.last = Some(choice.lease.address.clone());
        context.chosen = Some(choice.lease);
        context.chosen_at = choice.at;
        context.cookie = choice.cookie;
        Ok(choice.peer)
    }
}

/// There is a connection to the server that was chosen.
pub fn connected(session: &mut Session, descriptor: RawFd, context: &mut Context) {
    // There is none of its own where HTTP/2 may be spoken.
    context.upload.take_if(|upload| !upload.is_connected());
    if let Some(upload) = &context.upload {
        upload.begin(context.live.upstreams.silence(context.route, context.may_be_quiet(session)));
        if let Some(single) = single(session) {
            single.heed(upload.clone());
        }
    }
    if let Some(deadline) = &mut context.deadline {
        let upload = || context.upload.as_ref()?.handle();
        let handle = duplex(session).and_then(|duplex| duplex.handle()).or_else(upload);
        deadline.connected(handle.or_else(|| Handle::of(descriptor)), context.upload.clone());
        if session.is_body_done() {
            deadline.asked(Instant::now());
        }
    }
}

/// There is none, and perhaps to another server.
pub fn unconnected(mut error: Box<Error>, context: &mut Context) -> Box<Error> {
    if let Some(lease) = context.chosen.take() {
        let at = lease.address.at.clone();
        tracing::warn!(upstream = %at, %error, request_id = context.id(), "cannot connect to an upstream");
        context.live.upstreams.unreachable(&lease);
        context.tried.push(at);
        let again = context.live.upstreams.may_retry(context.route, &context.tried, RetryOn::Connect);
        context.again(&lease, again);
        error.set_retry(again);
    }
    error
}

/// An attempt has failed: whether that says something about the server, and whether there is another one.
pub fn broken(session: &mut Session, mut error: Box<Error>, context: &mut Context, reused: bool) -> Box<Error> {
    // As Pingora itself decides: an idle connection that the server closed in the same moment is no failure.
    let repeatable = is_repeatable(session);
    error.retry.decide_reuse(reused);
    error.set_retry(repeatable && error.retry());
    if context.replaced.is_some() {
        return error;
    }
    let passed = context.passed();
    if let Some(passed) = passed {
        // It was us who ended the connection, whatever that looked like.
        error = late(passed, error);
    } else if let Some(upload) = &context.upload {
        if upload.was_too_slow() {
            error.etype = ErrorType::WriteTimedout;
        } else if upload.was_silent() {
            error.etype = ErrorType::ReadTimedout;
        }
    }
    if context.waits_for_client(session, &error) {
        // The site has nothing to answer before it knows the request: this says nothing about it.
        error.set_retry(false);
        return error.into_down();
    }
    if *error.esource() != ErrorSource::Upstream || has_begun(session) || error.retry() {
        return error;
    }
    if let Some(lease) = context.chosen.take() {
        let at = lease.address.at.clone();
        let failure = match error.etype() {
            // It did answer, so that it is not what ejection counts.
            ErrorType::HTTPStatus(status) => {
                tracing::warn!(upstream = %at, status, request_id = context.id(), "an answer is asked for elsewhere");
                RetryOn::Status(*status)
            }
            _ => {
                tracing::warn!(upstream = %at, %error, request_id = context.id(), "an upstream did not answer");
                lease.server.meter.unanswered();
                context.live.upstreams.unanswered(&lease);
                RetryOn::Failure
            }
        };
        context.tried.push(at);
        let again = repeatable
            && !matches!(passed, Some(Passed::Total | Passed::Upload))
            && context.live.upstreams.may_retry(context.route, &context.tried, failure);
        context.again(&lease, again);
        error.set_retry(again);
    }
    error
}

/// What a passed deadline is to Pingora: silence of the upstream, and nothing that it may repeat by itself.
pub fn late(passed: Passed, mut error: Box<Error>) -> Box<Error> {
    error.etype = ErrorType::ReadTimedout;
    error.set_context(passed.about());
    error.set_retry(false);
    error.into_up()
}

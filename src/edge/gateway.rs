//! Pingora's phases, in their order; each only delegates.

mod context;
mod session;
mod site_answer;
mod site_request;
mod verdict;

use std::{
    any::Any,
    future::poll_fn,
    net::Ipv4Addr,
    os::fd::RawFd,
    sync::Arc,
    time::{Duration, Instant},
};

use async_trait::async_trait;
use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, StatusCode, Uri, Version, header};
use pingora::{
    Error, ErrorSource, ErrorType, OrErr, Result,
    http::{RequestHeader, ResponseHeader},
    modules::http::HttpModules,
    protocols::Digest,
    proxy::{FailToProxy, ProxyHttp, ProxyWarnLogContext, Session},
    upstreams::peer::HttpPeer,
};

pub use self::context::Context;
use self::{
    session::{
        authority, caller, certificate, cookie_named, duplex, ends_with_connection, has_begun, is_bodiless,
        is_event_stream, is_interim, is_long, is_repeatable, may_be_quiet, may_lack_body, means_upgrade, single,
    },
    verdict::verdict,
};
use super::{
    access::{Ended, Handler},
    answer::{close_if_ending, linger, send, send_pieces},
    assets::Asset,
    changes::{Changes, OF_A_BODY},
    client_hints,
    client_ip::Client,
    forward,
    negotiate::IDENTITY,
    page::{healthy, page},
    parts::Parts,
    request::{self, RequestId},
    route::{Action, Asked, BODY_TOO_LARGE, Turn, View, asked},
    rules::Rules,
    tls::ClientCertificate,
    unread::Unread,
    upload::Upload,
    upstream::{At, Deadline, Handle, LONG_QUIET, Passed, Purpose, RetryOn, Seeker},
    via,
};
use crate::{collect::Reply, telemetry::proxying::RouteMeter};

/// All a request may meet.
#[derive(Clone)]
pub struct Gateway {
    /// What the express lane has, too.
    pub parts: Arc<Parts>,
    /// The tracking script.
    pub script: Arc<Asset>,
}

#[async_trait]
impl ProxyHttp for Gateway {
    /// Boxed: Pingora's futures hold it several times over.
    type CTX = Box<Context>;

    fn new_ctx(&self) -> Box<Context> {
        let now = Instant::now();
        Box::new(Context {
            started: now,
            live: self.parts.live.load_full(),
            handler: Handler::Proxy,
            caller: None,
            host: Box::default(),
            certificate: None,
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
            _in_flight: self.parts.lifecycle.enter(),
        })
    }

    /// What the front has put there, for a request that never comes this far.
    fn on_connection_reuse(&self, _: &mut Session, _: &mut Self::CTX, context: Box<dyn Any + Send + Sync>) {
        Unread::read(context);
    }

    /// None: Pingora's compression ignores weights and holds back streams.
    fn init_downstream_modules(&self, _: &mut HttpModules) {}

    async fn early_request_filter(&self, session: &mut Session, context: &mut Self::CTX) -> Result<()> {
        let (client, id) = caller(session, &context.live);
        context.live.forget_traces(&client, |name| drop(session.req_header_mut().remove_header(name)));
        // RFC 9110, 7.8: without that it is for somebody else. Pingora would say it to the site in the client's stead.
        if session.is_upgrade_req() && !means_upgrade(&session.req_header().headers) {
            session.req_header_mut().remove_header(&header::UPGRADE);
        }
        self.greet(session, &client);
        context.caller = Some((client, id));
        context.certificate = certificate(session);
        let header = session.req_header();
        context.host = request::host(&header.uri, &header.headers).into();
        Ok(())
    }

    async fn request_filter(&self, session: &mut Session, context: &mut Self::CTX) -> Result<bool> {
        let Some((client, id)) = &context.caller else { return Ok(false) };
        let header = session.req_header();
        let host = &*context.host;
        let asked = asked(header, host);
        let rules = &context.live.rules;
        let action = rules.router.action(&asked);
        if let Some(proof) = self.parts.challenges.http(header.uri.path()) {
            context.handler = Handler::Route;
            let kind = (header::CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
            let reply = Reply { status: StatusCode::OK, headers: vec![kind], body: proof.into() };
            send(session, reply, &self.parts.tuning).await;
            return Ok(true);
        }
        // Events are asked for theirs by the endpoint, in both lanes.
        let insists = !matches!(action, Action::Health | Action::Collect { .. });
        if let Some(elsewhere) = rules.insistence.redirect(client.secure, host, &header.uri).filter(|_| insists) {
            context.handler = Handler::Route;
            send(session, elsewhere, &self.parts.tuning).await;
            return Ok(true);
        }
        let mut reply = match action {
            _ if header.method == Method::TRACE => {
                context.handler = Handler::Route;
                let mut reply = page(StatusCode::METHOD_NOT_ALLOWED, "nothing is traced here", id, &header.headers);
                reply.headers.push((header::ALLOW, METHODS));
                reply
            }
            Action::Site { .. } if context.live.via().is_some_and(|name| via::has(&header.headers, name)) => {
                context.handler = Handler::Route;
                page(StatusCode::LOOP_DETECTED, "the request has been here before", id, &header.headers)
            }
            Action::Site { route } => {
                context.route = route;
                context.active = context.live.upstreams.meter(route).map(RouteMeter::begun);
                match context.live.routes[route].turn(&view(asked, client, id, &context.certificate)).await {
                    Turn::Upstreams(target) => {
                        context.target = target;
                        return Ok(false);
                    }
                    Turn::Reply(reply) => {
                        context.handler = Handler::Route;
                        reply
                    }
                    Turn::File(mut head, pieces) => {
                        context.handler = Handler::Route;
                        strict(&mut head.headers, rules, client);
                        let changes = |request: &RequestHeader, response: &mut ResponseHeader| {
                            Changes::begin(&context.live.routes[route], request, host, client.secure, response)
                        };
                        send_pieces(session, head, pieces, changes, &self.parts.tuning).await;
                        return Ok(true);
                    }
                }
            }
            Action::Collect { .. } => {
                context.handler = Handler::Collect;
                context.live.endpoint.serve(session, client, id).await;
                return Ok(true);
            }
            Action::Script => {
                context.handler = Handler::Asset;
                self.script.reply(&header.method, &header.headers)
            }
            Action::Health => {
                context.handler = Handler::Health;
                healthy()
            }
            Action::NotFound => {
                page(StatusCode::NOT_FOUND, "there is no route for this host and path", id, &header.headers)
            }
        };
        strict(&mut reply.headers, rules, client);
        send(session, reply, &self.parts.tuning).await;
        Ok(true)
    }

    async fn upstream_peer(&self, session: &mut Session, context: &mut Self::CTX) -> Result<Box<HttpPeer>> {
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
        context.upload = is_long(session).then(|| Arc::new(Upload::new(&self.parts.tuning)));
        let duplex = duplex(session).map(|duplex| Purpose::Duplex(duplex.clone(), self.parts.tuning.upstream_write));
        let seeker = Seeker {
            client: context.caller.as_ref().map_or(Ipv4Addr::UNSPECIFIED.into(), |(client, _)| client.ip),
            cookie: cookie.and_then(|name| cookie_named(&session.req_header().headers, name)),
            quiet: may_be_quiet(session),
            upgrade: session.is_upgrade_req(),
            purpose: duplex.or_else(|| context.upload.clone().map(Purpose::Upload)),
            left,
        };
        let choice = context.live.upstreams.choose(context.route, &context.tried, &seeker);
        let choice = choice.ok_or_else(|| Error::explain(ErrorType::HTTPStatus(502), "no upstream has an address"))?;
        context.last = Some(choice.lease.address.clone());
        context.chosen = Some(choice.lease);
        context.chosen_at = Instant::now();
        context.cookie = choice.cookie;
        Ok(choice.peer)
    }

    async fn connected_to_upstream(
        &self,
        session: &mut Session,
        _: bool,
        _: &HttpPeer,
        descriptor: RawFd,
        _: Option<&Digest>,
        context: &mut Self::CTX,
    ) -> Result<()> {
        if let (Some(upload), Some(single)) = (&context.upload, single(session)) {
            single.heed(upload.clone());
        }
        if let Some(deadline) = &mut context.deadline {
            let upload = || context.upload.as_ref()?.handle();
            let handle = duplex(session).and_then(|duplex| duplex.handle()).or_else(upload);
            deadline.connected(handle.or_else(|| Handle::of(descriptor)));
            if session.is_body_done() {
                deadline.asked(Instant::now());
            }
        }
        Ok(())
    }

    fn fail_to_connect(
        &self,
        _: &mut Session,
        _: &HttpPeer,
        context: &mut Self::CTX,
        mut error: Box<Error>,
    ) -> Box<Error> {
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

    fn error_while_proxy(
        &self,
        _: &HttpPeer,
        session: &mut Session,
        mut error: Box<Error>,
        context: &mut Self::CTX,
        reused: bool,
    ) -> Box<Error> {
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
        } else if context.upload.as_ref().is_some_and(|upload| upload.was_too_slow()) {
            error.etype = ErrorType::WriteTimedout;
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

    async fn upstream_request_filter(
        &self,
        session: &mut Session,
        request: &mut RequestHeader,
        context: &mut Self::CTX,
    ) -> Result<()> {
        let Some((client, id)) = &context.caller else { return Ok(()) };
        let header = session.req_header();
        let authority = authority(&header.uri, &header.headers);
        let host = context.chosen.as_ref().and_then(|lease| lease.server.host.as_ref());
        site_request::sift(request, client, context);
        let changes = forward::changes(&header.headers, authority.as_ref(), client, id, host);
        for name in changes.remove {
            request.remove_header(&name);
        }
        for (name, value) in changes.set {
            request.insert_header(name, value)?;
        }
        site_request::complete(request, header, authority.as_ref(), client, context)?;
        if let Some(target) = context.target.clone() {
            request.set_uri(Uri::from(target));
        }
        if let Some(route) = context.live.routes.get(context.route) {
            if route.injection.as_ref().is_some_and(|injection| injection.wants_plain(&header.method, &header.headers))
            {
                request.insert_header(header::ACCEPT_ENCODING, IDENTITY)?;
            }
            route.change_request(&view(asked(header, &context.host), client, id, &context.certificate), request);
        }
        context.upgrade = request.headers.contains_key(header::UPGRADE);
        Ok(())
    }

    async fn request_body_filter(
        &self,
        session: &mut Session,
        body: &mut Option<Bytes>,
        end: bool,
        context: &mut Self::CTX,
    ) -> Result<()> {
        if let Some(route) = context.live.routes.get(context.route)
            // The bytes of an upgraded connection are no body.
            && !session.was_upgraded()
            && route.is_too_long(session.as_downstream().body_bytes_read() as u64)
        {
            return Error::e_explain(ErrorType::HTTPStatus(413), BODY_TOO_LARGE)
                .map_err(|error: Box<Error>| error.into_down());
        }
        // Over HTTP/2 nothing else holds it back.
        if let (Some(upload), None) = (&context.upload, session.as_downstream().as_http1()) {
            poll_fn(|task| upload.poll_turn(task)).await;
        }
        if end && let Some(deadline) = &context.deadline {
            deadline.asked(Instant::now());
        }
        // Scar: Pingora issue 935. An empty last piece would be written as the end of the chunks, and then the end
        // again, which desynchronises the next request on that connection.
        if end && body.as_ref().is_some_and(Bytes::is_empty) {
            *body = None;
        }
        if let (Some(lease), Some(piece)) = (&context.chosen, &body) {
            lease.server.meter.sent(piece.len());
        }
        Ok(())
    }

    async fn upstream_response_filter(
        &self,
        session: &mut Session,
        response: &mut ResponseHeader,
        context: &mut Self::CTX,
    ) -> Result<()> {
        site_answer::settle(response, context.upgrade, session.req_header().version)?;
        let Some(lease) = context.chosen.as_ref().filter(|_| !is_interim(response.status)) else { return Ok(()) };
        let status = response.status.as_u16();
        lease.server.meter.answered(status, context.chosen_at.elapsed());
        if let Some(deadline) = &mut context.deadline {
            let goes_on = response.status == StatusCode::SWITCHING_PROTOCOLS || is_event_stream(&response.headers);
            if let Err(passed) = deadline.answered(goes_on) {
                return Err(late(passed, Error::new_up(ErrorType::ReadTimedout)));
            }
            if is_bodiless(&session.req_header().method, response) {
                deadline.done();
            }
        }
        let instead_of_this = |why| Error::e_explain(ErrorType::HTTPStatus(status), why);
        if context.live.upstreams.retries_on(context.route, RetryOn::Status(status)) && is_repeatable(session) {
            // Nothing of this answer has been sent on. The last one there can be stands, whatever it says.
            let tried: Vec<At> = context.tried.iter().chain([&lease.address.at]).cloned().collect();
            if context.live.upstreams.may_retry(context.route, &tried, RetryOn::Status(status)) {
                return instead_of_this("the answer is asked for elsewhere").map_err(|error| error.into_up());
            }
        }
        let route = context.live.routes.get(context.route);
        if route.is_some_and(|route| route.intercepts(response.status))
            && session.req_header().method != Method::HEAD
            && may_lack_body(response)
        {
            lease.address.succeed();
            context.replaced = Some(Box::new(response.clone()));
            return instead_of_this("a page takes its place").map_err(|error| error.into_up());
        }
        Ok(())
    }

    async fn response_filter(
        &self,
        session: &mut Session,
        response: &mut ResponseHeader,
        context: &mut Self::CTX,
    ) -> Result<()> {
        context.passed_on();
        close_if_ending(session);
        let route = context.live.routes.get(context.route).filter(|_| !is_interim(response.status));
        if let (Some(route), Some((client, id))) = (route, &context.caller) {
            let header = session.req_header();
            let view = view(asked(header, &context.host), client, id, &context.certificate);
            if route.intercepts(response.status) {
                let page = route.page_in_place(response.status, &view);
                context.changes = Changes::replace(page, &header.method, response)?;
                route.change_response(&view, response);
            } else {
                route.change_response(&view, response);
                // After the route's own changes: they may say `no-transform`, or of what type the answer is.
                context.changes = Changes::begin(route, header, &context.host, client.secure, response);
            }
            if let Some(lease) = &context.chosen {
                lease.address.succeed();
            }
            if let (Some(name), Some(tag)) = (context.live.upstreams.cookie(context.route), context.cookie.take()) {
                let secure = if client.secure { "; Secure" } else { "" };
                let cookie = format!("{name}={tag}; Path=/; HttpOnly; SameSite=Lax{secure}");
                response.append_header(header::SET_COOKIE, cookie)?;
            }
        }
        // The site and its route may have said something themselves.
        if let Some((client, _)) = &context.caller
            && let Some((name, value)) = context.live.rules.insistence.hsts(client.secure)
            && !response.headers.contains_key(&name)
        {
            response.insert_header(name, value)?;
        }
        if context.live.client_hints {
            client_hints::ask(response);
        }
        // RFC 9112, 6.1: HTTP/1.0 knows no chunks, and would take them for the answer. So it ends with the connection.
        if session.req_header().version < Version::HTTP_11
            && response.remove_header(&header::TRANSFER_ENCODING).is_some()
        {
            session.set_keepalive(None);
        }
        Ok(())
    }

    fn response_body_filter(
        &self,
        _: &mut Session,
        body: &mut Option<Bytes>,
        end: bool,
        context: &mut Self::CTX,
    ) -> Result<Option<Duration>> {
        context.passed_on();
        if let Some(passed) = context.passed() {
            // What looks like the end of the answer may be the end that we have put to the connection.
            return Err(late(passed, Error::new_up(ErrorType::ReadTimedout)));
        }
        if end && let Some(deadline) = &mut context.deadline {
            deadline.done();
        }
        if let (Some(lease), Some(piece)) = (&context.chosen, &body) {
            lease.server.meter.received(piece.len());
        }
        context.changes.piece(body, end).or_err(ErrorType::InternalError, "cannot compress an answer")?;
        Ok(None)
    }

    async fn fail_to_proxy(&self, session: &mut Session, error: &Error, context: &mut Self::CTX) -> FailToProxy {
        let (status, sentence) = match &context.replaced {
            Some(replaced) => (Some(replaced.status), ""),
            None => verdict(error),
        };
        let hopeless = FailToProxy { error_code: 0, can_reuse_downstream: false };
        let Some(status) = status.filter(|_| !has_begun(session)) else {
            if let Some(single) = single(session).filter(|_| ends_with_connection(session)) {
                single.break_off();
            }
            return hopeless;
        };
        session.set_keepalive(None);
        let header = session.req_header();
        let mut reply = match (context.live.routes.get(context.route), &context.caller) {
            (Some(route), Some((client, id))) => {
                route.page(status, sentence, &view(asked(header, &context.host), client, id, &context.certificate))
            }
            _ => page(status, sentence, context.id(), &header.headers),
        };
        if let Some(replaced) = &context.replaced {
            let of_the_site = replaced.headers.iter().filter(|(name, _)| !OF_A_BODY.contains(name));
            let kept: Vec<_> = of_the_site
                .filter(|(name, _)| reply.headers.iter().all(|(said, _)| said != *name))
                .map(|(name, value)| (name.clone(), value.clone()))
                .collect();
            reply.headers.extend(kept);
        }
        if let Some((client, _)) = &context.caller {
            strict(&mut reply.headers, &context.live.rules, client);
        }
        send(session, reply, &self.parts.tuning).await;
        FailToProxy { error_code: status.as_u16(), can_reuse_downstream: false }
    }

    async fn logging(&self, session: &mut Session, error: Option<&Error>, context: &mut Self::CTX) {
        let written = session.response_written().map(|header| header.status.as_u16());
        // A page in the place of the site's is what was asked for.
        let error = error.filter(|_| context.replaced.is_none());
        // A 100 alone is no answer.
        let status = written.filter(|status| *status != 100).unwrap_or(0);
        if let Some(error) = error.filter(|error| *error.esource() != ErrorSource::Downstream) {
            let upstream = context.last.as_ref().map(|address| &*address.name);
            let request_id = context.id();
            // A WebSocket's end: sites reset the connection after the last frames, since what comes then interests nobody.
            if status == StatusCode::SWITCHING_PROTOCOLS.as_u16() {
                tracing::debug!(%error, upstream, request_id, "a connection that was upgraded broke off");
            } else {
                tracing::warn!(%error, status, upstream, request_id, "a request failed");
            }
        }
        if let Some(deadline) = &mut context.deadline {
            deadline.done();
        }
        let took = context.started.elapsed();
        let (received, sent) = (session.as_downstream().body_bytes_read(), session.body_bytes_sent());
        let meter = context.live.upstreams.meter(context.route);
        if let Some(meter) = meter {
            meter.ended(status, took, received, sent);
        }
        let header = session.req_header();
        let ended = Ended {
            handler: context.handler,
            method: &header.method,
            host: &context.host,
            uri: &header.uri,
            version: header.version,
            headers: &header.headers,
            secure: context.caller.as_ref().is_some_and(|(client, _)| client.secure),
            received,
            status,
            bytes: sent,
            client: context.caller.as_ref().map(|(client, _)| client.ip),
            route: meter.map(RouteMeter::label),
            upstream: context.last.as_ref().map(|address| &*address.name),
            attempts: context.tried.len() + usize::from(context.chosen.is_some()),
            request_id: context.caller.as_ref().map(|(_, id)| id),
            took,
            aborted: error.is_some(),
        };
        self.parts.access.record(&ended, &context.live.access);
        // The site has answered before it knew all: a client that is still sending has to hear that.
        let is_cut_short = error.is_none() && context.handler == Handler::Proxy && context.replaced.is_none();
        if is_cut_short && !session.was_upgraded() && !session.is_body_done() {
            (context.chosen, context.active) = (None, None);
            linger(session, &self.parts.tuning).await;
        }
    }

    /// Pingora's own line would carry the query; ours is written in `logging`.
    fn suppress_error_log(&self, _: &Session, _: &Self::CTX, _: &Error) -> bool {
        true
    }

    fn suppress_proxy_warn_log(&self, _: &Session, _: &Self::CTX, _: &Error, _: ProxyWarnLogContext) -> bool {
        true
    }
}

impl Gateway {
    /// The bounds of a connection, which Pingora wants to hear again for every request.
    fn greet(&self, session: &mut Session, client: &Client) {
        let Parts { lifecycle, tuning, .. } = &*self.parts;
        // Only what would be kept alive anyway gets a limit: HTTP/1.0, `Connection: close` and requests whose framing
        // is doubtful have been sorted out by Pingora, and setting a time would bring them back.
        if session.get_keepalive().is_some() {
            let seconds = self.parts.keepalive(client.from_trusted_proxy).as_secs();
            session.set_keepalive((!lifecycle.is_ending()).then_some(seconds));
        }
        session.set_write_timeout(Some(tuning.downstream_write));
        session.set_total_drain_timeout(Some(tuning.linger));
        if session.is_upgrade_req() {
            session.set_read_timeout(Some(LONG_QUIET));
        }
        // RFC 9110, 10.1.1 and 15.2: HTTP/1.0 knows no answer before the answer, and would take it for that.
        if session.req_header().version < Version::HTTP_11 {
            session.req_header_mut().remove_header(&header::EXPECT);
            session.set_ignore_info_resp(true);
        }
    }
}

/// Tells browsers to stay with TLS, unless the answer says something of that kind itself.
fn strict(headers: &mut Vec<(HeaderName, HeaderValue)>, rules: &Rules, client: &Client) {
    let wanted = rules.insistence.hsts(client.secure);
    headers.extend(wanted.filter(|(name, _)| headers.iter().all(|(said, _)| said != name)));
}

/// What may be asked of the edge and what is behind it.
const METHODS: HeaderValue = HeaderValue::from_static("GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS");

/// What templates are filled from.
fn view<'a>(
    asked: Asked<'a>,
    client: &Client,
    id: &'a RequestId,
    certificate: &'a Option<ClientCertificate>,
) -> View<'a> {
    View { asked, client: client.ip, secure: client.secure, request_id: id, certificate: certificate.as_ref() }
}

/// What a passed deadline is to Pingora: silence of the upstream, and nothing that it may repeat by itself.
fn late(passed: Passed, mut error: Box<Error>) -> Box<Error> {
    error.etype = ErrorType::ReadTimedout;
    error.set_context(passed.about());
    error.set_retry(false);
    error.into_up()
}

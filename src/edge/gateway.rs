//! Pingora's phases, in their order; each only delegates.

mod attempt;
mod context;
mod ending;
mod own;
mod session;
mod site_answer;
mod site_request;
mod verdict;

use std::{
    any::Any,
    future::poll_fn,
    os::fd::RawFd,
    sync::Arc,
    time::{Duration, Instant},
};

use async_trait::async_trait;
use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, StatusCode, Uri, Version, header};
use pingora::{
    Error, ErrorType, OrErr, Result,
    http::{RequestHeader, ResponseHeader},
    modules::http::HttpModules,
    protocols::Digest,
    proxy::{FailToProxy, ProxyHttp, ProxyWarnLogContext, Session},
    upstreams::peer::HttpPeer,
};

pub use self::context::Context;
use self::{
    attempt::late,
    session::{
        authority, caller, certificate, is_bodiless, is_event_stream, is_interim, is_repeatable, may_lack_body,
        means_upgrade,
    },
};
use super::{
    answer::close_if_ending,
    assets::Asset,
    changes::Changes,
    client_hints,
    client_ip::Client,
    forward,
    negotiate::IDENTITY,
    parts::Parts,
    request::{self, RequestId},
    route::{Asked, BODY_TOO_LARGE, View, asked},
    rules::Rules,
    tls::ClientCertificate,
    unread::Unread,
    upstream::{At, LONG_QUIET, RetryOn},
};

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
        Box::new(Context::new(self.parts.live.load_full(), self.parts.lifecycle.enter()))
    }

    /// What the front has put there, for a request that never comes this far.
    fn on_connection_reuse(&self, _: &mut Session, _: &mut Self::CTX, context: Box<dyn Any + Send + Sync>) {
        Unread::read(context);
    }

    /// None: Pingora's compression ignores weights and holds back streams.
    fn init_downstream_modules(&self, _: &mut HttpModules) {}

    async fn early_request_filter(&self, session: &mut Session, context: &mut Self::CTX) -> Result<()> {
        let (client, id) = caller(session, &context.live);
        site_request::edit(session.req_header_mut(), |headers| {
            for name in context.live.untrusted_traces(&client, headers) {
                headers.remove(name);
            }
            Ok(())
        })?;
        // RFC 9110, 7.8: without that it is for somebody else. Pingora would say it to the site in the client's stead.
        let asks_upgrade = session.is_upgrade_req();
        context.wants_upgrade = asks_upgrade && means_upgrade(&session.req_header().headers);
        if asks_upgrade && !context.wants_upgrade {
            session.req_header_mut().remove_header(&header::UPGRADE);
        }
        self.greet(session, &client, context);
        context.caller = Some((client, id));
        context.certificate = certificate(session);
        let header = session.req_header();
        context.host = request::host(&header.uri, &header.headers).into();
        Ok(())
    }

    async fn request_filter(&self, session: &mut Session, context: &mut Self::CTX) -> Result<bool> {
        Ok(self.answer(session, context).await.is_some())
    }

    async fn upstream_peer(&self, session: &mut Session, context: &mut Self::CTX) -> Result<Box<HttpPeer>> {
        self.choose(session, context)
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
        attempt::connected(session, descriptor, context);
        Ok(())
    }

    fn fail_to_connect(&self, _: &mut Session, _: &HttpPeer, context: &mut Self::CTX, error: Box<Error>) -> Box<Error> {
        attempt::unconnected(error, context)
    }

    fn error_while_proxy(
        &self,
        _: &HttpPeer,
        session: &mut Session,
        error: Box<Error>,
        context: &mut Self::CTX,
        reused: bool,
    ) -> Box<Error> {
        attempt::broken(session, error, context, reused)
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
        let authority = authority.as_ref();
        site_request::edit(request, |headers| {
            site_request::sift(headers, client, context);
            forward::tell(headers, &header.headers, authority, client, id, host);
            site_request::complete(headers, header, authority, client, context)
        })?;
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
        self.apologise(session, error, context).await
    }

    async fn logging(&self, session: &mut Session, error: Option<&Error>, context: &mut Self::CTX) {
        self.record(session, error, context).await;
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
    fn greet(&self, session: &mut Session, client: &Client, context: &Context) {
        let Parts { lifecycle, tuning, .. } = &*self.parts;
        // Only what would be kept alive anyway gets a limit: HTTP/1.0, `Connection: close` and requests whose framing
        // is doubtful have been sorted out by Pingora, and setting a time would bring them back.
        if session.get_keepalive().is_some() {
            let seconds = context.live.keepalive(client.from_trusted_proxy).as_secs();
            session.set_keepalive((!lifecycle.is_ending()).then_some(seconds));
        }
        session.set_write_timeout(Some(tuning.downstream_write));
        session.set_total_drain_timeout(Some(tuning.linger));
        if context.wants_upgrade {
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

/// What templates are filled from.
fn view<'a>(
    asked: Asked<'a>,
    client: &Client,
    id: &'a RequestId,
    certificate: &'a Option<ClientCertificate>,
) -> View<'a> {
    View { asked, client: client.ip, secure: client.secure, request_id: id, certificate: certificate.as_ref() }
}

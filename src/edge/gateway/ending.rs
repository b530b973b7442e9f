//! How a request ends: with a page of ours when the site gave no answer, and with a line in the log.

use http::StatusCode;
use pingora::{
    Error, ErrorSource,
    proxy::{FailToProxy, Session},
};

use super::{
    super::{
        access::Ended,
        answer::{linger, send},
        changes::OF_A_BODY,
        page::page,
        route::asked,
    },
    Context, Gateway,
    session::{ends_with_connection, has_begun, single},
    strict,
    verdict::verdict,
    view,
};
use crate::telemetry::proxying::RouteMeter;

impl Gateway {
    /// Answers in the place of a site that has not, as far as that can still be done.
    pub(super) async fn apologise(&self, session: &mut Session, error: &Error, context: &mut Context) -> FailToProxy {
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

    /// Books the request, and lets a client that is still sending hear its answer.
    pub(super) async fn record(&self, session: &mut Session, error: Option<&Error>, context: &mut Context) {
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
        // What we answer ourselves has been lingered over before.
        let is_cut_short = error.is_none() && context.last.is_some() && context.replaced.is_none();
        if is_cut_short && !session.was_upgraded() && !session.is_body_done() {
            (context.chosen, context.active) = (None, None);
            linger(session, &self.parts.tuning).await;
        }
    }
}

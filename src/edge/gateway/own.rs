//! What the edge answers itself: events, the script, files, pages, redirects. Everything else goes on to the site.

use http::{HeaderValue, Method, StatusCode, header};
use pingora::{
    http::{RequestHeader, ResponseHeader},
    proxy::Session,
};

use super::{
    super::{
        access::Handler,
        answer::{send, send_pieces},
        changes::Changes,
        page::{healthy, page},
        route::{Action, Turn, asked},
        via,
    },
    Context, Gateway, strict, view,
};
use crate::{collect::Reply, telemetry::proxying::RouteMeter};

/// What may be asked of the edge and what is behind it.
const METHODS: HeaderValue = HeaderValue::from_static("GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS");

impl Gateway {
    /// Answers what is not the site's to answer. None: it is.
    pub(super) async fn answer(&self, session: &mut Session, context: &mut Context) -> Option<()> {
        let (client, id) = context.caller.as_ref()?;
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
            return Some(());
        }
        // Events are asked for theirs by the endpoint, in both lanes.
        let insists = !matches!(action, Action::Health | Action::Collect { .. });
        if let Some(elsewhere) = rules.insistence.redirect(client.secure, host, &header.uri).filter(|_| insists) {
            context.handler = Handler::Route;
            send(session, elsewhere, &self.parts.tuning).await;
            return Some(());
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
                        return None;
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
                        return Some(());
                    }
                }
            }
            Action::Collect { .. } => {
                context.handler = Handler::Collect;
                context.live.endpoint.serve(session, client, id).await;
                return Some(());
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
        Some(())
    }
}

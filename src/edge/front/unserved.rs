//! Requests that nobody serves: their header does not come, or has a fault.

use std::time::Instant;

use http::{Method, StatusCode};
use pingora::protocols::Stream;

use super::{
    super::{
        access::{Ended, Handler},
        express,
        framing::Fault,
        head::{self, Outline, Unfit},
        page::page,
        parts::Parts,
        request::host,
    },
    Front, peer,
};

impl Front {
    /// Ends a connection whose request's header does not come.
    pub(super) async fn refuse(&self, stream: Stream, unfit: Unfit) {
        let (reason, status) = match unfit {
            Unfit::Slow => ("slow_header", StatusCode::REQUEST_TIMEOUT),
            Unfit::Large => ("large_header", StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE),
            Unfit::Gone => return,
        };
        self.parts.turned_away(status, reason, peer(&stream));
        let text = format!("{status}\n");
        let answer = format!(
            "HTTP/1.1 {status}\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: {}\r\n\
             Cache-Control: no-store\r\nConnection: close\r\n\r\n{text}",
            text.len()
        );
        head::refuse(stream, answer.as_bytes(), &self.parts.tuning).await;
    }

    /// Ends a connection whose request's header is there, and has a fault.
    pub(super) async fn reject(&self, stream: Stream, head: &[u8], fault: Fault) {
        let Parts { access, lifecycle, tuning, .. } = &*self.parts;
        let (started, _in_flight, live) = (Instant::now(), lifecycle.enter(), self.parts.live.load_full());
        let Outline { method, uri, version, headers } = Outline::of(head);
        let (client, id) = live.rules.caller(peer(&stream), stream.get_ssl_digest().is_some(), &headers);
        let mut reply = page(fault.status, fault.about, &id, &headers);
        reply.headers.extend(live.rules.insistence.hsts(client.secure));
        self.parts.refused(fault.reason);
        tracing::debug!(request_id = &*id, fault.about, "a request is malformed");
        let mut wire = express::wire(&reply, true);
        let mut bytes = reply.body.len();
        if method == Method::HEAD {
            wire.truncate(wire.len() - bytes);
            bytes = 0;
        }
        let aborted = !head::refuse(stream, &wire, tuning).await;
        let ended = Ended {
            handler: Handler::Route,
            method: &method,
            host: &host(&uri, &headers),
            uri: &uri,
            version,
            headers: &headers,
            secure: client.secure,
            received: 0,
            status: fault.status.as_u16(),
            bytes,
            client: Some(client.ip),
            route: None,
            upstream: None,
            attempts: 0,
            request_id: Some(&id),
            took: started.elapsed(),
            aborted,
        };
        access.record(&ended, &live.access);
    }
}

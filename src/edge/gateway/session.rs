//! What is asked of Pingora's session and its headers.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
};

use http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, Version, header};
use pingora::{http::ResponseHeader, proxy::Session};

use super::super::{
    client_ip::Client, duplex::Duplex, framing::decimal, list::members, live::Live, request::RequestId, single::Single,
    tls::ClientCertificate, upload::ENOUGH,
};

/// Who sent the request, and its name.
pub fn caller(session: &Session, live: &Live) -> (Client, RequestId) {
    let peer = session.client_addr().and_then(|address| address.as_inet()).map(SocketAddr::ip);
    let tls = session.digest().is_some_and(|digest| digest.ssl_digest.is_some());
    live.rules.caller(peer.unwrap_or(Ipv4Addr::UNSPECIFIED.into()), tls, &session.req_header().headers)
}

/// What the client has shown of itself, if our TLS asked for that.
pub fn certificate(session: &Session) -> Option<ClientCertificate> {
    ClientCertificate::of(session.digest()?.ssl_digest.as_ref()?)
}

/// The connection as the request sees it, over HTTP/1.
pub fn single(session: &Session) -> Option<&Single> {
    (**session.as_downstream().as_http1()?.stream()).as_any().downcast_ref()
}

/// Both sides of a connection that is to become a WebSocket.
pub fn duplex(session: &Session) -> Option<&Arc<Duplex>> {
    single(session)?.duplex().filter(|_| session.is_upgrade_req())
}

/// Whether there is, or may be, so much of a body to come that the site may answer before it has read all. Not for a
/// request that wants an upgrade.
pub fn is_long(session: &mut Session) -> bool {
    let length = session.req_header().headers.get(header::CONTENT_LENGTH);
    match length.and_then(|length| decimal(length.as_bytes())) {
        Some(length) => length > ENOUGH as u64,
        None => match single(session) {
            Some(single) => !single.is_whole(),
            None => !session.as_downstream_mut().is_body_empty(),
        },
    }
}

/// Whether nothing is lost when the request is sent once more.
pub fn is_repeatable(session: &Session) -> bool {
    session.req_header().method.is_idempotent() && !session.as_ref().retry_buffer_truncated()
}

/// Whether the client has seen the beginning of an answer.
pub fn has_begun(session: &Session) -> bool {
    session.response_written().is_some_and(|header| !is_interim(header.status))
}

/// Whether an answer has begun whose end only that of the connection tells (RFC 9112, 6.3).
pub fn ends_with_connection(session: &Session) -> bool {
    has_begun(session)
        && session.response_written().is_some_and(|header| {
            header.status != StatusCode::SWITCHING_PROTOCOLS
                && !header.headers.contains_key(header::CONTENT_LENGTH)
                && !header.headers.contains_key(header::TRANSFER_ENCODING)
        })
}

/// The first cookie of this name.
pub fn cookie_named<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let lines = headers.get_all(header::COOKIE).iter().filter_map(|line| line.to_str().ok());
    let mut cookies = lines.flat_map(|line| line.split(';')).filter_map(|cookie| cookie.trim().split_once('='));
    cookies.find(|(known, _)| *known == name).map(|(_, value)| value)
}

/// An answer that announces another; 101 is the last one.
pub fn is_interim(status: StatusCode) -> bool {
    status.is_informational() && status != StatusCode::SWITCHING_PROTOCOLS
}

/// Whether the client asks for server-sent events.
pub fn accepts_events(session: &Session) -> bool {
    let mut accepts = session.req_header().headers.get_all(header::ACCEPT).iter();
    accepts.any(|value| value.as_bytes().starts_with(b"text/event-stream"))
}

/// Whether `Connection` says that `Upgrade` is for us.
pub fn means_upgrade(headers: &HeaderMap) -> bool {
    members(headers, &header::CONNECTION).any(|word| word.eq_ignore_ascii_case(b"upgrade"))
}

/// Whether an answer is one of server-sent events.
pub fn is_event_stream(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).map_or(&b""[..], HeaderValue::as_bytes);
    kind.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii().eq_ignore_ascii_case(b"text/event-stream")
}

/// Whether the head is all there is of an answer.
pub fn is_bodiless(method: &Method, response: &ResponseHeader) -> bool {
    *method == Method::HEAD
        || matches!(response.status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED)
        || response.headers.get(header::CONTENT_LENGTH).is_some_and(|length| length.as_bytes() == b"0")
}

/// Whether an answer has no body, or may have none, for all that its head tells.
pub fn may_lack_body(response: &ResponseHeader) -> bool {
    match response.headers.get(header::CONTENT_LENGTH) {
        Some(length) => length.as_bytes() == b"0",
        None => response.version == Version::HTTP_2,
    }
}

/// The requested host with its port.
pub fn authority(uri: &Uri, headers: &HeaderMap) -> Option<HeaderValue> {
    let target = uri.authority().and_then(|authority| HeaderValue::from_str(authority.as_str()).ok());
    target.or_else(|| headers.get(header::HOST).cloned())
}

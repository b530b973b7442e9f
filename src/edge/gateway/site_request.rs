//! What becomes of a request's header on its way to the site, beside what is said there about the visitor.

use std::mem;

use http::{HeaderMap, HeaderName, HeaderValue, Request, header, request::Parts};
use pingora::{ErrorType, OrErr, Result, http::RequestHeader};

use super::{
    super::{client_ip::Client, forward, sieve::Sieve, via},
    context::Context,
};

/// Changes the headers of a request, as they are without Pingora's copy of how their names were written.
///
/// With it, each header that is put in, taken out or copied is so twice, and read letter by letter before. Sites know
/// names in lower case anyway: HTTP/2 has no others (RFC 9113, 8.2).
///
/// # Errors
/// What stood as the target is none; it has been taken before.
pub fn edit(request: &mut RequestHeader, change: impl FnOnce(&mut HeaderMap) -> Result<()>) -> Result<()> {
    let shown = request.uri.path_and_query().map_or(&b""[..], |target| target.as_str().as_bytes());
    // Bytes that a URI does not have.
    let target = (request.raw_path() != shown).then(|| Box::from(request.raw_path()));
    let ends_with_header = request.send_end_stream();
    let empty = || -> Parts { Request::new(()).into_parts().0 };
    let mut parts = Parts::from(mem::replace(request, empty().into()));
    let changed = change(&mut parts.headers);
    *request = parts.into();
    if let Some(target) = target {
        let target: Box<[u8]> = target;
        request.set_raw_path(&target)?;
    }
    if let Some(ends) = ends_with_header {
        request.set_send_end_stream(ends);
    }
    changed
}

/// Takes out what the site is not to hear from this client. `headers` are those that go to the site.
pub fn sift(headers: &mut HeaderMap, client: &Client, context: &Context) {
    let sieve = Sieve { keeps_underscores: context.live.server().underscores_in_headers };
    let route = context.live.routes.get(context.route);
    let caught: Vec<HeaderName> = sieve.catches(headers, client.from_trusted_proxy, route).cloned().collect();
    for name in caught {
        headers.remove(name);
    }
}

/// Puts in what they lack after the forwarding headers, and takes out our cookies, which are on one line then. `sent` is
/// what the client has sent, to this `authority`.
///
/// # Errors
/// An upstream's name is no host.
pub fn complete(
    headers: &mut HeaderMap,
    sent: &RequestHeader,
    authority: Option<&HeaderValue>,
    client: &Client,
    context: &Context,
) -> Result<()> {
    if context.live.server().forwarded && !headers.contains_key(header::FORWARDED) {
        headers.insert(header::FORWARDED, forward::begun(client, authority));
    }
    if let Some(name) = context.live.via() {
        headers.insert(header::VIA, via::with(&sent.headers, sent.version, name));
    }
    // RFC 9112, 3.2: HTTP/1.0 may do without, HTTP/1.1 may not, and that is what the site is spoken to.
    if authority.is_none()
        && !headers.contains_key(header::HOST)
        && let Some(lease) = &context.chosen
    {
        let host = HeaderValue::try_from(lease.server.url.authority(None));
        headers.insert(header::HOST, host.or_err(ErrorType::InvalidHTTPHeader, "an upstream's name is no host")?);
    }
    if let Some(own) = context.live.own_cookies.get(context.route) {
        own.take_out(headers);
    }
    Ok(())
}

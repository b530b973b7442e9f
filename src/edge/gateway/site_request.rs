//! What becomes of a request's header on its way to the site, beside what is said there about the visitor.

use http::{HeaderValue, header};
use pingora::{Result, http::RequestHeader};

use super::{
    super::{client_ip::Client, forward, sieve::Sieve, via},
    context::Context,
};

/// Takes out what the site is not to hear from this client. `request` is what goes to the site.
pub fn sift(request: &mut RequestHeader, client: &Client, context: &Context) {
    let sieve = Sieve { keeps_underscores: context.live.server().underscores_in_headers };
    let route = context.live.routes.get(context.route);
    let caught: Vec<_> = sieve.catches(&request.headers, client.from_trusted_proxy, route).cloned().collect();
    for name in caught {
        request.remove_header(&name);
    }
    // Pingora reads no trailers of requests; from HTTP/1 it takes the announcement away itself.
    request.remove_header(&header::TRAILER);
}

/// Puts in what it lacks after the forwarding headers, and takes out our cookies, which are on one line then. `sent` is
/// what the client has sent, to this `authority`.
pub fn complete(
    request: &mut RequestHeader,
    sent: &RequestHeader,
    authority: Option<&HeaderValue>,
    client: &Client,
    context: &Context,
) -> Result<()> {
    if context.live.server().forwarded && !request.headers.contains_key(header::FORWARDED) {
        request.insert_header(header::FORWARDED, forward::begun(client, authority))?;
    }
    if let Some(name) = context.live.via() {
        request.insert_header(header::VIA, via::with(&sent.headers, sent.version, name))?;
    }
    // RFC 9112, 3.2: HTTP/1.0 may do without, HTTP/1.1 may not, and that is what the site is spoken to.
    if authority.is_none()
        && !request.headers.contains_key(header::HOST)
        && let Some(lease) = &context.chosen
    {
        request.insert_header("Host", lease.server.url.authority(None))?;
    }
    if let Some(own) = context.live.own_cookies.get(context.route) {
        own.take_out(request);
    }
    Ok(())
}

//! What becomes of a request's header on its way to the site, beside what is said there about the visitor.

use std::mem;

use http::{
    HeaderMap, HeaderName, HeaderValue, Request, header,
    request::Parts,
    uri::{Authority, PathAndQuery},
};
use pingora::{ErrorType, OrErr, Result, http::RequestHeader};

use super::{
    super::{client_ip::Client, forward, sieve::Sieve, via},
    context::Context,
};

/// Changes the headers of a request, and has Pingora forget how their names were written.
///
/// As long as it knows, each header that is put in, taken out or copied is so twice, and read letter by letter before.
/// Sites know names in lower case anyway: HTTP/2 has no others (RFC 9113, 8.2).
///
/// # Errors
/// Those of the change. A target that was taken once is taken again.
pub fn edit(request: &mut RequestHeader, change: impl FnOnce(&mut HeaderMap) -> Result<()>) -> Result<()> {
    let uri = &request.uri;
    let shown = uri.path_and_query().map(PathAndQuery::as_str).or(uri.authority().map(Authority::as_str));
    // Bytes that a URI does not have stand beside it.
    let target = Some(request.raw_path()).filter(|raw| *raw != shown.unwrap_or_default().as_bytes());
    let target = target.map(Box::<[u8]>::from);
    let empty = RequestHeader::from(Request::new(()).into_parts().0);
    let mut parts = Parts::from(mem::replace(request, empty));
    let changed = change(&mut parts.headers);
    *request = parts.into();
    if let Some(target) = target {
        request.set_raw_path(&target)?;
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

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use http::Uri;

    use super::*;

    fn edited(mut request: RequestHeader) -> RequestHeader {
        let added = |headers: &mut HeaderMap| {
            headers.insert("x-b", HeaderValue::from_static("2"));
            Ok(())
        };
        edit(&mut request, added).unwrap();
        assert!(!request.has_case());
        request
    }

    #[test]
    fn all_but_how_names_were_written_stays() {
        for target in [&b"/a?b=c"[..], b"/\xff?\xfe", b"*", b"http://a.example/b"] {
            let mut request = RequestHeader::build("OPTIONS", target, None).unwrap();
            request.append_header("X-A", "1").unwrap();
            request.append_header("x-a", "3").unwrap();
            let (uri, version) = (request.uri.clone(), request.version);
            let request = edited(request);
            assert_eq!((request.raw_path(), &request.uri, request.version), (target, &uri, version));
            assert_eq!(request.method, "OPTIONS");
            let lines: Vec<_> =
                request.headers.iter().map(|(name, value)| (name.as_str(), value.to_str().unwrap())).collect();
            assert_eq!(lines, [("x-a", "1"), ("x-a", "3"), ("x-b", "2")]);
        }
    }

    /// As over HTTP/2.
    #[test]
    fn a_target_that_is_an_authority_stays_one() {
        let uri: Uri = "a.example:443".parse().unwrap();
        let parts = Request::builder().method("CONNECT").uri(uri.clone()).body(()).unwrap().into_parts().0;
        assert_eq!(edited(parts.into()).uri, uri);
    }
}

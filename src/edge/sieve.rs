//! Names of request headers that do not go on to the site: those that servers take for another header's, those by which
//! a stranger would speak in a proxy's stead, and what announces trailers, which are not read. Pure.

use http::{HeaderMap, HeaderName};

use super::{proxies::CLIENTS, route::Route};

/// Which trace a request belongs to, as W3C and Google write it. Who believes a stranger lets it write into a trace of
/// somebody's own, and say whether that is kept (Trace Context, 7.2: a service may restart a trace at its front).
pub static TRACES: [HeaderName; 3] = [
    HeaderName::from_static("traceparent"),
    HeaderName::from_static("tracestate"),
    HeaderName::from_static("x-cloud-trace-context"),
];

/// What a configuration says of it.
#[derive(Clone, Copy, Debug)]
pub struct Sieve {
    /// Whether names with `_` pass that are nobody else's.
    pub keeps_underscores: bool,
}

impl Sieve {
    /// The names to leave out of a request on this route, in the order of the headers.
    pub fn catches<'a>(
        self,
        headers: &'a HeaderMap,
        from_trusted_proxy: bool,
        route: Option<&'a Route>,
    ) -> impl Iterator<Item = &'a HeaderName> {
        headers.keys().filter(move |name| {
            let text = name.as_str();
            // CGI and its heirs (WSGI, PHP) know headers as `HTTP_NAME`, in which `-` is `_`.
            let is_twin = text.bytes().any(|byte| byte == b'_')
                && (!self.keeps_underscores || is_ours(&text.replace('_', "-"), route));
            // `Trailer` announces what Pingora does not read; from HTTP/1 it takes that away itself.
            is_twin || matches!(text, "proxy" | "trailer") || !from_trusted_proxy && speaks_for_a_proxy(text)
        })
    }
}

/// Whether whoever reads this name believes that we, or the route, have said what stands there.
fn is_ours(name: &str, route: Option<&Route>) -> bool {
    const OURS: [&str; 8] = [
        "content-length",
        "transfer-encoding",
        "keep-alive",
        "proxy-connection",
        "proxy-authorization",
        "x-real-ip",
        "x-request-id",
        "x-cloud-trace-context",
    ];
    OURS.contains(&name)
        || name.starts_with("x-forwarded-")
        || speaks_for_a_proxy(name)
        || route.is_some_and(|route| route.settles(name))
}

/// Whether proxies tell by this name whom they speak for, how they were reached, or what was asked for. What we ourselves
/// say of that stands in others, which are set in any case.
fn speaks_for_a_proxy(name: &str) -> bool {
    if let Some(what) = name.strip_prefix("x-forwarded") {
        return !matches!(what, "-for" | "-proto" | "-host");
    }
    let is_usual = matches!(
        name,
        "client-ip"
            | "x-client-ip"
            | "x-cluster-client-ip"
            | "x-remote-ip"
            | "x-remote-addr"
            | "x-originating-ip"
            | "x-proxyuser-ip"
            | "proxy-client-ip"
            | "wl-proxy-client-ip"
            | "forwarded-for"
            | "cf-connecting-ipv6"
            | "cf-pseudo-ipv4"
            | "fly-client-ip"
            | "x-appengine-user-ip"
            | "x-azure-clientip"
            | "x-azure-socketip"
            | "x-envoy-external-address"
            | "x-envoy-internal"
            | "x-original-forwarded-for"
            | "x-original-host"
            | "x-original-method"
            | "x-original-uri"
            | "x-original-url"
            | "x-rewrite-url"
            | "x-host"
            | "x-http-host-override"
            | "x-scheme"
            | "x-url-scheme"
            | "front-end-https"
    );
    is_usual || CLIENTS.contains(&name)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use http::HeaderValue;

    use super::{
        super::route::{Route, RouteConfig},
        *,
    };

    #[test]
    fn what_it_catches_depends_on_trust_and_on_what_is_said() {
        let json =
            r#"{"request_headers": {"set": {"X-Subject": "a"}, "add": {"X-Tag": "b"}, "remove": ["X-Inner-Key"]}}"#;
        let config: RouteConfig = serde_json::from_str(json).unwrap();
        let route = Route::new(&config, None, None);
        for (name, stranger, proxy, kept) in [
            ("x-forwarded-for", true, true, true),
            ("x-forwarded-port", false, true, false),
            ("x-forwarded", false, true, false),
            ("x-forwardedness", false, true, false),
            ("cf-connecting-ip", false, true, false),
            ("x-original-url", false, true, false),
            ("x-subject", true, true, true),
            ("x-other", true, true, true),
            ("proxy", false, false, false),
            ("trailer", false, false, false),
            ("x_other", false, false, true),
            ("_", false, false, true),
            ("x_subject", false, false, false),
            ("x_tag", false, false, false),
            ("x-inner_key", false, false, false),
            ("x_forwarded-for", false, false, false),
            ("content_length", false, false, false),
            ("transfer_encoding", false, false, false),
            ("cf_connecting_ip", false, false, false),
        ] {
            let headers = [(HeaderName::from_static(name), HeaderValue::from_static("1"))].into_iter().collect();
            let passes = |trusted, keeps_underscores| {
                Sieve { keeps_underscores }.catches(&headers, trusted, Some(&route)).next().is_none()
            };
            let found = (passes(false, false), passes(true, false), passes(false, true));
            assert_eq!(found, (stranger, proxy, kept), "{name}");
        }
    }
}

//! What a route makes of a target: another path, a place to go to, a part of a file.

use std::{net::Ipv4Addr, sync::LazyLock};

use http::{HeaderMap, HeaderValue, Method, Uri, header};
use real_streaming::edge::{
    RouteConfig,
    foreign::{Asked, Range, View, canonical, range},
};

use super::{hit, lines};

/// Bytes of the file.
const LENGTH: u64 = 1000;

static ROUTES: LazyLock<Vec<RouteConfig>> = LazyLock::new(|| {
    let json = r#"[{"rewrite":{"strip_prefix":"/app"}},
                   {"path":{"regex":"^/(.*)$"},"rewrite":{"to":"/x/{1}"}},
                   {"redirect":{"to":"{uri}"}},
                   {"path":{"regex":"^(.*)$"},"redirect":{"to":"/{1}?q={1}"}}]"#;
    serde_json::from_str(json).expect("these are routes")
});

/// The request's target, then `Range`.
pub fn route(data: &[u8]) {
    let mut lines = lines(data);
    let Ok(uri) = Uri::try_from(lines.next().unwrap_or_default()) else { return };
    let headers = hit::headers(["range"].into_iter().zip(lines));
    part(&headers);
    let path = uri.path();
    // Whatever else a target is, it reaches no route.
    if !path.starts_with('/') {
        return;
    }
    let asked = Asked { method: &Method::GET, host: "a.example", path, query: uri.query(), headers: &headers };
    let view = View { asked, client: Ipv4Addr::LOCALHOST.into(), secure: false, request_id: "id", certificate: None };
    let plain = canonical(path);
    for route in &*ROUTES {
        let captures = route.path.regex().and_then(|pattern| pattern.captures(&plain));
        if let Some(target) = route.rewrite.as_ref().and_then(|rewrite| rewrite.target(&view, captures.as_ref())) {
            assert!(target.as_str().starts_with('/'), "{target}");
            assert!(!target.as_str().bytes().any(|byte| byte <= b' '), "{target:?}");
        }
        if let Some(redirect) = &route.redirect {
            let reply = redirect.reply(&view, captures.as_ref());
            let (_, to) = reply.headers.first().expect("what a request holds can stand in a header");
            let to = to.as_bytes();
            assert!(
                to.starts_with(b"/") && !to.starts_with(b"//") && !to.starts_with(b"/\\"),
                "{to:?} is another host"
            );
        }
    }
    // Without its prefix a path means what it meant below it.
    let target = ROUTES[0].rewrite.as_ref().and_then(|rewrite| rewrite.target(&view, None));
    let target = target.expect("a part of a target is one");
    let below = plain.strip_prefix("/app").filter(|rest| rest.is_empty() || rest.starts_with('/'));
    let wanted = below.map_or(&*plain, |rest| if rest.is_empty() { "/" } else { rest });
    // An escape that became one by undoing another would be undone now.
    if !wanted.contains('%') {
        assert_eq!(canonical(target.path()), wanted, "{path}");
    }
}

fn part(headers: &HeaderMap) {
    let etag = HeaderValue::from_static("\"a\"");
    if let Range::Part { start, end } = range(headers, LENGTH, &etag, &etag) {
        assert!(start < end && end <= LENGTH, "{:?}", headers.get(header::RANGE));
    }
}

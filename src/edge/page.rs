//! The few pages a visitor of the site may see from us instead of the site.

use http::{HeaderMap, HeaderValue, StatusCode, header};

use crate::collect::Reply;

/// A short page for people, or a line of text for programs, with the request id that finds the log line.
pub fn page(status: StatusCode, sentence: &str, request_id: &str, request: &HeaderMap) -> Reply {
    let reason = status.canonical_reason().unwrap_or("Error");
    let accepts = request.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let (content_type, body) = if accepts.into_iter().any(|accept| accept.contains("text/html")) {
        let html = format!(
            "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>{code} {reason}</title>\
             <body style=\"font-family:system-ui;margin:4rem auto;max-width:36rem\"><h1>{reason}</h1>\
             <p>{sentence}.</p><p><small>{code}, request {request_id}</small></p></body></html>\n",
            code = status.as_u16(),
        );
        ("text/html; charset=utf-8", html)
    } else {
        ("text/plain; charset=utf-8", format!("{} {reason}: {sentence} (request {request_id})\n", status.as_u16()))
    };
    let headers = vec![
        (header::CONTENT_TYPE, HeaderValue::from_static(content_type)),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
    ];
    Reply { status, headers, body: body.into() }
}

/// The public health check: the process answers. Whether it can take events is `/readyz` on the admin listener.
pub fn healthy() -> Reply {
    let headers = vec![
        (header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8")),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
    ];
    Reply { status: StatusCode::OK, headers, body: bytes::Bytes::from_static(b"ok") }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn people_get_a_page_and_programs_a_line() {
        let mut request = HeaderMap::new();
        let reply = page(StatusCode::BAD_GATEWAY, "the site cannot be reached", "abc", &request);
        assert_eq!(&reply.body[..], b"502 Bad Gateway: the site cannot be reached (request abc)\n");
        request.insert(header::ACCEPT, HeaderValue::from_static("text/html,*/*"));
        let reply = page(StatusCode::BAD_GATEWAY, "the site cannot be reached", "abc", &request);
        assert!(reply.body.starts_with(b"<!doctype html>"));
        assert!(String::from_utf8_lossy(&reply.body).contains("request abc"));
    }
}

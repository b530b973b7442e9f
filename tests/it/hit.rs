//! A hit to start from: a POST to stream 1 over TLS, with everything about it that no test minds.

use http::{HeaderMap, Method};
use real_streaming::collect::Hit;

pub fn hit<'a>(headers: &'a HeaderMap, body: &'a [u8]) -> Hit<'a> {
    Hit {
        method: &Method::POST,
        path: "/api/v1/streaming/1",
        stream: "1",
        query: "",
        host: "www.example.com",
        headers,
        body,
        client_ip: [203, 0, 113, 7].into(),
        client_named_in: None,
        from_trusted_proxy: false,
        secure: true,
        received_at: 1_750_000_000_123_456,
        entropy: 7,
        browser: None,
    }
}

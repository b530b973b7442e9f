//! Pages of other origins.

use super::{STREAM, World, event};

#[test]
fn pages_talk_to_their_own_host_and_to_allowed_ones() {
    let world = World::with(Vec::new(), |config| {
        config.cors.allowed_origins = vec!["https://shop.example".parse().unwrap()];
    });
    for (origin, status, allowed) in [
        ("https://site.example", 200, true),
        ("http://site.example:8080", 200, true),
        ("https://shop.example", 200, true),
        ("http://shop.example", 403, false),
        ("https://evil.example", 403, false),
        ("null", 403, false),
    ] {
        let answer = world.ask(&event(&format!("Origin: {origin}\r\n")));
        assert_eq!(answer.status, status, "{origin}");
        assert_eq!(answer.header("access-control-allow-origin"), allowed.then_some(origin));
        assert_eq!(answer.header("access-control-allow-credentials"), allowed.then_some("true"));
        assert_eq!(answer.header("vary"), Some("Origin"));
    }
    // A page reads the reason of a refusal, too.
    let refused = world.ask(&event("Origin: https://shop.example\r\n").replace("streaming/1", "streaming/1/2"));
    assert_eq!((refused.status, refused.header("access-control-allow-origin")), (404, Some("https://shop.example")));
}

#[test]
fn a_preflight_is_answered_for_a_day() {
    let world = World::alone();
    let ask = "Access-Control-Request-Method: POST\r\nAccess-Control-Request-Headers: content-type,traceparent\r\n";
    let mut client = world.connect();
    client
        .send(format!("OPTIONS {STREAM} HTTP/1.1\r\nHost: site.example\r\nOrigin: https://site.example\r\n{ask}\r\n"));
    let answer = client.answer(false);
    assert_eq!(answer.status, 204);
    assert_eq!(answer.header("access-control-allow-origin"), Some("https://site.example"));
    assert_eq!(answer.header("access-control-allow-methods"), Some("POST, OPTIONS"));
    assert_eq!(answer.header("access-control-allow-headers"), Some("content-type,traceparent"));
    assert_eq!(answer.header("access-control-max-age"), Some("86400"));
    assert_eq!(answer.header("content-length"), None);
    client.send(event(""));
    assert_eq!(client.answer(false).status, 200, "the connection goes on");
}

#[test]
fn a_star_is_for_pages_without_cookies() {
    let world = World::with(Vec::new(), |config| {
        config.cors.allowed_origins = vec!["*".parse().unwrap()];
        config.cors.allow_credentials = false;
    });
    let answer = world.ask(&event("Origin: https://any.example\r\n"));
    assert_eq!((answer.status, answer.header("access-control-allow-origin")), (200, Some("*")));
    assert_eq!(answer.header("access-control-allow-credentials"), None);
}

//! The visitor's cookie over the wire: which sites share it, when it is secure, when there is none.

use super::{EVENT, STREAM, World};

const LIFE: &str = "Path=/; Max-Age=34560000";

/// A proxy in front that is believed.
fn behind_a_proxy() -> World {
    World::with(Vec::new(), |config| config.server.trusted_proxies = vec!["127.0.0.0/8".parse().unwrap()])
}

/// Value and attributes of the cookie that an event gets.
fn cookie(world: &World, host: &str, headers: &str) -> Option<(String, String)> {
    let length = EVENT.len();
    let request = format!("POST {STREAM} HTTP/1.1\r\nHost: {host}\r\n{headers}Content-Length: {length}\r\n\r\n{EVENT}");
    let answer = world.ask(&request);
    assert_eq!(answer.status, 200, "{headers}");
    let (pair, attributes) = answer.header("set-cookie")?.split_once("; ").unwrap();
    Some((pair.strip_prefix("__uid__=").unwrap().to_owned(), attributes.to_owned()))
}

#[test]
fn it_is_shared_by_the_hosts_of_a_registrable_domain_and_by_nobody_else() {
    let world = World::alone();
    for (host, domain) in [
        ("www.shop.co.uk", "Domain=shop.co.uk; "),
        ("Shop.co.uk:8080", "Domain=shop.co.uk; "),
        ("a.b.github.io", "Domain=b.github.io; "),
        ("github.io", ""),
        ("co.uk", ""),
        ("localhost:8080", ""),
        ("127.0.0.1:8080", ""),
        ("[::1]:8080", ""),
        ("shop.internal", ""),
    ] {
        let (id, attributes) = cookie(&world, host, "").unwrap();
        assert_eq!(attributes, format!("{domain}{LIFE}; HttpOnly; SameSite=Lax"), "{host}");
        let (random, second) = id.split_once('.').unwrap();
        assert!((1..=i32::MAX as u32).contains(&random.parse().unwrap()), "{id}");
        assert!(second.parse::<u64>().unwrap() > 1_700_000_000, "{id}");
    }
}

#[test]
fn it_is_secure_where_a_trusted_proxy_says_that_the_client_spoke_tls() {
    let https = "X-Forwarded-For: 203.0.113.7\r\nX-Forwarded-Proto: https\r\n";
    let http = "X-Forwarded-For: 203.0.113.7\r\nX-Forwarded-Proto: http\r\n";
    let is_secure = |world: &World, headers| cookie(world, "shop.co.uk", headers).unwrap().1.contains("; Secure");
    let behind = behind_a_proxy();
    assert!(is_secure(&behind, https));
    assert!(is_secure(&behind, "Forwarded: for=203.0.113.7;proto=https\r\n"));
    assert!(!is_secure(&behind, http));
    assert!(!is_secure(&behind, ""));
    assert!(!is_secure(&World::alone(), https), "a stranger's word counts for nothing");
}

#[test]
fn it_is_renewed_with_every_event_and_takes_over_googles() {
    let world = World::alone();
    let (id, attributes) = cookie(&world, "shop.co.uk", "").unwrap();
    let again = cookie(&world, "www.shop.co.uk", &format!("Cookie: a=b; __uid__={id}\r\n")).unwrap();
    assert_eq!(again, (id, attributes));
    let google = "Cookie: _ga=GA1.3.745846450.1644156613\r\n";
    assert_eq!(cookie(&world, "shop.co.uk", google).unwrap().0, "745846450.1644156613");
}

#[test]
fn whoever_objects_has_none() {
    let world = World::alone();
    for objection in ["Sec-GPC: 1\r\n", "DNT: 1\r\n", "Sec-GPC: 1\r\nCookie: __uid__=1.1700000000\r\n"] {
        assert_eq!(cookie(&world, "shop.co.uk", objection), None, "{objection}");
    }
    assert!(cookie(&world, "shop.co.uk", "Sec-GPC: 0\r\n").is_some());
}

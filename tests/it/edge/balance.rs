//! Several upstreams behind one route: whose turn it is, and what happens when one fails.

use std::{
    collections::BTreeMap,
    net::TcpListener,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
    thread,
};

use serde_json::json;

use super::{World, event, nobody};
use crate::{client::Client, client::headers, world::until};

/// A server that answers with its name, until it is told to hang up on everybody.
struct Named {
    url: String,
    busy: Arc<AtomicBool>,
    hangs_up: Arc<AtomicBool>,
    asked: Arc<AtomicUsize>,
    checked: Arc<AtomicUsize>,
}

impl Named {
    fn start(name: &'static str) -> Named {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let named = Named {
            url,
            busy: Default::default(),
            hangs_up: Default::default(),
            asked: Default::default(),
            checked: Default::default(),
        };
        let (hangs_up, asked, checked) = (named.hangs_up.clone(), named.asked.clone(), named.checked.clone());
        let busy = named.busy.clone();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (hangs_up, asked, checked) = (hangs_up.clone(), asked.clone(), checked.clone());
                let busy = busy.clone();
                thread::spawn(move || {
                    let mut client = Client::on(stream).unwrap();
                    while let Ok(head) = client.try_head() {
                        let _ = client.body(&headers(&head));
                        let count = if head.contains("real-streaming health check") { &checked } else { &asked };
                        count.fetch_add(1, SeqCst);
                        if hangs_up.load(SeqCst) {
                            return;
                        }
                        let length = name.len();
                        let status = if busy.load(SeqCst) { "503 Busy" } else { "200 OK" };
                        let answer =
                            format!("HTTP/1.1 {status}\r\nSet-Cookie: own=1\r\nContent-Length: {length}\r\n\r\n{name}");
                        client.send(answer);
                    }
                });
            }
        });
        named
    }
}

/// How often each one answered.
fn tally(world: &World, times: usize, headers: &str) -> BTreeMap<String, usize> {
    let mut tally = BTreeMap::new();
    for _ in 0..times {
        let answer = world.get("/", headers);
        assert_eq!(answer.status, 200, "{}", answer.text());
        *tally.entry(answer.text().to_owned()).or_default() += 1;
    }
    tally
}

#[test]
fn weights_share_out_the_requests() {
    let (a, b) = (Named::start("a"), Named::start("b"));
    let world = World::routing(json!([{"upstreams": [a.url, {"url": b.url, "weight": 3}]}]));
    assert_eq!(tally(&world, 12, ""), BTreeMap::from([("a".into(), 3), ("b".into(), 9)]));
}

#[test]
fn a_visitor_stays_with_the_server_that_the_cookie_names() {
    let (a, b) = (Named::start("a"), Named::start("b"));
    let world = World::routing(json!([{"balance": {"cookie": "server"}, "upstreams": [a.url, b.url]}]));
    let answer = world.get("/", "Cookie: other=1; server=forged\r\n");
    let cookies: Vec<_> = answer.head.lines().filter_map(|line| line.strip_prefix("Set-Cookie: ")).collect();
    let cookies = if cookies.is_empty() {
        answer.head.lines().filter_map(|line| line.strip_prefix("set-cookie: ")).collect()
    } else {
        cookies
    };
    assert_eq!(cookies.len(), 2, "the site's own and ours: {}", answer.head);
    assert!(cookies.contains(&"own=1"), "{cookies:?}");
    let ours = cookies.iter().find(|cookie| cookie.starts_with("server=")).unwrap();
    assert!(ours.ends_with("; Path=/; HttpOnly; SameSite=Lax"), "{ours}");
    let pair = ours.split(';').next().unwrap();
    assert!(!pair.contains("127.0.0.1"), "{pair}");
    let own = tally(&world, 6, &format!("Cookie: x=y; {pair}\r\n"));
    assert_eq!(own, BTreeMap::from([(answer.text().to_owned(), 6)]));
    let again = world.get("/", &format!("Cookie: {pair}\r\n"));
    assert!(!again.head.contains("server="), "it knows already: {}", again.head);
}

#[test]
fn a_client_address_keeps_its_server() {
    let (a, b, c) = (Named::start("a"), Named::start("b"), Named::start("c"));
    let world = World::routing(json!([{"balance": "ip_hash", "upstreams": [a.url, b.url, c.url]}]));
    assert_eq!(tally(&world, 6, "").len(), 1);
}

#[test]
fn a_request_that_may_be_repeated_is_tried_elsewhere_if_told_so() {
    let (bad, good) = (Named::start("bad"), Named::start("good"));
    bad.hangs_up.store(true, SeqCst);
    let upstreams = json!([bad.url, good.url]);
    let told =
        json!([{"retries": {"on": ["connect", "failure"]}, "ejection": {"failures": 1000}, "upstreams": upstreams}]);
    let world = World::routing(told);
    assert_eq!(tally(&world, 6, ""), BTreeMap::from([("good".into(), 6)]));
    assert_eq!(bad.asked.load(SeqCst), 3, "every second one was tried there first");
    let post = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx";
    let mut statuses = [world.ask(post).status, world.ask(post).status];
    statuses.sort();
    assert_eq!(statuses, [200, 502], "a POST is never repeated");

    let world = World::routing(json!([{"ejection": {"failures": 1000}, "upstreams": upstreams}]));
    let mut statuses = [world.get("/", "").status, world.get("/", "").status];
    statuses.sort();
    assert_eq!(statuses, [200, 502]);
}

#[test]
fn an_answer_of_a_told_status_is_asked_for_elsewhere_and_counted() {
    let (busy, good) = (Named::start("busy"), Named::start("good"));
    busy.busy.store(true, SeqCst);
    let world = World::routing(json!([
        {"path": "/told", "retries": {"on": ["connect", 503]}, "ejection": {"failures": 1000},
         "upstreams": [busy.url, good.url]},
        {"path": "/alone", "retries": {"on": ["503"]}, "ejection": {"failures": 1000}, "upstreams": [busy.url]},
        {"path": "/other", "retries": {"on": [502]}, "ejection": {"failures": 1000}, "upstreams": [busy.url]},
    ]));
    for _ in 0..4 {
        assert_eq!(world.get("/told", "").text(), "good");
    }
    assert_eq!(busy.asked.load(SeqCst), 2, "every second one was tried there first");
    let post = "POST /told HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx";
    let mut statuses = [world.ask(post).status, world.ask(post).status];
    statuses.sort();
    assert_eq!(statuses, [200, 503], "a POST is never repeated");
    for path in ["/alone", "/other"] {
        let answer = world.get(path, "");
        assert_eq!((answer.status, answer.text()), (503, "busy"), "the last answer stands");
    }
    let Named { url, .. } = &busy;
    world.metric(&format!(r#"real_streaming_upstream_requests_total{{upstream="{url}",status="5xx"}} 5"#));
    world.metric(&format!(r#"real_streaming_upstream_retries_total{{upstream="{url}"}} 2"#));
    world.metric(&format!(r#"real_streaming_upstream_active_requests{{upstream="{url}"}} 0"#));
    world.metric(r#"real_streaming_route_requests_total{route="*/told",status="2xx"} 5"#);
    world.metric(r#"real_streaming_route_requests_total{route="*/told",status="5xx"} 1"#);
    world.metric(r#"real_streaming_route_bytes_total{route="*/told",direction="received"} 2"#);
    world.metric(r#"real_streaming_route_bytes_total{route="*/told",direction="sent"} 24"#);
    world.metric(r#"real_streaming_route_request_seconds_count{route="*/told"} 6"#);
    world.metric(r#"real_streaming_route_retries_total{route="*/told"} 2"#);
    world.metric(r#"real_streaming_route_active_requests{route="*/told"} 0"#);
    // Five times `busy`, two of which nobody has seen, and the bodies of both POSTs.
    world.metric(&format!(r#"real_streaming_upstream_bytes_total{{upstream="{}",direction="received"}} 20"#, good.url));
    let bytes = |url: &str| -> u64 {
        let start = format!(r#"real_streaming_upstream_bytes_total{{upstream="{url}",direction="sent"}} "#);
        world.metrics.encode().lines().find_map(|line| line.strip_prefix(&start)?.parse().ok()).unwrap()
    };
    assert_eq!(bytes(url) + bytes(&good.url), 2);
}

#[test]
fn an_upstream_that_is_left_alone_is_counted_until_it_is_no_more() {
    let (gone, good) = (nobody(), Named::start("good"));
    let world = World::routing(json!([{"upstreams": [gone, good.url]}]));
    assert_eq!(tally(&world, 4, "").len(), 1);
    world.metric(&format!(r#"real_streaming_upstream_ejections_total{{upstream="{gone}"}} 1"#));
    world.metric(&format!(r#"real_streaming_upstream_requests_total{{upstream="{gone}",status="none"}} 1"#));
    let routes: Vec<real_streaming::edge::RouteConfig> =
        serde_json::from_value(json!([{"path": "/new", "upstreams": [good.url]}])).unwrap();
    let server = real_streaming::edge::ServerConfig::default();
    let config = real_streaming::edge::Config::new(
        &server,
        &Default::default(),
        &routes,
        &real_streaming::collect::Config::default(),
    );
    world.replacer.replace(config, super::storeys(&world.metrics).0).unwrap();
    let text = world.metrics.encode();
    assert!(!text.contains(&gone) && !text.contains(r#"route="*/""#), "{text}");
    assert!(text.contains(&good.url) && text.contains(r#"route="*/new""#));
}

#[test]
fn attempts_are_bounded() {
    let world = World::routing(json!([
        {"path": "/once", "retries": {"attempts": 1}, "upstreams": [nobody(), nobody()]},
        {"path": "/more", "upstreams": [nobody(), nobody(), Named::start("c").url]},
    ]));
    assert_eq!(world.get("/once", "").status, 502);
    assert_eq!(world.get("/more", "").text(), "c");
}

#[test]
fn a_server_that_leaves_requests_unanswered_rests() {
    let (bad, good) = (Named::start("bad"), Named::start("good"));
    bad.hangs_up.store(true, SeqCst);
    let world = World::routing(json!([
        {"ejection": {"failures": 2, "rest": "1h"}, "upstreams": [bad.url, good.url]},
    ]));
    let failed = (0..10).filter(|_| world.get("/", "").status == 502).count();
    assert_eq!((failed, bad.asked.load(SeqCst)), (2, 2));
    good.hangs_up.store(true, SeqCst);
    assert_eq!(world.get("/", "").status, 502);
    assert_eq!(world.ask(&event("")).status, 200);
}

#[test]
fn an_ill_server_gets_no_requests_until_it_is_well() {
    let (a, b) = (Named::start("a"), Named::start("b"));
    let health = json!({"path": "/up?really", "every": "100ms", "timeout": "1s"});
    let world = World::routing(json!([
        {"health": health, "ejection": {"failures": 1000}, "upstreams": [a.url, b.url]},
    ]));
    until("both are asked", || (a.checked.load(SeqCst) > 1 && b.checked.load(SeqCst) > 1).then_some(()));
    assert_eq!(tally(&world, 4, "").len(), 2);
    a.hangs_up.store(true, SeqCst);
    let before = a.checked.load(SeqCst);
    until("it is found to be ill", || (a.checked.load(SeqCst) > before + 3).then_some(()));
    assert_eq!(tally(&world, 6, ""), BTreeMap::from([("b".into(), 6)]));
    a.hangs_up.store(false, SeqCst);
    until("it is well", || (tally(&world, 2, "").len() == 2).then_some(()));
}

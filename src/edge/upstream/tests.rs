//! Which server is chosen, when.
#![allow(clippy::unwrap_used)]

use std::{future::pending, io, net::SocketAddr};

use parking_lot::Mutex;
use tokio::sync::watch as channel;

use super::{watch::Resolver, *};

const SEEKER: Seeker<'_> = Seeker {
    client: IpAddr::V4(std::net::Ipv4Addr::LOCALHOST),
    cookie: None,
    quiet: false,
    upgrade: false,
    purpose: None,
    left: None,
};

fn upstreams(urls: &[&str]) -> Upstreams {
    let upstreams = urls.iter().map(|url| url.parse().unwrap()).collect();
    Upstreams::new(
        &[RouteConfig { upstreams, ..RouteConfig::default() }],
        &Tuning::default(),
        None,
        &Proxying::new(&mut Default::default()),
    )
}

fn route(json: &str) -> Upstreams {
    Upstreams::new(
        &[serde_json::from_str(json).unwrap()],
        &Tuning::default(),
        None,
        &Proxying::new(&mut Default::default()),
    )
}

fn port(choice: Option<Choice>) -> Option<u16> {
    choice.map(|choice| port_of(&choice.lease.address.at))
}

fn port_of(at: &At) -> u16 {
    let At::Tcp(address) = at else { panic!("{at} has no port") };
    address.port()
}

/// The address of this port cannot be reached.
fn lose(pool: &Upstreams, port: u16) -> At {
    let find = |server: &Arc<Server>| {
        let address = server.addresses.load().iter().find(|address| port_of(&address.at) == port).cloned()?;
        Some(Lease::new(server, &address))
    };
    let lease = pool.servers.values().find_map(find).unwrap();
    pool.unreachable(&lease);
    lease.address.at.clone()
}

#[test]
fn servers_take_turns_as_their_weights_say() {
    let pool = upstreams(&["http://127.0.0.1:1", "http://127.0.0.1:2", "http://127.0.0.1:3"]);
    let ports: Vec<_> = (0..6).map(|_| port(pool.choose(0, &[], &SEEKER)).unwrap()).collect();
    assert_eq!(ports, [1, 2, 3, 1, 2, 3]);
    let pool = route(r#"{"upstreams":["http://127.0.0.1:1",{"url":"http://127.0.0.1:2","weight":3}]}"#);
    let ports: Vec<_> = (0..8).map(|_| port(pool.choose(0, &[], &SEEKER)).unwrap()).collect();
    assert_eq!(ports, [2, 1, 2, 2, 2, 1, 2, 2]);
}

#[test]
fn a_server_that_failed_is_passed_over_but_not_forgotten() {
    let pool = upstreams(&["http://127.0.0.1:1", "http://127.0.0.1:2"]);
    let first = lose(&pool, 1);
    assert!((0..4).all(|_| port(pool.choose(0, &[], &SEEKER)) == Some(2)));
    let second = lose(&pool, 2);
    assert!(pool.choose(0, &[], &SEEKER).is_some(), "all rest: any is better than none");
    assert_eq!(port(pool.choose(0, std::slice::from_ref(&second), &SEEKER)), Some(1));
    assert!(pool.choose(0, &[first.clone(), second.clone()], &SEEKER).is_none());
    assert!(pool.may_retry(0, std::slice::from_ref(&first), RetryOn::Connect));
    assert!(!pool.may_retry(0, &[first.clone(), second.clone()], RetryOn::Connect));
    assert!(!pool.may_retry(0, std::slice::from_ref(&first), RetryOn::Failure), "only if told to");
}

#[test]
fn too_many_failures_in_a_row_are_followed_by_a_rest() {
    let json = r#"{"upstreams":["http://127.0.0.1:1","http://127.0.0.1:2"],"ejection":{"failures":2,"rest":"1h"}}"#;
    let pool = route(json);
    let choice = pool.choose(0, &[], &SEEKER).unwrap();
    pool.unanswered(&choice.lease);
    choice.lease.address.succeed();
    pool.unanswered(&choice.lease);
    assert!((0..2).any(|_| port(pool.choose(0, &[], &SEEKER)) == Some(1)), "not in a row");
    pool.unanswered(&choice.lease);
    assert!((0..4).all(|_| port(pool.choose(0, &[], &SEEKER)) == Some(2)));
}

#[test]
fn ill_servers_are_passed_over_until_they_are_well() {
    let pool = upstreams(&["http://127.0.0.1:1", "http://127.0.0.1:2"]);
    let first = pool.pools[0].servers[0].0.addresses.load()[0].clone();
    assert!(!first.checked(false, 1), "once may happen");
    assert!(first.checked(false, 2) && !first.checked(false, 3));
    assert!((0..4).all(|_| port(pool.choose(0, &[], &SEEKER)) == Some(2)));
    assert!(first.checked(true, 4) && !first.checked(true, 5));
    assert_eq!(first.fit_since(), 4);
    assert!((0..4).any(|_| port(pool.choose(0, &[], &SEEKER)) == Some(1)));
}

#[test]
fn an_ejection_is_counted_once() {
    let pool = upstreams(&["http://127.0.0.1:1"]);
    let server = pool.pools[0].servers[0].0.clone();
    for _ in 0..3 {
        lose(&pool, 1);
    }
    assert_eq!(server.meter.ejections.get(), 1, "it was resting already");
    let address = Address::new(At::Unix("/a".into()), 0);
    assert!(address.rest(5, Duration::from_millis(10)) && !address.rest(14, Duration::from_millis(10)));
    assert!(address.rest(24, Duration::from_millis(10)), "its rest was over");
}

#[test]
fn a_server_that_came_back_begins_slowly() {
    let servers = r#""upstreams":["http://127.0.0.1:1","http://127.0.0.1:2"],"slow_start":"40s""#;
    for balance in ["round_robin", "least_connections"] {
        let pool = route(&format!(r#"{{"balance":"{balance}",{servers}}}"#));
        let pool = &pool.pools[0];
        let second = pool.servers[1].0.addresses.load()[0].clone();
        // It rested from second 1 to second 11.
        second.rest(1_000, Duration::from_secs(10));
        let share = |now: u64| {
            let mut held = Vec::new();
            let mut of_second = 0;
            for turn in 0..200 {
                let (server, address) = pool.pick(turn, &SEEKER, now, |_| true).unwrap();
                of_second += usize::from(address.at == second.at);
                held.push(Lease::new(server, &address));
            }
            of_second
        };
        // A tenth of its own turns, or a tenth of a weight beside a whole one; then a half, then all.
        for (now, expected) in [(15_000, 8..22), (31_000, 45..70), (51_000, 100..101)] {
            let found = share(now);
            assert!(expected.contains(&found), "{balance} at {now}: {found} of 200");
        }
    }
    // Nobody else is there.
    let pool = route(r#"{"upstreams":["http://127.0.0.1:1"],"slow_start":"40s"}"#);
    pool.pools[0].servers[0].0.addresses.load()[0].rest(1_000, Duration::from_secs(1));
    assert!((0..20).all(|turn| pool.pools[0].pick(turn, &SEEKER, 2_000, |_| true).is_some()));
}

#[test]
fn the_least_busy_server_is_next() {
    let json = r#"{"balance":"least_connections",
                   "upstreams":["http://127.0.0.1:1",{"url":"http://127.0.0.1:2","weight":2}]}"#;
    let pool = route(json);
    let held: Vec<_> = (0..6).map(|_| pool.choose(0, &[], &SEEKER).unwrap()).collect();
    let ports: Vec<_> = held.iter().map(|choice| port_of(&choice.lease.address.at)).collect();
    assert_eq!(ports.iter().filter(|port| **port == 2).count(), 4, "{ports:?}");
    drop(held);
    assert!(pool.servers.values().all(|server| server.addresses.load()[0].in_flight() == 0));
}

#[test]
fn a_client_keeps_its_server_by_address_or_by_cookie() {
    let upstreams = r#""upstreams":["http://127.0.0.1:1","http://127.0.0.1:2","http://127.0.0.1:3"]"#;
    let pool = route(&format!(r#"{{"balance":"ip_hash",{upstreams}}}"#));
    let own = |client: u8| {
        let seeker = Seeker { client: [192, 0, 2, client].into(), ..SEEKER };
        port(pool.choose(0, &[], &seeker)).unwrap()
    };
    let ports: Vec<_> = (0..50).map(own).collect();
    assert!(ports == (0..50).map(own).collect::<Vec<_>>() && (1..=3).all(|port| ports.contains(&port)), "{ports:?}");
    lose(&pool, ports[0]);
    assert_ne!(own(0), ports[0]);

    let pool = route(&format!(r#"{{"balance":{{"cookie":"server"}},{upstreams}}}"#));
    assert_eq!(pool.cookie(0), Some("server"));
    let first = pool.choose(0, &[], &SEEKER).unwrap();
    let cookie = first.cookie.clone().unwrap();
    let seeker = Seeker { cookie: Some(&cookie), ..SEEKER };
    for _ in 0..4 {
        let again = pool.choose(0, &[], &seeker).unwrap();
        assert_eq!((&again.lease.address.at, again.cookie), (&first.lease.address.at, None));
    }
    lose(&pool, port_of(&first.lease.address.at));
    let other = pool.choose(0, &[], &seeker).unwrap();
    assert!(other.lease.address.at != first.lease.address.at && other.cookie.is_some(), "moves and is told");
    assert!(pool.choose(0, &[], &Seeker { cookie: Some("forged"), ..SEEKER }).unwrap().cookie.is_some());
}

#[test]
fn the_last_good_answer_stays() {
    let pool = upstreams(&["http://site.invalid:80"]);
    assert!(pool.choose(0, &[], &SEEKER).is_none());
    let server = &pool.pools[0].servers[0].0;
    let two: Vec<SocketAddr> = vec!["10.0.0.2:80".parse().unwrap(), "10.0.0.1:80".parse().unwrap()];
    server.learn(Ok(two.clone()));
    let second = server.addresses.load()[1].clone();
    assert_eq!(second.at, At::Tcp(two[0]));
    pool.unreachable(&Lease::new(server, &second));
    server.learn(Err(io::Error::other("down")));
    server.learn(Ok(vec![]));
    server.learn(Ok(two));
    assert_eq!(server.addresses.load().len(), 2);
    for _ in 0..4 {
        let choice = pool.choose(0, &[], &SEEKER).unwrap();
        assert_eq!(choice.lease.address.at.to_string(), "10.0.0.1:80", "the rest is kept");
    }
}

#[test]
fn tls_servers_are_asked_under_their_own_name() {
    let pool = upstreams(&["https://127.0.0.1:8443"]);
    assert_eq!(pool.choose(0, &[], &SEEKER).unwrap().lease.server.host.as_ref().unwrap(), "127.0.0.1:8443");
    assert_eq!(upstreams(&["http://127.0.0.1:1"]).choose(0, &[], &SEEKER).unwrap().lease.server.host, None);
    assert!(pool.choose(1, &[], &SEEKER).is_none());
}

/// Knows every name but those of the dead, for whom it never answers, and notes what it is asked.
#[derive(Clone, Default)]
struct Names(Arc<Mutex<Vec<String>>>);

impl Resolver for Names {
    async fn ask(&self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        self.0.lock().push(host.to_owned());
        if host.starts_with("dead") {
            pending::<()>().await;
        }
        Ok(vec![([10, 0, 0, 1], port).into()])
    }
}

#[test]
fn names_are_asked_for_on_their_own_clock() {
    let every = Duration::from_millis(200);
    let tuning = Tuning { resolve: every, ..Tuning::default() };
    let json = r#"{"upstreams":["http://dead1.example","http://dead2.example","http://site.example"]}"#;
    let routes: Vec<RouteConfig> = vec![serde_json::from_str(json).unwrap()];
    let measured = Proxying::new(&mut Default::default());
    let (names, began) = (Names::default(), Instant::now());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let last = runtime.block_on(async {
        let mut upstreams = Arc::new(Upstreams::new(&routes, &tuning, None, &measured));
        let (sender, latest) = channel::channel(upstreams.clone());
        let watching = tokio::spawn(watch_latest(latest, names.clone()));
        // The configuration is replaced more often than names are asked for.
        for _ in 0..30 {
            tokio::time::sleep(every / 4).await;
            upstreams = Arc::new(Upstreams::new(&routes, &tuning, Some(&upstreams), &measured));
            sender.send_replace(upstreams.clone());
        }
        watching.abort();
        upstreams
    });
    let times = |name: &str| names.0.lock().iter().filter(|asked| *asked == name).count();
    let most = (began.elapsed().as_millis() / every.as_millis()) as usize + 1;
    assert!((3..=most).contains(&times("site.example")), "{} of {most}", times("site.example"));
    assert_eq!((times("dead1.example"), times("dead2.example")), (1, 1), "one look-up at a time");
    assert_eq!(last.choose(0, &[], &SEEKER).unwrap().lease.address.at.to_string(), "10.0.0.1:80");
}

#[test]
fn a_server_that_a_new_configuration_adds_begins_with_nothing() {
    let routes = |more: &str| -> Vec<RouteConfig> {
        let urls = format!(r#""http://127.0.0.1:1","http://127.0.0.1:2"{more}"#);
        vec![serde_json::from_str(&format!(r#"{{"slow_start":"1h","upstreams":[{urls}]}}"#)).unwrap()]
    };
    let measured = Proxying::new(&mut Default::default());
    let before = Upstreams::new(&routes(""), &Tuning::default(), None, &measured);
    let more = routes(r#","http://127.0.0.1:3","http://site.example:4""#);
    let after = Upstreams::new(&more, &Tuning::default(), Some(&before), &measured);
    let named = after.servers.values().find(|server| server.name().is_some()).unwrap();
    named.learn(Ok(vec!["127.0.0.1:4".parse().unwrap()]));
    let ports: Vec<_> = (0..200).map(|_| port(after.choose(0, &[], &SEEKER)).unwrap()).collect();
    let times = |wanted: u16| ports.iter().filter(|port| **port == wanted).count();
    assert!(times(3) + times(4) < 10 && times(1) >= 40 && times(2) >= 40, "{} {}", times(3), times(4));

    let changed =
        r#"{"slow_start":"1h","upstreams":["http://127.0.0.1:1","http://127.0.0.1:2"],"ejection":{"rest":"3s"}}"#;
    let same = Upstreams::new(&[serde_json::from_str(changed).unwrap()], &Tuning::default(), Some(&before), &measured);
    let mut ports = (0..4).map(|_| port(same.choose(0, &[], &SEEKER)).unwrap());
    assert!(
        ports.all(|port| port < 3) && same.servers.values().all(|server| server.addresses.load()[0].fit_since() == 0)
    );
    // At the start everybody is new.
    let first = Upstreams::new(&more, &Tuning::default(), None, &measured);
    let mut ports: Vec<_> = (0..3).map(|_| port(first.choose(0, &[], &SEEKER)).unwrap()).collect();
    ports.sort_unstable();
    assert_eq!(ports, [1, 2, 3]);
}

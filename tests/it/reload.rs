//! A running process takes a changed configuration, and keeps the old one when the new one is wrong.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

use crate::{
    authority::{Authority, Wishes},
    client::{Client, free_port, get},
    world::{Process, World, signal, until},
};

/// The configuration of a running process with something changed.
fn rewrite(world: &World, change: impl FnOnce(String) -> String) {
    let path = world.dir.path().join("process.yaml");
    let changed = change(std::fs::read_to_string(&path).unwrap());
    let beside = world.dir.path().join("beside.yaml");
    std::fs::write(&beside, changed).unwrap();
    std::fs::rename(beside, path).unwrap();
}

fn has_metric(process: &Process, line: &str) -> Option<()> {
    let metrics = get(process.admin, "/metrics").ok()?;
    metrics.text().lines().any(|known| known == line).then_some(())
}

/// The first route of a world answers by itself.
fn answering(yaml: String, status: u16) -> String {
    let route = format!("routes: [ {{ path: /fixed, respond: {{ status: {status} }} }},");
    let start = yaml.find("routes: [").unwrap();
    let end = yaml[start..].find("{ hosts").unwrap() + start;
    format!("{}{route} {}", &yaml[..start], &yaml[end..])
}

#[test]
fn a_changed_file_is_taken_while_nobody_notices() {
    let world = World::new();
    let process = world.spawn();
    let stop = Arc::new(AtomicBool::new(false));
    let asking = {
        let (stop, public) = (stop.clone(), process.public);
        thread::spawn(move || {
            let mut asked = 0;
            let mut kept = Client::connect(public);
            while !stop.load(Ordering::Relaxed) {
                kept.send("GET / HTTP/1.1\r\nHost: site.example\r\n\r\n");
                assert_eq!(kept.answer(false).status, 200, "on a kept connection");
                assert_eq!(get(public, "/").unwrap().status, 200, "on a new one");
                asked += 1;
            }
            asked
        })
    };
    for (round, status) in [201, 202, 203].into_iter().enumerate() {
        rewrite(&world, |yaml| answering(yaml, status));
        if round > 0 {
            // Not waiting for the next look at the file.
            signal(&process.child, "HUP");
        }
        until("the new route", || get(process.public, "/fixed").ok().filter(|answer| answer.status == status));
    }
    stop.store(true, Ordering::Relaxed);
    assert!(asking.join().unwrap() > 10);
    assert!(has_metric(&process, r#"real_streaming_config_reloads_total{outcome="refused"}"#).is_none());
}

#[test]
fn a_wrong_file_changes_nothing_and_says_why() {
    let world = World::new();
    let process = world.spawn();
    rewrite(&world, |yaml| answering(yaml, 204));
    signal(&process.child, "HUP");
    until("the good file", || get(process.public, "/fixed").ok().filter(|answer| answer.status == 204));

    rewrite(&world, |yaml| yaml.replace("status: 204", "stattus: 205"));
    signal(&process.child, "HUP");
    until("a refusal", || world.log().contains("stattus").then_some(()));
    assert!(world.log().contains("the old one stays"), "{}", world.log());
    until("counted", || has_metric(&process, r#"real_streaming_config_reloads_total{outcome="refused"} 1"#));
    assert_eq!(get(process.public, "/fixed").unwrap().status, 204);
}

#[test]
fn what_stands_fast_is_named_and_the_rest_is_taken() {
    let world = World::new();
    let mut process = world.spawn();
    let (before, after) = (process.admin.to_string(), free_port().to_string());
    rewrite(&world, |yaml| answering(yaml.replace(&before, &after).replace("max_size: 1GB", "max_size: 2GB"), 206));
    signal(&process.child, "HUP");
    until("the rest", || get(process.public, "/fixed").ok().filter(|answer| answer.status == 206));
    until("names", || world.log().contains("server.admin, writers").then_some(()));
    until("counted", || has_metric(&process, r#"real_streaming_config_reloads_total{outcome="partly"} 1"#));
    assert_eq!(process.terminate(), Some(0));
}

#[test]
fn listeners_that_wait_for_a_restart_send_nobody_to_them() {
    let (world, authority) = (World::new(), Authority::new());
    let process = world.spawn();
    let (cert, key) = authority.writes(world.dir.path(), "site", &["site.example"]);
    let tls = format!(
        "tls: {{ listen: [\"{}\"], redirect: true, certificates: [{{ cert: {}, key: {} }}] }}",
        free_port(),
        cert.display(),
        key.display()
    );
    rewrite(&world, |yaml| answering(yaml.replace("server: {", &format!("server: {{ {tls},")), 206));
    signal(&process.child, "HUP");
    until("the rest", || get(process.public, "/fixed").ok().filter(|answer| answer.status == 206));
    until("its name", || world.log().contains("server.tls.listen").then_some(()));
    assert_eq!(get(process.public, "/").unwrap().status, 200, "and no 308");
}

#[test]
fn listeners_that_are_to_go_serve_until_the_restart() {
    let (world, authority) = (World::new(), Authority::new());
    let at = free_port();
    let (cert, key) = authority.writes(world.dir.path(), "site", &["site.example"]);
    let variables = format!(
        "APP_CONFIG__SERVER__TLS__LISTEN=[\"{at}\"]\n\
         APP_CONFIG__SERVER__TLS__CERTIFICATES=[{{\"cert\": \"{}\", \"key\": \"{}\"}}]\n",
        cert.display(),
        key.display()
    );
    let env_file = world.dir.path().join(".env");
    std::fs::write(&env_file, variables).unwrap();
    let process = world.spawn();
    let ask =
        || authority.connect(at, "site.example", Wishes::default()).and_then(|mut tls| tls.get("site.example", "/"));
    assert!(ask().unwrap().starts_with("HTTP/1.1 200"));
    std::fs::write(env_file, "").unwrap();
    rewrite(&world, |yaml| answering(yaml, 206));
    signal(&process.child, "HUP");
    until("the rest", || get(process.public, "/fixed").ok().filter(|answer| answer.status == 206));
    assert!(ask().unwrap().starts_with("HTTP/1.1 200"));
}

#[test]
fn new_certificates_are_taken_even_beside_a_wrong_file() {
    let (world, authority) = (World::new(), Authority::new());
    let at = free_port();
    let (cert, key) = authority.writes(world.dir.path(), "site", &["old.example"]);
    let variables = [
        ("APP_CONFIG__SERVER__TLS__LISTEN", format!("[\"{at}\"]")),
        (
            "APP_CONFIG__SERVER__TLS__CERTIFICATES",
            format!("[{{\"cert\": \"{}\", \"key\": \"{}\"}}]", cert.display(), key.display()),
        ),
    ];
    let variables: Vec<_> = variables.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let process = world.spawn_with(&variables);
    let ask = |name: &str| authority.connect(at, name, Wishes::default()).and_then(|mut tls| tls.get(name, "/"));
    assert!(ask("old.example").unwrap().starts_with("HTTP/1.1 200"));

    rewrite(&world, |yaml| yaml + "nonsense: true\n");
    authority.writes(world.dir.path(), "site", &["new.example"]);
    until("the new certificate", || ask("new.example").ok());
    assert!(ask("old.example").is_err());
    until("a refusal", || world.log().contains("nonsense").then_some(()));
    assert_eq!(get(process.public, "/").unwrap().status, 200);
}

#[test]
fn a_changed_error_page_is_taken_beside_an_unchanged_file() {
    let world = World::new();
    let process = world.spawn();
    let page = world.dir.path().join("works.html");
    std::fs::write(&page, "one").unwrap();
    let route = format!(
        "routes: [ {{ path: /works, maintenance: true, respond: {{}}, error_pages: {{ 503: {} }} }},",
        page.display()
    );
    rewrite(&world, |yaml| yaml.replace("routes: [", &route));
    let works = |text: &str| get(process.public, "/works").ok().filter(|answer| answer.text() == text);
    until("the page", || works("one"));
    std::fs::write(&page, "other").unwrap();
    until("the other page", || works("other"));
    // One that is gone leaves what is known of it.
    std::fs::remove_file(&page).unwrap();
    until("a warning", || world.log().contains("cannot read an error page").then_some(()));
    assert!(works("other").is_some());
}

#[test]
fn patience_that_http2_keeps_is_named() {
    for (h2c, outcome) in [("false", "taken"), ("true", "partly")] {
        let world = World::new();
        let process = world.spawn_with(&[("APP_CONFIG__SERVER__H2C", h2c)]);
        rewrite(&world, |yaml| yaml.replace("server: {", "server: { timeouts: { idle: 33s },"));
        signal(&process.child, "HUP");
        let line = format!(r#"real_streaming_config_reloads_total{{outcome="{outcome}"}} 1"#);
        until("counted", || has_metric(&process, &line));
        assert_eq!(world.log().contains("server.timeouts.idle"), outcome == "partly", "{}", world.log());
    }
}

//! The process gets its own certificate from an authority that believes nothing, and never asks too often.

mod server;

use std::{fs, net::SocketAddr, os::unix::fs::PermissionsExt, process::Command};

use rcgen::KeyPair;

use crate::{
    authority::Wishes,
    client::{Client, PATIENCE, free_port, get},
    world::{Process, World, eventually, until},
};
use server::Acme;

const DOMAIN: &str = "shop.example";

struct Ordering {
    world: World,
    acme: Acme,
    at: SocketAddr,
    /// Where the domains lead, if not to the process.
    astray: Option<SocketAddr>,
}

impl Ordering {
    fn new() -> Ordering {
        let world = World::new();
        let acme = Acme::start(world.dir.path());
        Ordering { world, acme, at: free_port(), astray: None }
    }

    fn spawn(&self, domains: &str) -> Process {
        self.spawn_with(&[("APP_CONFIG__SERVER__TLS__ACME__DOMAINS", domains)], &[])
    }

    fn spawn_with(&self, more: &[(&str, &str)], arguments: &[&str]) -> Process {
        let (ca, state) = (self.acme.ca.display().to_string(), self.state().display().to_string());
        let listen = format!("[\"{}\"]", self.at);
        let variables = [
            ("APP_CONFIG__SERVER__TLS__LISTEN", &*listen),
            ("APP_CONFIG__SERVER__TLS__ACME__DIRECTORY", &self.acme.directory),
            ("APP_CONFIG__SERVER__TLS__ACME__DIRECTORY_CA", &ca),
            ("APP_CONFIG__SERVER__TLS__ACME__STATE", &state),
        ];
        // The authority may ask before the process has said that it is up.
        let process = self.world.launch_with(&[&variables[..], more].concat(), arguments);
        self.acme.knows(self.astray.unwrap_or(process.public), self.astray.unwrap_or(self.at));
        until("up", || get(process.public, "/healthz").ok());
        process
    }

    fn state(&self) -> std::path::PathBuf {
        self.world.dir.path().join("acme")
    }

    /// As a browser that believes the authority.
    fn is_served(&self, name: &str) -> bool {
        let answer = self.acme.authority.connect(self.at, name, Wishes::default());
        answer.and_then(|mut tls| tls.get(name, "/")).is_ok_and(|answer| answer.starts_with("HTTP/1.1 200"))
    }
}

#[test]
fn a_certificate_is_got_by_tls_and_kept() {
    let ordering = Ordering::new();
    let process = ordering.spawn(r#"["shop.example", "www.shop.example"]"#);
    let came = eventually(PATIENCE, || ordering.is_served(DOMAIN));
    assert!(came, "{}", ordering.world.log());
    assert!(ordering.is_served("www.shop.example"));
    assert_eq!(ordering.acme.proofs(), ["tls", "tls"]);
    let mode = |path: &std::path::Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&ordering.state()), 0o700);
    for file in fs::read_dir(ordering.state()).unwrap() {
        assert_eq!(mode(&file.unwrap().path()), 0o600);
    }
    drop(process);

    let asked = ordering.acme.requests();
    let _process = ordering.spawn(r#"["shop.example", "www.shop.example"]"#);
    assert!(ordering.is_served(DOMAIN), "the kept one, at once");
    assert_eq!((ordering.acme.requests(), ordering.acme.accounts()), (asked, 1));
}

#[test]
fn a_certificate_in_its_last_third_is_renewed_by_http_when_tls_failed() {
    let ordering = Ordering::new();
    let key = KeyPair::generate().unwrap();
    let old = ordering.acme.authority.issues(&key, vec![DOMAIN.to_owned()], -61, 29).pem();
    fs::create_dir(ordering.state()).unwrap();
    fs::write(ordering.state().join("certificate.pem"), key.serialize_pem() + &old).unwrap();
    fs::write(ordering.state().join("failures.json"), r#"{"count":1,"last":1000000000}"#).unwrap();
    let process = ordering.spawn(r#"["shop.example"]"#);
    assert!(ordering.is_served(DOMAIN));
    until("a new one", || ordering.world.log().contains("a new certificate is in use").then_some(()));
    assert!(ordering.is_served(DOMAIN));
    assert_eq!(ordering.acme.proofs(), ["http"]);
    assert_ne!(fs::read_to_string(ordering.state().join("certificate.pem")).unwrap(), key.serialize_pem() + &old);
    // The proof is gone with the order; the path is the site's again.
    let token = "token-0-0-0123456789abcdef";
    let answer = get(process.public, &format!("/.well-known/acme-challenge/{token}")).unwrap();
    assert!(!answer.text().starts_with(token) && answer.header("x-saw") == Some("GET"));
}

#[test]
fn a_failure_is_told_and_not_repeated_by_starting_again() {
    let mut ordering = Ordering::new();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    ordering.astray = Some(listener.local_addr().unwrap());
    std::thread::spawn(move || listener.incoming().flatten().for_each(drop));
    for _ in 0..2 {
        let process = ordering.spawn(r#"["shop.example"]"#);
        let told =
            until("a failure", || ordering.world.log().contains("no certificate").then_some(ordering.world.log()));
        assert!(told.contains("`shop.example` could not be proved") && told.contains("no proof"), "{told}");
        assert_eq!(get(process.public, "/").unwrap().status, 200, "everything else works");
        assert!(!ordering.is_served(DOMAIN));
    }
    std::thread::sleep(std::time::Duration::from_millis(500));
    assert_eq!((ordering.acme.orders(), ordering.acme.accounts()), (1, 1));
}

#[test]
fn the_flag_alone_gets_a_certificate_and_sends_everybody_to_tls() {
    let ordering = Ordering::new();
    let process = ordering.spawn_with(&[], &["--domain", DOMAIN, "--domain", "www.shop.example"]);
    let came = eventually(PATIENCE, || ordering.is_served(DOMAIN));
    assert!(came, "{}", ordering.world.log());
    assert!(ordering.is_served("www.shop.example"));
    let mut plain = Client::connect(process.public);
    plain.send(format!("GET /page?a=b HTTP/1.1\r\nHost: {DOMAIN}\r\nConnection: close\r\n\r\n"));
    let answer = plain.answer(false);
    // Port 443 would not be named.
    let there = format!("https://{DOMAIN}:{}/page?a=b", ordering.at.port());
    assert_eq!((answer.status, answer.header("location")), (308, Some(&*there)));
}

#[test]
fn a_name_that_cannot_be_proved_keeps_only_those_of_its_list_waiting() {
    let ordering = Ordering::new();
    let lists = r#"[["astray.example", "www.astray.example"], ["shop.example"], ["blog.example", "www.blog.example"]]"#;
    let _process = ordering.spawn_with(&[("APP_CONFIG__SERVER__TLS__ACME__CERTIFICATES", lists)], &[]);
    for name in [DOMAIN, "blog.example", "www.blog.example"] {
        let came = eventually(PATIENCE, || ordering.is_served(name));
        assert!(came, "{name}: {}", ordering.world.log());
    }
    assert!(ordering.world.log().contains("`astray.example` could not be proved"), "{}", ordering.world.log());
    assert!(!ordering.is_served("www.astray.example"));
    assert_eq!((ordering.acme.orders(), ordering.acme.accounts()), (3, 1));
    for file in ["shop.example/certificate.pem", "blog.example/certificate.pem", "astray.example/failures.json"] {
        assert!(ordering.state().join(file).exists(), "{file}");
    }
}

/// As it is first tried: two flags and no file.
#[test]
fn two_flags_without_a_file_make_a_site_with_a_certificate() {
    let ordering = Ordering::new();
    let (public, admin) = (free_port(), free_port());
    let mut command = Command::new(env!("CARGO_BIN_EXE_real-streaming"));
    ordering.world.in_the_log(&mut command);
    command.args(["serve", "--domain", DOMAIN, "--upstream", &ordering.world.site.url]);
    let acme = "APP_CONFIG__SERVER__TLS__ACME__";
    command
        // Ports of a process without privileges, and an authority that is not far away.
        .env("APP_CONFIG__SERVER__LISTEN", format!("[\"{public}\"]"))
        .env("APP_CONFIG__SERVER__TLS__LISTEN", format!("[\"{}\"]", ordering.at))
        .env("APP_CONFIG__SERVER__ADMIN", admin.to_string())
        .env(format!("{acme}DIRECTORY"), &ordering.acme.directory)
        .env(format!("{acme}DIRECTORY_CA"), &ordering.acme.ca);
    let _process = Process { child: command.spawn().unwrap(), public, admin };
    ordering.acme.knows(public, ordering.at);
    let came = eventually(PATIENCE, || ordering.is_served(DOMAIN));
    assert!(came, "{}", ordering.world.log());
    assert!(ordering.world.dir.path().join("acme/certificate.pem").exists(), "where nothing else is said");
    let mut plain = Client::connect(public);
    plain.send(format!("GET / HTTP/1.1\r\nHost: {DOMAIN}\r\nConnection: close\r\n\r\n"));
    assert_eq!(plain.answer(false).status, 308);
    // What is not the site's is there, too.
    let mut tls = ordering.acme.authority.connect(ordering.at, DOMAIN, Wishes::default()).unwrap();
    let event = r#"{"event_name":"page_view"}"#;
    let length = event.len();
    let request =
        format!("POST /api/v1/streaming/1 HTTP/1.1\r\nHost: {DOMAIN}\r\nContent-Length: {length}\r\n\r\n{event}");
    let answer = tls.ask(&request).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

#[test]
fn an_authority_with_one_kind_of_proof_is_asked_for_that_at_every_attempt() {
    for (only, attempts) in [("tls", 0), ("tls", 1), ("http", 0), ("http", 1)] {
        let ordering = Ordering::new();
        ordering.acme.offers_only(only);
        fs::create_dir(ordering.state()).unwrap();
        let failures = format!(r#"{{"count":{attempts},"last":1000000000}}"#);
        fs::write(ordering.state().join("failures.json"), failures).unwrap();
        let _process = ordering.spawn(r#"["shop.example"]"#);
        let came = eventually(PATIENCE, || ordering.is_served(DOMAIN));
        assert!(came, "{only} after {attempts} failures: {}", ordering.world.log());
        assert_eq!(ordering.acme.proofs(), [only]);
    }
}

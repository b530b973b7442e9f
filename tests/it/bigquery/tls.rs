//! Case 43: a server whose certificate is by an authority that this machine does not know.

use std::{
    net::SocketAddr,
    sync::atomic::Ordering,
    time::{Duration, Instant},
};

use super::process::{Backend, send};
use crate::{
    authority::Authority,
    fakes::front::Front,
    world::{World, eventually},
};

#[test]
fn an_unknown_authority_is_named_and_believed_once_somebody_says_so() {
    let (world, backend) = (World::new(), Backend::start());
    let (ours, theirs) = (Authority::new(), Authority::new());
    let front = |of: SocketAddr, authority: &Authority| {
        let (certificate, key) = authority.signs(&["127.0.0.1"]);
        backend.runtime.block_on(Front::start(of, certificate.as_bytes(), key.as_bytes()))
    };
    let (grpc, rest) = (front(backend.fake.grpc, &theirs), front(backend.fake.rest, &ours));
    let root = |authority: &Authority, file| {
        let path = authority.writes_root(world.dir.path(), file);
        std::fs::read_to_string(path).unwrap()
    };
    let (our_root, their_root) = (root(&ours, "ours.pem"), root(&theirs, "theirs.pem"));
    // None of both, which are those that the machine knows; one of both; and both of them.
    let spawn = |known: Option<&str>| {
        let roots = world.dir.path().join("known.pem");
        let (grpc, rest) = (grpc.url(), rest.url());
        let mut variables = vec![
            ("BIGQUERY_STORAGE_GRPC_ENDPOINT", &*grpc),
            ("BIGQUERY_EMULATOR_HOST", &*rest),
            ("APP_CONFIG__WRITERS__BQ__AUTH", "none"),
        ];
        if let Some(known) = known {
            std::fs::write(&roots, known).unwrap();
            variables.push(("SSL_CERT_FILE", roots.to_str().unwrap()));
        }
        backend.spawn_with(&world, "direct", &variables)
    };
    // Both authorities have one name, and the other one's signature is none.
    let cases = [(None, &rest, "UnknownIssuer"), (Some(&*our_root), &grpc, "BadSignature")];
    for (known, front, words) in cases {
        let (before, already) = (world.log().len(), front.connections.load(Ordering::Relaxed));
        let begun = Instant::now();
        let mut process = spawn(known);
        assert!(send(process.public, "a"), "events are kept meanwhile");
        let told = || {
            let log = world.log().split_off(before);
            log.contains(words) && log.contains("in `SSL_CERT_FILE`")
        };
        assert!(eventually(Duration::from_secs(30), told), "{}", world.log());
        let connections = || front.connections.load(Ordering::Relaxed) - already;
        assert!(eventually(Duration::from_secs(30), || connections() >= 3), "it is tried again");
        let (connections, seconds) = (connections(), begun.elapsed().as_secs_f64());
        assert!((connections as f64) < 10.0 + 20.0 * seconds, "no storm: {connections} connections in {seconds} s");
        assert_eq!(process.terminate(), Some(1), "something is left");
    }
    assert_eq!(backend.fake.ids(), [""; 0]);

    let mut process = spawn(Some(&format!("{our_root}{their_root}")));
    assert!(eventually(Duration::from_secs(30), || backend.fake.ids() == ["a", "a"]), "{}", world.log());
    assert_eq!(process.terminate(), Some(0));
}

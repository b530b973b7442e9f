//! Case 43: a server whose certificate is by an authority that this machine does not know.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use rustls::{
    ServerConfig,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use super::process::{Backend, send};
use crate::{
    authority::Authority,
    world::{World, eventually},
};

/// Ends TLS in front of another server.
struct Front {
    addr: SocketAddr,
    connections: Arc<AtomicUsize>,
}

impl Front {
    async fn start(of: SocketAddr, authority: &Authority) -> Front {
        let (certificate, key) = authority.signs(&["127.0.0.1"]);
        let chain = vec![CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap()];
        let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
        let builder = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()));
        let builder = builder.with_safe_default_protocol_versions().unwrap().with_no_client_auth();
        let mut config = builder.with_single_cert(chain, key).unwrap();
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let front = Front { addr: listener.local_addr().unwrap(), connections: Arc::default() };
        let connections = front.connections.clone();
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                connections.fetch_add(1, Ordering::Relaxed);
                let acceptor = acceptor.clone();
                tokio::spawn(async move {
                    let Ok(mut client) = acceptor.accept(socket).await else { return };
                    let Ok(mut server) = TcpStream::connect(of).await else { return };
                    let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
                });
            }
        });
        front
    }

    fn url(&self) -> String {
        format!("https://{}", self.addr)
    }
}

#[test]
fn an_unknown_authority_is_named_and_believed_once_somebody_says_so() {
    let (world, backend) = (World::new(), Backend::start());
    let (ours, theirs) = (Authority::new(), Authority::new());
    let (grpc, rest) = backend.runtime.block_on(async {
        (Front::start(backend.fake.grpc, &theirs).await, Front::start(backend.fake.rest, &ours).await)
    });
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

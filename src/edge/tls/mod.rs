//! TLS towards the clients.
//!
//! It is ended here and not by Pingora, whose settings know neither the oldest version nor new certificates for a
//! listener that runs; and by the front, before it reads a request, so that events over TLS take the express lane, too. Everything that
//! the configuration says but the addresses can be replaced: connections that are there keep what they began with.

mod certificates;
mod client;
mod config;
mod stream;

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use arc_swap::ArcSwapOption;
use http::{HeaderName, HeaderValue, StatusCode, Uri, header};
use pingora::{protocols::Stream, time::timeout};
use rustls::{
    ServerConfig, SupportedProtocolVersion,
    crypto::{CryptoProvider, ring},
    server::{Acceptor, ClientCertVerifierBuilder, WebPkiClientVerifier, danger::ClientCertVerifier},
    sign::SingleCertAndKey,
    version::{TLS12, TLS13},
};
use tokio::io::AsyncWriteExt;
use tokio_rustls::{LazyConfigAcceptor, TlsAcceptor, server::TlsStream};

pub use self::{
    certificates::{Certificates, chain, private_key, roots},
    client::ClientCertificate,
    config::{CertificateConfig, ClientsConfig, HstsConfig, MinVersion, TlsConfig},
    stream::Spoken,
};
use crate::{
    acme::{Challenges, TLS_PROTOCOL},
    collect::Reply,
    problem::Problem,
    telemetry::{
        Metrics,
        metrics::{ByCertificate, ByHandshake},
    },
};

/// For the whole handshake. A phone on a bad network needs three round trips of a second.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// The one provider of cryptography in the process.
pub fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

/// What is needed to shake hands, ready to use.
pub struct Setup {
    server: Arc<ServerConfig>,
    /// First name and end of each certificate.
    ends: Vec<(String, i64)>,
}

impl Setup {
    /// Reads the files of a configuration; `None` when it has no certificate. Else, everything that is wrong.
    pub fn load(config: &TlsConfig, path: &str) -> Result<Option<Setup>, Vec<Problem>> {
        let mut problems = Vec::new();
        let certificates = Certificates::load(config, path).map_err(|found| problems.extend(found)).ok();
        let clients = client_verifier(&config.clients);
        let clients = clients.map_err(|why| problems.push(Problem::new(format!("{path}.clients.ca"), why))).ok();
        let (Some(certificates), Some(clients)) = (certificates, clients) else { return Err(problems) };
        if config.certificates.is_empty() && config.acme.is_empty() {
            return Ok(None);
        }
        let versions: &[&SupportedProtocolVersion] = match config.min_version {
            MinVersion::Tls12 => &[&TLS13, &TLS12],
            MinVersion::Tls13 => &[&TLS13],
        };
        let builder = ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(versions)
            .expect("ring speaks both versions");
        let builder = match clients {
            Some(verifier) => builder.with_client_cert_verifier(verifier),
            None => builder.with_no_client_auth(),
        };
        let ends = certificates.ends().to_vec();
        let mut server = builder.with_cert_resolver(Arc::new(certificates));
        server.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        if let Ok(ticketer) = ring::Ticketer::new() {
            server.ticketer = ticketer;
        }
        Ok(Some(Setup { server: Arc::new(server), ends }))
    }
}

fn client_verifier(config: &ClientsConfig) -> Result<Option<Arc<dyn ClientCertVerifier>>, String> {
    if config.ca.as_os_str().is_empty() {
        return Ok(None);
    }
    let roots = Arc::new(roots(&config.ca)?);
    let builder = WebPkiClientVerifier::builder_with_provider(roots, provider());
    let builder = if config.required { builder } else { ClientCertVerifierBuilder::allow_unauthenticated(builder) };
    builder.build().map(Some).map_err(|error| format!("`{}` holds no roots: {error}", config.ca.display()))
}

/// The listeners, as they are bound, and which of them speak TLS.
#[derive(Debug, Default)]
pub struct Listeners(Vec<(SocketAddr, bool)>);

impl Listeners {
    /// Those without and those with TLS.
    pub fn new(plain: &[SocketAddr], tls: &[SocketAddr]) -> Listeners {
        let plain = plain.iter().map(|at| (*at, false));
        Listeners(plain.chain(tls.iter().map(|at| (*at, true))).collect())
    }

    /// Whether any of them speaks TLS.
    fn any_tls(&self) -> bool {
        self.0.iter().any(|(_, tls)| *tls)
    }

    /// Whether the one speaks TLS that a connection to `local` came in by: that of just this address, else that of all
    /// addresses. An IPv4 address that a listener for IPv6 was reached at has the form of an IPv6 one.
    fn speaks_tls(&self, local: SocketAddr) -> bool {
        let of = |fits: &dyn Fn(&SocketAddr) -> bool| self.0.iter().find(|(at, _)| fits(at)).map(|(_, tls)| *tls);
        let every =
            |at: &SocketAddr| at.port() == local.port() && at.ip().is_unspecified() && at.is_ipv4() == local.is_ipv4();
        let just = |at: &SocketAddr| (at.ip(), at.port()) == (local.ip(), local.port());
        of(&just).or_else(|| of(&every)).unwrap_or(false)
    }
}

/// What speaks TLS.
pub struct Tls {
    listeners: Listeners,
    setup: ArcSwapOption<Setup>,
    challenges: Arc<Challenges>,
    metrics: Arc<Metrics>,
}

impl Tls {
    /// On these listeners, bound by now.
    pub fn new(listeners: Listeners, setup: Option<Setup>, challenges: Arc<Challenges>, metrics: Arc<Metrics>) -> Tls {
        let tls = Tls { listeners, setup: ArcSwapOption::empty(), challenges, metrics };
        tls.replace(setup);
        tls
    }

    /// From now on, new connections get this.
    pub fn replace(&self, setup: Option<Setup>) {
        self.metrics.tls_certificate_ends.clear();
        for (name, ends_at) in setup.iter().flat_map(|setup| &setup.ends) {
            self.metrics
                .tls_certificate_ends
                .get_or_create(&ByCertificate { name: name.as_str().into() })
                .set(*ends_at);
        }
        self.setup.store(setup.map(Arc::new));
    }

    /// Whether there is any such listener.
    pub fn is_off(&self) -> bool {
        !self.listeners.any_tls()
    }

    /// The connection as its listener wants it: decrypted, or as it is. `None` when the two sides found no agreement.
    pub async fn meet(&self, stream: Stream) -> Option<Stream> {
        if !self.speaks(&stream) {
            return Some(stream);
        }
        let setup = self.setup.load_full()?;
        let (stream, outcome) = match timeout(HANDSHAKE, self.shake(stream, &setup.server)).await {
            Ok(Ok(Some(stream))) => (Some(Box::new(Spoken::tls(stream)) as Stream), "ok"),
            Ok(Ok(None)) => (None, "proof"),
            Ok(Err(error)) => {
                tracing::debug!(%error, "no agreement on TLS");
                (None, "failed")
            }
            Err(_) => (None, "timed_out"),
        };
        self.metrics.tls_handshakes.get_or_create(&ByHandshake { outcome }).inc();
        stream
    }

    /// The agreement; `None` when an authority wanted a proof and got it.
    async fn shake(&self, stream: Stream, server: &Arc<ServerConfig>) -> io::Result<Option<TlsStream<Stream>>> {
        if !self.challenges.asks_tls() {
            return TlsAcceptor::from(server.clone()).accept(stream).await.map(Some);
        }
        let start = LazyConfigAcceptor::new(Acceptor::default(), stream).await?;
        let hello = start.client_hello();
        // RFC 8737: nothing else is offered then.
        let asks = hello.alpn().is_some_and(|mut offered| offered.next() == Some(TLS_PROTOCOL));
        let proof = hello.server_name().filter(|_| asks).and_then(|domain| self.challenges.tls(domain));
        let Some(proof) = proof else {
            return start.into_stream(server.clone()).await.map(Some);
        };
        let mut prover = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .expect("ring speaks both versions")
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(SingleCertAndKey::from(proof)));
        prover.alpn_protocols = vec![TLS_PROTOCOL.to_vec()];
        let mut stream = start.into_stream(Arc::new(prover)).await?;
        // The authority has seen what it wanted.
        let _ = stream.shutdown().await;
        Ok(None)
    }

    fn speaks(&self, stream: &Stream) -> bool {
        if self.is_off() {
            return false;
        }
        let digest = stream.get_socket_digest();
        let local = digest.as_ref().and_then(|digest| digest.local_addr()?.as_inet().copied());
        local.is_some_and(|local| self.listeners.speaks_tls(local))
    }
}

/// What is said to clients about TLS.
#[derive(Debug, Default)]
pub struct Insistence {
    hsts: Option<HeaderValue>,
    redirect: bool,
    /// The port of the first TLS listener, where it is not the usual one.
    port: Option<u16>,
}

impl Insistence {
    /// What the configuration says; `listen` are the listeners as they are bound.
    pub fn new(config: &TlsConfig, listen: &[SocketAddr]) -> Insistence {
        let hsts = config.hsts.value().and_then(|value| HeaderValue::try_from(value).ok());
        let port = listen.first().map(SocketAddr::port).filter(|port| *port != 443);
        Insistence { hsts, redirect: config.redirect, port }
    }

    /// Where a request that came without TLS is sent, if that is wanted: the same address, by 308, which keeps the
    /// method. A request without a host has no such address.
    pub fn redirect(&self, secure: bool, host: &str, uri: &Uri) -> Option<Reply> {
        if !self.redirect || secure || host.is_empty() {
            return None;
        }
        let port = self.port.map(|port| format!(":{port}")).unwrap_or_default();
        let path = uri.path_and_query().map_or("/", |path| path.as_str());
        let location = HeaderValue::try_from(format!("https://{host}{port}{path}")).ok()?;
        let headers = vec![(header::LOCATION, location)];
        Some(Reply { status: StatusCode::PERMANENT_REDIRECT, headers, body: Default::default() })
    }

    /// The header to add to an answer over TLS that does not say it itself. Browsers pass over it elsewhere.
    pub fn hsts(&self, secure: bool) -> Option<(HeaderName, HeaderValue)> {
        let value = self.hsts.clone().filter(|_| secure)?;
        Some((header::STRICT_TRANSPORT_SECURITY, value))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_listener_is_known_by_the_address_it_was_reached_at() {
        let at = |text: &str| -> SocketAddr { text.parse().unwrap() };
        let plain = [at("[::1]:443"), at("127.0.0.1:444"), at("0.0.0.0:80"), at("[::]:445")];
        let tls = [at("0.0.0.0:443"), at("127.0.0.1:8443"), at("[::]:444"), at("127.0.0.1:445")];
        let listeners = Listeners::new(&plain, &tls);
        for (local, expected) in [
            ("10.0.0.1:443", true),
            ("127.0.0.1:8443", true),
            ("127.0.0.2:8443", false),
            ("[::ffff:10.0.0.1]:444", true),
            ("10.0.0.1:80", false),
            ("[::1]:443", false),
            ("[::2]:443", false),
            ("127.0.0.1:444", false),
            ("[::1]:444", true),
            ("127.0.0.1:445", true),
            ("[::1]:445", false),
        ] {
            assert_eq!(listeners.speaks_tls(at(local)), expected, "{local}");
        }
    }

    #[test]
    fn plain_requests_are_sent_to_the_same_address() {
        let config = TlsConfig { redirect: true, ..TlsConfig::default() };
        let usual = Insistence::new(&config, &["0.0.0.0:443".parse().unwrap()]);
        let other = Insistence::new(&config, &["0.0.0.0:8443".parse().unwrap()]);
        let uri: Uri = "/a/b?c=d".parse().unwrap();
        let location = |reply: Option<Reply>| reply.unwrap().headers[0].1.to_str().unwrap().to_owned();
        assert_eq!(location(usual.redirect(false, "a.example", &uri)), "https://a.example/a/b?c=d");
        assert_eq!(location(other.redirect(false, "a.example", &uri)), "https://a.example:8443/a/b?c=d");
        assert!(usual.redirect(true, "a.example", &uri).is_none());
        assert!(usual.redirect(false, "", &uri).is_none());
    }
}

//! Certificates for tests: an authority that everybody in a test believes, and a client that does.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    path::{Path, PathBuf},
    sync::Arc,
};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::{
    ClientConfig, ClientConnection, RootCertStore, StreamOwned, SupportedProtocolVersion,
    client::WebPkiServerVerifier,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName},
};

use crate::client::PATIENCE;

/// Signs certificates.
pub struct Authority(CertifiedIssuer<'static, KeyPair>);

/// What a client of these tests is told.
#[derive(Clone, Default)]
pub struct Wishes {
    pub alpn: Vec<Vec<u8>>,
    pub versions: Option<&'static [&'static SupportedProtocolVersion]>,
    /// Certificate and key.
    pub own: Option<(CertificateDer<'static>, Vec<u8>)>,
}

impl Authority {
    pub fn new() -> Authority {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Authority(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    /// Certificate and key as PEM.
    pub fn signs(&self, names: &[&str]) -> (String, String) {
        let (certificate, key) = self.made(names);
        (certificate.pem(), key.serialize_pem())
    }

    fn made(&self, names: &[&str]) -> (rcgen::Certificate, KeyPair) {
        let names: Vec<String> = names.iter().map(ToString::to_string).collect();
        let key = KeyPair::generate().unwrap();
        (CertificateParams::new(names).unwrap().signed_by(&key, &self.0).unwrap(), key)
    }

    /// For somebody else's key, or whoever's; its life is told in days from now.
    pub fn issues(
        &self,
        key: &impl rcgen::PublicKeyData,
        names: Vec<String>,
        from: i64,
        to: i64,
    ) -> rcgen::Certificate {
        let mut params = CertificateParams::new(names).unwrap();
        let day = |days: i64| {
            let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs() as i64;
            time::OffsetDateTime::from_unix_timestamp(now + days * 86400).unwrap()
        };
        (params.not_before, params.not_after) = (day(from), day(to));
        params.signed_by(key, &self.0).unwrap()
    }

    /// For a client.
    pub fn client(&self, name: &str) -> (CertificateDer<'static>, Vec<u8>) {
        let (certificate, key) = self.made(&[name]);
        (certificate.der().clone(), key.serialize_der())
    }

    /// Writes a certificate and its key into a folder; their paths.
    pub fn writes(&self, folder: &Path, file: &str, names: &[&str]) -> (PathBuf, PathBuf) {
        let (cert, key) = (folder.join(format!("{file}.pem")), folder.join(format!("{file}.key")));
        let (certificate, private) = self.signs(names);
        std::fs::write(&key, private).unwrap();
        std::fs::write(&cert, certificate).unwrap();
        (cert, key)
    }

    /// Writes its own certificate.
    pub fn writes_root(&self, folder: &Path, file: &str) -> PathBuf {
        let path = folder.join(file);
        std::fs::write(&path, self.0.as_ref().pem()).unwrap();
        path
    }

    fn verifier(&self) -> Arc<WebPkiServerVerifier> {
        let mut roots = RootCertStore::empty();
        roots.add(self.0.as_ref().der().clone()).unwrap();
        WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::new(ring::default_provider()))
            .build()
            .unwrap()
    }

    /// The settings of a client that believes this authority and nobody else.
    pub fn config(&self, wishes: Wishes) -> Arc<ClientConfig> {
        let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_protocol_versions(wishes.versions.unwrap_or(rustls::ALL_VERSIONS))
            .unwrap()
            .with_webpki_verifier(self.verifier());
        let mut config = match wishes.own {
            Some((certificate, key)) => {
                builder.with_client_auth_cert(vec![certificate], PrivateKeyDer::try_from(key).unwrap()).unwrap()
            }
            None => builder.with_no_client_auth(),
        };
        config.alpn_protocols = wishes.alpn;
        Arc::new(config)
    }

    /// Connects, under a name; the certificate must be for that name.
    pub fn connect(&self, at: SocketAddr, name: &str, wishes: Wishes) -> std::io::Result<Tls> {
        let name = ServerName::try_from(name.to_owned()).unwrap();
        let session = ClientConnection::new(self.config(wishes), name).map_err(std::io::Error::other)?;
        let socket = TcpStream::connect(at)?;
        socket.set_read_timeout(Some(PATIENCE))?;
        let mut stream = StreamOwned::new(session, socket);
        while stream.conn.is_handshaking() {
            stream.conn.complete_io(&mut stream.sock)?;
        }
        Ok(Tls(stream))
    }
}

/// A connection over TLS.
pub struct Tls(pub StreamOwned<ClientConnection, TcpStream>);

impl Tls {
    /// Sends a request whose answer has a length; the answer, head and body.
    pub fn ask(&mut self, request: &str) -> std::io::Result<String> {
        self.0.write_all(request.as_bytes())?;
        let mut answer = Vec::new();
        let mut byte = [0];
        while !answer.ends_with(b"\r\n\r\n") {
            self.0.read_exact(&mut byte)?;
            answer.push(byte[0]);
        }
        let head = String::from_utf8(answer).unwrap();
        let length = crate::client::headers(&head).get("content-length").map_or(0, |length| length.parse().unwrap());
        let mut body = vec![0; length];
        self.0.read_exact(&mut body)?;
        Ok(head + &String::from_utf8_lossy(&body))
    }

    pub fn get(&mut self, host: &str, path: &str) -> std::io::Result<String> {
        self.ask(&format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n"))
    }
}

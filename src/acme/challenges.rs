//! What proves to an authority that our domains are ours: answers to the questions it asks our own listeners.

use std::{collections::HashMap, sync::Arc};

use parking_lot::RwLock;
use rcgen::{CertificateParams, CustomExtension, KeyPair};
use rustls::{crypto::ring::sign::any_ecdsa_type, pki_types::PrivateKeyDer, sign::CertifiedKey};

/// Where HTTP-01 asks (RFC 8555, 8.3); the token follows.
pub const HTTP_PATH: &str = "/.well-known/acme-challenge/";
/// What TLS-ALPN-01 speaks (RFC 8737).
pub const TLS_PROTOCOL: &[u8] = b"acme-tls/1";

/// The answers of the order at hand; none otherwise.
#[derive(Debug, Default)]
pub struct Challenges {
    /// By token.
    http: RwLock<HashMap<String, String>>,
    /// By domain.
    tls: RwLock<HashMap<String, Arc<CertifiedKey>>>,
}

impl Challenges {
    /// The answer to HTTP-01 on this path, if we are being asked.
    pub fn http(&self, path: &str) -> Option<String> {
        self.http.read().get(path.strip_prefix(HTTP_PATH)?).cloned()
    }

    /// The certificate that answers TLS-ALPN-01 for this domain, if we are being asked.
    pub fn tls(&self, domain: &str) -> Option<Arc<CertifiedKey>> {
        self.tls.read().get(&domain.to_ascii_lowercase()).cloned()
    }

    /// Whether TLS-ALPN-01 may be asked at all.
    pub fn asks_tls(&self) -> bool {
        !self.tls.read().is_empty()
    }

    /// Answers HTTP-01.
    pub fn answer_http(&self, token: &str, proof: &str) {
        self.http.write().insert(token.to_owned(), proof.to_owned());
    }

    /// Answers TLS-ALPN-01, by a certificate that holds the proof's SHA-256.
    pub fn answer_tls(&self, domain: &str, digest: &[u8; 32]) -> Result<(), rcgen::Error> {
        let mut params = CertificateParams::new(vec![domain.to_owned()])?;
        params.custom_extensions = vec![CustomExtension::new_acme_identifier(digest)];
        let key = KeyPair::generate()?;
        let certificate = params.self_signed(&key)?;
        let private = PrivateKeyDer::Pkcs8(key.serialize_der().into());
        let signing = any_ecdsa_type(&private).expect("the key was made for ECDSA a line ago");
        let certified = CertifiedKey::new(vec![certificate.der().clone()], signing);
        self.tls.write().insert(domain.to_owned(), Arc::new(certified));
        Ok(())
    }

    /// The order is over.
    pub fn clear(&self) {
        self.http.write().clear();
        self.tls.write().clear();
    }
}

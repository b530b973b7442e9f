//! Who a server has to prove to be, and who we prove to be to it.

use std::{
    hash::{DefaultHasher, Hash, Hasher},
    path::Path,
    sync::Arc,
};

use pingora::{
    protocols::tls::CaType,
    upstreams::peer::HttpPeer,
    utils::tls::{CertKey, WrappedX509, parse_x509},
};
use rustls::{
    pki_types::{PrivateKeyDer, ServerName},
    sign::CertifiedKey,
};

use super::{config::UpstreamTlsConfig, url::UpstreamUrl};
use crate::edge::tls::{chain, private_key, roots};

/// The files of `upstreams[].tls:`, read.
#[derive(Debug)]
pub struct Identity {
    /// The name in the server's certificate; empty without TLS.
    pub name: Box<str>,
    ours: Option<Arc<CertKey>>,
    authorities: Option<Arc<CaType>>,
    insecure: bool,
    /// Of all that is said above: connections of one kind never serve another.
    pub fingerprint: u64,
}

impl Identity {
    /// Reads the files; else, the key and what is wrong with it.
    pub fn load(url: &UpstreamUrl, config: &UpstreamTlsConfig) -> Result<Identity, (&'static str, String)> {
        let name = match (url, &config.name) {
            (UpstreamUrl::Tcp { tls: true, host, .. }, None) => host.clone(),
            (UpstreamUrl::Tcp { tls: true, .. }, Some(name)) => name.as_str().into(),
            _ => "".into(),
        };
        if url.tls() && ServerName::try_from(&*name).is_err() {
            return Err(("name", format!("`{name}` is not a name that a certificate can have")));
        }
        let mut hasher = DefaultHasher::new();
        (url, config).hash(&mut hasher);
        let mut ours = None;
        if let (Some(cert), Some(key)) = (&config.cert, &config.key) {
            let (certificates, secret) = pair(cert, key)?;
            (&certificates, &secret).hash(&mut hasher);
            ours = Some(Arc::new(CertKey::new(certificates, secret)));
        }
        let mut authorities = None;
        if let Some(path) = &config.ca {
            // For what is wrong with them: whoever connects would hear of it for the first time with a request.
            roots(path).map_err(|why| ("ca", why))?;
            let found = chain(path).map_err(|why| ("ca", why))?;
            found.hash(&mut hasher);
            authorities =
                Some(found.iter().map(|certificate| WrappedX509::new(certificate.to_vec(), parse_x509)).collect());
        }
        Ok(Identity { name, ours, authorities, insecure: config.insecure, fingerprint: hasher.finish() })
    }

    /// Believes nobody: for files that could be read when the configuration was checked, and no more.
    pub fn nobody(url: &UpstreamUrl) -> Identity {
        let name = url.authority(None).into();
        Identity { name, ours: None, authorities: Some(Arc::new([])), insecure: false, fingerprint: 0 }
    }

    /// Tells a connection that is to be made.
    pub fn show(&self, peer: &mut HttpPeer) {
        peer.group_key = self.fingerprint;
        peer.client_cert_key.clone_from(&self.ours);
        peer.options.ca.clone_from(&self.authorities);
        peer.options.verify_cert = !self.insecure;
        peer.options.verify_hostname = !self.insecure;
    }
}

type Pair = (Vec<Vec<u8>>, Vec<u8>);

/// A certificate with the chain above it, and the key that belongs to it.
fn pair(cert: &Path, key: &Path) -> Result<Pair, (&'static str, String)> {
    let certificates = chain(cert).map_err(|why| ("cert", why))?;
    // Pingora takes it for granted that both can be read.
    let secret: PrivateKeyDer<'_> = private_key(key).map_err(|why| ("key", why))?;
    for certificate in &certificates {
        if x509_parser::parse_x509_certificate(certificate).is_err() {
            return Err(("cert", format!("`{}` holds no certificate that can be read", cert.display())));
        }
    }
    let signing = rustls::crypto::ring::sign::any_supported_type(&secret)
        .map_err(|error| ("key", format!("`{}` is no key we can sign with: {error}", key.display())))?;
    CertifiedKey::new(certificates.clone(), signing)
        .keys_match()
        .map_err(|_| ("key", format!("`{}` is not the key of the certificate", key.display())))?;
    let certificates = certificates.iter().map(|certificate| certificate.to_vec()).collect();
    Ok((certificates, secret.secret_der().to_vec()))
}

//! Certificates as they lie on disk, and which of them answers to which name.
//!
//! A certificate answers to the names in it (RFC 6125): an exact one first, then `*.example.com` for one label below
//! `example.com`. Among several for one name the first stands. Who asks for no name, or for one that nobody has, gets
//! the first certificate: a proof of who we are not is still better understood than a broken connection.

use std::{
    collections::HashMap,
    fs, io,
    net::{Ipv4Addr, Ipv6Addr},
    path::Path,
    sync::Arc,
};

use rustls::{
    RootCertStore,
    crypto::ring::sign::any_supported_type,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

use super::config::{CertificateConfig, TlsConfig};
use crate::{acme::Store, problem::Problem};

/// Longest PEM file read. A chain has 10 kB, the roots of the whole internet 250 kB.
const MAX_FILE: u64 = 4 << 20;

/// One certificate with its key.
#[derive(Debug)]
pub struct Certificate {
    /// For rustls.
    pub key: Arc<CertifiedKey>,
    /// The names it answers to, lower case.
    pub names: Vec<String>,
    /// When it ends, in seconds since 1970.
    pub ends_at: i64,
}

/// All of them.
#[derive(Debug, Default)]
pub struct Certificates {
    by_name: HashMap<String, Arc<CertifiedKey>>,
    fallback: Option<Arc<CertifiedKey>>,
    /// First name and end of each.
    ends: Vec<(String, i64)>,
}

impl Certificates {
    /// Reads those of a configuration; else, everything that is wrong with them.
    pub fn load(config: &TlsConfig, path: &str) -> Result<Certificates, Vec<Problem>> {
        let mut problems = Vec::new();
        let mut all = Certificates::default();
        for (index, pair) in config.certificates.iter().enumerate() {
            match Certificate::load(pair) {
                Ok(certificate) => all.add(certificate),
                Err((key, why)) => problems.push(Problem::new(format!("{path}.certificates[{index}].{key}"), why)),
            }
        }
        // One of ours may not be there yet, or a new one be on its way.
        for wanted in config.acme.wanted() {
            let file = Store::new(&wanted.folder).certificate_file();
            match Certificate::load(&CertificateConfig { cert: file.clone(), key: file.clone() }) {
                Ok(certificate) => all.add(certificate),
                Err((_, why)) if file.exists() => tracing::warn!(why, "a certificate of our own is not used"),
                Err(_) => {}
            }
        }
        if problems.is_empty() { Ok(all) } else { Err(problems) }
    }

    /// Adds one after those that are there.
    pub fn add(&mut self, certificate: Certificate) {
        self.ends.push((certificate.names.first().cloned().unwrap_or_default(), certificate.ends_at));
        for name in certificate.names {
            self.by_name.entry(name).or_insert_with(|| certificate.key.clone());
        }
        self.fallback.get_or_insert(certificate.key);
    }

    /// First name of each, and when it ends in seconds since 1970.
    pub fn ends(&self) -> &[(String, i64)] {
        &self.ends
    }

    /// The one that answers to this name.
    pub fn find(&self, name: Option<&str>) -> Option<Arc<CertifiedKey>> {
        let named = name.and_then(|name| {
            let name = name.to_ascii_lowercase();
            let wildcard = || self.by_name.get(&format!("*.{}", name.split_once('.')?.1));
            self.by_name.get(&name).or_else(wildcard)
        });
        named.or(self.fallback.as_ref()).cloned()
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.find(hello.server_name())
    }
}

impl Certificate {
    fn load(pair: &CertificateConfig) -> Result<Certificate, (&'static str, String)> {
        let chain = chain(&pair.cert).map_err(|why| ("cert", why))?;
        let key = private_key(&pair.key).map_err(|why| ("key", why))?;
        let shown = pair.key.display();
        Certificate::new(chain, &key).map_err(|why| match why {
            Unfit::Certificate(why) => ("cert", format!("`{}` {why}", pair.cert.display())),
            Unfit::Key(why) => ("key", format!("`{shown}` {why}")),
        })
    }

    /// A chain that begins with the certificate, and its key.
    pub fn new(chain: Vec<CertificateDer<'static>>, key: &PrivateKeyDer<'_>) -> Result<Certificate, Unfit> {
        let unreadable = || Unfit::Certificate("holds no certificate that can be read".to_owned());
        let (names, ends_at) = {
            let (_, parsed) =
                X509Certificate::from_der(chain.first().ok_or_else(unreadable)?).map_err(|_| unreadable())?;
            (names(&parsed), parsed.validity().not_after.timestamp())
        };
        if names.is_empty() {
            return Err(Unfit::Certificate("names no host in its subject alternative names".to_owned()));
        }
        let key =
            any_supported_type(key).map_err(|error| Unfit::Key(format!("is no key we can sign with: {error}")))?;
        let key = CertifiedKey::new(chain, key);
        key.keys_match().map_err(|_| Unfit::Key("is not the key of the certificate".to_owned()))?;
        Ok(Certificate { key: Arc::new(key), names, ends_at })
    }
}

/// Why a certificate and a key cannot be used.
#[derive(Debug)]
pub enum Unfit {
    /// What is wrong with the certificate.
    Certificate(String),
    /// What is wrong with the key.
    Key(String),
}

fn names(certificate: &X509Certificate<'_>) -> Vec<String> {
    let Ok(Some(names)) = certificate.subject_alternative_name() else { return Vec::new() };
    let name = |name: &GeneralName<'_>| match name {
        GeneralName::DNSName(name) => Some(name.to_ascii_lowercase()),
        // Clients that connect to an address ask for no name; the certificate is theirs as the first one.
        GeneralName::IPAddress(bytes) => match **bytes {
            [a, b, c, d] => Some(Ipv4Addr::new(a, b, c, d).to_string()),
            _ => <[u8; 16]>::try_from(*bytes).ok().map(|bytes| Ipv6Addr::from(bytes).to_string()),
        },
        _ => None,
    };
    names.value.general_names.iter().filter_map(name).collect()
}

/// The certificates of a PEM file, at least one; else, what is wrong with it.
pub fn chain(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let pem = read(path)?;
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    match chain {
        Ok(chain) if !chain.is_empty() => Ok(chain),
        _ => Err(format!("`{}` holds no certificate that can be read", path.display())),
    }
}

/// The private key in a PEM file; else, what is wrong with it.
pub fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, String> {
    let pem = read(path)?;
    PrivateKeyDer::from_pem_slice(&pem)
        .map_err(|error| format!("`{}` holds no private key that can be read: {error}", path.display()))
}

/// The roots in a PEM file; else, what is wrong with it.
pub fn roots(path: &Path) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    for certificate in chain(path)? {
        roots.add(certificate).map_err(|error| format!("`{}` is no root: {error}", path.display()))?;
    }
    Ok(roots)
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    let shown = path.display();
    let bad = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound => format!("there is no file `{shown}`"),
        _ => format!("`{shown}` cannot be read: {error}"),
    };
    let found = fs::metadata(path).map_err(bad)?;
    if !found.is_file() || found.len() > MAX_FILE {
        return Err(format!("`{shown}` is no file of at most {} MiB", MAX_FILE >> 20));
    }
    fs::read(path).map_err(bad)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn made(names: &[&str]) -> Certificate {
        let names: Vec<String> = names.iter().map(ToString::to_string).collect();
        let made = rcgen::generate_simple_self_signed(names).unwrap();
        let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
        Certificate::new(vec![made.cert.der().clone()], &key).unwrap()
    }

    #[test]
    fn a_name_finds_its_certificate() {
        let mut all = Certificates::default();
        assert!(all.find(Some("a.example")).is_none());
        for names in [&["first.example"][..], &["*.b.example"], &["x.b.example", "b.example"], &["First.example"]] {
            all.add(made(names));
        }
        let names = |name: Option<&str>| {
            let key = all.find(name).unwrap();
            let (_, parsed) = X509Certificate::from_der(&key.cert[0]).unwrap();
            super::names(&parsed)[0].clone()
        };
        for (asked, expected) in [
            (Some("x.b.example"), "x.b.example"),
            (Some("X.B.Example"), "x.b.example"),
            (Some("y.b.example"), "*.b.example"),
            (Some("b.example"), "x.b.example"),
            (Some("z.y.b.example"), "first.example"),
            (Some("stranger.example"), "first.example"),
            (Some("first.example"), "first.example"),
            (None, "first.example"),
        ] {
            assert_eq!(names(asked), expected, "{asked:?}");
        }
        assert_eq!(all.ends().len(), 4);
    }

    #[test]
    fn a_certificate_may_be_of_addresses_alone() {
        assert_eq!(made(&["2001:db8::1"]).names, ["2001:db8::1"]);
        assert_eq!(made(&["192.0.2.1", "::1"]).names, ["192.0.2.1", "::1"]);
    }

    #[test]
    fn a_key_of_another_certificate_is_refused() {
        let one = rcgen::generate_simple_self_signed(vec!["a.example".to_owned()]).unwrap();
        let other = rcgen::generate_simple_self_signed(vec!["a.example".to_owned()]).unwrap();
        let key = PrivateKeyDer::try_from(other.signing_key.serialize_der()).unwrap();
        assert!(matches!(Certificate::new(vec![one.cert.der().clone()], &key), Err(Unfit::Key(_))));
        assert!(matches!(Certificate::new(vec![b"no".to_vec().into()], &key), Err(Unfit::Certificate(_))));
        assert!(matches!(Certificate::new(Vec::new(), &key), Err(Unfit::Certificate(_))));
    }
}

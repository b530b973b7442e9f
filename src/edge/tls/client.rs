//! What a client's certificate says of it, once an authority of `server.tls.clients` has been found to stand behind it.

use std::fmt::Write;

use pingora::protocols::tls::SslDigest;
use ring::digest::{SHA256, digest};
use x509_parser::prelude::{AttributeTypeAndValue, FromDer, X509Certificate, X509Name};

/// In visible ASCII, fit for a header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientCertificate {
    /// The subject's distinguished name, as RFC 4514 writes it: `CN=me,O=Example`.
    pub subject: String,
    /// The serial number, hexadecimal.
    pub serial: String,
    /// SHA-256 of the certificate, hexadecimal.
    pub fingerprint: String,
}

impl ClientCertificate {
    /// Reads a certificate; `None` for one that rustls can read and we cannot.
    pub fn read(der: &[u8]) -> Option<ClientCertificate> {
        let (_, certificate) = X509Certificate::from_der(der).ok()?;
        Some(ClientCertificate {
            subject: name(certificate.subject()),
            serial: hex(certificate.raw_serial()),
            fingerprint: hex(digest(&SHA256, der).as_ref()),
        })
    }

    /// In what Pingora carries from a connection to its requests. It has no place for a subject, so that goes where it
    /// would have the organization.
    pub fn digest(this: Option<&ClientCertificate>, cipher: &'static str, version: &'static str) -> SslDigest {
        let subject = this.map(|this| this.subject.clone());
        let serial = this.map(|this| this.serial.clone());
        let fingerprint = this.map(|this| this.fingerprint.clone().into_bytes()).unwrap_or_default();
        SslDigest::new(cipher, version, subject, serial, fingerprint)
    }

    /// And from there.
    pub fn of(digest: &SslDigest) -> Option<ClientCertificate> {
        Some(ClientCertificate {
            subject: digest.organization.clone()?,
            serial: digest.serial_number.clone()?,
            fingerprint: String::from_utf8(digest.cert_digest.clone()).ok()?,
        })
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut out, byte| {
        write!(out, "{byte:02x}").expect("a String takes everything");
        out
    })
}

/// RFC 4514, 2.1: the last part first.
fn name(name: &X509Name<'_>) -> String {
    let parts: Vec<Vec<String>> = name.iter_rdn().map(|part| part.iter().map(attribute).collect()).collect();
    parts.iter().rev().map(|part| part.join("+")).collect::<Vec<_>>().join(",")
}

/// Types that have a name (RFC 4514, 3).
const TYPES: [(&str, &str); 9] = [
    ("2.5.4.3", "CN"),
    ("2.5.4.7", "L"),
    ("2.5.4.8", "ST"),
    ("2.5.4.10", "O"),
    ("2.5.4.11", "OU"),
    ("2.5.4.6", "C"),
    ("2.5.4.9", "STREET"),
    ("0.9.2342.19200300.100.1.25", "DC"),
    ("0.9.2342.19200300.100.1.1", "UID"),
];

fn attribute(attribute: &AttributeTypeAndValue<'_>) -> String {
    let kind = attribute.attr_type().to_id_string();
    let kind = TYPES.iter().find(|(known, _)| *known == kind).map_or(&*kind, |(_, name)| name);
    match attribute.as_str() {
        Ok(text) => format!("{kind}={}", escaped(text)),
        Err(_) => format!("{kind}=#{}", hex(attribute.as_slice())),
    }
}

/// RFC 4514, 2.4; what is not visible ASCII too, so that the name is fit for a header and nobody can add a part to it.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for (at, byte) in text.bytes().enumerate() {
        let is_edge = at == 0 || at + 1 == text.len();
        match byte {
            b'"' | b'+' | b',' | b';' | b'<' | b'>' | b'\\' | b'=' => out.extend(['\\', char::from(byte)]),
            b'#' if at == 0 => out.push_str("\\#"),
            b' ' if is_edge => out.push_str("\\ "),
            b' '..=b'~' => out.push(char::from(byte)),
            _ => write!(out, "\\{byte:02x}").expect("a String takes everything"),
        }
    }
    out
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair};

    use super::*;

    #[test]
    fn a_name_is_written_so_that_nobody_can_add_to_it() {
        let mut params = CertificateParams::new(vec!["a.example".to_owned()]).unwrap();
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CountryName, "DE");
        params.distinguished_name.push(DnType::OrganizationName, " M\u{fc}ller, CN=admin\r\nX: y ");
        params.distinguished_name.push(DnType::CommonName, "#me");
        let made = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
        let found = ClientCertificate::read(made.der()).unwrap();
        assert_eq!(found.subject, "CN=\\#me,O=\\ M\\c3\\bcller\\, CN\\=admin\\0d\\0aX: y\\ ,C=DE");
        assert_eq!(found.fingerprint.len(), 64);
        assert!(!found.serial.is_empty() && found.serial.bytes().all(|byte| byte.is_ascii_hexdigit()));
        let digest = ClientCertificate::digest(Some(&found), "", "");
        assert_eq!(ClientCertificate::of(&digest), Some(found));
        assert_eq!(ClientCertificate::of(&ClientCertificate::digest(None, "", "")), None);
        assert_eq!(ClientCertificate::read(b"no"), None);
    }
}

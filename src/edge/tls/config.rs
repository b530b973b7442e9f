//! `server.tls:` - what the operator may say about TLS.

use std::{net::SocketAddr, path::PathBuf};

use serde::{Deserialize, Serialize};

use crate::{acme::AcmeConfig, edge::config::addresses, problem::Problem, units::Span};

/// Longest time that browsers are told to remember: two years, what preload lists ask for at most.
const MAX_REMEMBERED: u64 = 2 * 366 * 24 * 3600;

/// TLS on listeners of its own.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TlsConfig {
    /// Addresses that speak TLS. None is no TLS.
    #[serde(with = "addresses")]
    pub listen: Vec<SocketAddr>,
    /// Certificates, chosen by the names in them; the first is for clients that ask for none of these names.
    pub certificates: Vec<CertificateConfig>,
    /// A certificate that we get and renew ourselves.
    pub acme: AcmeConfig,
    /// The oldest version spoken.
    pub min_version: MinVersion,
    /// Whether and how clients show certificates of their own.
    pub clients: ClientsConfig,
    /// For how long browsers use nothing but TLS for a host that they saw over TLS.
    pub hsts: HstsConfig,
    /// Whether requests without TLS are sent to the same address with it.
    pub redirect: bool,
}

/// One certificate.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CertificateConfig {
    /// PEM file with the certificate and those between it and its root, in this order.
    pub cert: PathBuf,
    /// PEM file with its private key.
    pub key: PathBuf,
}

/// The oldest version of TLS that is spoken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum MinVersion {
    /// Everything since 2008.
    #[default]
    #[serde(rename = "1.2")]
    Tls12,
    /// Everything since 2018.
    #[serde(rename = "1.3")]
    Tls13,
}

/// `server.tls.clients:` - certificates of clients.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ClientsConfig {
    /// PEM file with the roots of their certificates. None: nobody is asked for one.
    pub ca: PathBuf,
    /// Whether a client without a certificate is turned away. One with a wrong certificate always is.
    pub required: bool,
}

impl Default for ClientsConfig {
    fn default() -> ClientsConfig {
        ClientsConfig { ca: PathBuf::new(), required: true }
    }
}

/// `server.tls.hsts:` - `Strict-Transport-Security` (RFC 6797) on answers over TLS that do not have it yet.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HstsConfig {
    /// How long; zero says nothing.
    pub max_age: Span,
    /// Whether for hosts below it, too.
    pub include_subdomains: bool,
    /// Whether browsers' makers may put the host on their lists.
    pub preload: bool,
}

impl Default for HstsConfig {
    fn default() -> HstsConfig {
        HstsConfig { max_age: Span::secs(0), include_subdomains: false, preload: false }
    }
}

impl HstsConfig {
    /// The header's value, if it is to be sent.
    pub fn value(&self) -> Option<String> {
        let subdomains = if self.include_subdomains { "; includeSubDomains" } else { "" };
        let preload = if self.preload { "; preload" } else { "" };
        (!self.max_age.is_zero()).then(|| format!("max-age={}{subdomains}{preload}", self.max_age.as_secs()))
    }
}

impl TlsConfig {
    /// Every file that it is read from.
    pub fn files(&self) -> Vec<PathBuf> {
        let pairs = self.certificates.iter().flat_map(|pair| [pair.cert.clone(), pair.key.clone()]);
        pairs.chain([self.clients.ca.clone()]).filter(|path| !path.as_os_str().is_empty()).collect()
    }

    /// Finds what parsing cannot see; the files are looked at elsewhere.
    pub fn check(&self, path: &str, problems: &mut Vec<Problem>) {
        self.acme.check(&format!("{path}.acme"), problems);
        let mut wrong = |key: &str, message: &str, hint: &str| {
            problems.push(Problem::new(format!("{path}.{key}"), message).hint(hint));
        };
        for (index, pair) in self.certificates.iter().enumerate() {
            for (key, file) in [("cert", &pair.cert), ("key", &pair.key)] {
                if file.as_os_str().is_empty() {
                    wrong(&format!("certificates[{index}].{key}"), "is missing", "name a PEM file");
                }
            }
        }
        if !self.listen.is_empty() && self.certificates.is_empty() && self.acme.is_empty() {
            let hint = "say `[{cert: /etc/ssl/site.pem, key: /etc/ssl/site.key}]`, or name `acme.domains`";
            wrong("certificates", "there is no certificate to listen with", hint);
        }
        if self.hsts.max_age.as_secs() > MAX_REMEMBERED {
            wrong("hsts.max_age", "is longer than two years", "such as `365d`");
        }
        if self.hsts.preload && (!self.hsts.include_subdomains || self.hsts.max_age.as_secs() < 365 * 24 * 3600) {
            let hint = "set `include_subdomains: true` and `max_age` to `365d` or more";
            wrong("hsts.preload", "the lists take no host that says less than that", hint);
        }
    }
}

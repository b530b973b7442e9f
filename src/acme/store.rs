//! The folder with what outlives the process: the account at the authority, the certificate with its key, and how orders
//! have failed. Nobody but us can read its files.

use std::{
    fs::{self, DirBuilder, OpenOptions},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use ring::digest::{SHA256, digest};
use rustls::pki_types::{CertificateDer, pem::PemObject};
use serde::{Deserialize, Serialize};
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

/// The folder.
#[derive(Clone, Debug)]
pub struct Store(PathBuf);

/// What is known of the certificate in the folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// The names it is for.
    pub names: Vec<String>,
    /// First and last second of its life, since 1970.
    pub life: (i64, i64),
}

/// How orders have failed in a row.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failures {
    /// How often.
    pub count: u32,
    /// When the last one did, in seconds since 1970.
    pub last: i64,
}

impl Store {
    /// Of this folder, which need not be there yet.
    pub fn new(folder: &Path) -> Store {
        Store(folder.to_owned())
    }

    /// The certificate with its chain and its key, in one file so that they always fit.
    pub fn certificate_file(&self) -> PathBuf {
        self.0.join("certificate.pem")
    }

    /// What the certificate is for; `None` when there is none that can be read.
    pub fn kept(&self) -> Option<Kept> {
        let pem = fs::read(self.certificate_file()).ok()?;
        let der = CertificateDer::from_pem_slice(&pem).ok()?;
        let (_, certificate) = X509Certificate::from_der(&der).ok()?;
        let names = certificate.subject_alternative_name().ok()??;
        let names = names.value.general_names.iter().filter_map(|name| match name {
            GeneralName::DNSName(name) => Some(name.to_ascii_lowercase()),
            _ => None,
        });
        let validity = certificate.validity();
        Some(Kept { names: names.collect(), life: (validity.not_before.timestamp(), validity.not_after.timestamp()) })
    }

    /// Keeps a chain and its key, both as PEM.
    pub fn keep_certificate(&self, chain: &str, key: &str) -> io::Result<()> {
        self.write(&self.certificate_file(), format!("{key}\n{chain}").as_bytes())
    }

    /// The account at this authority, as [`keep_account`](Store::keep_account) got it.
    pub fn account(&self, directory: &str) -> Option<Vec<u8>> {
        fs::read(self.account_file(directory)).ok()
    }

    /// Keeps the account at this authority.
    pub fn keep_account(&self, directory: &str, account: &[u8]) -> io::Result<()> {
        self.write(&self.account_file(directory), account)
    }

    /// How orders have failed since the last one that did not.
    pub fn failures(&self) -> Failures {
        let text = fs::read(self.0.join("failures.json")).unwrap_or_default();
        serde_json::from_slice(&text).unwrap_or_default()
    }

    /// Keeps that.
    pub fn keep_failures(&self, failures: Failures) -> io::Result<()> {
        let text = serde_json::to_vec(&failures).expect("two numbers are JSON");
        self.write(&self.0.join("failures.json"), &text)
    }

    /// Another directory, another account: one host may have several. The host is for people, the digest tells them apart.
    fn account_file(&self, directory: &str) -> PathBuf {
        let host = directory.parse::<http::Uri>().ok().and_then(|uri| uri.host().map(str::to_owned));
        let plain = |c: char| if c.is_ascii_alphanumeric() || c == '-' || c == '.' { c } else { '_' };
        let host: String = host.unwrap_or_default().chars().map(plain).collect();
        let digest = digest(&SHA256, directory.as_bytes());
        let short: String = digest.as_ref().iter().take(8).map(|byte| format!("{byte:02x}")).collect();
        self.0.join(format!("account-{host}-{short}.json"))
    }

    /// All or nothing, for our eyes only.
    fn write(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        DirBuilder::new().recursive(true).mode(0o700).create(&self.0)?;
        let beside = path.with_extension("new");
        // One that an end in the middle has left may have other permissions.
        let _ = fs::remove_file(&beside);
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&beside)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&beside, path)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn every_directory_of_a_host_has_its_own_account() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::new(folder.path());
        let directories =
            ["https://ca.example/acme/one/directory", "https://ca.example/acme/two/directory", "https://b.example/d"];
        for directory in directories {
            assert_eq!(store.account(directory), None, "{directory}");
            store.keep_account(directory, directory.as_bytes()).unwrap();
        }
        for directory in directories {
            assert_eq!(store.account(directory).unwrap(), directory.as_bytes());
        }
    }
}

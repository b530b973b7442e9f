//! What can be configured about traffic sources: YAML `traffic`.

use std::{fs, io, net::IpAddr, sync::Arc};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{referrers::Sites, row::Fault};
use crate::problem::Problem;

/// YAML `traffic`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TrafficConfig {
    /// Hosts whose referrers are not looked at; each stands for its subdomains.
    pub ignore_referrers: Vec<String>,
    /// File of sites that the shipped table does not know, or knows otherwise.
    pub referrers: Referrers,
}

/// Most bytes of a file of sites; the shipped table has 60 kB.
const MAX_FILE: u64 = 16 << 20;
/// Most faults of one file that are told.
const MAX_FAULTS: usize = 20;

impl TrafficConfig {
    /// Reports what needs judgement.
    pub fn check(&self, path: &str, problems: &mut Vec<Problem>) {
        for (index, host) in self.ignore_referrers.iter().enumerate() {
            if !is_host(host) {
                let problem = Problem::new(format!("{path}.ignore_referrers[{index}]"), format!("`{host}` is no host"));
                problems.push(problem.hint("write it plainly, such as `pay.example.com`; its subdomains are included"));
            }
        }
        problems.extend(self.referrers.faults.iter().map(|fault| {
            let problem = Problem::new(format!("{path}.referrers"), fault.message.clone());
            if fault.hint.is_empty() { problem } else { problem.hint(fault.hint) }
        }));
    }
}

fn is_host(host: &str) -> bool {
    let labels = || host.split('.');
    let plain = |c: char| c.is_alphanumeric() || c == '-' || c == '_';
    host.parse::<IpAddr>().is_ok()
        || labels().nth(1).is_some() && labels().all(|label| !label.is_empty() && label.chars().all(plain))
}

/// The sites of a file and those that come with the binary. Written as the file's path; the empty path is no file.
///
/// The file is read once, with the configuration that names it: what was checked is what runs.
#[derive(Clone, Debug)]
pub struct Referrers {
    path: String,
    sites: Arc<Sites>,
    faults: Vec<Fault>,
}

impl Referrers {
    /// Reads the file.
    pub fn open(path: &str) -> Referrers {
        let (sites, faults) = match contents(path) {
            Ok(None) => (Sites::shipped(), Vec::new()),
            Ok(Some(table)) => {
                let (sites, faults) = Sites::with(&table);
                let place = |(line, fault): (usize, Fault)| Fault {
                    message: format!("`{path}`, line {line}: {}", fault.message),
                    ..fault
                };
                (Arc::new(sites), faults.into_iter().take(MAX_FAULTS).map(place).collect())
            }
            Err(message) => {
                let fault = Fault { message: format!("`{path}` {message}"), hint: "" };
                (Sites::shipped(), vec![fault])
            }
        };
        Referrers { path: path.to_owned(), sites, faults }
    }

    /// [`Referrers::open`] without the disk.
    #[doc(hidden)]
    pub fn read(path: &str, table: &str) -> Referrers {
        let (sites, faults) = Sites::with(table);
        let place = |(line, fault): (usize, Fault)| {
            let message = format!("`{path}`, line {line}: {}", fault.message);
            Fault { message, ..fault }
        };
        let faults = faults.into_iter().take(MAX_FAULTS).map(place).collect();
        Referrers { path: path.to_owned(), sites: sites.into(), faults }
    }

    /// All sites.
    pub(super) fn sites(&self) -> Arc<Sites> {
        self.sites.clone()
    }
}

/// Text of the file, none for the empty path. Only a plain file is opened: reading a pipe might never end.
fn contents(path: &str) -> Result<Option<String>, String> {
    if path.is_empty() {
        return Ok(None);
    }
    let explain = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound => "does not exist".to_owned(),
        io::ErrorKind::InvalidData => "is no UTF-8 text".to_owned(),
        _ => format!("cannot be read: {error}"),
    };
    let found = fs::metadata(path).map_err(explain)?;
    if !found.is_file() {
        return Err("is no file".to_owned());
    }
    if found.len() > MAX_FILE {
        return Err(format!("is larger than {} MiB", MAX_FILE >> 20));
    }
    fs::read_to_string(path).map(Some).map_err(explain)
}

impl Default for Referrers {
    fn default() -> Referrers {
        Referrers::open("")
    }
}

impl Serialize for Referrers {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.path.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Referrers {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Referrers, D::Error> {
        Ok(Referrers::open(&String::deserialize(deserializer)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_plain_names() {
        for host in ["pay.example.com", "Example.com", "192.0.2.7", "2001:db8::1", "zahlung.bücher.example"] {
            assert!(is_host(host), "{host}");
        }
        for no in
            ["", "localhost", "https://pay.example.com", "*.example.com", "example.com/x", ".example.com", "a b.c"]
        {
            assert!(!is_host(no), "{no}");
        }
    }
}

//! `server.tls.acme:` - what the operator may say about the certificate we get ourselves.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::problem::Problem;

/// Most names of one certificate, as Let's Encrypt has it.
const MAX_DOMAINS: usize = 100;

/// Certificates of our own.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AcmeConfig {
    /// The names it is for. None: no certificate is asked for.
    pub domains: Vec<String>,
    /// The names of further ones: each is got by itself, one order after the other, of five minutes at most.
    pub certificates: Vec<Vec<String>>,
    /// E-mail addresses that the authority may write to.
    pub contact: Vec<String>,
    /// The authority's directory.
    pub directory: String,
    /// PEM file with the roots of the authority's own certificate, where the system does not know them.
    pub directory_ca: PathBuf,
    /// Folder that keeps account, key and certificate.
    pub state: PathBuf,
}

impl Default for AcmeConfig {
    fn default() -> AcmeConfig {
        AcmeConfig {
            domains: Vec::new(),
            certificates: Vec::new(),
            contact: Vec::new(),
            directory: "https://acme-v02.api.letsencrypt.org/directory".to_owned(),
            directory_ca: PathBuf::new(),
            state: "./acme".into(),
        }
    }
}

/// One certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// Its names; one at least.
    pub domains: Vec<String>,
    /// The folder that keeps it.
    pub folder: PathBuf,
}

impl AcmeConfig {
    /// Whether no certificate is asked for.
    pub fn is_empty(&self) -> bool {
        self.domains.is_empty() && self.certificates.is_empty()
    }

    /// Every certificate. That of `domains` lies in the folder itself, the others each in one of the first name below it.
    pub fn wanted(&self) -> Vec<Wanted> {
        let first = Some(&self.domains).filter(|domains| !domains.is_empty());
        let first = first.map(|domains| Wanted { domains: domains.clone(), folder: self.state.clone() });
        let named = |domains: &Vec<String>| {
            let folder = self.state.join(domains.first()?);
            Some(Wanted { domains: domains.clone(), folder })
        };
        first.into_iter().chain(self.certificates.iter().filter_map(named)).collect()
    }

    /// Finds what parsing cannot see.
    pub fn check(&self, path: &str, problems: &mut Vec<Problem>) {
        let mut wrong = |key: String, message: String, hint: &str| {
            problems.push(Problem::new(format!("{path}.{key}"), message).hint(hint));
        };
        let lists = [("domains".to_owned(), &self.domains)].into_iter();
        let more = self.certificates.iter().enumerate();
        let lists = lists.chain(more.map(|(index, domains)| (format!("certificates[{index}]"), domains)));
        let mut seen: Vec<&String> = Vec::new();
        for (list, domains) in lists {
            for (index, domain) in domains.iter().enumerate() {
                let key = format!("{list}[{index}]");
                if domain.starts_with("*.") {
                    let hint = "list the hosts; for a wildcard, name a certificate in `certificates` of `server.tls`";
                    wrong(key, format!("`{domain}` can only be proved in the DNS"), hint);
                } else if !is_domain(domain) {
                    wrong(key, format!("`{domain}` is not a domain"), "such as `www.example.com`, in lower case");
                } else if seen.contains(&domain) {
                    wrong(key, format!("`{domain}` stands there twice"), "one certificate per name is enough");
                }
                seen.push(domain);
            }
            if domains.len() > MAX_DOMAINS {
                wrong(list, format!("{} are too many", domains.len()), "100 at most");
            } else if domains.is_empty() && list != "domains" {
                wrong(list, "a certificate has a name".into(), "such as `[www.example.com]`");
            }
        }
        for (index, address) in self.contact.iter().enumerate() {
            if !address.contains('@') || address.contains([':', ' ', ',']) {
                let message = format!("`{address}` is not an e-mail address");
                wrong(format!("contact[{index}]"), message, "such as `admin@example.com`");
            }
        }
        if !self.directory.starts_with("https://") || self.directory.parse::<http::Uri>().is_err() {
            let message = format!("`{}` is not an address of a directory", self.directory);
            wrong("directory".into(), message, "it begins with `https://`");
        }
        if self.state.as_os_str().is_empty() {
            wrong("state".into(), "is missing".into(), "name a folder that outlives the process");
        }
    }
}

fn is_domain(text: &str) -> bool {
    let label = |label: &str| {
        let fit = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        (1..=63).contains(&label.len()) && label.bytes().all(fit) && !label.starts_with('-') && !label.ends_with('-')
    };
    let numeric = text.rsplit('.').next().is_some_and(|last| last.bytes().all(|byte| byte.is_ascii_digit()));
    text.len() <= 253 && text.contains('.') && !numeric && text.split('.').all(label)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn domains_are_names_that_can_be_proved() {
        for (text, expected) in [
            ("example.com", true),
            ("xn--bcher-kva.example", true),
            ("localhost", false),
            ("192.0.2.1", false),
            ("Example.com", false),
            ("a..b", false),
            ("-a.example", false),
            ("a.example.", false),
            ("", false),
        ] {
            assert_eq!(is_domain(text), expected, "{text}");
        }
        let mut problems = Vec::new();
        let config =
            AcmeConfig { domains: vec!["*.example.com".into()], directory: "http://a".into(), ..AcmeConfig::default() };
        config.check("acme", &mut problems);
        assert_eq!(problems.len(), 2, "{problems:?}");
    }

    #[test]
    fn every_name_has_one_certificate_and_every_certificate_a_folder() {
        let lists =
            |lists: &[&[&str]]| lists.iter().map(|list| list.iter().map(ToString::to_string).collect()).collect();
        let certificates: Vec<Vec<String>> = lists(&[&["b.example", "www.b.example"], &["c.example"]]);
        let config = AcmeConfig { domains: vec!["a.example".into()], certificates, ..AcmeConfig::default() };
        let mut problems = Vec::new();
        config.check("acme", &mut problems);
        assert_eq!(problems, []);
        let folders: Vec<_> = config.wanted().into_iter().map(|wanted| wanted.folder).collect();
        assert_eq!(folders, ["./acme", "./acme/b.example", "./acme/c.example"].map(PathBuf::from));
        let certificates = lists(&[&["a.example"], &[], &["/etc"]]);
        AcmeConfig { certificates, ..config }.check("acme", &mut problems);
        let paths: Vec<_> = problems.iter().map(|problem| &*problem.path).collect();
        assert_eq!(paths, ["acme.certificates[0][0]", "acme.certificates[1]", "acme.certificates[2][0]"]);
    }
}

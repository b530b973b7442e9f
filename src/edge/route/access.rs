//! Who may use a route: networks, and names with passwords.

use std::{fmt, net::IpAddr, str::FromStr};

use http::{HeaderMap, HeaderValue, StatusCode, header};
use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::passwords::{PasswordHash, Passwords, Verdict};
use crate::problem::Problem;

/// `routes[].access:` - both have to let a visitor in.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AccessConfig {
    /// Networks that may; none is all.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub allow: Vec<Network>,
    /// Networks that may not, whatever `allow` says.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub deny: Vec<Network>,
    /// Names and passwords.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub basic_auth: Option<BasicAuthConfig>,
}

/// `routes[].access.basic_auth:` - names and passwords, as browsers ask for them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BasicAuthConfig {
    /// What browsers show.
    pub realm: String,
    /// The bcrypt hash of each one's password, as `htpasswd -nB NAME` prints it.
    pub users: std::collections::BTreeMap<String, PasswordHash>,
}

impl Default for BasicAuthConfig {
    fn default() -> BasicAuthConfig {
        BasicAuthConfig { realm: "restricted".into(), users: Default::default() }
    }
}

/// A network, or one address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network(pub IpNet);

impl FromStr for Network {
    type Err = String;
    fn from_str(text: &str) -> Result<Network, String> {
        let network = text.parse::<IpAddr>().map(IpNet::from).or_else(|_| text.parse::<IpNet>());
        network.map(Network).map_err(|_| format!("`{text}` is not a network such as `10.0.0.0/8` or `2001:db8::/32`"))
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl AccessConfig {
    /// Finds what parsing cannot see.
    pub fn check(&self, path: &str, problems: &mut Vec<Problem>) {
        let Some(auth) = &self.basic_auth else { return };
        let path = format!("{path}.basic_auth");
        if auth.users.is_empty() {
            let problem = Problem::new(format!("{path}.users"), "nobody could get in");
            problems.push(problem.hint("say `NAME: HASH`, both as `htpasswd -nB NAME` prints them"));
        }
        if auth.users.keys().any(|name| name.contains(':') || name.is_empty()) {
            problems.push(Problem::new(format!("{path}.users"), "a name is empty or has a colon in it"));
        }
        if challenge(&auth.realm).is_none() {
            let problem = Problem::new(format!("{path}.realm"), format!("`{}` cannot be shown", auth.realm));
            problems.push(problem.hint("letters, digits and spaces"));
        }
    }
}

/// Why somebody is not let in.
#[derive(Debug, PartialEq)]
pub enum Denied {
    /// Not from this address.
    Address,
    /// Not without name and password, or not with these.
    Password(HeaderValue),
    /// Too many passwords are being tried at this moment.
    Busy,
}

impl Denied {
    /// Status and sentence of the answer.
    pub fn answer(&self) -> (StatusCode, &'static str) {
        match self {
            Denied::Address => (StatusCode::FORBIDDEN, "this is not open to your network"),
            Denied::Password(_) => (StatusCode::UNAUTHORIZED, "this needs a name and a password"),
            Denied::Busy => (StatusCode::SERVICE_UNAVAILABLE, "too many are signing in, try again"),
        }
    }
}

/// The guard of one route.
#[derive(Debug)]
pub struct Access {
    allow: Vec<IpNet>,
    deny: Vec<IpNet>,
    auth: Option<(HeaderValue, Passwords)>,
}

impl Access {
    /// Lets in whom the configuration names.
    pub fn new(config: &AccessConfig) -> Access {
        let networks = |networks: &[Network]| networks.iter().map(|network| network.0).collect();
        let auth = config.basic_auth.as_ref().map(|auth| {
            let challenge = challenge(&auth.realm).unwrap_or(HeaderValue::from_static("Basic"));
            (challenge, Passwords::new(&auth.users))
        });
        Access { allow: networks(&config.allow), deny: networks(&config.deny), auth }
    }

    /// Whether the address may.
    pub fn admit_address(&self, client: IpAddr) -> Result<(), Denied> {
        let client = client.to_canonical();
        let within = |networks: &[IpNet]| networks.iter().any(|network| network.contains(&client));
        let may = !within(&self.deny) && (self.allow.is_empty() || within(&self.allow));
        may.then_some(()).ok_or(Denied::Address)
    }

    /// Whether name and password, if they are asked for, are right.
    pub async fn admit_password(&self, request: &HeaderMap) -> Result<(), Denied> {
        let Some((challenge, passwords)) = &self.auth else { return Ok(()) };
        let mut sent = request.get_all(header::AUTHORIZATION).iter();
        let verdict = match (sent.next(), sent.next()) {
            (Some(credentials), None) => passwords.verify(credentials.as_bytes()).await,
            _ => Verdict::Wrong,
        };
        match verdict {
            Verdict::Right => Ok(()),
            Verdict::Wrong => Err(Denied::Password(challenge.clone())),
            Verdict::Busy => Err(Denied::Busy),
        }
    }
}

/// `WWW-Authenticate` (RFC 7617).
fn challenge(realm: &str) -> Option<HeaderValue> {
    let plain = !realm.contains(['"', '\\']) && realm.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic());
    HeaderValue::try_from(format!("Basic realm=\"{realm}\", charset=\"UTF-8\"")).ok().filter(|_| plain)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn who_is_denied_is_not_allowed() {
        let json = r#"{"allow":["10.0.0.0/8","2001:db8::/32"],"deny":["10.1.1.1"]}"#;
        let access = Access::new(&serde_json::from_str(json).unwrap());
        for (client, may) in [
            ("10.0.0.1", true),
            ("::ffff:10.0.0.1", true),
            ("10.1.1.1", false),
            ("::ffff:10.1.1.1", false),
            ("11.0.0.1", false),
            ("2001:db8::1", true),
            ("::1", false),
        ] {
            assert_eq!(access.admit_address(client.parse().unwrap()).is_ok(), may, "{client}");
        }
        let everyone = Access::new(&serde_json::from_str(r#"{"deny":["10.0.0.0/8"]}"#).unwrap());
        assert!(everyone.admit_address([1, 1, 1, 1].into()).is_ok());
        assert_eq!(everyone.admit_address([10, 1, 1, 1].into()), Err(Denied::Address));
    }
}

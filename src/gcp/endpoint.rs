//! Where an API is reached, and whether encrypted.

use std::{fmt, str::FromStr, time::Duration};

use http::{
    Uri,
    uri::{Authority, Scheme},
};
use hyper_util::client::legacy::connect::HttpConnector;
use tonic::transport::{Channel, ClientTlsConfig, Error};

use super::{gather::Connector, tasks::Tasks};

/// Longest wait for a connection.
const CONNECT: Duration = Duration::from_secs(10);
/// A peer that went without a word is noticed after both, in flight or idle.
const PING_EVERY: Duration = Duration::from_secs(30);
const PING_PATIENCE: Duration = Duration::from_secs(10);
/// Responses are small: one window of this size never holds a server up.
const WINDOW: u32 = 1 << 20;

/// `https://host[:port]`, or `http://host[:port]` for an emulator: plaintext, and nobody shows it a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    plaintext: bool,
    authority: Authority,
    /// Without a slash at its end.
    path: String,
}

/// Why a text is no endpoint.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not an endpoint such as `https://host` or `http://127.0.0.1:9060`")]
pub struct NotAnEndpoint(String);

impl Endpoint {
    /// An emulator's address as its environment variable has it: `host:port`, with or without `http://`.
    pub fn of_emulator(text: &str) -> Result<Endpoint, NotAnEndpoint> {
        if text.contains("://") { text.parse() } else { format!("http://{text}").parse() }
    }

    /// Whether bytes travel as they are, and without a token.
    pub fn is_plaintext(&self) -> bool {
        self.plaintext
    }

    /// The address of `path`, which begins with a slash.
    pub fn url(&self, path: &str) -> String {
        format!("{self}{path}")
    }

    /// A gRPC connection of its own, made at the first call and again after it broke. It lives as long as calls do.
    pub fn channel(&self) -> Result<Channel, Error> {
        Ok(self.settings()?.connect_with_connector_lazy(connector()))
    }

    /// [`channel`](Endpoint::channel), whose connection can be cut.
    pub fn channel_on(&self, tasks: Tasks) -> Result<Channel, Error> {
        Ok(self.settings()?.executor(tasks).connect_with_connector_lazy(connector()))
    }

    fn settings(&self) -> Result<tonic::transport::Endpoint, Error> {
        let settings = tonic::transport::Endpoint::from_shared(self.to_string())?
            .user_agent(super::USER_AGENT)?
            .connect_timeout(CONNECT)
            .http2_keep_alive_interval(PING_EVERY)
            .keep_alive_timeout(PING_PATIENCE)
            .keep_alive_while_idle(true)
            .initial_stream_window_size(WINDOW)
            .initial_connection_window_size(WINDOW);
        if self.plaintext {
            return Ok(settings);
        }
        settings.tls_config(ClientTlsConfig::new().with_enabled_roots())
    }
}

/// Connects by TCP; what the scheme says of encryption is done on top of it.
fn connector() -> Connector {
    let mut tcp = HttpConnector::new();
    tcp.enforce_http(false);
    tcp.set_nodelay(true);
    tcp.set_connect_timeout(Some(CONNECT));
    Connector(tcp)
}

impl FromStr for Endpoint {
    type Err = NotAnEndpoint;

    fn from_str(text: &str) -> Result<Endpoint, NotAnEndpoint> {
        let no = || NotAnEndpoint(text.to_owned());
        let uri: Uri = text.trim().parse().map_err(|_| no())?;
        let parts = uri.into_parts();
        let plaintext = match parts.scheme {
            Some(scheme) if scheme == Scheme::HTTP => true,
            Some(scheme) if scheme == Scheme::HTTPS => false,
            _ => return Err(no()),
        };
        let authority = parts.authority.filter(|authority| !authority.host().is_empty()).ok_or_else(no)?;
        let path = parts.path_and_query.map(|path| path.as_str().to_owned()).unwrap_or_default();
        if authority.as_str().contains('@') || path.contains('?') {
            return Err(no());
        }
        Ok(Endpoint { plaintext, authority, path: path.trim_end_matches('/').to_owned() })
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.plaintext { "http" } else { "https" };
        write!(f, "{scheme}://{}{}", self.authority, self.path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scheme_decides_about_encryption() {
        let endpoint: Endpoint = "https://bigquerystorage.googleapis.com".parse().unwrap();
        assert!(!endpoint.is_plaintext());
        assert_eq!(endpoint.url("/x"), "https://bigquerystorage.googleapis.com/x");
        let endpoint: Endpoint = "http://127.0.0.1:9050/bigquery/v2/".parse().unwrap();
        assert!(endpoint.is_plaintext());
        assert_eq!(endpoint.to_string(), "http://127.0.0.1:9050/bigquery/v2");
    }

    #[test]
    fn emulators_are_named_with_or_without_a_scheme() {
        for text in ["localhost:8085", "http://localhost:8085"] {
            assert_eq!(Endpoint::of_emulator(text).unwrap().to_string(), "http://localhost:8085");
        }
    }

    #[test]
    fn nonsense_is_refused() {
        for text in ["", "localhost:8085", "ftp://x", "http://", "https://u:p@host", "https://host?x=1", "a b"] {
            assert!(text.parse::<Endpoint>().is_err(), "{text}");
        }
    }
}

//! JSON over HTTP with Google's manner of errors.

use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, StatusCode, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use serde_json::Value;

use super::{
    Endpoint, Tokens,
    auth::{Credential, QUOTA_PROJECT, with_causes},
};

/// Longest wait for a whole answer.
const CALL: Duration = Duration::from_secs(30);
/// Answers hold a table's schema at most.
const MAX_ANSWER: usize = 4 << 20;

/// A REST API.
pub struct Rest {
    endpoint: Endpoint,
    tokens: Tokens,
    client: HttpClient,
}

enum HttpClient {
    Plaintext(Client<HttpConnector, Full<Bytes>>),
    Encrypted(Client<HttpsConnector<HttpConnector>, Full<Bytes>>),
}

/// Why a call did not succeed.
#[derive(Clone, Debug, thiserror::Error)]
pub enum RestError {
    /// The server says no.
    #[error("{status} {reason}: {message}")]
    Refused {
        /// HTTP's status.
        status: u16,
        /// Google's own word, such as `notFound`, `accessDenied` or `rateLimitExceeded`; empty when there is none.
        reason: String,
        /// The server's sentence.
        message: String,
    },
    /// There is no token to show.
    #[error("{0}")]
    Token(#[from] super::AuthError),
    /// Nothing that makes sense came back.
    #[error("{0}")]
    Transport(String),
}

impl RestError {
    /// The status of a refusal.
    pub fn status(&self) -> Option<u16> {
        match self {
            RestError::Refused { status, .. } => Some(*status),
            _ => None,
        }
    }

    /// Whether the same call may well succeed a little later.
    pub fn passes(&self) -> bool {
        match self {
            RestError::Refused { status: 403, reason, .. } => {
                matches!(&**reason, "rateLimitExceeded" | "quotaExceeded" | "userRateLimitExceeded")
            }
            RestError::Refused { status, .. } => matches!(status, 408 | 412 | 429) || *status >= 500,
            RestError::Transport(_) => true,
            RestError::Token(_) => false,
        }
    }
}

impl Rest {
    /// At this address.
    pub fn new(endpoint: Endpoint, tokens: Tokens) -> Result<Rest, RestError> {
        let client = Client::builder(TokioExecutor::new());
        let client = if endpoint.is_plaintext() {
            HttpClient::Plaintext(client.build_http())
        } else {
            let roots = HttpsConnectorBuilder::new().with_native_roots();
            let roots = roots.map_err(|error| RestError::Transport(format!("no root certificates: {error}")))?;
            HttpClient::Encrypted(client.build(roots.https_only().enable_http1().build()))
        };
        Ok(Rest { endpoint, tokens, client })
    }

    /// One call; `path` begins with a slash. With an `etag` only if that is still the resource's. A token that the
    /// server refuses is replaced, once.
    pub async fn call(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
        etag: Option<&str>,
    ) -> Result<Value, RestError> {
        let token = self.tokens.credential().await?;
        let first = self.once(method.clone(), path, body, etag, token.as_ref()).await;
        match (&first, token) {
            (Err(RestError::Refused { status: 401, .. }), Some(token)) => {
                self.tokens.invalidate(&token);
                let token = self.tokens.credential().await?;
                self.once(method, path, body, etag, token.as_ref()).await
            }
            _ => first,
        }
    }

    async fn once(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
        etag: Option<&str>,
        token: Option<&Credential>,
    ) -> Result<Value, RestError> {
        let mut request = Request::builder()
            .method(method)
            .uri(self.endpoint.url(path))
            .header(header::USER_AGENT, super::USER_AGENT)
            .header(header::ACCEPT, "application/json");
        if body.is_some() {
            request = request.header(header::CONTENT_TYPE, "application/json");
        }
        if let Some(etag) = etag {
            request = request.header(header::IF_MATCH, etag);
        }
        if let Some(token) = token {
            request = request.header(header::AUTHORIZATION, &token.authorization);
            if let Some(project) = &token.quota_project {
                request = request.header(QUOTA_PROJECT, project);
            }
        }
        let body = body.map(Value::to_string).unwrap_or_default();
        let request = request.body(Full::from(body)).map_err(transport)?;
        let (status, body) = tokio::time::timeout(CALL, self.exchange(request))
            .await
            .unwrap_or_else(|_| Err(RestError::Transport("no answer".into())))?;
        if status.is_success() {
            return match &*body {
                b"" => Ok(Value::Null),
                body => serde_json::from_slice(body).map_err(transport),
            };
        }
        Err(refusal(status, &body))
    }

    async fn exchange(&self, request: Request<Full<Bytes>>) -> Result<(StatusCode, Bytes), RestError> {
        let answer = match &self.client {
            HttpClient::Plaintext(client) => client.request(request).await,
            HttpClient::Encrypted(client) => client.request(request).await,
        };
        let (head, body) = answer.map_err(transport)?.into_parts();
        let body = Limited::new(body, MAX_ANSWER).collect().await;
        let body = body.map_err(|error| RestError::Transport(format!("the answer breaks off: {error}")))?;
        Ok((head.status, body.to_bytes()))
    }
}

fn transport(error: impl std::error::Error + 'static) -> RestError {
    RestError::Transport(with_causes(&error))
}

fn refusal(status: StatusCode, body: &[u8]) -> RestError {
    let body: Value = serde_json::from_slice(body).unwrap_or_default();
    let error = &body["error"];
    let word = |value: &Value| value.as_str().unwrap_or_default().chars().take(1_024).collect::<String>();
    let message = match word(&error["message"]) {
        message if message.is_empty() => status.canonical_reason().unwrap_or_default().to_owned(),
        message => message,
    };
    RestError::Refused { status: status.as_u16(), reason: word(&error["errors"][0]["reason"]), message }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn googles_errors_are_read_and_others_survived() {
        let body = br#"{"error":{"code":409,"message":"Already Exists: Table p:d.t","errors":[{"domain":"global","reason":"duplicate"}]}}"#;
        let error = refusal(StatusCode::CONFLICT, body);
        assert_eq!(error.to_string(), "409 duplicate: Already Exists: Table p:d.t");
        let error = refusal(StatusCode::BAD_GATEWAY, b"<html>");
        assert_eq!((error.status(), error.passes()), (Some(502), true));
        assert_eq!(error.to_string(), "502 : Bad Gateway");
    }

    #[test]
    fn a_quota_passes_and_a_missing_right_does_not() {
        let refused = |reason: &str| RestError::Refused { status: 403, reason: reason.into(), message: String::new() };
        assert!(refused("rateLimitExceeded").passes());
        assert!(!refused("accessDenied").passes());
    }
}

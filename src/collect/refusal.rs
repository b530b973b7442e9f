//! Stand-in until the collection room is merged: the refusals the edge names.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, StatusCode, header};

/// An answer to a hit.
#[derive(Clone, Debug)]
pub struct Reply {
    /// Status.
    pub status: StatusCode,
    /// Headers, without `Content-Length`.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// Body.
    pub body: Bytes,
}

/// Why a whole hit is not taken.
#[derive(Clone, Debug, thiserror::Error)]
#[allow(missing_docs)]
pub enum Refusal {
    #[error("the service is overloaded")]
    Overloaded { retry_after: Duration },
    #[error("the service is shutting down")]
    ShuttingDown,
    #[error("the body is too large")]
    BodyTooLarge,
    #[error("the body came too slowly")]
    SlowBody,
    #[error("the origin is not allowed")]
    OriginNotAllowed,
    #[error("unknown stream")]
    UnknownStream,
    #[error("method not allowed")]
    MethodNotAllowed,
    #[error("the body is not framed as HTTP wants it")]
    BadFraming,
}

impl Refusal {
    /// Word for machines.
    pub fn code(&self) -> &'static str {
        match self {
            Refusal::Overloaded { .. } => "overloaded",
            Refusal::ShuttingDown => "shutting_down",
            Refusal::BodyTooLarge => "body_too_large",
            Refusal::SlowBody => "slow_body",
            Refusal::OriginNotAllowed => "origin_not_allowed",
            Refusal::UnknownStream => "unknown_stream",
            Refusal::MethodNotAllowed => "method_not_allowed",
            Refusal::BadFraming => "bad_framing",
        }
    }

    /// The answer.
    pub fn reply(&self, request_id: &str) -> Reply {
        let status = match self {
            Refusal::Overloaded { .. } | Refusal::ShuttingDown => StatusCode::SERVICE_UNAVAILABLE,
            Refusal::BodyTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Refusal::SlowBody => StatusCode::REQUEST_TIMEOUT,
            Refusal::OriginNotAllowed => StatusCode::FORBIDDEN,
            Refusal::UnknownStream => StatusCode::NOT_FOUND,
            Refusal::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Refusal::BadFraming => StatusCode::BAD_REQUEST,
        };
        let body = format!(
            r#"{{"status":"error","error":{{"code":"{}","message":"{self}","request_id":"{request_id}"}}}}"#,
            self.code()
        );
        let mut headers = vec![(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))];
        match self {
            Refusal::Overloaded { retry_after } => {
                headers.push((header::RETRY_AFTER, HeaderValue::from(retry_after.as_secs().max(1))))
            }
            Refusal::MethodNotAllowed => headers.push((header::ALLOW, HeaderValue::from_static("POST, OPTIONS"))),
            _ => {}
        }
        Reply { status, headers, body: body.into() }
    }
}

//! Why a whole request is refused. The only place that knows the HTTP error statuses of collection.

use std::time::Duration;

use http::{HeaderValue, StatusCode, header};
use serde::Serialize;

use super::{Detail, Reply};

/// The request is answered with an error and leaves no row behind.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The request's framing contradicts itself or cannot be read.
    #[error("the body's framing cannot be read")]
    BadFraming,
    /// `Content-Encoding` names a coding we do not know, or the body is not what it says.
    #[error("the body cannot be decoded: {0}")]
    BadEncoding(&'static str),
    /// The body is not JSON.
    #[error("the body is not valid JSON: {0}")]
    MalformedJson(String),
    /// The body nests deeper than the limit.
    #[error("the body nests deeper than {0} levels")]
    TooDeep(u8),
    /// The request carries an API key that is none of the stream's.
    #[error("the API key is not one of this stream's")]
    BadApiKey,
    /// The `Origin` may not send events here.
    #[error("this origin may not send events here")]
    OriginNotAllowed,
    /// The path names a stream that does not exist.
    #[error("there is no such stream")]
    UnknownStream,
    /// The path takes events by POST only.
    #[error("events are sent with POST")]
    MethodNotAllowed,
    /// The body did not arrive in time.
    #[error("the body did not arrive in time")]
    SlowBody,
    /// The body is larger than the limit, as sent or decoded.
    #[error("the body is too large")]
    BodyTooLarge,
    /// The media type is none of ours.
    #[error("send `application/json`, `text/plain` or `application/x-ndjson`")]
    UnsupportedMediaType,
    /// No event of the request can be kept, or one of an atomic request cannot.
    #[error("{}", match details.as_slice() { [one] => one.message.as_str(), _ => "the events break the contract" })]
    InvalidEvent {
        /// What is wrong, event by event.
        details: Vec<Detail>,
    },
    /// The request holds more events than the limit.
    #[error("{events} events in one request, at most {limit} are taken")]
    TooManyEvents {
        /// Events found.
        events: usize,
        /// Events taken.
        limit: usize,
    },
    /// The client, or everybody together, sends more often than the configuration allows.
    #[error("too many requests, try again later")]
    RateLimited {
        /// When the next one will be taken.
        retry_after: Duration,
    },
    /// The events cannot be kept now: nothing was lost, try again.
    #[error("the collector is overloaded, try again")]
    Overloaded {
        /// When to try again.
        retry_after: Duration,
    },
    /// The events are kept, but not every destination has them in time.
    #[error("the events are kept and not yet delivered; try again with the same `event_id`s to learn when they are")]
    Undelivered {
        /// When to try again.
        retry_after: Duration,
    },
    /// The process is about to end.
    #[error("the collector is shutting down, try again")]
    ShuttingDown,
}

/// Enough for a restart of one instance behind a load balancer.
const SHUTDOWN_RETRY: Duration = Duration::from_secs(5);

/// How a key is to be sent (RFC 6750).
const CHALLENGE: HeaderValue = HeaderValue::from_static(r#"Bearer realm="events", error="invalid_token""#);

impl Refusal {
    /// HTTP status of the answer.
    pub const fn status(&self) -> StatusCode {
        match self {
            Refusal::BadFraming | Refusal::BadEncoding(_) | Refusal::MalformedJson(_) | Refusal::TooDeep(_) => {
                StatusCode::BAD_REQUEST
            }
            Refusal::BadApiKey => StatusCode::UNAUTHORIZED,
            Refusal::OriginNotAllowed => StatusCode::FORBIDDEN,
            Refusal::UnknownStream => StatusCode::NOT_FOUND,
            Refusal::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Refusal::SlowBody => StatusCode::REQUEST_TIMEOUT,
            Refusal::BodyTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Refusal::UnsupportedMediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Refusal::InvalidEvent { .. } | Refusal::TooManyEvents { .. } => StatusCode::UNPROCESSABLE_ENTITY,
            Refusal::RateLimited { .. } => StatusCode::TOO_MANY_REQUESTS,
            Refusal::Overloaded { .. } | Refusal::Undelivered { .. } | Refusal::ShuttingDown => {
                StatusCode::SERVICE_UNAVAILABLE
            }
        }
    }

    /// Machine-readable name, stable; also the label of the refusal's metric.
    pub const fn code(&self) -> &'static str {
        match self {
            Refusal::BadFraming => "bad_framing",
            Refusal::BadEncoding(_) => "bad_encoding",
            Refusal::MalformedJson(_) => "malformed_json",
            Refusal::TooDeep(_) => "too_deep",
            Refusal::BadApiKey => "bad_api_key",
            Refusal::OriginNotAllowed => "origin_not_allowed",
            Refusal::UnknownStream => "unknown_stream",
            Refusal::MethodNotAllowed => "method_not_allowed",
            Refusal::SlowBody => "slow_body",
            Refusal::BodyTooLarge => "body_too_large",
            Refusal::UnsupportedMediaType => "unsupported_media_type",
            Refusal::InvalidEvent { .. } | Refusal::TooManyEvents { .. } => "invalid_event",
            Refusal::RateLimited { .. } => "rate_limited",
            Refusal::Overloaded { .. } => "overloaded",
            Refusal::Undelivered { .. } => "undelivered",
            Refusal::ShuttingDown => "shutting_down",
        }
    }

    /// What is wrong, for a human.
    pub fn message(&self) -> String {
        self.to_string()
    }

    /// The answer.
    pub fn reply(&self, request_id: &str) -> Reply {
        let many;
        let details: &[Detail] = match self {
            Refusal::InvalidEvent { details } => details,
            Refusal::TooManyEvents { .. } => {
                many =
                    [Detail { path: "events".into(), code: super::Code::ExceededMaxEntities, message: self.message() }];
                &many
            }
            _ => &[],
        };
        let error = Error { code: self.code(), message: self.message(), request_id, details };
        let body = serde_json::to_vec(&Body { status: "error", error })
            .expect("plain structs with text keys always serialize");
        let mut reply = Reply::json(self.status(), body.into());
        match self {
            Refusal::MethodNotAllowed => {
                reply.headers.push((header::ALLOW, HeaderValue::from_static("POST, OPTIONS")));
            }
            Refusal::BadApiKey => reply.headers.push((header::WWW_AUTHENTICATE, CHALLENGE)),
            Refusal::RateLimited { retry_after }
            | Refusal::Overloaded { retry_after }
            | Refusal::Undelivered { retry_after } => reply.headers.push(retry(*retry_after)),
            Refusal::ShuttingDown => reply.headers.push(retry(SHUTDOWN_RETRY)),
            _ => {}
        }
        reply
    }
}

/// Whole seconds, rounded up, at least one.
fn retry(after: Duration) -> (http::HeaderName, HeaderValue) {
    let seconds = after.as_secs() + u64::from(after.subsec_nanos() > 0);
    (header::RETRY_AFTER, HeaderValue::from(seconds.max(1)))
}

#[derive(Serialize)]
struct Body<'a> {
    status: &'static str,
    error: Error<'a>,
}

#[derive(Serialize)]
struct Error<'a> {
    code: &'static str,
    message: String,
    request_id: &'a str,
    #[serde(skip_serializing_if = "<[Detail]>::is_empty")]
    details: &'a [Detail],
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::collect::Code;

    #[test]
    fn an_invalid_event_is_explained() {
        let details = vec![Detail {
            path: "events[0].event_name".into(),
            code: Code::ValueRequired,
            message: "`event_name` is missing".into(),
        }];
        let reply = Refusal::InvalidEvent { details }.reply("r-1");
        assert_eq!(reply.status, 422);
        assert_eq!(
            reply.body,
            concat!(
                r#"{"status":"error","error":{"code":"invalid_event","message":"`event_name` is missing","#,
                r#""request_id":"r-1","details":[{"path":"events[0].event_name","code":"VALUE_REQUIRED","#,
                r#""message":"`event_name` is missing"}]}}"#
            )
        );
    }

    #[test]
    fn those_who_may_come_again_are_told_when() {
        let reply = Refusal::Overloaded { retry_after: Duration::from_millis(1_200) }.reply("r");
        assert_eq!(reply.status, 503);
        assert!(reply.headers.contains(&(header::RETRY_AFTER, HeaderValue::from_static("2"))));
        let reply = Refusal::RateLimited { retry_after: Duration::from_millis(1) }.reply("r");
        assert_eq!(reply.status, 429);
        assert!(reply.headers.contains(&(header::RETRY_AFTER, HeaderValue::from_static("1"))));
        let reply = Refusal::BadApiKey.reply("r");
        assert_eq!(reply.status, 401);
        assert!(reply.headers.iter().any(|(name, value)| name == header::WWW_AUTHENTICATE && value == CHALLENGE));
        let reply = Refusal::MethodNotAllowed.reply("r");
        assert!(reply.headers.contains(&(header::ALLOW, HeaderValue::from_static("POST, OPTIONS"))));
    }

    #[test]
    fn only_the_overloaded_answer_with_a_server_error() {
        let client_errors = [
            Refusal::BadFraming,
            Refusal::BadEncoding("x"),
            Refusal::MalformedJson("x".into()),
            Refusal::TooDeep(16),
            Refusal::BadApiKey,
            Refusal::OriginNotAllowed,
            Refusal::UnknownStream,
            Refusal::MethodNotAllowed,
            Refusal::SlowBody,
            Refusal::BodyTooLarge,
            Refusal::UnsupportedMediaType,
            Refusal::InvalidEvent { details: vec![] },
            Refusal::TooManyEvents { events: 2, limit: 1 },
            Refusal::RateLimited { retry_after: Duration::ZERO },
        ];
        for refusal in client_errors {
            assert!(refusal.status().is_client_error(), "{refusal}");
            assert!(!refusal.code().is_empty());
        }
    }
}

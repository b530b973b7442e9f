//! What a visitor is told of a request that failed.

use http::StatusCode;
use pingora::{Error, ErrorSource, ErrorType};

use super::super::route::BODY_TOO_LARGE;

/// Status and sentence; no status when nobody is there to read it.
pub fn verdict(error: &Error) -> (Option<StatusCode>, &'static str) {
    let timed_out = matches!(
        error.etype(),
        ErrorType::ConnectTimedout
            | ErrorType::TLSHandshakeTimedout
            | ErrorType::ReadTimedout
            | ErrorType::WriteTimedout
    );
    match (error.esource(), error.etype()) {
        (_, ErrorType::HTTPStatus(413)) => (Some(StatusCode::PAYLOAD_TOO_LARGE), BODY_TOO_LARGE),
        (ErrorSource::Downstream, ErrorType::ReadTimedout) => {
            (Some(StatusCode::REQUEST_TIMEOUT), "the request came too slowly")
        }
        (
            ErrorSource::Downstream,
            ErrorType::ReadError | ErrorType::WriteError | ErrorType::WriteTimedout | ErrorType::ConnectionClosed,
        ) => (None, ""),
        (ErrorSource::Downstream, _) => (Some(StatusCode::BAD_REQUEST), "the request is malformed"),
        (ErrorSource::Upstream, _) if timed_out => {
            (Some(StatusCode::GATEWAY_TIMEOUT), "the site did not answer in time")
        }
        (ErrorSource::Upstream, _) | (_, ErrorType::HTTPStatus(502)) => {
            (Some(StatusCode::BAD_GATEWAY), "the site cannot be reached")
        }
        _ => (Some(StatusCode::INTERNAL_SERVER_ERROR), "something went wrong here"),
    }
}

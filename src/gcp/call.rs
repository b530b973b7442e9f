//! What every gRPC call has: a head, an end in time, and a token that is replaced when the server does not take it.

use std::{future::Future, time::Duration};

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use tonic::{Code, Request, Response, Status, metadata::MetadataValue};

use super::{
    Failure, Tokens,
    auth::{Credential, QUOTA_PROJECT},
};

/// What stays as it is in the value of `x-goog-request-params`: the unreserved characters of RFC 3986.
const UNRESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Longest wait for the answer to a call that is not a stream.
const CALL: Duration = Duration::from_secs(60);

/// The routing header, without which the Write API finds no table outside of the US, the token, and whose quota it uses.
pub fn head<T>(request: &mut Request<T>, parameter: &str, name: &str, token: Option<&Credential>) {
    let routing = format!("{parameter}={}", utf8_percent_encode(name, UNRESERVED));
    let metadata = request.metadata_mut();
    metadata.insert(
        "x-goog-request-params",
        MetadataValue::try_from(routing).expect("percent-encoded text is visible ASCII"),
    );
    if let Some(token) = token {
        let value = |header: &http::HeaderValue| {
            MetadataValue::try_from(header.as_bytes()).expect("a header's value stays one")
        };
        let mut authorization = value(&token.authorization);
        authorization.set_sensitive(true);
        metadata.insert("authorization", authorization);
        if let Some(project) = &token.quota_project {
            metadata.insert(QUOTA_PROJECT, value(project));
        }
    }
}

/// The request of a single call.
pub fn request<T>(parameter: &str, name: &str, message: T, token: Option<Credential>) -> Request<T> {
    let mut request = Request::new(message);
    request.set_timeout(CALL);
    head(&mut request, parameter, name, token.as_ref());
    request
}

/// The answer to a single call.
pub async fn answer<T>(call: impl Future<Output = Result<Response<T>, Status>>) -> Result<T, Failure> {
    match tokio::time::timeout(CALL, call).await {
        Ok(answer) => answer.map(Response::into_inner).map_err(|status| Failure::of_status(&status)),
        Err(_) => Err(Failure::new(Code::DeadlineExceeded, "no answer")),
    }
}

/// Calls with a token; a token that the service refuses is replaced, once.
pub async fn with_token<T, F>(tokens: &Tokens, call: impl Fn(Option<Credential>) -> F) -> Result<T, Failure>
where
    F: Future<Output = Result<T, Failure>>,
{
    let token = || async { tokens.credential().await.map_err(|error| Failure::without_token(&error)) };
    let first = token().await?;
    match (call(first.clone()).await, first) {
        (Err(failure), Some(refused)) if failure.code == Code::Unauthenticated => {
            tokens.invalidate(&refused);
            call(token().await?).await
        }
        (result, _) => result,
    }
}

//! What every gRPC call has: a head, and a token that is replaced when the server does not take it.

use std::future::Future;

use http::HeaderValue;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use tonic::{Code, metadata::MetadataValue};

use super::{Failure, Tokens};

/// What stays as it is in the value of `x-goog-request-params`: the unreserved characters of RFC 3986.
const UNRESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The routing header, without which the Write API finds no table outside of the US, and the token.
pub fn head<T>(request: &mut tonic::Request<T>, parameter: &str, name: &str, token: Option<&HeaderValue>) {
    let routing = format!("{parameter}={}", utf8_percent_encode(name, UNRESERVED));
    let metadata = request.metadata_mut();
    metadata.insert(
        "x-goog-request-params",
        MetadataValue::try_from(routing).expect("percent-encoded text is visible ASCII"),
    );
    if let Some(token) = token {
        let mut value = MetadataValue::try_from(token.as_bytes()).expect("a header's value stays one");
        value.set_sensitive(true);
        metadata.insert("authorization", value);
    }
}

/// Calls with a token; a token that the service refuses is replaced, once.
pub async fn with_token<T, F>(tokens: &Tokens, call: impl Fn(Option<HeaderValue>) -> F) -> Result<T, Failure>
where
    F: Future<Output = Result<T, Failure>>,
{
    let token = || async { tokens.header().await.map_err(|error| Failure::without_token(&error)) };
    let first = token().await?;
    match (call(first.clone()).await, first) {
        (Err(failure), Some(refused)) if failure.code == Code::Unauthenticated => {
            tokens.invalidate(&refused);
            call(token().await?).await
        }
        (result, _) => result,
    }
}

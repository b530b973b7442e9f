//! What stands at the head of every gRPC call.

use http::HeaderValue;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use tonic::metadata::MetadataValue;

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

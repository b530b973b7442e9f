//! What goes back to the client.

use bytes::Bytes;
use http::{HeaderName, HeaderValue, StatusCode, header};
use serde::Serialize;

use super::{Code, Detail};

/// An answer, free of any server type. `Content-Length` and CORS are the edge's business.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// HTTP status.
    pub status: StatusCode,
    /// Headers in the order they are sent.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// Body; JSON unless empty.
    pub body: Bytes,
}

impl Reply {
    /// A JSON answer nobody may cache.
    pub fn json(status: StatusCode, body: Bytes) -> Reply {
        let mut headers = Vec::with_capacity(4); // room for a cookie and one more
        headers.push((header::CONTENT_TYPE, HeaderValue::from_static("application/json")));
        headers.push((header::CACHE_CONTROL, HeaderValue::from_static("no-store")));
        Reply { status, headers, body }
    }
}

/// What an accepted request is told.
#[derive(Debug, Default, Serialize)]
pub struct Accepted {
    /// Always `ok`.
    pub status: Status,
    /// Rows kept; only batches are told.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub accepted: Option<usize>,
    /// Events refused while batch-mates were kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rejected: Option<usize>,
    /// Why events were refused, and in debug mode what was remarked on the others.
    #[serde(rename = "validationMessages", skip_serializing_if = "Option::is_none")]
    pub messages: Option<Vec<Message>>,
}

/// The word of an accepted request.
#[derive(Clone, Copy, Debug, Default, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// `ok`.
    #[default]
    Ok,
}

/// A [`Detail`] in the shape of Google's validation server.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Message {
    field_path: String,
    description: String,
    validation_code: Code,
}

impl From<Detail> for Message {
    fn from(detail: Detail) -> Message {
        Message { field_path: detail.path, description: detail.message, validation_code: detail.code }
    }
}

impl Accepted {
    /// The answer; `{"status":"ok"}` to the byte when there is nothing else to say.
    pub fn reply(&self) -> Reply {
        let silent = self.accepted.is_none() && self.rejected.is_none() && self.messages.is_none();
        let body = if silent {
            Bytes::from_static(br#"{"status":"ok"}"#)
        } else {
            serde_json::to_vec(self).expect("plain structs with text keys always serialize").into()
        };
        Reply::json(StatusCode::OK, body)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_single_event_is_answered_to_the_byte() {
        assert_eq!(Accepted::default().reply().body, r#"{"status":"ok"}"#);
    }

    #[test]
    fn batches_learn_their_counts() {
        let mut accepted = Accepted { accepted: Some(2), ..Accepted::default() };
        assert_eq!(accepted.reply().body, r#"{"status":"ok","accepted":2}"#);
        accepted.rejected = Some(1);
        let detail = Detail { path: "events[1]".into(), code: Code::ValueInvalid, message: "no".into() };
        accepted.messages = Some(vec![detail.into()]);
        assert_eq!(
            accepted.reply().body,
            concat!(
                r#"{"status":"ok","accepted":2,"rejected":1,"validationMessages":"#,
                r#"[{"fieldPath":"events[1]","description":"no","validationCode":"VALUE_INVALID"}]}"#
            )
        );
    }
}

//! How a call ends when it does not succeed.

use std::{fmt, time::Duration};

use prost::Message;
use prost_types::Any;
use tonic::{Code, Status};

use super::{
    auth::{AuthError, with_causes},
    proto::{
        rpc,
        storage::{StorageError, storage_error::StorageErrorCode},
    },
};

/// Longest text of a server's that is kept: it goes into logs and dead letters.
const MAX_WORDS: usize = 2_048;

/// A call or a request that failed.
#[derive(Clone, Debug, thiserror::Error)]
pub struct Failure {
    /// gRPC's code.
    pub code: Code,
    /// The server's words.
    pub message: String,
    /// The Write API's own code, when it is one of that API's.
    pub storage: Option<StorageErrorCode>,
    /// When the server wants to hear from us again.
    pub retry_after: Option<Duration>,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let code = self.storage.map_or(code_name(self.code), |storage| storage.as_str_name());
        match &*self.message {
            "" => f.write_str(code),
            message => write!(f, "{code}: {message}"),
        }
    }
}

impl Failure {
    /// With a code and words of our own.
    pub fn new(code: Code, message: impl Into<String>) -> Failure {
        Failure { code, message: message.into(), storage: None, retry_after: None }
    }

    /// No connection can be made.
    pub fn unreachable(error: &(dyn std::error::Error + 'static)) -> Failure {
        Failure::new(Code::Unavailable, with_causes(error))
    }

    /// There is no token to show.
    pub fn without_token(error: &AuthError) -> Failure {
        Failure::new(Code::Unauthenticated, error.to_string())
    }

    /// A call that ended with a status. When the transport failed, the status has the error, and its text says nothing.
    pub fn of_status(status: &Status) -> Failure {
        let detailed = rpc::Status::decode(status.details()).unwrap_or_default();
        let (storage, retry_after) = details(&detailed.details);
        let message = match std::error::Error::source(status) {
            Some(cause) => format!("{}: {}", status.message(), with_causes(cause)),
            None => status.message().to_owned(),
        };
        Failure { code: status.code(), message: shortened(message), storage, retry_after }
    }

    /// An answer within a stream that is an error.
    pub fn of_answer(status: rpc::Status) -> Failure {
        let (storage, retry_after) = details(&status.details);
        Failure { code: Code::from(status.code), message: shortened(status.message), storage, retry_after }
    }

    /// Whether it passes by itself: the codes that the service's own client configurations try again, but for the one that
    /// asks for less. Whether what was asked for has been done is open then.
    pub fn passes(&self) -> bool {
        matches!(
            self.code,
            Code::Aborted
                | Code::Unavailable
                | Code::Cancelled
                | Code::Internal
                | Code::DeadlineExceeded
                | Code::Unknown
        )
    }

    /// Whether the server closed the stream because nothing came for ten minutes.
    pub fn is_idle_close(&self) -> bool {
        self.code == Code::Aborted && self.message.contains("inactive for")
    }
}

fn details(details: &[Any]) -> (Option<StorageErrorCode>, Option<Duration>) {
    let (mut storage, mut retry_after) = (None, None);
    for any in details {
        match any.type_url.rsplit('/').next() {
            Some("google.cloud.bigquery.storage.v1.StorageError") => {
                storage = StorageError::decode(&*any.value).ok().map(|error| error.code());
            }
            Some("google.rpc.RetryInfo") => {
                let delay = rpc::RetryInfo::decode(&*any.value).ok().and_then(|info| info.retry_delay);
                retry_after = delay.and_then(|delay| Duration::try_from(delay).ok());
            }
            _ => {}
        }
    }
    (storage.filter(|code| *code != StorageErrorCode::Unspecified), retry_after)
}

/// A server's words, cut to what is kept of them.
pub fn shortened(mut text: String) -> String {
    if text.len() > MAX_WORDS {
        text.truncate(text.floor_char_boundary(MAX_WORDS));
        text.push('…');
    }
    text
}

/// The code as Google's documentation writes it.
fn code_name(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn any<M: Message>(name: &str, message: &M) -> Any {
        Any { type_url: format!("type.googleapis.com/{name}"), value: message.encode_to_vec() }
    }

    #[test]
    fn details_are_read_from_answers_and_from_statuses() {
        let storage = StorageError { code: StorageErrorCode::TableNotFound.into(), ..StorageError::default() };
        let delay = Some(prost_types::Duration { seconds: 7, nanos: 0 });
        let status = rpc::Status {
            code: Code::NotFound as i32,
            message: "gone".into(),
            details: vec![
                any("google.cloud.bigquery.storage.v1.StorageError", &storage),
                any("google.rpc.RetryInfo", &rpc::RetryInfo { retry_delay: delay }),
                Any { type_url: "x/unknown".into(), value: vec![0xff] },
            ],
        };
        let of_call = Status::with_details(Code::NotFound, "gone", status.encode_to_vec().into());
        for failure in [Failure::of_answer(status), Failure::of_status(&of_call)] {
            assert_eq!(failure.storage, Some(StorageErrorCode::TableNotFound));
            assert_eq!(failure.retry_after, Some(Duration::from_secs(7)));
            assert_eq!(failure.to_string(), "TABLE_NOT_FOUND: gone");
        }
    }

    #[test]
    fn a_servers_words_are_bounded_and_foreign_bytes_harm_nothing() {
        let failure = Failure::of_status(&Status::with_details(
            Code::Internal,
            "ü".repeat(10_000),
            vec![0xff, 0x01, 0x80].into(),
        ));
        assert!(failure.message.len() <= MAX_WORDS + 3);
        assert_eq!((failure.storage, failure.retry_after), (None, None));
    }

    #[test]
    fn the_close_after_ten_minutes_is_known_by_its_words() {
        let words = "Closing the stream because it has been inactive for 600 seconds. Entity: x";
        assert!(Failure::new(Code::Aborted, words).is_idle_close());
        assert!(!Failure::new(Code::Aborted, "the connection is draining").is_idle_close());
    }
}

//! What the header of a request says: to which stream it goes, whose word it is, and how its body is to be read.

use http::{HeaderMap, header};

use super::streams::Stream;
use crate::collect::{Caller, Codings, Refusal};

/// See the module. Found once, before the body is there.
pub struct Admission {
    pub(super) stream: Stream,
    /// Who sends it.
    pub caller: Caller,
    pub(super) media_type: MediaType,
    pub(super) codings: Codings,
}

impl Admission {
    pub(super) fn of(stream: Stream, headers: &HeaderMap) -> Result<Admission, Refusal> {
        let caller = stream.caller(headers)?;
        let media_type = MediaType::of(headers)?;
        Ok(Admission { stream, caller, media_type, codings: Codings::of(headers)? })
    }
}

/// What a body is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum MediaType {
    Json,
    Lines,
}

impl MediaType {
    /// `text/plain` is what beacons send, because it needs no preflight.
    fn of(headers: &HeaderMap) -> Result<MediaType, Refusal> {
        let Some(value) = headers.get(header::CONTENT_TYPE) else { return Ok(MediaType::Json) };
        let value = value.to_str().map_err(|_| Refusal::UnsupportedMediaType)?;
        let end = memchr::memchr(b';', value.as_bytes()).unwrap_or(value.len());
        let essence = value[..end].trim_ascii();
        let is_one_of = |names: &[&str]| names.iter().any(|name| essence.eq_ignore_ascii_case(name));
        if essence.is_empty() || is_one_of(&["application/json", "text/plain"]) {
            Ok(MediaType::Json)
        } else if is_one_of(&["application/x-ndjson", "application/ndjson", "application/jsonl"]) {
            Ok(MediaType::Lines)
        } else {
            Err(Refusal::UnsupportedMediaType)
        }
    }
}

//! Stand-in until the pipeline is merged: one row per hit, `{"status":"ok"}`.

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};

use crate::{
    collect::{self, CookieConfig, DropReason, Hit, Refusal, Reply, StreamConfig},
    enrich::Enricher,
    schema::{Date, Event, Row, StreamId},
};

/// Hit to rows.
pub struct Pipeline {
    streams: Vec<String>,
}

/// What became of a hit.
pub struct Collected {
    /// Rows to keep.
    pub rows: Vec<Row>,
    /// Stream.
    pub stream: StreamId,
    /// Index and reason.
    pub dropped: Vec<(usize, DropReason)>,
    /// Answer, once the rows are durable.
    pub reply: Reply,
}

impl Pipeline {
    /// A pipeline.
    pub fn new(_: &collect::Config, streams: &[StreamConfig], _: &CookieConfig, _: Vec<Box<dyn Enricher>>) -> Pipeline {
        Pipeline { streams: streams.iter().map(|s| s.id.clone()).collect() }
    }

    /// Before the body.
    pub fn admit(&self, method: &Method, stream: &str, headers: &HeaderMap) -> Result<(), Refusal> {
        if method != Method::POST {
            return Err(Refusal::MethodNotAllowed);
        }
        let known = self.streams.is_empty() || self.streams.iter().any(|s| s == stream);
        if !known || stream.is_empty() || stream.contains('/') {
            return Err(Refusal::UnknownStream);
        }
        let length = headers.get(header::CONTENT_LENGTH).and_then(|v| v.to_str().ok()?.parse::<usize>().ok());
        if length.is_some_and(|length| length > self.max_body()) {
            return Err(Refusal::BodyTooLarge);
        }
        Ok(())
    }

    /// Bytes.
    pub fn max_body(&self) -> usize {
        256 * 1024
    }

    /// After the body.
    pub fn collect(&self, hit: &Hit<'_>) -> Result<Collected, Refusal> {
        let stream: StreamId = hit.stream.into();
        let event = Event { user_id: Some(hit.client_ip.to_string()), ..Event::default() };
        let row = Row::freeze(&event, Date::of_utc_micros(hit.received_at), stream.clone());
        let reply = Reply {
            status: StatusCode::OK,
            headers: vec![
                (header::CONTENT_TYPE, HeaderValue::from_static("application/json")),
                (header::SET_COOKIE, HeaderValue::from_static("__uid__=1.2; Path=/")),
            ],
            body: Bytes::from_static(br#"{"status":"ok"}"#),
        };
        Ok(Collected { rows: vec![row], stream, dropped: Vec::new(), reply })
    }
}

//! One event, one line: what every format needs is gathered here, a format only writes it down.

use std::fmt;

use tracing::{Event, Metadata, Subscriber};
use tracing_log::NormalizeEvent;
use tracing_subscriber::{
    fmt::{FmtContext, FormatEvent, format::Writer},
    registry::LookupSpan,
};

use super::fields::{Fields, StoredFields};

/// How the names of fields begin that are parts of Cloud Logging's `httpRequest`
/// (<https://cloud.google.com/logging/docs/reference/v2/rest/v2/LogEntry#httprequest>).
pub const HTTP_REQUEST: &str = "http_request.";
/// How the names of fields begin that become other parts of its entries.
pub const CLOUD_LOGGING: &str = "logging.googleapis.com/";

/// A format.
pub trait Line {
    /// Writes one event, with the end of the line.
    fn write(&self, metadata: &Metadata<'_>, fields: &Fields<'_>, writer: &mut Writer<'_>) -> fmt::Result;
}

/// Events in this format.
pub struct Lines<L>(pub L);

impl<S, L> FormatEvent<S, StoredFields> for Lines<L>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    L: Line,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, StoredFields>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let normalized = event.normalized_metadata();
        let metadata = normalized.as_ref().unwrap_or_else(|| event.metadata());
        self.0.write(metadata, &Fields::of(event, context), &mut writer)
    }
}

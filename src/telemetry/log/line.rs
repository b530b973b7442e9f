//! One event, one line: what every format needs is gathered here, a format only writes it down.

use std::fmt;

use jiff::Timestamp;
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_log::NormalizeEvent;
use tracing_subscriber::{
    fmt::{FmtContext, FormatEvent, format::Writer},
    registry::LookupSpan,
};

use super::{
    access::Access,
    fields::{Fields, StoredFields},
};

/// A format.
pub trait Line {
    /// Writes one event, with the end of the line.
    fn write(&self, metadata: &Metadata<'_>, fields: &Fields<'_>, writer: &mut Writer<'_>) -> fmt::Result;

    /// Adds the line of one request that ended then, likewise.
    fn access(&self, level: Level, time: Timestamp, access: &Access<&str>, line: &mut String) -> fmt::Result;
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

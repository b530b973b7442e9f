//! What an event or a span says about itself, as JSON values, whichever way it will be shown.

use std::{borrow::Cow, error::Error, fmt};

use serde_json::{Map, Value};
use tracing::{
    Event, Subscriber,
    field::{Field, Visit},
};
use tracing_subscriber::{
    field::RecordFields,
    fmt::{FmtContext, FormatFields, FormattedFields, format::Writer},
    registry::LookupSpan,
};

/// The message and the other fields, in the order they were given.
#[derive(Default)]
pub struct Fields {
    pub message: String,
    pub others: Vec<(Cow<'static, str>, Value)>,
}

impl Fields {
    /// An event's own fields, then those of the spans around it, innermost first. A name that was given closer to the
    /// event wins.
    pub fn of<S>(event: &Event<'_>, context: &FmtContext<'_, S, StoredFields>) -> Fields
    where
        S: Subscriber + for<'a> LookupSpan<'a>,
    {
        let mut fields = Fields::default();
        event.record(&mut fields);
        for span in context.event_scope().into_iter().flatten() {
            let extensions = span.extensions();
            let Some(stored) = extensions.get::<FormattedFields<StoredFields>>() else { continue };
            // One object per recording.
            for object in serde_json::Deserializer::from_str(&stored.fields).into_iter::<Map<String, Value>>().flatten()
            {
                for (name, value) in object {
                    if fields.others.iter().all(|(known, _)| *known != name) {
                        fields.others.push((name.into(), value));
                    }
                }
            }
        }
        fields
    }

    fn put(&mut self, field: &Field, value: Value) {
        match field.name() {
            "message" => {
                self.message = match value {
                    Value::String(text) => text,
                    other => other.to_string(),
                }
            }
            // The bridge's own: they are in the normalised metadata.
            name if name.starts_with("log.") => {}
            name => self.others.push((name.into(), value)),
        }
    }
}

impl Visit for Fields {
    fn record_f64(&mut self, field: &Field, value: f64) {
        let number = serde_json::Number::from_f64(value);
        self.put(field, number.map_or_else(|| Value::String(value.to_string()), Value::Number));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, value.into());
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, value.into());
    }

    fn record_error(&mut self, field: &Field, value: &(dyn Error + 'static)) {
        let mut text = value.to_string();
        let mut cause = value.source();
        while let Some(error) = cause {
            text = format!("{text}: {error}");
            cause = error.source();
        }
        self.put(field, text.into());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.put(field, format!("{value:?}").into());
    }
}

/// Keeps a span's fields as JSON text beside the span.
pub struct StoredFields;

impl<'w> FormatFields<'w> for StoredFields {
    fn format_fields<R: RecordFields>(&self, mut writer: Writer<'w>, recorded: R) -> fmt::Result {
        let mut fields = Fields::default();
        recorded.record(&mut fields);
        let object: Map<String, Value> =
            fields.others.into_iter().map(|(name, value)| (name.into_owned(), value)).collect();
        write!(writer, "{}", Value::Object(object))
    }
}

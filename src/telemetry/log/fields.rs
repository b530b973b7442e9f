//! What an event or a span says about itself, value by value, whichever way it will be shown.

use std::{error::Error, fmt};

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

/// Name of the field that holds the message.
pub const MESSAGE: &str = "message";

/// One value as it was given: nothing is formatted before a format asks for it.
#[derive(Clone, Copy)]
pub enum Given<'a> {
    F64(f64),
    I64(i64),
    U64(u64),
    Bool(bool),
    Text(&'a str),
    Error(&'a (dyn Error + 'static)),
    Debug(&'a dyn fmt::Debug),
    /// A span's, which was kept as JSON.
    Kept(&'a Value),
}

impl Given<'_> {
    /// The same as JSON has it.
    pub fn to_value(self) -> Value {
        match self {
            Given::F64(number) if number.is_finite() => number.into(),
            Given::I64(number) => number.into(),
            Given::U64(number) => number.into(),
            Given::Bool(truth) => truth.into(),
            Given::Kept(value) => value.clone(),
            Given::F64(_) | Given::Text(_) | Given::Error(_) | Given::Debug(_) => self.to_string().into(),
        }
    }
}

impl fmt::Display for Given<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Given::F64(number) if number.is_finite() => Value::from(*number).fmt(f),
            Given::F64(number) => number.fmt(f),
            Given::I64(number) => number.fmt(f),
            Given::U64(number) => number.fmt(f),
            Given::Bool(truth) => truth.fmt(f),
            Given::Text(text) => f.write_str(text),
            Given::Kept(Value::String(text)) => f.write_str(text),
            Given::Error(error) => {
                error.fmt(f)?;
                let mut cause = error.source();
                while let Some(error) = cause {
                    write!(f, ": {error}")?;
                    cause = error.source();
                }
                Ok(())
            }
            Given::Debug(value) => value.fmt(f),
            Given::Kept(value) => value.fmt(f),
        }
    }
}

/// An event and the spans around it.
pub struct Fields<'a> {
    event: &'a Event<'a>,
    /// What the event does not say itself, innermost span first.
    around: Vec<(String, Value)>,
}

impl<'a> Fields<'a> {
    /// A name that was given closer to the event wins.
    pub fn of<S>(event: &'a Event<'a>, context: &FmtContext<'_, S, StoredFields>) -> Fields<'a>
    where
        S: Subscriber + for<'l> LookupSpan<'l>,
    {
        let mut fields = Fields { event, around: Vec::new() };
        for span in context.event_scope().into_iter().flatten() {
            let extensions = span.extensions();
            let Some(stored) = extensions.get::<FormattedFields<StoredFields>>() else { continue };
            // One object per recording.
            for object in serde_json::Deserializer::from_str(&stored.fields).into_iter::<Map<String, Value>>().flatten()
            {
                for (name, value) in object {
                    let mut is_known = false;
                    fields.each(|known, _| is_known |= known == name);
                    if !is_known {
                        fields.around.push((name, value));
                    }
                }
            }
        }
        fields
    }

    /// Hands out the message and the other fields, in the order they were given.
    pub fn each(&self, mut take: impl FnMut(&str, Given<'_>)) {
        self.event.record(&mut Each(&mut take));
        for (name, value) in &self.around {
            take(name, Given::Kept(value));
        }
    }
}

/// Leads what is recorded to a function.
struct Each<F>(F);

impl<F: FnMut(&'static str, Given<'_>)> Each<F> {
    fn put(&mut self, field: &Field, value: Given<'_>) {
        let name = field.name();
        // The bridge's own: they are in the normalised metadata.
        if !name.starts_with("log.") {
            self.0(name, value);
        }
    }
}

impl<F: FnMut(&'static str, Given<'_>)> Visit for Each<F> {
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field, Given::F64(value));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, Given::I64(value));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, Given::U64(value));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, Given::Bool(value));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, Given::Text(value));
    }

    fn record_error(&mut self, field: &Field, value: &(dyn Error + 'static)) {
        self.put(field, Given::Error(value));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.put(field, Given::Debug(value));
    }
}

/// Keeps a span's fields as JSON text beside the span.
pub struct StoredFields;

impl<'w> FormatFields<'w> for StoredFields {
    fn format_fields<R: RecordFields>(&self, mut writer: Writer<'w>, recorded: R) -> fmt::Result {
        let mut object = Map::new();
        recorded.record(&mut Each(|name: &'static str, value: Given<'_>| {
            if name != MESSAGE {
                object.insert(name.to_owned(), value.to_value());
            }
        }));
        write!(writer, "{}", Value::Object(object))
    }
}

//! Logs, on standard output: lines for people on a developer's machine, JSON lines for Cloud Logging elsewhere. No
//! client of any log service: the platform reads what we print.
//!
//! What other crates say through `log` comes the same way, over the `bridge`.

mod access;
mod bridge;
mod entries;
mod fields;
mod human;
mod json;
mod line;
mod outlet;
#[cfg(test)]
mod tests;
mod text;

use std::{
    backtrace::{Backtrace, BacktraceStatus},
    io, panic,
    sync::{Arc, OnceLock},
    thread,
};

use tracing::{Level, Subscriber, level_filters::LevelFilter, subscriber::SetGlobalDefaultError};
use tracing_log::AsLog;
use tracing_subscriber::{EnvFilter, Layer, Registry, filter::ParseError, fmt::MakeWriter, layer::SubscriberExt};

use super::Metrics;
pub use access::{About, Access, Request};
use fields::StoredFields;
use line::{Line, Lines};
use outlet::Outlet;

/// Target of the lines that tell of requests, for the filter.
const ACCESS: &str = concat!(env!("CARGO_CRATE_NAME"), "::access");

/// Level when nobody asked for another.
const DEFAULT_FILTER: &str = "info";

/// Directives that stand before the user's, who can still override them: below these levels the crates narrate every
/// connection and every start-up step.
const QUIET: &str = "pingora=warn,h2=warn,rustls=warn,hyper=warn";

/// Longest memory that a thread keeps for its next line, in bytes.
const MAX_KEPT: usize = 16 << 10;

/// How a line looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// `INFO      2024-01-15 10:30:46.456 - module - message key=value - [src/module.rs:32]`, in local time.
    Human {
        /// Whether the level has a colour.
        colour: bool,
    },
    /// One JSON object a line, in Cloud Logging's field names, in UTC.
    Json,
}

impl Format {
    /// The format of an environment: `QA` is a developer's machine.
    pub fn of(environment: &str, colour: bool) -> Format {
        if environment.eq_ignore_ascii_case("QA") { Format::Human { colour } } else { Format::Json }
    }
}

/// Why logging could not begin.
#[derive(Debug, thiserror::Error)]
pub enum InstallError {
    /// `RUST_LOG` makes no sense.
    #[error("`RUST_LOG={filter}` is not a log filter such as `info` or `info,real_streaming=debug`: {source}")]
    Filter {
        /// Its value.
        filter: String,
        /// What is wrong with it.
        source: ParseError,
    },
    /// Nothing can be written.
    #[error("cannot log to standard output: {0}")]
    Output(#[from] io::Error),
    /// Logging has begun already.
    #[error("logging is installed already")]
    Twice(#[from] SetGlobalDefaultError),
}

/// Once logging has begun.
static LOG: OnceLock<Log> = OnceLock::new();

struct Log {
    outlet: Outlet,
    /// Whether the filter lets lines of requests through that succeed, and of those that fail: asked once, not per request.
    shown: [bool; 2],
}

/// Writes what is still in memory when it goes: whoever begins logging keeps it until the process ends.
#[must_use]
#[derive(Debug)]
pub struct Guard(());

impl Drop for Guard {
    fn drop(&mut self) {
        flush();
    }
}

/// Begins logging, for the rest of the process. `filter` is the value of `RUST_LOG`.
pub fn install(format: Format, filter: Option<&str>) -> Result<Guard, InstallError> {
    let filter = parse(filter)?;
    // What no one will see is not even formatted: pingora's debug lines are on the path of every request.
    let most = filter.max_level_hint().unwrap_or(LevelFilter::TRACE);
    let outlet = Outlet::stdout(format)?;
    tracing::subscriber::set_global_default(subscriber(format, filter, outlet.clone()))?;
    let shown = [tracing::enabled!(target: ACCESS, Level::INFO), tracing::enabled!(target: ACCESS, Level::WARN)];
    LOG.get_or_init(|| Log { outlet, shown });
    if bridge::install(most.as_log()).is_err() {
        tracing::warn!("another logger took the `log` crate's lines, they are not shown here");
    }
    Ok(Guard(()))
}

/// Whether lines that tell of requests are shown: those of failures, or all.
pub fn shows_access(is_failure: bool) -> bool {
    LOG.get().is_some_and(|log| log.shown[usize::from(is_failure)])
}

/// Has the line of one request written: a warning when it is a failure.
pub fn access(is_failure: bool, access: &Access<&str>) {
    if let Some(log) = LOG.get() {
        log.outlet.access(is_failure, access);
    }
}

/// Writes what is still in memory, for a process that ends without another word.
pub fn flush() {
    if let Some(log) = LOG.get() {
        log.outlet.flush();
    }
}

/// Counts in these metrics the lines that are lost, and panics; and logs those.
pub fn watch(metrics: Arc<Metrics>) {
    if let Some(log) = LOG.get() {
        log.outlet.count_in(metrics.log_lines_lost.clone());
    }
    watch_panics(metrics);
}

/// With the place and, when `RUST_BACKTRACE` is set, the way there.
fn watch_panics(metrics: Arc<Metrics>) {
    let before = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        metrics.panics.inc();
        if !tracing::dispatcher::has_been_set() {
            return before(info);
        }
        let location = info.location().map(ToString::to_string).unwrap_or_default();
        let message = info.payload_as_str().unwrap_or("no message");
        let thread = thread::current();
        let backtrace = Backtrace::capture();
        let stack_trace = (backtrace.status() == BacktraceStatus::Captured).then(|| backtrace.to_string());
        tracing::error!(location, thread = thread.name(), stack_trace, "panic, this is a bug: {message}");
    }));
}

fn parse(filter: Option<&str>) -> Result<EnvFilter, InstallError> {
    let filter = filter.unwrap_or(DEFAULT_FILTER);
    // A filter that only names targets leaves the rest at the default.
    EnvFilter::try_new(format!("{DEFAULT_FILTER},{QUIET},{filter}"))
        .map_err(|source| InstallError::Filter { filter: filter.to_owned(), source })
}

fn subscriber<W>(format: Format, filter: EnvFilter, writer: W) -> Box<dyn Subscriber + Send + Sync>
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let lines: Box<dyn Layer<Registry> + Send + Sync> = match format {
        Format::Human { colour } => layer(human::Human { colour }, writer),
        Format::Json => layer(json::Json, writer),
    };
    Box::new(tracing_subscriber::registry().with(lines).with(filter))
}

fn layer<L, W>(line: L, writer: W) -> Box<dyn Layer<Registry> + Send + Sync>
where
    L: Line + Send + Sync + 'static,
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    tracing_subscriber::fmt::layer().fmt_fields(StoredFields).event_format(Lines(line)).with_writer(writer).boxed()
}

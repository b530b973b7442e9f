//! What other crates say through `log`, on its way to our lines.

use tracing_log::{
    LogTracer,
    log::{self, Level, LevelFilter, Log, Metadata, Record, SetLoggerError},
};

/// Leads the lines of the `log` crate here, those up to `most`.
pub fn install(most: LevelFilter) -> Result<(), SetLoggerError> {
    log::set_boxed_logger(Box::new(Bridge::default()))?;
    log::set_max_level(most);
    Ok(())
}

/// Passes lines on, with one correction: Pingora calls it an error when a client breaks off, which clients do all day,
/// and when it takes a new connection instead of a waiting one. Nobody can act on that. Such a line is a debug line here.
#[derive(Default)]
pub struct Bridge(LogTracer);

impl Log for Bridge {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        self.0.enabled(metadata)
    }

    fn log(&self, record: &Record<'_>) {
        if !is_no_error(record) {
            return self.0.log(record);
        }
        let demoted = Record::builder()
            .args(*record.args())
            .level(Level::Debug)
            .target(record.target())
            .module_path(record.module_path())
            .file(record.file())
            .line(record.line())
            .build();
        self.0.log(&demoted);
    }

    fn flush(&self) {
        self.0.flush();
    }
}

/// How lines of Pingora's, as of its release 0.9, begin that tell of no error, and where they come from.
const NO_ERRORS: [(&str, &str); 4] = [
    // Clients that are gone, in the middle of a header. What fails later in a request goes through the edge's own log.
    ("pingora_proxy", "Fail to proxy: Downstream "),
    // Before it could be told that its header is malformed.
    ("pingora_proxy", "failed to send error response to downstream: "),
    // With the last bytes of its answer on the way. Without `WriteError` it would be the site that stopped short.
    ("pingora_proxy", "Error finish sending body to downstream:  WriteError "),
    // Two threads reached for a waiting connection at once; whoever has it not opens another.
    ("pingora_core::connectors", "failed to acquire reusable stream"),
];

fn is_no_error(record: &Record<'_>) -> bool {
    let of_its = |target: &str| record.target().starts_with(target);
    if record.level() != Level::Error || !NO_ERRORS.iter().any(|(target, _)| of_its(target)) {
        return false;
    }
    let message = record.args().to_string();
    NO_ERRORS.iter().any(|(target, beginning)| of_its(target) && message.starts_with(beginning))
}

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

/// Passes lines on, with one correction: Pingora calls it an error when a client breaks off, which clients do all day
/// and nobody can act on. Such a line is a debug line here.
#[derive(Default)]
pub struct Bridge(LogTracer);

impl Log for Bridge {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        self.0.enabled(metadata)
    }

    fn log(&self, record: &Record<'_>) {
        if !is_clients_doing(record) {
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

/// How Pingora's lines about clients that are gone begin, as of its release 0.9.
const CLIENTS_DOING: [&str; 3] = [
    // In the middle of a header. What fails later in a request goes through the edge's own log.
    "Fail to proxy: Downstream ",
    // Before it could be told that its header is malformed.
    "failed to send error response to downstream: ",
    // With the last bytes of its answer on the way. Without `WriteError` it would be the site that stopped short.
    "Error finish sending body to downstream:  WriteError ",
];

fn is_clients_doing(record: &Record<'_>) -> bool {
    if record.level() != Level::Error || !record.target().starts_with("pingora_proxy") {
        return false;
    }
    let message = record.args().to_string();
    CLIENTS_DOING.iter().any(|beginning| message.starts_with(beginning))
}

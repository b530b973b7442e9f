//! What each fuzz target does with its bytes. `cargo test` runs the same functions over the corpus (`tests/it/fuzz.rs`).
//!
//! An entry asserts what must hold for any input, not only that nothing panics: what comes out is bounded and can be
//! read again, and the same bytes give the same answer. Several texts of one input stand one a line; where a mutation
//! could never find what is needed (a checksum, a compressed stream), a byte of the input asks the entry to make it.

mod books;
mod collect;
mod config;
mod edge;
mod enrich;
mod explain;
mod express;
mod gcp;
mod hit;
mod lake;
mod machines;
mod route;
mod spool;

/// What a target does with an input.
pub type Entry = fn(&[u8]);

/// Every target, by name.
pub const TARGETS: &[(&str, Entry)] = &[
    ("body", collect::body),
    ("headers", collect::headers),
    ("inject", edge::inject),
    ("extent", express::extent),
    ("codings", collect::codings),
    ("cookies", collect::cookies),
    ("redact", collect::redact),
    ("page_url", enrich::page_url),
    ("referrer", enrich::referrer),
    ("user_agent", enrich::user_agent),
    ("accept_language", enrich::accept_language),
    ("geo_headers", enrich::geo_headers),
    ("geo_database", enrich::geo_database),
    ("matomo_folder", machines::matomo_folder),
    ("play_devices", machines::play_devices),
    ("client_ip", edge::client_ip),
    ("connection", express::connection),
    ("proxy_protocol", express::proxy_protocol),
    ("explain", explain::explain),
    ("request", edge::request),
    ("route", route::route),
    ("status_line", edge::status_line),
    ("trace", edge::trace),
    ("config_yaml", config::yaml),
    ("config_dotenv", config::dotenv),
    ("config_variables", config::variables),
    ("config_values", config::values),
    ("spool_segment", spool::segment),
    ("spool_folder", spool::folder),
    ("direct_offsets", books::offsets),
    ("backfill_progress", books::progress),
    ("row_bytes", lake::row_bytes),
    ("lake_folder", lake::folder),
    ("dead_letters", lake::dead_letters),
    ("gcp_answers", gcp::answers),
];

/// Runs the target of this name: each file in `fuzz_targets` has that of its target.
pub fn run(name: &str, data: &[u8]) {
    let found = TARGETS.iter().find(|(known, _)| *known == name);
    let (_, entry) = found.unwrap_or_else(|| panic!("no target is called `{name}`"));
    entry(data);
}

/// The lines of an input that is several texts.
fn lines(data: &[u8]) -> impl Iterator<Item = &[u8]> {
    data.split(|byte| *byte == b'\n')
}

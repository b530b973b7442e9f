//! Arguments in, exit code out.

use std::{env, process::ExitCode};

use mimalloc::MiMalloc;

/// An event is some hundred small allocations, made and freed by different threads: with the C library's allocator a
/// fifth of what it costs.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    match real_streaming::cli::run(env::args_os(), env::vars_os().collect()) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

//! Arguments in, exit code out.

use std::{env, process::ExitCode};

// An event is some hundred small allocations, made and freed by different threads: with the C library's allocator a
// fifth of what it costs. mimalloc takes the place of `malloc` itself, and is named here to be linked: asked by Rust's
// own allocator it does not look at alignments that it gives anyway.
use mimalloc as _;

fn main() -> ExitCode {
    match real_streaming::cli::run(env::args_os(), env::vars_os().collect()) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

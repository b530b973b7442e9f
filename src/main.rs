//! Arguments in, exit code out.

use std::{env, process::ExitCode};

fn main() -> ExitCode {
    match real_streaming::cli::run(env::args_os(), env::vars_os().collect()) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

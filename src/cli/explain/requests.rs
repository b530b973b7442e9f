//! `real-streaming explain`: what becomes of raw requests, and where every value comes from.

use std::{
    io::{self, BufWriter, Read, Write, stdin, stdout},
    net::IpAddr,
    process::ExitCode,
};

use anyhow::Context;

use crate::{app, config::Config};

/// Most bytes of input.
const MAX_INPUT: u64 = 256 << 20;

/// How standard input is explained.
pub struct Manner {
    /// The TCP peer of the requests.
    pub peer: IpAddr,
    /// Whether they came over TLS.
    pub tls: bool,
    /// Whether a machine reads the answer.
    pub json: bool,
}

/// Explains the requests on standard input. Exit code 1 when one could not be read.
pub fn run(config: &Config, manner: &Manner) -> anyhow::Result<ExitCode> {
    let mut input = Vec::new();
    stdin().lock().take(MAX_INPUT + 1).read_to_end(&mut input).context("cannot read standard input")?;
    anyhow::ensure!(input.len() as u64 <= MAX_INPUT, "standard input is longer than {MAX_INPUT} bytes");
    anyhow::ensure!(
        !input.trim_ascii().is_empty(),
        "there is no request on standard input; hint: `real-streaming explain < request.http`"
    );
    let rules = app::rules(config)?;
    let mut out = BufWriter::new(stdout().lock());
    let mut all_read = true;
    let mut print = || {
        for (index, explained) in rules.explain(&input, manner.peer, manner.tls).enumerate() {
            all_read &= explained.is_read();
            match manner.json {
                true => out.write_all(explained.json_lines().as_bytes())?,
                false => write!(out, "{}{explained}", if index > 0 { "\n" } else { "" })?,
            }
        }
        out.flush()
    };
    match print() {
        // A reader that has seen enough, as in `… | head`, is no failure.
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error).context("cannot write the explanation"),
        _ => Ok(if all_read { ExitCode::SUCCESS } else { ExitCode::FAILURE }),
    }
}

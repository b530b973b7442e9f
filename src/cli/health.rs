//! `real-streaming health`

use std::{
    io::{BufRead, BufReader, Write},
    net::{TcpStream, ToSocketAddrs},
    process::ExitCode,
    time::Duration,
};

use anyhow::{Context, bail, ensure};
use clap::Args;
use http::Uri;

/// Longest wait for each of connecting, sending and the answer. Health checks give up after a few seconds themselves.
const PATIENCE: Duration = Duration::from_secs(2);
/// Longest status line read.
const MAX_STATUS_LINE: usize = 1024;

/// Ask a running process whether it is well.
#[derive(Debug, Args)]
pub struct Health {
    /// What to ask; `/readyz` there says whether it wants traffic
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:9090/healthz")]
    url: Uri,
}

impl Health {
    /// Succeeds on any status from 200 to 299.
    pub fn run(self) -> anyhow::Result<ExitCode> {
        let url = &self.url;
        let status = status(url).with_context(|| format!("`{url}` does not answer"))?;
        ensure!((200..300).contains(&status), "`{url}` answers {status}");
        println!("ok");
        Ok(ExitCode::SUCCESS)
    }
}

/// The status that a GET of the address is answered with.
fn status(url: &Uri) -> anyhow::Result<u16> {
    ensure!(url.scheme_str() == Some("http"), "only `http://` addresses can be asked");
    let authority = url.authority().context("the address has no host")?;
    let host = authority.host().trim_start_matches('[').trim_end_matches(']');
    let addresses = (host, authority.port_u16().unwrap_or(80)).to_socket_addrs()?;

    let mut refused = None;
    for address in addresses {
        match TcpStream::connect_timeout(&address, PATIENCE) {
            Ok(stream) => return ask(stream, url, authority.as_str()),
            Err(error) => refused = Some(error),
        }
    }
    match refused {
        Some(error) => Err(error.into()),
        None => bail!("`{host}` has no address"),
    }
}

fn ask(mut stream: TcpStream, url: &Uri, host: &str) -> anyhow::Result<u16> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let target = url.path_and_query().map_or("/", |target| target.as_str());
    // In one piece: small servers answer the first packet.
    stream.write_all(format!("GET {target} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n").as_bytes())?;

    let mut line = Vec::new();
    let limited = std::io::Read::take(stream, MAX_STATUS_LINE as u64);
    BufReader::new(limited).read_until(b'\n', &mut line)?;
    let line = String::from_utf8_lossy(&line);
    status_in(&line).with_context(|| format!("`{}` is not HTTP", line.trim()))
}

/// The status in the first line of an answer.
#[doc(hidden)]
pub fn status_in(line: &str) -> Option<u16> {
    let code = line.strip_prefix("HTTP/1.")?.split(' ').nth(1)?;
    code.trim().parse().ok()
}

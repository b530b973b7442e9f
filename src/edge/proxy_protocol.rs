//! What a load balancer that passes bytes on says first about its client: the PROXY protocol, versions 1 and 2
//! (HAProxy's specification, 2.1 and 2.2).
//!
//! Whether a connection begins with it is never guessed, as the specification demands: trusted proxies have to, where
//! that is configured, and for everybody else such a beginning is no HTTP.

use std::{io, net::SocketAddr, time::Duration};

use pingora::{
    protocols::{SocketDigest, Stream, l4::socket},
    time::timeout,
};
use ppp::{v1, v2};
use tokio::io::AsyncReadExt;

/// It is sent in one packet, with the first bytes of the connection.
const PATIENCE: Duration = Duration::from_secs(5);
/// Longest line of version 1.
const MAX_LINE: usize = 107;
/// Longest rest of version 2. The specification wants 216 bytes of addresses at most; the rest are certificates' names
/// and the like.
const MAX_REST: usize = 4096;
/// Bytes of version 2 up to the length of the rest, which stands in the last two.
const START: usize = 16;

/// What the bytes are so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Said {
    /// This many more have to come, at least; none beyond the header is asked for.
    More(usize),
    /// The whole header: the client's address, or `None` when the proxy speaks for itself or does not know.
    Client(Option<SocketAddr>),
    /// Something else.
    Nonsense,
}

/// Reads what has come, which must not be longer than the header.
pub fn said(bytes: &[u8]) -> Said {
    let prefix = v2::PROTOCOL_PREFIX;
    if bytes.len() < prefix.len() {
        let begins = |whole: &[u8]| whole[..bytes.len().min(whole.len())] == bytes[..bytes.len().min(whole.len())];
        return if begins(prefix) || begins(b"PROXY ") {
            Said::More(prefix.len() - bytes.len())
        } else {
            Said::Nonsense
        };
    }
    if bytes.starts_with(prefix) { binary(bytes) } else { line(bytes) }
}

fn line(bytes: &[u8]) -> Said {
    if !bytes.ends_with(b"\r\n") {
        let fits = bytes.len() < MAX_LINE && !bytes.contains(&b'\n');
        return if fits { Said::More(1) } else { Said::Nonsense };
    }
    match v1::Header::try_from(bytes).map(|header| header.addresses) {
        Ok(v1::Addresses::Unknown) => Said::Client(None),
        Ok(v1::Addresses::Tcp4(it)) => Said::Client(Some((it.source_address, it.source_port).into())),
        Ok(v1::Addresses::Tcp6(it)) => Said::Client(Some((it.source_address, it.source_port).into())),
        Err(_) => Said::Nonsense,
    }
}

fn binary(bytes: &[u8]) -> Said {
    let Some(rest) = bytes.get(START - 2..START) else { return Said::More(START - bytes.len()) };
    let rest = usize::from(u16::from_be_bytes([rest[0], rest[1]]));
    if rest > MAX_REST {
        return Said::Nonsense;
    }
    if bytes.len() < START + rest {
        return Said::More(START + rest - bytes.len());
    }
    let Ok(header) = v2::Header::try_from(bytes) else { return Said::Nonsense };
    match (header.command, header.addresses) {
        (v2::Command::Proxy, v2::Addresses::IPv4(it)) => Said::Client(Some((it.source_address, it.source_port).into())),
        (v2::Command::Proxy, v2::Addresses::IPv6(it)) => Said::Client(Some((it.source_address, it.source_port).into())),
        // A health check of the proxy itself, or a client without an address.
        _ => Said::Client(None),
    }
}

/// Takes the header off the connection, whose client is from now on whom it names.
///
/// # Errors
/// There is none, or not in time.
pub async fn introduce(stream: &mut Stream) -> io::Result<()> {
    let read = async {
        let mut bytes = Vec::with_capacity(64);
        loop {
            match said(&bytes) {
                Said::More(more) => {
                    let from = bytes.len();
                    bytes.resize(from + more, 0);
                    stream.read_exact(&mut bytes[from..]).await?;
                }
                Said::Client(client) => return Ok(client),
                Said::Nonsense => return Err(io::Error::from(io::ErrorKind::InvalidData)),
            }
        }
    };
    let client = timeout(PATIENCE, read).await.map_err(|_| io::ErrorKind::TimedOut)??;
    if let Some(client) = client {
        let digest = SocketDigest::from_raw_fd(stream.id());
        // Empty, for it is new.
        let _ = digest.peer_addr.set(Some(socket::SocketAddr::Inet(client)));
        stream.set_socket_digest(digest);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is made of a connection's bytes when no more are read than are asked for, and how many are left.
    fn read(connection: &[u8]) -> (Said, usize) {
        let mut taken = 0;
        loop {
            match said(&connection[..taken]) {
                Said::More(more) if taken + more <= connection.len() => taken += more,
                end => return (end, connection.len() - taken),
            }
        }
    }

    fn binary(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
        let length = u16::try_from(rest.len()).expect("short").to_be_bytes();
        [v2::PROTOCOL_PREFIX, &[0x20 | command, family], &length, rest].concat()
    }

    #[test]
    fn both_versions_are_read_and_nothing_behind_them() {
        let four = [1, 1, 1, 1, 2, 2, 2, 2, 0x10, 0x92, 1, 187];
        let six = [&[0x20, 1, 0xd, 0xb8][..], &[0; 11], &[1], &[0; 16], &[0x10, 0x92, 1, 187]].concat();
        let tagged = [&four[..], &[4, 0, 1, 0]].concat();
        let client = |text: &str| Some(text.parse().expect("an address"));
        for (header, expected) in [
            (b"PROXY TCP4 1.1.1.1 2.2.2.2 4242 443\r\n".to_vec(), client("1.1.1.1:4242")),
            (b"PROXY TCP6 2001:db8::1 ::2 4242 443\r\n".to_vec(), client("[2001:db8::1]:4242")),
            (b"PROXY UNKNOWN\r\n".to_vec(), None),
            (b"PROXY UNKNOWN ::1 ::2 1 2\r\n".to_vec(), None),
            (binary(1, 0x11, &four), client("1.1.1.1:4242")),
            (binary(1, 0x11, &tagged), client("1.1.1.1:4242")),
            (binary(1, 0x21, &six), client("[2001:db8::1]:4242")),
            (binary(0, 0x11, &four), None),
            (binary(0, 0, &[]), None),
            (binary(1, 0x31, &[0; 216]), None),
        ] {
            let connection = [&header[..], b"GET / HTTP/1.1\r\n"].concat();
            assert_eq!(read(&connection), (Said::Client(expected), 16), "{}", header.escape_ascii());
            assert!(matches!(read(&header[..header.len() - 1]).0, Said::More(_)));
        }
    }

    #[test]
    fn nothing_else_is_taken_for_one() {
        for connection in [
            b"GET / HTTP/1.1\r\n".to_vec(),
            b"PROXY TCP4 1.1.1.1 2.2.2.2 4242\r\n".to_vec(),
            b"PROXY TCP4 ::1 ::2 1 2\r\n".to_vec(),
            b"PROXY TCP4 1.1.1.1 2.2.2.2 1 65536\r\n".to_vec(),
            b"PROXY UNKNOWN\n\r\n".to_vec(),
            [&b"PROXY UNKNOWN "[..], &[b'x'; 100]].concat(),
            binary(2, 0x11, &[0; 12]),
            binary(1, 0x11, &[0; 11]),
            binary(1, 0x41, &[0; 12]),
            binary(1, 0x11, &[0; MAX_REST + 1]),
        ] {
            assert_eq!(read(&connection).0, Said::Nonsense, "{}", connection.escape_ascii());
        }
    }
}

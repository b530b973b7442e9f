//! One process takes the place of another, and no request is lost.
//!
//! The new one (`serve --upgrade`) reads and checks everything, then waits at a Unix socket. Told by SIGQUIT, the old one
//! comes there and hands its listening sockets over. When the new one says that it serves, the old one accepts no more,
//! lets its connections run out, delivers and closes its spool, and says so; only then does the new one open the spool.
//! Until then it serves the site already, and events that come to it wait.
//!
//! Whatever fails before the new one serves changes nothing: the old one goes on. When the old one dies in the middle,
//! the connection ends, which says as much as its word.

use std::{
    fs,
    io::{self, IoSlice, IoSliceMut, Read, Write},
    mem::MaybeUninit,
    net::{SocketAddr, TcpListener},
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::net::{UnixListener, UnixStream},
    },
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::{Context, bail, ensure};
use rustix::{
    cmsg_space,
    net::{
        RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags,
        recvmsg, sendmsg, sockopt::socket_peercred,
    },
    process::getuid,
};
use serde::{Deserialize, Serialize};
use tracing::info;

use crate::{config::Config, edge::Inherited};

/// How long the new process waits for the old one, and the old one for the new one to serve.
const PATIENCE: Duration = Duration::from_secs(60);
/// Most listeners handed over: as many descriptors as one message takes (Linux: 253).
const MAX_LISTENERS: usize = 200;
/// Longest list of their addresses.
const MAX_HELLO: usize = 64 << 10;
/// The new process serves.
const SERVING: u8 = b'S';
/// The old process has closed its spool.
const RELEASED: u8 = b'R';

/// What the old process says first; the sockets come with it, in the same order.
#[derive(Serialize, Deserialize)]
struct Hello {
    version: u32,
    /// As configured.
    listeners: Vec<SocketAddr>,
}

/// Where they meet.
pub fn socket(config: &Config) -> PathBuf {
    let named = &config.server.upgrade.socket;
    if named.as_os_str().is_empty() { config.writers.spool.directory.join("upgrade.sock") } else { named.clone() }
}

/// The process whose place this one takes.
pub struct Predecessor(UnixStream);

impl Predecessor {
    /// Waits at the socket until it comes, and takes its listeners.
    pub fn meet(path: &Path) -> anyhow::Result<(Predecessor, Inherited)> {
        let listener = listen(path)?;
        let met = accept(&listener, path);
        // Nobody else is to come.
        let _ = fs::remove_file(path);
        let stream = met?;
        let inherited = receive(&stream).context("the process before this one has not handed its listeners over")?;
        Ok((Predecessor(stream), inherited))
    }

    /// Tells it that it may stop accepting.
    pub fn serving(&self) -> io::Result<()> {
        (&self.0).write_all(&[SERVING])
    }

    /// Waits until it has closed its spool, or is gone.
    pub fn released(&self) {
        // Longer than it can take; whether the spool is free says its lock.
        let _ = self.0.set_read_timeout(None);
        let _ = (&self.0).read(&mut [0]);
    }
}

/// The process that takes our place.
pub struct Successor(UnixStream);

impl Successor {
    /// Hands these listeners over; returns when the other one serves.
    ///
    /// # Errors
    /// It does not wait for us, or has ended; then nothing has changed.
    pub fn hand_over(path: &Path, listeners: &[(SocketAddr, TcpListener)]) -> anyhow::Result<Successor> {
        let stream = UnixStream::connect(path).with_context(|| {
            format!("no process waits at `{}`, hint: start it first, by `serve --upgrade`", path.display())
        })?;
        ensure_is_us(&stream)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        send(&stream, listeners)?;
        let mut word = [0];
        match (&stream).read(&mut word) {
            Ok(1) if word[0] == SERVING => Ok(Successor(stream)),
            Ok(_) => bail!("the new process has ended before it served"),
            Err(error) => Err(error).context("the new process does not serve"),
        }
    }

    /// Tells it that the spool is free.
    pub fn release(&self) {
        // If it is gone, nobody waits.
        let _ = (&self.0).write_all(&[RELEASED]);
    }
}

fn listen(path: &Path) -> anyhow::Result<UnixListener> {
    let bind = || UnixListener::bind(path);
    let bound = match bind() {
        // One that an ended process has left, unless somebody answers there.
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
            ensure!(UnixStream::connect(path).is_err(), "another process waits at `{}` already", path.display());
            fs::remove_file(path)?;
            bind()
        }
        bound => bound,
    };
    bound
        .with_context(|| format!("cannot wait at `{}`, hint: name a socket in `server.upgrade.socket`", path.display()))
}

fn accept(listener: &UnixListener, path: &Path) -> anyhow::Result<UnixStream> {
    const LOOK: Duration = Duration::from_millis(20);
    listener.set_nonblocking(true)?;
    info!(socket = %path.display(), "waiting for the process before this one; send it SIGQUIT");
    let deadline = Instant::now() + PATIENCE;
    loop {
        match listener.accept() {
            Ok((stream, _)) => {
                ensure_is_us(&stream)?;
                stream.set_nonblocking(false)?;
                stream.set_read_timeout(Some(PATIENCE))?;
                return Ok(stream);
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock && Instant::now() < deadline => {
                std::thread::sleep(LOOK);
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                bail!(
                    "no process came within {PATIENCE:?}, hint: send SIGQUIT to the running one, or start without `--upgrade`"
                )
            }
            Err(error) => return Err(error.into()),
        }
    }
}

/// Nobody else gets our listeners, and from nobody else do we take any.
fn ensure_is_us(stream: &UnixStream) -> anyhow::Result<()> {
    let peer = socket_peercred(stream)?;
    ensure!(peer.uid == getuid(), "the process at the other end belongs to another user");
    Ok(())
}

fn send(stream: &UnixStream, listeners: &[(SocketAddr, TcpListener)]) -> anyhow::Result<()> {
    ensure!(listeners.len() <= MAX_LISTENERS, "{} listeners are too many to hand over", listeners.len());
    let hello = Hello { version: 1, listeners: listeners.iter().map(|(asked, _)| *asked).collect() };
    let mut text = serde_json::to_vec(&hello)?;
    text.push(b'\n');
    let descriptors: Vec<BorrowedFd<'_>> = listeners.iter().map(|(_, listener)| listener.as_fd()).collect();
    let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(MAX_LISTENERS))];
    let mut beside = SendAncillaryBuffer::new(&mut space);
    ensure!(beside.push(SendAncillaryMessage::ScmRights(&descriptors)), "too many listeners to hand over");
    let sent = sendmsg(stream, &[IoSlice::new(&text)], &mut beside, SendFlags::empty())?;
    (&*stream).write_all(&text[sent..])?;
    Ok(())
}

fn receive(mut stream: &UnixStream) -> anyhow::Result<Inherited> {
    let mut text = vec![0; MAX_HELLO];
    let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(MAX_LISTENERS))];
    let mut beside = RecvAncillaryBuffer::new(&mut space);
    let mut length = recvmsg(stream, &mut [IoSliceMut::new(&mut text)], &mut beside, RecvFlags::CMSG_CLOEXEC)?.bytes;
    let descriptors: Vec<OwnedFd> = beside
        .drain()
        .filter_map(|message| match message {
            RecvAncillaryMessage::ScmRights(descriptors) => Some(descriptors),
            _ => None,
        })
        .flatten()
        .collect();
    while !text[..length].contains(&b'\n') {
        let read = stream.read(&mut text[length..])?;
        ensure!(read > 0, "it broke off");
        length += read;
    }
    let hello: Hello = serde_json::from_slice(&text[..length])?;
    ensure!(hello.version == 1, "it speaks version {} of the hand-over, this one 1", hello.version);
    ensure!(hello.listeners.len() == descriptors.len(), "as many sockets as addresses");
    let mut inherited = Inherited::default();
    for (asked, descriptor) in hello.listeners.into_iter().zip(descriptors) {
        inherited.add(Some(asked), TcpListener::from(descriptor))?;
    }
    Ok(inherited)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::{net::TcpStream, thread};

    use super::*;

    fn free() -> (SocketAddr, TcpListener) {
        ("127.0.0.1:0".parse().unwrap(), TcpListener::bind("127.0.0.1:0").unwrap())
    }

    #[test]
    fn listeners_go_over_and_a_word_comes_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s");
        // What an ended process has left is no hindrance.
        drop(UnixListener::bind(&path).unwrap());
        let there = path.clone();
        let old = thread::spawn(move || {
            let listeners = [free(), free()];
            let addresses: Vec<_> = listeners.iter().map(|(_, listener)| listener.local_addr().unwrap()).collect();
            let deadline = Instant::now() + PATIENCE;
            let successor = loop {
                match Successor::hand_over(&there, &listeners) {
                    Ok(successor) => break successor,
                    Err(error) => assert!(Instant::now() < deadline, "{error:#}"),
                }
                thread::sleep(Duration::from_millis(5));
            };
            drop(listeners);
            for address in addresses {
                TcpStream::connect(address).unwrap();
            }
            successor.release();
        });
        let (predecessor, inherited) = Predecessor::meet(&path).unwrap();
        assert_eq!(inherited.left().len(), 2);
        predecessor.serving().unwrap();
        predecessor.released();
        old.join().unwrap();
        assert!(!path.exists());
    }

    #[test]
    fn without_a_successor_nothing_is_handed_over() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s");
        let error = Successor::hand_over(&path, &[free()]).err().unwrap();
        assert!(error.to_string().contains("hint: start it first"), "{error:#}");
        // One that ends at once.
        let listener = UnixListener::bind(&path).unwrap();
        let ends = thread::spawn(move || drop(receive(&listener.accept().unwrap().0).unwrap()));
        let error = Successor::hand_over(&path, &[free()]).err().unwrap();
        assert!(error.to_string().contains("has ended before it served"), "{error:#}");
        ends.join().unwrap();
    }

    #[test]
    fn what_is_no_hand_over_is_refused() {
        for said in [
            &b""[..],
            b"{",
            b"{}\n",
            b"{\"version\":2,\"listeners\":[]}\n",
            b"{\"version\":1,\"listeners\":[\"127.0.0.1:1\"]}\n",
        ] {
            let (ours, mut theirs) = UnixStream::pair().unwrap();
            theirs.write_all(said).unwrap();
            drop(theirs);
            assert!(receive(&ours).is_err(), "{}", said.escape_ascii());
        }
    }
}

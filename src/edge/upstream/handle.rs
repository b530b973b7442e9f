//! A second hold on connections to upstreams, so that one whose time is over can be ended while Pingora waits for it.
//!
//! Pingora gives the reads of a connection one patience, and nobody a way to end one. So where a route has deadlines
//! the socket is duplicated as it is made, and shut down when time is over: then the read ends. The duplicate is found
//! again by the number of the descriptor, which is all that Pingora tells of a connection from its pool.

use std::{
    collections::HashMap,
    io,
    os::fd::{AsFd, AsRawFd, OwnedFd, RawFd},
    sync::{Arc, LazyLock},
};

use async_trait::async_trait;
use parking_lot::Mutex;
use pingora::{
    Error, ErrorType, OrErr, Result,
    connectors::l4::Connect,
    protocols::l4::{socket::SocketAddr, stream::Stream},
    upstreams::peer::{HttpPeer, Peer, Tracer, Tracing},
};
use rustix::net::{Shutdown, shutdown};
use tokio::net::UnixStream;

/// Of every connection that is held, by the number of Pingora's descriptor. Such numbers are the process's, and so is
/// this; an entry goes before its descriptor is closed.
static OPEN: LazyLock<Mutex<HashMap<RawFd, Arc<Handle>>>> = LazyLock::new(Mutex::default);

/// See the module.
#[derive(Debug)]
pub struct Handle(OwnedFd);

impl Handle {
    /// Duplicates a socket.
    pub fn new(socket: &impl AsFd) -> io::Result<Handle> {
        socket.as_fd().try_clone_to_owned().map(Handle)
    }

    /// Ends the connection: whoever reads from it reads its end.
    pub fn shut(&self) {
        // Fails for one that the other side has ended.
        let _ = shutdown(&self.0, Shutdown::Both);
    }

    /// Of a connection that was made to a peer that is [held](hold).
    pub fn of(descriptor: RawFd) -> Option<Arc<Handle>> {
        OPEN.lock().get(&descriptor).cloned()
    }
}

/// Has the connections held that are made to this peer.
pub fn hold(peer: &mut HttpPeer) {
    let hold = Hold::default();
    let made = hold.made.clone();
    if let SocketAddr::Unix(_) = peer.address() {
        peer.options.custom_l4 = Some(Arc::new(Local(made)));
    } else {
        peer.options.upstream_tcp_sock_tweak_hook = Some(Arc::new(move |socket| duplicate(socket, &made)));
    }
    peer.options.tracer = Some(Tracer(Box::new(hold)));
}

/// A socket that is about to be connected: the number of its descriptor and its duplicate.
type Made = Arc<Mutex<Option<(RawFd, Arc<Handle>)>>>;

fn duplicate(socket: &(impl AsFd + AsRawFd), made: &Made) -> Result<()> {
    let copy = Handle::new(socket).or_err(ErrorType::SocketError, "no descriptor is left")?;
    *made.lock() = Some((socket.as_raw_fd(), Arc::new(copy)));
    Ok(())
}

/// Lives as long as one connection; Pingora clones it for each.
#[derive(Debug, Default)]
struct Hold {
    made: Made,
    mine: Mutex<Option<(RawFd, Arc<Handle>)>>,
}

impl Tracing for Hold {
    fn on_connected(&self) {
        let Some((descriptor, handle)) = self.made.lock().take() else { return };
        OPEN.lock().insert(descriptor, handle.clone());
        *self.mine.lock() = Some((descriptor, handle));
    }

    fn on_disconnected(&self) {
        if let Some((descriptor, _)) = self.mine.lock().take() {
            OPEN.lock().remove(&descriptor);
        }
    }

    fn boxed_clone(&self) -> Box<dyn Tracing> {
        Box::new(Hold { made: self.made.clone(), mine: Mutex::default() })
    }
}

/// Connects to sockets on this machine, for which Pingora has no hook.
#[derive(Debug)]
struct Local(Made);

#[async_trait]
impl Connect for Local {
    async fn connect(&self, at: &SocketAddr) -> Result<Stream> {
        let path = at.as_unix().and_then(|at| at.as_pathname());
        let path = path.ok_or_else(|| Error::explain(ErrorType::ConnectError, "the socket has no path"))?;
        let stream = UnixStream::connect(path).await.or_err(ErrorType::ConnectError, "cannot connect to a socket")?;
        duplicate(&stream, &self.0)?;
        Ok(stream.into())
    }
}

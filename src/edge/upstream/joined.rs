//! Connections to upstreams that are read while they are written to: those that become WebSockets, each of which is one
//! side of a [`Duplex`], and those of long requests, each of which takes an [`Upload`].

use std::{
    io,
    os::fd::AsFd,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use async_trait::async_trait;
use pingora::{
    Error, ErrorType, OrErr, Result,
    connectors::l4::Connect,
    protocols::l4::{
        ext,
        socket::SocketAddr,
        stream::Stream,
        virt::{VirtualSockOpt, VirtualSocket, VirtualSocketStream},
    },
    upstreams::peer::HttpPeer,
};
use socket2::SockRef;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    time::timeout,
};

use super::{
    super::{
        duplex::{Duplex, End, Side},
        upload::Upload,
    },
    handle::Handle,
};

/// Bytes of a long request that the system may keep beside those on their way.
const UNSENT: u32 = 32 << 10;

/// What a connection is made for.
#[derive(Clone, Debug)]
pub enum Purpose {
    /// To be the site's side of a WebSocket, which may take nothing for that long.
    Duplex(Arc<Duplex>, Duration),
    /// To take a long request.
    Upload(Arc<Upload>),
}

/// Has the connection that is made to this peer serve that. Where `is_held`, a second hold on it is kept there.
pub fn join(peer: &mut HttpPeer, purpose: Purpose, connect: Duration, is_held: bool) {
    peer.options.custom_l4 = Some(Arc::new(Join { purpose, connect, is_held }));
}

#[derive(Debug)]
struct Join {
    purpose: Purpose,
    connect: Duration,
    is_held: bool,
}

#[async_trait]
impl Connect for Join {
    async fn connect(&self, at: &SocketAddr) -> Result<Stream> {
        let connect = async {
            match at {
                SocketAddr::Inet(at) => self.joined(ext::connect(at, None).await?),
                SocketAddr::Unix(at) => {
                    let path = at.as_pathname();
                    let path = path.ok_or_else(|| Error::explain(ErrorType::ConnectError, "the socket has no path"))?;
                    self.joined(ext::connect_uds(path).await?)
                }
            }
        };
        let connected = timeout(self.connect, connect).await;
        connected.map_err(|_| Error::explain(ErrorType::ConnectTimedout, format!("no connection to {at} in time")))?
    }
}

impl Join {
    fn joined<S: Socket>(&self, socket: S) -> Result<Stream> {
        let handle = self.is_held.then(|| Handle::new(&socket)).transpose();
        let handle = handle.or_err(ErrorType::SocketError, "no descriptor is left")?;
        Ok(match &self.purpose {
            Purpose::Duplex(duplex, patience) => {
                if let Some(handle) = handle {
                    duplex.hold(Arc::new(handle));
                }
                let end = End::new(Side::Site, duplex.clone(), *patience);
                VirtualSocketStream::new(Box::new(Joined { socket, end })).into()
            }
            Purpose::Upload(upload) => {
                socket.set_nodelay().or_err(ErrorType::SocketError, "cannot set up a connection")?;
                socket.keep_little();
                upload.connected(socket, handle);
                VirtualSocketStream::new(Box::new(Fed(upload.clone()))).into()
            }
        })
    }
}

/// What systems connect by.
trait Socket: AsyncRead + AsyncWrite + AsFd + Unpin + Send + Sync + std::fmt::Debug + 'static {
    fn set_nodelay(&self) -> io::Result<()> {
        Ok(())
    }

    /// Has the system take no more than it can send soon. It would take megabytes, and then nobody knows that a slow
    /// site has yet to get them.
    fn keep_little(&self) {}
}

impl Socket for TcpStream {
    fn set_nodelay(&self) -> io::Result<()> {
        TcpStream::set_nodelay(self, true)
    }

    fn keep_little(&self) {
        if let Err(error) = SockRef::from(self).set_tcp_notsent_lowat(UNSENT) {
            tracing::debug!(%error, "a slow site may be thought to have what it has not");
        }
    }
}

impl Socket for tokio::net::UnixStream {}

#[derive(Debug)]
struct Joined<S> {
    socket: S,
    end: End,
}

impl<S: Socket> VirtualSocket for Joined<S> {
    fn set_socket_option(&self, option: VirtualSockOpt) -> io::Result<()> {
        match option {
            VirtualSockOpt::NoDelay => self.socket.set_nodelay(),
            // No peer asks for another.
            _ => Ok(()),
        }
    }
}

impl<S: Socket> AsyncRead for Joined<S> {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let Joined { socket, end } = &mut *self;
        end.poll_read(socket, context, buf)
    }
}

impl<S: Socket> AsyncWrite for Joined<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, piece: &[u8]) -> Poll<io::Result<usize>> {
        let Joined { socket, end } = &mut *self;
        end.poll_write(socket, context, piece)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Joined { socket, end } = &mut *self;
        end.poll_flush(socket, context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Joined { socket, end } = &mut *self;
        ready!(end.poll_drain(socket, context));
        Pin::new(socket).poll_shutdown(context)
    }
}

/// Pingora's hold on the connection of an [`Upload`].
#[derive(Debug)]
struct Fed(Arc<Upload>);

impl VirtualSocket for Fed {
    fn set_socket_option(&self, _: VirtualSockOpt) -> io::Result<()> {
        // Done before.
        Ok(())
    }
}

impl AsyncRead for Fed {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.0.poll_read(context, buf)
    }
}

impl AsyncWrite for Fed {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, piece: &[u8]) -> Poll<io::Result<usize>> {
        self.0.poll_write(context, piece)
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        // The end itself follows what waits.
        self.0.poll_flush(context)
    }
}

impl Drop for Fed {
    fn drop(&mut self) {
        self.0.leave();
    }
}

//! Sockets that listen already: passed by a service manager, or by the process whose place this one takes.

use std::{
    io,
    net::{SocketAddr, TcpListener},
};

use super::BindError;

/// See the module.
#[derive(Debug, Default)]
pub struct Inherited(Vec<Socket>);

/// One of them.
#[derive(Debug)]
struct Socket {
    /// As it was asked for: its port may be 0, and then it stands for a free one.
    asked: SocketAddr,
    listener: TcpListener,
}

impl Inherited {
    /// Adds one. `asked` is how its owner before wrote its address, where there was one.
    ///
    /// # Errors
    /// It is no listening socket.
    pub fn add(&mut self, asked: Option<SocketAddr>, listener: TcpListener) -> io::Result<()> {
        let address = listener.local_addr()?;
        self.0.push(Socket { asked: asked.unwrap_or(address), listener });
        Ok(())
    }

    /// Addresses of those that nobody has taken.
    pub fn left(&self) -> Vec<SocketAddr> {
        self.0.iter().map(|socket| socket.asked).collect()
    }

    /// The socket for this address: one that is there, else a new one.
    pub(super) fn listen(&mut self, listener: &'static str, address: SocketAddr) -> Result<Bound, BindError> {
        let known = self.0.iter().position(|socket| socket.asked == address);
        let mut bind = || {
            let socket = match known {
                Some(index) => self.0.remove(index).listener,
                None => TcpListener::bind(address)?,
            };
            socket.set_nonblocking(true)?;
            Ok(Bound { asked: address, address: socket.local_addr()?, socket })
        };
        bind().map_err(|source| BindError::Listen { listener, address, source })
    }
}

/// A socket with its address in the configuration and its real one.
pub struct Bound {
    /// In the configuration.
    pub asked: SocketAddr,
    /// With a port.
    pub address: SocketAddr,
    /// That.
    pub socket: TcpListener,
}

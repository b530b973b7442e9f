//! A wire between two sides, with the faults that wires have.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use parking_lot::Mutex;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream, tcp::OwnedReadHalf, tcp::OwnedWriteHalf},
    sync::watch,
    task::AbortHandle,
};

/// What the wire does with bytes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Mode {
    /// Carries them.
    Pass,
    /// Swallows them: nobody hears anything, and nobody is told.
    BlackHole,
}

/// The wire.
pub struct Proxy {
    pub addr: SocketAddr,
    mode: watch::Sender<Mode>,
    connections: Arc<Mutex<Vec<AbortHandle>>>,
    swallowed: Arc<AtomicUsize>,
}

impl Proxy {
    pub async fn to(target: SocketAddr) -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let (mode, modes) = watch::channel(Mode::Pass);
        let connections = Arc::new(Mutex::new(Vec::new()));
        let kept = connections.clone();
        let swallowed = Arc::new(AtomicUsize::new(0));
        let count = swallowed.clone();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let Ok(server) = TcpStream::connect(target).await else { continue };
                // Dropped unread, a socket is closed by a reset.
                let _ = client.set_zero_linger();
                let (from_client, to_client) = client.into_split();
                let (from_server, to_server) = server.into_split();
                let (modes, count) = (modes.clone(), count.clone());
                let both = tokio::spawn(async move {
                    let back = AtomicUsize::new(0);
                    tokio::select! {
                        () = carry(from_client, to_server, modes.clone(), &count) => {}
                        () = carry(from_server, to_client, modes, &back) => {}
                    }
                });
                kept.lock().push(both.abort_handle());
            }
        });
        Proxy { addr, mode, connections, swallowed }
    }

    pub fn set(&self, mode: Mode) {
        self.mode.send_replace(mode);
    }

    /// Pieces from clients that were swallowed.
    pub fn swallowed(&self) -> usize {
        self.swallowed.load(Ordering::SeqCst)
    }

    /// Resets every connection.
    pub fn reset(&self) {
        for connection in self.connections.lock().drain(..) {
            connection.abort();
        }
    }
}

async fn carry(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, modes: watch::Receiver<Mode>, count: &AtomicUsize) {
    // What a connection falls into it stays in, as packets that were lost do.
    let mut swallowed = false;
    let mut buffer = vec![0; 16 << 10];
    while let Ok(read @ 1..) = from.read(&mut buffer).await {
        if *modes.borrow() == Mode::BlackHole {
            swallowed = true;
            count.fetch_add(1, Ordering::SeqCst);
        }
        if !swallowed && to.write_all(&buffer[..read]).await.is_err() {
            return;
        }
    }
    if swallowed {
        std::future::pending::<()>().await;
    }
}

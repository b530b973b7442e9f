//! The two sides of a connection that becomes a WebSocket, neither of which waits for the other.
//!
//! Pingora reads from a site and writes to it by turns: while it writes to one that takes nothing, it reads nothing from
//! it either, and the same with the client. A site that echoes and a client that goes on sending then wait for each
//! other for ever, and when one of them breaks off, all is lost that Pingora has not read by then. So a write to
//! either side is over at once: what its system does not take waits here, and as long as much does, nothing is read from
//! the other side.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::{Buf, BytesMut};
use futures_util::task::AtomicWaker;
use parking_lot::Mutex;
use pingora::protocols::Stream;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf},
    time::{Sleep, sleep, timeout},
};

use super::{tuning::Tuning, upstream::Handle};

/// Bytes that may wait for a side before nothing is read from the other; a few pieces of Pingora's come on top, which
/// are on their way by then.
const ENOUGH: usize = 64 << 10;

/// Where an [`End`] leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// To who asks.
    Client,
    /// To the upstream.
    Site,
}

/// What the sides of one connection know of each other.
#[derive(Debug, Default)]
pub struct Duplex {
    client: Way,
    site: Way,
    /// The client's connection and what waits for it, when the request is over.
    rest: Mutex<Option<(Stream, BytesMut)>>,
    /// A second hold on the site's.
    handle: Mutex<Option<Arc<Handle>>>,
}

/// That to one side.
#[derive(Debug, Default)]
struct Way {
    /// Whether there is an end that leads there, and heeds what waits for the other.
    open: AtomicBool,
    waiting: AtomicUsize,
    /// Who reads from the other side.
    reader: AtomicWaker,
}

impl Duplex {
    /// Keeps a second hold on the site's connection.
    pub fn hold(&self, handle: Arc<Handle>) {
        *self.handle.lock() = Some(handle);
    }

    /// The second hold on the site's connection, if there is one.
    pub fn handle(&self) -> Option<Arc<Handle>> {
        self.handle.lock().clone()
    }

    /// The client's side is over for Pingora.
    pub fn leave(&self, stream: Stream, waiting: BytesMut) {
        *self.rest.lock() = Some((stream, waiting));
    }

    /// Writes what waits for the client and ends its connection. It may still be sending: what comes is taken for a
    /// moment, or its system would throw away what it has not read.
    pub async fn part(&self, tuning: &Tuning) {
        let Some((mut stream, mut waiting)) = self.rest.lock().take() else { return };
        let write = async {
            while !waiting.is_empty() {
                // Each piece has its time, as before.
                let written = timeout(tuning.downstream_write, stream.write(&waiting)).await??;
                waiting.advance(written.max(1));
            }
            timeout(tuning.downstream_write, stream.flush()).await??;
            timeout(tuning.answer, AsyncWriteExt::shutdown(&mut stream)).await?
        };
        // A client that is gone needs no goodbye.
        if write.await.is_err() {
            return;
        }
        let mut piece = vec![0; 16 << 10];
        let drain = async {
            let mut taken = 0;
            while taken < tuning.linger_bytes {
                match stream.read(&mut piece).await {
                    Ok(read @ 1..) => taken += read,
                    _ => break,
                }
            }
        };
        // Whether the end or the bound came first, the connection is closed next.
        let _ = timeout(tuning.linger, drain).await;
    }

    fn way(&self, side: Side) -> &Way {
        match side {
            Side::Client => &self.client,
            Side::Site => &self.site,
        }
    }
}

/// What leads to one side, beside the connection itself.
#[derive(Debug)]
pub struct End {
    side: Side,
    duplex: Arc<Duplex>,
    waiting: BytesMut,
    /// Whether the connection has more to send than it has been given.
    unflushed: bool,
    /// How long the side may take nothing of what waits.
    patience: Duration,
    clock: Option<Pin<Box<Sleep>>>,
    /// Why nothing more is written.
    deaf: Option<io::ErrorKind>,
}

impl End {
    /// To that side.
    pub fn new(side: Side, duplex: Arc<Duplex>, patience: Duration) -> End {
        duplex.way(side).waiting.store(0, Ordering::Relaxed);
        duplex.way(side).open.store(true, Ordering::Relaxed);
        End { side, duplex, waiting: BytesMut::new(), unflushed: false, patience, clock: None, deaf: None }
    }

    /// Both sides of the connection.
    pub fn duplex(&self) -> &Arc<Duplex> {
        &self.duplex
    }

    /// What waits, which is somebody else's from now on.
    pub fn take(&mut self) -> BytesMut {
        std::mem::take(&mut self.waiting)
    }

    /// Takes all of `piece`, unless the other side does not heed how much waits, or is gone.
    pub fn poll_write(
        &mut self,
        inner: &mut (impl AsyncWrite + Unpin),
        context: &mut Context<'_>,
        piece: &[u8],
    ) -> Poll<io::Result<usize>> {
        let drained = self.poll_drain(inner, context);
        if !self.is_joined() {
            ready!(drained);
            self.unflushed = true;
            return Pin::new(inner).poll_write(context, piece);
        }
        match (self.deaf, self.side) {
            // What the site has sent before is still to be read; then its connection's end will be.
            (Some(_), Side::Site) => return Poll::Ready(Ok(piece.len())),
            (Some(why), Side::Client) => return Poll::Ready(Err(why.into())),
            (None, _) => {}
        }
        let written = match self.waiting.is_empty().then(|| Pin::new(&mut *inner).poll_write(context, piece)) {
            Some(Poll::Ready(Ok(written))) => written,
            Some(Poll::Ready(Err(error))) => {
                self.give_up(error.kind());
                return self.poll_write(inner, context, piece);
            }
            Some(Poll::Pending) | None => 0,
        };
        self.unflushed = true;
        self.waiting.extend_from_slice(&piece[written..]);
        self.tell();
        // Sees to it that somebody is woken.
        let _ = self.poll_drain(inner, context);
        Poll::Ready(Ok(piece.len()))
    }

    /// Reads, if not too much waits for the other side; writes meanwhile.
    pub fn poll_read(
        &mut self,
        inner: &mut (impl AsyncRead + AsyncWrite + Unpin),
        context: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let _ = self.poll_drain(inner, context);
        if self.deaf == Some(io::ErrorKind::TimedOut) {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        let other = self.other();
        if other.open.load(Ordering::Relaxed) && other.waiting.load(Ordering::Acquire) > ENOUGH {
            other.reader.register(context.waker());
            if other.waiting.load(Ordering::Acquire) > ENOUGH {
                return Poll::Pending;
            }
        }
        Pin::new(inner).poll_read(context, buf)
    }

    /// Does not wait either.
    pub fn poll_flush(
        &mut self,
        inner: &mut (impl AsyncWrite + Unpin),
        context: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        let drained = self.poll_drain(inner, context);
        if !self.is_joined() {
            ready!(drained);
        }
        Poll::Ready(Ok(()))
    }

    /// Writes what waits, until there is none or no use in it.
    pub fn poll_drain(&mut self, inner: &mut (impl AsyncWrite + Unpin), context: &mut Context<'_>) -> Poll<()> {
        loop {
            let step = match (self.waiting.is_empty(), self.unflushed) {
                (false, _) => Pin::new(&mut *inner).poll_write(context, &self.waiting),
                (true, true) => Pin::new(&mut *inner).poll_flush(context).map_ok(|()| 0),
                (true, false) => return Poll::Ready(()),
            };
            match step {
                Poll::Ready(Ok(0)) if self.waiting.is_empty() => self.unflushed = false,
                Poll::Ready(Ok(0)) => self.give_up(io::ErrorKind::WriteZero),
                Poll::Ready(Ok(written)) => self.waiting.advance(written),
                Poll::Ready(Err(error)) => self.give_up(error.kind()),
                Poll::Pending => {
                    let clock = self.clock.get_or_insert_with(|| Box::pin(sleep(self.patience)));
                    ready!(clock.as_mut().poll(context));
                    self.give_up(io::ErrorKind::TimedOut);
                }
            }
            self.clock = None;
            self.tell();
        }
    }

    fn give_up(&mut self, why: io::ErrorKind) {
        self.deaf = Some(why);
        self.waiting.clear();
        self.unflushed = false;
        self.tell();
    }

    /// Whether somebody heeds what waits here.
    fn is_joined(&self) -> bool {
        self.other().open.load(Ordering::Relaxed)
    }

    fn other(&self) -> &Way {
        self.duplex.way(if self.side == Side::Site { Side::Client } else { Side::Site })
    }

    fn tell(&self) {
        let way = self.duplex.way(self.side);
        way.waiting.store(self.waiting.len(), Ordering::Release);
        if self.waiting.len() <= ENOUGH {
            way.reader.wake();
        }
    }
}

impl Drop for End {
    fn drop(&mut self) {
        let way = self.duplex.way(self.side);
        way.open.store(false, Ordering::Relaxed);
        way.waiting.store(0, Ordering::Release);
        way.reader.wake();
    }
}

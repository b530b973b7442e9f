//! A connection as one request sees it: from the request's first byte to its last.

use std::{
    io,
    mem::MaybeUninit,
    os::fd::RawFd,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use async_trait::async_trait;
use bytes::BytesMut;
use parking_lot::Mutex;
use pingora::protocols::{
    ALPN, GetProxyDigest, GetSocketDigest, GetTimingDigest, Peek, Shutdown, SocketDigest, Ssl, Stream, TimingDigest,
    UniqueID, UniqueIDType, raw_connect::ProxyDigest, tls::SslDigest,
};
use rustix::{
    net::sockopt::set_socket_linger,
    process::{PidfdFlags, PidfdGetfdFlags, getpid, pidfd_getfd, pidfd_open},
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::{
    duplex::{Duplex, End},
    extent::Extent,
    upload::Upload,
};

/// Bytes kept of the requests behind it; more wait in the system.
const MAX_AHEAD: usize = 64 << 10;

/// See the module. What is written passes.
#[derive(Debug)]
pub struct Single {
    /// There until it is taken by [`Single::into_parts`] or on the drop.
    inner: Option<Stream>,
    extent: Extent,
    /// Of a connection that may become a WebSocket.
    end: Option<End>,
    /// Whether the client must not take the end of the connection for that of the answer.
    is_broken_off: AtomicBool,
    /// Where a long body goes.
    upload: Mutex<Option<Arc<Upload>>>,
    /// What was read beyond the request.
    ahead: BytesMut,
}

impl Single {
    /// For a request of which this is left to read; with an `end`, the connection is left to its [`Duplex`] afterwards.
    pub fn new(inner: Stream, extent: Extent, end: Option<End>) -> Single {
        let (is_broken_off, upload, ahead) = (AtomicBool::new(false), Mutex::default(), BytesMut::new());
        Single { inner: Some(inner), extent, end, is_broken_off, upload, ahead }
    }

    /// Both sides of a connection that may become a WebSocket.
    pub fn duplex(&self) -> Option<&Arc<Duplex>> {
        self.end.as_ref().map(End::duplex)
    }

    /// Takes no more of the body than goes there, from now on.
    pub fn heed(&self, upload: Arc<Upload>) {
        *self.upload.lock() = Some(upload);
    }

    /// The answer will lack its end, which nothing but that of the connection would have told.
    ///
    /// Over TLS there is no goodbye then (RFC 8446, 6.1), without it a reset.
    pub fn break_off(&self) {
        self.is_broken_off.store(true, Relaxed);
        let inner = self.inner();
        if inner.get_ssl_digest().is_none()
            && let Err(error) = reset_at_end(inner.id())
        {
            tracing::debug!(%error, "an answer that was broken off looks whole to its client");
        }
    }

    /// Whether nothing of the request is left to read.
    pub fn is_whole(&self) -> bool {
        self.extent.is_over()
    }

    /// The connection and what has been read of the next request; `None` when nobody knows where that begins.
    pub fn into_parts(mut self) -> Option<(Stream, BytesMut)> {
        let is_over = self.extent.is_over();
        self.inner.take_if(|_| is_over).map(|inner| (inner, std::mem::take(&mut self.ahead)))
    }

    fn inner(&self) -> &Stream {
        self.inner.as_ref().expect("taken only at the end")
    }

    fn parts(&mut self) -> (&mut Stream, &mut Option<End>) {
        (self.inner.as_mut().expect("taken only at the end"), &mut self.end)
    }

    /// Whoever reads on behind the request wants to know whether the client is still there.
    fn poll_beyond(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        // Asked for each request once or twice, and hardly ever filled: not worth zeroing.
        let mut piece = [const { MaybeUninit::uninit() }; 4096];
        while self.ahead.len() < MAX_AHEAD {
            let mut buf = ReadBuf::uninit(&mut piece);
            ready!(Pin::new(self.parts().0).poll_read(context, &mut buf))?;
            if buf.filled().is_empty() {
                return Poll::Ready(Ok(()));
            }
            self.ahead.extend_from_slice(buf.filled());
        }
        // Nobody is woken for more: it is read when the next request's turn has come.
        Poll::Pending
    }
}

impl AsyncRead for Single {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.extent.is_over() {
            return self.poll_beyond(context);
        }
        let this = &mut *self;
        if let Some(upload) = this.upload.get_mut() {
            ready!(upload.poll_room(context));
        }
        let before = buf.filled().len();
        ready!(match this.parts() {
            (inner, Some(end)) => end.poll_read(inner, context, buf),
            (inner, None) => Pin::new(inner).poll_read(context, buf),
        })?;
        let read = &buf.filled()[before..];
        let own = this.extent.take(read);
        if this.extent == Extent::Broken {
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, "the body's chunks can be misread")));
        }
        this.ahead.extend_from_slice(&read[own..]);
        buf.set_filled(before + own);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Single {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match self.parts() {
            (inner, Some(end)) => end.poll_write(inner, context, buf),
            (inner, None) => Pin::new(inner).poll_write(context, buf),
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.parts() {
            (inner, Some(end)) => {
                let piece = bufs.iter().find(|piece| !piece.is_empty()).map_or(&[][..], |piece| piece);
                end.poll_write(inner, context, piece)
            }
            (inner, None) => Pin::new(inner).poll_write_vectored(context, bufs),
        }
    }

    fn is_write_vectored(&self) -> bool {
        self.inner().is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.parts() {
            (inner, Some(end)) => end.poll_flush(inner, context),
            (inner, None) => Pin::new(inner).poll_flush(context),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.is_broken_off.load(Relaxed) {
            return Poll::Ready(Ok(()));
        }
        match self.parts() {
            // Pingora need not wait for that.
            (_, Some(_)) => Poll::Ready(Ok(())),
            (inner, None) => Pin::new(inner).poll_shutdown(context),
        }
    }
}

impl Drop for Single {
    fn drop(&mut self) {
        // One that was broken off has no orderly end.
        if let (Some(inner), Some(end), false) = (self.inner.take(), &mut self.end, self.is_broken_off.load(Relaxed)) {
            let waiting = end.take();
            end.duplex().leave(inner, waiting);
        }
    }
}

/// Has the connection reset when it is closed. Pingora tells the number of its descriptor and does not lend it, so the
/// system is asked for a second one; where it gives none (some containers forbid that), nothing changes.
fn reset_at_end(descriptor: RawFd) -> io::Result<()> {
    let own = pidfd_open(getpid(), PidfdFlags::empty())?;
    let socket = pidfd_getfd(own, descriptor, PidfdGetfdFlags::empty())?;
    Ok(set_socket_linger(socket, Some(Duration::ZERO))?)
}

#[async_trait]
impl Shutdown for Single {
    async fn shutdown(&mut self) {
        let is_broken_off = self.is_broken_off.load(Relaxed);
        if let (inner, None) = self.parts()
            && !is_broken_off
        {
            inner.shutdown().await;
        }
    }
}

#[async_trait]
impl Peek for Single {
    /// Peeking is for the protocol of a fresh connection, which is known by now.
    async fn try_peek(&mut self, _: &mut [u8]) -> io::Result<bool> {
        Ok(false)
    }
}

impl UniqueID for Single {
    fn id(&self) -> UniqueIDType {
        self.inner().id()
    }
}

impl Ssl for Single {
    fn get_ssl_digest(&self) -> Option<Arc<SslDigest>> {
        self.inner().get_ssl_digest()
    }

    fn selected_alpn_proto(&self) -> Option<ALPN> {
        self.inner().selected_alpn_proto()
    }
}

impl GetTimingDigest for Single {
    fn get_timing_digest(&self) -> Vec<Option<TimingDigest>> {
        self.inner().get_timing_digest()
    }

    fn get_read_pending_time(&self) -> std::time::Duration {
        self.inner().get_read_pending_time()
    }

    fn get_write_pending_time(&self) -> std::time::Duration {
        self.inner().get_write_pending_time()
    }
}

impl GetProxyDigest for Single {
    fn get_proxy_digest(&self) -> Option<Arc<ProxyDigest>> {
        self.inner().get_proxy_digest()
    }
}

impl GetSocketDigest for Single {
    fn get_socket_digest(&self) -> Option<Arc<SocketDigest>> {
        self.inner().get_socket_digest()
    }
}

//! A connection that Pingora takes for one of its own, whose protocol is known by now: decrypted, or plain HTTP/2.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use async_trait::async_trait;
use bytes::{Buf, BytesMut};
use pingora::{
    protocols::{
        ALPN, GetProxyDigest, GetSocketDigest, GetTimingDigest, Peek, Shutdown, SocketDigest, Ssl, Stream,
        TimingDigest, UniqueID, UniqueIDType, raw_connect::ProxyDigest, tls::SslDigest,
    },
    time::timeout,
};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio_rustls::server::TlsStream;

use super::client::ClientCertificate;

/// For telling a client that this was all; one that does not take it loses nothing.
const GOODBYE: Duration = Duration::from_secs(1);

/// The transport below.
#[derive(Debug)]
enum Inner {
    Tls(Box<TlsStream<Stream>>),
    Plain(Stream),
}

/// See the module.
#[derive(Debug)]
pub struct Spoken {
    inner: Inner,
    /// What was read before.
    first: BytesMut,
    protocol: ALPN,
    tls: Option<Arc<SslDigest>>,
}

impl Spoken {
    /// What the two sides have agreed on.
    pub fn tls(stream: TlsStream<Stream>) -> Spoken {
        let (_, session) = stream.get_ref();
        let protocol = if session.alpn_protocol() == Some(b"h2") { ALPN::H2 } else { ALPN::H1 };
        let version = match session.protocol_version() {
            Some(rustls::ProtocolVersion::TLSv1_3) => "TLSv1.3",
            _ => "TLSv1.2",
        };
        let cipher = session.negotiated_cipher_suite().and_then(|suite| suite.suite().as_str()).unwrap_or("");
        let certificate = session.peer_certificates().and_then(|chain| ClientCertificate::read(chain.first()?));
        let digest = ClientCertificate::digest(certificate.as_ref(), cipher, version);
        Spoken { inner: Inner::Tls(Box::new(stream)), first: BytesMut::new(), protocol, tls: Some(Arc::new(digest)) }
    }

    /// HTTP/2 that began with these bytes, without TLS.
    pub fn h2c(stream: Stream, first: BytesMut) -> Spoken {
        Spoken { inner: Inner::Plain(stream), first, protocol: ALPN::H2, tls: None }
    }

    fn transport(&self) -> &Stream {
        match &self.inner {
            Inner::Tls(stream) => stream.get_ref().0,
            Inner::Plain(stream) => stream,
        }
    }
}

/// Calls the same method of whatever is below.
macro_rules! below {
    ($this:expr, $method:ident, $($argument:expr),*) => {
        match &mut $this.inner {
            Inner::Tls(stream) => Pin::new(stream.as_mut()).$method($($argument),*),
            Inner::Plain(stream) => Pin::new(stream).$method($($argument),*),
        }
    };
}

impl AsyncRead for Spoken {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if !self.first.is_empty() {
            let length = self.first.len().min(buf.remaining());
            buf.put_slice(&self.first[..length]);
            self.first.advance(length);
            return Poll::Ready(Ok(()));
        }
        below!(self, poll_read, context, buf)
    }
}

impl AsyncWrite for Spoken {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        below!(self, poll_write, context, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        below!(self, poll_write_vectored, context, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        match &self.inner {
            Inner::Tls(stream) => stream.is_write_vectored(),
            Inner::Plain(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        below!(self, poll_flush, context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        below!(self, poll_shutdown, context)
    }
}

#[async_trait]
impl Shutdown for Spoken {
    async fn shutdown(&mut self) {
        // Whoever is gone, or takes nothing any more, needs no goodbye.
        let _ = timeout(GOODBYE, AsyncWriteExt::shutdown(self)).await;
    }
}

#[async_trait]
impl Peek for Spoken {
    /// Peeking is for the protocol of a fresh connection, which is known by now.
    async fn try_peek(&mut self, _: &mut [u8]) -> io::Result<bool> {
        Ok(false)
    }
}

impl UniqueID for Spoken {
    fn id(&self) -> UniqueIDType {
        self.transport().id()
    }
}

impl Ssl for Spoken {
    fn get_ssl_digest(&self) -> Option<Arc<SslDigest>> {
        self.tls.clone()
    }

    fn selected_alpn_proto(&self) -> Option<ALPN> {
        Some(self.protocol.clone())
    }
}

impl GetTimingDigest for Spoken {
    fn get_timing_digest(&self) -> Vec<Option<TimingDigest>> {
        self.transport().get_timing_digest()
    }
}

impl GetProxyDigest for Spoken {
    fn get_proxy_digest(&self) -> Option<Arc<ProxyDigest>> {
        self.transport().get_proxy_digest()
    }
}

impl GetSocketDigest for Spoken {
    fn get_socket_digest(&self) -> Option<Arc<SocketDigest>> {
        self.transport().get_socket_digest()
    }
}

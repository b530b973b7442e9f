//! A connection that gathers what is written to it: HTTP/2 flushes after every frame of data, which are of 16 KiB, and a
//! system call for each of them costs more than to copy it once.
//!
//! A flush right after a large piece is put off, for more pieces are likely to follow it at once. What is held back goes when
//! there is no room for more, at the next flush that follows no large piece, or at the next read; and the task that flushed
//! is woken for one, so that nothing waits for longer than one turn of the scheduler. A small piece alone goes at once.
//!
//! Reading, writing and flushing is for one task, as it is with HTTP/2: it is the one that is woken.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll, ready},
};

use http::Uri;
use hyper_util::{client::legacy::connect::HttpConnector, rt::TokioIo};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};
use tonic::codegen::{BoxFuture, Service, StdError};

/// Bytes held back at most: eight frames.
const ROOM: usize = 8 * (FRAME + 9);
/// Payload of a full frame of data, unless the server allows larger ones.
const FRAME: usize = 16 << 10;
/// A piece of this size is probably not the last one: a frame is full because there was more.
const LARGE: usize = FRAME / 2;

/// Connects to servers by TCP, gathering.
#[derive(Clone)]
pub struct Connector(pub HttpConnector);

impl Service<Uri> for Connector {
    type Response = TokioIo<Gather<TcpStream>>;
    type Error = StdError;
    type Future = BoxFuture<Self::Response, StdError>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), StdError>> {
        self.0.poll_ready(context).map_err(Into::into)
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let connecting = self.0.call(uri);
        Box::pin(async move { Ok(TokioIo::new(Gather::new(connecting.await?.into_inner()))) })
    }
}

/// See the module.
pub struct Gather<S> {
    stream: S,
    /// What was written here and not to the stream yet, behind `sent` bytes that were.
    held: Vec<u8>,
    sent: usize,
    /// Bytes written since the last flush.
    fresh: usize,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Gather<S> {
    /// Before `stream`.
    pub fn new(stream: S) -> Gather<S> {
        Gather { stream, held: Vec::new(), sent: 0, fresh: 0 }
    }

    /// Writes what is held back.
    fn poll_send(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.sent < self.held.len() {
            match ready!(Pin::new(&mut self.stream).poll_write(context, &self.held[self.sent..]))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                n => self.sent += n,
            }
        }
        self.held.clear();
        self.sent = 0;
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Gather<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        // Pending or not, what the server says may be read.
        if let Poll::Ready(Err(error)) = self.poll_send(context) {
            return Poll::Ready(Err(error));
        }
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Gather<S> {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(context, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let size = pieces.iter().map(|piece| piece.len()).sum::<usize>();
        if self.held.len() + size > ROOM {
            ready!(self.poll_send(context))?;
            if size > ROOM {
                return Pin::new(&mut self.stream).poll_write_vectored(context, pieces);
            }
        }
        pieces.iter().for_each(|piece| self.held.extend_from_slice(piece));
        self.fresh += size;
        Poll::Ready(Ok(size))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if std::mem::take(&mut self.fresh) >= LARGE {
            context.waker().wake_by_ref();
            return Poll::Ready(Ok(()));
        }
        ready!(self.poll_send(context))?;
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_send(context))?;
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::{
        sync::{
            Arc,
            atomic::{AtomicUsize, Ordering},
        },
        task::Wake,
    };

    use proptest::prelude::*;

    use super::*;

    /// Takes so many bytes, then none until it is given room.
    #[derive(Default)]
    struct Socket {
        room: usize,
        writes: Vec<Vec<u8>>,
        closed: bool,
        broken: bool,
    }

    impl Socket {
        fn taken(&self) -> Vec<u8> {
            self.writes.concat()
        }
    }

    impl AsyncRead for Socket {
        fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, _: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
            Poll::Pending
        }
    }

    impl AsyncWrite for Socket {
        fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
            if self.broken {
                return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
            }
            let taken = bytes.len().min(self.room);
            if taken == 0 {
                return Poll::Pending;
            }
            self.room -= taken;
            self.writes.push(bytes[..taken].to_vec());
            Poll::Ready(Ok(taken))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            self.closed = true;
            Poll::Ready(Ok(()))
        }
    }

    #[derive(Default)]
    struct Woken(AtomicUsize);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    struct Driven {
        gather: Gather<Socket>,
        woken: Arc<Woken>,
    }

    impl Driven {
        fn new(room: usize) -> Driven {
            Driven { gather: Gather::new(Socket { room, ..Socket::default() }), woken: Arc::default() }
        }

        fn with<T>(&mut self, act: impl FnOnce(Pin<&mut Gather<Socket>>, &mut Context<'_>) -> T) -> T {
            let waker = self.woken.clone().into();
            act(Pin::new(&mut self.gather), &mut Context::from_waker(&waker))
        }

        fn write(&mut self, bytes: &[u8]) -> Poll<usize> {
            self.with(|gather, context| gather.poll_write(context, bytes)).map(Result::unwrap)
        }

        fn flush(&mut self) -> Poll<()> {
            self.with(|gather, context| gather.poll_flush(context)).map(Result::unwrap)
        }

        fn read(&mut self) -> Poll<io::Result<()>> {
            self.with(|gather, context| gather.poll_read(context, &mut ReadBuf::new(&mut [0; 8])))
        }

        fn woken(&self) -> usize {
            self.woken.0.load(Ordering::Relaxed)
        }

        fn writes(&self) -> Vec<usize> {
            self.gather.stream.writes.iter().map(Vec::len).collect()
        }
    }

    #[test]
    fn a_small_piece_goes_at_once() {
        let mut driven = Driven::new(usize::MAX);
        assert!(driven.write(&[1; 100]).is_ready());
        assert!(driven.flush().is_ready());
        assert_eq!((driven.writes(), driven.woken()), (vec![100], 0));
    }

    #[test]
    fn frames_go_together_and_the_task_is_woken_for_them() {
        let mut driven = Driven::new(usize::MAX);
        for _ in 0..3 {
            assert!(driven.write(&[1; FRAME]).is_ready());
            assert!(driven.flush().is_ready());
        }
        assert_eq!(driven.writes(), [] as [usize; 0]);
        assert!(driven.woken() > 0);
        assert!(driven.flush().is_ready());
        assert_eq!(driven.writes(), [3 * FRAME]);
    }

    #[test]
    fn what_is_held_back_goes_before_something_is_read() {
        let mut driven = Driven::new(usize::MAX);
        assert!(driven.write(&[1; FRAME]).is_ready());
        assert!(driven.flush().is_ready());
        assert!(driven.read().is_pending());
        assert_eq!(driven.writes(), [FRAME]);
        driven.gather.stream.broken = true;
        assert!(driven.write(&[1; FRAME]).is_ready());
        assert!(driven.flush().is_ready());
        assert!(matches!(driven.read(), Poll::Ready(Err(_))), "the connection is known to be broken");
    }

    #[test]
    fn no_more_is_held_than_there_is_room_for() {
        let mut driven = Driven::new(0);
        let mut written = 0;
        while let Poll::Ready(n) = driven.write(&[1; FRAME]) {
            written += n;
            assert!(written <= ROOM);
            assert!(driven.flush().is_ready());
        }
        assert!(written > ROOM - FRAME);
        assert!(driven.flush().is_pending(), "nothing was written since");
        driven.gather.stream.room = usize::MAX;
        assert!(driven.flush().is_ready());
        assert_eq!(driven.gather.stream.taken().len(), written);
        // Too much to be held, so it is not copied.
        assert!(driven.write(&vec![1; ROOM + 1]).is_ready());
        assert_eq!(driven.writes()[1..], [ROOM + 1]);
    }

    #[test]
    fn nothing_is_left_behind_at_the_end() {
        let mut driven = Driven::new(usize::MAX);
        assert!(driven.write(&[1; FRAME]).is_ready());
        assert!(driven.flush().is_ready());
        assert!(driven.with(|gather, context| gather.poll_shutdown(context)).is_ready());
        assert!(driven.gather.stream.closed);
        assert_eq!(driven.writes(), [FRAME]);
    }

    proptest! {
        /// Whatever is written in whatever pieces, to whatever a socket takes: each byte comes once, in order.
        #[test]
        fn order_is_kept(steps in proptest::collection::vec((0usize..40_000, 0usize..60_000, 0u8..4), 1..60)) {
            let mut driven = Driven::new(0);
            let mut expected = Vec::new();
            for (n, (size, room, what)) in steps.into_iter().enumerate() {
                driven.gather.stream.room += room;
                match what {
                    0 => drop(driven.flush()),
                    1 => drop(driven.read()),
                    _ => {
                        let piece = vec![n as u8; size];
                        if let Poll::Ready(taken) = driven.write(&piece) {
                            expected.extend_from_slice(&piece[..taken]);
                        }
                    }
                }
                prop_assert!(driven.gather.held.len() <= ROOM);
            }
            driven.gather.stream.room = usize::MAX;
            let _ = driven.flush();
            prop_assert!(driven.flush().is_ready());
            prop_assert_eq!(driven.gather.stream.taken(), expected);
        }
    }
}

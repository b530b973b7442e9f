//! The body of a long request on its way to the site, whose answer is read meanwhile.
//!
//! Pingora reads nothing from a site while a write to it waits. A site that answers as it reads, and reads on only when
//! its answer is taken, then waits for Pingora, and Pingora for the site. So a write to the site is over at once: what
//! its system does not take waits here, and as long as much does, nothing more of the body is taken from the client.
//! The answer is not held: a client that does not read it holds back the site, and then itself.

use std::{
    fmt, io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker, ready},
    time::Duration,
};

use bytes::{Buf, BytesMut};
use parking_lot::Mutex;
use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf},
    runtime::Handle,
    sync::Semaphore,
    time::{Instant, Sleep, sleep, timeout},
};

use super::{lifecycle::Lifecycle, tuning::Tuning, upstream};

/// Bytes that may wait for the site before nothing is taken from the client; a piece or two of Pingora's come on top.
/// Shorter bodies go without: any system takes as much.
pub const ENOUGH: usize = 64 << 10;
/// The same for a client whose body can be held back only together with its answer, while there is one to be passed on.
const TOO_MUCH: usize = 4 << 20;

/// Those that are written on at once when their requests are over; each holds what waits, and a connection.
static LEAVING: Semaphore = Semaphore::const_new(256);

/// A connection to a site.
pub trait Way: AsyncRead + AsyncWrite + Unpin + Send {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Way for S {}

/// See the module. All of one request's task: the lock is never waited for.
pub struct Upload {
    state: Mutex<State>,
    /// How long the site may take nothing of what waits.
    patience: Duration,
    /// The same once nobody waits for it.
    linger: Duration,
    /// Counts it meanwhile.
    lifecycle: Arc<Lifecycle>,
}

#[derive(Default)]
struct State {
    /// Until Pingora has done with it.
    site: Option<Box<dyn Way>>,
    /// A second hold on the site's connection.
    handle: Option<Arc<upstream::Handle>>,
    waiting: BytesMut,
    /// When the site has taken some last.
    given: Option<Instant>,
    clock: Option<Pin<Box<Sleep>>>,
    /// Why nothing more is written.
    failed: Option<io::ErrorKind>,
    /// Once the request has begun.
    silence: Option<Silence>,
    /// Whether the site has sent something that may not have been passed on.
    has_news: bool,
    /// Whether whoever reads from the site has found nothing.
    is_quiet: bool,
    /// Who is held back.
    held: Option<Waker>,
    /// Whether some still waited for the site when its connection ended.
    was_behind: bool,
}

impl Upload {
    /// Of a request that has no connection yet.
    pub fn new(tuning: &Tuning, lifecycle: Arc<Lifecycle>) -> Upload {
        Upload { state: Mutex::default(), patience: tuning.upstream_write, linger: tuning.linger, lifecycle }
    }

    /// There is a connection, and perhaps a second hold on it.
    pub fn connected(&self, site: impl Way + 'static, handle: Option<upstream::Handle>) {
        let (site, handle) = (Some(Box::new(site) as Box<dyn Way>), handle.map(Arc::new));
        *self.state.lock() = State { site, handle, ..State::default() };
    }

    /// Whether there is one of its own, and not one that others share.
    pub fn is_connected(&self) -> bool {
        self.state.lock().site.is_some()
    }

    /// The request begins. From now on the site may take nothing and say nothing for that long.
    pub fn begin(&self, silence: Duration) {
        self.state.lock().silence = Some(Silence::new(silence));
    }

    /// The second hold on the site's connection, if there is one.
    pub fn handle(&self) -> Option<Arc<upstream::Handle>> {
        self.state.lock().handle.clone()
    }

    /// Ready when more of the body may be taken from the client. Writes meanwhile, for nobody else may be there to.
    pub fn poll_room(&self, context: &mut Context<'_>) -> Poll<()> {
        self.state.lock().poll_room(context, self.patience, |_| false)
    }

    /// The same, or when there may be some of the answer to be passed on, which whoever waits here prevents.
    pub fn poll_turn(&self, context: &mut Context<'_>) -> Poll<()> {
        self.state.lock().poll_room(context, self.patience, |state| {
            // Each turn may bring another piece of the body.
            state.has_news && state.waiting.len() <= TOO_MUCH
        })
    }

    /// All that Pingora has read of the answer is about to be passed on. Whatever it has not read is not known to it.
    pub fn passed_on(&self) {
        let mut state = self.state.lock();
        state.has_news &= !state.is_quiet;
    }

    /// When the site has taken some last, as far as that can be known.
    pub fn given(&self) -> Option<std::time::Instant> {
        self.state.lock().given.map(Instant::into_std)
    }

    /// Whether the site has taken nothing for too long.
    pub fn was_too_slow(&self) -> bool {
        self.state.lock().failed == Some(io::ErrorKind::TimedOut)
    }

    /// Whether the site has taken all, and said nothing for too long.
    pub fn was_silent(&self) -> bool {
        self.state.lock().silence.as_ref().is_some_and(|silence| silence.is_over)
    }

    /// Whether it is the site that keeps the client from sending: some of the body waits for it.
    pub fn is_behind(&self) -> bool {
        let state = self.state.lock();
        state.was_behind || !state.waiting.is_empty()
    }

    /// Takes all of `piece`, unless the site takes no more.
    pub fn poll_write(&self, context: &mut Context<'_>, piece: &[u8]) -> Poll<io::Result<usize>> {
        let mut state = self.state.lock();
        let _ = state.poll_drain(context, self.patience);
        if state.failed.is_none() {
            state.waiting.extend_from_slice(piece);
            let _ = state.poll_drain(context, self.patience);
        }
        Poll::Ready(state.failed.map_or(Ok(piece.len()), |why| Err(why.into())))
    }

    /// Does not wait: what has come from the client is bounded.
    pub fn poll_flush(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut state = self.state.lock();
        let _ = state.poll_drain(context, self.patience);
        Poll::Ready(state.failed.map_or(Ok(()), |why| Err(why.into())))
    }

    /// Reads from the site, and writes meanwhile.
    ///
    /// # Errors
    /// Those of the connection, and that the site has taken nothing, or said nothing, for too long.
    pub fn poll_read(&self, context: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let mut state = self.state.lock();
        let _ = state.poll_drain(context, self.patience);
        // Whatever else ended the writing, the site may have answered before.
        if state.failed == Some(io::ErrorKind::TimedOut) {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        let Some(site) = &mut state.site else { return Poll::Ready(Ok(())) };
        let read = Pin::new(site).poll_read(context, buf);
        let was_quiet = std::mem::replace(&mut state.is_quiet, read.is_pending());
        if read.is_ready() {
            state.has_news = true;
            state.wake();
            return read;
        }
        // Nobody has listened before.
        if !was_quiet {
            state.stirs();
        }
        let Some(silence) = &mut state.silence else { return Poll::Pending };
        ready!(silence.poll_over(context));
        if !state.waiting.is_empty() {
            state.give_up(io::ErrorKind::TimedOut);
        }
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }

    /// The connection is Pingora's no more. A site that has answered, but not read all, gets the rest.
    pub fn leave(&self) {
        let mut state = self.state.lock();
        let (site, mut waiting) = (state.site.take(), std::mem::take(&mut state.waiting));
        state.was_behind |= !waiting.is_empty();
        state.wake();
        drop(state);
        if let (Some(mut site), false, Ok(runtime)) = (site, waiting.is_empty(), Handle::try_current())
            && let Ok(permit) = LEAVING.try_acquire()
        {
            let (linger, in_flight) = (self.linger, self.lifecycle.enter());
            runtime.spawn(async move {
                let _held = (permit, in_flight);
                // One that takes nothing has had its time.
                let _ = timeout(linger, async {
                    site.write_all_buf(&mut waiting).await?;
                    site.shutdown().await
                })
                .await;
            });
        }
    }
}

impl fmt::Debug for Upload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Upload").finish_non_exhaustive()
    }
}

impl State {
    /// Ready as soon as little waits, or `enough` says so.
    fn poll_room(
        &mut self,
        context: &mut Context<'_>,
        patience: Duration,
        enough: impl Fn(&State) -> bool,
    ) -> Poll<()> {
        let _ = self.poll_drain(context, patience);
        if self.waiting.len() <= ENOUGH || self.site.is_none() || enough(self) {
            return Poll::Ready(());
        }
        self.held = Some(context.waker().clone());
        Poll::Pending
    }

    /// Writes what waits, until there is none or no use in it.
    fn poll_drain(&mut self, context: &mut Context<'_>, patience: Duration) -> Poll<()> {
        while let (Some(site), false) = (&mut self.site, self.waiting.is_empty()) {
            match Pin::new(site).poll_write(context, &self.waiting) {
                Poll::Ready(Ok(0)) => self.give_up(io::ErrorKind::WriteZero),
                Poll::Ready(Ok(written)) => {
                    self.waiting.advance(written);
                    self.given = Some(Instant::now());
                    self.stirs();
                }
                Poll::Ready(Err(error)) => self.give_up(error.kind()),
                Poll::Pending => {
                    let clock = self.clock.get_or_insert_with(|| Box::pin(sleep(patience)));
                    ready!(clock.as_mut().poll(context));
                    self.give_up(io::ErrorKind::TimedOut);
                }
            }
            self.clock = None;
            self.wake();
        }
        Poll::Ready(())
    }

    fn give_up(&mut self, why: io::ErrorKind) {
        self.failed = Some(why);
        self.was_behind = true;
        self.waiting.clear();
    }

    fn wake(&mut self) {
        if let Some(held) = self.held.take() {
            held.wake();
        }
    }

    fn stirs(&mut self) {
        if let Some(silence) = &mut self.silence {
            silence.since = Instant::now();
        }
    }
}

/// How long nothing has passed in either direction.
///
/// Pingora's own clock runs from the moment in which it has handed over a piece, while a slow site is still taking it.
struct Silence {
    bound: Duration,
    since: Instant,
    clock: Pin<Box<Sleep>>,
    is_over: bool,
}

impl Silence {
    fn new(bound: Duration) -> Silence {
        Silence { bound, since: Instant::now(), clock: Box::pin(sleep(bound)), is_over: false }
    }

    /// Ready when it has lasted too long. The clock is set anew only when it has run out: pieces come more often.
    fn poll_over(&mut self, context: &mut Context<'_>) -> Poll<()> {
        loop {
            ready!(self.clock.as_mut().poll(context));
            let end = self.since + self.bound;
            if end <= Instant::now() {
                self.is_over = true;
                return Poll::Ready(());
            }
            self.clock.as_mut().reset(end);
        }
    }
}

//! What every connection meets first: plain events take the express lane, everything else is handed to Pingora together
//! with the bytes that were read.
//!
//! After a request that Pingora served, the connection comes back here: Pingora is shown one request at a time, so the
//! header of every one is judged here first.

mod unserved;

use std::{
    cell::RefCell,
    future::{Future, poll_fn},
    net::{IpAddr, Ipv4Addr, SocketAddr},
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll},
    time::{Duration, Instant},
};

use async_trait::async_trait;
use bytes::BytesMut;
use http::Version;
use pingora::{
    apps::{HttpServerApp, ServerApp},
    protocols::{ALPN, Stream, http::ServerSession},
    proxy::HttpProxy,
    server::ShutdownWatch,
    time::sleep,
};
use prometheus_client::metrics::gauge::Gauge;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt, ReadBuf};

use super::{
    access::{Ended, Handler},
    alarm::Alarm,
    connections::Place,
    duplex::{Duplex, End, Side},
    endpoint::Head,
    express::{self, Found, Request},
    extent::Extent,
    framing::{self, Fault, Sound},
    gateway::Gateway,
    head,
    live::Live,
    parts::Parts,
    proxy_protocol::introduce,
    request::host,
    single::Single,
    tls::{Spoken, Tls},
    unread::Unread,
};

/// How long the express lane waits for the rest of a body; who is slower is Pingora's, and its deadlines'.
const PATIENCE: Duration = Duration::from_secs(1);
/// Read at once: an event with its header, or a few.
const READ: usize = 16 << 10;

/// See the module.
pub struct Front {
    /// Serves what is not plain.
    pub proxy: Arc<HttpProxy<Gateway>>,
    /// The same for connections of HTTP/2 from trusted proxies, which may be idle for longer.
    pub patient: Arc<HttpProxy<Gateway>>,
    /// What both lanes share.
    pub parts: Arc<Parts>,
    /// Which connections are to be decrypted.
    pub tls: Arc<Tls>,
}

#[async_trait]
impl ServerApp for Front {
    async fn process_new(self: &Arc<Self>, stream: Stream, shutdown: &ShutdownWatch) -> Option<Stream> {
        // On a task of its own: Pingora's has room for handshakes of its own (9 kB), which it would keep for as long as
        // the connection lives.
        tokio::spawn(self.clone().keep(stream, shutdown.clone()));
        None
    }

    async fn cleanup(&self) {
        sleep(self.parts.lifecycle.lingers()).await;
        self.proxy.http_cleanup().await;
        self.patient.http_cleanup().await;
    }
}

impl Front {
    /// Serves a connection until it ends; `None` says that it has.
    ///
    /// Most of the time it waits for the next request. What it does not need for that, and is large, it has on the heap
    /// while it needs it.
    async fn keep(self: Arc<Front>, mut stream: Stream, shutdown: ShutdownWatch) -> Option<()> {
        let _place = self.admit(&mut stream).await?;
        let mut stream = Box::pin(self.tls.meet(stream)).await?;
        if stream.selected_alpn_proto() == Some(ALPN::H2) {
            self.h2(&stream).process_new(stream, &shutdown).await;
            return None;
        }
        let mut buffer = BytesMut::new();
        let (peer, tls) = (peer(&stream), stream.get_ssl_digest().is_some());
        let mut is_first = self.parts.h2c && !tls;
        let mut alarm = Alarm::default();
        let mut watch = shutdown.clone();
        let mut ending = pin!(async {
            // An error means that the server is gone.
            let _ = watch.wait_for(|ending| *ending).await;
            sleep(self.parts.lifecycle.lingers()).await;
        });
        loop {
            if buffer.is_empty() {
                let idle = {
                    let live = self.parts.live.load();
                    live.keepalive(live.rules.trust.trusts(peer))
                };
                let read = alarm.within(idle, poll_fn(|cx| poll_begin(&mut stream, ending.as_mut(), cx)));
                buffer = read.await.ok()??;
            }
            if std::mem::take(&mut is_first) && begins_h2(&mut stream, &mut buffer, &mut alarm).await {
                let proxy = self.h2(&stream);
                proxy.process_new(Box::new(Spoken::h2c(stream, buffer)), &shutdown).await;
                return None;
            }
            let live = self.parts.live.load_full();
            let find = |buffer: &mut BytesMut| express::find(buffer, &live.rules.router, live.endpoint.max_body());
            let mut found = find(&mut buffer);
            let mut head = None;
            if let Found::Part(whole) = found {
                // Its header has arrived: a graceful end waits for the rest.
                let _in_flight = self.parts.lifecycle.enter();
                fill(&mut stream, &mut buffer, whole, &mut alarm).await;
                found = find(&mut buffer);
            } else if let Found::Other = found {
                let before = buffer.len();
                match head::read(&mut stream, &mut buffer, self.parts.header()).await {
                    Ok(end) => head = Some(end),
                    Err(unfit) => {
                        self.refuse(stream, unfit).await;
                        return None;
                    }
                }
                if buffer.len() != before {
                    // It may be an event that came in pieces.
                    continue;
                }
            }
            stream = match found {
                Found::Event(request) => {
                    let body = buffer.split_to(request.body);
                    self.serve(stream, &live, request, body, (peer, tls), &mut alarm).await?
                }
                Found::Part(_) | Found::Other => self.hand_over(stream, &live, &mut buffer, head, &shutdown).await?,
            };
        }
    }

    /// Who serves a connection of HTTP/2.
    fn h2(&self, stream: &Stream) -> &Arc<HttpProxy<Gateway>> {
        let is_trusted = self.parts.live.load().rules.trust.trusts(peer(stream));
        if is_trusted { &self.patient } else { &self.proxy }
    }

    /// A place for the connection, whose client is known afterwards. None when there are too many.
    async fn admit(&self, stream: &mut Stream) -> Option<Admitted> {
        let (parts, live) = (&self.parts, self.parts.live.load_full());
        let config = &live.server().connections;
        let Some(mut place) = parts.connections.enter(config) else {
            parts.refused("total");
            return None;
        };
        let trust = &live.rules.trust;
        if live.server().proxy_protocol
            && trust.trusts(peer(stream))
            && let Err(error) = introduce(stream).await
        {
            tracing::debug!(%error, peer = %peer(stream), "a trusted proxy does not speak the PROXY protocol");
            parts.refused("proxy_protocol");
            return None;
        }
        let peer = peer(stream);
        if !trust.trusts(peer) && !place.belongs(peer, config) {
            parts.refused("per_client");
            return None;
        }
        parts.metrics.connections.inc();
        Some(Admitted { _place: place, open: parts.metrics.connections.clone() })
    }

    /// Answers an event. None when the connection has ended with it.
    async fn serve(
        &self,
        mut stream: Stream,
        live: &Live,
        mut request: Box<Request>,
        body: BytesMut,
        (peer, tls): (IpAddr, bool),
        alarm: &mut Alarm,
    ) -> Option<Stream> {
        let Parts { access, lifecycle, tuning, .. } = &*self.parts;
        let Live { rules, endpoint, .. } = live;
        let started = Instant::now();
        let _in_flight = lifecycle.enter();
        let received = body.len();
        let (client, id) = rules.caller(peer, tls, &request.headers);
        if live.access.shows_events() {
            for name in live.untrusted_traces(&client, &request.headers) {
                request.headers.remove(name);
            }
        }

        let head = Head::new(&request.method, &request.uri, &request.headers, &rules.router, &client);
        let taken = endpoint.take(&head, &body);
        // Hundreds wait for the disk at once. Those that nobody will write about make room, in memory that the caches
        // still know, for those that come meanwhile.
        let stream_id = taken.stream().filter(|_| !live.access.shows_events()).cloned();
        let mut request = Some(request).filter(|_| stream_id.is_none());
        drop(body);
        let reply = endpoint.finish(taken, &client, &id, alarm).await;
        if let Some(stream_id) = stream_id.filter(|_| reply.status.is_server_error()) {
            request = Some(Box::new(Request::of_event(live.streams_path(), &stream_id)));
        }
        let last = lifecycle.is_ending();
        let wire = express::wire(&reply, last);
        let write = async {
            stream.write_all(&wire).await?;
            stream.flush().await
        };
        let sent = matches!(alarm.within(tuning.answer, write).await, Ok(Ok(())));

        let (status, took) = (reply.status.as_u16(), started.elapsed());
        match &request {
            None => access.count(Handler::Collect, status, took),
            Some(request) => {
                let ended = Ended {
                    handler: Handler::Collect,
                    method: &request.method,
                    host: &host(&request.uri, &request.headers),
                    uri: &request.uri,
                    version: Version::HTTP_11,
                    headers: &request.headers,
                    secure: client.secure,
                    received,
                    status,
                    bytes: reply.body.len(),
                    client: Some(client.ip),
                    route: None,
                    upstream: None,
                    attempts: 0,
                    request_id: Some(&id),
                    took,
                    aborted: !sent,
                };
                access.record(&ended, &live.access);
            }
        }
        if sent && !last {
            return Some(stream);
        }
        // A client that is gone needs no goodbye.
        let _ = stream.shutdown().await;
        None
    }

    /// Lets Pingora serve the request that `buffer` begins with, and see nothing of what follows it. `head` is the length
    /// of its header, where that is known.
    async fn hand_over(
        &self,
        stream: Stream,
        live: &Live,
        buffer: &mut BytesMut,
        head: Option<usize>,
        shutdown: &ShutdownWatch,
    ) -> Option<Stream> {
        let head = head.or_else(|| head::end(buffer, 0))?;
        let (mut extent, is_absolute) = match framing::judge(&buffer[..head]) {
            Ok(Sound { extent, is_absolute }) => (extent, is_absolute),
            Err(fault) => {
                Box::pin(self.reject(stream, &buffer[..head], fault)).await;
                return None;
            }
        };
        let own = head + extent.take(&buffer[head..]);
        if extent == Extent::Broken {
            Box::pin(self.reject(stream, &buffer[..head], Fault::CHUNKS)).await;
            return None;
        }
        let mut own = buffer.split_to(own);
        if is_absolute && let Some(plain) = framing::without_host(&own[..head]) {
            let body = own.split_off(head);
            own = BytesMut::from(&*plain);
            own.unsplit(body);
        }
        let duplex = (extent == Extent::Open).then(Arc::<Duplex>::default);
        let end = duplex.clone().map(|duplex| End::new(Side::Client, duplex, self.parts.tuning.downstream_write));
        let session = self.session(peer(&stream), live, Single::new(stream, extent, end), own);
        let served = self.proxy.process_new_http(session, shutdown).await;
        if let Some(duplex) = duplex {
            drop(served);
            let _in_flight = self.parts.lifecycle.enter();
            duplex.part(&self.parts.tuning).await;
            return None;
        }
        let (stream, _) = served?.consume();
        let (stream, ahead) = stream.into_any().downcast::<Single>().ok()?.into_parts()?;
        buffer.extend_from_slice(&ahead);
        Some(stream)
    }

    /// Pingora's, of one request of this peer whose first bytes are `own`.
    fn session(&self, peer: IpAddr, live: &Live, single: Single, own: BytesMut) -> ServerSession {
        let mut session = ServerSession::new_http1(Box::new(single));
        session.set_pipelined_prefix(own);
        session.set_connection_user_context(Some(Box::new(Unread::new(self.parts.clone(), peer))));
        session.set_keepalive(Some(live.keepalive(false).as_secs()));
        session
    }
}

/// A connection that has a place.
struct Admitted {
    _place: Place,
    open: Gauge,
}

impl Drop for Admitted {
    fn drop(&mut self) {
        self.open.dec();
    }
}

/// Waits for the first bytes of a request. None when there will be none.
///
/// They are read into memory that all connections of the thread share: one that waits holds none, and what is read
/// lies where the caches still know it.
fn poll_begin(
    stream: &mut Stream,
    ending: Pin<&mut impl Future<Output = ()>>,
    context: &mut Context<'_>,
) -> Poll<Option<BytesMut>> {
    thread_local! {
        static SHARED: RefCell<Box<[u8]>> = RefCell::new(vec![0; READ].into());
    }
    let read = SHARED.with_borrow_mut(|shared| {
        let mut read = ReadBuf::new(shared);
        Pin::new(stream).poll_read(context, &mut read).map_ok(|()| BytesMut::from(read.filled()))
    });
    match read {
        Poll::Ready(read) => Poll::Ready(read.ok().filter(|bytes| !bytes.is_empty())),
        Poll::Pending => ending.poll(context).map(|()| None),
    }
}

/// Reads until `buffer` has `whole` bytes, the connection ends, or patience does.
async fn fill(stream: &mut Stream, buffer: &mut BytesMut, whole: usize, alarm: &mut Alarm) {
    buffer.reserve(whole - buffer.len());
    let rest = async { while buffer.len() < whole && matches!(stream.read_buf(buffer).await, Ok(1..)) {} };
    // Found out by looking at the buffer.
    let _ = alarm.within(PATIENCE, rest).await;
}

/// Whether the connection begins with HTTP/2 (RFC 9113, 3.3).
async fn begins_h2(stream: &mut Stream, buffer: &mut BytesMut, alarm: &mut Alarm) -> bool {
    const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    if buffer.len() < PREFACE.len() && PREFACE.starts_with(buffer) {
        fill(stream, buffer, PREFACE.len(), alarm).await;
    }
    buffer.starts_with(PREFACE)
}

fn peer(stream: &Stream) -> IpAddr {
    let digest = stream.get_socket_digest();
    let address = digest.as_ref().and_then(|digest| digest.peer_addr()?.as_inet().map(SocketAddr::ip));
    address.unwrap_or(Ipv4Addr::UNSPECIFIED.into())
}

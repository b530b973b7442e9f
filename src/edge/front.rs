//! What every connection meets first: plain events take the express lane, everything else is handed to Pingora together
//! with the bytes that were read.
//!
//! After a request that Pingora served, the connection comes back here: Pingora is shown one request at a time, so the
//! header of every one is judged here first.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::Arc,
    time::{Duration, Instant},
};

use async_trait::async_trait;
use bytes::BytesMut;
use http::StatusCode;
use pingora::{
    apps::{HttpServerApp, ServerApp},
    protocols::{ALPN, Stream, http::ServerSession},
    proxy::HttpProxy,
    server::ShutdownWatch,
    time::timeout,
};
use prometheus_client::metrics::gauge::Gauge;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    task::yield_now,
};

use super::{
    access::{Ended, Handler},
    connections::Place,
    endpoint::Head,
    express::{self, Found, Request},
    extent::Extent,
    framing::is_three_words,
    gateway::Gateway,
    head::{self, Unfit},
    live::Live,
    parts::Parts,
    proxy_protocol::introduce,
    single::Single,
    tls::{Spoken, Tls},
};

/// How long the express lane waits for the rest of a body; who is slower is Pingora's, and its deadlines'.
const PATIENCE: Duration = Duration::from_secs(1);
/// Read at once: an event with its header.
const READ: usize = 4096;

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
    async fn process_new(self: &Arc<Self>, mut stream: Stream, shutdown: &ShutdownWatch) -> Option<Stream> {
        let _place = self.admit(&mut stream).await?;
        let mut stream = self.tls.meet(stream).await?;
        if stream.selected_alpn_proto() == Some(ALPN::H2) {
            return self.h2(&stream).process_new(stream, shutdown).await;
        }
        let mut buffer = BytesMut::new();
        let (peer, tls) = (peer(&stream), stream.get_ssl_digest().is_some());
        let mut is_first = self.parts.h2c && !tls;
        loop {
            if buffer.is_empty() {
                self.wait(&mut stream, &mut buffer, shutdown, peer).await?;
            }
            if std::mem::take(&mut is_first) && begins_h2(&mut stream, &mut buffer).await {
                let proxy = self.h2(&stream);
                return proxy.process_new(Box::new(Spoken::h2c(stream, buffer)), shutdown).await;
            }
            let live = self.parts.live.load_full();
            let find = |buffer: &mut BytesMut| express::find(buffer, &live.rules.router, live.endpoint.max_body());
            let mut found = find(&mut buffer);
            if let Found::Part(whole) = found {
                // Its header has arrived: a graceful end waits for the rest.
                let _in_flight = self.parts.lifecycle.enter();
                fill(&mut stream, &mut buffer, whole).await;
                found = find(&mut buffer);
            } else if let Found::Other = found {
                let before = buffer.len();
                if let Err(unfit) = head::read(&mut stream, &mut buffer, self.parts.header()).await {
                    self.refuse(stream, unfit).await;
                    return None;
                }
                if buffer.len() != before {
                    // It may be an event that came in pieces.
                    continue;
                }
                if !is_three_words(&buffer) {
                    self.refuse(stream, Unfit::Misshapen).await;
                    return None;
                }
            }
            stream = match found {
                Found::Event(request) => {
                    let body = buffer.split_to(request.body);
                    self.serve(stream, &live, *request, &body, peer, tls).await?
                }
                Found::Part(_) | Found::Other => self.hand_over(stream, &mut buffer, shutdown).await?,
            };
        }
    }

    async fn cleanup(&self) {
        self.proxy.http_cleanup().await;
        self.patient.http_cleanup().await;
    }
}

impl Front {
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

    /// Ends a connection whose request has an unfit header.
    async fn refuse(&self, stream: Stream, unfit: Unfit) {
        let (reason, status) = match unfit {
            Unfit::Slow => ("slow_header", StatusCode::REQUEST_TIMEOUT),
            Unfit::Large => ("large_header", StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE),
            Unfit::Misshapen => ("request_line", StatusCode::BAD_REQUEST),
            Unfit::Gone => return,
        };
        self.parts.refused(reason);
        head::refuse(stream, status, &self.parts.tuning).await;
    }

    /// Waits for a request. None when there will be none.
    async fn wait(
        &self,
        stream: &mut Stream,
        buffer: &mut BytesMut,
        shutdown: &ShutdownWatch,
        peer: IpAddr,
    ) -> Option<()> {
        buffer.reserve(READ);
        let mut shutdown = shutdown.clone();
        let idle = self.parts.keepalive(self.parts.live.load().rules.trust.trusts(peer));
        let read = tokio::select! {
            biased;
            read = timeout(idle, stream.read_buf(buffer)) => read,
            // An error means that the server is gone.
            _ = shutdown.wait_for(|ending| *ending) => return None,
        };
        matches!(read, Ok(Ok(1..))).then_some(())
    }

    /// Answers an event. None when the connection has ended with it.
    async fn serve(
        &self,
        mut stream: Stream,
        live: &Live,
        request: Request,
        body: &[u8],
        peer: IpAddr,
        tls: bool,
    ) -> Option<Stream> {
        let Parts { access, lifecycle, tuning, .. } = &*self.parts;
        let Live { rules, endpoint, .. } = live;
        let started = Instant::now();
        let _in_flight = lifecycle.enter();
        let Request { method, uri, headers, .. } = &request;
        let (client, id) = rules.caller(peer, tls, headers);

        // Reading requests and making rows are each more code than a core's nearest caches hold: done in turns for all
        // requests that are ready, not for one after the other, each finds its own code there.
        yield_now().await;
        let head = Head::new(method, uri, headers, &rules.router, &client, &id);
        let reply = endpoint.answer(&head, body).await;
        let last = lifecycle.is_ending();
        let wire = express::wire(&reply, last);
        let write = async {
            stream.write_all(&wire).await?;
            stream.flush().await
        };
        let sent = matches!(timeout(tuning.answer, write).await, Ok(Ok(())));

        access.record(&Ended {
            handler: Handler::Collect,
            method,
            uri,
            headers,
            status: reply.status.as_u16(),
            bytes: reply.body.len(),
            client: Some(client.ip),
            request_id: &id,
            took: started.elapsed(),
            aborted: !sent,
        });
        if sent && !last {
            return Some(stream);
        }
        // A client that is gone needs no goodbye.
        let _ = stream.shutdown().await;
        None
    }

    /// Lets Pingora serve the request that `buffer` begins with, and see nothing of what follows it.
    async fn hand_over(&self, stream: Stream, buffer: &mut BytesMut, shutdown: &ShutdownWatch) -> Option<Stream> {
        let head = head::end(buffer, 0)?;
        let mut extent = Extent::of(&buffer[..head]);
        let own = head + extent.take(&buffer[head..]);
        let own = buffer.split_to(own);
        let mut session = ServerSession::new_http1(Box::new(Single::new(stream, extent)));
        session.set_pipelined_prefix(own);
        session.set_keepalive(Some(self.parts.keepalive(false).as_secs()));
        let (stream, _) = self.proxy.process_new_http(session, shutdown).await?.consume();
        let (stream, ahead) = stream.into_any().downcast::<Single>().ok()?.into_parts()?;
        buffer.extend_from_slice(&ahead);
        Some(stream)
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

/// Reads until `buffer` has `whole` bytes, the connection ends, or patience does.
async fn fill(stream: &mut Stream, buffer: &mut BytesMut, whole: usize) {
    buffer.reserve(whole - buffer.len());
    let rest = async { while buffer.len() < whole && matches!(stream.read_buf(buffer).await, Ok(1..)) {} };
    // Found out by looking at the buffer.
    let _ = timeout(PATIENCE, rest).await;
}

/// Whether the connection begins with HTTP/2 (RFC 9113, 3.3).
async fn begins_h2(stream: &mut Stream, buffer: &mut BytesMut) -> bool {
    const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    if buffer.len() < PREFACE.len() && PREFACE.starts_with(buffer) {
        fill(stream, buffer, PREFACE.len()).await;
    }
    buffer.starts_with(PREFACE)
}

fn peer(stream: &Stream) -> IpAddr {
    let digest = stream.get_socket_digest();
    let address = digest.as_ref().and_then(|digest| digest.peer_addr()?.as_inet().map(SocketAddr::ip));
    address.unwrap_or(Ipv4Addr::UNSPECIFIED.into())
}

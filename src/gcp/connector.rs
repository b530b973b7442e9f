//! How a channel gets its connection: TCP, with a buffer in front of the socket.
//!
//! HTTP/2 cuts what it sends into frames, of 16 KiB unless the server takes larger ones, and writes each by itself. Where rows leave by
//! the megabyte, most of what sending costs are those calls of the system. With a buffer seven frames go at once; when there
//! is nothing more to send it is flushed, so that nothing waits in it. It is below TLS, whose records are as small.

use std::{
    future::Future,
    io,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use http::Uri;
use hyper_util::{client::legacy::connect::HttpConnector, rt::TokioIo};
use tokio::{io::BufWriter, net::TcpStream};
use tonic::codegen::Service;

/// Frames that are written at once, together: they stay in the processor's cache on the way.
const BUFFER: usize = 128 << 10;

/// See the module.
#[derive(Clone)]
pub struct Connector(HttpConnector);

impl Connector {
    /// Tries each address of a host for its share of `timeout`.
    pub fn new(timeout: Duration) -> Connector {
        let mut http = HttpConnector::new();
        // TLS is laid over it by the channel.
        http.enforce_http(false);
        http.set_nodelay(true);
        http.set_connect_timeout(Some(timeout));
        Connector(http)
    }
}

impl Service<Uri> for Connector {
    type Response = TokioIo<BufWriter<TcpStream>>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, io::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), io::Error>> {
        self.0.poll_ready(context).map_err(io::Error::other)
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let connecting = self.0.call(uri);
        Box::pin(async move {
            let socket = connecting.await.map_err(io::Error::other)?.into_inner();
            Ok(TokioIo::new(BufWriter::with_capacity(BUFFER, socket)))
        })
    }
}

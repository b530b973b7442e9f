//! The yardstick of `benches/e2e.sh`: the least a Pingora program can do for the same two jobs.
//!
//! `bare_pingora PORT UPSTREAM`: a `request_filter` that reads the body of a POST and answers the same bytes as our
//! collector, and a proxy of everything else to UPSTREAM. One thread, no work stealing, as we run it in the bench.

use std::{env, net::SocketAddr};

use async_trait::async_trait;
use pingora::{
    http::ResponseHeader,
    modules::http::HttpModules,
    prelude::{HttpPeer, Result},
    proxy::{ProxyHttp, Session, http_proxy_service},
    server::{Server, configuration::ServerConf},
};

struct Bare {
    upstream: SocketAddr,
}

#[async_trait]
impl ProxyHttp for Bare {
    type CTX = ();
    fn new_ctx(&self) {}

    fn init_downstream_modules(&self, _modules: &mut HttpModules) {}

    async fn request_filter(&self, session: &mut Session, _ctx: &mut ()) -> Result<bool> {
        session.set_keepalive(Some(60));
        if session.req_header().method != "POST" {
            return Ok(false);
        }
        while session.read_request_body().await?.is_some() {}
        let mut response = ResponseHeader::build(200, Some(4))?;
        response.insert_header("content-type", "application/json")?;
        response.insert_header("content-length", "15")?;
        response.insert_header(
            "set-cookie",
            "__uid__=1234567890.1700000000; Path=/; Max-Age=34560000; HttpOnly; SameSite=Lax",
        )?;
        session.write_response_header(Box::new(response), false).await?;
        session.write_response_body(Some(bytes::Bytes::from_static(b"{\"status\":\"ok\"}")), true).await?;
        Ok(true)
    }

    async fn upstream_peer(&self, _session: &mut Session, _ctx: &mut ()) -> Result<Box<HttpPeer>> {
        Ok(Box::new(HttpPeer::new(self.upstream, false, String::new())))
    }
}

fn main() {
    let mut args = env::args().skip(1);
    let port = args.next().expect("a port");
    let upstream = args.next().expect("an upstream").parse().expect("an upstream like 127.0.0.1:8001");
    let conf = ServerConf { threads: 1, work_stealing: false, ..ServerConf::default() };
    let mut server = Server::new_with_opt_and_conf(None, conf);
    server.bootstrap();
    let mut service = http_proxy_service(&server.configuration, Bare { upstream });
    service.add_tcp(&format!("127.0.0.1:{port}"));
    server.add_service(service);
    server.run_forever();
}

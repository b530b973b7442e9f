//! Asks servers for their health.

use std::{sync::Arc, time::Duration};

use http::{HeaderValue, StatusCode, Uri, Version, header};
use pingora::{
    Error, ErrorType, OrErr, Result, connectors::http::Connector, http::RequestHeader,
    protocols::http::client::HttpSession,
};
use tokio::time::{Instant, sleep_until, timeout};

use super::{address::Address, server::Server};
use crate::edge::upstream::config::HealthConfig;

/// Asks a server, all its addresses at once, for as long as the process lives.
pub async fn watch(server: Arc<Server>, health: HealthConfig) {
    let connector = Arc::new(Connector::new(None));
    let mut next = Instant::now();
    loop {
        let checks: Vec<_> = server.addresses.load().iter().cloned().collect();
        let checks: Vec<_> = checks
            .into_iter()
            .map(|address| {
                let (connector, server, health) = (connector.clone(), server.clone(), health.clone());
                tokio::spawn(async move { check(&connector, &server, &health, &address).await })
            })
            .collect();
        for check in checks {
            // A check ends within its own time.
            let _ = check.await;
        }
        next = (next + *health.every).max(Instant::now());
        sleep_until(next).await;
    }
}

async fn check(connector: &Connector, server: &Server, health: &HealthConfig, address: &Address) {
    let asked = timeout(*health.timeout, ask(connector, server, health, address)).await;
    let asked = asked.unwrap_or_else(|_| Err(Error::explain(ErrorType::ReadTimedout, "no answer in time")));
    let changed = address.checked(asked.is_ok(), server.now());
    match asked {
        Ok(()) if changed => tracing::info!(upstream = %server.url, at = %address.at, "an upstream is healthy again"),
        Err(error) if changed => {
            server.meter.ejections.inc();
            tracing::warn!(upstream = %server.url, at = %address.at, %error, "an upstream is not healthy");
        }
        Ok(()) | Err(_) => {}
    }
}

async fn ask(connector: &Connector, server: &Server, health: &HealthConfig, address: &Address) -> Result<()> {
    let mut peer = server.peer(&address.at);
    // A connection of its own each time: whether there can be one is part of the question.
    peer.options.idle_timeout = Some(Duration::ZERO);
    peer.options.connection_timeout = Some(*health.timeout);
    let (mut session, _) = connector.get_http_session(&*peer).await?;
    let mut request = RequestHeader::build("GET", health.path.as_bytes(), Some(3))?;
    let authority = server.url.authority(None);
    let host = server.host.clone().or_else(|| HeaderValue::try_from(&authority).ok());
    if matches!(session, HttpSession::H2(_)) {
        let host = host.as_ref().and_then(|host| host.to_str().ok()).unwrap_or(&authority);
        let scheme = if server.url.tls() { "https" } else { "http" };
        let target = Uri::builder().scheme(scheme).authority(host).path_and_query(&*health.path).build();
        request.set_uri(target.or_err(ErrorType::InvalidHTTPHeader, "no target for a health check")?);
        request.set_version(Version::HTTP_2);
    } else {
        request.insert_header(header::HOST, host.unwrap_or(HeaderValue::from_static("localhost")))?;
        request.insert_header(header::CONNECTION, "close")?;
    }
    request.insert_header(header::USER_AGENT, "real-streaming health check")?;
    session.write_request_header(Box::new(request)).await?;
    session.finish_request_body().await?;
    session.set_read_timeout(Some(*health.timeout));
    session.read_response_header().await?;
    let status = session.response_header().map_or(StatusCode::BAD_GATEWAY, |header| header.status);
    session.shutdown().await;
    if status.is_client_error() || status.is_server_error() {
        return Error::e_explain(ErrorType::HTTPStatus(status.as_u16()), "it answered with an error");
    }
    Ok(())
}

//! Reading a body from a Pingora session and writing an answer to it, each with the bounds that Pingora leaves to us.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, Method, StatusCode, header};
use pingora::{
    Error, ErrorType,
    http::{RequestHeader, ResponseHeader},
    proxy::Session,
    time::timeout,
};

use super::{Tuning, changes::Changes, route::Pieces};
use crate::collect::Reply;

/// Why there is no body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoBody {
    /// Longer than allowed.
    TooLarge,
    /// Not complete before the deadline.
    Slow,
    /// The transfer coding is broken.
    Malformed,
    /// The client is gone: nobody is left to answer.
    Gone,
}

/// Reads the whole body, at most `max` bytes, before the deadline. A body that came in one piece is not copied.
pub async fn read_body(session: &mut Session, max: usize, deadline: Duration) -> Result<Bytes, NoBody> {
    let read = timeout(deadline, read_all(session, max)).await;
    read.unwrap_or(Err(NoBody::Slow))
}

async fn read_all(session: &mut Session, max: usize) -> Result<Bytes, NoBody> {
    if expects_continue(&session.req_header().headers) && !session.is_body_done() {
        // Pingora takes the 100 for an early answer, and would close the connection afterwards.
        let keepalive = session.get_keepalive();
        session.write_continue_response().await.map_err(|error| no_body(&error))?;
        session.set_keepalive(keepalive);
    }
    let next = async |session: &mut Session| session.read_request_body().await.map_err(|error| no_body(&error));
    let Some(first) = next(session).await? else { return Ok(Bytes::new()) };
    if first.len() > max {
        return Err(NoBody::TooLarge);
    }
    if session.is_body_done() {
        return Ok(first);
    }
    let mut body = BytesMut::from(first);
    while let Some(chunk) = next(session).await? {
        if body.len() + chunk.len() > max {
            return Err(NoBody::TooLarge);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body.freeze())
}

/// A client that waits for `100 Continue` before it sends its body.
fn expects_continue(headers: &HeaderMap) -> bool {
    headers.get(header::EXPECT).is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"100-continue"))
}

/// Left alone, Pingora would answer any of these with 500.
fn no_body(error: &Error) -> NoBody {
    match error.etype() {
        ErrorType::ReadTimedout => NoBody::Slow,
        ErrorType::ReadError | ErrorType::WriteError | ErrorType::ConnectionClosed => NoBody::Gone,
        _ => NoBody::Malformed,
    }
}

/// Sends an answer. False when the client could not be reached any more.
///
/// A client that is still uploading may see a closed connection instead of its answer; so what comes is taken for a
/// moment, within bounds, and thrown away.
pub async fn send(session: &mut Session, reply: Reply, tuning: &Tuning) -> bool {
    let uploading = !session.is_body_done();
    close_if_ending(session);
    let sent = matches!(timeout(tuning.answer, write(session, reply)).await, Ok(Ok(())));
    if !sent {
        session.set_keepalive(None);
    } else if uploading {
        linger(session, tuning).await;
    }
    sent
}

/// Sends an answer whose head is `head`, with a length if there is a body, and whose body comes in pieces, through what
/// `changes` says.
pub async fn send_pieces(
    session: &mut Session,
    head: Reply,
    pieces: Option<Pieces>,
    changes: impl FnOnce(&RequestHeader, &mut ResponseHeader) -> Changes,
    tuning: &Tuning,
) {
    let Some(mut pieces) = pieces else {
        send_head(session, head, changes, tuning).await;
        return;
    };
    let uploading = !session.is_body_done();
    close_if_ending(session);
    let mut changed = Changes::default();
    let begin = async {
        let mut header = response(head)?;
        changed = changes(session.req_header(), &mut header);
        session.write_response_header(Box::new(header), false).await
    };
    let mut sent = matches!(timeout(tuning.answer, begin).await, Ok(Ok(())));
    while sent {
        // Each write has its deadline in the session.
        let mut piece = match pieces.next().await {
            Ok(piece) => piece,
            Err(error) => {
                tracing::warn!(%error, "a file has become shorter while it was sent");
                sent = false;
                break;
            }
        };
        let last = piece.is_none();
        if let Err(error) = changed.piece(&mut piece, last) {
            tracing::warn!(%error, "a file cannot be compressed");
            sent = false;
        } else if last || piece.as_ref().is_some_and(|piece| !piece.is_empty()) {
            sent = session.write_response_body(piece, last).await.is_ok();
        }
        if last {
            break;
        }
    }
    if !sent {
        session.set_keepalive(None);
    } else if uploading {
        linger(session, tuning).await;
    }
}

/// Sends an answer without a body, its length as it says itself: that of the body which `HEAD` leaves out.
async fn send_head(
    session: &mut Session,
    head: Reply,
    changes: impl FnOnce(&RequestHeader, &mut ResponseHeader) -> Changes,
    tuning: &Tuning,
) {
    let uploading = !session.is_body_done();
    close_if_ending(session);
    let all = async {
        let mut header = response(head)?;
        let bodiless = matches!(header.status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
        if !bodiless && !header.headers.contains_key(header::CONTENT_LENGTH) {
            header.insert_header(header::CONTENT_LENGTH, 0)?;
        }
        if session.req_header().method == Method::HEAD {
            // There is no body to change; only the header says what is done to others.
            changes(session.req_header(), &mut header);
        }
        session.write_response_header(Box::new(header), true).await?;
        session.write_response_body(None, true).await
    };
    if !matches!(timeout(tuning.answer, all).await, Ok(Ok(()))) {
        session.set_keepalive(None);
    } else if uploading {
        linger(session, tuning).await;
    }
}

fn response(reply: Reply) -> Result<ResponseHeader, Box<Error>> {
    let mut header = ResponseHeader::build(reply.status, Some(reply.headers.len() + 3))?;
    for (name, value) in reply.headers {
        header.append_header(name, value)?;
    }
    Ok(header)
}

/// A client must not be promised a next request by a process that is ending.
pub fn close_if_ending(session: &mut Session) {
    if session.is_process_shutting_down() {
        session.set_keepalive(None);
    }
}

async fn write(session: &mut Session, reply: Reply) -> Result<(), Box<Error>> {
    let body = reply.body.clone();
    let mut header = response(reply)?;
    let bodiless = matches!(header.status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
    if !bodiless {
        header.insert_header(header::CONTENT_LENGTH, body.len())?;
    }
    let has_body = !bodiless && !body.is_empty() && session.req_header().method != Method::HEAD;
    session.write_response_header(Box::new(header), !has_body).await?;
    session.write_response_body(has_body.then_some(body), true).await
}

/// Takes what a client that has its answer still sends, for a moment and within bounds. The request ends next.
pub async fn linger(session: &mut Session, tuning: &Tuning) {
    let drain = async {
        let mut taken = 0;
        while taken < tuning.linger_bytes {
            match session.read_request_body().await {
                Ok(Some(chunk)) => taken += chunk.len(),
                Ok(None) | Err(_) => break,
            }
        }
    };
    // Whether the end or the bound came first, the connection is closed next.
    let _ = timeout(tuning.linger, drain).await;
}

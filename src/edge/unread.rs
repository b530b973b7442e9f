//! Requests that Pingora's parser refuses: it answers 400 and ends the connection, and tells no phase of the gateway.

use std::{any::Any, net::IpAddr, sync::Arc};

use http::StatusCode;

use super::parts::Parts;

/// A request that Pingora was given and has not read yet. One that it never reads is counted, and gets a line.
///
/// It travels as what Pingora calls the context of the connection, which is handed to the gateway once the header has
/// been read, and dropped when it cannot be.
pub struct Unread(Option<(Arc<Parts>, IpAddr)>);

impl Unread {
    /// Of the client at this address.
    pub fn new(parts: Arc<Parts>, peer: IpAddr) -> Unread {
        Unread(Some((parts, peer)))
    }

    /// The gateway has the request, and will tell of it.
    pub fn read(context: Box<dyn Any + Send + Sync>) {
        if let Ok(mut unread) = context.downcast::<Unread>() {
            unread.0 = None;
        }
    }
}

impl Drop for Unread {
    fn drop(&mut self) {
        if let Some((parts, peer)) = self.0.take() {
            parts.turned_away(StatusCode::BAD_REQUEST, "header", peer);
        }
    }
}

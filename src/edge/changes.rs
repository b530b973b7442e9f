//! What the body of an answer goes through on its way: the script is put in, and then it is compressed. Or another
//! takes its place.

use std::io;

use bytes::Bytes;
use http::{HeaderName, Method, header};
use pingora::{
    Result,
    http::{RequestHeader, ResponseHeader},
};

use super::{
    compress::{Compressor, compress, is_long},
    inject::Injector,
    route::Route,
};
use crate::collect::Reply;

/// Of one answer; most go through nothing.
#[derive(Default)]
pub struct Changes {
    injector: Option<Box<Injector>>,
    compressor: Option<Compressor>,
    instead: Option<Instead>,
}

/// What is sent in place of the body; `None` once it is.
struct Instead(Option<Bytes>);

/// What headers say of a body, besides its type, and of how it was sent.
pub static OF_A_BODY: [HeaderName; 14] = [
    header::ACCEPT_RANGES,
    header::CONTENT_DISPOSITION,
    header::CONTENT_ENCODING,
    header::CONTENT_LANGUAGE,
    header::CONTENT_LENGTH,
    header::CONTENT_LOCATION,
    header::CONTENT_RANGE,
    header::ETAG,
    header::LAST_MODIFIED,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    HeaderName::from_static("content-digest"),
    HeaderName::from_static("digest"),
    HeaderName::from_static("repr-digest"),
];

impl Changes {
    /// What a route does to an answer; the header says afterwards what is true of the changed body. `host` is the
    /// visitor's.
    pub fn begin(
        route: &Route,
        request: &RequestHeader,
        host: &str,
        secure: bool,
        response: &mut ResponseHeader,
    ) -> Changes {
        // By its own length, which a changed page says no more.
        let compresses = route.compress && is_long(response);
        let injection = route.injection.as_ref();
        let injector = injection.and_then(|injection| injection.begin(request, host, secure, response)).map(Box::new);
        let compressor = if compresses { compress(request, response) } else { None };
        Changes { injector, compressor, instead: None }
    }

    /// Puts the body of `reply` in place of the answer's, or its length alone where nobody sends one (`HEAD`). What the answer says of caches stands; `reply` is asked where
    /// it says nothing.
    ///
    /// # Errors
    /// Never, as it stands: what `reply` says are headers.
    pub fn replace(reply: Reply, method: &Method, response: &mut ResponseHeader) -> Result<Changes> {
        for name in &OF_A_BODY {
            response.remove_header(name);
        }
        response.insert_header(header::CONTENT_LENGTH, reply.body.len())?;
        for (name, value) in reply.headers {
            if name == header::CONTENT_TYPE || !response.headers.contains_key(&name) {
                response.insert_header(name, value)?;
            }
        }
        let body = (*method != Method::HEAD).then_some(reply.body);
        Ok(Changes { instead: Some(Instead(body)), ..Changes::default() })
    }

    /// Changes a piece; `last` ends the body.
    ///
    /// # Errors
    /// It cannot be compressed; what was sent cannot be completed.
    pub fn piece(&mut self, body: &mut Option<Bytes>, last: bool) -> io::Result<()> {
        if let Some(Instead(instead)) = &mut self.instead {
            *body = instead.take();
        }
        if let Some(injector) = &mut self.injector {
            *body = injector.piece(body.take(), last);
        }
        if let Some(compressor) = &mut self.compressor {
            *body = compressor.piece(body.as_deref(), last)?;
        }
        Ok(())
    }
}

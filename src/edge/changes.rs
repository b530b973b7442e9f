//! What the body of an answer goes through on its way: the script is put in, and then it is compressed.

use std::io;

use bytes::Bytes;
use pingora::http::{RequestHeader, ResponseHeader};

use super::{
    compress::{Compressor, compress, is_long},
    inject::Injector,
    route::Route,
};

/// Of one answer; most go through nothing.
#[derive(Default)]
pub struct Changes {
    injector: Option<Box<Injector>>,
    compressor: Option<Compressor>,
}

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
        Changes { injector, compressor }
    }

    /// Changes a piece; `last` ends the body.
    ///
    /// # Errors
    /// It cannot be compressed; what was sent cannot be completed.
    pub fn piece(&mut self, body: &mut Option<Bytes>, last: bool) -> io::Result<()> {
        if let Some(injector) = &mut self.injector {
            *body = injector.piece(body.take(), last);
        }
        if let Some(compressor) = &mut self.compressor {
            *body = compressor.piece(body.as_deref(), last)?;
        }
        Ok(())
    }
}

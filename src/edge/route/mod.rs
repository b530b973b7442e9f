//! The site's requests: which route takes one, and what happens to it there.

mod access;
mod answers;
mod canonical;
mod config;
mod error_pages;
mod files;
mod header_changes;
mod label;
mod limit;
mod passwords;
mod pattern;
mod rate;
mod rewrite;
mod router;
mod template;
mod text_or_map;
mod timeouts;

use std::{borrow::Cow, sync::Arc};

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header, uri::PathAndQuery};
use pingora::http::{RequestHeader, ResponseHeader};

use self::{
    access::{Access, Denied},
    answers::RedirectConfig,
    error_pages::ErrorPages,
    files::{FileReply, Files},
    header_changes::{HeaderChanges, RequestChanges},
    limit::Limit,
    rewrite::RewriteConfig,
};
pub use self::{
    canonical::canonical,
    config::{Name, RouteConfig, check_routes},
    files::{Pieces, Range, range},
    label::labels,
    pattern::{HostPattern, PathPattern},
    router::{Action, Asked, HEALTH_PATH, Router},
    template::View,
};
use super::inject::Injection;
use crate::collect::Reply;

/// When visitors of a site that is being worked on should come back, in seconds.
const MAINTENANCE: HeaderValue = HeaderValue::from_static("60");

/// The same for who could not sign in because too many do.
const BUSY: HeaderValue = HeaderValue::from_static("2");
/// What is said about a body that is too long.
pub const BODY_TOO_LARGE: &str = "the request is too large";

/// One route, ready to serve.
#[derive(Debug)]
pub struct Route {
    path: PathPattern,
    rewrite: Option<RewriteConfig>,
    answer: Answer,
    access: Option<Access>,
    limit: Option<Arc<Limit>>,
    max_body: Option<u64>,
    /// What is put into pages.
    pub injection: Option<Injection>,
    /// Whether answers are compressed.
    pub compress: bool,
    maintenance: bool,
    request_headers: RequestChanges,
    response_headers: HeaderChanges,
    error_pages: ErrorPages,
    intercept_errors: bool,
}

#[derive(Debug)]
enum Answer {
    Upstreams,
    Files(Files),
    Redirect(RedirectConfig),
    Respond(Reply),
}

/// What becomes of a request.
#[derive(Debug)]
pub enum Turn {
    /// It goes on to the upstreams, with this target if that is another.
    Upstreams(Option<PathAndQuery>),
    /// This answers it.
    Reply(Reply),
    /// A file does; the reply is its head.
    File(Reply, Option<Pieces>),
}

impl Route {
    /// From the configuration of one; reads its error pages. One that was there `before` with the same configuration
    /// hands on what it knows of its clients.
    pub fn new(config: &RouteConfig, injection: Option<Injection>, before: Option<&Route>) -> Route {
        let answer = match (&config.files, &config.redirect, &config.respond) {
            (Some(files), ..) => Answer::Files(Files::new(files, injection.is_some(), config.compress)),
            (_, Some(redirect), _) => Answer::Redirect(redirect.clone()),
            (_, _, Some(respond)) => Answer::Respond(respond.reply()),
            (None, None, None) => Answer::Upstreams,
        };
        Route {
            path: config.path.clone(),
            rewrite: config.rewrite.clone(),
            answer,
            access: config.access.as_ref().map(Access::new),
            limit: match before {
                Some(before) => before.limit.clone(),
                None => config.rate_limit.as_ref().and_then(Limit::new).map(Arc::new),
            },
            max_body: config.max_body.map(|size| size.as_u64()),
            injection,
            compress: config.compress,
            maintenance: config.maintenance,
            request_headers: RequestChanges::new(&config.request_headers),
            response_headers: config.response_headers.clone(),
            error_pages: ErrorPages::load(&config.error_pages, before.map(|before| &before.error_pages)),
            intercept_errors: config.intercept_errors,
        }
    }

    /// Decides about a request.
    pub async fn turn(&self, view: &View<'_>) -> Turn {
        if let Err(refused) = self.admit(view).await {
            return Turn::Reply(refused);
        }
        let plain = canonical(view.asked.path);
        let captures = self.path.regex().and_then(|pattern| pattern.captures(&plain));
        let target = match &self.rewrite {
            None => None,
            Some(rewrite) => match rewrite.target(view, captures.as_ref()) {
                Some(target) => Some(target),
                None => {
                    return Turn::Reply(self.page(StatusCode::BAD_REQUEST, "there is no such address", view));
                }
            },
        };
        let mut reply = match &self.answer {
            Answer::Upstreams => return Turn::Upstreams(target),
            Answer::Files(files) => return self.file(files, view, target.as_ref()).await,
            Answer::Redirect(redirect) => redirect.reply(view, captures.as_ref()),
            Answer::Respond(reply) => reply.clone(),
        };
        self.dress(view, &mut reply.headers);
        Turn::Reply(reply)
    }

    /// What keeps a request out, cheapest first.
    async fn admit(&self, view: &View<'_>) -> Result<(), Reply> {
        let headers = view.asked.headers;
        if let Some(access) = &self.access {
            access.admit_address(view.client).map_err(|denied| self.denied(denied, view))?;
        }
        if self.maintenance {
            let mut reply = self.page(StatusCode::SERVICE_UNAVAILABLE, "the site is being worked on", view);
            reply.headers.push((header::RETRY_AFTER, MAINTENANCE));
            return Err(reply);
        }
        if let Some(limit) = &self.limit {
            limit.count(view.client, headers).map_err(|wait| {
                let mut reply = self.page(StatusCode::TOO_MANY_REQUESTS, "you have asked too often", view);
                let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
                reply.headers.push((header::RETRY_AFTER, HeaderValue::from(seconds.max(1))));
                reply
            })?;
        }
        if let Some(access) = &self.access {
            access.admit_password(headers).await.map_err(|denied| self.denied(denied, view))?;
        }
        let length = headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
        if self.is_too_long(length.unwrap_or(0)) {
            return Err(self.page(StatusCode::PAYLOAD_TOO_LARGE, BODY_TOO_LARGE, view));
        }
        Ok(())
    }

    /// Whether a request's body may not have this many bytes.
    pub fn is_too_long(&self, length: u64) -> bool {
        self.max_body.is_some_and(|max| length > max)
    }

    fn denied(&self, denied: Denied, view: &View<'_>) -> Reply {
        let (status, sentence) = denied.answer();
        let mut reply = self.page(status, sentence, view);
        match denied {
            Denied::Password(challenge) => reply.headers.push((header::WWW_AUTHENTICATE, challenge)),
            Denied::Busy => reply.headers.push((header::RETRY_AFTER, BUSY)),
            Denied::Address => {}
        }
        reply
    }

    async fn file(&self, files: &Files, view: &View<'_>, target: Option<&PathAndQuery>) -> Turn {
        let asked = &view.asked;
        let path = target.map_or(asked.path, PathAndQuery::path);
        let visited = match asked.query {
            Some(query) => Cow::Owned(format!("{}?{query}", asked.path)),
            None => Cow::Borrowed(asked.path),
        };
        let found: FileReply = files.reply(asked.method, &canonical(path), &visited, asked.headers).await;
        if found.wants_page() {
            let sentence = match found.status {
                StatusCode::NOT_FOUND => "there is nothing here",
                StatusCode::METHOD_NOT_ALLOWED => "this can only be read",
                StatusCode::FORBIDDEN => "this may not be read",
                StatusCode::PRECONDITION_FAILED => "this has changed",
                _ => "something went wrong here",
            };
            let mut page = self.page(found.status, sentence, view);
            page.headers.extend(found.headers);
            return Turn::Reply(page);
        }
        let mut headers = found.headers;
        self.dress(view, &mut headers);
        Turn::File(Reply { status: found.status, headers, body: Default::default() }, found.body)
    }

    /// A page about an error of ours.
    pub fn page(&self, status: StatusCode, sentence: &str, view: &View<'_>) -> Reply {
        let mut reply = self.error_pages.page(status, sentence, view.request_id, view.asked.headers);
        self.dress(view, &mut reply.headers);
        reply
    }

    /// Whether an upstream's answer with this status gets a page of the operator's in place of its body.
    pub fn intercepts(&self, status: StatusCode) -> bool {
        self.intercept_errors && self.error_pages.has(status)
    }

    /// That page, and what its headers say of it.
    pub fn page_in_place(&self, status: StatusCode, view: &View<'_>) -> Reply {
        self.error_pages.page(status, "", view.request_id, view.asked.headers)
    }

    /// Whether it has its own say about the request header of this name, in lower case, `_` being `-`.
    pub fn settles(&self, name: &str) -> bool {
        self.request_headers.settles(name)
    }

    /// The headers of a request to an upstream.
    pub fn change_request(&self, view: &View<'_>, header: &mut RequestHeader) {
        self.request_headers.change(view, header);
    }

    /// The headers of an upstream's answer.
    pub fn change_response(&self, view: &View<'_>, header: &mut ResponseHeader) {
        self.response_headers.change_response(view, header);
    }

    fn dress(&self, view: &View<'_>, headers: &mut Vec<(HeaderName, HeaderValue)>) {
        if !self.response_headers.is_empty() {
            self.response_headers.change_reply(view, headers);
        }
    }
}

/// What templates are filled from, of a request as the server has it.
pub fn asked<'a>(header: &'a RequestHeader, host: &'a str) -> Asked<'a> {
    let headers: &'a HeaderMap = &header.headers;
    Asked { method: &header.method, host, path: header.uri.path(), query: header.uri.query(), headers }
}

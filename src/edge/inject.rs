//! Puts the tracking script into the pages of a route that asks for it, as they stream by: one tag, before the first
//! script of the head or at the head's end. Pure.
//!
//! Only whole pages are touched: 200, `GET`, `text/html` that begins as a document does, in no content coding, without
//! `no-transform`. A page that has the script in its head, as far as that has come when the place is found, is left
//! alone, and so is one whose content security policy would block it. Nothing is held back but an unfinished tag.

mod config;
mod policy;
mod scanner;

use std::{
    borrow::Cow,
    sync::atomic::{AtomicBool, Ordering::Relaxed},
};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, StatusCode, Version, header};
use pingora::http::{RequestHeader, ResponseHeader};

pub use self::config::Inject;
use self::{
    policy::{Consent, consent},
    scanner::{Scanned, Scanner, Sight, Tag},
};
use super::compress::{forbids, reshape};

/// What is put into a route's pages.
#[derive(Debug)]
pub struct Injection {
    /// The tag up to where a nonce may stand.
    tag: String,
    /// Path of the script.
    script: String,
    /// Whether it was said that a policy is in the way.
    told: AtomicBool,
}

/// A page on its way.
#[derive(Debug)]
pub struct Injector {
    scanner: Scanner,
    tag: String,
    place: Place,
}

/// Where a page and its script are.
#[derive(Debug)]
struct Place {
    host: String,
    script: String,
    secure: bool,
    /// What the tag has, to run by the policies of the header.
    nonce: Option<String>,
}

impl Injection {
    /// Of the script at this path, for this stream.
    pub fn new(script: &str, inject: &Inject) -> Option<Injection> {
        let stream = match inject {
            Inject::Off => return None,
            Inject::On => "1",
            Inject::Stream(id) => id,
        };
        let tag = format!(r#"<script async src="{}" data-stream="{}""#, escaped(script), escaped(stream));
        Some(Injection { tag, script: script.to_owned(), told: AtomicBool::new(false) })
    }

    /// Whether a request may be for a page, so that it should be asked for in no coding. What else a browser asks for
    /// may come compressed.
    pub fn wants_plain(&self, method: &Method, headers: &HeaderMap) -> bool {
        let accepts = headers.get_all(header::ACCEPT).iter();
        *method == Method::GET
            && !headers.contains_key(header::RANGE)
            && accepts.into_iter().any(|line| memchr::memmem::find(line.as_bytes(), b"text/html").is_some())
    }

    /// Begins with an answer if it is a page that may be changed, and changes its header then: the body has to go
    /// through what is returned. `host` is the visitor's.
    pub fn begin(
        &self,
        request: &RequestHeader,
        host: &str,
        secure: bool,
        response: &mut ResponseHeader,
    ) -> Option<Injector> {
        if !is_page(request, response) {
            return None;
        }
        let policies = response.headers.get_all(header::CONTENT_SECURITY_POLICY);
        let Some(injector) = self.page(host, secure, policies) else {
            if !self.told.swap(true, Relaxed) {
                tracing::warn!(
                    host, path = request.uri.path(), script = %self.script,
                    "a page's content security policy would block the tracking script, which is not injected; \
                     hint: allow `'self'` in `script-src`"
                );
            }
            return None;
        };
        reshape(response).ok()?;
        Some(injector)
    }

    /// Begins with a page, unless one of its policies is in the way.
    pub fn page<'a>(
        &self,
        host: &str,
        secure: bool,
        policies: impl IntoIterator<Item = &'a HeaderValue>,
    ) -> Option<Injector> {
        // What cannot be read allows nothing.
        let policies = policies.into_iter().map(|line| line.to_str().unwrap_or("default-src 'none'"));
        let (nonce, attribute) = match consent(policies, host, &self.script, secure) {
            Consent::Free => (None, String::new()),
            Consent::Nonce(nonce) => {
                let attribute = format!(r#" nonce="{nonce}""#);
                (Some(nonce), attribute)
            }
            Consent::Blocked => return None,
        };
        let tag = format!("{}{attribute}></script>", self.tag);
        let place = Place { host: host.to_owned(), script: self.script.clone(), secure, nonce };
        Some(Injector { scanner: Scanner::new(), tag, place })
    }
}

impl Injector {
    /// What to send in place of a piece; `last` ends the page.
    pub fn piece(&mut self, piece: Option<Bytes>, last: bool) -> Option<Bytes> {
        if self.scanner.is_done() {
            return piece;
        }
        let place = &self.place;
        let mut out =
            match self.scanner.piece(piece.as_deref().unwrap_or_default(), last, |name, tag| place.see(name, tag)) {
                Scanned::Pass(bytes) => bytes,
                Scanned::Place(mut before, behind) => {
                    if !place.has_script(&behind) {
                        before.extend_from_slice(self.tag.as_bytes());
                    }
                    before.extend_from_slice(&behind);
                    before
                }
            };
        out.shrink_to_fit();
        (!out.is_empty() || last).then(|| out.into())
    }
}

impl Place {
    /// Judges what comes before the place.
    fn see(&self, name: &[u8], tag: &Tag<'_>) -> Sight {
        let is_theirs = match name {
            b"script" => self.is_script(tag),
            b"meta" => !self.is_allowed(tag),
            _ => false,
        };
        if is_theirs { Sight::GiveUp } else { Sight::Pass }
    }

    /// Whether this is the tracking script, whoever put it there.
    fn is_script(&self, tag: &Tag<'_>) -> bool {
        let Some(src) = tag.attribute("src") else { return false };
        let src = src.trim_ascii();
        let path = src.split(|byte| matches!(byte, b'?' | b'#')).next().unwrap_or_default();
        path.ends_with(self.script.as_bytes())
    }

    /// Whether a page's own element lets the tag run, if it is a policy.
    fn is_allowed(&self, tag: &Tag<'_>) -> bool {
        let is_policy = tag
            .attribute("http-equiv")
            .is_some_and(|name| name.trim_ascii().eq_ignore_ascii_case(b"content-security-policy"));
        if !is_policy {
            return true;
        }
        let content = String::from_utf8_lossy(tag.attribute("content").unwrap_or_default());
        let content: Cow<'_, str> = match content.contains('&') {
            true => content.replace("&#39;", "'").replace("&#x27;", "'").replace("&apos;", "'").into(),
            false => content,
        };
        match consent(std::iter::once(&*content), &self.host, &self.script, self.secure) {
            Consent::Free => true,
            Consent::Nonce(nonce) => self.nonce.as_ref() == Some(&nonce),
            Consent::Blocked => false,
        }
    }

    /// Whether the script is in what has come of the page behind the place.
    fn has_script(&self, mut rest: &[u8]) -> bool {
        while let Some(at) = memchr::memchr(b'<', rest) {
            rest = &rest[at..];
            if rest.get(1..7).is_some_and(|name| name.eq_ignore_ascii_case(b"script"))
                && let Some(tag) = Tag::read(rest)
            {
                if self.is_script(&tag) {
                    return true;
                }
                rest = &rest[tag.length..];
            } else {
                rest = &rest[1..];
            }
        }
        false
    }
}

fn is_page(request: &RequestHeader, response: &ResponseHeader) -> bool {
    let headers = &response.headers;
    let kind = headers.get(header::CONTENT_TYPE).map_or(&b""[..], HeaderValue::as_bytes).to_ascii_lowercase();
    let mut parts = kind.split(|byte| *byte == b';').map(<[u8]>::trim_ascii);
    let is_html = parts.next() == Some(b"text/html");
    // Those have other bytes for `<`.
    let is_wide = parts.any(|part| {
        part.starts_with(b"charset=")
            && [&b"utf-16"[..], b"utf-32", b"ucs"].iter().any(|wide| memchr::memmem::find(part, wide).is_some())
    });
    let coding = headers.get(header::CONTENT_ENCODING);
    let is_attached = headers
        .get(header::CONTENT_DISPOSITION)
        .is_some_and(|value| value.as_bytes().to_ascii_lowercase().starts_with(b"attachment"));
    request.method == Method::GET
        // Without chunks, as in HTTP/1.0, the length would have to be known.
        && request.version > Version::HTTP_10
        && !request.headers.contains_key(header::RANGE)
        && response.status == StatusCode::OK
        && is_html
        && !is_wide
        && !is_attached
        && coding.is_none_or(|coding| coding.as_bytes().eq_ignore_ascii_case(b"identity"))
        && !headers.contains_key(header::CONTENT_RANGE)
        && !forbids(&request.headers)
        && !forbids(headers)
}

/// A text as the value of an attribute between double quotes.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('"', "&quot;").replace('<', "&lt;")
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::edge::exchange::exchange;

    const TAG: &str = r#"<script async src="/static/v6.js" data-stream="1"></script>"#;

    fn begin(request: &str, status: u16, response: &str) -> (Option<Injector>, ResponseHeader) {
        let (asked, mut answer) = exchange(request, status, response);
        let injection = Injection::new("/static/v6.js", &Inject::On).unwrap();
        (injection.begin(&asked, "a.example", true, &mut answer), answer)
    }

    const HTML: &str = "Content-Type: text/html; charset=utf-8\nContent-Length: 50\n";

    /// A page as it comes out, however it is cut.
    #[track_caller]
    fn page(headers: &str, page: &str) -> String {
        let mut whole: Option<String> = None;
        for cut in (0..=page.len()).rev() {
            let (first, second) = page.as_bytes().split_at(cut);
            let mut injector = begin("", 200, headers).0.unwrap();
            let mut out = Vec::new();
            out.extend(injector.piece(Some(Bytes::copy_from_slice(first)), false).unwrap_or_default());
            out.extend(injector.piece(Some(Bytes::copy_from_slice(second)), false).unwrap_or_default());
            out.extend(injector.piece(None, true).unwrap_or_default());
            let out = String::from_utf8(out).unwrap();
            let nonced = TAG.replace("></", " nonce=\"abc\"></");
            assert_eq!(out.replace(TAG, "").replace(&nonced, ""), page, "cut at {cut}: nothing is lost");
            whole.get_or_insert(out);
        }
        whole.unwrap()
    }

    #[test]
    fn a_page_gets_one_tag() {
        let found =
            page(HTML, "<!doctype html><html><head><title>a</title><script>1</script><script>2</script></head>");
        let expected =
            format!("<!doctype html><html><head><title>a</title>{TAG}<script>1</script><script>2</script></head>");
        assert_eq!(found, expected);
    }

    #[test]
    fn a_page_that_has_the_script_is_left_alone() {
        for theirs in [
            "<html><head><script defer data-stream=7 src=https://a.example/static/v6.js?x></script></head>",
            "<html><head><script>1</script><SCRIPT SRC='/static/v6.js'></script></head>",
            "<html><head></head><body><p>x<script src=\"/static/v6.js\">",
        ] {
            let whole = {
                let mut injector = begin("", 200, HTML).0.unwrap();
                injector.piece(Some(theirs.into()), true).unwrap()
            };
            assert_eq!(whole, theirs);
        }
        let other = "<html><head><script src=/other.js></script></head>";
        assert!(page(HTML, other).contains(TAG));
    }

    #[test]
    fn only_whole_pages_that_may_be_changed_are_begun_with() {
        for (request, status, response) in [
            ("", 404, HTML.to_owned()),
            ("", 206, HTML.to_owned()),
            ("Range: bytes=0-", 200, HTML.to_owned()),
            ("Cache-Control: no-transform", 200, HTML.to_owned()),
            ("", 200, format!("{HTML}Cache-Control: private, no-transform")),
            ("", 200, format!("{HTML}Content-Encoding: gzip")),
            ("", 200, format!("{HTML}Content-Disposition: attachment")),
            ("", 200, "Content-Type: text/html; charset=UTF-16".to_owned()),
            ("", 200, "Content-Type: application/xhtml+xml".to_owned()),
            ("", 200, String::new()),
            ("", 200, format!("{HTML}Content-Security-Policy: default-src 'none'")),
        ] {
            let (injector, answer) = begin(request, status, &response);
            assert!(injector.is_none(), "{request} {status} {response}");
            assert_eq!(answer.headers.get(header::TRANSFER_ENCODING), None, "{response}");
        }
        let (injector, answer) = begin(
            "",
            200,
            &format!("{HTML}ETag: \"a\"\nAccept-Ranges: bytes\nContent-Digest: sha-256=:a:\nContent-MD5: a"),
        );
        assert!(injector.is_some());
        assert_eq!(answer.headers[header::ETAG], "W/\"a\"");
        for gone in ["content-length", "accept-ranges", "content-digest", "content-md5"] {
            assert!(!answer.headers.contains_key(gone), "{gone}");
        }
    }

    #[test]
    fn policies_are_heard() {
        let headers = format!("{HTML}Content-Security-Policy: script-src 'nonce-abc' 'strict-dynamic'");
        let found = page(&headers, "<html><head></head>");
        assert_eq!(found, format!("<html><head>{}</head>", TAG.replace("></", " nonce=\"abc\"></")));
        for (element, fits) in [
            ("<meta http-equiv=\"Content-Security-Policy\" content=\"script-src 'self'\">", true),
            ("<meta http-equiv='content-security-policy' content='default-src &#39;self&#39;'>", true),
            ("<meta http-equiv=content-security-policy content=\"script-src 'none'\">", false),
            ("<meta http-equiv=content-security-policy content=\"script-src 'nonce-x'\">", false),
        ] {
            let found = page(HTML, &format!("<html><head>{element}</head>"));
            assert_eq!(found.contains(TAG), fits, "{element}");
        }
    }

    #[test]
    fn what_the_operator_says_stays_within_its_quotes() {
        let injection = Injection::new("/a&\"b.js", &Inject::Stream("<\"&".into())).unwrap();
        assert_eq!(injection.tag, "<script async src=\"/a&amp;&quot;b.js\" data-stream=\"&lt;&quot;&amp;\"");
        assert!(Injection::new("/a.js", &Inject::Off).is_none());
    }
}

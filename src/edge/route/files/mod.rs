//! Static files from a folder.
//!
//! The path of a request leads from the folder down and never out of it, by `..`, by links or by anything else; names
//! that begin with a dot are not served, except below `/.well-known`. A file is never read as a whole: one piece is in
//! memory per request, and reading is left to threads that may block.

mod open;
mod range;

use std::{
    fs::File,
    io,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use serde::{Deserialize, Serialize};

use self::open::{Opened, open};
pub use self::range::{Asked as Range, asked as range};
use super::{canonical, template::escaped};
use crate::{
    edge::{
        list::members,
        negotiate::{IDENTITY, matches_etag, quality},
    },
    problem::Problem,
};

/// Read and sent at once.
const PIECE: u64 = 64 << 10;
/// Codings of files that stand beside the plain one, ours first among a client's equals: the densest.
const CODINGS: [(&str, &str); 3] = [("br", ".br"), ("zstd", ".zst"), ("gzip", ".gz")];

/// `routes[].files:` - answers with files.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FilesConfig {
    /// The folder.
    pub root: PathBuf,
    /// What stands for a folder; empty: nothing does.
    pub index: String,
    /// What stands for a path without a file, such as `index.html` of an application that routes in the browser.
    pub fallback: String,
    /// Whether `app.js.br`, `app.js.zst` and `app.js.gz` are sent in place of `app.js` to those who can read them.
    pub precompressed: bool,
}

impl Default for FilesConfig {
    fn default() -> FilesConfig {
        FilesConfig { root: PathBuf::new(), index: "index.html".into(), fallback: String::new(), precompressed: true }
    }
}

impl FilesConfig {
    /// Finds what parsing cannot see.
    pub fn check(&self, path: &str, problems: &mut Vec<Problem>) {
        let root = self.root.display();
        if self.root.as_os_str().is_empty() {
            problems.push(Problem::new(format!("{path}.root"), "no folder").hint("say `root: /srv/www`"));
        } else if !self.root.is_dir() {
            problems.push(Problem::new(format!("{path}.root"), format!("`{root}` is not a folder")));
        }
        for (key, name, slash) in [("index", &self.index, false), ("fallback", &self.fallback, true)] {
            let beyond = name.split('/').any(|part| part.starts_with('.')) || name.starts_with('/');
            if beyond || (!slash && name.contains('/')) {
                let problem = Problem::new(format!("{path}.{key}"), format!("`{name}` is not a file in `root`"));
                problems.push(problem.hint("such as `index.html`"));
            }
        }
    }
}

/// The files of one route.
#[derive(Debug)]
pub struct Files {
    config: Arc<FilesConfig>,
    /// Whether pages are changed on their way, for which they have to be plain.
    plain_pages: bool,
    /// Whether files are compressed on their way.
    compressed: bool,
}

/// The head of an answer, and what its body comes from.
#[derive(Debug)]
pub struct FileReply {
    /// 200, 206, 304, 404 and so on. Errors have no body here.
    pub status: StatusCode,
    /// With `Content-Length`, except for errors.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// None for `HEAD`, and when there is nothing to send.
    pub body: Option<Pieces>,
}

/// A part of a file, read piece by piece.
#[derive(Debug)]
pub struct Pieces {
    file: Arc<File>,
    at: u64,
    left: u64,
    /// Read together with the file's head.
    first: Option<Bytes>,
}

impl Files {
    /// Serves this folder.
    pub fn new(config: &FilesConfig, plain_pages: bool, compressed: bool) -> Files {
        Files { config: Arc::new(config.clone()), plain_pages, compressed }
    }

    /// Answers for a path in its canonical form; `visited` is what the visitor asked for, with the query.
    pub async fn reply(&self, method: &Method, path: &str, visited: &str, request: &HeaderMap) -> FileReply {
        if method != Method::GET && method != Method::HEAD {
            let headers = vec![(header::ALLOW, HeaderValue::from_static("GET, HEAD"))];
            return FileReply { status: StatusCode::METHOD_NOT_ALLOWED, headers, body: None };
        }
        let (config, path, visited) = (self.config.clone(), path.to_owned(), visited.to_owned());
        let (request, plain_pages, compressed) = (request.clone(), self.plain_pages, self.compressed);
        let with_body = method == Method::GET;
        let find = tokio::task::spawn_blocking(move || {
            find(&config, &path, &visited, &Asking { request: &request, with_body, plain_pages, compressed })
        });
        find.await.unwrap_or_else(|error| {
            tracing::error!(%error, "looking for a file has failed");
            FileReply::error(StatusCode::INTERNAL_SERVER_ERROR)
        })
    }
}

impl FileReply {
    fn error(status: StatusCode) -> FileReply {
        FileReply { status, headers: Vec::new(), body: None }
    }

    /// Whether the operator's or our page belongs to it.
    pub fn wants_page(&self) -> bool {
        self.status.is_client_error() && self.status != StatusCode::RANGE_NOT_SATISFIABLE
            || self.status.is_server_error()
    }
}

impl Pieces {
    /// The next piece; `None` at the end. An error when the file is shorter than it was.
    pub async fn next(&mut self) -> io::Result<Option<Bytes>> {
        if let Some(first) = self.first.take() {
            return Ok(Some(first));
        }
        if self.left == 0 {
            return Ok(None);
        }
        let (file, at, size) = (self.file.clone(), self.at, self.left.min(PIECE));
        let read = tokio::task::spawn_blocking(move || piece(&file, at, size));
        let bytes = read.await.map_err(io::Error::other)??;
        self.at += size;
        self.left -= size;
        Ok(Some(bytes))
    }
}

fn piece(file: &File, at: u64, size: u64) -> io::Result<Bytes> {
    let mut bytes = vec![0; size as usize];
    file.read_exact_at(&mut bytes, at)?;
    Ok(bytes.into())
}

/// What matters of a request.
struct Asking<'a> {
    request: &'a HeaderMap,
    with_body: bool,
    plain_pages: bool,
    compressed: bool,
}

/// What is found under a path.
fn find(config: &FilesConfig, path: &str, visited: &str, asking: &Asking<'_>) -> FileReply {
    let name = path.trim_start_matches('/');
    let found = match is_hidden(name) {
        true => Err(io::ErrorKind::NotFound.into()),
        false => open(&config.root, name.trim_end_matches('/')),
    };
    let (name, opened) = match found {
        Ok(Opened::Folder) if config.index.is_empty() => (name, Err(io::ErrorKind::NotFound.into())),
        Ok(Opened::Folder) => {
            let index =
                format!("{name}{}{}", if name.is_empty() || name.ends_with('/') { "" } else { "/" }, config.index);
            let opened = open(&config.root, &index);
            if matches!(opened, Ok(Opened::File(..)))
                && let Some(to) = as_folder(visited)
            {
                return FileReply {
                    status: StatusCode::PERMANENT_REDIRECT,
                    headers: vec![(header::LOCATION, to)],
                    body: None,
                };
            }
            return answer(config, &index, opened, asking);
        }
        Ok(Opened::File(..)) if name.ends_with('/') => (name, Err(io::ErrorKind::NotFound.into())),
        opened => (name, opened),
    };
    answer(config, name, opened, asking)
}

fn answer(config: &FilesConfig, name: &str, opened: io::Result<Opened>, asking: &Asking<'_>) -> FileReply {
    let missing = matches!(&opened, Err(error) if error.kind() == io::ErrorKind::NotFound)
        || matches!(opened, Ok(Opened::Folder | Opened::Other));
    let (name, opened) = if missing && !config.fallback.is_empty() {
        (config.fallback.as_str(), open(&config.root, &config.fallback))
    } else {
        (name, opened)
    };
    let plain = match opened {
        Ok(Opened::File(plain)) => plain,
        Ok(Opened::Folder | Opened::Other) => return FileReply::error(StatusCode::NOT_FOUND),
        Err(error) => {
            return FileReply::error(match error.kind() {
                io::ErrorKind::NotFound => StatusCode::NOT_FOUND,
                io::ErrorKind::PermissionDenied => StatusCode::FORBIDDEN,
                _ => {
                    tracing::warn!(folder = %config.root.display(), name, %error, "cannot open a file");
                    StatusCode::INTERNAL_SERVER_ERROR
                }
            });
        }
    };
    let kind = content_type(Path::new(name));
    let (coding, file) = match asking.plain_pages && kind.as_bytes().starts_with(b"text/html") {
        true => (IDENTITY, plain),
        false => choose(config, name, plain, asking.request),
    };
    represent(config, kind, coding, file, asking).unwrap_or_else(|error| {
        tracing::warn!(folder = %config.root.display(), name, %error, "cannot read a file");
        FileReply::error(StatusCode::INTERNAL_SERVER_ERROR)
    })
}

/// Whether a name on the way begins with a dot; `.well-known` at the top is for everybody (RFC 8615).
fn is_hidden(name: &str) -> bool {
    let rest = name.strip_prefix(".well-known/").unwrap_or(name);
    rest.split('/').any(|part| part.starts_with('.')) || name.contains('\0')
}

/// Links in a page are relative to its folder only if the address ends with a slash: the address that does, if this one
/// does not.
fn as_folder(visited: &str) -> Option<HeaderValue> {
    let (path, query) = visited.split_once('?').map_or((visited, None), |(path, query)| (path, Some(query)));
    let path = canonical(path);
    if path.ends_with('/') {
        return None;
    }
    // The canonical form begins with one slash, so this is never another host's.
    let query = query.map(|query| format!("?{query}")).unwrap_or_default();
    HeaderValue::try_from(format!("{}/{query}", escaped(&path))).ok()
}

/// The client's favourite coding among those that are there; the plain file when it likes that as much.
fn choose(config: &FilesConfig, name: &str, plain: File, request: &HeaderMap) -> (&'static str, File) {
    if !config.precompressed || !request.contains_key(header::ACCEPT_ENCODING) {
        return (IDENTITY, plain);
    }
    let mut liked = CODINGS.map(|(coding, suffix)| (quality(request, coding), coding, suffix));
    // Stable: our order among equals.
    liked.sort_by_key(|(quality, ..)| std::cmp::Reverse(*quality));
    let floor = quality(request, IDENTITY);
    for (_, coding, suffix) in liked.into_iter().filter(|(quality, ..)| *quality > floor) {
        if let Ok(Opened::File(file)) = open(&config.root, &format!("{name}{suffix}")) {
            return (coding, file);
        }
    }
    (IDENTITY, plain)
}

fn represent(
    config: &FilesConfig,
    kind: HeaderValue,
    coding: &'static str,
    file: File,
    asking: &Asking<'_>,
) -> io::Result<FileReply> {
    let Asking { request, with_body, .. } = *asking;
    let metadata = file.metadata()?;
    let length = metadata.len();
    let modified = metadata.modified()?;
    let nanos = modified.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos());
    let suffix = if coding == IDENTITY { String::new() } else { format!("-{coding}") };
    let etag = HeaderValue::try_from(format!("\"{nanos:x}-{length:x}{suffix}\"")).map_err(io::Error::other)?;
    let date = HeaderValue::try_from(httpdate::fmt_http_date(modified)).map_err(io::Error::other)?;

    let mut headers = vec![(header::ETAG, etag.clone()), (header::LAST_MODIFIED, date.clone())];
    if config.precompressed || asking.compressed {
        headers.push((header::VARY, HeaderValue::from_static("Accept-Encoding")));
    }
    if let Some(status) = precondition(request, &etag, modified) {
        return Ok(FileReply { status, headers, body: None });
    }
    headers.push((header::ACCEPT_RANGES, HeaderValue::from_static("bytes")));
    let (status, start, end) = match range(request, length, &etag, &date) {
        Range::Whole => (StatusCode::OK, 0, length),
        Range::Part { start, end } => {
            let range = HeaderValue::try_from(format!("bytes {start}-{}/{length}", end - 1));
            headers.extend(range.map(|range| (header::CONTENT_RANGE, range)));
            (StatusCode::PARTIAL_CONTENT, start, end)
        }
        Range::Beyond => {
            let range = HeaderValue::try_from(format!("bytes */{length}"));
            headers.extend(range.map(|range| (header::CONTENT_RANGE, range)));
            return Ok(FileReply { status: StatusCode::RANGE_NOT_SATISFIABLE, headers, body: None });
        }
    };
    headers.push((header::CONTENT_TYPE, kind));
    if coding != IDENTITY {
        headers.push((header::CONTENT_ENCODING, HeaderValue::from_static(coding)));
    }
    headers.push((header::CONTENT_LENGTH, HeaderValue::from(end - start)));
    if !with_body || start == end {
        return Ok(FileReply { status, headers, body: None });
    }
    let size = PIECE.min(end - start);
    let first = piece(&file, start, size)?;
    let body = Pieces { file: Arc::new(file), at: start + size, left: end - start - size, first: Some(first) };
    Ok(FileReply { status, headers, body: Some(body) })
}

/// The status that the request's conditions lead to, in the order of RFC 9110, 13.2.2; `None` is to go on.
fn precondition(request: &HeaderMap, etag: &HeaderValue, modified: SystemTime) -> Option<StatusCode> {
    // Dates have whole seconds.
    let seconds = |time: SystemTime| time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let date = |name| {
        let text = request.get(name)?.to_str().ok()?;
        httpdate::parse_http_date(text).ok().map(seconds)
    };
    let modified = seconds(modified);
    if request.contains_key(header::IF_MATCH) {
        if !members(request, &header::IF_MATCH).any(|tag| tag == b"*" || tag == etag.as_bytes()) {
            return Some(StatusCode::PRECONDITION_FAILED);
        }
    } else if date(header::IF_UNMODIFIED_SINCE).is_some_and(|since| modified > since) {
        return Some(StatusCode::PRECONDITION_FAILED);
    }
    let unchanged = if request.contains_key(header::IF_NONE_MATCH) {
        matches_etag(request, etag)
    } else {
        date(header::IF_MODIFIED_SINCE).is_some_and(|since| modified <= since)
    };
    unchanged.then_some(StatusCode::NOT_MODIFIED)
}

/// The type that a name's ending stands for; texts are UTF-8.
pub fn content_type(name: &Path) -> HeaderValue {
    let kind = mime_guess::from_path(name).first_raw().unwrap_or("application/octet-stream");
    let text = kind.starts_with("text/") || kind == "application/javascript";
    let kind = if text { format!("{kind}; charset=utf-8") } else { kind.to_owned() };
    HeaderValue::try_from(kind).unwrap_or(HeaderValue::from_static("application/octet-stream"))
}

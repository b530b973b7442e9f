//! Pages of the operator's own for errors that are ours, such as a site that is down or a request that is refused, and
//! where that is said for the site's own.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode, header};

use super::{config::Status, files::content_type};
use crate::{collect::Reply, edge::page::page, problem::Problem};

/// Longest page.
const MAX_PAGE: u64 = 1 << 20;

/// The pages of one route, by status, held in memory.
#[derive(Debug, Default)]
pub struct ErrorPages(Vec<(StatusCode, HeaderValue, String)>);

/// Finds what parsing cannot see of `routes[].error_pages:`.
pub fn check(pages: &BTreeMap<Status, PathBuf>, path: &str, problems: &mut Vec<Problem>) {
    for (status, file) in pages {
        let path = format!("{path}.{status}");
        if !(400..600).contains(&status.0.as_u16()) {
            problems.push(Problem::new(path, format!("`{status}` is not an error")).hint("400 to 599"));
        } else if let Err(error) = read(file) {
            problems.push(Problem::new(path, format!("`{}` cannot be read: {error}", file.display())));
        }
    }
}

impl ErrorPages {
    /// Reads them. One that cannot be read any more is as it was `before`, or passed over, with a warning.
    pub fn load(pages: &BTreeMap<Status, PathBuf>, before: Option<&ErrorPages>) -> ErrorPages {
        let load = |(status, file): (&Status, &PathBuf)| match read(file) {
            Ok(text) => Some((status.0, content_type(file), text)),
            Err(error) => {
                tracing::warn!(file = %file.display(), %error, "cannot read an error page");
                before?.0.iter().find(|(known, ..)| *known == status.0).cloned()
            }
        };
        ErrorPages(pages.iter().filter_map(load).collect())
    }

    /// Whether there is one of the operator's for this status.
    pub fn has(&self, status: StatusCode) -> bool {
        self.0.iter().any(|(known, ..)| *known == status)
    }

    /// The operator's page for this status, or ours. `{request_id}` and `{status}` in it are filled.
    pub fn page(&self, status: StatusCode, sentence: &str, request_id: &str, request: &HeaderMap) -> Reply {
        let Some((_, content_type, text)) = self.0.iter().find(|(known, ..)| *known == status) else {
            return page(status, sentence, request_id, request);
        };
        // Both are harmless in HTML and everywhere else.
        let text = text.replace("{request_id}", request_id).replace("{status}", status.as_str());
        let headers = vec![
            (header::CONTENT_TYPE, content_type.clone()),
            (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
        ];
        Reply { status, headers, body: Bytes::from(text) }
    }
}

fn read(file: &Path) -> io::Result<String> {
    let mut text = String::new();
    File::open(file)?.take(MAX_PAGE + 1).read_to_string(&mut text)?;
    if text.len() as u64 > MAX_PAGE {
        return Err(io::Error::other("it is longer than 1 MiB"));
    }
    Ok(text)
}

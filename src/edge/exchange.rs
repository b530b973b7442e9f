//! For tests: a request and its answer, by their headers.
#![allow(clippy::unwrap_used)]

use pingora::http::{RequestHeader, ResponseHeader};

/// A `GET /` with these headers and an answer with those; headers are `name: value` lines.
pub fn exchange(request: &str, status: u16, response: &str) -> (RequestHeader, ResponseHeader) {
    let mut asked = RequestHeader::build("GET", b"/", None).unwrap();
    let mut answer = ResponseHeader::build(status, None).unwrap();
    for (name, value) in request.lines().filter_map(|line| line.split_once(": ")) {
        asked.append_header(name.to_owned(), value).unwrap();
    }
    for (name, value) in response.lines().filter_map(|line| line.split_once(": ")) {
        answer.append_header(name.to_owned(), value).unwrap();
    }
    (asked, answer)
}

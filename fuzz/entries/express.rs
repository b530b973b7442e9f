//! What a connection begins with, in the eyes of the express lane.

use std::sync::LazyLock;

use bytes::BytesMut;
use http::Method;
use real_streaming::edge::foreign::{Extent, Found, Router, Said, Sound, find, judge, said, without_host};

static ROUTER: LazyLock<Router> = LazyLock::new(|| Router::new("/api/v1/streaming", "/v6.js", &[]));

const MAX_BODY: usize = 4096;

/// The bytes of a connection; a lone line feed at the end of a line stands for the pair, unless the first byte is `n`.
pub fn connection(data: &[u8]) {
    let text = match data.split_first() {
        Some((b'n', rest)) => rest.to_vec(),
        _ => data.split(|byte| *byte == b'\n').collect::<Vec<_>>().join(&b"\r\n"[..]),
    };
    let mut buffer = BytesMut::from(&text[..]);
    assert_eq!(judge(&text), judge(&text), "what is wrong does not change");
    if let Ok(sound) = judge(&text) {
        let plain = without_host(&text);
        assert_eq!(plain.is_some(), sound.is_absolute, "whether there is a host before the path");
        if let Some(plain) = plain {
            let same = judge(&plain).map(|plain| (plain.is_absolute, plain.extent));
            assert_eq!(same, Ok((false, sound.extent)), "without its host a target is a path");
        }
    }
    match find(&mut buffer, &ROUTER, MAX_BODY) {
        Found::Other => assert_eq!(buffer, text, "what is not taken stays"),
        Found::Part(whole) => {
            assert_eq!(buffer, text, "what is not complete stays");
            assert!(whole > text.len() && whole <= text.len() + MAX_BODY, "the rest is a part of a body");
        }
        Found::Event(request) => {
            assert_eq!(request.method, Method::POST);
            assert!(request.body <= buffer.len().min(MAX_BODY), "the body is there");
            assert!(request.uri.path().starts_with("/api/v1/streaming"));
            for framing in ["host", "content-length"] {
                assert_eq!(request.headers.get_all(framing).iter().count(), 1, "one `{framing}`");
            }
            assert_eq!(request.headers["content-length"].as_bytes(), digits(&request.headers["content-length"]));
            assert!(!request.headers.contains_key("transfer-encoding"), "its end is known");
            let sound = judge(&text[..text.len() - buffer.len()]);
            assert_eq!(
                sound.map(|sound| sound.extent),
                Ok(Extent::Length(request.body as u64)),
                "nobody can misread it"
            );
            a_shorter_one_is_never_taken(&text[..text.len() - buffer.len() + request.body]);
        }
    }
}

/// What a proxy says first: read in pieces as they are asked for, it ends, within bounds and within what was sent.
pub fn proxy_protocol(data: &[u8]) {
    let mut taken = 0;
    loop {
        match said(&data[..taken]) {
            Said::More(more) => {
                assert!(more > 0, "there is something to wait for");
                taken += more;
                assert!(taken <= 16 + 4096, "and it is not much");
                if taken > data.len() {
                    return;
                }
            }
            Said::Client(_) => {
                assert!(taken >= 15, "this is the shortest");
                return;
            }
            Said::Nonsense => return,
        }
    }
}

fn digits(value: &http::HeaderValue) -> Vec<u8> {
    value.as_bytes().iter().copied().filter(u8::is_ascii_digit).collect()
}

/// Where a packet ends must not decide what a request means.
fn a_shorter_one_is_never_taken(whole: &[u8]) {
    for len in (0..whole.len()).rev().take(200) {
        let found = find(&mut BytesMut::from(&whole[..len]), &ROUTER, MAX_BODY);
        assert!(!matches!(found, Found::Event(_)), "{len} of {} bytes are no event", whole.len());
    }
}

/// A header, an empty line, and what follows: the request reaches as far, in whatever pieces that comes.
pub fn extent(data: &[u8]) {
    let head = data.windows(4).position(|window| window == b"\r\n\r\n").map_or(data.len(), |at| at + 4);
    let (head, rest) = data.split_at(head);
    let Ok(Sound { extent: begun, .. }) = judge(head) else { return };
    let mut whole = begun;
    let taken = whole.take(rest);
    assert!(taken <= rest.len());
    assert!(
        taken == rest.len() || whole.is_over() || whole == Extent::Broken,
        "what is not its own comes after its end"
    );
    for size in [1, 2, 7] {
        let mut cut = begun;
        let sum: usize = rest.chunks(size).map(|piece| cut.take(piece)).sum();
        assert_eq!((sum, cut), (taken, whole), "in pieces of {size}");
    }
}

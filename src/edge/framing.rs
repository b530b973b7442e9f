//! What is wrong with the bytes of a request's header over HTTP/1, where the parser is more generous than is good for
//! whoever stands behind or before us: two parsers that disagree over one request are how requests are smuggled.

/// Why a header is refused (RFC 9112 and 9110); `None` for one that nobody can misread. `head` ends with the empty line
/// and has been parsed.
pub fn fault(head: &[u8]) -> Option<&'static str> {
    let start = head.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
    let mut lines = lines(&head[start..]);
    let first = lines.next().and_then(whole);
    let Some(first) = first else { return Some(BARE) };
    // A path, `*`, or a path behind a host, which the router leaves out.
    let target = first.split(|byte| *byte == b' ').nth(1).unwrap_or_default();
    let begins = |with: &[u8]| target.get(..with.len()).is_some_and(|start| start.eq_ignore_ascii_case(with));
    if !(begins(b"/") || target == b"*" || begins(b"http://") || begins(b"https://")) {
        return Some("the target is no path");
    }
    let (mut hosts, mut lengths, mut codings) = (0, 0, 0);
    for line in lines {
        let Some(line) = whole(line) else { return Some(BARE) };
        if line.is_empty() {
            break;
        }
        // 5.2: a line that begins with space goes on with the one before.
        if line[0] == b' ' || line[0] == b'\t' {
            return Some("a header is folded over two lines");
        }
        let colon = memchr::memchr(b':', line);
        let Some(colon) = colon else { return Some("a header has no colon") };
        let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
        // 5.1
        if name.iter().any(|byte| matches!(byte, b' ' | b'\t')) {
            return Some("a header's name ends with space");
        }
        match name.len() {
            4 if name.eq_ignore_ascii_case(b"host") => {
                hosts += 1;
                if !is_host(value) {
                    return Some("`Host` is no host");
                }
            }
            // 6.3: a list of the same number could be taken for one; no client has a reason to send it.
            14 if name.eq_ignore_ascii_case(b"content-length") => {
                lengths += 1;
                if value.is_empty() || !value.iter().all(u8::is_ascii_digit) {
                    return Some("`Content-Length` is no number");
                }
            }
            // 6.1: of other codings Pingora would take away the name and leave the body as it is.
            17 if name.eq_ignore_ascii_case(b"transfer-encoding") => {
                codings += 1;
                if !value.eq_ignore_ascii_case(b"chunked") {
                    return Some("`Transfer-Encoding` is not `chunked`");
                }
            }
            _ => {}
        }
    }
    // 6.1: it may be an attempt to smuggle.
    if lengths > 0 && codings > 0 {
        return Some("both `Content-Length` and `Transfer-Encoding`");
    }
    if lengths > 1 || codings > 1 {
        return Some("`Content-Length` or `Transfer-Encoding` twice");
    }
    // 3.2
    match hosts {
        0 if first.ends_with(b"HTTP/1.1") => Some("there is no `Host`"),
        0 | 1 => None,
        _ => Some("there is more than one `Host`"),
    }
}

/// Whether the first line consists of three words with one space between. Pingora would take more spaces for a part of
/// the target, and encode them, before anybody can see it; so the front asks this of every request.
pub fn is_three_words(head: &[u8]) -> bool {
    let line = head.split(|byte| *byte == b'\n').next().unwrap_or_default();
    line.iter().filter(|byte| matches!(byte, b' ' | b'\t')).count() == 2
}

const BARE: &str = "a line ends without its carriage return, or has another";

/// The lines of a header, each with its line feed. Whatever follows the last one is none.
pub fn lines(head: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut begin = 0;
    memchr::memchr_iter(b'\n', head).map(move |at| {
        let line = &head[begin..=at];
        begin = at + 1;
        line
    })
}

/// The line without its end, if that is what it should be, and the only one.
fn whole(line: &[u8]) -> Option<&[u8]> {
    line.strip_suffix(b"\r\n").filter(|line| !line.contains(&b'\r'))
}

/// A `Content-Length` of digits alone, so few that nothing overflows.
pub fn decimal(text: &[u8]) -> Option<u64> {
    let plain = (1..=18).contains(&text.len()) && text.iter().all(u8::is_ascii_digit);
    plain.then(|| text.iter().fold(0, |number, digit| number * 10 + u64::from(digit - b'0')))
}

/// Whether this can be a host, with a port or without: what it consists of (RFC 3986, 3.2.2), not whether it exists. It
/// goes into addresses and pages. Empty is allowed.
pub fn is_host(text: &[u8]) -> bool {
    let mark = |byte| matches!(byte, b'!' | b'$'..=b'.' | b':' | b';' | b'=' | b'[' | b']' | b'_' | b'~');
    text.iter().all(|&byte| byte.is_ascii_alphanumeric() || mark(byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_parsers_disagree_over_is_a_fault() {
        let get = |lines: &str| fault(format!("GET / HTTP/1.1\r\n{lines}\r\n").as_bytes());
        for fine in [
            "Host: a.example:8080\r\n",
            "host:[::1]:80\r\nX: a:b\r\nEmpty:\r\n",
            "Host:\r\n",
            "Host: a\r\nContent-Length: 1\r\n",
            "Host: a\r\nTransfer-Encoding: chunked\r\n",
        ] {
            assert_eq!(get(fine), None, "{fine:?}");
        }
        assert_eq!(fault(b"\r\nGET / HTTP/1.0\r\n\r\n"), None);
        for faulty in [
            "",
            "Host: a\n",
            "Host: a\r\nX: a\rb\r\n",
            "Host: a\r\nX: a\r\n b\r\n",
            "Host: a\r\nX : a\r\n",
            "Host: a\r\nX\r\n",
            "Host: a\r\nHost: a\r\n",
            "Host: a b\r\n",
            "Host: user@a\r\n",
            "Host: a/b\r\n",
            "Host: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n",
            "Host: a\r\nContent-Length: 1\r\nContent-Length: 1\r\n",
            "Host: a\r\nContent-Length: 1, 1\r\n",
            "Host: a\r\nContent-Length:\r\n",
            "Host: a\r\nTransfer-Encoding: gzip, chunked\r\n",
            "Host: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
        ] {
            assert!(get(faulty).is_some(), "{faulty:?}");
        }
        assert!(fault(b"GET / HTTP/1.0\nHost: a\r\n\r\n").is_some());
    }
}

//! E-mail addresses in any text, escaped or not, and the user in front of an address's host.
//!
//! What looks like one is one: `name@host.tld`, in letters of any script. Not taken for one: `logo@2x.png` and versions
//! such as `package@1.2.3`. One pass from left to right; no byte is looked at more than three times.

use std::ops::Range;

use super::escaped::{Edit, unit};

/// The text without them; `None` when there are none.
pub fn redact(text: &str) -> Option<String> {
    let bytes = text.as_bytes();
    // An escaped `@` is `%40` or, escaped again, `%2540`.
    let first = memchr::memchr2(b'@', b'%', bytes)?;
    if bytes[first] == b'%' && memchr::memchr(b'@', &bytes[first..]).is_none() && !text[first..].contains("40") {
        return None;
    }
    let mut edit = Edit::new(text);
    let mut at = 0;
    if let Some(user) = user(text) {
        at = user.end + 1;
        edit.redact(user);
    }
    let mut local = None;
    while at < bytes.len() {
        let next = unit(bytes, at);
        let start = at;
        at = next.end;
        if next.byte == b'@' {
            if let Some(start) = local.take()
                && let Some(end) = domain_end(bytes, at)
            {
                edit.redact(start..end);
                at = end;
            }
        } else if is_local(next.byte) {
            local.get_or_insert(start);
        } else {
            local = None;
        }
    }
    edit.finish()
}

/// Name and password before the `@` and the host of an address.
fn user(text: &str) -> Option<Range<usize>> {
    let (scheme, after) = text.split_once("://")?;
    if !scheme.trim_ascii_start().bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte)) {
        return None;
    }
    let start = text.len() - after.len();
    let end = after.find(['/', '?', '#', '\\']).map_or(text.len(), |end| start + end);
    let user = text[start..end].rfind('@').filter(|length| *length > 0)?;
    Some(start..start + user)
}

fn is_local(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'+' | b'-' | b'~') || !byte.is_ascii()
}

/// A label of a domain while it is read.
#[derive(Clone, Copy, Default)]
struct Label {
    length: usize,
    first: u8,
    last: u8,
    only_digits: bool,
}

impl Label {
    fn push(&mut self, byte: u8) {
        let is_first = self.length == 0;
        if is_first {
            self.first = byte;
        }
        self.only_digits = (is_first || self.only_digits) && byte.is_ascii_digit();
        self.last = byte;
        self.length += 1;
    }

    fn is_top_level(&self) -> bool {
        self.length >= 2 && (self.first.is_ascii_alphabetic() || !self.first.is_ascii())
    }

    /// `2x`, as in `logo@2x.png`.
    fn is_scale(&self) -> bool {
        self.length == 2 && self.first.is_ascii_digit() && self.last == b'x'
    }
}

/// End of the domain that begins at `at`; `None` when none does.
fn domain_end(bytes: &[u8], mut at: usize) -> Option<usize> {
    let mut label = Label::default();
    let mut before: Option<Label> = None;
    let mut labels = 0;
    let mut end = None;
    loop {
        let next = (at < bytes.len()).then(|| unit(bytes, at));
        match next {
            Some(next) if next.byte.is_ascii_alphanumeric() || next.byte == b'-' || !next.byte.is_ascii() => {
                label.push(next.byte);
                at = next.end;
                continue;
            }
            _ if label.length == 0 => return end,
            _ => labels += 1,
        }
        if let Some(before) = before {
            let is_version = labels == 2 && before.only_digits && label.only_digits;
            let is_picture = labels == 2 && before.is_scale();
            if is_version || is_picture {
                return None;
            }
            if label.is_top_level() {
                end = Some(at);
            }
        }
        match next {
            Some(next) if next.byte == b'.' => at = next.end,
            _ => return end,
        }
        before = Some(std::mem::take(&mut label));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_go_and_the_rest_stays() {
        for (text, expected) in [
            ("bob@example.com", "(redacted)"),
            ("write to bob.b+x@mail.example.co.uk.", "write to (redacted)."),
            ("https://a.b/?x=bob@example.com&y=1", "https://a.b/?x=(redacted)&y=1"),
            ("https://a.b/?x=bob%40example.com&y=1", "https://a.b/?x=(redacted)&y=1"),
            ("https://a.b/?x=bob%2540example%252Ecom%2526y", "https://a.b/?x=(redacted)%2526y"),
            ("/users/bob@example.com/orders", "/users/(redacted)/orders"),
            ("mailto:bob@example.com?subject=x", "mailto:(redacted)?subject=x"),
            ("https://bob@example.com/x", "https://(redacted)@example.com/x"),
            ("https://bob:secret@example.com:80/?x=a@b.ch", "https://(redacted)@example.com:80/?x=(redacted)"),
            ("https://bob%40example.com/", "https://(redacted)/"),
            ("https://a@b.ch c%40d.ch", "https://(redacted)@b.ch (redacted)"),
            ("a@b.ch,c@d.ch;e@f.ch", "(redacted),(redacted);(redacted)"),
            ("a@b@c.ch", "a@(redacted)"),
            ("jörg@müller.example", "(redacted)"),
            ("j%C3%B6rg@example.com", "(redacted)"),
            ("x@кто.рф", "(redacted)"),
            ("bob@163.com", "(redacted)"),
            ("bob@example.com.1", "(redacted).1"),
            ("bob@example.com..", "(redacted).."),
        ] {
            assert_eq!(redact(text).as_deref(), Some(expected), "{text}");
        }
    }

    #[test]
    fn what_only_holds_an_at_sign_stays() {
        for text in [
            "",
            "@someone",
            "https://social.example/@someone",
            "https://maps.example/maps/@47.3,8.5,15z",
            "logo@2x.png",
            "/npm/package@1.2.3/dist",
            "/npm/package@3.6.0.min.js",
            "bob@localhost",
            "bob@",
            "bob@.com",
            "bob@example.c",
            "50%40",
            "100% 40",
            "%%%40%",
            "https://@example.com/",
            "a @ b.com",
        ] {
            assert_eq!(redact(text), None, "{text}");
        }
    }
}

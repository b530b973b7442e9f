//! Values of parameters with telling names: in the query, in the fragment (`#access_token=…`), in the path
//! (`;jsessionid=…`), and in addresses that are themselves the value of a parameter, escaped once or more.
//!
//! One pass from left to right; no byte is looked at more than three times, whatever the text.

use std::collections::HashSet;

use foldhash::fast::RandomState;

use super::escaped::{Edit, unit};

/// Longest name, in letters and digits.
const MAX_NAME: usize = 32;

/// A parameter's name without letter case, `-` and `_`: `Access-Token` and `accessToken` are `access_token`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Name {
    letters: [u8; MAX_NAME],
    length: usize,
}

impl Name {
    /// The name that a configuration writes; `None` when no parameter is called so.
    pub fn of(text: &str) -> Option<Name> {
        let mut name = Name::default();
        let sound = text.bytes().all(|byte| name.push(byte));
        (sound && name.known().is_some_and(|name| !name.is_empty())).then_some(name)
    }

    /// Adds a byte; false when no name goes on with it.
    fn push(&mut self, byte: u8) -> bool {
        if byte.is_ascii_alphanumeric() {
            if let Some(letter) = self.letters.get_mut(self.length) {
                *letter = byte.to_ascii_lowercase();
            }
            self.length += 1;
        }
        is_name_byte(byte)
    }

    /// Its letters; `None` when it is too long to be known.
    fn known(&self) -> Option<&[u8]> {
        self.letters.get(..self.length)
    }
}

/// The same for a digit and a letter now and then, which only costs a look.
fn first_bit(name: &[u8]) -> u64 {
    name.first().map_or(0, |first| 1 << (first & 63))
}

fn is_name_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_'
}

/// The names whose values are taken out.
#[derive(Clone, Debug)]
pub struct Parameters {
    names: HashSet<Box<[u8]>, RandomState>,
    /// First letters of the names of each length, a bit each: most names in an address need not be looked up.
    firsts: [u64; MAX_NAME + 1],
}

impl Parameters {
    /// Those of a checked configuration.
    pub fn new(names: &[String]) -> Parameters {
        let names: HashSet<Box<[u8]>, _> =
            names.iter().filter_map(|name| Name::of(name)?.known().map(Box::from)).collect();
        let mut firsts = [0; MAX_NAME + 1];
        names.iter().for_each(|name| firsts[name.len()] |= first_bit(name));
        Parameters { names, firsts }
    }

    fn has(&self, name: &[u8]) -> bool {
        self.firsts[name.len()] & first_bit(name) != 0 && self.names.contains(name)
    }

    /// Whether one of them stands before a `=`, in an address without escapes. Looks at names alone, and at each once.
    fn occur(&self, bytes: &[u8]) -> bool {
        memchr::memchr_iter(b'=', bytes).any(|end| {
            let before = bytes[..end].iter().rev();
            let letters = before.take_while(|byte| is_name_byte(**byte) || **byte == b']').count();
            let mut name = Name::default();
            bytes[end - letters..end].iter().for_each(|byte| {
                name.push(*byte);
            });
            name.known().is_some_and(|name| self.has(name))
        })
    }

    /// The address without their values; `None` when it has none.
    pub fn redact(&self, address: &str) -> Option<String> {
        if self.names.is_empty() {
            return None;
        }
        let bytes = address.as_bytes();
        if memchr::memchr(b'%', bytes).is_none() && !self.occur(bytes) {
            return None;
        }
        let first = memchr::memchr2(b'=', b'%', bytes)?;
        // The name before it is the first that matters.
        let mut at = bytes[..first]
            .iter()
            .rposition(|byte| !is_name_byte(*byte) && *byte != b']')
            .map_or(0, |before| before + 1);
        let mut in_path = memchr::memchr2(b'?', b'#', &bytes[..at]).is_none();
        let mut edit = Edit::new(address);
        let mut name = Name::default();
        while at < bytes.len() {
            let next = unit(bytes, at);
            at = next.end;
            match next.byte {
                b'=' => {
                    if name.known().is_some_and(|name| self.has(name)) {
                        let end = value_end(bytes, at, next.depth, in_path);
                        if end > at {
                            edit.redact(at..end);
                        }
                        at = end;
                    }
                    name = Name::default();
                }
                // `user[email]=`
                b']' => {}
                byte => {
                    in_path &= !matches!(byte, b'?' | b'#');
                    if !name.push(byte) {
                        name = Name::default();
                    }
                }
            }
        }
        edit.finish()
    }
}

/// Where the value that begins at `at` ends. A separator that is escaped deeper than the `=` is part of the value.
fn value_end(bytes: &[u8], mut at: usize, depth: usize, in_path: bool) -> usize {
    while at < bytes.len() {
        let next = unit(bytes, at);
        let separates = matches!(next.byte, b'&' | b'#') || in_path && matches!(next.byte, b'/' | b';' | b'?');
        if separates && next.depth <= depth {
            return at;
        }
        at = next.end;
    }
    at
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn redacted(address: &str) -> Option<String> {
        let names = ["email", "token", "access_token", "phone", "jsessionid"].map(str::to_owned);
        Parameters::new(&names).redact(address)
    }

    #[test]
    fn values_go_and_the_rest_stays() {
        for (address, expected) in [
            ("https://a.b/?token=x", "https://a.b/?token=(redacted)"),
            ("https://a.b/?a=1&token=x&b=2#c", "https://a.b/?a=1&token=(redacted)&b=2#c"),
            ("/p?Access-Token=x&accessToken=y", "/p?Access-Token=(redacted)&accessToken=(redacted)"),
            ("/p?user[e-mail]=x&b=1", "/p?user[e-mail]=(redacted)&b=1"),
            ("/p?user%5Bemail%5D=x", "/p?user%5Bemail%5D=(redacted)"),
            ("/p?user.phone=x", "/p?user.phone=(redacted)"),
            ("/p?e%2Dmail=x", "/p?e%2Dmail=(redacted)"),
            ("/p?%65mail=x", "/p?%65mail=(redacted)"),
            ("/p?token=a=b==&c=1", "/p?token=(redacted)&c=1"),
            ("/p?token=a%26b&c=1", "/p?token=(redacted)&c=1"),
            ("/p?token=a?b/c;d&c=1", "/p?token=(redacted)&c=1"),
            ("/p?a;token=x", "/p?a;token=(redacted)"),
            ("/p#access_token=x/y&b=1", "/p#access_token=(redacted)&b=1"),
            ("/p?a=1#/route?token=x", "/p?a=1#/route?token=(redacted)"),
            ("/p;jsessionid=AB/next?a=1", "/p;jsessionid=(redacted)/next?a=1"),
            (
                "?to=https%3A%2F%2Fb%2F%3Ftoken%3Dx%26c%3D1&d=2",
                "?to=https%3A%2F%2Fb%2F%3Ftoken%3D(redacted)%26c%3D1&d=2",
            ),
            ("?to=%252F%253Ftoken%253Dx%2526c&d=2", "?to=%252F%253Ftoken%253D(redacted)%2526c&d=2"),
            ("?token=x%", "?token=(redacted)"),
            ("?token=%zz&a=%", "?token=(redacted)&a=%"),
            ("?token=ü&ü=1", "?token=(redacted)&ü=1"),
        ] {
            assert_eq!(redacted(address).as_deref(), Some(expected), "{address}");
            assert_eq!(redacted(expected).as_deref(), Some(expected), "{expected}, again");
        }
    }

    #[test]
    fn other_parameters_stay() {
        for address in [
            "",
            "https://a.b/token/x",
            "https://a.b/?tokens=x&mytoken=x&token",
            "/p?token=&a=1",
            "/p?utm_source=email&gclid=token&q=token",
            "/p?a=%%%&b=%25",
            "/p?aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaatoken=x",
        ] {
            assert_eq!(redacted(address), None, "{address}");
        }
        assert_eq!(Parameters::new(&[]).redact("?token=x"), None);
    }
}

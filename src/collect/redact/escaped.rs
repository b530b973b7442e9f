//! Reading a text whose characters may be percent-encoded, even several times, as addresses inside addresses are; and
//! writing it anew with pieces replaced.

use std::ops::Range;

/// What stands where something was taken out. No parenthesis needs an escape in an address.
pub const REDACTED: &str = "(redacted)";

/// One byte as it reads once every escape is undone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unit {
    /// The byte.
    pub byte: u8,
    /// Where the text goes on.
    pub end: usize,
    /// How often it is escaped: `@` never, `%40` once, `%2540` twice.
    pub depth: usize,
}

/// The unit at `at`, which lies inside the text. A percent sign that escapes nothing is itself.
#[inline]
pub fn unit(text: &[u8], at: usize) -> Unit {
    let plain = Unit { byte: text[at], end: at + 1, depth: 0 };
    if plain.byte == b'%' { escaped(text, at) } else { plain }
}

fn escaped(text: &[u8], at: usize) -> Unit {
    let mut end = at + 1;
    let mut depth = 1;
    while text[end..].starts_with(b"25") {
        end += 2;
        depth += 1;
    }
    match (text.get(end).and_then(digit), text.get(end + 1).and_then(digit)) {
        (Some(high), Some(low)) => Unit { byte: high << 4 | low, end: end + 2, depth },
        _ => Unit { byte: b'%', end, depth: depth - 1 },
    }
}

fn digit(hex: &u8) -> Option<u8> {
    char::from(*hex).to_digit(16).map(|digit| digit as u8)
}

/// A text that is written anew from the first replacement on.
pub struct Edit<'t> {
    text: &'t str,
    fresh: String,
    copied: usize,
}

impl<'t> Edit<'t> {
    /// Nothing replaced yet, nothing allocated.
    pub fn new(text: &'t str) -> Edit<'t> {
        Edit { text, fresh: String::new(), copied: 0 }
    }

    /// Replaces a piece behind all those before.
    pub fn redact(&mut self, piece: Range<usize>) {
        self.fresh.push_str(&self.text[self.copied..piece.start]);
        self.fresh.push_str(REDACTED);
        self.copied = piece.end;
    }

    /// The new text; `None` when it is the old one.
    pub fn finish(mut self) -> Option<String> {
        if self.fresh.is_empty() {
            return None;
        }
        self.fresh.push_str(&self.text[self.copied..]);
        Some(self.fresh)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_are_undone_however_deep() {
        for (text, byte, end, depth) in [
            ("@x", b'@', 1, 0),
            ("%40x", b'@', 3, 1),
            ("%2540x", b'@', 5, 2),
            ("%252540", b'@', 7, 3),
            ("%3dx", b'=', 3, 1),
            ("%", b'%', 1, 0),
            ("%4", b'%', 1, 0),
            ("%zz", b'%', 1, 0),
            ("%25", b'%', 3, 1),
            ("%25zz", b'%', 3, 1),
            ("%+4", b'%', 1, 0),
            ("%é", b'%', 1, 0),
        ] {
            assert_eq!(unit(text.as_bytes(), 0), Unit { byte, end, depth }, "{text}");
        }
    }

    #[test]
    fn an_edit_without_replacements_is_none() {
        assert_eq!(Edit::new("abc").finish(), None);
        let mut edit = Edit::new("abcdef");
        edit.redact(0..1);
        edit.redact(3..4);
        assert_eq!(edit.finish().as_deref(), Some("(redacted)bc(redacted)ef"));
    }
}

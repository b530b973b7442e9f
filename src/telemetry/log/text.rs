//! Text inside of a JSON string (RFC 8259, 7), written as it comes.

use std::fmt::{self, Write};

/// Writes text so that it may stand between quotes.
pub fn escape(text: &str, out: &mut (impl Write + ?Sized)) -> fmt::Result {
    // Nearly all is plain, and need not be copied.
    if is_plain(text.as_bytes()) {
        return out.write_str(text);
    }
    let quoted = serde_json::to_string(text).map_err(|_| fmt::Error)?;
    out.write_str(&quoted[1..quoted.len() - 1])
}

/// Whether nothing in it has to be escaped. Without a way out in between, and by pieces of one size, which lets the
/// compiler look at many bytes at once; most texts are short.
fn is_plain(bytes: &[u8]) -> bool {
    let odd = |piece: &[u8]| {
        piece.iter().fold(false, |found, byte| found | (*byte < 0x20) | (*byte == b'"') | (*byte == b'\\'))
    };
    let (pieces, rest) = bytes.as_chunks::<8>();
    !pieces.iter().fold(odd(rest), |found, piece| found | odd(piece))
}

/// Escapes what is written, up to a number of bytes; `…` stands for the rest.
pub struct Bounded<'a> {
    out: &'a mut String,
    left: usize,
    is_cut: bool,
}

impl Bounded<'_> {
    /// With room for `most` bytes, before they are escaped.
    pub fn new(out: &mut String, most: usize) -> Bounded<'_> {
        Bounded { out, left: most, is_cut: false }
    }

    /// Nothing more will be written.
    pub fn finish(self) {
        if self.is_cut {
            self.out.push('…');
        }
    }
}

impl Write for Bounded<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        if self.is_cut {
            return Ok(());
        }
        let head = &text[..text.floor_char_boundary(self.left)];
        self.left -= head.len();
        self.is_cut = head.len() < text.len();
        escape(head, self.out)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn every_character_comes_back_wherever_it_stands() {
        let characters = (0..0x300).filter_map(char::from_u32).chain(['\u{2028}', '…', '\u{10ffff}']);
        for character in characters {
            for before in [0, 1, 7, 8, 13, 16] {
                for after in [0, 3, 9] {
                    let text = format!("{}{character}{}", "a".repeat(before), "b".repeat(after));
                    let mut quoted = String::from("\"");
                    escape(&text, &mut quoted).unwrap();
                    quoted.push('"');
                    assert_eq!(quoted, serde_json::to_string(&text).unwrap());
                }
            }
        }
    }

    #[test]
    fn a_long_text_ends_between_characters_however_it_comes() {
        for (pieces, most, expected) in [
            (&["abc", "def"][..], 6, "abcdef"),
            (&["abc", "def"], 5, "abcde…"),
            (&["abc", "def", "g"], 3, "abc…"),
            (&["abü", "d"], 3, "ab…"),
            (&["\n\n\n"], 2, "\\n\\n…"),
            (&["", "a"], 0, "…"),
            (&[""], 0, ""),
        ] {
            let mut out = String::new();
            let mut bounded = Bounded::new(&mut out, most);
            for piece in pieces {
                bounded.write_str(piece).unwrap();
            }
            bounded.finish();
            assert_eq!(out, expected, "{pieces:?} in {most}");
        }
    }
}

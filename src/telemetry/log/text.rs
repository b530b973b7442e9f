//! Text inside of a JSON string (RFC 8259, 7), written as it comes.

use std::fmt::{self, Write};

/// Writes text so that it may stand between quotes.
pub fn escape(text: &str, out: &mut (impl Write + ?Sized)) -> fmt::Result {
    if is_plain(text.as_bytes()) {
        return out.write_str(text);
    }
    let mut begin = 0;
    for (at, byte) in text.bytes().enumerate() {
        let short = match byte {
            b'"' => "\\\"",
            b'\\' => "\\\\",
            b'\n' => "\\n",
            b'\r' => "\\r",
            b'\t' => "\\t",
            0x08 => "\\b",
            0x0c => "\\f",
            0..0x20 => "",
            _ => continue,
        };
        // What is escaped is one byte long, so that both ends are between characters.
        out.write_str(&text[begin..at])?;
        if short.is_empty() {
            write!(out, "\\u{byte:04x}")?;
        } else {
            out.write_str(short)?;
        }
        begin = at + 1;
    }
    out.write_str(&text[begin..])
}

/// Whether nothing in it has to be escaped: looked at in words of eight bytes, which is most of what a line costs.
fn is_plain(bytes: &[u8]) -> bool {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGHS: u64 = ONES << 7;
    /// The high bit of the first byte that is less than `limit` is set, and of none before.
    fn less(word: u64, limit: u8) -> u64 {
        word.wrapping_sub(ONES * u64::from(limit)) & !word
    }
    let is_plain = |word: &[u8; 8]| {
        let word = u64::from_le_bytes(*word);
        let found =
            less(word, 0x20) | less(word ^ (ONES * u64::from(b'"')), 1) | less(word ^ (ONES * u64::from(b'\\')), 1);
        found & HIGHS == 0
    };
    let (words, _) = bytes.as_chunks::<8>();
    match bytes.last_chunk::<8>() {
        // The last word may overlap the one before.
        Some(last) => words.iter().all(is_plain) && is_plain(last),
        None => bytes.iter().all(|byte| !matches!(byte, 0..0x20 | b'"' | b'\\')),
    }
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

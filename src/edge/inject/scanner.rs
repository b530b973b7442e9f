//! Finds the place for a tag in HTML that comes in pieces. Sans-io and bounded: what is carried from one piece to the next
//! is an unfinished tag, and a document that has a longer one is left alone.
//!
//! Not a parser of HTML: up to the place that is looked for (WHATWG HTML, 13.2.6.4.1 to 13.2.6.4.4, "initial" to "in
//! head") a document has comments, a doctype and a handful of elements, and this knows how each of them ends (13.2.5).

/// Bytes of a tag. Longer ones are no reason to hold the document.
const MAX_TAG: usize = 8 << 10;
/// Bytes that are enough to tell the end of a comment or of a text from what looks like it.
const TAIL: usize = 16;

/// What to do with a tag, as somebody sees it before it is passed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sight {
    /// Nothing of interest.
    Pass,
    /// The place is not in this document.
    GiveUp,
}

/// See the module.
#[derive(Debug)]
pub struct Scanner {
    state: State,
    /// Whether the document has shown that it is one.
    is_document: bool,
    /// Not passed on yet.
    carry: Vec<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Between tags.
    Between,
    Comment,
    /// In an element whose content is text, whatever it looks like.
    Text(&'static [u8]),
    /// Everything passes.
    Done,
}

/// A piece on its way: what goes before the place, and what goes behind it.
#[derive(Debug, PartialEq, Eq)]
pub enum Scanned {
    /// The place is not in here.
    Pass(Vec<u8>),
    /// It is between these two.
    Place(Vec<u8>, Vec<u8>),
}

/// One step at a place between tags.
enum Step {
    /// Goes on there.
    To(usize),
    /// Goes on there in this state.
    Into(State, usize),
    /// Here it is.
    Here,
    /// There is none.
    None,
    /// What begins here is not complete.
    More,
}

impl Scanner {
    /// At the beginning of a document.
    pub fn new() -> Scanner {
        Scanner { state: State::Between, is_document: false, carry: Vec::new() }
    }

    /// Whether nothing is looked for any more.
    pub fn is_done(&self) -> bool {
        self.state == State::Done && self.carry.is_empty()
    }

    /// Takes a piece; `last` is the end of the document. `see` is shown every start tag, with its name in lower case.
    pub fn piece(&mut self, piece: &[u8], last: bool, mut see: impl FnMut(&[u8], &Tag<'_>) -> Sight) -> Scanned {
        let mut bytes = std::mem::take(&mut self.carry);
        bytes.extend_from_slice(piece);
        let mut at = 0;
        while self.state != State::Done {
            let step = match self.state {
                State::Between => self.between(&bytes, at, &mut see),
                State::Comment => self.end_of_comment(&bytes, at),
                State::Text(name) => end_of_text(&bytes, at, name),
                State::Done => break,
            };
            match step {
                Step::To(next) => at = next,
                Step::Into(state, next) => (self.state, at) = (state, next),
                Step::Here => {
                    self.state = State::Done;
                    let rest = bytes.split_off(at);
                    return Scanned::Place(bytes, rest);
                }
                Step::None => self.state = State::Done,
                Step::More if last || (self.state == State::Between && bytes.len() - at > MAX_TAG) => {
                    self.state = State::Done;
                }
                Step::More => {
                    // Of a long text, the end is enough.
                    let from = if self.state == State::Between { at } else { at.max(bytes.len().saturating_sub(TAIL)) };
                    self.carry = bytes.split_off(from);
                    return Scanned::Pass(bytes);
                }
            }
        }
        Scanned::Pass(bytes)
    }

    fn between(&mut self, bytes: &[u8], at: usize, see: &mut impl FnMut(&[u8], &Tag<'_>) -> Sight) -> Step {
        let rest = &bytes[at..];
        const MARK: &[u8] = b"\xEF\xBB\xBF";
        if !self.is_document && at == 0 && rest.starts_with(MARK) {
            return Step::To(MARK.len());
        }
        let space = rest.iter().take_while(|byte| byte.is_ascii_whitespace()).count();
        if space > 0 {
            return Step::To(at + space);
        }
        match rest {
            [] => Step::More,
            [b'\xEF'] | [b'\xEF', b'\xBB'] if !self.is_document && at == 0 => Step::More,
            [b'<'] | [b'<', b'/'] | [b'<', b'!'] | [b'<', b'!', b'-'] => Step::More,
            // The two dashes that begin it may be those that end it.
            [b'<', b'!', b'-', b'-', ..] => Step::Into(State::Comment, at + 2),
            [b'<', b'!' | b'?', ..] => {
                self.is_document |= rest.get(2..9).is_some_and(|word| word.eq_ignore_ascii_case(b"doctype"));
                memchr::memchr(b'>', rest).map_or(Step::More, |end| Step::To(at + end + 1))
            }
            [b'<', b'/', letter, ..] if letter.is_ascii_alphabetic() => {
                let Some(tag) = Tag::read(&rest[1..]) else { return Step::More };
                let ends = [&b"head"[..], b"body", b"html"].iter().any(|name| tag.name.eq_ignore_ascii_case(name));
                if ends && self.is_document { Step::Here } else { Step::To(at + 1 + tag.length) }
            }
            [b'<', letter, ..] if letter.is_ascii_alphabetic() => {
                let Some(tag) = Tag::read(rest) else { return Step::More };
                self.start(at, &tag, see)
            }
            // Text: the body has begun.
            _ if self.is_document => Step::Here,
            _ => Step::None,
        }
    }

    fn start(&mut self, at: usize, tag: &Tag<'_>, see: &mut impl FnMut(&[u8], &Tag<'_>) -> Sight) -> Step {
        let name = tag.name.to_ascii_lowercase();
        self.is_document |= matches!(&*name, b"html" | b"head");
        if !self.is_document {
            // A part of a page, for a script to put into another.
            return Step::None;
        }
        if see(&name, tag) == Sight::GiveUp {
            return Step::None;
        }
        let after = at + tag.length;
        match &*name {
            b"html" | b"head" | b"base" | b"basefont" | b"bgsound" | b"link" | b"meta" => Step::To(after),
            b"title" => Step::Into(State::Text(b"title"), after),
            b"style" => Step::Into(State::Text(b"style"), after),
            b"noscript" => Step::Into(State::Text(b"noscript"), after),
            b"noframes" => Step::Into(State::Text(b"noframes"), after),
            // Scripts, templates (nothing in them runs), and whatever is no part of a head.
            _ => Step::Here,
        }
    }

    fn end_of_comment(&self, bytes: &[u8], at: usize) -> Step {
        let mut from = at;
        while let Some(found) = memchr::memmem::find(&bytes[from..], b"--") {
            let behind = from + found + 2;
            match &bytes[behind..] {
                [b'>', ..] => return Step::Into(State::Between, behind + 1),
                // Not right at its beginning, which has the dashes of the opening.
                [b'!', b'>', ..] if behind > at + 2 => return Step::Into(State::Between, behind + 2),
                _ => from = behind - 1,
            }
        }
        Step::More
    }
}

fn end_of_text(bytes: &[u8], at: usize, name: &'static [u8]) -> Step {
    let mut from = at;
    while let Some(found) = memchr::memmem::find(&bytes[from..], b"</") {
        let begins = from + found;
        let word = &bytes[begins + 2..];
        let is_name = word.get(..name.len()).is_some_and(|word| word.eq_ignore_ascii_case(name));
        if is_name && word.get(name.len()).is_some_and(|byte| byte.is_ascii_whitespace() || b"/>".contains(byte)) {
            return Step::Into(State::Between, begins);
        }
        from = begins + 2;
    }
    Step::More
}

/// A start tag, or an end tag without its slash.
#[derive(Debug)]
pub struct Tag<'a> {
    /// As it is written.
    pub name: &'a [u8],
    /// Names and values as they are written; a value's references are not resolved.
    pub attributes: Vec<(&'a [u8], &'a [u8])>,
    /// Bytes from its `<` to its `>`.
    pub length: usize,
}

impl<'a> Tag<'a> {
    /// Reads a tag whose first byte stands for its `<`; `None` when it does not end in here (13.2.5.8 and those behind).
    pub fn read(bytes: &'a [u8]) -> Option<Tag<'a>> {
        let ends_name = |byte: &u8| byte.is_ascii_whitespace() || b"/>".contains(byte);
        let mut at = 1 + bytes.get(1..)?.iter().position(ends_name)?;
        let name = &bytes[1..at];
        let mut attributes = Vec::new();
        loop {
            at += bytes.get(at..)?.iter().position(|byte| !byte.is_ascii_whitespace() && *byte != b'/')?;
            if bytes[at] == b'>' {
                return Some(Tag { name, attributes, length: at + 1 });
            }
            let begin = at;
            // An equals sign may begin a name, but no more.
            at += 1;
            at += bytes.get(at..)?.iter().position(|byte| ends_name(byte) || *byte == b'=')?;
            let attribute = &bytes[begin..at];
            at += bytes.get(at..)?.iter().position(|byte| !byte.is_ascii_whitespace())?;
            if bytes[at] != b'=' {
                attributes.push((attribute, &bytes[at..at]));
                continue;
            }
            at += 1;
            at += bytes.get(at..)?.iter().position(|byte| !byte.is_ascii_whitespace())?;
            let value = match bytes[at] {
                quote @ (b'"' | b'\'') => {
                    let begin = at + 1;
                    at = begin + memchr::memchr(quote, &bytes[begin..])?;
                    at += 1;
                    &bytes[begin..at - 1]
                }
                _ => {
                    let begin = at;
                    at += bytes[at..].iter().position(|byte| byte.is_ascii_whitespace() || *byte == b'>')?;
                    &bytes[begin..at]
                }
            };
            attributes.push((attribute, value));
        }
    }

    /// The value of an attribute, the first of this name.
    pub fn attribute(&self, name: &str) -> Option<&'a [u8]> {
        let mut all = self.attributes.iter();
        all.find(|(known, _)| known.eq_ignore_ascii_case(name.as_bytes())).map(|(_, value)| *value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The document with `|` at the place, however it is cut.
    #[track_caller]
    fn check(document: &str, expected: &str) {
        for cut in 0..=document.len() {
            let (first, second) = document.as_bytes().split_at(cut);
            let mut scanner = Scanner::new();
            let mut out = Vec::new();
            for (piece, last) in [(first, false), (second, true)] {
                match scanner.piece(piece, last, |_, _| Sight::Pass) {
                    Scanned::Pass(bytes) => out.extend(bytes),
                    Scanned::Place(before, behind) => out.extend([&before[..], b"|", &behind].concat()),
                }
            }
            assert!(scanner.is_done());
            assert_eq!(String::from_utf8_lossy(&out), expected, "cut at {cut}");
        }
    }

    #[test]
    fn the_place_is_before_the_first_script_of_the_head_or_at_its_end() {
        for expected in [
            "<!doctype html><html><head><meta charset=utf-8>|<script src=a></script></head><body>",
            "<!DOCTYPE html>\n<html lang='de'>\n<head>\n<title>a <script> b</TITLE >\n|</head>",
            "\u{feff} <!-- <head> --><HTML><HEAD data-x=\"<script>\">|</HEAD>",
            "<html><head><!-- --!><link rel=icon href=/a>|<body class=b>",
            "<!doctype html><meta charset=utf-8><title>x</title>|<p>",
            "<!doctype html>|text",
            "<html>|<body></body></html>",
            "<head><style>a > b { content: '</head>' }</style><noscript><script></script></noscript>|<template>",
            "<head><!--><!--->|<script>",
            "<head><!-- a -- b --- > --->|<script>",
            "<head><meta content='a>b' name = \"c'd\" e / f=g/h>|<script>",
            "<?xml version='1.0'?><!DOCTYPE html PUBLIC \"-//W3C\"><html xmlns='x'>|</html>",
        ] {
            check(&expected.replace('|', ""), expected);
        }
    }

    #[test]
    fn parts_of_pages_and_what_does_not_end_are_left_alone() {
        for document in [
            "",
            " ",
            "<p>part</p><head><script>",
            "<script>a</script>",
            "hello <html><head></head>",
            "{\"a\": 1}",
            "<!-- never ends <html><head></head>",
            "<html><head><title>never ends</head><body>",
            "<html><head><meta content=\"never ends></head><body>",
            "<html><head",
            "\u{feff}",
            "<!",
        ] {
            check(document, document);
        }
    }

    #[test]
    fn little_is_carried() {
        let mut scanner = Scanner::new();
        let mut pass = |piece: &[u8]| {
            let Scanned::Pass(out) = scanner.piece(piece, false, |_, _| Sight::Pass) else { panic!("no place") };
            (out.len(), scanner.carry.len(), scanner.state)
        };
        pass(b"<html><head><!--");
        let (out, carried, _) = pass(&[b'-'; 100_000]);
        assert!(out > 99_000 && carried <= TAIL, "{carried}");
        pass(b"><style>");
        let (out, carried, _) = pass(&[b'<'; 100_000]);
        assert!(out > 99_000 && carried <= TAIL, "{carried}");
        pass(b"</style><meta content='");
        let mut all = 0;
        for _ in 0..20 {
            let (out, carried, state) = pass(&[b'a'; 1000]);
            all += out;
            assert!(carried <= MAX_TAG + 1000 && (state == State::Between || carried == 0), "{carried}");
        }
        assert!(all > 20_000, "it was given up");
    }

    #[test]
    fn a_tag_has_its_attributes() {
        let tag = Tag::read(b"<SCRIPT async SRC = /a.js?b data-x='1 > 0' =y=z>rest").expect("it ends");
        assert_eq!((tag.name, tag.length), (&b"SCRIPT"[..], 48));
        assert_eq!(tag.attribute("src"), Some(&b"/a.js?b"[..]));
        assert_eq!(tag.attribute("async"), Some(&b""[..]));
        assert_eq!(tag.attribute("data-x"), Some(&b"1 > 0"[..]));
        assert_eq!(tag.attribute("=y"), Some(&b"z"[..]));
        assert_eq!(tag.attribute("defer"), None);
    }
}

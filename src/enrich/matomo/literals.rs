//! Which words a text must hold before a pattern can match it: found in the pattern, so that one pass over a text rules
//! out nearly all of twenty thousand patterns.

use regex_syntax::{
    ParserBuilder,
    hir::{Class, Hir, HirKind},
};

/// Most alternatives that are spelled out one by one.
const MAX_EXACT: usize = 128;
/// Most words of one pattern.
const MAX_WORDS: usize = 4096;
/// A word is cut to this many bytes: what is left still has to be there.
const MAX_WORD: usize = 12;
/// Most members of a character class that are spelled out.
const MAX_CLASS: usize = 12;
/// Deepest nesting of a pattern.
const MAX_NESTING: u32 = 64;

/// What is in nearly every text, in lower case: words in it rule out nothing.
const COMMON: &str = "mozilla/5.0 (linux; android 13; wv) applewebkit/537.36 (khtml, like gecko) version/4.0 chrome/126.0.0.0 mobile \
                      safari/537.36 build/ u; en-us; windows nt 10.0; win64; x64; iphone; cpu iphone os 17_5 like mac os x";

/// Words in lower case of which each match holds at least one; `None` when no such words are known.
pub type Words = Option<Vec<Vec<u8>>>;

/// The words of a pattern. An error is a pattern that cannot be read.
pub fn of(pattern: &str, unicode: bool) -> Result<Words, Box<regex_syntax::Error>> {
    let hir = ParserBuilder::new().unicode(unicode).utf8(false).nest_limit(MAX_NESTING).build().parse(pattern);
    let hir = hir.map_err(Box::new)?;
    let words = Facts::of(&hir).best();
    Ok(words.filter(|words| worth(words) > 0).map(|mut words| {
        words.iter_mut().for_each(|word| word.truncate(MAX_WORD));
        tidy(&mut words);
        words
    }))
}

/// What is known of the texts that a part of a pattern matches.
#[derive(Default)]
struct Facts {
    /// All of them, when they are few.
    exact: Option<Vec<Vec<u8>>>,
    /// Words of which each has at least one.
    needed: Words,
}

impl Facts {
    fn exactly(texts: Vec<Vec<u8>>) -> Facts {
        Facts { exact: Some(texts), needed: None }
    }

    /// Recursion is bounded by [`MAX_NESTING`].
    fn of(hir: &Hir) -> Facts {
        match hir.kind() {
            HirKind::Empty | HirKind::Look(_) => Facts::exactly(vec![Vec::new()]),
            HirKind::Literal(literal) => Facts::exactly(vec![literal.0.to_ascii_lowercase()]),
            HirKind::Class(class) => members(class).map_or_else(Facts::default, Facts::exactly),
            HirKind::Capture(capture) => Facts::of(&capture.sub),
            HirKind::Repetition(repetition) => {
                let sub = Facts::of(&repetition.sub);
                match (repetition.min, repetition.max) {
                    (1, Some(1)) => sub,
                    (0, Some(1)) => match sub.exact {
                        Some(mut texts) => {
                            texts.push(Vec::new());
                            tidy(&mut texts);
                            Facts::exactly(texts)
                        }
                        None => Facts::default(),
                    },
                    (0, _) => Facts::default(),
                    _ => Facts { exact: None, needed: sub.best() },
                }
            }
            HirKind::Concat(parts) => Facts::of_sequence(parts),
            HirKind::Alternation(parts) => Facts::of_choice(parts),
        }
    }

    fn of_sequence(parts: &[Hir]) -> Facts {
        // What the parts since the last unknown one spell out.
        let mut run = vec![Vec::new()];
        let mut is_whole = true;
        let mut needed: Words = None;
        for part in parts {
            let facts = Facts::of(part);
            match facts.exact {
                Some(texts) if run.len() * texts.len() <= MAX_EXACT => run = product(&run, &texts),
                Some(texts) => {
                    needed = better(needed, Some(std::mem::replace(&mut run, texts)));
                    is_whole = false;
                }
                None => {
                    needed = better(needed, Some(std::mem::replace(&mut run, vec![Vec::new()])));
                    needed = better(needed, facts.needed);
                    is_whole = false;
                }
            }
        }
        if is_whole { Facts::exactly(run) } else { Facts { exact: None, needed: better(needed, Some(run)) } }
    }

    fn of_choice(parts: &[Hir]) -> Facts {
        let all: Vec<Facts> = parts.iter().map(Facts::of).collect();
        let count: usize = all.iter().filter_map(|facts| facts.exact.as_ref()).map(Vec::len).sum();
        if count <= MAX_EXACT && all.iter().all(|facts| facts.exact.is_some()) {
            let mut texts: Vec<_> = all.into_iter().filter_map(|facts| facts.exact).flatten().collect();
            tidy(&mut texts);
            return Facts::exactly(texts);
        }
        let mut needed = Vec::new();
        for facts in all {
            match facts.best() {
                Some(words) if needed.len() + words.len() <= MAX_WORDS => needed.extend(words),
                _ => return Facts::default(),
            }
        }
        tidy(&mut needed);
        Facts { exact: None, needed: Some(needed) }
    }

    fn best(self) -> Words {
        better(self.exact, self.needed)
    }
}

/// The members of a small class, in lower case.
fn members(class: &Class) -> Option<Vec<Vec<u8>>> {
    let mut texts: Vec<Vec<u8>> = Vec::new();
    let mut add = |c: char| {
        texts.push(c.to_ascii_lowercase().to_string().into_bytes());
    };
    match class {
        Class::Bytes(class) => {
            let count: usize = class.ranges().iter().map(|range| range.len()).sum();
            let bytes = || class.ranges().iter().flat_map(|range| range.start()..=range.end());
            if count > MAX_CLASS || !bytes().all(|byte| byte.is_ascii()) {
                return None;
            }
            bytes().for_each(|byte| add(char::from(byte)));
        }
        Class::Unicode(class) => {
            let count: usize = class.ranges().iter().map(|range| range.len()).sum();
            if count > MAX_CLASS {
                return None;
            }
            class.ranges().iter().flat_map(|range| range.start()..=range.end()).for_each(add);
        }
    }
    tidy(&mut texts);
    Some(texts)
}

fn product(heads: &[Vec<u8>], tails: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let mut texts: Vec<_> = heads.iter().flat_map(|head| tails.iter().map(|tail| [&head[..], tail].concat())).collect();
    tidy(&mut texts);
    texts
}

fn tidy(texts: &mut Vec<Vec<u8>>) {
    texts.sort_unstable();
    texts.dedup();
}

/// The set that rules out more.
fn better(one: Words, other: Words) -> Words {
    match (one, other) {
        (Some(one), Some(other)) => {
            let rank = |words: &[Vec<u8>]| (worth(words), std::cmp::Reverse(words.len()));
            Some(if rank(&one) >= rank(&other) { one } else { other })
        }
        (one, other) => one.or(other),
    }
}

/// How much a set rules out: the length of its least word, little for what is common. 0 for single letters.
fn worth(words: &[Vec<u8>]) -> usize {
    let of_word = |word: &Vec<u8>| match word.len() {
        0 | 1 => 0,
        _ if memchr::memmem::find(COMMON.as_bytes(), word).is_some() => 1,
        length => 1 + length.min(8),
    };
    words.iter().map(of_word).min().unwrap_or(0)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn words(pattern: &str) -> Option<Vec<String>> {
        let words = of(pattern, false).unwrap()?;
        Some(words.into_iter().map(|word| String::from_utf8(word).unwrap()).collect())
    }

    #[test]
    fn the_words_that_a_match_needs_are_found() {
        for (pattern, expected) in [
            ("Foo", &["foo"][..]),
            ("Foo[ _-]?Bar", &["foo bar", "foo-bar", "foo_bar", "foobar"]),
            ("Foo([^;]+)X", &["foo"]),
            (r"[\d\s]+Lite Browser/(\d+)$", &["lite browser"]),
            ("(?:AB|CD) ?12", &["ab 12", "ab12", "cd 12", "cd12"]),
            ("A(?:1|2)[3-5]x+", &["a13", "a14", "a15", "a23", "a24", "a25"]),
            ("(?:Alpha.*|Beta.*)", &["alpha", "beta"]),
            ("Chrome/.*Peculiar", &["peculiar"]),
            ("(?:Zebra){2,}", &["zebra"]),
        ] {
            let expected: Vec<String> = expected.iter().map(|word| (*word).to_owned()).collect();
            assert_eq!(words(pattern), Some(expected), "{pattern}");
        }
        for pattern in [r"\d+", "(?:Foo)?", "Foo|", "[a-z]+", ".*", "", "(?:Foo|.)"] {
            assert_eq!(words(pattern), None, "{pattern}");
        }
    }

    #[test]
    fn patterns_that_explode_are_cut_off() {
        for pattern in ["(?:a|b|c|d)".repeat(200), "[0-9][0-9][0-9]".repeat(50), "(?:x{1000}){1000}".to_owned()] {
            let words = of(&pattern, false).unwrap();
            assert!(words.is_none_or(|words| words.len() <= MAX_WORDS && words.iter().all(|w| w.len() <= MAX_WORD)));
        }
        assert!(of(&"(".repeat(100_000), false).is_err());
        assert!(of(&format!("{}x{}", "(".repeat(1000), ")".repeat(1000)), false).is_err());
    }
}

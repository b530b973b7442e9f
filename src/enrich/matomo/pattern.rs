//! One pattern of a folder: read when the folder is, compiled when a text first needs it.
//!
//! Nearly all patterns are regular and run on an engine whose time is bounded by the product of the lengths of pattern
//! and text. Those that look around themselves are tried without that first, and only what matches is given to an
//! engine that backtracks, with a bound on its steps.

use std::{borrow::Cow, ops::Range};

use regex_automata::{
    Input,
    nfa::thompson::{self, WhichCaptures, backtrack::BoundedBacktracker, backtrack::Cache},
    util::{primitives::NonMaxUsize, syntax},
};

use super::literals::{self, Words};

/// Longest pattern, in bytes.
const MAX_LENGTH: usize = 32 << 10;
/// Most bytes of a compiled pattern.
const MAX_COMPILED: usize = 1 << 20;
/// Most bytes that the engine notes where it has been: enough for a pattern of that size and the longest text.
const MAX_VISITED: usize = 4 << 20;
/// Most steps back of a pattern that looks around itself.
const MAX_STEPS: usize = 10_000;
/// Groups that a name or version may refer to, `$1` to `$9`, and the whole.
const GROUPS: usize = 10;

/// Where a match may begin, as Matomo documents it: not in the middle of a word, except after what some makers put
/// before theirs.
const START: &str = "(?:^|[^A-Z0-9_-]|[^A-Z0-9-]_|sprd-|MZ-)";

/// A pattern that can be used.
pub struct Pattern {
    text: Box<str>,
    kind: Kind,
    /// Somebody asks for its groups.
    has_groups: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Bytes, and letter case of ASCII only.
    Plain,
    /// Has classes of other letters.
    Unicode,
    /// Looks around itself.
    LooksAround,
}

impl Pattern {
    /// Reads a pattern, and the words that it needs; `None` when no engine of ours can run it.
    pub fn read(text: &str, has_groups: bool) -> Option<(Pattern, Words)> {
        if text.len() > MAX_LENGTH {
            return None;
        }
        let (kind, words) = if let Ok(words) = literals::of(text, false) {
            (Kind::Plain, words)
        } else if let Ok(words) = literals::of(text, true) {
            (Kind::Unicode, words)
        } else {
            (Kind::LooksAround, literals::of(&without_looks(text)?, true).ok()?)
        };
        Some((Pattern { text: text.into(), kind, has_groups }, words))
    }

    /// Makes it ready to run; `None` when it is too large for that.
    pub fn compile(&self) -> Option<Compiled> {
        let regular = match self.kind {
            Kind::LooksAround => Cow::Owned(without_looks(&self.text)?),
            _ => Cow::Borrowed(&*self.text),
        };
        let captures = if self.has_groups && self.kind != Kind::LooksAround {
            WhichCaptures::All
        } else {
            WhichCaptures::Implicit
        };
        let is_unicode = self.kind != Kind::Plain;
        let nfa = thompson::Compiler::new()
            .syntax(syntax::Config::new().unicode(is_unicode).utf8(false).case_insensitive(true))
            .configure(thompson::Config::new().utf8(false).which_captures(captures).nfa_size_limit(Some(MAX_COMPILED)))
            .build(&format!("{START}(?:{regular})"))
            .ok()?;
        let weight = nfa.memory_usage();
        let engine = BoundedBacktracker::builder()
            .configure(BoundedBacktracker::config().visited_capacity(MAX_VISITED))
            .build_from_nfa(nfa)
            .ok()?;
        let exact = match self.kind {
            Kind::LooksAround => Some(Box::new(
                fancy_regex::RegexBuilder::new(&format!("{START}(?:{})", self.text))
                    .case_insensitive(true)
                    .backtrack_limit(MAX_STEPS)
                    .delegate_size_limit(MAX_COMPILED)
                    .build()
                    .ok()?,
            )),
            _ => None,
        };
        Some(Compiled { engine, exact, has_groups: self.has_groups, weight })
    }
}

/// A pattern that is ready to run.
pub struct Compiled {
    engine: BoundedBacktracker,
    exact: Option<Box<fancy_regex::Regex>>,
    has_groups: bool,
    /// Bytes of memory, about.
    pub weight: usize,
}

impl Compiled {
    /// What the groups hold when the pattern matches; without groups asked for, all are empty.
    pub fn find<'t>(&self, text: &'t str, cache: &mut Cache) -> Option<Groups<'t>> {
        let mut slots = [None::<NonMaxUsize>; 2 * GROUPS];
        let wanted = if self.has_groups && self.exact.is_none() { slots.len() } else { 0 };
        cache.reset(&self.engine);
        self.engine.try_search_slots(cache, &Input::new(text), &mut slots[..wanted]).ok().flatten()?;
        let mut groups = Groups([""; GROUPS]);
        match &self.exact {
            // More steps than are allowed are no match.
            Some(exact) if !self.has_groups => return exact.is_match(text).unwrap_or(false).then_some(groups),
            Some(exact) => {
                let found = exact.captures(text).ok().flatten()?;
                for (number, group) in groups.0.iter_mut().enumerate() {
                    *group = found.get(number).map_or("", |group| group.as_str());
                }
            }
            None => {
                for (group, ends) in groups.0.iter_mut().zip(slots.chunks_exact(2)) {
                    if let &[Some(start), Some(end)] = ends {
                        // An end in the middle of a letter is none of theirs: they write ASCII.
                        *group = text.get(start.get()..end.get()).unwrap_or_default();
                    }
                }
            }
        }
        Some(groups)
    }
}

/// What the groups of a match hold; empty where a group took no part.
pub struct Groups<'t>([&'t str; GROUPS]);

impl Groups<'_> {
    /// A name or version with its references, `$1` or `\g<1>`, filled in.
    pub fn fill(&self, template: &str) -> String {
        let mut filled = String::with_capacity(template.len() + 16);
        let mut rest = template;
        while let Some((at, (number, length))) = next_reference(rest) {
            filled.push_str(&rest[..at]);
            filled.push_str(self.0[number]);
            rest = &rest[at + length..];
        }
        filled.push_str(rest);
        filled
    }
}

/// Whether a name or version refers to groups.
pub fn has_references(template: &str) -> bool {
    next_reference(template).is_some()
}

/// Place, number and length of the first reference.
fn next_reference(text: &str) -> Option<(usize, (usize, usize))> {
    let digit = |byte: u8| byte.is_ascii_digit().then(|| usize::from(byte - b'0'));
    let at = |place: usize| match *text.as_bytes().get(place..)? {
        [b'$', number, ..] => Some((digit(number)?, 2)),
        [b'\\', b'g', b'<', number, b'>', ..] => Some((digit(number)?, 5)),
        [b'\\', number, ..] => Some((digit(number)?, 2)),
        _ => None,
    };
    memchr::memchr2_iter(b'$', b'\\', text.as_bytes()).find_map(|place| Some((place, at(place)?)))
}

/// The pattern without the groups that look around: it matches at least as much. `None` when its parentheses do not
/// match.
fn without_looks(pattern: &str) -> Option<String> {
    let mut kept = String::with_capacity(pattern.len());
    let mut rest = pattern;
    while let Some(look) = parts(rest).find(|part| is_look(&rest[part.start..]) && part.len() == 1) {
        let end = closing(&rest[look.start..])?;
        kept.push_str(&rest[..look.start]);
        rest = &rest[look.start + end..];
    }
    kept.push_str(rest);
    Some(kept)
}

fn is_look(text: &str) -> bool {
    ["(?=", "(?!", "(?<=", "(?<!"].iter().any(|start| text.starts_with(start))
}

/// Length of the group that the text begins with.
fn closing(text: &str) -> Option<usize> {
    let mut depth = 0_usize;
    for part in parts(text) {
        match &text[part.clone()] {
            "(" => depth += 1,
            ")" => depth = depth.checked_sub(1)?,
            _ => continue,
        }
        if depth == 0 {
            return Some(part.end);
        }
    }
    None
}

/// The signs of a pattern: characters, escapes and whole classes.
fn parts(pattern: &str) -> impl Iterator<Item = Range<usize>> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let rest = &pattern[at..];
        let length = match rest.chars().next()? {
            '\\' => 1 + rest[1..].chars().next().map_or(0, char::len_utf8),
            '[' => class_length(rest),
            c => c.len_utf8(),
        };
        at += length;
        Some(at - length..at)
    })
}

/// Length of a class with its brackets; the rest of the text when it does not end.
fn class_length(text: &str) -> usize {
    let mut characters = text.char_indices().skip(1).peekable();
    characters.next_if(|(_, c)| *c == '^');
    characters.next_if(|(_, c)| *c == ']');
    while let Some((at, c)) = characters.next() {
        match c {
            '\\' => drop(characters.next()),
            ']' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// The alternatives of a pattern at its top: it matches where one of them does.
pub fn alternatives(pattern: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let (mut depth, mut start) = (0_usize, 0);
    for part in parts(pattern) {
        match &pattern[part.clone()] {
            "(" => depth += 1,
            ")" => depth = depth.saturating_sub(1),
            "|" if depth == 0 => {
                found.push(&pattern[start..part.start]);
                start = part.end;
            }
            _ => {}
        }
    }
    found.push(&pattern[start..]);
    found
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn find(pattern: &str, text: &str, template: &str) -> Option<String> {
        let (pattern, _) = Pattern::read(pattern, has_references(template)).unwrap();
        let compiled = pattern.compile().unwrap();
        let mut cache = compiled.engine.create_cache();
        compiled.find(text, &mut cache).map(|groups| groups.fill(template))
    }

    #[test]
    fn groups_fill_names() {
        for (pattern, text, template, filled) in [
            ("Foo ([0-9]+)(?: (Pro))?", "x; foo 7 PRO", r"Foo $1 \g<2>", Some("Foo 7 PRO")),
            ("Foo ([0-9]+)(?: (Pro))?", "x; foo 7", "Foo $1$2!", Some("Foo 7!")),
            ("Foo(?! Bar) ([a-z]+)", "(Foo Baz)", r"\1", Some("Baz")),
            ("Foo(?! Bar) ([a-z]+)", "(Foo Bar)", r"\1", None),
            ("(?<!Not )Foo", "Not Foo", "x", None),
            ("Foo", "xFoo", "x", None),
            ("Foo", "x_Foo", "x", None),
            ("Foo", ";_Foo", "x", Some("x")),
            ("Foo", "sprd-foo", "x", Some("x")),
            ("[äö]+ ([0-9])", "ö 5", "$1", Some("5")),
            ("Süd ([0-9])", "Süd 5", "$1", Some("5")),
        ] {
            assert_eq!(find(pattern, text, template).as_deref(), filled, "{pattern} in {text}");
        }
        for (template, refers) in [("a", false), ("$", false), ("$a", false), (r"\g<x>", false), ("a $1", true)] {
            assert_eq!(has_references(template), refers, "{template}");
        }
    }

    #[test]
    fn patterns_are_split_where_it_changes_nothing() {
        assert_eq!(alternatives(r"a|b(?:c|d)|[|]|\||e"), ["a", "b(?:c|d)", "[|]", r"\|", "e"]);
        assert_eq!(alternatives("[]|]a|[^]|]"), ["[]|]a", "[^]|]"]);
        assert_eq!(alternatives(""), [""]);
        assert_eq!(without_looks(r"a(?!b(c)[)])d\(?=e(?<=f)").as_deref(), Some(r"ad\(?=e"));
        assert_eq!(without_looks("a(?!b"), None);
    }

    #[test]
    fn hostile_patterns_end() {
        let hostile = format!("{} x", "a".repeat(500));
        for pattern in ["(?:a+)+$", "(?:a|a)*b", "(?=(a+)+$)(?:a+)+b", "(?:(?=a)a|aa)+b", "(?:.*.*.*.*)=(?!x)"] {
            assert_eq!(find(pattern, &hostile, "x"), None, "{pattern}");
        }
        for pattern in ["(", "a{2,1}", r"(a)\1", "(?<x", "[z-a]", &"(".repeat(10_000), &"a".repeat(MAX_LENGTH + 1)] {
            assert!(Pattern::read(pattern, false).is_none(), "{}", pattern.get(..20).unwrap_or(pattern));
        }
        let (huge, _) = Pattern::read("(?:(?:a{1000}){1000}){1000}", false).unwrap();
        assert!(huge.compile().is_none());
    }
}

//! What is asked about a client, and what the answer is remembered by: a user agent with all hints.

use std::hash::{Hash, Hasher};

use quick_cache::Equivalent;

use crate::{
    collect::Hit,
    enrich::client_hints::{Aside, Hints, TEXTS},
};

/// The user agent, and the hints that are texts.
const PARTS: usize = 1 + TEXTS;

/// What a hit says of its client.
#[derive(Clone, Copy)]
pub struct Question<'a> {
    /// The user agent.
    pub text: &'a str,
    /// What was told beside it.
    pub hints: Hints<'a>,
}

impl<'a> Question<'a> {
    /// What this hit says.
    pub fn of(text: &'a str, hit: &Hit<'a>) -> Question<'a> {
        Question { text, hints: Hints::read(text, hit) }
    }

    /// What its answer is remembered by.
    pub fn key(&self) -> Key {
        let parts = self.parts();
        Key { texts: parts.concat().into(), lens: lens(&parts), aside: self.hints.aside }
    }

    fn parts(&self) -> [&'a str; PARTS] {
        let mut parts = [self.text; PARTS];
        parts[1..].copy_from_slice(&self.hints.texts());
        parts
    }
}

/// A question that is kept: its texts lie end to end, for they are many, and most of them empty.
pub struct Key {
    texts: Box<str>,
    lens: [u16; PARTS],
    aside: Option<Aside>,
}

impl Key {
    /// Bytes of the texts.
    pub fn len(&self) -> usize {
        self.texts.len()
    }

    fn parts(&self) -> impl Iterator<Item = &str> {
        let mut rest = &*self.texts;
        self.lens.iter().map(move |&len| {
            let (part, after) = rest.split_at(len.into());
            rest = after;
            part
        })
    }
}

/// The longest user agent and the longest hint have some hundred bytes.
fn lens(parts: &[&str; PARTS]) -> [u16; PARTS] {
    parts.map(|part| part.len() as u16)
}

impl PartialEq for Key {
    fn eq(&self, other: &Key) -> bool {
        self.lens == other.lens && self.aside == other.aside && self.texts == other.texts
    }
}

impl Eq for Key {}

impl Equivalent<Key> for Question<'_> {
    fn equivalent(&self, key: &Key) -> bool {
        let parts = self.parts();
        lens(&parts) == key.lens
            && self.hints.aside == key.aside
            && parts.iter().zip(key.parts()).all(|(asked, kept)| asked.is_empty() || *asked == kept)
    }
}

impl Hash for Question<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        hash(self.parts().into_iter(), self.hints.aside, state);
    }
}

/// Hashes like the [`Question`] it was made of.
impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        hash(self.parts(), self.aside, state);
    }
}

/// Most clients tell nothing, which takes no time this way.
fn hash<'t, H: Hasher>(parts: impl Iterator<Item = &'t str>, aside: Option<Aside>, state: &mut H) {
    parts.filter(|part| !part.is_empty()).for_each(|part| state.write(part.as_bytes()));
    aside.hash(state);
}

#[cfg(test)]
mod tests {
    use std::hash::BuildHasher;

    use foldhash::fast::FixedState;

    use super::*;

    #[test]
    fn a_question_finds_its_own_key_and_no_other() {
        let one = Question { text: "Mozilla/5.0", hints: Hints { mobile: "?1", model: "Pixel", ..Hints::default() } };
        let app = Hints { aside: Some(Aside::App), ..one.hints };
        let others = [
            Question { text: "Mozilla/5.0?1", hints: Hints { model: "Pixel", ..Hints::default() } },
            Question { text: "Mozilla/5.0", hints: Hints { mobile: "?1P", model: "ixel", ..Hints::default() } },
            Question { text: "Mozilla/5.0", hints: Hints { mobile: "?1", platform: "Pixel", ..Hints::default() } },
            Question { text: "Mozilla/5.0", hints: Hints { mobile: "?0", model: "Pixel", ..Hints::default() } },
            Question { text: "Mozilla/5.1", hints: one.hints },
            Question { text: "Mozilla/5.0", hints: app },
        ];
        let hasher = FixedState::default();
        let key = one.key();
        assert!(one.equivalent(&key) && key == one.key());
        assert_eq!(hasher.hash_one(one), hasher.hash_one(&key));
        for other in others {
            assert!(!other.equivalent(&key) && other.key() != key, "{}", other.text);
        }
    }
}

//! The patterns of a folder, and an automaton for each group of lists that names the few that may match a text.

use std::sync::Arc;

use aho_corasick::{AhoCorasick, AhoCorasickKind, MatchKind};
use quick_cache::{Weighter, sync::Cache};
use regex_automata::nfa::thompson::backtrack;

use super::{
    Fault,
    pattern::{Compiled, Groups, Pattern},
};

/// Bytes of compiled patterns kept.
const MAX_COMPILED: u64 = 24 << 20;
/// Most bytes of all words of a group of lists; those of the published ones have half a megabyte.
const MAX_WORDS: usize = 4 << 20;
/// Most patterns of a folder; the published one has twenty-eight thousand.
const MAX_PATTERNS: usize = 200_000;
/// Most patterns tried on one text. Real texts need some dozens.
const MAX_TRIED: u32 = 512;

/// All patterns of a folder.
pub struct Patterns {
    all: Vec<Pattern>,
    /// Of them those that were needed lately; `None` is one that is too large.
    compiled: Cache<u32, Option<Arc<Compiled>>, ByMemory>,
    /// How many had to be left out.
    pub skipped: usize,
}

#[derive(Clone)]
struct ByMemory;

impl Weighter<u32, Option<Arc<Compiled>>> for ByMemory {
    fn weight(&self, _: &u32, compiled: &Option<Arc<Compiled>>) -> u64 {
        256 + compiled.as_ref().map_or(0, |compiled| compiled.weight as u64)
    }
}

impl Patterns {
    /// None yet.
    pub fn new() -> Patterns {
        Patterns { all: Vec::new(), compiled: Cache::with_weighter(4096, MAX_COMPILED, ByMemory), skipped: 0 }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.all.len()
    }

    /// Adds a pattern with its words to the group; one that cannot be used is counted.
    pub fn add(&mut self, text: &str, has_groups: bool, group: &mut Words) -> Result<(), Fault> {
        let Some((pattern, words)) = Pattern::read(text, has_groups) else {
            self.skipped += 1;
            return Ok(());
        };
        let id = self.all.len() as u32;
        match words {
            None => group.always.push(id),
            Some(words) => {
                group.bytes += words.iter().map(Vec::len).sum::<usize>();
                group.words.extend(words.into_iter().map(|word| (word, id)));
            }
        }
        self.all.push(pattern);
        if group.bytes > MAX_WORDS || self.all.len() > MAX_PATTERNS {
            return Err(Fault::of_folder("has more patterns than are held in memory"));
        }
        Ok(())
    }

    /// Whether a pattern matches, and what its groups hold. Nothing matches any more when a text had its share.
    pub fn find<'t>(&self, id: u32, text: &'t str, effort: &mut Effort) -> Option<Groups<'t>> {
        effort.tried += 1;
        if effort.tried > MAX_TRIED {
            return None;
        }
        let compiled = match self.compiled.get(&id) {
            Some(known) => known,
            None => {
                let compiled = self.all.get(id as usize)?.compile().map(Arc::new);
                effort.compiled += 1 + compiled.as_ref().map_or(64, |compiled| compiled.weight >> 14) as u32;
                self.compiled.insert(id, compiled.clone());
                compiled
            }
        }?;
        compiled.find(text, &mut effort.cache)
    }
}

/// Words on their way into an automaton.
#[derive(Default)]
pub struct Words {
    words: Vec<(Vec<u8>, u32)>,
    always: Vec<u32>,
    bytes: usize,
}

/// Which patterns of a group of lists may match a text.
pub struct Index {
    automaton: AhoCorasick,
    /// Where the patterns of each word end in `patterns`.
    ends: Vec<u32>,
    patterns: Vec<u32>,
    /// Patterns without words.
    always: Vec<u32>,
}

impl Index {
    /// Builds the automaton.
    pub fn new(group: Words) -> Result<Index, Fault> {
        let Words { mut words, always, .. } = group;
        words.sort_unstable();
        words.dedup();
        let (mut distinct, mut ends, mut patterns): (Vec<Vec<u8>>, Vec<u32>, _) = (Vec::new(), Vec::new(), Vec::new());
        for (word, id) in words {
            patterns.push(id);
            if distinct.last() != Some(&word) {
                distinct.push(word);
                ends.push(0);
            }
            if let Some(end) = ends.last_mut() {
                *end = patterns.len() as u32;
            }
        }
        let automaton = AhoCorasick::builder()
            .match_kind(MatchKind::Standard)
            .kind(Some(AhoCorasickKind::ContiguousNFA))
            .ascii_case_insensitive(true)
            .build(&distinct)
            .map_err(|_| Fault::of_folder("has more words than an automaton holds"))?;
        Ok(Index { automaton, ends, patterns, always })
    }

    /// Patterns that may match, in their order.
    pub fn candidates(&self, text: &str) -> Vec<u32> {
        let mut found = self.always.clone();
        for word in self.automaton.find_overlapping_iter(text) {
            let word = word.pattern().as_usize();
            let start = word.checked_sub(1).map_or(0, |before| self.ends[before]) as usize;
            found.extend(&self.patterns[start..self.ends[word] as usize]);
        }
        found.sort_unstable();
        found.dedup();
        found
    }

    /// Bytes of memory, about.
    pub fn memory(&self) -> usize {
        self.automaton.memory_usage() + 4 * (self.ends.len() + self.patterns.len() + self.always.len())
    }
}

/// What one text costs.
pub struct Effort {
    cache: backtrack::Cache,
    tried: u32,
    compiled: u32,
}

impl Effort {
    /// Nothing yet.
    pub fn new() -> Effort {
        let cache = backtrack::BoundedBacktracker::never_match().map(|engine| engine.create_cache());
        Effort { cache: cache.expect("an engine without patterns can be built"), tried: 0, compiled: 0 }
    }

    /// How many times a cold parse it was worth beyond the first: what had to be compiled takes as long.
    pub fn extra(&self) -> u32 {
        self.compiled + self.tried / 64
    }
}

//! Everything wrong with a configuration, shown at once.

use std::{error::Error, fmt};

use super::tree::Place;
use crate::problem::Problem;

/// One problem and where it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Where.
    pub place: Place,
    /// What.
    pub problem: Problem,
}

impl Found {
    /// A problem at a place.
    pub fn new(place: Place, problem: Problem) -> Found {
        Found { place, problem }
    }
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.place != Place::Default {
            write!(f, "{}: ", self.place)?;
        }
        if !self.problem.path.is_empty() {
            write!(f, "{}: ", self.problem.path)?;
        }
        write!(f, "{}", self.problem.message)?;
        match &self.problem.hint {
            Some(hint) => write!(f, "\n  hint: {hint}"),
            None => Ok(()),
        }
    }
}

/// All problems of one configuration, in the order of their places. Never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problems(Vec<Found>);

impl Problems {
    /// In the order of the files and of their lines, what is in no file last. `None` when there is nothing wrong.
    pub fn of(mut found: Vec<Found>, files: &[&str]) -> Option<Problems> {
        found.sort_by_key(|found| match found.place.line() {
            Some((file, line)) => (files.iter().position(|known| *known == file).unwrap_or(files.len()), line),
            None => (usize::MAX, 0),
        });
        (!found.is_empty()).then_some(Problems(found))
    }

    /// Without places: what a command finds wanting in a configuration that is sound in itself.
    pub fn plain(problems: Vec<Problem>) -> Option<Problems> {
        Problems::of(problems.into_iter().map(|problem| Found::new(Place::Default, problem)).collect(), &[])
    }

    /// One after the other.
    pub fn iter(&self) -> impl Iterator<Item = &Found> {
        self.0.iter()
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, found) in self.0.iter().enumerate() {
            let separator = if index == 0 { "" } else { "\n" };
            write!(f, "{separator}{found}")?;
        }
        Ok(())
    }
}

impl Error for Problems {}

/// The known word nearest to an unknown one, when it is near enough to be a slip of the finger.
pub fn nearest<'a>(word: &str, known: &[&'a str]) -> Option<&'a str> {
    let word = word.to_lowercase().replace('-', "_");
    known
        .iter()
        .map(|candidate| (strsim::damerau_levenshtein(&word, &candidate.to_lowercase()), *candidate))
        .filter(|(distance, candidate)| {
            *distance <= 1 + candidate.len() / 4 || (word.len() > 2 && candidate.starts_with(&word))
        })
        .min()
        .map(|(_, candidate)| candidate)
}

/// Words in backticks, for a sentence.
pub fn list(words: &[&str]) -> String {
    words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_find_their_word_and_strangers_find_none() {
        let known = ["strategy", "project_id", "local", "bq", "pubsub", "spool"];
        for (word, expected) in [
            ("stratgy", Some("strategy")),
            ("Strategy", Some("strategy")),
            ("project-id", Some("project_id")),
            ("projectid", Some("project_id")),
            ("pubsbu", Some("pubsub")),
            ("lcoal", Some("local")),
            ("kafka", None),
            ("password", None),
        ] {
            assert_eq!(nearest(word, &known), expected, "{word}");
        }
    }
}

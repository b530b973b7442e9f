//! What was stored, when it is too much to keep: how often each number came.

// The stand-ins as a program tally; the tests keep rows.
#![allow(dead_code)]

use std::collections::VecDeque;

/// How much of what comes is kept.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Keep {
    /// All of it.
    #[default]
    Rows,
    /// How often rows with the event ids `f0`, `f1`, … were stored.
    Tally,
    /// How many rows came: they are not even read.
    Count,
}

/// The counts.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    times: Vec<u8>,
    /// Rows that were stored, all in all.
    pub rows: u64,
    /// Rows of other ids.
    pub strays: u64,
    /// Rows that may have come twice: of requests that were not answered, as far as the client can know, when their call
    /// ended.
    pub excused: u64,
    /// Rows in requests that came.
    pub requests: u64,
}

impl Tally {
    /// A row was stored.
    pub fn note(&mut self, id: &str) {
        self.rows += 1;
        // Numbers are given one after the other, so that a larger one is not ours.
        let number = id.strip_prefix('f').and_then(|number| number.parse::<usize>().ok());
        let Some(number) = number.filter(|number| *number < 1_000_000_000) else {
            self.strays += 1;
            return;
        };
        if self.times.len() <= number {
            self.times.resize(number + 1, 0);
        }
        self.times[number] = self.times[number].saturating_add(1);
    }

    /// Numbers that came.
    pub fn distinct(&self) -> u64 {
        self.times.iter().filter(|times| **times > 0).count() as u64
    }

    /// How often each came, as runs of (times, numbers in a row).
    pub fn runs(&self) -> Vec<(u8, u64)> {
        let mut runs: Vec<(u8, u64)> = Vec::new();
        for times in &self.times {
            match runs.last_mut() {
                Some((last, length)) if last == times => *length += 1,
                _ => runs.push((*times, 1)),
            }
        }
        runs
    }
}

/// Rows of the requests that a client may have unanswered.
#[derive(Debug, Default)]
pub struct Recent(VecDeque<u64>);

impl Recent {
    /// One more request, of at most so many unanswered ones.
    pub fn note(&mut self, rows: usize, unanswered: usize) {
        self.0.push_back(rows as u64);
        while self.0.len() > unanswered {
            self.0.pop_front();
        }
    }

    pub fn rows(&self) -> u64 {
        self.0.iter().sum()
    }

    pub fn clear(&mut self) {
        self.0.clear();
    }
}

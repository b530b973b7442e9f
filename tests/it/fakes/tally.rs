//! What was stored, when it is too much to keep: how often each number came.

// The stand-ins as a program tally; the tests keep rows.
#![allow(dead_code)]

use std::{
    collections::VecDeque,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

/// How much of what comes is kept.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Keep {
    /// All of it.
    #[default]
    Rows,
    /// How often rows with the event ids `f0`, `f1`, … were stored.
    Tally,
    /// The same, and nothing else of the rows is read.
    Moments,
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
    /// Rows that may come twice whatever the client does: they were stored, and the client was told that they were not, or
    /// nothing, or may not have read or written down what it was told when its call or the process ended.
    pub excused: u64,
    /// The same of a client that is not killed: it knows every answer that came before a call's end in good order.
    pub unanswered: u64,
    /// Requests that came.
    pub requests: u64,
    /// Of every 25th number, when it was first stored, in microseconds since the Unix epoch. Not more than a million.
    pub moments: Vec<(usize, u64)>,
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
        if number.is_multiple_of(25) && self.times[number] == 0 && self.moments.len() < 1_000_000 {
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            self.moments.push((number, now.as_micros() as u64));
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

/// A client has read an answer, and written down that it has it, after so long.
const KNOWN: Duration = Duration::from_secs(2);

/// A client that was told an error has what failed taken at last after so long, and writes down what it has sent since only
/// then: its notes go as far as everything is done.
const TROUBLE: Duration = Duration::from_secs(60);

/// Stored rows of the requests whose answers a client may not have read, or not written down.
#[derive(Debug)]
pub struct Recent {
    answered: VecDeque<(Instant, u64)>,
    /// When the client was last told an error.
    told: Option<Instant>,
    /// When the client was last seen: it may have gone at any time since.
    seen: Instant,
}

impl Default for Recent {
    fn default() -> Recent {
        Recent { answered: VecDeque::new(), told: None, seen: Instant::now() }
    }
}

impl Recent {
    /// One more request is answered now, of at most so many that wait for an answer.
    pub fn note(&mut self, rows: u64, unanswered: usize) {
        self.answered.push_back((Instant::now(), rows));
        while self.answered.len() > unanswered {
            self.answered.pop_front();
        }
    }

    /// The client is told an error.
    pub fn trouble(&mut self) {
        self.told = Some(Instant::now());
    }

    /// The client is there.
    pub fn seen(&mut self) {
        self.seen = Instant::now();
    }

    pub fn rows(&self) -> u64 {
        let since = |at: Instant| self.seen.saturating_duration_since(at);
        let told = self.told.filter(|told| since(*told) < TROUBLE);
        let may = |at: Instant| since(at) < KNOWN || told.is_some_and(|told| at + KNOWN >= told);
        self.answered.iter().filter(|(at, _)| may(*at)).map(|(_, rows)| rows).sum()
    }
}

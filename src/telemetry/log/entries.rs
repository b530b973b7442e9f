//! What waits for the thread that writes: finished lines, and requests of whose lines it is the one to make text.
//!
//! A request's line is hundreds of bytes put together from dozens of pieces. Whoever serves requests makes one now and
//! then, between much other work, and finds its code gone from the processor's caches each time; here it is done for
//! many at a time.

use std::{fmt, mem};

use jiff::Timestamp;
use tracing::Level;

use super::{Format, access::Access, human::Human, json::Json, line::Line};

/// One line; `T` is how its texts are there.
#[derive(Clone, Copy, Debug)]
pub enum Entry<T> {
    /// As it is written, with its end.
    Line(T),
    /// That of a request.
    Access {
        /// When it ended.
        time: Timestamp,
        /// Whether the line is a warning.
        is_failure: bool,
        /// What it says.
        access: Access<T>,
    },
}

impl<T: Copy> Entry<T> {
    /// Of a request that ends now.
    pub fn access(is_failure: bool, access: Access<T>) -> Entry<T> {
        Entry::Access { time: Timestamp::now(), is_failure, access }
    }

    /// As [`Access::map`].
    fn map<U>(&self, mut change: impl FnMut(T) -> U) -> Entry<U> {
        match *self {
            Entry::Line(line) => Entry::Line(change(line)),
            Entry::Access { time, is_failure, access } => {
                Entry::Access { time, is_failure, access: access.map(change) }
            }
        }
    }
}

impl Entry<&str> {
    /// Bytes that it takes among others.
    pub fn bytes(&self) -> usize {
        let mut bytes = mem::size_of::<Entry<u32>>();
        self.map(|text| bytes += text.len());
        bytes
    }

    /// Adds the line.
    pub fn write(&self, format: Format, lines: &mut String) -> fmt::Result {
        let (time, is_failure, access) = match self {
            Entry::Line(line) => {
                lines.push_str(line);
                return Ok(());
            }
            Entry::Access { time, is_failure, access } => (*time, *is_failure, access),
        };
        let level = if is_failure { Level::WARN } else { Level::INFO };
        match format {
            Format::Human { colour } => Human { colour }.access(level, time, access, lines),
            Format::Json => Json.access(level, time, access, lines),
        }
    }
}

/// Entries in the order in which they came. Their texts lie end to end, so that none is an allocation of its own.
#[derive(Debug, Default)]
pub struct Entries {
    /// With the lengths of their texts, each of which begins where the one before it ends.
    list: Vec<Entry<u32>>,
    texts: String,
}

impl Entries {
    /// Adds one.
    pub fn push(&mut self, entry: &Entry<&str>) {
        let entry = entry.map(|text| {
            // No line is 4 GiB long.
            self.texts.push_str(text);
            text.len() as u32
        });
        self.list.push(entry);
    }

    /// From the first to the last.
    pub fn iter(&self) -> impl Iterator<Item = Entry<&str>> {
        let mut texts = &*self.texts;
        self.list.iter().map(move |entry| {
            entry.map(|length| {
                let (text, rest) = texts.split_at(length as usize);
                texts = rest;
                text
            })
        })
    }

    /// Bytes that they take.
    pub fn bytes(&self) -> usize {
        self.list.len() * mem::size_of::<Entry<u32>>() + self.texts.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Takes all out, and keeps memory for some.
    pub fn clear(&mut self, kept: usize) {
        self.list.clear();
        self.texts.clear();
        self.list.shrink_to(kept / mem::size_of::<Entry<u32>>());
        self.texts.shrink_to(kept);
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::access::{About, tests::*},
        *,
    };

    #[test]
    fn entries_come_back_as_they_were() {
        let all = [
            Entry::access(false, full()),
            Entry::Line("ä\n"),
            Entry::access(true, bare()),
            Entry::Line(""),
            Entry::access(false, Access { about: About::Unreadable("slow_header"), ..full() }),
        ];
        let mut entries = Entries::default();
        all.iter().for_each(|entry| entries.push(entry));
        let (found, expected): (Vec<_>, Vec<_>) = (entries.iter().collect(), all.iter().collect());
        assert_eq!(format!("{found:?}"), format!("{expected:?}"));
        assert_eq!(entries.bytes(), all.iter().map(Entry::bytes).sum::<usize>());
        entries.clear(100);
        assert!(entries.is_empty() && entries.bytes() == 0 && entries.texts.capacity() <= 100);
    }
}

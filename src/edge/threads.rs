//! How many threads serve: `auto`, or a number.

use std::num::NonZeroUsize;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

/// More than any machine has; a guard against typing errors, each thread costs a runtime.
const MAX_THREADS: usize = 1024;

/// Number of worker threads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Threads {
    /// One per core the process may use.
    Auto,
    /// This many.
    Exactly(NonZeroUsize),
}

impl Threads {
    /// The number.
    pub fn count(self) -> usize {
        match self {
            Threads::Auto => std::thread::available_parallelism().map_or(1, NonZeroUsize::get),
            Threads::Exactly(count) => count.get(),
        }
    }
}

impl Serialize for Threads {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Threads::Auto => serializer.serialize_str("auto"),
            Threads::Exactly(count) => serializer.serialize_u64(count.get() as u64),
        }
    }
}

impl<'de> Deserialize<'de> for Threads {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Threads, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged, expecting = "expected `auto` or a number of threads")]
        enum Raw {
            Number(usize),
            Text(String),
        }
        let (count, text) = match Raw::deserialize(deserializer)? {
            Raw::Text(text) if text == "auto" => return Ok(Threads::Auto),
            Raw::Text(text) => (text.parse().ok(), text),
            Raw::Number(number) => (Some(number), number.to_string()),
        };
        let count = count.filter(|count| *count <= MAX_THREADS).and_then(NonZeroUsize::new);
        count
            .map(Threads::Exactly)
            .ok_or_else(|| D::Error::custom(format!("`{text}` is neither `auto` nor a number from 1 to {MAX_THREADS}")))
    }
}

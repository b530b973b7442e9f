//! Rows a sink will never take, kept with the reason and the original bytes until a person decides.
//!
//! They lie as JSON lines in `<local.directory>/dead-letters/letters-<n>.jsonl`, readable by any tool. A letter is
//! synced before its row is committed in the spool, so a crash can bring the row again but not lose it; the letter's
//! id is made of sink, spool and position, and a second letter with the same id is not kept.
//!
//! [`replay`] puts rows back into the spool, from where they go to every sink like new ones. The spool has one owner,
//! so the server must be stopped meanwhile. Letters stay where they are; `replays.jsonl` says which were replayed.

mod replay;

use std::{
    collections::HashSet,
    fs, io,
    path::{Path, PathBuf},
};

use base64::{Engine, prelude::BASE64_STANDARD};
use parking_lot::Mutex;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

pub use self::replay::{ReplayError, Replayed, Selection, replay, settle};
use super::{
    journal::{self, Journal},
    sink::Position,
};
use crate::schema::{Date, Row};

/// Name of the folder below `local.directory`.
pub const FOLDER: &str = "dead-letters";

/// A file is not continued beyond this size.
const SEGMENT: u64 = 16 * 1024 * 1024;

/// Why a row became a dead letter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Reason {
    /// The sink took the batch, but not this row.
    Rejected,
    /// The sink refused the row when it stood alone.
    Refused,
    /// No request can hold the row.
    TooLarge,
    /// The sink panicked over the row, again and again.
    Panicked,
}

impl Reason {
    /// Value of the metric's label.
    pub const fn label(self) -> &'static str {
        match self {
            Reason::Rejected => "rejected",
            Reason::Refused => "refused",
            Reason::TooLarge => "too_large",
            Reason::Panicked => "panicked",
        }
    }
}

/// One row, and why it is here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeadLetter {
    /// `<sink>-<spool>-<position>`.
    pub id: String,
    /// When it was set aside; RFC 3339.
    pub at: String,
    /// The sink that will not take it.
    pub sink: String,
    /// What the sink was doing.
    pub stage: String,
    /// Kind of failure.
    pub reason: Reason,
    /// The sink's words.
    pub message: String,
    /// The row's stream.
    pub stream: String,
    /// The row's day; `YYYY-MM-DD`.
    pub date: String,
    /// The row's event id.
    pub event_id: String,
    /// The encoded event; base64 in the file.
    #[serde(serialize_with = "to_base64", deserialize_with = "from_base64")]
    pub row: Vec<u8>,
}

impl DeadLetter {
    /// A letter for a row at `position` of the spool with identity `spool`, which `sink` would not write.
    pub fn new(sink: &str, spool: u64, position: Position, row: &Row, reason: Reason, message: String) -> DeadLetter {
        DeadLetter {
            id: format!("{sink}-{spool:016x}-{position}"),
            at: jiff::Timestamp::now().to_string(),
            sink: sink.into(),
            stage: "write".into(),
            reason,
            message,
            stream: row.stream.to_string(),
            date: row.date.to_string(),
            event_id: row.id().to_owned(),
            row: row.bytes().to_vec(),
        }
    }

    /// The row as it was; `None` when the letter's date makes no sense.
    pub fn row(&self) -> Option<Row> {
        let date = Date::parse(&self.date)?;
        Some(Row::from_parts(date, self.stream.as_str().into(), &self.event_id, &self.row))
    }
}

/// The open folder, for adding letters.
pub struct DeadLetters {
    directory: PathBuf,
    state: Mutex<State>,
}

struct State {
    /// The file that grows; opened by the first letter.
    journal: Option<Journal>,
    /// Ids that are on disk.
    known: HashSet<String>,
}

impl DeadLetters {
    /// Reads what is there. Creates nothing: most lakes never see a dead letter.
    pub fn open(directory: &Path) -> io::Result<DeadLetters> {
        let known = read(directory)?.into_iter().map(|letter| letter.id).collect();
        Ok(DeadLetters { directory: directory.into(), state: Mutex::new(State { journal: None, known }) })
    }

    /// Adds letters and syncs them. Blocking. After an error none of them counts as added; try again.
    pub fn add(&self, letters: &[DeadLetter]) -> io::Result<()> {
        let mut state = self.state.lock();
        let mut fresh = Vec::new();
        let mut lines = Vec::new();
        for letter in letters {
            if !state.known.contains(&letter.id) && !fresh.contains(&&letter.id) {
                fresh.push(&letter.id);
                serde_json::to_writer(&mut lines, letter)?;
                lines.push(b'\n');
            }
        }
        if fresh.is_empty() {
            return Ok(());
        }
        if state.journal.as_ref().is_none_or(|journal| journal.size() >= SEGMENT) {
            state.journal = Some(self.next_segment()?);
        }
        let journal = state.journal.as_mut().expect("opened above");
        if let Err(error) = journal.append(&lines) {
            // The file may end in half a line; opening it again repairs it.
            state.journal = None;
            return Err(error);
        }
        state.known.extend(fresh.into_iter().cloned());
        Ok(())
    }

    fn next_segment(&self) -> io::Result<Journal> {
        let last = segments(&self.directory)?.last().map_or(1, |(number, _)| *number);
        let journal = Journal::open(&segment(&self.directory, last))?;
        if journal.size() < SEGMENT { Ok(journal) } else { Journal::open(&segment(&self.directory, last + 1)) }
    }
}

/// Whether a letter still waits for a decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Nobody has touched it.
    Waiting,
    /// Its row is in the spool again, or already at its sinks.
    Replayed,
    /// A replay was cut off by a crash; the next start or replay finds out how far it came.
    Unsettled,
}

/// Every letter in `directory`, oldest first.
pub fn list(directory: &Path) -> io::Result<Vec<(DeadLetter, Status)>> {
    let replays = replay::Replays::read(directory)?;
    let letters = read(directory)?;
    let with_status = |letter: DeadLetter| {
        let status = replays.status(&letter.id);
        (letter, status)
    };
    Ok(letters.into_iter().map(with_status).collect())
}

/// One letter.
pub fn show(directory: &Path, id: &str) -> io::Result<Option<(DeadLetter, Status)>> {
    Ok(list(directory)?.into_iter().find(|(letter, _)| letter.id == id))
}

fn read(directory: &Path) -> io::Result<Vec<DeadLetter>> {
    let mut letters: Vec<DeadLetter> = Vec::new();
    let mut seen = HashSet::new();
    for (_, path) in segments(directory)? {
        for letter in journal::read::<DeadLetter>(&path)? {
            if seen.insert(letter.id.clone()) {
                letters.push(letter);
            }
        }
    }
    Ok(letters)
}

fn segment(directory: &Path, number: u64) -> PathBuf {
    directory.join(format!("letters-{number:06}.jsonl"))
}

fn segments(directory: &Path) -> io::Result<Vec<(u64, PathBuf)>> {
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut segments = Vec::new();
    for entry in entries {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str());
        let number = name.and_then(|name| name.strip_prefix("letters-")?.strip_suffix(".jsonl")?.parse().ok());
        segments.extend(number.map(|number| (number, path)));
    }
    segments.sort();
    Ok(segments)
}

fn to_base64<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&BASE64_STANDARD.encode(bytes))
}

fn from_base64<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
    BASE64_STANDARD.decode(String::deserialize(deserializer)?).map_err(D::Error::custom)
}

#[cfg(test)]
mod tests {

    use super::*;

    pub(super) fn letter(position: Position) -> DeadLetter {
        let row = Row::from_parts(Date(19_782), "shop".into(), "e-1", b"\x00\xffbytes");
        DeadLetter::new("local", 0xabc, position, &row, Reason::Refused, "too odd".into())
    }

    #[test]
    fn a_letter_gives_the_row_back_as_it_was() {
        let folder = tempfile::tempdir().unwrap();
        DeadLetters::open(folder.path()).unwrap().add(&[letter(7)]).unwrap();
        let (found, status) = show(folder.path(), "local-0000000000000abc-7").unwrap().unwrap();
        assert_eq!((status, found.reason, found.message.as_str()), (Status::Waiting, Reason::Refused, "too odd"));
        let row = found.row().unwrap();
        assert_eq!((row.date, &*row.stream, row.id()), (Date(19_782), "shop", "e-1"));
        assert_eq!(row.bytes(), b"\x00\xffbytes");
        assert_eq!(show(folder.path(), "local-0-7").unwrap(), None);
    }

    #[test]
    fn the_same_row_after_a_crash_is_kept_once() {
        let folder = tempfile::tempdir().unwrap();
        let letters = DeadLetters::open(folder.path()).unwrap();
        letters.add(&[letter(1), letter(2), letter(1)]).unwrap();
        letters.add(&[letter(2)]).unwrap();
        drop(letters);
        DeadLetters::open(folder.path()).unwrap().add(&[letter(2), letter(3)]).unwrap();
        let ids: Vec<_> = list(folder.path()).unwrap().into_iter().map(|(letter, _)| letter.id).collect();
        assert_eq!(ids.len(), 3, "{ids:?}");
    }

    #[test]
    fn a_line_torn_by_a_crash_is_cut_off_and_its_row_kept_again() {
        let folder = tempfile::tempdir().unwrap();
        DeadLetters::open(folder.path()).unwrap().add(&[letter(1), letter(2)]).unwrap();
        let path = segment(folder.path(), 1);
        let text = fs::read(&path).unwrap();
        fs::write(&path, &text[..text.len() - 20]).unwrap();
        assert_eq!(list(folder.path()).unwrap().len(), 1);
        DeadLetters::open(folder.path()).unwrap().add(&[letter(2)]).unwrap();
        assert_eq!(list(folder.path()).unwrap().len(), 2);
        assert!(fs::read_to_string(&path).unwrap().lines().all(|line| line.starts_with('{') && line.ends_with('}')));
    }

    #[test]
    fn a_missing_folder_is_an_empty_one() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(list(&folder.path().join("none")).unwrap(), []);
    }
}

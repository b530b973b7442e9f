//! Putting dead letters back into the spool, each once, whatever happens meanwhile.
//!
//! Two files cannot change in one step, so `replays.jsonl` first says which letters are about to enter the spool and
//! where the spool ended then, and afterwards that they have. If the second line is missing, the spool tells: it grew
//! or it did not. Nobody else can have made it grow, because both a replay and a starting server [`settle`] this
//! before anything is appended.

use std::{collections::HashMap, io, path::Path};

use serde::{Deserialize, Serialize};

use super::{DeadLetter, Journal, Status, journal};
use crate::{
    deliver::{
        sink::Position,
        spool::{Spool, SpoolFull},
    },
    schema::Row,
};

/// Rows put into the spool at a time.
const CHUNK: usize = 256;

/// Which letters to replay.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Selection {
    /// Every letter that waits.
    All,
    /// These, by id.
    Ids(Vec<String>),
}

/// What a replay did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Replayed {
    /// Letters whose rows are in the spool now.
    pub replayed: Vec<String>,
    /// Letters that had been replayed before.
    pub already: Vec<String>,
}

/// Why a replay stopped. What was replayed until then stays so, and will not be replayed again.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// No such letter; nothing was replayed.
    #[error("there is no dead letter `{0}`")]
    Unknown(String),
    /// The letter cannot be made a row again.
    #[error("dead letter `{0}` has no valid date")]
    Damaged(String),
    /// The spool has no room.
    #[error("replayed {0} letters, then: {1}; start the server to empty the spool and try again")]
    Full(usize, SpoolFull),
    /// The folder of dead letters.
    #[error("cannot read or write dead letters: {0}")]
    Io(#[from] io::Error),
}

/// Puts rows back into `spool`. The letters stay, marked as replayed.
pub async fn replay(directory: &Path, selection: &Selection, spool: &Spool) -> Result<Replayed, ReplayError> {
    settle(directory, spool)?;
    let letters = super::list(directory)?;
    let chosen = choose(&letters, selection)?;

    let mut outcome = Replayed::default();
    let mut rows: Vec<(&str, Row)> = Vec::new();
    for (letter, status) in chosen {
        match status {
            Status::Waiting => {
                rows.push((&letter.id, letter.row().ok_or_else(|| ReplayError::Damaged(letter.id.clone()))?));
            }
            Status::Replayed | Status::Unsettled => outcome.already.push(letter.id.clone()),
        }
    }
    if rows.is_empty() {
        return Ok(outcome);
    }
    let mut journal = Journal::open(&directory.join(FILE))?;
    for chunk in rows.chunks(CHUNK) {
        let ids: Vec<String> = chunk.iter().map(|(id, _)| (*id).to_owned()).collect();
        write(
            &mut journal,
            &Line::Begun { ids: ids.clone(), spool: format!("{:016x}", spool.id()), end: spool.end() },
        )?;
        if let Err(full) = spool.append(chunk.iter().map(|(_, row)| row.clone()).collect()).await {
            write(&mut journal, &Line::Undone { ids })?;
            return Err(ReplayError::Full(outcome.replayed.len(), full));
        }
        write(&mut journal, &Line::Done { ids: ids.clone() })?;
        outcome.replayed.extend(ids);
    }
    Ok(outcome)
}

fn choose<'a>(
    letters: &'a [(DeadLetter, Status)],
    selection: &Selection,
) -> Result<Vec<&'a (DeadLetter, Status)>, ReplayError> {
    let Selection::Ids(ids) = selection else {
        return Ok(letters.iter().filter(|(_, status)| *status == Status::Waiting).collect());
    };
    let mut chosen: Vec<&(DeadLetter, Status)> = Vec::new();
    for id in ids {
        let found = letters.iter().find(|(letter, _)| letter.id == *id);
        let found = found.ok_or_else(|| ReplayError::Unknown(id.clone()))?;
        if !chosen.iter().any(|(letter, _)| letter.id == *id) {
            chosen.push(found);
        }
    }
    Ok(chosen)
}

/// Finds out whether a replay that a crash cut off had reached the spool, and writes it down. Call when the spool was
/// opened, before anything is appended to it.
pub fn settle(directory: &Path, spool: &Spool) -> io::Result<()> {
    let replays = Replays::read(directory)?;
    let mut lines = Vec::new();
    for (ids, id, end) in replays.unsettled {
        let untouched = id == format!("{:016x}", spool.id()) && end == spool.end();
        if !untouched {
            tracing::info!(letters = ids.len(), "a replay that was cut off had reached the spool");
        }
        lines.push(if untouched { Line::Undone { ids } } else { Line::Done { ids } });
    }
    if !lines.is_empty() {
        let mut journal = Journal::open(&directory.join(FILE))?;
        for line in &lines {
            write(&mut journal, line)?;
        }
    }
    Ok(())
}

const FILE: &str = "replays.jsonl";

/// A step of a replay.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Line {
    /// About to enter the spool, which ends there.
    Begun { ids: Vec<String>, spool: String, end: Position },
    /// In the spool.
    Done { ids: Vec<String> },
    /// Not in the spool after all.
    Undone { ids: Vec<String> },
}

fn write(journal: &mut Journal, line: &Line) -> io::Result<()> {
    let mut text = serde_json::to_vec(line)?;
    text.push(b'\n');
    journal.append(&text)
}

/// What `replays.jsonl` says.
#[derive(Default)]
pub struct Replays {
    statuses: HashMap<String, Status>,
    unsettled: Vec<(Vec<String>, String, Position)>,
}

impl Replays {
    /// Reads the file; it may be absent.
    pub fn read(directory: &Path) -> io::Result<Replays> {
        let mut replays = Replays::default();
        for line in journal::read(&directory.join(FILE))? {
            match line {
                Line::Begun { ids, spool, end } => {
                    replays.set(&ids, Status::Unsettled);
                    replays.unsettled.push((ids, spool, end));
                }
                Line::Done { ids } => {
                    replays.set(&ids, Status::Replayed);
                    replays.unsettled.retain(|(begun, ..)| *begun != ids);
                }
                Line::Undone { ids } => {
                    replays.set(&ids, Status::Waiting);
                    replays.unsettled.retain(|(begun, ..)| *begun != ids);
                }
            }
        }
        Ok(replays)
    }

    fn set(&mut self, ids: &[String], status: Status) {
        self.statuses.extend(ids.iter().map(|id| (id.clone(), status)));
    }

    /// What became of a letter.
    pub fn status(&self, id: &str) -> Status {
        self.statuses.get(id).copied().unwrap_or(Status::Waiting)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::deliver::{
        dead_letter::{DeadLetters, list, tests::letter},
        spool,
    };

    struct World {
        folder: tempfile::TempDir,
        spool: Spool,
        _readers: Vec<spool::Reader>,
    }

    impl World {
        fn with_letters(positions: impl IntoIterator<Item = u64>) -> World {
            let folder = tempfile::tempdir().unwrap();
            let letters: Vec<_> = positions.into_iter().map(letter).collect();
            DeadLetters::open(folder.path()).unwrap().add(&letters).unwrap();
            let config = spool::Config { directory: folder.path().join("spool"), ..spool::Config::default() };
            let (spool, readers, _) = Spool::open(&config, &["local"]).unwrap();
            World { folder, spool, _readers: readers }
        }

        async fn replay(&self, selection: Selection) -> Result<Replayed, ReplayError> {
            replay(self.folder.path(), &selection, &self.spool).await
        }
    }

    #[tokio::test]
    async fn a_letter_is_replayed_once() {
        let world = World::with_letters(1..=3);
        let one = Selection::Ids(vec![letter(2).id]);
        assert_eq!(world.replay(one.clone()).await.unwrap().replayed, [letter(2).id]);
        assert_eq!(world.replay(one).await.unwrap().already, [letter(2).id]);
        assert_eq!(world.replay(Selection::All).await.unwrap().replayed, [letter(1).id, letter(3).id]);
        assert_eq!(world.replay(Selection::All).await.unwrap(), Replayed::default());
        assert_eq!(world.spool.end(), 3);
        assert!(list(world.folder.path()).unwrap().iter().all(|(_, status)| *status == Status::Replayed));
    }

    #[tokio::test]
    async fn an_unknown_id_replays_nothing() {
        let world = World::with_letters(1..=1);
        let ids = vec![letter(1).id, "local-0-9".into()];
        assert!(matches!(world.replay(Selection::Ids(ids)).await, Err(ReplayError::Unknown(id)) if id == "local-0-9"));
        assert_eq!(world.spool.end(), 0);
    }

    #[tokio::test]
    async fn a_replay_cut_off_before_the_spool_is_done_again() {
        let world = World::with_letters(1..=1);
        let mut journal = Journal::open(&world.folder.path().join(FILE)).unwrap();
        let spool = format!("{:016x}", world.spool.id());
        write(&mut journal, &Line::Begun { ids: vec![letter(1).id], spool, end: 0 }).unwrap();
        assert_eq!(list(world.folder.path()).unwrap()[0].1, Status::Unsettled);
        assert_eq!(world.replay(Selection::All).await.unwrap().replayed, [letter(1).id]);
        assert_eq!(world.spool.end(), 1);
    }

    #[tokio::test]
    async fn a_replay_cut_off_after_the_spool_is_not_done_again() {
        let world = World::with_letters(1..=1);
        let mut journal = Journal::open(&world.folder.path().join(FILE)).unwrap();
        let spool = format!("{:016x}", world.spool.id());
        write(&mut journal, &Line::Begun { ids: vec![letter(1).id], spool, end: 0 }).unwrap();
        world.spool.append(vec![letter(1).row().unwrap()]).await.unwrap();
        assert_eq!(world.replay(Selection::All).await.unwrap(), Replayed::default());
        assert_eq!(world.spool.end(), 1);
        assert_eq!(list(world.folder.path()).unwrap()[0].1, Status::Replayed);
    }
}

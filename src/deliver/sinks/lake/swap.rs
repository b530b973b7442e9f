//! Replaces some files of a day by one, in a single step.
//!
//! A folder is built beside the day with hard links to the files that stay and the new file, and then exchanged with
//! the day's folder (`RENAME_EXCHANGE`). Where the file system cannot exchange (some network and overlay ones), the
//! day is moved aside and the new folder moved in: two steps, between which the day is missing. A crash between them,
//! or a disk that fails there, is put right by [`mend`], before anybody changes the day again.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use rustix::{
    fs::{CWD, RenameFlags, renameat_with},
    io::Errno,
};

use super::{FileName, LakeError, read_folder, step, sync_folder};

/// Suffix of a day's next folder.
const NEXT: &str = ".next";
/// Suffix of a day that makes room for its next folder: the only place of its rows until that folder is moved in.
const ASIDE: &str = ".aside";
/// Suffix of a day that was replaced.
const OLD: &str = ".old";

/// Puts `new` in the place of `parts` in `folder`. The caller holds the day's lock; `staging` lies on the same file
/// system. Returns the folder that holds the replaced files, which may be removed once no reader lists it any more.
/// Without `exchange`, behaves as on a file system that has none.
pub fn replace(
    folder: &Path,
    staging: &Path,
    parts: &[FileName],
    new: &Path,
    name: &FileName,
    exchange: bool,
) -> Result<PathBuf, LakeError> {
    mend(folder, staging)?;
    let next = beside(folder, staging, NEXT);
    build(folder, &next, parts, new, name)?;

    let old = free_name(folder, staging);
    let exchanged =
        if exchange { renameat_with(CWD, &next, CWD, folder, RenameFlags::EXCHANGE) } else { Err(Errno::NOSYS) };
    match exchanged {
        Ok(()) => {
            step("exchanged");
            fs::rename(&next, &old).map_err(LakeError::io("move", &next))?;
        }
        Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) => {
            let aside = beside(folder, staging, ASIDE);
            fs::rename(folder, &aside).map_err(LakeError::io("move", folder))?;
            step("moved aside");
            if let Err(error) = fs::rename(&next, folder) {
                // When this fails too, whoever needs the day next tries again.
                let _ = mend(folder, staging);
                return Err(LakeError::io("move", &next)(error));
            }
            step("moved in");
            fs::rename(&aside, &old).map_err(LakeError::io("move", &aside))?;
        }
        Err(errno) => return Err(LakeError::io("exchange", folder)(errno.into())),
    }
    step("replaced");
    if let Some(events) = folder.parent() {
        sync_folder(events)?;
    }
    sync_folder(staging)?;
    Ok(old)
}

fn build(folder: &Path, next: &Path, parts: &[FileName], new: &Path, name: &FileName) -> Result<(), LakeError> {
    remove(next)?;
    fs::create_dir(next).map_err(LakeError::io("create", next))?;
    let parts: Vec<String> = parts.iter().map(FileName::to_string).collect();
    for entry in read_folder(folder)? {
        if parts.iter().any(|part| entry.file_name() == part.as_str()) {
            continue;
        }
        let target = next.join(entry.file_name());
        step("linking");
        link(&entry.path(), &target).map_err(LakeError::io("link", &entry.path()))?;
    }
    let target = next.join(name.to_string());
    fs::rename(new, &target).map_err(LakeError::io("publish", &target))?;
    step("built");
    sync_folder(next)
}

/// A second name for a file, or a synced copy where the file system has no links.
fn link(from: &Path, to: &Path) -> io::Result<()> {
    fs::hard_link(from, to).or_else(|error| match error.kind() {
        io::ErrorKind::Unsupported | io::ErrorKind::PermissionDenied => {
            fs::copy(from, to)?;
            fs::File::open(to)?.sync_all()
        }
        _ => Err(error),
    })
}

fn beside(folder: &Path, staging: &Path, suffix: &str) -> PathBuf {
    let day = folder.file_name().unwrap_or_default().to_string_lossy();
    staging.join(format!("{day}{suffix}"))
}

fn free_name(folder: &Path, staging: &Path) -> PathBuf {
    let candidates = (0u64..).map(|number| beside(folder, staging, &format!(".{number}{OLD}")));
    candidates.into_iter().find(|path| !path.exists()).expect("there are more numbers than folders")
}

/// Mends every day that is aside. Call before clearing `staging`.
pub fn mend_all(events: &Path, staging: &Path) -> Result<(), LakeError> {
    for entry in read_folder(staging)? {
        if let Some(day) = entry.file_name().to_str().and_then(|name| name.strip_suffix(ASIDE)) {
            mend(&events.join(day), staging)?;
        }
    }
    Ok(())
}

/// Brings back a day that is aside; without one, does nothing. The caller holds the day's lock. May be cut off at any
/// point and called again.
pub fn mend(folder: &Path, staging: &Path) -> Result<(), LakeError> {
    let (aside, next) = (beside(folder, staging, ASIDE), beside(folder, staging, NEXT));
    if !exists(&aside)? {
        return Ok(());
    }
    let events = folder.parent().unwrap_or(folder);
    if !exists(folder)? {
        fs::rename(&aside, folder).map_err(LakeError::io("move", &aside))?;
        step("back");
        sync_folder(events)?;
    } else if exists(&next)? {
        // The next folder was not moved in, so the one that is there was made by somebody else: the day is in both.
        for entry in read_folder(&aside)? {
            // A file's name says which rows it holds, so what it may take the place of holds no others.
            let target = folder.join(entry.file_name());
            fs::rename(entry.path(), &target).map_err(LakeError::io("move", &entry.path()))?;
            step("file back");
        }
        sync_folder(folder)?;
        sync_folder(events)?;
        remove(&aside)?;
        step("all back");
    } else {
        // The next folder was moved in.
        remove(&aside)?;
    }
    sync_folder(staging)
}

/// Unlike `Path::exists`, does not take a disk that fails for an answer.
fn exists(path: &Path) -> Result<bool, LakeError> {
    path.try_exists().map_err(LakeError::io("look at", path))
}

/// Removes a file or a folder with everything in it; it may be absent.
pub fn remove(path: &Path) -> Result<(), LakeError> {
    let result = if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
    match result {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(LakeError::io("remove", path)(error)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::Arc,
        time::{Duration, Instant},
    };

    use super::{
        super::{Compactor, Lake, tests::*},
        *,
    };

    /// A lake that cannot exchange folders, with rows 0 to 59 in six files, and a merge of four of them.
    fn lake_without_exchange(directory: &Path) -> (Lake, impl Fn(&Lake) -> Result<PathBuf, LakeError> + use<>) {
        let mut lake = lake(directory);
        lake.exchange = false;
        for start in (0..60).step_by(10) {
            lake.write(DAY, &rows(start..start + 10)).unwrap();
        }
        let parts: Vec<_> = lake.files(DAY).unwrap().into_iter().take(4).map(|(name, _)| name).collect();
        (lake, move |lake| lake.merge(DAY, &parts, &|| Ok(())).map(|(_, old)| old))
    }

    /// A day with rows 60 to 69 and, as whoever brings it back by hand would have it, one file of the old day, torn.
    fn made_anew(old: &Path) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        lake(folder.path()).write(DAY, &rows(60..70)).unwrap();
        let known = visible(old).remove(0);
        let day = folder.path().join("events/day=2024-10-04");
        fs::write(day.join(known.file_name().unwrap()), "PAR1").unwrap();
        folder
    }

    fn staged(directory: &Path) -> Vec<String> {
        let entries = fs::read_dir(directory.join(".staging")).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    #[test]
    fn a_day_whose_next_folder_cannot_be_moved_in_is_put_back() {
        let folder = tempfile::tempdir().unwrap();
        let (lake, merge) = lake_without_exchange(folder.path());
        let before = visible(folder.path());
        let next = folder.path().join(".staging/day=2024-10-04.next");
        let failed = at_step("moved aside", move || fs::remove_dir_all(next).unwrap(), || merge(&lake));
        assert!(matches!(failed, Err(LakeError::Io { action: "move", .. })), "{failed:?}");
        assert_eq!((visible(folder.path()), staged(folder.path())), (before, vec![]));

        swap_works_again(folder.path(), &lake, merge);
    }

    fn swap_works_again(directory: &Path, lake: &Lake, merge: impl Fn(&Lake) -> Result<PathBuf, LakeError>) {
        let files = visible(directory).len();
        let old = merge(lake).unwrap();
        assert_eq!(visible(directory).len(), files - 3);
        assert_eq!(read_folder(&old).unwrap().len(), files);
        remove(&old).unwrap();
        assert_eq!(staged(directory), [""; 0]);
        assert!(seen(directory).values().all(|count| *count == 1));
    }

    /// Both renames fail; then the obstacle goes.
    fn left_aside(directory: &Path, lake: &Lake, merge: impl Fn(&Lake) -> Result<PathBuf, LakeError>) {
        let day = directory.join("events/day=2024-10-04");
        let obstacle = day.clone();
        let failed = at_step("moved aside", move || fs::write(obstacle, "").unwrap(), || merge(lake));
        assert!(matches!(failed, Err(LakeError::Io { action: "move", .. })), "{failed:?}");
        fs::remove_file(day).unwrap();
        assert_eq!(seen(directory), once(0..0));
    }

    #[test]
    fn a_day_that_could_not_be_put_back_comes_back_with_its_next_row() {
        let folder = tempfile::tempdir().unwrap();
        let (lake, merge) = lake_without_exchange(folder.path());
        left_aside(folder.path(), &lake, &merge);
        lake.write(DAY, &rows(60..70)).unwrap();
        assert_eq!(seen(folder.path()), once(0..70));
        swap_works_again(folder.path(), &lake, merge);
        recovers(folder.path(), 70);
    }

    #[test]
    fn a_day_that_could_not_be_put_back_is_brought_back_by_the_compactor() {
        let folder = tempfile::tempdir().unwrap();
        let (lake, merge) = lake_without_exchange(folder.path());
        left_aside(folder.path(), &lake, merge);
        let lake = Arc::new(lake);
        let compactor = Compactor::start(lake.clone()).unwrap();
        let deadline = Instant::now() + Duration::from_secs(60);
        // Only whether the day is there: its files may be merged while they are looked at.
        let events = folder.path().join("events");
        while !fs::read_dir(&events).is_ok_and(|mut days| days.next().is_some()) {
            assert!(Instant::now() < deadline, "a day is aside, and nobody cares");
            std::thread::park_timeout(Duration::from_millis(10));
        }
        drop(compactor);
        assert_eq!(seen(folder.path()), once(0..60));
    }

    #[test]
    fn a_day_that_was_made_anew_while_the_old_one_was_aside_becomes_both() {
        let folder = tempfile::tempdir().unwrap();
        let (lake, merge) = lake_without_exchange(folder.path());
        let (new, events) = (made_anew(folder.path()), folder.path().join("events"));
        let failed = at_step("moved aside", move || copy_tree(&new.path().join("events"), &events), || merge(&lake));
        assert!(matches!(failed, Err(LakeError::Io { action: "move", .. })), "{failed:?}");
        assert_eq!(seen(folder.path()), once(0..70));
        swap_works_again(folder.path(), &lake, merge);
        recovers(folder.path(), 70);
    }

    #[test]
    fn a_crash_while_both_halves_of_a_day_are_put_together_loses_and_doubles_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let (lake, merge) = lake_without_exchange(folder.path());
        let new = made_anew(folder.path());
        let copies = crashes(folder.path(), || drop(merge(&lake).unwrap()));
        let (_, halved) = copies.iter().find(|(step, _)| step == "moved aside").unwrap();
        copy_tree(&new.path().join("events"), &halved.path().join("events"));

        let copies = crashes(halved.path(), || drop(self::lake(halved.path())));
        let steps: Vec<_> = copies.iter().map(|(step, _)| step.as_str()).collect();
        assert_eq!(steps, [&["file back"; 6][..], &["all back"]].concat());
        for (_, copy) in &copies {
            self::lake(copy.path());
            assert_eq!(seen(copy.path()), once(0..70));
            recovers(copy.path(), 70);
        }
        assert_eq!(seen(halved.path()), once(0..70));
    }

    #[test]
    fn a_crash_while_a_day_is_put_back_loses_and_doubles_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let (lake, merge) = lake_without_exchange(folder.path());
        let merging = crashes(folder.path(), || drop(merge(&lake).unwrap()));
        let restarts = merging.iter().flat_map(|(_, copy)| crashes(copy.path(), || drop(self::lake(copy.path()))));
        let restarts: Vec<_> = restarts.collect();
        let steps: Vec<_> = restarts.iter().map(|(step, _)| step.as_str()).collect();
        assert_eq!(steps, ["back"], "only a day that is missing is put back");
        for (_, copy) in &restarts {
            assert_eq!(seen(copy.path()), once(0..60));
            recovers(copy.path(), 60);
        }
    }
}

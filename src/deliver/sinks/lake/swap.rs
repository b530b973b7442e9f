//! Replaces some files of a day by one, in a single step.
//!
//! A folder is built beside the day with hard links to the files that stay and the new file, and then exchanged with
//! the day's folder (`RENAME_EXCHANGE`). Where the file system cannot exchange (some network and overlay ones), the
//! day is moved aside and the new folder moved in: two steps, between which the day is missing, and which
//! [`finish`] completes after a crash.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use rustix::{
    fs::{CWD, RenameFlags, renameat_with},
    io::Errno,
};

use super::{FileName, LakeError, read_folder, step, sync_folder};

/// Suffix of a day's next folder while the day itself may be moved aside.
const NEXT: &str = ".next";
/// Suffix of a day that was moved aside or exchanged.
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
    let day = folder.file_name().unwrap_or_default().to_string_lossy();
    let next = staging.join(format!("{day}{NEXT}"));
    build(folder, &next, parts, new, name)?;

    let old = free_name(staging, &day);
    let exchanged =
        if exchange { renameat_with(CWD, &next, CWD, folder, RenameFlags::EXCHANGE) } else { Err(Errno::NOSYS) };
    match exchanged {
        Ok(()) => {
            step("exchanged");
            fs::rename(&next, &old).map_err(LakeError::io("move", &next))?;
        }
        Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) => {
            fs::rename(folder, &old).map_err(LakeError::io("move", folder))?;
            step("moved aside");
            if let Err(error) = fs::rename(&next, folder) {
                // The day must not be missing when its next row comes: a folder made for that row alone would be taken for the
                // day at the next start. Two failures in a row leave it aside, for `finish` if no row comes before.
                let _ = fs::rename(&old, folder);
                return Err(LakeError::io("move", &next)(error));
            }
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

fn free_name(staging: &Path, day: &str) -> PathBuf {
    let candidates = (0u64..).map(|number| staging.join(format!("{day}.{number}{OLD}")));
    candidates.into_iter().find(|path| !path.exists()).expect("there are more numbers than folders")
}

/// Completes a replacement by two renames that a crash cut in the middle: the day is gone, moved aside, and its next
/// folder is complete. Call before clearing `staging`.
pub fn finish(events: &Path, staging: &Path) -> Result<(), LakeError> {
    let names: Vec<String> =
        read_folder(staging)?.iter().filter_map(|entry| entry.file_name().into_string().ok()).collect();
    for name in &names {
        let Some(day) = name.strip_suffix(NEXT) else { continue };
        let moved_aside = names.iter().any(|other| other.starts_with(&format!("{day}.")) && other.ends_with(OLD));
        let folder = events.join(day);
        // Without the old folder beside it, the next one may be half built, and the day was removed by hand. The same
        // holds when the day is there: it was exchanged, or never moved.
        if moved_aside && !folder.exists() {
            let next = staging.join(name);
            fs::rename(&next, &folder).map_err(LakeError::io("move", &next))?;
            sync_folder(events)?;
        }
    }
    Ok(())
}

/// Removes a file or a folder with everything in it; it may be absent.
pub fn remove(path: &Path) -> Result<(), LakeError> {
    let result = if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
    match result {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(LakeError::io("remove", path)(error)),
        _ => Ok(()),
    }
}

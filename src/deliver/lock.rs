//! One process at a time in a folder.

use std::{
    fs::{File, TryLockError},
    io,
    os::unix::fs::OpenOptionsExt,
    path::Path,
};

/// Takes an exclusive lock on `path`, a file that is made where it is missing, and kept. `None` when another process
/// has it. The lock ends with the file that is returned, or with the process.
pub fn exclusive(path: &Path) -> io::Result<Option<File>> {
    let file = File::options().write(true).create(true).truncate(false).mode(0o600).open(path)?;
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

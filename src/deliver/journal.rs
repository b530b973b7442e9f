//! A file of JSON lines that only grows. Each append is synced; a crash costs at most the line being written, which is
//! cut off when the file is opened again.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::Path,
};

use serde::de::DeserializeOwned;

/// The open file.
pub struct Journal {
    file: File,
    size: u64,
}

impl Journal {
    /// Opens or creates the file, and cuts off half a line at its end.
    pub fn open(path: &Path) -> io::Result<Journal> {
        let folder = path.parent().unwrap_or(Path::new("."));
        fs::create_dir_all(folder)?;
        // For the owner's eyes only: rows hold personal data.
        let file = OpenOptions::new().create(true).append(true).read(true).mode(0o600).open(path)?;
        let text = fs::read(path)?;
        let size = whole_lines(&text).len() as u64;
        if size < text.len() as u64 {
            file.set_len(size)?;
        }
        File::open(folder)?.sync_all()?;
        Ok(Journal { file, size })
    }

    /// Adds whole lines and syncs them. After an error the file may end in part of them, which opening repairs only
    /// if the last line is torn: the lines must bear being there twice.
    pub fn append(&mut self, lines: &[u8]) -> io::Result<()> {
        let result = self.file.write_all(lines).and_then(|()| self.file.sync_data());
        match result {
            Ok(()) => self.size += lines.len() as u64,
            // Best effort: what is not undone here is read as a duplicate later.
            Err(_) => drop(self.file.set_len(self.size)),
        }
        result
    }

    /// One that takes nothing more.
    #[cfg(test)]
    pub fn full() -> io::Result<Journal> {
        Ok(Journal { file: OpenOptions::new().append(true).open("/dev/full")?, size: 0 })
    }

    /// Bytes in the file.
    pub fn size(&self) -> u64 {
        self.size
    }
}

/// Puts these lines in the place of the whole file: afterwards it is the old one or the new one, whatever happens.
pub fn replace(path: &Path, lines: &[u8]) -> io::Result<Journal> {
    let temporary = path.with_added_extension("new");
    let mut file = OpenOptions::new().create(true).write(true).truncate(true).mode(0o600).open(&temporary)?;
    file.write_all(lines)?;
    file.sync_all()?;
    fs::rename(&temporary, path)?;
    Journal::open(path)
}

/// The file's lines; none when it does not exist. Half a line at the end may be one that is being written. A damaged
/// line is reported and skipped.
pub fn read<T: DeserializeOwned>(path: &Path) -> io::Result<Vec<T>> {
    let text = match fs::read(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut found = Vec::new();
    for line in whole_lines(&text).split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        match serde_json::from_slice(line) {
            Ok(value) => found.push(value),
            Err(error) => tracing::warn!(file = %path.display(), %error, "skipped a damaged line"),
        }
    }
    Ok(found)
}

fn whole_lines(text: &[u8]) -> &[u8] {
    let end = memchr::memrchr(b'\n', text).map_or(0, |newline| newline + 1);
    &text[..end]
}

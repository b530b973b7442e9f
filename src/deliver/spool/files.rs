//! The few file operations a spool needs, behind a trait, so that tests can cut the power or fill the disk between any
//! two of them.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io,
    os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::Arc,
};

/// One directory of files, known by name.
pub trait Files: Send + Sync {
    /// Every file and its length.
    fn list(&self) -> io::Result<Vec<(String, u64)>>;
    /// An empty file, whether or not there was one of this name.
    fn create(&self, name: &str) -> io::Result<Box<dyn Output>>;
    /// A file for reading.
    fn open(&self, name: &str) -> io::Result<Arc<dyn Input>>;
    /// Cuts a file, and makes the cut durable.
    fn truncate(&self, name: &str, len: u64) -> io::Result<()>;
    /// Gives a file another name, in place of the file that had it.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;
    /// Removes a file.
    fn remove(&self, name: &str) -> io::Result<()>;
    /// Makes creations, renames and removals durable.
    fn sync_directory(&self) -> io::Result<()>;
}

/// A file being written.
pub trait Output: Send {
    /// Writes all of `bytes`, or fails having written any part of them.
    fn write_at(&mut self, bytes: &[u8], offset: u64) -> io::Result<()>;
    /// Makes contents and length durable.
    fn sync(&mut self) -> io::Result<()>;
    /// Cuts the file.
    fn set_len(&mut self, len: u64) -> io::Result<()>;
}

/// A file being read, by any number of readers.
pub trait Input: Send + Sync {
    /// Reads into `bytes`; 0 only at the end of the file.
    fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<usize>;
}

/// Writes a small file so that it is there wholly or not at all: a temporary name first, then the real one.
pub fn replace(files: &dyn Files, name: &str, contents: &[u8]) -> io::Result<()> {
    create_whole(files, name, contents).map(drop)
}

/// [`replace`], keeping the file open to go on writing.
pub fn create_whole(files: &dyn Files, name: &str, contents: &[u8]) -> io::Result<Box<dyn Output>> {
    let temporary = format!("{name}{TEMPORARY}");
    let written: io::Result<_> = (|| {
        let mut file = files.create(&temporary)?;
        file.write_at(contents, 0)?;
        file.sync()?;
        files.rename(&temporary, name)?;
        Ok(file)
    })();
    if written.is_err() {
        // What cannot be removed now is removed when the spool is opened.
        let _ = files.remove(&temporary);
    }
    let file = written?;
    files.sync_directory()?;
    Ok(file)
}

/// Ending of files that are not whole yet.
pub const TEMPORARY: &str = ".new";

/// A directory of the file system. Rows are personal data: only the owner may read them.
pub struct Directory(PathBuf);

impl Directory {
    /// Opens the directory, and creates it where it is missing.
    pub fn open(path: &Path) -> io::Result<Directory> {
        let missing: Vec<_> = path.ancestors().take_while(|ancestor| !ancestor.exists()).collect();
        if let Some(parent) = path.parent() {
            // Others may share the folders above, the lake's for one.
            fs::create_dir_all(parent)?;
        }
        DirBuilder::new().recursive(true).mode(0o700).create(path)?;
        // A directory is as durable as its name in the one above.
        for parent in missing.into_iter().filter_map(Path::parent) {
            let parent = if parent.as_os_str().is_empty() { Path::new(".") } else { parent };
            File::open(parent)?.sync_all()?;
        }
        Ok(Directory(path.to_owned()))
    }
}

impl Files for Directory {
    fn list(&self) -> io::Result<Vec<(String, u64)>> {
        let mut files = Vec::new();
        for entry in fs::read_dir(&self.0)? {
            let entry = entry?;
            // A name that is not text is not one of ours.
            if let Ok(name) = entry.file_name().into_string()
                && entry.file_type()?.is_file()
            {
                files.push((name, entry.metadata()?.len()));
            }
        }
        Ok(files)
    }

    fn create(&self, name: &str) -> io::Result<Box<dyn Output>> {
        let mut options = OpenOptions::new();
        let file = options.write(true).create(true).truncate(true).mode(0o600).open(self.0.join(name))?;
        Ok(Box::new(file))
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn Input>> {
        Ok(Arc::new(File::open(self.0.join(name))?))
    }

    fn truncate(&self, name: &str, len: u64) -> io::Result<()> {
        let file = OpenOptions::new().write(true).open(self.0.join(name))?;
        file.set_len(len)?;
        file.sync_all()
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        fs::rename(self.0.join(from), self.0.join(to))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        fs::remove_file(self.0.join(name))
    }

    fn sync_directory(&self) -> io::Result<()> {
        File::open(&self.0)?.sync_all()
    }
}

impl Output for File {
    fn write_at(&mut self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.write_all_at(bytes, offset)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.sync_data()
    }

    fn set_len(&mut self, len: u64) -> io::Result<()> {
        File::set_len(self, len)
    }
}

impl Input for File {
    fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
        FileExt::read_at(self, bytes, offset)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn only_the_owner_may_read() {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("data/spool");
        let directory = Directory::open(&path).unwrap();
        replace(&directory, "a", b"rows").unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&path), mode(&path.join("a"))), (0o700, 0o600));
        assert_eq!(directory.list().unwrap(), [("a".to_owned(), 4)]);
    }
}

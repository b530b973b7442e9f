//! Opening a file below a folder, and nowhere else.

use std::{fs::File, io, path::Path};

use rustix::{
    fs::{CWD, FileType, Mode, OFlags, ResolveFlags, fstat, openat, openat2},
    io::Errno,
};

/// What stands there.
#[derive(Debug)]
pub enum Opened {
    /// A file.
    File(File),
    /// A folder.
    Folder,
    /// A device, a pipe, a socket: nothing to serve.
    Other,
}

/// Opens what `name` leads to from `root`. Links are followed as long as they stay below it; the kernel watches over
/// that while it walks, so nobody can exchange a folder for a link in between.
pub fn open(root: &Path, name: &str) -> io::Result<Opened> {
    let name = if name.is_empty() { "." } else { name };
    let folder = openat(CWD, root, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    // Without waiting for the other end of a pipe.
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    let below = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
    let opened = match openat2(&folder, name, flags, Mode::empty(), below) {
        Ok(opened) => opened,
        // Leads out of the folder, in a circle, through a file, or is too long: nothing that could be there.
        Err(Errno::XDEV | Errno::LOOP | Errno::NOTDIR | Errno::NAMETOOLONG) => {
            return Err(io::ErrorKind::NotFound.into());
        }
        // An old kernel or a sandbox without this call.
        Err(Errno::NOSYS) => return open_checked(root, name, flags),
        Err(error) => return Err(error.into()),
    };
    classify(opened.into())
}

/// The same in steps: where does it lead, is that below, then open that and follow no link at its end. Only who may
/// write below `root` could get in between.
fn open_checked(root: &Path, name: &str, flags: OFlags) -> io::Result<Opened> {
    let root = root.canonicalize()?;
    let path = match root.join(name).canonicalize() {
        Ok(path) if path.starts_with(&root) => path,
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => return Err(error),
        _ => return Err(io::ErrorKind::NotFound.into()),
    };
    classify(openat(CWD, path, flags | OFlags::NOFOLLOW, Mode::empty())?.into())
}

fn classify(file: File) -> io::Result<Opened> {
    Ok(match FileType::from_raw_mode(fstat(&file)?.st_mode) {
        FileType::RegularFile => Opened::File(file),
        FileType::Directory => Opened::Folder,
        _ => Opened::Other,
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::{fs, os::unix::fs::symlink};

    use super::*;

    type Open = fn(&Path, &str) -> io::Result<Opened>;

    #[test]
    fn nothing_leads_out_of_the_folder() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("root");
        fs::create_dir_all(root.join("sub")).unwrap();
        fs::write(folder.path().join("secret"), "s").unwrap();
        fs::write(root.join("sub/file"), "f").unwrap();
        symlink("../secret", root.join("up")).unwrap();
        symlink(folder.path().join("secret"), root.join("absolute")).unwrap();
        symlink("..", root.join("sub/parent")).unwrap();
        symlink("../..", root.join("sub/out")).unwrap();
        symlink("circle", root.join("circle")).unwrap();
        symlink("sub/file", root.join("inside")).unwrap();
        rustix::fs::mkfifoat(CWD, root.join("pipe"), Mode::RUSR).unwrap();

        let checked: Open = |root, name| open_checked(root, name, OFlags::RDONLY | OFlags::NONBLOCK);
        for open in [open as Open, checked] {
            for name in
                ["up", "absolute", "sub/out/secret", "../secret", "sub/../../secret", "circle", "gone", "sub/file/x"]
            {
                assert_eq!(open(&root, name).unwrap_err().kind(), io::ErrorKind::NotFound, "{name}");
            }
            for name in ["sub/file", "inside", "sub/parent/inside"] {
                assert!(matches!(open(&root, name).unwrap(), Opened::File(_)), "{name}");
            }
            assert!(matches!(open(&root, "sub").unwrap(), Opened::Folder));
            assert!(matches!(open(&root, "pipe").unwrap(), Opened::Other));
        }
        assert!(matches!(open(&root, "").unwrap(), Opened::Folder));
    }
}

//! A project on the disk: the only file of this crate that reads manifests' bytes.
//!
//! Nothing here blocks or leaves the project: a pipe is opened without waiting and refused, a size is looked at before a
//! read, and a link that leads out of the folder is refused by the kernel where it can (`openat2`, `RESOLVE_BENEATH`) and
//! by comparing real paths elsewhere. Never here: what the files mean.

use std::fs::File;
use std::io::Read as _;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, Dir, FileType, Mode, OFlags};
use rustix::io::Errno;

use super::limits::NAMES_MAX;
use super::tree::{FileTree, Item, ItemKind, ReadError};

/// A project's folder.
#[derive(Debug)]
pub struct Folder {
    root: OwnedFd,
    path: PathBuf,
}

impl Folder {
    /// Opens the folder; later reads are relative to it even when it is renamed.
    ///
    /// # Errors
    /// The folder does not exist, is not a directory, or may not be read.
    pub fn open(path: &Path) -> std::io::Result<Self> {
        let root = rustix::fs::openat(CWD, path, READ | OFlags::DIRECTORY, Mode::empty())?;
        Ok(Self { root, path: std::fs::canonicalize(path)? })
    }

    /// The folder's real path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn descend(&self, path: &str, flags: OFlags) -> Result<OwnedFd, ReadError> {
        let path = if path.is_empty() { "." } else { path };
        #[cfg(target_os = "linux")]
        {
            use rustix::fs::ResolveFlags;
            let beneath = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
            match rustix::fs::openat2(&self.root, path, flags, Mode::empty(), beneath) {
                // An older kernel or a sandbox that does not know the call.
                Err(Errno::NOSYS | Errno::PERM) => {}
                answer => return answer.map_err(refusal),
            }
        }
        let real = std::fs::canonicalize(self.path.join(path))
            .map_err(|error| refusal(Errno::from_io_error(&error).unwrap_or(Errno::IO)))?;
        if !real.starts_with(&self.path) {
            return Err(ReadError::Outside);
        }
        rustix::fs::openat(CWD, &real, flags, Mode::empty()).map_err(refusal)
    }
}

impl FileTree for Folder {
    fn read(&self, path: &str, limit: u64) -> Result<Vec<u8>, ReadError> {
        match self.descend(path, READ) {
            Ok(file) => read_all(file, limit),
            // A file that is not there is often none that must be; a link that leads nowhere is a mistake.
            Err(ReadError::NotFound) => {
                let link = rustix::fs::statat(&self.root, path, rustix::fs::AtFlags::SYMLINK_NOFOLLOW);
                let link = link.is_ok_and(|found| FileType::from_raw_mode(found.st_mode) == FileType::Symlink);
                Err(if link { ReadError::Dangling } else { ReadError::NotFound })
            }
            Err(error) => Err(error),
        }
    }

    fn list(&self, path: &str) -> Result<Vec<Item>, ReadError> {
        let directory = self.descend(path, READ | OFlags::DIRECTORY)?;
        let mut items = Vec::new();
        for entry in Dir::read_from(&directory).map_err(refusal)? {
            let entry = entry.map_err(refusal)?;
            let name = entry.file_name();
            if matches!(name.to_bytes(), b"." | b"..") {
                continue;
            }
            if items.len() == NAMES_MAX {
                return Err(ReadError::TooManyNames { limit: NAMES_MAX });
            }
            let kind = match entry.file_type() {
                FileType::RegularFile => ItemKind::File,
                FileType::Directory => ItemKind::Directory,
                // A link to a directory is not followed, so that no walk can run in circles.
                FileType::Symlink => match rustix::fs::statat(&directory, name, rustix::fs::AtFlags::empty()) {
                    Ok(target) if FileType::from_raw_mode(target.st_mode) == FileType::Directory => ItemKind::Other,
                    Ok(_) | Err(_) => ItemKind::File,
                },
                FileType::Unknown => {
                    match rustix::fs::statat(&directory, name, rustix::fs::AtFlags::SYMLINK_NOFOLLOW) {
                        Ok(found) if FileType::from_raw_mode(found.st_mode) == FileType::Directory => {
                            ItemKind::Directory
                        }
                        Ok(found) if FileType::from_raw_mode(found.st_mode) == FileType::RegularFile => ItemKind::File,
                        Ok(_) | Err(_) => ItemKind::Other,
                    }
                }
                _ => ItemKind::Other,
            };
            items.push(Item { name: name.to_string_lossy().into_owned(), kind });
        }
        items.sort();
        Ok(items)
    }

    fn read_secret(&self, path: &str, limit: u64) -> Result<Vec<u8>, ReadError> {
        let file = rustix::fs::openat(&self.root, path, READ, Mode::empty()).map_err(refusal)?;
        read_all(file, limit)
    }
}

const READ: OFlags = OFlags::RDONLY.union(OFlags::CLOEXEC).union(OFlags::NONBLOCK).union(OFlags::NOCTTY);

fn read_all(file: OwnedFd, limit: u64) -> Result<Vec<u8>, ReadError> {
    let found = rustix::fs::fstat(&file).map_err(refusal)?;
    match FileType::from_raw_mode(found.st_mode) {
        FileType::RegularFile => {}
        FileType::Directory => return Err(ReadError::NotAFile("a directory")),
        FileType::Fifo => return Err(ReadError::NotAFile("a pipe")),
        FileType::Socket => return Err(ReadError::NotAFile("a socket")),
        _ => return Err(ReadError::NotAFile("a device")),
    }
    let size = u64::try_from(found.st_size).unwrap_or(0);
    if size > limit {
        return Err(ReadError::TooLarge { size, limit });
    }
    let mut bytes = Vec::with_capacity(usize::try_from(size).unwrap_or(0) + 1);
    // A file that grows while it is read is cut off one byte past the limit.
    let read = File::from(file).take(limit + 1).read_to_end(&mut bytes);
    read.map_err(|error| ReadError::Refused(error.to_string()))?;
    if bytes.len() as u64 > limit {
        return Err(ReadError::TooLarge { size: bytes.len() as u64, limit });
    }
    Ok(bytes)
}

fn refusal(error: Errno) -> ReadError {
    match error {
        Errno::NOENT => ReadError::NotFound,
        Errno::NOTDIR => ReadError::NotADirectory,
        Errno::XDEV => ReadError::Outside,
        Errno::NXIO => ReadError::NotAFile("a socket"),
        Errno::LOOP => ReadError::Refused("its symbolic links lead in a circle".to_owned()),
        Errno::NAMETOOLONG => ReadError::Refused("its name is too long".to_owned()),
        Errno::ACCESS => ReadError::Refused("permission denied".to_owned()),
        other => ReadError::Refused(std::io::Error::from(other).to_string()),
    }
}

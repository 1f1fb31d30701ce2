//! The Unix socket in the store's folder: where it is, how a path that is too long for the operating system is reached, and
//! how one server at a time gets it, makes it private and takes it away again.
//!
//! A server holds an exclusive lock on `server.lock` for as long as it serves; whoever has it may replace a socket that a
//! killed server left behind. The socket is bound inside a private folder, made 0600 and then renamed into place, so that
//! no other user can ever connect and no client ever finds a socket that nobody listens on yet.
//!
//! Never here: HTTP, and what is said over a connection.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use crate::limits::SOCKET_PATH_BYTES_MAX;
use crate::listen::ListenError;

/// The name of the socket in the store's folder.
pub const SOCKET_NAME: &str = "server.sock";
/// The private folder in which a socket is bound.
const PRIVATE_NAME: &str = ".server.sock";
/// The name of the lock beside it; it holds the server's process id as text.
const LOCK_NAME: &str = "server.lock";

/// Why a socket could not be mounted.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MountError {
    /// Another server has this folder.
    #[error("another server{} already serves `{}`", .pid.map(|pid| format!(" (process {pid})")).unwrap_or_default(), .folder.display())]
    Served {
        /// The store's folder.
        folder: PathBuf,
        /// The process that serves it, if it said so.
        pid: Option<u32>,
    },
    /// Something that is no socket has its name.
    #[error("`{}` is there and is no socket", .path.display())]
    NotASocket {
        /// The path.
        path: PathBuf,
    },
    /// The network cannot be listened on.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// A step of making the socket failed.
    #[error("cannot {step} `{}`", .path.display())]
    Io {
        /// The step.
        step: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl MountError {
    /// What to do about it.
    pub fn help(&self) -> &'static str {
        match self {
            Self::Served { .. } => "use that server, or stop it first",
            Self::NotASocket { .. } => "move the file away; only a server's socket may have this name",
            Self::Listen(error) => error.help(),
            Self::Io { .. } => "check that the store's folder exists, is yours and can be written",
        }
    }
}

fn failed(step: &'static str, path: &Path) -> impl FnOnce(io::Error) -> MountError {
    move |source| MountError::Io { step, path: path.to_owned(), source }
}

/// A bound socket and the right to it. Dropping it takes the socket away, if it is still ours.
#[derive(Debug)]
pub(crate) struct Bound {
    path: PathBuf,
    /// Device and inode of the socket.
    identity: (u64, u64),
    /// Held for as long as the socket is there; closing it unlocks it.
    _lock: File,
}

impl Bound {
    /// The path of the socket.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Bound {
    fn drop(&mut self) {
        if fs::symlink_metadata(&self.path).is_ok_and(|found| (found.dev(), found.ino()) == self.identity) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// The process that serves a socket, as far as it left its name beside it.
pub(crate) fn server_pid(socket: &Path) -> Option<u32> {
    let mut text = String::new();
    File::open(socket.parent()?.join(LOCK_NAME)).ok()?.take(20).read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

/// Whether the folder of a socket may not be entered, so that nobody knows whether there is one.
pub(crate) fn is_closed_off(socket: &Path) -> bool {
    fs::symlink_metadata(socket).is_err_and(|error| error.kind() == io::ErrorKind::PermissionDenied)
}

/// Binds the socket of a store's folder, replacing one that nobody answers on.
pub(crate) fn bind(folder: &Path) -> Result<(UnixListener, Bound), MountError> {
    let lock = lock(folder)?;
    let path = folder.join(SOCKET_NAME);
    match fs::symlink_metadata(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(failed("look at", &path)(error)),
        Ok(found) if !found.file_type().is_socket() => return Err(MountError::NotASocket { path }),
        // We have the lock, so nobody of ours answers; if somebody does all the same, it is not ours to take away.
        Ok(_) if connect(&path).is_ok() => return Err(MountError::Served { folder: folder.to_owned(), pid: None }),
        Ok(_) => {}
    }
    // The lock is ours, so one that is left over was made by a server that was killed.
    let private = folder.join(PRIVATE_NAME);
    let _ = fs::remove_dir_all(&private);
    DirBuilder::new().mode(0o700).create(&private).map_err(failed("make", &private))?;
    let made = bind_private(&private, &path);
    let _ = fs::remove_dir_all(&private);
    let listener = made?;
    let found = fs::symlink_metadata(&path).map_err(failed("look at", &path))?;
    Ok((listener, Bound { path, identity: (found.dev(), found.ino()), _lock: lock }))
}

/// Binds inside a private folder and moves the socket to its place.
fn bind_private(private: &Path, path: &Path) -> Result<UnixListener, MountError> {
    let inside = private.join("s");
    let short = ShortPath::of(&inside).map_err(failed("reach", &inside))?;
    let listener = UnixListener::bind(short.as_path()).map_err(failed("bind", &inside))?;
    fs::set_permissions(&inside, Permissions::from_mode(0o600)).map_err(failed("restrict", &inside))?;
    fs::rename(&inside, path).map_err(failed("move the socket to", path))?;
    Ok(listener)
}

/// Takes the lock and writes the process id into it.
fn lock(folder: &Path) -> Result<File, MountError> {
    let path = folder.join(LOCK_NAME);
    let open = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(&path);
    let mut file = open.map_err(failed("open", &path))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut text = String::new();
            let _ = (&mut file).take(20).read_to_string(&mut text);
            return Err(MountError::Served { folder: folder.to_owned(), pid: text.trim().parse().ok() });
        }
        Err(TryLockError::Error(error)) => return Err(failed("lock", &path)(error)),
    }
    let written = file.set_len(0).and_then(|()| file.rewind()).and_then(|()| writeln!(file, "{}", std::process::id()));
    written.map_err(failed("write", &path))?;
    Ok(file)
}

/// Connects to a socket, whatever the length of its path; blocks while the server's queue is full.
pub(crate) fn connect(path: &Path) -> io::Result<UnixStream> {
    UnixStream::connect(ShortPath::of(path)?.as_path())
}

/// A path to the same file that the operating system takes for a socket.
///
/// A socket's address has room for 107 bytes. A longer path is reached through its folder, which is held open here: on Linux
/// as `/proc/self/fd/N/name`, elsewhere through a symbolic link to the folder in the temporary folder.
#[derive(Debug)]
pub(crate) struct ShortPath {
    path: PathBuf,
    /// What makes the path valid, for a path that was too long.
    _folder: Option<ShortFolder>,
}

impl ShortPath {
    pub(crate) fn of(path: &Path) -> io::Result<Self> {
        if path.as_os_str().len() <= SOCKET_PATH_BYTES_MAX {
            return Ok(Self { path: path.to_owned(), _folder: None });
        }
        let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else {
            return Err(io::Error::from(io::ErrorKind::InvalidFilename));
        };
        let folder = ShortFolder::of(folder)?;
        Ok(Self { path: folder.path().join(name), _folder: Some(folder) })
    }

    /// The path; valid for as long as `self` lives.
    pub(crate) fn as_path(&self) -> &Path {
        &self.path
    }
}

#[cfg(target_os = "linux")]
#[derive(Debug)]
struct ShortFolder(File);

#[cfg(target_os = "linux")]
impl ShortFolder {
    fn of(folder: &Path) -> io::Result<Self> {
        File::open(folder).map(Self)
    }

    fn path(&self) -> PathBuf {
        use std::os::fd::AsRawFd;
        PathBuf::from(format!("/proc/self/fd/{}", self.0.as_raw_fd()))
    }
}

#[cfg(not(target_os = "linux"))]
#[derive(Debug)]
struct ShortFolder(PathBuf);

#[cfg(not(target_os = "linux"))]
impl ShortFolder {
    fn of(folder: &Path) -> io::Result<Self> {
        let link = std::env::temp_dir().join(format!("holdfast-{}", uuid::Uuid::new_v4().simple()));
        std::os::unix::fs::symlink(std::path::absolute(folder)?, &link)?;
        Ok(Self(link))
    }

    fn path(&self) -> PathBuf {
        self.0.clone()
    }
}

#[cfg(not(target_os = "linux"))]
impl Drop for ShortFolder {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder_of_length(root: &Path, length: usize) -> PathBuf {
        let mut folder = root.to_owned();
        while folder.as_os_str().len() < length {
            folder.push("a-rather-long-name-of-a-folder");
        }
        fs::create_dir_all(&folder).unwrap();
        folder
    }

    #[test]
    fn a_socket_is_private_and_reached_whatever_the_length_of_its_path() {
        let root = tempfile::tempdir().unwrap();
        for length in [0, 108, 300, 1500] {
            let folder = folder_of_length(root.path(), length);
            let (listener, bound) = bind(&folder).unwrap();
            let found = fs::symlink_metadata(bound.path()).unwrap();
            assert_eq!(found.permissions().mode() & 0o777, 0o600, "{length}");
            let _client = connect(bound.path()).unwrap();
            listener.accept().unwrap();
            drop(bound);
            let left: Vec<_> = fs::read_dir(&folder).unwrap().map(|file| file.unwrap().file_name()).collect();
            assert!(
                left.iter().all(|name| name != SOCKET_NAME && !name.to_string_lossy().starts_with('.')),
                "{left:?}"
            );
        }
    }

    #[test]
    fn a_stale_socket_is_replaced_and_a_served_one_is_not() {
        let folder = tempfile::tempdir().unwrap();
        // A server that is killed drops its listener and its lock, and leaves the file.
        let (listener, bound) = bind(folder.path()).unwrap();
        let again = bind(folder.path()).unwrap_err();
        assert!(matches!(again, MountError::Served { pid: Some(pid), .. } if pid == std::process::id()), "{again}");
        let left_behind = folder.path().join("kept");
        fs::hard_link(bound.path(), &left_behind).unwrap();
        drop((listener, bound));
        fs::rename(&left_behind, folder.path().join(SOCKET_NAME)).unwrap();
        assert_eq!(connect(&folder.path().join(SOCKET_NAME)).unwrap_err().kind(), io::ErrorKind::ConnectionRefused);
        let (_listener, bound) = bind(folder.path()).unwrap();
        connect(bound.path()).unwrap();
    }

    #[test]
    fn what_is_no_socket_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(SOCKET_NAME);
        fs::write(&path, "precious").unwrap();
        let error = bind(folder.path()).unwrap_err();
        assert!(matches!(error, MountError::NotASocket { .. }), "{error}");
        assert_eq!(fs::read_to_string(&path).unwrap(), "precious");
    }

    #[test]
    fn a_folder_that_is_not_there_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let error = bind(&folder.path().join("nowhere")).unwrap_err();
        assert!(error.to_string().contains("nowhere"), "{error}");
        assert!(!error.help().is_empty());
    }

    #[test]
    fn a_socket_that_somebody_else_put_there_is_not_taken_away() {
        let folder = tempfile::tempdir().unwrap();
        let (_listener, bound) = bind(folder.path()).unwrap();
        let path = bound.path().to_owned();
        fs::remove_file(&path).unwrap();
        let _theirs = UnixListener::bind(&path).unwrap();
        drop(bound);
        assert!(path.exists());
    }
}

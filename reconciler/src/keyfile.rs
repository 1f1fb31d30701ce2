//! The master key: where it is found, read, checked and, at the first secret, made.
//!
//! Never here: sealing (`secret.rs`) and the environment: the caller says where the key is.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use zeroize::Zeroizing;

use crate::desired::SecretText;
use crate::error::{Problem, ProblemKind};
use crate::secret::{KeyRing, KeyTextError};

/// A key file holds a few lines; anything larger is another file.
const KEY_FILE_BYTES_MAX: u64 = 64 * 1024;

/// Where the master key is.
#[derive(Clone, Debug)]
pub enum KeySource {
    /// The text itself, as `HOLDFAST_KEY` has it.
    Text(SecretText),
    /// A file that is made at the first secret.
    File(PathBuf),
    /// Nowhere, with the reason.
    None(String),
}

impl KeySource {
    /// Where the variables of a process say that the key is: `HOLDFAST_KEY`, `HOLDFAST_KEY_FILE`, else `holdfast/master.key` in
    /// the user's configuration folder. A relative file is relative to `base`; an empty variable counts as unset.
    pub fn of(variables: &BTreeMap<String, String>, base: &Path) -> Self {
        if let Some(named) = Self::named(variables, base) {
            return named;
        }
        let xdg = variable(variables, "XDG_CONFIG_HOME").map(PathBuf::from).filter(|folder| folder.is_absolute());
        match xdg.or_else(|| variable(variables, "HOME").map(|home| Path::new(home).join(".config"))) {
            Some(config) => Self::File(config.join("holdfast/master.key")),
            None => Self::None("neither HOME nor XDG_CONFIG_HOME is set".to_owned()),
        }
    }

    /// The same, if the variables name a key or a file themselves.
    pub fn named(variables: &BTreeMap<String, String>, base: &Path) -> Option<Self> {
        let text = variable(variables, "HOLDFAST_KEY").map(|text| Self::Text(SecretText::new(text.to_owned())));
        text.or_else(|| variable(variables, "HOLDFAST_KEY_FILE").map(|path| Self::File(base.join(path))))
    }
}

fn variable<'v>(variables: &'v BTreeMap<String, String>, name: &str) -> Option<&'v str> {
    variables.get(name).map(String::as_str).filter(|value| !value.is_empty())
}

/// Why the master key cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// There is nowhere to look.
    #[error("there is no place for the master key: {0}")]
    NoPlace(String),
    /// The file is there and cannot be read.
    #[error("cannot read the master key file `{}`", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file cannot be made.
    #[error("cannot make the master key file `{}`", path.display())]
    Make {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Others may read the file.
    #[error("the master key file `{}` can be read by others (mode {mode:03o})", path.display())]
    Rights {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The text is no key.
    #[error("the master key in {place} is malformed")]
    Text {
        /// Where the text came from.
        place: String,
        /// What is wrong with it.
        source: KeyTextError,
    },
    /// A new key is wanted, and the key comes from a variable.
    #[error("the master key is given in `HOLDFAST_KEY`, where no new one can be put")]
    Given,
    /// The system has no randomness to give.
    #[error("cannot make a master key")]
    Random(#[source] io::Error),
}

impl From<KeyError> for Problem {
    fn from(error: KeyError) -> Self {
        let help = match &error {
            KeyError::NoPlace(_) => "set HOLDFAST_KEY_FILE to a file outside the store's folder".to_owned(),
            KeyError::Read { .. } | KeyError::Make { .. } => "check the path and its rights".to_owned(),
            KeyError::Rights { path, .. } => format!("run `chmod 600 {}`", path.display()),
            KeyError::Text { .. } => "put the key back from your backup of it".to_owned(),
            KeyError::Given => {
                "put a line with a new key in front of the old one there, start again with it, and rotate then; \
                                or keep the keys in a file with HOLDFAST_KEY_FILE"
                    .to_owned()
            }
            KeyError::Random(_) => "try again".to_owned(),
        };
        Problem::from_error(ProblemKind::Failed, "E_MASTER_KEY", &error).help(help)
    }
}

/// The master key as one process knows it: read when it is first needed, then kept.
#[derive(Debug)]
pub struct Keys {
    source: KeySource,
    ring: Mutex<Option<Arc<KeyRing>>>,
}

impl Keys {
    /// Remembers where the key is; nothing is read yet.
    pub fn new(source: KeySource) -> Self {
        Self { source, ring: Mutex::new(None) }
    }

    /// The ring, if there is one. Makes nothing.
    ///
    /// # Errors
    /// A key that is there and cannot be used.
    pub fn existing(&self) -> Result<Option<Arc<KeyRing>>, KeyError> {
        let mut ring = self.ring.lock().unwrap_or_else(PoisonError::into_inner);
        if ring.is_none() {
            *ring = match &self.source {
                KeySource::Text(text) => {
                    let parsed = KeyRing::parse(text.expose());
                    Some(parsed.map_err(|source| KeyError::Text { place: "`HOLDFAST_KEY`".to_owned(), source })?)
                }
                KeySource::File(path) => read(path)?,
                KeySource::None(_) => None,
            }
            .map(Arc::new);
        }
        Ok(ring.clone())
    }

    /// The ring as it is where the key comes from, read again.
    ///
    /// # Errors
    /// A key that is there and cannot be used.
    pub fn read_again(&self) -> Result<Option<Arc<KeyRing>>, KeyError> {
        *self.ring.lock().unwrap_or_else(PoisonError::into_inner) = None;
        self.existing()
    }

    /// Puts a new key in front of those that are there; it is on the disk before this returns.
    ///
    /// # Errors
    /// The key does not come from a file, or the file cannot be written.
    pub fn add_newest(&self) -> Result<Arc<KeyRing>, KeyError> {
        let path = match &self.source {
            KeySource::File(path) => path,
            KeySource::Text(_) => return Err(KeyError::Given),
            KeySource::None(why) => return Err(KeyError::NoPlace(why.clone())),
        };
        put_in_front(path)?;
        self.read_again()?.ok_or_else(|| KeyError::Read {
            path: path.clone(),
            source: io::Error::new(io::ErrorKind::NotFound, "the file went away after it was written"),
        })
    }

    /// The ring; the key file is made if it is not there. It is on the disk before this returns.
    ///
    /// # Errors
    /// A key that cannot be used or made.
    pub fn existing_or_new(&self) -> Result<Arc<KeyRing>, KeyError> {
        if let Some(ring) = self.existing()? {
            return Ok(ring);
        }
        let path = match &self.source {
            KeySource::File(path) => path,
            KeySource::None(why) => return Err(KeyError::NoPlace(why.clone())),
            KeySource::Text(_) => unreachable!("a key given as text always exists"),
        };
        make(path)?;
        self.existing()?.ok_or_else(|| KeyError::Read {
            path: path.clone(),
            source: io::Error::new(io::ErrorKind::NotFound, "the file went away after it was made"),
        })
    }
}

fn read(path: &Path) -> Result<Option<KeyRing>, KeyError> {
    let Some(text) = text_of(path)? else { return Ok(None) };
    let place = format!("`{}`", path.display());
    KeyRing::parse(&text).map(Some).map_err(|source| KeyError::Text { place, source })
}

fn text_of(path: &Path) -> Result<Option<Zeroizing<String>>, KeyError> {
    let failed = |source| KeyError::Read { path: path.to_owned(), source };
    match std::fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(error)),
        Ok(found) if !found.is_file() => return Err(failed(io::Error::other("it is not a regular file"))),
        Ok(found) => check_rights(path, &found)?,
    }
    let file = std::fs::File::open(path).map_err(failed)?;
    let mut text = Zeroizing::new(String::new());
    file.take(KEY_FILE_BYTES_MAX).read_to_string(&mut text).map_err(failed)?;
    Ok(Some(text))
}

/// Puts a new key in front of those of the file, which stay: other stores and backups may be sealed under them. The file is
/// replaced as a whole, and one process does it at a time.
fn put_in_front(path: &Path) -> Result<(), KeyError> {
    let failed = |source| KeyError::Make { path: path.to_owned(), source };
    let folder = folder_of(path);
    let lock = std::fs::File::create(folder.join(".master.key.lock")).map_err(failed)?;
    lock.lock().map_err(failed)?;
    let old = text_of(path)?.unwrap_or_default();
    let (_, new) = KeyRing::generate().map_err(|error| KeyError::Random(io::Error::other(error.to_string())))?;
    let text = Zeroizing::new([new.as_str(), old.as_str()].concat());
    let unfinished = folder.join(format!(".master.key.{}", std::process::id()));
    // What a killed process of the same id may have left.
    let _ = std::fs::remove_file(&unfinished);
    write_private(&unfinished, text.as_bytes()).map_err(failed)?;
    std::fs::rename(&unfinished, path).map_err(failed)?;
    std::fs::File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed)
}

fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."))
}

#[cfg(unix)]
fn check_rights(path: &Path, found: &std::fs::Metadata) -> Result<(), KeyError> {
    use std::os::unix::fs::PermissionsExt;
    let mode = found.permissions().mode() & 0o777;
    if mode & 0o077 == 0 { Ok(()) } else { Err(KeyError::Rights { path: path.to_owned(), mode }) }
}

#[cfg(not(unix))]
fn check_rights(_path: &Path, _found: &std::fs::Metadata) -> Result<(), KeyError> {
    Ok(())
}

/// Writes the new key beside its place, syncs it and links it there: the file is never seen half written, and a file that
/// another process made meanwhile wins.
fn make(path: &Path) -> Result<(), KeyError> {
    let failed = |source| KeyError::Make { path: path.to_owned(), source };
    let (_, text) = KeyRing::generate().map_err(|error| KeyError::Random(io::Error::other(error.to_string())))?;
    let folder = folder_of(path);
    private_folder(folder).map_err(failed)?;
    let unfinished = folder.join(format!(".master.key.{}", std::process::id()));
    let written = write_private(&unfinished, text.as_bytes()).and_then(|()| std::fs::hard_link(&unfinished, path));
    let removed = std::fs::remove_file(&unfinished);
    match written {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.exists() => return Ok(()),
        Err(error) => return Err(failed(error)),
        Ok(()) => removed.map_err(failed)?,
    }
    std::fs::File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed)
}

/// Makes the folder and those above it that are missing: for its owner only, whatever the umask says.
fn private_folder(path: &Path) -> io::Result<()> {
    let mut builder = std::fs::DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.recursive(true).create(path)
}

fn write_private(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_file_is_made_once_private_and_found_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a/b/master.key");
        let first = Keys::new(KeySource::File(path.clone()));
        assert!(first.existing().unwrap().is_none() && !path.exists());
        let made = first.existing_or_new().unwrap().newest();
        let second = Keys::new(KeySource::File(path.clone()));
        assert_eq!(second.existing_or_new().unwrap().newest(), made);
        assert_eq!(std::fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
        #[cfg(unix)]
        for made in ["a", "a/b"] {
            use std::os::unix::fs::PermissionsExt;
            let mode = std::fs::metadata(folder.path().join(made)).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o700, "{made}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_key_file_that_others_can_read_is_refused() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("master.key");
        Keys::new(KeySource::File(path.clone())).existing_or_new().unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        let error = Keys::new(KeySource::File(path)).existing().unwrap_err();
        assert!(matches!(error, KeyError::Rights { mode: 0o644, .. }), "{error}");
        assert!(Problem::from(error).help.unwrap().starts_with("run `chmod 600"));
    }

    #[test]
    fn without_a_place_the_error_says_so() {
        let keys = Keys::new(KeySource::None("neither HOME nor XDG_CONFIG_HOME is set".to_owned()));
        assert!(keys.existing().unwrap().is_none());
        assert!(keys.existing_or_new().unwrap_err().to_string().contains("HOME"));
    }
}

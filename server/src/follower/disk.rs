//! The folder of a follower: its id, and its state between two starts, written whole or not at all.
//!
//! A state that cannot be read costs a resync and nothing else. Never here: what is in a checkpoint (the engine knows), and when one
//! is written.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, BufReader, BufWriter, Write};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use holdfast_engine::{Engine, ReplicaState, ResumeToken, read_checkpoint, write_checkpoint};
use holdfast_reconciler::error::{Problem, ProblemKind};
use uuid::Uuid;

/// The file with the state.
const CHECKPOINT: &str = "follower.state";
/// The same while it is written.
const UNFINISHED: &str = "follower.state.new";
/// The file that says what the state is of.
const SCOPE: &str = "follower.scope";
/// The file with the id.
const ID: &str = "follower.id";
/// The file that one process at a time has locked.
const LOCK: &str = "follower.lock";
/// The file that keeps the folder out of a repository.
const IGNORED: &str = ".gitignore";
/// What only the folder of a store has.
const STORE: &str = "db";

/// Whether a folder is one that a follower keeps its state in, whether it runs or not.
pub fn is_followers(folder: &Path) -> bool {
    folder.join(ID).is_file() && !folder.join(STORE).exists()
}

/// A folder that this process has for itself.
#[derive(Debug)]
pub(super) struct Folder {
    path: PathBuf,
    id: String,
    lock: File,
}

impl Folder {
    /// Takes a folder, which is made if it is not there.
    pub(super) fn take(path: &Path) -> Result<Self, Problem> {
        let failed = |error: io::Error| {
            let message = format!("cannot use `{}` as the folder of a follower", path.display());
            let mut problem = Problem::new(ProblemKind::Failed, "E_FOLLOW_FOLDER", message);
            problem.causes.push(error.to_string());
            problem.help("name a folder of its own that this user may write")
        };
        if path.join(STORE).exists() {
            let message = format!("`{}` holds a store, and a follower has none of its own", path.display());
            let problem = Problem::new(ProblemKind::Invalid, "E_FOLLOW_FOLDER", message);
            return Err(problem.help("name another folder"));
        }
        fs::DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(failed)?;
        let lock = private().create(true).truncate(false).open(path.join(LOCK)).map_err(failed)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let message = format!("another follower has the folder `{}`", path.display());
                let problem = Problem::new(ProblemKind::Unavailable, "E_LOCKED", message);
                return Err(problem.help("stop it, or name another folder"));
            }
            Err(TryLockError::Error(error)) => return Err(failed(error)),
        }
        let id = id(&path.join(ID)).map_err(failed)?;
        // Like a store's folder: nothing of it belongs into a repository.
        if !path.join(IGNORED).exists() {
            fs::write(path.join(IGNORED), "*\n").map_err(failed)?;
        }
        Ok(Self { path: path.to_owned(), id, lock })
    }

    /// The id that it keeps.
    pub(super) fn id(&self) -> &str {
        &self.id
    }

    /// What draws another id.
    pub(super) fn identity(&self) -> IdFile {
        IdFile { path: self.path.join(ID) }
    }

    /// The state of the last start; none if there is none, or none that can be read.
    pub(super) fn read(&self) -> Option<ReplicaState> {
        let path = self.path.join(CHECKPOINT);
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
            Err(error) => {
                tracing::warn!(%error, path = %path.display(), "the state of the follower cannot be read, it is fetched anew");
                return None;
            }
        };
        match read_checkpoint(&mut BufReader::new(file)) {
            Ok(state) => Some(state),
            Err(error) => {
                tracing::warn!(%error, path = %path.display(), "the state of the follower is of no use, it is fetched anew");
                None
            }
        }
    }

    /// What the state is of, in the words of the server that gave it; none if that is not known.
    pub(super) fn scope(&self) -> Option<String> {
        fs::read_to_string(self.path.join(SCOPE)).ok()
    }

    /// Forgets the state, and says what the next one is of. In this order: what was given for more than the follower is for now must
    /// not lie here under the name of less.
    pub(super) fn begin_anew(&self, scope: &str) -> io::Result<()> {
        for name in [CHECKPOINT, UNFINISHED] {
            match fs::remove_file(self.path.join(name)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                Err(_) | Ok(()) => {}
            }
        }
        File::open(&self.path)?.sync_all()?;
        let mut file = private().create(true).truncate(true).open(self.path.join(SCOPE))?;
        file.write_all(scope.as_bytes())?;
        file.sync_all()
    }

    /// What writes the state, in another thread too.
    pub(super) fn writer(&self) -> Writer {
        Writer { folder: self.path.clone(), lock: self.lock.metadata().ok().map(|lock| (lock.dev(), lock.ino())) }
    }
}

/// The file with the id.
#[derive(Clone, Debug)]
pub(super) struct IdFile {
    path: PathBuf,
}

impl IdFile {
    /// Draws another id, which counts also if it cannot be written: then the next start has the old one, and draws again.
    pub(super) fn renew(&self) -> String {
        let id = Uuid::new_v4().to_string();
        if let Err(error) = write_id(&self.path, &id) {
            tracing::warn!(%error, path = %self.path.display(), "the id of the follower was not written");
        }
        id
    }
}

/// Writes states into a folder.
#[derive(Clone, Debug)]
pub(super) struct Writer {
    folder: PathBuf,
    /// Which file is locked.
    lock: Option<(u64, u64)>,
}

impl Writer {
    /// Writes the state of a replica beside its place, syncs it and puts it there. Says where it is.
    pub(super) fn write(&self, engine: &Engine) -> io::Result<ResumeToken> {
        let lock = fs::metadata(self.folder.join(LOCK)).ok().map(|lock| (lock.dev(), lock.ino()));
        if lock.is_none() || lock != self.lock {
            // Whoever has the one that is there now may follow less.
            return Err(io::Error::other("the folder was taken away while the follower ran"));
        }
        let unfinished = self.folder.join(UNFINISHED);
        let file = private().create(true).truncate(true).open(&unfinished)?;
        let mut out = BufWriter::new(file);
        let place = write_checkpoint(engine, &mut out)?;
        out.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()?;
        fs::rename(&unfinished, self.folder.join(CHECKPOINT))?;
        File::open(&self.folder)?.sync_all()?;
        Ok(place)
    }
}

/// The id in a file, drawn at the first start. It is no secret.
fn id(path: &Path) -> io::Result<String> {
    if let Some(id) = fs::read_to_string(path).ok().and_then(|text| Uuid::parse_str(text.trim()).ok()) {
        return Ok(id.to_string());
    }
    let id = Uuid::new_v4().to_string();
    write_id(path, &id)?;
    Ok(id)
}

fn write_id(path: &Path, id: &str) -> io::Result<()> {
    let mut file = private().create(true).truncate(true).open(path)?;
    file.write_all(id.as_bytes())?;
    file.sync_all()
}

/// Files that only this user reads: a state tells what the store tells.
fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.write(true).mode(0o600);
    options
}

//! Working on the files of a store that nobody holds: restore, repair, and the verification of a store that does not open.
//!
//! Never here: what is done to it (the engine does it), and a store that is open.

use std::fs::{self, TryLockError};
use std::io::{self, BufRead as _, BufReader};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use holdfast_engine::{SledOptions, SledStore, StoreOpenError, VerifyReport, verify_store};
use holdfast_reconciler::error::{Problem, ProblemKind};
use holdfast_reconciler::plane::Verification;

use crate::connect::{self, Patience, Refused};
use crate::error::Failure;
use crate::output::Output;
use crate::setting::Setting;

/// What the folders are called in which files of a store are kept aside.
const ASIDE: &str = "aside-";

/// The file that whoever holds a store has locked.
const LOCK: &str = "store.lock";
/// The file that the store itself is in.
pub(crate) const DATA: &str = "db";

/// What to do about files of which nothing can be read.
const UNREADABLE_HELP: &str = "nothing more of it can be read: `reconcile restore FILE --replace` puts a backup in its place and \
                               keeps these files aside";

/// Does `work` to a store that no process may hold meanwhile. One that a server has is refused with what to do; one that is
/// locked for a moment is waited for.
pub(crate) fn closed<T>(
    setting: &Setting,
    store: &Path,
    output: &Output,
    verb: &str,
    mut work: impl FnMut() -> Result<T, Refused>,
) -> Result<T, Failure> {
    let patience = Patience::new(setting, output);
    loop {
        if let Some(pid) = connect::server_of(store)? {
            let who = pid.map_or("a server".to_owned(), |pid| format!("process {pid}"));
            let message =
                format!("the store `{}` is served by {who}, and `{verb}` needs it for itself", store.display());
            let stop = pid.map_or("stop it".to_owned(), |pid| format!("stop it with `kill {pid}`"));
            let help = format!("{stop}, run `reconcile {verb}` again, and start it anew");
            return Err(Problem::new(ProblemKind::Unavailable, "E_SERVED", message).help(help).into());
        }
        match work() {
            Ok(done) => return Ok(done),
            Err(Refused::Absent) => return Err(connect::no_store(store)),
            // What this very verb was to look into is not to be named as the way out again.
            Err(Refused::Failed(failure)) if failure.problem.code == "E_STORE_DAMAGED" => {
                return Err(failure.help(UNREADABLE_HELP));
            }
            Err(Refused::Failed(failure)) => return Err(failure),
            Err(Refused::Locked(pid)) => patience.wait(store, pid)?,
        }
    }
}

/// Opens the files of a store without an engine.
pub(crate) fn open(store: &Path) -> Result<SledStore, Refused> {
    SledStore::open(store, SledOptions { create: false, ..SledOptions::default() }).map_err(refused)
}

/// Why the files of a store did not open.
pub(crate) fn refused(error: StoreOpenError) -> Refused {
    match error {
        StoreOpenError::Absent { .. } => Refused::Absent,
        StoreOpenError::Locked { holder_pid, .. } => Refused::Locked(holder_pid),
        other => Refused::Failed(connect::store_failure(&other)),
    }
}

/// Verifies a store that no engine has open, also one that does not recover.
pub(crate) fn verify(store: &mut SledStore, output: &Output) -> Result<VerifyReport, Refused> {
    let progress = output.progress();
    let report = verify_store(store, |done, all| progress.step("verifying", done, all));
    report.map_err(|error| Refused::Failed(Problem::from_error(ProblemKind::Internal, "E_STORE", &error).into()))
}

/// A verification as every face tells it.
pub(crate) fn verification(report: &VerifyReport) -> Verification {
    Verification::of(report)
}

/// Copies the files of a store into a folder of their own beside them, and makes the copy durable. It happens before the store
/// is opened, because opening a damaged one may change it.
pub(crate) fn keep_aside(store: &Path) -> Result<PathBuf, Refused> {
    let failed = |error: &io::Error| {
        let message = format!("the files of `{}` cannot be kept aside", store.display());
        let failure = Failure::io("E_ASIDE", message, error);
        Refused::Failed(failure.help("make room on the disk, or mend the folder's rights; nothing was changed"))
    };
    if !store.join(DATA).exists() {
        // What there is instead is told by whoever opens it.
        return open(store).map(|_| PathBuf::new());
    }
    let lock = fs::File::options().write(true).create(true).truncate(false).open(store.join(LOCK));
    let lock = lock.map_err(|error| failed(&error))?;
    match lock.try_lock() {
        Ok(()) => copy_aside(store).map_err(|error| failed(&error)),
        // Opening it tells who holds it.
        Err(TryLockError::WouldBlock) => Err(open(store).err().unwrap_or(Refused::Locked(None))),
        Err(TryLockError::Error(error)) => Err(failed(&error)),
    }
}

/// Removes a copy that is of no use, because the store's data is still what it was; says whether it is gone.
pub(crate) fn discard_same(store: &Path, aside: &Path) -> bool {
    same(&store.join(DATA), &aside.join(DATA)).unwrap_or(false) && fs::remove_dir_all(aside).is_ok()
}

fn same(left: &Path, right: &Path) -> io::Result<bool> {
    let (left, right) = (fs::File::open(left)?, fs::File::open(right)?);
    if left.metadata()?.len() != right.metadata()?.len() {
        return Ok(false);
    }
    let (mut left, mut right) = (BufReader::new(left), BufReader::new(right));
    loop {
        let (here, there) = (left.fill_buf()?, right.fill_buf()?);
        let length = here.len().min(there.len());
        if length == 0 || here[..length] != there[..length] {
            return Ok(here.is_empty() && there.is_empty());
        }
        left.consume(length);
        right.consume(length);
    }
}

fn copy_aside(store: &Path) -> io::Result<PathBuf> {
    let aside = (1..)
        .map(|number| store.join(format!("{ASIDE}{number}")))
        .find(|aside| !aside.exists())
        .unwrap_or_else(|| store.join(ASIDE));
    fs::DirBuilder::new().mode(0o700).create(&aside)?;
    for entry in fs::read_dir(store)? {
        let entry = entry?;
        if entry.file_type()?.is_file() {
            let copy = aside.join(entry.file_name());
            fs::copy(entry.path(), &copy)?;
            fs::File::open(&copy)?.sync_all()?;
        }
    }
    fs::File::open(&aside)?.sync_all()?;
    fs::File::open(store)?.sync_all()?;
    Ok(aside)
}

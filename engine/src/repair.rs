//! Repair: has the state of a store built anew from its commits, which are the truth.
//!
//! Never here: guessing. What the commits do not say cannot be repaired, only restored from a backup.

use std::ops::ControlFlow;
use std::path::Path;

use crate::error::{AtError, OpenError};
use crate::store::embedded::SledStore;
use crate::store::opening::{SledOptions, StoreOpenError};
use crate::verify::{VerifyReport, commits_are_sound, verify_store};

/// What a repair did.
#[derive(Debug)]
#[must_use = "whether the store is sound now is only in the report"]
pub struct RepairReport {
    /// What was wrong before.
    pub before: VerifyReport,
    /// How many bases were given up, to be written anew behind the next commits.
    pub bases_dropped: usize,
    /// How many reminders were taken away, because they could not be read.
    pub reminders_dropped: usize,
    /// What is wrong now.
    pub after: VerifyReport,
}

/// Why a store was not repaired.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RepairError {
    /// The store does not open at all.
    #[error("the store cannot be repaired: restore a backup")]
    Open(#[source] StoreOpenError),
    /// The store cannot be read.
    #[error("the store cannot be read")]
    Read(#[source] AtError),
    /// The store is still not sound.
    #[error("the commits themselves are damaged: restore a backup")]
    Commits(#[source] OpenError),
}

/// Gives up what can be built again from the commits, if any of it is damaged, and verifies the result. A sound store is left
/// as it is, and so is one whose commits are damaged.
///
/// # Errors
/// If the store does not open or cannot be read. Damage that a repair cannot mend is no error: the report has it.
pub fn repair(
    path: &Path,
    options: impl Fn() -> SledOptions,
    mut progress: impl FnMut(u64, u64) -> ControlFlow<()>,
) -> Result<RepairReport, RepairError> {
    let options = || SledOptions { create: false, ..options() };
    let mut store = SledStore::open(path, options()).map_err(RepairError::Open)?;
    let before = verify_store(&mut store, &mut progress).map_err(RepairError::Read)?;
    // Where the commits are damaged, a base may be all that is left of the state: it is not given up.
    if before.is_sound() || !commits_are_sound(&mut store).map_err(RepairError::Read)? {
        let after = before.clone();
        return Ok(RepairReport { before, bases_dropped: 0, reminders_dropped: 0, after });
    }
    let bases_dropped = store.drop_bases().map_err(|error| RepairError::Commits(OpenError::Recover(error)))?;
    let reminders_dropped =
        store.drop_damaged_reminders().map_err(|error| RepairError::Commits(OpenError::Recover(error)))?;
    drop(store);
    let mut store = SledStore::open(path, options()).map_err(RepairError::Open)?;
    let after = verify_store(&mut store, &mut progress).map_err(RepairError::Read)?;
    Ok(RepairReport { before, bases_dropped, reminders_dropped, after })
}

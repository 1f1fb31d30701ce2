//! Verification: reads everything that is kept and checks that it is what was written and that one thing follows from
//! another.
//!
//! Never here: mending, or stopping at the first finding.

use std::ops::ControlFlow;
use std::sync::Arc;

use imbl::OrdMap;

use crate::commit::Commit;
use crate::engine::Engine;
use crate::entry::Entry;
use crate::error::{AtError, Damage, StoreError};
use crate::key::Key;
use crate::limits::PAGE_BYTES_MAX;
use crate::revision::Revision;
use crate::sealed::SealedSet;
use crate::snapshot::{Head, State};
use crate::stage::apply;
use crate::store::{CheckCursor, CheckPage, Store};

/// At most this many findings are listed; the rest is only counted.
const FINDINGS_MAX: usize = 1000;

/// What a verification looked at and what it found.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "findings are only in the report"]
pub struct VerifyReport {
    /// The newest commit when it began.
    pub head: Head,
    /// Commits whose id, order and marks were checked.
    pub commits: u64,
    /// Records whose checksum was checked.
    pub records: u64,
    /// Keys whose entry was compared with the commits.
    pub keys: u64,
    /// What is wrong, at most a thousand of them.
    pub findings: Vec<Damage>,
    /// How many more there are.
    pub findings_omitted: u64,
}

impl VerifyReport {
    fn new(head: Head) -> Self {
        Self { head, commits: 0, records: 0, keys: 0, findings: Vec::new(), findings_omitted: 0 }
    }

    /// Whether nothing is wrong.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        self.findings.is_empty()
    }

    fn add(&mut self, finding: Damage) {
        if self.findings.contains(&finding) {
            return;
        }
        if self.findings.len() < FINDINGS_MAX { self.findings.push(finding) } else { self.findings_omitted += 1 }
    }
}

impl Engine {
    /// Checks the hash chain, the checksums of all records, and that the state in force follows from the commits. Commits go
    /// on meanwhile. `progress` is told how many commits of how many are checked, and may end the work.
    ///
    /// # Errors
    /// If the store cannot be read at all; damage is a finding in the report.
    pub fn verify(&self, progress: impl FnMut(u64, u64) -> ControlFlow<()>) -> Result<VerifyReport, AtError> {
        let compacted = self.core().compacted();
        // What is being read must not be compacted away.
        let _hold = self.hold(compacted.revision)?;
        let in_force = self.snapshot();
        verify(&mut OpenSource(self), compacted, in_force.head(), Some(in_force.state()), progress)
    }
}

/// Verifies a store that no engine has open, also one that an engine refuses to open: the same checks, as far as they can be
/// made.
///
/// # Errors
/// If the store cannot be read at all; damage is a finding in the report.
pub fn verify_store(
    store: &mut dyn Store,
    progress: impl FnMut(u64, u64) -> ControlFlow<()>,
) -> Result<VerifyReport, AtError> {
    let recovered = store.recover();
    let compacted = store.status().compacted;
    let head = store.head().map_err(storage)?;
    let mut report = verify(&mut ClosedSource(store), compacted, head, None, progress)?;
    match recovered {
        Err(StoreError::Damaged(damage)) => report.add(damage),
        Err(error) => return Err(storage(error)),
        Ok(recovered) if recovered.base.revision > compacted.revision => {
            // The state that an engine would start from must follow from the commits as well.
            let mut follows = State { head: compacted, entries: store.floor().map_err(storage)? };
            let mut next = compacted.revision.next();
            while next <= recovered.base.revision {
                let Ok(page) = store.commits(next, recovered.base.revision, PAGE_BYTES_MAX) else { return Ok(report) };
                let Some(last) = page.last() else { return Ok(report) };
                next = last.revision.next();
                for commit in page {
                    apply(&mut follows, &mut SealedSet::default(), Arc::unwrap_or_clone(commit));
                }
            }
            compare(&follows, &State { head: recovered.base, entries: recovered.entries }, &mut report);
        }
        Ok(_) => {}
    }
    Ok(report)
}

/// Whether all commits that are kept are there and follow from each other, so that the state can be built from them.
pub(crate) fn commits_are_sound(store: &mut dyn Store) -> Result<bool, AtError> {
    // Damage elsewhere may have kept the store from being recovered; the commits are read all the same.
    drop(store.recover());
    let (compacted, head) = (store.status().compacted, store.head().map_err(storage)?);
    let mut report = VerifyReport::new(head);
    let state = walk(&mut ClosedSource(store), compacted, head, &mut report, &mut |_, _| ControlFlow::Continue(()))?;
    Ok(state.is_some() && report.is_sound())
}

/// Where a verification reads from.
trait Source {
    fn floor(&mut self) -> Result<OrdMap<Key, Entry>, AtError>;
    fn commits(&mut self, from: Revision, through: Revision) -> Result<Vec<Arc<Commit>>, AtError>;
    fn check(&mut self, from: CheckCursor) -> Result<CheckPage, AtError>;
}

struct OpenSource<'a>(&'a Engine);

impl Source for OpenSource<'_> {
    fn floor(&mut self) -> Result<OrdMap<Key, Entry>, AtError> {
        self.0.read(|store| store.floor())
    }

    fn commits(&mut self, from: Revision, through: Revision) -> Result<Vec<Arc<Commit>>, AtError> {
        self.0.read(move |store| store.commits(from, through, PAGE_BYTES_MAX))
    }

    fn check(&mut self, from: CheckCursor) -> Result<CheckPage, AtError> {
        self.0.read(move |store| store.check(from))
    }
}

struct ClosedSource<'a>(&'a mut dyn Store);

impl Source for ClosedSource<'_> {
    fn floor(&mut self) -> Result<OrdMap<Key, Entry>, AtError> {
        self.0.floor().map_err(storage)
    }

    fn commits(&mut self, from: Revision, through: Revision) -> Result<Vec<Arc<Commit>>, AtError> {
        self.0.commits(from, through, PAGE_BYTES_MAX).map_err(storage)
    }

    fn check(&mut self, from: CheckCursor) -> Result<CheckPage, AtError> {
        self.0.check(from).map_err(storage)
    }
}

fn storage(error: StoreError) -> AtError {
    AtError::Storage(Arc::new(error))
}

fn verify(
    source: &mut dyn Source,
    compacted: Head,
    head: Head,
    in_force: Option<&State>,
    mut progress: impl FnMut(u64, u64) -> ControlFlow<()>,
) -> Result<VerifyReport, AtError> {
    let mut report = VerifyReport::new(head);
    if let Some(state) = walk(source, compacted, head, &mut report, &mut progress)?
        && let Some(in_force) = in_force
    {
        compare(&state, in_force, &mut report);
    }
    let mut cursor = Some(CheckCursor::Start);
    while let Some(from) = cursor {
        let page = source.check(from)?;
        report.records += page.records;
        page.findings.into_iter().for_each(|finding| report.add(finding));
        cursor = page.next;
    }
    Ok(report)
}

/// Follows the chain of commits; gives the state that it leads to, if nothing was in the way.
fn walk(
    source: &mut dyn Source,
    compacted: Head,
    head: Head,
    report: &mut VerifyReport,
    progress: &mut dyn FnMut(u64, u64) -> ControlFlow<()>,
) -> Result<Option<State>, AtError> {
    let entries = match source.floor() {
        Ok(entries) => entries,
        Err(error) => return finding(error, None, report).map(|()| None),
    };
    let mut state = State { head: compacted, entries };
    let total = head.revision.get().saturating_sub(compacted.revision.get());
    while state.head.revision < head.revision {
        let next = state.head.revision.next();
        let page = match source.commits(next, head.revision) {
            Ok(page) => page,
            Err(error) => return finding(error, Some(next), report).map(|()| None),
        };
        for commit in page {
            check_commit(&commit, &mut state, report);
        }
        if progress(report.commits, total).is_break() {
            return Ok(None);
        }
    }
    Ok(Some(state))
}

/// Damage is a finding, anything else an error.
fn finding(error: AtError, revision: Option<Revision>, report: &mut VerifyReport) -> Result<(), AtError> {
    let AtError::Storage(cause) = &error else { return Err(error) };
    match &**cause {
        StoreError::Damaged(damage) => report.add(damage.clone()),
        StoreError::Missing { revision } => report.add(Damage::new("a commit is missing").at(*revision)),
        StoreError::Io { .. } | StoreError::Backend { .. } => {
            let damage = Damage::new(cause.to_string());
            report.add(revision.map_or(damage.clone(), |revision| damage.at(revision)));
        }
    }
    Ok(())
}

fn check_commit(commit: &Commit, state: &mut State, report: &mut VerifyReport) {
    let revision = commit.revision;
    if commit.computed_id() != commit.id {
        report.add(Damage::new("the id of a commit does not follow from its content").at(revision));
    }
    if commit.parent != state.head.id {
        report.add(Damage::new("a commit does not name the one before it as its parent").at(revision));
    }
    if commit.time < state.head.time {
        report.add(Damage::new("a commit is older than the one before it").at(revision));
    }
    let applied = apply(state, &mut SealedSet::default(), commit.clone());
    for ((change, kept), follows) in commit.changes.iter().zip(commit.marks()).zip(applied.commit.marks()) {
        if kept != follows {
            let what = "the mark of a change does not follow from the commits before";
            report.add(Damage::new(what).at(revision).of(change.key()));
        }
    }
    report.commits += 1;
}

/// Compares the state that follows from the commits with the one in force.
fn compare(follows: &State, in_force: &State, report: &mut VerifyReport) {
    for (key, entry) in &in_force.entries {
        report.keys += 1;
        if follows.entries.get(key.as_str()) != Some(entry) {
            let finding = Damage::new("the entry in force does not follow from the commits").of(key);
            report.add(finding.at(entry.modified()));
        }
    }
    for (key, entry) in &follows.entries {
        if !in_force.entries.contains_key(key.as_str()) {
            report.add(Damage::new("an entry that the commits made is not in force").of(key).at(entry.modified()));
        }
    }
    if follows.head != in_force.head {
        report.add(Damage::new("the head in force is not the newest commit").at(in_force.head.revision));
    }
}

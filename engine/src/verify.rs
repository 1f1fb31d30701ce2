//! Verification: reads everything that is kept and checks that it is what was written and that one thing follows from
//! another.
//!
//! Never here: mending (`repair.rs`), or stopping at the first finding.

use std::ops::ControlFlow;

use crate::commit::Commit;
use crate::engine::Engine;
use crate::entry::Entry;
use crate::error::{AtError, Damage};
use crate::limits::PAGE_BYTES_MAX;
use crate::revision::Revision;
use crate::sealed::SealedSet;
use crate::snapshot::{Head, State};
use crate::stage::apply;
use crate::store::CheckCursor;

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
    /// Whether nothing is wrong.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        self.findings.is_empty()
    }

    fn add(&mut self, finding: Damage) {
        if self.findings.len() < FINDINGS_MAX { self.findings.push(finding) } else { self.findings_omitted += 1 }
    }
}

impl Engine {
    /// Checks the hash chain, the checksums of all records, and that the state in force follows from the commits. Commits go
    /// on meanwhile. `progress` is told how many commits of how many are checked, and may end the work.
    ///
    /// # Errors
    /// If the store cannot be read at all; damage is a finding in the report.
    pub fn verify(&self, mut progress: impl FnMut(u64, u64) -> ControlFlow<()>) -> Result<VerifyReport, AtError> {
        let head = self.snapshot();
        let base = self.at(self.core().compacted().revision)?;
        let mut state = base.state().clone();
        let mut report = VerifyReport {
            head: head.head(),
            commits: 0,
            records: 0,
            keys: 0,
            findings: Vec::new(),
            findings_omitted: 0,
        };
        let total = head.revision().get() - state.head.revision.get();

        while state.head.revision < head.revision() {
            let (next, last) = (state.head.revision.next(), head.revision());
            let page = match self.read(move |store| store.commits(next, last, PAGE_BYTES_MAX)) {
                Ok(page) => page,
                Err(AtError::Storage(error)) => {
                    report.add(Damage::new(error.to_string()).at(next));
                    break;
                }
                Err(error) => return Err(error),
            };
            for commit in page {
                check_commit(&commit, &mut state, &mut report);
            }
            if progress(report.commits, total).is_break() {
                return Ok(report);
            }
        }
        if state.head.revision == head.revision() {
            compare(&state, head.state(), &mut report);
        }
        self.check_records(&mut report)?;
        Ok(report)
    }

    fn check_records(&self, report: &mut VerifyReport) -> Result<(), AtError> {
        let mut cursor = Some(CheckCursor::Start);
        while let Some(from) = cursor {
            let page = self.read(move |store| store.check(from))?;
            report.records += page.records;
            page.findings.into_iter().for_each(|finding| report.add(finding));
            cursor = page.next;
        }
        Ok(())
    }
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
            report.add(
                Damage::new("the mark of a change does not follow from the commits before")
                    .at(revision)
                    .of(change.key()),
            );
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
            report
                .add(Damage::new("an entry that the commits made is not in force").of(key).at(Entry::modified(entry)));
        }
    }
    if follows.head.revision != Revision::ZERO && follows.head != in_force.head {
        report.add(Damage::new("the head in force is not the newest commit").at(in_force.head.revision));
    }
}

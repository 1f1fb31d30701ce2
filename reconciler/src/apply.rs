//! Carrying out a plan: from its writes to one transaction, sealed and with every record that the plan read as a condition.
//!
//! The only writer of live and declared records. Never here: deciding what to write (`planner.rs`) or whether (`guard.rs`).

use std::collections::{BTreeMap, BTreeSet};

use holdfast_engine::{Entry, Key, Precondition, RequestId, Snapshot, Txn};

use crate::error::{Problem, ProblemKind};
use crate::plan::Plan;
use crate::planner::Write;
use crate::resource::{Address, OrgId, Record, SourceName, keys};
use crate::secret::{KeyRing, SecretValues};
use crate::vault::EngineVault;

/// A write that read more keys than this is made on condition that the head did not move at all, which is stricter and
/// one condition; commits of others then make it work itself out anew.
const CONDITIONS_MAX: usize = 50_000;

/// The annotations of a commit that an apply makes.
pub(crate) mod annotation {
    pub(crate) const ORG: &str = "org";
    pub(crate) const PLAN: &str = "plan";
    pub(crate) const SUMMARY: &str = "summary";
    pub(crate) const DIGEST: &str = "digest";
    pub(crate) const ROLLBACK: &str = "rollback";
    pub(crate) const GIT_COMMIT: &str = "git.commit";
    pub(crate) const GIT_DIRTY: &str = "git.dirty";
}

/// Who writes, and why.
#[derive(Clone, Debug)]
pub(crate) struct Authorship {
    pub(crate) author: String,
    pub(crate) message: String,
    pub(crate) request_id: Option<RequestId>,
}

/// What the transaction is made in.
pub(crate) struct Bench<'b> {
    pub(crate) snapshot: &'b Snapshot,
    pub(crate) org: &'b OrgId,
    pub(crate) source: Option<&'b SourceName>,
    pub(crate) vault: &'b EngineVault,
    /// The ring; only absent if nothing is sealed.
    pub(crate) ring: Option<&'b KeyRing>,
}

/// Whether carrying out the writes needs a master key.
pub(crate) fn seals(writes: &[Write]) -> bool {
    writes.iter().any(|write| match write {
        Write::Live { seal, .. } | Write::Moved { seal, .. } => !seal.is_empty(),
        Write::Gone(_) | Write::Declared(..) | Write::Undeclared(_) | Write::Kind(..) => false,
    })
}

/// Builds the transaction that carries out the writes, on condition that all that was read is as it was.
pub(crate) fn transaction(
    bench: &Bench<'_>,
    writes: Vec<Write>,
    reads: &BTreeSet<String>,
    authorship: Authorship,
) -> Result<Txn, Problem> {
    let Authorship { author, message, request_id } = authorship;
    let mut txn = Txn::new().author(author).message(message).annotate(annotation::ORG, bench.org.as_str());
    if let Some(request_id) = request_id {
        txn = txn.request_id(request_id);
    }
    if let Some(source) = bench.source {
        txn = txn.source(source.as_str());
    }
    txn = conditions(txn, bench.snapshot, reads)?;
    // A declaration may come before its record: the tags of all records are made first.
    let mut declarations = Vec::new();
    // The same values under the same key have the same tag, so a tag that was not known while planning is set here.
    let mut tags = BTreeMap::new();
    for write in writes {
        txn = match write {
            Write::Live { address, record, seal, reseal } => {
                let sealed = Sealing { bench, address: &address, lies_at: &address, record, seal, reseal }.finish()?;
                tags.insert(address.clone(), sealed.record.tags.clone());
                put_live(txn, bench, &address, sealed)?
            }
            Write::Moved { from, to, record, seal } => {
                let sealed = Sealing { bench, address: &to, lies_at: &from, record, seal, reseal: true }.finish()?;
                tags.insert(to.clone(), sealed.record.tags.clone());
                put_live(txn, bench, &to, sealed)?.delete(key(keys::live(bench.org, &from))?)
            }
            Write::Kind(name, record) => {
                let key = key(keys::kind(bench.org, &name))?;
                match record {
                    Some(record) => txn.put(key, json(&record)),
                    None => txn.delete(key),
                }
            }
            Write::Gone(address) => txn.delete(key(keys::live(bench.org, &address))?),
            Write::Declared(address, declaration) => {
                declarations.push((address, declaration));
                txn
            }
            Write::Undeclared(address) => {
                let source = bench.source.ok_or_else(|| internal("a declaration without a source"))?;
                let key = key(keys::desired(bench.org, source, &address))?;
                txn.require(as_it_was(bench.snapshot, key.clone())).delete(key)
            }
        };
    }
    for (address, mut declaration) in declarations {
        for (path, tag) in &mut declaration.tags {
            if let Some(known) = tags.get(&address).and_then(|tags| tags.get(path)) {
                tag.clone_from(known);
            }
        }
        let source = bench.source.ok_or_else(|| internal("a declaration without a source"))?;
        let key = key(keys::desired(bench.org, source, &address))?;
        txn = txn.require(as_it_was(bench.snapshot, key.clone())).put(key, json(&declaration));
    }
    Ok(txn)
}

/// Adds what a plan says of itself to the commit that applies it.
pub(crate) fn describe(txn: Txn, plan: &Plan) -> Txn {
    let summary = serde_json::to_string(&plan.summary).expect("a summary is always JSON");
    let mut txn = txn.annotate(annotation::PLAN, plan.plan_id.clone()).annotate(annotation::SUMMARY, summary);
    txn = match plan.rollback {
        Some(to) => txn.annotate(annotation::ROLLBACK, to.to_string()),
        None => txn.annotate(annotation::DIGEST, plan.source.digest.clone()),
    };
    match &plan.source.git {
        Some(git) => txn
            .annotate(annotation::GIT_COMMIT, git.commit.clone())
            .annotate(annotation::GIT_DIRTY, git.dirty.to_string()),
        None => txn,
    }
}

struct Sealing<'s> {
    bench: &'s Bench<'s>,
    /// The address that the values are sealed for.
    address: &'s Address,
    /// The address that those that stay lie at.
    lies_at: &'s Address,
    record: Record,
    seal: SecretValues,
    reseal: bool,
}

struct Sealed {
    record: Record,
    bytes: Option<Vec<u8>>,
}

impl Sealing<'_> {
    /// Seals all values of the record under one nonce: the new ones, and those that stay, opened first.
    fn finish(self) -> Result<Sealed, Problem> {
        let Self { bench, address, lies_at, mut record, seal, reseal } = self;
        if !reseal || record.tags.is_empty() {
            return Ok(Sealed { record, bytes: None });
        }
        let ring = bench.ring.ok_or_else(|| internal("values to seal and no key"))?;
        for (path, value) in &seal {
            record.tags.insert(path.clone(), ring.tag(bench.org, address, path, value));
        }
        let mut values = seal;
        if record.tags.keys().any(|path| !values.contains_key(path)) {
            let entry = bench.snapshot.get(&keys::live(bench.org, lies_at));
            let entry = entry.ok_or_else(|| internal("a value to keep in a record that does not exist"))?;
            let kept = bench.vault.open(bench.org, lies_at, entry).map_err(|why| {
                let message = format!("cannot keep the other values of `{lies_at}`: {why}");
                Problem::new(ProblemKind::Failed, "E_MASTER_KEY", message).help("give all values of it at once")
            })?;
            let stays = |path: &String| record.tags.contains_key(path) && !values.contains_key(path);
            let kept: SecretValues = kept.into_iter().filter(|(path, _)| stays(path)).collect();
            values.extend(kept);
        }
        if address != lies_at {
            for (path, value) in &values {
                record.tags.insert(path.clone(), ring.tag(bench.org, address, path, value));
            }
        }
        Ok(Sealed { bytes: Some(ring.seal(bench.org, address, &values)), record })
    }
}

fn put_live(txn: Txn, bench: &Bench<'_>, address: &Address, sealed: Sealed) -> Result<Txn, Problem> {
    let text = keys::live(bench.org, address);
    let stays = bench.snapshot.get(&text).and_then(Entry::sealed).filter(|_| !sealed.record.tags.is_empty());
    let (key, value) = (key(text)?, json(&sealed.record));
    Ok(match (sealed.bytes, stays) {
        (Some(bytes), _) => txn.put_sealed(key, value, bytes),
        (None, Some(digest)) => txn.keep_sealed(key, value, digest),
        (None, None) => txn.put(key, value),
    })
}

/// Demands that everything that was read is as it was.
pub(crate) fn conditions(mut txn: Txn, snapshot: &Snapshot, reads: &BTreeSet<String>) -> Result<Txn, Problem> {
    if reads.len() > CONDITIONS_MAX {
        return Ok(txn.require(Precondition::Head(snapshot.revision())));
    }
    for read in reads {
        txn = txn.require(as_it_was(snapshot, key(read.clone())?));
    }
    Ok(txn)
}

fn as_it_was(snapshot: &Snapshot, key: Key) -> Precondition {
    match snapshot.get(key.as_str()) {
        Some(entry) => Precondition::Modified(key, entry.modified()),
        None => Precondition::Absent(key),
    }
}

/// Makes a key of the store out of a text.
pub(crate) fn key(text: String) -> Result<Key, Problem> {
    let invalid = |error| Problem::from_error(ProblemKind::Invalid, "E_KEY", &error).help("choose another name");
    Key::new(text).map_err(invalid)
}

pub(crate) fn json(value: &impl serde::Serialize) -> Vec<u8> {
    serde_json::to_vec(value).expect("a record is always JSON")
}

fn internal(what: &str) -> Problem {
    Problem::new(ProblemKind::Internal, "E_INTERNAL", format!("the plan is inconsistent: {what}"))
        .help("this is a defect of the program, please report it")
}

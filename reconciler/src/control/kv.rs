//! Raw values and raw transactions.
//!
//! Never here: what the values mean.

use holdfast_engine::limits::KEY_BYTES_MAX;
use holdfast_engine::{CommitError, Key, KeyError, Precondition, Revision, Txn};

use super::request::txn_id;
use super::writing::commit_problem;
use crate::apply::annotation;
use crate::embedded::Plane;
use crate::error::{Problem, ProblemKind};
use crate::plane::{KvCompare, KvEntry, KvOp, KvTxn, KvTxnResult};
use crate::resource::{OrgId, keys};

pub(super) fn get(
    plane: &Plane,
    org: Option<&OrgId>,
    key: &str,
    at: Option<Revision>,
) -> Result<Option<KvEntry>, Problem> {
    let snapshot = plane.snapshot_at(at)?;
    let org = plane.org(org, &snapshot);
    let key = kv_key(&org, key)?;
    Ok(snapshot.get(key.as_str()).map(|entry| KvEntry {
        value: entry.value().to_vec(),
        created: entry.created(),
        modified: entry.modified(),
        version: entry.version(),
        head: snapshot.revision(),
    }))
}

pub(super) fn txn(plane: &Plane, txn: &KvTxn) -> Result<KvTxnResult, Problem> {
    let snapshot = plane.engine().snapshot();
    let org = plane.org(txn.org.as_ref(), &snapshot);
    let mut built = Txn::new().author(txn.author.clone()).annotate(annotation::ORG, org.as_str());
    if let Some(id) = txn_id(txn)? {
        built = built.request_id(id);
    }
    for compare in &txn.compare {
        built = built.require(match compare {
            KvCompare::Head(revision) => Precondition::Head(*revision),
            KvCompare::Absent(key) => Precondition::Absent(kv_key(&org, key)?),
            KvCompare::Modified(key, revision) => Precondition::Modified(kv_key(&org, key)?, *revision),
        });
    }
    for op in &txn.ops {
        built = match op {
            KvOp::Put(key, value) => built.put(kv_key(&org, key)?, value.clone()),
            KvOp::Delete(key) => built.delete(kv_key(&org, key)?),
        };
    }
    match plane.engine().commit(built) {
        Ok(receipt) => Ok(KvTxnResult { succeeded: true, revision: receipt.revision }),
        Err(CommitError::Conflict { head, .. }) => Ok(KvTxnResult { succeeded: false, revision: head }),
        Err(error) => Err(refused(&org, &error)),
    }
}

/// Tells of a key what the caller calls it.
fn refused(org: &OrgId, error: &CommitError) -> Problem {
    let problem = commit_problem(error);
    match error {
        CommitError::DuplicateKey { key } => {
            let named = key.as_str().strip_prefix(&keys::kv_prefix(org)).unwrap_or(key.as_str());
            Problem { message: format!("`{named}` is changed twice in one transaction"), ..problem }
        }
        _ => problem,
    }
}

fn kv_key(org: &OrgId, key: &str) -> Result<Key, Problem> {
    if key.is_empty() {
        return Err(Problem::new(ProblemKind::Invalid, "E_KEY", "the key is empty").help("name a key"));
    }
    let prefix = keys::kv_prefix(org);
    Key::new(format!("{prefix}{key}")).map_err(|error| {
        // Told without the part that the store puts in front.
        let error = match error {
            KeyError::Control { at, .. } => KeyError::Control { text: key.to_owned(), at: at - prefix.len() },
            KeyError::TooLong { .. } => {
                let most = KEY_BYTES_MAX - prefix.len();
                let message = format!("a key of `{org}` has at most {most} bytes, this one has {}", key.len());
                return Problem::new(ProblemKind::Invalid, "E_KEY", message).help("choose a shorter one");
            }
            error => error,
        };
        Problem::from_error(ProblemKind::Invalid, "E_KEY", &error).help("choose another name")
    })
}

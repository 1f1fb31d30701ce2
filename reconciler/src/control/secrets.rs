//! Shared secrets: set, removed and listed.
//!
//! Never here: sealing itself (`secret.rs`, `vault.rs`).

use holdfast_engine::{Entry, Revision, Timestamp};

use super::writing::{
    WRITE_ATTEMPTS, actor, answer, blocked_problem, contended, guard_sessions, protected, settled, unchanged,
};
use crate::agents::kinds;
use crate::apply::Authorship;
use crate::embedded::{Plane, rfc3339};
use crate::error::{Problem, ProblemKind};
use crate::plane::{SecretInfo, SecretWrite, WriteReceipt};
use crate::planner::{self, Write};
use crate::resource::{Address, OrgId, Record, keys};
use crate::secret::SecretValues;
use crate::vault::record;

/// The address of a secret by its name.
pub(super) fn address(name: &str) -> Result<Address, Problem> {
    format!("{}/{name}", kinds::SECRET)
        .parse()
        .map_err(|error| Problem::from_error(ProblemKind::Invalid, "E_NAME", &error).help("choose another name"))
}

pub(super) fn write(plane: &Plane, request: &SecretWrite) -> Result<WriteReceipt, Problem> {
    let address = address(&request.name)?;
    if request.value.as_ref().is_some_and(|value| value.expose().is_empty()) {
        let problem = Problem::new(ProblemKind::Invalid, "E_EMPTY_SECRET", "the value of the secret is empty");
        return Err(problem.help("to remove it, use `reconcile secret remove`"));
    }
    let _one_at_a_time = plane.applying();
    for _ in 0..WRITE_ATTEMPTS {
        if let Some(receipt) = try_write(plane, request, &address)? {
            return Ok(receipt);
        }
    }
    Err(contended())
}

pub(super) fn list(plane: &Plane, org: Option<&OrgId>) -> Result<Vec<SecretInfo>, Problem> {
    let snapshot = plane.engine().snapshot();
    let org = plane.org(org, &snapshot);
    let prefix = format!("{}{}/", keys::live_prefix(&org), kinds::SECRET);
    let secrets = snapshot.prefix(&prefix).map(|(key, entry)| {
        let record = record(entry).map_err(|_| planner::damaged(key.as_str()))?;
        Ok(SecretInfo {
            name: key.as_str()[prefix.len()..].to_owned(),
            tag: record.tags.get(kinds::SECRET_VALUE).cloned(),
            owner: record.owners.get(kinds::SECRET_VALUE).or(record.owner.as_ref()).cloned(),
            expires: record.expires_ms.map(|ms| rfc3339(Timestamp::from_millis(ms))),
            modified: entry.modified(),
        })
    });
    secrets.collect()
}

/// One attempt; none if a record that it read was changed meanwhile.
fn try_write(plane: &Plane, request: &SecretWrite, address: &Address) -> Result<Option<WriteReceipt>, Problem> {
    let snapshot = plane.engine().snapshot();
    let org = plane.org(request.org.as_ref(), &snapshot);
    let key = keys::live(&org, address);
    let live = match snapshot.get(&key).map(record).transpose() {
        Ok(live) => live,
        Err(_) => return Err(planner::damaged(&key)),
    };
    let actor = actor(&request.author);
    let write = match (&request.value, live) {
        (None, None) => return Ok(Some(unchanged(&snapshot))),
        (None, Some(_)) => {
            let modified = snapshot.get(&key).map_or(Revision::ZERO, Entry::modified);
            if let Some(blocked) = protected(&snapshot, &org, address, modified) {
                return Err(blocked_problem(vec![blocked]));
            }
            Write::Gone(address.clone())
        }
        (Some(value), live) => {
            let mut record = live.map(|live| Record::clone(&live)).unwrap_or_default();
            record.owner.get_or_insert_with(|| actor.clone());
            record.owners.insert(kinds::SECRET_VALUE.to_owned(), actor.clone());
            record.tags.insert(kinds::SECRET_VALUE.to_owned(), String::new());
            record.expires_ms = request.expires.map(Timestamp::as_millis);
            let seal = SecretValues::from([(kinds::SECRET_VALUE.to_owned(), value.clone())]);
            Write::Live { address: address.clone(), record, seal, reseal: true }
        }
    };
    let pending = request.value.iter().map(|_| address.clone()).collect();
    let writes = vec![write];
    let mut effects = guard_sessions(plane, &snapshot, &org, &writes, &pending, &request.allow_break)?;
    // The way out of a lost key: what it sealed may go if everybody who looks at it was named.
    let named = |agent: &String| agent.strip_prefix("agent/").is_some_and(|agent| request.allow_break.contains(agent));
    let given_up = request.value.is_none() && effects.affects.get(&key).is_none_or(|agents| agents.iter().all(named));
    if !given_up {
        plane.check_master_key(&snapshot, &org)?;
    }
    effects.reads.insert(key);
    let reads = effects.reads;
    let verb = if request.value.is_some() { "set" } else { "remove" };
    let message = format!("secret {verb} {}", request.name);
    let authorship = Authorship { author: actor, message, request_id: None };
    let txn = plane.transaction(&snapshot, &org, None, writes, &reads, authorship)?;
    Ok(settled(plane.engine().commit(txn))?.map(answer))
}

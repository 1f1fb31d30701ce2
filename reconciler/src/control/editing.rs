//! Live edits: one resource changed, made or deleted by an actor, with the guards that plans have.
//!
//! Never here: what an edit makes of a record (`edit.rs`).

use std::collections::BTreeSet;

use holdfast_engine::{Revision, Snapshot};

use super::request::{replayed, request_id};
use super::writing::{
    WRITE_ATTEMPTS, actor, answer, blocked_problem, contended, guard_sessions, protected, settled, unchanged,
};
use crate::agents::{fields, kinds};
use crate::apply::Authorship;
use crate::edit::{self, EditError};
use crate::embedded::Plane;
use crate::error::{Problem, ProblemKind};
use crate::pasted::quoted;
use crate::plane::{Edit, EditRequest, WriteReceipt};
use crate::planner::{self, Write};
use crate::resource::{Address, OrgId, Record, keys};
use crate::value::Fields;
use crate::vault::record;

pub(super) fn edit(plane: &Plane, request: &EditRequest) -> Result<WriteReceipt, Problem> {
    let id = request_id("edit", request.request_id.as_deref(), request)?;
    if let Some(receipt) = replayed(plane, id.as_ref())? {
        return Ok(receipt);
    }
    let _one_at_a_time = plane.applying();
    for _ in 0..WRITE_ATTEMPTS {
        let snapshot = plane.engine().snapshot();
        let org = plane.org(request.org.as_ref(), &snapshot);
        let bench = Bench { plane, snapshot: &snapshot, org: &org, request };
        let writes = bench.writes()?;
        if writes.is_empty() {
            return Ok(unchanged(&snapshot));
        }
        let effects = guard_sessions(plane, &snapshot, &org, &writes, &BTreeSet::new(), &request.allow_break)?;
        let mut reads = effects.reads;
        reads.extend(writes.iter().filter_map(|write| match write {
            Write::Live { address, .. } | Write::Gone(address) => Some(keys::live(&org, address)),
            Write::Moved { .. } | Write::Declared(..) | Write::Undeclared(_) | Write::Kind(..) => None,
        }));
        let message = if request.message.is_empty() { bench.default_message() } else { request.message.clone() };
        let authorship = Authorship { author: actor(&request.author), message, request_id: id.clone() };
        let txn = plane.transaction(&snapshot, &org, None, writes, &reads, authorship)?;
        if let Some(receipt) = settled(plane.engine().commit(txn))? {
            tracing::info!(%org, address = %request.address, revision = %receipt.revision, "edited");
            return Ok(answer(receipt));
        }
    }
    Err(contended())
}

/// What one attempt works on.
struct Bench<'b> {
    plane: &'b Plane,
    snapshot: &'b Snapshot,
    org: &'b OrgId,
    request: &'b EditRequest,
}

impl Bench<'_> {
    fn writes(&self) -> Result<Vec<Write>, Problem> {
        let live = self.live(&self.request.address)?;
        if let Some(wanted) = self.request.if_modified {
            let found = live.as_ref().map(|(_, modified)| *modified);
            if found != Some(wanted) {
                return Err(self.moved_on(wanted, found));
            }
        }
        match (&self.request.edit, live) {
            (Edit::Merge(patch), Some((record, _))) => self.merged(patch, Some(&record)),
            (Edit::Create(patch), None) => {
                self.check_name()?;
                self.merged(patch, None)
            }
            (Edit::Delete, Some((_, modified))) => self.deleted(modified),
            (Edit::Create(_), Some((_, modified))) => {
                let message = format!("`{}` is there already, since {modified}", self.request.address);
                Err(Problem::new(ProblemKind::Conflict, "E_EXISTS", message).help("change it instead of making it"))
            }
            (Edit::Merge(_) | Edit::Delete, None) => {
                // The same answer as for looking at it, near matches and all.
                super::resources::one(self.plane, Some(self.org), &self.request.address, None).map(|_| Vec::new())
            }
        }
    }

    fn live(&self, address: &Address) -> Result<Option<(Record, Revision)>, Problem> {
        let key = keys::live(self.org, address);
        let Some(entry) = self.snapshot.get(&key) else { return Ok(None) };
        let record = record(entry).map_err(|_| planner::damaged(&key))?;
        Ok(Some((Record::clone(&record), entry.modified())))
    }

    fn merged(&self, patch: &Fields, live: Option<&Record>) -> Result<Vec<Write>, Problem> {
        let address = &self.request.address;
        let actor = actor(&self.request.author);
        let edited = edit::merge(&self.plane.kinds(self.snapshot, self.org)?, address, live, patch, &actor)
            .map_err(|error| refused(&error))?;
        if live.is_some() && edited.changed.is_empty() {
            return Ok(Vec::new());
        }
        let (address, record) = (address.clone(), edited.record);
        Ok(vec![Write::Live { address, record, seal: crate::secret::SecretValues::new(), reseal: false }])
    }

    /// The resource and those that go with it.
    fn deleted(&self, modified: Revision) -> Result<Vec<Write>, Problem> {
        let address = &self.request.address;
        if address.kind.as_str() == kinds::SECRET {
            let problem = Problem::new(ProblemKind::Invalid, "E_SENSITIVE", format!("`{address}` is a secret"));
            return Err(problem.help(format!("use `reconcile secret remove {}`", quoted(address.name.as_str()))));
        }
        let mut gone = vec![(address.clone(), modified)];
        for (key, entry) in kinds::dependents(address).iter().flat_map(|prefix| self.below(prefix)) {
            let address: Address = key.parse().map_err(|_| planner::damaged(&key))?;
            gone.push((address, entry));
        }
        let blocked: Vec<_> = gone
            .iter()
            .filter_map(|(address, modified)| protected(self.snapshot, self.org, address, *modified))
            .collect();
        if !blocked.is_empty() {
            return Err(blocked_problem(blocked));
        }
        let deletes = gone.len() as u64;
        if self.request.allow_delete.is_some_and(|allowed| allowed != deletes) {
            let message = format!("`{address}` goes with {} more, {deletes} deletes in all", deletes - 1);
            return Err(Problem::new(ProblemKind::Blocked, "E_DELETES", message)
                .help(format!("confirm that number with `--allow-delete {deletes}`")));
        }
        Ok(gone.into_iter().map(|(address, _)| Write::Gone(address)).collect())
    }

    /// The live resources whose address is the pattern, or begins with it if it ends in `/`.
    fn below(&self, pattern: &str) -> Vec<(String, Revision)> {
        let live = keys::live_prefix(self.org);
        let prefix = format!("{live}{pattern}");
        let exact = |key: &str| pattern.ends_with('/') || key == prefix;
        let found = self.snapshot.prefix(&prefix).filter(|(key, _)| exact(key.as_str()));
        found.map(|(key, entry)| (key.as_str()[live.len()..].to_owned(), entry.modified())).collect()
    }

    fn check_name(&self) -> Result<(), Problem> {
        kinds::check_name(&self.request.address).map_err(|rule| {
            let message = format!("`{}` is no name of a {}", self.request.address.name, self.request.address.kind);
            Problem::new(ProblemKind::Invalid, "E_NAME", message).help(rule)
        })
    }

    fn moved_on(&self, wanted: Revision, found: Option<Revision>) -> Problem {
        let address = &self.request.address;
        let message = match found {
            Some(found) => format!("`{address}` was changed in {found}, not last in {wanted}"),
            None => format!("`{address}` does not exist"),
        };
        Problem::new(ProblemKind::Conflict, "E_CONFLICT", message).help("read it again and decide anew")
    }

    fn default_message(&self) -> String {
        let verb = match &self.request.edit {
            Edit::Merge(_) => "edit",
            Edit::Create(_) => "create",
            Edit::Delete => "delete",
        };
        format!("{verb} {}", self.request.address)
    }
}

fn refused(error: &EditError) -> Problem {
    let (kind, code, help) = match error {
        EditError::UnknownKind { .. } => {
            (ProblemKind::Invalid, "E_UNKNOWN_KIND", "`reconcile status` lists the kinds that there are".to_owned())
        }
        EditError::Own { as_text: Some(text), .. } => (ProblemKind::Invalid, "E_FIELD", fields::help_as_text(text)),
        EditError::Own { as_text: None, .. } => {
            (ProblemKind::Invalid, "E_FIELD", "the kind is declared in the manifest: `[kinds.*]`".to_owned())
        }
        EditError::Field(error) => (ProblemKind::Invalid, "E_FIELD", error.help()),
        EditError::Sensitive { address, .. } if address.kind.as_str() == kinds::SECRET => (
            ProblemKind::Invalid,
            "E_SENSITIVE",
            format!("use `reconcile secret set {}`", quoted(address.name.as_str())),
        ),
        EditError::Sensitive { .. } => (
            ProblemKind::Invalid,
            "E_SENSITIVE",
            "declare it in the manifest with a reference such as `$NAME`, and apply".to_owned(),
        ),
        EditError::NoMembers { path, .. } => {
            (ProblemKind::Invalid, "E_FIELD", format!("give the whole value of `{path}`, or take it out first"))
        }
        EditError::Immutable { .. } => {
            (ProblemKind::Blocked, "E_IMMUTABLE", "delete the resource and make it anew".to_owned())
        }
    };
    Problem::new(kind, code, error.to_string()).help(help)
}

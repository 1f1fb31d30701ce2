//! Taking exported resources in, as one commit.
//!
//! Never here: values of secrets. An export has only tags, so what is sealed stays and what is not is told.

use std::collections::BTreeSet;

use holdfast_engine::{Entry, Precondition, RequestId, Revision, Snapshot, Txn};

use super::request::request_id;
use super::writing::{WRITE_ATTEMPTS, actor, answer, contended, guard_sessions, settled, unchanged};
use crate::against::{StateRow, declaration_of, record_of};
use crate::agents::kinds;
use crate::apply::{self, Authorship};
use crate::embedded::Plane;
use crate::error::{Problem, ProblemKind};
use crate::held;
use crate::kind::Kinds;
use crate::kind_record::{self, KindRecord};
use crate::naming;
use crate::own_kind::OwnKind;
use crate::plan::Blocked;
use crate::plane::{ImportRequest, Imported, MissingSecret, WriteReceipt};
use crate::planner::{self, Write};
use crate::resource::{Address, OrgId, Record, SourceName, keys};
use crate::secret::SecretValues;
use crate::value::{equal_field, is_absent};
use crate::vault::record;
use crate::veil;

/// How many differing resources a refusal names.
const NAMED_MAX: usize = 20;

/// What is to be done.
struct Draft {
    told: Imported,
    writes: Vec<Write>,
    /// What each source counts as having declared.
    declared: Vec<(SourceName, Address, crate::resource::Declaration)>,
    reads: BTreeSet<String>,
    differing: Vec<Blocked>,
}

pub(super) fn import(plane: &Plane, request: &ImportRequest) -> Result<Imported, Problem> {
    crate::against::check(&request.state)?;
    let id = request_id("import", request.request_id.as_deref(), request)?;
    let _one_at_a_time = plane.applying();
    for _ in 0..WRITE_ATTEMPTS {
        let snapshot = plane.engine().snapshot();
        let draft = draft(plane, &snapshot, request)?;
        if !request.overwrite && !draft.differing.is_empty() {
            return Err(differs(draft.differing));
        }
        if request.dry_run {
            return Ok(draft.told);
        }
        let mut told = draft.told.clone();
        if let Some(receipt) = commit(plane, &snapshot, request, id.as_ref(), draft)? {
            told.receipt = Some(receipt);
            return Ok(told);
        }
    }
    Err(contended())
}

fn draft(plane: &Plane, snapshot: &Snapshot, request: &ImportRequest) -> Result<Draft, Problem> {
    let org = organisation(plane, snapshot, request)?;
    let told = Imported {
        org: org.clone(),
        created: Vec::new(),
        overwritten: Vec::new(),
        unchanged: 0,
        secrets: Vec::new(),
        receipt: None,
    };
    let mut draft =
        Draft { told, writes: Vec::new(), declared: Vec::new(), reads: BTreeSet::new(), differing: Vec::new() };
    let known = kinds_of(plane, &mut draft, snapshot, &org, &request.state.kinds)?;
    let mut seen = BTreeSet::new();
    for row in &request.state.resources {
        let address = row.address()?;
        if !seen.insert(address.clone()) {
            let message = format!("the state names `{address}` twice");
            return Err(Problem::new(ProblemKind::Invalid, "E_STATE", message).help("keep one of the two"));
        }
        check(&known, row, &address)?;
        take(&mut draft, snapshot, &org, row, address)?;
    }
    Ok(draft)
}

/// What becomes of the state's kinds, and the kinds that are known then.
fn kinds_of(
    plane: &Plane,
    draft: &mut Draft,
    snapshot: &Snapshot,
    org: &OrgId,
    records: &[KindRecord],
) -> Result<Kinds, Problem> {
    let mut known = plane.kinds(snapshot, org)?;
    for record in records {
        let KindRecord { definition, sources } = record;
        let name = &definition.name;
        let key = keys::kind(org, name);
        let live = snapshot.get(&key);
        draft.reads.insert(key);
        let before = known.get(name.as_str()).map(|kind| kind.definition.as_deref().cloned());
        let mut sources = sources.clone();
        match before {
            Some(None) => return Err(invalid("E_STATE", format!("`{name}` is a kind of the program's own"))),
            Some(Some(before)) if before == *definition => continue,
            Some(Some(before)) => {
                refuse_unsealing(definition, &before)?;
                draft.differing.push(differing(&format!("kind/{name}"), None, live.map(Entry::modified)));
                let live = kind_record::records(snapshot, org)?.into_iter().find(|(known, _)| known == name);
                sources.extend(live.into_iter().flat_map(|(_, record)| record.sources));
            }
            None => {}
        }
        known.add([definition.spec()]);
        let record = KindRecord { definition: definition.clone(), sources };
        draft.writes.push(Write::Kind(name.clone(), Some(record)));
    }
    Ok(known)
}

/// No export of earlier makes what is a secret here one no more.
fn refuse_unsealing(definition: &OwnKind, before: &OwnKind) -> Result<(), Problem> {
    match definition.unseals(before).first() {
        None => Ok(()),
        Some(path) => {
            let message = format!("`{path}` of the kind `{}` is a secret, and is none in the file", before.name);
            let help = "export again from where it is a secret, or change the kind by a manifest first";
            Err(Problem::new(ProblemKind::Blocked, "E_UNSEALS", message).help(help))
        }
    }
}

/// Holds a row against its kind. Of a kind that nobody knows nothing can be said.
fn check(known: &Kinds, row: &StateRow, address: &Address) -> Result<(), Problem> {
    let Some(kind) = known.get(address.kind.as_str()) else { return Ok(()) };
    if let Some(path) = veil::in_clear(kind, &row.fields).first() {
        let message = format!("`{path}` of `{address}` is a secret and stands in clear in the file");
        let help = "take it out of the file, import, and set it with `reconcile secret set` or by a manifest";
        return Err(Problem::new(ProblemKind::Invalid, "E_SENSITIVE", message).help(help));
    }
    let mut values = row.fields.iter().filter(|(_, value)| !is_absent(value));
    values.try_for_each(|(field, value)| held::value(kind, address, field, value))
}

fn invalid(code: &str, message: String) -> Problem {
    Problem::new(ProblemKind::Invalid, code, message)
}

fn differing(address: &str, owner: Option<String>, revision: Option<Revision>) -> Blocked {
    Blocked {
        code: "E_DIFFERS".to_owned(),
        message: format!("`{address}` is live and differs from the file"),
        address: address.to_owned(),
        path: None,
        owner,
        revision,
        at: None,
        remedies: vec!["--overwrite".to_owned()],
    }
}

/// The organisation of all rows, which must be one.
fn organisation(plane: &Plane, snapshot: &Snapshot, request: &ImportRequest) -> Result<OrgId, Problem> {
    let mut named = request.org.iter().chain(request.state.resources.iter().filter_map(|row| row.org.as_ref()));
    let Some(first) = named.next() else { return Ok(plane.org(None, snapshot)) };
    match named.find(|org| *org != first) {
        None => Ok(first.clone()),
        Some(other) => {
            let message = format!("the state has resources of organisation `{other}`, and `{first}` is asked for");
            let help = "import each organisation's own export, with its `--org`";
            Err(Problem::new(ProblemKind::Invalid, "E_ORG", message).help(help))
        }
    }
}

/// Works out what becomes of one row.
fn take(draft: &mut Draft, snapshot: &Snapshot, org: &OrgId, row: &StateRow, address: Address) -> Result<(), Problem> {
    let key = keys::live(org, &address);
    let live = snapshot.get(&key);
    let revision = live.map(holdfast_engine::Entry::modified);
    let live = live.map(record).transpose().map_err(|_| planner::damaged(&key))?;
    let mut wanted = record_of(row.clone());
    let sealed = live.as_ref().map(|live| live.tags.clone()).unwrap_or_default();
    for (path, tag) in std::mem::replace(&mut wanted.tags, sealed) {
        if wanted.tags.get(&path) != Some(&tag) {
            draft.told.secrets.push(MissingSecret { address: address.clone(), path });
        }
    }
    // A shared secret is nothing without its value.
    if address.kind.as_str() == kinds::SECRET && wanted.tags.is_empty() {
        return Ok(());
    }
    draft.reads.insert(key);
    if let Some(source) = row.owner.as_deref().and_then(|owner| SourceName::new(owner).ok()) {
        let declared = keys::desired(org, &source, &address);
        if snapshot.get(&declared).is_none() {
            let declaration = declaration_of(&wanted, &source);
            draft.declared.push((source, address.clone(), declaration));
        }
    }
    match live {
        Some(live) if same(&live, &wanted) => {
            draft.told.unchanged += 1;
            return Ok(());
        }
        Some(live) => {
            draft.told.overwritten.push(address.clone());
            draft.differing.push(differing(&address.to_string(), live.owner.clone(), revision));
        }
        None => draft.told.created.push(address.clone()),
    }
    draft.writes.push(Write::Live { address, record: wanted, seal: SecretValues::new(), reseal: false });
    Ok(())
}

fn same(live: &Record, wanted: &Record) -> bool {
    let Record { fields, owner, owners, tags: _, expires_ms } = live;
    let names: BTreeSet<&String> = fields.keys().chain(wanted.fields.keys()).collect();
    names.into_iter().all(|name| equal_field(fields.get(name), wanted.fields.get(name)))
        && *owner == wanted.owner
        && *owners == wanted.owners
        && *expires_ms == wanted.expires_ms
}

fn differs(mut blocked: Vec<Blocked>) -> Problem {
    let count = blocked.len();
    let names = naming::some(blocked.iter().map(|blocked| format!("`{}`", blocked.address)), NAMED_MAX);
    blocked.truncate(NAMED_MAX);
    let message = format!("{count} live resource(s) differ from the file: {names}");
    let problem = Problem::new(ProblemKind::Blocked, "E_DIFFERS", message);
    let help = "`--overwrite` puts the file's state in their place; nothing was changed";
    Problem { blocked, ..problem }.help(help)
}

/// One attempt; none if a record that was read changed meanwhile.
fn commit(
    plane: &Plane,
    snapshot: &Snapshot,
    request: &ImportRequest,
    id: Option<&RequestId>,
    draft: Draft,
) -> Result<Option<WriteReceipt>, Problem> {
    let Draft { told, writes, declared, mut reads, differing: _ } = draft;
    if writes.is_empty() && declared.is_empty() {
        return Ok(Some(unchanged(snapshot)));
    }
    let org = told.org;
    let effects = guard_sessions(plane, snapshot, &org, &writes, &BTreeSet::new(), &request.allow_break)?;
    reads.extend(effects.reads);
    let message = match request.message.is_empty() {
        true => format!("import of r{}", request.state.revision),
        false => request.message.clone(),
    };
    let authorship = Authorship { author: actor(&request.author), message, request_id: id.cloned() };
    let mut txn: Txn = plane.transaction(snapshot, &org, None, writes, &reads, authorship)?;
    for (source, address, declaration) in declared {
        let key = apply::key(keys::desired(&org, &source, &address))?;
        let value = serde_json::to_vec(&declaration).expect("a declaration is always JSON");
        txn = txn.require(Precondition::Absent(key.clone())).put(key, value);
    }
    Ok(settled(plane.engine().commit(txn))?.map(answer))
}

//! What the plane in this process answers: the [`ControlPlane`] of [`Plane`].
//!
//! Never here: planning, resolving and sealing themselves; each answer is a few steps over the rooms that do them.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

use holdfast_engine::{CommitError, Entry, Key, Outcome, Precondition, Receipt, RequestId, Revision, Txn};

use crate::agents::context::SessionContext;
use crate::agents::kinds;
use crate::agents::resolver::World;
use crate::apply::{self, Authorship};
use crate::commits;
use crate::effect;
use crate::embedded::{Plane, at_problem, log_session, rfc3339};
use crate::error::{Problem, ProblemKind};
use crate::guard;
use crate::plan::{Plan, PlanRequest};
use crate::plane::{
    ApplyRequest, CommitInfo, CommitsPage, CommitsQuery, ControlPlane, Head, KvCompare, KvEntry, KvOp, KvTxn,
    KvTxnResult, ResourceInfo, ResourcesPage, ResourcesQuery, SecretInfo, SecretWrite, SessionRequest, SourceStatus,
    Status, Verification, WriteOutcome, WriteReceipt,
};
use crate::planner::{self, Planned, Write};
use crate::resource::{Address, OrgId, Record, keys};
use crate::secret::SecretValues;
use crate::suggest;
use crate::vault::record;
use crate::watch::{self, WatchFeed, WatchRequest};

/// How often a write is worked out anew because a record that it read was changed meanwhile.
const WRITE_ATTEMPTS: u32 = 16;
/// How many resources a page holds if nobody says.
const PAGE_DEFAULT: usize = 500;
/// How many resources or commits a page holds at most.
const PAGE_MAX: usize = 10_000;

impl ControlPlane for Plane {
    fn head(&self) -> Result<Head, Problem> {
        let head = self.engine().head();
        let identity = self.engine().identity();
        Ok(Head {
            revision: head.revision,
            commit: head.id.to_string(),
            time: (head.revision != Revision::ZERO).then(|| rfc3339(head.time)),
            store: identity.store.to_string(),
            epoch: identity.epoch,
        })
    }

    fn plan(&self, request: &PlanRequest) -> Result<Plan, Problem> {
        self.planned(&self.engine().snapshot(), request).map(|(planned, _, _)| planned.plan)
    }

    fn apply(&self, request: &ApplyRequest) -> Result<WriteReceipt, Problem> {
        let request_id = request_id(request.request_id.as_deref())?;
        if let Some(receipt) = self.replayed(request_id.as_ref())? {
            return Ok(receipt);
        }
        let _one_at_a_time = self.applying();
        for _ in 0..WRITE_ATTEMPTS {
            let snapshot = self.engine().snapshot();
            let (Planned { plan, writes, reads }, org, source) = self.planned(&snapshot, &request.plan)?;
            check_applicable(request, &plan)?;
            if writes.is_empty() {
                return Ok(unchanged(&snapshot));
            }
            let (author, message) = (request.author.clone(), request.message.clone());
            let authorship = Authorship { author, message, request_id: request_id.clone() };
            let txn = self.transaction(&snapshot, &org, Some(&source), writes, &reads, authorship)?;
            if let Some(receipt) = settled(self.engine().commit(apply::describe(txn, &plan)))? {
                tracing::info!(%org, %source, revision = %receipt.revision, plan = &plan.plan_id[..8], "applied");
                return Ok(answer(receipt));
            }
        }
        Err(contended())
    }

    fn commits(&self, query: &CommitsQuery) -> Result<CommitsPage, Problem> {
        let org = self.org(query.org.as_ref(), &self.engine().snapshot());
        let limit = query.limit.unwrap_or(PAGE_DEFAULT).min(PAGE_MAX);
        commits::page(self.engine(), &org, query.address.as_ref(), query.before, limit)
    }

    fn commit(&self, org: Option<&OrgId>, revision: Revision) -> Result<CommitInfo, Problem> {
        let org = self.org(org, &self.engine().snapshot());
        commits::one(self.engine(), &org, revision)
    }

    fn resources(&self, query: &ResourcesQuery) -> Result<ResourcesPage, Problem> {
        let snapshot = self.snapshot_at(query.at)?;
        let org = self.org(query.org.as_ref(), &snapshot);
        let live = keys::live_prefix(&org);
        let wanted = match (&query.kind, &query.prefix) {
            (Some(kind), prefix) => format!("{live}{kind}/{}", prefix.as_deref().unwrap_or_default()),
            (None, _) => live.clone(),
        };
        let named = |address: &Address| {
            query.kind.is_some() || query.prefix.as_ref().is_none_or(|prefix| address.to_string().starts_with(prefix))
        };
        let limit = query.limit.unwrap_or(PAGE_DEFAULT).clamp(1, PAGE_MAX);
        let after = query.after.as_ref().map(|after| format!("{live}{after}"));
        let from = after.as_ref().filter(|after| **after > wanted).unwrap_or(&wanted);
        let mut resources = Vec::new();
        let mut next = None;
        for (key, entry) in snapshot.range(from.as_str()..).take_while(|(key, _)| key.as_str().starts_with(&wanted)) {
            let Ok(address) = key.as_str()[live.len()..].parse::<Address>() else { continue };
            if after.as_deref() == Some(key.as_str()) || !named(&address) {
                continue;
            }
            if resources.len() == limit {
                next = resources.last().map(|last: &ResourceInfo| last.address.to_string());
                break;
            }
            resources.push(resource_info(&org, address, entry)?);
        }
        Ok(ResourcesPage { revision: snapshot.revision(), resources, next })
    }

    fn resource(&self, org: Option<&OrgId>, address: &Address, at: Option<Revision>) -> Result<ResourceInfo, Problem> {
        let snapshot = self.snapshot_at(at)?;
        let org = self.org(org, &snapshot);
        if let Some(entry) = snapshot.get(&keys::live(&org, address)) {
            return resource_info(&org, address.clone(), entry);
        }
        let live = keys::live_prefix(&org);
        let text = address.to_string();
        let near = suggest::near(&text, snapshot.prefix(&live).map(|(key, _)| &key.as_str()[live.len()..]));
        let help = match near.as_slice() {
            [] => "`reconcile status` counts what there is".to_owned(),
            near => format!("did you mean `{}`?", near.join("` or `")),
        };
        let message = format!("no resource `{address}` in organisation `{org}` at {}", snapshot.revision());
        Err(Problem::new(ProblemKind::NotFound, "E_NOT_FOUND", message).help(help))
    }

    fn look(&self, request: &SessionRequest) -> Result<SessionContext, Problem> {
        let snapshot = self.snapshot_at(request.at)?;
        let org = self.org(request.org.as_ref(), &snapshot);
        self.resolve(&snapshot, &org, request)?.into_result()
    }

    fn open_session(&self, request: &SessionRequest) -> Result<SessionContext, Problem> {
        if request.at.is_some() {
            let problem = Problem::new(ProblemKind::Invalid, "E_SESSION_AT", "a session cannot be opened in the past");
            return Err(problem.help("look at it instead, with `reconcile session AGENT --at rN`"));
        }
        let context = self.look(request)?;
        let context = self.open_sessions().open(context, self.now()).map_err(|error| {
            Problem::from_error(ProblemKind::Unavailable, "E_SESSIONS_FULL", &error)
                .help("close sessions that are done")
        })?;
        log_session(&context);
        Ok(context)
    }

    fn session(&self, org: Option<&OrgId>, id: &str) -> Result<SessionContext, Problem> {
        let org = self.org(org, &self.engine().snapshot());
        self.open_sessions().get(&org, id, self.now()).ok_or_else(no_session)
    }

    fn close_session(&self, org: Option<&OrgId>, id: &str) -> Result<(), Problem> {
        let org = self.org(org, &self.engine().snapshot());
        if self.open_sessions().close(&org, id) { Ok(()) } else { Err(no_session()) }
    }

    fn write_secret(&self, request: &SecretWrite) -> Result<WriteReceipt, Problem> {
        let address: Address = format!("{}/{}", kinds::SECRET, request.name)
            .parse()
            .map_err(|error| Problem::from_error(ProblemKind::Invalid, "E_NAME", &error).help("choose another name"))?;
        if request.value.as_ref().is_some_and(|value| value.expose().is_empty()) {
            let problem = Problem::new(ProblemKind::Invalid, "E_EMPTY_SECRET", "the value of the secret is empty");
            return Err(problem.help("to remove it, use `reconcile secret remove`"));
        }
        let _one_at_a_time = self.applying();
        for _ in 0..WRITE_ATTEMPTS {
            if let Some(receipt) = self.try_write_secret(request, &address)? {
                return Ok(receipt);
            }
        }
        Err(contended())
    }

    fn secrets(&self, org: Option<&OrgId>) -> Result<Vec<SecretInfo>, Problem> {
        let snapshot = self.engine().snapshot();
        let org = self.org(org, &snapshot);
        let prefix = format!("{}{}/", keys::live_prefix(&org), kinds::SECRET);
        let secrets = snapshot.prefix(&prefix).map(|(key, entry)| {
            let record = record(entry).map_err(|_| planner::damaged(key.as_str()))?;
            Ok(SecretInfo {
                name: key.as_str()[prefix.len()..].to_owned(),
                tag: record.tags.get(kinds::SECRET_VALUE).cloned(),
                owner: record.owners.get(kinds::SECRET_VALUE).or(record.owner.as_ref()).cloned(),
                expires: record.expires_ms.map(|ms| rfc3339(holdfast_engine::Timestamp::from_millis(ms))),
                modified: entry.modified(),
            })
        });
        secrets.collect()
    }

    fn kv_get(&self, org: Option<&OrgId>, key: &str, at: Option<Revision>) -> Result<Option<KvEntry>, Problem> {
        let snapshot = self.snapshot_at(at)?;
        let org = self.org(org, &snapshot);
        let key = kv_key(&org, key)?;
        Ok(snapshot.get(key.as_str()).map(|entry| KvEntry {
            value: entry.value().to_vec(),
            created: entry.created(),
            modified: entry.modified(),
            head: snapshot.revision(),
        }))
    }

    fn kv_txn(&self, txn: &KvTxn) -> Result<KvTxnResult, Problem> {
        let snapshot = self.engine().snapshot();
        let org = self.org(txn.org.as_ref(), &snapshot);
        let mut built = Txn::new().author(txn.author.clone()).annotate(apply::annotation::ORG, org.as_str());
        if let Some(id) = request_id(txn.request_id.as_deref())? {
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
        match self.engine().commit(built) {
            Ok(receipt) => Ok(KvTxnResult { succeeded: true, revision: receipt.revision }),
            Err(CommitError::Conflict { head, .. }) => Ok(KvTxnResult { succeeded: false, revision: head }),
            Err(error) => Err(commit_problem(&error)),
        }
    }

    fn status(&self, org: Option<&OrgId>) -> Result<Status, Problem> {
        let snapshot = self.engine().snapshot();
        let org = self.org(org, &snapshot);
        let live = keys::live_prefix(&org);
        let mut resources = BTreeMap::new();
        for (key, _) in snapshot.prefix(&live) {
            if let Some((kind, _)) = key.as_str()[live.len()..].split_once('/') {
                *resources.entry(kind.to_owned()).or_default() += 1;
            }
        }
        let sources = planner::sources(&snapshot, &org).into_iter().map(|source| {
            let prefix = keys::desired_prefix(&org, &source);
            let (resources, committed) = snapshot
                .prefix(&prefix)
                .fold((0, None), |(count, newest), (_, entry)| (count + 1, newest.max(Some(entry.modified()))));
            let git = committed.and_then(|revision| commits::git_of(self.engine(), revision));
            SourceStatus { source: source.to_string(), resources, committed, git }
        });
        let engine = self.engine().status();
        Ok(Status {
            head: self.head()?,
            resources,
            sources: sources.collect(),
            holder: self.holder(),
            open_sessions: self.open_sessions().by_revision(),
            durability: engine.durability.to_owned(),
            keys: snapshot.prefix(&keys::org(&org)).count() as u64,
            org,
        })
    }

    fn watch(&self, request: &WatchRequest) -> Result<Box<dyn WatchFeed>, Problem> {
        watch::begin(self, request)
    }

    fn verify(&self) -> Result<Verification, Problem> {
        let report = self.engine().verify(|_, _| ControlFlow::Continue(())).map_err(at_problem)?;
        let mut damage: Vec<String> = report.findings.iter().map(ToString::to_string).collect();
        if report.findings_omitted > 0 {
            damage.push(format!("{} more findings", report.findings_omitted));
        }
        Ok(Verification { revision: report.head.revision, commits: report.commits, entries: report.keys, damage })
    }
}

impl Plane {
    /// The receipt of a request that was carried out before: an empty transaction with its id commits nothing.
    fn replayed(&self, id: Option<&RequestId>) -> Result<Option<WriteReceipt>, Problem> {
        let Some(id) = id else { return Ok(None) };
        let receipt =
            self.engine().commit(Txn::new().request_id(id.clone())).map_err(|error| commit_problem(&error))?;
        Ok((receipt.outcome == Outcome::Replayed).then(|| answer(receipt)))
    }

    /// One attempt; none if a record that it read was changed meanwhile.
    fn try_write_secret(&self, request: &SecretWrite, address: &Address) -> Result<Option<WriteReceipt>, Problem> {
        let snapshot = self.engine().snapshot();
        let org = self.org(request.org.as_ref(), &snapshot);
        let key = keys::live(&org, address);
        let live = match snapshot.get(&key).map(record).transpose() {
            Ok(live) => live,
            Err(_) => return Err(planner::damaged(&key)),
        };
        let actor = actor(&request.author);
        let write = match (&request.value, live) {
            (None, None) => return Ok(Some(unchanged(&snapshot))),
            (None, Some(_)) => Write::Gone(address.clone()),
            (Some(value), live) => {
                let mut record = live.map(|live| Record::clone(&live)).unwrap_or_default();
                record.owner.get_or_insert_with(|| actor.clone());
                record.owners.insert(kinds::SECRET_VALUE.to_owned(), actor.clone());
                record.tags.insert(kinds::SECRET_VALUE.to_owned(), String::new());
                record.expires_ms = request.expires.map(holdfast_engine::Timestamp::as_millis);
                let seal = SecretValues::from([(kinds::SECRET_VALUE.to_owned(), value.clone())]);
                Write::Live { address: address.clone(), record, seal, reseal: true }
            }
        };
        let pending = request.value.iter().map(|_| address.clone()).collect();
        let writes = vec![write];
        let mut effects = self.guard_sessions(&snapshot, &org, &writes, &pending, &request.allow_break)?;
        // The way out of a lost key: what it sealed may go if everybody who looks at it was named.
        let named =
            |agent: &String| agent.strip_prefix("agent/").is_some_and(|agent| request.allow_break.contains(agent));
        let given_up =
            request.value.is_none() && effects.affects.get(&key).is_none_or(|agents| agents.iter().all(named));
        if !given_up {
            self.check_master_key(&snapshot, &org)?;
        }
        effects.reads.insert(key);
        let reads = effects.reads;
        let verb = if request.value.is_some() { "set" } else { "remove" };
        let message = format!("secret {verb} {}", request.name);
        let authorship = Authorship { author: actor, message, request_id: None };
        let txn = self.transaction(&snapshot, &org, None, writes, &reads, authorship)?;
        Ok(settled(self.engine().commit(txn))?.map(answer))
    }

    /// The guard of P13 for writes that are not a plan; gives the prediction.
    fn guard_sessions(
        &self,
        snapshot: &holdfast_engine::Snapshot,
        org: &OrgId,
        writes: &[Write],
        pending: &BTreeSet<Address>,
        allow_break: &BTreeSet<String>,
    ) -> Result<effect::Effects, Problem> {
        let vault = self.vault()?;
        let world = World { snapshot, org, vault: &vault, system: self.system(), now: self.now() };
        let effects = effect::foresee(world, writes, pending);
        let blocked = guard::breaks(&effects.sessions, allow_break, snapshot.revision());
        if blocked.is_empty() { Ok(effects) } else { Err(blocked_problem(blocked)) }
    }
}

fn check_applicable(request: &ApplyRequest, plan: &Plan) -> Result<(), Problem> {
    if plan.plan_id != request.plan_id {
        let shown = request.plan_id.get(..8).unwrap_or(&request.plan_id);
        let message = format!(
            "the plan `{shown}` is stale: on {} an apply would do something else (plan `{}`)",
            plan.base.revision,
            &plan.plan_id[..8]
        );
        return Err(Problem::new(ProblemKind::Stale, "E_STALE", message).help("look at a new plan and apply that"));
    }
    if plan.is_blocked() {
        return Err(blocked_problem(plan.blocked.clone()));
    }
    if !plan.applyable {
        let missing = plan.diagnostics.iter().filter(|found| found.code == "W_MISSING_VALUE").cloned();
        let missing: Vec<_> = missing
            .map(|found| crate::diagnostic::Diagnostic {
                severity: crate::diagnostic::Severity::Error,
                code: "E_MISSING_VALUE".to_owned(),
                help: None,
                ..found
            })
            .collect();
        let message = format!("{} secret value(s) are missing, nothing was applied", missing.len());
        let problem = Problem::new(ProblemKind::Failed, "E_MISSING_VALUE", message);
        return Err(Problem { diagnostics: missing, ..problem }.help("set the variables that are named and run again"));
    }
    let needed = plan.deletes_to_confirm(&request.plan.options.allow_break);
    let told = [Some(request.confirmed_deletes), request.plan.options.allow_delete];
    let wrong = request.plan.options.allow_delete.is_some_and(|told| told != plan.summary.delete);
    if wrong || (needed > 0 && !told.contains(&Some(plan.summary.delete))) {
        let deletes = plan.summary.delete;
        let problem = Problem::new(
            ProblemKind::Blocked,
            "E_DELETES",
            format!("the plan deletes {deletes} resource(s) and nobody confirmed that number"),
        );
        return Err(problem.help(format!("confirm at the prompt, or give `--allow-delete {deletes}`")));
    }
    Ok(())
}

fn blocked_problem(blocked: Vec<crate::plan::Blocked>) -> Problem {
    let reasons: Vec<&str> = blocked.iter().map(|blocked| blocked.message.as_str()).collect();
    let remedies: Vec<&str> = blocked.iter().flat_map(|blocked| blocked.remedies.iter().map(String::as_str)).collect();
    let problem = Problem::new(ProblemKind::Blocked, "E_BLOCKED", format!("blocked: {}", reasons.join("; ")));
    Problem { blocked: blocked.clone(), ..problem }.help(remedies.join(", or "))
}

fn no_session() -> Problem {
    let problem = Problem::new(ProblemKind::NotFound, "E_NO_SESSION", "no such session is open");
    problem.help("it may have been closed or have expired; open a new one")
}

fn contended() -> Problem {
    let message = format!("records that the write depends on changed {WRITE_ATTEMPTS} times in a row");
    Problem::new(ProblemKind::Unavailable, "E_CONTENDED", message).help("try again")
}

/// An actor's name always has a `:`, so that it can never be taken for a source.
fn actor(author: &str) -> String {
    if author.contains(':') { author.to_owned() } else { format!("cli:{author}") }
}

fn request_id(text: Option<&str>) -> Result<Option<RequestId>, Problem> {
    let help = "a request id is any text of your own that no other request has, such as a UUID";
    let invalid = |error| Problem::from_error(ProblemKind::Invalid, "E_REQUEST_ID", &error).help(help);
    text.map(|text| RequestId::new(text).map_err(invalid)).transpose()
}

fn kv_key(org: &OrgId, key: &str) -> Result<Key, Problem> {
    if key.is_empty() {
        return Err(Problem::new(ProblemKind::Invalid, "E_KEY", "the key is empty").help("name a key"));
    }
    apply::key(format!("{}{key}", keys::kv_prefix(org)))
}

fn unchanged(snapshot: &holdfast_engine::Snapshot) -> WriteReceipt {
    let (revision, commit) = (snapshot.revision(), snapshot.commit_id().to_string());
    WriteReceipt { revision, commit, outcome: WriteOutcome::Unchanged }
}

fn answer(receipt: Receipt) -> WriteReceipt {
    let Receipt { revision, id, outcome } = receipt;
    let outcome = match outcome {
        Outcome::Committed => WriteOutcome::Committed,
        Outcome::Replayed => WriteOutcome::Replayed,
        Outcome::Unchanged => WriteOutcome::Unchanged,
    };
    WriteReceipt { revision, commit: id.to_string(), outcome }
}

/// The receipt; none if a condition did not hold, so that the caller works the write out anew.
fn settled(result: Result<Receipt, CommitError>) -> Result<Option<Receipt>, Problem> {
    match result {
        Ok(receipt) => Ok(Some(receipt)),
        Err(CommitError::Conflict { .. }) => Ok(None),
        Err(error) => Err(commit_problem(&error)),
    }
}

fn commit_problem(error: &CommitError) -> Problem {
    let (kind, code, help) = match error {
        CommitError::Conflict { .. } => (ProblemKind::Conflict, "E_CONFLICT", "read again and retry"),
        CommitError::DuplicateKey { .. } => (ProblemKind::Invalid, "E_DUPLICATE_KEY", "name each key once"),
        CommitError::TooLarge { .. } => (ProblemKind::Invalid, "E_TOO_LARGE", "split it into several"),
        CommitError::QueueFull | CommitError::Contended { .. } => (ProblemKind::Unavailable, "E_BUSY", "try again"),
        CommitError::Storage(_) | CommitError::Poisoned => {
            (ProblemKind::Internal, "E_STORE", "check the disk, then open the store again")
        }
        CommitError::Closed => (ProblemKind::Unavailable, "E_CLOSED", "start the server again"),
        _ => (ProblemKind::Internal, "E_STORE", "run `reconcile verify`"),
    };
    Problem::from_error(kind, code, error).help(help)
}

fn resource_info(org: &OrgId, address: Address, entry: &Entry) -> Result<ResourceInfo, Problem> {
    let record = record(entry).map_err(|_| planner::damaged(&keys::live(org, &address)))?;
    Ok(ResourceInfo {
        org: org.clone(),
        kind: address.kind.to_string(),
        name: address.name.to_string(),
        address,
        record: Record::clone(&record),
        created: entry.created(),
        modified: entry.modified(),
        version: entry.version(),
    })
}

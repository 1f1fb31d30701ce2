//! Effects: what a proposed change means for sessions, foreseen by the resolver that sessions themselves use.
//!
//! Never here: a second opinion about credentials or models, and blocking (`guard.rs`).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use holdfast_engine::{Change, Key};

use crate::agents::context::SessionContext;
use crate::agents::kinds::{AGENT, SETTINGS, is_read_by_sessions};
use crate::agents::resolver::{AgentRequest, Resolution, Unresolved, World, resolve};
use crate::agents::users::{self, Group};
use crate::plan::{AgentChange, SessionChange, SessionModel};
use crate::planner::Write;
use crate::resource::{Address, OrgId, Record, keys};
use crate::vault::ProposedVault;

/// What a proposed change means.
#[derive(Debug, Default)]
pub struct Effects {
    /// Sessions whose result changes or fails, in the order of agents.
    pub sessions: Vec<SessionChange>,
    /// For each changed key, the agents whose resolution looks at it.
    pub affects: BTreeMap<String, Vec<String>>,
    /// Every key that the resolutions looked at.
    pub reads: BTreeSet<String>,
}

/// Resolves every agent that the writes can touch, before and after them.
///
/// `blocked` are the resources of which a row cannot be carried out: an agent among them would go if it could.
pub fn foresee(
    world: World<'_>,
    writes: &[Write],
    pending: &BTreeSet<Address>,
    blocked: &BTreeSet<Address>,
) -> Effects {
    foresee_all(world, proposed(world, writes), pending, blocked)
}

/// The same for changes as the engine would see them; `pending` are the records whose values they would seal.
pub fn foresee_changes(world: World<'_>, changes: Vec<Change>, pending: &BTreeSet<Address>) -> Effects {
    foresee_all(world, changes, pending, &BTreeSet::new())
}

fn foresee_all(
    world: World<'_>,
    changes: Vec<Change>,
    pending: &BTreeSet<Address>,
    blocked: &BTreeSet<Address>,
) -> Effects {
    let changed: BTreeSet<String> = changes.iter().map(|change| change.key().as_str().to_owned()).collect();
    let mut effects = Effects::default();
    let agents = touched_agents(world, &changed);
    if agents.is_empty() {
        return effects;
    }
    let after = world.snapshot.overlay(changes);
    let vault = ProposedVault { current: world.vault, pending };
    let both = Both { before: world, after: World { snapshot: &after, vault: &vault, ..world }, changed: &changed };
    let groups = users::groups(both.before, both.after, &changed);
    for agent in agents {
        let shared = both.resolve(&agent, None, &mut effects);
        let own: Vec<(&Group, Foreseen)> = groups
            .iter()
            .filter_map(|group| Some((group, both.resolve(&agent, Some(&group.user), &mut effects)?)))
            .collect();
        if shared.is_none() && own.is_empty() {
            continue;
        }
        let shared = shared.unwrap_or_else(|| both.foreseen(&agent, None));
        let goes = |address: &Address| address.kind.as_str() == AGENT && address.name.as_str() == agent;
        // Only where sessions know it no more does it matter, and is it read.
        let stays = matches!(shared.after.outcome, Err(Unresolved::UnknownAgent { .. }))
            && !blocked.iter().any(goes)
            && both.stays(&agent, &mut effects.reads);
        effects.sessions.extend(rows(world.org, &agent, stays, shared, &own));
    }
    effects
}

/// The state before and after.
#[derive(Clone, Copy)]
struct Both<'w> {
    before: World<'w>,
    after: World<'w>,
    changed: &'w BTreeSet<String>,
}

/// What one consumer gets before and after.
struct Foreseen {
    before: Resolution,
    after: Resolution,
}

impl Both<'_> {
    /// Whether an agent is there before and after: one that is, and that sessions know no more, is not removed but broken.
    fn stays(&self, agent: &str, reads: &mut BTreeSet<String>) -> bool {
        let key = format!("{}{AGENT}/{agent}", keys::live_prefix(self.before.org));
        let stays = self.before.snapshot.get(&key).is_some() && self.after.snapshot.get(&key).is_some();
        reads.insert(key);
        stays
    }

    fn foreseen(&self, agent: &str, user: Option<&str>) -> Foreseen {
        let request = AgentRequest { agent, user, allow_missing: false, ephemeral: &[], suggest: false };
        Foreseen { before: resolve(self.before, request), after: resolve(self.after, request) }
    }

    /// Resolves both; none if the changes touch nothing that was looked at.
    fn resolve(&self, agent: &str, user: Option<&str>, effects: &mut Effects) -> Option<Foreseen> {
        let request = AgentRequest { agent, user, allow_missing: false, ephemeral: &[], suggest: false };
        let before = resolve(self.before, request);
        if !before.reads.iter().any(|key| self.changed.contains(key)) {
            return None;
        }
        let after = resolve(self.after, request);
        for key in before.reads.iter().chain(&after.reads).filter(|key| self.changed.contains(*key)) {
            let affected = effects.affects.entry(key.clone()).or_default();
            let address = format!("{AGENT}/{agent}");
            if affected.last() != Some(&address) {
                affected.push(address);
            }
        }
        effects.reads.extend(before.reads.iter().chain(&after.reads).cloned());
        Some(Foreseen { before, after })
    }
}

/// The rows of one agent: its sessions without a user, and those of users for whom something else changes.
fn rows(org: &OrgId, agent: &str, stays: bool, shared: Foreseen, own: &[(&Group, Foreseen)]) -> Vec<SessionChange> {
    let ends = |foreseen: &Foreseen| (model(&foreseen.before.outcome), model(&foreseen.after.outcome));
    let shared_ends = ends(&shared);
    let users: u64 = own.iter().filter(|(_, own)| own.after.outcome.is_ok()).map(|(group, _)| group.users).sum();
    let mut rows = Vec::new();
    let mut row = session_change(org, agent, stays, (shared.before.outcome, shared.after.outcome), users);
    let agent_change = row.as_ref().map_or(AgentChange::Kept, |row| row.agent_change);
    rows.extend(row.take());
    for (group, foreseen) in own {
        let (before, after) = ends(foreseen);
        if before == after || (before.clone(), after.clone()) == shared_ends {
            continue;
        }
        let error = match &foreseen.after.outcome {
            Err(why) if agent_change == AgentChange::Kept => Some(why.to_string()),
            Ok(_) | Err(_) => None,
        };
        let same = |row: &&mut SessionChange| {
            row.user.is_some() && row.before == before && row.after == after && row.error == error
        };
        if let Some(row) = rows.iter_mut().find(same) {
            row.users = row.users.map(|users| users + group.users);
            continue;
        }
        let breaks = before.is_some() && error.is_some();
        let (org, agent, user) = (org.clone(), agent.to_owned(), Some(group.user.clone()));
        rows.push(SessionChange {
            org,
            agent,
            user,
            users: Some(group.users),
            before,
            after,
            error,
            breaks,
            agent_change,
        });
    }
    rows
}

fn model(resolved: &Resolved) -> Option<SessionModel> {
    let context = resolved.as_ref().ok()?;
    Some(SessionModel { provider: context.model.provider.clone(), model: context.model.id.clone() })
}

/// The writes as the engine would see them. Values to seal are left out: the vault knows which are pending.
fn proposed(world: World<'_>, writes: &[Write]) -> Vec<Change> {
    let put = |address: &Address, sealed_at: &Address, record: &Record| {
        let entry = world.snapshot.get(&keys::live(world.org, sealed_at));
        let value: Arc<[u8]> = serde_json::to_vec(record).expect("a record is always JSON").into();
        let key = Key::new(keys::live(world.org, address)).ok()?;
        Some(Change::Put { key, value, sealed: entry.and_then(holdfast_engine::Entry::sealed) })
    };
    let gone = |address: &Address| Some(Change::Delete { key: Key::new(keys::live(world.org, address)).ok()? });
    let changes = |write: &Write| match write {
        Write::Live { address, record, seal: _, reseal: _ } => [put(address, address, record), None],
        Write::Moved { from, to, record, seal: _ } => [put(to, from, record), gone(from)],
        Write::Gone(address) => [gone(address), None],
        Write::Declared(..) | Write::Undeclared(_) | Write::Kind(..) => [None, None],
    };
    writes.iter().flat_map(changes).flatten().collect()
}

/// The agents that the changes can touch: if only agents' own records change, those; else every agent that there is,
/// because any may look at a shared record. Which of them really do, their read sets tell.
fn touched_agents(world: World<'_>, changed: &BTreeSet<String>) -> BTreeSet<String> {
    let live = keys::live_prefix(world.org);
    let settings = format!("{live}{SETTINGS}/");
    let agent = format!("{live}{AGENT}/");
    let own = |key: &String| key.strip_prefix(&settings).or_else(|| key.strip_prefix(&agent)).map(str::to_owned);
    let mut agents: BTreeSet<String> = changed.iter().filter_map(own).collect();
    let shared = |key: &String| match key.strip_prefix(&live).and_then(|address| address.split_once('/')) {
        Some((kind, _)) => own(key).is_none() && is_read_by_sessions(kind),
        None => true,
    };
    if changed.iter().any(shared) {
        agents.extend(world.snapshot.prefix(&settings).map(|(key, _)| key.as_str()[settings.len()..].to_owned()));
    }
    agents
}

type Resolved = Result<SessionContext, Unresolved>;

/// The row without a user. `users` of them have a credential of their own afterwards: then the lack of a shared one is no
/// failure, unless a session without a user worked.
fn session_change(
    org: &OrgId,
    agent: &str,
    stays: bool,
    (before, after): (Resolved, Resolved),
    users: u64,
) -> Option<SessionChange> {
    let missing = |resolved: &Resolved| matches!(resolved, Err(Unresolved::UnknownAgent { .. }));
    let agent_change = match (missing(&before), missing(&after)) {
        (true, true) => return None,
        (true, false) => AgentChange::New,
        (false, true) if !stays => AgentChange::Removed,
        (false, true | false) => AgentChange::Kept,
    };
    let (before_model, after_model) = (model(&before), model(&after));
    if before_model.is_some() && before_model == after_model {
        return None;
    }
    let error = match (&after, agent_change) {
        (Ok(_), _) | (Err(_), AgentChange::Removed) => None,
        (Err(why), AgentChange::New | AgentChange::Kept) => Some(why.to_string()),
    };
    let no_credential = matches!(after, Err(Unresolved::NoProvider(_) | Unresolved::NoCredential(_)));
    let own = no_credential && users > 0;
    let breaks = before_model.is_some() && error.is_some();
    if own && before_model.is_none() && agent_change == AgentChange::Kept {
        return None;
    }
    Some(SessionChange {
        org: org.clone(),
        agent: agent.to_owned(),
        user: None,
        users: own.then_some(users),
        before: before_model,
        after: after_model,
        error: error.filter(|_| breaks || !own),
        breaks,
        agent_change,
    })
}

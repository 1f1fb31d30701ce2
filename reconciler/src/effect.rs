//! Effects: what a proposed change means for sessions, foreseen by the resolver that sessions themselves use.
//!
//! Never here: a second opinion about credentials or models, and blocking (`guard.rs`).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use holdfast_engine::{Change, Key};

use crate::agents::context::SessionContext;
use crate::agents::kinds::{AGENT, SETTINGS, is_read_by_sessions};
use crate::agents::resolver::{AgentRequest, Resolution, Unresolved, World, resolve};
use crate::plan::{AgentChange, SessionChange, SessionModel};
use crate::planner::Write;
use crate::resource::{Address, Record, keys};
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
pub fn foresee(world: World<'_>, writes: &[Write], pending: &BTreeSet<Address>) -> Effects {
    let changes = proposed(world, writes);
    let changed: BTreeSet<String> = changes.iter().map(|change| change.key().as_str().to_owned()).collect();
    let mut effects = Effects::default();
    let agents = touched_agents(world, &changed);
    if agents.is_empty() {
        return effects;
    }
    let after = world.snapshot.overlay(changes);
    let vault = ProposedVault { current: world.vault, pending };
    let proposed = World { snapshot: &after, vault: &vault, ..world };
    for agent in agents {
        let request = AgentRequest { agent: &agent, user: None, allow_missing: false };
        let before = resolve(world, request);
        let touched = |resolution: &Resolution| resolution.reads.iter().any(|key| changed.contains(key));
        if !touched(&before) {
            continue;
        }
        let after = resolve(proposed, request);
        for key in before.reads.iter().chain(&after.reads).filter(|key| changed.contains(*key)) {
            let affected = effects.affects.entry(key.clone()).or_default();
            let address = format!("{AGENT}/{agent}");
            if affected.last() != Some(&address) {
                affected.push(address);
            }
        }
        effects.reads.extend(before.reads.iter().chain(&after.reads).cloned());
        effects.sessions.extend(session_change(world, agent, before.outcome, after.outcome));
    }
    effects
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

fn session_change(world: World<'_>, agent: String, before: Resolved, after: Resolved) -> Option<SessionChange> {
    let missing = |resolved: &Resolved| matches!(resolved, Err(Unresolved::UnknownAgent { .. }));
    let agent_change = match (missing(&before), missing(&after)) {
        (true, true) => return None,
        (true, false) => AgentChange::New,
        (false, true) => AgentChange::Removed,
        (false, false) => AgentChange::Kept,
    };
    let model = |context: &SessionContext| SessionModel {
        provider: context.model.provider.clone(),
        model: context.model.id.clone(),
    };
    let (before_model, after_model) = (before.as_ref().ok().map(model), after.as_ref().ok().map(model));
    if before_model.is_some() && before_model == after_model {
        return None;
    }
    let error = match (&after, agent_change) {
        (Ok(_), _) | (Err(_), AgentChange::Removed) => None,
        (Err(why), AgentChange::New | AgentChange::Kept) => Some(why.to_string()),
    };
    let breaks = before_model.is_some() && error.is_some();
    let org = world.org.clone();
    Some(SessionChange { org, agent, before: before_model, after: after_model, error, breaks, agent_change })
}

//! The agents' resolver: from a snapshot to what a session gets, or why it gets nothing. There is this one, for sessions,
//! plans, `explain` and workers alike; it is pure.
//!
//! Provider and model follow DESIGN's table: a pinned model names an installed provider, else the first installed provider
//! with a usable credential is taken with its own preference or default model. Never here: opening sessions, values.

use std::borrow::Cow;
use std::sync::{Arc, LazyLock};

use super::catalogue::{Catalogue, Provider};
use super::context::{Credential, CredentialSource, Model, SessionContext, Settings};
use super::credential::{Asker, Held, Installed, Trace, credential};
pub use super::credential::{Place, SystemEnvironment, World};
use super::evidence::{Evidence, Outcome, Step};
use super::kinds;
use super::profile::EphemeralProfile;
use super::references;
use crate::error::{Problem, ProblemKind};
use crate::pasted::quoted;
use crate::resource::{Address, Record, ResourceName, keys};
use crate::suggest;
use crate::value::Value;
use crate::vault::record;
use holdfast_engine::Snapshot;

static BUILTIN: LazyLock<Catalogue> = LazyLock::new(Catalogue::builtin);

/// Whose session is resolved.
#[derive(Clone, Copy, Debug)]
pub struct AgentRequest<'r> {
    /// The agent.
    pub agent: &'r str,
    /// The user.
    pub user: Option<&'r str>,
    /// Give a context although no credential is usable, for hosts that add keys elsewhere.
    pub allow_missing: bool,
    /// Credentials that the host has for this session alone.
    pub ephemeral: &'r [EphemeralProfile],
    /// Whether an unknown agent is told with near matches, for which every agent is looked at: for people, not for a plan of
    /// thousands of new agents.
    pub suggest: bool,
}

/// Why there is no session.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Unresolved {
    /// The organisation has no settings for the agent.
    #[error("unknown agent `{agent}`")]
    UnknownAgent {
        /// The agent that was asked for.
        agent: String,
        /// Agents with similar names.
        near: Vec<String>,
    },
    /// A record cannot be read.
    #[error("the record `{0}` is damaged")]
    Damaged(String),
    /// No installed provider has a usable credential.
    #[error("No provider specified for model \"{0}\"")]
    NoProvider(String),
    /// The pinned model's provider has no usable credential.
    #[error("no usable credential for provider \"{0}\"")]
    NoCredential(String),
    /// Nothing says which model to use.
    #[error("No model configured")]
    NoModel,
}

/// How a resolution went.
#[derive(Debug)]
pub struct Resolution {
    /// The context, or why there is none.
    pub outcome: Result<SessionContext, Unresolved>,
    /// How each step went, if there is no context; else the context has it.
    pub evidence: Vec<Evidence>,
    /// The keys that were looked at, found or not: the result can change only if one of them does.
    pub reads: Vec<String>,
}

impl Resolution {
    /// The context, or the problem that a face shows.
    ///
    /// # Errors
    /// The resolution's own, with its evidence and what to do.
    pub fn into_result(self) -> Result<SessionContext, Problem> {
        let Self { outcome, evidence, reads: _ } = self;
        outcome.map_err(|why| why.into_problem(evidence))
    }
}

impl Unresolved {
    fn into_problem(self, evidence: Vec<Evidence>) -> Problem {
        let text = self.to_string();
        let (kind, code, help) = match &self {
            Self::UnknownAgent { near, .. } if near.is_empty() => {
                (ProblemKind::NotFound, "E_UNKNOWN_AGENT", "`reconcile export` lists what is there".to_owned())
            }
            Self::UnknownAgent { near, .. } => {
                (ProblemKind::NotFound, "E_UNKNOWN_AGENT", format!("did you mean `{}`?", near.join("` or `")))
            }
            Self::Damaged(_) => (ProblemKind::Internal, "E_DAMAGED", "run `reconcile verify`".to_owned()),
            Self::NoProvider(_) | Self::NoCredential(_) => {
                let looked = |step: Step| evidence.iter().filter(move |seen| seen.step == step);
                let named = looked(Step::OrgSecret).find(|seen| seen.outcome != Outcome::Found);
                let locked = looked(Step::OrgSecret).any(|seen| seen.outcome == Outcome::Undecryptable);
                let help = match named {
                    Some(_) if locked => "give the master key that the secret was sealed under".to_owned(),
                    Some(seen) => format!("set the key with `reconcile secret set {}`", quoted(&seen.looked_for)),
                    None => "install a provider in the agent's settings".to_owned(),
                };
                let code = if matches!(self, Self::NoProvider(_)) { "E_NO_PROVIDER" } else { "E_NO_CREDENTIAL" };
                (ProblemKind::Failed, code, help)
            }
            Self::NoModel => {
                (ProblemKind::Failed, "E_NO_MODEL", "set `model` for the provider in the manifest".to_owned())
            }
        };
        Problem::new(kind, code, text).help(help).evidence(evidence)
    }
}

/// Resolves what a session of the agent gets in this world.
pub fn resolve(world: World<'_>, request: AgentRequest<'_>) -> Resolution {
    let mut trace = Trace::default();
    match resolve_traced(world, request, &mut trace) {
        Ok(context) => Resolution {
            outcome: Ok(SessionContext { evidence: trace.evidence, ..context }),
            evidence: Vec::new(),
            reads: trace.reads,
        },
        Err(why) => Resolution { outcome: Err(why), evidence: trace.evidence, reads: trace.reads },
    }
}

fn resolve_traced(
    world: World<'_>,
    request: AgentRequest<'_>,
    trace: &mut Trace,
) -> Result<SessionContext, Unresolved> {
    let settings = settings(world, request, trace)?;
    let installed = installed(world, &settings, trace);
    let owner = owner(world, request.agent, trace)?;
    let owner = owner.as_deref().and_then(owner_of).filter(|owner| request.user != Some(*owner));
    let asker = Asker { user: request.user, owner, ephemeral: request.ephemeral };
    let held = |provider: &Installed<'_>, trace: &mut Trace| credential(world, asker, provider, trace);
    let sources: Vec<Option<CredentialSource>> =
        installed.iter().map(|provider| held(provider, trace).map(|Held { source, place: _ }| source)).collect();
    references::trace(world, &settings, trace);
    let choice = choose(&settings, &installed, &sources, request.allow_missing, trace)?;
    let chosen = &installed[choice.position];
    let model = model(chosen, &choice.reference, trace)?;
    let credentials = installed.iter().zip(&sources);
    Ok(SessionContext {
        session: None,
        org: world.org.clone(),
        agent: request.agent.to_owned(),
        user: request.user.map(str::to_owned),
        revision: world.snapshot.revision(),
        commit: world.snapshot.commit_id().to_string(),
        model,
        credentials: credentials
            .filter_map(|(provider, source)| source.map(|source| offer(provider, source)))
            .collect(),
        settings: Settings::new(settings),
        evidence: Vec::new(),
    })
}

fn settings(world: World<'_>, request: AgentRequest<'_>, trace: &mut Trace) -> Result<Arc<Record>, Unresolved> {
    let AgentRequest { agent, suggest, .. } = request;
    let near = || if suggest { near_agents(world, agent) } else { Vec::new() };
    let unknown = || Unresolved::UnknownAgent { agent: agent.to_owned(), near: near() };
    let address = Address::new(kinds::settings_kind(), ResourceName::new(agent).map_err(|_| unknown())?);
    let key = keys::live(world.org, &address);
    let entry = world.snapshot.get(&key);
    trace.reads.push(key);
    let shown = [kinds::SETTINGS, "/", agent].concat();
    match entry.map(|entry| (entry.modified(), record(entry))) {
        None => {
            trace.note(Step::Settings, None, shown, Outcome::Absent, None);
            Err(unknown())
        }
        Some((_, Err(_))) => Err(Unresolved::Damaged(shown)),
        Some((modified, Ok(record))) => {
            trace.note(Step::Settings, None, shown, Outcome::Found, Some(modified.to_string()));
            Ok(record)
        }
    }
}

/// The agent's own record, which names who owns it; an agent may have settings alone.
fn owner(world: World<'_>, agent: &str, trace: &mut Trace) -> Result<Option<Arc<Record>>, Unresolved> {
    let key = [&keys::live_prefix(world.org), kinds::AGENT, "/", agent].concat();
    let record = world.snapshot.get(&key).map(record).transpose();
    trace.reads.push(key);
    record.map_err(|_| Unresolved::Damaged(format!("{}/{agent}", kinds::AGENT)))
}

fn owner_of(agent: &Record) -> Option<&str> {
    agent.fields.get("owner").and_then(Value::as_str).filter(|owner| !owner.is_empty())
}

/// Where the credential of an installed provider is by the newest state, for a session that is pinned to an older one: which
/// providers are installed and how is pinned, what they are called by is looked up in `world`.
pub(crate) fn place(
    pinned: &Snapshot,
    world: World<'_>,
    request: AgentRequest<'_>,
    provider: &str,
) -> (Option<Place>, Vec<Evidence>) {
    let mut trace = Trace::default();
    let mut find = || {
        let before = World { snapshot: pinned, ..world };
        let settings = settings(before, request, &mut Trace::default()).ok()?;
        let installed = installed(before, &settings, &mut Trace::default());
        let installed = installed.iter().find(|installed| installed.id == provider)?;
        let owner = owner(world, request.agent, &mut trace).ok()?;
        let owner = owner.as_deref().and_then(owner_of).filter(|owner| request.user != Some(*owner));
        let asker = Asker { user: request.user, owner, ephemeral: request.ephemeral };
        credential(world, asker, installed, &mut trace).map(|held| held.place)
    };
    let place = find();
    (place, trace.evidence)
}

fn near_agents(world: World<'_>, agent: &str) -> Vec<String> {
    let prefix = format!("{}{}/", keys::live_prefix(world.org), kinds::SETTINGS);
    let names = world.snapshot.prefix(&prefix).map(|(key, _)| &key.as_str()[prefix.len()..]);
    suggest::near(agent, names).into_iter().map(str::to_owned).collect()
}

/// The providers that the settings install, in order, each with its row of the catalogue.
fn installed<'s>(world: World<'_>, settings: &'s Record, trace: &mut Trace) -> Vec<Installed<'s>> {
    let pin = pinned_model(settings);
    let rows = settings.fields.get("installedProviders").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    rows.iter()
        .filter_map(|row| {
            let id = row.get("providerId")?.as_str()?;
            let secret_ref = row.get("secretRef").and_then(Value::as_str);
            let (provider, known) = provider(world, id, trace);
            let mut installed = Installed { id, secret_ref, provider, known, reference: None };
            installed.reference = match pin {
                Some(pin) if pin.split_once('/').is_some_and(|(prefix, _)| installed.is_named(prefix)) => {
                    Some(pin.to_owned())
                }
                Some(_) | None => reference(settings, &installed),
            };
            Some(installed)
        })
        .collect()
}

/// The catalogue's row of an installed id, with what the organisation declared about it, and whether there is any.
fn provider(world: World<'_>, id: &str, trace: &mut Trace) -> (Cow<'static, Provider>, bool) {
    let builtin = BUILTIN.find(id);
    let ids = std::iter::once(id).chain(builtin.map(|row| &*row.id).filter(|row| *row != id));
    for id in ids {
        let key = [&keys::live_prefix(world.org), kinds::PROVIDER, "/", id].concat();
        let declared = world.snapshot.get(&key).and_then(|entry| record(entry).ok());
        trace.reads.push(key);
        if let Some(declared) = declared {
            let mut catalogue = Catalogue::builtin();
            catalogue.declare(id, &declared.fields);
            return (Cow::Owned(catalogue.find_or_unknown(id).into_owned()), true);
        }
    }
    match builtin {
        Some(row) => (Cow::Borrowed(row), true),
        None => (Cow::Owned(BUILTIN.find_or_unknown(id).into_owned()), false),
    }
}

struct Choice {
    position: usize,
    reference: String,
}

fn choose(
    settings: &Record,
    installed: &[Installed<'_>],
    sources: &[Option<CredentialSource>],
    allow_missing: bool,
    trace: &mut Trace,
) -> Result<Choice, Unresolved> {
    let pin = pinned_model(settings);
    let usable = |position: usize| allow_missing || sources[position].is_some();
    if let Some(pin) = pin
        && let Some(position) =
            pin.find('/').and_then(|slash| installed.iter().position(|provider| provider.is_named(&pin[..slash])))
    {
        let id = installed[position].id;
        trace.note(Step::Provider, Some(id), "the pinned model's provider", outcome(usable(position)), None);
        return if usable(position) {
            Ok(Choice { position, reference: pin.to_owned() })
        } else {
            Err(Unresolved::NoCredential(id.to_owned()))
        };
    }
    let Some(position) = (0..installed.len()).find(|position| usable(*position)) else {
        let first = installed.first().and_then(|provider| reference(settings, provider));
        trace.note(
            Step::Provider,
            None,
            "the first installed provider with a usable credential",
            Outcome::Absent,
            None,
        );
        return match pin.map(str::to_owned).or(first) {
            Some(reference) => Err(Unresolved::NoProvider(reference)),
            None => Err(Unresolved::NoModel),
        };
    };
    let looked_for = "the first installed provider with a usable credential";
    trace.note(Step::Provider, Some(installed[position].id), looked_for, Outcome::Used, None);
    let reference = reference(settings, &installed[position]).ok_or(Unresolved::NoModel)?;
    Ok(Choice { position, reference })
}

fn outcome(usable: bool) -> Outcome {
    if usable { Outcome::Used } else { Outcome::Absent }
}

/// The model that somebody pinned: `modelSelection` says so, or an old `model` field does.
fn pinned_model(settings: &Record) -> Option<&str> {
    let nonblank = |value: Option<&'_ Value>| value.and_then(Value::as_str).is_some_and(|text| !text.trim().is_empty());
    let selection = settings.fields.get("modelSelection");
    let member = |name: &str| selection.and_then(|selection| selection.get(name));
    let value = match member("mode").and_then(Value::as_str) {
        Some("auto") => None,
        Some("pinned") if nonblank(member("pinnedModel")) => member("pinnedModel"),
        Some(_) | None => settings.fields.get("model").filter(|value| nonblank(Some(value))),
    };
    value.and_then(Value::as_str).map(str::trim)
}

/// The reference of a provider: its own preference, else its default model.
fn reference(settings: &Record, installed: &Installed<'_>) -> Option<String> {
    let preference = settings
        .fields
        .get("providerModelPreferences")
        .and_then(|preferences| {
            let blanks_apart = || preferences.as_object()?.iter().find(|(id, _)| id.trim() == installed.id);
            preferences.get(installed.id).or_else(|| blanks_apart().map(|(_, preference)| preference))
        })
        .and_then(Value::as_str)
        .map(str::trim)
        .filter(|preference| !preference.is_empty());
    preference.or(installed.provider.default_model.as_deref()).map(str::to_owned)
}

/// The model's id: the reference without its provider's own prefix; `auto` is the default model.
fn model(installed: &Installed<'_>, reference: &str, trace: &mut Trace) -> Result<Model, Unresolved> {
    let provider = &installed.provider;
    let id = match installed.own(reference) {
        "auto" => provider.default_model.as_deref().map_or("auto", |default| installed.own(default)),
        id => id,
    };
    if id.is_empty() {
        return Err(Unresolved::NoModel);
    }
    trace.note(Step::Model, Some(installed.id), reference, Outcome::Used, Some(id.to_owned()));
    Ok(Model {
        reference: reference.to_owned(),
        provider: installed.id.to_owned(),
        registry: provider.registry_name().to_owned(),
        id: id.to_owned(),
    })
}

fn offer(installed: &Installed<'_>, source: CredentialSource) -> Credential {
    let env = installed.provider.env.to_string();
    let placeholder = ["holdfast-credential:", installed.id].concat();
    Credential { provider: installed.id.to_owned(), env, source, placeholder }
}

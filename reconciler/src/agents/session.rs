//! The agents' side of sessions: their resolver behind the general trait, and the values that a session may use.
//!
//! Never here: choosing a credential (`credential.rs`), and keeping values: each is fetched when it is used.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use super::context::SessionContext;
use super::resolver::{AgentRequest, Place};
use super::{references, resolver};
use crate::desired::SecretText;
use crate::embedded::{Plane, log_session};
use crate::error::{Problem, ProblemKind};
use crate::open_sessions::{OpenIdError, OpenName};
use crate::plane::{ControlPlane, SessionRequest, WorkerToken};
use crate::session::{Reading, Resolver, Session};

/// The agents' resolver as sessions use it: what `resolver.rs` decides, with the key, clock and environment of a plane.
#[derive(Clone)]
pub struct AgentResolver {
    plane: Plane,
}

impl AgentResolver {
    /// Takes the plane whose key, clock and environment count.
    pub fn new(plane: Plane) -> Self {
        Self { plane }
    }
}

impl fmt::Debug for AgentResolver {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("AgentResolver").finish_non_exhaustive()
    }
}

impl Resolver for AgentResolver {
    type Request = SessionRequest;
    type Context = SessionContext;

    fn resolve(&self, reading: &mut Reading<'_>, request: &SessionRequest) -> Result<SessionContext, Problem> {
        let mut resolution = self.plane.resolve(reading.snapshot(), reading.org(), request)?;
        reading.looked_at(std::mem::take(&mut resolution.reads));
        let context = resolution.into_result()?;
        log_session(&context);
        Ok(context)
    }
}

impl Session {
    /// The value of the credential of an installed provider, fetched now from the head: a key that was rotated or removed
    /// since is used, or missed, at once. Which providers are installed, and how, is pinned.
    ///
    /// # Errors
    /// `Failed` if no credential of the provider is usable any more, with the evidence.
    pub fn credential(&self, provider: &str) -> Result<SecretText, Problem> {
        self.plane().catch_up();
        self.credential_at_head(provider)
    }

    fn credential_at_head(&self, provider: &str) -> Result<SecretText, Problem> {
        let plane = self.plane();
        let head = plane.engine().snapshot();
        let vault = plane.vault()?;
        let world = plane.world(&head, self.org(), &vault);
        let (place, evidence) = resolver::place(self.snapshot(), world, asked(self.request()), provider);
        let usable = place.is_some();
        let value = match place {
            Some(Place::Ephemeral(position)) => {
                self.request().ephemeral.get(position).map(|profile| profile.value.clone())
            }
            Some(place) => plane.value(&head, self.org(), &place),
            None => None,
        };
        value.ok_or_else(|| {
            if usable && plane.engine().is_replica() {
                return not_opened(provider).evidence(evidence);
            }
            let message = format!("no usable credential for provider \"{provider}\"");
            let problem = Problem::new(ProblemKind::Failed, "E_NO_CREDENTIAL", message);
            problem.help("`reconcile explain session` shows each step").evidence(evidence)
        })
    }

    /// The environment of a worker with the values themselves, fetched now: each credential under its provider's variable, and
    /// each reference of an MCP server under its own name. What is not usable any more is left out.
    ///
    /// Hand it to a worker that you trust with them only; others get the placeholders of the context.
    pub fn worker_env(&self) -> BTreeMap<String, SecretText> {
        let plane = self.plane();
        plane.catch_up();
        let head = plane.engine().snapshot();
        let mut env = BTreeMap::new();
        if let Ok(vault) = plane.vault() {
            let world = plane.world(&head, self.org(), &vault);
            for name in references::names(self.context().settings.fields()) {
                if let Some(value) = references::place(world, name).and_then(|at| plane.value(&head, self.org(), &at)) {
                    env.insert(name.to_owned(), value);
                }
            }
        }
        // Two providers may share a variable: the one that the session runs on has it.
        let used = &self.context().model.provider;
        let (first, others): (Vec<_>, Vec<_>) =
            self.context().credentials.iter().partition(|credential| credential.provider == *used);
        for credential in first.into_iter().chain(others) {
            if let Ok(value) = self.credential_at_head(&credential.provider) {
                env.entry(credential.env.clone()).or_insert(value);
            }
        }
        env
    }

    /// A token for the worker of this session, which shows it at `/v1/session-context`. It ends with its life (two hours if
    /// nobody says, a day at most), and when the session is dropped.
    ///
    /// # Errors
    /// A life out of bounds, too many open sessions, or a master key that cannot be used.
    pub fn worker_token(&self, life: Option<Duration>) -> Result<WorkerToken, Problem> {
        let life_ms = life.map(|life| i64::try_from(life.as_millis()).unwrap_or(i64::MAX));
        let plane = self.plane();
        if self.name().get().is_none() {
            let name = plane.open_sessions().name(self.context().clone(), plane.now()).map_err(|error| full(&error))?;
            // Another thread may have been first; then this one is closed again.
            let _ = self.name().set(name);
        }
        let id = self.name().get().map(OpenName::id).unwrap_or_default();
        plane.worker_token(Some(self.org()), id, life_ms)
    }

    /// What stands in the environment of a worker that is not trusted with values: a placeholder for each credential.
    pub fn worker_placeholders(&self) -> BTreeMap<String, String> {
        let pair = |credential: &super::context::Credential| (credential.env.clone(), credential.placeholder.clone());
        self.context().credentials.iter().map(pair).collect()
    }
}

/// A credential counts as its source keeps it, and this replica lacks what opens it.
fn not_opened(provider: &str) -> Problem {
    let message = format!("the credential of provider \"{provider}\" cannot be opened in this process");
    let help = "a follower opens values with the master key (HOLDFAST_KEY or HOLDFAST_KEY_FILE), and is given what is sealed over the \
                server's socket or with a token of role `admin`";
    Problem::new(ProblemKind::Failed, "E_MASTER_KEY", message).help(help)
}

/// No session can be opened under an id.
pub(crate) fn full(error: &OpenIdError) -> Problem {
    Problem::from_error(ProblemKind::Unavailable, "E_SESSIONS_FULL", error).help("close sessions that are done")
}

/// A request as the resolver takes it.
pub(crate) fn asked(request: &SessionRequest) -> AgentRequest<'_> {
    AgentRequest {
        agent: &request.agent,
        user: request.user.as_deref(),
        allow_missing: request.allow_missing,
        ephemeral: &request.ephemeral,
        suggest: true,
    }
}

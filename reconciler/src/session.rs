//! Sessions in this process: a pinned snapshot with what a resolver made of it, for agents and for kinds of your own alike.
//!
//! Any kind can have consumers: implement [`Resolver`] for what they need to know and open them with
//! [`Plane::session_with`]. The agents' own resolver lies in `agents/`. Never here: deciding what anybody gets.

use std::fmt;
use std::sync::{Arc, OnceLock};

use holdfast_engine::{Revision, Snapshot};
use serde::de::DeserializeOwned;

use crate::agents::evidence::{Evidence, Outcome, Step};
use crate::agents::session::AgentResolver;
use crate::embedded::Plane;
use crate::error::{Problem, ProblemKind};
use crate::freshness::Freshness;
use crate::open_sessions::{OpenMark, OpenName};
use crate::planner;
use crate::resource::{Address, KindName, OrgId, Record, ResourceName, keys};
use crate::vault::record;

/// Works out what one sort of consumer gets, from a snapshot alone. It must be pure: equal inputs, equal answers.
pub trait Resolver {
    /// Who asks.
    type Request;
    /// What they get.
    type Context;

    /// Resolves in the state that `reading` shows, and through it only: what was looked at there is what the session counts
    /// as current by.
    ///
    /// # Errors
    /// The consumer's own, with evidence.
    fn resolve(&self, reading: &mut Reading<'_>, request: &Self::Request) -> Result<Self::Context, Problem>;
}

/// The state of one organisation at one revision, as a resolver reads it; it remembers what was looked at.
#[derive(Debug)]
pub struct Reading<'s> {
    snapshot: &'s Snapshot,
    org: &'s OrgId,
    scopes: Vec<String>,
    evidence: Vec<Evidence>,
}

impl<'s> Reading<'s> {
    /// Begins to read an organisation in a snapshot.
    pub fn new(snapshot: &'s Snapshot, org: &'s OrgId) -> Self {
        Self { snapshot, org, scopes: Vec::new(), evidence: Vec::new() }
    }

    /// The revision that is read.
    pub fn revision(&self) -> Revision {
        self.snapshot.revision()
    }

    /// The organisation.
    pub fn org(&self) -> &'s OrgId {
        self.org
    }

    pub(crate) fn snapshot(&self) -> &'s Snapshot {
        self.snapshot
    }

    /// The fields of a live resource, if there is one.
    ///
    /// # Errors
    /// `Failed` if its fields are not a `T`.
    pub fn get<T: DeserializeOwned + Send + Sync + 'static>(
        &mut self,
        address: &Address,
    ) -> Result<Option<Arc<T>>, Problem> {
        let key = keys::live(self.org, address);
        let entry = self.snapshot.get(&key);
        self.scopes.push(key);
        let (outcome, detail) = match entry {
            Some(entry) => (Outcome::Found, Some(entry.modified().to_string())),
            None => (Outcome::Absent, None),
        };
        self.note(address.to_string(), outcome, detail);
        entry.map(|entry| typed_entry(entry, address)).transpose()
    }

    /// The names of all live resources of a kind, in order.
    pub fn names(&mut self, kind: &KindName) -> Vec<ResourceName> {
        let scope = format!("{}{kind}/", keys::live_prefix(self.org));
        let names =
            self.snapshot.prefix(&scope).filter_map(|(key, _)| ResourceName::new(&key.as_str()[scope.len()..]).ok());
        let names = names.collect();
        self.scopes.push(scope);
        names
    }

    /// Says how a step went, for whoever asks why.
    pub fn note(&mut self, looked_for: impl Into<String>, outcome: Outcome, detail: Option<String>) {
        let looked_for = looked_for.into();
        self.evidence.push(Evidence { step: Step::Resource, provider: None, looked_for, outcome, detail });
    }

    /// Adds what was looked at in other ways than through this.
    pub(crate) fn looked_at(&mut self, scopes: Vec<String>) {
        match self.scopes.is_empty() {
            true => self.scopes = scopes,
            false => self.scopes.extend(scopes),
        }
    }
}

/// One consumer's view, pinned to the revision that it was opened at. Commits made later do not change it.
///
/// Dropping it closes it.
pub struct Session<R: Resolver = AgentResolver> {
    plane: Plane,
    snapshot: Snapshot,
    org: OrgId,
    resolver: R,
    request: R::Request,
    context: R::Context,
    evidence: Vec<Evidence>,
    fresh: Freshness,
    /// The id under which faces know it, once it has one.
    name: OnceLock<OpenName>,
    _mark: OpenMark,
}

impl<R: Resolver<Context: fmt::Debug>> fmt::Debug for Session<R> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = out.debug_struct("Session");
        shown.field("revision", &self.revision()).field("org", &self.org).field("context", &self.context);
        shown.finish_non_exhaustive()
    }
}

impl Plane {
    /// Opens a session of a consumer of your own on the newest revision.
    ///
    /// # Errors
    /// The resolver's.
    pub fn session_with<R: Resolver>(
        &self,
        resolver: R,
        org: &OrgId,
        request: R::Request,
    ) -> Result<Session<R>, Problem> {
        let snapshot = self.engine().snapshot();
        let mut reading = Reading::new(&snapshot, org);
        let context = resolver.resolve(&mut reading, &request)?;
        let Reading { scopes, evidence, .. } = reading;
        let mark = self.open_sessions().mark(snapshot.revision());
        let (plane, org, fresh, name) = (self.clone(), org.clone(), Freshness::new(scopes), OnceLock::new());
        Ok(Session { plane, snapshot, org, resolver, request, context, evidence, fresh, name, _mark: mark })
    }
}

impl<R: Resolver> Session<R> {
    /// What the session was given.
    pub fn context(&self) -> &R::Context {
        &self.context
    }

    /// What it was opened for.
    pub fn request(&self) -> &R::Request {
        &self.request
    }

    /// What the resolver looked at and said of it, in order; an agent's context has its evidence itself.
    pub fn evidence(&self) -> &[Evidence] {
        &self.evidence
    }

    /// The organisation.
    pub fn org(&self) -> &OrgId {
        &self.org
    }

    /// The revision that everything was read at.
    pub fn revision(&self) -> Revision {
        self.snapshot.revision()
    }

    /// The state that the session is pinned to.
    pub fn snapshot(&self) -> &Snapshot {
        &self.snapshot
    }

    pub(crate) fn name(&self) -> &OnceLock<OpenName> {
        &self.name
    }

    pub(crate) fn plane(&self) -> &Plane {
        &self.plane
    }

    /// Reads the fields of a live resource of the session's organisation, as they were when it was opened. They are decoded
    /// once for each version of the resource.
    ///
    /// # Errors
    /// `NotFound` if there is no such resource, `Failed` if its fields are not a `T`.
    pub fn get<T: DeserializeOwned + Send + Sync + 'static>(&self, address: &Address) -> Result<Arc<T>, Problem> {
        typed(&self.snapshot, &self.org, address)
    }

    /// The record of a live resource of the session's organisation, as it was when the session was opened.
    ///
    /// # Errors
    /// `NotFound` if there is no such resource.
    pub fn record(&self, address: &Address) -> Result<Arc<Record>, Problem> {
        let key = keys::live(&self.org, address);
        record(self.snapshot.get(&key).ok_or_else(|| missing(address))?).map_err(|_| planner::damaged(&key))
    }

    /// Whether no commit since has touched anything that this session was resolved from: one atomic load for each record
    /// that was looked at. Time is no commit: a credential that has expired since is told when it is used.
    pub fn is_current(&self) -> bool {
        self.fresh.is_current(self.plane.engine(), &self.snapshot)
    }

    /// Waits until a commit touches something that this session was resolved from, or the engine is closed. May be cancelled
    /// and called again; nothing is missed.
    pub async fn changed(&self) {
        self.fresh.changed(self.plane.engine(), &self.snapshot).await;
    }
}

impl<R: Resolver<Request: Clone> + Clone> Session<R> {
    /// Opens the same session anew on the newest revision.
    ///
    /// # Errors
    /// The resolution's; the session at hand stays as it is.
    pub fn refresh(&self) -> Result<Self, Problem> {
        self.plane.session_with(self.resolver.clone(), &self.org, self.request.clone())
    }
}

/// Reads the fields of a live resource as a type of the caller's, decoded once for each version.
///
/// # Errors
/// `NotFound` if there is no such resource, `Failed` if its fields are not a `T`.
pub fn typed<T: DeserializeOwned + Send + Sync + 'static>(
    snapshot: &Snapshot,
    org: &OrgId,
    address: &Address,
) -> Result<Arc<T>, Problem> {
    let entry = keys::with_live(org, address, |key| snapshot.get(key));
    typed_entry(entry.ok_or_else(|| missing(address))?, address)
}

/// The fields of a record alone, so that a caller's type is not taken for the record's own.
#[derive(serde::Deserialize)]
struct FieldsOf<T> {
    #[serde(default = "none")]
    fields: Option<T>,
}

fn none<T>() -> Option<T> {
    None
}

fn typed_entry<T: DeserializeOwned + Send + Sync + 'static>(
    entry: &holdfast_engine::Entry,
    address: &Address,
) -> Result<Arc<T>, Problem> {
    let decode = |bytes: &[u8]| -> Result<T, serde_json::Error> {
        match serde_json::from_slice::<FieldsOf<T>>(bytes)?.fields {
            Some(fields) => Ok(fields),
            None => serde_json::from_str("{}"),
        }
    };
    entry.decoded(decode).map_err(|error| {
        let message = format!("the fields of `{address}` do not fit what was asked for: {error}");
        Problem::new(ProblemKind::Failed, "E_TYPE", message).help("read them as another type")
    })
}

fn missing(address: &Address) -> Problem {
    Problem::new(ProblemKind::NotFound, "E_NOT_FOUND", format!("no resource `{address}`"))
}

//! Sessions in this process: a pinned snapshot with its resolved context, and the general side for kinds of your own.
//!
//! Any kind can have consumers: implement [`Resolver`] for what they need to know. The agents' own resolver lies in
//! `agents/resolver.rs`. Never here: deciding what an agent gets.

use std::sync::Arc;

use holdfast_engine::{Revision, Snapshot};
use serde::de::DeserializeOwned;

use crate::agents::context::SessionContext;
use crate::desired::SecretText;
use crate::embedded::Plane;
use crate::error::{Problem, ProblemKind};
use crate::open_sessions::OpenMark;
use crate::plane::SessionRequest;
use crate::planner;
use crate::resource::{Address, OrgId, Record, keys};
use crate::vault::record;

/// Works out what one sort of consumer gets, from a snapshot alone. It must be pure: equal inputs, equal answers.
pub trait Resolver {
    /// Who asks.
    type Request;
    /// What they get.
    type Context;

    /// Resolves in a snapshot.
    ///
    /// # Errors
    /// The consumer's own, with evidence.
    fn resolve(&self, snapshot: &Snapshot, org: &OrgId, request: &Self::Request) -> Result<Self::Context, Problem>;
}

/// One consumer's view, pinned to the revision that it was opened at. Commits made later do not change it.
///
/// Dropping it closes it.
#[derive(Debug)]
pub struct Session {
    plane: Plane,
    snapshot: Snapshot,
    context: SessionContext,
    request: SessionRequest,
    reads: Vec<(String, Option<Revision>)>,
    _mark: OpenMark,
}

impl Session {
    pub(crate) fn new(
        plane: Plane,
        snapshot: Snapshot,
        context: SessionContext,
        request: SessionRequest,
        reads: Vec<String>,
        mark: OpenMark,
    ) -> Self {
        let modified = |key: String| {
            let revision = snapshot.get(&key).map(holdfast_engine::Entry::modified);
            (key, revision)
        };
        let reads = reads.into_iter().map(modified).collect();
        Self { plane, snapshot, context, request, reads, _mark: mark }
    }

    /// What the session was given.
    pub fn context(&self) -> &SessionContext {
        &self.context
    }

    /// The revision that everything was read at.
    pub fn revision(&self) -> Revision {
        self.snapshot.revision()
    }

    /// The state that the session is pinned to.
    pub fn snapshot(&self) -> &Snapshot {
        &self.snapshot
    }

    /// Reads the fields of a live resource of the session's organisation, as they were when it was opened.
    ///
    /// # Errors
    /// `NotFound` if there is no such resource, `Failed` if its fields are not a `T`.
    pub fn get<T: DeserializeOwned + Send + Sync + 'static>(&self, address: &Address) -> Result<Arc<T>, Problem> {
        typed(&self.snapshot, &self.context.org, address)
    }

    /// The record of a live resource of the session's organisation, as it was when the session was opened.
    ///
    /// # Errors
    /// `NotFound` if there is no such resource.
    pub fn record(&self, address: &Address) -> Result<Arc<Record>, Problem> {
        found(&self.snapshot, &self.context.org, address)
    }

    /// The value of the credential of an installed provider, fetched now from the head: a key that was rotated or removed
    /// since is used, or missed, at once.
    ///
    /// # Errors
    /// `Failed` if no credential of the provider is usable any more.
    pub fn credential(&self, provider: &str) -> Result<SecretText, Problem> {
        self.plane.credential(&self.context.org, &self.context.agent, provider)
    }

    /// Whether a session opened now would be given the same: no commit since has touched anything that this one looked at.
    pub fn is_current(&self) -> bool {
        let head = self.plane.engine().snapshot();
        let same = |(key, modified): &(String, Option<Revision>)| {
            head.get(key).map(holdfast_engine::Entry::modified) == *modified
        };
        head.revision() == self.revision() || self.reads.iter().all(same)
    }

    /// Opens the same session anew on the newest revision.
    ///
    /// # Errors
    /// The resolution's; the session at hand stays as it is.
    pub fn refresh(&self) -> Result<Self, Problem> {
        self.plane.open(&self.request)
    }
}

/// Reads the fields of a live resource as a type of the caller's.
///
/// # Errors
/// `NotFound` if there is no such resource, `Failed` if its fields are not a `T`.
pub fn typed<T: DeserializeOwned + Send + Sync + 'static>(
    snapshot: &Snapshot,
    org: &OrgId,
    address: &Address,
) -> Result<Arc<T>, Problem> {
    let wrong = |error: &dyn std::error::Error| {
        let message = format!("the fields of `{address}` do not fit what was asked for: {error}");
        Problem::new(ProblemKind::Failed, "E_TYPE", message)
    };
    let record = found(snapshot, org, address)?;
    let fields = record.fields.iter().map(|(name, value)| (name.clone(), value.clone())).collect();
    serde_json::from_value(serde_json::Value::Object(fields)).map(Arc::new).map_err(|error| wrong(&error))
}

fn found(snapshot: &Snapshot, org: &OrgId, address: &Address) -> Result<Arc<Record>, Problem> {
    let key = keys::live(org, address);
    let missing = || Problem::new(ProblemKind::NotFound, "E_NOT_FOUND", format!("no resource `{address}`"));
    record(snapshot.get(&key).ok_or_else(missing)?).map_err(|_| planner::damaged(&key))
}

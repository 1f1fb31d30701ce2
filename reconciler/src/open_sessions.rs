//! The sessions that are open: those of this process by revision, and those opened over a face by id, bounded and expiring.
//!
//! Never here: resolving a session.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use holdfast_engine::{Revision, Timestamp};

use crate::agents::context::SessionContext;
use crate::resource::OrgId;

/// How many sessions a face may hold open at once.
pub(crate) const OPEN_SESSIONS_MAX: usize = 100_000;
/// How often sessions that nobody asked for in time are looked for, in milliseconds.
const SWEEP_EVERY_MS: i64 = 60 * 1000;
/// How long a session that nobody asks for stays open, in milliseconds.
pub(crate) const OPEN_SESSION_IDLE_MS: i64 = 24 * 60 * 60 * 1000;
const ID_BYTES: usize = 16;

/// Why no session can be opened by id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum OpenIdError {
    #[error("{OPEN_SESSIONS_MAX} sessions are open already")]
    Full,
    #[error("the system has no randomness to give")]
    NoRandomness,
}

/// All open sessions of a plane.
#[derive(Clone, Debug, Default)]
pub(crate) struct OpenSessions(Arc<Mutex<Table>>);

#[derive(Debug, Default)]
struct Table {
    by_revision: BTreeMap<Revision, u64>,
    by_id: BTreeMap<String, Named>,
    /// When expired sessions were looked for last, in milliseconds.
    swept_ms: i64,
}

#[derive(Debug)]
struct Named {
    context: SessionContext,
    used: Timestamp,
    _mark: OpenMark,
}

impl Named {
    fn is_stale(&self, now: Timestamp) -> bool {
        now.as_millis().saturating_sub(self.used.as_millis()) > OPEN_SESSION_IDLE_MS
    }
}

/// Closes a session that is open under an id when its holder lets go of it.
#[derive(Debug)]
pub(crate) struct OpenName {
    sessions: OpenSessions,
    org: OrgId,
    id: String,
}

impl OpenName {
    pub(crate) fn id(&self) -> &str {
        &self.id
    }
}

impl Drop for OpenName {
    fn drop(&mut self) {
        self.sessions.close(&self.org, &self.id);
    }
}

/// Keeps one session in the count of its revision for as long as it lives.
#[derive(Debug)]
pub(crate) struct OpenMark {
    table: std::sync::Weak<Mutex<Table>>,
    revision: Revision,
}

impl Drop for OpenMark {
    fn drop(&mut self) {
        let Some(table) = self.table.upgrade() else { return };
        let mut table = lock(&table);
        if let Some(count) = table.by_revision.get_mut(&self.revision) {
            *count -= 1;
            if *count == 0 {
                table.by_revision.remove(&self.revision);
            }
        }
    }
}

fn lock(table: &Mutex<Table>) -> MutexGuard<'_, Table> {
    table.lock().unwrap_or_else(PoisonError::into_inner)
}

impl OpenSessions {
    /// Counts a session.
    pub(crate) fn mark(&self, revision: Revision) -> OpenMark {
        *lock(&self.0).by_revision.entry(revision).or_default() += 1;
        OpenMark { table: Arc::downgrade(&self.0), revision }
    }

    /// Keeps a session under a new id and gives its context with it.
    pub(crate) fn open(&self, mut context: SessionContext, now: Timestamp) -> Result<SessionContext, OpenIdError> {
        let mut bytes = [0_u8; ID_BYTES];
        getrandom::fill(&mut bytes).map_err(|_| OpenIdError::NoRandomness)?;
        let id: String =
            std::iter::once("s-".to_owned()).chain(bytes.iter().map(|byte| format!("{byte:02x}"))).collect();
        context.session = Some(id.clone());
        let mark = self.mark(context.revision);
        let expired = self.expire(now);
        let full = {
            let mut table = lock(&self.0);
            let full = table.by_id.len() >= OPEN_SESSIONS_MAX;
            if !full {
                table.by_id.insert(id, Named { context: context.clone(), used: now, _mark: mark });
            }
            full
        };
        // Marks take the lock when they are dropped, so what expired is dropped after it is free.
        drop(expired);
        if full { Err(OpenIdError::Full) } else { Ok(context) }
    }

    /// The same for a session of this process, which is closed with its holder.
    pub(crate) fn name(&self, context: SessionContext, now: Timestamp) -> Result<OpenName, OpenIdError> {
        let context = self.open(context, now)?;
        let id = context.session.unwrap_or_default();
        Ok(OpenName { sessions: self.clone(), org: context.org, id })
    }

    /// The context of an open session, as it was opened.
    pub(crate) fn get(&self, org: &OrgId, id: &str, now: Timestamp) -> Option<SessionContext> {
        drop(self.expire(now));
        let mut table = lock(&self.0);
        let named = table.by_id.get_mut(id).filter(|named| named.context.org == *org && !named.is_stale(now))?;
        named.used = now;
        Some(named.context.clone())
    }

    /// Closes a session; tells whether it was open.
    pub(crate) fn close(&self, org: &OrgId, id: &str) -> bool {
        let closed = {
            let mut table = lock(&self.0);
            match table.by_id.get(id) {
                Some(named) if named.context.org == *org => table.by_id.remove(id),
                Some(_) | None => None,
            }
        };
        closed.is_some()
    }

    /// How many sessions of an organisation are open under an id, by agent, user and revision.
    pub(crate) fn of(&self, org: &OrgId) -> BTreeMap<(String, Option<String>, Revision), u64> {
        let table = lock(&self.0);
        let mut counted = BTreeMap::new();
        for context in table.by_id.values().map(|named| &named.context).filter(|context| context.org == *org) {
            *counted.entry((context.agent.clone(), context.user.clone(), context.revision)).or_default() += 1;
        }
        counted
    }

    /// How many sessions are open, by revision.
    pub(crate) fn by_revision(&self) -> BTreeMap<u64, u64> {
        lock(&self.0).by_revision.iter().map(|(revision, count)| (revision.get(), *count)).collect()
    }

    /// Takes out what nobody asked for in time. The full sweep is linear, so it runs now and then, and when the table is full.
    #[must_use = "what expired must be dropped outside the lock"]
    fn expire(&self, now: Timestamp) -> Vec<Named> {
        let mut table = lock(&self.0);
        let due = now.as_millis().saturating_sub(table.swept_ms).abs() >= SWEEP_EVERY_MS;
        if !due && table.by_id.len() < OPEN_SESSIONS_MAX {
            return Vec::new();
        }
        table.swept_ms = now.as_millis();
        let ids: Vec<String> =
            table.by_id.iter().filter(|(_, named)| named.is_stale(now)).map(|(id, _)| id.clone()).collect();
        ids.iter().filter_map(|id| table.by_id.remove(id)).collect()
    }
}

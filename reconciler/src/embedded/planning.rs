//! What a plan and a transaction are made of that only the plane has: its kinds, keys, environment and time.
//!
//! Never here: the plan itself (`planner.rs`), and the commit (`control/applying.rs`).

use std::collections::BTreeSet;
use std::sync::Arc;

use holdfast_engine::{Snapshot, Txn};

use super::Plane;
use crate::apply::{self, Authorship, Bench};
use crate::error::Problem;
use crate::plan::PlanRequest;
use crate::planner::{self, PlanInput, Planned, RingState, Write};
use crate::resource::{OrgId, SourceName};
use crate::rollback;
use crate::secret::KeyRing;
use crate::vault::{self, EngineVault};

impl Plane {
    /// Which organisation and source a plan is about, and of a rollback the state that it puts back.
    pub(crate) fn subject(
        &self,
        snapshot: &Snapshot,
        request: &PlanRequest,
    ) -> Result<(OrgId, SourceName, Option<Snapshot>), Problem> {
        let named = request.org.as_ref().or(request.desired.org.as_ref()).or(request.fallback_org.as_ref());
        let org = self.org(named, snapshot);
        let Some(to) = request.options.rollback else {
            let source = planner::source_name(snapshot, &org, &request.desired);
            return Ok((org, source, None));
        };
        let past = self.snapshot_at(Some(to))?;
        let source = rollback::source(&past, snapshot, &org, &request.desired)?;
        Ok((org, source, Some(past)))
    }

    /// Makes a plan of everything, as an apply needs it.
    pub(crate) fn planned(
        &self,
        snapshot: &Snapshot,
        request: &PlanRequest,
    ) -> Result<(Planned, OrgId, SourceName), Problem> {
        self.planning(snapshot, request, planner::plan)
    }

    /// Calls with all that a plan depends on.
    pub(crate) fn planning<T>(
        &self,
        snapshot: &Snapshot,
        request: &PlanRequest,
        plan: impl FnOnce(PlanInput<'_>) -> Result<T, Problem>,
    ) -> Result<(T, OrgId, SourceName), Problem> {
        let (org, source, past) = self.subject(snapshot, request)?;
        let rolled;
        let desired = match past {
            None => &request.desired,
            Some(past) => {
                rolled = rollback::desired(&past, snapshot, &org, &source, &request.desired)?;
                &rolled
            }
        };
        let ring = match self.0.keys.existing()? {
            Some(ring) => RingState::AtHand(vault::sealing_ring(&self.0.engine, snapshot, &org, ring)),
            None => RingState::NotMade,
        };
        let planned = plan(PlanInput {
            kinds: &self.0.kinds,
            snapshot,
            org: &org,
            source: &source,
            desired,
            options: &request.options,
            ring: &ring,
            vault: &self.vault()?,
            system: &self.0.system,
            now: self.now(),
        })?;
        Ok((planned, org, source))
    }

    /// Builds the transaction of some writes; the master key is made if they seal the first secret.
    pub(crate) fn transaction(
        &self,
        snapshot: &Snapshot,
        org: &OrgId,
        source: Option<&SourceName>,
        writes: Vec<Write>,
        reads: &BTreeSet<String>,
        authorship: Authorship,
    ) -> Result<Txn, Problem> {
        let ring = match apply::seals(&writes) {
            true => Some(self.0.keys.existing_or_new()?),
            false => self.0.keys.existing()?,
        };
        let ring = ring.map(|ring| vault::sealing_ring(&self.0.engine, snapshot, org, ring));
        let vault = EngineVault::new(self.0.engine.clone(), ring.clone());
        let bench = Bench { snapshot, org, source, vault: &vault, ring: ring.as_deref() };
        apply::transaction(&bench, writes, reads, authorship)
    }

    /// Whether the master key at hand opens what is sealed, in every organisation; a host asks before it serves.
    ///
    /// # Errors
    /// Names the secrets that it does not open, or says why there is no key.
    pub fn check_keys(&self) -> Result<(), Problem> {
        let snapshot = self.0.engine.snapshot();
        planner::organisations(&snapshot).iter().try_for_each(|org| self.check_master_key(&snapshot, org))
    }

    pub(crate) fn check_master_key(&self, snapshot: &Snapshot, org: &OrgId) -> Result<(), Problem> {
        vault::check_master_key(snapshot, org, &self.vault()?)
    }

    /// The ring that seals for an organisation; the master key is made if there is none.
    pub(crate) fn sealing_ring(&self, snapshot: &Snapshot, org: &OrgId) -> Result<Arc<KeyRing>, Problem> {
        Ok(vault::sealing_ring(&self.0.engine, snapshot, org, self.0.keys.existing_or_new()?))
    }
}

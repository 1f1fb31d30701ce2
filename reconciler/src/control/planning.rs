//! Plans that are shown and not applied: made from what the last one of the source left standing, where somebody stays to keep it.
//!
//! Never here: how a plan is made (`planner.rs`), and plans that are applied, which look at everything.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use holdfast_engine::{Difference, Revision, Snapshot};

use crate::embedded::Plane;
use crate::error::Problem;
use crate::plan::{Plan, PlanRequest};
use crate::planner::{self, PlanInput, Standing};
use crate::resource::{OrgId, SourceName};

/// Of how many sources is kept what stood.
const SOURCES_MAX: usize = 32;
/// After so many commits everything is looked at again.
const COMMITS_MAX: u64 = 10_000;

/// What stood as declared when each source was planned last.
#[derive(Debug, Default)]
pub(crate) struct Standings(Mutex<BTreeMap<(OrgId, SourceName), Arc<Standing>>>);

impl Standings {
    fn get(&self, of: &(OrgId, SourceName)) -> Option<Arc<Standing>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(of).cloned()
    }

    fn keep(&self, of: (OrgId, SourceName), standing: Option<Standing>) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(standing) = standing else { return drop(kept.remove(&of)) };
        if kept.len() >= SOURCES_MAX && !kept.contains_key(&of) {
            kept.pop_first();
        }
        kept.insert(of, Arc::new(standing));
    }
}

impl Plane {
    /// Makes a plan to be shown. A process that stays looks only at what can differ since it was asked last.
    pub(crate) fn shown(
        &self,
        snapshot: &Snapshot,
        request: &PlanRequest,
    ) -> Result<(Plan, OrgId, SourceName), Problem> {
        self.planning(snapshot, request, |input| match self.stays() {
            true => self.plan_on_standing(input),
            false => planner::plan(input).map(|planned| planned.plan),
        })
    }

    fn plan_on_standing(&self, input: PlanInput<'_>) -> Result<Plan, Problem> {
        let of = (input.org.clone(), input.source.clone());
        if let Some(standing) = self.standings().get(&of)
            && let Some(since) = self.since(standing.revision(), input.snapshot.revision())
            && let Some(plan) = planner::plan_from(input, &standing, &since)?
        {
            return Ok(plan);
        }
        let (plan, standing) = planner::plan_and_keep(input)?;
        self.standings().keep(of, standing);
        Ok(plan)
    }

    /// What differs in the store since a revision; none if that is not known, or takes long to tell.
    fn since(&self, then: Revision, now: Revision) -> Option<Vec<Difference>> {
        if then == now {
            return Some(Vec::new());
        }
        let near = then < now && now.get() - then.get() <= COMMITS_MAX;
        near.then(|| self.engine().diff(then, now).ok()).flatten()
    }
}

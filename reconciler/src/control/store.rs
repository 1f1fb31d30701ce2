//! The store itself: its head, its state, its soundness.
//!
//! Never here: opening and closing it.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use holdfast_engine::{EngineStatus, Revision};

use crate::actuation::Told;
use crate::attempts;
use crate::commits;
use crate::embedded::{Plane, at_problem, rfc3339};
use crate::error::{Problem, ProblemKind};
use crate::hold::{self, Hold};
use crate::plane::{Head, Held, Measures, Moment, Reach, SourceStatus, Status, Verification};
use crate::planner;
use crate::resource::{OrgId, keys};

pub(super) fn head(plane: &Plane) -> Result<Head, Problem> {
    Ok(told(plane, plane.engine().head()))
}

fn told(plane: &Plane, head: holdfast_engine::Head) -> Head {
    let identity = plane.engine().identity();
    Head {
        revision: head.revision,
        commit: head.id.to_string(),
        time: (head.revision != Revision::ZERO).then(|| rfc3339(head.time)),
        store: identity.store.to_string(),
        epoch: identity.epoch,
    }
}

/// The head of a store that takes commits. Why it takes none is in the log and the status: a probe shows no token.
pub(super) fn ready(plane: &Plane) -> Result<Revision, Problem> {
    let EngineStatus { head, poisoned, .. } = plane.engine().status();
    match poisoned {
        None => Ok(head.revision),
        Some(_) => {
            let message = "the store can be read and takes no commits until it is opened again";
            let help = "`reconcile status` says why; mend that, such as a full disk, then start the server again";
            Err(Problem::new(ProblemKind::Unavailable, "E_READ_ONLY", message).help(help))
        }
    }
}

/// The head as it was at a moment.
pub(super) fn head_at(plane: &Plane, moment: Moment) -> Result<Head, Problem> {
    let engine = plane.engine();
    let newest = engine.head();
    let revision = match moment {
        Moment::Revision(revision) => revision,
        Moment::Time(time) if time > plane.now().max(newest.time) => {
            let message = format!("{} has not come yet", rfc3339(time));
            let help = "name a time that has passed; without one the newest revision is read";
            return Err(Problem::new(ProblemKind::NotFound, "E_FUTURE", message).help(help));
        }
        Moment::Time(time) => engine.revision_at(time).map_err(at_problem)?,
    };
    let found = engine.head_at(revision).map_err(at_problem)?;
    match moment {
        // What was in force before the oldest state that is kept is not known.
        Moment::Time(time) if revision != Revision::ZERO && found.time > time => {
            let message = format!(
                "what was in force at {} is compacted, the oldest that can be read is {revision} of {}",
                rfc3339(time),
                rfc3339(found.time)
            );
            Err(Problem::new(ProblemKind::Gone, "E_COMPACTED", message).help("ask for a time that is still kept"))
        }
        Moment::Time(_) | Moment::Revision(_) => Ok(told(plane, found)),
    }
}

pub(super) fn status(plane: &Plane, org: Option<&OrgId>) -> Result<Status, Problem> {
    let snapshot = plane.engine().snapshot();
    let org = plane.org(org, &snapshot);
    let live = keys::live_prefix(&org);
    let mut resources = BTreeMap::new();
    for (key, _) in snapshot.prefix(&live) {
        if let Some((kind, _)) = key.as_str()[live.len()..].split_once('/') {
            *resources.entry(kind.to_owned()).or_default() += 1;
        }
    }
    let declared = planner::known_sources(&snapshot, &org).into_iter().map(|source| {
        let prefix = keys::desired_prefix(&org, &source);
        let (resources, newest) = snapshot
            .prefix(&prefix)
            .fold((0, None), |(count, newest), (_, entry)| (count + 1, newest.max(Some(entry.modified()))));
        (source, resources, newest)
    });
    let mut declared: Vec<_> = declared.collect();
    let known = declared.iter_mut().map(|(source, _, newest)| (source.as_str(), newest)).collect();
    commits::newest_applies(plane.engine(), &org, snapshot.revision(), known);
    let sources = declared.into_iter().map(|(source, resources, committed)| {
        let git = committed.and_then(|revision| commits::git_of(plane.engine(), revision));
        let held = hold::read(&snapshot, &org, &source)?;
        let held = held.map(|(since, Hold { rollback, author, .. })| Held { since, rollback, author });
        Ok(SourceStatus { source: source.to_string(), resources, committed, git, held })
    });
    let engine = plane.engine().status();
    let Told { kinds, conditions, omitted, ready, observed } = plane.told(&snapshot, &org);
    Ok(Status {
        head: head(plane)?,
        resources,
        sources: sources.collect::<Result<_, Problem>>()?,
        attempts: attempts::list(plane, &org),
        loops: plane.loops().list(&org),
        actuators: kinds,
        observed,
        conditions_ready: ready,
        conditions,
        conditions_omitted: omitted,
        followers: plane.followers().list(&org, plane.both_clocks())?,
        following: None,
        holder: plane.holder(),
        open_sessions: plane.open_sessions().by_revision(),
        watchers: plane.watchers().of(&org),
        durability: engine.durability.to_owned(),
        clock_behind_ms: engine.clock_behind_ms,
        storage: super::upkeep::storage(plane),
        keys: snapshot.prefix(&keys::org(&org)).count() as u64,
        org,
    })
}

pub(super) fn measures(plane: &Plane, reach: &Reach) -> Measures {
    let snapshot = plane.engine().snapshot();
    // Where nothing makes effects there is nothing to observe, however many organisations there are.
    let orgs = plane.actuation().map(|_| planner::organisations(&snapshot)).unwrap_or_default();
    let orgs = orgs.into_iter().filter(|org| reach.allows(org));
    Measures {
        head: snapshot.revision(),
        storage: super::upkeep::storage(plane),
        sessions: plane.open_sessions().by_revision().values().sum(),
        observed: orgs.map(|org| (org.clone(), plane.told(&snapshot, &org).observed)).collect(),
        sources: plane.loops().measures(reach),
    }
}

pub(super) fn verify(plane: &Plane) -> Result<Verification, Problem> {
    let report = plane.engine().verify(|_, _| ControlFlow::Continue(())).map_err(at_problem)?;
    Ok(Verification::of(&report))
}

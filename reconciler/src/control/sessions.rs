//! Sessions: looked at, opened, listed and closed.
//!
//! Never here: resolving itself (`agents/resolver.rs`).

use crate::agents::context::SessionContext;
use crate::embedded::{Plane, log_session};
use crate::error::{Problem, ProblemKind};
use crate::plane::SessionRequest;
use crate::resource::OrgId;

pub(super) fn look(plane: &Plane, request: &SessionRequest) -> Result<SessionContext, Problem> {
    let snapshot = plane.snapshot_of(request.at)?;
    let org = plane.org(request.org.as_ref(), &snapshot);
    plane.resolve(&snapshot, &org, request)?.into_result()
}

pub(super) fn open(plane: &Plane, request: &SessionRequest) -> Result<SessionContext, Problem> {
    if request.at.is_some() {
        let problem = Problem::new(ProblemKind::Invalid, "E_SESSION_AT", "a session cannot be opened in the past");
        return Err(problem.help("look at it instead, with `reconcile session AGENT --at rN`"));
    }
    let context = look(plane, request)?;
    let context = plane.open_sessions().open(context, plane.now()).map_err(|error| {
        Problem::from_error(ProblemKind::Unavailable, "E_SESSIONS_FULL", &error).help("close sessions that are done")
    })?;
    log_session(&context);
    Ok(context)
}

pub(super) fn get(plane: &Plane, org: Option<&OrgId>, id: &str) -> Result<SessionContext, Problem> {
    let org = plane.org(org, &plane.engine().snapshot());
    plane.open_sessions().get(&org, id, plane.now()).ok_or_else(no_session)
}

pub(super) fn close(plane: &Plane, org: Option<&OrgId>, id: &str) -> Result<(), Problem> {
    let org = plane.org(org, &plane.engine().snapshot());
    if plane.open_sessions().close(&org, id) { Ok(()) } else { Err(no_session()) }
}

fn no_session() -> Problem {
    let problem = Problem::new(ProblemKind::NotFound, "E_NO_SESSION", "no such session is open");
    problem.help("it may have been closed or have expired; open a new one")
}

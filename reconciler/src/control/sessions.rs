//! Sessions: looked at, opened, listed and closed.
//!
//! Never here: resolving itself (`agents/resolver.rs`).

use holdfast_engine::Timestamp;

use crate::agents::context::SessionContext;
use crate::agents::session::full;
use crate::desired::SecretText;
use crate::embedded::{Plane, log_session, rfc3339};
use crate::error::{Problem, ProblemKind};
use crate::plane::{Explanation, SessionRequest, WorkerToken};
use crate::resource::OrgId;
use crate::worker_token::{self, Claims};

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
    let context = plane.open_sessions().open(context, plane.now()).map_err(|error| full(&error))?;
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

pub(super) fn explain(plane: &Plane, request: &SessionRequest) -> Result<Explanation, Problem> {
    let snapshot = plane.snapshot_of(request.at)?;
    let org = plane.org(request.org.as_ref(), &snapshot);
    let (revision, commit) = (snapshot.revision(), snapshot.commit_id().to_string());
    let (agent, user) = (request.agent.clone(), request.user.clone());
    let begun = Explanation {
        org: org.clone(),
        agent,
        user,
        revision,
        commit,
        model: None,
        credential: None,
        error: None,
        help: None,
        evidence: Vec::new(),
    };
    match plane.resolve(&snapshot, &org, request)?.into_result() {
        Ok(SessionContext { model, credentials, evidence, .. }) => {
            let used = credentials.iter().find(|credential| credential.provider == model.provider);
            Ok(Explanation { credential: used.map(|used| used.source), model: Some(model), evidence, ..begun })
        }
        Err(problem) if problem.kind == ProblemKind::Failed => {
            let Problem { message, help, evidence, .. } = problem;
            Ok(Explanation { error: Some(message), help, evidence, ..begun })
        }
        Err(problem) => Err(problem),
    }
}

pub(super) fn worker_token(
    plane: &Plane,
    org: Option<&OrgId>,
    id: &str,
    life_ms: Option<i64>,
) -> Result<WorkerToken, Problem> {
    let context = get(plane, org, id)?;
    let expires_ms = plane.now().as_millis().saturating_add(worker_token::life(life_ms)?);
    let SessionContext { org, agent, user, .. } = context;
    let ring = plane.sealing_ring(&plane.engine().snapshot(), &org)?;
    let claims = Claims { org, agent, user, session: id.to_owned(), expires_ms };
    let token = SecretText::new(claims.seal(&ring));
    Ok(WorkerToken { token, expires: rfc3339(Timestamp::from_millis(expires_ms)) })
}

pub(super) fn session_context(plane: &Plane, token: &SecretText) -> Result<SessionContext, Problem> {
    let ring = plane.keys().existing()?;
    let claims = Claims::open(token.expose(), ring.as_deref(), plane.now())?;
    let open = plane.open_sessions().get(&claims.org, &claims.session, plane.now());
    open.filter(|context| context.agent == claims.agent && context.user == claims.user)
        .ok_or_else(|| worker_token::refused("the session of the worker token is closed"))
}

fn no_session() -> Problem {
    let problem = Problem::new(ProblemKind::NotFound, "E_NO_SESSION", "no such session is open");
    problem.help("it may have been closed or have expired; open a new one")
}

//! Who may do what over the network: what each route asks for, whether the token that a request shows allows it, and for which
//! organisation. The Unix socket is trusted and asks for nothing.
//!
//! Nothing is remembered between two requests, so that a token which is revoked stops counting with that commit. A route that
//! stands in no row needs everything. Never here: what a token is (the plane knows), and connections.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use axum::extract::Request;
use axum::http::{HeaderMap, Method, StatusCode, header};
use holdfast_reconciler::desired::SecretText;
use holdfast_reconciler::error::{Problem, ProblemKind};
use holdfast_reconciler::plane::{Access, Reach, Role};
use holdfast_reconciler::resource::OrgId;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::ask::Peer;
use crate::gate::{Gate, Lane};
use crate::limits::{TOKEN_REQUESTS_MAX, TOKEN_WATCHES_MAX};
use crate::refusal::Refusal;

/// What a route asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Need {
    /// Nothing: it tells nothing of the store.
    Nothing,
    /// The token of a worker, which the route looks at itself.
    Worker,
    /// A token of this role. It tells nothing of an organisation, or looks at the token's reach itself.
    Role(Role),
    /// A token of this role for the organisation that is asked for.
    Org(Role),
    /// The same, and the body may name the organisation: the route settles it.
    Body(Role),
    /// A token of this role for all organisations: it is about the store as a whole.
    Store(Role),
}

/// Each method of each route.
const NEEDS: &[(&str, &str, Need)] = &[
    ("GET", "/healthz", Need::Nothing),
    ("GET", "/readyz", Need::Nothing),
    ("GET", "/openapi.json", Need::Nothing),
    ("GET", "/metrics", Need::Role(Role::Read)),
    ("GET", "/v1/head", Need::Role(Role::Read)),
    ("GET", "/v1/status", Need::Org(Role::Read)),
    ("POST", "/v1/verify", Need::Store(Role::Admin)),
    ("POST", "/v1/compact", Need::Store(Role::Admin)),
    ("GET", "/v1/backup", Need::Store(Role::Admin)),
    ("POST", "/v1/plan", Need::Body(Role::Read)),
    ("POST", "/v1/seal", Need::Body(Role::Read)),
    ("POST", "/v1/apply", Need::Body(Role::Apply)),
    ("POST", "/v1/rollback", Need::Body(Role::Apply)),
    ("POST", "/v1/resume", Need::Body(Role::Apply)),
    ("POST", "/v1/approve", Need::Body(Role::Apply)),
    ("POST", "/v1/poke", Need::Role(Role::Apply)),
    ("POST", "/v1/import", Need::Body(Role::Apply)),
    ("GET", "/v1/commits", Need::Org(Role::Read)),
    ("GET", "/v1/commits/{revision}", Need::Org(Role::Read)),
    ("GET", "/v1/diff", Need::Org(Role::Read)),
    ("GET", "/v1/resources", Need::Org(Role::Read)),
    ("GET", "/v1/resources/{kind}/{*name}", Need::Org(Role::Read)),
    ("PATCH", "/v1/resources/{kind}/{*name}", Need::Org(Role::Apply)),
    ("DELETE", "/v1/resources/{kind}/{*name}", Need::Org(Role::Apply)),
    ("GET", "/v1/explain/{kind}/{*name}", Need::Org(Role::Read)),
    ("GET", "/v1/agents/{agent}/session", Need::Org(Role::Read)),
    ("POST", "/v1/agents/{agent}/sessions", Need::Org(Role::Apply)),
    ("GET", "/v1/agents/{agent}/explain", Need::Org(Role::Read)),
    ("GET", "/v1/session-context", Need::Worker),
    ("POST", "/v1/sessions/{id}/token", Need::Org(Role::Apply)),
    ("GET", "/v1/sessions/{id}", Need::Org(Role::Read)),
    ("DELETE", "/v1/sessions/{id}", Need::Org(Role::Apply)),
    ("GET", "/v1/profiles", Need::Org(Role::Read)),
    ("PUT", "/v1/profiles/{user}/{provider}", Need::Org(Role::Apply)),
    ("DELETE", "/v1/profiles/{user}/{provider}", Need::Org(Role::Apply)),
    ("POST", "/v1/keys/rotate", Need::Store(Role::Admin)),
    ("GET", "/v1/secrets", Need::Org(Role::Read)),
    ("PUT", "/v1/secrets/{*name}", Need::Org(Role::Apply)),
    ("DELETE", "/v1/secrets/{*name}", Need::Org(Role::Apply)),
    ("GET", "/v1/tokens", Need::Role(Role::Admin)),
    ("POST", "/v1/tokens", Need::Role(Role::Admin)),
    ("DELETE", "/v1/tokens/{token}", Need::Role(Role::Admin)),
    ("GET", "/v1/kv/{*key}", Need::Org(Role::Read)),
    ("PUT", "/v1/kv/{*key}", Need::Org(Role::Apply)),
    ("DELETE", "/v1/kv/{*key}", Need::Org(Role::Apply)),
    ("POST", "/v1/txn", Need::Org(Role::Apply)),
    ("GET", "/v1/watch", Need::Org(Role::Read)),
    ("GET", "/v1/follow", Need::Role(Role::Read)),
    ("PUT", "/v1/followers/{id}", Need::Role(Role::Read)),
    ("DELETE", "/v1/followers/{id}", Need::Role(Role::Read)),
];

/// What a method of a route asks for; what is no route tells that only to who has a token.
pub(crate) fn need(method: &Method, route: Option<&str>) -> Need {
    let Some(route) = route else { return Need::Role(Role::Read) };
    // A route that can be read answers HEAD as well.
    let method = if *method == Method::HEAD { "GET" } else { method.as_str() };
    let row = NEEDS.iter().find(|(known, path, _)| *known == method && *path == route);
    match row {
        Some((_, _, need)) => *need,
        // What anybody may read says to anybody which methods it has.
        None if NEEDS.iter().any(|(_, path, need)| *path == route && *need == Need::Nothing) => Need::Nothing,
        None if NEEDS.iter().any(|(_, path, _)| *path == route) => Need::Role(Role::Read),
        None => Need::Store(Role::Admin),
    }
}

/// What a request was let in with.
#[derive(Clone, Debug)]
pub(crate) struct Granted {
    /// What its token allows.
    pub(crate) access: Access,
    /// What the route asks for.
    need: Need,
    /// The token itself, for what goes on longer than it may count.
    token: SecretText,
    share: Arc<Share>,
}

/// What one token takes of the server.
#[derive(Debug)]
struct Share {
    requests: Arc<Semaphore>,
    watches: Arc<Semaphore>,
}

/// The shares of the tokens that are in use.
#[derive(Debug, Default)]
pub(crate) struct Shares(Mutex<HashMap<String, Weak<Share>>>);

impl Shares {
    fn of(&self, token: &str) -> Arc<Share> {
        let mut shares = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(share) = shares.get(token).and_then(Weak::upgrade) {
            return share;
        }
        shares.retain(|_, share| share.strong_count() > 0);
        let semaphore = |most| Arc::new(Semaphore::new(most));
        let share = Share { requests: semaphore(TOKEN_REQUESTS_MAX), watches: semaphore(TOKEN_WATCHES_MAX) };
        let share = Arc::new(share);
        shares.insert(token.to_owned(), Arc::downgrade(&share));
        share
    }
}

/// A request that is let in holds its turn until it is answered.
pub(crate) struct Turn(
    #[allow(dead_code, reason = "it is given back when it is dropped")] Option<OwnedSemaphorePermit>,
);

/// Lets a request in, or refuses it. What it may is left in its extensions for `Ask`.
pub(crate) async fn admit(
    gate: &Gate,
    shares: &Shares,
    route: Option<&str>,
    org: Option<&OrgId>,
    request: &mut Request,
) -> Result<Turn, Refusal> {
    let peer = request.extensions().get::<Peer>().copied().unwrap_or_default();
    let need = need(request.method(), route);
    if peer.trusted || matches!(need, Need::Nothing | Need::Worker) {
        return Ok(Turn(None));
    }
    let token = bearer(request.headers())?;
    let access = look(gate, &token).await?;
    allows(&access, need, org)?;
    let share = shares.of(&access.id);
    let turn = Arc::clone(&share.requests).try_acquire_owned();
    let turn = turn.map_err(|_| crowded("requests", TOKEN_REQUESTS_MAX))?;
    request.extensions_mut().insert(Granted { access, need, token, share });
    Ok(Turn(Some(turn)))
}

async fn look(gate: &Gate, token: &SecretText) -> Result<Access, Refusal> {
    let token = token.clone();
    gate.call(Lane::Access, move |plane| plane.authenticate(&token)).await
}

/// Whether a token is enough for a route, and for the organisation of the query if it names one.
fn allows(access: &Access, need: Need, org: Option<&OrgId>) -> Result<(), Problem> {
    let role = match need {
        Need::Nothing | Need::Worker => return Ok(()),
        Need::Role(role) | Need::Org(role) | Need::Body(role) | Need::Store(role) => role,
    };
    if access.role < role {
        let message = format!("the token `{}` has the role `{}`, this needs `{role}`", access.name, access.role);
        let help = format!("ask an administrator for a token made with `--role {role}`");
        return Err(Problem::new(ProblemKind::Forbidden, "E_ROLE", message).help(help));
    }
    if matches!(need, Need::Store(_)) && access.reach != Reach::All {
        let message = format!("the token `{}` is for {}, this is about the whole store", access.name, access.reach);
        let help = "ask an administrator for a token made with `--all-orgs`";
        return Err(Problem::new(ProblemKind::Forbidden, "E_FOREIGN_ORG", message).help(help));
    }
    org.map_or(Ok(()), |org| within(access, org))
}

/// Whether a token is for an organisation; the refusal is the same whether or not there is one of that name.
fn within(access: &Access, org: &OrgId) -> Result<(), Problem> {
    if access.reach.allows(org) {
        return Ok(());
    }
    let message = format!("the token `{}` is not for organisation `{org}`", access.name);
    Err(Problem::new(ProblemKind::Forbidden, "E_FOREIGN_ORG", message)
        .help("ask an administrator for a token of that organisation"))
}

impl Granted {
    /// The organisation that the query of a request is about.
    pub(crate) fn of_query(&self, named: Option<OrgId>) -> Result<Option<OrgId>, Problem> {
        if matches!(self.need, Need::Org(_)) { self.org(named) } else { Ok(named) }
    }

    /// The organisation that a request is about: what it names, else the token's only one. A token for all leaves it to the
    /// plane's rule.
    pub(crate) fn org(&self, named: Option<OrgId>) -> Result<Option<OrgId>, Problem> {
        match (named, &self.access.reach) {
            (Some(org), _) => within(&self.access, &org).map(|()| Some(org)),
            (None, Reach::All) => Ok(None),
            (None, reach @ Reach::Orgs(_)) => match reach.only() {
                Some(org) => Ok(Some(org.clone())),
                None => {
                    let message = format!("the token `{}` is for {reach}: which one is meant?", self.access.name);
                    let problem = Problem::new(ProblemKind::Invalid, "E_ORG", message);
                    Err(problem.help("name it, with `?org=` or `--org`"))
                }
            },
        }
    }

    /// Who writes: the token, and who the request says that it writes for. Nobody can write as somebody without the token's name.
    pub(crate) fn author(&self, said: Option<&str>) -> String {
        match said {
            Some(said) => format!("token:{}/{said}", self.access.name),
            None => format!("token:{}", self.access.name),
        }
    }

    /// Whether the token has a role.
    pub(crate) fn has(&self, role: Role) -> Result<(), Problem> {
        allows(&self.access, Need::Role(role), None)
    }

    /// Takes a place among the token's watches.
    pub(crate) fn watch(&self) -> Result<Standing, Refusal> {
        let place = Arc::clone(&self.share.watches).try_acquire_owned();
        let place = place.map_err(|_| crowded("watches", TOKEN_WATCHES_MAX))?;
        Ok(Standing { granted: self.clone(), _place: place })
    }
}

/// A watch that goes on for as long as its token counts.
pub(crate) struct Standing {
    granted: Granted,
    _place: OwnedSemaphorePermit,
}

impl Standing {
    /// Whether the token still allows the watch of an organisation.
    pub(crate) async fn check(&self, gate: &Gate, org: Option<&OrgId>) -> Result<(), Problem> {
        let Granted { need, token, .. } = &self.granted;
        let token = token.clone();
        let access = gate.call(Lane::Access, move |plane| plane.authenticate(&token)).await;
        allows(&access.map_err(Refusal::into_problem)?, *need, org)
    }
}

/// The token of the header `Authorization`.
fn bearer(headers: &HeaderMap) -> Result<SecretText, Problem> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let shown = match (values.next(), values.next()) {
        (None, _) => None,
        (Some(value), None) => value.to_str().ok().and_then(|text| text.split_once(' ')),
        (Some(_), Some(_)) => Some(("", "")),
    };
    match shown {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => Ok(SecretText::new(token.trim().to_owned())),
        None if !headers.contains_key(header::AUTHORIZATION) => {
            let problem = Problem::new(ProblemKind::Denied, "E_NO_ACCESS_TOKEN", "an access token is needed");
            Err(problem
                .help("send `Authorization: Bearer hft_..`; for `reconcile`, set HOLDFAST_TOKEN or `--token-file`"))
        }
        Some(_) | None => {
            let message = "the header `Authorization` holds no bearer token";
            let problem = Problem::new(ProblemKind::Denied, "E_ACCESS_TOKEN", message);
            Err(problem.help("send it once, as `Authorization: Bearer hft_..`"))
        }
    }
}

fn crowded(what: &str, most: usize) -> Refusal {
    let message = format!("the token has {most} {what} under way, as many as one may");
    Refusal::with_status(StatusCode::TOO_MANY_REQUESTS, "E_TOKEN_BUSY", &message, "wait until one of them has ended")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn p12_every_route_of_the_router_has_a_row_and_no_row_is_left_over() {
        let source = include_str!("router.rs");
        let mut routes = Vec::new();
        for line in source.lines().filter_map(|line| line.trim().strip_prefix(".route(\"")) {
            let (path, handlers) = line.split_once('"').unwrap();
            for method in ["get", "post", "put", "patch", "delete"] {
                if handlers.contains(&format!(" {method}(")) || handlers.contains(&format!(".{method}(")) {
                    routes.push((method.to_uppercase(), path.to_owned()));
                }
            }
        }
        let mut rows: Vec<_> =
            NEEDS.iter().map(|(method, path, _)| ((*method).to_owned(), (*path).to_owned())).collect();
        routes.sort();
        rows.sort();
        assert_eq!(routes, rows);
    }

    #[test]
    fn p12_what_stands_in_no_row_needs_everything() {
        assert_eq!(need(&Method::GET, Some("/v1/new")), Need::Store(Role::Admin));
        assert_eq!(need(&Method::HEAD, Some("/v1/backup")), Need::Store(Role::Admin));
        assert_eq!(need(&Method::GET, None), Need::Role(Role::Read));
        assert_eq!(need(&Method::DELETE, Some("/v1/head")), Need::Role(Role::Read), "it is answered 405");
    }
}

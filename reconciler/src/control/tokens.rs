//! Access tokens: made, listed, revoked, and looked at when somebody shows one. Nothing is remembered between two requests, so
//! that a token which is revoked stops counting with that commit.
//!
//! Never here: how a token is made (`access_token.rs`), and what a role allows (the server's `access.rs`).

use std::sync::Arc;

use holdfast_engine::{Entry, Key, Precondition, Snapshot, Timestamp, Txn};

use super::writing::{WRITE_ATTEMPTS, actor, answer, contended, settled};
use crate::access_token::{
    self, Drawn, KEYS, TOKEN_LIFE_MS, TOKEN_LIFE_MS_MAX, TOKEN_ORGS_MAX, TOKENS_MAX, TokenRecord,
};
use crate::apply;
use crate::desired::SecretText;
use crate::embedded::{Plane, rfc3339};
use crate::error::{Problem, ProblemKind};
use crate::pasted::quoted;
use crate::plane::{Access, NewToken, Reach, TokenInfo, TokenRequest, TokenRevocation, WriteReceipt};
use crate::planner;
use crate::resource::is_id;

/// A token of the store.
struct Known {
    id: String,
    entry: Entry,
    record: Arc<TokenRecord>,
}

pub(super) fn create(plane: &Plane, request: &TokenRequest) -> Result<NewToken, Problem> {
    if !is_id(&request.name) {
        let rule = "use lower-case letters, digits and `-`, at most 63, not starting with `-`";
        let message = format!("invalid name of a token `{}`: {rule}", request.name.escape_default());
        return Err(Problem::new(ProblemKind::Invalid, "E_NAME", message).help("choose another name"));
    }
    let life_ms = request.life_ms.unwrap_or(TOKEN_LIFE_MS);
    if !(1000..=TOKEN_LIFE_MS_MAX).contains(&life_ms) {
        let days = TOKEN_LIFE_MS_MAX / (24 * 60 * 60 * 1000);
        let message = format!("an access token lives between a second and {days} days");
        return Err(Problem::new(ProblemKind::Invalid, "E_TOKEN_LIFE", message).help("make a new one when it ends"));
    }
    let _one_at_a_time = plane.applying();
    for _ in 0..WRITE_ATTEMPTS {
        if let Some(made) = try_create(plane, request, life_ms)? {
            return Ok(made);
        }
    }
    Err(contended())
}

fn try_create(plane: &Plane, request: &TokenRequest, life_ms: i64) -> Result<Option<NewToken>, Problem> {
    let snapshot = plane.engine().snapshot();
    let reach = match &request.reach {
        Some(Reach::Orgs(orgs)) if orgs.is_empty() || orgs.len() > TOKEN_ORGS_MAX => {
            let message = format!("a token is for 1 to {TOKEN_ORGS_MAX} organisations, or for all");
            return Err(Problem::new(ProblemKind::Invalid, "E_ORG", message).help("name at least one organisation"));
        }
        Some(reach) => reach.clone(),
        None => Reach::one(plane.org(None, &snapshot)),
    };
    let known = all(&snapshot)?;
    if known.len() >= TOKENS_MAX {
        let message = format!("there are {TOKENS_MAX} access tokens already");
        return Err(Problem::new(ProblemKind::Invalid, "E_TOO_MANY", message).help("revoke those that nobody uses"));
    }
    // Only tokens that are for no organisation beyond this one's count: who may make it may see them all, and of the others
    // nothing is told.
    if known.iter().any(|known| known.record.name == request.name && reach.covers(&known.record.reach)) {
        let message = format!("there is an access token `{}` already", request.name);
        let help =
            format!("choose another name, or revoke it first with `reconcile token revoke {}`", quoted(&request.name));
        return Err(Problem::new(ProblemKind::Conflict, "E_EXISTS", message).help(help));
    }
    let drawn = access_token::draw().map_err(|error| {
        let mut problem = Problem::new(ProblemKind::Internal, "E_RANDOM", "the system has no randomness to give");
        problem.causes.push(error.to_string());
        problem.help("try again")
    });
    let Drawn { text, id, digest } = drawn?;
    let now = plane.now();
    let record = TokenRecord {
        name: request.name.clone(),
        role: request.role,
        reach,
        digest,
        owner: actor(&request.author),
        created_ms: now.as_millis(),
        expires_ms: now.as_millis().saturating_add(life_ms),
    };
    let key = apply::key(format!("{KEYS}{id}"))?;
    let message = format!("token create {} ({}, {})", record.name, record.role, record.reach);
    let value = serde_json::to_vec(&record).expect("the record of a token is always JSON");
    // Nothing else writes tokens while this one is at it, so the names that were read are still the names there are.
    let txn = Txn::new().author(record.owner.clone()).message(message);
    let txn = txn.require(Precondition::Absent(key.clone())).put(key, value);
    let Some(receipt) = settled(plane.engine().commit(txn))? else { return Ok(None) };
    let info = TokenInfo { modified: receipt.revision, ..told(&id, &record, now) };
    Ok(Some(NewToken { token: text, info }))
}

pub(super) fn list(plane: &Plane, within: &Reach) -> Result<Vec<TokenInfo>, Problem> {
    let now = plane.now();
    let mut tokens: Vec<TokenInfo> = all(&plane.engine().snapshot())?
        .into_iter()
        .filter(|known| within.covers(&known.record.reach))
        .map(|Known { id, entry, record }| TokenInfo { modified: entry.modified(), ..told(&id, &record, now) })
        .collect();
    tokens.sort_by(|left, right| left.name.cmp(&right.name));
    Ok(tokens)
}

pub(super) fn revoke(plane: &Plane, request: &TokenRevocation) -> Result<WriteReceipt, Problem> {
    for _ in 0..WRITE_ATTEMPTS {
        let found = request.pick(list(plane, &request.within)?)?;
        let key = apply::key(format!("{KEYS}{}", found.id))?;
        let message = format!("token revoke {}", found.name);
        let unchanged = Precondition::Modified(key.clone(), found.modified);
        let txn = Txn::new().author(actor(&request.author)).message(message).require(unchanged).delete(key);
        if let Some(receipt) = settled(plane.engine().commit(txn))? {
            return Ok(answer(receipt));
        }
    }
    Err(contended())
}

pub(super) fn authenticate(plane: &Plane, token: &SecretText) -> Result<Access, Problem> {
    let snapshot = plane.engine().snapshot();
    access_token::access(token, plane.now(), |id| {
        snapshot.get(&[KEYS, id].concat()).and_then(|entry| TokenRecord::of(entry).ok())
    })
}

fn all(snapshot: &Snapshot) -> Result<Vec<Known>, Problem> {
    let known = |(key, entry): (&Key, &Entry)| {
        let record = TokenRecord::of(entry).map_err(|_| planner::damaged(key.as_str()))?;
        let id = key.as_str()[KEYS.len()..].to_owned();
        Ok(Known { id, entry: entry.clone(), record })
    };
    snapshot.prefix(KEYS).map(known).collect()
}

fn told(id: &str, record: &TokenRecord, now: Timestamp) -> TokenInfo {
    let expired = record.is_expired(now);
    let TokenRecord { name, role, reach, digest: _, owner, created_ms, expires_ms } = record.clone();
    let time = |ms| rfc3339(Timestamp::from_millis(ms));
    let (created, expires) = (time(created_ms), time(expires_ms));
    let modified = holdfast_engine::Revision::ZERO;
    TokenInfo { id: id.to_owned(), name, role, reach, owner, created, expires, expired, modified }
}

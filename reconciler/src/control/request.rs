//! What makes two requests the same one. The store keeps one list of answered ids for everybody, so the id that a caller gives
//! is not what it keeps: it keeps a digest of the whole request, the caller's id in it. Another organisation, another author,
//! another operation or another body never meets it.
//!
//! Never here: a value of a secret, whose digest could be guessed at; and the list itself, which the engine has.

use holdfast_engine::{Digest, Outcome, RequestId, Txn};
use serde::Serialize;

use super::writing::{answer, commit_problem};
use crate::embedded::Plane;
use crate::error::{Problem, ProblemKind};
use crate::plane::{ApplyRequest, KvCompare, KvOp, KvTxn, WriteReceipt};

/// Keeps these digests apart from all others.
const DOMAIN: &str = "holdfast request 1";

/// The id that the store keeps for a request; none if the caller gave none. `said` is everything that the request says.
pub(super) fn request_id(
    operation: &str,
    given: Option<&str>,
    said: &impl Serialize,
) -> Result<Option<RequestId>, Problem> {
    let Some(given) = given else { return Ok(None) };
    let invalid = |error| {
        Problem::from_error(ProblemKind::Invalid, "E_REQUEST_ID", &error)
            .help("a request id is any text of your own that no other request has, such as a UUID")
    };
    RequestId::new(given).map_err(invalid)?;
    let whole = serde_json::to_vec(&(DOMAIN, operation, given, said)).expect("a request is always JSON");
    Ok(Some(RequestId::new(Digest::of(&whole).to_string()).expect("a digest in hex is short and printable")))
}

/// An apply is what its plan's id stands for: the values of secrets are part of the id by their tags only. A rollback whose plan
/// nobody looked at has no such id, and its options say all.
pub(super) fn apply_id(request: &ApplyRequest) -> Result<Option<RequestId>, Problem> {
    let ApplyRequest { plan, plan_id, confirmed_deletes, author, message, sealed: _, request_id: given } = request;
    let desired = &plan.desired;
    let about = (&plan.org, &plan.fallback_org, &desired.org, &desired.source, &desired.digest, &plan.options);
    request_id("apply", given.as_deref(), &(about, plan_id, confirmed_deletes, author, message))
}

/// Values stand in it by their digests: they may be large.
pub(super) fn txn_id(txn: &KvTxn) -> Result<Option<RequestId>, Problem> {
    let KvTxn { org, compare, ops, author, request_id: given } = txn;
    if given.is_none() {
        return Ok(None);
    }
    let compare: Vec<_> = compare
        .iter()
        .map(|compare| match compare {
            KvCompare::Head(revision) => ("head", None, Some(revision)),
            KvCompare::Absent(key) => ("absent", Some(key), None),
            KvCompare::Modified(key, revision) => ("modified", Some(key), Some(revision)),
        })
        .collect();
    let ops: Vec<_> = ops
        .iter()
        .map(|op| match op {
            KvOp::Put(key, value) => (key, Some(Digest::of(value).to_string())),
            KvOp::Delete(key) => (key, None),
        })
        .collect();
    request_id("txn", given.as_deref(), &(org, author, compare, ops))
}

/// The receipt of a request that was carried out before: an empty transaction with its id commits nothing.
pub(super) fn replayed(plane: &Plane, id: Option<&RequestId>) -> Result<Option<WriteReceipt>, Problem> {
    let Some(id) = id else { return Ok(None) };
    let receipt = plane.engine().commit(Txn::new().request_id(id.clone())).map_err(|error| commit_problem(&error))?;
    Ok((receipt.outcome == Outcome::Replayed).then(|| answer(receipt)))
}

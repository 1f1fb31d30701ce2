//! Routes of the engine itself: raw values and transactions.

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use holdfast_reconciler::error::{Problem, ProblemKind};
use holdfast_reconciler::plane::{KvCompare, KvEntry, KvOp, KvTxn, KvTxnResult};

use super::{Answer, at_revision, json, not_modified, tagged};
use crate::ask::Ask;
use crate::gate::Lane;
use crate::limits::{KV_BODY_BYTES_MAX, TXN_BODY_BYTES_MAX};
use crate::problem::shown;
use crate::protocol::{CREATED_HEADER, VERSION_HEADER, revision_value};
use crate::refusal::Refusal;
use crate::router::{App, At};
use crate::wire::{RevisionAnswer, TxnBody};

/// `GET /v1/kv/{key}`: the raw bytes; the entity tag is the revision that touched them last.
pub(crate) async fn read(State(app): State<App>, At(key): At<String>, mut ask: Ask) -> Answer {
    let at = ask.moment(&app, "at").await?;
    ask.finish()?;
    let (org, wanted) = (ask.org.clone(), key.clone());
    let entry = app.gate.call(Lane::Read, move |plane| plane.kv_get(org.as_ref(), &wanted, at)).await?;
    let Some(KvEntry { value, created, modified, version, head }) = entry else {
        let message = format!("there is no key `{}`", shown(&key));
        return Err(Problem::new(ProblemKind::NotFound, "E_NO_KEY", message)
            .help("keys are exact; a value is written with `PUT`")
            .into());
    };
    if ask.already_has(modified) {
        return Ok(at_revision(not_modified(modified), head));
    }
    let raw = [(header::CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"))];
    let mut response = at_revision(tagged((raw, value).into_response(), modified), head);
    response.headers_mut().insert(CREATED_HEADER, revision_value(created));
    response.headers_mut().insert(VERSION_HEADER, HeaderValue::from(version));
    Ok(response)
}

/// `PUT /v1/kv/{key}`: writes the raw body.
pub(crate) async fn put(
    State(app): State<App>,
    At(key): At<String>,
    ask: Ask,
    headers: HeaderMap,
    body: Body,
) -> Answer {
    ask.finish()?;
    let compare = preconditions(&ask, &key)?;
    let body = app.bodies.read(&headers, body, KV_BODY_BYTES_MAX).await?;
    let op = KvOp::Put(key, body.to_vec());
    single(&app, ask, compare, op).await
}

/// `DELETE /v1/kv/{key}`: removes the key; one that is not there is no error.
pub(crate) async fn delete(State(app): State<App>, At(key): At<String>, ask: Ask) -> Answer {
    ask.finish()?;
    let compare = preconditions(&ask, &key)?;
    single(&app, ask, compare, KvOp::Delete(key)).await
}

/// `POST /v1/txn`: compares, then puts and deletes, all or nothing.
pub(crate) async fn txn(State(app): State<App>, ask: Ask, headers: HeaderMap, body: Body) -> Answer {
    ask.finish()?;
    ask.no_preconditions()?;
    let body = app.bodies.read(&headers, body, TXN_BODY_BYTES_MAX).await?;
    let (compare, ops) = body.json::<TxnBody>()?.into_parts()?;
    drop(body);
    let result = run(&app, ask, compare, ops).await?;
    let mut response = at_revision(json(&result)?, result.revision);
    if !result.succeeded {
        *response.status_mut() = StatusCode::PRECONDITION_FAILED;
    }
    Ok(response)
}

/// The conditions that the headers of a single write demand.
fn preconditions(ask: &Ask, key: &str) -> Result<Vec<KvCompare>, Refusal> {
    let modified = ask.if_match()?.map(|revision| KvCompare::Modified(key.to_owned(), revision));
    let absent = ask.must_be_absent()?.then(|| KvCompare::Absent(key.to_owned()));
    Ok(modified.into_iter().chain(absent).collect())
}

/// Runs a single write and answers its revision.
async fn single(app: &App, ask: Ask, compare: Vec<KvCompare>, op: KvOp) -> Answer {
    let KvTxnResult { succeeded, revision } = run(app, ask, compare, vec![op]).await?;
    if !succeeded {
        return Err(Refusal::precondition(format!("the key is not as the request demands at {revision}")));
    }
    Ok::<Response, Refusal>(at_revision(json(&RevisionAnswer { revision })?, revision))
}

async fn run(app: &App, ask: Ask, compare: Vec<KvCompare>, ops: Vec<KvOp>) -> Result<KvTxnResult, Refusal> {
    let author = ask.author();
    let txn = KvTxn { org: ask.org, compare, ops, author, request_id: ask.request_id };
    let result = app.gate.call(Lane::Write, move |plane| plane.kv_txn(&txn)).await?;
    app.gate.saw(result.revision);
    Ok(result)
}

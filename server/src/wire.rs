//! The bodies that have a form of their own on the wire; all others are the plane's types as they are.
//!
//! Never here: reading or writing a connection, and what a plane does with what was read.

use std::collections::BTreeSet;

use holdfast_engine::{Revision, Timestamp};
use holdfast_reconciler::agents::profile::ProfileType;
use holdfast_reconciler::desired::{Desired, SecretText};
use holdfast_reconciler::error::{Problem, ProblemKind};
use holdfast_reconciler::plan::{PlanOptions, PlanRequest};
use holdfast_reconciler::plane::{
    ApplyRequest, KvCompare, KvOp, Moment, ProfileInfo, Reach, Role, SecretInfo, TokenInfo,
};
use holdfast_reconciler::raw_value::RawValue;
use holdfast_reconciler::resource::{OrgId, SourceName};
use holdfast_reconciler::seal::Seal;
use serde::{Deserialize, Serialize};

use crate::limits::{TXN_COMPARES_MAX, TXN_OPS_MAX};

/// The body of `POST /v1/apply`: an apply request whose author may be left to the connection. A client sends the plane's own
/// type, which has the same form.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ApplyBody {
    pub(crate) plan: PlanRequest,
    pub(crate) plan_id: String,
    #[serde(default)]
    pub(crate) confirmed_deletes: u64,
    #[serde(default)]
    pub(crate) author: Option<String>,
    #[serde(default)]
    pub(crate) message: String,
    #[serde(default)]
    pub(crate) sealed: Option<Seal>,
    #[serde(default)]
    pub(crate) request_id: Option<String>,
}

impl ApplyBody {
    /// The request, with what the body leaves out.
    pub(crate) fn into_request(self, author: impl FnOnce(Option<String>) -> String) -> ApplyRequest {
        let Self { plan, plan_id, confirmed_deletes, author: named, message, sealed, request_id } = self;
        let author = author(named);
        ApplyRequest { plan, plan_id, confirmed_deletes, author, message, sealed, request_id }
    }
}

/// The answer of `POST /v1/poke`.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct PokeAnswer {
    /// Whether any loop runs.
    pub(crate) loops: bool,
}

/// The body of `POST /v1/rollback`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RollbackBody {
    pub(crate) to: Revision,
    #[serde(default)]
    pub(crate) org: Option<OrgId>,
    #[serde(default)]
    pub(crate) source: Option<SourceName>,
    #[serde(default)]
    pub(crate) plan_id: String,
    #[serde(default)]
    pub(crate) allow_delete: Option<u64>,
    #[serde(default)]
    pub(crate) allow_break: BTreeSet<String>,
    #[serde(default)]
    pub(crate) message: String,
    #[serde(default)]
    pub(crate) request_id: Option<String>,
}

impl RollbackBody {
    /// The request; the plan's id is empty if the body has none.
    pub(crate) fn into_request(self, author: String) -> ApplyRequest {
        let Self { to, org, source, plan_id, allow_delete, allow_break, message, request_id } = self;
        let options = PlanOptions { allow_delete, allow_break, rollback: Some(to), ..PlanOptions::default() };
        let plan = PlanRequest { org, fallback_org: None, desired: Desired::nothing(source), options };
        ApplyRequest { plan, plan_id, confirmed_deletes: 0, author, message, sealed: None, request_id }
    }
}

/// The body of `POST /v1/agents/{agent}/sessions`.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct SessionBody {
    pub(crate) user: Option<String>,
    pub(crate) at: Option<Moment>,
    pub(crate) allow_missing: bool,
}

/// The body of `POST /v1/sessions/{id}/token`.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct TokenBody {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) life_ms: Option<i64>,
}

/// The body of `POST /v1/tokens`.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct TokenCreateBody {
    pub(crate) name: String,
    pub(crate) role: Role,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) reach: Option<Reach>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) life_ms: Option<i64>,
}

/// The answer to `GET /v1/tokens`.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct TokensAnswer {
    pub(crate) tokens: Vec<TokenInfo>,
}

/// The body of `PUT /v1/secrets/{name}`, as a server reads it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SecretBody {
    pub(crate) value: SecretText,
    #[serde(default)]
    pub(crate) expires: Option<Timestamp>,
    #[serde(default)]
    pub(crate) allow_break: BTreeSet<String>,
}

/// The same body as a client writes it.
#[derive(Debug, Serialize)]
pub(crate) struct SecretBodyRef<'b> {
    pub(crate) value: &'b SecretText,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) expires: Option<Timestamp>,
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub(crate) allow_break: &'b BTreeSet<String>,
}

/// The body of `PUT /v1/profiles/{user}/{provider}`, as a server reads it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ProfileBody {
    #[serde(default, rename = "type")]
    pub(crate) kind: ProfileType,
    #[serde(default)]
    pub(crate) value: Option<SecretText>,
    #[serde(default)]
    pub(crate) secret_ref: Option<String>,
    #[serde(default)]
    pub(crate) expires: Option<Timestamp>,
    #[serde(default)]
    pub(crate) allow_break: BTreeSet<String>,
}

/// The same body as a client writes it.
#[derive(Debug, Serialize)]
pub(crate) struct ProfileBodyRef<'b> {
    #[serde(rename = "type")]
    pub(crate) kind: ProfileType,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) value: Option<&'b SecretText>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) secret_ref: Option<&'b str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) expires: Option<Timestamp>,
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub(crate) allow_break: &'b BTreeSet<String>,
}

/// The answer to `GET /v1/profiles`.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct ProfilesAnswer {
    pub(crate) profiles: Vec<ProfileInfo>,
}

/// The answer to `GET /v1/secrets`.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct SecretsAnswer {
    pub(crate) secrets: Vec<SecretInfo>,
}

/// The answer to a raw write.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct RevisionAnswer {
    pub(crate) revision: Revision,
}

/// The answer to `GET /healthz`: which program this is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// Always `ok`.
    pub status: String,
    /// The process that serves.
    pub pid: u32,
    /// The program and its version, as the embedder names it.
    pub program: String,
    /// The version of the protocol.
    pub protocol: String,
}

/// The answer to `GET /readyz`.
#[derive(Serialize, Deserialize)]
pub(crate) struct Ready {
    /// Always `ready`.
    pub(crate) status: String,
    pub(crate) revision: Revision,
}

/// The body of `POST /v1/txn`.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct TxnBody {
    pub(crate) compare: Vec<CompareBody>,
    pub(crate) ops: Vec<OpBody>,
}

/// One condition: `{"key", "modified"}`, `{"key", "absent": true}` or `{"head"}`.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct CompareBody {
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    modified: Option<Revision>,
    #[serde(skip_serializing_if = "Option::is_none")]
    absent: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    head: Option<Revision>,
}

/// One operation.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "lowercase")]
pub(crate) enum OpBody {
    Put(PutBody),
    Delete(DeleteBody),
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PutBody {
    key: String,
    value: RawValue,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct DeleteBody {
    key: String,
}

impl TxnBody {
    /// The JSON form of a raw transaction.
    pub(crate) fn new(compare: &[KvCompare], ops: &[KvOp]) -> Self {
        let compare = compare.iter().map(|compare| match compare {
            KvCompare::Head(revision) => CompareBody { head: Some(*revision), ..CompareBody::default() },
            KvCompare::Absent(key) => {
                CompareBody { key: Some(key.clone()), absent: Some(true), ..CompareBody::default() }
            }
            KvCompare::Modified(key, revision) => {
                CompareBody { key: Some(key.clone()), modified: Some(*revision), ..CompareBody::default() }
            }
        });
        let ops = ops.iter().map(|op| match op {
            KvOp::Put(key, value) => OpBody::Put(PutBody { key: key.clone(), value: RawValue::new(value) }),
            KvOp::Delete(key) => OpBody::Delete(DeleteBody { key: key.clone() }),
        });
        Self { compare: compare.collect(), ops: ops.collect() }
    }

    /// The conditions and operations, in order.
    ///
    /// # Errors
    /// Names the first one that is malformed by its position.
    pub(crate) fn into_parts(self) -> Result<(Vec<KvCompare>, Vec<KvOp>), Problem> {
        bounded("compare", self.compare.len(), TXN_COMPARES_MAX)?;
        bounded("ops", self.ops.len(), TXN_OPS_MAX)?;
        let compare = self.compare.into_iter().enumerate().map(|(at, compare)| {
            let CompareBody { key, modified, absent, head } = compare;
            match (key, modified, absent, head) {
                (None, None, None, Some(head)) => Ok(KvCompare::Head(head)),
                (Some(key), Some(modified), None, None) => Ok(KvCompare::Modified(key, modified)),
                (Some(key), None, Some(true), None) => Ok(KvCompare::Absent(key)),
                _ => Err(malformed(
                    format!("`compare[{at}]` is no condition"),
                    "write `{\"key\", \"modified\"}`, `{\"key\", \"absent\": true}` or `{\"head\"}`",
                )),
            }
        });
        let compare = compare.collect::<Result<_, _>>()?;
        let ops = self.ops.into_iter().enumerate().map(|(at, op)| match op {
            OpBody::Delete(DeleteBody { key }) => Ok(KvOp::Delete(key)),
            OpBody::Put(PutBody { key, value }) => match value.into_bytes() {
                Some(value) => Ok(KvOp::Put(key, value)),
                None => Err(malformed(
                    format!("`ops[{at}].put.value.base64` is not base64"),
                    "use the standard alphabet with padding",
                )),
            },
        });
        Ok((compare, ops.collect::<Result<_, _>>()?))
    }
}

fn bounded(what: &str, found: usize, max: usize) -> Result<(), Problem> {
    if found <= max {
        return Ok(());
    }
    Err(malformed(format!("`{what}` has {found} entries, the most is {max}"), "send less at once"))
}

fn malformed(message: String, help: &str) -> Problem {
    Problem::new(ProblemKind::Invalid, "E_TXN", message).help(help)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_transaction_survives_the_wire_with_any_bytes() {
        let compare = vec![
            KvCompare::Head(Revision::new(41)),
            KvCompare::Absent("c".into()),
            KvCompare::Modified("a/b".into(), Revision::new(7)),
        ];
        let ops = vec![
            KvOp::Put("a/b".into(), b"text".to_vec()),
            KvOp::Put("a/c".into(), vec![0xff, 0, 0xc3]),
            KvOp::Put("e".into(), Vec::new()),
            KvOp::Delete("c".into()),
        ];
        let sent = serde_json::to_vec(&TxnBody::new(&compare, &ops)).unwrap();
        let received: TxnBody = serde_json::from_slice(&sent).unwrap();
        assert_eq!(received.into_parts().unwrap(), (compare, ops));
    }

    #[test]
    fn a_transaction_has_the_form_that_the_design_gives() {
        let text = r#"{"compare":[{"key":"a/b","modified":7},{"key":"c","absent":true},{"head":41}],
            "ops":[{"put":{"key":"a/b","value":"text"}},{"put":{"key":"b","value":{"base64":"/w=="}}},{"delete":{"key":"c"}}]}"#;
        let (compare, ops) = serde_json::from_str::<TxnBody>(text).unwrap().into_parts().unwrap();
        assert_eq!(compare.len(), 3);
        assert_eq!(ops[1], KvOp::Put("b".into(), vec![0xff]));
    }

    #[test]
    fn a_malformed_transaction_is_refused_with_its_place() {
        let cases = [
            (r#"{"compare":[{"key":"a"}]}"#, "`compare[0]`"),
            (r#"{"compare":[{"head":1},{"key":"a","absent":false}]}"#, "`compare[1]`"),
            (r#"{"compare":[{"key":"a","modified":1,"head":1}]}"#, "`compare[0]`"),
            (r#"{"ops":[{"put":{"key":"a","value":{"base64":"*"}}}]}"#, "`ops[0].put.value.base64`"),
        ];
        for (text, place) in cases {
            let problem = serde_json::from_str::<TxnBody>(text).unwrap().into_parts().unwrap_err();
            assert!(problem.message.contains(place), "{text}: {}", problem.message);
            assert!(problem.help.is_some(), "{text}");
        }
        for text in [r#"{"op":[]}"#, r#"{"ops":[{"put":{"key":"a"}}]}"#, r#"{"ops":[{"swap":{"key":"a"}}]}"#] {
            assert!(serde_json::from_str::<TxnBody>(text).is_err(), "{text}");
        }
    }
}

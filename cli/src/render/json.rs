//! JSON documents: one on standard output for each command, a failure included.
//!
//! The reconciler's types are the schema; this file adds only what the command line itself knows. Never here: choosing what
//! a document holds of a plan.

use holdfast_reconciler::diagnostic::Diagnostic;
use holdfast_reconciler::error::Problem;
use holdfast_reconciler::plan::{Blocked, Plan};
use holdfast_reconciler::plane::WriteReceipt;
use serde::Serialize;

use super::escape::{visible, visible_lines};
use holdfast_reconciler::agents::evidence::Evidence;

/// A plan that was to be applied, with how that ended.
#[derive(Serialize)]
pub(crate) struct Applied<'a> {
    /// The plan, member by member.
    #[serde(flatten)]
    pub(crate) plan: &'a Plan,
    /// The receipt; null if nothing was applied.
    pub(crate) applied: Option<&'a WriteReceipt>,
    /// Why nothing was applied, if that was a failure.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) error: Option<Failure<'a>>,
}

/// What a failed command prints: `diagnostics` and `blocked` stand where a plan has them.
#[derive(Serialize)]
struct Document<'a> {
    error: Failure<'a>,
    diagnostics: &'a [Diagnostic],
    blocked: &'a [Blocked],
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    evidence: &'a [Evidence],
}

/// What went wrong, without its parts that stand beside it.
#[derive(Serialize)]
pub(crate) struct Failure<'a> {
    code: &'a str,
    message: &'a str,
    causes: &'a [String],
    help: Option<&'a str>,
}

impl<'a> From<&'a Problem> for Failure<'a> {
    fn from(problem: &'a Problem) -> Self {
        Self { code: &problem.code, message: &problem.message, causes: &problem.causes, help: problem.help.as_deref() }
    }
}

/// Writes any document, ending with a line break.
pub(crate) fn document(value: &impl Serialize) -> String {
    let mut text = serde_json::to_string_pretty(value).expect("documents have text keys and finite numbers");
    text.push('\n');
    visible_lines(&text).into_owned()
}

/// Writes any document on one line.
pub(crate) fn line(value: &impl Serialize) -> String {
    let text = serde_json::to_string(value).expect("documents have text keys and finite numbers");
    format!("{}\n", visible(&text))
}

/// Writes a failure.
pub(crate) fn failure(problem: &Problem) -> String {
    document(&Document {
        error: problem.into(),
        diagnostics: &problem.diagnostics,
        blocked: &problem.blocked,
        evidence: &problem.evidence,
    })
}

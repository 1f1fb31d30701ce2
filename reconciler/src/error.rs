//! The error that every face of a control plane shows: what, why, and what to do, with a kind that decides exit code and
//! HTTP status.
//!
//! Never here: exit codes and HTTP statuses themselves. Inside the crate each operation has its own narrow enum; it becomes
//! a `Problem` where it leaves the plane.

use serde::{Deserialize, Serialize};

use crate::agents::evidence::Evidence;
use crate::diagnostic::Diagnostic;
use crate::plan::Blocked;

/// The sort of a problem.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ProblemKind {
    /// The request itself is malformed.
    Invalid,
    /// What it names does not exist.
    NotFound,
    /// A precondition did not hold; nothing was changed.
    Conflict,
    /// The plan is not what would happen now; nothing was changed.
    Stale,
    /// A guard refuses; nothing was changed.
    Blocked,
    /// The request is fine and cannot be done, such as a session without a usable credential.
    Failed,
    /// The store's state of that time is gone.
    Gone,
    /// The caller has not shown who it is.
    Denied,
    /// The caller has shown who it is, and may not.
    Forbidden,
    /// Not now: try again.
    Unavailable,
    /// The store or the program is at fault.
    Internal,
}

/// What went wrong.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
pub struct Problem {
    /// The sort.
    pub kind: ProblemKind,
    /// The stable code.
    pub code: String,
    /// What, in one line.
    pub message: String,
    /// Why: the causes, outermost first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub causes: Vec<String>,
    /// What to do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub help: Option<String>,
    /// For a session: how each step of the resolution went.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub evidence: Vec<Evidence>,
    /// For a blocked apply: what blocks it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub blocked: Vec<Blocked>,
    /// Findings about the input.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub diagnostics: Vec<Diagnostic>,
}

impl Problem {
    /// Starts a problem.
    pub fn new(kind: ProblemKind, code: &str, message: impl Into<String>) -> Self {
        Self {
            kind,
            code: code.to_owned(),
            message: message.into(),
            causes: Vec::new(),
            help: None,
            evidence: Vec::new(),
            blocked: Vec::new(),
            diagnostics: Vec::new(),
        }
    }

    /// Takes the message and the causes from an error.
    pub fn from_error(kind: ProblemKind, code: &str, error: &dyn std::error::Error) -> Self {
        let causes = std::iter::successors(error.source(), |cause| cause.source()).map(ToString::to_string).collect();
        Self { causes, ..Self::new(kind, code, error.to_string()) }
    }

    /// Says what to do.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// Adds how each step of a resolution went.
    #[must_use]
    pub fn evidence(mut self, evidence: Vec<Evidence>) -> Self {
        self.evidence = evidence;
        self
    }
}

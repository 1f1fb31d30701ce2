//! How a command ends: exit codes, and failures as the reconciler's `Problem` with the code that belongs to it.
//!
//! Never here: drawing a failure (`render/problem.rs`).

use std::process::ExitCode;

use holdfast_reconciler::error::{Problem, ProblemKind};
use holdfast_reconciler::resource::{OrgId, SourceName};

/// Exit codes; scripts rely on the numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Done, nothing to do, or a plan that only lacks secret values.
    Done = 0,
    /// It failed, or somebody said no.
    Failed = 1,
    /// There are changes, for `--exit-code`.
    Changes = 2,
    /// A guard refuses until somebody decides.
    Blocked = 3,
    /// The plan is not what would happen now.
    Stale = 4,
    /// What was waited for did not come in time.
    TimedOut = 5,
    /// The command line makes no sense.
    Usage = 64,
    /// Ctrl-C.
    Interrupted = 130,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// Why a command did not do what it was asked.
#[derive(Clone, Debug)]
pub(crate) struct Failure {
    /// The exit code.
    pub(crate) exit: Exit,
    /// What, why, and what to do.
    pub(crate) problem: Box<Problem>,
    /// Whether standard output has its JSON document already.
    pub(crate) documented: bool,
    /// What a plan would have been about, where that is known.
    pub(crate) about: Option<Box<(OrgId, SourceName)>>,
}

impl Failure {
    /// A failure of the ordinary sort.
    pub(crate) fn new(code: &str, message: impl Into<String>) -> Self {
        Problem::new(ProblemKind::Failed, code, message).into()
    }

    /// A command line that makes no sense.
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        let problem = Problem::new(ProblemKind::Invalid, "E_USAGE", message);
        Self { exit: Exit::Usage, problem: Box::new(problem), documented: false, about: None }
    }

    /// The operating system refused.
    pub(crate) fn io(code: &str, message: impl Into<String>, error: &std::io::Error) -> Self {
        let mut problem = Problem::new(ProblemKind::Failed, code, message);
        problem.causes.push(error.to_string());
        problem.into()
    }

    /// Somebody pressed Ctrl-C before anything was changed.
    pub(crate) fn interrupted() -> Self {
        let problem = Problem::new(ProblemKind::Failed, "E_INTERRUPTED", "interrupted; nothing was changed");
        Self { exit: Exit::Interrupted, problem: Box::new(problem), documented: false, about: None }
    }

    /// Says what to do.
    #[must_use]
    pub(crate) fn help(mut self, help: impl Into<String>) -> Self {
        self.problem.help = Some(help.into());
        self
    }

    /// Says what a plan would have been about.
    #[must_use]
    pub(crate) fn about(mut self, about: Option<(OrgId, SourceName)>) -> Self {
        self.about = about.map(Box::new);
        self
    }

    /// Says that standard output has its JSON document already.
    #[must_use]
    pub(crate) fn documented(mut self) -> Self {
        self.documented = true;
        self
    }
}

impl From<Problem> for Failure {
    fn from(problem: Problem) -> Self {
        let exit = match problem.kind {
            ProblemKind::Stale => Exit::Stale,
            ProblemKind::Blocked => Exit::Blocked,
            ProblemKind::Invalid
            | ProblemKind::NotFound
            | ProblemKind::Conflict
            | ProblemKind::Failed
            | ProblemKind::Gone
            | ProblemKind::Denied
            | ProblemKind::Forbidden
            | ProblemKind::Unavailable
            | ProblemKind::Internal => Exit::Failed,
        };
        Self { exit, problem: Box::new(problem), documented: false, about: None }
    }
}

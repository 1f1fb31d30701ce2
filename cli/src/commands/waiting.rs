//! Waiting until a store is as somebody wants it: looks at its status again and again, tells what is still missing, and gives up
//! in time.
//!
//! A server that goes away and comes back meanwhile does not matter. Never here: what is waited for.

use std::path::Path;
use std::time::{Duration, Instant};

use holdfast_engine::Revision;
use holdfast_reconciler::error::{Problem, ProblemKind};
use holdfast_reconciler::plane::{Status, not_yet};
use holdfast_reconciler::resource::OrgId;

use super::Run;
use crate::connect;
use crate::error::{Exit, Failure};

/// How long to rest between two looks.
const REST: Duration = Duration::from_millis(50);
/// How long nothing is said.
const SILENT: Duration = Duration::from_secs(1);
/// How many of the missing things a failure names.
const NAMED_MAX: usize = 20;

/// The store that is looked at, and for how long.
pub(super) struct Waiting<'w> {
    /// Where things are shown and how the store is reached.
    pub(super) run: &'w Run,
    /// The store's folder.
    pub(super) store: &'w Path,
    /// The organisation.
    pub(super) org: Option<&'w OrgId>,
    /// After this time it gives up.
    pub(super) timeout: Duration,
}

impl Waiting<'_> {
    /// Waits until nothing is missing any more.
    pub(super) fn until(&self, missing: impl Fn(&Status) -> Vec<String>) -> Result<Status, Failure> {
        let Self { run, store, org, timeout } = self;
        let begin = Instant::now();
        let progress = run.output.progress();
        let mut told = false;
        loop {
            let looked = connect::existing(&run.setting, store, &run.output)
                .and_then(|plane| Ok(plane.map(|plane| plane.status(*org)).transpose()?));
            let lacks = match looked {
                Ok(Some(status)) => match missing(&status) {
                    lacks if lacks.is_empty() => return Ok(status),
                    lacks => lacks,
                },
                Ok(None) => vec!["there is no store yet".to_owned()],
                // What is wrong with the request does not become right by waiting.
                Err(failure) if is_lasting(&failure.problem) => return Err(failure),
                Err(failure) => vec![failure.problem.message.clone()],
            };
            if begin.elapsed() >= *timeout {
                return Err(self.late(lacks));
            }
            progress.tell(|| format!("waiting: {}", summed(&lacks)));
            if !told && begin.elapsed() >= SILENT {
                if !progress.is_shown() {
                    run.output.say(format!("waiting; {}", summed(&lacks)));
                }
                told = true;
            }
            std::thread::sleep(REST);
        }
    }

    /// Waits until what a revision holds is real outside the store too, as far as this store knows.
    pub(super) fn observed(&self, revision: Revision) -> Result<Status, Failure> {
        self.until(|status| not_yet(status, revision))
    }

    fn late(&self, lacks: Vec<String>) -> Failure {
        let message = format!("it took longer than {} s: {}", self.timeout.as_secs(), summed(&lacks));
        let mut problem = Problem::new(ProblemKind::Unavailable, "E_TIMEOUT", message);
        let more = lacks.len().saturating_sub(NAMED_MAX);
        if lacks.len() > 1 {
            problem.causes.extend(lacks.into_iter().take(NAMED_MAX));
            problem.causes.extend((more > 0).then(|| format!("and {more} more")));
        }
        let failure = Failure::from(problem.help("`reconcile status` says how it stands"));
        Failure { exit: Exit::TimedOut, ..failure }
    }
}

/// What is missing, in one line.
fn summed(lacks: &[String]) -> String {
    match lacks {
        [] => String::new(),
        [one] => one.clone(),
        [first, rest @ ..] => format!("{first}, and {} more", rest.len()),
    }
}

fn is_lasting(problem: &Problem) -> bool {
    !matches!(problem.kind, ProblemKind::Unavailable | ProblemKind::NotFound)
        && problem.code != "E_LOCKED"
        && problem.code != "E_NO_SERVER"
}

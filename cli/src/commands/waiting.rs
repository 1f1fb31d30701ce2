//! Waiting until a store is as somebody wants it: looks at its status again and again, tells what is still missing, and gives up
//! in time.
//!
//! A server that goes away and comes back meanwhile does not matter. Never here: what is waited for.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::{Duration, Instant};

use holdfast_engine::Revision;
use holdfast_reconciler::error::{Problem, ProblemKind};
use holdfast_reconciler::pasted::quoted;
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

/// What is still missing.
#[derive(Debug, Default)]
pub(super) struct Lacks {
    /// In one line each.
    lines: Vec<String>,
    /// Which of these are followers that may never come, with how to go on without each.
    gone: Vec<(String, String)>,
}

impl From<Vec<String>> for Lacks {
    fn from(lines: Vec<String>) -> Self {
        Self { lines, gone: Vec::new() }
    }
}

impl Lacks {
    /// What of a revision is not real everywhere.
    pub(super) fn of(status: &Status, revision: Revision) -> Self {
        let lines = not_yet(status, revision);
        let missing = status.followers.iter().filter(|follower| follower.is_missing());
        let gone = missing.filter_map(|follower| {
            let line = follower.lags(revision).filter(|line| lines.contains(line))?;
            Some((line, format!("`reconcile follower remove {}`", quoted(&follower.id))))
        });
        let gone = gone.collect();
        Self { lines, gone }
    }
}

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
    pub(super) fn until(&self, missing: impl Fn(&Status) -> Lacks) -> Result<Status, Failure> {
        let Self { run, store, org, timeout } = self;
        let begin = Instant::now();
        let progress = run.output.progress();
        let mut told = false;
        let mut named = BTreeSet::new();
        loop {
            let looked = connect::existing(&run.setting, store, &run.output)
                .and_then(|plane| Ok(plane.map(|plane| plane.status(*org)).transpose()?));
            let lacks = match looked {
                Ok(Some(status)) => match missing(&status) {
                    lacks if lacks.lines.is_empty() => return Ok(status),
                    lacks => lacks,
                },
                Ok(None) => vec!["there is no store yet".to_owned()].into(),
                // What is wrong with the request does not become right by waiting.
                Err(failure) if is_lasting(&failure.problem) => return Err(failure),
                Err(failure) => vec![failure.problem.message.clone()].into(),
            };
            // At once: who knows that it is gone need not wait until the time is over.
            for (line, remedy) in &lacks.gone {
                if named.insert(remedy.clone()) && !progress.is_shown() {
                    run.output.say(format!("waiting; {line}; if it will not come back: {remedy}"));
                }
            }
            if begin.elapsed() >= *timeout {
                return Err(self.late(lacks));
            }
            progress.tell(|| format!("waiting: {}", summed(&lacks.lines)));
            if !told && begin.elapsed() >= SILENT {
                if !progress.is_shown() && named.is_empty() {
                    run.output.say(format!("waiting; {}", summed(&lacks.lines)));
                }
                told = true;
            }
            std::thread::sleep(REST);
        }
    }

    /// Waits until what a revision holds is real outside the store too, as far as this store knows.
    pub(super) fn observed(&self, revision: Revision) -> Result<Status, Failure> {
        self.until(|status| Lacks::of(status, revision))
    }

    fn late(&self, Lacks { lines: lacks, gone }: Lacks) -> Failure {
        let message = format!("it took longer than {} s: {}", self.timeout.as_secs(), summed(&lacks));
        let mut problem = Problem::new(ProblemKind::Unavailable, "E_TIMEOUT", message);
        let more = lacks.len().saturating_sub(NAMED_MAX);
        if lacks.len() > 1 {
            problem.causes.extend(lacks.into_iter().take(NAMED_MAX));
            problem.causes.extend((more > 0).then(|| format!("and {more} more")));
        }
        let status = "`reconcile status` says how it stands";
        let help = match gone.first() {
            Some((_, remedy)) => format!("{status}; if the follower will not come back: {remedy}"),
            None => status.to_owned(),
        };
        let failure = Failure::from(problem.help(help));
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

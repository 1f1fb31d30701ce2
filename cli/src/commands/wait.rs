//! `reconcile wait`: until a revision is there, or a Git commit is in force, or it is real everywhere; exit 5 if that takes too long.
//!
//! A server that goes away and comes back meanwhile does not matter.

use std::time::{Duration, Instant};

use holdfast_reconciler::error::{Problem, ProblemKind};
use holdfast_reconciler::plane::{Status, not_yet};

use super::Run;
use crate::args::WaitArgs;
use crate::connect;
use crate::error::{Exit, Failure};
use crate::project;
use crate::render::ink::Text;

/// How long to rest between two looks.
const REST: Duration = Duration::from_millis(50);
/// How long nothing is said.
const SILENT: Duration = Duration::from_secs(1);
/// The fewest characters of a Git commit.
const COMMIT_CHARS_MIN: usize = 7;

/// Waits.
pub(super) fn run(run: &Run, args: &WaitArgs) -> Result<Exit, Failure> {
    if args.git.as_ref().is_some_and(|commit| commit.len() < COMMIT_CHARS_MIN) {
        return Err(Failure::usage(format!("give at least {COMMIT_CHARS_MIN} characters of the commit")));
    }
    let directory = run.setting.project(None);
    let org = project::org(&run.setting, &directory, &run.output)?;
    let store = run.setting.store(&directory);
    let (begin, timeout) = (Instant::now(), Duration::from_secs(args.timeout));
    let mut told = false;
    loop {
        let looked = connect::existing(&run.setting, &store, &run.output)
            .and_then(|plane| Ok(plane.map(|plane| plane.status(org.as_ref())).transpose()?));
        match &looked {
            Ok(Some(status)) if is_there(args, status) => {
                run.output.data(&status.head, || {
                    let mut text = Text::new();
                    let how = if args.observed { "is in force everywhere" } else { "is in force" };
                    text.line(format!("{} {how}", status.head.revision));
                    text
                })?;
                return Ok(Exit::Done);
            }
            Ok(_) => {}
            // What is wrong with the request does not become right by waiting.
            Err(failure) if is_lasting(&failure.problem) => return looked.map(|_| Exit::Failed),
            Err(_) => {}
        }
        let now = match &looked {
            Ok(Some(status)) if args.observed => match lacking(args, status) {
                lacking if lacking.is_empty() => format!("the head is {}", status.head.revision),
                lacking => lacking.join("; "),
            },
            Ok(Some(status)) => format!("the head is {}", status.head.revision),
            Ok(None) => "there is no store yet".to_owned(),
            Err(failure) => failure.problem.message.clone(),
        };
        if begin.elapsed() >= timeout {
            let message = format!("it took longer than {} s: {now}", args.timeout);
            let problem = Problem::new(ProblemKind::Unavailable, "E_TIMEOUT", message);
            let failure = Failure::from(problem.help("`reconcile status` says how the loop and its source stand"));
            return Err(Failure { exit: Exit::TimedOut, ..failure });
        }
        if !told && begin.elapsed() >= SILENT {
            run.output.say(format!("waiting; {now}"));
            told = true;
        }
        std::thread::sleep(REST);
    }
}

fn is_there(args: &WaitArgs, status: &Status) -> bool {
    let revision = args.revision.is_none_or(|wanted| status.head.revision >= wanted);
    let source = |name: &str| args.source.as_ref().is_none_or(|wanted| wanted.as_str() == name);
    let git = args.git.as_ref().is_none_or(|wanted| {
        let mut of = status.sources.iter().filter(|found| source(&found.source));
        of.any(|found| found.git.as_ref().is_some_and(|git| git.commit.starts_with(wanted.as_str()) && !git.dirty))
    });
    revision && git && (!args.observed || lacking(args, status).is_empty())
}

/// What is not real yet, in one line each.
fn lacking(args: &WaitArgs, status: &Status) -> Vec<String> {
    not_yet(status, args.revision.unwrap_or(status.head.revision))
}

fn is_lasting(problem: &Problem) -> bool {
    !matches!(problem.kind, ProblemKind::Unavailable | ProblemKind::NotFound)
        && problem.code != "E_LOCKED"
        && problem.code != "E_NO_SERVER"
}

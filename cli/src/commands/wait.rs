//! `reconcile wait`: until a revision is there, or a Git commit is in force, or it is real everywhere; exit 5 if that takes too long.
//!
//! Never here: how it is waited (`waiting.rs`).

use std::time::Duration;

use holdfast_reconciler::controller::{LoopState, LoopStatus};
use holdfast_reconciler::desired::GitState;
use holdfast_reconciler::plane::Status;

use super::Run;
use super::waiting::{Lacks, Waiting};
use crate::args::WaitArgs;
use crate::error::{Exit, Failure};
use crate::project;
use crate::render::ink::Text;

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
    let timeout = Duration::from_secs(args.timeout);
    let waiting = Waiting { run, store: &store, org: org.as_ref(), timeout };
    let status = waiting.until(|status| missing(args, status))?;
    run.output.data(&status.head, || {
        let mut text = Text::new();
        let how = if args.observed { "is in force everywhere" } else { "is in force" };
        text.line(format!("{} {how}", status.head.revision));
        text
    })?;
    Ok(Exit::Done)
}

/// What is still waited for, in one line each.
fn missing(args: &WaitArgs, status: &Status) -> Lacks {
    let revision = args.revision.is_none_or(|wanted| status.head.revision >= wanted);
    let source = |name: &str| args.source.as_ref().is_none_or(|wanted| wanted.as_str() == name);
    let git = args.git.as_ref().is_none_or(|wanted| {
        let is = |git: &Option<GitState>| {
            git.as_ref().is_some_and(|git| git.commit.starts_with(wanted.as_str()) && !git.dirty)
        };
        // A commit that changes no resource makes no revision: only the loop that looked at it knows that it is in force.
        let by_loop = |found: &LoopStatus| {
            found.state == LoopState::InForce && found.source.as_ref().is_some_and(|of| source(of.as_str()))
        };
        status.sources.iter().any(|found| source(&found.source) && is(&found.git))
            || status.loops.iter().any(|found| by_loop(found) && is(&found.git))
    });
    if !(revision && git) {
        let mut lacks = vec![format!("the head is {}", status.head.revision)];
        let stuck = |found: &&LoopStatus| args.git.is_some() && found.state != LoopState::InForce;
        let of = |found: &LoopStatus| found.source.as_ref().map_or(found.from.clone(), ToString::to_string);
        lacks.extend(status.loops.iter().filter(stuck).filter(|found| source(&of(found))).map(|found| {
            let LoopStatus { state, message, .. } = found;
            format!("the loop of `{}` is {}: {message}", of(found), state.as_text())
        }));
        return lacks.into();
    }
    match args.observed {
        true => Lacks::of(status, args.revision.unwrap_or(status.head.revision)),
        false => Lacks::default(),
    }
}

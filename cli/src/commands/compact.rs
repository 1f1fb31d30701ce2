//! `reconcile compact`: gives up the commits before a revision or a time. What is in force is never touched; what is given up
//! is gone, so somebody must say yes.

use holdfast_engine::Timestamp;
use holdfast_reconciler::plane::{CompactRequest, Compacted, ControlPlane, KeepRule};

use super::Run;
use crate::args::{CompactArgs, CompactRule};
use crate::clock;
use crate::confirm::{self, Answer};
use crate::error::{Exit, Failure};
use crate::render::keeping;
use crate::render::text::counted;

/// Compacts the store.
pub(super) fn run(run: &Run, args: &CompactArgs) -> Result<Exit, Failure> {
    let (plane, _) = run.ask()?;
    let keep = rule(plane.as_ref(), &args.rule)?;
    if !args.yes {
        let foreseen = plane.compact(&CompactRequest { keep, dry_run: true })?;
        if args.dry_run || foreseen.commits == 0 {
            return show(run, &foreseen);
        }
        if !agreed(run, &foreseen)? {
            run.output.say("nothing was changed");
            return Ok(Exit::Failed);
        }
    }
    let done = plane.compact(&CompactRequest { keep, dry_run: false })?;
    show(run, &done)
}

fn rule(plane: &dyn ControlPlane, rule: &CompactRule) -> Result<KeepRule, Failure> {
    match rule {
        CompactRule { before: Some(moment), keep: None, older_than: None } => {
            Ok(KeepRule::From(super::revision(plane, *moment)?))
        }
        CompactRule { before: None, keep: Some(count), older_than: None } => Ok(KeepRule::Newest(*count)),
        CompactRule { before: None, keep: None, older_than: Some(span) } => {
            let now = clock::system()().as_millis();
            Ok(KeepRule::Since(Timestamp::from_millis(now.saturating_sub(span.millis))))
        }
        _ => Err(Failure::usage("exactly one rule says what is kept").help("see `reconcile compact --help`")),
    }
}

fn agreed(run: &Run, foreseen: &Compacted) -> Result<bool, Failure> {
    let what = counted(foreseen.commits, "commit");
    if !confirm::somebody_is_there() {
        return Err(Failure::new("E_NOT_CONFIRMED", format!("nobody is there to ask whether {what} may be given up"))
            .help(format!(
                "`{}` gives them up without asking, `{}` only shows",
                run.setting.again("--yes"),
                run.setting.again("--dry-run")
            )));
    }
    loop {
        let question =
            format!("Give up {what} for ever? The oldest state that can be read will be {}", foreseen.oldest);
        match confirm::ask(&run.output, &question)? {
            Answer::Yes => return Ok(true),
            Answer::No => return Ok(false),
            Answer::Details => run.output.show(&keeping::compacted(foreseen)),
        }
    }
}

fn show(run: &Run, done: &Compacted) -> Result<Exit, Failure> {
    run.output.data(done, || keeping::compacted(done))?;
    Ok(Exit::Done)
}

//! `reconcile follower list|remove`: the followers that a store knows, and taking off one that will not come back.
//!
//! Never here: following (`follow.rs`).

use holdfast_reconciler::error::{Problem, ProblemKind};
use holdfast_reconciler::plane::{FollowerInfo, FollowerRemoval, Reach};
use serde::Serialize;

use super::Run;
use crate::args::FollowerVerb;
use crate::error::{Exit, Failure};
use crate::render::followers;
use crate::render::ink::Text;

/// The list as JSON, as the state of the store has it.
#[derive(Serialize)]
struct List {
    followers: Vec<FollowerInfo>,
}

/// Runs the verb.
pub(super) fn run(run: &Run, verb: &FollowerVerb) -> Result<Exit, Failure> {
    let (plane, org) = run.ask()?;
    let known = plane.status(org.as_ref())?.followers;
    match verb {
        FollowerVerb::List(_) => {
            let list = List { followers: known };
            run.output.data(&list, || followers::listed(&list.followers))?;
        }
        FollowerVerb::Remove(args) => {
            let found = pick(known, &args.follower)?;
            let removal = FollowerRemoval { owner: String::new(), within: Some(Reach::All), id: found.id.clone() };
            plane.follower_left(&removal)?;
            let mut told = Text::new();
            told.line(format!("Took the follower {} off: nothing waits for it any more", found.name));
            run.output.data(&found, || told)?;
        }
    }
    Ok(Exit::Done)
}

/// The one that is meant: by its id, else by its name.
fn pick(known: Vec<FollowerInfo>, meant: &str) -> Result<FollowerInfo, Problem> {
    if let Some(found) = known.iter().find(|follower| follower.id == meant) {
        return Ok(found.clone());
    }
    let mut named = known.into_iter().filter(|follower| follower.name == meant);
    let first = named.next();
    // One that shows another token than before is known twice under its id, and goes as a whole.
    let other = named.find(|other| first.as_ref().is_some_and(|first| first.id != other.id));
    match (first, other) {
        (Some(found), None) => Ok(found),
        (None, _) => {
            let message = format!("no follower `{}` is known", meant.escape_default());
            Err(Problem::new(ProblemKind::NotFound, "E_NOT_FOUND", message)
                .help("`reconcile follower list` shows those that are, of the organisation that `--org` says"))
        }
        (Some(one), Some(other)) => {
            let message = format!("several followers are named `{meant}`, such as {} and {}", one.id, other.id);
            Err(Problem::new(ProblemKind::Invalid, "E_AMBIGUOUS", message)
                .help("say which by its id, as `reconcile follower list` shows it"))
        }
    }
}

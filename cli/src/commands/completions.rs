//! `reconcile completions SHELL`: a completion script.

use clap::CommandFactory as _;

use super::Run;
use crate::args::{Cli, CompletionsArgs};
use crate::error::{Exit, Failure};

/// Prints the script.
pub(super) fn run(run: &Run, args: CompletionsArgs) -> Result<Exit, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "reconcile", &mut script);
    run.output.raw(&String::from_utf8_lossy(&script))?;
    Ok(Exit::Done)
}

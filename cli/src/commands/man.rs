//! `reconcile man`: the manual page.

use clap::CommandFactory as _;

use super::Run;
use crate::args::Cli;
use crate::error::{Exit, Failure};

/// Prints the page in the form that `man -l -` reads.
pub(super) fn run(run: &Run) -> Result<Exit, Failure> {
    let mut page = Vec::new();
    let rendered = clap_mangen::Man::new(Cli::command()).render(&mut page);
    rendered.map_err(|error| Failure::io("E_MAN", "cannot make the manual page", &error))?;
    run.output.raw(&String::from_utf8_lossy(&page))?;
    Ok(Exit::Done)
}

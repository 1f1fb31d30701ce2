//! Flags of planning, applying and checking.
//!
//! Never here: what is done with them.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};
use holdfast_reconciler::take::Take;

/// How long `--wait` waits if nobody says.
const WAIT_SECONDS: u64 = 60;

/// Flags of planning and applying.
#[derive(Clone, Debug, Default, PartialEq, Eq, Args)]
pub(crate) struct PlanArgs {
    /// The project's directory [default: the one of -C, else this one]
    #[arg(value_name = "DIR")]
    pub(crate) directory: Option<PathBuf>,
    /// Plans and shows only; changes nothing and makes no store
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Applies without asking; it never deletes more than --allow-delete says
    #[arg(long, short = 'y', conflicts_with = "dry_run")]
    pub(crate) yes: bool,
    /// Plans against the state in this file instead of a store; only shows
    #[arg(long, value_name = "FILE", conflicts_with_all = ["yes", "store"])]
    pub(crate) against: Option<PathBuf>,
    /// Writes the plan into this file, sealed, for `reconcile apply FILE`
    #[arg(long, value_name = "FILE", conflicts_with_all = ["yes", "against"])]
    pub(crate) out: Option<PathBuf>,
    /// Plans these kinds only, as in `agent,settings`; `agents` and `memory` stand for several
    #[arg(long, value_name = "KINDS", value_delimiter = ',')]
    pub(crate) only: Vec<String>,
    /// Shows the first line of each change only
    #[arg(long, conflicts_with = "full")]
    pub(crate) compact: bool,
    /// Lists unchanged resources too
    #[arg(long)]
    pub(crate) all: bool,
    /// Cuts no value
    #[arg(long)]
    pub(crate) full: bool,
    /// Exits with 2 if there are changes; for a dry run
    #[arg(long)]
    pub(crate) exit_code: bool,
    /// Allows exactly N deletes
    #[arg(long, value_name = "N")]
    pub(crate) allow_delete: Option<u64>,
    /// Allows sessions of this agent to break; may be given again
    #[arg(long, value_name = "AGENT")]
    pub(crate) allow_break: Vec<String>,
    /// Holds the source after the apply: a loop waits for other manifests, or for `reconcile resume`
    #[arg(long)]
    pub(crate) hold: bool,
    /// Overwrites a field that somebody else set, if its resource was last changed in rN; may be given again
    #[arg(long, value_name = "ADDRESS FIELD=rN")]
    pub(crate) take: Vec<Take>,
    /// Waits until what was applied is real outside the store too; exits with 5 if that takes too long
    #[arg(long, conflicts_with_all = ["dry_run", "against"])]
    pub(crate) wait: bool,
    /// After so many seconds --wait gives up [default: 60]
    #[arg(long, value_name = "S", requires = "wait")]
    pub(crate) timeout: Option<u64>,
    /// Why, for the history
    #[arg(long, short = 'm', value_name = "TEXT")]
    pub(crate) message: Option<String>,
    /// Who, for the history [default: HOLDFAST_AUTHOR, else the user's name]
    #[arg(long, value_name = "NAME", value_parser = super::author)]
    pub(crate) author: Option<String>,
}

impl PlanArgs {
    /// How long to wait until what was applied is real, if that is asked.
    pub(crate) fn waits(&self) -> Option<Duration> {
        waits(self.wait, self.timeout)
    }
}

fn waits(wait: bool, timeout: Option<u64>) -> Option<Duration> {
    wait.then(|| Duration::from_secs(timeout.unwrap_or(WAIT_SECONDS)))
}

/// Flags of `check`.
#[derive(Clone, Debug, Args)]
pub(crate) struct CheckArgs {
    /// The project's directory
    #[arg(value_name = "DIR")]
    pub(crate) directory: Option<PathBuf>,
    /// Prints the JSON Schema of a grammar instead, for editors: of the manifest if none is named
    #[arg(
        long,
        value_name = "GRAMMAR",
        value_enum,
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "manifest",
        conflicts_with = "directory"
    )]
    pub(crate) schema: Option<GrammarName>,
}

/// A grammar that has a schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum GrammarName {
    /// `lobu.toml` and `holdfast.toml`
    Manifest,
    /// Files of the models folder
    Models,
    /// Files of the connectors folder
    Connectors,
    /// The front matter of `SKILL.md`
    Skill,
}

/// Flags of `init`.
#[derive(Clone, Debug, Args)]
pub(crate) struct InitArgs {
    /// The project's directory; it is made if it is not there
    #[arg(value_name = "DIR")]
    pub(crate) directory: Option<PathBuf>,
}

/// Flags of `apply`.
#[derive(Clone, Debug, Args)]
pub(crate) struct ApplyArgs {
    /// The sealed plan that `--dry-run --out` wrote
    pub(crate) file: PathBuf,
    /// Applies without asking; it never deletes more than --allow-delete says
    #[arg(long, short = 'y')]
    pub(crate) yes: bool,
    /// Confirms exactly N deletes
    #[arg(long, value_name = "N")]
    pub(crate) allow_delete: Option<u64>,
    /// Waits until what was applied is real outside the store too; exits with 5 if that takes too long
    #[arg(long)]
    pub(crate) wait: bool,
    /// After so many seconds --wait gives up [default: 60]
    #[arg(long, value_name = "S", requires = "wait")]
    pub(crate) timeout: Option<u64>,
    /// Why, for the history
    #[arg(long, short = 'm', value_name = "TEXT")]
    pub(crate) message: Option<String>,
    /// Who, for the history [default: HOLDFAST_AUTHOR, else the user's name]
    #[arg(long, value_name = "NAME", value_parser = super::author)]
    pub(crate) author: Option<String>,
}

impl ApplyArgs {
    /// How long to wait until what was applied is real, if that is asked.
    pub(crate) fn waits(&self) -> Option<Duration> {
        waits(self.wait, self.timeout)
    }
}

//! Flags of what looks at sessions.
//!
//! Never here: what is done with them.

use clap::{Args, Subcommand};

/// Flags of `explain`.
#[derive(Clone, Debug, Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub(crate) struct ExplainArgs {
    /// The resource whose values are explained, as in `settings/triage`
    #[arg(required = true)]
    pub(crate) address: Option<String>,
    /// One value of it, as in `soulMd` or `providerModelPreferences.z-ai`, with what it was before
    pub(crate) field: Option<String>,
    /// Cuts no value
    #[arg(long)]
    pub(crate) full: bool,
    #[command(subcommand)]
    pub(crate) verb: Option<ExplainVerb>,
}

/// What else to explain.
#[derive(Clone, Debug, Subcommand)]
pub(crate) enum ExplainVerb {
    /// Why a session of an agent gets what it gets, or gets nothing
    Session(ExplainSessionArgs),
}

/// Flags of `explain session`.
#[derive(Clone, Debug, Args)]
pub(crate) struct ExplainSessionArgs {
    /// The agent
    pub(crate) agent: String,
    /// The user whose session it is
    #[arg(long)]
    pub(crate) user: Option<String>,
}

/// Flags of `session`.
#[derive(Clone, Debug, Args)]
pub(crate) struct SessionArgs {
    /// The agent
    pub(crate) agent: String,
    /// The user whose session it is
    #[arg(long)]
    pub(crate) user: Option<String>,
    /// Answers also if no credential is usable
    #[arg(long)]
    pub(crate) allow_missing: bool,
    /// Cuts no value
    #[arg(long)]
    pub(crate) full: bool,
}

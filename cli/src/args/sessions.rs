//! Flags of what looks at sessions.
//!
//! Never here: what is done with them.

use clap::{Args, Subcommand};

/// What to explain.
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

//! Flags of what looks at sessions.
//!
//! Never here: what is done with them.

use clap::Args;

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

//! Flags of what reads the store.
//!
//! Never here: what is done with them.

use clap::Args;
use holdfast_engine::Revision;

/// Flags of `history`.
#[derive(Clone, Debug, Args)]
pub(crate) struct HistoryArgs {
    /// Only commits that touch this resource, as in `settings/triage`
    pub(crate) address: Option<String>,
    /// At most this many
    #[arg(long, value_name = "N")]
    pub(crate) limit: Option<usize>,
}

/// Flags of `get`.
#[derive(Clone, Debug, Args)]
pub(crate) struct GetArgs {
    /// The resource, as in `settings/triage` or `acme:settings/triage`
    pub(crate) address: String,
    /// Cuts no value
    #[arg(long)]
    pub(crate) full: bool,
}

/// Flags of `show`.
#[derive(Clone, Debug, Args)]
pub(crate) struct ShowArgs {
    /// The revision, as in `r41`
    pub(crate) revision: Revision,
}

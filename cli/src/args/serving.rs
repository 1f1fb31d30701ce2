//! Flags of `serve`.
//!
//! Never here: what is done with them.

use std::path::PathBuf;

use clap::Args;

use super::Span;

/// Flags of `serve`.
#[derive(Clone, Debug, Args)]
pub(crate) struct ServeArgs {
    /// The project's directory
    #[arg(value_name = "DIR")]
    pub(crate) directory: Option<PathBuf>,
    /// Gives up the history but for the newest N commits, and those that --keep-for keeps; without either flag all is kept
    #[arg(long, value_name = "N")]
    pub(crate) keep: Option<u64>,
    /// Gives up the history but for the commits of the last SPAN, as in `30d`, and those that --keep keeps
    #[arg(long, value_name = "SPAN")]
    pub(crate) keep_for: Option<Span>,
    /// How often it looks whether something is to be given up
    #[arg(long, value_name = "SPAN", default_value = "1h")]
    pub(crate) compact_every: Span,
}
